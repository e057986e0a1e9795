//! `bench sync`: from an allocator's patch of opsState to the Pod label, beside "bare", which does nothing else.
//!
//! Gamekeeper and bare take turns in the same cluster, on the same servers, under the same load; every figure is a median over the
//! rounds, every ratio the median of the rounds' ratios. While bare works, all of Gamekeeper is stopped, and the other way round.

pub(super) mod bare;
pub(crate) mod load;
mod rounds;
pub(crate) mod seen;

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bench_bare::Variant;
use serde::Serialize;

use self::rounds::{Ground, Sample, Side};
use super::spread::median;
use crate::fleet::FleetOptions;
use crate::trial::{Session, SessionOptions, write_json};

/// Flags of `bench sync`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    #[command(flatten)]
    load: Load,
    /// Game servers.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    servers: u32,
    /// Rounds; each measures both sides.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Flag of pod-sync, repeatable, for trying one: --pod-sync-arg=--concurrency=64.
    #[arg(long = "pod-sync-arg", value_name = "FLAG", allow_hyphen_values = true)]
    pod_sync_args: Vec<String>,
    /// Measure a variant of bare in the place of Gamekeeper, to see what one of its choices is worth
    #[arg(long, value_enum, hide = true)]
    variant: Option<Variant>,
    /// Search the highest rate at which p99 stays under 250 ms and nothing is lost, instead of timing one rate.
    #[arg(long, conflicts_with_all = ["rate", "burst"])]
    limit: bool,
}

/// What goes on during a measurement.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Load {
    /// Changes of opsState a second.
    #[arg(long, default_value_t = 50.0, value_parser = rate)]
    rate: f64,
    /// This many changes at once instead of a rate.
    #[arg(long, value_name = "N", conflicts_with = "rate")]
    burst: Option<usize>,
    /// Changes of node conditions a second.
    #[arg(long, default_value_t = 0.0, value_name = "C")]
    churn: f64,
    /// Changes of Pod statuses a second.
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    pod_churn: f64,
    /// A second set goes between 0 and this many servers all the time.
    #[arg(long, default_value_t = 0, value_name = "N")]
    scaling: u32,
    /// Seconds of one measurement.
    #[arg(long, default_value_t = 20, value_name = "S")]
    duration: u64,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.1..=2000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("between 0.1 and 2000".into())
    }
}

/// Medians over the rounds.
#[derive(Debug, Serialize)]
struct Outcome {
    /// What was measured beside bare.
    side: &'static str,
    servers: u32,
    rate: f64,
    burst: Option<usize>,
    churn: f64,
    p50_ms: f64,
    p99_ms: f64,
    bare_p50_ms: f64,
    bare_p99_ms: f64,
    p50_ratio: f64,
    p99_ratio: f64,
    /// From the acknowledgement of the allocator's patch instead of its sending.
    after_ack_p50_ms: f64,
    bare_after_ack_p50_ms: f64,
    /// Until the last label of a round was right, seconds; what counts in a burst.
    seconds: f64,
    bare_seconds: f64,
    seconds_ratio: f64,
    lost: usize,
    bare_lost: usize,
    /// Pods on which an older generation followed a newer one.
    backwards: usize,
    refused: usize,
    requests_per_change: f64,
    rounds: Vec<(Sample, Sample)>,
}

/// The highest rate of both sides.
#[derive(Debug, Serialize)]
struct Highest {
    servers: u32,
    limit_per_second: f64,
    bare_limit_per_second: f64,
    limit_ratio: f64,
}

/// Runs the benchmark.
///
/// # Errors
/// When it can't run, a change was lost, or a label went backwards.
pub(super) async fn run(options: Options) -> Result<()> {
    let fleet = FleetOptions {
        profile: options.session.profile,
        pod_sync_args: options.pod_sync_args.clone(),
        // At work for longer than a turn lasts, they would rest; a turn starts them anew.
        rest_after: Some(Duration::from_secs(1)),
        ..Default::default()
    };
    let mut session = Session::start("bench-sync", &options.session, &fleet).await?;
    let result = async {
        let mut ground = Ground::prepare(
            &mut session,
            options.session.profile,
            options.servers,
            options.load.scaling,
            options.variant,
        )
        .await?;
        if options.limit {
            limit(&mut ground, &options).await
        } else {
            compare(&mut ground, &options).await
        }
    }
    .await;
    // Where bare had the last turn, the controllers are stopped already.
    session.fleet.resume().await?;
    let stopped = session.stop().await;
    result?;
    stopped
}

async fn compare(ground: &mut Ground<'_>, options: &Options) -> Result<()> {
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        // The order alternates, so that neither side always finds the cluster as the other left it.
        let sides = [Side::Gamekeeper, Side::Bare];
        let mut samples = [Sample::default(), Sample::default()];
        for turn in 0..2 {
            let at = (turn + round as usize) % 2;
            samples[at] = ground.measure(sides[at], &options.load, u64::from(round)).await?;
        }
        let [ours, bare] = samples;
        eprintln!(
            "round {}: p50 {:.1} ms, p99 {:.1} ms; bare {:.1} and {:.1} ms",
            round + 1,
            ours.spread.p50_ms,
            ours.spread.p99_ms,
            bare.spread.p50_ms,
            bare.spread.p99_ms
        );
        rounds.push((ours, bare));
    }
    let outcome = summarise(options, rounds);
    write_json(options.session.json.as_deref(), &outcome)?;
    report(&outcome);
    if outcome.lost > 0 || outcome.backwards > 0 {
        bail!(
            "{} changes lost, {} labels went backwards",
            outcome.lost,
            outcome.backwards
        );
    }
    Ok(())
}

fn summarise(options: &Options, rounds: Vec<(Sample, Sample)>) -> Outcome {
    let ours = |of: fn(&Sample) -> f64| median(rounds.iter().map(|(ours, _)| of(ours)).collect());
    let bare = |of: fn(&Sample) -> f64| median(rounds.iter().map(|(_, bare)| of(bare)).collect());
    let ratio =
        |of: fn(&Sample) -> f64| median(rounds.iter().map(|(ours, bare)| of(ours) / of(bare)).collect());
    Outcome {
        side: options.variant.map_or("Gamekeeper", Variant::name),
        servers: options.servers,
        rate: options.load.rate,
        burst: options.load.burst,
        churn: options.load.churn,
        p50_ms: ours(|sample| sample.spread.p50_ms),
        p99_ms: ours(|sample| sample.spread.p99_ms),
        bare_p50_ms: bare(|sample| sample.spread.p50_ms),
        bare_p99_ms: bare(|sample| sample.spread.p99_ms),
        p50_ratio: ratio(|sample| sample.spread.p50_ms),
        p99_ratio: ratio(|sample| sample.spread.p99_ms),
        after_ack_p50_ms: ours(|sample| sample.after_acknowledgement.p50_ms),
        bare_after_ack_p50_ms: bare(|sample| sample.after_acknowledgement.p50_ms),
        seconds: ours(|sample| sample.seconds),
        bare_seconds: bare(|sample| sample.seconds),
        seconds_ratio: ratio(|sample| sample.seconds),
        lost: rounds.iter().map(|(ours, _)| ours.lost).sum(),
        bare_lost: rounds.iter().map(|(_, bare)| bare.lost).sum(),
        backwards: rounds.iter().map(|(ours, _)| ours.backwards).sum(),
        refused: rounds
            .iter()
            .map(|(ours, bare)| ours.refused + bare.refused)
            .sum(),
        requests_per_change: ours(|sample| sample.requests_per_change),
        rounds,
    }
}

/// Doubles the rate until a side fails, then halves the interval; both sides at every rate, one after the other.
async fn limit(ground: &mut Ground<'_>, options: &Options) -> Result<()> {
    let mut limits = [0.0; 2];
    for (side, found) in [Side::Gamekeeper, Side::Bare].into_iter().zip(&mut limits) {
        let (mut good, mut bad) = (0.0, f64::INFINITY);
        let mut rate = 50.0;
        // 5 % of the rate is finer than the noise.
        while bad - good > good * 0.05 {
            let load = Load {
                rate,
                ..options.load.clone()
            };
            let sample = ground.measure(side, &load, rate as u64).await?;
            let kept_up = sample.spread.count as f64 >= rate * options.load.duration as f64 * 0.95;
            let holds = sample.lost == 0 && sample.spread.p99_ms < 250.0 && kept_up;
            eprintln!(
                "{}: {rate:.0}/s p99 {:.0} ms, {} seen, {} lost: {}",
                side.name(),
                sample.spread.p99_ms,
                sample.spread.count,
                sample.lost,
                if holds { "holds" } else { "too much" }
            );
            if holds {
                good = rate;
            } else {
                bad = rate;
            }
            rate = if bad.is_finite() {
                f64::midpoint(good, bad)
            } else {
                good * 2.0
            };
            ensure!(rate > 1.0, "{} can't hold any rate on this machine", side.name());
        }
        *found = good;
    }
    let outcome = Highest {
        servers: options.servers,
        limit_per_second: limits[0],
        bare_limit_per_second: limits[1],
        limit_ratio: limits[0] / limits[1],
    };
    write_json(options.session.json.as_deref(), &outcome)?;
    println!("highest rate with p99 under 250 ms and nothing lost");
    println!(
        "Gamekeeper {:.0}/s, bare {:.0}/s, ratio {:.2}",
        limits[0], limits[1], outcome.limit_ratio
    );
    Ok(())
}

fn report(outcome: &Outcome) {
    println!(
        "{} servers, {}, {} node condition changes/s",
        outcome.servers,
        outcome
            .burst
            .map_or(format!("{}/s", outcome.rate), |burst| format!("{burst} at once")),
        outcome.churn
    );
    println!(
        "{:<40} {:>10} {:>10} {:>8}",
        "medians", outcome.side, "bare", "ratio"
    );
    let row = |what: &str, ours: f64, bare: f64, ratio: f64| {
        println!("{what:<40} {ours:>10.1} {bare:>10.1} {ratio:>8.2}");
    };
    row(
        "sent to label, p50, ms",
        outcome.p50_ms,
        outcome.bare_p50_ms,
        outcome.p50_ratio,
    );
    row(
        "sent to label, p99, ms",
        outcome.p99_ms,
        outcome.bare_p99_ms,
        outcome.p99_ratio,
    );
    let (ours, bare) = (outcome.after_ack_p50_ms, outcome.bare_after_ack_p50_ms);
    row("acknowledged to label, p50, ms", ours, bare, ours / bare);
    row(
        "first sent to last label, s",
        outcome.seconds,
        outcome.bare_seconds,
        outcome.seconds_ratio,
    );
    println!("{:<40} {:>10} {:>10}", "lost", outcome.lost, outcome.bare_lost);
    println!("{:<40} {:>10}", "labels that went backwards", outcome.backwards);
    println!(
        "{:<40} {:>10.2}",
        "writes per change, all controllers", outcome.requests_per_change
    );
    if outcome.refused > 0 {
        println!(
            "{} patches of the allocator were refused by the API server",
            outcome.refused
        );
    }
}

impl Load {
    fn time(&self) -> Duration {
        Duration::from_secs(self.duration)
    }
}
