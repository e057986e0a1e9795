//! Updates in place by a real kubelet: what is restarted, what is not, and what is said meanwhile.
//!
//! CPU and memory are changed in `kwok/update.rs`: without cgroups for each QoS class, which a container that is no machine
//! cannot have, the kubelet of Kubernetes 1.34 panics when a Pod is resized.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use api_types::keys::{IN_PLACE_UPDATE_READY, annotation, condition, label, lifecycle};
use e2e::{Snapshot, World, in_namespace};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

const GAME: &str = "gamekeeper.local/demo/game";
/// Another content, of the same shell.
const OTHER: &str = "registry.cn-hangzhou.aliyuncs.com/gs-demo/gameserver:healthy";

/// A set whose containers `game` and `side` run these images and end at once when told to.
fn spec(game: &str, side: &str, rolling: &Value) -> Value {
    let container = |name: &str, image: &str| {
        json!({
            "name": name, "image": image, "imagePullPolicy": "Never",
            "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}},
        })
    };
    let mut update = json!({"podUpdatePolicy": "InPlaceIfPossible"});
    if let (Some(update), Some(more)) = (update.as_object_mut(), rolling.as_object()) {
        update.extend(more.clone());
    }
    json!({
        "gameServerTemplate": {"spec": {
            "terminationGracePeriodSeconds": 2, "containers": [container("game", game), container("side", side)],
        }},
        "updateStrategy": {"rollingUpdate": update},
    })
}

fn tag(tag: &str) -> String {
    format!("{GAME}:{tag}")
}

fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == name)
}

fn image<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    let containers = &pod.spec.as_ref()?.containers;
    containers
        .iter()
        .find(|found| found.name == name)?
        .image
        .as_deref()
}

fn has(pod: &Pod, type_: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| {
        conditions
            .iter()
            .any(|found| found.type_ == type_ && found.status == "True")
    })
}

/// Whether the kubelet has seen that the gate of updates in place is shut: the words are its own.
fn is_seen_shut(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions.filter(|found| found.type_ == "Ready").any(|found| {
        found.status == "False"
            && found
                .message
                .as_deref()
                .is_some_and(|message| message.contains("readiness gate"))
    })
}

fn restarts(s: &Snapshot, pod: &str) -> Vec<(String, i32)> {
    let names = ["game", "side"];
    let count = |name: &&str| {
        Some((
            (*name).to_owned(),
            container(s.pods.get(pod)?, name)?.restart_count,
        ))
    };
    names.iter().filter_map(count).collect()
}

fn counts(game: i32, side: i32) -> Vec<(String, i32)> {
    vec![("game".to_owned(), game), ("side".to_owned(), side)]
}

async fn updated(world: &World, replicas: i32) -> Result<()> {
    let done = |s: &Snapshot| {
        s.sets.get("a").is_some_and(|set| {
            set.status.as_ref().is_some_and(|status| {
                status.observed_generation == set.metadata.generation
                    && status.updated_ready_replicas == Some(replicas)
                    && status.current_revision == status.update_revision
            })
        })
    };
    world.until("every server is updated", done).await?;
    world
        .at_rest("a", &(0..replicas.unsigned_abs()).collect::<Vec<_>>())
        .await
}

/// Every version of the Pod that came after the first `before`.
fn since(s: &Snapshot, before: usize, pod: &str) -> Vec<Arc<Pod>> {
    let later = s.pod_history.iter().skip(before);
    later.filter(|found| found.name_any() == pod).cloned().collect()
}

fn seconds(pod: &Pod, key: &str) -> Option<i64> {
    let at = pod.annotations().get(key)?;
    at.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

#[tokio::test]
async fn a_new_image_restarts_its_container_alone_after_the_grace_period() -> Result<()> {
    in_namespace(async |world| {
        let grace = json!({"inPlaceUpdateStrategy": {"gracePeriodSeconds": 3}});
        world
            .settled_set("a", 1, &spec(&tag("1"), &tag("1"), &grace))
            .await?;
        let (uids, before) = (world.now().uids("a"), world.now().pod_history.len());
        world.patch_set("a", &spec(&tag("1"), OTHER, &grace)).await?;
        updated(world, 1).await?;
        let now = world.now();
        assert_eq!(
            (now.uids("a"), restarts(&now, "a-0")),
            (uids, counts(0, 1)),
            "the game went on"
        );
        let versions = since(&now, before, "a-0");
        let out = versions
            .iter()
            .find(|pod| label_of(pod, label::LIFECYCLE_STATE) == Some(lifecycle::UPDATING));
        let out = out.context("it was never Updating")?;
        assert_eq!(
            image(out, "side"),
            Some(tag("1").as_str()),
            "out of service first"
        );
        assert!(!has(out, "Ready") && !has(out, IN_PLACE_UPDATE_READY));
        let changed = versions
            .iter()
            .position(|pod| image(pod, "side") == Some(OTHER))
            .context("never changed")?;
        let begun = versions
            .get(changed)
            .and_then(|pod| pod.annotations().get(annotation::IN_PLACE_UPDATE_STATE));
        let begun: Value = serde_json::from_str(begun.context("no record of the change")?)?;
        let begun = begun["updateTimestamp"]
            .as_str()
            .context("no time")?
            .parse::<jiff::Timestamp>()?;
        let waited = begun.as_second() - seconds(out, annotation::LIFECYCLE_TIMESTAMP).context("no time")?;
        assert!((3..8).contains(&waited), "waited {waited} s");
        // A status of the kubelet that was on its way when the gate was closed shows the Pod ready once more, on a busy machine.
        let mut seen = versions.iter().take(changed).skip_while(|pod| !is_seen_shut(pod));
        assert!(
            seen.next().is_some(),
            "the kubelet had not seen the gate after 3 s"
        );
        assert!(seen.all(|pod| !has(pod, "Ready")));

        labels_cost_no_service(world).await
    })
    .await
}

/// Labels never cost a moment of service.
async fn labels_cost_no_service(world: &World) -> Result<()> {
    let before = world.now().pod_history.len();
    let season = json!({"gameServerTemplate": {"metadata": {"labels": {"season": "two"}}}});
    world.patch_set("a", &season).await?;
    world
        .until("the label", |s| s.pod_label("a-0", "season") == Some("two"))
        .await?;
    updated(world, 1).await?;
    let now = world.now();
    assert_eq!(restarts(&now, "a-0"), counts(0, 1));
    assert!(
        since(&now, before, "a-0").iter().all(|pod| has(pod, "Ready")),
        "never out of service"
    );
    Ok(())
}

fn label_of<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    e2e::snapshot::label(pod, key)
}

#[tokio::test]
async fn another_tag_of_the_same_content_completes_and_an_image_of_its_own_stays() -> Result<()> {
    in_namespace(async |world| {
        world
            .settled_set("a", 2, &spec(&tag("1"), &tag("1"), &json!({"maxUnavailable": 2})))
            .await?;
        let uids = world.now().uids("a");
        let own = json!({"spec": {"containers": [{"name": "game", "image": OTHER}]}});
        world.patch_server("a-0", &own).await?;
        world
            .until("its own image", |s| restarts(s, "a-0") == counts(1, 0))
            .await?;
        let digest = |s: &Snapshot| {
            s.pods
                .get("a-1")
                .and_then(|pod| container(pod, "side"))
                .map(|c| c.image_id.clone())
        };
        let before = digest(&world.now());
        world
            .patch_set(
                "a",
                &spec(&tag("1"), &tag("1-again"), &json!({"maxUnavailable": 2})),
            )
            .await?;
        updated(world, 2).await?;
        let now = world.now();
        assert_eq!(now.uids("a"), uids);
        assert_eq!(digest(&now), before, "this test is about tags of one content");
        assert_eq!(
            (restarts(&now, "a-0"), restarts(&now, "a-1")),
            (counts(1, 1), counts(0, 1))
        );
        assert_eq!(
            now.pods.get("a-0").and_then(|pod| image(pod, "game")),
            Some(OTHER)
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_states_of_an_update_are_told() -> Result<()> {
    in_namespace(async |world| {
        let mut wanted = spec(&tag("1"), &tag("1"), &json!({}));
        wanted["gameServerTemplate"]["metadata"] = json!({"labels": {"example.com/busy": "true"}});
        wanted["lifecycle"] = json!({"inPlaceUpdate": {"labelsHandler": {"example.com/busy": "true"}}});
        world.settled_set("a", 1, &wanted).await?;
        let before = world.now().pod_history.len();
        wanted["gameServerTemplate"]["spec"]["containers"][1]["image"] = json!(OTHER);
        world.patch_set("a", &wanted).await?;
        let state = |s: &Snapshot| s.status("a-0").and_then(|status| status.current_state.clone());
        let containers = |s: &Snapshot| {
            s.pod_annotation("a-0", annotation::GS_UPDATING_CONTAINERS)
                .map(str::to_owned)
        };
        world
            .until("it is asked", |s| {
                state(s).as_deref() == Some("PreUpdate") && containers(s).as_deref() == Some("side")
            })
            .await?;
        assert_eq!(restarts(&world.now(), "a-0"), counts(0, 0));
        let busy = |value: &str| Patch::Merge(json!({"metadata": {"labels": {"example.com/busy": value}}}));
        let yields = PatchParams::default();
        world.pods().patch("a-0", &yields, &busy("false")).await?;
        let asks = |s: &Snapshot| s.pod_label("a-0", label::LIFECYCLE_STATE) == Some(lifecycle::UPDATED);
        world.until("it waits to be taken back", asks).await?;
        world.pods().patch("a-0", &yields, &busy("true")).await?;
        updated(world, 1).await?;
        let now = world.now();
        assert_eq!(restarts(&now, "a-0"), counts(0, 1));
        let versions = since(&now, before, "a-0");
        let states: BTreeSet<&str> = versions
            .iter()
            .filter_map(|pod| label_of(pod, label::GS_STATE))
            .collect();
        assert!(
            states.is_superset(&["PreUpdate", "Updating"].into()),
            "{states:?}"
        );
        world
            .until("nothing is listed any more", |s| containers(s).is_none())
            .await
    })
    .await
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_told_of_and_another_template_heals_it() -> Result<()> {
    in_namespace(async |world| {
        world
            .settled_set("a", 2, &spec(&tag("1"), &tag("1"), &json!({})))
            .await?;
        let uids = world.now().uids("a");
        world
            .patch_set("a", &spec(&tag("1"), "gamekeeper.local/demo/none:1", &json!({})))
            .await?;
        let told = |s: &Snapshot| {
            s.condition("a", condition::UPDATE_BLOCKED).is_some_and(|found| {
                found.status == "True"
                    && found.reason == "InPlaceUpdateStuck"
                    && found
                        .message
                        .contains("gamekeeper.local/demo/none:1 of container side is not on the node")
            })
        };
        world
            .until("the condition names image and container", told)
            .await?;
        let event = world.event("a", "UpdateBlocked").await?;
        ensure!(
            event.message.is_some_and(|message| message.contains("none:1")),
            "the event too"
        );
        let now = world.now();
        assert_eq!(
            restarts(&now, "a-0"),
            counts(0, 0),
            "the other server did not follow"
        );
        world.patch_set("a", &spec(&tag("1"), OTHER, &json!({}))).await?;
        updated(world, 2).await?;
        assert_eq!(world.now().uids("a"), uids);
        world
            .until("nothing is blocked", |s| {
                s.condition("a", condition::UPDATE_BLOCKED)
                    .is_some_and(|found| found.status == "False")
            })
            .await
    })
    .await
}
