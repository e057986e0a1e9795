//! The cluster's certificates: a CA, the API server's serving certificate, and a client certificate per component.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::state::write_atomically;

/// Names and addresses under which the API server is reached, from this machine and from Pods.
pub(crate) const API_SERVER_NAMES: [&str; 7] = [
    "localhost",
    "127.0.0.1",
    "10.96.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// The certificates in a cluster's folder.
#[derive(Debug, Clone)]
pub(crate) struct Pki {
    dir: PathBuf,
}

/// A component's certificate and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Certificate, PEM.
    pub(crate) cert: PathBuf,
    /// Private key, PEM.
    pub(crate) key: PathBuf,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Use<'a> {
    /// A client with this user name and group.
    Client {
        /// Common name.
        user: &'a str,
        /// Organisation.
        group: Option<&'a str>,
    },
    /// A server reached under these names and addresses.
    Server(&'a [String]),
}

impl Pki {
    /// The certificates in `dir`; the CA and the service-account key are made if missing.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
        let pki = Self { dir: dir.to_owned() };
        if !pki.ca().exists() {
            let key = KeyPair::generate()?;
            write_atomically(&pki.ca_key(), key.serialize_pem().as_bytes(), 0o600)?;
            let cert = ca_params().self_signed(&key)?;
            write_atomically(&pki.ca(), cert.pem().as_bytes(), 0o644)?;
        }
        if !pki.service_account_key().exists() {
            let key = KeyPair::generate()?;
            write_atomically(
                &pki.service_account_public_key(),
                key.public_key_pem().as_bytes(),
                0o644,
            )?;
            write_atomically(&pki.service_account_key(), key.serialize_pem().as_bytes(), 0o600)?;
        }
        Ok(pki)
    }

    /// The CA's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The CA's key, for the certificate signer of kube-controller-manager.
    pub(crate) fn ca_key(&self) -> PathBuf {
        self.dir.join("ca-key.pem")
    }

    /// The key that signs service-account tokens.
    pub(crate) fn service_account_key(&self) -> PathBuf {
        self.dir.join("service-account-key.pem")
    }

    /// The public half, with which kube-apiserver checks tokens (it takes no PKCS #8 private key for that).
    pub(crate) fn service_account_public_key(&self) -> PathBuf {
        self.dir.join("service-account.pem")
    }

    /// The pair called `name`, made if missing.
    ///
    /// # Errors
    /// When the folder can't be read or written.
    pub(crate) fn pair(&self, name: &str, purpose: Use<'_>) -> Result<Pair> {
        let pair = Pair {
            cert: self.dir.join(format!("{name}.pem")),
            key: self.dir.join(format!("{name}-key.pem")),
        };
        // The certificate is written last: where it exists, so does its key.
        if !pair.cert.exists() {
            let ca_key = KeyPair::from_pem(&std::fs::read_to_string(self.ca_key())?)?;
            let issuer = Issuer::new(ca_params(), ca_key);
            let key = KeyPair::generate()?;
            let cert = leaf_params(purpose)?.signed_by(&key, &issuer)?;
            write_atomically(&pair.key, key.serialize_pem().as_bytes(), 0o600)?;
            write_atomically(&pair.cert, cert.pem().as_bytes(), 0o644)?;
        }
        Ok(pair)
    }
}

// rcgen's own defaults for validity (1975 to 4096) are kept: a test cluster needs no expiry, and clocks may be set oddly.
fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "gamekeeper-local-ca");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    params
}

fn leaf_params(purpose: Use<'_>) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name = rcgen::DistinguishedName::new();
    match purpose {
        Use::Client { user, group } => {
            if let Some(group) = group {
                params.distinguished_name.push(DnType::OrganizationName, group);
            }
            params.distinguished_name.push(DnType::CommonName, user);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        Use::Server(names) => {
            params
                .distinguished_name
                .push(DnType::CommonName, names.first().map_or("server", String::as_str));
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.subject_alt_names = names.iter().map(|name| alt_name(name)).collect::<Result<_>>()?;
        }
    }
    Ok(params)
}

/// An address must be an IP entry: clients never match an address against a DNS entry.
fn alt_name(name: &str) -> Result<SanType> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(
            name.try_into()
                .with_context(|| format!("{name:?} is no DNS name"))?,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ip_entries_and_names_dns_entries() {
        let names: Vec<String> = API_SERVER_NAMES.iter().map(|n| (*n).to_owned()).collect();
        let params = leaf_params(Use::Server(&names)).unwrap();
        let addresses = params
            .subject_alt_names
            .iter()
            .filter(|n| matches!(n, SanType::IpAddress(_)))
            .count();
        assert_eq!((params.subject_alt_names.len(), addresses), (7, 2));
    }

    #[test]
    fn a_pair_is_made_once_and_signed_by_a_ca_that_stays() {
        let dir = tempfile::tempdir().unwrap();
        let user = Use::Client {
            user: "u",
            group: Some("g"),
        };
        let first = Pki::open(dir.path()).unwrap();
        let pair = first.pair("admin", user).unwrap();
        let (ca, cert) = (
            std::fs::read(first.ca()).unwrap(),
            std::fs::read(&pair.cert).unwrap(),
        );
        let again = Pki::open(dir.path()).unwrap();
        assert_eq!(again.pair("admin", user).unwrap(), pair);
        assert_eq!(std::fs::read(again.ca()).unwrap(), ca);
        assert_eq!(std::fs::read(&pair.cert).unwrap(), cert);
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_readable_by_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let pair = pki
            .pair(
                "admin",
                Use::Client {
                    user: "u",
                    group: None,
                },
            )
            .unwrap();
        for key in [pki.ca_key(), pki.service_account_key(), pair.key] {
            assert_eq!(
                std::fs::metadata(&key).unwrap().permissions().mode() & 0o777,
                0o600,
                "{}",
                key.display()
            );
        }
    }
}
