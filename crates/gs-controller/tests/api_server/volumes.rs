//! Condition PersistentVolumeNormal.

use serde_json::{Value, json};

use crate::{
    process,
    support::{Arena, condition, state},
};

fn with_claim(pod: &mut Value) {
    pod["spec"]["volumes"] =
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data-arena-0"}}]);
}

fn claim(volume: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-arena-0"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": volume,
            "resources": {"requests": {"storage": "1Gi"}}}})
}

#[tokio::test]
async fn missing_claim_unbound_claim_and_bound_claim_show_in_turn_while_the_state_goes_on() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Cascade").await;
    let _controller = process::start(&arena).await;
    arena.pod_with("arena-0", &set, with_claim).await;
    arena.make_ready("arena-0", "10.0.0.7").await;
    let says = |it: &Value, reason: &str| condition(it, "PersistentVolumeNormal")["reason"] == reason;
    let missing = arena
        .game_server_when("arena-0", |it| says(it, "PersistentVolumeClaim Not Found"))
        .await;
    assert_eq!(state(&missing), "Ready");
    assert_eq!(
        condition(&missing, "PersistentVolumeNormal")["message"],
        format!(
            "There is no pvc named {}/data-arena-0 in cluster",
            arena.namespace
        )
    );
    // A claim for a volume that does not exist (yet).
    let volume = format!("{}-data", arena.namespace);
    arena
        .post(&arena.path("persistentvolumeclaims", ""), &claim(&volume))
        .await
        .unwrap();
    arena
        .game_server_when("arena-0", |it| says(it, "PersistentVolume Not Found"))
        .await;
    let body = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/nonexistent"},
            "claimRef": {"namespace": arena.namespace, "name": "data-arena-0"}}});
    arena.post("/api/v1/persistentvolumes", &body).await.unwrap();
    let well = |it: &Value| condition(it, "PersistentVolumeNormal")["status"] == "True";
    let bound = arena.game_server_when("arena-0", well).await;
    assert_eq!(condition(&bound, "PersistentVolumeNormal").get("reason"), None);
    arena
        .delete(&format!("/api/v1/persistentvolumes/{volume}"), &json!({}))
        .await;
    arena
        .game_server_when("arena-0", |it| {
            says(it, "PersistentVolume Not Found") || !well(it)
        })
        .await;
    arena.end().await;
}

#[tokio::test]
async fn without_the_right_to_see_volumes_the_claims_decide() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Cascade").await;
    // As with --namespace and no more said: volumes are cluster-scoped and not watched.
    let flags = ["--leader-elect=false"];
    let _controller = process::start_with(&arena, &arena.kubeconfig, &flags).await;
    arena.pod_with("arena-0", &set, with_claim).await;
    arena.make_ready("arena-0", "10.0.0.7").await;
    arena
        .post(&arena.path("persistentvolumeclaims", ""), &claim("somewhere"))
        .await
        .unwrap();
    let says = |it: &Value, reason: &str| condition(it, "PersistentVolumeNormal")["reason"] == reason;
    let server = arena
        .game_server_when("arena-0", |it| says(it, "PersistentVolumesNotWatched"))
        .await;
    assert_eq!(condition(&server, "PersistentVolumeNormal")["status"], "True");
    arena.end().await;
}
