//! Connections: how many, from whom, for how long.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body};
use controller_kit::server_tls::ServerTls;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::{metrics, plan::limit::origin};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection may take to send a request's head; also how long one may stay open without a request.
const HEAD: Duration = Duration::from_secs(75);
/// The longest head of a request.
const HEAD_BYTES: usize = 16 * 1024;
/// The most header fields.
const HEADERS: usize = 64;
/// After the end of accepting, how long requests under way may take.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
/// Before accepting again after it failed: out of file descriptors, mostly.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Who is connected from where, as a request's extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub IpAddr);

/// Accepts connections.
pub(crate) struct Server {
    pub listener: TcpListener,
    pub tls: Option<Arc<ServerTls>>,
    pub router: Router,
    /// The most connections.
    pub most: usize,
    /// The most from one address.
    pub most_from_one: usize,
    /// How long to go on after shutdown has begun: until nobody sends requests here any more.
    pub linger: Duration,
}

/// Open connections.
#[derive(Default)]
struct Open(Mutex<Count>);

#[derive(Default)]
struct Count {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One open connection; dropped, it is closed.
struct Ticket {
    open: Arc<Open>,
    from: IpAddr,
}

impl Open {
    fn admit(self: &Arc<Self>, from: IpAddr, server: &Server) -> Result<Ticket, &'static str> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= server.most {
            return Err("many");
        }
        let of_it = open.by_address.entry(from).or_default();
        if *of_it >= server.most_from_one {
            return Err("many_from_one");
        }
        *of_it += 1;
        open.all += 1;
        metrics::connections(1.0);
        Ok(Ticket {
            open: Arc::clone(self),
            from,
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(of_it) = open.by_address.get_mut(&self.from) {
            *of_it -= 1;
            if *of_it == 0 {
                open.by_address.remove(&self.from);
            }
        }
        metrics::connections(-1.0);
    }
}

impl Server {
    /// Serves until `shutdown`, and then until what is under way is answered.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let (open, connections) = (Arc::new(Open::default()), TaskTracker::new());
        let last = CancellationToken::new();
        let lingering = async {
            shutdown.cancelled().await;
            tokio::time::sleep(self.linger).await;
        };
        tokio::pin!(lingering);
        loop {
            let accepted = tokio::select! {
                () = &mut lingering => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.take(stream, address, &open, &connections, &last),
                Err(error) => {
                    metrics::turned_away("accept");
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
        drop(self.listener);
        last.cancel();
        connections.close();
        // What takes longer is cut with the process.
        let _ = tokio::time::timeout(LAST_REQUESTS, connections.wait()).await;
    }

    fn take(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        open: &Arc<Open>,
        connections: &TaskTracker,
        last: &CancellationToken,
    ) {
        let from = origin(address.ip());
        let ticket = match open.admit(from, self) {
            Ok(ticket) => ticket,
            Err(reason) => return metrics::turned_away(reason),
        };
        let (router, last) = (self.router.clone(), last.clone());
        let acceptor = self.tls.as_ref().map(|tls| tls.acceptor());
        connections.spawn(async move {
            // Answers are small, and nothing waits for more of them.
            let _ = stream.set_nodelay(true);
            match acceptor {
                None => converse(stream, from, router, last).await,
                Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => converse(stream, from, router, last).await,
                    _ => metrics::turned_away("handshake"),
                },
            }
            drop(ticket);
        });
    }
}

async fn converse<S>(stream: S, from: IpAddr, router: Router, last: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(from));
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = last.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // What was wrong was answered, where it could be. The error does not quote what was sent.
        metrics::turned_away("protocol");
        tracing::debug!(%error, "a connection ended");
    }
}
