//! One measurement: a side at work, the load on it, and the account afterwards.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api_types::GameServerSet;
use bench_bare::Variant;
use kube::Client;
use kube::api::{Api, PostParams};
use serde::Serialize;
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use super::Load;
use super::bare::Bare;
use super::load::{Allocator, calm_nodes, churn_nodes, churn_pods, scale_to_and_fro};
use super::seen::Ledger;
use crate::bench::spread::Spread;
use crate::cluster::paths::repo_root;
use crate::fleet::{Profile, build_beside};
use crate::trial::{Arena, ArenaSpec, Session};

/// Who carries opsState to the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Gamekeeper,
    Bare,
}

impl Side {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gamekeeper => "Gamekeeper",
            Self::Bare => "bare",
        }
    }
}

/// Figures of one side in one round.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Sample {
    pub(super) spread: Spread,
    pub(super) after_acknowledgement: Spread,
    /// From the first patch to the last label.
    pub(super) seconds: f64,
    pub(super) lost: usize,
    pub(super) refused: usize,
    pub(super) backwards: usize,
    pub(super) requests_per_change: f64,
}

/// The servers that are measured on, and who works on them now.
pub(super) struct Ground<'a> {
    session: &'a mut Session,
    client: Client,
    namespace: String,
    ledger: Ledger,
    bare_program: PathBuf,
    bare: Option<Bare>,
    /// What is measured beside bare, in the place of Gamekeeper.
    variant: Option<Variant>,
    _watch: AbortOnDropHandle<()>,
}

const SETTLE: Duration = Duration::from_secs(900);
/// How long a late change is waited for before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// After a side has started or another load has ended.
const QUIET: Duration = Duration::from_secs(2);
const SCALING_SET: &str = "scaling";

impl<'a> Ground<'a> {
    pub(super) async fn prepare(
        session: &'a mut Session,
        profile: Profile,
        servers: u32,
        scaling: u32,
        variant: Option<Variant>,
    ) -> Result<Self> {
        let client = session.client.clone();
        eprintln!("waiting for {servers} game servers");
        let arena = Arena::create(&client, ArenaSpec::plain(servers)).await?;
        arena.wait_settled(servers as usize, SETTLE).await?;
        let namespace = arena.namespace.clone();
        // Its observers decode whole objects; nothing but the measured side and a metadata watch shall run from here on.
        drop(arena);
        let ledger = Ledger::default();
        let watch = ledger.watch(&client, &namespace);
        let deadline = Instant::now() + Duration::from_secs(30);
        while ledger.names().len() < servers as usize {
            ensure!(
                Instant::now() < deadline,
                "the Pods' watch isn't complete after 30 s"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if scaling > 0 {
            let sets: Api<GameServerSet> = Api::namespaced(client.clone(), &format!("{namespace}-scaling"));
            make_scaling_set(&client, &sets, &format!("{namespace}-scaling")).await?;
        }
        Ok(Self {
            session,
            client,
            namespace,
            ledger,
            bare_program: build_beside(&repo_root(), profile, bench_bare::NAME).await?,
            bare: None,
            variant,
            _watch: watch,
        })
    }

    pub(super) async fn measure(&mut self, side: Side, load: &Load, seed: u64) -> Result<Sample> {
        self.hand_over(side).await?;
        let mut allocator = Allocator::new(&self.client, &self.namespace, &self.ledger, seed);
        // Connections, caches and the API server's own paths are warm on both sides before anything counts.
        allocator.run(load.rate.min(50.0), QUIET).await;
        self.ledger.close(PATIENCE).await;
        let background = self.background(load).await?;
        tokio::time::sleep(QUIET / 2).await;
        let before = self.writes(side).await?;
        let begun = Instant::now();
        match load.burst {
            Some(count) => allocator.burst(count).await,
            None => allocator.run(load.rate, load.time()).await,
        }
        let account = self.ledger.close(PATIENCE).await;
        let seconds = begun.elapsed().as_secs_f64();
        let after = self.writes(side).await?;
        drop(background);
        if load.churn > 0.0 {
            // Else the next turn would begin with trouble, and the watches of it could not rest.
            calm_nodes(&self.client).await?;
        }
        let spread = Spread::of(account.from_sending);
        Ok(Sample {
            requests_per_change: (after - before) / spread.count.max(1) as f64,
            spread,
            after_acknowledgement: Spread::of(account.from_acknowledgement),
            seconds,
            lost: account.lost,
            refused: account.refused,
            backwards: account.backwards,
        })
    }

    async fn background(&self, load: &Load) -> Result<Vec<AbortOnDropHandle<()>>> {
        let mut running = Vec::new();
        if load.churn > 0.0 {
            running.push(churn_nodes(&self.client, load.churn).await?);
        }
        if load.pod_churn > 0.0 {
            let names = self.ledger.names();
            running.push(churn_pods(&self.client, &self.namespace, names, load.pod_churn));
        }
        if load.scaling > 0 {
            let namespace = format!("{}-scaling", self.namespace);
            running.push(scale_to_and_fro(
                &self.client,
                &namespace,
                SCALING_SET,
                load.scaling,
            ));
        }
        Ok(running)
    }

    /// Stops the other side and starts this one, unless it works already.
    async fn hand_over(&mut self, side: Side) -> Result<()> {
        if let Some(variant) = self.variant {
            let variant = match side {
                Side::Bare => Variant::Plain,
                Side::Gamekeeper => variant,
            };
            match self.bare.take() {
                Some(bare) => bare.stop().await?,
                None => self.session.fleet.pause().await?,
            }
            self.bare = Some(self.start_bare(variant).await?);
            tokio::time::sleep(QUIET).await;
            return Ok(());
        }
        match (side, self.bare.take()) {
            (Side::Bare, Some(bare)) => self.bare = Some(bare),
            (Side::Bare, None) => {
                self.session.fleet.pause().await?;
                self.bare = Some(self.start_bare(Variant::Plain).await?);
            }
            (Side::Gamekeeper, None) => self.rest().await?,
            (Side::Gamekeeper, Some(bare)) => {
                bare.stop().await?;
                self.session.fleet.resume().await?;
                // What bare left undone (match ids, generations) is caught up with first.
                self.rest().await?;
            }
        }
        tokio::time::sleep(QUIET).await;
        Ok(())
    }

    async fn start_bare(&self, variant: Variant) -> Result<Bare> {
        let kubeconfig = &self.session.kubeconfig;
        Bare::start(&self.bare_program, kubeconfig, &self.namespace, variant).await
    }

    /// Waits until the controllers have written nothing for a second, and those that nothing is asked of rest.
    async fn rest(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut last = self.writes(Side::Gamekeeper).await?;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.writes(Side::Gamekeeper).await?;
            if now <= last && self.watches_rest().await? {
                return Ok(());
            }
            last = now;
            ensure!(Instant::now() < deadline, "the controllers don't come to rest");
        }
    }

    async fn watches_rest(&self) -> Result<bool> {
        let scraped = self.session.fleet.scrape().await?;
        let mut opt_in = scraped.iter().filter(|(controller, _)| controller.rests());
        Ok(opt_in.all(|(_, scrape)| scrape.sum("gamekeeper_watch_resting", |_| true) > 0.0))
    }

    async fn writes(&self, side: Side) -> Result<f64> {
        if side == Side::Bare || self.variant.is_some() {
            return Ok(0.0);
        }
        let scraped = self
            .session
            .fleet
            .scrape()
            .await
            .context("can't read the controllers' metrics")?;
        Ok(scraped.iter().map(|(_, scrape)| scrape.writes()).sum())
    }
}

async fn make_scaling_set(client: &Client, sets: &Api<GameServerSet>, namespace: &str) -> Result<()> {
    crate::fleet::apply_yaml(
        client,
        &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"),
        None,
    )
    .await?;
    let set = json!({
        "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet",
        "metadata": {"name": SCALING_SET},
        "spec": {"replicas": 0, "gameServerTemplate": {"spec": {"terminationGracePeriodSeconds": 0,
            "containers": [{"name": "game", "image": "example.invalid/game:1"}]}}},
    });
    sets.create(&PostParams::default(), &serde_json::from_value(set)?)
        .await?;
    Ok(())
}
