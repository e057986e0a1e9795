//! The rights of `e2e/rbac/migrate.yaml` are enough.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use controller_kit::client::load_config;
use e2e::okg::Estate;
use e2e::{World, in_namespace};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use test_bed::eventually;

use crate::tools::{command, kubeconfig, no_managers};

/// The name of its role: by that `cargo xtask rights-used` knows whose requests they are.
const ACCOUNT: &str = "migrate";

#[tokio::test]
async fn the_documented_rights_are_enough() -> Result<()> {
    let _managers = no_managers().await;
    in_namespace(async |world| {
        world.install_kruise_crds().await?;
        let estate = Estate::new("a", "Cascade");
        estate.lay_down(world).await?;
        shut_a_gate(world).await?;
        world
            .create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}}))
            .await?;
        let name = format!("e2e-migrate-{}", world.namespace);
        // It goes with the cluster: nothing else is bound to this account.
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "gamekeeper-migrate"},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": world.namespace}],
        });
        let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(world.client.clone());
        bindings.create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), &world.namespace);
        let ask: TokenRequest = serde_json::from_value(json!({"metadata": {}, "spec": {"audiences": [], "expirationSeconds": 600}}))?;
        let answer = accounts.create_token_request(ACCOUNT, &PostParams::default(), &ask).await?;
        let token = answer.status.context("no token")?.token;
        let mut config: Value = serde_yaml::from_str(&std::fs::read_to_string(kubeconfig()?)?)?;
        for user in config["users"].as_array_mut().context("no users")? {
            user["user"] = json!({"token": token});
        }
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("kubeconfig");
        std::fs::write(&path, serde_yaml::to_string(&config)?)?;
        let path = path.to_str().context("not UTF-8")?;
        in_force(path).await?;
        // Each right is used: there and back, and there again over the snapshot of the first time.
        let (plan, run, verify, back) = (&["plan"][..], &["run", "--yes"][..], &["verify"][..], &["rollback", "--yes"][..]);
        let does = async |arguments| {
            let code = command(world, path, arguments).await.with_context(|| format!("{arguments:?}"))?;
            assert_eq!(code, ExitCode::SUCCESS, "{arguments:?}");
            anyhow::Ok(())
        };
        for arguments in [plan, run, verify, back] {
            does(arguments).await?;
        }
        estate.workload_follows(world).await?;
        does(run).await?;
        Ok(())
    })
    .await
}

/// As OpenKruise leaves a Pod that it was about to update when it was stopped.
async fn shut_a_gate(world: &World) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let shut = json!({"status": {"conditions": [{"type": "InPlaceUpdateReady", "status": "False"}]}});
    let patch = Patch::Strategic(shut);
    pods.patch_status("a-0", &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Waits until the API server grants what the role says: its authorizer learns of a new binding by a watch, and so a little later. The
/// rules of a role come into force together.
async fn in_force(kubeconfig: &str) -> Result<()> {
    let client = Client::try_from(load_config(Some(Path::new(kubeconfig))).await?)?;
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client);
    let question: SelfSubjectAccessReview = serde_json::from_value(json!({"spec": {"resourceAttributes":
        {"group": "apiextensions.k8s.io", "resource": "customresourcedefinitions", "verb": "list"}}}))?;
    let ask = async || {
        let answer = reviews.create(&PostParams::default(), &question).await.ok()?;
        answer.status.map(|status| status.allowed)
    };
    eventually("the rights in force", ask, |allowed| *allowed == Some(true)).await;
    Ok(())
}
