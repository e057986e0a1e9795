//! Evictions, drains and deletions by others, with the real API server and the real disruption controller.

use api_types::DeletionClaim;
use k8s_openapi::api::{core::v1::Pod, policy::v1::PodDisruptionBudget};
use kube::{
    Api,
    api::{DeleteParams, EvictParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    process,
    world::{World, condition_of, eventually, holding, name, uid},
};

const BUDGET: &str = "agones-gameserver-safe-to-evict-false";
const LABEL: &str = "agones.dev/safe-to-evict";

fn budgets(world: &World) -> Api<PodDisruptionBudget> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

fn safe(value: &str) -> Value {
    json!({ "eviction": { "safe": value } })
}

/// What the API server answers to an eviction: 201 it evicts, 429 a budget refuses, 500 it cannot tell.
async fn evict(world: &World, id: u32) -> u16 {
    let pods: Api<Pod> = Api::namespaced(test_bed::client_without_retries().await, &world.namespace);
    match pods.evict(&name(id), &EvictParams::default()).await {
        Ok(_) => 201,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    }
}

/// Waits until the disruption controller has counted these Pods as healthy under the budget.
async fn counted(world: &World, budget: &str, healthy: i32) -> PodDisruptionBudget {
    let all = budgets(world);
    let read = async || all.get_opt(budget).await.unwrap();
    let seen = |found: &Option<PodDisruptionBudget>| {
        let status = found.as_ref().and_then(|found| found.status.as_ref());
        status.is_some_and(|status| status.current_healthy == healthy)
    };
    eventually("the budget's count", read, seen).await.unwrap()
}

async fn made_by_user(world: &World, budget: &str, spec: Value) {
    let object = json!({ "metadata": { "name": budget }, "spec": spec });
    budgets(world)
        .create(&PostParams::default(), &serde_json::from_value(object).unwrap())
        .await
        .unwrap();
}

async fn claim_when(
    world: &World,
    id: u32,
    what: &str,
    wanted: impl Fn(Option<&DeletionClaim>) -> bool,
) -> Option<DeletionClaim> {
    let read = async || {
        let server = world.servers.get(&name(id)).await.unwrap();
        server.status.and_then(|status| status.deletion_claim)
    };
    eventually(what, read, |claim| wanted(claim.as_ref())).await
}

async fn gone(world: &World, budget: &str) {
    let all = budgets(world);
    let read = async || all.get_opt(budget).await.unwrap();
    eventually("the end of the budget", read, Option::is_none).await;
}

// All of the table but the cluster autoscaler, who reads the annotation.
#[tokio::test(flavor = "multi_thread")]
async fn each_value_is_on_the_pods_and_in_what_the_eviction_api_answers() {
    const ANNOTATION: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
    for (value, annotation, label, answer) in [
        ("Never", "false", "false", 429),
        ("OnUpgrade", "false", "true", 201),
        ("Always", "true", "true", 201),
    ] {
        let world = World::new().await;
        let _controller = process::start(&world).await;
        world.set(2, safe(value)).await;
        let pods = world.live_when(0..2).await;
        for pod in pods.values() {
            let (labels, annotations) = (&pod.metadata.labels, &pod.metadata.annotations);
            assert_eq!(labels.as_ref().unwrap()[LABEL], label, "{value}");
            assert_eq!(annotations.as_ref().unwrap()[ANNOTATION], annotation, "{value}");
        }
        for id in [0, 1] {
            world.make_ready(id).await;
        }
        if answer == 429 {
            let budget = counted(&world, BUDGET, 2).await;
            let selector = budget.spec.unwrap().selector.unwrap();
            assert_eq!(selector.match_labels.unwrap()[LABEL], "false");
            assert_eq!(selector.match_expressions, None);
        } else {
            assert!(budgets(&world).get_opt(BUDGET).await.unwrap().is_none());
        }
        assert_eq!(evict(&world, 1).await, answer, "{value}");
    }
}

// The state in which a budget that counts lets go: more Pods than replicas. First that it does, then that ours does not.
#[tokio::test(flavor = "multi_thread")]
async fn the_budget_holds_while_there_are_more_pods_than_replicas() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    let by_set = json!({ "matchLabels": { "game.kruise.io/owner-gss": "arena" } });
    // As Agones' chart has it.
    made_by_user(
        &world,
        "counting",
        json!({ "selector": by_set, "maxUnavailable": "0%" }),
    )
    .await;
    let hook = json!({
        "lifecycle": { "preDelete": { "labelsHandler": { "block": "true" } } },
        "gameServerTemplate": { "metadata": { "labels": { "block": "true" } } },
    });
    world.set(3, hook).await;
    world.live_when(0..3).await;
    for id in 0..3 {
        world.make_ready(id).await;
    }
    let read = async || budgets(&world).get("counting").await.unwrap().status.unwrap();
    eventually("three are expected", read, |status| status.expected_pods == 3).await;
    assert_eq!(evict(&world, 0).await, 429);
    let advice = world.condition("EvictionAdvice", "True").await;
    assert_eq!(advice.reason, "WeakBudget");
    assert!(
        budgets(&world).get_opt(BUDGET).await.unwrap().is_none(),
        "doubled"
    );

    // Two are told to go and held by their hook; players may still be on the third, and on them.
    world.scale(1).await;
    world
        .set_when("two are held", |set| {
            let status = set.status.as_ref();
            status.is_some_and(|status| status.pre_delete_replicas == Some(2))
        })
        .await;
    let status = eventually("one is expected", read, |status| status.expected_pods == 1).await;
    assert_eq!(status.disruptions_allowed, 2, "it lets two of three go, any two");
    let staying = uid(&world.live().await[&0]);
    assert_eq!(evict(&world, 0).await, 201, "the one that stays, too");
    world.pod_when(0, |pod| uid(pod) != staying).await;
    world.make_ready(0).await;

    budgets(&world)
        .delete("counting", &DeleteParams::default())
        .await
        .unwrap();
    let ours = counted(&world, BUDGET, 3).await;
    assert_eq!(ours.status.unwrap().disruptions_allowed, 0);
    for id in 0..3 {
        assert_eq!(evict(&world, id).await, 429);
    }
    // One that is not ready, as during an update in place: a budget that counts lets it go when enough others are.
    let not_ready =
        json!([{ "type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z" }]);
    world
        .pod_status(0, json!({ "phase": "Running", "conditions": not_ready }))
        .await;
    counted(&world, BUDGET, 2).await;
    assert_eq!(evict(&world, 0).await, 429);
    world.condition("EvictionAdvice", "False").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_not_ready_is_let_go_by_a_budget_that_counts() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world.set(3, json!({})).await;
    world.live_when(0..3).await;
    for id in 0..3 {
        world.make_ready(id).await;
    }
    let by_set = json!({ "matchLabels": { "game.kruise.io/owner-gss": "arena" } });
    made_by_user(
        &world,
        "counting",
        json!({ "selector": by_set, "minAvailable": 2 }),
    )
    .await;
    gone(&world, BUDGET).await;
    let not_ready =
        json!([{ "type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z" }]);
    world
        .pod_status(0, json!({ "phase": "Running", "conditions": not_ready }))
        .await;
    counted(&world, "counting", 2).await;
    assert_eq!(evict(&world, 1).await, 429);
    assert_eq!(
        evict(&world, 0).await,
        201,
        "it is being updated, and its players are on it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_comes_and_goes_with_the_sets_that_need_it() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world.set(1, safe("WhenIdle")).await;
    counted(&world, BUDGET, 0).await;
    world.change_set(json!({ "spec": safe("Always") })).await;
    gone(&world, BUDGET).await;
    world.change_set(json!({ "spec": { "eviction": null } })).await;
    counted(&world, BUDGET, 0).await;
    // Weakened by hand, and put back.
    let weaker = json!({ "spec": { "minAvailable": 0, "selector": { "matchLabels": { "a": "b" } } } });
    budgets(&world)
        .patch(BUDGET, &PatchParams::default(), &Patch::Merge(weaker))
        .await
        .unwrap();
    let read = async || serde_json::to_value(budgets(&world).get(BUDGET).await.unwrap().spec).unwrap();
    let whole = json!({ "minAvailable": i32::MAX, "selector": { "matchLabels": { LABEL: "false" } } });
    eventually("the budget as it was", read, |spec| *spec == whole).await;
    world
        .sets
        .delete("arena", &DeleteParams::default())
        .await
        .unwrap();
    gone(&world, BUDGET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_installations_default_is_what_sets_mean_that_say_nothing() {
    let world = World::new().await;
    let flags = ["--leader-elect=false", "--default-eviction", "OnUpgrade"];
    let _controller = process::start_with(&world, &world.kubeconfig, &flags).await;
    world.set(1, json!({})).await;
    let pods = world.live_when(0..1).await;
    assert_eq!(pods[&0].metadata.labels.as_ref().unwrap()[LABEL], "true");
    let advice = world.condition("EvictionAdvice", "True").await;
    assert_eq!(advice.reason, "GracePeriod");
    assert!(budgets(&world).get_opt(BUDGET).await.unwrap().is_none());
}

// 500 is what Kubernetes answers where two budgets are about one Pod.
#[tokio::test(flavor = "multi_thread")]
async fn two_budgets_on_one_pod_are_told_of_and_ours_is_never_the_second() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world.set(1, json!({})).await;
    world.live_when(0..1).await;
    world.make_ready(0).await;
    counted(&world, BUDGET, 1).await;
    let by_set = json!({ "matchLabels": { "game.kruise.io/owner-gss": "arena" } });
    made_by_user(
        &world,
        "one",
        json!({ "selector": by_set, "minAvailable": i32::MAX }),
    )
    .await;
    gone(&world, BUDGET).await;
    counted(&world, "one", 1).await;
    assert_eq!(evict(&world, 0).await, 429);
    let set = world.sets.get("arena").await.unwrap();
    assert!(condition_of(&set, "EvictionAdvice").is_none_or(|found| found.status == "False"));

    made_by_user(&world, "two", json!({ "selector": by_set, "minAvailable": 1 })).await;
    assert_eq!(evict(&world, 0).await, 500);
    let advice = world.condition("EvictionAdvice", "True").await;
    assert_eq!(advice.reason, "BudgetConflict");
    assert!(advice.message.contains("one and two"), "{}", advice.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_others_take_is_claimed_at_once_and_cannot_be_allocated() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    let mut spec = holding();
    spec["eviction"] = json!({ "safe": "Always" });
    world.set(3, spec).await;
    let pods = world.live_when(0..3).await;
    for (id, pod) in &pods {
        world.game_server(pod, None, json!({})).await;
        world.make_ready(*id).await;
    }
    world.set_ops_state(2, "Allocated").await.unwrap();

    assert_eq!(evict(&world, 0).await, 201);
    world
        .pods
        .delete("arena-1", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(evict(&world, 2).await, 201);
    for (id, reason) in [(0, "Evicted"), (1, "Deleted"), (2, "Evicted")] {
        let claim = claim_when(&world, id, "claim", |claim| claim.is_some())
            .await
            .unwrap();
        assert_eq!((claim.reason.as_str(), claim.pod_uid), (reason, uid(&pods[&id])));
    }
    for id in [0, 1] {
        let refused = world
            .set_ops_state(id, "Allocated")
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("can no longer be allocated"), "{refused}");
    }
    // Whose allocation came first keeps it while its Pod goes, and does not get another.
    world.set_ops_state(2, "None").await.unwrap();
    assert!(world.set_ops_state(2, "Allocated").await.is_err());
    // Nothing but the claims was written, and nothing is deleted by us.
    let deletions = ["verb=\"delete\"", "resource=\"pods\""];
    assert_eq!(
        controller
            .metric("gamekeeper_api_requests_total", &deletions)
            .await,
        0
    );

    world.release(0).await;
    world.pod_when(0, |pod| uid(pod) != uid(&pods[&0])).await;
}

// With reclaimPolicy Delete the GameServer outlives the Pod, and the claim must not outlive it.
#[tokio::test(flavor = "multi_thread")]
async fn the_claim_on_a_server_that_is_kept_goes_with_the_evicted_pod() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    let mut spec = holding();
    spec["eviction"] = json!({ "safe": "OnUpgrade" });
    spec["gameServerTemplate"]["reclaimPolicy"] = json!("Delete");
    let set = world.set(1, spec).await;
    let pods = world.live_when(0..1).await;
    world.game_server(&pods[&0], Some(&set), json!({})).await;
    world.make_ready(0).await;
    assert_eq!(evict(&world, 0).await, 201);
    claim_when(&world, 0, "claim", |claim| claim.is_some()).await;
    assert!(world.set_ops_state(0, "Allocated").await.is_err());
    world.release(0).await;
    world.pod_when(0, |pod| uid(pod) != uid(&pods[&0])).await;
    claim_when(&world, 0, "end of the claim", |claim| claim.is_none()).await;
    world.set_ops_state(0, "Allocated").await.unwrap();
}

// Announced and not done: the Pod is ours still, and stays.
#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_that_does_not_come_takes_its_claim_back_and_deletes_nothing() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    world.set(1, json!({})).await;
    let pods = world.live_when(0..1).await;
    world.game_server(&pods[&0], None, json!({})).await;
    world.make_ready(0).await;
    // Of now: Kubernetes takes one back that is older than two minutes.
    let target = |status: &str| {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        json!({ "conditions": [{ "type": "DisruptionTarget", "status": status, "reason": "PreemptionByScheduler",
            "lastTransitionTime": now }] })
    };
    world.pod_status(0, target("True")).await;
    let claim = claim_when(&world, 0, "claim of a preemption", |claim| claim.is_some())
        .await
        .unwrap();
    assert_eq!(claim.reason, "Preempted");
    world.pod_status(0, target("False")).await;
    claim_when(&world, 0, "end of the claim", |claim| claim.is_none()).await;
    world.set_ops_state(0, "Allocated").await.unwrap();
    let live: Pod = world.live().await.remove(&0).unwrap();
    assert_eq!(uid(&live), uid(&pods[&0]));
    let deletions = ["verb=\"delete\"", "resource=\"pods\""];
    assert_eq!(
        controller
            .metric("gamekeeper_api_requests_total", &deletions)
            .await,
        0
    );

    // A scale-in of a server that others had announced to take is ours, with a claim of ours.
    world.set_ops_state(0, "None").await.unwrap();
    world.pod_status(0, target("True")).await;
    claim_when(&world, 0, "second claim", |claim| claim.is_some()).await;
    world.scale(0).await;
    world.live_when([]).await;
}

// The garbage collector deletes the Pods of a set that is gone; there is no pass over it any more.
#[tokio::test(flavor = "multi_thread")]
async fn servers_of_a_deleted_set_are_claimed_too() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world.set(2, holding()).await;
    let pods = world.live_when(0..2).await;
    for pod in pods.values() {
        world.game_server(pod, None, json!({})).await;
    }
    world
        .sets
        .delete("arena", &DeleteParams::default())
        .await
        .unwrap();
    for id in [0, 1] {
        let claim = claim_when(&world, id, "claim", |claim| claim.is_some())
            .await
            .unwrap();
        assert_eq!(claim.reason, "Deleted");
    }
}
