//! Certificate and key, read again when their files change.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::metrics;

/// Between two looks at the files. A Secret's volume changes without an event that every file system has.
const LOOK: Duration = Duration::from_secs(2);

/// Why certificate and key cannot be used. Never quotes them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("can't read {0}: {1}")]
    File(PathBuf, io::Error),
    /// It holds no certificate.
    #[error("{0} holds no PEM certificate")]
    NoCertificate(PathBuf),
    /// It holds no key.
    #[error("{0} holds no PEM private key")]
    NoKey(PathBuf),
    /// They do not go together, or are of a kind that is not known.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Files of a certificate and its key, and what was last read from them.
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

/// Contents of both files.
type Contents = (Vec<u8>, Vec<u8>);

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// When they cannot be used.
    pub(crate) fn load(certificate: &Path, key: &Path) -> Result<(Arc<Self>, Contents), TlsError> {
        let contents = read(certificate, key)?;
        let config = config(certificate, key, &contents)?;
        metrics::certificate("ok");
        let tls = Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            current: RwLock::new(Arc::new(config)),
        };
        Ok((Arc::new(tls), contents))
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }

    /// Takes over what changes in the files. What cannot be used changes nothing.
    pub(crate) async fn follow(
        &self,
        mut known: Contents,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut looks = tokio::time::interval(LOOK);
        while shutdown.run_until_cancelled(looks.tick()).await.is_some() {
            let (certificate, key) = (self.certificate.clone(), self.key.clone());
            let read = tokio::task::spawn_blocking(move || read(&certificate, &key)).await?;
            let result = match read {
                Ok(contents) if contents == known => continue,
                Ok(contents) => {
                    let made = config(&self.certificate, &self.key, &contents);
                    known = contents;
                    made
                }
                Err(error) => Err(error),
            };
            match result {
                Ok(config) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                    metrics::certificate("ok");
                    tracing::info!("a new certificate is in use");
                }
                Err(error) => {
                    metrics::certificate("failed");
                    tracing::warn!(%error, "the certificate in use stays");
                }
            }
        }
        Ok(())
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Contents, TlsError> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| TlsError::File(path.to_owned(), error));
    Ok((read(certificate)?, read(key)?))
}

fn config(certificate: &Path, key: &Path, contents: &Contents) -> Result<ServerConfig, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&contents.0)
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificate.to_owned()));
    }
    let private = PrivateKeyDer::from_pem_slice(&contents.1).map_err(|_| TlsError::NoKey(key.to_owned()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
