//! `Kubernetes-Ingress`: a Service and an Ingress for each server, for a gateway that reads Ingresses.

use std::collections::BTreeMap;

use api_types::network_status::NetworkAddress;

use super::{Addresses, IngressWant, Live, Plugin, Server, Want, network_port, no_service};
use crate::{
    engine::{Kind, PortWant, ServiceWant},
    params::{Params, Protocol, with_id, with_ids},
    problem::{Problem, Reason},
    views::{Backend, Shape, Tls},
};

/// The plugin.
pub(super) struct IngressPlugin;

impl Plugin for IngressPlugin {
    fn name(&self) -> &'static str {
        "Kubernetes-Ingress"
    }

    fn want(&self, server: &Server<'_>) -> Result<Want, Problem> {
        let paths = paths(server)?;
        let mut ports: Vec<PortWant> = Vec::new();
        for path in &paths {
            if ports.iter().all(|port| port.port != path.port) {
                ports.push(PortWant {
                    name: path.port.to_string(),
                    port: path.port,
                    target: path.port,
                    protocol: Protocol::Tcp,
                });
            }
        }
        let (params, id) = (server.params, server.id());
        Ok(Want {
            service: Some(ServiceWant {
                kind: Kind::ClusterIp,
                ports,
                routes: server.isolation.is_none(),
                ..ServiceWant::default()
            }),
            ingress: Some(IngressWant {
                shape: Shape {
                    class: params.last("IngressClassName").map(str::to_owned),
                    host: with_id("Host", params.last("Host").unwrap_or_default(), id)?,
                    paths,
                    tls: tls(params, id),
                },
                annotations: annotations(params, id)?,
            }),
            fixed: params.flag("Fixed")?,
            ..Want::default()
        })
    }

    fn addresses(&self, server: &Server<'_>, live: Live<'_>) -> Result<Addresses, Problem> {
        live.service.ok_or_else(no_service)?;
        let ingress = live
            .ingress
            .ok_or_else(|| Problem::new(Reason::WaitingForObjects, "the Ingress is being made"))?;
        let ports: Vec<_> = ingress
            .shape
            .paths
            .iter()
            .map(|path| network_port(&path.path, path.port, None))
            .collect();
        let host = &ingress.shape.host;
        Ok(Addresses {
            internal: vec![NetworkAddress {
                ip: server.ip()?.to_owned(),
                ports: ports.clone(),
                ..NetworkAddress::default()
            }],
            external: vec![NetworkAddress {
                end_point: (!host.is_empty()).then(|| host.clone()),
                ports,
                ..NetworkAddress::default()
            }],
        })
    }
}

/// The i-th PathType and Port belong to the i-th Path; where there are fewer of them, the first goes for the rest.
fn paths(server: &Server<'_>) -> Result<Vec<Backend>, Problem> {
    let params = server.params;
    let nth = |name: &'static str, example: &str, index: usize| {
        let mut values = params.all(name);
        let first = values.next();
        let value = if index == 0 {
            first
        } else {
            values.nth(index - 1).or(first)
        };
        value.ok_or_else(|| {
            Problem::parameter(format!(
                "Kubernetes-Ingress needs at least one {name}, for example {example}"
            ))
        })
    };
    let mut paths = Vec::new();
    for (index, path) in params.all("Path").enumerate() {
        let port = nth("Port", "\"80\"", index)?;
        paths.push(Backend {
            path: with_id("Path", path, server.id())?,
            path_type: nth("PathType", "Prefix", index)?.to_owned(),
            service: server.name().to_owned(),
            port: port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                Problem::parameter(format!("Port is a number from 1 to 65535, not {port:?}"))
            })?,
        });
    }
    if paths.is_empty() {
        return Err(Problem::parameter(
            "Kubernetes-Ingress needs at least one Path, for example /game<id>",
        ));
    }
    Ok(paths)
}

fn tls(params: &Params, id: u32) -> Vec<Tls> {
    let hosts: Vec<String> = params
        .last("TlsHosts")
        .into_iter()
        .flat_map(|hosts| hosts.split(','))
        .map(|host| with_ids(host.trim(), id))
        .filter(|host| !host.is_empty())
        .collect();
    let secret_name = with_ids(params.last("TlsSecretName").unwrap_or_default(), id);
    if hosts.is_empty() && secret_name.is_empty() {
        return Vec::new();
    }
    vec![Tls { hosts, secret_name }]
}

/// The `Annotation` parameters: `key: value`.
pub(super) fn annotations(params: &Params, id: u32) -> Result<BTreeMap<String, String>, Problem> {
    pairs(params, "Annotation", id)
}

/// Parameters of the form `key: value`. The value may have colons of its own.
pub(super) fn pairs(params: &Params, name: &str, id: u32) -> Result<BTreeMap<String, String>, Problem> {
    params
        .all(name)
        .map(|pair| {
            let (key, value) = pair
                .split_once(": ")
                .or_else(|| pair.split_once(':'))
                .ok_or_else(|| {
                    Problem::parameter(format!(
                        "{name} is a key, a colon, a space and a value, not {pair:?}"
                    ))
                })?;
            Ok((key.trim().to_owned(), with_ids(value.trim(), id)))
        })
        .collect()
}
