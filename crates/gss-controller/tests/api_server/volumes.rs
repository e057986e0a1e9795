//! Volume claims. Nothing binds them and nothing collects them here: the tests play the volume and garbage controllers.

use api_types::GameServerSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    process,
    world::{World, eventually, holding, uid},
};

fn with_claims(policy: Value) -> Value {
    let mut spec = json!({ "gameServerTemplate": template(&["save"]) });
    if !policy.is_null() {
        spec["persistentVolumeClaimRetentionPolicy"] = policy;
    }
    spec
}

fn template(names: &[&str]) -> Value {
    let claim = |name: &&str| {
        json!({
            "metadata": { "name": name, "labels": { "tier": "saves", "game.kruise.io/owner-gss": "overlaid" } },
            "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": { "requests": { "storage": "1Gi" } } },
        })
    };
    json!({ "volumeClaimTemplates": names.iter().map(claim).collect::<Vec<_>>() })
}

fn claims(world: &World) -> Api<PersistentVolumeClaim> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

async fn claim(world: &World, name: &str) -> Option<PersistentVolumeClaim> {
    claims(world).get_opt(name).await.unwrap()
}

fn owners(claim: &PersistentVolumeClaim) -> Vec<(String, String)> {
    let references = claim.metadata.owner_references.iter().flatten();
    references
        .map(|owner| (owner.kind.clone(), owner.uid.clone()))
        .collect()
}

async fn claim_when(
    world: &World,
    name: &str,
    wanted: impl Fn(&PersistentVolumeClaim) -> bool,
) -> PersistentVolumeClaim {
    let read = async || claim(world, name).await;
    eventually(name, read, |found| found.as_ref().is_some_and(&wanted))
        .await
        .unwrap()
}

fn claim_names(pod: &Pod) -> Vec<&str> {
    let volumes = pod.spec.as_ref().unwrap().volumes.iter().flatten();
    volumes
        .filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.as_str()))
        .collect()
}

async fn delete_pod(world: &World, name: &str) {
    world.pods.delete(name, &DeleteParams::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_gets_its_claims_before_its_pod_and_keeps_them() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    let mut spec = with_claims(Value::Null);
    spec["gameServerTemplate"]["spec"] = json!({ "volumes": [
        { "name": "tmp", "emptyDir": {} }, { "name": "save", "emptyDir": {} },
    ] });
    world.set(2, spec).await;
    let pods = world.live_when(0..2).await;
    assert_eq!(claim_names(&pods[&1]), ["save-arena-1"]);
    let volumes = pods[&1].spec.as_ref().unwrap().volumes.iter().flatten();
    assert_eq!(
        volumes.filter(|volume| volume.empty_dir.is_some()).count(),
        1,
        "the template's volume of that name is replaced"
    );
    let made = claim(&world, "save-arena-1").await.unwrap();
    assert!(made.metadata.creation_timestamp <= pods[&1].metadata.creation_timestamp);
    let labels = made.metadata.labels.clone().unwrap();
    assert_eq!(labels["tier"], "saves");
    assert_eq!(labels["game.kruise.io/owner-gss"], "arena");
    assert_eq!(owners(&made), []);
    // Scaled in and back: the same claim.
    world.scale(1).await;
    world.live_when([0]).await;
    world.scale(2).await;
    world.live_when(0..2).await;
    assert_eq!(
        claim(&world, "save-arena-1").await.unwrap().metadata.uid,
        made.metadata.uid
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_says_whom_a_claim_goes_with() {
    for (deleted, scaled) in [("Delete", "Retain"), ("Retain", "Delete"), ("Delete", "Delete")] {
        let world = World::new().await;
        let _controller = process::start(&world).await;
        let mut spec = with_claims(json!({ "whenDeleted": deleted, "whenScaled": scaled }));
        spec["gameServerTemplate"]["metadata"] = holding()["gameServerTemplate"]["metadata"].clone();
        let set = world.set(2, spec).await;
        let pods = world.live_when(0..2).await;
        let of_set =
            (deleted == "Delete").then(|| ("GameServerSet".to_owned(), set.metadata.uid.clone().unwrap()));
        for name in ["save-arena-0", "save-arena-1"] {
            assert_eq!(
                owners(&claim(&world, name).await.unwrap()),
                Vec::from_iter(of_set.clone()),
                "{deleted} {scaled}"
            );
        }
        // A replaced Pod's data stays with its server.
        world.pod_status(0, json!({ "phase": "Failed" })).await;
        world
            .pod_when(0, |pod| pod.metadata.deletion_timestamp.is_some())
            .await;
        assert_eq!(
            owners(&claim(&world, "save-arena-0").await.unwrap()),
            Vec::from_iter(of_set.clone())
        );
        world.release(0).await;
        world.live_when(0..2).await;

        world.scale(1).await;
        world
            .pod_when(1, |pod| pod.metadata.deletion_timestamp.is_some())
            .await;
        let of_pod = ("Pod".to_owned(), uid(&pods[&1]));
        let expected = if scaled == "Delete" {
            vec![of_pod]
        } else {
            Vec::from_iter(of_set.clone())
        };
        assert_eq!(
            owners(&claim(&world, "save-arena-1").await.unwrap()),
            expected,
            "handed over before the deletion"
        );
        // The id is wanted again while its Pod is still there: so is its data.
        world.scale(2).await;
        claim_when(&world, "save-arena-1", |found| {
            owners(found) == Vec::from_iter(of_set.clone())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_in_the_way_blocks_its_own_server_only() {
    let world = World::new().await;
    let other: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    let other = serde_json::from_value(json!({ "metadata": { "name": "other" } }))
        .map(|object| (other, object))
        .unwrap();
    let other = other.0.create(&PostParams::default(), &other.1).await.unwrap();
    let foreign = json!({
        "metadata": { "name": "save-arena-0", "ownerReferences": [{
            "apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": other.metadata.uid, "controller": true,
        }] },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    });
    let mut going = foreign.clone();
    going["metadata"] = json!({
        "name": "save-arena-1", "finalizers": ["example.com/hold"], "labels": { "game.kruise.io/owner-gss": "arena" },
    });
    for object in [foreign, going] {
        let object = serde_json::from_value(object).unwrap();
        claims(&world)
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }
    claims(&world)
        .delete("save-arena-1", &DeleteParams::default())
        .await
        .unwrap();
    let _controller = process::start(&world).await;
    world.set(4, with_claims(Value::Null)).await;
    world.live_when([2, 3]).await;
    let said = |wanted: &'static str| {
        move |set: &GameServerSet| {
            let conditions = &set.status.as_ref().unwrap().conditions;
            conditions
                .iter()
                .any(|found| found.status == "True" && found.message.starts_with(wanted))
        }
    };
    let both = said("2 servers wait for volume claims, first save-arena-1: it is being deleted");
    world.set_when("both said", both).await;
    world.scale(5).await;
    world.live_when([2, 3, 4]).await;
    let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    claims(&world)
        .patch("save-arena-1", &PatchParams::default(), &free)
        .await
        .unwrap();
    world.live_when(1..5).await;
    let one = said("1 server waits for volume claims, first save-arena-0: it belongs to another owner");
    world.set_when("one less", one).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_claim_of_a_waiting_pod_is_made_again() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world.set(1, with_claims(Value::Null)).await;
    world.live_when([0]).await;
    let first = claim_when(&world, "save-arena-0", |_| true).await;
    let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    claims(&world)
        .delete("save-arena-0", &DeleteParams::default())
        .await
        .unwrap();
    let _ = claims(&world)
        .patch("save-arena-0", &PatchParams::default(), &free)
        .await;
    let unscheduled = json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable" });
    world
        .pod_status(0, json!({ "phase": "Pending", "conditions": [unscheduled] }))
        .await;
    claim_when(&world, "save-arena-0", |found| {
        found.metadata.uid != first.metadata.uid
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_template_added_to_a_live_set_wedges_nothing() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world.set(2, json!({})).await;
    let before = world.live_when(0..2).await;
    world
        .change_set(json!({ "spec": { "gameServerTemplate": template(&["save"]) } }))
        .await;
    let said = |set: &GameServerSet| {
        set.status
            .as_ref()
            .unwrap()
            .conditions
            .iter()
            .any(|found| found.reason == "MadeWithoutClaim")
    };
    world.set_when("said", said).await;
    world.scale(3).await;
    let now = world.live_when(0..3).await;
    assert_eq!(
        (uid(&now[&0]), uid(&now[&1])),
        (uid(&before[&0]), uid(&before[&1]))
    );
    assert_eq!(claim_names(&now[&2]), ["save-arena-2"]);
    for id in 0..2 {
        delete_pod(&world, &format!("arena-{id}")).await;
    }
    world
        .pod_when(1, |pod| claim_names(pod) == ["save-arena-1"])
        .await;
    world.set_when("all have it", |set| !said(set)).await;
    let made = claims(&world)
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .len();
    assert_eq!(made, 3);
}
