//! The way from Pods to an API server that listens on loopback only, as the local cluster's does: bytes are carried as they are, so
//! TLS is the API server's own.

use std::path::Path;

use anyhow::{Context, Result};
use kube::config::Kubeconfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Open until it is dropped.
pub(in crate::trial) struct Way {
    /// Port on the bridge.
    pub(in crate::trial) port: u16,
    _carrying: AbortOnDropHandle<()>,
}

impl Way {
    /// Listens at `address` for the API server of this kubeconfig.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub(in crate::trial) async fn open(kubeconfig: &Path, address: &str) -> Result<Self> {
        let server = server(kubeconfig)?;
        let listener = TcpListener::bind((address, 0)).await?;
        let port = listener.local_addr()?.port();
        let carrying = tokio::spawn(async move {
            while let Ok((from_pod, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(carry(from_pod, server));
            }
        });
        Ok(Self {
            port,
            _carrying: AbortOnDropHandle::new(carrying),
        })
    }
}

async fn carry(mut from_pod: TcpStream, server: String) {
    let Ok(mut to_server) = TcpStream::connect(server).await else {
        return;
    };
    // Small requests, and latency is looked at.
    let _ = (from_pod.set_nodelay(true), to_server.set_nodelay(true));
    // Whoever closes, the other side sees it.
    let _ = tokio::io::copy_bidirectional(&mut from_pod, &mut to_server).await;
}

/// Host and port of the API server.
fn server(kubeconfig: &Path) -> Result<String> {
    let config = Kubeconfig::read_from(kubeconfig)?;
    let clusters = config
        .clusters
        .into_iter()
        .filter_map(|named| named.cluster?.server);
    let server = clusters
        .into_iter()
        .next()
        .context("the kubeconfig has no cluster")?;
    Ok(server
        .trim_start_matches("https://")
        .trim_end_matches('/')
        .to_owned())
}
