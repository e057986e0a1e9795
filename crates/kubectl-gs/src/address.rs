//! Where a server is reached. Pure.

use api_types::{GameServer, NetworkAddress, NetworkPort};
use serde::Serialize;

/// Everything that is known about where a server is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Addresses {
    /// What players use, as the network plugin published it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<NetworkAddress>,
    /// Addresses inside the cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub internal: Vec<NetworkAddress>,
    /// Address of the Pod.
    #[serde(rename = "podIP", skip_serializing_if = "Option::is_none")]
    pub pod_ip: Option<String>,
    /// Address of its node inside the cluster.
    #[serde(rename = "hostIP", skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<String>,
    /// External address of its node.
    #[serde(rename = "publicIP", skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<String>,
}

impl Addresses {
    /// Those of a server.
    pub fn of(server: &GameServer) -> Self {
        let Some(status) = &server.status else {
            return Self::default();
        };
        let pod = |key: &str| {
            let text = status.pod_status.as_ref()?.get(key)?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let network = status.network_status.clone().unwrap_or_default();
        Self {
            external: network.external_addresses,
            internal: network.internal_addresses,
            pod_ip: pod("podIP"),
            host_ip: pod("hostIP"),
            public_ip: status.public_ip.clone(),
        }
    }

    /// The one to give to a player: what the network plugin published; without a plugin, the Pod's address, then the
    /// node's.
    pub fn best(&self) -> Option<String> {
        let mut published = self.external.iter().chain(&self.internal).filter_map(written);
        published
            .next()
            .or_else(|| self.pod_ip.clone())
            .or_else(|| self.public_ip.clone())
            .or_else(|| self.host_ip.clone())
    }
}

/// `203.0.113.7:7777`, or several ports: `203.0.113.7:7777,7778/UDP`.
fn written(address: &NetworkAddress) -> Option<String> {
    let host = match (&address.end_point, address.ip.as_str()) {
        (_, ip) if !ip.is_empty() => ip,
        (Some(end_point), _) if !end_point.is_empty() => end_point,
        _ => return None,
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let mut ports: Vec<String> = address.ports.iter().filter_map(port).collect();
    if let Some(range) = &address.port_range {
        ports.extend(range.port_range.clone());
    }
    Some(if ports.is_empty() {
        host
    } else {
        format!("{host}:{}", ports.join(","))
    })
}

fn port(port: &NetworkPort) -> Option<String> {
    let number = port.port.as_ref()?;
    Some(match port.protocol.as_deref() {
        None | Some("" | "TCP") => number.to_string(),
        Some(protocol) => format!("{number}/{protocol}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn best(status: &serde_json::Value) -> Option<String> {
        let server: GameServer =
            serde_json::from_value(json!({"metadata": {"name": "a-0"}, "status": status})).unwrap();
        Addresses::of(&server).best()
    }

    #[test]
    fn the_published_address_comes_first_then_pod_then_node() {
        let pod = json!({"podIP": "10.0.0.3", "hostIP": "192.168.0.2"});
        let ports =
            json!([{"name": "game", "port": 7777, "protocol": "UDP"}, {"name": "web", "port": "8080"}]);
        let network = json!({
            "externalAddresses": [{"ip": "203.0.113.7", "ports": ports}],
            "internalAddresses": [{"ip": "10.0.0.3", "ports": []}],
        });
        assert_eq!(
            best(&json!({"networkStatus": network, "podStatus": pod})).as_deref(),
            Some("203.0.113.7:7777/UDP,8080")
        );
        assert_eq!(
            best(&json!({"podStatus": pod, "publicIP": "198.51.100.1"})).as_deref(),
            Some("10.0.0.3")
        );
        let node = json!({"podIP": "", "hostIP": "192.168.0.2"});
        assert_eq!(
            best(&json!({"podStatus": node, "publicIP": "198.51.100.1"})).as_deref(),
            Some("198.51.100.1")
        );
        assert_eq!(best(&json!({"podStatus": node})).as_deref(), Some("192.168.0.2"));
        assert_eq!(best(&json!({})), None);
    }

    #[test]
    fn end_points_ranges_and_ipv6_are_written_as_players_need_them() {
        let network = |address| json!({"networkStatus": {"externalAddresses": [address]}});
        let range =
            json!({"ip": "", "endPoint": "eu.example.com", "portRange": {"portRange": "10000-10099"}});
        assert_eq!(
            best(&network(range)).as_deref(),
            Some("eu.example.com:10000-10099")
        );
        let six = json!({"ip": "2001:db8::1", "ports": [{"name": "game", "port": 7777}]});
        assert_eq!(best(&network(six)).as_deref(), Some("[2001:db8::1]:7777"));
    }
}
