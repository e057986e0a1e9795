//! The admin server: `/livez`, `/readyz`, `/metrics`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::{WATCH_AGE, WATCH_OBJECTS, WATCH_RESTING, WATCH_SYNCED};
use crate::supervise::{Phase, Supervisor};

pub(crate) mod process;

/// The runtime counts as wedged when the heartbeat task was not scheduled for this long.
const WEDGED: Duration = Duration::from_secs(15);

pub(crate) type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What is known about the health of the process.
pub(crate) struct Health {
    started: Instant,
    heartbeat_ms: AtomicU64,
    shutdown: CancellationToken,
    wired: AtomicBool,
    checks: Mutex<BTreeMap<String, Check>>,
    watches: Mutex<Vec<Arc<WatchHealth>>>,
}

/// The health of one watch: all its scopes (namespaces) together.
pub(crate) struct WatchHealth {
    pub(crate) name: &'static str,
    pub(crate) resource: &'static str,
    scopes: Vec<ScopeHealth>,
    primed: watch::Sender<bool>,
    objects: Box<dyn Fn() -> usize + Send + Sync>,
}

struct ScopeHealth {
    namespace: String,
    primed: AtomicBool,
    /// It is not to hear anything: see [`crate::need`].
    resting: AtomicBool,
    heard: Mutex<Instant>,
    /// Why the first list does not come.
    failure: Mutex<Option<String>>,
}

impl WatchHealth {
    pub(crate) fn new(
        name: &'static str,
        resource: &'static str,
        namespaces: &[String],
        objects: Box<dyn Fn() -> usize + Send + Sync>,
    ) -> Self {
        let scopes = namespaces
            .iter()
            .map(|namespace| ScopeHealth {
                namespace: namespace.clone(),
                primed: AtomicBool::new(false),
                resting: AtomicBool::new(false),
                heard: Mutex::new(Instant::now()),
                failure: Mutex::default(),
            })
            .collect();
        Self {
            name,
            resource,
            scopes,
            primed: watch::Sender::new(false),
            objects,
        }
    }

    /// The first list of a scope is complete.
    pub(crate) fn scope_primed(&self, scope: usize) {
        if let Some(scope) = self.scopes.get(scope) {
            scope.primed.store(true, Ordering::Release);
        }
        if self
            .scopes
            .iter()
            .all(|scope| scope.primed.load(Ordering::Acquire))
        {
            self.primed.send_replace(true);
        }
    }

    /// A scope rests, or goes on: then its list is not complete until [`scope_primed`](Self::scope_primed).
    pub(crate) fn scope_rests(&self, scope: usize, resting: bool) {
        self.heard(scope);
        if let Some(scope) = self.scopes.get(scope) {
            // In this order, that a scope which goes on is not taken for complete in between.
            scope.primed.store(resting, Ordering::Release);
            scope.resting.store(resting, Ordering::Release);
        }
    }

    /// Whether every scope holds a complete list, and none rests.
    pub(crate) fn is_complete(&self) -> bool {
        self.scopes
            .iter()
            .all(|scope| scope.primed.load(Ordering::Acquire))
            && !self.is_resting()
    }

    fn is_resting(&self) -> bool {
        self.scopes
            .iter()
            .any(|scope| scope.resting.load(Ordering::Acquire))
    }

    /// Something was heard from the API server: an event, a bookmark, a list.
    pub(crate) fn heard(&self, scope: usize) {
        if let Some(scope) = self.scopes.get(scope) {
            *scope.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    /// The scope's list or watch ended with an error.
    pub(crate) fn failed(&self, scope: usize, reason: &str) {
        if let Some(scope) = self.scopes.get(scope) {
            *scope.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }

    fn is_primed(&self) -> bool {
        *self.primed.borrow()
    }

    /// Age of the last event of the scope that has been quiet longest; of those that rest, none.
    fn age(&self) -> Duration {
        let heard = |scope: &ScopeHealth| *scope.heard.lock().unwrap_or_else(PoisonError::into_inner);
        self.scopes
            .iter()
            .filter(|scope| !scope.resting.load(Ordering::Acquire))
            .map(|scope| heard(scope).elapsed())
            .max()
            .unwrap_or_default()
    }

    /// Which first lists are not complete, and why, if any.
    fn priming(&self) -> Result<(), String> {
        let missing = self
            .scopes
            .iter()
            .filter(|scope| !scope.primed.load(Ordering::Acquire));
        let lines: Vec<String> = missing.map(ScopeHealth::unprimed).collect();
        if lines.is_empty() {
            Ok(())
        } else {
            Err(lines.join("; "))
        }
    }
}

impl ScopeHealth {
    fn unprimed(&self) -> String {
        let mut text = "first list not complete".to_owned();
        if !self.namespace.is_empty() {
            text.push_str(" in ");
            text.push_str(&self.namespace);
        }
        if let Some(reason) = self
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_deref()
        {
            text.push_str(": ");
            text.push_str(reason);
        }
        text
    }
}

impl Health {
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        Self {
            started: Instant::now(),
            heartbeat_ms: AtomicU64::new(0),
            shutdown,
            wired: AtomicBool::new(false),
            checks: Mutex::default(),
            watches: Mutex::default(),
        }
    }

    /// All watches and checks are there.
    pub(crate) fn wired(&self) {
        self.wired.store(true, Ordering::Release);
    }

    pub(crate) fn add_check(&self, name: String, check: Check) {
        self.checks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, check);
    }

    pub(crate) fn add_watch(&self, watch: Arc<WatchHealth>) {
        self.watches().push(watch);
    }

    pub(crate) async fn primed(&self) {
        let mut index = 0;
        loop {
            // Taken one by one: watches may be added while we wait.
            let Some(watch) = self.watches().get(index).cloned() else {
                return;
            };
            // The sender lives in `watch` itself, so this cannot fail.
            let _ = watch.primed.subscribe().wait_for(|primed| *primed).await;
            index += 1;
        }
    }

    fn watches(&self) -> MutexGuard<'_, Vec<Arc<WatchHealth>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beat(&self) {
        self.heartbeat_ms
            .store(self.started.elapsed().as_millis() as u64, Ordering::Release);
    }

    fn heartbeat_age(&self) -> Duration {
        let last = Duration::from_millis(self.heartbeat_ms.load(Ordering::Acquire));
        self.started.elapsed().saturating_sub(last)
    }

    /// Every readiness condition with what is wrong with it, if anything.
    fn readiness(&self) -> Vec<(String, Result<(), String>)> {
        let mut lines = vec![(
            "shutdown".to_owned(),
            if self.shutdown.is_cancelled() {
                Err("shutting down".to_owned())
            } else {
                Ok(())
            },
        )];
        if !self.wired.load(Ordering::Acquire) {
            lines.push((
                "start".to_owned(),
                Err("not all watches and checks are there".to_owned()),
            ));
        }
        lines.extend(
            self.watches()
                .iter()
                .map(|watch| (format!("watch/{}", watch.name), watch.priming())),
        );
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend(checks.iter().map(|(name, check)| (name.clone(), check())));
        lines
    }

    fn record_watches(&self) {
        for watch in self.watches().iter() {
            let labels = [("resource", watch.resource), ("watch", watch.name)];
            gauge!(WATCH_SYNCED, &labels).set(f64::from(u8::from(watch.is_primed())));
            gauge!(WATCH_AGE, &labels).set(watch.age().as_secs_f64());
            gauge!(WATCH_RESTING, &labels).set(f64::from(u8::from(watch.is_resting())));
            gauge!(WATCH_OBJECTS, &labels).set((watch.objects)() as f64);
        }
    }
}

#[derive(Clone)]
struct Served {
    health: Arc<Health>,
    metrics: PrometheusHandle,
    controller: &'static str,
}

/// Binds `address` and serves until the drain has ended.
pub(crate) async fn serve(
    address: SocketAddr,
    supervisor: &Supervisor,
    health: Arc<Health>,
    metrics: PrometheusHandle,
    controller: &'static str,
) -> std::io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let drained = supervisor.drained();
    let beating = (Arc::clone(&health), metrics.clone(), drained.clone());
    supervisor.spawn(
        Phase::AfterDrain,
        "heartbeat".into(),
        heartbeat(beating.0, beating.1, beating.2),
    );
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(Served {
            health,
            metrics,
            controller,
        });
    supervisor.spawn(Phase::AfterDrain, "admin".into(), async move {
        tokio::select! {
            ended = axum::serve(listener, router) => Ok(ended?),
            // Not gracefully: a scraper's idle connection must not hold up the end.
            () = drained.cancelled() => Ok(()),
        }
    });
    Ok(bound)
}

/// Shows that the async runtime schedules tasks, and folds histogram samples before they pile up.
async fn heartbeat(
    health: Arc<Health>,
    metrics: PrometheusHandle,
    drained: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut count = 0_u64;
    loop {
        tokio::select! {
            () = drained.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        health.beat();
        count += 1;
        if count.is_multiple_of(5) {
            metrics.run_upkeep();
        }
    }
}

async fn livez(State(served): State<Served>) -> impl IntoResponse {
    let age = served.health.heartbeat_age();
    if age < WEDGED {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("no task was scheduled for {age:?}\n"),
        )
    }
}

async fn readyz(State(served): State<Served>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let lines = served.health.readiness();
    let ready = lines.iter().all(|(_, result)| result.is_ok());
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part.starts_with("verbose")));
    let mut text = String::new();
    for (name, result) in lines {
        // Writing to a String cannot fail.
        match result {
            Ok(()) if verbose => drop(writeln!(text, "[+]{name} ok")),
            Ok(()) => {}
            Err(reason) => drop(writeln!(text, "[-]{name} failed: {reason}")),
        }
    }
    if ready {
        text.push_str("ok\n");
        (StatusCode::OK, text)
    } else {
        text.push_str("not ready\n");
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

async fn render(State(served): State<Served>) -> impl IntoResponse {
    served.health.record_watches();
    let mut text = served.metrics.render();
    process::render(&mut text, served.controller);
    (
        [("content-type", "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
}
