//! A game server as game-api sees it: one connection, one code.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tempfile::TempDir;

/// A certificate for localhost, and its files.
pub(crate) struct Certificate {
    directory: TempDir,
    config: Arc<rustls::ClientConfig>,
}

/// Writes a certificate for localhost, `tls.crt`, and its key, `tls.key`.
pub(crate) fn localhost_pair(directory: &Path) -> Result<CertifiedKey<KeyPair>> {
    let pair = generate_simple_self_signed(vec!["localhost".into()])?;
    std::fs::write(directory.join("tls.crt"), pair.cert.pem())?;
    std::fs::write(directory.join("tls.key"), pair.signing_key.serialize_pem())?;
    Ok(pair)
}

impl Certificate {
    pub(crate) fn make() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let CertifiedKey { cert, .. } = localhost_pair(directory.path())?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(cert.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            directory,
            config: Arc::new(config),
        })
    }

    /// `tls.crt` or `tls.key`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Flags of a game-api that takes all of a benchmark's servers from one address.
    pub(crate) fn flags(&self, port: u16) -> Vec<String> {
        vec![
            format!("--listen-address=127.0.0.1:{port}"),
            format!("--tls-cert-file={}", self.file("tls.crt").display()),
            format!("--tls-key-file={}", self.file("tls.key").display()),
            "--address-rate=1000000".into(),
            "--address-connections=20000".into(),
            "--max-connections=20000".into(),
            "--compat".into(),
        ]
    }
}

/// One game server.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(super) name: String,
    pub(super) code: String,
    port: u16,
    client: Client<HttpsConnector<HttpConnector>, Full<bytes::Bytes>>,
}

/// A request to be sent.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Caller {
    pub(crate) fn new(certificate: &Certificate, port: u16, name: String, code: String) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config((*certificate.config).clone())
            .https_only()
            .enable_http1()
            .build();
        // Each server has connections of its own, as it has in a cluster.
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self {
            name,
            code,
            port,
            client,
        }
    }

    /// Reports a number of players; gives the status.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn report(&self, count: u32) -> Result<u16> {
        let asked = Asked {
            method: Method::PUT,
            path: "/v1/self/players".into(),
            headers: self.headers(),
            body: format!("{{\"count\":{count}}}").into_bytes(),
        };
        self.ask(asked).await
    }

    /// The headers of a right request.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        vec![
            ("authorization", format!("Bearer {}", self.code)),
            ("content-type", "application/json".into()),
        ]
    }

    /// Sends a request and gives the status of the answer, which is read to its end.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn ask(&self, asked: Asked) -> Result<u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in &asked.headers {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        }
        let mut request = Request::builder()
            .method(asked.method)
            .uri(format!("https://localhost:{}{}", self.port, asked.path))
            .body(Full::new(bytes::Bytes::from(asked.body)))?;
        *request.headers_mut() = headers;
        let response = self.client.request(request).await.context("no answer")?;
        let status = response.status().as_u16();
        response.into_body().collect().await?;
        Ok(status)
    }
}
