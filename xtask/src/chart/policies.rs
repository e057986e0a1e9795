//! Whether the network policies of a rendering let through what its Pods need, and are about nothing else. Nothing in a local cluster
//! enforces them, so this is read off the objects: each port that a container serves is let in, and each way out that its
//! arguments, environment and name say it needs is let out.

use std::collections::BTreeSet;

use serde_json::Value;

/// Port of name servers.
const DNS: u64 = 53;

/// What is wrong with the policies of these objects, one line each.
pub(super) fn complaints(objects: &[Value]) -> Vec<String> {
    let policies: Vec<&Value> = objects
        .iter()
        .filter(|object| object["kind"] == "NetworkPolicy")
        .collect();
    let workloads = objects
        .iter()
        .filter(|object| object["kind"] == "Deployment" || object["kind"] == "DaemonSet");
    let mut wrong = Vec::new();
    for workload in workloads {
        let name = workload["metadata"]["name"].as_str().unwrap_or_default();
        let about: Vec<&Value> = policies
            .iter()
            .copied()
            .filter(|policy| is_about(policy, workload))
            .collect();
        match about.as_slice() {
            [policy] => wrong.extend(
                of_one(policy, workload)
                    .into_iter()
                    .map(|text| format!("{name}: {text}")),
            ),
            others => wrong.push(format!("{name} has {} policies", others.len())),
        }
    }
    wrong
}

fn is_about(policy: &Value, workload: &Value) -> bool {
    let labels = &workload["spec"]["template"]["metadata"]["labels"];
    let selector = policy["spec"]["podSelector"]["matchLabels"].as_object();
    policy["metadata"]["namespace"] == workload["metadata"]["namespace"]
        && selector.is_some_and(|wanted| wanted.iter().all(|(key, value)| labels[key] == *value))
}

fn of_one(policy: &Value, workload: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let container = &workload["spec"]["template"]["spec"]["containers"][0];
    let served: BTreeSet<&str> = items(&container["ports"])
        .filter_map(|port| port["name"].as_str())
        .collect();
    let let_in: BTreeSet<&str> = items(&policy["spec"]["ingress"])
        .flat_map(|rule| items(&rule["ports"]))
        .filter_map(|port| port["port"].as_str())
        .collect();
    for port in served.difference(&let_in) {
        wrong.push(format!("nobody may reach its port {port}"));
    }
    for port in let_in.difference(&served) {
        wrong.push(format!("port {port} is let in, and not served"));
    }
    if items(&policy["spec"]["ingress"]).any(|rule| items(&rule["ports"]).next().is_none()) {
        wrong.push("every port is let in".into());
    }
    let out = Out::of(policy);
    for (port, why) in needs(workload, container) {
        if !out.lets(port) {
            wrong.push(format!("it can't reach {why}, port {port}"));
        }
    }
    let anywhere = probes(container);
    if anywhere && !out.everywhere {
        wrong.push("it can't probe".into());
    }
    if !anywhere && out.everywhere {
        wrong.push("it may go everywhere".into());
    }
    wrong
}

/// Ways out.
struct Out {
    everywhere: bool,
    ports: BTreeSet<u64>,
}

impl Out {
    fn of(policy: &Value) -> Self {
        let rules = || items(&policy["spec"]["egress"]);
        Self {
            everywhere: rules().any(|rule| rule.as_object().is_some_and(serde_json::Map::is_empty)),
            ports: rules()
                .flat_map(|rule| items(&rule["ports"]))
                .filter_map(|port| port["port"].as_u64())
                .collect(),
        }
    }

    fn lets(&self, port: u64) -> bool {
        self.everywhere || self.ports.contains(&port)
    }
}

/// Ports that it needs to reach, and why: the API server where it is told that it is, else where Kubernetes has it; a name server, where it is
/// told a name that no hostAlias resolves.
fn needs(workload: &Value, container: &Value) -> Vec<(u64, &'static str)> {
    let told = |name: &str| {
        let found = items(&container["env"]).find(|variable| variable["name"] == name);
        found.and_then(|variable| variable["value"].as_str())
    };
    let mut needs = Vec::new();
    let port = told("KUBERNETES_SERVICE_PORT").and_then(|port| port.parse().ok());
    needs.push((port.unwrap_or(443), "the API server"));
    if let Some(host) = told("KUBERNETES_SERVICE_HOST") {
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        let known = items(&workload["spec"]["template"]["spec"]["hostAliases"])
            .flat_map(|alias| items(&alias["hostnames"]))
            .any(|name| name == host);
        if !is_address && !known {
            needs.push((DNS, "a name server"));
        }
    }
    needs
}

/// Whether it connects to game servers, wherever they are.
fn probes(container: &Value) -> bool {
    items(&container["args"]).any(|argument| argument == "--mode=central" || argument == "--mode=node")
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload() -> Value {
        json!({
            "kind": "Deployment", "metadata": {"name": "game-api", "namespace": "a"},
            "spec": {"template": {
                "metadata": {"labels": {"app": "game-api"}},
                "spec": {"containers": [{
                    "args": ["game-api"],
                    "ports": [{"name": "admin", "containerPort": 8080}, {"name": "game-api", "containerPort": 8443}],
                }]},
            }},
        })
    }

    fn policy() -> Value {
        json!({
            "kind": "NetworkPolicy", "metadata": {"name": "game-api", "namespace": "a"},
            "spec": {
                "podSelector": {"matchLabels": {"app": "game-api"}},
                "ingress": [{"ports": [{"port": "admin"}], "from": []}, {"ports": [{"port": "game-api"}]}],
                "egress": [{"ports": [{"port": 443, "protocol": "TCP"}]}],
            },
        })
    }

    /// One line of complaint once `change` was made.
    fn complaint(change: impl Fn(&mut Value, &mut Value)) -> String {
        let (mut workload, mut policy) = (workload(), policy());
        change(&mut workload, &mut policy);
        let complaints = complaints(&[workload, policy]);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        complaints[0].clone()
    }

    fn env(workload: &mut Value, name: &str, value: &str) {
        workload["spec"]["template"]["spec"]["containers"][0]["env"] =
            json!([{"name": name, "value": value}]);
    }

    #[test]
    fn a_policy_that_fits_is_not_complained_about() {
        assert_eq!(complaints(&[workload(), policy()]), [""; 0]);
    }

    #[test]
    fn what_is_served_is_let_in_and_nothing_else() {
        let closed =
            complaint(|_, policy| policy["spec"]["ingress"] = json!([{"ports": [{"port": "admin"}]}]));
        assert!(closed.contains("nobody may reach its port game-api"), "{closed}");
        let ghost = complaint(|workload, _| {
            workload["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"name": "admin"}]);
        });
        assert!(
            ghost.contains("port game-api is let in, and not served"),
            "{ghost}"
        );
        let open = complaint(|_, policy| {
            let rules = policy["spec"]["ingress"].as_array_mut().unwrap();
            rules.push(json!({"from": []}));
        });
        assert!(open.contains("every port is let in"), "{open}");
    }

    #[test]
    fn the_api_server_is_reached_where_it_is() {
        let port = complaint(|workload, _| env(workload, "KUBERNETES_SERVICE_PORT", "16443"));
        assert!(port.contains("the API server, port 16443"), "{port}");
        let name = complaint(|workload, _| env(workload, "KUBERNETES_SERVICE_HOST", "api.example.org"));
        assert!(name.contains("a name server, port 53"), "{name}");
        let mut known = workload();
        env(&mut known, "KUBERNETES_SERVICE_HOST", "api.example.org");
        known["spec"]["template"]["spec"]["hostAliases"] =
            json!([{"ip": "10.0.0.1", "hostnames": ["api.example.org"]}]);
        assert_eq!(complaints(&[known, policy()]), [""; 0]);
    }

    #[test]
    fn who_probes_may_go_everywhere_and_nobody_else() {
        let shut = complaint(|workload, _| {
            workload["spec"]["template"]["spec"]["containers"][0]["args"] =
                json!(["quality-prober", "--mode=central"]);
        });
        assert!(shut.contains("can't probe"), "{shut}");
        let open = complaint(|_, policy| policy["spec"]["egress"] = json!([{}]));
        assert!(open.contains("everywhere"), "{open}");
    }

    #[test]
    fn each_workload_has_one_policy_in_its_namespace() {
        let none = complaint(|_, policy| policy["metadata"]["namespace"] = json!("b"));
        assert!(none.contains("0 policies"), "{none}");
        assert_eq!(
            complaints(&[workload(), policy(), policy()]),
            ["game-api has 2 policies"]
        );
    }
}
