//! The process around a controller: start, supervision, shutdown.

use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Health};
use crate::args::CommonArgs;
use crate::client::{self, ClientError};
use crate::events::Events;
use crate::metrics::BUILD_INFO;
use crate::supervise::{Phase, Supervisor};
use crate::telemetry::{self, TelemetryError};
use crate::write::Writer;

/// How long a drain may take. Kubernetes' default grace period is 30 s; the rest is for leaving.
const DRAIN_DEADLINE: Duration = Duration::from_secs(25);
/// Connections kept open though nothing is written, so that the first write after a quiet hour does not wait
/// for a TLS handshake (2 to 5 ms). Below the API server's idle limit of 90 s.
const WARM_CONNECTIONS: usize = 4;
const WARM_INTERVAL: Duration = Duration::from_secs(40);

/// Why a controller could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Logs or metrics.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The connection to the API server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The admin server's address.
    #[error("--admin-address {address}: {error}")]
    Admin {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// Signal handlers.
    #[error("cannot handle signals: {0}")]
    Signals(std::io::Error),
}

/// A running process: client, admin server, events, supervised tasks.
///
/// # Shutdown
/// On SIGTERM or SIGINT, or when a supervised task fails:
/// 1. [`shutdown`](Self::shutdown) fires: queues take no more keys and finish those in hand, watches end;
/// 2. when all tasks of [`spawn`](Self::spawn) have ended, [`drained`](Self::drained) fires: leases are
///    released, the last events are written, the admin server ends;
/// 3. [`run`](Self::run) returns: 0 after a signal, 1 after a failure or when 25 s were not enough, and at once
///    130 (SIGINT) or 143 (SIGTERM) on a second signal.
pub struct Runtime {
    client: Client,
    config: kube::Config,
    namespaces: Arc<[String]>,
    resync: Duration,
    supervisor: Supervisor,
    health: Arc<Health>,
    events: Events,
    admin_address: SocketAddr,
    signals: Signals,
}

/// Listened to from the start, so that a signal during start-up is not lost.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Runtime {
    /// Sets up logs, metrics, client and admin server. `component` is the controller's name in events, logs
    /// and metrics.
    ///
    /// Nothing is sent to the cluster: an unreachable API server shows in `/readyz`, not here.
    ///
    /// # Errors
    /// See [`StartError`]; all are mistakes in flags or surroundings.
    pub async fn start(component: &'static str, args: &CommonArgs) -> Result<Self, StartError> {
        let config = client::load_config(args.client.kubeconfig.as_deref()).await?;
        Self::start_with(component, args, &config).await
    }

    /// As [`start`](Self::start), with the API server's address and credentials given.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(
        component: &'static str,
        args: &CommonArgs,
        config: &kube::Config,
    ) -> Result<Self, StartError> {
        telemetry::init_logs(&args.log)?;
        let metrics = telemetry::init_metrics(component)?;
        let signals = Signals::listen().map_err(StartError::Signals)?;
        let config = client::named(config, component);
        let client = client::connect(&config)?;
        let supervisor = Supervisor::default();
        let health = Arc::new(Health::new(supervisor.shutdown()));
        let address = args.admin.admin_address;
        let admin_address = admin::serve(address, &supervisor, Arc::clone(&health), metrics, component)
            .await
            .map_err(|error| StartError::Admin { address, error })?;
        let events = Events::start(component, client.clone(), args.events, &supervisor);
        supervisor.spawn(
            Phase::Work,
            "keep-warm".into(),
            keep_warm(client.clone(), supervisor.shutdown()),
        );

        let version = env!("CARGO_PKG_VERSION");
        metrics::gauge!(BUILD_INFO, "version" => version).set(1.0);
        tracing::info!(controller = component, version, %admin_address, "started");
        let mut namespaces = args.watch.namespaces.clone();
        namespaces.retain(|namespace| !namespace.is_empty());
        namespaces.sort();
        namespaces.dedup();
        Ok(Self {
            client,
            config,
            namespaces: namespaces.into(),
            resync: args.watch.resync,
            supervisor,
            health,
            events,
            admin_address,
            signals,
        })
    }

    /// The client: no retries, no rate limit. For reads and leases; writes go through [`writer`](Self::writer).
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A writer whose changes are recorded under `field_manager`.
    pub fn writer(&self, field_manager: &'static str) -> Writer {
        Writer::new(self.client.clone(), field_manager)
    }

    /// Where Kubernetes events are published.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// The namespaces to work in, sorted; empty for all.
    pub fn namespaces(&self) -> &[String] {
        &self.namespaces
    }

    /// How often every object is looked at again; zero for never.
    pub fn resync(&self) -> Duration {
        self.resync
    }

    /// Where the admin server listens; tells the port when 0 was asked for.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Phase 1: stop taking work.
    pub fn shutdown(&self) -> CancellationToken {
        self.supervisor.shutdown()
    }

    /// Phase 2: all work has ended; leases may be released.
    pub fn drained(&self) -> CancellationToken {
        self.supervisor.drained()
    }

    /// Ends when every watch started so far holds a complete first list.
    pub fn primed(&self) -> impl Future<Output = ()> + Send + use<> {
        let health = Arc::clone(&self.health);
        async move { health.primed().await }
    }

    /// Says that all watches and checks are there: before it `/readyz` says no, for what is not there yet could not. [`run`](Self::run)
    /// says it too.
    pub fn wired(&self) {
        self.health.wired();
    }

    /// Adds a line to `/readyz`: the process is ready when every check is `Ok`. `check` must not block.
    pub fn readiness<F>(&self, name: impl Into<String>, check: F)
    where
        F: Fn() -> Result<(), String> + Send + Sync + 'static,
    {
        self.health.add_check(name.into(), Box::new(check));
    }

    /// Runs a supervised task of phase 1. It must end soon after [`shutdown`](Self::shutdown) fires; ending
    /// earlier, an error or a panic stop the process cleanly with exit code 1.
    pub fn spawn<F>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.supervisor.spawn(Phase::Work, name.into(), task);
    }

    /// Runs a supervised task of phase 2: as [`spawn`](Self::spawn), with [`drained`](Self::drained) in place
    /// of [`shutdown`](Self::shutdown).
    pub fn spawn_after_drain<F>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.supervisor.spawn(Phase::AfterDrain, name.into(), task);
    }

    /// A client with connections of its own. A watch that was cut must not try again on a connection that idled
    /// through the same failure.
    pub(crate) fn separate_client(&self) -> Client {
        // The same configuration made the shared client; should it fail now, that one will do.
        client::connect(&self.config).unwrap_or_else(|_| self.client.clone())
    }

    pub(crate) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Waits for a signal or a failed task, then shuts down as described above.
    pub async fn run(mut self) -> ExitCode {
        self.wired();
        let shutdown = self.supervisor.shutdown();
        tokio::select! {
            (name, _) = self.signals.next() => {
                // Not ready before it says so: who reads the line may ask at once.
                shutdown.cancel();
                tracing::info!(signal = name, "draining");
            }
            () = shutdown.cancelled() => tracing::info!("draining"),
        }
        tokio::select! {
            done = tokio::time::timeout(DRAIN_DEADLINE, self.supervisor.drain()) => {
                let in_time = done.is_ok();
                if !in_time {
                    tracing::error!(tasks = ?self.supervisor.running(), "drain took too long, leaving");
                }
                let code = u8::from(!in_time || self.supervisor.failed());
                tracing::info!(code, "stopped");
                ExitCode::from(code)
            }
            (name, code) = self.signals.next() => {
                tracing::warn!(signal = name, "second signal, leaving at once");
                ExitCode::from(code)
            }
        }
    }
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next signal's name, and the exit code of a process it ended.
    async fn next(&mut self) -> (&'static str, u8) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", 143),
            _ = self.interrupt.recv() => ("SIGINT", 130),
        }
    }
}

async fn keep_warm(client: Client, shutdown: CancellationToken) -> anyhow::Result<()> {
    loop {
        let touches = (0..WARM_CONNECTIONS).map(|_| async {
            let request = http::Request::get("/version").body(Vec::new())?;
            // The answer does not matter, only that the connection was used.
            let _ = tokio::time::timeout(Writer::DEADLINE, client.request_text(request)).await;
            Ok::<_, http::Error>(())
        });
        // At the same time: one after the other would take the same connection.
        let round = async {
            futures::future::try_join_all(touches).await?;
            tokio::time::sleep(WARM_INTERVAL).await;
            anyhow::Ok(())
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            done = round => done?,
        }
    }
}
