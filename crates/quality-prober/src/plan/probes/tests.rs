use serde_json::json;

use super::*;
use crate::{
    fixture::{Pod, pod, quality},
    plan::Verdict,
};

/// A world of one Pod, in simulated time.
struct World {
    probes: Probes,
    key: ObjectKey,
    pod: Pod,
    qualities: Vec<ServiceQuality>,
    now: Duration,
}

const LIMITS: Limits = Limits {
    execs: 8,
    others: 8,
    execs_per_second: None,
};

fn exec(name: &str, fields: &serde_json::Value) -> ServiceQuality {
    let mut all = json!({"exec": {"command": [name]}});
    all.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    quality(name, &all)
}

impl World {
    fn new(limits: Limits, qualities: Vec<ServiceQuality>) -> Self {
        Self {
            probes: Probes::new(limits),
            key: ObjectKey::new("games", "arena-0"),
            pod: pod(),
            qualities,
            now: Duration::ZERO,
        }
    }

    fn at(&self) -> Now {
        // The containers have run for an hour when the process starts.
        let start: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        Now {
            since_start: self.now,
            time: start + self.now,
        }
    }

    fn look(&mut self) -> BTreeMap<String, Wanted> {
        let now = self.at();
        self.probes
            .look(&self.key, &self.pod.view(), &self.qualities, now)
    }

    /// Lets time pass to where something is due, and gives what.
    fn due(&mut self) -> Vec<Run> {
        self.now = self.now.max(self.probes.next().unwrap());
        self.probes.take(self.now)
    }

    fn end(&mut self, run: &Run, healthy: bool, result: &str) -> Finished {
        let sample = Sample {
            verdict: if healthy {
                Verdict::Succeeded
            } else {
                Verdict::Failed
            },
            result: result.to_owned(),
            time: "2026-01-01T01:00:00Z".to_owned(),
            began: self.now,
        };
        self.probes.finished(run, Some(sample), self.now)
    }
}

fn command(run: &Run) -> &str {
    match &run.target.handler {
        Handler::Exec { command } => &command[0],
        other => other.kind(),
    }
}

#[test]
fn the_first_run_waits_for_the_initial_delay_after_the_containers_start() {
    let mut world = World::new(
        LIMITS,
        vec![exec("a", &json!({"initialDelaySeconds": 30, "periodSeconds": 2}))],
    );
    world.pod = world.pod.restarted("game", "game-1", "2026-01-01T00:59:50Z");
    world.look();
    let first = world.probes.next().unwrap();
    assert!(
        (Duration::from_secs(20)..Duration::from_secs(22)).contains(&first),
        "{first:?}"
    );
}

#[test]
fn several_qualities_of_one_container_do_not_mix() {
    let mut world = World::new(LIMITS, vec![exec("a", &json!({})), exec("b", &json!({}))]);
    assert!(world.look().is_empty());
    let mut runs = world.due();
    runs.extend(world.due());
    assert_eq!(runs.len(), 2);
    for run in &runs {
        let name = command(run).to_owned();
        assert_eq!(
            world.end(run, true, &format!("of {name}")).changed,
            Some(world.key.clone())
        );
    }
    let wanted = world.look();
    for name in ["a", "b"] {
        let Wanted::Sample(sample) = &wanted[name] else {
            panic!("{wanted:?}")
        };
        assert_eq!(sample.result, format!("of {name}"));
    }
    // Written, it is not written again.
    world.probes.written(&world.key.clone(), "pod-uid", &wanted);
    world.pod = world
        .pod
        .condition("a", "True", "of a")
        .condition("b", "True", "of b");
    assert!(world.look().is_empty());
}

#[test]
fn a_restarted_prober_reports_nothing_that_the_pod_says_already() {
    let mut world = World::new(LIMITS, vec![exec("a", &json!({"failureThreshold": 1}))]);
    world.pod = world.pod.condition("a", "False", "gate");
    world.look();
    let run = world.due().remove(0);
    assert_eq!(world.end(&run, false, "gate").changed, None);
    assert!(world.look().is_empty());
}

#[test]
fn a_run_in_a_container_that_has_ended_meanwhile_tells_nothing_of_the_next() {
    let mut world = World::new(LIMITS, vec![exec("a", &json!({"failureThreshold": 1}))]);
    world.pod = world.pod.condition("a", "True", "");
    world.look();
    let run = world.due().remove(0);
    world.pod = world.pod.waiting("game");
    world.look();
    assert_eq!(world.end(&run, false, "killed").changed, None);
    assert_eq!(
        world.probes.next(),
        None,
        "nothing runs in a container that does not"
    );
    world.pod = world.pod.restarted("game", "game-1", "2026-01-01T01:00:05Z");
    world.look();
    assert!(world.probes.next().unwrap() >= Duration::from_secs(10));
}

#[test]
fn failures_of_two_containers_are_not_added_up() {
    let mut world = World::new(LIMITS, vec![exec("a", &json!({"failureThreshold": 2}))]);
    world.look();
    let run = world.due().remove(0);
    assert_eq!(world.end(&run, false, "").changed, None);
    world.pod = world.pod.restarted("game", "game-1", "2026-01-01T01:00:00Z");
    world.look();
    let run = world.due().remove(0);
    assert_eq!(world.end(&run, false, "").changed, None);
    let run = world.due().remove(0);
    assert!(world.end(&run, false, "").changed.is_some());
}

#[test]
fn a_quality_that_cannot_be_probed_is_told_until_it_is_said() {
    let mut world = World::new(LIMITS, vec![exec("a", &json!({"containerName": "minecraft"}))]);
    let wanted = world.look();
    let Wanted::Misfit(misfit) = &wanted["a"] else {
        panic!("{wanted:?}")
    };
    assert_eq!(misfit.reason, "ContainerNotFound");
    world.pod = world.pod.condition("a", "Unknown", &misfit.message);
    assert!(world.look().is_empty());
    assert_eq!(world.probes.next(), None);
    // Mended, it is probed, and its first result is written.
    world.qualities = vec![exec("a", &json!({}))];
    world.look();
    let run = world.due().remove(0);
    world.end(&run, true, "");
    assert!(matches!(world.look()["a"], Wanted::Sample(_)));
}

#[test]
fn a_quality_that_is_gone_is_said_to_be_gone_if_it_was_ours() {
    let mut world = World::new(LIMITS, vec![exec("a", &json!({}))]);
    world.look();
    world.pod = world.pod.condition("a", "True", "");
    world.pod.0["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "game.kruise.io/theirs", "status": "True", "reason": "SomebodyElse"}));
    world.qualities = Vec::new();
    assert_eq!(world.look(), [("a".to_owned(), Wanted::Removed)].into());
    assert_eq!(world.probes.scheduled(), (0, 0));
    assert_eq!(world.probes.next(), None);
}

#[test]
fn a_new_pod_of_the_same_name_begins_anew() {
    let mut world = World::new(LIMITS, vec![exec("a", &json!({}))]);
    world.look();
    let run = world.due().remove(0);
    world.pod = world.pod.uid("next");
    world.look();
    assert_eq!(world.end(&run, true, "").changed, None);
    assert_eq!(world.due().len(), 1);
    world.probes.forget(&world.key.clone());
    assert_eq!(world.probes.scheduled(), (0, 0));
}

#[test]
fn commands_are_bounded_apart_from_the_others_and_by_their_rate() {
    let limits = Limits {
        execs: 2,
        others: 1,
        execs_per_second: Some(4),
    };
    let mut qualities: Vec<_> = (0..6)
        .map(|id| exec(&format!("e{id}"), &json!({"periodSeconds": 1})))
        .collect();
    qualities.push(quality(
        "tcp",
        &json!({"tcpSocket": {"port": 1}, "periodSeconds": 1}),
    ));
    let mut world = World::new(limits, qualities);
    world.look();
    // All are due.
    world.now = Duration::from_secs(1);
    let first = world.probes.take(world.now);
    assert_eq!(
        first
            .iter()
            .map(|run| run.target.handler.kind())
            .collect::<Vec<_>>(),
        ["tcp", "exec"]
    );
    assert!(world.probes.take(world.now).is_empty());
    assert_eq!(world.probes.next(), Some(Duration::from_millis(1_250)));
    world.now = Duration::from_millis(1_250);
    let second = world.probes.take(world.now);
    assert_eq!(second.len(), 1);
    // Two run, which is the limit, whatever the rate.
    world.now = Duration::from_secs(2);
    assert!(world.probes.take(world.now).is_empty());
    assert_eq!(world.probes.next(), None);
    world.end(&first[1], true, "");
    assert_eq!(world.probes.take(world.now).len(), 1);
}
