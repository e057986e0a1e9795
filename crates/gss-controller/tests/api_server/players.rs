//! Players keep a server that is to go; marks, failures, and what the set's status says of all this. The tests play game-api.

use std::time::Duration;

use api_types::{GameServer, GameServerSet, GameServerSetStatus};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    process,
    world::{World, condition_of, eventually, name, uid},
};

const EMPTY: &str = "it takes no players any more";

fn draining() -> Value {
    json!({ "players": { "capacity": 10, "drainWhenEmpty": true } })
}

/// A set whose Pods run and have GameServers.
async fn running(world: &World, replicas: u32, spec: Value) -> Vec<Pod> {
    world.set(replicas, spec).await;
    let mut pods = Vec::new();
    for (id, pod) in world.live_when(0..replicas).await {
        world.make_ready(id).await;
        world.game_server(&pod, None, json!({})).await;
        pods.push(pod);
    }
    pods
}

async fn write(world: &World, id: u32, status: Value) -> Result<GameServer, kube::Error> {
    let patch = Patch::Merge(json!({ "status": status }));
    world
        .servers
        .patch_status(&name(id), &PatchParams::default(), &patch)
        .await
}

async fn report(world: &World, pod: &Pod, players: u32) -> Result<GameServer, kube::Error> {
    let id = api_types::names::ordinal_of(&pod.name_any()).unwrap();
    let status =
        json!({ "players": { "count": players }, "reported": { "podUID": uid(pod), "health": "Healthy" } });
    write(world, id, status).await
}

async fn claim_when(world: &World, id: u32, reason: &str) -> GameServer {
    let read = async || world.servers.get(&name(id)).await.unwrap();
    eventually("a deletion claim", read, |found| {
        claim(found).is_some_and(|claim| claim.reason == reason)
    })
    .await
}

fn claim(found: &GameServer) -> Option<&api_types::DeletionClaim> {
    found.status.as_ref()?.deletion_claim.as_ref()
}

fn status(set: &GameServerSet) -> GameServerSetStatus {
    set.status.clone().unwrap_or_default()
}

/// Another change that the controller works through: what came before has been looked at by then.
async fn fence(world: &World, replicas: u32) {
    world.scale(replicas).await;
    world
        .set_when("the change acted on", |set| {
            status(set).observed_generation == set.metadata.generation
                && status(set).replicas == replicas.cast_signed()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_players_goes_with_the_last_one_and_a_new_controller_waits_as_well() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    let pods = running(&world, 3, draining()).await;
    report(&world, &pods[0], 5).await.unwrap();
    report(&world, &pods[1], 2).await.unwrap();
    report(&world, &pods[2], 9).await.unwrap();
    // The one with the fewest players.
    world.scale(2).await;
    let claimed = claim_when(&world, 1, "Draining").await;
    assert_eq!(claim(&claimed).unwrap().empty, None);
    let refused = world.set_ops_state(1, "Allocated").await.unwrap_err();
    assert!(
        refused.to_string().contains("can no longer be allocated"),
        "{refused}"
    );
    world
        .set_when("one that drains", |set| {
            let status = status(set);
            let players = status.players.clone().unwrap_or_default();
            status.draining_replicas == Some(1)
                && status.available_replicas == 2
                && (players.count, players.capacity, players.load_percent) == (14, Some(20), Some(70))
        })
        .await;
    drop(controller);
    let _controller = process::start(&world).await;
    // Growth does not bring it back, and its name is not used.
    fence(&world, 3).await;
    world.live_when([0, 1, 2, 3]).await;
    report(&world, &pods[1], 1).await.unwrap();
    fence(&world, 2).await;
    assert!(world.live().await.contains_key(&1), "a player is on it");
    report(&world, &pods[1], 0).await.unwrap();
    eventually(
        "the Pod gone",
        async || world.pods.get_opt(&name(1)).await.unwrap(),
        |pod| pod.as_ref().is_none_or(|found| uid(found) != uid(&pods[1])),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_on_an_empty_server_and_a_report_of_players_exclude_each_other() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    let mut spec = draining();
    spec["lifecycle"] = json!({ "preDelete": { "labelsHandler": { "gs-sync/delete-block": "true" } } });
    spec["gameServerTemplate"] = json!({ "metadata": { "labels": { "gs-sync/delete-block": "true" } } });
    let pods = running(&world, 1, spec).await;
    world.scale(0).await;
    // Nobody is on it: it is claimed as empty, and then the hook has its say.
    let claimed = claim_when(&world, 0, "ScaleIn").await;
    assert_eq!(claim(&claimed).unwrap().empty, Some(true));
    let refused = report(&world, &pods[0], 1).await.unwrap_err();
    assert!(refused.to_string().contains(EMPTY), "{refused}");
    report(&world, &pods[0], 0).await.unwrap();
    // The other way round.
    let with_players = json!({ "players": { "count": 1 }, "reported": { "podUID": "another" } });
    write(&world, 0, with_players).await.unwrap();
    let other = json!({ "deletionClaim": { "podUID": "another", "reason": "ScaleIn", "time": "2026-01-01T00:00:00Z", "empty": true } });
    let refused = write(&world, 0, other).await.unwrap_err();
    assert!(refused.to_string().contains(EMPTY), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hook_comes_after_the_players_and_the_timeout_ends_the_wait() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    let mut spec = draining();
    spec["players"]["drainTimeoutSeconds"] = json!(3);
    spec["lifecycle"] = json!({ "preDelete": { "labelsHandler": { "gs-sync/delete-block": "true" } } });
    spec["gameServerTemplate"] = json!({ "metadata": { "labels": { "gs-sync/delete-block": "true" } } });
    let pods = running(&world, 1, spec).await;
    report(&world, &pods[0], 4).await.unwrap();
    let begun = Timestamp::now();
    world.scale(0).await;
    claim_when(&world, 0, "Draining").await;
    let state = "lifecycle.apps.kruise.io/state";
    let waiting = world.pods.get(&name(0)).await.unwrap();
    assert_ne!(
        waiting.labels().get(state).map(String::as_str),
        Some("PreparingDelete")
    );
    let prepared = world
        .pod_when(0, |pod| {
            pod.labels()
                .get(state)
                .is_some_and(|value| value == "PreparingDelete")
        })
        .await;
    assert!(
        begun.duration_until(Timestamp::now()).as_secs() >= 2,
        "it waited for its players first"
    );
    assert_eq!(uid(&prepared), uid(&pods[0]));
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "gs-sync/delete-block": "false" } } }));
    world
        .pods
        .patch(&name(0), &PatchParams::default(), &patch)
        .await
        .unwrap();
    world.live_when([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_replaces_servers_with_players_beside_them() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    let mut spec = draining();
    spec["updateStrategy"] = json!({ "rollingUpdate": { "maxUnavailable": "100%" } });
    let pods = running(&world, 2, spec).await;
    report(&world, &pods[1], 6).await.unwrap();
    let containers = json!([{ "name": "game", "image": "game:2" }]);
    world
        .change_set(json!({ "spec": { "gameServerTemplate": { "spec": { "containers": containers } } } }))
        .await;
    claim_when(&world, 1, "Draining").await;
    // 0 has the same name again, 1 stays, and 2 takes its place.
    let image = |pod: &Pod| pod.spec.as_ref().unwrap().containers[0].image.clone();
    world
        .pod_when(0, |pod| image(pod).as_deref() == Some("game:2"))
        .await;
    let live = world.live_when([0, 1, 2]).await;
    assert_eq!(
        (uid(&live[&1]), image(&live[&2]).as_deref()),
        (uid(&pods[1]), Some("game:2"))
    );
    report(&world, &pods[1], 0).await.unwrap();
    world.live_when([0, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_counts_in_every_set_and_waits_for_reported_players() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    let pods = running(&world, 2, json!({})).await;
    report(&world, &pods[1], 1).await.unwrap();
    let mark = Patch::Merge(json!({ "spec": { "markedForDeletion": true } }));
    for id in 0..2 {
        world
            .servers
            .patch(&name(id), &PatchParams::default(), &mark)
            .await
            .unwrap();
    }
    world.pod_when(0, |pod| uid(pod) != uid(&pods[0])).await;
    claim_when(&world, 1, "Draining").await;
    let live = world.live_when([0, 1, 2]).await;
    assert_eq!(uid(&live[&1]), uid(&pods[1]));
    report(&world, &pods[1], 0).await.unwrap();
    world.live_when([0, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_once_and_too_many_need_somebody() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    let policy = json!({ "failurePolicy": { "behavior": "Delete", "maxFailures": 1 } });
    let pods = running(&world, 2, policy).await;
    let failed = |pod: &Pod| json!({ "reported": { "podUID": uid(pod), "health": "Failed" } });
    write(&world, 0, failed(&pods[0])).await.unwrap();
    let second = world.pod_when(0, |pod| uid(pod) != uid(&pods[0])).await;
    let needed = world.condition("NeedsIntervention", "True").await;
    assert_eq!(needed.reason, "TooManyFailures");
    drop(controller);
    let _controller = process::start(&world).await;
    write(&world, 1, failed(&pods[1])).await.unwrap();
    let set = world
        .set_when("the second one counted", |set| {
            status(set).failures.is_some_and(|failures| failures.count == 2)
        })
        .await;
    assert!(condition_of(&set, "NeedsIntervention").unwrap().status == "True");
    // An autoscaler is no intervention.
    fence(&world, 3).await;
    let live = world.live().await;
    assert_eq!((uid(&live[&0]), uid(&live[&1])), (uid(&second), uid(&pods[1])));
    world
        .change_set(json!({ "spec": { "failurePolicy": { "maxFailures": 5 } } }))
        .await;
    world.pod_when(1, |pod| uid(pod) != uid(&pods[1])).await;
    world.condition("NeedsIntervention", "False").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_server_is_taken_out_running_and_its_name_is_free_when_it_is_gone() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    let policy = json!({ "failurePolicy": { "heartbeatTimeoutSeconds": 5 } });
    let pods = running(&world, 2, policy).await;
    let now = Timestamp::now().to_string();
    let heard = json!({ "reported": { "podUID": uid(&pods[0]), "heartbeatAt": now } });
    write(&world, 0, heard).await.unwrap();
    // Nobody writes anything: the time alone tells.
    let live = world.live_when([0, 1, 2]).await;
    let removed = world
        .pod_when(0, |pod| !pod.labels().contains_key("game.kruise.io/owner-gss"))
        .await;
    assert_eq!(uid(&removed), uid(&pods[0]));
    assert_eq!(removed.owner_references().len(), 0);
    assert_eq!(
        removed
            .labels()
            .get("game.kruise.io/removed-from-gss")
            .map(String::as_str),
        Some("arena")
    );
    let record = claim_when(&world, 0, "Removed").await;
    assert!(!record.labels().contains_key("game.kruise.io/owner-gss"));
    assert_eq!(uid(&live[&1]), uid(&pods[1]));
    fence(&world, 3).await;
    world.live_when([0, 1, 2, 3]).await;
    world
        .pods
        .delete(&name(0), &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    world
        .set_when("the controller has seen it", |set| {
            status(set).failures.is_some_and(|it| it.count == 1)
        })
        .await;
    eventually(
        "the Pod gone",
        async || world.pods.get_opt(&name(0)).await.unwrap(),
        Option::is_none,
    )
    .await;
    world.scale(4).await;
    world.live_when([0, 1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_cost_a_status_at_most_every_five_seconds_and_heartbeats_none() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    let pods = running(&world, 2, json!({ "players": { "capacity": 10 } })).await;
    let players = |set: &GameServerSet| status(set).players.map_or(0, |players| players.count);
    report(&world, &pods[0], 1).await.unwrap();
    world.set_when("the first one", |set| players(set) == 1).await;
    let before = controller.writes().await;
    for second in 0..12_u32 {
        let heartbeat = format!("2026-01-01T00:00:{second:02}Z");
        let body = json!({ "players": { "count": 1 + second / 2 }, "reported": { "podUID": uid(&pods[0]), "heartbeatAt": heartbeat } });
        write(&world, 0, body).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    world.set_when("the last one", |set| players(set) == 6).await;
    let written = controller.writes().await - before;
    assert!(written <= 3, "{written} writes for 12 reports in 6 seconds");
}
