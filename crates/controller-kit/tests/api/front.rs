//! Something between client and API server that misbehaves on command: a TCP relay, and an HTTP front that can
//! answer by itself.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use kube::{Client, Config};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A TCP relay to the API server. TLS passes through untouched.
#[derive(Clone)]
pub struct Relay {
    pub address: SocketAddr,
    epoch: watch::Sender<u32>,
    stalls: watch::Sender<u32>,
    refusing: Arc<AtomicBool>,
}

impl Relay {
    pub async fn start(upstream: &Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let relay = Self {
            address,
            epoch: watch::Sender::new(0),
            stalls: watch::Sender::new(0),
            refusing: Arc::default(),
        };
        let uri = upstream.cluster_url.clone();
        let target = format!("{}:{}", uri.host().unwrap(), uri.port_u16().unwrap_or(443));
        let (epoch, stalls, refusing) = (
            relay.epoch.clone(),
            relay.stalls.clone(),
            Arc::clone(&relay.refusing),
        );
        tokio::spawn(async move {
            while let Ok((mut inbound, _)) = listener.accept().await {
                if refusing.load(Ordering::SeqCst) {
                    continue;
                }
                let (target, mut epoch, mut stalls) = (target.clone(), epoch.subscribe(), stalls.subscribe());
                tokio::spawn(async move {
                    let mut outbound = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound) => {}
                        _ = epoch.changed() => {}
                        // Both ends stay open, and silent.
                        _ = stalls.changed() => std::future::pending().await,
                    }
                });
            }
        });
        relay
    }

    /// The same cluster through the relay.
    pub fn config(&self, upstream: &Config) -> Config {
        let mut config = upstream.clone();
        config.tls_server_name = upstream.cluster_url.host().map(ToOwned::to_owned);
        config.cluster_url = format!("https://{}", self.address).parse().unwrap();
        config
    }

    /// Cuts every connection and refuses new ones until [`mend`](Self::mend).
    pub fn cut(&self) {
        self.refusing.store(true, Ordering::SeqCst);
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Lets nothing more through the connections that are open now, without closing them.
    pub fn stall(&self) {
        self.stalls.send_modify(|stalls| *stalls += 1);
    }

    pub fn mend(&self) {
        self.refusing.store(false, Ordering::SeqCst);
    }
}

/// What the front does with the next watch instead of passing it on.
#[derive(Clone, Debug)]
pub enum Inject {
    /// HTTP 410 in place of the stream.
    GoneAtStart,
    /// This line as the first of the stream, which then goes on.
    Line(String),
}

/// What the front does with every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Takes the request and never answers.
    Hang,
    /// Answers this code and body, with `Retry-After: 7`.
    Answer(u16, String),
}

struct Shared {
    client: Client,
    mode: Mutex<Mode>,
    injections: Mutex<VecDeque<Inject>>,
    requests: AtomicUsize,
    watches: AtomicUsize,
    epoch: watch::Sender<u32>,
}

/// A plain HTTP front of the API server, with the credentials of the test.
#[derive(Clone)]
pub struct Front {
    pub config: Config,
    shared: Arc<Shared>,
}

impl Front {
    pub async fn start(client: Client) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            client,
            mode: Mutex::new(Mode::Pass),
            injections: Mutex::default(),
            requests: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
            epoch: watch::Sender::new(0),
        });
        let router = axum::Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            config: Config::new(url.parse().unwrap()),
            shared,
        }
    }

    pub fn mode(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// Requests that arrived so far, the keep-warm ones left out.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Watches among them.
    pub fn watches(&self) -> usize {
        self.shared.watches.load(Ordering::SeqCst)
    }

    /// Does this to the next watch, and cuts those that run so that there is one.
    pub fn inject(&self, injection: Inject) {
        self.shared.injections.lock().unwrap().push_back(injection);
        self.cut();
    }

    /// Whether all injections have been used.
    pub fn injected(&self) -> bool {
        self.shared.injections.lock().unwrap().is_empty()
    }

    /// Ends every running answer in the middle.
    pub fn cut(&self) {
        self.shared.epoch.send_modify(|epoch| *epoch += 1);
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let uri = request.uri().to_string();
    if uri != "/version" {
        shared.requests.fetch_add(1, Ordering::SeqCst);
    }
    if uri.contains("watch=true") {
        shared.watches.fetch_add(1, Ordering::SeqCst);
    }
    let mode = shared.mode.lock().unwrap().clone();
    match mode {
        Mode::Pass => {}
        Mode::Hang => std::future::pending().await,
        Mode::Answer(code, body) => {
            let code = http::StatusCode::from_u16(code).unwrap();
            return (code, [("retry-after", "7")], body).into_response();
        }
    }
    let injection = if uri.contains("watch=true") {
        shared.injections.lock().unwrap().pop_front()
    } else {
        None
    };
    if let Some(Inject::GoneAtStart) = injection {
        let status =
            r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}"#;
        return (http::StatusCode::GONE, status).into_response();
    }
    pass(&shared, request, injection).await
}

async fn pass(shared: &Shared, request: Request, injection: Option<Inject>) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut upstream = http::Request::builder()
        .method(parts.method)
        .uri(parts.uri.path_and_query().unwrap().as_str());
    for name in ["accept", "content-type"] {
        if let Some(value) = parts.headers.get(name) {
            upstream = upstream.header(name, value);
        }
    }
    let mut epoch = shared.epoch.subscribe();
    let answer = shared
        .client
        .send(upstream.body(body.to_vec().into()).unwrap())
        .await
        .unwrap();
    let status = answer.status();
    let mut frames = Body::new(answer.into_body()).into_data_stream();
    let (sender, receiver) = futures::channel::mpsc::unbounded();
    tokio::spawn(async move {
        if let Some(Inject::Line(line)) = injection {
            let _ = sender.unbounded_send(Ok(bytes::Bytes::from(line + "\n")));
        }
        loop {
            let item = tokio::select! {
                item = frames.next() => item.map(|frame| frame.map_err(std::io::Error::other)),
                _ = epoch.changed() => Some(Err(std::io::Error::other("cut"))),
            };
            let Some(item) = item else { return };
            let last = item.is_err();
            if sender.unbounded_send(item).is_err() || last {
                return;
            }
        }
    });
    (status, Body::from_stream(receiver)).into_response()
}
