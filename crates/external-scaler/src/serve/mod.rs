//! The gRPC server.

mod connection;
mod methods;
mod service;
mod tls;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use controller_kit::runtime::Runtime;
use tokio::net::TcpListener;
use tonic::transport::Server;

use self::{connection::incoming, methods::Methods, service::Service, tls::Tls};
use crate::{ServerArgs, observe::Known};

/// A client that vanished is noticed after these two: its stream would else be kept for ever.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams on one connection. KEDA has one connection for all ScaledObjects, and a stream on it for each that is pushed.
const STREAMS: u32 = 10_000;

/// An address that is listened on.
pub(crate) struct Listening {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
}

/// Listens, and reads the certificates.
///
/// # Errors
/// When the address cannot be listened on, or the certificates cannot be used.
pub(crate) async fn listen(args: &ServerArgs) -> anyhow::Result<Listening> {
    let tls = Tls::of(args)?.map(Arc::new);
    let address = args.scaler_address;
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("--scaler-address {address}"))?;
    Ok(Listening { listener, tls })
}

/// Starts serving.
pub(crate) fn start(runtime: &Runtime, listening: Listening, known: Known) {
    let Listening { listener, tls } = listening;
    let scaler_address = listener.local_addr().ok().map(tracing::field::display);
    tracing::info!(scaler_address, tls = tls.is_some(), "serving");
    let shutdown = runtime.shutdown();
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
