//! Calls to the servers of the chart, as a game server and as KEDA make them: by TLS, to a Pod.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use external_scaler::proto::{GET_METRICS, GetMetricsRequest, GetMetricsResponse, METRIC, ScaledObjectRef};
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

/// A server of the chart.
pub(super) struct Server {
    /// The Pod's address.
    pub(super) address: SocketAddr,
    /// The Service's name, which its certificate has.
    pub(super) host: &'static str,
    /// Whom the caller trusts, and who it is.
    pub(super) config: Arc<ClientConfig>,
}

impl Server {
    /// Sends a request to game-api with this code or token; gives the status.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn http(&self, method: &str, path: &str, code: &str, body: &str) -> Result<u16> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(self.host)?;
        let mut stream = TlsConnector::from(Arc::clone(&self.config))
            .connect(name, stream)
            .await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {code}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        status.with_context(|| format!("no status in {answer:?}"))
    }

    /// Asks external-scaler how many servers the set should have.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn replicas(&self, namespace: &str, set: &str) -> Result<i64> {
        let (config, address, host) = (Arc::clone(&self.config), self.address, self.host);
        let connect = tower::service_fn(move |_: http::Uri| {
            let connector = TlsConnector::from(Arc::clone(&config));
            async move {
                let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
                let stream = TcpStream::connect(address).await?;
                std::io::Result::Ok(TokioIo::new(connector.connect(name, stream).await?))
            }
        });
        let channel = Endpoint::from_shared(format!("http://{host}"))?
            .connect_with_connector(connect)
            .await?;
        let request = GetMetricsRequest {
            scaled_object_ref: Some(ScaledObjectRef {
                name: set.to_owned(),
                namespace: namespace.to_owned(),
                scaler_metadata: HashMap::new(),
            }),
            metric_name: METRIC.to_owned(),
        };
        let mut grpc = Grpc::new(channel);
        grpc.ready().await?;
        let codec = ProstCodec::<GetMetricsRequest, GetMetricsResponse>::default();
        let path = PathAndQuery::from_static(GET_METRICS);
        let answer = grpc.unary(tonic::Request::new(request), path, codec).await?;
        let values = answer.into_inner().metric_values;
        ensure!(values.len() == 1, "{values:?}");
        Ok(values[0].metric_value)
    }
}

/// An address of a Pod.
///
/// # Errors
/// When it has none.
pub(super) fn address(ip: Option<&str>, port: u16) -> Result<SocketAddr> {
    let ip: IpAddr = ip.context("the Pod has no address")?.parse()?;
    Ok(SocketAddr::new(ip, port))
}
