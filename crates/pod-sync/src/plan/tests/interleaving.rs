//! Two pod-sync processes that both believe they own a Pod, each with caches that lag as they please, against a model of
//! the API server: the Pod never goes back to an older GameServer. The same search finds the fault when either half of the
//! guard is taken away, so it would find it in the guard itself.

use api_types::views::{GameServerView, PodView};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestError, TestRunner},
};

use crate::{
    fixture::{now, server, synced_pod},
    overlay::patched,
    plan::{Observed, PodPatch, plan},
    record::{SyncRecord, synced_generation, version},
};

/// Which half of the guard is in force.
#[derive(Clone, Copy, PartialEq)]
enum Guard {
    /// As shipped.
    Whole,
    /// Patches carry the UID only: what was decided from an old Pod still lands.
    NoResourceVersion,
    /// The plan does not read what the Pod remembers.
    NoRecord,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// An allocator sets opsState: a new generation.
    Allocate(&'static str),
    /// A tool sets a `gs-sync/` annotation: no new generation.
    Annotate(&'static str),
    /// Another status write to the GameServer: only its resource version moves.
    Touch,
    /// The kubelet writes the Pod's status.
    Kubelet,
    /// The GameServer watch of a process delivers one event.
    SeeServer(usize),
    /// Its Pod watch delivers one event.
    SeePod(usize),
    /// The process plans; its patch is on the wire.
    Send(usize),
    /// The API server handles the patch on the wire.
    Arrive(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let process = 0_usize..2;
    vec(
        prop_oneof![
            2 => select(vec!["None", "Allocated", "Kill"]).prop_map(Step::Allocate),
            2 => select(vec!["m-1", "m-2", "m-3"]).prop_map(Step::Annotate),
            1 => Just(Step::Touch),
            1 => Just(Step::Kubelet),
            4 => process.clone().prop_map(Step::SeeServer),
            4 => process.clone().prop_map(Step::SeePod),
            4 => process.clone().prop_map(Step::Send),
            4 => process.prop_map(Step::Arrive),
        ],
        0..60,
    )
}

#[derive(Default)]
struct Process {
    server_seen: usize,
    pod_seen: usize,
    /// Our own last acknowledged write, as in the controller.
    overlay: Option<PodView>,
    on_the_wire: Option<PodPatch>,
}

struct World {
    guard: Guard,
    revision: u64,
    servers: Vec<GameServerView>,
    pods: Vec<PodView>,
    processes: [Process; 2],
}

impl World {
    fn new(guard: Guard) -> Self {
        let servers = vec![server().version(1, 10).view()];
        Self {
            guard,
            revision: 100,
            servers,
            pods: vec![synced_pod().view()],
            processes: Default::default(),
        }
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Allocate(ops_state) => self.change_server(|server| {
                server.spec.ops_state = Some(ops_state.to_owned());
                server.metadata.generation += 1;
            }),
            Step::Annotate(id) => self.change_server(|server| {
                server.metadata.annotations.insert("gs-sync/match-id", id);
            }),
            Step::Touch => self.change_server(|_| {}),
            Step::Kubelet => {
                let mut pod = self.pods.last().unwrap().clone();
                self.store_pod(&mut pod);
            }
            Step::SeeServer(i) => {
                self.processes[i].server_seen =
                    (self.processes[i].server_seen + 1).min(self.servers.len() - 1);
            }
            Step::SeePod(i) => {
                self.processes[i].pod_seen = (self.processes[i].pod_seen + 1).min(self.pods.len() - 1);
            }
            Step::Send(i) => {
                if self.processes[i].on_the_wire.is_none() {
                    self.processes[i].on_the_wire = self.plan(i);
                }
            }
            Step::Arrive(i) => return self.arrive(i),
        }
        Ok(())
    }

    fn change_server(&mut self, change: impl Fn(&mut GameServerView)) {
        let mut server = self.servers.last().unwrap().clone();
        change(&mut server);
        self.revision += 1;
        server.metadata.resource_version = self.revision.to_string();
        self.servers.push(server);
    }

    fn store_pod(&mut self, pod: &mut PodView) {
        self.revision += 1;
        pod.metadata.resource_version = self.revision.to_string();
        self.pods.push(pod.clone());
    }

    fn plan(&self, i: usize) -> Option<PodPatch> {
        let process = &self.processes[i];
        let cached = &self.pods[process.pod_seen];
        let ahead = process
            .overlay
            .as_ref()
            .filter(|ours| crate::overlay::is_ahead(ours, cached));
        let mut pod = ahead.unwrap_or(cached).clone();
        if self.guard == Guard::NoRecord {
            pod.metadata
                .annotations
                .retain(|key, _| !key.starts_with("game.kruise.io/synced-"));
        }
        plan(
            &Observed {
                server: Some(&self.servers[process.server_seen]),
                pod: &pod,
                template: None,
                eviction: None,
            },
            now(),
        )
    }

    fn arrive(&mut self, i: usize) -> Result<(), TestCaseError> {
        let Some(patch) = self.processes[i].on_the_wire.take() else {
            return Ok(());
        };
        let before = self.pods.last().unwrap().clone();
        if self.guard != Guard::NoResourceVersion
            && patch.resource_version != before.metadata.resource_version
        {
            return Ok(());
        }
        let mut after = patched(&before, &patch, "");
        self.store_pod(&mut after);
        prop_assert!(
            synced_generation(&after) >= synced_generation(&before),
            "generation went back"
        );
        let shown = |pod: &PodView| version(&SyncRecord::of_pod(pod).resource_version);
        prop_assert!(shown(&after) >= shown(&before), "metadata went back");
        self.processes[i].overlay = Some(after);
        Ok(())
    }

    /// All caches catch up and both processes work until nothing is left to do.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..8 {
            for i in 0..2 {
                self.processes[i].server_seen = self.servers.len() - 1;
                self.processes[i].pod_seen = self.pods.len() - 1;
                self.take(Step::Send(i))?;
                self.take(Step::Arrive(i))?;
            }
        }
        let (pod, server) = (self.pods.last().unwrap(), self.servers.last().unwrap());
        prop_assert_eq!(
            pod.metadata.labels.get("game.kruise.io/gs-opsState"),
            server.spec.ops_state.as_deref()
        );
        let id = "gs-sync/match-id";
        prop_assert_eq!(
            pod.metadata.annotations.get(id),
            server.metadata.annotations.get(id)
        );
        Ok(())
    }
}

fn run(guard: Guard, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::new(guard);
    for step in steps {
        world.take(*step)?;
    }
    world.settle()
}

fn search(guard: Guard) -> Result<(), TestError<Vec<Step>>> {
    let config = Config {
        cases: 4000,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    )
    .run(&steps(), |steps| run(guard, &steps))
}

#[test]
fn two_owners_never_take_the_pod_back() {
    if let Err(error) = search(Guard::Whole) {
        panic!("{error}");
    }
}

#[test]
fn search_finds_the_fault_without_the_resource_version() {
    assert!(matches!(
        search(Guard::NoResourceVersion),
        Err(TestError::Fail(..))
    ));
}

#[test]
fn search_finds_the_fault_without_the_record() {
    assert!(matches!(search(Guard::NoRecord), Err(TestError::Fail(..))));
}

/// The race of the hand-over, spelt out: the old owner decided before the new owner wrote, and its patch arrives after.
#[test]
fn late_patch_of_the_old_owner_is_refused() {
    let race = [
        Step::Allocate("Allocated"),
        Step::SeeServer(0),
        Step::Send(0),
        Step::Allocate("Kill"),
        Step::SeeServer(1),
        Step::SeeServer(1),
        Step::Send(1),
        Step::Arrive(1),
        Step::Arrive(0),
    ];
    assert!(run(Guard::Whole, &race).is_ok());
    assert!(run(Guard::NoResourceVersion, &race).is_err());
}
