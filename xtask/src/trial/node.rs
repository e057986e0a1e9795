//! `trial node`: the power of a real node is cut off while servers with the documented service qualities run on it; kubelet,
//! container runtime, prober and all containers are gone at once, and start anew. What is acted on must be what is true of the
//! servers, never that the node was away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use api_types::keys::{annotation, label};
use e2e::{Snapshot, World};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::{Value, json};

use super::Session;
use super::session::{OnNode, write_json};
use crate::cluster::{self, Nodes, images};
use crate::fleet::{Controller, Fleet, FleetOptions, Scrape};

/// Flags of `trial node`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    on: OnNode,
    /// Times that the power is cut off.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds without power; from 40 on the node is NotReady meanwhile.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=240))]
    down: u64,
}

#[derive(Debug, Default, Serialize)]
struct Outcome {
    rounds: u32,
    /// From the power's return until every container runs again, the slowest, seconds.
    back_seconds_max: f64,
    /// From there until every probe has run often enough to be believed, the slowest.
    probed_seconds_max: f64,
    /// Versions of GameServers and Pods that say what the power cut made of them.
    false_actions: usize,
    violations: Vec<String>,
}

/// Servers that tell whether they are idle.
const IDLE: &str = "minecraft";
/// Servers that tell whether they are healthy.
const HEALTHY: &str = "demo-gs";
/// Its gate is dead when the power goes, and runs when it is back: the one action that is right.
const BROKEN: &str = "demo-gs-0";
const SERVERS: [&str; 6] = [
    "minecraft-0",
    "minecraft-1",
    "minecraft-2",
    "demo-gs-0",
    "demo-gs-1",
    "demo-gs-2",
];
const SHELL: Duration = Duration::from_secs(20);
const BACK_WITHIN: Duration = Duration::from_secs(180);
const PROBED_WITHIN: Duration = Duration::from_secs(120);
/// Runs of each probe on average; a failure takes three to be believed.
const RUNS: f64 = 5.0;

/// Runs the trial.
///
/// # Errors
/// When it can't run, or found a violation.
pub(super) async fn run(options: Options) -> Result<()> {
    let fleet = FleetOptions {
        profile: options.on.profile,
        ..Default::default()
    };
    let nodes = Nodes {
        kwok: 0,
        kubelet: true,
    };
    let mut session = Session::start_on("trial-node", nodes, &options.on.place, &fleet).await?;
    let outcome = Box::pin(all_rounds(&mut session, &options)).await;
    let stopped = session.resume_and_stop().await;
    let outcome = outcome?;
    write_json(options.on.json.as_deref(), &outcome)?;
    println!("power cuts             {}", outcome.rounds);
    println!("all containers back    {:.1} s at most", outcome.back_seconds_max);
    println!(
        "all probes believed    {:.1} s at most",
        outcome.probed_seconds_max
    );
    println!("false actions          {}", outcome.false_actions);
    for violation in &outcome.violations {
        println!("  {violation}");
    }
    stopped?;
    ensure!(
        outcome.violations.is_empty(),
        "{} violations",
        outcome.violations.len()
    );
    Ok(())
}

async fn all_rounds(session: &mut Session, options: &Options) -> Result<Outcome> {
    let name = cluster::local_name(&session.kubeconfig);
    let name = name.context("this needs a local cluster with a real node")?;
    let world = World::new(session.client.clone(), "default".into()).await?;
    session.fleet.keep_running(prepare(&world, &name)).await?;
    let mut outcome = Outcome::default();
    for round in 0..options.rounds {
        let before = Before::of(&world.now())?;
        session.fleet.process(Controller::NodeProber)?.kill().await?;
        cluster::cut_off_node(&name).await?;
        tokio::time::sleep(Duration::from_secs(options.down)).await;
        let returned = Instant::now();
        cluster::up(&cluster::Spec {
            name: name.clone(),
            ..Default::default()
        })
        .await?;
        session.fleet.process(Controller::NodeProber)?.start_again()?;
        let (back, probed) = settle(&mut session.fleet, &world, &before, returned).await?;
        outcome.rounds += 1;
        outcome.back_seconds_max = outcome.back_seconds_max.max(back.as_secs_f64());
        outcome.probed_seconds_max = outcome.probed_seconds_max.max(probed.as_secs_f64());
        let wrong = before.wrong_in(&world.now());
        outcome.false_actions += wrong.len();
        outcome
            .violations
            .extend(wrong.into_iter().map(|wrong| format!("round {round}: {wrong}")));
        session.fleet.keep_running(still_acted_on(&world)).await?;
        eprintln!(
            "round {round}: containers back after {:.1} s, probes believed {:.1} s later, {} violations so far",
            back.as_secs_f64(),
            probed.as_secs_f64(),
            outcome.violations.len()
        );
    }
    for set in [IDLE, HEALTHY] {
        session.fleet.keep_running(world.remove_set(set)).await?;
    }
    Ok(outcome)
}

/// Applies both sets, and brings every server to another state.
async fn prepare(world: &World, name: &str) -> Result<()> {
    let cluster = cluster::find(name)?;
    for (set, file) in [(IDLE, "minecraft-idle.yaml"), (HEALTHY, "demo-gs-healthy.yaml")] {
        world.remove_set(set).await?;
        let mut set: Value = serde_yaml::from_str(&e2e::cluster::manifest(file)?)?;
        let pod = &mut set["spec"]["gameServerTemplate"]["spec"];
        let image = pod["containers"][0]["image"].as_str();
        let image = image.context("the manifest names no image")?.to_owned();
        images::import(&cluster, "rich-container", &image).await?;
        // What they know of their players outlives their containers, as in a server that saves.
        pod["containers"][0]["volumeMounts"] = json!([{"name": "saved", "mountPath": "/tmp"}]);
        pod["volumes"] = json!([{"name": "saved", "emptyDir": {}}]);
        world.apply(&set).await?;
    }
    for set in [IDLE, HEALTHY] {
        world.at_rest(set, &[0, 1, 2]).await?;
    }
    for server in SERVERS {
        let wanted = if server.starts_with(IDLE) {
            "WaitToBeDeleted"
        } else {
            "None"
        };
        shows(world, server, wanted).await?;
    }
    // Acted on, and then set otherwise by a person: a state that goes on is no reason to act again.
    world.set_ops_state("minecraft-2", "None").await?;
    world.set_ops_state("demo-gs-2", "Allocated").await?;
    occupy(world).await?;
    break_gate(world).await
}

/// A player comes to a server, which is then allocated.
async fn occupy(world: &World) -> Result<()> {
    world
        .shell("minecraft-1", "echo player > /tmp/players", SHELL)
        .await?;
    shows(world, "minecraft-1", "None").await?;
    world.set_ops_state("minecraft-1", "Allocated").await?;
    shows(world, "minecraft-1", "Allocated").await
}

async fn break_gate(world: &World) -> Result<()> {
    let script = "kill -9 $(ps -ef | grep '[g]ate.sh' | awk '{print $1}')";
    world.shell(BROKEN, script, SHELL).await?;
    shows(world, BROKEN, "Maintaining").await
}

/// What the servers say is acted on as before; leaves them as they were.
async fn still_acted_on(world: &World) -> Result<()> {
    break_gate(world).await?;
    world.shell("minecraft-1", "rm /tmp/players", SHELL).await?;
    shows(world, "minecraft-1", "WaitToBeDeleted").await?;
    occupy(world).await
}

/// Waits until GameServer and Pod show this opsState.
async fn shows(world: &World, server: &str, wanted: &str) -> Result<()> {
    let holds = |s: &Snapshot| {
        let said = s.servers.get(server).and_then(|it| it.spec.ops_state.clone());
        said.as_deref() == Some(wanted) && s.pod_label(server, label::GS_OPS_STATE) == Some(wanted)
    };
    world
        .until(&format!("opsState of {server} is {wanted}"), holds)
        .await
}

/// Waits until all is as it should be again; gives how long the containers took, and the probes after them.
async fn settle(
    fleet: &mut Fleet,
    world: &World,
    before: &Before,
    returned: Instant,
) -> Result<(Duration, Duration)> {
    let all_back = |s: &Snapshot| {
        let all = SERVERS.iter().all(|name| {
            let pod = s.pods.get(*name);
            pod.is_some_and(|pod| restarts(pod) > before.restarts(name) && super::is_ready(pod))
        });
        all.then_some(())
    };
    let back = world.find_within(BACK_WITHIN, "all containers were started again", all_back);
    fleet.keep_running(back).await?;
    let back = returned.elapsed();
    let begun = Instant::now();
    let port = fleet.process(Controller::NodeProber)?.admin_port;
    fleet.keep_running(probed(port)).await?;
    fleet.keep_running(shows(world, BROKEN, "None")).await?;
    for set in [IDLE, HEALTHY] {
        fleet.keep_running(world.at_rest(set, &[0, 1, 2])).await?;
    }
    Ok((back, begun.elapsed()))
}

/// Waits until the prober, which counts from its start, has run every probe so often that its answer is believed.
async fn probed(port: u16) -> Result<()> {
    let deadline = Instant::now() + PROBED_WITHIN;
    let told = |labels: &str| !labels.contains("outcome=\"nothing\"");
    loop {
        let runs = match Scrape::fetch(port).await {
            Ok(scrape) => scrape.sum("gamekeeper_quality_prober_runs_total", told),
            Err(_) => 0.0,
        };
        if runs >= RUNS * SERVERS.len() as f64 {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("after {PROBED_WITHIN:?} the prober has run {runs} probes that told something");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod
        .status
        .iter()
        .flat_map(|it| it.container_statuses.iter().flatten());
    statuses.map(|container| container.restart_count).sum()
}

/// Pod conditions that service qualities are.
fn conditions(pod: &Pod) -> Vec<(String, String, Option<String>)> {
    let all = pod.status.iter().flat_map(|it| it.conditions.iter().flatten());
    let ours = all.filter(|it| it.type_.starts_with("game.kruise.io/"));
    ours.map(|it| (it.type_.clone(), it.status.clone(), it.message.clone()))
        .collect()
}

/// What a server was before the power went.
#[derive(Debug, PartialEq)]
struct Server {
    uid: Option<String>,
    /// Counts every change of the spec: also one that was taken back at once.
    generation: Option<i64>,
    ops_state: Option<String>,
    acted: Option<String>,
    restarts: i32,
    conditions: Vec<(String, String, Option<String>)>,
}

impl Server {
    fn of(s: &Snapshot, name: &str) -> Option<Self> {
        let (pod, server) = (s.pods.get(name)?, s.servers.get(name)?);
        Some(Self {
            uid: pod.uid(),
            generation: server.metadata.generation,
            ops_state: server.spec.ops_state.clone(),
            acted: server
                .annotations()
                .get(annotation::SERVICE_QUALITY_ACTED)
                .cloned(),
            restarts: restarts(pod),
            conditions: conditions(pod),
        })
    }
}

struct Before {
    servers: BTreeMap<&'static str, Server>,
    /// Versions of Pods that there were.
    versions: usize,
}

impl Before {
    fn of(s: &Snapshot) -> Result<Self> {
        let servers = SERVERS.map(|name| Some((name, Server::of(s, name)?)));
        Ok(Self {
            servers: servers
                .into_iter()
                .collect::<Option<_>>()
                .context("a server is gone")?,
            versions: s.pod_history.len(),
        })
    }

    fn restarts(&self, name: &str) -> i32 {
        self.servers.get(name).map_or(0, |server| server.restarts)
    }

    /// What was done that nothing but the power cut can have been the reason of.
    fn wrong_in(&self, now: &Snapshot) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, before) in &self.servers {
            let Some(after) = Server::of(now, name) else {
                wrong.push(format!("{name} is gone"));
                continue;
            };
            if after.uid != before.uid {
                wrong.push(format!("the Pod of {name} was replaced"));
            }
            if *name == BROKEN {
                // Once, from Maintaining to None.
                if after.generation != before.generation.map(|generation| generation + 1) {
                    wrong.push(format!(
                        "{name} was changed otherwise than once: {before:?}, {after:?}"
                    ));
                }
                continue;
            }
            let told = |it: &Server| (it.generation, it.ops_state.clone(), it.acted.clone());
            if told(before) != told(&after) {
                wrong.push(format!("{name} was acted on: {before:?}, {after:?}"));
            }
            let versions = now.pod_history.iter().skip(self.versions);
            let mut versions = versions.filter(|pod| pod.name_any() == *name);
            if let Some(other) = versions.find(|pod| conditions(pod) != before.conditions) {
                wrong.push(format!("a condition of {name} changed: {:?}", conditions(other)));
            }
        }
        wrong
    }
}
