//! What of a server's network has to be in its Pod before the Pod is made (pure). gss-controller calls it; nothing else of this
//! crate is used there.
//!
//! Only `Kubernetes-HostPort` has anything: the scheduler keeps two Pods with one host port off one node, so the port must be
//! chosen before. Which one hardly matters: a choice that another process makes too costs scheduling, never a game.

mod host_ports;

use serde_json::{Value, json};

use api_types::keys::annotation;

pub use self::host_ports::HostPorts;
use crate::{
    params::{Params, PortItem, port_items},
    problem::{Problem, Reason},
};

/// `networkType` of the plugin that opens ports of the node.
pub const HOST_PORT: &str = "Kubernetes-HostPort";

/// OpenKruiseGame's range of host ports.
pub const DEFAULT_RANGE: (u16, u16) = (8000, 9000);

/// The ports asked for in one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerPorts {
    /// The container.
    pub container: String,
    /// Its ports.
    pub items: Vec<PortItem>,
}

impl ContainerPorts {
    /// Every `ContainerPorts` parameter.
    pub(crate) fn parse(params: &Params) -> Result<Vec<Self>, Problem> {
        let example = "for example minecraft:25565/TCP,8080/UDP";
        let all: Vec<Self> = params
            .all("ContainerPorts")
            .map(|text| {
                let (container, list) = text.split_once(':').ok_or_else(|| {
                    Problem::parameter(format!(
                        "ContainerPorts is a container, a colon and its ports, {example}; not {text:?}"
                    ))
                })?;
                Ok(Self {
                    container: container.trim().to_owned(),
                    items: port_items(list)?,
                })
            })
            .collect::<Result<_, Problem>>()?;
        if all.iter().all(|ports| ports.items.is_empty()) {
            return Err(Problem::parameter(format!(
                "{HOST_PORT} needs ContainerPorts, {example}"
            )));
        }
        Ok(all)
    }
}

/// Whether a Pod with these annotations gets anything here.
fn asks(pod: &Value) -> bool {
    pod["metadata"]["annotations"][annotation::NETWORK_TYPE] == HOST_PORT
}

/// Gives a Pod that is about to be made its host ports, least used first, and returns them. A Pod of another network, or of none,
/// stays as it is.
///
/// The ports are handed out from the end of the list, as OpenKruiseGame does. Entries that name no container of the Pod are left
/// out; the condition of the GameServer tells of them.
///
/// # Errors
/// When the parameters make no sense, or the range is too small. The Pod is untouched then.
pub fn decorate(pod: &mut Value, known: &HostPorts) -> Result<Vec<u16>, Problem> {
    if !asks(pod) {
        return Ok(Vec::new());
    }
    let conf = pod["metadata"]["annotations"][annotation::NETWORK_CONF]
        .as_str()
        .unwrap_or_default();
    let mut asked = ContainerPorts::parse(&Params::parse(conf)?)?;
    let Some(containers) = pod["spec"]["containers"].as_array_mut() else {
        return Ok(Vec::new());
    };
    asked.retain(|ports| containers.iter().any(|it| it["name"] == ports.container.as_str()));
    let wanted = asked.iter().map(|ports| ports.items.len()).sum();
    let chosen = known.choose(wanted).ok_or_else(|| {
        let (low, high) = known.range();
        let message =
            format!("the Pod needs {wanted} host ports, and there are only those from {low} to {high}");
        Problem::new(Reason::PortsExhausted, message)
    })?;
    let mut left = chosen.clone();
    for ports in asked {
        let Some(container) = containers
            .iter_mut()
            .find(|it| it["name"] == ports.container.as_str())
        else {
            continue;
        };
        for item in ports.items {
            let Some(host_port) = left.pop() else { break };
            add_port(container, &item, host_port);
        }
    }
    Ok(chosen)
}

fn add_port(container: &mut Value, item: &PortItem, host_port: u16) {
    if !container["ports"].is_array() {
        container["ports"] = json!([]);
    }
    if let Some(ports) = container["ports"].as_array_mut() {
        for protocol in &item.protocols {
            ports.push(json!({
                "containerPort": item.port.unwrap_or(host_port),
                "hostPort": host_port,
                "protocol": protocol.as_str(),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pod(conf: &[&str]) -> Value {
        let conf: Vec<_> = conf
            .iter()
            .map(|value| json!({"name": "ContainerPorts", "value": value}))
            .collect();
        json!({
            "metadata": { "annotations": {
                "game.kruise.io/network-type": HOST_PORT,
                "game.kruise.io/network-conf": json!(conf).to_string(),
            } },
            "spec": { "containers": [{ "name": "game" }, { "name": "side", "ports": [{ "containerPort": 1 }] }] },
        })
    }

    fn ports(pod: &Value, container: usize) -> Vec<(u64, u64, String)> {
        let ports = pod["spec"]["containers"][container]["ports"].as_array();
        ports
            .into_iter()
            .flatten()
            .filter_map(|port| {
                let number = |name: &str| port[name].as_u64();
                Some((
                    number("containerPort")?,
                    number("hostPort")?,
                    port["protocol"].as_str()?.to_owned(),
                ))
            })
            .collect()
    }

    fn entry(container: u64, host: u64, protocol: &str) -> (u64, u64, String) {
        (container, host, protocol.to_owned())
    }

    #[test]
    fn ports_are_chosen_and_handed_out_as_openkruisegame_does() {
        let mut known = HostPorts::new(8000, 8002);
        let mut first = pod(&["game:7777/UDP,9000/TCPUDP"]);
        assert_eq!(decorate(&mut first, &known).unwrap(), [8000, 8001]);
        let two = [entry(9000, 8000, "TCP"), entry(9000, 8000, "UDP")];
        assert_eq!(ports(&first, 0), [&[entry(7777, 8001, "UDP")][..], &two].concat());
        known.count(&[8000, 8001]);
        let mut second = pod(&["game:7777/UDP,9000/TCPUDP"]);
        assert_eq!(decorate(&mut second, &known).unwrap(), [8002, 8000]);
        let two = [entry(9000, 8002, "TCP"), entry(9000, 8002, "UDP")];
        assert_eq!(
            ports(&second, 0),
            [&[entry(7777, 8000, "UDP")][..], &two].concat()
        );
    }

    #[test]
    fn same_as_host_is_the_port_that_was_chosen_and_other_containers_keep_theirs() {
        let known = HostPorts::new(8000, 9000);
        let mut made = pod(&["game:SameAsHost/TCP", "side:80", "nobody:1"]);
        assert_eq!(decorate(&mut made, &known).unwrap(), [8000, 8001]);
        assert_eq!(ports(&made, 0), [entry(8001, 8001, "TCP")]);
        assert_eq!(ports(&made, 1), [entry(80, 8000, "TCP")]);
        assert_eq!(
            made["spec"]["containers"][1]["ports"][0],
            json!({"containerPort": 1})
        );
        let mut alone = pod(&["game:SameAsHost/TCP"]);
        decorate(&mut alone, &known).unwrap();
        assert_eq!(ports(&alone, 0), [entry(8000, 8000, "TCP")]);
    }

    #[test]
    fn a_pod_is_left_alone_where_nothing_can_be_given() {
        let known = HostPorts::new(8000, 8001);
        for (conf, reason) in [
            (&["game:1,2,3"][..], Reason::PortsExhausted),
            (&["game"], Reason::ParameterError),
            (&["game:x"], Reason::ParameterError),
            (&[], Reason::ParameterError),
        ] {
            let mut made = pod(conf);
            assert_eq!(decorate(&mut made, &known).unwrap_err().reason, reason);
            assert_eq!(made, pod(conf));
        }
        let mut other = pod(&["game:1"]);
        other["metadata"]["annotations"]["game.kruise.io/network-type"] = json!("Kubernetes-NodePort");
        let before = other.clone();
        assert_eq!(decorate(&mut other, &known), Ok(Vec::new()));
        assert_eq!(other, before);
        assert_eq!(decorate(&mut json!({}), &known), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn every_item_gets_a_port_of_the_range_and_no_two_items_the_same(
            numbers in proptest::collection::vec((1_u16.., 0_usize..3), 1..12), used in proptest::collection::vec(8000_u16..8020, 0..40),
        ) {
            let mut known = HostPorts::new(8000, 8020);
            known.count(&used);
            let list: Vec<_> = numbers.iter().map(|(port, kind)| format!("{port}/{}", ["TCP", "UDP", "TCPUDP"][*kind])).collect();
            let mut made = pod(&[&format!("game:{}", list.join(","))]);
            let chosen = decorate(&mut made, &known).unwrap();
            prop_assert_eq!(chosen.len(), numbers.len());
            let mut given: Vec<u64> = ports(&made, 0).into_iter().map(|(_, host, _)| host).collect();
            given.dedup();
            let mut expected: Vec<u64> = chosen.iter().rev().map(|port| u64::from(*port)).collect();
            prop_assert_eq!(&given, &expected);
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(expected.len(), numbers.len());
            prop_assert!(expected.iter().all(|port| (8000..=8020).contains(port)));
        }
    }
}
