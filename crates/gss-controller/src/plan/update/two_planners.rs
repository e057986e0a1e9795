//! Two planners that share one record, plan from caches of any age and are held up before any of their requests: together they
//! never take more servers out of service than one may.

use proptest::{prelude::*, test_runner::TestCaseResult};

use super::{taken::Sight, *};
use crate::plan::record::{Record, Taken};

const CASES: u32 = 20_000;

/// A Pod as the API server has it.
#[derive(Debug, Clone, PartialEq)]
struct Pod {
    uid: u64,
    version: u64,
    revision: u8,
    stage: Stage,
    ready: bool,
    complete: bool,
    terminating: bool,
    /// Whether it was in service when we took it out, and has not been since.
    ours: bool,
}

/// The set as the API server has it.
#[derive(Debug, Clone)]
struct Set {
    version: u64,
    wanted: u8,
    record: Record,
}

#[derive(Debug, Clone)]
enum Request {
    Start { id: Id, version: u64, wanted: u8 },
    Finish { id: Id, version: u64 },
    Delete { id: Id, uid: u64 },
}

#[derive(Debug, Clone, Default)]
struct Planner {
    pods: usize,
    set: usize,
    requests: Vec<Request>,
}

#[derive(Debug)]
struct World {
    /// Every state of all Pods, and of the set, there ever was; caches are places in it.
    pods: Vec<Vec<Pod>>,
    sets: Vec<Set>,
    planners: [Planner; 2],
    clock: u64,
    budget: u64,
    recreates: bool,
}

#[derive(Debug, Clone)]
enum Event {
    /// A planner's caches catch up by so many events.
    See {
        who: usize,
        pods: usize,
        sets: usize,
    },
    /// It plans with these priorities, and sees these servers as allocated.
    Plan {
        who: usize,
        priorities: Vec<i64>,
        allocated: u8,
    },
    /// One of its requests arrives.
    Arrive {
        who: usize,
        which: usize,
    },
    /// It dies, and its successor has primed its caches.
    Restart {
        who: usize,
    },
    /// The kubelet and the others go on.
    Nature {
        id: usize,
    },
    /// Somebody else changes a Pod: its version moves.
    Touch {
        id: usize,
    },
    /// Ready turns, by itself.
    Flip {
        id: usize,
    },
    Template {
        wanted: u8,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let who = || 0_usize..2;
    prop_oneof![
        4 => (who(), 0_usize..6, 0_usize..3).prop_map(|(who, pods, sets)| Event::See { who, pods, sets }),
        6 => (who(), prop::collection::vec(0_i64..4, 5), any::<u8>(), any::<u8>())
            .prop_map(|(who, priorities, a, b)| Event::Plan { who, priorities, allocated: a & b & 0b11111 }),
        8 => (who(), any::<usize>()).prop_map(|(who, which)| Event::Arrive { who, which }),
        1 => who().prop_map(|who| Event::Restart { who }),
        8 => (0_usize..5).prop_map(|id| Event::Nature { id }),
        1 => (0_usize..5).prop_map(|id| Event::Touch { id }),
        1 => (0_usize..5).prop_map(|id| Event::Flip { id }),
        1 => (0_u8..3).prop_map(|wanted| Event::Template { wanted }),
    ]
}

fn world(recreates: bool, budget: u64) -> World {
    let pod = |uid| Pod {
        uid,
        version: uid,
        revision: 0,
        stage: Stage::Idle,
        ready: true,
        complete: true,
        terminating: false,
        ours: false,
    };
    let record = Record {
        desired: (0..5).collect(),
        ..Record::default()
    };
    let set = Set {
        version: 11,
        wanted: 1,
        record,
    };
    World {
        pods: vec![(1..6).map(pod).collect()],
        sets: vec![set],
        planners: [Planner::default(), Planner::default()],
        clock: 11,
        budget,
        recreates,
    }
}

impl World {
    fn change(&mut self, id: usize, change: impl FnOnce(&mut Pod)) {
        self.clock += 1;
        let mut now = self.pods.last().unwrap().clone();
        change(&mut now[id]);
        now[id].version = self.clock;
        if now[id].ready && now[id].stage == Stage::Idle && !now[id].terminating {
            now[id].ours = false;
        }
        self.pods.push(now);
    }

    fn now(&self, id: Id) -> Pod {
        self.pods.last().unwrap()[id as usize].clone()
    }

    fn store(&mut self, seen: u64, change: impl FnOnce(&mut Set)) -> bool {
        let latest = self.sets.last().unwrap();
        if latest.version != seen {
            return false;
        }
        let mut next = latest.clone();
        self.clock += 1;
        change(&mut next);
        next.version = self.clock;
        self.sets.push(next);
        true
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::See { who, pods, sets } => {
                let planner = &mut self.planners[*who];
                planner.pods = (planner.pods + pods).min(self.pods.len() - 1);
                planner.set = (planner.set + sets).min(self.sets.len() - 1);
            }
            Event::Plan {
                who,
                priorities,
                allocated,
            } => self.plan(*who, priorities, *allocated),
            Event::Arrive { who, which } => {
                let requests = &mut self.planners[*who].requests;
                if !requests.is_empty() {
                    let request = requests.remove(which % requests.len());
                    self.arrives(&request);
                }
            }
            Event::Restart { who } => {
                self.planners[*who] = Planner {
                    pods: self.pods.len() - 1,
                    set: self.sets.len() - 1,
                    requests: Vec::new(),
                };
            }
            Event::Nature { id } => self.nature(*id),
            Event::Touch { id } => self.change(*id, |_| {}),
            // What we replace, we would be blamed for when it came back at the wrong moment.
            Event::Flip { id } if !self.recreates => {
                self.change(*id, |pod| pod.ready = pod.stage == Stage::Idle && !pod.ready);
            }
            // A replacement that is taken back is not closed against stale caches: ADR 0017.
            Event::Template { wanted } if !self.recreates => {
                let latest = self.sets.last().unwrap().version;
                self.store(latest, |set| set.wanted = *wanted);
            }
            Event::Flip { .. } | Event::Template { .. } => {}
        }
    }

    fn nature(&mut self, id: usize) {
        let (now, wanted) = (
            self.now(Id::try_from(id).unwrap()),
            self.sets.last().unwrap().wanted,
        );
        let uid = self.clock + 1;
        self.change(id, |pod| {
            if now.terminating {
                *pod = Pod {
                    uid,
                    terminating: false,
                    revision: wanted,
                    ready: false,
                    stage: Stage::Idle,
                    ..now
                };
            } else if now.stage == Stage::Updating {
                pod.complete = true;
            } else {
                pod.ready = true;
            }
        });
    }

    fn arrives(&mut self, request: &Request) {
        match *request {
            Request::Start { id, version, wanted } => {
                let now = self.now(id);
                if now.version == version && !now.terminating {
                    self.change(id as usize, |pod| {
                        pod.ours |= pod.ready && pod.stage == Stage::Idle;
                        pod.stage = Stage::Updating;
                        pod.revision = wanted;
                        pod.complete = false;
                        pod.ready = false;
                    });
                }
            }
            Request::Finish { id, version } => {
                if self.now(id).version == version {
                    self.change(id as usize, |pod| pod.stage = Stage::Idle);
                }
            }
            Request::Delete { id, uid } => {
                let named = self.sets.last().unwrap().record.names(id, &uid.to_string());
                if named && self.now(id).uid == uid {
                    self.change(id as usize, |pod| {
                        pod.ours |= pod.ready && pod.stage == Stage::Idle;
                        pod.terminating = true;
                    });
                }
            }
        }
    }

    fn plan(&mut self, who: usize, priorities: &[i64], allocated: u8) {
        let planner = &self.planners[who];
        let (pods, set) = (self.pods[planner.pods].clone(), self.sets[planner.set].clone());
        let serves = |pod: &Pod| pod.ready && pod.stage == Stage::Idle && !pod.terminating;
        let uids: Vec<String> = pods.iter().map(|pod| pod.uid.to_string()).collect();
        let stays = |taken: &&Taken| {
            let (pod, uid) = (&pods[taken.id as usize], &uids[taken.id as usize]);
            let sight = Sight {
                uid,
                version: pod.version,
                serves: serves(pod),
            };
            taken::stays(taken, set.version, &set.record.desired, Some(sight))
        };
        let out: Vec<Taken> = set.record.updating.iter().filter(stays).cloned().collect();
        let subjects: Vec<Subject> = (0..)
            .zip(&pods)
            .map(|(id, pod)| self.subject(id, pod, &set, taken::entry(&out, id), priorities, allocated))
            .collect();
        let rules = Rules {
            halted: false,
            partition: 0,
            max_unavailable: self.budget,
        };
        let plan = super::plan(rules, &set.record.desired, &subjects);
        let mut next = set.record.clone();
        next.deleting.clear();
        next.also_delete(&plan.recreate);
        next.updating = taken::next(&out, &set.record.deleting, &next, &subjects, &plan);
        let version = |id: Id| pods[id as usize].version;
        let mut requests: Vec<Request> = plan
            .steps
            .iter()
            .filter_map(|step| match step.act {
                Act::Finish => Some(Request::Finish {
                    id: step.id,
                    version: version(step.id),
                }),
                Act::Start | Act::Begin => Some(Request::Start {
                    id: step.id,
                    version: version(step.id),
                    wanted: set.wanted,
                }),
                _ => None,
            })
            .collect();
        requests.extend(next.deleting.iter().map(|deletion| Request::Delete {
            id: deletion.id,
            uid: deletion.pod_uid.parse().unwrap(),
        }));
        // What was done leaves the record with the next status, at any time: here, as soon as it may.
        if set.record.is_decided_anew_by(&next) || set.record != next {
            if !self.store(set.version, |set| set.record = next) {
                return;
            }
            // Its own write is seen before it plans again.
            self.planners[who].set = self.sets.len() - 1;
        }
        self.planners[who].requests.extend(requests);
    }

    fn subject(
        &self,
        id: Id,
        pod: &Pod,
        set: &Set,
        taken: Option<&Taken>,
        priorities: &[i64],
        allocated: u8,
    ) -> Subject {
        let uid = pod.uid.to_string();
        let anew = self.recreates && id.is_multiple_of(2);
        Subject {
            id,
            leaving: pod.terminating,
            busy: taken.is_some_and(|taken| taken.version > pod.version),
            available: pod.ready && pod.stage == Stage::Idle && !pod.terminating,
            stage: pod.stage,
            way: match pod.revision == set.wanted {
                true => Way::UpToDate,
                false if anew => Way::Recreate,
                false => Way::InPlace,
            },
            protected: !self.recreates && allocated & (1 << id) != 0,
            held: false,
            hooked: false,
            accepted: true,
            complete: pod.complete,
            grace_left: 0,
            priority: priorities[id as usize],
            recorded: taken.is_some_and(|taken| taken.pod_uid == uid) || set.record.names(id, &uid),
            out: taken.is_some(),
            version: pod.version,
            uid,
        }
    }

    fn is_done(&self) -> bool {
        let (pods, set) = (self.pods.last().unwrap(), self.sets.last().unwrap());
        let done = |pod: &Pod| {
            pod.revision == set.wanted && pod.ready && pod.stage == Stage::Idle && !pod.terminating
        };
        pods.iter().all(done) && set.record.updating.is_empty()
    }

    fn is_within_budget(&self) -> TestCaseResult {
        let ours = self.pods.last().unwrap().iter().filter(|pod| pod.ours).count() as u64;
        prop_assert!(ours <= self.budget, "{ours} of {}", self.budget);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn together_they_keep_the_budget(
        events in prop::collection::vec(event(), 0..120),
        recreates in any::<bool>(),
        budget in 1_u64..4,
    ) {
        let mut world = world(recreates, budget);
        for event in &events {
            world.happens(event);
            world.is_within_budget()?;
        }
        // Left alone, one of them brings every server up to date, and the record is empty again.
        world.planners[1].requests.clear();
        for _ in 0..60 {
            if world.is_done() {
                return Ok(());
            }
            world.happens(&Event::See { who: 0, pods: usize::MAX / 2, sets: usize::MAX / 2 });
            world.happens(&Event::Plan { who: 0, priorities: vec![0; 5], allocated: 0 });
            while !world.planners[0].requests.is_empty() {
                world.happens(&Event::Arrive { who: 0, which: 0 });
                world.is_within_budget()?;
            }
            (0..5).for_each(|id| world.happens(&Event::Nature { id }));
        }
        prop_assert!(false, "never done");
    }
}
