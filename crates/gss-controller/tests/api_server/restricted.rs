//! The rights of `e2e/rbac/gss-controller.yaml` are enough, as a Role in one namespace.

use std::path::{Path, PathBuf};

use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    core::v1::ServiceAccount,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    process::Controller,
    world::{World, eventually, uid},
};

fn rules(kind: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/rbac/gss-controller.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut documents =
        serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
    documents.find(|document| document["kind"] == kind).unwrap()["rules"].clone()
}

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Binds these rules to service account `gss-controller` of the world's namespace.
async fn allow(world: &World, name: &str, rules: Value) {
    let roles: Api<Role> = Api::namespaced(world.client.clone(), &world.namespace);
    let role = object(json!({ "metadata": { "name": name }, "rules": rules }));
    roles.create(&PostParams::default(), &role).await.unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), &world.namespace);
    let binding = object(json!({
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": "gss-controller", "namespace": world.namespace }],
    }));
    bindings.create(&PostParams::default(), &binding).await.unwrap();
}

/// A kubeconfig with a token of service account `gss-controller`.
async fn service_account(world: &World, directory: &Path) -> PathBuf {
    let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), &world.namespace);
    let account = object(json!({ "metadata": { "name": "gss-controller" } }));
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let ask: TokenRequest =
        object(json!({ "metadata": {}, "spec": { "audiences": [], "expirationSeconds": 600 } }));
    let token = accounts
        .create_token_request("gss-controller", &PostParams::default(), &ask)
        .await
        .unwrap()
        .status
        .unwrap()
        .token;
    let mut kubeconfig: Value =
        serde_yaml::from_str(&std::fs::read_to_string(&world.kubeconfig).unwrap()).unwrap();
    for user in kubeconfig["users"].as_array_mut().unwrap() {
        user["user"] = json!({ "token": token });
    }
    let path = directory.join("kubeconfig");
    std::fs::write(&path, serde_yaml::to_string(&kubeconfig).unwrap()).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_are_enough() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = service_account(&world, directory.path()).await;
    allow(&world, "gss-controller", rules("ClusterRole")).await;
    allow(&world, "gss-controller-leases", rules("Role")).await;
    let flags = ["--lease-namespace", &*world.namespace];
    let controller = Controller::start_with(&kubeconfig, &world.namespace, &flags).await;

    // Each right is used: gates, claims, marks, reserves, Kill, a taken name, events.
    let set = world
        .set(
            4,
            json!({
                "gameServerTemplate": { "reclaimPolicy": "Delete" },
                "scaleStrategy": { "scaleDownStrategyType": "ReserveIds" },
                "updateStrategy": { "rollingUpdate": { "podUpdatePolicy": "InPlaceOnly" } },
            }),
        )
        .await;
    let pods = world.live_when(0..4).await;
    for pod in pods.values() {
        world.game_server(pod, Some(&set), json!({})).await;
    }
    world.set_ops_state(3, "Kill").await.unwrap();
    world.live_when(0..3).await;
    world
        .set_when("booked id", |set| {
            set.spec.reserve_game_server_ids == vec![3.into()]
        })
        .await;
    world
        .pods
        .delete("arena-0", &DeleteParams::default())
        .await
        .unwrap();
    world.pod_when(0, |pod| uid(pod) != uid(&pods[&0])).await;
    world.scale(2).await;
    world.live_when(0..2).await;
    let read = async || {
        controller
            .metric("gamekeeper_events_published_total", &["outcome=\"ok\""])
            .await
    };
    eventually("events", read, |published| *published > 0).await;
    assert_eq!(
        controller
            .metric("gamekeeper_api_requests_total", &["outcome=\"forbidden\""])
            .await,
        0
    );
}
