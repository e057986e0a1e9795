//! TLS of a server: certificate and key, read again when their files change. Whoever renews them need not know of this process.
//!
//! With the feature `server-tls`: most controllers serve nothing but their health.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Between two looks at the files. A Secret's volume changes without an event that every file system has.
const LOOK: Duration = Duration::from_secs(2);

/// Why the files cannot be used. Never quotes them.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
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
    /// No client's certificate could be checked with these.
    #[error("{0} cannot be used for clients' certificates: {1}")]
    ClientCa(PathBuf, VerifierBuilderError),
}

/// Where a server's certificate is.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// PEM, the certificate chain.
    pub certificate: PathBuf,
    /// PEM, its private key.
    pub key: PathBuf,
    /// PEM, those who may sign clients' certificates; with it a client without one is refused.
    pub client_ca: Option<PathBuf>,
}

/// The server's side of TLS.
pub struct ServerTls {
    files: TlsFiles,
    /// What is spoken on top, as ALPN has it.
    protocol: &'static [u8],
    current: RwLock<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    contents: Contents,
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn load(files: TlsFiles, protocol: &'static [u8]) -> Result<Arc<Self>, TlsError> {
        let contents = files.read()?;
        let config = Arc::new(files.config(&contents, protocol)?);
        Ok(Arc::new(Self {
            files,
            protocol,
            current: RwLock::new(Current { config, contents }),
        }))
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current.config))
    }

    /// Takes over what changes in the files, and tells of it; of files that cannot be used once for each reason. They change
    /// nothing, and are looked at again: a renewal may write one after the other.
    ///
    /// # Errors
    /// When the runtime ends.
    pub async fn follow(
        self: Arc<Self>,
        shutdown: CancellationToken,
        told: impl Fn(&Result<(), TlsError>),
    ) -> anyhow::Result<()> {
        let mut refused = None;
        let mut looks = tokio::time::interval(LOOK);
        while shutdown.run_until_cancelled(looks.tick()).await.is_some() {
            let looking = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || looking.look()).await?;
            let reason = looked
                .as_ref()
                .and_then(|result| result.as_ref().err())
                .map(ToString::to_string);
            let is_news = reason.is_none() || reason != refused;
            refused = reason;
            if let Some(result) = looked.filter(|_| is_news) {
                match &result {
                    Ok(()) => tracing::info!("a new certificate is in use"),
                    Err(error) => tracing::warn!(%error, "the certificate in use stays"),
                }
                told(&result);
            }
        }
        Ok(())
    }

    /// Takes what the files hold, if it is not in use; `None` if it is.
    fn look(&self) -> Option<Result<(), TlsError>> {
        let contents = match self.files.read() {
            Ok(contents) if self.has(&contents) => return None,
            Ok(contents) => contents,
            Err(error) => return Some(Err(error)),
        };
        let config = self.files.config(&contents, self.protocol);
        Some(config.map(|config| self.take(config, contents)))
    }

    fn has(&self, contents: &Contents) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.contents == *contents
    }

    fn take(&self, config: ServerConfig, contents: Contents) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Current {
            config: Arc::new(config),
            contents,
        };
    }
}

impl TlsFiles {
    fn read(&self) -> Result<Contents, TlsError> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| TlsError::File(path.to_owned(), error));
        Ok(Contents {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
            client_ca: self.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn config(&self, contents: &Contents, protocol: &[u8]) -> Result<ServerConfig, TlsError> {
        let chain = certificates(&self.certificate, &contents.certificate)?;
        let key =
            PrivateKeyDer::from_pem_slice(&contents.key).map_err(|_| TlsError::NoKey(self.key.clone()))?;
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match self.client_ca.as_ref().zip(contents.client_ca.as_ref()) {
            None => builder.with_no_client_auth(),
            Some((file, signers)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(file, signers)? {
                    roots.add(certificate)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| TlsError::ClientCa(file.clone(), error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }
}

fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    if found.is_empty() {
        return Err(TlsError::NoCertificate(file.to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            folder.renew();
            folder
        }

        fn write(&self, file: &str, text: &str) {
            std::fs::write(self.0.path().join(file), text).unwrap();
        }

        fn renew(&self) {
            let CertifiedKey { cert, signing_key } =
                generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            self.write("tls.crt", &cert.pem());
            self.write("tls.key", &signing_key.serialize_pem());
            self.write("ca.crt", &cert.pem());
        }

        fn files(&self) -> TlsFiles {
            TlsFiles {
                certificate: self.0.path().join("tls.crt"),
                key: self.0.path().join("tls.key"),
                client_ca: Some(self.0.path().join("ca.crt")),
            }
        }

        fn refusal(&self) -> String {
            let refused = ServerTls::load(self.files(), b"h2").err();
            refused.expect("refused").to_string()
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_and_not_quoted() {
        let folder = Folder::new();
        assert!(ServerTls::load(folder.files(), b"h2").is_ok());
        for (file, says) in [
            ("tls.crt", "tls.crt holds no PEM certificate"),
            ("tls.key", "tls.key holds no PEM private key"),
            ("ca.crt", "ca.crt holds no PEM certificate"),
        ] {
            folder.renew();
            folder.write(file, "a secret");
            let refused = folder.refusal();
            assert!(refused.ends_with(says), "{refused}");
            std::fs::remove_file(folder.0.path().join(file)).unwrap();
            let refused = folder.refusal();
            assert!(
                refused.starts_with("can't read") && refused.contains(file),
                "{refused}"
            );
        }
        folder.renew();
        let key = std::fs::read_to_string(folder.files().key).unwrap();
        folder.renew();
        folder.write("tls.key", &key);
        assert!(folder.refusal().starts_with("certificate and key cannot be used"));
    }

    #[test]
    fn a_renewal_is_taken_once_it_is_whole() {
        let folder = Folder::new();
        let tls = ServerTls::load(folder.files(), b"h2").unwrap();
        let config = || Arc::clone(&tls.current.read().unwrap().config);
        let first = config();
        assert!(tls.look().is_none());
        folder.write("tls.crt", "half");
        assert!(matches!(tls.look(), Some(Err(TlsError::NoCertificate(_)))));
        std::fs::remove_file(folder.files().key).unwrap();
        assert!(matches!(tls.look(), Some(Err(TlsError::File(..)))));
        assert!(Arc::ptr_eq(&first, &config()));
        folder.renew();
        assert!(matches!(tls.look(), Some(Ok(()))));
        assert!(!Arc::ptr_eq(&first, &config()));
        assert!(tls.look().is_none());
    }
}
