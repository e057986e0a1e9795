//! `trial alerts`: the alert rules in a running Prometheus that scrapes a real pod-sync, whose way is
//! blocked, and which is then throttled and frozen.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api_types::GameServer;
use e2e::faults::Trouble;
use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;
use serde_json::{Value, json};

use super::changes::Changes;
use super::{Arena, ArenaSpec, Session, SessionOptions, write_json};
use crate::alerts;
use crate::fleet::{Controller, FleetOptions};
use crate::prometheus::Prometheus;

/// Flags of `trial alerts`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
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
const RESOLVES_WITHIN: Duration = Duration::from_secs(60);

/// Runs the trial.
///
/// # Errors
/// When it can't run, or an alert doesn't fire or doesn't resolve.
pub(super) async fn run(options: Options) -> Result<()> {
    let fleet = FleetOptions {
        profile: options.session.profile,
        ..Default::default()
    };
    let mut session = Session::start("trial-alerts", &options.session, &fleet).await?;
    let outcome = Box::pin(all_reasons(&mut session)).await;
    let stopped = session.resume_and_stop().await;
    let outcome = outcome?;
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
    stopped
}

async fn all_reasons(session: &mut Session) -> Result<Vec<Alert>> {
    let client = session.client.clone();
    let door = session.door_of_pod_sync().await?;
    let arena = Arena::create(&client, ArenaSpec::plain(SERVERS)).await?;
    arena.wait_settled(SERVERS as usize, SETTLE).await?;
    let changes = Changes::prepare(&client, &arena.namespace, SERVERS as usize, 1.0).await?;
    let directory = tempfile::tempdir()?;
    let pod_sync = session.fleet.process(Controller::PodSync)?;
    let judge = Judge::start(directory.path(), pod_sync.admin_port).await?;
    judge.wait("GamekeeperSyncGap", None, RESOLVES_WITHIN).await?;

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

/// A Prometheus with the alert rules as they are shipped.
struct Judge {
    prometheus: Prometheus,
}

impl Judge {
    /// Scrapes and judges every 2 s.
    async fn start(directory: &Path, scraped: u16) -> Result<Self> {
        let rules = alerts::plain_rules(&crate::cluster::paths::repo_root(), directory)?;
        let config = json!({
            "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"},
            "rule_files": rules,
            "scrape_configs": [{"job_name": "pod-sync",
                "static_configs": [{"targets": [format!("127.0.0.1:{scraped}")]}]}],
        });
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let prometheus = Prometheus::start(directory, address, &config).await?;
        Ok(Self { prometheus })
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
        self.wait(name, Some("pending"), FIRES_WITHIN).await?;
        let pending_seconds = began.elapsed().as_secs_f64();
        self.wait(name, Some("firing"), FIRES_WITHIN).await?;
        let firing_seconds = began.elapsed().as_secs_f64();
        end.await?;
        let ended = Instant::now();
        self.wait(name, None, RESOLVES_WITHIN).await?;
        Ok(Alert {
            name,
            reason,
            pending_seconds,
            firing_seconds,
            resolved_seconds: ended.elapsed().as_secs_f64(),
        })
    }

    /// Waits until the alert has this state; `None` is neither pending nor firing.
    async fn wait(&self, name: &str, state: Option<&str>, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            // Until it listens there is no answer.
            let alerts = self.alerts().await;
            if let Ok(alerts) = &alerts {
                let found = alerts.iter().find(|alert| alert["labels"]["alertname"] == name);
                if found.and_then(|alert| alert["state"].as_str()) == state {
                    return Ok(());
                }
            }
            ensure!(
                Instant::now() < deadline,
                "{name} isn't {} after {limit:?}; alerts: {alerts:?}",
                state.unwrap_or("resolved")
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
