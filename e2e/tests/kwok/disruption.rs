//! Who may evict a server, with all controllers: the Eviction API and `kubectl drain` against each value, at rest, while a hook
//! holds the server, and while it is updated.

use anyhow::{Result, bail};
use api_types::keys::{annotation, condition, label};
use e2e::{Snapshot, World, act, cluster, in_namespace};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, EvictParams};
use serde_json::{Value, json};

use crate::nodes::{own_node, there};

/// What the API server answers to an eviction.
async fn evict(world: &World, pod: &str) -> Result<u16> {
    let pods: Api<Pod> = Api::namespaced(cluster::client_without_retries().await?, &world.namespace);
    match pods.evict(pod, &EvictParams::default()).await {
        Ok(_) => Ok(201),
        Err(kube::Error::Api(status)) => Ok(status.code),
        Err(error) => Err(error.into()),
    }
}

/// Drains the node as an operator does; whether it got through. A refused eviction is tried again every 5 s: where one is expected,
/// one try is enough.
async fn drain(node: &str, patience: &str) -> Result<bool> {
    let timeout = format!("--timeout={patience}");
    let arguments = [
        "drain",
        node,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        &timeout,
    ];
    let done = cluster::kubectl(&arguments).await?;
    // So that what is evicted is made anew here.
    cluster::kubectl(&["uncordon", node]).await?;
    if !done.success && !done.output.contains("disruption budget") && !done.output.contains("timeout") {
        bail!("kubectl drain failed otherwise: {}", done.output);
    }
    Ok(done.success)
}

fn patience(evicted: bool) -> &'static str {
    if evicted { "40s" } else { "2s" }
}

fn with(world: &World, parts: &[Value]) -> Value {
    let mut spec = there(world);
    for part in parts {
        act::merge(&mut spec, part);
    }
    spec
}

fn safe(value: &str) -> Value {
    json!({ "eviction": { "safe": value }, "gameServerTemplate": { "spec": { "terminationGracePeriodSeconds": 900 } } })
}

/// Whether the Pod of this UID is there and not on its way out.
fn stays(s: &Snapshot, pod: &str, uid: &str) -> bool {
    s.pods.get(pod).is_some_and(|found| {
        found.uid().as_deref() == Some(uid) && found.metadata.deletion_timestamp.is_none()
    })
}

async fn on_a_node(test: impl AsyncFnOnce(&World, &str) -> Result<()>) -> Result<()> {
    in_namespace(async |world| {
        let nodes: Api<Node> = own_node(world).await?;
        let node = world.namespace.clone();
        let passed = test(world, &node).await;
        let _ = nodes.delete(&node, &DeleteParams::default()).await;
        passed
    })
    .await
}

/// Row by row: annotation, label, what is in force; an eviction and a drain of a set at rest.
async fn at_rest(value: &str, shown: [&str; 2], evicted: bool) -> Result<()> {
    on_a_node(async |world, node| {
        world.settled_set("a", 2, &with(world, &[safe(value)])).await?;
        for server in ["a-0", "a-1"] {
            world
                .until("what is in force", |s| {
                    let status = s.status(server).and_then(|status| status.eviction.as_ref());
                    s.pod_annotation(server, annotation::SAFE_TO_EVICT) == Some(shown[0])
                        && s.pod_label(server, label::SAFE_TO_EVICT) == Some(shown[1])
                        && status
                            .and_then(|eviction| eviction.safe.as_ref())
                            .map(|safe| safe.as_str().to_owned())
                            == Some(value.to_owned())
                })
                .await?;
        }
        let before = [world.pod_uid("a-0")?, world.pod_uid("a-1")?];
        assert_eq!(
            evict(world, "a-0").await?,
            if evicted { 201 } else { 429 },
            "{value}"
        );
        assert_eq!(drain(node, patience(evicted)).await?, evicted, "{value}");
        if evicted {
            world
                .until("both were made anew", |s| {
                    !stays(s, "a-0", &before[0]) && !stays(s, "a-1", &before[1])
                })
                .await?;
            world.at_rest("a", &[0, 1]).await
        } else {
            world.fence().await?;
            let now = world.now();
            assert!(stays(&now, "a-0", &before[0]) && stays(&now, "a-1", &before[1]));
            Ok(())
        }
    })
    .await
}

#[tokio::test]
async fn never_refuses_evictions_and_drains() -> Result<()> {
    at_rest("Never", ["false", "false"], false).await
}

#[tokio::test]
async fn on_upgrade_lets_drains_through_and_not_the_autoscaler() -> Result<()> {
    at_rest("OnUpgrade", ["false", "true"], true).await
}

#[tokio::test]
async fn always_lets_everybody_through() -> Result<()> {
    at_rest("Always", ["true", "true"], true).await
}

/// Two of three servers wait for their hook: there are more Pods than replicas.
async fn while_a_hook_holds(value: &str, evicted: bool) -> Result<()> {
    const BLOCK: &str = "gs-sync/delete-block";
    let hook = json!({
        "lifecycle": {"preDelete": {"labelsHandler": {BLOCK: "true"}}},
        "gameServerTemplate": {"metadata": {"labels": {BLOCK: "true"}}},
    });
    on_a_node(async |world, node| {
        world
            .settled_set("a", 3, &with(world, &[safe(value), hook]))
            .await?;
        world.scale("a", 1).await?;
        let state = |s: &Snapshot, server: &str| s.pod_label(server, label::GS_STATE) == Some("PreDelete");
        world
            .until("two wait for their hook", |s| state(s, "a-1") && state(s, "a-2"))
            .await?;
        let before = world.now().uids("a");
        for server in ["a-0", "a-1", "a-2"] {
            assert_eq!(
                evict(world, server).await?,
                if evicted { 201 } else { 429 },
                "{value}: {server}"
            );
        }
        if evicted {
            // A drain finds what was made anew.
            world.at_rest("a", &[0]).await?;
        }
        assert_eq!(drain(node, patience(evicted)).await?, evicted, "{value}");
        if !evicted {
            world.fence().await?;
            assert_eq!(world.now().uids("a"), before);
            assert!(before.keys().all(|id| world.now().ids("a").contains(id)));
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn never_holds_servers_that_wait_for_their_hook_and_those_that_stay() -> Result<()> {
    while_a_hook_holds("Never", false).await
}

#[tokio::test]
async fn on_upgrade_lets_servers_go_that_wait_for_their_hook() -> Result<()> {
    while_a_hook_holds("OnUpgrade", true).await
}

#[tokio::test]
async fn always_lets_servers_go_that_wait_for_their_hook() -> Result<()> {
    while_a_hook_holds("Always", true).await
}

/// One server is out of service for an update in place, and stays so: its hook does not let it go on.
async fn while_updated(value: &str, evicted: bool) -> Result<()> {
    const BLOCK: &str = "gs-sync/update-block";
    let image = |tag: &str| {
        json!({"gameServerTemplate": {"spec": {"containers": [
        {"name": "game", "image": format!("gamekeeper.local/demo/game:{tag}")}]}}})
    };
    let rolling = json!({
        "lifecycle": {"inPlaceUpdate": {"labelsHandler": {BLOCK: "true"}, "markPodNotReady": true}},
        "gameServerTemplate": {"metadata": {"labels": {BLOCK: "true"}}},
        "updateStrategy": {"rollingUpdate": {"podUpdatePolicy": "InPlaceIfPossible", "maxUnavailable": 1}},
    });
    on_a_node(async |world, node| {
        let spec = with(world, &[safe(value), rolling, image("1")]);
        world.settled_set("a", 2, &spec).await?;
        world.patch_set("a", &image("2")).await?;
        world
            .until("one is out of service", |s| {
                s.pod_label("a-1", label::GS_STATE) == Some("PreUpdate")
                    && s.condition("a", condition::READY)
                        .is_some_and(|ready| ready.status == "False")
            })
            .await?;
        let before = world.now().uids("a");
        for server in ["a-0", "a-1"] {
            assert_eq!(
                evict(world, server).await?,
                if evicted { 201 } else { 429 },
                "{value}: {server}"
            );
        }
        if evicted {
            world.at_rest("a", &[0, 1]).await?;
        }
        assert_eq!(drain(node, patience(evicted)).await?, evicted, "{value}");
        if !evicted {
            world.fence().await?;
            assert_eq!(world.now().uids("a"), before);
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn never_holds_a_server_that_is_out_of_service_for_an_update() -> Result<()> {
    while_updated("Never", false).await
}

#[tokio::test]
async fn on_upgrade_lets_a_server_go_that_is_updated() -> Result<()> {
    while_updated("OnUpgrade", true).await
}

#[tokio::test]
async fn always_lets_a_server_go_that_is_updated() -> Result<()> {
    while_updated("Always", true).await
}

#[tokio::test]
async fn when_idle_follows_the_allocation_in_the_patch_that_shows_it() -> Result<()> {
    on_a_node(async |world, node| {
        world
            .settled_set("a", 2, &with(world, &[safe("WhenIdle")]))
            .await?;
        world.set_ops_state("a-0", "Allocated").await?;
        world.until("the Pod shows it", |s| s.is_synced("a-0")).await?;
        let before = [world.pod_uid("a-0")?, world.pod_uid("a-1")?];
        assert_eq!(evict(world, "a-0").await?, 429);
        assert!(!drain(node, "2s").await?, "one of two is in use");
        world
            .until("the idle one was made anew", |s| !stays(s, "a-1", &before[1]))
            .await?;
        assert!(stays(&world.now(), "a-0", &before[0]));
        // In no version does it say the one without the other.
        let versions = world.now().pod_history;
        let said =
            |pod: &Pod, key: &str, value: &str| pod.labels().get(key).is_some_and(|found| found == value);
        for pod in versions
            .iter()
            .filter(|pod| pod.uid().as_ref() == Some(&before[0]))
        {
            let allocated = said(pod, label::GS_OPS_STATE, "Allocated");
            assert_eq!(
                said(pod, label::SAFE_TO_EVICT, "false"),
                allocated,
                "{:?}",
                pod.labels()
            );
        }
        world.set_ops_state("a-0", "None").await?;
        world.until("the Pod shows it", |s| s.is_synced("a-0")).await?;
        assert_eq!(evict(world, "a-0").await?, 201);
        world.at_rest("a", &[0, 1]).await
    })
    .await
}

#[tokio::test]
async fn a_set_that_changes_its_mind_changes_its_running_pods() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 3, &json!({})).await?;
        let before = world.now().uids("a");
        let all = |s: &Snapshot, annotation: &str, label: &str| {
            ["a-0", "a-1", "a-2"].iter().all(|pod| {
                s.pod_annotation(pod, annotation::SAFE_TO_EVICT) == Some(annotation)
                    && s.pod_label(pod, label::SAFE_TO_EVICT) == Some(label)
            })
        };
        world
            .until("Never, where nothing is said", |s| all(s, "false", "false"))
            .await?;
        for (value, annotation, label) in [
            ("OnUpgrade", "false", "true"),
            ("Always", "true", "true"),
            ("Never", "false", "false"),
            ("WhenIdle", "true", "true"),
        ] {
            world
                .patch_set("a", &json!({"eviction": {"safe": value}}))
                .await?;
            world.until(value, |s| all(s, annotation, label)).await?;
        }
        // What the template says itself is left alone, and alone it means Always.
        let said = json!({"metadata": {"annotations": {annotation::SAFE_TO_EVICT: "true"}}});
        world
            .patch_set(
                "a",
                &json!({"eviction": null, "gameServerTemplate": said,
                "updateStrategy": {"rollingUpdate": {"podUpdatePolicy": "InPlaceIfPossible"}}}),
            )
            .await?;
        world.at_rest("a", &[0, 1, 2]).await?;
        world
            .until("the old way to say Always", |s| all(s, "true", "true"))
            .await?;
        let gone = json!({"metadata": {"annotations": {annotation::SAFE_TO_EVICT: null}}});
        world.patch_set("a", &json!({"gameServerTemplate": gone})).await?;
        world.until("Never again", |s| all(s, "false", "false")).await?;
        world.at_rest("a", &[0, 1, 2]).await?;
        assert_eq!(world.now().uids("a"), before, "no Pod was made anew");
        Ok(())
    })
    .await
}
