//! `trial install`: the life of an installation with the real Helm on a real node, in namespaces where Pod Security `restricted` is
//! enforced, while games run.

mod arrivals;
mod games;
mod leases;
mod start;
mod way;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use kube::Client;
use serde::Serialize;
use serde_json::{Value, json};

use super::shipped::{self, API_SERVER, Options, REPOSITORY, TAG};
use crate::chart::{Helm, chart};
use crate::cluster::{self, Cluster};
use crate::fleet::{SYSTEM_NAMESPACE, apply_yaml, client_for};
use crate::image::{self, mb};
use arrivals::Arrivals;
use games::Games;
use leases::{HandOver, Leases};
use start::Start;
pub(super) use way::Way;

const CLUSTER: &str = "trial-install";
const RELEASE: &str = "gamekeeper";
/// A leader that is told to go gives its lease back; this is how soon another may take it.
const HAND_OVER_MS: f64 = 2000.0;

/// What was measured.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    image_bytes: usize,
    install_seconds: f64,
    starts: Vec<Start>,
    upgrade: Change,
    rollback: Change,
    uninstall_seconds: f64,
    reinstall_seconds: f64,
}

/// What a change of the release did to games and leaders.
#[derive(Debug, Default, Serialize)]
struct Change {
    seconds: f64,
    hand_overs: Vec<HandOver>,
    arrivals: usize,
    slowest_arrival_ms: f64,
}

/// Everything a step needs.
struct Ground {
    client: Client,
    helm: Helm,
    values: Value,
    games: Games,
    _way: Way,
}

/// Runs the trial.
///
/// # Errors
/// When it can't run here, or something is not as it should be.
pub(super) async fn run(options: Options) -> Result<()> {
    let outcome = shipped::run(CLUSTER, &options, whole_life).await?;
    print(&outcome);
    Ok(())
}

async fn whole_life(running: &Cluster, helm: &Helm, archive: &Path, folder: &Path) -> Result<Outcome> {
    let ground = prepare(running, helm, archive).await?;
    let bytes = std::fs::read(archive)?;
    let mut outcome = Outcome {
        image_bytes: bytes.len(),
        install_seconds: install(&ground).await?,
        ..Default::default()
    };
    refuses_what_is_not_restricted(&ground).await?;
    ground.games.start().await?;
    outcome.starts = start::measure(&image::program_of(&bytes)?, &running.kubeconfig, folder).await?;

    say("upgrade, with other flags, while games run");
    let other = json!({
        "gssController": {"flags": {"concurrency": 33}}, "gsController": {"flags": {"concurrency": 33}},
        "podSync": {"flags": {"concurrency": 33}}, "nodeWatcher": {"flags": {"writes-per-second": 21}},
        "networkPlugins": {"flags": {"concurrency": 33}}, "qualityProber": {"flags": {"execs": 17}},
        "playerAutoscaler": {"flags": {"concurrency": 33}},
    });
    let chart = chart();
    let upgrade = [
        "upgrade",
        RELEASE,
        &chart,
        "--namespace",
        SYSTEM_NAMESPACE,
        "--wait",
        "--timeout",
        "180s",
    ];
    outcome.upgrade = change(&ground, &upgrade, Some(&merged(&ground.values, &other))).await?;
    say("rollback");
    let rollback = [
        "rollback",
        RELEASE,
        "1",
        "--namespace",
        SYSTEM_NAMESPACE,
        "--wait",
        "--timeout",
        "180s",
    ];
    outcome.rollback = change(&ground, &rollback, None).await?;

    say("uninstall: games go on");
    outcome.uninstall_seconds = uninstall(&ground).await?;
    say("reinstall: they are managed again");
    outcome.reinstall_seconds = reinstall(&ground).await?;
    Ok(outcome)
}

async fn prepare(running: &Cluster, helm: &Helm, archive: &Path) -> Result<Ground> {
    let gateway = running.gateway.clone().context("the cluster has no bridge")?;
    let way = Way::open(&running.kubeconfig, &gateway).await?;
    cluster::images::import_archive(running, archive).await?;
    cluster::images::import(running, "game", games::IMAGE).await?;
    let client = client_for(&running.kubeconfig).await?;
    for namespace in [SYSTEM_NAMESPACE, games::NAMESPACE] {
        let text = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n  labels: {{pod-security.kubernetes.io/enforce: restricted}}\n"
        );
        apply_yaml(&client, &text, None).await?;
    }
    let values = json!({
        "image": {"repository": REPOSITORY, "tag": TAG},
        "apiServer": {"host": API_SERVER, "port": way.port},
        "defaults": {"hostAliases": [{"ip": gateway, "hostnames": [API_SERVER]}]},
    });
    Ok(Ground {
        games: Games::new(&client),
        client,
        helm: helm.on(running.kubeconfig.clone()),
        values,
        _way: way,
    })
}

/// Installs, waits until all is ready, and gives the seconds that took.
async fn install(ground: &Ground) -> Result<f64> {
    say("install");
    let begun = Instant::now();
    let chart = chart();
    let arguments = [
        "install",
        RELEASE,
        &chart,
        "--namespace",
        SYSTEM_NAMESPACE,
        "--wait",
        "--timeout",
        "180s",
    ];
    let said = ground.helm.run(&arguments, Some(&ground.values)).await?;
    ensure!(
        said.contains("kubectl rollout status"),
        "the notes don't say what to do next: {said}"
    );
    Ok(begun.elapsed().as_secs_f64())
}

/// That the standard is enforced, so that the controllers' Pods being there says something.
async fn refuses_what_is_not_restricted(ground: &Ground) -> Result<()> {
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: lax, namespace: {SYSTEM_NAMESPACE}}}\n\
         spec: {{containers: [{{name: a, image: {REPOSITORY}:{TAG}}}]}}\n"
    );
    let refused = apply_yaml(&ground.client, &pod, None).await;
    let message = refused
        .err()
        .map(|error| format!("{error:#}"))
        .unwrap_or_default();
    ensure!(
        message.contains("violates PodSecurity \"restricted"),
        "a lax Pod was let in: {message}"
    );
    Ok(())
}

/// Runs Helm while leases and opsState are watched; then no game may have been touched.
async fn change(ground: &Ground, arguments: &[&str], values: Option<&Value>) -> Result<Change> {
    let before = ground.games.snapshot().await?;
    let leases = Leases::watch(&ground.client);
    let arrivals = Arrivals::watch(&ground.client);
    let begun = Instant::now();
    let result = ground.helm.run(arguments, values).await;
    let seconds = begun.elapsed().as_secs_f64();
    let gone = leases::settled(&ground.client).await;
    let (arrivals, hand_overs) = (arrivals.stop().await?, leases.stop().await?);
    result?;
    gone?;
    let after = ground.games.snapshot().await?;
    ensure!(before == after, "games were touched: {before:?} {after:?}");
    ensure!(!hand_overs.is_empty(), "no leader changed: nothing was tried");
    for over in &hand_overs {
        ensure!(
            over.milliseconds < HAND_OVER_MS,
            "{} had no leader for {:.0} ms",
            over.lease,
            over.milliseconds
        );
    }
    Ok(Change {
        seconds,
        hand_overs,
        arrivals: arrivals.len(),
        slowest_arrival_ms: arrivals.iter().copied().fold(0.0, f64::max),
    })
}

async fn uninstall(ground: &Ground) -> Result<f64> {
    let before = ground.games.snapshot().await?;
    let begun = Instant::now();
    let arguments = [
        "uninstall",
        RELEASE,
        "--namespace",
        SYSTEM_NAMESPACE,
        "--wait",
        "--timeout",
        "120s",
    ];
    ground.helm.run(&arguments, None).await?;
    let seconds = begun.elapsed().as_secs_f64();
    leases::no_controller_is_left(&ground.client).await?;
    ground.games.ops_state(2, "Maintaining").await?;
    let after = ground.games.snapshot().await?;
    ensure!(before == after, "games were touched: {before:?} {after:?}");
    ensure!(
        ground.games.label(2).await? == "None",
        "somebody wrote a label though nobody should be there"
    );
    Ok(seconds)
}

async fn reinstall(ground: &Ground) -> Result<f64> {
    let before = ground.games.snapshot().await?;
    let seconds = install(ground).await?;
    ground.games.label_until(2, "Maintaining").await?;
    ground.games.scale(games::REPLICAS + 1).await?;
    let after = ground.games.snapshot().await?;
    for (name, game) in &before {
        let now = after.get(name).with_context(|| format!("{name} is gone"))?;
        ensure!(now.is_same_life(game), "{name} isn't the same: {game:?} {now:?}");
    }
    Ok(seconds)
}

fn merged(values: &Value, other: &Value) -> Value {
    let mut merged = values.clone();
    for (key, value) in other.as_object().into_iter().flatten() {
        merged[key] = value.clone();
    }
    merged
}

fn say(what: &str) {
    println!("--- {what}");
}

fn print(outcome: &Outcome) {
    println!(
        "\nimage {}, installed in {:.1} s",
        mb(outcome.image_bytes),
        outcome.install_seconds
    );
    println!("{:<20} {:>10} {:>8}", "started by itself", "ready, ms", "RSS, MB");
    for start in &outcome.starts {
        println!(
            "{:<20} {:>10.0} {:>8.1}",
            start.controller,
            start.ready_ms,
            start.rss_bytes as f64 / 1e6
        );
    }
    for (name, change) in [("upgrade", &outcome.upgrade), ("rollback", &outcome.rollback)] {
        println!(
            "{name}: {:.1} s; {} opsState changes meanwhile, the slowest {:.0} ms to the label",
            change.seconds, change.arrivals, change.slowest_arrival_ms
        );
        for over in &change.hand_overs {
            println!(
                "  {:<20} without a leader for {:>5.0} ms",
                over.lease, over.milliseconds
            );
        }
    }
    println!(
        "uninstalled in {:.1} s, reinstalled in {:.1} s; no game touched",
        outcome.uninstall_seconds, outcome.reinstall_seconds
    );
}
