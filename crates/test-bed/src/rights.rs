//! The rights that `e2e/rbac/` documents, given to a service account of a test's own.

use std::path::Path;

use serde::Deserialize as _;
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempPath};

use crate::namespace::TestNamespace;

/// Where a role counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In the test's namespace.
    Namespace,
    /// In the whole cluster. Role and binding get the namespace's name, and stay with the cluster.
    Cluster,
}

/// The rules of the first document of this kind in `e2e/rbac/COMPONENT.yaml`.
pub fn rules(component: &str, kind: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../e2e/rbac/{component}.yaml"));
    let text = std::fs::read_to_string(file).unwrap();
    let mut documents =
        serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
    let document = documents.find(|document| document["kind"] == kind).unwrap();
    document["rules"].as_array().unwrap().clone()
}

/// Gives service account `account` of the test's namespace these rules, under the role name `name`.
pub async fn allow(world: &TestNamespace, account: &str, name: &str, rules: &[Value], scope: Scope) {
    let (kind, name) = match scope {
        Scope::Namespace => ("Role", name),
        Scope::Cluster => ("ClusterRole", world.namespace.as_str()),
    };
    let path = |plural: &str| match scope {
        Scope::Namespace => world.path(plural, ""),
        Scope::Cluster => format!("/apis/rbac.authorization.k8s.io/v1/cluster{plural}"),
    };
    let role = json!({"metadata": {"name": name}, "rules": rules});
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": world.namespace}],
    });
    world.post(&path("roles"), &role).await.unwrap();
    world.post(&path("rolebindings"), &binding).await.unwrap();
}

/// Makes service account `account` in the test's namespace, and a kubeconfig with a token of it.
pub async fn service_account(world: &TestNamespace, account: &str) -> TempPath {
    let wanted = json!({"metadata": {"name": account}});
    world
        .post(&world.path("serviceaccounts", ""), &wanted)
        .await
        .unwrap();
    let ask = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600}});
    let path = format!("{}/token", world.path("serviceaccounts", account));
    let token = world.post(&path, &ask).await.unwrap()["status"]["token"].clone();
    let mut kubeconfig: Value =
        serde_yaml::from_str(&std::fs::read_to_string(&world.kubeconfig).unwrap()).unwrap();
    for user in kubeconfig["users"].as_array_mut().unwrap() {
        user["user"] = json!({ "token": token });
    }
    let path = NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&path, serde_yaml::to_string(&kubeconfig).unwrap()).unwrap();
    path
}
