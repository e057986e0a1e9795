//! Objects that were stored before a rule existed.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::cluster::{Answer, Cluster};

/// A definition of the same schema in a group of its own, so that tests beside this one see nothing of it.
fn definition(group: &str) -> Value {
    let mut definition = serde_json::to_value(api_types::crd::game_server_set().unwrap()).unwrap();
    definition["metadata"]["name"] = json!(format!("gameserversets.{group}"));
    definition["spec"]["group"] = json!(group);
    definition["spec"]["names"]
        .as_object_mut()
        .unwrap()
        .remove("shortNames");
    definition
}

/// The same without any rule, as an earlier schema might have been.
fn lax(definition: &Value) -> Value {
    let keep = |properties: Value| json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": properties });
    let mut lax = definition.clone();
    let spec = keep(json!({ "replicas": { "type": "integer" } }));
    lax["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = keep(json!({ "spec": spec }));
    lax
}

fn bad_set() -> Value {
    json!({
        "kind": "GameServerSet",
        "metadata": { "name": "a.name.with.dots.and.of.more.than.fifty.two.characters" },
        "spec": {
            "replicas": 1,
            "reserveGameServerIds": ["7-3", -1],
            "scaleStrategy": { "scaleDownStrategyType": "Reserve" },
            "network": { "networkConf": [{ "value": "x" }] },
            "serviceQualities": [{ "name": "a b", "permanent": false }],
            "lifecycle": { "preDelete": {} },
            "gameServerTemplate": { "reclaimPolicy": "Keep", "spec": { "restartPolicy": "Never", "containers": [{ "name": "A" }] } },
        },
    })
}

/// A set stored by OpenKruiseGame, whose schema checks next to nothing, goes on working: it gets its status, and it scales.
#[tokio::test]
async fn a_bad_object_keeps_working_until_the_bad_field_is_changed() {
    let cluster = Cluster::connect().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let group = format!("t{}.example.com", now.as_nanos());
    let strict = definition(&group);
    cluster.install(&lax(&strict)).await;
    cluster
        .in_namespace(async |objects| {
            let collection = format!(
                "/apis/{group}/v1alpha1/namespaces/{}/gameserversets",
                objects.namespace()
            );
            let mut set = bad_set();
            set["apiVersion"] = json!(format!("{group}/v1alpha1"));
            cluster
                .call("POST", &collection, "application/json", &set)
                .await
                .granted();
            cluster.install(&strict).await;
            let name = set["metadata"]["name"].as_str().unwrap();
            keeps_working(&cluster, &format!("{collection}/{name}")).await;
            Vec::new()
        })
        .await;
    cluster.uninstall(&format!("gameserversets.{group}")).await;
}

async fn keeps_working(cluster: &Cluster, path: &str) {
    let patch = async |suffix: &str, body: Value| -> Answer {
        cluster
            .call(
                "PATCH",
                &format!("{path}{suffix}"),
                "application/merge-patch+json",
                &body,
            )
            .await
    };
    let status = patch(
        "/status",
        json!({ "status": { "replicas": 1, "plan": { "generation": 1 } } }),
    )
    .await;
    assert!(
        !status.warnings.is_empty(),
        "the API server says what is wrong, and does as it is asked"
    );
    status.granted();
    patch("/scale", json!({ "spec": { "replicas": 2 } }))
        .await
        .granted();
    patch(
        "",
        json!({ "spec": { "updateStrategy": { "type": "OnDelete" } } }),
    )
    .await
    .granted();

    let refused = patch("", json!({ "spec": { "reserveGameServerIds": ["8-3", -1] } })).await;
    assert_eq!(refused.code, 422, "{}", refused.message());
    assert!(
        refused.message().contains("begins with its lower end"),
        "{}",
        refused.message()
    );
}
