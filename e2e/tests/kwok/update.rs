//! Updates of the template: which servers, in what order, in place or anew.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use api_types::{
    GameServerSetStatus,
    keys::{condition, label},
};
use e2e::{Snapshot, World, in_namespace};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

const IMAGE: &str = "gamekeeper.local/demo/game";

/// A template with these tags of the containers `game` and `side`.
fn template(game: &str, side: &str) -> Value {
    let container = |name: &str, tag: &str| json!({"name": name, "image": format!("{IMAGE}:{tag}")});
    json!({"gameServerTemplate": {"spec": {"containers": [container("game", game), container("side", side)]}}})
}

/// [`template`] with a policy and other settings of `rollingUpdate`.
fn rolling(game: &str, side: &str, rolling: &Value) -> Value {
    let mut spec = template(game, side);
    spec["updateStrategy"] = json!({"rollingUpdate": rolling});
    spec
}

fn status<'a>(s: &'a Snapshot, set: &str) -> Option<&'a GameServerSetStatus> {
    let set = s.sets.get(set)?;
    let status = set.status.as_ref()?;
    (status.observed_generation == set.metadata.generation).then_some(status)
}

/// Image tags of container `name`, by Pod; Pods that are being deleted are left out.
fn tags(s: &Snapshot, set: &str, name: &str) -> BTreeMap<String, String> {
    let tag = |pod: &Pod| {
        let containers = &pod.spec.as_ref()?.containers;
        let image = containers
            .iter()
            .find(|found| found.name == name)?
            .image
            .clone()?;
        Some((pod.name_any(), image.rsplit(':').next()?.to_owned()))
    };
    s.pods_of(set)
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter_map(tag)
        .collect()
}

fn tagged<const N: usize>(pods: [(&str, &str); N]) -> BTreeMap<String, String> {
    pods.into_iter()
        .map(|(pod, tag)| (pod.to_owned(), tag.to_owned()))
        .collect()
}

fn container(s: &Snapshot, pod: &str, name: &str) -> Option<ContainerStatus> {
    let statuses = s.pods.get(pod)?.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == name).cloned()
}

/// When the Pod last became ready.
fn ready_since(s: &Snapshot, pod: &str) -> Option<String> {
    let conditions = s.pods.get(pod)?.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions
        .iter()
        .find(|found| found.type_ == "Ready" && found.status == "True")?;
    Some(format!("{:?}", ready.last_transition_time))
}

fn blocked(s: &Snapshot, set: &str) -> Option<String> {
    let found = s.condition(set, condition::UPDATE_BLOCKED)?;
    (found.status == "True").then(|| found.reason.clone())
}

async fn all_updated(world: &World, set: &str, replicas: u32) -> Result<()> {
    let wanted = i32::try_from(replicas)?;
    world
        .until("every server is updated", |s| {
            status(s, set).is_some_and(|status| {
                status.updated_ready_replicas == Some(wanted)
                    && status.current_revision == status.update_revision
            })
        })
        .await?;
    world.at_rest(set, &(0..replicas).collect::<Vec<_>>()).await
}

/// Deletes a Pod and waits until another one has its place.
async fn replace(world: &World, set: &str, pod: &str, ids: &[u32]) -> Result<()> {
    let before = world.pod_uid(pod)?;
    world.delete_pod(pod).await?;
    let other = |s: &Snapshot| {
        s.pods
            .get(pod)
            .and_then(|found| found.uid())
            .is_some_and(|uid| uid != before)
    };
    world.until("another Pod has its place", other).await?;
    world.at_rest(set, ids).await
}

#[tokio::test]
async fn a_new_image_replaces_every_pod_and_a_rollback_brings_the_old_revision_back() -> Result<()> {
    in_namespace(async |world| {
        let spec = rolling("1", "1", &json!({"maxUnavailable": "50%"}));
        world.settled_set("a", 4, &spec).await?;
        let (before, first) = (world.now().uids("a"), revision(&world.now())?);
        world.patch_set("a", &template("2", "1")).await?;
        all_updated(world, "a", 4).await?;
        let after = world.now().uids("a");
        assert!(
            after.iter().all(|(id, uid)| before.get(id) != Some(uid)),
            "{before:?} {after:?}"
        );
        let second = revision(&world.now())?;
        assert_ne!(first, second);
        world.patch_set("a", &template("1", "1")).await?;
        all_updated(world, "a", 4).await?;
        let now = world.now();
        assert_eq!(revision(&now)?, first, "the old name");
        let history = &now.sets["a"].status.as_ref().context("no status")?.revisions;
        let shown: Vec<_> = history
            .iter()
            .map(|found| (found.name.as_str(), found.revision, found.pods))
            .collect();
        assert_eq!(shown, [(first.as_str(), 3, 4), (second.as_str(), 2, 0)]);
        world.event("a", "UpdateStarted").await?;
        world.event("a", "UpdateFinished").await?;
        Ok(())
    })
    .await
}

fn revision(s: &Snapshot) -> Result<String> {
    let status = s.sets["a"].status.as_ref();
    status
        .and_then(|status| status.update_revision.clone())
        .context("no revision")
}

#[tokio::test]
async fn what_means_the_same_rolls_nothing() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 2, &template("1", "1")).await?;
        let (before, first) = (world.now().uids("a"), revision(&world.now())?);
        let mut same = template("1", "1");
        let spec = &mut same["gameServerTemplate"]["spec"];
        spec["containers"][0]["imagePullPolicy"] = json!("IfNotPresent");
        spec["containers"][0]["env"] = json!([]);
        spec["restartPolicy"] = json!("Always");
        spec["nodeSelector"] = json!({});
        same["scaleStrategy"] = json!({"maxUnavailable": 1});
        world.patch_set("a", &same).await?;
        world
            .until("the edit is acted on", |s| status(s, "a").is_some())
            .await?;
        world.fence().await?;
        assert_eq!((world.now().uids("a"), revision(&world.now())?), (before, first));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_partition_lets_the_highest_priority_through() -> Result<()> {
    in_namespace(async |world| {
        let spec = rolling("1", "1", &json!({"partition": 2, "maxUnavailable": 3}));
        world.settled_set("a", 3, &spec).await?;
        world
            .patch_server("a-1", &json!({"spec": {"updatePriority": 7}}))
            .await?;
        world.patch_set("a", &template("2", "1")).await?;
        let canary = tagged([("a-0", "1"), ("a-1", "2"), ("a-2", "1")]);
        world
            .until("the canary", |s| {
                tags(s, "a", "game") == canary
                    && status(s, "a").is_some_and(|status| status.updated_ready_replicas == Some(1))
            })
            .await?;
        // A held-back server that is lost comes back as it was.
        replace(world, "a", "a-0", &[0, 1, 2]).await?;
        assert_eq!(tags(&world.now(), "a", "game"), canary);
        world
            .patch_set(
                "a",
                &json!({"updateStrategy": {"rollingUpdate": {"partition": 0}}}),
            )
            .await?;
        all_updated(world, "a", 3).await
    })
    .await
}

#[tokio::test]
async fn nothing_is_begun_while_paused_or_on_delete() -> Result<()> {
    in_namespace(async |world| {
        world
            .settled_set("a", 2, &rolling("1", "1", &json!({"paused": true})))
            .await?;
        let mut spec = template("1", "1");
        spec["updateStrategy"] = json!({"type": "OnDelete"});
        world.settled_set("b", 2, &spec).await?;
        let before = (world.now().uids("a"), world.now().uids("b"));
        for set in ["a", "b"] {
            world.patch_set(set, &template("2", "1")).await?;
            world
                .until("the edit is acted on", |s| {
                    status(s, set).is_some_and(|status| status.updated_replicas == 0)
                })
                .await?;
        }
        world.fence().await?;
        assert_eq!((world.now().uids("a"), world.now().uids("b")), before);
        replace(world, "b", "b-0", &[0, 1]).await?;
        assert_eq!(
            tags(&world.now(), "b", "game"),
            tagged([("b-0", "2"), ("b-1", "1")])
        );
        world
            .patch_set(
                "a",
                &json!({"updateStrategy": {"rollingUpdate": {"paused": false}}}),
            )
            .await?;
        all_updated(world, "a", 2).await
    })
    .await
}

#[tokio::test]
async fn an_update_in_place_keeps_the_pod_and_its_other_containers() -> Result<()> {
    in_namespace(async |world| {
        let spec = rolling(
            "1",
            "1",
            &json!({"podUpdatePolicy": "InPlaceIfPossible", "maxUnavailable": 2}),
        );
        world.settled_set("a", 3, &spec).await?;
        let own = json!({"spec": {"containers": [{"name": "game", "image": format!("{IMAGE}:own")}]}});
        world.patch_server("a-0", &own).await?;
        world
            .until("its own image", |s| {
                tags(s, "a", "game").get("a-0").is_some_and(|tag| tag == "own")
            })
            .await?;
        let before = world.now();
        world.patch_set("a", &template("1", "2")).await?;
        all_updated(world, "a", 3).await?;
        let now = world.now();
        assert_eq!(now.uids("a"), before.uids("a"));
        assert_eq!(
            tags(&now, "a", "side"),
            tagged([("a-0", "2"), ("a-1", "2"), ("a-2", "2")])
        );
        assert_eq!(
            tags(&now, "a", "game"),
            tagged([("a-0", "own"), ("a-1", "1"), ("a-2", "1")])
        );
        for pod in ["a-1", "a-2"] {
            let restarts = |name| container(&now, pod, name).map(|status| status.restart_count);
            assert_eq!((restarts("game"), restarts("side")), (Some(0), Some(1)));
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn new_labels_never_drop_readiness() -> Result<()> {
    in_namespace(async |world| {
        world
            .settled_set(
                "a",
                2,
                &rolling("1", "1", &json!({"podUpdatePolicy": "InPlaceIfPossible"})),
            )
            .await?;
        let before = world.now();
        let labels = json!({"gameServerTemplate": {"metadata": {"labels": {"season": "two"}}}});
        world.patch_set("a", &labels).await?;
        all_updated(world, "a", 2).await?;
        let now = world.now();
        for pod in ["a-0", "a-1"] {
            assert_eq!(now.pod_label(pod, "season"), Some("two"));
            assert_eq!(ready_since(&now, pod), ready_since(&before, pod));
            assert_eq!(now.pods[pod].uid(), before.pods[pod].uid());
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn allocated_servers_are_updated_when_their_players_have_left() -> Result<()> {
    in_namespace(async |world| {
        let mut spec = rolling("1", "1", &json!({"maxUnavailable": 3}));
        spec["scaleStrategy"] = json!({"protectAllocated": true});
        world.settled_set("a", 3, &spec).await?;
        world.set_ops_state("a-2", "Allocated").await?;
        world.patch_set("a", &template("2", "1")).await?;
        world
            .until("the others are updated", |s| {
                tags(s, "a", "game") == tagged([("a-0", "2"), ("a-1", "2"), ("a-2", "1")])
                    && blocked(s, "a").as_deref() == Some("AllocatedServers")
            })
            .await?;
        world.set_ops_state("a-2", "None").await?;
        all_updated(world, "a", 3).await?;
        world
            .until("nothing is blocked", |s| blocked(s, "a").is_none())
            .await
    })
    .await
}

#[tokio::test]
async fn a_server_that_cannot_be_updated_in_place_stops_no_other() -> Result<()> {
    in_namespace(async |world| {
        world
            .settled_set(
                "a",
                2,
                &rolling("1", "1", &json!({"podUpdatePolicy": "InPlaceOnly"})),
            )
            .await?;
        let mut env = template("1", "1");
        env["gameServerTemplate"]["spec"]["containers"][0]["env"] = json!([{"name": "SEASON", "value": "2"}]);
        world.patch_set("a", &env).await?;
        world
            .until("both are stuck", |s| {
                blocked(s, "a").as_deref() == Some("InPlaceImpossible")
            })
            .await?;
        let before = world.now().uids("a");
        replace(world, "a", "a-0", &[0, 1]).await?;
        assert_eq!(world.now().uids("a").get(&1), before.get(&1));
        // From here a-0 has only an image to go; a-1, which would go first, still cannot.
        env["gameServerTemplate"]["spec"]["containers"][1]["image"] = json!(format!("{IMAGE}:2"));
        world.patch_set("a", &env).await?;
        world
            .until("the other one is updated", |s| {
                tags(s, "a", "side") == tagged([("a-0", "2"), ("a-1", "1")])
                    && status(s, "a").is_some_and(|status| status.updated_ready_replicas == Some(1))
            })
            .await?;
        assert_eq!(world.now().uids("a").get(&1), before.get(&1));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_hook_holds_an_update_in_place_and_takes_the_server_back() -> Result<()> {
    in_namespace(async |world| {
        let mut spec = rolling("1", "1", &json!({"podUpdatePolicy": "InPlaceIfPossible"}));
        spec["gameServerTemplate"]["metadata"] = json!({"labels": {"example.com/busy": "true"}});
        spec["lifecycle"] = json!({"inPlaceUpdate": {"labelsHandler": {"example.com/busy": "true"}}});
        world.settled_set("a", 1, &spec).await?;
        world.patch_set("a", &template("2", "1")).await?;
        let state = |s: &Snapshot| s.pod_label("a-0", label::LIFECYCLE_STATE).map(str::to_owned);
        world
            .until("the hook is asked", |s| {
                state(s).as_deref() == Some("PreparingUpdate")
            })
            .await?;
        assert_eq!(tags(&world.now(), "a", "game"), tagged([("a-0", "1")]));
        let busy = |value: Value| Patch::Merge(json!({"metadata": {"labels": {"example.com/busy": value}}}));
        world
            .pods()
            .patch("a-0", &PatchParams::default(), &busy(json!("false")))
            .await?;
        world
            .until("it waits to be taken back", |s| {
                state(s).as_deref() == Some("Updated")
            })
            .await?;
        assert_eq!(tags(&world.now(), "a", "game"), tagged([("a-0", "2")]));
        world
            .pods()
            .patch("a-0", &PatchParams::default(), &busy(json!("true")))
            .await?;
        all_updated(world, "a", 1).await
    })
    .await
}

#[tokio::test]
async fn a_server_that_is_allocated_in_its_grace_period_is_let_be() -> Result<()> {
    in_namespace(async |world| {
        let settings = json!({
            "podUpdatePolicy": "InPlaceIfPossible", "inPlaceUpdateStrategy": {"gracePeriodSeconds": 4},
        });
        let mut spec = rolling("1", "1", &settings);
        spec["scaleStrategy"] = json!({"protectAllocated": true});
        world.settled_set("a", 1, &spec).await?;
        world.patch_set("a", &template("2", "1")).await?;
        let state = |s: &Snapshot| s.pod_label("a-0", label::LIFECYCLE_STATE).map(str::to_owned);
        world
            .until("it is out of service", |s| {
                state(s).as_deref() == Some("Updating")
            })
            .await?;
        world.set_ops_state("a-0", "Allocated").await?;
        world
            .until("it is back in service as it was", |s| {
                state(s).as_deref() == Some("Normal")
                    && blocked(s, "a").as_deref() == Some("AllocatedServers")
            })
            .await?;
        world.fence().await?;
        let now = world.now();
        assert_eq!(tags(&now, "a", "game"), tagged([("a-0", "1")]));
        assert_eq!(
            container(&now, "a-0", "game").map(|status| status.restart_count),
            Some(0)
        );
        world.set_ops_state("a-0", "None").await?;
        all_updated(world, "a", 1).await
    })
    .await
}

/// The test is the kubelet here: it says which CPU and memory are in force.
#[tokio::test]
async fn cpu_and_memory_are_changed_in_the_running_pod() -> Result<()> {
    in_namespace(async |world| {
        let resources = |cpu: &str| json!({"requests": {"cpu": cpu, "memory": "16Mi"}});
        let mut spec = rolling("1", "1", &json!({"podUpdatePolicy": "InPlaceIfPossible"}));
        spec["gameServerTemplate"]["spec"]["containers"][0]["resources"] = resources("10m");
        world.settled_set("a", 1, &spec).await?;
        // The API server takes it from a kubelet that says nothing of resources that it cannot resize.
        report_resources(world, &resources("10m")).await?;
        let before = world.now();
        spec["gameServerTemplate"]["spec"]["containers"][0]["resources"] = resources("20m");
        world.patch_set("a", &spec).await?;
        let asked = |s: &Snapshot| {
            let containers = &s.pods.get("a-0")?.spec.as_ref()?.containers;
            let game = containers.iter().find(|found| found.name == "game")?;
            Some(game.resources.as_ref()?.requests.as_ref()?.get("cpu")?.0.clone())
        };
        world
            .until("the Pod asks for more", |s| asked(s).as_deref() == Some("20m"))
            .await?;
        assert!(status(&world.now(), "a").is_none_or(|status| status.updated_replicas == 0));
        report_resources(world, &resources("20m")).await?;
        all_updated(world, "a", 1).await?;
        let now = world.now();
        assert_eq!(now.uids("a"), before.uids("a"));
        assert_eq!(
            ready_since(&now, "a-0"),
            ready_since(&before, "a-0"),
            "it stayed in service"
        );
        Ok(())
    })
    .await
}

/// Says that these are in force in the container `game` of `a-0`.
async fn report_resources(world: &World, resources: &Value) -> Result<()> {
    let statuses = ["game", "side"].map(|name| container(&world.now(), "a-0", name));
    let mut statuses = serde_json::to_value(statuses)?;
    statuses[0]["resources"] = resources.clone();
    let report = Patch::Merge(json!({"status": {"containerStatuses": statuses}}));
    world
        .pods()
        .patch_status("a-0", &PatchParams::default(), &report)
        .await?;
    Ok(())
}
