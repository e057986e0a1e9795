use k8s_openapi::api::core::v1::Pod;
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::{GameServerSetView, GameServerView, Meta, PodView, StringMap};
use crate::{GameServer, GameServerSet, GameServerState, keys};

const NOISE: [&str; 5] = [
    "app",
    "kubectl.kubernetes.io/last-applied-configuration",
    "example.com/x",
    "game.kruise.io",
    "kruise.io/x",
];
const OURS: [&str; 6] = [
    keys::label::GS_OPS_STATE,
    keys::label::OWNER_GSS,
    keys::label::LIFECYCLE_STATE,
    keys::label::CONTROLLER_REVISION_HASH,
    keys::label::POD_NAME,
    "gs-sync/map",
];

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (k, without_nulls(v)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

fn string_map() -> impl Strategy<Value = Value> {
    let key = prop_oneof![select(NOISE.to_vec()), select(OURS.to_vec())];
    vec((key, "[a-zA-Z0-9\"\\\\é]{0,6}"), 0..8).prop_map(|entries| {
        Value::Object(
            entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), json!(value)))
                .collect::<Map<_, _>>(),
        )
    })
}

fn metadata() -> impl Strategy<Value = Value> {
    let time = option::of(Just("2026-01-02T03:04:05Z"));
    let owner = any::<bool>().prop_map(|controller| {
        json!({ "apiVersion": "v1", "kind": "Pod", "name": "a-0", "uid": "u", "controller": controller, "blockOwnerDeletion": true })
    });
    ("[a-z]{1,5}-[0-9]{1,3}", string_map(), string_map(), time, vec(owner, 0..3), 0_i64..9).prop_map(
        |(name, labels, annotations, deletion, owners, generation)| {
            json!({
                "name": name, "namespace": "games", "uid": "uid-1", "resourceVersion": "42", "generation": generation,
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": deletion, "labels": labels,
                "annotations": annotations, "ownerReferences": owners, "finalizers": ["example.com/f"],
                "managedFields": [{ "manager": "kubectl", "operation": "Update", "fieldsV1": { "f:metadata": {} } }],
            })
        },
    )
}

fn pod() -> impl Strategy<Value = Value> {
    let phase = option::of(select(vec![
        "Pending",
        "Running",
        "Succeeded",
        "Failed",
        "Unknown",
    ]));
    let ready = option::of(select(vec!["True", "False", "Unknown"]));
    let containers = vec(("[a-z]{1,4}", option::of("[a-z:/]{1,9}")), 0..4);
    let gates = vec("[A-Za-z]{1,9}", 0..3);
    (metadata(), phase, ready, containers, gates, option::of("node-[0-9]")).prop_map(
        |(metadata, phase, ready, containers, gates, node)| {
            let containers: Vec<_> = containers
                .into_iter()
                .map(|(name, image)| json!({ "name": name, "image": image, "env": [{ "name": "A", "value": "b" }] }))
                .collect();
            let gates: Vec<_> = gates.into_iter().map(|type_| json!({ "conditionType": type_ })).collect();
            let condition = ready.map(|status| {
                json!({ "type": "Ready", "status": status, "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z" })
            });
            without_nulls(json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": { "containers": containers, "readinessGates": gates, "nodeName": node, "volumes": [{ "name": "v" }] },
                "status": { "phase": phase, "conditions": condition.as_slice(), "podIP": "10.0.0.1" },
            }))
        },
    )
}

/// What the whole type says about metadata, in the words of the narrow one.
fn assert_meta(narrow: &super::Meta, full: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) {
    assert_eq!(Some(&narrow.name), full.name.as_ref());
    assert_eq!(Some(&narrow.namespace), full.namespace.as_ref());
    assert_eq!(Some(&narrow.uid), full.uid.as_ref());
    assert_eq!(Some(&narrow.resource_version), full.resource_version.as_ref());
    assert_eq!(Some(narrow.generation), full.generation);
    assert_eq!(narrow.is_terminating(), full.deletion_timestamp.is_some());
    assert_eq!(Some(&narrow.finalizers), full.finalizers.as_ref());
    let owners = full.owner_references.clone().unwrap_or_default();
    assert_eq!(narrow.owner_references.len(), owners.len());
    let controller = owners.iter().find(|owner| owner.controller == Some(true));
    assert_eq!(
        narrow.controller().map(|owner| &owner.uid),
        controller.map(|owner| &owner.uid)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_pod_view_agrees_with_the_whole_pod(pod in pod()) {
        let text = pod.to_string();
        let narrow: PodView = serde_json::from_str(&text).unwrap();
        let full: Pod = serde_json::from_str(&text).unwrap();
        assert_meta(&narrow.metadata, &full.metadata);

        let kept = |map: &Option<std::collections::BTreeMap<String, String>>| {
            let mut map = map.clone().unwrap_or_default();
            map.retain(|key, _| OURS.contains(&key.as_str()));
            map.into_iter().collect::<StringMap>()
        };
        prop_assert_eq!(&narrow.metadata.labels, &kept(&full.metadata.labels));
        prop_assert_eq!(&narrow.metadata.annotations, &kept(&full.metadata.annotations));

        let spec = full.spec.unwrap();
        prop_assert_eq!(&narrow.node_name, &spec.node_name);
        let containers = spec.containers.iter().map(|c| (c.name.clone(), c.image.clone().unwrap_or_default()));
        let narrow_containers = narrow.containers.iter().map(|c| (c.name.clone(), c.image.clone()));
        prop_assert!(narrow_containers.eq(containers));
        let gates: Vec<_> = spec.readiness_gates.unwrap_or_default().into_iter().map(|g| g.condition_type).collect();
        prop_assert_eq!(&narrow.readiness_gates, &gates);

        let status = full.status.unwrap();
        prop_assert_eq!(&narrow.phase, &status.phase);
        let ready = status.conditions.unwrap_or_default().into_iter().find(|c| c.type_ == "Ready").map(|c| c.status == "True");
        prop_assert_eq!(narrow.facts().ready, ready);
    }

    #[test]
    fn a_game_server_view_agrees_with_the_whole_object(
        metadata in metadata(),
        ops_state in option::of("[A-Z][a-z]{0,5}"),
        priority in option::of(prop_oneof![any::<i64>().prop_map(Value::from), "[0-9]{1,9}".prop_map(Value::from)]),
        claimed in any::<bool>(),
    ) {
        let claim = claimed.then(|| json!({ "podUID": "p", "reason": "Kill", "time": "2026-01-01T00:00:00Z" }));
        let text = without_nulls(json!({
            "apiVersion": keys::API_VERSION, "kind": "GameServer", "metadata": metadata,
            "spec": { "opsState": ops_state, "deletionPriority": priority, "containers": [{ "name": "a", "image": "b" }] },
            "status": { "currentState": "Ready", "podStatus": { "phase": "Running" }, "deletionClaim": claim },
        }))
        .to_string();
        let narrow: GameServerView = serde_json::from_str(&text).unwrap();
        let full: GameServer = serde_json::from_str(&text).unwrap();
        assert_meta(&narrow.metadata, &full.metadata);
        for (narrow, full) in
            [(&narrow.metadata.labels, full.metadata.labels), (&narrow.metadata.annotations, full.metadata.annotations)]
        {
            let mut full = full.unwrap_or_default();
            full.remove(keys::annotation::LAST_APPLIED);
            prop_assert_eq!(narrow, &full.into_iter().collect());
        }
        prop_assert_eq!(&narrow.spec, &full.spec);
        prop_assert_eq!(narrow.deletion_claim, full.status.unwrap().deletion_claim);
    }
}

#[test]
fn objects_with_next_to_nothing_in_them_decode() {
    let bare = r#"{"metadata":{"name":"a-3"}}"#;
    let pod: PodView = serde_json::from_str(bare).unwrap();
    assert_eq!(
        (pod.ordinal(), pod.owner_set(), pod.state()),
        (Some(3), None, GameServerState::Unknown)
    );
    let server: GameServerView = serde_json::from_str(bare).unwrap();
    assert_eq!((server.ops_state(), &server.deletion_claim), ("None", &None));
    let set: GameServerSetView =
        serde_json::from_str(r#"{"metadata":{"name":"a"},"spec":{"replicas":2}}"#).unwrap();
    assert_eq!((set.spec.replicas, set.status.plan), (2, None));
}

#[test]
fn a_value_of_the_wrong_type_is_an_error_and_not_a_default() {
    assert!(
        serde_json::from_str::<GameServerView>(r#"{"metadata":{"name":"a"},"spec":{"opsState":1}}"#).is_err()
    );
    assert!(
        serde_json::from_str::<PodView>(r#"{"metadata":{"name":"a","labels":{"gs-sync/a":1}}}"#).is_err()
    );
}

#[test]
fn a_set_view_agrees_with_the_whole_object() {
    let text = include_str!("../../../../e2e/manifests/posio.yaml");
    let value: Value = serde_yaml::from_str(text).unwrap();
    let narrow: GameServerSetView = serde_json::from_value(value.clone()).unwrap();
    let full: GameServerSet = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(narrow.spec, full.spec);
    assert_eq!(
        serde_json::to_value(full).unwrap(),
        value,
        "nothing is lost or added on the way"
    );
}

fn meta(value: Value) -> Meta {
    serde_json::from_value(value).unwrap()
}

#[test]
fn an_identity_is_without_what_a_view_does_not_read() {
    let whole = meta(json!({
        "name": "arena-0", "namespace": "games", "uid": "u1", "resourceVersion": "7", "generation": 3,
        "deletionTimestamp": "2026-01-01T00:00:00Z", "labels": {"a": "b"}, "annotations": {"c": "d"},
        "finalizers": ["e"], "ownerReferences": [{"kind": "Pod", "name": "arena-0", "uid": "p1", "controller": true}],
    }));
    let identity = whole.clone().into_identity();
    assert!(identity.is_terminating() && identity.controller() == whole.controller());
    assert_eq!(
        (&identity.uid, &identity.resource_version),
        (&whole.uid, &whole.resource_version)
    );
    assert!(identity.labels.is_empty() && identity.annotations.is_empty() && identity.finalizers.is_empty());
    assert_eq!(identity.without_owners().controller(), None);
}

#[test]
fn a_record_is_of_its_pod_of_its_pods_set_or_of_whoever_has_the_name() {
    let owned_by = |uid: &str| meta(json!({"ownerReferences": [{"uid": uid, "controller": true}]}));
    let mut pod = owned_by("set");
    pod.uid = "pod".to_owned();
    assert!(owned_by("pod").is_record_of(&pod));
    assert!(owned_by("set").is_record_of(&pod));
    assert!(meta(json!({})).is_record_of(&pod));
    assert!(!owned_by("earlier pod").is_record_of(&pod));
    // A Pod of no set has no record of one.
    assert!(!owned_by("set").is_record_of(&meta(json!({"uid": "pod"}))));
}
