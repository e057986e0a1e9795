//! opsState changes under way while something breaks, and whether all of them arrive.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use api_types::{GameServer, keys};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use tokio_util::task::AbortOnDropHandle;

use crate::bench::spread::Spread;
use crate::bench::sync::load::Allocator;
use crate::bench::sync::seen::Ledger;

/// An allocator at a steady rate, and a witness of every version of the Pods' labels.
pub(crate) struct Changes {
    client: Client,
    namespace: String,
    allocator: Allocator,
    ledger: Ledger,
    rate: f64,
    _watch: AbortOnDropHandle<()>,
}

/// What became of the changes of one phase.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Phase {
    pub(crate) name: String,
    /// Changes seen on their Pods.
    #[serde(flatten)]
    pub(crate) spread: Spread,
    /// The longest from a patch's acknowledgement to the label, milliseconds.
    pub(crate) after_acknowledgement_ms_max: f64,
    /// Acknowledged, and never seen on the Pod.
    pub(crate) lost: usize,
    /// Refused by the API server, or cut off: no change.
    pub(crate) refused: usize,
    /// Times an older generation followed a newer one on a Pod.
    pub(crate) went_back: usize,
    /// The longest from sending to the label in each second of the phase, milliseconds; 0 where none was sent.
    pub(crate) longest_ms_by_second: Vec<f64>,
    /// From sending to the label of every change, milliseconds.
    #[serde(skip)]
    pub(crate) from_sending: Vec<f64>,
}

const KNOWN_WITHIN: Duration = Duration::from_secs(30);

impl Changes {
    /// Gets ready to change the `servers` game servers of `namespace`, `rate` a second.
    pub(crate) async fn prepare(client: &Client, namespace: &str, servers: usize, rate: f64) -> Result<Self> {
        let ledger = Ledger::default();
        let watch = ledger.watch(client, namespace);
        let deadline = Instant::now() + KNOWN_WITHIN;
        while ledger.names().len() < servers {
            ensure!(
                Instant::now() < deadline,
                "the Pods' watch isn't complete after {KNOWN_WITHIN:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self {
            allocator: Allocator::new(client, namespace, &ledger, 1),
            client: client.clone(),
            namespace: namespace.to_owned(),
            ledger,
            rate,
            _watch: watch,
        })
    }

    /// Changes servers for as long as `event` takes, then waits `patience` at most until all are seen.
    pub(crate) async fn during<T>(
        &mut self,
        name: &str,
        patience: Duration,
        event: impl Future<Output = Result<T>>,
    ) -> Result<(T, Phase)> {
        let result = self.allocator.run_until(self.rate, event).await?;
        let account = self.ledger.close(patience).await;
        let phase = Phase {
            name: name.to_owned(),
            spread: Spread::of(account.from_sending.clone()),
            after_acknowledgement_ms_max: Spread::of(account.from_acknowledgement).max_ms,
            lost: account.lost,
            refused: account.refused,
            went_back: account.backwards,
            longest_ms_by_second: account.longest_by_second,
            from_sending: account.from_sending,
        };
        eprintln!("{}", phase.line());
        Ok((result, phase))
    }

    /// How long it takes from now until every Pod shows what its GameServer says; by reading both, not by the witness.
    ///
    /// # Errors
    /// After `limit`, with what still differs.
    pub(crate) async fn settled(&self, limit: Duration) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            let read_at = begun.elapsed();
            let differences = differences(&self.client, &self.namespace).await?;
            let Some(first) = differences.first() else {
                return Ok(read_at);
            };
            ensure!(
                begun.elapsed() < limit,
                "after {limit:?} {} Pods differ from their GameServers; {first}",
                differences.len()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Phase {
    /// Heading of the table.
    pub(crate) fn heading() -> String {
        format!(
            "{:<44} {:>8} {:>9} {:>9} {:>9} {:>5} {:>8} {:>9}",
            "phase", "changes", "p50, ms", "p99, ms", "max, ms", "lost", "refused", "went back"
        )
    }

    /// Its line.
    pub(crate) fn line(&self) -> String {
        let spread = &self.spread;
        format!(
            "{:<44} {:>8} {:>9.1} {:>9.1} {:>9.1} {:>5} {:>8} {:>9}",
            self.name,
            spread.count,
            spread.p50_ms,
            spread.p99_ms,
            spread.max_ms,
            self.lost,
            self.refused,
            self.went_back
        )
    }
}

/// Every way in which a Pod of `namespace` doesn't show its GameServer, as the API server has both now.
async fn differences(client: &Client, namespace: &str) -> Result<Vec<String>> {
    let servers: Api<GameServer> = Api::namespaced(client.clone(), namespace);
    let pods: Api<PartialObjectMeta<Pod>> = Api::namespaced(client.clone(), namespace);
    let servers = servers.list(&ListParams::default()).await?;
    // Read after the servers, so that a difference is never of a change that came in between.
    let pods = pods.list(&ListParams::default()).await?;
    let mut found = Vec::new();
    for server in servers {
        let name = server.name_any();
        let Some(pod) = pods.iter().find(|pod| pod.name_any() == name) else {
            found.push(format!("{name} has no Pod"));
            continue;
        };
        let shown = [
            pod.labels().get(keys::label::GS_OPS_STATE),
            pod.annotations().get(MATCH_ID),
            pod.annotations().get(keys::annotation::SYNCED_GENERATION),
        ];
        let generation = server.metadata.generation.unwrap_or_default().to_string();
        let wanted = [
            server.spec.ops_state.as_ref(),
            server.annotations().get(MATCH_ID),
            Some(&generation),
        ];
        // A later change may have come between the two lists; then the Pod is ahead, not behind.
        if shown != wanted && !is_ahead(shown[2], &generation) {
            found.push(format!("{name} shows {shown:?} instead of {wanted:?}"));
        }
    }
    Ok(found)
}

/// What the allocator sets beside opsState.
const MATCH_ID: &str = "gs-sync/match-id";

fn is_ahead(shown: Option<&String>, generation: &str) -> bool {
    let number = |text: &str| text.parse::<i64>().ok();
    shown.and_then(|text| number(text)) > number(generation)
}
