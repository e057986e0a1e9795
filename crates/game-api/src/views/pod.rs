//! A Pod: which code it has.

use std::sync::Arc;

use api_types::{
    Meta,
    keys::{label, variable},
    views::shared,
};
use controller_kit::{
    key::ObjectKey,
    server_code::{self, Fingerprint},
};
use serde::Deserialize;

use super::identity;

/// A Pod as this process keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WirePod")]
pub(crate) struct PodView {
    /// Identity, owners, the set's name.
    pub metadata: Meta,
    /// Of the code in its environment; the code itself is not kept.
    pub code: Option<Fingerprint>,
    /// The node it is on.
    pub node_name: Option<Arc<str>>,
    /// `status.phase`.
    pub phase: Arc<str>,
}

impl PodView {
    /// Name of the set it belongs to.
    pub(crate) fn set(&self) -> Option<&str> {
        self.metadata.label(label::OWNER_GSS)
    }
}

#[derive(Deserialize)]
struct WirePod {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    node_name: Option<String>,
    containers: Vec<WireContainer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireContainer {
    env: Vec<WireVariable>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireVariable {
    name: String,
    value: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireStatus {
    phase: String,
}

impl From<WirePod> for PodView {
    fn from(pod: WirePod) -> Self {
        let name = ObjectKey::new(pod.metadata.namespace.as_str(), pod.metadata.name.as_str());
        // A template may bring a variable of this name: one text for all its servers, which is nobody's code.
        let code = pod
            .spec
            .containers
            .iter()
            .flat_map(|container| &container.env)
            .filter(|variable| variable.name == variable::API_SERVER_CODE)
            .filter_map(|variable| variable.value.as_deref())
            .find(|code| server_code::server_of(code).as_ref() == Some(&name))
            .map(Fingerprint::of);
        Self {
            metadata: identity(pod.metadata),
            code,
            node_name: pod.spec.node_name.as_deref().map(shared),
            phase: shared(&pod.status.phase),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn view(containers: &Value) -> PodView {
        serde_json::from_value(json!({
            "metadata": {"name": "arena-0", "namespace": "games", "uid": "p", "labels": {"game.kruise.io/owner-gss": "arena", "a": "b"}},
            "spec": {"containers": containers},
        }))
        .unwrap()
    }

    #[test]
    fn its_code_is_the_one_that_names_it() {
        let own = server_code::code("games", "arena-0", &[1; 32]);
        let other = server_code::code("games", "arena-1", &[1; 32]);
        let env = |code: &str| json!({"env": [{"name": "X"}, {"name": "API_SERVER_CODE", "value": code}]});
        let pod = view(&json!([env("secret"), env(&other), {"name": "bare"}, env(&own)]));
        assert!(pod.code.unwrap().matches(&own) && !pod.code.unwrap().matches(&other));
        assert!(view(&json!([env("secret"), env(&other)])).code.is_none());
        assert_eq!((pod.set(), pod.metadata.labels.len()), (Some("arena"), 1));
    }

    #[test]
    fn what_is_logged_of_it_does_not_show_its_code() {
        let own = server_code::code("games", "arena-0", &[1; 32]);
        let pod = view(&json!([{"env": [{"name": "API_SERVER_CODE", "value": own}]}]));
        assert!(!format!("{pod:?}").contains("0101"));
    }
}
