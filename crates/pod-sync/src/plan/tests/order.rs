//! Which of two GameServers is the newer one.

use serde_json::json;

use super::{RECORD, planned, written};
use crate::{
    fixture::{pod, server, synced_pod},
    plan::is_behind,
};

#[test]
fn plan_refuses_a_gameserver_older_than_the_one_the_pod_shows() {
    let shown = synced_pod()
        .label("game.kruise.io/gs-opsState", "Allocated")
        .annotation("game.kruise.io/synced-generation", "2")
        .annotation(RECORD, r#"{"podUID":"pod-uid","resourceVersion":"20"}"#);
    assert_eq!(planned(&server().view(), &shown.view()), None);
    assert!(is_behind(&server().view(), &shown.view()));

    // Its state is still told, straight from the Pod; nothing of the old GameServer goes with it.
    let crashed = shown.status(json!({"phase": "Failed"})).view();
    assert_eq!(
        written(planned(&server().view(), &crashed).as_ref())[0],
        "gs-state=Crash"
    );
    assert!(
        !planned(&server().view(), &crashed)
            .unwrap()
            .annotations
            .contains_key(RECORD)
    );
}

#[test]
fn plan_refuses_older_metadata_of_the_same_generation() {
    let shown = synced_pod().annotation("gs-sync/match-id", "m-2").annotation(
        RECORD,
        r#"{"podUID":"pod-uid","resourceVersion":"20","annotations":["gs-sync/match-id"]}"#,
    );
    let older = server().annotation("gs-sync/match-id", "m-1").version(1, 19);
    assert_eq!(planned(&older.view(), &shown.view()), None);
}

#[test]
fn plan_follows_a_gameserver_made_anew_whose_generations_start_again() {
    let shown = synced_pod()
        .label("game.kruise.io/gs-opsState", "Allocated")
        .annotation("game.kruise.io/synced-generation", "9")
        .annotation(RECORD, r#"{"podUID":"pod-uid","resourceVersion":"20"}"#);
    let anew = server().metadata("uid", json!("second-gs")).version(1, 30);
    assert_eq!(
        written(planned(&anew.view(), &shown.view()).as_ref())[0],
        "gs-opsState=None"
    );
}

#[test]
fn plan_knows_no_order_between_clusters() {
    // A Pod restored from a backup: its record names another Pod and a version another cluster counted.
    let restored = synced_pod()
        .label("game.kruise.io/gs-opsState", "Kill")
        .annotation(RECORD, r#"{"podUID":"elsewhere","resourceVersion":"999999"}"#);
    assert_eq!(
        written(planned(&server().view(), &restored.view()).as_ref())[0],
        "gs-opsState=None"
    );
}

#[test]
fn plan_reads_the_birth_generation_only_for_a_gameserver_that_survived() {
    let born = pod()
        .label("game.kruise.io/gs-opsState", "Allocated")
        .annotation("game.kruise.io/synced-generation", "5");
    let survivor = server()
        .owner("GameServerSet", "arena", "set-uid")
        .metadata("creationTimestamp", json!("2026-05-01T00:00:00Z"));
    assert_eq!(
        planned(&survivor.clone().version(4, 20).view(), &born.view()),
        None,
        "older than the birth"
    );
    assert_eq!(
        written(planned(&survivor.version(6, 22).view(), &born.view()).as_ref())[0],
        "gs-opsState=None"
    );
    assert_eq!(
        written(planned(&server().view(), &born.view()).as_ref())[0],
        "gs-opsState=None",
        "younger than the Pod"
    );
}
