use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    fixture::{GameServer, Node, Pod, game_server, node, pod},
    plan::{Label, NodeSeen, Observed, Plan, Policy, plan},
};

const NODES: usize = 3;
const SERVERS: usize = 3;

/// What happens in a cluster, to a node or a server by its number.
#[derive(Debug, Clone)]
enum Event {
    Heartbeat(usize),
    NodeIs(usize, Trouble),
    NodeGone(usize),
    /// A Pod is made, on a node or not yet; gs-controller makes its GameServer, where none outlived the Pod before.
    Born(usize, Option<usize>),
    Bound(usize, usize),
    PodGone(usize),
    /// The set's reclaim policy; it holds for GameServers made from then on.
    Keeps(bool),
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    None,
    NotReady,
    Taint,
    Leaving,
    Address,
}

fn event() -> impl Strategy<Value = Event> {
    let trouble = prop_oneof![
        12 => Just(Trouble::None),
        1 => Just(Trouble::NotReady),
        1 => Just(Trouble::Taint),
        1 => Just(Trouble::Leaving),
        1 => Just(Trouble::Address),
    ];
    prop_oneof![
        2 => (0..NODES).prop_map(Event::Heartbeat),
        4 => (0..NODES, trouble).prop_map(|(node, trouble)| Event::NodeIs(node, trouble)),
        1 => (0..NODES).prop_map(Event::NodeGone),
        4 => (0..SERVERS, proptest::option::of(0..NODES)).prop_map(|(server, node)| Event::Born(server, node)),
        3 => (0..SERVERS, 0..NODES).prop_map(|(server, node)| Event::Bound(server, node)),
        2 => (0..SERVERS).prop_map(Event::PodGone),
        1 => any::<bool>().prop_map(Event::Keeps),
    ]
}

#[derive(Default)]
struct World {
    nodes: [Option<Node>; NODES],
    pods: [Option<Pod>; SERVERS],
    records: [Option<GameServer>; SERVERS],
    keeps: bool,
    born: usize,
}

fn name(node: usize) -> String {
    format!("node-{node}")
}

impl World {
    /// Lets an event happen; gives whether a watch that goes on tells of it in a way that ends the rest.
    fn happens(&mut self, event: &Event) -> bool {
        match *event {
            Event::Heartbeat(node) => self.nodes[node].as_ref().is_some_and(|it| is_news(&it.view())),
            Event::NodeIs(number, trouble) => {
                let well = node(&name(number));
                let now = match trouble {
                    Trouble::None => well,
                    Trouble::NotReady => well.condition("Ready", "Unknown", "NodeStatusUnknown"),
                    Trouble::Taint => well.taint("maintenance", "", "NoExecute"),
                    Trouble::Leaving => well.terminating(),
                    Trouble::Address => well.address("ExternalIP", "203.0.113.7"),
                };
                self.nodes[number] = Some(now);
                self.nodes[number].as_ref().is_some_and(|it| is_news(&it.view()))
            }
            Event::NodeGone(number) => self.nodes[number].take().is_some(),
            Event::Born(server, on) => self.is_born(server, on),
            Event::Bound(server, on) => {
                // A scheduler binds to what is there.
                if self.nodes[on].is_some()
                    && let Some(unbound) = self.pods[server].take_if(|pod| pod.view().node_name.is_none())
                {
                    self.pods[server] = Some(unbound.on(&name(on)));
                }
                false
            }
            Event::PodGone(server) => {
                if self.pods[server].take().is_some() {
                    // The garbage collector's.
                    self.records[server].take_if(|record| !is_kept(record));
                }
                false
            }
            Event::Keeps(keeps) => {
                self.keeps = keeps;
                keeps
            }
        }
    }

    fn is_born(&mut self, server: usize, on: Option<usize>) -> bool {
        let on = on.filter(|on| self.nodes[*on].is_some());
        if self.pods[server].is_some() {
            return false;
        }
        self.born += 1;
        let uid = format!("pod-{}", self.born);
        let new = pod().uid(&uid);
        self.pods[server] = Some(on.map_or_else(|| new.clone().unbound(), |on| new.clone().on(&name(on))));
        if self.records[server].is_some() {
            return false;
        }
        let record = game_server().edit(|it| {
            it["metadata"]["ownerReferences"][0]["uid"] = json!(uid);
            it["metadata"]["labels"] =
                on.map_or_else(|| json!({}), |on| json!({"game.kruise.io/node-name": name(on)}));
        });
        self.records[server] = Some(if self.keeps { record.owned_by_set() } else { record });
        // That it has no label is told by the watch of those.
        on.is_none()
    }

    fn plans(&self) -> Vec<Plan> {
        (0..SERVERS).map(|server| self.plan(server)).collect()
    }

    fn plan(&self, server: usize) -> Plan {
        let pod = self.pods[server].as_ref().map(Pod::view);
        let record = self.records[server].as_ref().map(GameServer::view);
        let on = pod.as_ref().and_then(|pod| pod.node_name.clone());
        let node = on.as_ref().and_then(|on| {
            self.nodes
                .iter()
                .flatten()
                .map(Node::view)
                .find(|it| it.metadata.name == *on)
        });
        let observed = Observed {
            pod: pod.as_ref(),
            game_server: record.as_ref(),
            node: match (&on, &node) {
                (None, _) => NodeSeen::Unbound,
                (Some(_), None) => NodeSeen::Missing(Duration::from_secs(9)),
                (Some(_), Some(node)) => NodeSeen::There(node),
            },
        };
        let policy = Policy {
            patience: Duration::from_secs(3),
            report_normal: false,
        };
        plan(&observed, &policy, "2026-01-01T00:00:00Z")
    }

    /// Writes what is planned, as the controller does while it is awake.
    fn catch_up(&mut self) {
        for (server, plan) in self.plans().into_iter().enumerate() {
            if let Some(record) = self.records[server].take() {
                self.records[server] = Some(record.edit(|it| {
                    match &plan.label {
                        Some(Label::Set(node)) => {
                            it["metadata"]["labels"]["game.kruise.io/node-name"] = json!(node);
                        }
                        Some(Label::Remove) => panic!("no node has so long a name"),
                        None => {}
                    }
                    if let Some(condition) = &plan.condition {
                        it["status"]["conditions"] = json!([condition]);
                    }
                    if let Some(address) = &plan.address {
                        it["status"]["publicIP"] = json!(address.public_ip);
                    }
                }));
            }
        }
    }

    /// Whether a rest may begin.
    fn is_settled(&self) -> bool {
        let on_nothing = self.pods.iter().flatten().map(Pod::view).any(|pod| {
            let there = |on: &String| {
                self.nodes
                    .iter()
                    .flatten()
                    .any(|node| node.view().metadata.name == *on)
            };
            pod.node_name.as_ref().is_some_and(|on| !there(on))
        });
        !self.keeps
            && !on_nothing
            && !self.nodes.iter().flatten().any(|node| is_news(&node.view()))
            && !self
                .records
                .iter()
                .flatten()
                .map(GameServer::view)
                .any(|record| record.node_label.is_none() || outlives_its_pod(&record))
    }
}

fn is_kept(record: &GameServer) -> bool {
    record.0["metadata"]["ownerReferences"][0]["kind"] == "GameServerSet"
}

proptest! {
    #[test]
    fn whoever_rests_misses_nothing(events in proptest::collection::vec(event(), 1..80)) {
        let mut world = World::default();
        for number in 0..NODES {
            world.happens(&Event::NodeIs(number, Trouble::None));
        }
        let (mut rests, mut rested) = (false, 0);
        for (number, event) in events.iter().enumerate() {
            rests &= !world.happens(event);
            if rests {
                rested += 1;
                for plan in world.plans() {
                    prop_assert!(!plan.writes(), "{plan:?} after event {number} of {events:?}");
                }
            } else {
                world.catch_up();
                rests = world.is_settled();
            }
        }
        prop_assume!(rested > 0 || events.len() < 20);
    }
}

#[test]
fn what_asks_for_attention_and_what_does_not() {
    let well = || node("node-1").address("InternalIP", "10.0.0.1");
    assert!(!is_news(&well().view()));
    assert!(!is_news(&well().taint("dedicated", "games", "NoSchedule").view()));
    assert!(is_news(
        &well().condition("Ready", "False", "KubeletNotReady").view()
    ));
    assert!(is_news(&well().taint("maintenance", "", "NoExecute").view()));
    assert!(is_news(&well().terminating().view()));
    assert!(is_news(&well().address("ExternalIP", "203.0.113.7").view()));

    assert!(!outlives_its_pod(&game_server().view()));
    assert!(outlives_its_pod(&game_server().owned_by_set().view()));
    let by_hand = game_server().edit(|it| it["metadata"]["ownerReferences"] = json!([]));
    assert!(outlives_its_pod(&by_hand.view()));
}
