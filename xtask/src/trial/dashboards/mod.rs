//! `trial dashboards`: every query of every dashboard and alert, asked of a real Prometheus that scrapes all controllers under load; and
//! pictures of the answers.

mod load;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use e2e::ports;
use serde::Serialize;
use serde_json::{Value, json};

use self::load::Load;
use super::{Session, SessionOptions, write_json};
use crate::alerts;
use crate::bench::game_api::Certificate;
use crate::bench::probe::Route;
use crate::cluster::paths::repo_root;
use crate::fleet::{Fleet, FleetOptions};
use crate::observability::dashboards::{self, Dashboard, Query};
use crate::observability::picture::{self, Line};
use crate::observability::{exposition, query};
use crate::prometheus::{Prometheus, Series};

/// Flags of `trial dashboards`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Seconds of load.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(30..=3600))]
    seconds: u64,
    /// Draw the dashboards into this folder.
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    /// Queries of panels, and series that alerts ask for.
    queries: usize,
    with_data: usize,
    /// Without data, as may well be.
    quiet: Vec<Empty>,
    /// Without data.
    empty: Vec<Empty>,
    /// Alerts that fired though nothing was wrong.
    firing: Vec<String>,
    /// Metrics that were exported, of all that there are.
    metrics_exported: usize,
    metrics: usize,
}

#[derive(Debug, Serialize)]
struct Empty {
    place: String,
    query: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// Scraped and judged this often.
const SCRAPE: &str = "2s";
/// What Grafana would put in for its variable: at least four scrapes.
const RATE_INTERVAL: &str = "10s";
/// Moments of a picture.
const MOMENTS: u32 = 60;
const SCRAPED: Duration = Duration::from_secs(60);

/// Runs the trial.
///
/// # Errors
/// When it can't run, a query gives nothing, an alert fires, or something is exported that no table has.
pub(super) async fn run(options: Options) -> Result<()> {
    let certificate = Certificate::make()?;
    let port = ports::free()?;
    let fleet = FleetOptions {
        profile: options.session.profile,
        gss_replicas: 2,
        gss_args: vec![format!("--game-api-url=https://localhost:{port}")],
        pod_sync_replicas: 2,
        pod_sync_args: vec!["--shards=4".to_owned()],
        central: true,
        scaler_address: Some(([127, 0, 0, 1], ports::free()?).into()),
        game_api: Some(certificate.flags(port)),
        ..Default::default()
    };
    let route = Route::add().await.context("servers can't be probed here")?;
    let session = Session::start("trial-dashboards", &options.session, &fleet).await?;
    let outcome = Box::pin(ask_all(&session, &options, &certificate, port)).await;
    let stopped = session.stop().await;
    route.remove().await?;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    stopped?;
    report(&outcome);
    ensure!(
        outcome.empty.is_empty(),
        "{} queries gave nothing",
        outcome.empty.len()
    );
    ensure!(
        outcome.firing.is_empty(),
        "alerts fired: {}",
        outcome.firing.join(", ")
    );
    Ok(())
}

async fn ask_all(
    session: &Session,
    options: &Options,
    certificate: &Certificate,
    port: u16,
) -> Result<Outcome> {
    let directory = tempfile::tempdir()?;
    let prometheus = scraping(&session.fleet, directory.path()).await?;
    let load = Load::create(&session.client).await?;
    let from = now()?;
    eprintln!("{} s of load", options.seconds);
    let time = Duration::from_secs(options.seconds);
    Box::pin(load.run(time, certificate, port)).await?;
    let times = (from, now()?);
    let mut outcome = Outcome::default();
    for dashboard in dashboards::all() {
        let lines = asked(&prometheus, &dashboard, times, &mut outcome).await?;
        if let Some(folder) = &options.pictures {
            std::fs::create_dir_all(folder)?;
            let file = folder.join(format!("{}.svg", dashboard.name));
            std::fs::write(file, picture::svg(&dashboard, &lines, times.1 - times.0))?;
        }
    }
    ask_for_alerts(&prometheus, times, &mut outcome).await?;
    let exported = exposition::check(&session.fleet).await?;
    outcome.metrics_exported = exported.len();
    outcome.metrics = crate::observability::catalogue::SECTIONS
        .iter()
        .map(|section| section.metrics.len())
        .sum();
    load.delete().await?;
    Ok(outcome)
}

fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// A Prometheus that scrapes the fleet and knows the alerts; each process is an instance named like its controller.
async fn scraping(fleet: &Fleet, directory: &Path) -> Result<Prometheus> {
    let mut replicas: BTreeMap<&str, usize> = BTreeMap::new();
    let mut targets: Vec<Value> = Vec::new();
    for process in &fleet.processes {
        let name = process.controller.binary();
        let number = replicas.entry(name).or_default();
        let instance = format!("{name}-{number}");
        *number += 1;
        let target = format!("127.0.0.1:{}", process.admin_port);
        targets.push(json!({"targets": [target], "labels": {"instance": instance}}));
    }
    let expected = targets.len() as f64;
    let config = json!({
        "global": {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE},
        "rule_files": alerts::plain_rules(&repo_root(), directory)?,
        "scrape_configs": [{"job_name": "gamekeeper", "static_configs": targets}],
    });
    let prometheus = Prometheus::start(directory, format!("127.0.0.1:{}", ports::free()?), &config).await?;
    let deadline = tokio::time::Instant::now() + SCRAPED;
    loop {
        // Until it listens there is no answer.
        let up = prometheus.value("sum(up)").await;
        if matches!(up, Ok(Some(up)) if up >= expected) {
            return Ok(prometheus);
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "after {SCRAPED:?} not every process is scraped: {up:?} of {expected}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Asks what a dashboard asks; gives the lines of each panel.
async fn asked(
    prometheus: &Prometheus,
    dashboard: &Dashboard,
    times: (f64, f64),
    outcome: &mut Outcome,
) -> Result<Vec<Vec<Line>>> {
    let mut drawn = Vec::new();
    for panel in dashboard.rows.iter().flat_map(|row| &row.panels) {
        let place = format!("{}: {}", dashboard.name, panel.title);
        let mut lines = Vec::new();
        for query in &panel.queries {
            let expression = query.expression.replace("$__rate_interval", RATE_INTERVAL);
            let found = lines_of(prometheus, query, &expression, times).await;
            let found = found.with_context(|| format!("{place}: {expression}"))?;
            outcome.count(&place, expression, !found.is_empty(), query.quiet);
            lines.extend(found);
        }
        drawn.push(lines);
    }
    Ok(drawn)
}

async fn lines_of(
    prometheus: &Prometheus,
    query: &Query,
    expression: &str,
    times: (f64, f64),
) -> Result<Vec<Line>> {
    let step = (times.1 - times.0) / f64::from(MOMENTS);
    let found = prometheus.range(expression, times, step).await?;
    let lines = found.iter().map(|series| Line {
        name: named(&query.legend, series),
        values: at_moments(series, times.0, step),
    });
    Ok(lines
        .filter(|line| line.values.iter().any(Option::is_some))
        .collect())
}

fn named(legend: &str, series: &Series) -> String {
    let mut name = legend.to_owned();
    for (label, value) in &series.labels {
        name = name.replace(&format!("{{{{{label}}}}}"), value);
    }
    name
}

/// A quantile of nothing is no number, and no value.
fn at_moments(series: &Series, from: f64, step: f64) -> Vec<Option<f64>> {
    let mut values = vec![None; MOMENTS as usize + 1];
    for (time, value) in &series.values {
        let moment = ((time - from) / step).round() as usize;
        if let Some(place) = values.get_mut(moment).filter(|_| value.is_finite()) {
            *place = Some(*value);
        }
    }
    values
}

/// What an alert asks for is there whether it fires or not: its expression gives nothing while all is well.
async fn ask_for_alerts(prometheus: &Prometheus, times: (f64, f64), outcome: &mut Outcome) -> Result<()> {
    for alert in alerts::all(&repo_root())? {
        let asked = query::read(&alert.expression).map_err(anyhow::Error::msg)?;
        for selector in asked.selectors {
            let text = selector.text();
            let found = prometheus.range(&text, times, 2.0).await?;
            outcome.count(&alert.name, text, !found.is_empty(), quiet_in_alerts(&alert.name));
        }
        let fired = format!("ALERTS{{alertname=\"{}\",alertstate=\"firing\"}}", alert.name);
        if !prometheus.range(&fired, times, 2.0).await?.is_empty() {
            outcome.firing.push(alert.name);
        }
    }
    Ok(())
}

/// Why what an alert asks for may not be there.
fn quiet_in_alerts(alert: &str) -> Option<&'static str> {
    (alert == "GamekeeperApiErrors").then_some("no request failed in a way that is no conflict")
}

impl Outcome {
    fn count(&mut self, place: &str, query: String, has_data: bool, quiet: Option<&'static str>) {
        self.queries += 1;
        if has_data {
            self.with_data += 1;
            return;
        }
        let empty = Empty {
            place: place.to_owned(),
            query,
            reason: quiet,
        };
        if quiet.is_some() {
            self.quiet.push(empty);
        } else {
            self.empty.push(empty);
        }
    }
}

fn report(outcome: &Outcome) {
    println!(
        "{} queries: {} with data, {} rightly without, {} without; {} of {} metrics exported; {} alerts fired",
        outcome.queries,
        outcome.with_data,
        outcome.quiet.len(),
        outcome.empty.len(),
        outcome.metrics_exported,
        outcome.metrics,
        outcome.firing.len()
    );
    for empty in outcome.quiet.iter().chain(&outcome.empty) {
        let reason = empty.reason.unwrap_or("NOTHING");
        println!("  {reason}: {}: {}", empty.place, empty.query);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_on_the_moments_of_the_picture() {
        let series = Series {
            labels: BTreeMap::from([("state".to_owned(), "Ready".to_owned())]),
            values: vec![(100.0, 1.0), (102.0, f64::NAN), (160.0, 3.0)],
        };
        let values = at_moments(&series, 100.0, 1.0);
        assert_eq!(
            (values.len(), values[0], values[2], values[60]),
            (61, Some(1.0), None, Some(3.0))
        );
        assert_eq!(named("{{state}}, all", &series), "Ready, all");
    }
}
