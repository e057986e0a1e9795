//! The rights in e2e/rbac/pod-sync.yaml are enough for everything pod-sync does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod world;

use std::path::{Path, PathBuf};

use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    core::v1::{Namespace, ServiceAccount},
};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    config::{AuthInfo, Kubeconfig},
    discovery::{Scope, pinned_kind},
};
use serde::Deserialize as _;
use serde_json::json;
use world::{PodSync, World, eventually};

const SYSTEM: &str = "gamekeeper-system";

#[tokio::test(flavor = "multi_thread")]
async fn rights_of_the_service_account_are_enough() {
    let world = World::new().await;
    apply_rights(&world).await;
    let kubeconfig = kubeconfig_of_the_account(&world).await;
    world.server("arena-0").await;
    let flags = [
        "--shards=2",
        "--lease-namespace",
        SYSTEM,
        "--lease-name",
        &world.namespace,
    ];
    let mut process = PodSync::start_as(&world, &kubeconfig, &flags).await;

    let shards = async || process.metric("gamekeeper_pod_sync_owned_shards", "").await;
    eventually("both shards", shards, |owned| *owned == 2).await;
    world.set_ops_state("arena-0", "Allocated").await;
    world.label_until("arena-0", "gs-opsState", "Allocated").await;
    world
        .event_until(
            "arena-0",
            "GsStateChanged",
            "OpsState turn from None to Allocated ",
        )
        .await;
    assert_eq!(
        process.metric("gamekeeper_api_requests_total", "forbidden").await,
        0
    );
    assert!(process.terminate().await.success());
    std::fs::remove_file(kubeconfig).unwrap();
}

async fn apply_rights(world: &World) {
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let params = PatchParams::apply("gamekeeper-tests").force();
    let system = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}});
    namespaces
        .patch(SYSTEM, &params, &Patch::Apply(&system))
        .await
        .unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/rbac/pod-sync.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let object = DynamicObject::deserialize(document).unwrap();
        let gvk = object.types.as_ref().unwrap().try_into().unwrap();
        let (resource, found) = pinned_kind(&world.client, &gvk).await.unwrap();
        let api: Api<DynamicObject> = match found.scope {
            Scope::Cluster => Api::all_with(world.client.clone(), &resource),
            Scope::Namespaced => Api::namespaced_with(world.client.clone(), SYSTEM, &resource),
        };
        let name = object.metadata.name.clone().unwrap();
        api.patch(&name, &params, &Patch::Apply(&object)).await.unwrap();
    }
}

/// The test's kubeconfig with the service account's token in place of the administrator's credentials.
async fn kubeconfig_of_the_account(world: &World) -> PathBuf {
    let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), SYSTEM);
    let request = TokenRequest::default();
    let token = accounts
        .create_token_request("pod-sync", &PostParams::default(), &request)
        .await
        .unwrap();
    let mut file = Kubeconfig::read_from(&world.kubeconfig).unwrap();
    for user in &mut file.auth_infos {
        user.auth_info = Some(AuthInfo {
            token: Some(token.status.as_ref().unwrap().token.clone().into()),
            ..AuthInfo::default()
        });
    }
    let path = std::env::temp_dir().join(format!("{}.kubeconfig", world.namespace));
    std::fs::write(&path, serde_yaml::to_string(&file).unwrap()).unwrap();
    path
}
