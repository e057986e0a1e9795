//! What Pods are told of game-api.

use controller_kit::server_code;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::{
    process,
    world::{World, eventually, uid},
};

const FLAGS: [&str; 5] = [
    "--leader-elect=false",
    "--game-api-url",
    "https://game-api.example:8443/",
    "--log-level",
    "trace",
];

fn environment(pod: &Pod) -> Vec<(String, Value)> {
    let pod = serde_json::to_value(pod).unwrap();
    let env = pod["spec"]["containers"][0]["env"].as_array();
    env.into_iter()
        .flatten()
        .map(|variable| {
            let name = variable["name"].as_str().unwrap();
            (name.to_owned(), variable["value"].clone())
        })
        .collect()
}

fn code(pod: &Pod) -> String {
    let env = environment(pod);
    let (_, code) = env.iter().find(|(name, _)| name == "API_SERVER_CODE").unwrap();
    code.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pod_is_told_who_it_is_and_gets_a_code_of_its_own() {
    let world = World::new().await;
    let mut controller = process::start_with(&world, &world.kubeconfig, &FLAGS).await;
    let template = json!({ "gameServerTemplate": { "spec": { "containers": [
        { "name": "game", "image": "game:1", "env": [{ "name": "SERVER_NAME", "value": "mine" }, { "name": "A", "value": "$(SERVER_NAMESPACE)" }] },
    ] } } });
    world.set(2, template).await;
    let pods = world.live_when(0..2).await;
    let (first, second) = (code(&pods[&0]), code(&pods[&1]));
    let expected = [
        ("SERVER_NAMESPACE", json!(world.namespace)),
        ("API_SERVER_URL", json!("https://game-api.example:8443")),
        ("API_SERVER_CODE", json!(first)),
        ("SERVER_NAME", json!("mine")),
        ("A", json!("$(SERVER_NAMESPACE)")),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(environment(&pods[&0]), expected);
    for (id, code) in [(0, &first), (1, &second)] {
        let server = server_code::server_of(code).unwrap();
        assert_eq!(server.to_string(), format!("{}/arena-{id}", world.namespace));
    }
    assert_ne!(first[4..68], second[4..68]);

    // A Pod made anew has another one.
    let before = uid(&pods[&0]);
    let now = DeleteParams::default().grace_period(0);
    world.pods.delete("arena-0", &now).await.unwrap();
    let again = world
        .pod_when(0, |pod| pod.metadata.uid.as_deref() != Some(&before))
        .await;
    assert_ne!(code(&again), first);
    let secrets = [first, second, code(&again)];
    assert!(controller.terminate().await.success());
    let log = controller.log();
    assert!(log.contains("TRACE"));
    for secret in secrets {
        assert!(!log.contains(&secret[4..68]), "a code is logged");
    }
}

/// The flag alone changes no Pod and no revision, and an update in place leaves the variables as they are.
#[tokio::test(flavor = "multi_thread")]
async fn the_code_is_no_part_of_the_template() {
    let world = World::new().await;
    let mut without = process::start(&world).await;
    let in_place = json!({ "updateStrategy": { "rollingUpdate": { "podUpdatePolicy": "InPlaceIfPossible", "maxUnavailable": 2 } } });
    world.set(2, in_place).await;
    let before = world.live_when(0..2).await;
    for id in 0..2 {
        world.make_ready(id).await;
    }
    world.condition("Ready", "True").await;
    world.condition("Progressing", "False").await;
    assert_eq!(environment(&before[&0]), []);
    assert!(without.terminate().await.success());

    let controller = process::start_with(&world, &world.kubeconfig, &FLAGS).await;
    world.scale(3).await;
    let pods = world.live_when(0..3).await;
    for id in 0..2 {
        assert_eq!(pods[&id].metadata.uid, before[&id].metadata.uid);
        assert_eq!(environment(&pods[&id]), []);
    }
    let hash = |pod: &Pod| pod.metadata.labels.as_ref().unwrap()["controller-revision-hash"].clone();
    assert_eq!(hash(&pods[&2]), hash(&pods[&0]), "one revision");
    world.make_ready(2).await;
    let told = environment(&pods[&2]);
    assert_eq!(told.len(), 4);
    let image = json!({ "spec": { "gameServerTemplate": { "spec": {
        "schedulerName": "nobody", "containers": [{ "name": "game", "image": "game:2" }] } } } });
    world.change_set(image).await;
    let updated = world
        .pod_when(2, |pod| {
            pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("game:2")
        })
        .await;
    assert_eq!(updated.metadata.uid, pods[&2].metadata.uid, "updated in place");
    assert_eq!(environment(&updated), told);
    let metric = async || controller.metric("gamekeeper_gss_pods_deleted_total", &[]).await;
    assert_eq!(eventually("no Pod deleted", metric, |count| *count == 0).await, 0);
}
