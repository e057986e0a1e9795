//! HorizontalPodAutoscalers and ScaledObjects on the same set.

use serde_json::{Value, json};

use crate::world::{World, settings};

fn hpa(name: &str, kind: &str, api_version: &str) -> Value {
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": api_version, "kind": kind, "name": "arena"}}})
}

#[tokio::test]
async fn a_set_that_an_autoscaler_of_kubernetes_scales_is_left_to_it() {
    let world = World::new().await;
    world.set("arena", 1, settings(0)).await;
    let hpas = format!(
        "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
        world.namespace
    );
    // Of the same name, and not the set.
    world
        .post(&hpas, &hpa("web", "Deployment", "apps/v1"))
        .await
        .unwrap();
    world
        .post(&hpas, &hpa("arena", "GameServerSet", "game.kruise.io/v1alpha1"))
        .await
        .unwrap();
    let _process = world.autoscaler().await;
    let status = world.reason_until("arena", "ScaledByOther").await;
    assert_eq!(status["ableToScale"], false);
    let note = world.event_until("ScaledByOther").await;
    assert!(
        note.starts_with("HorizontalPodAutoscaler arena scales this set"),
        "{note}"
    );
    world.players("arena-0", 10).await;
    // Another set shows that the report has been worked through.
    world.set("fence", 9, settings(300)).await;
    world.replicas_until("fence", 4).await;
    assert_eq!(world.set_object("arena").await["spec"]["replicas"], 1);

    world.delete(&format!("{hpas}/arena"), &json!({})).await;
    world.replicas_until("arena", 2).await;
    world.follow("arena").await;
    world
        .post(&hpas, &hpa("late", "GameServerSet", "game.kruise.io/v1alpha1"))
        .await
        .unwrap();
    world.reason_until("arena", "ScaledByOther").await;
    world.delete_namespace().await;
}
