//! Runs the election of one lease: sends what [`step`] asks for and publishes the result.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Client, api::WatchParams};
use tokio::{sync::watch, time::Instant as TokioInstant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    api::{LeaseApi, RequestError},
    config::{ConfigError, LeaseConfig},
    metrics,
    record::{Claim, LeaseRecord, Observed, Version},
    step::{Candidate, Command, Input, Loss, jitter, step},
    wakeup::Wakeup,
};

/// Far enough to mean "for ever" to every process, near enough to be added to an [`Instant`] safely.
const FOR_EVER: Duration = Duration::from_hours(10 * 365 * 24);

/// Attempts to give the lease back at exit; whoever waits for it takes it after its duration otherwise.
const RELEASE_ATTEMPTS: u32 = 3;

/// How a lease is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GiveBack {
    /// Write an empty holder: whoever waits for the lease takes it.
    Free,
    /// Delete the object: nobody else ever wants this lease.
    Delete,
}

/// What is known about leadership at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// This process leads until then. The instant moves forward with every renewal.
    Leader {
        /// Nothing may be started on the strength of this leadership afterwards.
        until: Instant,
    },
    /// Somebody else leads, or nobody.
    Follower {
        /// Who held the lease when it was last seen.
        holder: Option<String>,
    },
}

impl Leadership {
    /// Whether this process leads at `now`. Reading this before each batch of work closes the small gap between the end of a term and
    /// the moment in which a process that had been stopped gets to publish it.
    pub fn leads_at(&self, now: Instant) -> bool {
        matches!(self, Self::Leader { until } if now < *until)
    }
}

/// Leadership was lost: stop writing and end the process; a new process competes again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lost the lease {namespace}/{name}: {loss}")]
pub struct LeadershipLost {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// What happened.
    pub loss: Loss,
}

/// Competes for one lease until told to stop or until leadership is lost.
pub struct Elector {
    config: LeaseConfig,
    metric_label: String,
    give_back: GiveBack,
    lease: LeaseApi,
    candidate: Candidate,
    /// The Lease behind the version that the candidate saw last.
    stored: Option<Lease>,
    wakeup: Wakeup,
    leadership: watch::Sender<Leadership>,
    is_leader: watch::Sender<bool>,
}

impl Elector {
    /// Checks `config`; sends nothing yet.
    ///
    /// Give it a client that does not retry by itself: a repeated request would eat up the time that [`step`] plans for.
    /// Every request has a deadline of [`Timing::request_deadline`](crate::Timing::request_deadline) in any case.
    pub fn new(client: Client, config: LeaseConfig) -> Result<Self, ConfigError> {
        let label = config.name.clone();
        Self::with(client, config, label, GiveBack::Free)
    }

    /// As [`Elector::new`], with a metric label for leases whose names must not become one.
    pub(crate) fn with(
        client: Client,
        config: LeaseConfig,
        metric_label: String,
        give_back: GiveBack,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        metrics::describe();
        metrics::leading(&metric_label, false);
        Ok(Self {
            lease: LeaseApi::new(client, &config.namespace, config.timing.request_deadline()),
            candidate: Candidate::new(config.identity.clone(), config.timing),
            stored: None,
            wakeup: Wakeup::new(),
            leadership: watch::Sender::new(Leadership::Follower { holder: None }),
            is_leader: watch::Sender::new(false),
            metric_label,
            give_back,
            config,
        })
    }

    /// Leadership with its end; changes with every renewal.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    /// Whether this process leads; changes only when that changes. For the gate of a queue.
    pub fn is_leader(&self) -> watch::Receiver<bool> {
        self.is_leader.subscribe()
    }

    /// Competes for the lease, and holds it, until `drained` is cancelled: then it is given back and the result is `Ok`.
    ///
    /// Cancel `drained` only after all work that rests on the leadership has ended.
    ///
    /// # Errors
    /// [`LeadershipLost`] as soon as a term ends without `drained`. Followers were told before this returns, and others take the lease
    /// `duration - renew_deadline` later at the earliest (5 s with the defaults): the time left to end the process.
    pub async fn run(mut self, drained: CancellationToken) -> Result<(), LeadershipLost> {
        if !self.config.elect {
            self.publish_leader(Instant::now() + FOR_EVER);
            drained.cancelled().await;
            self.publish_follower();
            return Ok(());
        }
        let loss = tokio::select! {
            biased;
            () = drained.cancelled() => None,
            loss = self.campaign() => Some(loss),
        };
        self.publish_follower();
        let LeaseConfig { namespace, name, .. } = self.config.clone();
        match loss {
            None => {
                self.release().await;
                Ok(())
            }
            Some(loss) => Err(LeadershipLost {
                namespace,
                name,
                loss,
            }),
        }
    }

    async fn campaign(&mut self) -> Loss {
        let mut input = Input::Wake;
        loop {
            let command = step(&mut self.candidate, input, Instant::now());
            if let Command::Stop(loss) = command {
                return loss;
            }
            self.publish();
            // A term that ends while a request is under way ends the wait for it: `step` sees the time and stops.
            let until = self.candidate.until();
            input = before(until, self.carry_out(command))
                .await
                .unwrap_or(Input::Failed);
        }
    }

    async fn carry_out(&mut self, command: Command) -> Input {
        match command {
            Command::Wait(until) => {
                let pause = jitter(until.saturating_duration_since(Instant::now()), rand::random());
                self.pause(Instant::now() + pause).await;
                Input::Wake
            }
            Command::Read => self.read().await,
            Command::Write { over, claim } => self.write(over.as_ref(), &claim).await,
            Command::Stop(_) => Input::Wake,
        }
    }

    /// Waits; a follower wakes early when the lease is given back, so a hand-over takes milliseconds instead of a `retry`.
    async fn pause(&mut self, until: Instant) {
        let version = self
            .stored
            .as_ref()
            .and_then(|lease| lease.metadata.resource_version.as_deref());
        match version.filter(|_| self.candidate.until().is_none()) {
            Some(version) => {
                let params = WatchParams::default().fields(&format!("metadata.name={}", self.config.name));
                self.wakeup.follow(self.lease.api(), &params, version);
            }
            None => self.wakeup.close(),
        }
        let is_free = |lease: &Lease, deleted| deleted || LeaseRecord::from_lease(lease).holder.is_none();
        self.wakeup.wait(until, is_free).await;
    }

    async fn read(&mut self) -> Input {
        match self.lease.read(&self.config.name).await {
            Ok(lease) => {
                self.stored = lease;
                Input::Read(self.stored.as_ref().map(Observed::from_lease))
            }
            Err(error) => self.failed("read", &error),
        }
    }

    async fn write(&mut self, over: Option<&Version>, claim: &Claim) -> Input {
        let sent = Instant::now();
        let stored = self.stored.take().filter(|_| over.is_some());
        let result = match &stored {
            Some(stored) => self.lease.replace(stored, &self.config.labels, claim).await,
            None => {
                self.lease
                    .create(&self.config.name, &self.config.labels, claim)
                    .await
            }
        };
        match result {
            Ok(lease) => {
                metrics::renewed(&self.metric_label, sent.elapsed());
                let observed = Observed::from_lease(&lease);
                self.stored = Some(lease);
                Input::Written(observed)
            }
            Err(RequestError::Refused(message)) => {
                debug!(
                    lease = self.config.name,
                    message, "lease write refused, reading again"
                );
                Input::Refused
            }
            Err(error) => self.failed("write", &error),
        }
    }

    fn failed(&self, what: &str, error: &RequestError) -> Input {
        warn!(lease = self.config.name, %error, "could not {what} the lease");
        Input::Failed
    }

    /// Gives the lease back. Reads first, because a renewal may have been under way when the campaign was dropped.
    async fn release(&self) {
        if !self.candidate.may_hold() {
            return;
        }
        for _ in 0..RELEASE_ATTEMPTS {
            match self.release_once().await {
                Ok(()) => {
                    info!(lease = self.config.name, "gave the lease back");
                    return;
                }
                Err(error) => debug!(lease = self.config.name, %error, "could not give the lease back"),
            }
        }
        warn!(
            lease = self.config.name,
            "lease not given back; others wait for it to expire"
        );
    }

    async fn release_once(&self) -> Result<(), RequestError> {
        let Some(lease) = self.lease.read(&self.config.name).await? else {
            return Ok(());
        };
        let observed = Observed::from_lease(&lease);
        let Some(claim) = self.candidate.release(&observed) else {
            return Ok(());
        };
        match self.give_back {
            GiveBack::Free => self
                .lease
                .replace(&lease, &self.config.labels, &claim)
                .await
                .map(|_| ()),
            GiveBack::Delete => self.lease.delete(&self.config.name, &observed.version).await,
        }
    }

    fn publish(&self) {
        match self.candidate.until() {
            Some(until) => self.publish_leader(until),
            None => self.publish_follower(),
        }
    }

    /// Publishes `leading`, and says whether that was news.
    fn turn(&self, leading: bool) -> bool {
        self.is_leader
            .send_if_modified(|was| std::mem::replace(was, leading) != leading)
    }

    fn publish_leader(&self, until: Instant) {
        self.leadership.send_replace(Leadership::Leader { until });
        if self.turn(true) {
            info!(
                lease = self.config.name,
                identity = self.config.identity,
                "leading"
            );
            metrics::transition(&self.metric_label);
            metrics::leading(&self.metric_label, true);
        }
    }

    fn publish_follower(&self) {
        let holder = self.candidate.holder().map(ToOwned::to_owned);
        self.leadership.send_if_modified(|leadership| {
            let follower = Leadership::Follower { holder };
            let changed = *leadership != follower;
            *leadership = follower;
            changed
        });
        if self.turn(false) {
            info!(
                lease = self.config.name,
                identity = self.config.identity,
                "not leading any more"
            );
            metrics::transition(&self.metric_label);
            metrics::leading(&self.metric_label, false);
        }
    }
}

impl Drop for Elector {
    fn drop(&mut self) {
        // Also when `run` is aborted: whoever still listens must not go on as the leader of a lease nobody renews.
        self.publish_follower();
    }
}

/// Waits for `future`, but not past `until`.
async fn before<T>(until: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match until {
        Some(until) => tokio::time::timeout_at(TokioInstant::from_std(until), future)
            .await
            .ok(),
        None => Some(future.await),
    }
}
