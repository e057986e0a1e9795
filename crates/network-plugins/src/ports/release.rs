//! Ports of Services that are gone: each is taken back once, and only after a live look.

use std::time::Duration;

use api_types::keys::label;
use controller_kit::{
    key::ObjectKey,
    queue::{Next, Queue, Work},
    resource::SERVICE,
    runtime::Runtime,
    store::Store,
    write::{Target, Writer},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::ListParams};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Ledger, Refusal, record::RecordObject};
use crate::{apply::LiveObject, error::Error, views::ServiceView};

/// Between two attempts to read the records.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Servers whose Services may be gone.
#[derive(Clone)]
pub(crate) struct Releases {
    ledger: Ledger,
    writer: Writer,
    queue: Queue<ObjectKey>,
}

impl Releases {
    /// Servers are taken from `queue` while this process leads.
    pub(crate) fn new(ledger: Ledger, writer: Writer, queue: Queue<ObjectKey>) -> Self {
        Self {
            ledger,
            writer,
            queue,
        }
    }

    /// Starts working.
    pub(crate) fn start(&self, runtime: &Runtime) {
        let releases = self.clone();
        self.queue.run(runtime, "ports", 16, move |work| {
            let releases = releases.clone();
            async move { releases.look(work).await }
        });
    }

    /// Takes back what Services of this name had that are no longer there.
    async fn look(&self, work: Work<ObjectKey>) -> Result<Next, Error> {
        let key = &work.key;
        let mut holdings = self.ledger.holdings(key);
        if holdings.is_empty() {
            return Ok(Next::Done);
        }
        let target = Target::new(SERVICE, &key.namespace, &key.name);
        let live = self.writer.read::<LiveObject>(&target).await;
        let live = live.map_err(Error::write("look whether a Service is gone"))?;
        if let Some(live) = live {
            holdings.retain(|holding| holding.service != live.metadata.uid);
        }
        if holdings.is_empty() {
            return Ok(Next::Done);
        }
        tracing::info!(object.namespace = %key.namespace, object.name = %key.name, ports = holdings.len(), "ports are free again");
        match self.ledger.release(holdings).await {
            Ok(()) => Ok(Next::Done),
            Err(Refusal::Problem(problem)) => Err(Error::Blocked(problem)),
            Err(Refusal::Write(error)) => Err(Error::write("take ports back")(error)),
        }
    }

    /// Reads all records and looks at those whose Services the cache does not show: at the start of each reign, and then as
    /// often as everything is looked at again.
    pub(crate) fn sweep(
        &self,
        runtime: &Runtime,
        leads: watch::Receiver<bool>,
        namespace: &str,
        services: Store<ServiceView>,
    ) {
        let records: Api<ConfigMap> = Api::namespaced(runtime.client(), namespace);
        let sweep = Sweep {
            releases: self.clone(),
            records,
            services,
            leads,
            pause: runtime.resync(),
        };
        let (primed, shutdown) = (runtime.primed(), runtime.shutdown());
        runtime.spawn("sweep ports", async move {
            if shutdown.run_until_cancelled(primed).await.is_some() {
                sweep.run(&shutdown).await;
            }
            Ok(())
        });
    }
}

struct Sweep {
    releases: Releases,
    records: Api<ConfigMap>,
    services: Store<ServiceView>,
    leads: watch::Receiver<bool>,
    pause: Duration,
}

impl Sweep {
    async fn run(mut self, shutdown: &CancellationToken) {
        let forever = async {
            loop {
                // The sender lives as long as the elector; without it nobody leads any more.
                if self.leads.wait_for(|leads| *leads).await.is_err() {
                    return std::future::pending::<()>().await;
                }
                match self.read_records().await {
                    Ok(()) => self.look(),
                    Err(error) => {
                        tracing::warn!(%error, "cannot read the records of ports; trying again");
                        tokio::time::sleep(ASK_AGAIN).await;
                        continue;
                    }
                }
                self.rest().await;
            }
        };
        shutdown.run_until_cancelled(forever).await;
    }

    async fn read_records(&self) -> anyhow::Result<()> {
        let labelled = ListParams::default().labels(label::NETWORK_PORTS);
        let found = self.records.list(&labelled).await?;
        let objects = found
            .items
            .into_iter()
            .map(|item| serde_json::from_value(serde_json::to_value(item)?));
        self.releases
            .ledger
            .loaded(objects.collect::<Result<Vec<RecordObject>, _>>()?);
        Ok(())
    }

    fn look(&self) {
        for (server, service) in self.releases.ledger.holders() {
            let live = self.services.get(&server);
            if live.is_none_or(|live| live.metadata.uid != service) {
                self.releases.queue.add(server);
            }
        }
    }

    /// Until the next round, or until this process has lost the lead and has it again.
    async fn rest(&mut self) {
        let round = async {
            if self.pause.is_zero() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(self.pause).await;
        };
        tokio::select! {
            () = round => {}
            _ = self.leads.wait_for(|leads| !*leads) => {}
        }
    }
}
