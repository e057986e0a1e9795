//! The connection to the API server: pooled HTTP/1.1, no hidden retries, no client-side rate limit.

use std::path::Path;
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

/// Idle connections are dropped before the API server's own limit (90 s) closes them under a request.
const IDLE: Duration = Duration::from_secs(75);
/// A peer that vanished is noticed after `KEEPALIVE + 3 × KEEPALIVE_INTERVAL` = 25 s, watches included.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Sent data that is not acknowledged for this long means a dead connection: without it, the first write after a
/// silent network failure keeps its connection in limbo for minutes.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(5);

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig file is missing or wrong.
    #[error("cannot use the kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// Neither a kubeconfig nor a service account was found.
    #[error("cannot find a cluster: {0}")]
    Infer(#[from] kube::config::InferConfigError),
    /// The configuration asks for an HTTP proxy; none is supported.
    #[error("the cluster configuration names a proxy, which is not supported")]
    Proxy,
    /// Certificates, keys or credentials could not be used.
    #[error("cannot connect: {0}")]
    Connect(#[from] kube::Error),
}

/// Loads the configuration named by `kubeconfig`, or the one of the surroundings.
///
/// # Errors
/// See [`ClientError`]; nothing is sent to the cluster.
pub async fn load_config(kubeconfig: Option<&Path>) -> Result<Config, ClientError> {
    match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)?;
            Ok(Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?)
        }
        None => Ok(Config::infer().await?),
    }
}

/// The same configuration for requests that say which program sent them, as audit logs show it.
pub fn named(config: &Config, program: &str) -> Config {
    let mut config = config.clone();
    let name = format!("{program}/{}", env!("CARGO_PKG_VERSION"));
    if let Ok(name) = HeaderValue::try_from(name) {
        config.headers.push((USER_AGENT, name));
    }
    config
}

/// Builds the client every request of a controller goes through.
///
/// kube's default stack is not used: it repeats any request, writes included, up to fifteen times on 429, 503
/// and 504, and opens a tracing span for each. Here a request is sent once. (Hyper repeats a request only when
/// the pooled connection was closed before a single byte of it was written, which is safe.)
///
/// Must be called within a Tokio runtime.
///
/// # Errors
/// When certificates or credentials cannot be used, or a proxy is configured.
pub fn connect(config: &Config) -> Result<Client, ClientError> {
    if config.proxy_url.is_some() {
        return Err(ClientError::Proxy);
    }
    // Installing twice is an error we can ignore: the provider is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    // Requests are small and latency is the promise.
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(3));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let tls = config.rustls_https_connector_with_connector(tcp)?;
    let http = HyperClient::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build::<_, Body>(tls);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_say_which_program_sent_them() {
        let config = Config::new(http::Uri::from_static("https://127.0.0.1"));
        let version = concat!("pod-sync/", env!("CARGO_PKG_VERSION"));
        let wanted = [(USER_AGENT, HeaderValue::from_static(version))];
        assert_eq!(named(&config, "pod-sync").headers, wanted);
    }
}
