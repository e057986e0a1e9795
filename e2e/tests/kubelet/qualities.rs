//! Service qualities with real containers: the documented stories from their manifests, and what commands tell.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{Snapshot, World, in_default, in_namespace};
use k8s_openapi::api::core::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::json;

use crate::MINECRAFT;

/// Time for a command in a container of a busy machine.
const SHELL: Duration = Duration::from_secs(20);

fn ops_state(s: &Snapshot, server: &str) -> Option<String> {
    s.servers.get(server)?.spec.ops_state.clone()
}

/// State and result of a service quality, as the GameServer shows them.
fn quality(s: &Snapshot, server: &str, name: &str) -> Option<(String, String)> {
    let status = s.servers.get(server)?.status.as_ref()?;
    let shown = status
        .service_qualities_conditions
        .iter()
        .find(|it| it.name == name)?;
    Some((shown.status.clone()?, shown.result.clone().unwrap_or_default()))
}

async fn all_say(world: &World, set: &str, quality_name: &str, status: &str, ops: &str) -> Result<()> {
    let shown = |s: &Snapshot| {
        (0..3).all(|id| {
            let name = format!("{set}-{id}");
            let said = quality(s, &name, quality_name);
            said.is_some_and(|(said, _)| said == status) && ops_state(s, &name).as_deref() == Some(ops)
        })
    };
    world
        .until(
            &format!("{quality_name} is {status} and opsState {ops} everywhere"),
            shown,
        )
        .await
}

async fn ops_state_is(world: &World, server: &str, wanted: &str) -> Result<()> {
    let shown = |s: &Snapshot| {
        // The label follows; both are what people look at.
        let label = s.pod_label(server, api_types::keys::label::GS_OPS_STATE);
        ops_state(s, server).as_deref() == Some(wanted) && label == Some(wanted)
    };
    world
        .until(&format!("opsState of {server} is {wanted}"), shown)
        .await
}

/// Kills a process of the rich container, as a crash would.
async fn kill(world: &World, pod: &str, process: &str) -> Result<()> {
    // The brackets keep the search from finding itself.
    let (first, rest) = process.split_at(1);
    let script = format!("kill -9 $(ps -ef | grep '[{first}]{rest}.sh' | awk '{{print $1}}')");
    world.shell(pod, &script, SHELL).await?;
    Ok(())
}

async fn start(world: &World, pod: &str, process: &str) -> Result<()> {
    let script = format!("cd /data && setsid bash ./{process}.sh > /dev/null 2>&1 < /dev/null &");
    world.shell(pod, &script, SHELL).await?;
    Ok(())
}

#[tokio::test]
async fn a_process_that_dies_is_an_ops_state_until_it_is_started_again() -> Result<()> {
    let _alone = MINECRAFT.lock().await;
    in_default("minecraft", async |world| {
        world.apply_manifest("minecraft-processes.yaml").await?;
        world.at_rest("minecraft", &[0, 1, 2]).await?;
        // Its probe ends with 1 while both processes run.
        all_say(world, "minecraft", "healthy", "False", "None").await?;
        let uids = world.now().uids("minecraft");
        kill(world, "minecraft-0", "gate").await?;
        kill(world, "minecraft-1", "data").await?;
        ops_state_is(world, "minecraft-0", "GateMaintaining").await?;
        ops_state_is(world, "minecraft-1", "DataMaintaining").await?;
        // The status follows what it is about.
        for (server, result) in [("minecraft-0", "gate"), ("minecraft-1", "data")] {
            let said = |s: &Snapshot| quality(s, server, "healthy") == Some(("True".into(), result.into()));
            world
                .until(&format!("healthy of {server} is True: {result}"), said)
                .await?;
        }
        start(world, "minecraft-0", "gate").await?;
        start(world, "minecraft-1", "data").await?;
        ops_state_is(world, "minecraft-0", "None").await?;
        ops_state_is(world, "minecraft-1", "None").await?;
        let now = world.now();
        ensure!(now.uids("minecraft") == uids, "no Pod was replaced");
        let touched = |pod: &&std::sync::Arc<k8s_openapi::api::core::v1::Pod>| {
            kube::ResourceExt::name_any(pod.as_ref()) == "minecraft-2"
                && kube::ResourceExt::labels(pod.as_ref())
                    .get(api_types::keys::label::GS_OPS_STATE)
                    .is_some_and(|label| label != "None")
        };
        ensure!(
            !now.pod_history.iter().any(|pod| touched(&pod)),
            "its neighbour was never touched"
        );
        world.event("minecraft-0", "ServiceQualityAction").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn idle_servers_are_marked_and_go_first() -> Result<()> {
    let _alone = MINECRAFT.lock().await;
    in_default("minecraft", async |world| {
        world.apply_manifest("minecraft-idle.yaml").await?;
        world.at_rest("minecraft", &[0, 1, 2]).await?;
        all_say(world, "minecraft", "idle", "True", "WaitToBeDeleted").await?;
        world
            .shell("minecraft-1", "echo player >> /tmp/players", SHELL)
            .await?;
        ops_state_is(world, "minecraft-1", "None").await?;
        world.scale("minecraft", 1).await?;
        world.at_rest("minecraft", &[1]).await
    })
    .await
}

#[tokio::test]
async fn an_unhealthy_server_is_maintained_with_one_warning() -> Result<()> {
    in_default("demo-gs", async |world| {
        world.apply_manifest("demo-gs-healthy.yaml").await?;
        world.at_rest("demo-gs", &[0, 1, 2]).await?;
        all_say(world, "demo-gs", "healthy", "True", "None").await?;
        kill(world, "demo-gs-0", "gate").await?;
        ops_state_is(world, "demo-gs-0", "Maintaining").await?;
        world.event("demo-gs-0", "GsStateChanged").await?;
        let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
        let uid = world
            .now()
            .servers
            .get("demo-gs-0")
            .and_then(|server| kube::ResourceExt::uid(server.as_ref()));
        let about = ListParams::default().fields("involvedObject.name=demo-gs-0,type=Warning");
        let warnings: Vec<_> = events
            .list(&about)
            .await?
            .into_iter()
            .filter(|event| event.involved_object.uid == uid)
            .collect();
        ensure!(warnings.len() == 1, "{warnings:#?}");
        let warning = warnings.first().context("no warning")?;
        ensure!(
            warning.message.as_deref() == Some("OpsState turn from None to Maintaining "),
            "{warning:#?}"
        );
        let now = world.now();
        ensure!(
            ["demo-gs-1", "demo-gs-2"]
                .iter()
                .all(|name| ops_state(&now, name).as_deref() == Some("None"))
        );
        Ok(())
    })
    .await
}

/// Everything a command can do, side by side in one container, each with a state and a result of its own.
#[tokio::test]
async fn commands_tell_what_they_do_and_a_restarted_container_tells_nothing() -> Result<()> {
    in_namespace(async |world| {
        let exec = |name: &str, command: &[&str]| {
            json!({"name": name, "permanent": false, "exec": {"command": command}, "initialDelaySeconds": 1, "periodSeconds": 1,
                "timeoutSeconds": 1, "failureThreshold": 1,
                "serviceQualityAction": [{"state": false, "annotations": {format!("failed-{name}"): "{{ .Result }}"}}]})
        };
        let qualities = json!([
            exec("good", &["sh", "-c", "echo '3|'; echo noise >&2"]),
            exec("bad", &["sh", "-c", "echo broken; exit 3"]),
            exec("mute", &["sh", "-c", "echo why >&2; exit 1"]),
            exec("hung", &["sleep", "60"]),
            exec("absent", &["no-such-command"]),
            exec("late", &["sh", "-c", "[ ! -e /tmp/end ]"]),
            {"name": "lost", "permanent": false, "containerName": "minecraft", "exec": {"command": ["true"]}},
        ]);
        let container = json!({"name": "game", "image": "gamekeeper.local/demo/game:1", "imagePullPolicy": "Never",
            "command": ["sh", "-c", crate::GAME]});
        let spec = json!({"serviceQualities": qualities,
            "gameServerTemplate": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}});
        world.settled_set("a", 1, &spec).await?;
        let absent = "command cannot be started: \"no-such-command\": executable file not found in $PATH";
        for (name, status, result) in [
            ("good", "True", "3"),
            ("bad", "False", "broken"),
            ("mute", "False", "why"),
            ("hung", "False", "command timed out after 1 s"),
            ("absent", "False", absent),
            ("late", "True", ""),
            ("lost", "Unknown", "containerName is minecraft, and the Pod's containers are: game"),
        ] {
            let said = |s: &Snapshot| quality(s, "a-0", name) == Some((status.to_owned(), result.to_owned()));
            world.until(&format!("{name} is {status}: {result}"), said).await?;
        }
        world.event("a-0", "ContainerNotFound").await?;
        // The container ends and is started again. While it is away, and while it starts, nobody says anything new.
        let before = world.now();
        let history = before.pod_history.len();
        world.shell("a-0", "touch /tmp/end", SHELL).await?;
        world
            .until("the container was started again", |s| {
                s.pods.get("a-0").is_some_and(|pod| {
                    let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first());
                    status.is_some_and(|status| status.restart_count == 1 && status.ready)
                })
            })
            .await?;
        let settled = world.now();
        let conditions = |pod: &k8s_openapi::api::core::v1::Pod| {
            let all = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let ours = all.filter(|it| it.type_.starts_with("game.kruise.io/") && it.type_ != "game.kruise.io/late");
            ours.map(|it| (it.type_.clone(), it.status.clone(), it.message.clone())).collect::<Vec<_>>()
        };
        let pods = &settled.pod_history[history - 1..];
        let first = pods.first().context("no Pod")?;
        ensure!(pods.iter().all(|pod| conditions(pod) == conditions(first)), "a restart changed a condition");
        Ok(())
    })
    .await
}
