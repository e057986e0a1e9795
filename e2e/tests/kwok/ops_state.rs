//! What an allocator writes on a GameServer reaches the Pod, whole and once.

use anyhow::{Context as _, Result};
use api_types::keys::{annotation, label};
use e2e::act::refusal;
use e2e::{Snapshot, World, in_namespace};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::json;

const MATCH_ID: &str = "gs-sync/match-id";

/// What the versions of Pod a-0 after the first `skip` showed: opsState, match id, synced generation; repetitions left out.
fn shown(now: &Snapshot, skip: usize) -> Vec<[Option<String>; 3]> {
    let pods = now
        .pod_history
        .iter()
        .skip(skip)
        .filter(|pod| pod.name_any() == "a-0");
    let mut shown: Vec<_> = pods
        .map(|pod| {
            let (labels, annotations) = (pod.labels(), pod.annotations());
            [
                labels.get(label::GS_OPS_STATE).cloned(),
                annotations.get(MATCH_ID).cloned(),
                annotations.get(annotation::SYNCED_GENERATION).cloned(),
            ]
        })
        .collect();
    shown.dedup();
    shown
}

/// An allocation as a matchmaker's director makes it: state and match in one patch.
async fn allocate(world: &World, server: &str, match_id: &str) -> Result<i64> {
    let patch = json!({"metadata": {"annotations": {MATCH_ID: match_id}}, "spec": {"opsState": "Allocated"}});
    let generation = world
        .patch_server(server, &patch)
        .await?
        .metadata
        .generation
        .context("no generation")?;
    world
        .until("the Pod shows the allocation", |s| s.is_synced(server))
        .await?;
    Ok(generation)
}

#[tokio::test]
async fn every_ops_state_reaches_the_label_with_its_generation() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 1, &json!({})).await?;
        for state in [
            "Allocated",
            "Maintaining",
            "WaitToBeDeleted",
            "GateMaintaining",
            "None",
        ] {
            world.set_ops_state("a-0", state).await?;
            world
                .until(&format!("label {state}"), |s| {
                    s.pod_label("a-0", label::GS_OPS_STATE) == Some(state) && s.is_synced("a-0")
                })
                .await?;
        }
        assert!(
            world
                .now()
                .pod_annotation("a-0", annotation::OPS_STATE_LAST_CHANGED)
                .is_some()
        );
        let event = world.event("a-0", "GsStateChanged").await?;
        assert!(
            event
                .message
                .unwrap_or_default()
                .starts_with("OpsState turn from ")
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_allocation_reaches_the_pod_in_one_change() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 1, &json!({})).await?;
        let before = world.now().pod_history.len();
        let generation = allocate(world, "a-0", "match-7").await?.to_string();
        let wanted = [
            Some("Allocated".to_owned()),
            Some("match-7".to_owned()),
            Some(generation),
        ];
        assert_eq!(shown(&world.now(), before), [wanted]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_match_that_ended_leaves_the_pod_with_its_allocation() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 1, &json!({})).await?;
        allocate(world, "a-0", "match-7").await?;
        let before = world.now().pod_history.len();
        let ended = json!({"metadata": {"annotations": {MATCH_ID: null}}, "spec": {"opsState": "None"}});
        let server = world.patch_server("a-0", &ended).await?;
        world
            .until("the Pod shows the end", |s| s.is_synced("a-0"))
            .await?;
        let generation = server
            .metadata
            .generation
            .map(|generation| generation.to_string());
        assert_eq!(
            shown(&world.now(), before),
            [[Some("None".to_owned()), None, generation]]
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_match_id_alone_comes_and_goes() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 1, &json!({})).await?;
        for value in [json!("match-8"), json!(null)] {
            let patch = json!({"metadata": {"annotations": {MATCH_ID: value}}});
            world.patch_server("a-0", &patch).await?;
            world
                .until(&format!("match id {value}"), |s| {
                    s.pod_annotation("a-0", MATCH_ID) == value.as_str()
                })
                .await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_quick_sequence_ends_with_its_last_value() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 3, &json!({})).await?;
        for round in 0..20 {
            for name in ["a-0", "a-1", "a-2"] {
                let state = if round % 2 == 0 { "Allocated" } else { "None" };
                let patch = json!({"metadata": {"labels": {"gs-sync/round": round.to_string()}}, "spec": {"opsState": state}});
                world.servers().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
            }
        }
        let last = |s: &Snapshot, name: &str| {
            let labels = s.pod_label(name, label::GS_OPS_STATE) == Some("None")
                && s.pod_label(name, "gs-sync/round") == Some("19");
            labels && s.is_synced(name)
        };
        world.until("all show round 19", |s| ["a-0", "a-1", "a-2"].iter().all(|name| last(s, name))).await?;
        generations_only_rose(&world.now())
    })
    .await
}

fn generations_only_rose(now: &Snapshot) -> Result<()> {
    for name in ["a-0", "a-1", "a-2"] {
        let pods = now.pod_history.iter().filter(|pod| pod.name_any() == name);
        let generations = pods.filter_map(|pod| pod.annotations().get(annotation::SYNCED_GENERATION));
        let generations: Vec<i64> = generations.map(|text| text.parse()).collect::<Result<_, _>>()?;
        assert!(generations.is_sorted(), "{name}: {generations:?}");
    }
    Ok(())
}

#[tokio::test]
async fn priorities_and_network_isolation_reach_pod_and_status() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 1, &json!({})).await?;
        let spec = json!({"deletionPriority": 7, "updatePriority": "12", "networkDisabled": true});
        world.patch_server("a-0", &json!({"spec": spec})).await?;
        let labels = [
            (label::GS_DELETE_PRIORITY, "7"),
            (label::GS_UPDATE_PRIORITY, "12"),
            (label::NETWORK_DISABLED, "true"),
        ];
        let shown = |s: &Snapshot| {
            labels
                .iter()
                .all(|(key, value)| s.pod_label("a-0", key) == Some(value))
        };
        world.until("the Pod shows all three", shown).await?;
        let row = async || Ok::<_, anyhow::Error>(world.table("gameservers", None).await?.row("a-0"));
        world
            .until("the status shows them", |s| {
                s.status("a-0")
                    .and_then(|status| status.deletion_priority.as_ref())
                    .is_some_and(|p| p.to_label_string() == "7")
            })
            .await?;
        assert_eq!(
            row().await?.context("no row")?,
            ["a-0", "Ready", "None", "7", "12"]
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_ops_state_no_label_can_show_is_refused_with_what_to_write() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 1, &json!({})).await?;
        let patch = Patch::Merge(json!({"spec": {"opsState": "in a match"}}));
        let refused = refusal(
            world
                .servers()
                .patch("a-0", &PatchParams::default(), &patch)
                .await,
        )?;
        assert!(
            refused.starts_with("422 ") && refused.contains("for example Maintaining"),
            "{refused}"
        );
        Ok(())
    })
    .await
}
