//! Connections: accepted, and wrapped in TLS where that is asked for.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use controller_kit::server_tls::ServerTls;
use futures::stream::{self, Stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// A client that does not finish its handshake does not keep a socket.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that are ready and not yet taken.
const READY: usize = 16;
/// After an error of `accept`, of which running out of file descriptors is one: trying again at once would only burn the CPU.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection.
pub(super) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connections, as tonic's server takes them. Handshakes are made beside one another: a slow client holds up nobody.
pub(super) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    shutdown: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> {
    let (ready, taken) = mpsc::channel(READY);
    tokio::spawn(async move {
        while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
            let Ok((socket, _)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let (ready, tls) = (ready.clone(), tls.clone());
            tokio::spawn(async move {
                if let Some(connection) = shake_hands(socket, tls).await {
                    // Nobody takes it any more when the server has ended.
                    let _ = ready.send(connection).await;
                }
            });
        }
    });
    stream::unfold(taken, |mut taken| async move {
        let connection = taken.recv().await?;
        Some((Ok(connection), taken))
    })
}

async fn shake_hands(socket: TcpStream, tls: Option<Arc<ServerTls>>) -> Option<Connection> {
    // Answers are small, and KEDA waits for each.
    let _ = socket.set_nodelay(true);
    let Some(tls) = tls else {
        return Some(Connection::Plain(socket));
    };
    let peer = socket.peer_addr();
    let handshake = tls.acceptor().accept(socket);
    match tokio::time::timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => Some(Connection::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::warn!(?peer, %error, "a client's TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}
