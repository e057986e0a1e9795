//! The plan against a model that says the same in another way: with fractions, over all replicas there could be.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{fixture::set, status::after};

/// A whole situation.
#[derive(Debug, Clone)]
struct Situation {
    replicas: i32,
    min: i32,
    max: i32,
    low: i32,
    high: i32,
    step: i32,
    cooldown: i32,
    capacity: u32,
    players: u64,
    /// Servers more or fewer than replicas.
    off: i32,
    unavailable: i32,
    behind: bool,
    blocked: bool,
    intervention: bool,
    other: bool,
    /// Seconds since the last change of replicas.
    since: Option<i32>,
}

prop_compose! {
    fn settings()(min in 1..12_i32, more in 0..30_i32, low in 0..99_i32, gap in 1..60_i32, step in 1..6_i32, capacity in 1_u32..40)
        -> (i32, i32, i32, i32, i32, u32) {
        (min, min + more, low, (low + gap).min(100), step, capacity)
    }
}

prop_compose! {
    fn situations()(
        (min, max, low, high, step, capacity) in settings(),
        replicas in 0..50_i32,
        load in 0_u64..130,
        cooldown in 0..400_i32,
        off in prop_oneof![8 => Just(0), 1 => -2..3_i32],
        unavailable in prop_oneof![8 => Just(0), 1 => 0..3_i32],
        (behind, blocked, intervention, other) in
            (prop::bool::weighted(0.1), prop::bool::weighted(0.3), prop::bool::weighted(0.1), prop::bool::weighted(0.1)),
        since in proptest::option::of(0..600_i32),
    ) -> Situation {
        let servers = u64::from((replicas + off).max(0).unsigned_abs());
        let players = servers * u64::from(capacity) * load / 100;
        Situation { replicas, min, max, low, high, step, cooldown, capacity, players, off, unavailable, behind, blocked,
            intervention, other, since }
    }
}

const NOW: &str = "2026-01-01T01:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

impl Situation {
    fn servers(&self) -> i32 {
        (self.replicas + self.off).max(0)
    }

    fn view(&self) -> SetView {
        let conditions = [
            ("NeedsIntervention", self.intervention),
            ("ScaleInBlocked", self.blocked),
        ];
        let conditions = conditions
            .map(|(type_, holds)| json!({"type": type_, "status": if holds { "True" } else { "False" }}));
        let mut view = set(self.replicas)
            .edit(|set| {
                set["spec"]["players"]["capacity"] = json!(self.capacity);
                set["spec"]["playerAutoscaling"] = json!({"enabled": true, "minReplicas": self.min, "maxReplicas": self.max,
                    "scaleInThreshold": self.low, "scaleOutThreshold": self.high, "step": self.step,
                    "cooldownSeconds": self.cooldown});
                set["status"] = json!({"observedGeneration": if self.behind { 2 } else { 3 },
                    "availableReplicas": self.replicas - self.unavailable, "conditions": conditions});
            })
            .view();
        view.status = self.since.map(|since| {
            let then = now().checked_sub(Duration::from_secs(since.unsigned_abs().into()));
            let scale = Scale {
                from: 0,
                to: self.replicas,
                why: Why::High(80),
            };
            after(scale, Duration::ZERO, then.unwrap())
        });
        view
    }

    fn decide(&self) -> Plan {
        let other = Other {
            kind: "HorizontalPodAutoscaler",
            name: "arena".into(),
        };
        let view = self.view();
        plan(
            &Observed {
                set: &view,
                sums: Sums {
                    servers: self.servers().unsigned_abs(),
                    players: self.players,
                    ..Sums::default()
                },
                other: self.other.then_some(&other),
            },
            now(),
        )
    }

    /// The replicas that the rules ask for, or why they stay.
    fn model(&self) -> Result<i32, &'static str> {
        if self.other {
            return Err("ScaledByOther");
        }
        let bounded = self.replicas.clamp(self.min, self.max);
        if bounded != self.replicas {
            return Ok(bounded);
        }
        if self
            .since
            .is_some_and(|since| self.cooldown > 0 && since <= self.cooldown)
        {
            return Err("CoolingDown");
        }
        if self.intervention {
            return Err("NeedsIntervention");
        }
        let servers = self.servers();
        let held_up = servers > self.replicas && self.blocked;
        if self.behind || self.unavailable > 0 || (servers != self.replicas && !held_up) {
            return Err("Settling");
        }
        self.model_of_load(servers, held_up)
    }

    /// Every number of servers there could be is looked at, and held against what is wanted of it.
    fn model_of_load(&self, servers: i32, held_up: bool) -> Result<i32, &'static str> {
        let capacity = |servers: i32| i128::from(servers) * i128::from(self.capacity) * 1000;
        // Of a thousandth of a player each, so that nothing is rounded.
        let taken = |percent: i32, servers: i32| capacity(servers) * i128::from(percent) / 100;
        let players = i128::from(self.players) * 1000;
        let high = |servers: i32| players > taken(self.high, servers);
        let low = |servers: i32| players < taken(self.low, servers);
        let reachable = |to: &i32| {
            (self.min..=self.max).contains(to) && (to - servers).abs() <= self.step && *to != servers
        };
        if high(servers) {
            let up = (servers + 1..=servers + self.step).filter(reachable);
            return up
                .filter(|to| *to == servers + 1 || !low(*to))
                .max()
                .ok_or("AtMaximum");
        }
        if !low(servers) {
            return Err("WithinThresholds");
        }
        if held_up {
            return Err("Settling");
        }
        let down: Vec<i32> = (servers - self.step..servers).filter(reachable).collect();
        if down.is_empty() {
            return Err("AtMinimum");
        }
        let bearable = down.into_iter().filter(|to| players < taken(self.high, *to));
        bearable.min().ok_or("ScaleInWouldOverload")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_plan_is_the_models(situation in situations()) {
        let plan = situation.decide();
        let decided = match &plan.decision {
            Decision::Scale(scale) => {
                prop_assert_eq!(scale.from, situation.replicas);
                Ok(scale.to)
            }
            Decision::Idle(idle) => Err(idle.reason()),
            Decision::Nothing => Err("Nothing"),
        };
        prop_assert_eq!(decided, situation.model());
        // Only a cooldown ends by itself; everything else is an event.
        prop_assert_eq!(plan.again.is_some(), decided == Err("CoolingDown"));
    }
}

/// Lets the set come to rest at a constant load, each change as if its cooldown were over. Gives each number of servers on the way.
fn settle(mut situation: Situation) -> Vec<i32> {
    let mut way = vec![situation.replicas];
    while let Decision::Scale(scale) = situation.decide().decision {
        situation.replicas = scale.to;
        way.push(scale.to);
        assert!(way.len() < 200, "never at rest: {way:?} of {situation:?}");
    }
    way
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn at_a_constant_load_replicas_go_one_way_and_stay(
        (min, max, low, high, step, capacity) in settings(),
        replicas in 0..60_i32,
        players in 0_u64..1500,
    ) {
        let situation = Situation {
            replicas, min, max, low, high, step, capacity, players,
            cooldown: 0, off: 0, unavailable: 0, behind: false, blocked: false, intervention: false, other: false, since: None,
        };
        let way = settle(situation);
        // A correction to the bounds is asked for by people; what follows is the load's.
        let from = way.iter().position(|replicas| (min..=max).contains(replicas)).unwrap();
        let by_load = &way[from..];
        let rising = by_load.windows(2).all(|pair| pair[0] < pair[1]);
        let falling = by_load.windows(2).all(|pair| pair[0] > pair[1]);
        prop_assert!(rising || falling, "{way:?}");
        // Where they stay, the load is not too high unless there can be no more.
        let last = *way.last().unwrap();
        let too_high = players * 100 > u64::from(last.unsigned_abs()) * u64::from(capacity) * u64::from(high.unsigned_abs());
        prop_assert!(!too_high || last == max, "{way:?}");
    }
}

fn calm(replicas: i32, players: u64) -> Situation {
    Situation {
        replicas,
        players,
        min: 2,
        max: 10,
        low: 60,
        high: 80,
        step: 1,
        cooldown: 300,
        capacity: 10,
        off: 0,
        unavailable: 0,
        behind: false,
        blocked: false,
        intervention: false,
        other: false,
        since: None,
    }
}

fn scaled_to(situation: &Situation) -> Option<i32> {
    match situation.decide().decision {
        Decision::Scale(scale) => Some(scale.to),
        _ => None,
    }
}

#[test]
fn a_threshold_is_crossed_only_beyond_it() {
    let table = [
        (5, 40, None),
        (5, 41, Some(6)),
        (5, 30, None),
        (5, 29, Some(4)),
        (10, 90, None),
        (2, 3, None),
    ];
    for (replicas, players, to) in table {
        assert_eq!(scaled_to(&calm(replicas, players)), to, "{players} on {replicas}");
    }
}

#[test]
fn a_cooldown_ends_after_its_last_moment_and_says_when() {
    let in_cooldown = Situation {
        since: Some(300),
        ..calm(5, 50)
    };
    let plan = in_cooldown.decide();
    assert!(matches!(plan.decision, Decision::Idle(Idle::CoolingDown(_))));
    assert_eq!(plan.again, Some(Duration::from_millis(1)));
    let after_it = Situation {
        since: Some(301),
        ..in_cooldown
    };
    assert_eq!(scaled_to(&after_it), Some(6));
}

#[test]
fn a_time_that_a_wrong_clock_wrote_does_not_stop_scaling() {
    let ahead = |seconds: i32| {
        Situation {
            since: Some(300),
            ..calm(5, 50)
        }
        .with_time_ahead(seconds)
    };
    assert!(matches!(ahead(30).decision, Decision::Idle(Idle::CoolingDown(_))));
    assert!(matches!(ahead(3600).decision, Decision::Scale(_)));
}

impl Situation {
    fn with_time_ahead(self, seconds: i32) -> Plan {
        let mut view = self.view();
        let time = now()
            .checked_add(Duration::from_secs(seconds.unsigned_abs().into()))
            .unwrap();
        if let Some(status) = &mut view.status {
            status.last_scale_time = Some(crate::status::rfc3339(time));
        }
        let sums = Sums {
            servers: self.servers().unsigned_abs(),
            players: self.players,
            ..Sums::default()
        };
        plan(
            &Observed {
                set: &view,
                sums,
                other: None,
            },
            now(),
        )
    }
}

#[test]
fn players_that_keep_more_servers_than_wanted_can_get_more() {
    let held = Situation {
        off: 2,
        blocked: true,
        ..calm(3, 48)
    };
    assert_eq!(scaled_to(&held), Some(6));
    let half_empty = Situation { players: 20, ..held };
    assert_eq!(scaled_to(&half_empty), None);
    let on_their_way_out = Situation {
        blocked: false,
        ..held
    };
    assert_eq!(scaled_to(&on_their_way_out), None);
}

#[test]
fn settings_stored_before_they_were_refused_are_told_and_not_followed() {
    let broken = [
        json!({"enabled": true}),
        json!({"enabled": true, "maxReplicas": 1, "minReplicas": 2, "scaleInThreshold": 1, "scaleOutThreshold": 2}),
        json!({"enabled": true, "maxReplicas": 9, "scaleInThreshold": 80, "scaleOutThreshold": 80}),
        json!({"enabled": true, "maxReplicas": 9, "scaleInThreshold": 60, "scaleOutThreshold": 80, "step": 0}),
        json!({"enabled": true, "maxReplicas": 9, "minReplicas": 0, "scaleInThreshold": 60, "scaleOutThreshold": 80}),
    ];
    for settings in broken {
        let view = set(1)
            .edit(|set| set["spec"]["playerAutoscaling"] = settings.clone())
            .view();
        let observed = Observed {
            set: &view,
            sums: Sums::default(),
            other: None,
        };
        let decision = plan(&observed, now()).decision;
        assert!(
            matches!(decision, Decision::Idle(Idle::InvalidSettings(_))),
            "{settings}: {decision:?}"
        );
    }
}

#[test]
fn a_set_that_goes_or_did_not_opt_in_is_left_alone() {
    let edits: [fn(&mut serde_json::Value); 3] = [
        |set| set["metadata"]["deletionTimestamp"] = json!(NOW),
        |set| set["spec"]["playerAutoscaling"]["enabled"] = json!(false),
        |set| set["spec"]["playerAutoscaling"] = json!(null),
    ];
    for edit in edits {
        let view = set(1).edit(edit).view();
        let observed = Observed {
            set: &view,
            sums: Sums::default(),
            other: None,
        };
        assert_eq!(plan(&observed, now()).decision, Decision::Nothing);
    }
}

#[test]
fn servers_that_say_what_they_take_count_with_that() {
    let view = set(3).view();
    let sums = Sums {
        servers: 3,
        players: 30,
        own: 1,
        own_capacity: 40,
    };
    let observed = Observed {
        set: &view,
        sums,
        other: None,
    };
    // 30 of 60, and 30 of 50 without one of ten: 60 % is below 80 %.
    assert!(matches!(
        plan(&observed, now()).decision,
        Decision::Scale(Scale { to: 2, .. })
    ));
}
