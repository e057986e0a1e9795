//! TLS, with and without clients' certificates.

use std::{path::PathBuf, sync::Arc};

use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::world::{Scaler, World};

struct Pki {
    dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let made = Self {
            dir: tempfile::tempdir().unwrap(),
            issuer,
        };
        std::fs::write(made.file("ca.crt"), made.issuer.pem()).unwrap();
        made
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }

    /// Writes a certificate and its key for this name.
    fn pair(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file(&format!("{name}.crt")), certificate.pem()).unwrap();
        std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// A connection that trusts this issuer, with the certificate of `client` if one is named.
    async fn connect(
        &self,
        scaler: &Scaler,
        client: Option<&str>,
    ) -> Result<Channel, tonic::transport::Error> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.file("ca.crt")).unwrap();
        roots.add(ca).unwrap();
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = CertificateDer::pem_file_iter(self.file(&format!("{name}.crt"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(self.file(&format!("{name}.key"))).unwrap();
                let chain = chain.map(Result::unwrap).collect();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (connector, port) = (TlsConnector::from(Arc::new(config)), scaler.port);
        let connect = tower::service_fn(move |_: http::Uri| {
            let connector = connector.clone();
            async move {
                let socket = TcpStream::connect(("127.0.0.1", port)).await?;
                let name = ServerName::try_from("scaler").unwrap();
                std::io::Result::Ok(TokioIo::new(connector.connect(name, socket).await?))
            }
        });
        Endpoint::from_static("http://scaler")
            .connect_with_connector(connect)
            .await
    }
}

#[tokio::test]
async fn with_a_certificate_only_tls_is_spoken() {
    let (world, pki) = (World::new().await, Pki::new());
    pki.pair("scaler");
    world.set("arena", 2).await;
    let (cert, key) = (pki.path("scaler.crt"), pki.path("scaler.key"));
    let flags = ["--scaler-tls-cert", &cert, "--scaler-tls-key", &key];
    let scaler = world.scaler_as(&world.kubeconfig, &flags).await;
    let channel = pki.connect(&scaler, None).await.unwrap();
    let keda = crate::client::Keda::new(channel, &world.namespace, "arena", &[]);
    assert_eq!(keda.value().await.unwrap(), 2);
    let plain = Endpoint::from_shared(format!("http://127.0.0.1:{}", scaler.port))
        .unwrap()
        .connect_lazy();
    let plain = crate::client::Keda::new(plain, &world.namespace, "arena", &[]);
    plain.value().await.unwrap_err();
    world.delete_namespace().await;
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_asked_for() {
    let (world, pki) = (World::new().await, Pki::new());
    pki.pair("scaler");
    pki.pair("keda");
    world.set("arena", 2).await;
    let (cert, key, ca) = (pki.path("scaler.crt"), pki.path("scaler.key"), pki.path("ca.crt"));
    let flags = [
        "--scaler-tls-cert",
        &cert,
        "--scaler-tls-key",
        &key,
        "--scaler-tls-client-ca",
        &ca,
    ];
    let scaler = world.scaler_as(&world.kubeconfig, &flags).await;
    let value = async |client: Option<&str>| {
        let channel = pki.connect(&scaler, client).await.ok()?;
        let keda = crate::client::Keda::new(channel, &world.namespace, "arena", &[]);
        keda.value().await.ok()
    };
    assert_eq!((value(Some("keda")).await, value(None).await), (Some(2), None));
    world.delete_namespace().await;
}
