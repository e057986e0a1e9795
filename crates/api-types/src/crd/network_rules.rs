//! Bounds and rules of network parameters: those that need neither a cluster nor a cloud to check.
//!
//! Cloud plugins read their own parameters; here are the four that every cluster has.

use super::{
    patterns::PORT,
    rule::{Node, at},
};

pub(super) fn nodes() -> Vec<Node> {
    let network = at("spec.network")
        .rule(
            "has(self.networkType) && self.networkType != ''",
            "network needs a networkType, for example Kubernetes-HostPort",
        )
        .rule(
            "!has(oldSelf.networkType) || oldSelf.networkType == '' || \
             (has(self.networkType) && self.networkType == oldSelf.networkType)",
            "networkType cannot be changed: remove network first and add the new one afterwards, or make a new GameServerSet",
        );
    vec![
        at("spec.network.networkType").max_length(63),
        at("spec.network.networkConf").max_items(64),
        at("spec.network.networkConf[]").rule(
            "has(self.name) && self.name != ''",
            "each entry of networkConf needs a name and a value, for example {name: Port, value: \"80\"}",
        ),
        at("spec.network.networkConf[].name").max_length(253),
        at("spec.network.networkConf[].value").max_length(4096),
        drain(load_balancer(ingress(node_port(host_port(network))))),
    ]
}

/// "Every parameter of this name of this plugin satisfies `check`", where `check` speaks of `p.value`.
fn every(plugin: &str, name: &str, check: &str) -> String {
    format!(
        "!has(self.networkType) || self.networkType != '{plugin}' || !has(self.networkConf) || \
         self.networkConf.all(p, !has(p.name) || p.name != '{name}' || (has(p.value) && {check}))"
    )
}

/// "This plugin has at least one parameter of this name."
fn needs(plugin: &str, name: &str) -> String {
    format!(
        "!has(self.networkType) || self.networkType != '{plugin}' || \
         (has(self.networkConf) && self.networkConf.exists(p, has(p.name) && p.name == '{name}'))"
    )
}

fn host_port(network: Node) -> Node {
    let plugin = "Kubernetes-HostPort";
    // One copy of the long port expression: a rule may cost a million units at run time, and what an expression costs grows
    // with its length.
    let list = format!("(({PORT}|SameAsHost)(/(TCP|UDP|TCPUDP))?(,|$))+");
    let message = "ContainerPorts is a container and its ports, for example minecraft:25565/TCP,8080/UDP or \
                   minecraft:SameAsHost/TCPUDP";
    network
        .rule(
            &needs(plugin, "ContainerPorts"),
            &format!("Kubernetes-HostPort needs ContainerPorts; {message}"),
        )
        .rule(
            &every(
                plugin,
                "ContainerPorts",
                &format!("p.value.matches('^[-a-z0-9]+:{list}$')"),
            ),
            message,
        )
}

fn node_port(network: Node) -> Node {
    let plugin = "Kubernetes-NodePort";
    let list = format!("({PORT}(/(TCP|UDP|SCTP|TCPUDP))?(,|$))+");
    let message = "PortProtocols is a list of ports, for example 25565/TCP,8080/UDP";
    network
        .rule(
            &needs(plugin, "PortProtocols"),
            &format!("Kubernetes-NodePort needs PortProtocols; {message}"),
        )
        .rule(
            &every(plugin, "PortProtocols", &format!("p.value.matches('^{list}$')")),
            message,
        )
        .rule(&every(plugin, "Fixed", FLAG), "Fixed is \"true\" or \"false\"")
}

fn load_balancer(network: Node) -> Node {
    let plugin = "Kubernetes-LoadBalancer";
    let list = format!("({PORT}(/(TCP|UDP|SCTP|TCPUDP))?(,|$))+");
    let message = "PortProtocols is a list of ports, for example 25565/TCP,8080/UDP";
    let needs_annotation = format!(
        "!has(self.networkType) || self.networkType != '{plugin}' || !has(self.networkConf) || \
         !self.networkConf.exists(p, has(p.name) && p.name == 'LoadBalancerIds') || \
         self.networkConf.exists(p, has(p.name) && p.name == 'IdAnnotation')"
    );
    network
        .rule(
            &needs(plugin, "PortProtocols"),
            &format!("Kubernetes-LoadBalancer needs PortProtocols; {message}"),
        )
        .rule(
            &every(plugin, "PortProtocols", &format!("p.value.matches('^{list}$')")),
            message,
        )
        .rule(
            &needs_annotation,
            "LoadBalancerIds needs IdAnnotation: the annotation in which the provider reads the load balancer's id",
        )
        .rule(
            &every(plugin, "ExternalTrafficPolicy", "p.value in ['Cluster', 'Local']"),
            "ExternalTrafficPolicy is Cluster or Local",
        )
        .rule(&every(plugin, "Fixed", FLAG), "Fixed is \"true\" or \"false\"")
}

/// A parameter of every plugin with a Service.
fn drain(network: Node) -> Node {
    network.rule(
        "!has(self.networkConf) || self.networkConf.all(p, !has(p.name) || p.name != 'DrainPolicy' || \
         (has(p.value) && p.value in ['None', 'RemoveEndpoint']))",
        "DrainPolicy is None or RemoveEndpoint",
    )
}

/// The spellings of a flag that OpenKruiseGame accepts.
const FLAG: &str =
    "p.value in ['true', 'false', 'True', 'False', 'TRUE', 'FALSE', 't', 'f', 'T', 'F', '1', '0']";

fn ingress(network: Node) -> Node {
    let plugin = "Kubernetes-Ingress";
    network
        .rule(
            &needs(plugin, "Path"),
            "Kubernetes-Ingress needs at least one Path, for example {name: Path, value: \"/\"}",
        )
        .rule(
            &needs(plugin, "PathType"),
            "Kubernetes-Ingress needs at least one PathType: Prefix, Exact or ImplementationSpecific",
        )
        .rule(
            &needs(plugin, "Port"),
            "Kubernetes-Ingress needs at least one Port, for example {name: Port, value: \"80\"}",
        )
        .rule(
            &every(plugin, "Path", "p.value.startsWith('/')"),
            "Path begins with '/', for example /game<id>",
        )
        .rule(
            &every(
                plugin,
                "PathType",
                "p.value in ['Prefix', 'Exact', 'ImplementationSpecific']",
            ),
            "PathType is Prefix, Exact or ImplementationSpecific",
        )
        .rule(
            &every(plugin, "Port", &format!("p.value.matches('^{PORT}$')")),
            "Port is a number from 1 to 65535 in quotes, for example \"80\"",
        )
        .rule(
            &every(
                plugin,
                "Host",
                "p.value.matches('^([a-z0-9<{*]([-a-zA-Z0-9.<>{}]*[a-z0-9>}])?)?$')",
            ),
            "Host is a host name, for example game<id>.example.com, without scheme, port and path",
        )
        .rule(&every(plugin, "Fixed", FLAG), "Fixed is \"true\" or \"false\"")
}
