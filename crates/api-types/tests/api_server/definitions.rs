//! The definitions themselves: accepted without a murmur, columns and subresources as documented.

use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, condition},
    objects::base,
};

#[tokio::test]
async fn definitions_install_without_warnings() {
    let cluster = Cluster::connect().await;
    for definition in api_types::crd::all().unwrap() {
        let (warnings, stored) = cluster
            .apply_definition(&serde_json::to_value(definition).unwrap())
            .await;
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(condition(&stored, "NamesAccepted"), Some("True"));
        assert_eq!(
            condition(&stored, "NonStructuralSchema"),
            None,
            "{}",
            stored["status"]
        );
        assert_eq!(condition(&stored, "Terminating"), None);
    }
}

#[tokio::test]
async fn columns_have_their_names_and_order() {
    let cluster = Cluster::connect().await;
    cluster
        .in_namespace(async |objects| {
            // Those that kubectl shows without `-o wide`, then the others.
            let columns = async |plural: &str, wide: bool| -> Vec<String> {
                let table = objects.table(plural).await;
                let columns = table["columnDefinitions"].as_array().unwrap().clone();
                columns
                    .iter()
                    .filter(|column| (column["priority"].as_i64().unwrap_or(0) > 0) == wide)
                    .map(|column| column["name"].as_str().unwrap().to_owned())
                    .collect()
            };
            assert_eq!(
                columns("gameservers", false).await,
                ["Name", "STATE", "OPSSTATE", "DP", "UP", "AGE"]
            );
            assert_eq!(
                columns("gameservers", true).await,
                [
                    "NODE",
                    "PUBLIC-IP",
                    "HOST-IP",
                    "PHASE",
                    "PLAYERS",
                    "HEALTH",
                    "MATCH",
                    "GOING"
                ]
            );
            let set = [
                "Name",
                "DESIRED",
                "CURRENT",
                "UPDATED",
                "READY",
                "Maintaining",
                "WaitToBeDeleted",
                "PreDelete",
                "AGE",
            ];
            assert_eq!(columns("gameserversets", false).await, set);
            assert_eq!(
                columns("gameserversets", true).await,
                ["PLAYERS", "LOAD", "DRAINING"]
            );
            Vec::new()
        })
        .await;
}

#[tokio::test]
async fn columns_show_the_object() {
    let cluster = Cluster::connect().await;
    cluster
        .in_namespace(async |objects| {
            let server = objects.create(&base("server")).await.granted();
            let status = json!({ "currentState": "Ready", "deletionPriority": "10", "updatePriority": "0" });
            objects
                .patch(&server, "/status", &json!({ "status": status }))
                .await
                .granted();
            let table = objects.table("gameservers").await;
            assert_eq!(
                table["rows"][0]["cells"].as_array().unwrap()[1..5],
                ["Ready", "None", "10", "0"]
            );
            Vec::new()
        })
        .await;
}

#[tokio::test]
async fn short_names_and_list_kinds() {
    let cluster = Cluster::connect().await;
    let resources = cluster.get("/apis/game.kruise.io/v1alpha1").await.granted();
    let find = |name: &str| {
        resources["resources"]
            .as_array()
            .unwrap()
            .iter()
            .find(|r| r["name"] == name)
            .cloned()
    };
    let (set, server) = (find("gameserversets").unwrap(), find("gameservers").unwrap());
    assert_eq!(
        (&set["shortNames"], &set["namespaced"]),
        (&json!(["gss"]), &json!(true))
    );
    assert_eq!(
        (&server["shortNames"], &server["namespaced"]),
        (&json!(["gs"]), &json!(true))
    );
    assert!(find("gameserversets/scale").is_some() && find("gameserversets/status").is_some());
    assert!(find("gameservers/scale").is_none() && find("gameservers/status").is_some());
}

#[tokio::test]
async fn sets_scale_like_a_deployment() {
    let cluster = Cluster::connect().await;
    cluster
        .in_namespace(async |objects| {
            let set = objects.create(&base("set")).await.granted();
            let selector = "game.kruise.io/owner-gss=minecraft";
            let status = json!({ "replicas": 0, "labelSelector": selector });
            objects
                .patch(&set, "/status", &json!({ "status": status }))
                .await
                .granted();
            let before = objects.read(&set, "/scale").await;
            assert_eq!(
                (&before["spec"], &before["status"]["selector"]),
                (&json!({}), &json!(selector))
            );
            objects
                .patch(&set, "/scale", &json!({ "spec": { "replicas": 7 } }))
                .await
                .granted();
            assert_eq!(objects.read(&set, "").await["spec"]["replicas"], 7);
            objects
                .patch(&set, "/scale", &json!({ "spec": { "replicas": 0 } }))
                .await
                .granted();
            Vec::new()
        })
        .await;
}

/// A status holds whatever the cluster's Pods have, and the plan; parts of it can be written alone.
#[tokio::test]
async fn statuses_keep_what_is_written() {
    let cluster = Cluster::connect().await;
    cluster
        .in_namespace(async |objects| {
            let server = objects.create(&base("server")).await.granted();
            let status = json!({
                "podStatus": { "phase": "Running", "observedGeneration": 3, "fieldOfTheFuture": { "a": [1, "b"] } },
                "networkStatus": { "externalAddresses": [{ "ip": "", "ports": [{ "name": "80", "port": 80 }], "endPoint": "a.b" }] },
                "serviceQualitiesConditions": [{ "name": "healthy", "result": "x".repeat(40_000) }],
                "conditions": [{ "type": "PodNormal", "status": "True" }],
                "deletionPriority": "0",
            });
            assert_eq!(write_status(objects.patch(&server, "/status", &json!({ "status": status })).await.granted()), status);

            let set = objects.create(&base("set")).await.granted();
            let plan = json!({
                "generation": 1,
                "desired": [0, 2, "4-6"],
                "deleting": [{ "id": 9, "podUID": "u", "reason": "ScaleIn" }],
            });
            let status = json!({ "plan": plan });
            assert_eq!(write_status(objects.patch(&set, "/status", &json!({ "status": status })).await.granted()), status);
            Vec::new()
        })
        .await;
}

fn write_status(mut object: Value) -> Value {
    object["status"].take()
}
