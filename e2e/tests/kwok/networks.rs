//! Networks, from the set's manifest to the addresses of its servers: all controllers together.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use api_types::keys::annotation;
use e2e::{Snapshot, World, in_default, in_namespace};
use k8s_openapi::api::{core::v1::Service, networking::v1::Ingress};
use kube::Api;
use serde_json::{Value, json};

/// Whether the network of every server of the set is Ready.
fn reachable(now: &Snapshot, set: &str, count: usize) -> bool {
    let ready = now.servers_of(set).filter(|server| {
        let network = server
            .status
            .as_ref()
            .and_then(|status| status.network_status.as_ref());
        network.and_then(|network| network.current_network_state.as_deref()) == Some("Ready")
    });
    ready.count() == count
}

async fn until_reachable(world: &World, set: &str, count: usize) -> Result<()> {
    world
        .until(&format!("{count} servers of {set} can be reached"), |now| {
            reachable(now, set, count)
        })
        .await
}

#[tokio::test]
async fn the_documented_gateway_set_has_a_host_for_each_server() -> Result<()> {
    in_default("postio", async |world| {
        world.apply_manifest("posio.yaml").await?;
        world.at_rest("postio", &[0, 1, 2]).await?;
        until_reachable(world, "postio", 3).await?;
        let services: Api<Service> = Api::namespaced(world.client.clone(), &world.namespace);
        let ingresses: Api<Ingress> = Api::namespaced(world.client.clone(), &world.namespace);
        for id in 0..3 {
            let name = format!("postio-{id}");
            let service = services.get(&name).await?;
            let ports = service.spec.and_then(|spec| spec.ports).context("no ports")?;
            assert_eq!(ports[0].port, 5000);
            let ingress = ingresses.get(&name).await?;
            let rules = ingress.spec.and_then(|spec| spec.rules).context("no rules")?;
            assert_eq!(
                rules[0].host.as_deref(),
                Some(&*format!("game{id}.postio.example.com"))
            );
            let now = world.now();
            let shown = now
                .pod_annotation(&name, annotation::NETWORK_STATUS)
                .context("no annotation")?;
            let shown: Value = serde_json::from_str(shown)?;
            assert_eq!(
                shown["externalAddresses"][0]["endPoint"],
                format!("game{id}.postio.example.com")
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn servers_with_host_ports_get_different_ones_and_an_update_leaves_them_alone() -> Result<()> {
    in_namespace(async |world| {
        let network = json!({
            "networkType": "Kubernetes-HostPort",
            "networkConf": [{"name": "ContainerPorts", "value": "game:7777/UDP,SameAsHost/TCP"}],
        });
        let spec = json!({
            "network": network,
            "updateStrategy": {"rollingUpdate": {"podUpdatePolicy": "InPlaceIfPossible"}},
        });
        world.settled_set("arena", 3, &spec).await?;
        until_reachable(world, "arena", 3).await?;
        let host_ports = |now: &Snapshot| -> BTreeSet<i32> {
            let containers = now.pods_of("arena").filter_map(|pod| pod.spec.as_ref());
            let ports = containers.flat_map(|spec| spec.containers[0].ports.iter().flatten());
            ports.filter_map(|port| port.host_port).collect()
        };
        let before = world.now();
        assert_eq!(host_ports(&before).len(), 6, "{:?}", host_ports(&before));
        // The ports are not in the template: an update of it must not find them there and make the Pods anew.
        let image =
            json!({"gameServerTemplate": {"spec": {"containers": [{"name": "game", "image": "game:2"}]}}});
        world.patch_set("arena", &image).await?;
        world
            .until("all have the new image", |now| {
                let mut pods = now.pods_of("arena");
                pods.all(|pod| {
                    let spec = pod.spec.as_ref();
                    spec.is_some_and(|spec| spec.containers[0].image.as_deref() == Some("game:2"))
                })
            })
            .await?;
        world.at_rest("arena", &[0, 1, 2]).await?;
        let after = world.now();
        assert_eq!(after.uids("arena"), before.uids("arena"));
        assert_eq!(host_ports(&after), host_ports(&before));
        Ok(())
    })
    .await
}
