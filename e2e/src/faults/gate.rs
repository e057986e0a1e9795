//! The proxy: one port for each controller process, everything through it recorded, faults where a plan wants them.
//!
//! Controllers speak plain HTTP to a port on 127.0.0.1; from there it is TLS to the API server, with the credentials the controller
//! sent. A request goes on in a task of its own: a connection that ends does not take back what was already under way, just as a
//! network does not.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::ledger::lock;
use super::past::Past;
use super::stream::Stream;
use super::{Action, Call, Fault, Ledger, Moment};

/// Bodies on their way to a controller.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// Asks the harness to kill a process; answered when it is dead.
#[derive(Debug)]
pub struct Crash {
    /// Whose gate asks.
    pub client: String,
    /// To be answered after the process is gone, and before its successor starts.
    pub dead: oneshot::Sender<()>,
}

/// One controller's way to the API server.
pub struct Gate {
    /// Where it listens.
    pub address: SocketAddr,
    _accept: AbortOnDropHandle<()>,
}

/// What the connections of a gate share.
pub(super) struct State {
    client: String,
    upstream: Client,
    ledger: Ledger,
    crashes: mpsc::UnboundedSender<Crash>,
    faults: Mutex<Vec<Fault>>,
    fired: Arc<Mutex<Vec<Fault>>>,
    counts: Mutex<HashMap<(String, String, String), u32>>,
    first_answers: Mutex<HashMap<String, Bytes>>,
    /// What lists would have said, by resource.
    past: Mutex<HashMap<String, Past>>,
    gone: Mutex<HashSet<String>>,
    /// How long the next watch of a resource waits.
    lag: Mutex<HashMap<String, Duration>>,
    /// A process that is being killed sends nothing more.
    fenced: AtomicBool,
}

/// What all gates of one plan share.
#[derive(Clone)]
pub struct Gates {
    /// A client without credentials: each request brings its own.
    pub upstream: Client,
    /// Where requests are written down.
    pub ledger: Ledger,
    /// Where kills are asked for.
    pub crashes: mpsc::UnboundedSender<Crash>,
    /// The plan.
    pub faults: Vec<Fault>,
    /// Faults that have struck.
    pub fired: Arc<Mutex<Vec<Fault>>>,
}

impl Gates {
    /// Opens a gate for one controller process.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn open(&self, client: &str) -> Result<Gate> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let faults = self.faults.iter().filter(|fault| fault.site.client == client);
        let state = Arc::new(State {
            client: client.to_owned(),
            upstream: self.upstream.clone(),
            ledger: self.ledger.clone(),
            crashes: self.crashes.clone(),
            faults: Mutex::new(faults.cloned().collect()),
            fired: Arc::clone(&self.fired),
            counts: Mutex::default(),
            first_answers: Mutex::default(),
            past: Mutex::default(),
            gone: Mutex::default(),
            lag: Mutex::default(),
            fenced: AtomicBool::new(false),
        });
        let accept = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                let state = Arc::clone(&state);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    serve(request, |request| state.handle(request))
                });
                // A cut connection is what this is for.
                let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Ok(Gate {
            address,
            _accept: AbortOnDropHandle::new(accept),
        })
    }
}

/// Makes hyper close the connection without an answer.
#[derive(Debug)]
pub(super) struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed by a fault")
    }
}

impl std::error::Error for Closed {}

/// Reads a request and has it handled; `None` closes the connection.
pub(super) async fn serve<F>(
    request: Request<Incoming>,
    handle: impl FnOnce(Request<Bytes>) -> F,
) -> Result<Answer, Closed>
where
    F: Future<Output = Option<Answer>> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    // Not with the connection: what was sent cannot be taken back.
    tokio::spawn(handle(Request::from_parts(parts, body)))
        .await
        .map_err(|_| Closed)?
        .ok_or(Closed)
}

impl State {
    /// `None` closes the connection.
    async fn handle(self: Arc<Self>, request: Request<Bytes>) -> Option<Answer> {
        if self.fenced.load(Ordering::SeqCst) {
            return None;
        }
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let uri = request.uri();
        let call = Call::parse(
            request.method().as_str(),
            uri.path(),
            uri.query().unwrap_or_default(),
            content_type,
            &body,
        );
        let Some(call) = call else {
            let (status, headers, body) = self.pass(request).await?;
            return Some(whole(status, Some(&headers), body));
        };
        let (nth, fault) = if call.verb == "watch" {
            (0, None)
        } else {
            self.arrived(call.verb, &call.resource, &call.name)
        };
        let at = self.ledger.begin(&self.client, &call, &body, nth);
        if call.verb == "watch" {
            return self.watch(request, call, at).await;
        }
        if let Some(fault) = &fault {
            self.ledger.struck(at, &fault.action.to_string());
        }
        match fault.map(|fault| fault.action) {
            None if call.verb == "list" => {
                let answer = self.list(request, &call, at).await?;
                Some(whole(StatusCode::OK, None, answer))
            }
            None => self.recorded(request, at).await,
            Some(action @ (Action::Stale | Action::Lag(_))) if call.verb == "list" => {
                if let Action::Lag(ms) = action {
                    lock(&self.lag).insert(call.resource.clone(), Duration::from_millis(ms.into()));
                }
                let past = lock(&self.past).get(&call.resource).and_then(Past::halfway);
                match past {
                    Some(body) => Some(whole(StatusCode::OK, None, body)),
                    None => self.recorded(request, at).await,
                }
            }
            Some(action) => self.strike(action, request, at).await,
        }
    }

    async fn strike(self: &Arc<Self>, action: Action, request: Request<Bytes>, at: usize) -> Option<Answer> {
        match action {
            Action::Crash(Moment::Before) => {
                self.crash().await;
                None
            }
            Action::Crash(Moment::Committed) => {
                self.recorded(request, at).await?;
                self.crash().await;
                None
            }
            Action::Crash(Moment::Answered) => {
                let answer = self.recorded(request, at).await?;
                self.fenced.store(true, Ordering::SeqCst);
                let state = Arc::clone(self);
                tokio::spawn(async move {
                    // Loopback delivers in microseconds; the fence holds back what the process does with the answer.
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    state.crash().await;
                });
                Some(answer)
            }
            Action::Answer {
                code,
                applied,
                retry_after,
            } => {
                if applied {
                    self.recorded(request, at).await?;
                }
                Some(failure(code, retry_after))
            }
            Action::Cut { applied } => {
                if applied {
                    self.recorded(request, at).await?;
                }
                None
            }
            Action::Delay(ms) => {
                tokio::time::sleep(Duration::from_millis(ms.into())).await;
                self.recorded(request, at).await
            }
            Action::Stale | Action::Lag(_) => {
                let first = lock(&self.first_answers).get(request.uri().path()).cloned();
                match first {
                    Some(body) => Some(whole(StatusCode::OK, None, body)),
                    None => self.recorded(request, at).await,
                }
            }
            // Faults of watches strike events, not requests.
            Action::CutStream | Action::Freeze(_) | Action::Merge | Action::Gone { .. } => {
                self.recorded(request, at).await
            }
        }
    }

    /// Passes the request on and writes down what became of it.
    async fn recorded(&self, request: Request<Bytes>, at: usize) -> Option<Answer> {
        let read = (request.method() == http::Method::GET).then(|| request.uri().path().to_owned());
        let (status, headers, body) = self.pass(request).await?;
        let object = serde_json::from_slice(&body).unwrap_or_default();
        self.ledger.answered(at, status.as_u16(), &object);
        if let Some(path) = read.filter(|_| status.is_success()) {
            lock(&self.first_answers)
                .entry(path)
                .or_insert_with(|| body.clone());
        }
        Some(whole(status, Some(&headers), body))
    }

    /// Passes a list on, and keeps it as the beginning of what a stale one may say. Only a list that succeeds comes back; a
    /// failed one is a cut connection.
    async fn list(&self, request: Request<Bytes>, call: &Call, at: usize) -> Option<Bytes> {
        let (status, _, body) = self.pass(request).await?;
        let list: Value = serde_json::from_slice(&body).unwrap_or_default();
        self.ledger.answered(at, status.as_u16(), &list);
        if !status.is_success() {
            return None;
        }
        lock(&self.past)
            .entry(call.resource.clone())
            .or_insert_with(|| Past::of(&list));
        Some(body)
    }

    /// An event on its way to the controller: the past moves on.
    pub(super) fn passed(&self, resource: &str, event: &Value) {
        if let Some(past) = lock(&self.past).get_mut(resource) {
            past.take(event);
        }
    }

    async fn pass(&self, request: Request<Bytes>) -> Option<(StatusCode, http::HeaderMap, Bytes)> {
        let answer = self.upstream.send(onward(request)?).await.ok()?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some((parts.status, parts.headers, body))
    }

    async fn watch(self: Arc<Self>, request: Request<Bytes>, call: Call, at: usize) -> Option<Answer> {
        if lock(&self.gone).remove(&call.resource) {
            self.ledger.struck(at, "gone-at-start");
            return Some(failure(410, None));
        }
        let lag = lock(&self.lag).remove(&call.resource);
        if let Some(lag) = lag {
            tokio::time::sleep(lag).await;
        }
        let answer = self.upstream.send(onward(request)?).await.ok()?;
        let (parts, body) = answer.into_parts();
        self.ledger.answered(at, parts.status.as_u16(), &Value::Null);
        let body = Stream::start(Arc::clone(&self), call.resource, body.into_data_stream());
        let mut response = Response::new(body);
        *response.status_mut() = parts.status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Some(response)
    }

    /// Counts a request or an event, and gives the fault that is due there.
    pub(super) fn arrived(&self, verb: &str, resource: &str, name: &str) -> (u32, Option<Fault>) {
        let mut counts = lock(&self.counts);
        let mut count = |name: &str| {
            let key = (verb.to_owned(), resource.to_owned(), name.to_owned());
            let count = counts.entry(key).or_default();
            *count += 1;
            *count
        };
        let any = count("");
        let named = if name.is_empty() { any } else { count(name) };
        let mut faults = lock(&self.faults);
        let due = faults.iter().position(|fault| {
            let site = &fault.site;
            let nth = if site.name.is_empty() { any } else { named };
            site.verb == verb
                && site.resource == resource
                && (site.name.is_empty() || site.name == name)
                && site.nth == nth
        });
        let fault = due.map(|at| faults.remove(at));
        if let Some(fault) = &fault {
            lock(&self.fired).push(fault.clone());
        }
        (named, fault)
    }

    /// The next watch of `resource` finds its history gone.
    pub(super) fn history_is_gone(&self, resource: &str) {
        lock(&self.gone).insert(resource.to_owned());
    }

    async fn crash(&self) {
        self.fenced.store(true, Ordering::SeqCst);
        let (dead, killed) = oneshot::channel();
        let client = self.client.clone();
        if self.crashes.send(Crash { client, dead }).is_ok() {
            // An error means that the plan is over.
            let _ = killed.await;
        }
        self.fenced.store(false, Ordering::SeqCst);
    }
}

/// The same request for the API server.
pub(super) fn onward(request: Request<Bytes>) -> Option<Request<kube::client::Body>> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query()?.as_str().to_owned();
    let mut onward = Request::builder().method(parts.method).uri(path);
    for name in [
        header::AUTHORIZATION,
        header::ACCEPT,
        header::CONTENT_TYPE,
        header::USER_AGENT,
    ] {
        if let Some(value) = parts.headers.get(&name) {
            onward = onward.header(name, value);
        }
    }
    onward.body(body.to_vec().into()).ok()
}

pub(super) fn whole(status: StatusCode, headers: Option<&http::HeaderMap>, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body).map_err(never).boxed_unsync());
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
        if let Some(value) = headers.and_then(|headers| headers.get(&name)) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}

fn never(never: Infallible) -> std::io::Error {
    match never {}
}

/// What an API server answers when it will not, or cannot.
pub(super) fn failure(code: u16, retry_after: Option<u16>) -> Answer {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": "injected fault"});
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = whole(code, None, Bytes::from(status.to_string()));
    if let Some(seconds) = retry_after {
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}
