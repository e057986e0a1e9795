//! One scope's connection to the API server: list, watch, and again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kube::Client;
use kube::client::Body;
use metrics::counter;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Watched;
use super::batch::Batches;
use super::frame::{self, Decoded, Frame, Identity, Kind, Page, Status};
use super::relist::Relist;
use super::sink::Sink;
use crate::admin::WatchHealth;
use crate::backoff::Backoff;
use crate::metrics::{WATCH_ERRORS, WATCH_EVENTS, WATCH_RELISTS};
use crate::requests;
use crate::resource::push_encoded;
use crate::write::describe;

/// Objects a page of a list holds: bounds the memory of one answer. At 5,000 game servers pages of 500 were 9 of the 22 MB that pod-sync's heap was at
/// most (heaptrack), and a process keeps much of what it once had.
const PAGE: &str = "100";
/// A page of a list must come within this time.
const ANSWER: Duration = Duration::from_secs(30);
/// The head of a watch's answer must come within this time; the API server sends it at once.
const HEAD: Duration = Duration::from_secs(10);
/// How long the server keeps a watch open, ±10 %, unless asked otherwise.
pub(super) const SESSION: Duration = Duration::from_mins(1);
/// Silence longer than the server's timeout and this means a dead connection.
const GRACE: Duration = Duration::from_secs(5);
/// A watch that ended sooner counts as failed, whatever the reason given.
const SHORT: Duration = Duration::from_millis(500);
/// Starts refused by the server in a row until the list is taken again.
const REFUSALS: u32 = 3;
/// A full list about this often, against whatever a watch may have missed.
const RELIST_EVERY: Duration = Duration::from_hours(1);

/// Where a follower looks, and where it reports its health.
pub(super) struct Scope {
    pub(super) namespace: String,
    pub(super) number: usize,
    pub(super) health: Arc<WatchHealth>,
}

/// What a follower asks for.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) labels: Option<String>,
    pub(super) fields: Option<String>,
    pub(super) session: Duration,
    /// Events that follow each other within this time are read together.
    pub(super) batch: Duration,
    /// Pauses between attempts to go on.
    pub(super) retry: Backoff,
    /// Whether to watch at all.
    pub(super) needed: Option<watch::Receiver<bool>>,
}

/// Keeps the store true to one namespace, or to the cluster.
pub(super) struct Follower<T> {
    client: Client,
    sink: Arc<Sink<T>>,
    scope: Scope,
    wanted: Wanted,
    /// The version to go on from; `None` asks for a list.
    version: Option<String>,
    relist_reason: &'static str,
    relist_at: Instant,
    /// The last list's history was compacted between two pages: the next one asks for everything at once.
    unpaged: bool,
    failures: u32,
    refusals: u32,
}

/// Why a watch (or a list) ended.
#[derive(Debug)]
enum Ended {
    /// The server closed it, as agreed.
    Closed,
    /// The version is too old, or the server's history went back.
    Expired(&'static str),
    /// The server refused it with a definite answer.
    Refused(String),
    /// The connection failed, timed out or was cut.
    Cut(String),
}

impl<T: Watched> Follower<T> {
    pub(super) fn new(client: Client, sink: Arc<Sink<T>>, scope: Scope, wanted: Wanted) -> Self {
        Self {
            client,
            sink,
            scope,
            wanted,
            version: None,
            relist_reason: "start",
            relist_at: Instant::now(),
            unpaged: false,
            failures: 0,
            refusals: 0,
        }
    }

    /// Follows until shutdown.
    pub(super) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        // Handlers are not async, so a step is never abandoned between the store and its handlers.
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            never = async { loop { self.turn().await; } } => never,
        }
    }

    /// Follows for as long as that is needed, and rests for as long as it is not.
    async fn turn(&mut self) {
        let Some(mut needed) = self.wanted.needed.clone() else {
            return self.step().await;
        };
        // An error says that nobody is left to change it: the last word holds.
        tokio::select! {
            () = async { loop { self.step().await; } } => return,
            Ok(_) = needed.wait_for(|needed| !*needed) => {}
        }
        self.relist_from_nothing("rested");
        // Before the store is emptied, so that it never counts as complete without its objects.
        self.scope.health.scope_rests(self.scope.number, true);
        self.sink.clear(&self.scope.namespace);
        if needed.wait_for(|needed| *needed).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.scope.health.scope_rests(self.scope.number, false);
    }

    async fn step(&mut self) {
        let started = Instant::now();
        let result = match self.version.clone() {
            None => self.list().await,
            Some(_) if started >= self.relist_at => Err(Ended::Expired("periodic")),
            Some(version) => Err(self.watch(&version).await),
        };
        let delay = match result {
            Ok(version) => {
                self.version = Some(version);
                self.failures = 0;
                self.unpaged = false;
                self.relist_at = Instant::now() + RELIST_EVERY.mul_f64(rand::random_range(0.8..1.2));
                self.scope.health.scope_primed(self.scope.number);
                return;
            }
            Err(ended) => self.after(ended, started.elapsed()),
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
    }

    /// Decides what follows the end of a watch or list; gives how long to wait first.
    fn after(&mut self, ended: Ended, lasted: Duration) -> Option<Duration> {
        let reason = match ended {
            Ended::Closed if lasted >= SHORT => {
                self.failures = 0;
                return None;
            }
            Ended::Closed => "closed at once".to_owned(),
            Ended::Expired(why) => {
                self.unpaged = self.version.is_none();
                self.relist_from_nothing(why);
                if why == "periodic" {
                    return None;
                }
                format!("version expired: {why}")
            }
            Ended::Refused(reason) => {
                self.refusals += 1;
                if self.refusals >= REFUSALS && self.version.is_some() {
                    self.relist_from_nothing("refused");
                }
                reason
            }
            Ended::Cut(reason) => reason,
        };
        self.scope.health.failed(self.scope.number, &reason);
        let delay = self.wanted.retry.delay(self.failures, rand::random());
        self.failures += 1;
        counter!(WATCH_ERRORS, "resource" => T::RESOURCE.plural).increment(1);
        tracing::warn!(
            resource = T::RESOURCE.plural,
            namespace = self.scope.namespace,
            reason,
            failures = self.failures,
            retry_in_ms = delay.as_millis() as u64,
            "watch interrupted"
        );
        Some(delay)
    }

    fn relist_from_nothing(&mut self, reason: &'static str) {
        self.version = None;
        self.relist_reason = reason;
        self.refusals = 0;
    }

    /// Takes a consistent list (no resourceVersion: never from a lagging cache) and settles the differences.
    async fn list(&mut self) -> Result<String, Ended> {
        counter!(WATCH_RELISTS, "resource" => T::RESOURCE.plural, "reason" => self.relist_reason)
            .increment(1);
        let sink = Arc::clone(&self.sink);
        let mut relist = Relist::new(&sink, &self.scope.namespace);
        let mut next = String::new();
        loop {
            let body = self.page(&next).await?;
            let page: Page<'_> = serde_json::from_slice(&body).map_err(not_understood)?;
            for raw in page.items.unwrap_or_default() {
                relist.item(frame::decode::<T>(raw).map_err(not_understood)?);
            }
            self.scope.health.heard(self.scope.number);
            next = page.metadata.next;
            if next.is_empty() {
                relist.finish();
                return Ok(page.metadata.resource_version);
            }
        }
    }

    async fn page(&self, next: &str) -> Result<Bytes, Ended> {
        let query: &[_] = match (self.unpaged, next) {
            (true, _) => &[],
            (false, "") => &[("limit", PAGE)],
            (false, next) => &[("limit", PAGE), ("continue", next)],
        };
        let request = http::Request::get(self.uri(query))
            .header(http::header::ACCEPT, "application/json")
            .body(Body::empty())
            .map_err(|error| Ended::Refused(error.to_string()))?;
        let started = Instant::now();
        let result = match timeout(ANSWER, exchange(&self.client, request)).await {
            Ok(result) => result,
            Err(_) => Err(Ended::Cut(format!("no list within {ANSWER:?}"))),
        };
        count::<T, _>("list", &result);
        requests::record_duration("list", &T::RESOURCE, started.elapsed());
        result
    }

    /// Follows the changes after `version` until the watch ends.
    async fn watch(&mut self, version: &str) -> Ended {
        let session = self.wanted.session.as_secs();
        let seconds = rand::random_range(session * 9 / 10..=session * 11 / 10);
        let uri = self.uri(&[
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", &seconds.to_string()),
            ("resourceVersion", version),
        ]);
        let request = match http::Request::get(uri)
            .header("accept", "application/json")
            .body(Vec::new())
        {
            Ok(request) => request,
            Err(error) => return Ended::Refused(error.to_string()),
        };
        let opened = match timeout(HEAD, self.client.request_stream(request)).await {
            Ok(result) => result.map_err(Ended::from),
            Err(_) => Err(Ended::Cut(format!("no watch within {HEAD:?}"))),
        };
        count::<T, _>("watch", &opened);
        let mut lines = match opened {
            Ok(lines) => Box::pin(lines),
            Err(ended) => return ended,
        };
        self.refusals = 0;
        let silence = Duration::from_secs(seconds) + GRACE;
        let mut line = Vec::with_capacity(16 * 1024);
        let mut batches = Batches::new(self.wanted.batch);
        loop {
            line.clear();
            match timeout(silence, batches.read(&mut lines, &mut line)).await {
                Err(_) => return Ended::Cut(format!("nothing heard for {silence:?}")),
                Ok(Err(error)) => return Ended::Cut(describe(&error)),
                Ok(Ok(())) if line.is_empty() => return Ended::Closed,
                // The stream was cut within a line.
                Ok(Ok(())) if line.last() != Some(&b'\n') => return Ended::Cut("cut within an event".into()),
                Ok(Ok(())) => {
                    if let Err(ended) = self.event(&line) {
                        return ended;
                    }
                }
            }
        }
    }

    /// Takes in one line of the watch.
    fn event(&mut self, line: &[u8]) -> Result<(), Ended> {
        self.scope.health.heard(self.scope.number);
        if let Some((kind, object)) = frame::split(line)
            && let Some(object) = frame::decode_good::<T>(object)
        {
            count_event::<T>(kind);
            return self.good(kind, object);
        }
        let event: Frame<'_> = serde_json::from_slice(line).map_err(not_understood)?;
        let kind = Kind::from(&*event.kind);
        count_event::<T>(kind);
        match kind {
            Kind::Added | Kind::Modified | Kind::Deleted => self.object(kind, event.object),
            Kind::Bookmark => {
                let identity: Identity = serde_json::from_str(event.object.get()).map_err(not_understood)?;
                self.advance(&identity.resource_version)
            }
            Kind::Error => {
                let status: Status = serde_json::from_str(event.object.get()).unwrap_or_default();
                if status.is_expired() {
                    return Err(Ended::Expired("in stream"));
                }
                Err(Ended::Refused(format!(
                    "{} {}: {}",
                    status.code, status.reason, status.message
                )))
            }
            // Nothing we asked for.
            Kind::Other => Ok(()),
        }
    }

    fn object(&mut self, kind: Kind, raw: &serde_json::value::RawValue) -> Result<(), Ended> {
        match frame::decode::<T>(raw).map_err(not_understood)? {
            Decoded::Object(object) => self.good(kind, object),
            Decoded::Malformed(identity, reason) => {
                self.advance(&identity.resource_version)?;
                if kind == Kind::Deleted {
                    self.sink.deleted(&identity.key(), None);
                } else {
                    self.sink.malformed(&identity, &reason);
                }
                Ok(())
            }
        }
    }

    fn good(&mut self, kind: Kind, object: T) -> Result<(), Ended> {
        self.advance(&object.meta().resource_version)?;
        if kind == Kind::Deleted {
            let key = crate::key::ObjectKey::of(object.meta());
            self.sink.deleted(&key, Some(object));
        } else {
            self.sink.applied(object);
        }
        Ok(())
    }

    /// Goes on to `version`. A version that lies back means that the server's history is another one (etcd was
    /// restored): nothing held is known to be true, so everything is listed again.
    fn advance(&mut self, version: &str) -> Result<(), Ended> {
        let number = |text: &str| text.parse::<u64>().ok();
        if let (Some(now), Some(new)) = (self.version.as_deref().and_then(number), number(version))
            && new < now
        {
            return Err(Ended::Expired("history went back"));
        }
        if !version.is_empty() {
            self.version = Some(version.to_owned());
        }
        self.failures = 0;
        Ok(())
    }

    /// The collection's path with the selectors and `query`, whose values are encoded.
    fn uri(&self, query: &[(&str, &str)]) -> String {
        let mut uri = T::RESOURCE.path(&self.scope.namespace, None, None);
        let selectors = [
            ("labelSelector", &self.wanted.labels),
            ("fieldSelector", &self.wanted.fields),
        ];
        let selectors = selectors
            .iter()
            .filter_map(|(name, value)| Some((*name, value.as_deref()?)));
        let mut separator = '?';
        for (name, value) in query.iter().copied().chain(selectors) {
            uri.push(separator);
            uri.push_str(name);
            uri.push('=');
            push_encoded(&mut uri, value);
            separator = '&';
        }
        uri
    }
}

fn count_event<T: Watched>(kind: Kind) {
    counter!(WATCH_EVENTS, "resource" => T::RESOURCE.plural, "type" => kind.label()).increment(1);
}

fn count<T: Watched, R>(verb: &'static str, result: &Result<R, Ended>) {
    let outcome = match result {
        Ok(_) | Err(Ended::Closed) => "ok",
        Err(Ended::Expired(_)) => "expired",
        Err(Ended::Refused(_)) => "refused",
        Err(Ended::Cut(_)) => "unknown",
    };
    requests::count(verb, &T::RESOURCE, "", outcome);
}

impl From<kube::Error> for Ended {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 410 => Self::Expired("at start"),
            kube::Error::Api(status) if status.code == 429 || status.code >= 500 => {
                Self::Cut(format!("{} {}", status.code, status.message))
            }
            kube::Error::Api(status) => Self::Refused(format!("{} {}", status.code, status.message)),
            error => Self::Cut(describe(&error)),
        }
    }
}

async fn exchange(client: &Client, request: http::Request<Body>) -> Result<Bytes, Ended> {
    let response = client.send(request).await?;
    let code = response.status();
    let body = response.into_body().collect_bytes().await?;
    if code.is_success() {
        return Ok(body);
    }
    let status: Status = serde_json::from_slice(&body).unwrap_or_default();
    if code.as_u16() == 410 {
        return Err(Ended::Expired("while listing"));
    }
    let text = format!("{code} {}", status.message);
    let passing = code.as_u16() == 429 || code.is_server_error();
    Err(if passing {
        Ended::Cut(text)
    } else {
        Ended::Refused(text)
    })
}

#[allow(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn not_understood(error: serde_json::Error) -> Ended {
    Ended::Cut(format!("answer not understood: {error}"))
}
