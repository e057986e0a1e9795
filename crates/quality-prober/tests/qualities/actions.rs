//! What becomes of a Pod's condition.

use serde_json::{Value, json};

use crate::{
    process::Prober,
    world::{World, entry, eventually, record},
};

fn gates() -> Value {
    json!([{"name": "healthy", "permanent": false, "exec": {"command": ["./probe"]}, "serviceQualityAction": [
        {"state": true, "result": "gate", "opsState": "GateMaintaining"},
        {"state": true, "result": "data", "opsState": "DataMaintaining", "deletionPriority": "{{ if eq .Result \"data\" }}7{{ end }}"},
        {"state": false, "opsState": "None", "labels": {"gs-sync/delete-block": "false"}},
    ]}])
}

#[tokio::test]
async fn a_changed_condition_is_acted_on_once_and_nothing_is_written_at_rest() {
    let world = World::new().await;
    let set = world.set(gates()).await;
    world.server("arena-0", &set, "None").await;
    let process = Prober::actions(&world).await;
    world.says("arena-0", "healthy", "True", "gate|\n").await;
    let server = world.ops_state_until("arena-0", "GateMaintaining").await;
    let record_of_it = &record(&server)["healthy"];
    assert_eq!(
        (&record_of_it["status"], &record_of_it["result"]),
        (&json!("True"), &json!("gate"))
    );
    let shown = world.entry_until("arena-0", "healthy", "True", "gate").await;
    assert_eq!(shown["lastActionTransitionTime"], record_of_it["acted"]);
    assert_eq!(shown["lastProbeTime"], "2026-01-01T00:00:00Z");
    // The allocator's word stays while the result does.
    let allocated = json!({"spec": {"opsState": "Allocated"}});
    world
        .merge(&world.path("gameservers", "arena-0"), &allocated)
        .await;
    let writes = process.writes().await;
    assert_eq!(writes, 2, "one for the server, one for its status");
    world.says("arena-0", "healthy", "True", "data").await;
    let server = world.ops_state_until("arena-0", "DataMaintaining").await;
    assert_eq!(server["spec"]["deletionPriority"], 7);
    world.says("arena-0", "healthy", "False", "").await;
    let server = world.ops_state_until("arena-0", "None").await;
    assert_eq!(server["metadata"]["labels"]["gs-sync/delete-block"], "false");
    assert_eq!(server["spec"]["deletionPriority"], 7);
    world.entry_until("arena-0", "healthy", "False", "").await;
    world
        .event_until("arena-0", "Normal ServiceQualityChanged: healthy is True: data")
        .await;
    world
        .event_until(
            "arena-0",
            "Normal ServiceQualityAction: opsState Allocated to DataMaintaining, deletionPriority to 7",
        )
        .await;
    assert_eq!(process.writes().await, 6);
    world.delete_namespace().await;
}

#[tokio::test]
async fn a_restart_acts_on_nothing_again() {
    let world = World::new().await;
    let set = world.set(gates()).await;
    world.server("arena-0", &set, "None").await;
    let process = Prober::actions(&world).await;
    world.says("arena-0", "healthy", "True", "gate").await;
    world.entry_until("arena-0", "healthy", "True", "gate").await;
    drop(process);
    world
        .merge(
            &world.path("gameservers", "arena-0"),
            &json!({"spec": {"opsState": "Allocated"}}),
        )
        .await;
    // As after a crash between the two writes: acted on, and the status not yet.
    let blank = json!({"status": {"serviceQualitiesConditions": null}});
    let status = format!("{}/status", world.path("gameservers", "arena-0"));
    world.merge(&status, &blank).await;
    let process = Prober::actions(&world).await;
    world.entry_until("arena-0", "healthy", "True", "gate").await;
    assert_eq!(
        world.game_server("arena-0").await["spec"]["opsState"],
        "Allocated"
    );
    assert_eq!(process.writes().await, 1);
    world.delete_namespace().await;
}

#[tokio::test]
async fn a_server_taken_over_from_openkruisegame_is_not_acted_on_again() {
    let world = World::new().await;
    let set = world.set(gates()).await;
    world.server("arena-0", &set, "Allocated").await;
    world.says("arena-0", "healthy", "True", "gate").await;
    // Its entries belong to another writer, one of them to a quality that is no more.
    let status = format!("{}/status", world.path("gameservers", "arena-0"));
    let theirs = json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer", "metadata": {"name": "arena-0"},
        "status": {"serviceQualitiesConditions": [
            {"name": "healthy", "status": "True", "result": "gate", "lastActionTransitionTime": "2025-01-01T00:00:00Z"},
            {"name": "former", "status": "True"}]}});
    world.apply(&status, "manager", &theirs).await;
    let process = Prober::actions(&world).await;
    let former = async || entry(&world.game_server("arena-0").await, "former");
    eventually("the former quality's entry gone", former, Value::is_null).await;
    let server = world.game_server("arena-0").await;
    assert_eq!(
        (&server["spec"]["opsState"], record(&server)),
        (&json!("Allocated"), Value::Null)
    );
    assert_eq!(
        entry(&server, "healthy")["lastActionTransitionTime"],
        "2025-01-01T00:00:00Z"
    );
    assert_eq!(process.writes().await, 1);
    world.delete_namespace().await;
}

#[tokio::test]
async fn a_template_that_cannot_be_used_is_told_and_never_written() {
    let world = World::new().await;
    // `foo` is no function of Go's: admission does not look for it.
    let qualities = json!([{"name": "load", "permanent": false, "exec": {"command": ["x"]}, "serviceQualityAction": [
        {"state": true, "opsState": "{{ foo .Result }}", "updatePriority": 3, "labels": {"a": "{{ .Result }}"}}]}]);
    let set = world.set(qualities).await;
    world.server("arena-0", &set, "None").await;
    let process = Prober::actions(&world).await;
    world
        .event_until(
            "arena",
            "Warning InvalidTemplate: load: \"{{ foo .Result }}\": `foo` is not available",
        )
        .await;
    world.says("arena-0", "load", "True", "not a label").await;
    world.entry_until("arena-0", "load", "True", "not a label").await;
    let server = world.game_server("arena-0").await;
    assert_eq!(
        (&server["spec"]["opsState"], &server["spec"]["updatePriority"]),
        (&json!("None"), &json!(3))
    );
    assert_eq!(server["metadata"]["labels"], Value::Null);
    world
        .event_until("arena-0", "Warning InvalidTemplate: load: opsState")
        .await;
    world
        .event_until(
            "arena-0",
            "Warning InvalidLabelValue: load: a is left as it is: it would be \"not a label\"",
        )
        .await;
    assert_eq!(
        process
            .metric("gamekeeper_reconciles_total", &["outcome=\"error\""])
            .await,
        0
    );
    world.delete_namespace().await;
}

#[tokio::test]
async fn a_server_that_is_being_taken_away_is_not_allocated_and_what_is_refused_is_not_repeated() {
    let world = World::new().await;
    // A quantity that the GameServer's own rules refuse.
    let qualities = json!([
        {"name": "busy", "permanent": false, "exec": {"command": ["x"]}, "serviceQualityAction": [{"state": true, "opsState": "Allocated"}]},
        {"name": "big", "permanent": false, "exec": {"command": ["x"]}, "serviceQualityAction": [
            {"state": true, "containers": [{"name": "game", "resources": {"limits": {"cpu": "much"}}}]}]}]);
    let set = world.set(qualities).await;
    world.server("arena-0", &set, "None").await;
    let status = format!("{}/status", world.path("gameservers", "arena-0"));
    let claim = json!({"podUID": "u", "reason": "ScaleIn", "time": "2026-01-01T00:00:00Z"});
    world
        .merge(&status, &json!({"status": {"deletionClaim": claim}}))
        .await;
    let process = Prober::actions(&world).await;
    world.says("arena-0", "busy", "True", "").await;
    world.entry_until("arena-0", "busy", "True", "").await;
    world.event_until("arena-0", "Warning ServerIsGoing").await;
    world.says("arena-0", "big", "True", "").await;
    world.entry_until("arena-0", "big", "True", "").await;
    world.event_until("arena-0", "Warning ActionRefused").await;
    let server = world.game_server("arena-0").await;
    assert_eq!(server["spec"]["opsState"], "None");
    assert_eq!(record(&server)["big"]["status"], "True");
    assert_eq!(
        process
            .metric("gamekeeper_reconciles_total", &["outcome=\"error\""])
            .await,
        0
    );
    world.delete_namespace().await;
}

/// While the process stands still a result is written and then the server is allocated. Going on, it sees the two in either
/// order: allocated first, the result is newer news and is acted on; the result first, the allocation is somebody's change
/// made meanwhile, and stays. A process of one thread takes in what is there before it works: the second order comes about in odd rounds,
/// where the allocation comes after more changes of another server than one turn of a watch takes in.
#[tokio::test]
async fn an_allocation_made_while_an_action_is_decided_stays() {
    let world = World::new().await;
    let set = world
        .set(
            json!([{"name": "idle", "permanent": false, "exec": {"command": ["x"]}, "serviceQualityAction": [
            {"state": true, "opsState": "WaitToBeDeleted", "annotations": {"seen": "{{ .Result }}"}}]}]),
        )
        .await;
    world.server("arena-0", &set, "None").await;
    world.server("arena-1", &set, "None").await;
    let process = Prober::actions(&world).await;
    let path = world.path("gameservers", "arena-0");
    let other = world.path("gameservers", "arena-1");
    let mut stayed = 0;
    for round in 0..10 {
        let result = format!("round {round}");
        world.merge(&path, &json!({"spec": {"opsState": "None"}})).await;
        process.signal("STOP");
        world.says("arena-0", "idle", "True", &result).await;
        for number in 0..(round % 2 * 300) {
            world
                .merge(
                    &other,
                    &json!({"metadata": {"annotations": {"number": number.to_string()}}}),
                )
                .await;
        }
        world
            .merge(&path, &json!({"spec": {"opsState": "Allocated"}}))
            .await;
        process.signal("CONT");
        world.entry_until("arena-0", "idle", "True", &result).await;
        let server = world.game_server("arena-0").await;
        // The rest of the action is carried out either way, and the result is not looked at again.
        assert_eq!(server["metadata"]["annotations"]["seen"], *result);
        stayed += usize::from(server["spec"]["opsState"] == "Allocated");
    }
    assert!(stayed > 0, "every allocation was undone");
    world
        .event_until(
            "arena-0",
            "Warning ActionYielded: left to whoever changed it at the same time: opsState, now Allocated",
        )
        .await;
    let events = world.events_of("arena-0").await;
    let blind = events.iter().find(|event| event.contains("opsState None to"));
    assert_eq!(blind, None, "an allocation was undone unseen");
    world.delete_namespace().await;
}

#[tokio::test]
async fn what_happened_while_watches_rested_is_acted_on_when_a_set_asks_for_it() {
    let world = World::new().await;
    let set = world.set(json!([])).await;
    let process = Prober::resting_actions(&world).await;
    let resting = async |wanted: u64| {
        for watch in ["watch=\"pods\"", "watch=\"gameservers\""] {
            process
                .metric_until("gamekeeper_watch_resting", &[watch], |now| now == wanted)
                .await;
        }
    };
    resting(1).await;
    world.server("arena-0", &set, "None").await;
    world.says("arena-0", "healthy", "True", "gate").await;
    world.change_set(gates()).await;
    world.ops_state_until("arena-0", "GateMaintaining").await;
    resting(0).await;
    world.change_set(json!([])).await;
    resting(1).await;
    world.delete_namespace().await;
}
