//! A way to the API server that has weather: where a [`Gate`](super::Gate) strikes one request of a plan, a door troubles all of them
//! for as long as it is told to.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::gate::{Answer, failure, onward, serve, whole};
use super::stream::{Frames, body_of};

/// What is wrong with the way to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// Every watch is cut when it is this old.
    CutWatches(Duration),
    /// The history is gone: watches end with 410, and start with it.
    Gone,
    /// Every request is answered with 429, and told to come back after so many seconds.
    TooMany(u16),
    /// Connections are closed, and none is taken.
    Closed,
    /// Nothing is answered. What was asked meanwhile goes on to the API server when the trouble ends, whoever has given up on it.
    Silent,
    /// Pod patches reach the API server; their answers never come back.
    Unanswered,
    /// Pod patches, and nothing else, are answered with 503.
    NoPatches,
    /// Pod patches wait so long before they go on; the end of the trouble is the end of the wait.
    SlowPatches(Duration),
}

/// A port on 127.0.0.1 that leads to the API server.
pub struct Door {
    /// Where it listens.
    pub address: SocketAddr,
    trouble: watch::Sender<Trouble>,
    _accept: AbortOnDropHandle<()>,
}

struct State {
    upstream: Client,
    trouble: watch::Receiver<Trouble>,
}

impl Door {
    /// Opens a door to the API server that the kubeconfig names; each request brings its own credentials.
    ///
    /// # Errors
    /// When the kubeconfig can't be read or no port is free.
    pub async fn open(kubeconfig: &Path) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let mut config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.auth_info = AuthInfo::default();
        let upstream = controller_kit::client::connect(&config)?;
        let (trouble, seen) = watch::channel(Trouble::None);
        let state = Arc::new(State {
            upstream,
            trouble: seen,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accept = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    let (mut trouble, inner) = (state.trouble.clone(), Arc::clone(&state));
                    let service = service_fn(move |request| {
                        let state = Arc::clone(&inner);
                        serve(request, |request| state.handle(request))
                    });
                    let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                    tokio::select! {
                        _ = connection => {}
                        // The sender gone is the end of the trial; then too.
                        _ = trouble.wait_for(|trouble| *trouble == Trouble::Closed) => {}
                    }
                });
            }
        });
        Ok(Self {
            address,
            trouble,
            _accept: AbortOnDropHandle::new(accept),
        })
    }

    /// Begins `trouble`, or ends it with [`Trouble::None`].
    pub fn set(&self, trouble: Trouble) {
        self.trouble.send_replace(trouble);
    }
}

impl State {
    /// `None` closes the connection.
    async fn handle(self: Arc<Self>, request: Request<Bytes>) -> Option<Answer> {
        let mut trouble = self.trouble.clone();
        trouble
            .wait_for(|trouble| *trouble != Trouble::Silent)
            .await
            .ok()?;
        let now = *trouble.borrow_and_update();
        let is_watch = request
            .uri()
            .query()
            .is_some_and(|query| query.contains("watch="));
        let is_pod_patch = request.method() == Method::PATCH && request.uri().path().contains("/pods/");
        match now {
            Trouble::Closed => return None,
            Trouble::TooMany(seconds) => return Some(failure(429, Some(seconds))),
            Trouble::Gone if is_watch => return Some(failure(410, None)),
            Trouble::NoPatches if is_pod_patch => return Some(failure(503, None)),
            Trouble::SlowPatches(time) if is_pod_patch => {
                let _ = tokio::time::timeout(time, trouble.changed()).await;
            }
            _ => {}
        }
        let answer = self.upstream.send(onward(request)?).await.ok()?;
        let (parts, body) = answer.into_parts();
        if is_watch && parts.status == StatusCode::OK {
            return Some(Stream::start(trouble, body.into_data_stream()));
        }
        let body = body.collect().await.ok()?.to_bytes();
        if now == Trouble::Unanswered && is_pod_patch {
            return None;
        }
        Some(whole(parts.status, Some(&parts.headers), body))
    }
}

/// One open watch.
struct Stream {
    trouble: watch::Receiver<Trouble>,
    out: Frames,
    since: Instant,
}

impl Stream {
    fn start<S, E>(trouble: watch::Receiver<Trouble>, upstream: S) -> Answer
    where
        S: futures::Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
        E: Send + 'static,
    {
        let (out, receiver) = mpsc::channel(64);
        let stream = Self {
            trouble,
            out,
            since: Instant::now(),
        };
        tokio::spawn(stream.run(upstream));
        let mut answer = Response::new(body_of(receiver));
        let json = http::HeaderValue::from_static("application/json");
        answer.headers_mut().insert(header::CONTENT_TYPE, json);
        answer
    }

    async fn run<S, E>(mut self, mut upstream: S)
    where
        S: futures::Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
        E: Send + 'static,
    {
        loop {
            let trouble = *self.trouble.borrow_and_update();
            let cut_at = match trouble {
                Trouble::CutWatches(age) => Some(self.since + age),
                _ => None,
            };
            if trouble == Trouble::Gone {
                let event = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"injected fault"}}"#;
                let _ = self
                    .out
                    .send(Ok(Frame::data(Bytes::from(format!("{event}\n")))))
                    .await;
                return;
            }
            let cut = async {
                match cut_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.trouble.changed() => if changed.is_err() { return },
                () = cut => {
                    let _ = self.out.send(Err(std::io::Error::other("cut by a fault"))).await;
                    return;
                }
                next = upstream.next(), if trouble != Trouble::Silent => {
                    let Some(Ok(bytes)) = next else { return };
                    if self.out.send(Ok(Frame::data(bytes))).await.is_err() {
                        return;
                    }
                }
                () = self.out.closed() => return,
            }
        }
    }
}
