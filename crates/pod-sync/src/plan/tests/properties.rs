//! What holds for every GameServer and every Pod.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{eviction::Policy, keys, views::StringMap};
use proptest::{collection::btree_map, option, prelude::*, sample::select};
use serde_json::{Value, json};

use crate::{
    fixture::{GamePod, Server, now, pod, server, synced_pod},
    overlay::patched,
    plan::{Eviction, FIXED_LABELS, Observed, PodPatch, plan},
    template::SetEviction,
};

type Keys = BTreeMap<&'static str, &'static str>;

/// Few keys and values, so that both sides often have the same ones.
fn gs_sync() -> impl Strategy<Value = Keys> {
    btree_map(
        select(vec!["gs-sync/a", "gs-sync/b", "gs-sync/c", "other/d"]),
        select(vec!["1", "2", ""]),
        0..4,
    )
}

fn ops_states() -> impl Strategy<Value = &'static str> {
    select(vec![
        "None",
        "Allocated",
        "Kill",
        "Custom.1",
        "",
        "not a label",
        "-x",
    ])
}

fn priorities() -> impl Strategy<Value = Value> {
    select(vec![
        json!(0),
        json!(5),
        json!(-5),
        json!("7"),
        json!(""),
        json!("a b"),
        json!(null),
    ])
}

fn owners() -> impl Strategy<Value = (&'static str, &'static str, &'static str)> {
    select(vec![
        ("Pod", "arena-0", "pod-uid"),
        ("Pod", "arena-0", "pod-uid"),
        ("Pod", "arena-0", "earlier-pod"),
        ("GameServerSet", "arena", "set-uid"),
        ("Deployment", "arena", "x"),
    ])
}

fn servers() -> impl Strategy<Value = Server> {
    (
        (
            ops_states(),
            priorities(),
            priorities(),
            option::of(any::<bool>()),
        ),
        (gs_sync(), gs_sync(), owners()),
        (
            1_i64..5,
            8_u64..14,
            option::of(select(vec!["game:1", "game:2", ""])),
        ),
    )
        .prop_map(
            |((ops, update, deletion, network), (labels, annotations, owner), (generation, rv, image))| {
                let mut server = server()
                    .spec("opsState", json!(ops))
                    .spec("updatePriority", update)
                    .spec("deletionPriority", deletion)
                    .spec("networkDisabled", json!(network))
                    .owner(owner.0, owner.1, owner.2)
                    .version(generation, rv);
                if let Some(image) = image {
                    server = server.spec("containers", json!([{"name": "game", "image": image}]));
                }
                labelled(labels, annotations, server, Server::label, Server::annotation)
            },
        )
}

fn pods() -> impl Strategy<Value = GamePod> {
    let status = select(vec![
        json!({"phase": "Pending"}),
        json!({"phase": "Running"}),
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
        json!({"phase": "Failed"}),
        json!({}),
    ]);
    let lifecycle = select(vec![
        "",
        "Normal",
        "PreparingUpdate",
        "Updating",
        "PreparingDelete",
    ]);
    let record = select(vec![
        r#"{"podUID":"pod-uid","resourceVersion":"10","labels":["gs-sync/a","other/d"]}"#,
        r#"{"podUID":"pod-uid","resourceVersion":"12","annotations":["gs-sync/b","game.kruise.io/network-conf"]}"#,
        r#"{"podUID":"another","resourceVersion":"99","labels":["gs-sync/c"]}"#,
        r#"{"labels":["gs-sync/a"]}"#,
        "not json",
    ]);
    (
        any::<bool>(),
        status,
        lifecycle,
        gs_sync(),
        gs_sync(),
        option::of(record),
        option::of(0_i64..6),
        any::<bool>(),
    )
        .prop_map(
            |(synced, status, lifecycle, labels, annotations, record, generation, updating)| {
                let mut pod = if synced { synced_pod() } else { pod() }
                    .status(status)
                    .label("lifecycle.apps.kruise.io/state", lifecycle)
                    .annotation("game.kruise.io/network-conf", "[]");
                if let Some(record) = record {
                    pod = pod.annotation("game.kruise.io/synced-from", record);
                }
                if let Some(generation) = generation {
                    pod = pod.annotation("game.kruise.io/synced-generation", &generation.to_string());
                }
                if updating {
                    pod = pod.annotation("game.kruise.io/gs-updating-containers", "log");
                }
                labelled(labels, annotations, pod, GamePod::label, GamePod::annotation)
            },
        )
}

fn labelled<T>(
    labels: Keys,
    annotations: Keys,
    object: T,
    label: fn(T, &str, &str) -> T,
    annotation: fn(T, &str, &str) -> T,
) -> T {
    let object = labels
        .into_iter()
        .fold(object, |object, (key, value)| label(object, key, value));
    annotations
        .into_iter()
        .fold(object, |object, (key, value)| annotation(object, key, value))
}

fn planned(server: &Server, pod: &GamePod) -> Option<PodPatch> {
    let template = [("game".to_owned(), "game:3".to_owned())].into();
    plan(
        &Observed {
            server: Some(&server.view()),
            pod: &pod.view(),
            template: Some(&template),
            eviction: Some(eviction()),
        },
        now(),
    )
}

/// The policy with the most to do: it follows the opsState.
fn eviction() -> Eviction {
    Eviction {
        policy: Policy::WhenIdle,
        set: SetEviction::default(),
    }
}

proptest! {
    /// One patch is enough, whatever the difference: a second look finds nothing to write.
    #[test]
    fn plan_of_a_patched_pod_is_nothing(server in servers(), pod in pods()) {
        if let Some(patch) = planned(&server, &pod) {
            let after = patched(&pod.view(), &patch, "101");
            let template = [("game".to_owned(), "game:3".to_owned())].into();
            let observed = Observed {
                server: Some(&server.view()), pod: &after, template: Some(&template), eviction: Some(eviction()),
            };
            let again = plan(&observed, now());
            prop_assert_eq!(again, None, "after {:?}", patch);
        }
    }

    /// A patch that changes nothing would still be a write, a new resource version and an event for every watcher.
    #[test]
    fn plan_never_writes_what_is_there_already(server in servers(), pod in pods()) {
        if let Some(patch) = planned(&server, &pod) {
            let view = pod.view();
            for (key, value) in &patch.labels {
                prop_assert_ne!(view.metadata.labels.get(key), value.as_deref(), "label {}", key);
            }
            for (key, value) in patch.annotations.iter().filter(|(key, _)| !key.ends_with("-last-changed-time")) {
                prop_assert_ne!(view.metadata.annotations.get(key), value.as_deref(), "annotation {}", key);
            }
        }
    }

    #[test]
    fn plan_never_writes_outside_its_keys(server in servers(), pod in pods()) {
        let Some(patch) = planned(&server, &pod) else { return Ok(()) };
        for key in patch.labels.keys() {
            let own = FIXED_LABELS.contains(&key.as_str()) || key == keys::label::SAFE_TO_EVICT;
            prop_assert!(own || key.starts_with("gs-sync/"), "label {}", key);
        }
        let own = ["opsState-last-changed-time", "state-last-changed-time", "gs-updating-containers", "synced-generation", "synced-from"];
        for key in patch.annotations.keys() {
            let short = key.strip_prefix("game.kruise.io/").unwrap_or_default();
            let own = own.contains(&short) || key == keys::annotation::SAFE_TO_EVICT;
            prop_assert!(own || key.starts_with("gs-sync/"), "annotation {}", key);
        }
        prop_assert!(patch.images.keys().all(|name| name == "game"));
    }

    /// Label values in a patch are always such that the API server takes it.
    #[test]
    fn plan_never_writes_a_value_the_api_server_refuses(server in servers(), pod in pods()) {
        let Some(patch) = planned(&server, &pod) else { return Ok(()) };
        for value in patch.labels.values().flatten() {
            let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
            prop_assert!(value.len() <= 63 && ends(value.chars().next()) && ends(value.chars().last()));
            prop_assert!(value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{:?}", value);
        }
    }

    /// Oracle: the Pod shows what the GameServer has now, and of its template's keys those the GameServer never had.
    #[test]
    fn gs_sync_keys_follow_the_gameserver_and_leave_the_template_alone(
        template in gs_sync(),
        history in proptest::collection::vec((gs_sync(), gs_sync()), 1..6),
    ) {
        let mut pod = labelled(template.clone(), template.clone(), synced_pod(), GamePod::label, GamePod::annotation).view();
        let (mut had_labels, mut had_annotations) = (BTreeSet::new(), BTreeSet::new());
        for (version, (labels, annotations)) in history.into_iter().enumerate() {
            had_labels.extend(labels.keys().copied());
            had_annotations.extend(annotations.keys().copied());
            let server = labelled(labels.clone(), annotations.clone(), server(), Server::label, Server::annotation)
                .version(1, 20 + version as u64).view();
            if let Some(patch) = plan(&Observed { server: Some(&server), pod: &pod, template: None, eviction: None }, now()) {
                pod = patched(&pod, &patch, &(101 + version).to_string());
            }
            prop_assert_eq!(shown(&pod.metadata.labels), oracle(&template, &had_labels, &labels));
            prop_assert_eq!(shown(&pod.metadata.annotations), oracle(&template, &had_annotations, &annotations));
        }
    }
}

fn oracle(template: &Keys, had: &BTreeSet<&'static str>, now: &Keys) -> Vec<(String, String)> {
    let mut expected: BTreeMap<&str, &str> = template
        .iter()
        .filter(|(key, _)| !had.contains(*key))
        .map(|(key, value)| (*key, *value))
        .collect();
    expected.extend(now);
    expected
        .into_iter()
        .filter(|(key, _)| key.starts_with("gs-sync/"))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn shown(keys: &StringMap) -> Vec<(String, String)> {
    keys.iter()
        .filter(|(key, _)| key.starts_with("gs-sync/"))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}
