//! The choice of a server, held against a plain description of which servers are free.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// One server as a test describes it, fault by fault.
#[derive(Debug, Clone, Default)]
struct Plain {
    id: u32,
    faults: BTreeSet<usize>,
    priority: u32,
}

/// Everything that can be in the way: what it does to the Pod and the GameServer, and what is said of it.
const FAULTS: [(&str, &str); 17] = [
    ("pod terminating", "it is being deleted"),
    ("server terminating", "it is being deleted"),
    (
        "earlier pod",
        "its GameServer is about an earlier Pod of its name",
    ),
    ("claimed", "it is claimed for deletion (ScaleIn)"),
    ("draining", "it is claimed for deletion (Draining)"),
    ("marked", "it is marked for deletion"),
    ("going", "its id is given up"),
    ("removed", "it belongs to no set"),
    ("pre delete", "its Pod is held in PreparingDelete"),
    ("updating", "its Pod is held in Updating"),
    ("label not ready", "its state is NotReady"),
    ("status creating", "its state is Creating"),
    ("no state", "it has no state yet"),
    ("failed", "it reported that it has failed"),
    ("network disabled", "its network is disabled"),
    ("network waits", "its network is Waiting"),
    ("allocated", "its opsState is Allocated"),
];

fn pod_and_server(plain: &Plain) -> (ObjectMeta, GameServer) {
    let name = format!("arena-{}", plain.id);
    let pod_uid = format!("p{}", plain.id);
    let mut pod = json!({
        "name": name, "uid": pod_uid, "resourceVersion": "7",
        "labels": {
            keys::label::OWNER_GSS: "arena",
            keys::label::GS_STATE: "Ready",
            keys::label::GS_DELETE_PRIORITY: plain.priority.to_string(),
        },
    });
    let owner =
        json!([{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod_uid, "controller": true}]);
    let mut server = json!({
        "metadata": {"name": name, "uid": format!("g{}", plain.id), "ownerReferences": owner,
            "labels": {keys::label::OWNER_GSS: "arena"}},
        "spec": {"opsState": "None"},
        "status": {"currentState": "Ready"},
    });
    for fault in &plain.faults {
        spoil(FAULTS[*fault].0, &pod_uid, &mut pod, &mut server);
    }
    (
        serde_json::from_value(pod).unwrap(),
        serde_json::from_value(server).unwrap(),
    )
}

fn spoil(fault: &str, pod_uid: &str, pod: &mut Value, server: &mut Value) {
    let time = "2026-01-01T00:00:00Z";
    let claim = |reason: &str| json!({"podUID": pod_uid, "reason": reason, "time": time});
    match fault {
        "pod terminating" => pod["deletionTimestamp"] = json!(time),
        "server terminating" => server["metadata"]["deletionTimestamp"] = json!(time),
        "earlier pod" => server["metadata"]["ownerReferences"][0]["uid"] = json!("p-before"),
        "claimed" => server["status"]["deletionClaim"] = claim("ScaleIn"),
        "draining" => server["status"]["deletionClaim"] = claim("Draining"),
        "marked" => server["spec"]["markedForDeletion"] = json!(true),
        "going" => server["metadata"]["labels"][keys::label::GS_DELETING] = json!("true"),
        "removed" => {
            server["metadata"]["labels"] = json!({keys::label::REMOVED_FROM_GSS: "arena"});
            pod["labels"]
                .as_object_mut()
                .unwrap()
                .remove(keys::label::OWNER_GSS);
        }
        "pre delete" => pod["labels"][keys::label::LIFECYCLE_STATE] = json!("PreparingDelete"),
        "updating" => pod["labels"][keys::label::LIFECYCLE_STATE] = json!("Updating"),
        "label not ready" => pod["labels"][keys::label::GS_STATE] = json!("NotReady"),
        "status creating" => server["status"]["currentState"] = json!("Creating"),
        "no state" => server["status"]["currentState"] = json!(""),
        "failed" => server["status"]["reported"] = json!({"podUID": pod_uid, "health": "Failed"}),
        "network disabled" => server["spec"]["networkDisabled"] = json!(true),
        "network waits" => {
            pod["annotations"] = json!({keys::annotation::NETWORK_TYPE: "Kubernetes-HostPort"});
            server["status"]["networkStatus"] = json!({"currentNetworkState": "Waiting"});
        }
        "allocated" => server["spec"]["opsState"] = json!("Allocated"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_server_without_a_fault_is_free_and_each_fault_is_told() {
    let (pod, server) = pod_and_server(&Plain::default());
    assert_eq!(obstacle(&server, Some(&pod)), None);
    assert_eq!(obstacle(&server, None), Some(Obstacle::NoPod));
    for (fault, (name, told)) in FAULTS.iter().enumerate() {
        let plain = Plain {
            faults: [fault].into(),
            ..Plain::default()
        };
        let (pod, server) = pod_and_server(&plain);
        let found = obstacle(&server, Some(&pod)).map(|obstacle| obstacle.to_string());
        assert_eq!(found.as_deref(), Some(*told), "{name}");
    }
}

#[test]
fn a_network_that_is_ready_and_a_failure_of_an_earlier_pod_are_no_obstacles() {
    let (mut pod, mut server) = pod_and_server(&Plain::default());
    let plugin = (
        keys::annotation::NETWORK_TYPE.to_owned(),
        "Kubernetes-HostPort".to_owned(),
    );
    pod.annotations = Some([plugin].into());
    let network = |server: &GameServer| obstacle(server, Some(&pod)).map(|found| found.to_string());
    assert_eq!(network(&server).as_deref(), Some("its network is not ready yet"));
    let status = server.status.get_or_insert_default();
    status.network_status = Some(NetworkStatus {
        current_network_state: Some("Ready".into()),
        ..NetworkStatus::default()
    });
    status.reported = serde_json::from_value(json!({"podUID": "p-before", "health": "Failed"})).unwrap();
    assert_eq!(network(&server), None);
}

#[test]
fn the_selector_asks_for_free_pods_of_the_sets() {
    let free = "game.kruise.io/gs-state=Ready,game.kruise.io/gs-opsState=None";
    let owner = "game.kruise.io/owner-gss";
    assert_eq!(selector(&[]), format!("{owner},{free}"));
    assert_eq!(selector(&["arena".into()]), format!("{owner}=arena,{free}"));
    assert_eq!(
        selector(&["arena".into(), "lobby".into()]),
        format!("{owner} in (arena,lobby),{free}")
    );
}

fn fleet() -> impl Strategy<Value = Vec<Plain>> {
    let faults = prop::collection::btree_set(0..FAULTS.len(), 0..2);
    prop::collection::vec((faults, 0_u32..3), 0..90).prop_map(|servers| {
        let servers = servers.into_iter().enumerate();
        servers
            .map(|(id, (faults, priority))| Plain {
                id: id as u32,
                faults,
                priority,
            })
            .collect()
    })
}

/// Tries candidates as `allocate` does, with a server read for each, and gives the one that is free.
fn allocate(fleet: &[Plain], tried: &mut BTreeSet<String>, mut dice: u64) -> Option<u32> {
    let pods: Vec<ObjectMeta> = fleet.iter().map(|plain| pod_and_server(plain).0).collect();
    let candidates = candidates(pods);
    while let Some(candidate) = choose(&candidates, tried, dice) {
        tried.insert(uid(&candidate.pod).to_owned());
        let id = names::ordinal_of(name(&candidate.pod)).unwrap();
        let (pod, server) = pod_and_server(&fleet[id as usize]);
        if obstacle(&server, Some(&pod)).is_none() {
            return Some(id);
        }
        dice = dice.rotate_left(7).wrapping_add(1);
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the dice say, every free server is given exactly once, nothing else ever, and then nothing.
    #[test]
    fn every_free_server_is_given_once_and_no_other(fleet in fleet(), dice in any::<u64>()) {
        let free: BTreeSet<u32> =
            fleet.iter().filter(|plain| plain.faults.is_empty()).map(|plain| plain.id).collect();
        let mut tried = BTreeSet::new();
        let mut given = Vec::new();
        while let Some(id) = allocate(&fleet, &mut tried, dice.wrapping_add(given.len() as u64)) {
            given.push(id);
        }
        let distinct: BTreeSet<u32> = given.iter().copied().collect();
        prop_assert_eq!(distinct.len(), given.len(), "given twice");
        prop_assert_eq!(distinct, free);
    }

    /// The choice is one of the best: fewer than SPREAD others come before it in the order of a scale-in.
    #[test]
    fn what_is_chosen_is_among_the_best(fleet in fleet(), dice in any::<u64>()) {
        let candidates = candidates(fleet.iter().map(|plain| pod_and_server(plain).0));
        let chosen = choose(&candidates, &BTreeSet::new(), dice);
        prop_assert_eq!(chosen.is_none(), candidates.is_empty());
        if let Some(chosen) = chosen {
            let id = names::ordinal_of(name(&chosen.pod)).unwrap();
            let of = |plain: &Plain| (plain.priority, plain.id);
            let before = candidates.iter().filter(|other| {
                let other = names::ordinal_of(name(&other.pod)).unwrap();
                of(&fleet[other as usize]) < of(&fleet[id as usize])
            });
            prop_assert!(before.count() < SPREAD);
        }
    }
}

#[test]
fn the_dice_reach_each_of_the_best_and_none_beyond() {
    let pods = (0..80).map(|id| {
        pod_and_server(&Plain {
            id,
            ..Plain::default()
        })
        .0
    });
    let candidates = candidates(pods);
    let reached: BTreeSet<&str> = (0..1000)
        .filter_map(|dice| choose(&candidates, &BTreeSet::new(), dice))
        .map(|candidate| name(&candidate.pod))
        .collect();
    assert_eq!(reached.len(), SPREAD);
    assert!(reached.contains("arena-0") && !reached.contains("arena-50"));
}
