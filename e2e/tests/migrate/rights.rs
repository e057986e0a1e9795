//! The rights of `e2e/rbac/migrate.yaml` are enough.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use e2e::in_namespace;
use e2e::okg::Estate;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::tools::{command, kubeconfig, no_managers};

#[tokio::test]
async fn the_documented_rights_are_enough() -> Result<()> {
    let _managers = no_managers().await;
    in_namespace(async |world| {
        world.install_kruise_crds().await?;
        Estate::new("a", "Cascade").lay_down(world).await?;
        world
            .create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "operator"}}))
            .await?;
        let name = format!("e2e-migrate-{}", world.namespace);
        // It goes with the cluster: nothing else is bound to this account.
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "gamekeeper-migrate"},
            "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": world.namespace}],
        });
        let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(world.client.clone());
        bindings.create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), &world.namespace);
        let ask: TokenRequest = serde_json::from_value(json!({"metadata": {}, "spec": {"audiences": [], "expirationSeconds": 600}}))?;
        let answer = accounts.create_token_request("operator", &PostParams::default(), &ask).await?;
        let token = answer.status.context("no token")?.token;
        let mut config: Value = serde_yaml::from_str(&std::fs::read_to_string(kubeconfig()?)?)?;
        for user in config["users"].as_array_mut().context("no users")? {
            user["user"] = json!({"token": token});
        }
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("kubeconfig");
        std::fs::write(&path, serde_yaml::to_string(&config)?)?;
        let path = path.to_str().context("not UTF-8")?;
        for arguments in [&["plan"][..], &["run", "--yes"], &["verify"], &["rollback", "--yes"]] {
            let code = command(world, path, arguments).await.with_context(|| format!("{arguments:?}"))?;
            assert_eq!(code, ExitCode::SUCCESS, "{arguments:?}");
        }
        Ok(())
    })
    .await
}
