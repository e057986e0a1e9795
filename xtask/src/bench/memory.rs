//! `bench memory`: what each controller keeps in memory as the number of game servers grows.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::fleet::FleetOptions;
use crate::trial::{Arena, ArenaSpec, Session, SessionOptions, write_json};

/// Flags of `bench memory`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Numbers of game servers at which memory is read, rising.
    #[arg(long, value_delimiter = ',', default_value = "500,2000,5000", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    servers: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    /// Resident memory by controller and number of servers; 0 servers first.
    rss_bytes: BTreeMap<&'static str, BTreeMap<u32, u64>>,
    /// Growth by controller from the first number of servers to the last, for each server between.
    bytes_per_server: BTreeMap<&'static str, f64>,
}

/// For each step: five minutes, and 0.2 s for each server.
const LIMIT: Duration = Duration::from_secs(300);
const LIMIT_PER_SERVER: Duration = Duration::from_millis(200);
/// After this long at rest what was needed for creating has been given back, as far as it ever is.
const REST: Duration = Duration::from_secs(15);

/// Runs the benchmark.
///
/// # Errors
/// When it can't run.
pub(super) async fn run(options: Options) -> Result<()> {
    ensure!(
        options.servers.is_sorted_by(|a, b| a < b),
        "--servers must rise, as in 500,2000,5000"
    );
    let fleet = FleetOptions {
        profile: options.session.profile,
        ..Default::default()
    };
    let session = Session::start("bench-memory", &options.session, &fleet).await?;
    let outcome = measure(&session, &options).await;
    let stopped = session.stop().await;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    stopped?;
    report(&outcome);
    Ok(())
}

async fn measure(session: &Session, options: &Options) -> Result<Outcome> {
    let mut rss_bytes: BTreeMap<&'static str, BTreeMap<u32, u64>> = BTreeMap::new();
    let arena = Arena::create(&session.client, ArenaSpec::plain(0)).await?;
    for servers in std::iter::once(0).chain(options.servers.iter().copied()) {
        arena.scale(servers).await?;
        arena
            .wait_settled(servers as usize, LIMIT + LIMIT_PER_SERVER * servers)
            .await?;
        tokio::time::sleep(REST).await;
        for (controller, scrape) in session.fleet.scrape().await? {
            let readings = rss_bytes.entry(controller.name()).or_default();
            readings.insert(servers, scrape.usage().rss_bytes);
        }
        eprintln!("{servers} game servers at rest");
    }
    arena.delete().await?;
    let bytes_per_server = rss_bytes
        .iter()
        .filter_map(|(controller, readings)| Some((*controller, growth(readings)?)))
        .collect();
    Ok(Outcome {
        rss_bytes,
        bytes_per_server,
    })
}

/// Memory for each further server, from the first number of servers that isn't 0 to the last; from 0 where there is but one.
/// A process' first servers bring buffers and connections with them that stay.
fn growth(readings: &BTreeMap<u32, u64>) -> Option<f64> {
    let (last, most) = readings.last_key_value()?;
    let (first, least) = readings
        .iter()
        .find(|(servers, _)| **servers > 0 && *servers < last)
        .or_else(|| readings.first_key_value())?;
    let further = last.checked_sub(*first).filter(|further| *further > 0)?;
    Some((*most as f64 - *least as f64) / f64::from(further))
}

fn report(outcome: &Outcome) {
    for (controller, readings) in &outcome.rss_bytes {
        println!("{controller}");
        for (servers, bytes) in readings {
            println!("  {servers:>6} servers  {:>7.1} MB", *bytes as f64 / 1e6);
        }
        if let Some(bytes) = outcome.bytes_per_server.get(controller) {
            println!("  a server        {bytes:>7.0} bytes");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_leaves_out_what_the_first_servers_bring() {
        let of = |readings: &[(u32, u64)]| growth(&readings.iter().copied().collect());
        assert_eq!(of(&[(0, 10), (500, 5_000), (2000, 8_000)]), Some(2.0));
        assert_eq!(of(&[(0, 1_000), (500, 2_000)]), Some(2.0));
        assert_eq!(of(&[(0, 1_000)]), None);
        assert_eq!(of(&[]), None);
    }
}
