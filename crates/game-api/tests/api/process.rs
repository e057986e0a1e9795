//! A running game-api, and requests to it.

use std::{path::Path, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde_json::Value;
use tempfile::TempDir;
use test_bed::{Process, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::world::{Server, World};

/// A running game-api with a certificate for localhost.
pub(crate) struct Api {
    pub(crate) process: Process,
    pub(crate) port: u16,
    pub(crate) files: Files,
}

/// Certificate and key on disk.
pub(crate) struct Files {
    pub(crate) directory: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status and the word for programs.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let reason = self.json()["error"]["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (self.status, reason)
    }
}

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        files.renew();
        files
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_string_lossy().into_owned()
    }

    /// Writes a new certificate and key.
    pub(crate) fn renew(&self) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        // The key first: a moment in which they do not go together must harm nothing.
        std::fs::write(self.path("tls.key"), signing_key.serialize_pem()).unwrap();
        std::fs::write(self.path("tls.crt"), cert.pem()).unwrap();
    }

    fn trust(&self) -> Arc<ClientConfig> {
        use rustls::pki_types::{CertificateDer, pem::PemObject as _};
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.path("tls.crt")).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

impl Api {
    pub(crate) async fn start(world: &World, flags: &[&str]) -> Self {
        Self::start_as(world, &world.kubeconfig, flags).await
    }

    pub(crate) async fn start_as(world: &World, kubeconfig: &Path, flags: &[&str]) -> Self {
        let files = Files::new();
        let (certificate, key) = (files.path("tls.crt"), files.path("tls.key"));
        let own = [
            "--listen-address",
            "127.0.0.1:0",
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
        ];
        let program = env!("CARGO_BIN_EXE_game-api");
        let at_once = ["--linger", "0s"];
        let lingers = flags.contains(&"--linger");
        let flags = [&own[..], if lingers { &[][..] } else { &at_once[..] }, flags].concat();
        let process = Process::start(program, kubeconfig, &world.namespace, &flags).await;
        // What is read before the server has begun is 0.
        let port = process
            .metric_until("gamekeeper_game_api_listen_port", &[], |port| port > 0)
            .await;
        Self {
            process,
            port: u16::try_from(port).unwrap(),
            files,
        }
    }

    /// A connection that trusts what the files hold now.
    pub(crate) async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(self.files.trust()).connect(name, stream).await
    }

    /// Sends bytes as they are, and reads what comes until the end.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect().await.unwrap();
        // A request that is too long is answered before it is read to its end.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        Answer {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|code| code.parse().ok())
                .unwrap_or_default(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    /// Sends a request with these headers.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in headers {
            for part in [name, ": ", value, "\r\n"] {
                text.push_str(part);
            }
        }
        text = format!("{text}Content-Length: {}\r\n\r\n{body}", body.len());
        self.raw(text.as_bytes()).await
    }

    /// Sends JSON with a code.
    pub(crate) async fn with_code(&self, code: &str, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let authorization = format!("Bearer {code}");
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/json"),
        ];
        self.ask(method, path, &headers, &body).await
    }

    /// Sends JSON as this server, as soon as game-api knows its Pod and its GameServer and it may ask.
    pub(crate) async fn tell(&self, server: &Server, method: &str, path: &str, body: Value) -> Answer {
        let ask = async || self.with_code(&server.code, method, path, &body).await;
        eventually("known server", ask, |answer| {
            !matches!(answer.status, 401 | 429 | 503)
        })
        .await
    }

    /// Waits until this server is known, without saying anything.
    pub(crate) async fn knows(&self, server: &Server) {
        let answer = self.tell(server, "GET", "/v1/self", Value::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
