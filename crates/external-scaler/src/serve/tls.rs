//! Certificates, read again when their files change: whoever renews them need not know of this process.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

use crate::ServerArgs;

/// How often the files are looked at, at most.
const LOOK: Duration = Duration::from_secs(10);

/// The server's side of TLS.
pub(super) struct Tls {
    files: Files,
    current: Mutex<Current>,
}

struct Files {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

struct Current {
    config: Arc<ServerConfig>,
    changed: Vec<Option<SystemTime>>,
    looked: Instant,
}

impl Tls {
    /// TLS as the flags ask for it; `None` where they do not.
    ///
    /// # Errors
    /// When a file cannot be read, or holds no certificate or key.
    pub(super) fn of(args: &ServerArgs) -> anyhow::Result<Option<Self>> {
        let (Some(cert), Some(key)) = (&args.scaler_tls_cert, &args.scaler_tls_key) else {
            return Ok(None);
        };
        let files = Files {
            cert: cert.clone(),
            key: key.clone(),
            client_ca: args.scaler_tls_client_ca.clone(),
        };
        let current = Current {
            changed: files.changed(),
            config: files.read()?,
            looked: Instant::now(),
        };
        Ok(Some(Self {
            files,
            current: Mutex::new(current),
        }))
    }

    /// What the next handshake is made with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            self.renew(&mut current);
        }
        TlsAcceptor::from(Arc::clone(&current.config))
    }

    /// Takes the files again if they changed. Files that cannot be used change nothing, and are tried again: a renewal writes one
    /// after the other.
    fn renew(&self, current: &mut Current) {
        let changed = self.files.changed();
        if changed == current.changed {
            return;
        }
        match self.files.read() {
            Ok(config) => {
                current.config = config;
                current.changed = changed;
                tracing::info!("took new certificates");
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "new certificates cannot be used"),
        }
    }
}

impl Files {
    fn changed(&self) -> Vec<Option<SystemTime>> {
        let files = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        let changed = |file: &PathBuf| std::fs::metadata(file).and_then(|found| found.modified()).ok();
        files.into_iter().flatten().map(changed).collect()
    }

    fn read(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(file)? {
                    roots
                        .add(certificate)
                        .with_context(|| file.display().to_string())?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("no private key in {}", self.key.display()))?;
        let mut config = builder
            .with_single_cert(certificates(&self.cert)?, key)
            .with_context(|| format!("{} and {}", self.cert.display(), self.key.display()))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || -> Result<Vec<_>, pem::Error> { CertificateDer::pem_file_iter(file)?.collect() };
    let found: Vec<CertificateDer<'static>> =
        read().with_context(|| format!("can't read {}", file.display()))?;
    anyhow::ensure!(!found.is_empty(), "no certificate in {}", file.display());
    Ok(found)
}
