//! `cargo xtask demo`: from nothing to game servers on a real Kubernetes, with the times that matter.

mod latency;
mod show;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde::Deserialize as _;
use serde_json::json;

use crate::cluster::{self, Cluster, Nodes};
use crate::fleet::{Fleet, FleetOptions, Profile, client_for};
use latency::{FileProbe, Spread, measure};
use show::{Kubectl, heading, say};

/// Flags of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Build of the controllers.
    #[arg(long, value_enum, default_value = "dev")]
    profile: Profile,
    /// Simulated nodes even where a real kubelet could run.
    #[arg(long)]
    simulated: bool,
    /// Stop the controllers and the cluster at the end instead of leaving them to look around.
    #[arg(long)]
    stop: bool,
    /// opsState changes to time.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=200))]
    changes: u32,
    /// Write the timings as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Name of the demo's cluster.
const CLUSTER: &str = "demo";
/// The set of the documentation that the demo applies unmodified.
const MANIFEST: &str = "e2e/manifests/minecraft-processes.yaml";
/// A set whose container has its opsState in a file.
const LOBBY: &str = include_str!("lobby.yaml");
const READY: Duration = Duration::from_secs(180);

/// Runs the demo.
///
/// # Errors
/// With what didn't work; the cluster is left for a look.
pub async fn run(options: Options) -> Result<()> {
    let root = crate::cluster::paths::repo_root();
    let begun = Instant::now();
    let (running, simulated) = cluster_for(&options, &root).await?;
    let kubectl = Kubectl::new(&running);

    heading("2/7  Gamekeeper: CRDs, and the controllers with their own ServiceAccounts");
    let manifest =
        std::fs::read_to_string(root.join(MANIFEST)).with_context(|| format!("can't read {MANIFEST}"))?;
    let fleet_options = FleetOptions {
        profile: options.profile,
        cluster_dir: Some(running.dir.clone()),
        outlives: !options.stop,
        ..Default::default()
    };
    let fleet = Fleet::start(&root, &running.kubeconfig, &fleet_options).await?;
    for process in &fleet.processes {
        let pid = process.pid().unwrap_or_default();
        say(&format!(
            "{:<15} pid {pid:<8} log {}",
            process.controller.name(),
            process.log().display()
        ));
    }

    heading("3/7  A GameServerSet, unmodified from OpenKruiseGame's documentation");
    kubectl.apply(&manifest).await?;
    let client = client_for(&running.kubeconfig).await?;
    wait_ready(&client, "minecraft", 3).await?;
    kubectl.show(&["get", "gs"]).await?;
    kubectl.show(&["get", "gss"]).await?;

    heading("4/7  opsState, from the allocator's patch to the Pod's label and the file in the container");
    let spread = timings(&client, &running, &kubectl, simulated, options.changes).await?;
    spread.print();
    crate::trial::write_json(options.json.as_deref(), &spread)?;

    heading("5/7  Scale out to 5, allocate minecraft-4, scale in to 2");
    scale_story(&client, &kubectl, simulated).await?;

    heading("6/7  What the set says of itself");
    kubectl.show(&["get", "gs,gss"]).await?;
    kubectl.show(&["describe", "gss", "minecraft"]).await?;

    heading("7/7  Yours to look around");
    finish(options.stop, fleet, &running, begun).await
}

/// Brings the demo's cluster up, with test images where its node is real. Gives it, and whether its nodes are simulated.
async fn cluster_for(options: &Options, root: &Path) -> Result<(Cluster, bool)> {
    let simulated = match (options.simulated, cluster::kubelet_unavailable()) {
        (true, _) => true,
        (false, Some(reason)) => {
            say(&format!("No real kubelet here ({reason}); nodes are simulated."));
            true
        }
        (false, None) => false,
    };
    heading("1/7  A Kubernetes cluster");
    // The story starts from nothing; an earlier demo's cluster ends, and with it the controllers it left running.
    if cluster::down(CLUSTER).await? {
        say("Ended the cluster of an earlier demo.");
    }
    let nodes = if simulated {
        Nodes {
            kwok: 3,
            kubelet: false,
        }
    } else {
        Nodes {
            kwok: 0,
            kubelet: true,
        }
    };
    let running = cluster::up(&cluster::Spec::new(CLUSTER, nodes)).await?;
    let kubectl = Kubectl::new(&running);
    kubectl.show(&["get", "nodes"]).await?;
    if !simulated {
        say("Test images, made here, imported under the names the manifests use.");
        import_images(&running, &root.join("e2e/manifests")).await?;
    }
    Ok((running, simulated))
}

/// Imports the tool's images under the names of the demo and under every image name in the manifests of `directory`, so that
/// these run unmodified where no registry can be reached.
///
/// # Errors
/// When a manifest can't be read or the node's containerd refuses an image.
pub async fn import_images(running: &Cluster, directory: &Path) -> Result<()> {
    for version in ["1", "2"] {
        cluster::images::import(running, "game", &format!("gamekeeper.local/demo/game:{version}")).await?;
    }
    // Another tag of the same content, as a registry's `latest` often is.
    let (one, again) = (
        "gamekeeper.local/demo/game:1",
        "gamekeeper.local/demo/game:1-again",
    );
    cluster::images::import_twice(running, "game", one, again).await?;
    let mut references = BTreeSet::new();
    for entry in
        std::fs::read_dir(directory).with_context(|| format!("can't list {}", directory.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            references.extend(images_of(&std::fs::read_to_string(path)?)?);
        }
    }
    for reference in references {
        cluster::images::import(running, &cluster::images::recipe_for(&reference), &reference).await?;
    }
    Ok(())
}

/// Images of the game containers in a manifest.
fn images_of(manifest: &str) -> Result<Vec<String>> {
    let mut images = Vec::new();
    for document in serde_yaml::Deserializer::from_str(manifest) {
        let set = serde_json::Value::deserialize(document)?;
        let containers = set["spec"]["gameServerTemplate"]["spec"]["containers"].as_array();
        for container in containers.into_iter().flatten() {
            images.extend(container["image"].as_str().map(str::to_owned));
        }
    }
    Ok(images)
}

async fn wait_ready(client: &Client, set: &str, expected: usize) -> Result<()> {
    let servers: Api<api_types::GameServer> = Api::default_namespaced(client.clone());
    let deadline = Instant::now() + READY;
    let selector = kube::api::ListParams::default().labels(&format!("game.kruise.io/owner-gss={set}"));
    loop {
        let all = servers.list(&selector).await?.items;
        let ready = all
            .iter()
            .filter(|s| s.status.as_ref().is_some_and(is_ready))
            .count();
        if ready == expected && all.len() == expected {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "{ready} of {expected} servers of {set} are Ready after {} s",
                READY.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn is_ready(status: &api_types::GameServerStatus) -> bool {
    status.current_state.as_deref() == Some("Ready")
}

async fn timings(
    client: &Client,
    running: &Cluster,
    kubectl: &Kubectl,
    simulated: bool,
    changes: u32,
) -> Result<Spread> {
    let spread = time_lobby(client, running, changes, || Duration::from_secs(2)).await?;
    if !simulated {
        kubectl
            .show(&["exec", "lobby-0", "--", "cat", "/etc/podinfo/gs-opsstate"])
            .await?;
    }
    Ok(spread)
}

/// Makes a set whose container has its opsState in a file, and times changes of it, `pause` apart.
///
/// # Errors
/// When the set doesn't become Ready or a change doesn't arrive.
pub(crate) async fn time_lobby(
    client: &Client,
    running: &Cluster,
    changes: u32,
    pause: impl Fn() -> Duration,
) -> Result<Spread> {
    crate::fleet::apply_yaml(client, LOBBY, None).await?;
    wait_ready(client, "lobby", 1).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let uid = pods.get("lobby-0").await?.metadata.uid;
    let uid = uid.context("the Pod has no UID")?;
    let probe = running
        .kubelet_dir
        .as_ref()
        .map(|directory| FileProbe::new(directory, &uid));
    measure(client, "lobby-0", changes, probe, pause).await
}

async fn scale_story(client: &Client, kubectl: &Kubectl, simulated: bool) -> Result<()> {
    kubectl
        .show(&["scale", "gss", "minecraft", "--replicas=5"])
        .await?;
    wait_ready(client, "minecraft", 5).await?;
    let allocated = r#"{"spec":{"opsState":"Allocated"}}"#;
    kubectl
        .show(&["patch", "gs", "minecraft-4", "--type=merge", "-p", allocated])
        .await?;
    // A simulated node ends Pods at once; this keeps one in the state "being deleted" long enough to be tried.
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let finalizers = |list: serde_json::Value| Patch::Merge(json!({"metadata": {"finalizers": list}}));
    if simulated {
        let hold = finalizers(json!(["demo.gamekeeper.local/hold"]));
        pods.patch("minecraft-3", &PatchParams::default(), &hold).await?;
    }
    kubectl
        .show(&["scale", "gss", "minecraft", "--replicas=2"])
        .await?;
    wait_claim(client, "minecraft-3").await?;
    say("minecraft-3 is being deleted. An allocator that picks it now is refused by the API server itself:");
    let refused = kubectl
        .fails(&["patch", "gs", "minecraft-3", "--type=merge", "-p", allocated])
        .await?;
    if !refused.contains("can no longer be allocated") {
        bail!("the refusal doesn't carry the claim's message: {refused}");
    }
    if simulated {
        pods.patch("minecraft-3", &PatchParams::default(), &finalizers(json!(null)))
            .await?;
    }
    wait_ready(client, "minecraft", 2).await?;
    say("minecraft-4 has players and stayed; the unallocated ones with the highest ids went.");
    Ok(())
}

async fn wait_claim(client: &Client, name: &str) -> Result<()> {
    let servers: Api<api_types::GameServer> = Api::default_namespaced(client.clone());
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        let server = servers
            .get_opt(name)
            .await?
            .context("the server is gone already")?;
        if server
            .status
            .is_some_and(|status| status.deletion_claim.is_some())
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("{name} got no deletion claim within 30 s");
}

async fn finish(stop: bool, fleet: Fleet, running: &Cluster, begun: Instant) -> Result<()> {
    if stop {
        fleet.stop().await?;
        cluster::down(CLUSTER).await?;
        say(&format!(
            "Done in {:.0} s; the cluster is stopped.",
            begun.elapsed().as_secs_f64()
        ));
        return Ok(());
    }
    fleet.leave_running();
    say(&format!(
        "Done in {:.0} s. The cluster and the controllers are still running:",
        begun.elapsed().as_secs_f64()
    ));
    println!("  export KUBECONFIG={}", running.kubeconfig.display());
    println!(
        "  export PATH={}:$PATH",
        running.kubectl.parent().unwrap_or(&running.kubectl).display()
    );
    println!("  kubectl get gs -w                       # then, elsewhere:");
    println!(
        "  kubectl patch gs minecraft-0 --type=merge -p '{{\"spec\":{{\"opsState\":\"Maintaining\"}}}}'"
    );
    println!("  kubectl get pods --show-labels");
    println!("  kubectl explain gss.spec.scaleStrategy");
    println!("Clean up:");
    println!("  cargo xtask cluster down --name {CLUSTER}     # ends the controllers too");
    Ok(())
}
