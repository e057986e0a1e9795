//! Network status: part of a GameServer's status, and the JSON value of a Pod annotation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{int_or_string::IntOrString, schema::date_time};

/// Addresses of a server and how far its network is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkStatus {
    /// Network plugin that serves this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_type: Option<String>,
    /// Addresses inside the cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub internal_addresses: Vec<NetworkAddress>,
    /// Addresses that players use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_addresses: Vec<NetworkAddress>,
    /// Ready, or NotReady while networkDisabled is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_network_state: Option<String>,
    /// Ready, Waiting or NotReady.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_network_state: Option<String>,
    /// When the network was first asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub create_time: Option<String>,
    /// When the desired or the current state last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub last_transition_time: Option<String>,
}

/// One address and its ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkAddress {
    /// IP address or host name; empty where only `endPoint` is known.
    pub ip: String,
    /// Ports at this address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<NetworkPort>,
    /// Ports at this address, where they are a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range: Option<NetworkPortRange>,
    /// Host name of a gateway in front of the server.
    #[serde(rename = "endPoint", skip_serializing_if = "Option::is_none")]
    pub end_point: Option<String>,
}

/// One port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPort {
    /// Name of the port.
    pub name: String,
    /// TCP or UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Number of the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<IntOrString>,
}

/// A range of ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPortRange {
    /// TCP or UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// First and last port, for example `10000-10099`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range: Option<String>,
}
