//! The set of the service-quality documentation, applied as it is written there.

use anyhow::{Context as _, Result};
use api_types::{IntOrString, keys};
use e2e::{World, in_default};

const MANIFEST: &str = "minecraft-processes.yaml";
const SET: &str = "minecraft";

#[tokio::test]
async fn the_documented_set_becomes_three_ready_servers() -> Result<()> {
    in_default(SET, async |world| {
        world.apply_manifest(MANIFEST).await?;
        world.at_rest(SET, &[0, 1, 2]).await?;
        its_servers_say_how_they_are(world)?;
        the_set_counts_them(world)?;
        both_tables_read_as_documented(world).await
    })
    .await
}

fn its_servers_say_how_they_are(world: &World) -> Result<()> {
    let now = world.now();
    for id in 0..3 {
        let name = format!("{SET}-{id}");
        let server = now.servers.get(&name).context("no GameServer")?;
        assert_eq!(server.spec.ops_state.as_deref(), Some("None"));
        assert_eq!(server.spec.update_priority, Some(IntOrString::Int(0)));
        assert_eq!(server.spec.deletion_priority, Some(IntOrString::Int(0)));
        let status = server.status.as_ref().context("no status")?;
        assert_eq!(status.desired_state.as_deref(), Some("Ready"));
        assert_eq!(status.update_priority, Some(IntOrString::String("0".into())));
        assert_eq!(status.deletion_priority, Some(IntOrString::String("0".into())));
        assert!(status.last_transition_time.is_some() && status.deletion_claim.is_none());
        let pod = status.pod_status.as_ref().context("no podStatus")?;
        assert_eq!(pod["phase"], "Running");
        let normal = status
            .conditions
            .iter()
            .find(|c| c.type_ == keys::condition::POD_NORMAL);
        assert_eq!(normal.map(|c| c.status.as_str()), Some("True"));
        for (key, value) in [
            (keys::label::GS_STATE, "Ready"),
            (keys::label::GS_OPS_STATE, "None"),
            (keys::label::GS_UPDATE_PRIORITY, "0"),
            (keys::label::GS_DELETE_PRIORITY, "0"),
            (keys::label::NETWORK_DISABLED, "false"),
            (keys::label::POD_NAME, &name),
        ] {
            assert_eq!(now.pod_label(&name, key), Some(value), "{key} of {name}");
        }
    }
    Ok(())
}

fn the_set_counts_them(world: &World) -> Result<()> {
    let now = world.now();
    let status = now
        .sets
        .get(SET)
        .and_then(|set| set.status.clone())
        .context("no status")?;
    let counted = [
        status.replicas,
        status.current_replicas,
        status.ready_replicas,
        status.available_replicas,
    ];
    assert_eq!(counted, [3; 4]);
    assert_eq!(status.updated_replicas, 3);
    assert_eq!(status.maintaining_replicas, Some(0));
    assert_eq!(status.wait_to_be_deleted_replicas, Some(0));
    assert_eq!(status.pre_delete_replicas, Some(0));
    assert_eq!(
        status.label_selector.as_deref(),
        Some("game.kruise.io/owner-gss=minecraft")
    );
    let ready = now
        .condition(SET, keys::condition::READY)
        .context("no condition Ready")?;
    assert_eq!(ready.status, "True", "{ready:?}");
    Ok(())
}

async fn both_tables_read_as_documented(world: &World) -> Result<()> {
    let servers = world.table("gameservers", Some(SET)).await?;
    assert_eq!(
        servers.columns(),
        ["Name", "STATE", "OPSSTATE", "DP", "UP", "AGE"]
    );
    for id in 0..3 {
        let name = format!("{SET}-{id}");
        assert_eq!(
            servers.row(&name).context("no row")?,
            [name.as_str(), "Ready", "None", "0", "0"]
        );
    }
    let sets = world.table("gameserversets", None).await?;
    let columns = [
        "Name",
        "DESIRED",
        "CURRENT",
        "UPDATED",
        "READY",
        "Maintaining",
        "WaitToBeDeleted",
        "PreDelete",
        "AGE",
    ];
    assert_eq!(sets.columns(), columns);
    assert_eq!(
        sets.row(SET).context("no row")?,
        [SET, "3", "3", "3", "3", "0", "0", "0"]
    );
    Ok(())
}
