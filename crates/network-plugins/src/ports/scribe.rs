//! The one task that reads and writes records of ports. All that waits is written in one go for each load balancer.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex},
};

use controller_kit::{
    key::ObjectKey,
    resource::CONFIG_MAP,
    store::Store,
    write::{Created, MetaOnly, PatchKind, Precondition, Target, WriteError, Writer},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    ledger::{Holding, Job, Refusal, State, lock},
    pool::{Ask, Grant, Known, Pool, Sighting, Slot, grant},
    record::{self, Changes, RecordObject},
};
use crate::{
    metrics,
    problem::Problem,
    views::{LOAD_BALANCER, ServiceView},
};

/// Index of the Services by their type, for those of type LoadBalancer.
pub(crate) const SERVICES_BY_TYPE: &str = "type";
/// How often a record that others write too is tried again before the asker has to wait its turn.
const ATTEMPTS: usize = 8;

/// Where the scribe sees Services, and says that one is gone.
pub(crate) struct Services {
    /// The cache.
    pub store: Store<ServiceView>,
    /// Called with a server whose Service was gone when its ports were recorded.
    pub gone: Box<dyn Fn(ObjectKey) + Send + Sync>,
}

/// The one task that writes records.
pub(crate) struct Scribe {
    state: Arc<Mutex<State>>,
    waiting: mpsc::Receiver<Job>,
    writer: Writer,
    namespace: String,
    services: Services,
}

/// What one look at all that waits comes to.
#[derive(Default)]
struct Draft {
    pools: BTreeMap<String, Pool>,
    changes: BTreeMap<String, Changes>,
}

impl Scribe {
    /// One that writes what waits.
    pub(super) fn new(
        state: Arc<Mutex<State>>,
        waiting: mpsc::Receiver<Job>,
        writer: Writer,
        namespace: &str,
        services: Services,
    ) -> Self {
        Self {
            state,
            waiting,
            writer,
            namespace: namespace.to_owned(),
            services,
        }
    }

    /// Writes what is asked for until shutdown.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        while let Some(Some(first)) = shutdown.run_until_cancelled(self.waiting.recv()).await {
            let mut jobs = vec![first];
            while let Ok(job) = self.waiting.try_recv() {
                jobs.push(job);
            }
            self.work(jobs).await;
        }
        Ok(())
    }

    async fn work(&self, mut jobs: Vec<Job>) {
        let mut fresh: BTreeSet<String> = BTreeSet::new();
        for attempt in 1..=ATTEMPTS {
            if let Err(error) = self.read_unknown(&jobs, &mut fresh).await {
                return jobs
                    .into_iter()
                    .for_each(|job| job.answer(Err(Refusal::Write(error.clone()))));
            }
            let (draft, decided) = self.draft(jobs);
            let mut failed: BTreeMap<String, WriteError> = BTreeMap::new();
            for (id, changes) in &draft.changes {
                if let Err(error) = self.write(id, changes).await {
                    // Whatever became of it: what the record says now is what counts.
                    failed.insert(id.clone(), error);
                    fresh.remove(id);
                }
            }
            jobs = Vec::new();
            for (job, decision) in decided {
                match decision {
                    Decision::On(ids) => match ids.iter().find_map(|id| failed.get(id)) {
                        None => self.done(job),
                        Some(_) if attempt < ATTEMPTS => jobs.push(job),
                        Some(error) => job.answer(Err(Refusal::Write(error.clone()))),
                    },
                    // A refusal counts only when it was made from what the record says now.
                    Decision::Refused(problem) if job.ids().iter().all(|id| fresh.contains(*id)) => {
                        job.answer(Err(Refusal::Problem(problem)));
                    }
                    Decision::Refused(_) => {
                        job.ids().into_iter().for_each(|id| {
                            lock(&self.state)
                                .records
                                .get_mut(id)
                                .map(|record| record.version.take());
                        });
                        jobs.push(job);
                    }
                }
            }
            for id in failed.keys() {
                // Without a version it is read again before anything is decided from it.
                lock(&self.state)
                    .records
                    .get_mut(id)
                    .map(|record| record.version.take());
            }
            if jobs.is_empty() {
                return;
            }
        }
        let busy = || Refusal::Write(WriteError::Conflict("the record keeps changing".into()));
        for job in jobs {
            job.answer(Err(busy()));
        }
    }

    /// Reads the records that jobs are about and that are not known, or not known to be current.
    async fn read_unknown(&self, jobs: &[Job], fresh: &mut BTreeSet<String>) -> Result<(), WriteError> {
        let ids: BTreeSet<&str> = jobs.iter().flat_map(Job::ids).collect();
        for id in ids {
            let known = {
                let state = lock(&self.state);
                state
                    .records
                    .get(id)
                    .is_some_and(|record| record.version.is_some())
            };
            if known || fresh.contains(id) {
                continue;
            }
            let name = record::record_name(id);
            let target = Target::new(CONFIG_MAP, &self.namespace, &name);
            let found = self.writer.read::<RecordObject>(&target).await?;
            let record = found.map(|found| found.record()).unwrap_or_default();
            lock(&self.state).put(id, record);
            fresh.insert(id.to_owned());
        }
        Ok(())
    }

    /// Decides all jobs, one after the other, each from what those before left.
    fn draft(&self, jobs: Vec<Job>) -> (Draft, Vec<(Job, Decision)>) {
        let mut draft = Draft::default();
        {
            let state = lock(&self.state);
            let pools = state.records.iter();
            draft.pools = pools
                .map(|(id, record)| (id.clone(), record.pool.clone()))
                .collect();
        }
        let seen = self.sightings(&jobs, &draft.pools);
        let decide = |job: Job| {
            let decision = match &job {
                Job::Claim(ask, _) => draft.claim(ask, &seen),
                Job::Release(holdings, _) => draft.release(holdings),
            };
            (job, decision)
        };
        let decided = jobs.into_iter().map(decide).collect();
        (draft, decided)
    }

    /// Ports that Services are on without a record: made by hand, by another controller, or not yet taken over.
    fn sightings(
        &self,
        jobs: &[Job],
        pools: &BTreeMap<String, Pool>,
    ) -> BTreeMap<(String, Slot), Vec<Sighting>> {
        let recorded: HashSet<&str> = pools
            .values()
            .flat_map(|pool| pool.values().map(|entry| entry.service.as_str()))
            .collect();
        let keys: BTreeSet<&str> = jobs.iter().filter_map(Job::id_annotation).collect();
        let mut seen: BTreeMap<(String, Slot), Vec<Sighting>> = BTreeMap::new();
        if keys.is_empty() {
            return seen;
        }
        for service in self.services.store.by_index(SERVICES_BY_TYPE, LOAD_BALANCER) {
            let meta = &service.metadata;
            if recorded.contains(meta.uid.as_str()) {
                continue;
            }
            for id in keys.iter().filter_map(|key| meta.annotation(key)) {
                for port in &service.ports {
                    let slot = (id.to_owned(), (port.protocol, port.port));
                    seen.entry(slot).or_default().push(Sighting {
                        service: meta.uid.clone(),
                        created: meta.creation_timestamp.clone().unwrap_or_default(),
                    });
                }
            }
        }
        seen
    }

    async fn write(&self, id: &str, changes: &Changes) -> Result<(), WriteError> {
        let name = record::record_name(id);
        let target = Target::new(CONFIG_MAP, &self.namespace, &name);
        let version = lock(&self.state)
            .records
            .get(id)
            .and_then(|record| record.version.clone());
        let written: Result<MetaOnly, WriteError> = match &version {
            None => {
                let body = record::create(id, &self.namespace, changes);
                self.writer
                    .create::<_, MetaOnly>(&target, &body)
                    .await
                    .and_then(|made| match made {
                        Created::New(made) => Ok(made),
                        Created::AlreadyExists => Err(WriteError::Conflict("the record exists".into())),
                    })
            }
            Some((uid, version)) => {
                let at = Precondition::version(uid, version);
                let body = record::patch(changes);
                self.writer.patch(&target, PatchKind::Merge, at, body).await
            }
        };
        match written {
            Ok(written) => {
                metrics::record_written();
                lock(&self.state).commit(id, (written.uid, written.resource_version), changes);
                Ok(())
            }
            Err(error) => {
                if matches!(error, WriteError::Conflict(_)) {
                    metrics::record_conflict();
                }
                Err(error)
            }
        }
    }

    fn done(&self, job: Job) {
        if let Job::Claim(ask, _) = &job {
            let key = ObjectKey::new(ask.namespace.as_str(), ask.server.as_str());
            let live = self.services.store.get(&key);
            // Its end may have been told before there was anything to take back.
            if live.is_none_or(|live| live.metadata.uid != ask.service) {
                (self.services.gone)(key);
            }
        }
        job.answer(Ok(()));
    }
}

/// What a job comes to.
enum Decision {
    /// It is done when these are written.
    On(Vec<String>),
    /// It cannot be done.
    Refused(Problem),
}

impl Draft {
    fn claim(&mut self, ask: &Ask, seen: &BTreeMap<(String, Slot), Vec<Sighting>>) -> Decision {
        let known = Known {
            pools: &self.pools,
            seen,
        };
        match grant(ask, &known) {
            Ok(Grant { id, entries }) => {
                if entries.is_empty() {
                    return Decision::On(self.changes.contains_key(&id).then_some(id).into_iter().collect());
                }
                for (slot, entry) in entries {
                    self.pools
                        .entry(id.clone())
                        .or_default()
                        .insert(slot, entry.clone());
                    self.changes
                        .entry(id.clone())
                        .or_default()
                        .0
                        .insert(slot, Some(entry));
                }
                Decision::On(vec![id])
            }
            Err(problem) => Decision::Refused(problem),
        }
    }

    fn release(&mut self, holdings: &[Holding]) -> Decision {
        let mut ids = BTreeSet::new();
        for Holding { id, slot, service } in holdings {
            let pool = self.pools.entry(id.clone()).or_default();
            if pool.get(slot).is_some_and(|entry| entry.service == *service) {
                pool.remove(slot);
                self.changes.entry(id.clone()).or_default().0.insert(*slot, None);
                ids.insert(id.clone());
            }
        }
        Decision::On(ids.into_iter().collect())
    }
}

impl Job {
    fn ids(&self) -> Vec<&str> {
        match self {
            Self::Claim(ask, _) => {
                let present = ask.present.iter().map(|present| present.id.as_str());
                ask.wish.ids.iter().map(String::as_str).chain(present).collect()
            }
            Self::Release(holdings, _) => holdings.iter().map(|holding| holding.id.as_str()).collect(),
        }
    }

    fn id_annotation(&self) -> Option<&str> {
        match self {
            Self::Claim(ask, _) => Some(&ask.wish.id_annotation),
            Self::Release(..) => None,
        }
    }

    fn answer(self, answer: Result<(), Refusal>) {
        let (Self::Claim(_, tell) | Self::Release(_, tell)) = self;
        // Nobody waits any more when the process ends.
        let _ = tell.send(answer);
    }
}
