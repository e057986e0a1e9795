//! Whose an object of a server's name is: the server's, an earlier one's, or somebody else's.

use serde_json::{Value, json};
use test_bed::uid;

use crate::world::{World, condition, eventually};

const PARAMETERS: [(&str, &str); 3] = [("Path", "/"), ("PathType", "Prefix"), ("Port", "80")];

fn object(kind: &str, name: &str, owner: Option<&str>, spec: Value) -> Value {
    let owners = owner.map(|pod| {
        json!([{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod, "controller": true, "blockOwnerDeletion": true}])
    });
    let version = if kind == "Ingress" {
        "networking.k8s.io/v1"
    } else {
        "v1"
    };
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "ownerReferences": owners}, "spec": spec})
}

#[tokio::test]
async fn what_openkruisegame_has_made_is_adopted_and_not_changed() {
    let world = World::new("Kubernetes-Ingress", &PARAMETERS).await;
    let pod = world.server("arena-0").await;
    let mut service = object(
        "Service",
        "arena-0",
        Some(&pod),
        json!({"selector": {"statefulset.kubernetes.io/pod-name": "arena-0"}, "ports": [{"name": "80", "port": 80}]}),
    );
    service["metadata"]["annotations"] = json!({"game.kruise.io/svc-hash": "7"});
    let service = world.post(&world.service(""), &service).await.unwrap();
    let backend = json!({"service": {"name": "arena-0", "port": {"number": 80}}});
    let spec =
        json!({"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]});
    let ingress = object("Ingress", "arena-0", Some(&pod), spec);
    let ingress = world.post(&world.ingress(""), &ingress).await.unwrap();

    let process = world.start().await;
    world.network_until("arena-0", "Ready").await;
    for (path, before) in [
        (world.service("arena-0"), service),
        (world.ingress("arena-0"), ingress),
    ] {
        let after = world.get(&path).await.unwrap();
        assert_eq!((uid(&after), &after["spec"]), (uid(&before), &before["spec"]));
        assert_eq!(after["metadata"]["labels"]["game.kruise.io/owner-gss"], "arena");
    }
    let writes = process.writes_by_kind().await;
    assert_eq!(writes.get("create services"), None, "{writes:?}");
    assert_eq!(writes["patch services"], 1);
    world.end().await;
}

#[tokio::test]
async fn somebody_elses_service_is_left_alone_and_waited_out() {
    let world = World::new("Kubernetes-Ingress", &PARAMETERS).await;
    let theirs = object("Service", "arena-0", None, json!({"ports": [{"port": 1}]}));
    let theirs = world.post(&world.service(""), &theirs).await.unwrap();
    let _process = world.start().await;
    world.server("arena-0").await;
    let server = world.reason_until("arena-0", "ServiceConflict").await;
    let message = condition(&server, "NetworkReady")["message"].clone();
    assert!(
        message.as_str().unwrap().contains("Service arena-0 exists"),
        "{message}"
    );
    world.warning_until("arena-0", "ServiceConflict").await;
    assert_eq!(
        world.get(&world.service("arena-0")).await.unwrap()["spec"],
        theirs["spec"]
    );
    world.server("arena-1").await;
    world.network_until("arena-1", "Ready").await;
    world.delete(&world.service("arena-0"), &json!({})).await;
    world.network_until("arena-0", "Ready").await;
    world.end().await;
}

#[tokio::test]
async fn a_new_pod_gets_a_new_service_however_long_the_old_one_takes_to_go() {
    let world = World::new("Kubernetes-Ingress", &PARAMETERS).await;
    let _process = world.start().await;
    world.server("arena-0").await;
    world.network_until("arena-0", "Ready").await;
    // A cloud that takes its time.
    let hold = json!({"metadata": {"finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}});
    let old = uid(&world.merge(&world.service("arena-0"), &hold).await);
    world.delete(&world.path("pods", "arena-0"), &json!({})).await;
    let gone = async || world.get(&world.path("gameservers", "arena-0")).await;
    eventually("the end of the GameServer", gone, Option::is_none).await;
    let pod = world.server("arena-0").await;
    // Deleted by whoever is first, the garbage collector or this controller, and never changed for the new Pod.
    let going = |service: &Value| service["metadata"]["deletionTimestamp"].is_string();
    let service = world.when(&world.service("arena-0"), going).await;
    assert_eq!(uid(&service), old);
    assert_ne!(service["metadata"]["ownerReferences"][0]["uid"], json!(pod));
    world
        .merge(
            &world.service("arena-0"),
            &json!({"metadata": {"finalizers": null}}),
        )
        .await;
    world.network_until("arena-0", "Ready").await;
    let service = world.get(&world.service("arena-0")).await.unwrap();
    assert_eq!(service["metadata"]["ownerReferences"][0]["uid"], json!(pod));
    world.end().await;
}
