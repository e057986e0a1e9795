//! An Ingress: where it leads.

use api_types::{IntOrString, views::Meta};
use serde::Deserialize;

use super::null_as_default;

/// An Ingress as this controller keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireIngress")]
pub(crate) struct IngressView {
    /// Metadata with all labels and annotations.
    pub metadata: Meta,
    /// Its spec, as far as the plugin writes one.
    pub shape: Shape,
    /// How many rules it has: one of ours has one.
    pub rules: usize,
}

/// What the plugin says in an Ingress's spec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// `ingressClassName`.
    pub class: Option<String>,
    /// Host of the rule; empty for all.
    pub host: String,
    /// Paths of the rule.
    pub paths: Vec<Backend>,
    /// `tls`.
    pub tls: Vec<Tls>,
}

/// One path of a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backend {
    /// The path.
    pub path: String,
    /// `Prefix`, `Exact` or `ImplementationSpecific`.
    pub path_type: String,
    /// Name of the Service.
    pub service: String,
    /// Number of the Service's port.
    pub port: u16,
}

/// An entry of `tls`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Tls {
    /// Hosts of the certificate.
    #[serde(deserialize_with = "null_as_default")]
    pub hosts: Vec<String>,
    /// Secret with the certificate.
    #[serde(deserialize_with = "null_as_default")]
    pub secret_name: String,
}

#[derive(Deserialize)]
struct WireIngress {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    ingress_class_name: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    rules: Vec<WireRule>,
    #[serde(deserialize_with = "null_as_default")]
    tls: Vec<Tls>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireRule {
    #[serde(deserialize_with = "null_as_default")]
    host: String,
    #[serde(deserialize_with = "null_as_default")]
    http: WireHttp,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireHttp {
    #[serde(deserialize_with = "null_as_default")]
    paths: Vec<WirePath>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePath {
    #[serde(deserialize_with = "null_as_default")]
    path: String,
    #[serde(deserialize_with = "null_as_default")]
    path_type: String,
    #[serde(deserialize_with = "null_as_default")]
    backend: WireBackend,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireBackend {
    #[serde(deserialize_with = "null_as_default")]
    service: WireService,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireService {
    name: String,
    #[serde(deserialize_with = "null_as_default")]
    port: WirePort,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WirePort {
    number: Option<IntOrString>,
}

impl From<WireIngress> for IngressView {
    fn from(ingress: WireIngress) -> Self {
        let rules = ingress.spec.rules.len();
        let rule = ingress.spec.rules.into_iter().next().unwrap_or_default();
        let backend = |path: WirePath| Backend {
            path: path.path,
            path_type: path.path_type,
            port: path
                .backend
                .service
                .port
                .number
                .and_then(|number| u16::try_from(number.as_i64()?).ok())
                .unwrap_or(0),
            service: path.backend.service.name,
        };
        Self {
            metadata: ingress.metadata,
            rules,
            shape: Shape {
                class: ingress.spec.ingress_class_name,
                host: rule.host,
                paths: rule.http.paths.into_iter().map(backend).collect(),
                tls: ingress.spec.tls,
            },
        }
    }
}
