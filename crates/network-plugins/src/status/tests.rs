use serde_json::json;

use super::*;
use crate::{
    fixture::{game_server, pod, view},
    plugins::Addresses,
    views::{GameServerView, PodView},
};

fn now(second: u32) -> Timestamp {
    format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60)
        .parse()
        .unwrap()
}

fn ready() -> Report {
    let address = |ip: &str| NetworkAddress {
        ip: ip.to_owned(),
        ..NetworkAddress::default()
    };
    Report {
        addresses: Addresses {
            internal: vec![address("10.0.0.7")],
            external: vec![address("203.0.113.5")],
        },
        ..Report::default()
    }
}

fn because(reason: Reason) -> Report {
    Report::problem(Problem::new(reason, "because"))
}

fn computed(pod: &PodView, server: Option<&GameServerView>, report: &Report, second: u32) -> Writes {
    let observed = Observed {
        pod: Some(pod),
        game_server: server,
        ..Observed::default()
    };
    compute(&observed, report, now(second))
}

/// The server after a write, as the API server stores it.
fn after(writes: &Writes, before: &GameServerView) -> GameServerView {
    let mut body = writes
        .game_server
        .clone()
        .map_or(Value::Null, |body| body["status"].clone());
    if body.is_null() {
        body = json!({"networkStatus": before.network, "conditions": before.condition.iter().collect::<Vec<_>>()});
    }
    game_server(body)
}

#[test]
fn a_new_server_is_not_spoken_of_until_it_is_ready_or_late() {
    let (pod, server) = (view(&pod("x", &[])), game_server(json!({})));
    let waits = because(Reason::WaitingForAddress);
    let silent = computed(&pod, Some(&server), &waits, 4);
    assert_eq!(
        (silent.again, silent.annotation, silent.game_server),
        (Some(6), None, None)
    );
    let late = computed(&pod, Some(&server), &waits, 10);
    assert_eq!(late.again, None);
    assert_eq!(
        late.annotation.unwrap(),
        r#"{"currentNetworkState":"NotReady","createTime":null,"lastTransitionTime":null}"#
    );
    assert!(late.warning.is_none(), "waiting is nothing to be warned of");
    let wrong = computed(&pod, Some(&server), &because(Reason::ParameterError), 0);
    assert_eq!(wrong.warning.unwrap().reason, Reason::ParameterError);
    let node = computed(&pod, Some(&server), &because(Reason::WaitingForNode), 20);
    assert!(node.annotation.unwrap().contains("\"Waiting\""));
}

#[test]
fn what_was_said_is_not_said_again_and_times_move_with_what_they_are_of() {
    let mut object = pod("x", &[]);
    let server = game_server(json!({}));
    let first = computed(&view(&object), Some(&server), &ready(), 3);
    assert_eq!(first.became_ready, Some(3));
    let stored = after(&first, &server);
    object["metadata"]["annotations"]["game.kruise.io/network-status"] = json!(first.annotation.unwrap());
    let pod = view(&object);
    assert_eq!(computed(&pod, Some(&stored), &ready(), 9), Writes::default());

    let gone = computed(&pod, Some(&stored), &because(Reason::WaitingForAddress), 30);
    let network = &gone.game_server.as_ref().unwrap()["status"]["networkStatus"];
    assert_eq!(network["createTime"], "2026-01-01T00:00:03Z");
    assert_eq!(network["lastTransitionTime"], "2026-01-01T00:00:30Z");
    assert_eq!(
        network["externalAddresses"],
        json!([]),
        "emptied by name, whoever wrote it"
    );
    let stored = after(&gone, &stored);
    assert_eq!(stored.condition.as_ref().unwrap().status, "False");

    object["metadata"]["labels"]["game.kruise.io/network-disabled"] = json!("true");
    let disabled = computed(&view(&object), Some(&stored), &because(Reason::Disabled), 40);
    let network = &disabled.game_server.unwrap()["status"]["networkStatus"];
    assert_eq!(
        (&network["desiredNetworkState"], &network["currentNetworkState"]),
        (&json!("NotReady"), &json!("NotReady"))
    );
    assert_eq!(network["lastTransitionTime"], "2026-01-01T00:00:40Z");
    assert!(disabled.warning.is_none());
}

#[test]
fn an_annotation_that_says_the_same_in_other_words_stays() {
    let mut object = pod("x", &[]);
    object["metadata"]["annotations"]["game.kruise.io/network-status"] = json!(
        r#"{"externalAddresses":[{"ip":"203.0.113.5"}],"internalAddresses":[{"ip":"10.0.0.7"}],"currentNetworkState":"Ready","networkType":"x"}"#
    );
    assert_eq!(computed(&view(&object), None, &ready(), 3).annotation, None);
    object["metadata"]["annotations"]["game.kruise.io/network-status"] = json!("not JSON");
    assert!(computed(&view(&object), None, &ready(), 3).annotation.is_some());
}

#[test]
fn the_record_of_an_earlier_pod_is_left_alone() {
    let mut earlier = game_server(json!({}));
    earlier.metadata.owner_references[0].uid = "before".into();
    let writes = computed(&view(&pod("x", &[])), Some(&earlier), &ready(), 3);
    assert!(writes.game_server.is_none() && writes.annotation.is_some());
}

#[test]
fn what_is_taken_back_leaves_no_field() {
    let stored = NetworkStatus {
        network_type: Some("x".into()),
        external_addresses: ready().addresses.external,
        ..NetworkStatus::default()
    };
    assert_eq!(
        nothing(&stored),
        json!({"status": {"networkStatus": {"externalAddresses": []}, "conditions": []}})
    );
}
