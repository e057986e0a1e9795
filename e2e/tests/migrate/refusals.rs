//! What is in the way is said, and nothing is changed. The planner's own tests have every reason; these are the ways in which
//! the facts of a cluster lead to one.

use std::process::ExitCode;

use anyhow::Result;
use e2e::in_namespace;
use e2e::okg::Estate;
use kube::api::{DeleteParams, Patch, PatchParams};
use migrate::plan::{Reason, State};
use serde_json::json;

use crate::tools::{MANAGERS, WORKLOAD, command, kubeconfig, no_managers, planned, versions};

#[tokio::test]
async fn a_busy_set_is_refused_and_nothing_is_changed() -> Result<()> {
    let _managers = no_managers().await;
    in_namespace(async |world| {
        world.install_kruise_crds().await?;
        Estate::new("a", "Cascade").lay_down(world).await?;
        let params = PatchParams::default();
        let label = json!({"metadata": {"labels": {"lifecycle.apps.kruise.io/state": "PreparingDelete"}}});
        world.pods().patch("a-0", &params, &Patch::Merge(label)).await?;
        world.hold("a-2").await?;
        world.delete_pod("a-2").await?;
        let workload = world.objects(WORKLOAD)?;
        let changed = json!({"spec": {"replicas": 3}});
        workload.patch("a", &params, &Patch::Merge(changed)).await?;
        world
            .until("a-2 is terminating", |s| s.ids("a").len() == 3)
            .await?;

        world.scale("a", 5).await?;
        let found = planned(world, "a").await?;
        let reasons: Vec<Reason> = found.obstacles.iter().map(|obstacle| obstacle.reason).collect();
        for wanted in [
            Reason::WorkloadBehind,
            Reason::SetBehind,
            Reason::ScalePending,
            Reason::UpdateInFlight,
            Reason::PodsInFlight,
            Reason::ScaleInFlight,
        ] {
            assert!(reasons.contains(&wanted), "{wanted:?} is not among {reasons:?}");
        }
        assert_eq!(found.state, State::Refused);
        let before = versions(world).await?;
        let code = command(world, &kubeconfig()?, &["run", "--yes"]).await?;
        assert_eq!(code, ExitCode::from(3));
        assert_eq!(versions(world).await?, before);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_running_manager_or_its_webhooks_without_it_are_in_the_way() -> Result<()> {
    let _alone = MANAGERS.write().await;
    in_namespace(async |world| {
        world.install_kruise_crds().await?;
        Estate::new("a", "Cascade").lay_down(world).await?;
        let labels = json!({"app": "okg"});
        let container = json!({"name": "manager", "image": "registry.example/openkruise/kruise-game-manager:v1.0.0"});
        world
            .create(&json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "renamed"},
                "spec": {
                    "replicas": 1, "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
                },
            }))
            .await?;
        let reasons = async || -> Result<Vec<Reason>> {
            let found = planned(world, "a").await?;
            Ok(found.obstacles.iter().map(|obstacle| obstacle.reason).collect())
        };
        assert_eq!(reasons().await?, [Reason::ManagerRunning]);
        world.objects("apps/v1/Deployment")?.delete("renamed", &DeleteParams::default()).await?;
        let client = json!({"service": {"name": "kruise-game-webhook-service", "namespace": "kruise-game-system", "path": "/x"}});
        // Asked about nothing: it is only there.
        let webhook = json!({
            "name": "x.kb.io", "clientConfig": client, "rules": [], "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore",
        });
        let configuration = serde_json::from_value(json!({"metadata": {"name": "e2e-okg-webhook"}, "webhooks": [webhook]}))?;
        let webhooks: kube::Api<k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration> =
            kube::Api::all(world.client.clone());
        webhooks.create(&kube::api::PostParams::default(), &configuration).await?;
        let found = reasons().await;
        webhooks.delete("e2e-okg-webhook", &DeleteParams::default()).await?;
        assert_eq!(found?, [Reason::DeadWebhooks]);
        assert_eq!(reasons().await?, []);
        Ok(())
    })
    .await
}
