//! `trial keda`: the real KEDA operator scales a set out and in through external-scaler, asked on a schedule (`external`) and told
//! of changes (`external-push`).

mod install;
mod story;

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use self::install::Keda;
use self::story::{Story, Times};
use super::{Session, SessionOptions, write_json};
use crate::fleet::FleetOptions;

/// Flags of `trial keda`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
}

#[derive(Debug, Serialize)]
struct Outcome {
    keda: String,
    poll_seconds: Times,
    push_seconds: Times,
}

/// How often KEDA asks by itself where changes are pushed: so seldom that what is quick was pushed.
const SELDOM: Duration = Duration::from_mins(5);
/// How often it asks where nothing is pushed.
const OFTEN: Duration = Duration::from_secs(5);

/// Runs the trial.
///
/// # Errors
/// When it can't run, or when KEDA and external-scaler did not come to what the set needed.
pub(super) async fn run(options: Options) -> Result<()> {
    let programs = Keda::programs().await?;
    let scaler = install::free_address()?;
    let fleet = FleetOptions {
        profile: options.session.profile,
        scaler_address: Some(scaler),
        ..Default::default()
    };
    let session = Session::start("trial-keda", &options.session, &fleet).await?;
    let outcome = async {
        let keda = Keda::start(&session.client, &session.kubeconfig, &programs).await?;
        let poll = Story::new(&session.client, "external", OFTEN, scaler);
        let push = Story::new(&session.client, "external-push", SELDOM, scaler);
        let told = |error: anyhow::Error| error.context(keda.log_tail());
        anyhow::Ok(Outcome {
            keda: programs.version.clone(),
            poll_seconds: poll.tell().await.context("external").map_err(told)?,
            push_seconds: push.tell().await.context("external-push").map_err(told)?,
        })
    };
    let outcome = outcome.await;
    let stopped = session.stop().await;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    stopped?;
    println!("KEDA {}; seconds until it was so", outcome.keda);
    println!("{:<44} {:>8} {:>8}", "", "poll", "push");
    let rows = outcome
        .poll_seconds
        .rows()
        .into_iter()
        .zip(outcome.push_seconds.rows());
    for ((what, poll), (_, push)) in rows {
        println!("{what:<44} {poll:>8.1} {push:>8.1}");
    }
    Ok(())
}
