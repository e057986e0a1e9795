//! A TCP proxy before the API server that can lose what passes through it.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use kube::{Client, Config};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

const OPEN: u8 = 0;
const LOSES_ANSWERS: u8 = 1;
const LOSES_EVERYTHING: u8 = 2;

/// A process's way to the API server. Connections that lost bytes are not repaired: the client has to open new ones.
pub(crate) struct Proxy {
    mode: Arc<AtomicU8>,
    config: Config,
}

impl Proxy {
    pub(crate) async fn start(mut config: Config) -> Self {
        let (host, port) = (
            config.cluster_url.host().unwrap_or("127.0.0.1"),
            config.cluster_url.port_u16(),
        );
        let upstream = format!("{host}:{}", port.unwrap_or(443));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        // The certificate is still checked against the server's own name.
        config.tls_server_name = Some(host.to_owned());
        config.cluster_url = format!("https://127.0.0.1:{port}/")
            .parse()
            .expect("a valid address");
        let mode = Arc::new(AtomicU8::new(OPEN));
        tokio::spawn(accept(listener, upstream, Arc::clone(&mode)));
        Self { mode, config }
    }

    pub(crate) fn client(&self) -> Client {
        Client::try_from(self.config.clone()).expect("a client")
    }

    /// Requests arrive and are applied; their answers do not come back.
    pub(crate) fn lose_answers(&self) {
        self.mode.store(LOSES_ANSWERS, Ordering::SeqCst);
    }

    /// The network is gone, without a sign of it to either end.
    pub(crate) fn lose_everything(&self) {
        self.mode.store(LOSES_EVERYTHING, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) {
        self.mode.store(OPEN, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, upstream: String, mode: Arc<AtomicU8>) {
    while let Ok((near, _)) = listener.accept().await {
        let Ok(far) = TcpStream::connect(&upstream).await else {
            continue;
        };
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        tokio::spawn(copy(near_read, far_write, Arc::clone(&mode), LOSES_EVERYTHING));
        tokio::spawn(copy(far_read, near_write, Arc::clone(&mode), LOSES_ANSWERS));
    }
}

/// Copies until a byte had to be lost, then swallows the rest: what follows would make no sense to the receiver.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mode: Arc<AtomicU8>, loses_from: u8) {
    let mut buffer = vec![0; 16 * 1024];
    let mut torn = false;
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        torn |= mode.load(Ordering::SeqCst) >= loses_from;
        if !torn && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
