//! A Node: the address players reach it under.

use api_types::views::Meta;
use serde::Deserialize;

use super::null_as_default;

/// A Node as this controller keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireNode")]
pub(crate) struct NodeView {
    /// Identity.
    pub metadata: Meta,
    /// The address, where it has one.
    pub address: Option<String>,
}

#[derive(Deserialize)]
struct WireNode {
    metadata: Meta,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireStatus {
    #[serde(deserialize_with = "null_as_default")]
    addresses: Vec<WireAddress>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireAddress {
    #[serde(rename = "type")]
    type_: String,
    address: String,
}

/// OpenKruiseGame's choice: the last external address, a name before a number; the internal ones where there is none.
fn address(addresses: &[WireAddress]) -> Option<String> {
    let last = |type_: &str, is_ip: bool| {
        let of_type = addresses
            .iter()
            .filter(|it| it.type_ == type_ && !it.address.is_empty());
        of_type
            .filter(|it| !is_ip || it.address.parse::<std::net::IpAddr>().is_ok())
            .map(|it| it.address.clone())
            .next_back()
    };
    let external = last("ExternalDNS", false).or_else(|| last("ExternalIP", true));
    external.or_else(|| last("InternalDNS", false).or_else(|| last("InternalIP", true)))
}

impl From<WireNode> for NodeView {
    fn from(node: WireNode) -> Self {
        Self {
            address: address(&node.status.addresses),
            metadata: node.metadata.into_identity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn address_of(addresses: &[(&str, &str)]) -> Option<String> {
        let addresses: Vec<_> = addresses
            .iter()
            .map(|(type_, address)| json!({"type": type_, "address": address}))
            .collect();
        let node: NodeView =
            serde_json::from_value(json!({"metadata": {}, "status": {"addresses": addresses}})).unwrap();
        node.address
    }

    #[test]
    fn an_external_address_is_preferred_and_a_name_to_a_number() {
        let internal = ("InternalIP", "10.0.0.1");
        assert_eq!(address_of(&[]), None);
        assert_eq!(address_of(&[internal, ("Hostname", "n1")]).unwrap(), "10.0.0.1");
        assert_eq!(
            address_of(&[internal, ("InternalDNS", "n1.local")]).unwrap(),
            "n1.local"
        );
        let external = [
            ("ExternalIP", "1.1.1.1"),
            ("ExternalIP", "2.2.2.2"),
            ("ExternalIP", "x"),
        ];
        assert_eq!(
            address_of(&[&external[..], &[internal, ("InternalDNS", "n1")]].concat()).unwrap(),
            "2.2.2.2"
        );
        assert_eq!(
            address_of(&[("ExternalDNS", "n1.example.org"), external[0]]).unwrap(),
            "n1.example.org"
        );
    }
}
