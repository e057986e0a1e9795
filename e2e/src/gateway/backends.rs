//! What the gateway serves: each path of each Ingress, and the ready endpoints behind it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend};

/// The label by which an EndpointSlice belongs to a Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The objects of one namespace by name.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) ingresses: BTreeMap<String, Ingress>,
    pub(super) services: BTreeMap<String, Service>,
    pub(super) slices: BTreeMap<String, EndpointSlice>,
}

/// One path of one host, and who serves it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    /// Host of the Ingress rule.
    pub host: String,
    /// Its path.
    pub path: String,
    /// Whether the path must match as a whole rather than as a beginning.
    pub exact: bool,
    /// The cluster's name in Envoy, and so in its metrics.
    pub cluster: String,
    /// Addresses and ports of the Pods that take new connections.
    pub endpoints: BTreeSet<(String, u16)>,
}

/// What the Ingresses of `class` in `namespace` lead to, in the order of hosts and paths.
pub(super) fn backends(objects: &Objects, namespace: &str, class: &str) -> Vec<Backend> {
    let mut found = Vec::new();
    for ingress in objects.ingresses.values() {
        let Some(spec) = &ingress.spec else { continue };
        if spec.ingress_class_name.as_deref() != Some(class) {
            continue;
        }
        for rule in spec.rules.iter().flatten() {
            let paths = rule.http.iter().flat_map(|http| &http.paths);
            found.extend(paths.filter_map(|path| backend(objects, namespace, rule.host.as_deref()?, path)));
        }
    }
    found.sort();
    found
}

fn backend(objects: &Objects, namespace: &str, host: &str, path: &HTTPIngressPath) -> Option<Backend> {
    let (service, port) = target(objects, &path.backend)?;
    Some(Backend {
        host: host.to_owned(),
        path: path.path.clone().unwrap_or_else(|| "/".into()),
        exact: path.path_type == "Exact",
        cluster: format!(
            "outbound_{}__{service}.{namespace}.svc.cluster.local",
            port.number
        ),
        endpoints: endpoints(objects, service, port.name.as_deref()),
    })
}

struct Port {
    number: i32,
    name: Option<String>,
}

/// The Service that a backend names, and the port of it.
fn target<'a>(objects: &Objects, backend: &'a IngressBackend) -> Option<(&'a str, Port)> {
    let named = backend.service.as_ref()?;
    let wanted = named.port.as_ref()?;
    let ports = objects.services.get(&named.name)?.spec.as_ref()?.ports.as_ref()?;
    let port = ports.iter().find(|port| {
        Some(port.port) == wanted.number || (wanted.name.is_some() && port.name == wanted.name)
    })?;
    let (number, name) = (port.port, port.name.clone().filter(|name| !name.is_empty()));
    Some((&named.name, Port { number, name }))
}

fn endpoints(objects: &Objects, service: &str, port: Option<&str>) -> BTreeSet<(String, u16)> {
    let mut found = BTreeSet::new();
    for slice in objects.slices.values() {
        let labels = slice.metadata.labels.as_ref();
        if labels
            .and_then(|labels| labels.get(SERVICE_NAME))
            .map(String::as_str)
            != Some(service)
        {
            continue;
        }
        let named = |name: &Option<String>| name.as_deref().filter(|name| !name.is_empty()) == port;
        let mut ports = slice.ports.iter().flatten().filter(|port| named(&port.name));
        let number = ports.find_map(|port| u16::try_from(port.port?).ok());
        let Some(number) = number else { continue };
        for endpoint in &slice.endpoints {
            // Absent means unknown, which consumers take for ready.
            let ready = endpoint
                .conditions
                .as_ref()
                .and_then(|conditions| conditions.ready);
            if ready != Some(false) {
                found.extend(endpoint.addresses.iter().map(|address| (address.clone(), number)));
            }
        }
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
        serde_json::from_value(value).unwrap()
    }

    /// Ingress, Service and EndpointSlice of one server.
    pub(crate) fn server(objects: &mut Objects, id: u32, ready: bool) {
        let name = format!("postio-{id}");
        let rule = json!({"host": format!("game{id}.postio.example.com"), "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": 5000}}}}]}});
        let ingress = json!({"spec": {"ingressClassName": "higress", "rules": [rule]}});
        objects.ingresses.insert(name.clone(), object(ingress));
        let service = json!({"spec": {"ports": [{"name": "5000", "port": 5000}]}});
        objects.services.insert(name.clone(), object(service));
        let slice = json!({
            "metadata": {"labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "other", "port": 1}, {"name": "5000", "port": 5000}],
            "endpoints": [{"addresses": [format!("10.0.0.{id}")], "conditions": {"ready": ready}}],
        });
        objects.slices.insert(format!("{name}-x7k2p"), object(slice));
    }

    #[test]
    fn each_server_is_a_cluster_of_its_own_with_its_ready_endpoint() {
        let mut objects = Objects::default();
        server(&mut objects, 0, true);
        server(&mut objects, 2, false);
        let found = backends(&objects, "default", "higress");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].host, "game0.postio.example.com");
        assert_eq!(
            found[0].cluster,
            "outbound_5000__postio-0.default.svc.cluster.local"
        );
        assert_eq!(found[0].endpoints, [("10.0.0.0".to_owned(), 5000)].into());
        assert_eq!(
            found[1].cluster,
            "outbound_5000__postio-2.default.svc.cluster.local"
        );
        assert!(found[1].endpoints.is_empty(), "it takes no new connections");
    }

    #[test]
    fn another_class_and_a_missing_service_are_left_alone() {
        let mut objects = Objects::default();
        server(&mut objects, 0, true);
        assert!(backends(&objects, "default", "nginx").is_empty());
        objects.services.clear();
        assert!(backends(&objects, "default", "higress").is_empty());
    }
}
