use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{GameServer, Node, Pod, game_server, node, pod};

const NOW: &str = "2026-05-04T03:02:01Z";
const POLICY: Policy = Policy {
    patience: Duration::from_secs(3),
    report_normal: false,
};

/// Plans with a node that is there.
fn there(pod: &Pod, game_server: &GameServer, node: &Node) -> Plan {
    at(pod, game_server, NodeSeen::There(&node.view()), &POLICY)
}

fn at(pod: &Pod, game_server: &GameServer, node: NodeSeen<'_>, policy: &Policy) -> Plan {
    let (pod, game_server) = (pod.view(), game_server.view());
    let observed = Observed {
        pod: Some(&pod),
        game_server: Some(&game_server),
        node,
    };
    plan(&observed, policy, NOW)
}

#[test]
fn a_newborn_server_on_a_node_that_is_well_costs_nothing() {
    assert!(!there(&pod(), &game_server(), &node("node-1")).writes());
}

#[test]
fn the_external_address_is_written_once_and_goes_with_the_node() {
    let outside = node("node-1")
        .address("InternalIP", "10.0.0.1")
        .address("ExternalIP", "203.0.113.7");
    let address = there(&pod(), &game_server(), &outside).address.unwrap();
    assert_eq!(
        (address.public_ip.as_deref(), address.condition),
        (Some("203.0.113.7"), None)
    );
    let told = |server: GameServer| server.edit(|it| it["status"]["publicIP"] = json!("203.0.113.7"));
    assert!(!there(&pod(), &told(game_server()), &outside).writes());
    let inside = node("node-1").address("InternalIP", "10.0.0.1");
    assert!(
        !there(&pod(), &game_server(), &inside).writes(),
        "its host IP is in podStatus"
    );
    let gone = there(&pod(), &told(game_server()), &inside).address.unwrap();
    assert_eq!(gone.public_ip, None);
    let missing = NodeSeen::Missing(Duration::from_secs(9));
    let lost = at(&pod(), &told(game_server()), missing, &POLICY);
    assert_eq!(
        lost.address.unwrap().public_ip.as_deref(),
        Some("203.0.113.7"),
        "sent again with the condition"
    );
    let ill = told(game_server()).condition("False", "Ready:NodeStatusUnknown");
    let moved = at(&pod(), &ill, NodeSeen::Unbound, &POLICY);
    assert_eq!(moved.address.unwrap().public_ip, None);
}

#[test]
fn report_normal_writes_the_condition_of_every_bound_server_once() {
    let policy = Policy {
        report_normal: true,
        ..POLICY
    };
    let well = node("node-1").view();
    let plan = at(&pod(), &game_server(), NodeSeen::There(&well), &policy);
    assert_eq!(plan.condition.unwrap().status, "True");
    assert_eq!(plan.warning, None);
    let told = game_server().condition("True", "");
    assert!(!at(&pod(), &told, NodeSeen::There(&well), &policy).writes());
    assert!(!at(&pod().unbound(), &game_server(), NodeSeen::Unbound, &policy).writes());
}

#[test]
fn a_node_that_turns_bad_is_a_condition_and_a_warning_and_one_that_recovers_a_condition() {
    let bad = node("node-1").condition("Ready", "Unknown", "NodeStatusUnknown");
    let plan = there(&pod(), &game_server(), &bad);
    let condition = plan.condition.unwrap();
    assert_eq!(condition.reason.as_deref(), Some("Ready:NodeStatusUnknown"));
    assert_eq!(condition.last_transition_time.as_deref(), Some(NOW));
    assert_eq!(plan.warning.unwrap().alarm, Alarm::NotReady);

    let recovered = there(
        &pod(),
        &game_server().condition("False", "Ready:NodeStatusUnknown"),
        &node("node-1"),
    );
    let condition = recovered.condition.unwrap();
    assert_eq!((condition.status.as_str(), condition.reason), ("True", None));
    assert_eq!(recovered.warning, None);
}

#[test]
fn more_trouble_changes_the_condition_without_another_warning() {
    let bad = node("node-1").condition("MemoryPressure", "True", "Low");
    let plan = there(
        &pod(),
        &game_server().condition("False", "Ready:NodeStatusUnknown"),
        &bad,
    );
    assert_eq!(
        plan.condition.unwrap().reason.as_deref(),
        Some("MemoryPressure:Low")
    );
    assert_eq!(plan.warning, None);
}

#[test]
fn a_missing_node_is_a_condition_after_a_while_and_never_an_error() {
    let early = at(
        &pod(),
        &game_server(),
        NodeSeen::Missing(Duration::from_secs(1)),
        &POLICY,
    );
    assert_eq!(
        (early.writes(), early.again),
        (false, Some(Duration::from_secs(2)))
    );
    let late = at(
        &pod(),
        &game_server().condition("False", "Ready:NodeStatusUnknown"),
        NodeSeen::Missing(POLICY.patience),
        &POLICY,
    );
    assert_eq!(late.condition.unwrap().reason.as_deref(), Some("NodeNotFound"));
    assert_eq!(late.warning.unwrap().alarm, Alarm::NotFound);
    assert_eq!(late.again, None);
}

#[test]
fn a_node_that_is_being_deleted_is_not_normal() {
    let plan = there(&pod(), &game_server(), &node("node-1").terminating());
    assert_eq!(plan.warning.unwrap().alarm, Alarm::Terminating);
}

#[test]
fn the_label_follows_the_binding() {
    let moved = there(&pod().on("node-2"), &game_server(), &node("node-2"));
    assert_eq!(moved.label, Some(Label::Set("node-2".into())));
    let unlabelled = game_server().edit(|it| it["metadata"]["labels"] = json!({}));
    assert_eq!(
        there(&pod(), &unlabelled, &node("node-1")).label,
        Some(Label::Set("node-1".into()))
    );
    assert_eq!(
        at(&pod().unbound(), &game_server(), NodeSeen::Unbound, &POLICY).label,
        None
    );
    // The label does not wait for a node that is not seen yet.
    let unseen = at(
        &pod().on("node-2"),
        &game_server(),
        NodeSeen::Missing(Duration::ZERO),
        &POLICY,
    );
    assert_eq!(unseen.label, Some(Label::Set("node-2".into())));
}

#[test]
fn a_name_no_label_can_hold_leaves_no_label_behind() {
    let (fits, long) = ("a".repeat(63), "a".repeat(64));
    assert_eq!(
        there(&pod().on(&fits), &game_server(), &node(&fits)).label,
        Some(Label::Set(fits))
    );
    let plan = there(&pod().on(&long), &game_server(), &node(&long));
    assert_eq!(plan.label, Some(Label::Remove));
    let unlabelled = game_server().edit(|it| it["metadata"]["labels"] = json!({}));
    assert_eq!(there(&pod().on(&long), &unlabelled, &node(&long)).label, None);
    // The condition still names it in full.
    let bad = node(&long).condition("Ready", "False", "Down");
    let message = there(&pod().on(&long), &unlabelled, &bad)
        .condition
        .unwrap()
        .message
        .unwrap();
    assert!(message.contains(&long), "{message}");
}

#[test]
fn a_record_of_an_earlier_pod_or_one_that_goes_is_left_alone() {
    let bad = node("node-2").condition("Ready", "False", "Down");
    let successor = pod().uid("next").on("node-2");
    assert_eq!(there(&successor, &game_server(), &bad), Plan::default());
    let going = game_server().edit(|it| it["metadata"]["deletionTimestamp"] = json!(NOW));
    assert_eq!(there(&pod().on("node-2"), &going, &bad), Plan::default());
    // A record that outlives its Pods speaks for each of them.
    assert!(there(&successor, &game_server().owned_by_set(), &bad).writes());
}

#[test]
fn a_pod_that_is_not_bound_clears_the_trouble_of_the_node_before() {
    let stored = game_server().owned_by_set().condition("False", "NodeNotFound");
    let plan = at(&pod().unbound(), &stored, NodeSeen::Unbound, &POLICY);
    assert_eq!(plan.condition.unwrap().status, "True");
}

/// Something that happens to a server or its node.
#[derive(Clone, Debug)]
enum Step {
    Condition(&'static str, &'static str),
    Taint(bool),
    Tolerate(bool),
    Delete,
    Finish,
    Return,
    Move(&'static str),
    Heartbeat,
    Foreign(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let type_ = prop::sample::select(vec![
        "Ready",
        "KernelReady",
        "SufficientIP",
        "MemoryPressure",
        "Frozen",
    ]);
    let status = prop::sample::select(vec!["True", "False", "Unknown"]);
    prop_oneof![
        6 => (type_, status).prop_map(|(type_, status)| Step::Condition(type_, status)),
        1 => any::<bool>().prop_map(Step::Taint),
        1 => any::<bool>().prop_map(Step::Tolerate),
        1 => Just(Step::Delete),
        1 => Just(Step::Finish),
        2 => Just(Step::Return),
        1 => prop::sample::select(vec!["node-1", "node-2", ""]).prop_map(Step::Move),
        3 => Just(Step::Heartbeat),
        1 => prop::sample::select(vec!["True", "False"]).prop_map(Step::Foreign),
    ]
}

/// The world as raw objects, and what the rules say about it without the code under test.
struct World {
    pod: Pod,
    node: Option<Node>,
    game_server: GameServer,
}

impl World {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Condition(type_, status) => self.on_node(|node| node.condition(type_, status, "Because")),
            Step::Taint(true) => self.on_node(|node| node.taint("maintenance", "", "NoExecute")),
            Step::Taint(false) => self.on_node(|mut node| {
                node.0["spec"]["taints"] = json!([]);
                node
            }),
            Step::Tolerate(true) => self.pod = self.pod.clone().tolerating("maintenance"),
            Step::Tolerate(false) => self.pod.0["spec"]["tolerations"] = json!([]),
            Step::Delete => self.on_node(Node::terminating),
            Step::Finish => self.node = None,
            Step::Return => self.node = Some(node(self.bound().unwrap_or("node-1"))),
            Step::Move("") => self.pod = self.pod.clone().unbound(),
            Step::Move(name) => self.pod = self.pod.clone().on(name),
            Step::Heartbeat => self.on_node(|mut node| {
                node.0["status"]["conditions"][0]["lastHeartbeatTime"] = json!(NOW);
                node
            }),
            Step::Foreign(status) => {
                self.game_server = self.game_server.clone().condition(status, "Somebody");
            }
        }
    }

    fn on_node(&mut self, change: impl FnOnce(Node) -> Node) {
        self.node = self.node.take().map(change);
    }

    fn bound(&self) -> Option<&str> {
        self.pod.0["spec"]["nodeName"].as_str()
    }

    /// Whether the node of the Pod is well, read from the raw objects.
    fn is_well(&self) -> bool {
        if self.bound().is_none() {
            return true;
        }
        let Some(node) = &self.node else { return false };
        let conditions = node.0["status"]["conditions"].as_array().unwrap();
        let right = |condition: &Value| match condition["type"].as_str().unwrap() {
            "Ready" | "KernelReady" | "SufficientIP" => condition["status"] == "True",
            _ => condition["status"] == "False",
        };
        let tainted = node.0["spec"]["taints"]
            .as_array()
            .is_some_and(|taints| !taints.is_empty());
        let tolerates = self.pod.0["spec"]["tolerations"]
            .as_array()
            .is_some_and(|it| !it.is_empty());
        node.0["metadata"].get("deletionTimestamp").is_none()
            && conditions.iter().all(right)
            && (!tainted || tolerates)
    }

    fn plan(&self) -> Plan {
        let view = self.node.as_ref().map(Node::view);
        let seen = match (&view, self.bound()) {
            (_, None) => NodeSeen::Unbound,
            (Some(node), _) => NodeSeen::There(node),
            (None, _) => NodeSeen::Missing(POLICY.patience),
        };
        at(&self.pod, &self.game_server, seen, &POLICY)
    }

    /// Does what the API server would do with the writes of a plan.
    fn write(&mut self, plan: &Plan) {
        match &plan.label {
            Some(Label::Set(name)) => {
                self.game_server.0["metadata"]["labels"]["game.kruise.io/node-name"] = json!(name);
            }
            Some(Label::Remove) => self.game_server.0["metadata"]["labels"] = json!({}),
            None => {}
        }
        if let Some(condition) = &plan.condition {
            self.game_server.0["status"]["conditions"] = json!([condition]);
        }
    }

    fn stored(&self) -> Option<bool> {
        let conditions = self.game_server.0["status"]["conditions"].as_array()?;
        let condition = conditions.iter().find(|it| it["type"] == "NodeNormal")?;
        Some(condition["status"] == "True")
    }
}

proptest! {
    /// Whatever happened: one write makes the record right, a second look writes nothing, a warning comes with a turn to
    /// False (or a node that is gone), and a heartbeat alone never writes.
    #[test]
    fn one_write_makes_the_record_right(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World { pod: pod(), node: Some(node("node-1")), game_server: game_server().owned_by_set() };
        for step in steps {
            let settled = !world.plan().writes();
            world.take(&step);
            let plan = world.plan();
            if matches!(step, Step::Heartbeat) && settled {
                prop_assert!(!plan.writes(), "a heartbeat wrote {plan:?}");
            }
            let before = world.stored();
            world.write(&plan);
            let well = world.is_well();
            prop_assert_eq!(world.stored().unwrap_or(true), well, "after {:?}: {:?}", step, plan);
            prop_assert!(!well || before.is_some() || world.stored().is_none(), "wrote what nobody asked: {:?}", plan);
            prop_assert_eq!(plan.warning.is_some(),
                plan.condition.is_some() && !well && (before != Some(false) || world.node.is_none()));
            let label = world.game_server.0["metadata"]["labels"]["game.kruise.io/node-name"].as_str();
            prop_assert!(world.bound().is_none_or(|bound| label == Some(bound)));
            prop_assert!(!world.plan().writes(), "a second look writes again: {:?}", world.plan());
        }
    }
}
