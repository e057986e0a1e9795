//! What is recorded of ports, and where ports are asked for: every port is recorded before a Service has it.
//!
//! # Why no port is given twice, whoever leads
//! 1. A Service is made without being on any load balancer: type ClusterIP.
//! 2. Its ports are recorded under its UID, in a write that carries the record's `resourceVersion`. Of two leaders who give the
//!    same port one gets 409, reads the record and chooses anew.
//! 3. Only then the Service is put on the load balancer, by a patch with its UID. An entry is taken back only when a live read
//!    says that no Service has that UID any more: a patch that is still under way then, from a leader that was paused or has
//!    been replaced, cannot succeed.
//!
//! So no entry has to be looked at twice: while its Service is there, it is true, and an old copy of the record will do. A
//! crash between two steps leaves a Service that the next run completes, or an entry without a Service, which the sweep takes back.
//!
//! [`scribe`](super::scribe) writes the records.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use controller_kit::{
    key::ObjectKey,
    write::{WriteError, Writer},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    Held, HeldPort,
    pool::{Ask, Slot},
    record::{Changes, Record, RecordObject},
    scribe::{Scribe, Services},
};
use crate::{metrics, problem::Problem};

/// How much may wait to be written: more than there are reconciles at a time.
const QUEUE: usize = 2048;

/// Why ports were not given.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    /// There are none, or they are another's.
    #[error("{}", .0.message)]
    Problem(Problem),
    /// The record could not be read or written.
    #[error("record of ports: {0}")]
    Write(WriteError),
}

/// An entry to be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Holding {
    /// Id of the load balancer.
    pub id: String,
    /// The port.
    pub slot: Slot,
    /// UID of the Service that had it.
    pub service: String,
}

/// What is asked of the scribe.
pub(super) enum Job {
    Claim(Box<Ask>, oneshot::Sender<Result<(), Refusal>>),
    Release(Vec<Holding>, oneshot::Sender<Result<(), Refusal>>),
}

/// Where ports are asked for. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Ledger {
    state: Arc<Mutex<State>>,
    jobs: mpsc::Sender<Job>,
}

/// What is known of the records.
#[derive(Default)]
pub(super) struct State {
    pub(super) records: BTreeMap<String, Record>,
    by_service: HashMap<String, (ObjectKey, Held)>,
    by_server: HashMap<ObjectKey, HashSet<String>>,
}

impl Ledger {
    /// The ledger, and what writes it.
    pub(crate) fn new(writer: Writer, namespace: &str, services: Services) -> (Self, Scribe) {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let ledger = Self {
            state: Arc::default(),
            jobs,
        };
        let scribe = Scribe::new(Arc::clone(&ledger.state), waiting, writer, namespace, services);
        (ledger, scribe)
    }

    /// What the Service with this UID holds, as far as this process has seen.
    pub(crate) fn held(&self, service: &str) -> Option<Held> {
        self.lock().by_service.get(service).map(|(_, held)| held.clone())
    }

    /// Whether anything is recorded for a server of this name.
    pub(crate) fn knows(&self, server: &ObjectKey) -> bool {
        self.lock().by_server.contains_key(server)
    }

    /// All that is recorded for a server of this name.
    pub(crate) fn holdings(&self, server: &ObjectKey) -> Vec<Holding> {
        let state = self.lock();
        let services = state.by_server.get(server).into_iter().flatten();
        let held = services.filter_map(|service| Some((service, &state.by_service.get(service)?.1)));
        held.flat_map(|(service, held)| {
            held.ports.iter().map(|port| Holding {
                id: held.id.clone(),
                slot: (port.protocol, port.port),
                service: service.clone(),
            })
        })
        .collect()
    }

    /// Every Service that holds something: O(n), for sweeps.
    pub(crate) fn holders(&self) -> Vec<(ObjectKey, String)> {
        let state = self.lock();
        let holders = state.by_service.iter();
        holders
            .map(|(service, (server, _))| (server.clone(), service.clone()))
            .collect()
    }

    /// Takes in what records say, whole.
    pub(crate) fn loaded(&self, objects: Vec<RecordObject>) {
        let mut state = self.lock();
        for object in objects {
            if let Some(id) = object.id() {
                state.put(id, object.record());
            }
        }
    }

    /// Records ports for a Service.
    pub(crate) async fn claim(&self, ask: Ask) -> Result<(), Refusal> {
        let (tell, told) = oneshot::channel();
        self.send(Job::Claim(Box::new(ask), tell), told).await
    }

    /// Takes entries back whose Services are gone for certain.
    pub(crate) async fn release(&self, holdings: Vec<Holding>) -> Result<(), Refusal> {
        let (tell, told) = oneshot::channel();
        self.send(Job::Release(holdings, tell), told).await
    }

    async fn send(&self, job: Job, told: oneshot::Receiver<Result<(), Refusal>>) -> Result<(), Refusal> {
        let ending = || Refusal::Write(WriteError::Unknown("the process is ending".into()));
        self.jobs.send(job).await.map_err(|_| ending())?;
        told.await.map_err(|_| ending())?
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing that can panic runs under the lock.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Replaces what is known of one load balancer.
    pub(super) fn put(&mut self, id: &str, record: Record) {
        let old = self.records.remove(id).unwrap_or_default();
        for (slot, entry) in old.pool {
            self.forget(id, slot, &entry.service);
        }
        for (slot, entry) in &record.pool {
            self.learn(id, *slot, entry);
        }
        self.records.insert(id.to_owned(), record);
        metrics::ports(self.records.values().map(|record| record.pool.len()).sum());
    }

    fn learn(&mut self, id: &str, (protocol, port): Slot, entry: &super::pool::Entry) {
        let server = ObjectKey::new(entry.namespace.as_str(), entry.server.as_str());
        let services = self.by_server.entry(server.clone()).or_default();
        services.insert(entry.service.clone());
        let (_, held) = self
            .by_service
            .entry(entry.service.clone())
            .or_insert_with(|| (server, Held::default()));
        id.clone_into(&mut held.id);
        held.ports.push(HeldPort {
            target: entry.target,
            protocol,
            port,
        });
    }

    fn forget(&mut self, id: &str, (protocol, port): Slot, service: &str) {
        let Some((server, held)) = self.by_service.get_mut(service).filter(|(_, held)| held.id == id) else {
            return;
        };
        held.ports
            .retain(|held| (held.protocol, held.port) != (protocol, port));
        if held.ports.is_empty() {
            let server = server.clone();
            self.by_service.remove(service);
            if let Some(services) = self.by_server.get_mut(&server) {
                services.remove(service);
                if services.is_empty() {
                    self.by_server.remove(&server);
                }
            }
        }
    }

    /// Takes in an own write.
    pub(super) fn commit(&mut self, id: &str, version: (String, String), changes: &Changes) {
        let mut record = self.records.remove(id).unwrap_or_default();
        for (slot, entry) in &changes.0 {
            if let Some(before) = record.pool.get(slot).map(|before| before.service.clone()) {
                self.forget(id, *slot, &before);
            }
            if let Some(entry) = entry {
                self.learn(id, *slot, entry);
            }
        }
        record.apply(changes);
        record.version = Some(version);
        self.records.insert(id.to_owned(), record);
        metrics::ports(self.records.values().map(|record| record.pool.len()).sum());
    }
}
