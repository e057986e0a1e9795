//! `Kubernetes-Ingress`, and what holds for every plugin with a Service.

use serde_json::{Value, json};
use test_bed::uid;

use crate::world::{World, condition, conf, eventually};

const PARAMETERS: [(&str, &str); 5] = [
    ("IngressClassName", "higress"),
    ("Port", "5000"),
    ("Path", "/"),
    ("PathType", "Prefix"),
    ("Host", "game{ID}.postio.example.com"),
];
const KIND: &str = "Kubernetes-Ingress";
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";

#[tokio::test]
async fn the_documented_ingress_is_made_and_published_in_four_writes() {
    let world = World::new(KIND, &PARAMETERS).await;
    let process = world.start().await;
    let pod = world.server("arena-3").await;
    let server = world.network_until("arena-3", "Ready").await;

    let service = world.get(&world.service("arena-3")).await.unwrap();
    assert_eq!(service["spec"]["selector"], json!({POD_NAME: "arena-3"}));
    let port = &service["spec"]["ports"][0];
    assert_eq!(
        [&port["name"], &port["port"], &port["targetPort"]],
        [&json!("5000"), &json!(5000), &json!(5000)]
    );
    assert_eq!(service["metadata"]["ownerReferences"][0]["uid"], json!(pod));
    let ingress = world.get(&world.ingress("arena-3")).await.unwrap();
    assert_eq!(ingress["spec"]["rules"][0]["host"], "game3.postio.example.com");
    assert_eq!(ingress["spec"]["ingressClassName"], "higress");
    assert_eq!(ingress["metadata"]["ownerReferences"][0]["uid"], json!(pod));

    assert_eq!(
        world.annotation("arena-3").await,
        r#"{"internalAddresses":[{"ip":"10.0.0.7","ports":[{"name":"/","port":5000}]}],"externalAddresses":[{"ip":"","ports":[{"name":"/","port":5000}],"endPoint":"game3.postio.example.com"}],"currentNetworkState":"Ready","createTime":null,"lastTransitionTime":null}"#
    );
    let network = &server["status"]["networkStatus"];
    assert_eq!(network["networkType"], KIND);
    assert_eq!(network["desiredNetworkState"], "Ready");
    assert_eq!(
        network["externalAddresses"][0]["endPoint"],
        "game3.postio.example.com"
    );
    assert!(network["createTime"].is_string() && network["lastTransitionTime"].is_string());
    assert_eq!(condition(&server, "NetworkReady")["status"], "True");
    let writes = process.writes_by_kind().await;
    assert_eq!(writes.values().sum::<u64>(), 4, "{writes:?}");
    world.end().await;
}

#[tokio::test]
async fn a_disabled_or_draining_server_is_out_of_the_endpoints_and_comes_back() {
    let drains = [&PARAMETERS[..], &[("DrainPolicy", "RemoveEndpoint")]].concat();
    let world = World::new(KIND, &drains).await;
    let _process = world.start().await;
    world.server("arena-0").await;
    let first = world.network_until("arena-0", "Ready").await;
    let disabled = json!({"game.kruise.io/svc-selector-disabled": "arena-0"});
    let routes = json!({POD_NAME: "arena-0"});

    world.disable("arena-0", true).await;
    let server = world.reason_until("arena-0", "NetworkDisabled").await;
    let service = world.get(&world.service("arena-0")).await.unwrap();
    assert_eq!(service["spec"]["selector"], disabled);
    let network = &server["status"]["networkStatus"];
    assert_eq!(
        (&network["desiredNetworkState"], &network["currentNetworkState"]),
        (&json!("NotReady"), &json!("NotReady"))
    );
    assert_eq!(
        network["createTime"],
        first["status"]["networkStatus"]["createTime"]
    );
    world.disable("arena-0", false).await;
    world.network_until("arena-0", "Ready").await;

    world
        .label(
            "arena-0",
            json!({"lifecycle.apps.kruise.io/state": "PreparingDelete"}),
        )
        .await;
    let server = world.reason_until("arena-0", "Draining").await;
    assert_eq!(server["status"]["networkStatus"]["desiredNetworkState"], "Ready");
    let service = world.get(&world.service("arena-0")).await.unwrap();
    assert_eq!(service["spec"]["selector"], disabled);
    assert!(
        world
            .annotation("arena-0")
            .await
            .contains("game0.postio.example.com"),
        "who is on it stays"
    );
    world
        .label("arena-0", json!({"lifecycle.apps.kruise.io/state": "Normal"}))
        .await;
    world.network_until("arena-0", "Ready").await;
    let service = world.get(&world.service("arena-0")).await.unwrap();
    assert_eq!(service["spec"]["selector"], routes);
    world.end().await;
}

#[tokio::test]
async fn bad_parameters_are_a_condition_and_harm_nobody_beside() {
    let world = World::new(KIND, &PARAMETERS).await;
    let process = world.start().await;
    let container = json!({"name": "game", "image": "game:1"});
    // Stored before the rules were there.
    let two = conf(&[("Path", "/<id>/<id>"), ("PathType", "Prefix"), ("Port", "80")]);
    world.server_with("arena-0", container.clone(), two).await;
    let server = world.reason_until("arena-0", "ParameterError").await;
    assert_eq!(condition(&server, "NetworkReady")["status"], "False");
    let note = world.warning_until("arena-0", "ParameterError").await;
    assert!(note.contains("one <id>"), "{note}");
    // What only the API server can know.
    let refused = conf(&[
        ("Path", "/"),
        ("PathType", "Prefix"),
        ("Port", "80"),
        ("Host", "not a host"),
    ]);
    world.server_with("arena-1", container, refused).await;
    let server = world.reason_until("arena-1", "Refused").await;
    let message = condition(&server, "NetworkReady")["message"].clone();
    assert!(message.as_str().unwrap().contains("host"), "{message}");
    world.server("arena-2").await;
    world.network_until("arena-2", "Ready").await;

    // The parameters are mended by an update in place.
    let mended = conf(&PARAMETERS).to_string();
    let body = json!({"metadata": {"annotations": {"game.kruise.io/network-conf": mended}}});
    for name in ["arena-0", "arena-1"] {
        world.merge(&world.path("pods", name), &body).await;
        world.network_until(name, "Ready").await;
    }
    assert_eq!(
        process
            .metric("gamekeeper_network_problems_total", &["ParameterError"])
            .await,
        1
    );
    world.end().await;
}

#[tokio::test]
async fn a_network_that_nobody_implements_is_said_once_and_touches_nothing() {
    let world = World::new("AlibabaCloud-NLB", &[]).await;
    let process = world.start().await;
    world.server("arena-0").await;
    let server = world.reason_until("arena-0", "NoSuchPlugin").await;
    assert_eq!(
        server["status"]["networkStatus"]["networkType"],
        "AlibabaCloud-NLB"
    );
    world.warning_until("arena-0", "NoSuchPlugin").await;
    let writes = process.writes_by_kind().await;
    let kinds: Vec<_> = writes.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["apply gameservers status", "patch pods"]);
    assert_eq!(writes.values().sum::<u64>(), 2, "{writes:?}");
    world.end().await;
}

#[tokio::test]
async fn changed_parameters_change_the_objects_and_nothing_that_others_put_there() {
    let with = |host: &str, annotation: &str| {
        conf(&[
            ("Path", "/"),
            ("PathType", "Prefix"),
            ("Port", "80"),
            ("Host", host),
            ("Annotation", annotation),
        ])
    };
    let world = World::new(KIND, &PARAMETERS).await;
    let _process = world.start().await;
    let container = json!({"name": "game", "image": "game:1"});
    world
        .server_with(
            "arena-0",
            container,
            with("a<id>.example.org", "example.org/a: 1"),
        )
        .await;
    world.network_until("arena-0", "Ready").await;
    let path = world.ingress("arena-0");
    let theirs = json!({"metadata": {"annotations": {"cloud.example.org/id": "7"}, "finalizers": ["cloud.example.org/up"]}});
    let before = uid(&world.merge(&path, &theirs).await);

    let text = with("b<id>.example.org", "example.org/b: 2").to_string();
    let body = json!({"metadata": {"annotations": {"game.kruise.io/network-conf": text}}});
    world.merge(&world.path("pods", "arena-0"), &body).await;
    let ingress = world
        .when(&path, |ingress| {
            ingress["spec"]["rules"][0]["host"] == "b0.example.org"
        })
        .await;
    let annotations = &ingress["metadata"]["annotations"];
    assert_eq!(annotations["example.org/a"], Value::Null);
    assert_eq!(
        (
            &annotations["example.org/b"],
            &annotations["cloud.example.org/id"]
        ),
        (&json!("2"), &json!("7"))
    );
    assert_eq!(ingress["metadata"]["finalizers"][0], "cloud.example.org/up");
    assert_eq!(uid(&ingress), before);
    let published = async || world.annotation("arena-0").await;
    eventually("the new host", published, |text| text.contains("b0.example.org")).await;
    world
        .merge(&path, &json!({"metadata": {"finalizers": null}}))
        .await;
    world.end().await;
}

#[tokio::test]
async fn a_server_without_a_network_costs_nothing_and_one_that_loses_it_leaves_nothing() {
    let world = World::new(KIND, &PARAMETERS).await;
    let process = world.start().await;
    world.server("arena-0").await;
    world.network_until("arena-0", "Ready").await;
    let before = process.writes().await;
    let none = json!({"game.kruise.io/network-type": null, "game.kruise.io/network-conf": null});
    world
        .merge(
            &world.path("pods", "arena-0"),
            &json!({"metadata": {"annotations": none}}),
        )
        .await;
    for path in [world.service("arena-0"), world.ingress("arena-0")] {
        eventually(
            "the end of an object",
            async || world.get(&path).await,
            Option::is_none,
        )
        .await;
    }
    let look = async || world.get(&world.path("gameservers", "arena-0")).await.unwrap();
    let server = eventually("no network", look, |server| {
        condition(server, "NetworkReady").is_null()
    })
    .await;
    let left = server["status"]["networkStatus"]
        .as_object()
        .into_iter()
        .flatten();
    assert!(
        left.clone().all(|(_, value)| *value == json!([])),
        "{:?}",
        left.collect::<Vec<_>>()
    );
    let taken_back = process.writes().await - before;
    assert!(taken_back <= 3, "two objects and a status: {taken_back}");

    // What happens to it now is none of this controller's business.
    let runs = process.metric("gamekeeper_reconciles_total", &[]).await;
    let after = process.writes().await;
    for number in 0..5 {
        world
            .label("arena-0", json!({"number": number.to_string()}))
            .await;
    }
    world.server("arena-1").await;
    world.network_until("arena-1", "Ready").await;
    assert_eq!(process.writes().await - after, 4, "the neighbour's own");
    let more = process.metric("gamekeeper_reconciles_total", &[]).await - runs;
    assert!(more <= 12, "{more} runs for one server");
    world.end().await;
}
