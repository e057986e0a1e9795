//! The history of a template, and that no spelling makes a revision.

// Literals of `json!` read best where they are passed.
#![allow(clippy::needless_pass_by_value)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn template(spec: Value) -> Template {
    Template {
        spec,
        ..Template::default()
    }
}

fn game(image: &str) -> Template {
    template(json!({ "containers": [{ "name": "game", "image": image }] }))
}

type Stored = BTreeMap<String, Arc<RevisionView>>;

fn history<const N: usize>(entries: [(&str, i64, &Template); N]) -> Stored {
    let entry = |(name, revision, template): (&str, i64, &Template)| {
        let view = serde_json::from_value(json!({
            "metadata": { "name": name, "uid": format!("uid-{name}"), "resourceVersion": "7" },
            "revision": revision, "data": template.to_data(),
        }));
        (name.to_owned(), Arc::new(view.unwrap()))
    };
    entries.into_iter().map(entry).collect()
}

fn decide(
    wanted: &Template,
    stored: &Stored,
    before: (Option<&str>, Option<&str>),
    of_pods: &[&str],
) -> Revisions {
    plan(&RevisionInput {
        set: "a",
        template: wanted,
        stored,
        taken: &BTreeSet::new(),
        before,
        of_pods,
    })
}

#[test]
fn a_first_template_is_stored_and_both_revisions_are_it() {
    let made = decide(&game("g:1"), &Stored::new(), (None, None), &[]);
    assert_eq!(made.steps, [RevisionStep::Create { number: 1 }]);
    assert_eq!(made.update, made.current);
    assert!(made.update.name.starts_with("a-") && made.is_update(Some(&made.update.name)));
    assert!(!made.is_update(None));
}

#[test]
fn a_new_template_leaves_the_current_revision_where_it_was() {
    let stored = history([("a-1", 4, &game("g:1"))]);
    let made = decide(&game("g:2"), &stored, (Some("a-1"), Some("a-1")), &["a-1"; 3]);
    assert_eq!(made.steps, [RevisionStep::Create { number: 5 }]);
    assert_eq!(
        (made.current.name.as_str(), made.is_update(Some("a-1"))),
        ("a-1", false)
    );
}

#[test]
fn a_rollback_takes_the_old_revision_under_its_name_and_makes_it_the_latest() {
    let stored = history([("a-1", 1, &game("g:1")), ("a-2", 2, &game("g:2"))]);
    let made = decide(&game("g:1"), &stored, (Some("a-2"), Some("a-2")), &["a-2"]);
    let bump = RevisionStep::Bump {
        name: "a-1".to_owned(),
        uid: "uid-a-1".to_owned(),
        resource_version: "7".to_owned(),
        number: 3,
    };
    assert_eq!((made.update.name.as_str(), made.steps), ("a-1", vec![bump]));
}

#[test]
fn of_several_that_mean_the_same_the_one_in_use_stays() {
    let stored = history([("a-1", 1, &game("g:1")), ("a-9", 9, &game("g:1"))]);
    let made = decide(&game("g:1"), &stored, (Some("a-1"), Some("a-1")), &["a-1"]);
    assert_eq!((made.update.name.as_str(), made.steps.len()), ("a-1", 0));
    assert!(made.is_update(Some("a-9")), "a Pod of the other one is as wanted");
}

#[test]
fn a_name_that_is_taken_is_stepped_over() {
    let first = decide(&game("g:1"), &Stored::new(), (None, None), &[])
        .update
        .name;
    let other = history([(first.as_str(), 1, &game("g:2"))]);
    let made = decide(&game("g:1"), &other, (None, None), &[]);
    assert!(made.update.name != first && made.steps == [RevisionStep::Create { number: 2 }]);
}

#[test]
fn without_a_status_the_current_revision_is_what_most_pods_have() {
    let stored = history([("a-1", 1, &game("g:1")), ("a-2", 2, &game("g:2"))]);
    let made = decide(
        &game("g:3"),
        &stored,
        (None, None),
        &["a-1", "a-2", "a-2", "lost", "lost", "lost"],
    );
    assert_eq!(made.current.name, "a-2");
}

#[test]
fn ten_are_kept_beside_those_that_anybody_names() {
    let images: Vec<Template> = (0..14).map(|tag| game(&format!("g:{tag}"))).collect();
    let mut stored = Stored::new();
    for (number, image) in (0_i64..).zip(&images) {
        stored.extend(history([(format!("a-{number:02}").as_str(), number, image)]));
    }
    // The latest is wanted and the oldest has a Pod: of the twelve others two are too many.
    let made = decide(
        &images[13],
        &stored,
        (Some("a-13"), Some("a-13")),
        &["a-00", "a-13"],
    );
    let trimmed: Vec<&str> = made
        .steps
        .iter()
        .filter_map(|step| match step {
            RevisionStep::Trim { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(trimmed, ["a-01", "a-02"]);
}

/// Changes of the spelling; none of them changes what is meant.
const SPELLINGS: [fn(&mut Value); 12] = [
    |spec| spec["restartPolicy"] = json!("Always"),
    |spec| spec["dnsPolicy"] = json!("ClusterFirst"),
    |spec| spec["securityContext"] = json!({}),
    |spec| spec["nodeSelector"] = Value::Null,
    |spec| spec["tolerations"] = json!([]),
    |spec| spec["terminationGracePeriodSeconds"] = json!(30),
    |spec| spec["containers"][0]["imagePullPolicy"] = json!("IfNotPresent"),
    |spec| spec["containers"][0]["terminationMessagePath"] = json!("/dev/termination-log"),
    |spec| spec["containers"][0]["resources"]["limits"]["cpu"] = json!("1000m"),
    |spec| spec["containers"][0]["resources"]["limits"]["memory"] = json!("1024Mi"),
    |spec| spec["containers"][0]["resources"]["requests"] = json!({ "cpu": 1, "memory": "1Gi" }),
    |spec| spec["containers"][0]["ports"][0]["protocol"] = json!("TCP"),
];

/// Changes of what is meant.
const MEANINGS: [fn(&mut Value); 6] = [
    |spec| spec["restartPolicy"] = json!("Never"),
    |spec| spec["containers"][0]["image"] = json!("g:2"),
    |spec| spec["containers"][0]["imagePullPolicy"] = json!("Always"),
    |spec| spec["containers"][0]["resources"]["limits"]["cpu"] = json!("1001m"),
    |spec| spec["containers"][0]["ports"][0]["protocol"] = json!("UDP"),
    |spec| spec["terminationGracePeriodSeconds"] = json!(31),
];

proptest! {
    #[test]
    fn a_spelling_makes_no_revision_and_a_meaning_makes_one(
        spellings in prop::collection::vec(0..SPELLINGS.len(), 0..12),
        meaning in prop::option::of(0..MEANINGS.len()),
    ) {
        let plain = json!({ "containers": [{
            "name": "game", "image": "g:1", "ports": [{ "containerPort": 80 }],
            "resources": { "limits": { "cpu": "1", "memory": "1Gi" } },
        }] });
        let stored = history([("a-1", 1, &template(plain.clone()))]);
        let mut spec = plain;
        for at in spellings {
            SPELLINGS[at](&mut spec);
        }
        if let Some(at) = meaning {
            MEANINGS[at](&mut spec);
        }
        let made = decide(&template(spec), &stored, (Some("a-1"), Some("a-1")), &["a-1"]);
        prop_assert_eq!(made.steps.is_empty(), meaning.is_none());
        prop_assert_eq!(made.is_update(Some("a-1")), meaning.is_none());
    }
}
