//! The files that Envoy follows: listeners, routes, clusters, and one file of endpoints for each cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::backends::Backend;

/// Where players connect on 127.0.0.1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Doors {
    /// HTTP and WebSocket, for all hosts.
    pub(super) http: u16,
    /// Plain TCP, which names no host: a port for each cluster.
    pub(super) tcp: BTreeMap<String, u16>,
}

/// Name of the routes.
const ROUTES: &str = "players";

/// What Envoy reads once, at its start.
pub(super) fn bootstrap(folder: &Path, admin: u16) -> Value {
    json!({
        "node": {"id": "gateway", "cluster": "gateway"},
        "admin": {"address": address("127.0.0.1", admin)},
        // As gateways built on Istio have it: the whole host name is the label `cluster_name`. By default Envoy would end it
        // at the first dot, and call it `envoy_cluster_name`.
        "stats_config": {
            "use_all_default_tags": false,
            "stats_tags": [{
                "tag_name": "cluster_name",
                "regex": r"^cluster\.((.+?(\..+?\.svc\.cluster\.local)?)\.)",
            }],
        },
        "dynamic_resources": {
            "cds_config": follows(&folder.join("clusters.json")),
            "lds_config": follows(&folder.join("listeners.json")),
        },
    })
}

/// What becomes of the cluster of a server that takes no new connections. Its connections live on either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// Envoy forgets it; its metrics end with its last connection.
    Dropped,
    /// It stays, and its metrics with it.
    Kept,
}

/// The files by their names in `folder`, in the order in which they must be written: what is named first.
pub(super) fn files(
    folder: &Path,
    backends: &[Backend],
    doors: &Doors,
    empty: Empty,
) -> Vec<(PathBuf, Value)> {
    let mut clusters: BTreeMap<&str, BTreeSet<&(String, u16)>> = BTreeMap::new();
    for backend in backends {
        let endpoints = clusters.entry(&backend.cluster).or_default();
        endpoints.extend(&backend.endpoints);
    }
    // A listener that is taken away would end its connections in the end, so those stay in any case.
    let names: Vec<&str> = clusters.keys().copied().collect();
    clusters.retain(|_, endpoints| empty == Empty::Kept || !endpoints.is_empty());
    let mut files: Vec<(PathBuf, Value)> = clusters
        .iter()
        .map(|(name, endpoints)| (endpoints_file(name), resources(&[assignment(name, endpoints)])))
        .collect();
    let all: Vec<Value> = clusters.keys().map(|name| cluster(folder, name)).collect();
    files.push(("clusters.json".into(), resources(&all)));
    files.push(("routes.json".into(), resources(&[routes(backends)])));
    let mut listeners = vec![http_listener(folder, doors.http)];
    for name in names {
        listeners.extend(doors.tcp.get(name).map(|port| tcp_listener(name, *port)));
    }
    files.push(("listeners.json".into(), resources(&listeners)));
    files
}

fn endpoints_file(cluster: &str) -> PathBuf {
    format!("endpoints-{cluster}.json").into()
}

fn resources(list: &[Value]) -> Value {
    json!({"resources": list})
}

fn follows(file: &Path) -> Value {
    json!({"path_config_source": {"path": file}, "resource_api_version": "V3"})
}

fn address(host: &str, port: u16) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}

fn typed(kind: &str, mut fields: Value) -> Value {
    fields["@type"] = json!(format!("type.googleapis.com/envoy.{kind}"));
    fields
}

fn assignment(name: &str, endpoints: &BTreeSet<&(String, u16)>) -> Value {
    let endpoint = |(host, port): &(String, u16)| json!({"endpoint": {"address": address(host, *port)}});
    let all: Vec<Value> = endpoints.iter().map(|found| endpoint(found)).collect();
    typed(
        "config.endpoint.v3.ClusterLoadAssignment",
        json!({"cluster_name": name, "endpoints": [{"lb_endpoints": all}]}),
    )
}

/// No health checks: whoever is in the endpoints is taken to be well, and an endpoint that leaves them closes nothing.
fn cluster(folder: &Path, name: &str) -> Value {
    typed(
        "config.cluster.v3.Cluster",
        json!({
            "name": name,
            "type": "EDS",
            "connect_timeout": "2s",
            "eds_cluster_config": {"eds_config": follows(&folder.join(endpoints_file(name)))},
        }),
    )
}

fn routes(backends: &[Backend]) -> Value {
    let mut hosts: BTreeMap<&str, Vec<&Backend>> = BTreeMap::new();
    for backend in backends {
        hosts.entry(&backend.host).or_default().push(backend);
    }
    let virtual_hosts: Vec<Value> = hosts
        .into_iter()
        .map(|(host, mut paths)| {
            // Envoy takes the first that matches, Ingress wants the longest.
            paths.sort_by_key(|backend| std::cmp::Reverse((backend.path.len(), backend.exact)));
            let routes: Vec<Value> = paths.into_iter().map(route).collect();
            json!({"name": host, "domains": [host, format!("{host}:*")], "routes": routes})
        })
        .collect();
    typed(
        "config.route.v3.RouteConfiguration",
        json!({"name": ROUTES, "virtual_hosts": virtual_hosts}),
    )
}

fn route(backend: &Backend) -> Value {
    let key = if backend.exact { "path" } else { "prefix" };
    // A match lasts as long as it lasts.
    json!({"match": {key: backend.path}, "route": {"cluster": backend.cluster, "timeout": "0s"}})
}

fn http_listener(folder: &Path, port: u16) -> Value {
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": typed("extensions.filters.http.router.v3.Router", json!({})),
    });
    let manager = typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "http",
            "stream_idle_timeout": "0s",
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "rds": {"route_config_name": ROUTES, "config_source": follows(&folder.join("routes.json"))},
            "http_filters": [router],
        }),
    );
    listener("http", port, "http_connection_manager", &manager)
}

fn tcp_listener(cluster: &str, port: u16) -> Value {
    let proxy = typed(
        "extensions.filters.network.tcp_proxy.v3.TcpProxy",
        json!({"stat_prefix": "tcp", "cluster": cluster, "idle_timeout": "0s"}),
    );
    listener(&format!("tcp-{cluster}"), port, "tcp_proxy", &proxy)
}

fn listener(name: &str, port: u16, filter: &str, config: &Value) -> Value {
    let filter = json!({"name": format!("envoy.filters.network.{filter}"), "typed_config": config});
    typed(
        "config.listener.v3.Listener",
        json!({
            "name": name,
            "address": address("127.0.0.1", port),
            "filter_chains": [{"filters": [filter]}],
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::super::backends::{Objects, backends, tests::server};
    use super::*;

    fn written(ready: bool, empty: Empty) -> BTreeMap<PathBuf, Value> {
        let mut objects = Objects::default();
        server(&mut objects, 1, ready);
        let found = backends(&objects, "default", "higress");
        let doors = Doors {
            http: 80,
            tcp: [(found[0].cluster.clone(), 81)].into(),
        };
        let files = files(Path::new("/x"), &found, &doors, empty);
        files.into_iter().collect()
    }

    #[test]
    fn a_server_out_of_the_endpoints_keeps_its_routes_and_listener() {
        let (before, after) = (written(true, Empty::Kept), written(false, Empty::Kept));
        let changed: Vec<&PathBuf> = before
            .iter()
            .filter(|(file, content)| after[*file] != **content)
            .map(|(file, _)| file)
            .collect();
        let endpoints = endpoints_file("outbound_5000__postio-1.default.svc.cluster.local");
        assert_eq!(changed, [&endpoints], "everything else is as it was");
        let list = |files: &BTreeMap<PathBuf, Value>| {
            files[&endpoints]["resources"][0]["endpoints"][0]["lb_endpoints"].clone()
        };
        assert_eq!(
            list(&before)[0]["endpoint"]["address"]["socket_address"]["address"],
            "10.0.0.1"
        );
        assert_eq!(list(&after), json!([]));

        let dropped = written(false, Empty::Dropped);
        assert_eq!(dropped[Path::new("clusters.json")], json!({"resources": []}));
        assert!(!dropped.contains_key(&endpoints));
        for file in ["routes.json", "listeners.json"] {
            assert_eq!(dropped[Path::new(file)], before[Path::new(file)], "{file}");
        }
    }

    #[test]
    fn the_longest_path_comes_first() {
        let path = |path: &str| Backend {
            host: "a".into(),
            path: path.into(),
            exact: false,
            cluster: format!("c{path}"),
            endpoints: BTreeSet::new(),
        };
        let all = routes(&[path("/"), path("/match"), path("/m")]);
        let order: Vec<&Value> = all["virtual_hosts"][0]["routes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|route| &route["match"]["prefix"])
            .collect();
        assert_eq!(order, ["/match", "/m", "/"]);
    }
}
