//! The gRPC server.

mod connection;
mod methods;
mod service;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use controller_kit::{
    runtime::Runtime,
    server_tls::{ServerTls, TlsFiles},
};
use tokio::net::TcpListener;
use tonic::transport::Server;

use self::{connection::incoming, methods::Methods, service::Service};
use crate::{ServerArgs, observe::Known};

/// A client that vanished is noticed after these two: its stream would else be kept for ever.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams on one connection. KEDA has one connection for all ScaledObjects, and a stream on it for each that is pushed.
const STREAMS: u32 = 10_000;

/// An address that is listened on.
pub(crate) struct Listening {
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
}

/// Listens, and reads the certificates.
///
/// # Errors
/// When the address cannot be listened on, or the certificates cannot be used.
pub(crate) async fn listen(args: &ServerArgs) -> anyhow::Result<Listening> {
    let tls = tls(args)?;
    let address = args.scaler_address;
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("--scaler-address {address}"))?;
    Ok(Listening { listener, tls })
}

/// TLS as the flags ask for it; `None` where they do not.
fn tls(args: &ServerArgs) -> anyhow::Result<Option<Arc<ServerTls>>> {
    let (Some(certificate), Some(key)) = (&args.scaler_tls_cert, &args.scaler_tls_key) else {
        return Ok(None);
    };
    let files = TlsFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        client_ca: args.scaler_tls_client_ca.clone(),
    };
    Ok(Some(ServerTls::load(files, b"h2").context("TLS")?))
}

/// Starts serving.
pub(crate) fn start(runtime: &Runtime, listening: Listening, known: Known) {
    let Listening { listener, tls } = listening;
    let scaler_address = listener.local_addr().ok().map(tracing::field::display);
    tracing::info!(scaler_address, tls = tls.is_some(), "serving");
    let shutdown = runtime.shutdown();
    if let Some(tls) = &tls {
        let following = Arc::clone(tls).follow(shutdown.clone(), |_| {});
        runtime.spawn("certificate", following);
    }
    let service = Service::new(Methods::new(known, shutdown.clone()));
    runtime.spawn("grpc", async move {
        let incoming = incoming(listener, tls, shutdown.clone());
        Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(STREAMS)
            .serve_with_incoming_shutdown(service, incoming, shutdown.cancelled_owned())
            .await?;
        Ok(())
    });
}
