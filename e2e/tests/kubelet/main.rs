//! The controllers with a real kubelet: what only a running container can show.
//!
//! A cluster with a kubelet, the test images and running controllers are expected: `cargo xtask test --only kubelet`, see
//! docs/testing.md.

mod gateway;
mod qualities;
mod updates;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api_types::keys::{self, label};
use e2e::{Snapshot, World, cluster, in_default, in_namespace};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{DeleteParams, EvictParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

/// Several documented sets have this name.
static MINECRAFT: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The kubelet looks at a changed Pod at once, and at the latest in its periodic sync, which may take a minute and a half.
const FILE: Duration = Duration::from_secs(100);
/// Seconds a server of these tests gets to end.
const GRACE: u64 = 8;

/// What its container runs: it ignores SIGTERM, and ends when told to.
const GAME: &str = "trap '' TERM; until [ -e /tmp/end ]; do sleep 0.2; done";

/// A set whose container runs [`GAME`] and has its labels and annotations in files.
fn informed(grace_seconds: u64) -> Value {
    let file = |path: &str, field: &str| json!({"path": path, "fieldRef": {"fieldPath": field}});
    let items = [
        file("ops-state", "metadata.labels['game.kruise.io/gs-opsState']"),
        file("state", "metadata.labels['game.kruise.io/gs-state']"),
        file("match-id", "metadata.annotations['gs-sync/match-id']"),
    ];
    let container = json!({
        "name": "game",
        "image": "gamekeeper.local/demo/game:1",
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", GAME],
        "volumeMounts": [{"name": "podinfo", "mountPath": "/etc/podinfo"}],
    });
    let spec = json!({
        "terminationGracePeriodSeconds": grace_seconds,
        "containers": [container],
        "volumes": [{"name": "podinfo", "downwardAPI": {"items": items}}],
    });
    let update = json!({"rollingUpdate": {"podUpdatePolicy": "InPlaceIfPossible"}});
    json!({"gameServerTemplate": {"spec": spec}, "updateStrategy": update})
}

fn container_status(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

#[tokio::test]
async fn the_documented_set_runs_with_its_update_gate_open() -> Result<()> {
    let _alone = MINECRAFT.lock().await;
    in_default("minecraft", async |world| {
        world.apply_manifest("minecraft-processes.yaml").await?;
        world.at_rest("minecraft", &[0, 1, 2]).await?;
        for pod in world.now().pods_of("minecraft") {
            let gates = pod
                .spec
                .as_ref()
                .and_then(|spec| spec.readiness_gates.clone())
                .unwrap_or_default();
            assert!(
                gates
                    .iter()
                    .any(|gate| gate.condition_type == keys::IN_PLACE_UPDATE_READY)
            );
            let conditions = pod
                .status
                .as_ref()
                .and_then(|status| status.conditions.clone())
                .unwrap_or_default();
            let gate = conditions
                .iter()
                .find(|condition| condition.type_ == keys::IN_PLACE_UPDATE_READY);
            assert_eq!(gate.map(|condition| condition.status.as_str()), Some("True"));
        }
        let processes = world
            .shell("minecraft-0", "ps -ef", Duration::from_secs(20))
            .await?;
        ensure!(processes.contains("start.sh"), "{processes}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_game_reads_its_allocation_and_its_match_from_files() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 1, &informed(1)).await?;
        world.file_says("a-0", "/etc/podinfo/ops-state", "None", FILE).await?;
        let patch = json!({"metadata": {"annotations": {"gs-sync/match-id": "match-7"}}, "spec": {"opsState": "Allocated"}});
        world.patch_server("a-0", &patch).await?;
        world.file_says("a-0", "/etc/podinfo/ops-state", "Allocated", FILE).await?;
        // The kubelet changes all files at once: what came in one patch is there together.
        let id = world.shell("a-0", "cat /etc/podinfo/match-id", Duration::from_secs(20)).await?;
        assert_eq!(id, "match-7");
        let ended = json!({"metadata": {"annotations": {"gs-sync/match-id": null}}, "spec": {"opsState": "None"}});
        world.patch_server("a-0", &ended).await?;
        world.file_says("a-0", "/etc/podinfo/ops-state", "None", FILE).await?;
        assert_eq!(world.shell("a-0", "cat /etc/podinfo/match-id", Duration::from_secs(20)).await?, "");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_server_that_is_going_reads_deleting_while_it_ends() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 1, &informed(120)).await?;
        world.scale("a", 0).await?;
        let going = |s: &Snapshot| s.pod_label("a-0", label::GS_STATE) == Some("Deleting");
        world.until("the label says Deleting", going).await?;
        world
            .file_says("a-0", "/etc/podinfo/state", "Deleting", FILE)
            .await?;
        world
            .shell("a-0", "touch /tmp/end", Duration::from_secs(20))
            .await?;
        world.at_rest("a", &[]).await
    })
    .await
}

#[tokio::test]
async fn an_image_of_its_own_changes_in_place_with_the_same_pod() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 2, &informed(1)).await?;
        let before = world.now().uids("a");
        let containers = json!([{"name": "game", "image": "gamekeeper.local/demo/game:2"}]);
        world
            .patch_server("a-0", &json!({"spec": {"containers": containers}}))
            .await?;
        let runs = |s: &Snapshot, name: &str, tag: &str, restarts: i32| {
            let status = s.pods.get(name).and_then(|pod| container_status(pod));
            status.is_some_and(|c| c.image.ends_with(tag) && c.restart_count == restarts && c.ready)
        };
        world
            .until("a-0 runs game:2", |s| runs(s, "a-0", "game:2", 1))
            .await?;
        world.at_rest("a", &[0, 1]).await?;
        let now = world.now();
        assert_eq!(now.uids("a"), before);
        assert!(runs(&now, "a-1", "game:1", 0), "its neighbour wasn't touched");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_deleted_set_gives_its_servers_their_grace_period() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 2, &informed(GRACE)).await?;
        world.sets().delete("a", &DeleteParams::background()).await?;
        // In a new cluster the garbage collector looks for new kinds every 30 s: until then it does not know the set.
        world.until("both are ending", |s| s.ids("a").is_empty()).await?;
        let ending = Instant::now();
        still_plays(world, "a-0").await?;
        world.until("no Pod is left", |s| s.pods.is_empty()).await?;
        let took = ending.elapsed().as_secs();
        ensure!(
            (GRACE - 1..GRACE + 30).contains(&took),
            "gone after {took} s, the grace period is {GRACE} s"
        );
        world.until("no record is left", |s| s.servers.is_empty()).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_refused_eviction_disturbs_nobody_and_an_allowed_one_gives_the_whole_grace_period() -> Result<()> {
    in_namespace(async |world| {
        let pods: Api<Pod> = Api::namespaced(cluster::client_without_retries().await?, &world.namespace);
        let evict = async || pods.evict("a-0", &EvictParams::default()).await;
        world.settled_set("a", 1, &informed(GRACE)).await?;
        let before = world.pods().get("a-0").await?;
        let container = |pod: &Pod| container_status(pod).and_then(|c| c.container_id.clone());
        for _ in 0..5 {
            let refused = evict().await;
            ensure!(
                matches!(&refused, Err(kube::Error::Api(status)) if status.code == 429),
                "{refused:?}"
            );
        }
        let said = world
            .shell("a-0", "echo playing", Duration::from_secs(20))
            .await?;
        let now = world.pods().get("a-0").await?;
        ensure!(said.trim() == "playing" && container(&now) == container(&before));
        ensure!(now.metadata.deletion_timestamp.is_none());

        world
            .patch_set("a", &json!({"eviction": {"safe": "Always"}}))
            .await?;
        world
            .until("the running Pod shows it", |s| {
                s.pod_label("a-0", label::SAFE_TO_EVICT) == Some("true")
            })
            .await?;
        evict().await?;
        let ending = Instant::now();
        still_plays(world, "a-0").await?;
        let claim = world
            .servers()
            .get("a-0")
            .await?
            .status
            .and_then(|status| status.deletion_claim);
        ensure!(claim.is_some_and(|claim| claim.reason == "Evicted"));
        world
            .until("another Pod", |s| {
                s.pods.get("a-0").is_some_and(|pod| pod.uid() != before.uid())
            })
            .await?;
        let took = ending.elapsed().as_secs();
        ensure!(
            (GRACE - 1..GRACE + 30).contains(&took),
            "gone after {took} s, the grace period is {GRACE} s"
        );
        Ok(())
    })
    .await
}

/// A kubelet that refuses a Pod ends it at once (`OutOfcpu`), and so the next one: without a pause this would go on many times a
/// second.
#[tokio::test]
async fn a_server_its_kubelet_refuses_is_replaced_and_then_with_pauses() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 1, &informed(1)).await?;
        let now = world.now();
        let node = now
            .pods
            .get("a-0")
            .and_then(|pod| pod.spec.as_ref()?.node_name.clone());
        let mut spec = informed(1);
        spec["gameServerTemplate"]["spec"]["nodeName"] = json!(node.context("a-0 is on no node")?);
        spec["gameServerTemplate"]["spec"]["containers"][0]["resources"] =
            json!({"requests": {"cpu": "1000"}});
        world.apply(&e2e::act::set_with("b", 1, &spec)).await?;
        world
            .until("the set says that b-0 ends again and again", |s| {
                s.condition("b", "Degraded")
                    .is_some_and(|found| found.reason == "EarlyEnds" && found.message.contains("OutOfcpu"))
            })
            .await?;
        let now = world.now();
        let made: std::collections::BTreeSet<_> = now
            .pod_history
            .iter()
            .filter(|pod| pod.name_any() == "b-0")
            .filter_map(|pod| pod.uid())
            .collect();
        assert_eq!(made.len(), 2, "replaced at once, once");
        Ok(())
    })
    .await
}

async fn still_plays(world: &World, pod: &str) -> Result<()> {
    let said = world
        .shell(pod, "echo playing", Duration::from_secs(GRACE))
        .await?;
    let pod = world.pods().get(pod).await?;
    ensure!(said.trim() == "playing", "{said}");
    pod.metadata
        .deletion_timestamp
        .as_ref()
        .context("it isn't ending")?;
    ensure!(
        container_status(&pod).is_some_and(|c| c.state.as_ref().is_some_and(|s| s.running.is_some())),
        "{}",
        pod.name_any()
    );
    Ok(())
}
