//! Carries reports to the API server.
//!
//! One task at most works on a server's reports; it begins with the first that says something new and ends when nothing is
//! left. A write names the version it was decided from: what another replica stored meanwhile is read, and decided on again.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use controller_kit::{
    key::ObjectKey,
    queue::ReconcileError as _,
    resource::GAME_SERVER,
    write::{MetaOnly, PatchKind, Precondition, Target, WriteError, Writer},
};
use jiff::Timestamp;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    build,
    error::Refusal,
    metrics,
    observe::{Caller, Stores},
    plan::{
        entry::{Entry, Heard, Seen, Step},
        report::{self, News},
    },
    views::GameServerView,
};

/// Attempts at one write, each from a newer read.
const ATTEMPTS: usize = 5;

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The GameServer said so already.
    Known,
    /// The GameServer says so.
    Stored,
    /// It will soon, unless this process dies.
    Accepted,
}

/// Reports on their way.
pub(crate) struct Reports {
    stores: Stores,
    writer: Writer,
    interval: Duration,
    servers: Mutex<HashMap<ObjectKey, Server>>,
    /// Numbers the entries: whoever works on one does not go on with another of the same name.
    entries: AtomicU64,
    /// Writes under way.
    slots: Semaphore,
    tasks: TaskTracker,
    /// Nothing waits for its interval any more.
    closing: CancellationToken,
}

struct Server {
    id: u64,
    entry: Entry,
    waiting: Vec<oneshot::Sender<Outcome>>,
}

/// What is to be done for a server, for which of its Pods, and who waits for it.
struct Turn {
    step: Step,
    pod_uid: String,
    waiting: Vec<oneshot::Sender<Outcome>>,
}

/// The present, no finer than what is written of it.
pub(crate) fn clock() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

impl Reports {
    pub(crate) fn new(stores: Stores, writer: Writer, interval: Duration, concurrency: usize) -> Arc<Self> {
        Arc::new(Self {
            stores,
            writer,
            interval,
            servers: Mutex::default(),
            entries: AtomicU64::new(0),
            slots: Semaphore::new(concurrency),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        })
    }

    /// Takes a report in. The answer comes once it is stored, where that needs no waiting or the caller wants to `wait`.
    ///
    /// # Errors
    /// When the server has no GameServer yet.
    pub(crate) async fn report(
        self: &Arc<Self>,
        caller: &Caller,
        news: News,
        wait: bool,
    ) -> Result<Outcome, Refusal> {
        let record = self.stores.record_of(caller).ok_or(Refusal::NotYet)?;
        let answer = self.hear(caller, &record, news, wait);
        let Some(answer) = answer else {
            metrics::report("accepted");
            return Ok(Outcome::Accepted);
        };
        // The sender is dropped when the server is gone.
        let outcome = answer.await.map_err(|_| Refusal::NotYet)?;
        metrics::report(match outcome {
            Outcome::Known => "known",
            Outcome::Stored => "stored",
            Outcome::Accepted => "accepted",
        });
        Ok(outcome)
    }

    /// Where the answer is to come from; `None` when it is not waited for.
    fn hear(
        self: &Arc<Self>,
        caller: &Caller,
        record: &GameServerView,
        news: News,
        wait: bool,
    ) -> Option<oneshot::Receiver<Outcome>> {
        let every = self.stores.heartbeat_every(&caller.pod);
        let uid = &caller.pod.metadata.uid;
        let mut servers = self.lock();
        let server = servers
            .entry(caller.key.clone())
            .and_modify(|server| server.renew(uid))
            .or_insert_with(|| Server {
                id: self.entries.fetch_add(1, Ordering::Relaxed),
                entry: Entry::of(uid),
                waiting: Vec::new(),
            });
        let heard = server
            .entry
            .hear(news, &record.seen, every, clock(), Instant::now());
        let (sender, receiver) = oneshot::channel();
        let begins = match heard {
            Heard::Known => {
                // The receiver is still here.
                let _ = sender.send(Outcome::Known);
                return Some(receiver);
            }
            Heard::Now => true,
            Heard::Later { begins } => begins,
        };
        let waits = wait || heard == Heard::Now;
        if waits {
            server.waiting.push(sender);
        }
        let id = server.id;
        drop(servers);
        if begins {
            self.begin(caller.key.clone(), id);
        }
        waits.then_some(receiver)
    }

    fn begin(self: &Arc<Self>, key: ObjectKey, id: u64) {
        let reports = Arc::clone(self);
        self.tasks.spawn(async move {
            metrics::pending(1.0);
            reports.carry(&key, id).await;
            metrics::pending(-1.0);
        });
    }

    /// Writes one server's reports until nothing is left.
    async fn carry(&self, key: &ObjectKey, id: u64) {
        loop {
            let turn = self.step(key, id);
            match turn.step {
                Step::Rest => return,
                Step::Wait(time) => {
                    tokio::select! {
                        () = tokio::time::sleep(time) => {}
                        () = self.closing.cancelled(), if !self.closing.is_cancelled() => {}
                    }
                }
                Step::Write(news) => {
                    // Never closed: the semaphore lives as long as the process.
                    let _slot = self.slots.acquire().await;
                    let written = self.write(key, &turn.pod_uid, &news).await;
                    let answer = self.finish(key, id, &turn.pod_uid, news, written);
                    for waiting in turn.waiting {
                        // Without an answer they learn that the server is gone. Whoever asked may be gone too.
                        answer.map(|answer| waiting.send(answer));
                    }
                }
            }
        }
    }

    fn step(&self, key: &ObjectKey, id: u64) -> Turn {
        let cached = self.stores.game_servers.get(key);
        let mut servers = self.lock();
        let Some(server) = servers.get_mut(key).filter(|server| server.id == id) else {
            return Turn {
                step: Step::Rest,
                pod_uid: String::new(),
                waiting: Vec::new(),
            };
        };
        let closing = self.closing.is_cancelled();
        let step = match server.entry.step(Instant::now(), closing) {
            // What came meanwhile from other replicas was not looked at.
            Step::Rest if !closing && cached.is_some_and(|it| server.entry.seen(&it.seen, clock())) => {
                Step::Wait(Duration::ZERO)
            }
            step => step,
        };
        let waiting = if matches!(step, Step::Write(_)) {
            std::mem::take(&mut server.waiting)
        } else {
            Vec::new()
        };
        Turn {
            step,
            pod_uid: server.entry.pod_uid.clone(),
            waiting,
        }
    }

    fn finish(
        &self,
        key: &ObjectKey,
        id: u64,
        pod_uid: &str,
        news: News,
        written: Result<Option<Seen>, WriteError>,
    ) -> Option<Outcome> {
        let now = Instant::now();
        let mut servers = self.lock();
        let outcome = match &written {
            Ok(Some(_)) => "ok",
            Ok(None) => "unchanged",
            Err(error) => error.category(),
        };
        metrics::wrote(outcome);
        let server = servers.get_mut(key).filter(|server| server.id == id)?;
        let same_pod = server.entry.pod_uid == pod_uid;
        match written {
            Ok(seen) => {
                server.entry.stored(seen, now, self.interval);
                Some(Outcome::Stored)
            }
            // The Pod that said it is no more.
            Err(_) if !same_pod => None,
            Err(WriteError::NotFound) => {
                servers.remove(key);
                None
            }
            Err(error) => {
                tracing::warn!(object.namespace = %key.namespace, object.name = %key.name, %error, "a report could not be written");
                server.entry.failed(news, now, self.interval);
                Some(Outcome::Accepted)
            }
        }
    }

    /// Writes `news`, if the GameServer does not say it yet; gives what it says then.
    async fn write(&self, key: &ObjectKey, pod_uid: &str, news: &News) -> Result<Option<Seen>, WriteError> {
        let pod = self
            .stores
            .pods
            .get(key)
            .filter(|pod| pod.metadata.uid == pod_uid);
        let pod = pod.ok_or(WriteError::NotFound)?;
        let every = self.stores.heartbeat_every(&pod);
        let caller = Caller {
            key: key.clone(),
            pod: Arc::clone(&pod),
        };
        let mut server = self.stores.record_of(&caller).ok_or(WriteError::NotFound)?;
        let mut base = self.base(key, &server);
        let mut last = WriteError::Conflict("it never stays the same long enough".to_owned());
        for _ in 0..ATTEMPTS {
            let Some(wanted) = report::next(&base.report, pod_uid, news, every, clock()) else {
                return Ok(None);
            };
            let precondition = Precondition::version(&server.metadata.uid, &base.resource_version);
            let target = Target::status(GAME_SERVER, &key.namespace, &key.name);
            let body = build::report(&wanted);
            let written = self
                .writer
                .patch::<MetaOnly>(&target, PatchKind::Merge, precondition, body);
            match written.await {
                Ok(written) => {
                    return Ok(Some(Seen {
                        resource_version: written.resource_version,
                        report: wanted,
                    }));
                }
                Err(error @ WriteError::Conflict(_)) => last = error,
                Err(error) => return Err(error),
            }
            let target = Target::new(GAME_SERVER, &key.namespace, &key.name);
            let live = self.writer.read::<GameServerView>(&target).await?;
            server = live
                .filter(|live| live.metadata.is_record_of(&pod.metadata))
                .map(Arc::new)
                .ok_or(WriteError::NotFound)?;
            base = server.seen.clone();
        }
        Err(last)
    }

    /// What reports are held against.
    fn base(&self, key: &ObjectKey, server: &GameServerView) -> Seen {
        let servers = self.lock();
        let known = servers.get(key).map(|known| known.entry.base(&server.seen));
        known.unwrap_or(&server.seen).clone()
    }

    /// Asks for the deletion of a server.
    ///
    /// # Errors
    /// When it has no GameServer yet, or the API server does not take it.
    pub(crate) async fn ask_for_deletion(&self, caller: &Caller) -> Result<(), Refusal> {
        let server = self.stores.record_of(caller).ok_or(Refusal::NotYet)?;
        if server.marked {
            return Ok(());
        }
        let target = Target::new(GAME_SERVER, &caller.key.namespace, &caller.key.name);
        let precondition = Precondition::uid(&server.metadata.uid);
        let written = self
            .writer
            .patch::<MetaOnly>(&target, PatchKind::Merge, precondition, build::deletion())
            .await;
        metrics::wrote(written.as_ref().map_or_else(WriteError::category, |_| "ok"));
        match written {
            Ok(_) => Ok(()),
            Err(WriteError::NotFound | WriteError::Conflict(_)) => Err(Refusal::NotYet),
            Err(error) => {
                tracing::warn!(object.namespace = %caller.key.namespace, object.name = %caller.key.name, %error, "a server could not be marked");
                Err(Refusal::Unavailable)
            }
        }
    }

    /// The cache shows this version of a GameServer.
    pub(crate) fn seen(self: &Arc<Self>, server: &GameServerView) {
        let key = ObjectKey::of(&server.metadata);
        let mut servers = self.lock();
        let Some(known) = servers.get_mut(&key) else {
            return;
        };
        let (begins, id) = (known.entry.seen(&server.seen, clock()), known.id);
        drop(servers);
        if begins {
            self.begin(key, id);
        }
    }

    /// The Pod is gone, and with it whatever it said.
    pub(crate) fn gone(&self, key: &ObjectKey, pod_uid: &str) {
        let mut servers = self.lock();
        if servers
            .get(key)
            .is_some_and(|server| server.entry.pod_uid == pod_uid)
        {
            servers.remove(key);
        }
    }

    /// Writes what is left and ends.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Server>> {
        // No code that can panic runs under the lock, and each change is complete in itself.
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Starts anew for another Pod. Whoever still works on the old one's reports goes on with the new one's.
    fn renew(&mut self, pod_uid: &str) {
        if self.entry.pod_uid != pod_uid {
            self.entry = self.entry.renewed(pod_uid);
            self.waiting.clear();
        }
    }
}
