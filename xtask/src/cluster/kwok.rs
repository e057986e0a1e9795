//! Simulated nodes: kwok with the stages of `e2e/local/stages`.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::binaries::{Binary, ensure};
use super::certs::Pki;
use super::local::{Local, is_serving};
use super::paths::repo_root;

/// Label value that tells simulated nodes from a real one.
const NODE_TYPE: &str = "kwok";
/// A lease is renewed every quarter of this; the node controller gives a node up after 40 s.
const LEASE_SECONDS: u32 = 40;
const READY_LIMIT: Duration = Duration::from_mins(1);

/// Starts kwok and makes the cluster's simulated nodes, unless they are there.
///
/// # Errors
/// When kwok doesn't start or a node doesn't become Ready.
pub(crate) async fn ensure_running(local: &mut Local, client: &Client) -> Result<()> {
    let [program] = ensure([Binary::Kwok]).await?;
    let stages = repo_root().join("e2e/local/stages");
    let config = local.dir.join("kwok.yaml");
    std::fs::write(
        &config,
        serde_yaml::to_string(&configuration(local.state.nodes.kubelet))?,
    )?;
    // With a name of its own, by which audit logs can leave it out; and with an administrator's rights, never slowed down.
    let pki = Pki::open(&local.dir.join("pki"))?;
    let kubeconfig = local.component_kubeconfig(&pki, "kwok", Some("system:masters"))?;
    let port = local.state.port("kwok")?;
    let mut args = vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--config={}", config.display()),
        // The default pool, a /24, would give two Pods the same address.
        "--cidr=10.212.0.1/16".into(),
        "--node-ip=127.0.0.1".into(),
        format!("--node-lease-duration-seconds={LEASE_SECONDS}"),
        format!("--server-address=127.0.0.1:{port}"),
        "--v=WARN".into(),
    ];
    for file in ["node.yaml", "pod.yaml"] {
        args.push(format!("--config={}", stages.join(file).display()));
    }
    let launch = local.launch("kwok", program, args);
    local.ensure_started(launch).await?;
    local
        .wait("kwok serves", &["kwok"], READY_LIMIT, || is_serving(port))
        .await?;
    create_nodes(client, local.state.nodes.kwok).await?;
    let nodes: Api<Node> = Api::all(client.clone());
    let wanted = local.state.nodes.kwok as usize;
    let all_ready = || async { ready_nodes(&nodes).await.is_some_and(|ready| ready >= wanted) };
    local
        .wait("the simulated nodes are Ready", &["kwok"], READY_LIMIT, all_ready)
        .await
}

fn configuration(beside_kubelet: bool) -> Value {
    let mut options = json!({
        "podPlayStageParallelism": 16,
        "nodePlayStageParallelism": 8,
        "nodeLeaseParallelism": 8,
    });
    if beside_kubelet {
        options["manageNodesWithLabelSelector"] = json!(format!("type={NODE_TYPE}"));
    } else {
        options["manageAllNodes"] = json!(true);
    }
    json!({"apiVersion": "config.kwok.x-k8s.io/v1alpha1", "kind": "KwokConfiguration", "options": options})
}

async fn create_nodes(client: &Client, count: u32) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    for index in 0..count {
        let node: Node = serde_json::from_value(node(index))?;
        match nodes.create(&PostParams::default(), &node).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(error).with_context(|| format!("can't make node kwok-{index}")),
        }
    }
    Ok(())
}

fn node(index: u32) -> Value {
    let name = format!("kwok-{index}");
    let room = json!({"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "1000"});
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "type": NODE_TYPE,
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": format!("zone-{}", index % 3),
            },
        },
        "status": {"capacity": room, "allocatable": room},
    })
}

async fn ready_nodes(nodes: &Api<Node>) -> Option<usize> {
    let list = nodes
        .list(&ListParams::default().labels(&format!("type={NODE_TYPE}")))
        .await
        .ok()?;
    Some(list.items.iter().filter(|node| is_ready(node)).count())
}

/// Whether the node says it is Ready.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_an_object_of_the_api() {
        let node: Node = serde_json::from_value(node(4)).unwrap();
        assert_eq!(node.metadata.name.as_deref(), Some("kwok-4"));
        assert_eq!(
            node.metadata.labels.unwrap()["topology.kubernetes.io/zone"],
            "zone-1"
        );
        assert!(node.status.unwrap().allocatable.unwrap().contains_key("pods"));
    }

    #[test]
    fn a_real_node_is_never_managed_by_kwok() {
        assert_eq!(configuration(false)["options"]["manageAllNodes"], json!(true));
        assert_eq!(configuration(true)["options"]["manageAllNodes"], Value::Null);
        assert_eq!(
            configuration(true)["options"]["manageNodesWithLabelSelector"],
            "type=kwok"
        );
    }

    #[test]
    fn no_stage_answers_for_a_readiness_gate() {
        let text = std::fs::read_to_string(repo_root().join("e2e/local/stages/pod.yaml")).unwrap();
        assert!(
            !text.contains("type: {{ .conditionType"),
            "a gate's condition belongs to whoever put the gate there"
        );
    }
}
