//! What becomes of game servers whose node has trouble, with the node controller at work on the same node.

use anyhow::Result;
use api_types::{GameServerCondition, keys};
use e2e::{Snapshot, World, in_namespace};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// A simulated node for this test alone: no other test's Pods are put there.
pub(crate) async fn own_node(world: &World) -> Result<Api<Node>> {
    let name = &world.namespace;
    let room = json!({"cpu": "32", "memory": "64Gi", "pods": "110"});
    let node: Node = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"taints": [{"key": "e2e", "value": name, "effect": "NoSchedule"}]},
        "status": {"capacity": room, "allocatable": room},
    }))?;
    let nodes: Api<Node> = Api::all(world.client.clone());
    nodes.create(&PostParams::default(), &node).await?;
    Ok(nodes)
}

/// Template fields that put Pods on [`own_node`].
pub(crate) fn there(world: &World) -> Value {
    json!({"gameServerTemplate": {"spec": {
        "nodeSelector": {"kubernetes.io/hostname": world.namespace},
        "tolerations": [{"key": "e2e", "operator": "Exists", "effect": "NoSchedule"}],
    }}})
}

async fn node_says(nodes: &Api<Node>, name: &str, ready: &str) -> Result<()> {
    let condition =
        json!({"type": "Ready", "status": ready, "reason": "E2eSays", "message": "said by a test"});
    let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
    nodes.patch_status(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

fn node_normal<'a>(now: &'a Snapshot, server: &str) -> Option<&'a GameServerCondition> {
    let conditions = &now.status(server)?.conditions;
    conditions
        .iter()
        .find(|it| it.type_ == keys::condition::NODE_NORMAL)
}

/// Whether every server of the set says this of its node, for this reason.
fn all_say(now: &Snapshot, servers: u32, status: &str, reason: Option<&str>) -> bool {
    (0..servers).all(|id| {
        node_normal(now, &format!("a-{id}"))
            .is_some_and(|it| it.status == status && it.reason.as_deref() == reason)
    })
}

#[tokio::test]
async fn trouble_of_a_node_shows_on_its_servers_alone_and_holds_up_no_allocation() -> Result<()> {
    const SERVERS: u32 = 8;
    in_namespace(async |world| {
        let nodes = own_node(world).await?;
        let node = world.namespace.clone();
        let test = async {
            world.settled_set("a", SERVERS, &there(world)).await?;
            world.settled_set("b", 1, &json!({})).await?;
            let now = world.now();
            let named = |server: &str| now.servers[server].metadata.labels.clone().unwrap_or_default();
            assert_eq!(named("a-0")[keys::label::NODE_NAME], node);
            assert!(node_normal(&now, "a-0").is_none(), "nothing was ever wrong");

            node_says(&nodes, &node, "False").await?;
            let down = |s: &Snapshot| all_say(s, SERVERS, "False", Some("Ready:E2eSays"));
            world.until("NodeNormal=False", down).await?;
            world.event("a-0", "NodeNotReady").await?;
            world.set_ops_state("a-0", "Allocated").await?;
            world
                .until("the Pod shows the allocation", |s| s.is_synced("a-0"))
                .await?;

            node_says(&nodes, &node, "True").await?;
            let up = |s: &Snapshot| all_say(s, SERVERS, "True", None);
            world.until("NodeNormal=True", up).await?;

            nodes.delete(&node, &DeleteParams::default()).await?;
            let gone = |s: &Snapshot| all_say(s, SERVERS, "False", Some("NodeNotFound"));
            world.until("NodeNotFound", gone).await?;
            // The record of a server on a node that is gone still moves.
            world.set_ops_state("a-1", "Maintaining").await?;
            world.until("the Pod shows it", |s| s.is_synced("a-1")).await?;
            assert!(node_normal(&world.now(), "b-0").is_none(), "another node");
            Ok(())
        };
        let passed = test.await;
        let _ = nodes.delete(&node, &DeleteParams::default()).await;
        passed
    })
    .await
}
