//! The documented set behind a gateway, as it is written: it runs, says what of it can't work, and drains when told to.

use anyhow::{Context as _, Result, ensure};
use api_types::keys::label;
use e2e::{World, in_default};
use k8s_openapi::api::core::v1::PodCondition;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use serde_json::json;

use crate::container_status;

const SET: &str = "postio";
const QUALITY: &str = "game.kruise.io/healthy";

#[tokio::test]
async fn the_documented_gateway_set_runs() -> Result<()> {
    in_default(SET, async |world| {
        world.apply_manifest("posio.yaml").await?;
        world.at_rest(SET, &[0, 1, 2]).await?;
        let block = world
            .now()
            .pod_label("postio-0", "gs-sync/delete-block")
            .map(str::to_owned);
        assert_eq!(block.as_deref(), Some("true"));
        each_server_has_its_host(world).await?;
        its_quality_says_that_there_is_no_such_container(world).await?;
        it_drains_until_it_is_told_that_it_has(world).await
    })
    .await
}

/// The manifest's `{ID}` is the server's id.
async fn each_server_has_its_host(world: &World) -> Result<()> {
    let ingresses: Api<Ingress> = Api::namespaced(world.client.clone(), &world.namespace);
    for id in 0..3 {
        let name = format!("{SET}-{id}");
        let found = async {
            loop {
                if let Some(ingress) = ingresses.get_opt(&name).await? {
                    return anyhow::Ok(ingress);
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        let ingress = tokio::time::timeout(std::time::Duration::from_secs(60), found).await;
        let ingress = ingress.with_context(|| format!("no Ingress {name} within a minute"))??;
        let rules = ingress.spec.and_then(|spec| spec.rules).unwrap_or_default();
        let host = rules.first().and_then(|rule| rule.host.as_deref());
        assert_eq!(host, Some(format!("game{id}.postio.example.com").as_str()));
    }
    Ok(())
}

/// The manifest's quality names `minecraft`, and its container is `postio`.
async fn its_quality_says_that_there_is_no_such_container(world: &World) -> Result<()> {
    let condition = world
        .find("the quality says what is wrong", |s| {
            let status = s.pods.get("postio-1")?.status.as_ref()?;
            let mut conditions = status.conditions.iter().flatten();
            conditions.find(|condition| condition.type_ == QUALITY).cloned()
        })
        .await?;
    let PodCondition {
        status,
        reason,
        message,
        ..
    } = condition;
    assert_eq!(
        (status.as_str(), reason.as_deref()),
        ("Unknown", Some("ContainerNotFound"))
    );
    let message = message.context("no message")?;
    ensure!(
        message.contains("minecraft") && message.contains(SET),
        "{message}"
    );
    let event = world.event("postio-1", "ContainerNotFound").await?;
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    Ok(())
}

async fn it_drains_until_it_is_told_that_it_has(world: &World) -> Result<()> {
    world.scale(SET, 2).await?;
    world
        .until("postio-2 drains", |s| {
            s.pod_label("postio-2", label::GS_STATE) == Some("PreDelete")
        })
        .await?;
    let draining = world.now();
    let pod = draining.pods.get("postio-2").context("postio-2 is gone")?;
    ensure!(
        pod.metadata.deletion_timestamp.is_none() && container_status(pod).is_some_and(|c| c.ready),
        "its container goes on while it drains"
    );
    let drained = json!({"metadata": {"labels": {"gs-sync/delete-block": "false"}}});
    world.patch_server("postio-2", &drained).await?;
    world.at_rest(SET, &[0, 1]).await
}
