//! The planner against a brute-force oracle, and against crashes between any two of its steps.

use std::collections::{BTreeMap, BTreeSet};

use api_types::keys::claim_reason::DRAINING;
use proptest::prelude::*;

use super::{
    ids::{Id, IdSet},
    leaving::Leaving,
    record::{Deletion, Record},
    scale::{ScaleInput, ScalePlan, Strategy as Down, creations, plan},
    server::{Hold, Server, ServerPod, Stage, Standing},
};

const IDS: Id = 12;

#[derive(Debug, Clone)]
struct World {
    replicas: u64,
    strategy: Down,
    protect_allocated: bool,
    by_players: bool,
    drains: bool,
    /// Servers that an update replaces while players are on them.
    drained: BTreeSet<Id>,
    /// Failed servers that are taken out of the set.
    removed: BTreeSet<Id>,
    /// Names of Pods that were taken out earlier.
    occupied: BTreeSet<Id>,
    reserved: BTreeSet<Id>,
    record: Option<Record>,
    servers: BTreeMap<Id, Server>,
    /// UIDs of Pods that were live when they were taken.
    taken: BTreeSet<String>,
    /// Makes the UIDs of new Pods differ.
    created: u32,
}

impl World {
    fn plan(&self) -> ScalePlan {
        let servers: Vec<Server> = self.servers.values().cloned().collect();
        let set = |ids: &BTreeSet<Id>| ids.iter().copied().collect();
        let leaving = Leaving {
            drained: set(&self.drained),
            removed: set(&self.removed),
            occupied: set(&self.occupied),
            ..Leaving::default()
        };
        plan(&ScaleInput {
            replicas: self.replicas,
            strategy: self.strategy,
            protect_allocated: self.protect_allocated,
            limited: false,
            by_players: self.by_players,
            drains: self.drains,
            leaving: &leaving,
            reserved: &self.reserved.iter().copied().collect(),
            record: self.record.as_ref(),
            acknowledged: &IdSet::new(),
            servers: &servers,
        })
    }

    fn live(&self) -> BTreeSet<Id> {
        self.servers
            .values()
            .filter(|server| server.is_live())
            .map(|server| server.id)
            .collect()
    }

    fn current(&self) -> BTreeSet<Id> {
        self.record
            .as_ref()
            .map_or_else(|| self.live(), |record| record.desired.iter().collect())
    }

    /// The desired ids, said as plainly as possible.
    fn oracle(&self) -> BTreeSet<Id> {
        let current = self.current();
        let mut desired: BTreeSet<Id> = current
            .union(&self.live())
            .copied()
            .filter(|id| !self.reserved.contains(id) && !self.is_gone(*id))
            .collect();
        let mut next = 0;
        while (desired.len() as u64) < self.replicas {
            let held = self.servers.get(&next).is_some_and(Server::is_held);
            let given_up = self.strategy == Down::ReserveIds
                && self
                    .record
                    .as_ref()
                    .is_some_and(|record| record.implicit.contains(next));
            if !self.reserved.contains(&next) && !held && !given_up && !self.is_gone(next) {
                desired.insert(next);
            }
            next += 1;
        }
        let mut candidates: Vec<Id> = desired
            .iter()
            .copied()
            .filter(|id| !self.is_protected(*id))
            .collect();
        candidates.sort_by_key(|id| self.rank(*id, &current));
        for id in candidates {
            if desired.len() as u64 > self.replicas {
                desired.remove(&id);
            }
        }
        desired
    }

    fn is_protected(&self, id: Id) -> bool {
        self.protect_allocated
            && self
                .servers
                .get(&id)
                .is_some_and(|server| server.standing.allocated)
    }

    /// Whether the id's name stays taken for nobody knows how long by a Pod that does not count.
    fn is_gone(&self, id: Id) -> bool {
        let waits = self.servers.get(&id).is_some_and(|server| {
            let leaves = self.goes_by_mark(id) || self.drained.contains(&id);
            server.stage() == Some(&Stage::Draining) || (server.is_live() && server.players > 0 && leaves)
        });
        waits || self.removed.contains(&id) || self.occupied.contains(&id)
    }

    fn goes_by_mark(&self, id: Id) -> bool {
        let counts = |server: &Server| server.marked && !server.standing.is_kill();
        self.servers.get(&id).is_some_and(counts) && !self.is_protected(id)
    }

    fn rank(&self, id: Id, current: &BTreeSet<Id>) -> (u8, i64, i64, u32, i64) {
        let Some(server) = self.servers.get(&id) else {
            return (2, 0, 0, 0, -i64::from(id));
        };
        let group = match (server.is_live(), current.contains(&id), server.standing.weight) {
            (true, false, 0..) => 0,
            (_, _, 100) => 1,
            _ if server.marked => 1,
            (false, ..) => 3,
            (true, ..) => 4,
        };
        (
            group,
            -i64::from(server.standing.weight),
            -server.deletion_priority,
            if self.by_players { server.players } else { 0 },
            -i64::from(id),
        )
    }

    /// One step of a deletion that the record names.
    fn delete(&mut self, deletion: &Deletion, mut goes_on: impl FnMut() -> bool) {
        let server = self.servers.get_mut(&deletion.id).unwrap();
        if server.only_waits() {
            return;
        }
        let pod = server.pod.as_mut().unwrap();
        assert_eq!(pod.uid, deletion.pod_uid);
        if matches!(pod.stage, Stage::Live) {
            assert!(
                !(self.protect_allocated && server.standing.allocated),
                "a protected server was chosen"
            );
            self.taken.insert(pod.uid.clone());
        }
        let reason = deletion.reason.clone();
        if reason == DRAINING && server.players > 0 {
            assert!(matches!(pod.stage, Stage::Live));
            pod.stage = Stage::Draining;
            return;
        }
        (pod.stage, pod.hold) = match (goes_on(), pod.hold) {
            (false, Hold::Free) => (Stage::Claimed(reason), Hold::Free),
            (true, Hold::Free) => (Stage::Terminating, Hold::Free),
            (told, hold) => (
                Stage::PreparingDelete(Some(reason)),
                if told { Hold::Waits } else { hold },
            ),
        };
    }

    /// One pass that may end after any of its steps, with any part of its claims, deletions and creations done.
    fn pass(&mut self, mut goes_on: impl FnMut() -> bool) {
        let outcome = self.plan();
        if !goes_on() {
            return;
        }
        self.record = Some(outcome.record.clone());
        for deletion in &outcome.record.deleting {
            if goes_on() {
                self.delete(deletion, &mut goes_on);
            }
        }
        let occupied = self
            .servers
            .values()
            .filter(|server| server.pod.is_some())
            .map(|server| server.id)
            .collect();
        for id in creations(&outcome.record, &occupied, 100, 100) {
            if goes_on() {
                self.created += 1;
                let pod = ServerPod {
                    uid: format!("new-{}", self.created),
                    stage: Stage::Live,
                    available: true,
                    hold: Hold::Free,
                    backs_off: false,
                };
                let unknown = Server {
                    id,
                    pod: None,
                    standing: Standing::UNKNOWN,
                    deletion_priority: 0,
                    players: 0,
                    marked: false,
                };
                let server = self.servers.entry(id).or_insert(unknown);
                (server.pod, server.players, server.marked) = (Some(pod), 0, false);
            }
        }
    }

    /// Terminating Pods go away, players leave servers that drain, and hooks let go of those they hold. What is known of their servers stays, so that the order of
    /// victims depends on nothing but the decisions.
    fn collect(&mut self, mut goes: impl FnMut() -> bool) {
        for server in self.servers.values_mut() {
            let Some(pod) = &mut server.pod else { continue };
            if pod.stage == Stage::Draining && goes() {
                server.players = 0;
            }
            if pod.hold == Hold::Waits && goes() {
                pod.hold = Hold::Free;
            }
            if matches!(pod.stage, Stage::Terminating) && pod.hold == Hold::Free && goes() {
                server.pod = None;
            }
        }
    }

    /// The ids that have a Pod, but for protected ones.
    fn pods(&self) -> BTreeSet<Id> {
        let has_pod = |server: &&Server| server.pod.is_some() && !self.is_protected(server.id);
        self.servers
            .values()
            .filter(has_pod)
            .map(|server| server.id)
            .collect()
    }
}

fn server(id: Id) -> impl Strategy<Value = Option<Server>> {
    let ops = prop::sample::select(vec![
        "None",
        "None",
        "Allocated",
        "Maintaining",
        "WaitToBeDeleted",
        "Kill",
        "Own",
    ]);
    let stage = prop::sample::select(vec![
        None,
        Some(Stage::Live),
        Some(Stage::Live),
        Some(Stage::Live),
        Some(Stage::Ended),
        Some(Stage::Terminating),
        Some(Stage::PreparingDelete(None)),
        Some(Stage::PreparingDelete(Some("Kill".to_owned()))),
        Some(Stage::Claimed("ScaleIn".to_owned())),
        Some(Stage::Draining),
    ]);
    let hold = prop::sample::select(vec![Hold::Free, Hold::Free, Hold::Holds, Hold::Waits]);
    let players = prop::sample::select(vec![0_u32, 0, 1, 7]);
    let marked = prop::bool::weighted(0.15);
    (
        any::<bool>(),
        stage,
        hold,
        ops.clone(),
        ops,
        -1..3_i64,
        players,
        marked,
    )
        .prop_map(
            move |(known, stage, hold, spec, label, priority, players, marked)| {
                let pod = stage.map(|stage| ServerPod {
                    uid: format!("old-{id}"),
                    // What a hook holds is never merely claimed, and only what has been told of its deletion waits.
                    hold: match (&stage, hold) {
                        (Stage::Claimed(_), _) => Hold::Free,
                        (Stage::Live | Stage::Ended | Stage::Draining, Hold::Waits) => Hold::Holds,
                        (Stage::Terminating, Hold::Holds) => Hold::Waits,
                        (_, hold) => hold,
                    },
                    stage,
                    available: true,
                    backs_off: false,
                });
                let standing = Standing::of(Some(spec), pod.as_ref().map(|_| label));
                (known || pod.is_some()).then_some(Server {
                    id,
                    players: if pod.is_some() { players } else { 0 },
                    pod,
                    standing,
                    deletion_priority: priority,
                    marked,
                })
            },
        )
}

fn id_set(share: f64) -> impl Strategy<Value = BTreeSet<Id>> {
    prop::collection::vec(prop::bool::weighted(share), IDS as usize)
        .prop_map(|picked| (0..IDS).filter(|id| picked[*id as usize]).collect())
}

fn world() -> impl Strategy<Value = World> {
    let servers: Vec<_> = (0..IDS).map(server).collect();
    let record = prop::option::weighted(0.8, (id_set(0.6), id_set(0.2), id_set(0.2)));
    let down = prop::sample::select(vec![Down::General, Down::ReserveIds]);
    (
        0..=u64::from(IDS),
        down,
        any::<bool>(),
        id_set(0.15),
        record,
        servers,
        (any::<bool>(), any::<bool>(), id_set(0.05)),
    )
        .prop_map(
            |(replicas, strategy, protect_allocated, reserved, record, servers, players)| World {
                replicas,
                strategy,
                protect_allocated,
                by_players: players.0,
                drains: players.1,
                drained: BTreeSet::new(),
                removed: BTreeSet::new(),
                // A name that a Pod of the set has is no other Pod's.
                occupied: players
                    .2
                    .into_iter()
                    .filter(|id| {
                        servers
                            .iter()
                            .flatten()
                            .all(|server| server.id != *id || server.pod.is_none())
                    })
                    .collect(),
                reserved,
                record: record.map(|(desired, reserved, implicit)| Record {
                    implicit: implicit.difference(&desired).copied().collect(),
                    desired: desired.into_iter().collect(),
                    reserved: reserved.into_iter().collect(),
                    growing: IdSet::new(),
                    deleting: vec![],
                    updating: vec![],
                }),
                servers: servers
                    .into_iter()
                    .flatten()
                    .map(|server| (server.id, server))
                    .collect(),
                taken: BTreeSet::new(),
                created: 0,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn one_decision_is_the_oracles(mut world in world(), going in (id_set(0.15), id_set(0.1))) {
        let goes = |ids: BTreeSet<Id>, world: &World| -> BTreeSet<Id> {
            let free = |id: &Id| !world.is_protected(*id) && world.servers.get(id).is_some_and(Server::is_live);
            ids.into_iter().filter(free).collect()
        };
        // Only where servers wait for their players does an update wait for them.
        world.drained = if world.drains { goes(going.0, &world) } else { BTreeSet::new() };
        world.removed = goes(going.1, &world);
        let outcome = world.plan();
        let desired: BTreeSet<Id> = outcome.record.desired.iter().collect();
        prop_assert_eq!(&desired, &world.oracle());
        prop_assert!(desired.is_disjoint(&world.reserved));

        let allocated = desired.iter().filter(|id| world.is_protected(**id)).count() as u64;
        prop_assert_eq!(desired.len() as u64, world.replicas.max(allocated));
        prop_assert_eq!(outcome.out_of_ids, 0);
        prop_assert_eq!(desired.len() as u64 > world.replicas, outcome.protected.iter().any(|id| desired.contains(&id)));

        for server in world.servers.values() {
            let deletion = outcome.record.deleting.iter().find(|deletion| deletion.id == server.id);
            let named = deletion.is_some();
            let protected = world.is_protected(server.id);
            let wanted = desired.contains(&server.id);
            let expected = match server.stage() {
                None | Some(Stage::Terminating) => false,
                Some(Stage::PreparingDelete(None)) => !protected,
                Some(Stage::PreparingDelete(Some(_)) | Stage::Claimed(_) | Stage::Ended | Stage::Draining) => true,
                Some(Stage::Live) => !protected && (!wanted || world.goes_by_mark(server.id)),
            };
            prop_assert_eq!(named, expected, "{:?}", server);
            // Nobody who is to be waited for is taken otherwise.
            let waits = server.is_live()
                && server.players > 0
                && !server.standing.is_kill()
                && !world.removed.contains(&server.id)
                && (world.drains || world.goes_by_mark(server.id));
            if let Some(deletion) = deletion.filter(|_| server.is_live()) {
                prop_assert_eq!(deletion.reason == DRAINING, waits, "{:?} {:?}", server, deletion);
            }
        }
    }

}

proptest! {
    // Each case is a whole history.
    #![proptest_config(ProptestConfig::with_cases(2_500))]

    #[test]
    fn a_decision_once_recorded_decides_nothing_more(mut world in world()) {
        let first = world.plan();
        world.record = Some(first.record.clone());
        let second = world.plan();
        prop_assert!(!first.record.is_decided_anew_by(&second.record), "{first:?}\n{second:?}");
        // A set at rest is left alone altogether.
        for _ in 0..6 {
            world.pass(|| true);
            world.collect(|| true);
        }
        let before = world.clone();
        world.pass(|| true);
        prop_assert_eq!(before.record, world.record);
        prop_assert_eq!(before.servers, world.servers);
    }

    #[test]
    fn crashes_between_the_steps_take_the_same_servers(
        mut world in world(),
        chances in prop::collection::vec(any::<bool>(), 60),
    ) {
        let mut clean = world.clone();
        for _ in 0..8 {
            clean.pass(|| true);
            clean.collect(|| true);
        }
        let mut chances = chances.into_iter();
        while chances.len() > 0 {
            world.pass(|| chances.next().unwrap_or(true));
            world.collect(|| chances.next().unwrap_or(true));
        }
        for _ in 0..8 {
            world.pass(|| true);
            world.collect(|| true);
        }
        prop_assert_eq!(&world.taken, &clean.taken);
        prop_assert_eq!(world.current().len(), clean.current().len());
        let unprotected: BTreeSet<Id> =
            world.current().into_iter().filter(|id| !world.is_protected(*id)).collect();
        prop_assert_eq!(world.pods(), unprotected, "{:?}", world);
    }
}
