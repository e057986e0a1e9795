//! `trial alerts`: the alert rules in a running Prometheus that scrapes real controllers. First as they are shipped, of a
//! pod-sync whose way is blocked, and which is then throttled and frozen; then with times that don't take half an hour, of
//! everything else that can be brought about here.

mod faults;
mod hasty;
mod slow;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api_types::GameServer;
use e2e::faults::Trouble;
use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;
use serde_json::{Value, json};

use self::faults::Ground;
use super::changes::Changes;
use super::{Arena, ArenaSpec, Session, SessionOptions, write_json};
use crate::alerts;
use crate::bench::probe::Route;
use crate::fleet::{Controller, Fleet, FleetOptions};
use crate::prometheus::Prometheus;

/// Flags of `trial alerts`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Only this part.
    #[arg(long, value_enum)]
    part: Option<Part>,
}

/// With which times the rules are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Part {
    /// As they are shipped; six minutes.
    Shipped,
    /// Minutes as seconds; needs root, for the way to servers that are probed.
    Hasty,
}

/// The life of one alert, seconds from the beginning of its reason; the last from the reason's end.
#[derive(Debug, Serialize)]
struct Alert {
    name: &'static str,
    reason: &'static str,
    pending_seconds: f64,
    firing_seconds: f64,
    resolved_seconds: f64,
}

const SERVERS: u32 = 10;
const SETTLE: Duration = Duration::from_secs(300);
/// The longest `for` of a rule is 5 min; those tried here wait for 2.
const FIRES_WITHIN: Duration = Duration::from_secs(240);
/// A watch that is heard again says so with its next bookmark, up to a minute later.
const RESOLVES_WITHIN: Duration = Duration::from_secs(120);

/// Runs the trial.
///
/// # Errors
/// When it can't run, or an alert doesn't fire or doesn't resolve.
pub(super) async fn run(options: Options) -> Result<()> {
    let mut outcome = Vec::new();
    if options.part != Some(Part::Hasty) {
        outcome.extend(shipped(&options).await?);
    }
    if options.part != Some(Part::Shipped) {
        outcome.extend(hastily(&options).await?);
    }
    write_json(options.session.json.as_deref(), &outcome)?;
    println!(
        "{:<26} {:<34} {:>10} {:>9} {:>11}",
        "alert", "reason", "pending, s", "firing, s", "resolved, s"
    );
    for alert in &outcome {
        println!(
            "{:<26} {:<34} {:>10.1} {:>9.1} {:>11.1}",
            alert.name, alert.reason, alert.pending_seconds, alert.firing_seconds, alert.resolved_seconds
        );
    }
    Ok(())
}

async fn shipped(options: &Options) -> Result<Vec<Alert>> {
    let fleet = FleetOptions {
        profile: options.session.profile,
        ..Default::default()
    };
    let mut session = Session::start("trial-alerts", &options.session, &fleet).await?;
    let outcome = Box::pin(all_reasons(&mut session)).await;
    session.resume_and_stop().await?;
    outcome
}

async fn hastily(options: &Options) -> Result<Vec<Alert>> {
    let fleet = FleetOptions {
        profile: options.session.profile,
        gss_replicas: 2,
        pod_sync_replicas: 2,
        // Few at once, so that a queue grows without thousands of servers.
        pod_sync_args: vec!["--shards=4".to_owned(), "--concurrency=4".to_owned()],
        central: true,
        ..Default::default()
    };
    let route = Route::add().await.context("servers can't be probed here")?;
    let mut session = Session::start("trial-alerts", &options.session, &fleet).await?;
    let outcome = Box::pin(all_faults(&mut session)).await;
    session.resume_and_stop().await?;
    route.remove().await?;
    outcome
}

async fn all_faults(session: &mut Session) -> Result<Vec<Alert>> {
    let door = session.door_of_pod_sync().await?;
    let ground = Ground::create(&session.client).await?;
    let directory = tempfile::tempdir()?;
    let judge = Judge::start(directory.path(), &session.fleet, true).await?;
    // What had just begun is over: nothing is wrong.
    judge
        .wait("GamekeeperControllerMissing", &[], RESOLVES_WITHIN)
        .await?;
    let mut alerts = faults::of_servers(&judge, &ground).await?;
    alerts.extend(slow::of_patches(&judge, &ground, &door).await?);
    alerts.extend(slow::of_watches(&judge, &mut session.fleet, &door).await?);
    alerts.extend(faults::of_controllers(&judge, &session.fleet, &door).await?);
    for process in session.fleet.replicas(Controller::Gss) {
        process.kill().await?;
    }
    ground.delete().await?;
    Ok(alerts)
}

async fn all_reasons(session: &mut Session) -> Result<Vec<Alert>> {
    let client = session.client.clone();
    let door = session.door_of_pod_sync().await?;
    let arena = Arena::create(&client, ArenaSpec::plain(SERVERS)).await?;
    arena.wait_settled(SERVERS as usize, SETTLE).await?;
    let changes = Changes::prepare(&client, &arena.namespace, SERVERS as usize, 1.0).await?;
    let directory = tempfile::tempdir()?;
    let judge = Judge::start(directory.path(), &session.fleet, false).await?;
    let pod_sync = session.fleet.process(Controller::PodSync)?;
    judge.wait("GamekeeperSyncGap", &[], RESOLVES_WITHIN).await?;

    let servers: Api<GameServer> = Api::namespaced(client.clone(), &arena.namespace);
    let began = async {
        door.set(Trouble::NoPatches);
        let patch = Patch::Merge(json!({"spec": {"opsState": "Allocated"}}));
        servers.patch("arena-0", &PatchParams::default(), &patch).await?;
        Ok(())
    };
    let heal = async || {
        door.set(Trouble::None);
        Ok(())
    };
    let reason = "503 to every Pod patch";
    let gap = judge.follow("GamekeeperSyncGap", reason, began, heal());
    let gap = gap.await?;
    changes.settled(RESOLVES_WITHIN).await?;
    // Its leases go too: then it owns nothing, and counts no gap.
    let began = async {
        door.set(Trouble::TooMany(1));
        Ok(())
    };
    let reason = "429 to every request of pod-sync";
    let throttled = judge.follow("GamekeeperSyncUnwatched", reason, began, heal());
    let throttled = throttled.await?;
    let (began, ended) = (pod_sync.signal("STOP"), pod_sync.signal("CONT"));
    let frozen = judge
        .follow("GamekeeperSyncUnwatched", "pod-sync is frozen", began, ended)
        .await?;
    arena.delete().await?;
    Ok(vec![gap, throttled, frozen])
}

/// A Prometheus with the alert rules.
struct Judge {
    prometheus: Prometheus,
    targets: PathBuf,
}

impl Judge {
    /// Scrapes and judges every 2 s.
    async fn start(directory: &Path, scraped: &Fleet, in_haste: bool) -> Result<Self> {
        let rules = alerts::plain_rules(&crate::cluster::paths::repo_root(), directory)?;
        for file in rules.iter().filter(|_| in_haste) {
            let shipped = serde_yaml::from_str(&std::fs::read_to_string(file)?)?;
            std::fs::write(file, serde_yaml::to_string(&hasty::hasty(shipped))?)?;
        }
        let targets = directory.join("targets.json");
        let config = json!({
            "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"},
            "rule_files": rules,
            "scrape_configs": [{"job_name": "gamekeeper", "file_sd_configs": [{"files": [targets], "refresh_interval": "1s"}]}],
        });
        let port = e2e::ports::free()?;
        let address = format!("127.0.0.1:{port}");
        let prometheus = Prometheus::start(directory, address, &config).await?;
        let judge = Self { prometheus, targets };
        judge.scrape(scraped)?;
        Ok(judge)
    }

    /// Scrapes the processes where they are now: one that was started again has another port.
    fn scrape(&self, fleet: &Fleet) -> Result<()> {
        let ports = fleet.processes.iter().map(|process| process.admin_port);
        let targets: Vec<_> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        let written = self.targets.with_extension("new");
        std::fs::write(&written, json!([{"targets": targets}]).to_string())?;
        // As a whole: a file that is half written would be an error, and no target.
        Ok(std::fs::rename(written, &self.targets)?)
    }

    async fn follow(
        &self,
        name: &'static str,
        reason: &'static str,
        begin: impl Future<Output = Result<()>>,
        end: impl Future<Output = Result<()>>,
    ) -> Result<Alert> {
        eprintln!("{reason}: waiting for {name}");
        begin.await?;
        let began = Instant::now();
        // One that waits for two seconds may fire before it was looked at.
        self.wait(name, &["pending", "firing"], FIRES_WITHIN).await?;
        let pending_seconds = began.elapsed().as_secs_f64();
        self.wait(name, &["firing"], FIRES_WITHIN).await?;
        let firing_seconds = began.elapsed().as_secs_f64();
        end.await?;
        let ended = Instant::now();
        self.wait(name, &[], RESOLVES_WITHIN).await?;
        Ok(Alert {
            name,
            reason,
            pending_seconds,
            firing_seconds,
            resolved_seconds: ended.elapsed().as_secs_f64(),
        })
    }

    /// Waits until the alert has one of these states; without any it is neither pending nor firing.
    async fn wait(&self, name: &str, states: &[&str], limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            // Until it listens there is no answer.
            let alerts = self.alerts().await;
            if let Ok(alerts) = &alerts {
                let mut found = alerts
                    .iter()
                    .filter(|alert| alert["labels"]["alertname"] == name)
                    .peekable();
                let none = found.peek().is_none();
                let as_wanted = found.any(|alert| states.iter().any(|state| alert["state"] == *state));
                if as_wanted || (none && states.is_empty()) {
                    return Ok(());
                }
            }
            ensure!(
                Instant::now() < deadline,
                "{name} isn't {} after {limit:?}; alerts: {alerts:?}",
                states.first().unwrap_or(&"resolved")
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn alerts(&self) -> Result<Vec<Value>> {
        let answer = self.prometheus.get("alerts").await?;
        let alerts = answer["data"]["alerts"].as_array();
        Ok(alerts.context("Prometheus names no alerts")?.clone())
    }
}
