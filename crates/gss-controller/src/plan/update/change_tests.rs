//! What can be changed in a running Pod.

// Literals of `json!` read best where they are passed.
#![allow(clippy::needless_pass_by_value)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn plain() -> Template {
    Template {
        labels: [("team".to_owned(), "red".to_owned())].into(),
        annotations: BTreeMap::new(),
        spec: json!({
            "initContainers": [{ "name": "init", "image": "init:1" }],
            "containers": [
                { "name": "game", "image": "game:1", "resources": { "limits": { "cpu": "1" }, "requests": { "cpu": "500m" } } },
                { "name": "side", "image": "side:1" },
            ],
        }),
    }
}

/// The way from [`plain`] to it after this change of its PodSpec.
fn after(change: impl FnOnce(&mut Value)) -> Change {
    let mut new = plain();
    change(&mut new.spec);
    between(&plain(), &new)
}

fn takes_a_new_pod(way: Change, what: &str) {
    match way {
        Change::Recreate(why) => assert!(why.contains(what), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn images_labels_and_amounts_change_in_place() {
    assert_eq!(after(|_| ()), Change::None);
    let Change::InPlace(change) = after(|spec| {
        spec["containers"][1]["image"] = json!("side:2");
        spec["containers"][0]["resources"]["limits"]["cpu"] = json!("1500m");
    }) else {
        panic!()
    };
    assert_eq!(change.images, [("side".to_owned(), "side:2".to_owned())].into());
    assert_eq!(
        change.resources["game"],
        json!({ "limits": { "cpu": "1500m" }, "requests": { "cpu": "500m" } })
    );
    assert!(!change.is_metadata_only());
    let own = change.without(&["side"].into(), &["game"].into());
    assert!(own.is_metadata_only(), "what one server has of its own stays");
    let mut new = plain();
    new.labels = [("season".to_owned(), "two".to_owned())].into();
    let Change::InPlace(change) = between(&plain(), &new) else {
        panic!()
    };
    assert!(change.is_metadata_only());
    assert_eq!(change.labels["team"], None);
    assert_eq!(change.labels["season"].as_deref(), Some("two"));
}

#[test]
fn everything_else_takes_a_new_pod() {
    takes_a_new_pod(
        after(|spec| spec["containers"][0]["env"] = json!([{ "name": "A", "value": "b" }])),
        "env of container game",
    );
    takes_a_new_pod(
        after(|spec| spec["initContainers"][0]["image"] = json!("init:2")),
        "initContainers",
    );
    takes_a_new_pod(
        after(|spec| spec["containers"][1]["name"] = json!("other")),
        "containers",
    );
    takes_a_new_pod(after(|spec| spec["hostNetwork"] = json!(true)), "hostNetwork");
    // A tag `latest` implies another pull policy, which a running container keeps.
    takes_a_new_pod(
        after(|spec| spec["containers"][1]["image"] = json!("side:latest")),
        "imagePullPolicy",
    );
}

#[test]
fn amounts_are_neither_added_nor_taken_away_and_the_class_stays() {
    takes_a_new_pod(
        after(|spec| spec["containers"][0]["resources"]["limits"]["memory"] = json!("1Gi")),
        "resources",
    );
    takes_a_new_pod(
        after(|spec| spec["containers"][1]["resources"] = json!({ "requests": { "cpu": "1" } })),
        "resources",
    );
    takes_a_new_pod(
        after(|spec| spec["containers"][0]["resources"]["limits"]["example.com/gpu"] = json!(1)),
        "resources",
    );
    let mut old = plain();
    old.spec["containers"] = json!([{ "name": "game", "image": "game:1", "resources":
        { "limits": { "cpu": "1", "memory": "1Gi" }, "requests": { "cpu": "500m", "memory": "1Gi" } } }]);
    old.spec["initContainers"] = json!([]);
    let mut new = old.clone();
    new.spec["containers"][0]["resources"]["requests"]["cpu"] = json!("1");
    takes_a_new_pod(between(&old, &new), "quality-of-service");
}

#[test]
fn what_a_container_reads_from_its_metadata_once_takes_a_new_pod() {
    let mut old = plain();
    let read =
        json!({ "name": "TEAM", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['team']" } } });
    old.spec["containers"][0]["env"] = json!([read]);
    let mut new = old.clone();
    new.labels.insert("season".to_owned(), "two".to_owned());
    assert!(matches!(between(&old, &new), Change::InPlace(_)), "another label");
    new.labels.insert("team".to_owned(), "blue".to_owned());
    takes_a_new_pod(between(&old, &new), "labels team");
}

/// The template once `change` was made in a Pod of it.
fn applied(template: &Template, change: &InPlace) -> Template {
    let mut made = template.clone();
    for (metadata, changed) in [
        (&mut made.labels, &change.labels),
        (&mut made.annotations, &change.annotations),
    ] {
        for (key, value) in changed {
            match value {
                Some(value) => metadata.insert(key.clone(), value.clone()),
                None => metadata.remove(key),
            };
        }
    }
    for container in made.spec["containers"].as_array_mut().unwrap() {
        let name = container["name"].as_str().unwrap().to_owned();
        if let Some(image) = change.images.get(&name) {
            container["image"] = json!(image);
        }
        if let Some(resources) = change.resources.get(&name) {
            container["resources"] = resources.clone();
        }
    }
    made
}

prop_compose! {
    fn template()(
        tags in prop::collection::vec(prop::sample::select(vec!["1", "2", "latest"]), 2),
        cpu in prop::option::of(prop::sample::select(vec!["1", "1000m", "2", "500m"])),
        request in prop::option::of(prop::sample::select(vec!["500m", "0.5", "1"])),
        labels in prop::collection::btree_map("[ab]", "[xy]", 0..3),
        annotations in prop::collection::btree_map("[ab]", "[xy]", 0..3),
        grace in prop::option::of(prop::sample::select(vec![30, 31])),
    ) -> Template {
        let mut spec = json!({ "containers": [
            { "name": "game", "image": format!("game:{}", tags[0]) }, { "name": "side", "image": format!("side:{}", tags[1]) },
        ] });
        for (section, amount) in [("limits", cpu), ("requests", request)] {
            if let Some(amount) = amount {
                spec["containers"][0]["resources"][section] = json!({ "cpu": amount });
            }
        }
        if let Some(grace) = grace {
            spec["terminationGracePeriodSeconds"] = json!(grace);
        }
        Template { labels, annotations, spec }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_change_made_in_place_leaves_nothing_to_change(old in template(), new in template()) {
        match between(&old, &new) {
            Change::None => prop_assert_eq!(old.canonical(), new.canonical()),
            Change::InPlace(change) => {
                prop_assert_ne!(old.canonical(), new.canonical());
                prop_assert_eq!(applied(&old, &change).canonical(), new.canonical());
            }
            Change::Recreate(_) => prop_assert_ne!(old.canonical(), new.canonical()),
        }
    }
}
