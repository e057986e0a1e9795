//! One case a rule.

mod eviction;
mod interleaving;
mod order;
mod properties;

use api_types::views::{GameServerView, PodView};
use serde_json::json;

use super::*;
use crate::fixture::{NOW_TEXT, now, pod, server, synced_pod};

const RECORD: &str = "game.kruise.io/synced-from";

fn planned(server: &GameServerView, pod: &PodView) -> Option<PodPatch> {
    plan(
        &Observed {
            server: Some(server),
            pod,
            template: None,
            eviction: None,
        },
        now(),
    )
}

/// `key=value` or `key-` for each label and annotation of the patch, what pod-sync remembers left out.
fn written(patch: Option<&PodPatch>) -> Vec<String> {
    let Some(patch) = patch else { return Vec::new() };
    patch
        .labels
        .iter()
        .chain(&patch.annotations)
        .filter(|(key, _)| !key.starts_with("game.kruise.io/synced-"))
        .map(|(key, value)| {
            let key = key.trim_start_matches("game.kruise.io/");
            value
                .as_ref()
                .map_or_else(|| format!("{key}-"), |value| format!("{key}={value}"))
        })
        .collect()
}

#[test]
fn plan_of_a_pod_that_shows_everything_is_nothing() {
    assert_eq!(planned(&server().view(), &synced_pod().view()), None);
}

#[test]
fn plan_of_a_pod_born_right_waits_until_it_is_ready() {
    assert_eq!(planned(&server().view(), &pod().view()), None);

    let patch = planned(&server().view(), &pod().ready().view());
    assert_eq!(
        written(patch.as_ref()),
        ["gs-state=Ready", &format!("state-last-changed-time={NOW_TEXT}")]
    );
    let patch = patch.unwrap();
    assert_eq!(
        patch.annotations["game.kruise.io/synced-generation"].as_deref(),
        Some("1")
    );
    assert_eq!(
        patch.annotations[RECORD].as_deref(),
        Some(r#"{"podUID":"pod-uid","resourceVersion":"10"}"#)
    );
    assert_eq!(
        (patch.uid.as_str(), patch.resource_version.as_str()),
        ("pod-uid", "100")
    );
}

#[test]
fn plan_writes_each_field_of_the_spec() {
    let cases = [
        (
            "opsState",
            json!("Allocated"),
            vec![
                "gs-opsState=Allocated",
                "opsState-last-changed-time=2026-05-04T03:02:01Z",
            ],
        ),
        ("updatePriority", json!(7), vec!["gs-update-priority=7"]),
        ("updatePriority", json!("8"), vec!["gs-update-priority=8"]),
        ("deletionPriority", json!(-3), vec![]),
        ("deletionPriority", json!("10"), vec!["gs-delete-priority=10"]),
        ("networkDisabled", json!(true), vec!["network-disabled=true"]),
    ];
    for (field, value, expected) in cases {
        let server = server().spec(field, value.clone()).version(2, 20);
        assert_eq!(
            written(planned(&server.view(), &synced_pod().view()).as_ref()),
            expected,
            "{field}: {value}"
        );
    }
}

#[test]
fn plan_takes_absent_and_empty_values_for_their_defaults() {
    for (field, value) in [
        ("opsState", json!(null)),
        ("opsState", json!("")),
        ("updatePriority", json!(null)),
        ("updatePriority", json!("")),
        ("deletionPriority", json!(null)),
        ("networkDisabled", json!(null)),
    ] {
        assert_eq!(
            planned(&server().spec(field, value).view(), &synced_pod().view()),
            None,
            "{field}"
        );
    }
    let patch = planned(
        &server().view(),
        &synced_pod().label("game.kruise.io/gs-opsState", "Kill").view(),
    );
    assert_eq!(written(patch.as_ref())[0], "gs-opsState=None");
}

#[test]
fn plan_leaves_out_only_the_value_no_label_can_hold() {
    let server = server()
        .spec("opsState", json!("in game!"))
        .spec("updatePriority", json!(5))
        .version(2, 20)
        .view();
    let patch = planned(&server, &synced_pod().view());
    assert_eq!(written(patch.as_ref()), ["gs-update-priority=5"]);
    assert_eq!(
        invalid_values(&server),
        [InvalidValue {
            field: "spec.opsState".into(),
            value: "in game!".into()
        }]
    );
}

#[test]
fn plan_of_an_invalid_value_alone_moves_the_generation_once() {
    let server = server().spec("opsState", json!("in game!")).version(2, 20).view();
    let patch = planned(&server, &synced_pod().view()).unwrap();
    assert_eq!(
        patch
            .changes
            .iter()
            .map(|change| change.subject)
            .collect::<Vec<_>>(),
        [Subject::Bookkeeping]
    );
    assert_eq!(
        planned(
            &server,
            &crate::overlay::patched(&synced_pod().view(), &patch, "101")
        ),
        None
    );
}

#[test]
fn plan_follows_the_state_of_the_pod() {
    let cases = [
        (synced_pod().status(json!({"phase": "Failed"})), "Crash"),
        (synced_pod().status(json!({"phase": "Running"})), "NotReady"),
        (
            synced_pod().label("lifecycle.apps.kruise.io/state", "PreparingDelete"),
            "PreDelete",
        ),
        (
            synced_pod().metadata("deletionTimestamp", json!("2026-05-04T03:02:00Z")),
            "Deleting",
        ),
    ];
    for (pod, state) in cases {
        let expected = [
            format!("gs-state={state}"),
            format!("state-last-changed-time={NOW_TEXT}"),
        ];
        assert_eq!(written(planned(&server().view(), &pod.view()).as_ref()), expected);
        let shown = pod.label("game.kruise.io/gs-state", state);
        assert_eq!(
            planned(&server().view(), &shown.view()),
            None,
            "{state} is written once"
        );
    }
}

#[test]
fn plan_dates_a_state_only_when_there_was_one_before() {
    let bare = synced_pod().label("game.kruise.io/gs-state", "");
    assert_eq!(
        written(planned(&server().view(), &bare.view()).as_ref()),
        ["gs-state=Ready"]
    );
}

#[test]
fn plan_shows_the_state_of_a_pod_without_gameserver() {
    let pod = pod().ready().view();
    let patch = plan(
        &Observed {
            server: None,
            pod: &pod,
            template: None,
            eviction: None,
        },
        now(),
    );
    assert_eq!(written(patch.as_ref())[0], "gs-state=Ready");
    assert!(
        !patch
            .unwrap()
            .annotations
            .contains_key("game.kruise.io/synced-generation")
    );
}

#[test]
fn plan_ignores_the_cascade_gameserver_of_an_earlier_pod() {
    let stale = server()
        .spec("opsState", json!("Kill"))
        .owner("Pod", "arena-0", "earlier-pod")
        .view();
    assert_eq!(planned(&stale, &synced_pod().view()), None);
    let own = server().spec("opsState", json!("Kill")).version(2, 20).view();
    assert_eq!(
        written(planned(&own, &synced_pod().view()).as_ref())[0],
        "gs-opsState=Kill"
    );
}

#[test]
fn plan_applies_a_gameserver_of_the_set_to_whatever_pod_there_is() {
    let surviving = server()
        .spec("opsState", json!("Allocated"))
        .owner("GameServerSet", "arena", "set-uid")
        .version(4, 20);
    assert_eq!(
        written(planned(&surviving.view(), &pod().view()).as_ref())[0],
        "gs-opsState=Allocated"
    );
    let foreign = surviving.owner("GameServerSet", "another", "set-uid");
    assert_eq!(planned(&foreign.view(), &synced_pod().view()), None);
}

#[test]
fn plan_sets_changes_and_removes_gs_sync_keys() {
    let allocated = server()
        .annotation("gs-sync/match-id", "m-1")
        .label("gs-sync/map", "desert")
        .version(1, 20);
    let patch = planned(&allocated.view(), &synced_pod().view());
    assert_eq!(
        written(patch.as_ref()),
        ["gs-sync/map=desert", "gs-sync/match-id=m-1"]
    );
    let shown = crate::overlay::patched(&synced_pod().view(), &patch.unwrap(), "101");

    let next = server()
        .annotation("gs-sync/match-id", "m-2")
        .label("gs-sync/map", "desert")
        .version(1, 21);
    let patch = planned(&next.view(), &shown);
    assert_eq!(written(patch.as_ref()), ["gs-sync/match-id=m-2"]);
    let shown = crate::overlay::patched(&shown, &patch.unwrap(), "102");

    let over = server().label("gs-sync/map", "desert").version(1, 22);
    let patch = planned(&over.view(), &shown);
    assert_eq!(written(patch.as_ref()), ["gs-sync/match-id-"]);
    let shown = crate::overlay::patched(&shown, &patch.unwrap(), "103");
    assert_eq!(planned(&over.view(), &shown), None);
}

#[test]
fn plan_keeps_a_template_key_the_gameserver_never_had() {
    let pod = synced_pod().label("gs-sync/delete-block", "true");
    assert_eq!(planned(&server().view(), &pod.view()), None);
}

#[test]
fn plan_removes_a_template_key_once_the_gameserver_had_it_and_lost_it() {
    let pod = synced_pod().label("gs-sync/delete-block", "true").view();
    let had = server()
        .label("gs-sync/delete-block", "false")
        .version(1, 20)
        .view();
    let patch = planned(&had, &pod);
    assert_eq!(written(patch.as_ref()), ["gs-sync/delete-block=false"]);
    let shown = crate::overlay::patched(&pod, &patch.unwrap(), "101");
    assert_eq!(
        written(planned(&server().version(1, 21).view(), &shown).as_ref()),
        ["gs-sync/delete-block-"]
    );
}

#[test]
fn plan_remembers_a_key_both_have_so_that_its_removal_is_seen() {
    let pod = pod().label("gs-sync/map", "desert").view();
    let both = server().label("gs-sync/map", "desert").view();
    let patch = planned(&both, &pod).unwrap();
    assert!(patch.labels.is_empty());
    let shown = crate::overlay::patched(&pod, &patch, "101");
    assert_eq!(planned(&both, &shown), None);
    assert_eq!(
        written(planned(&server().version(1, 11).view(), &shown).as_ref()),
        ["gs-sync/map-"]
    );
}

#[test]
fn plan_overrides_images_of_containers_the_pod_has() {
    let containers = json!([
        {"name": "game", "image": "game:2"}, {"name": "log", "image": ""}, {"name": "ghost", "image": "x"},
    ]);
    let server = server().spec("containers", containers).version(2, 20).view();
    let patch = planned(&server, &synced_pod().view()).unwrap();
    assert_eq!(
        patch.images.into_iter().collect::<Vec<_>>(),
        [("game".to_owned(), "game:2".to_owned())]
    );
}

#[test]
fn plan_settles_on_one_image_of_a_container_named_twice() {
    let twice = json!([{"name": "game", "image": "game:2"}, {"name": "game", "image": "game:3"}]);
    let server = server().spec("containers", twice).version(2, 20).view();
    let patch = planned(&server, &synced_pod().view()).unwrap();
    assert_eq!(
        planned(
            &server,
            &crate::overlay::patched(&synced_pod().view(), &patch, "101")
        ),
        None
    );
}

#[test]
fn plan_lists_containers_under_update_from_preupdate_until_it_is_over() {
    let template = [
        ("game".to_owned(), "game:2".to_owned()),
        ("log".to_owned(), "log:1".to_owned()),
    ]
    .into();
    let held = synced_pod()
        .label("lifecycle.apps.kruise.io/state", "PreparingUpdate")
        .view();
    let observed = |pod: PodView| {
        let server = server().view();
        let observed = Observed {
            server: Some(&server),
            pod: &pod,
            template: Some(&template),
            eviction: None,
        };
        written(plan(&observed, now()).as_ref())
    };
    assert!(observed(held).contains(&"gs-updating-containers=game".to_owned()));

    let listed = synced_pod().annotation("game.kruise.io/gs-updating-containers", "game");
    let updating = listed.clone().label("lifecycle.apps.kruise.io/state", "Updating");
    assert!(
        observed(updating.view())
            .iter()
            .all(|entry| !entry.starts_with("gs-updating-containers"))
    );
    assert_eq!(observed(listed.view()), ["gs-updating-containers-"]);
}

#[test]
fn plan_leaves_an_overridden_container_out_of_the_update() {
    let template = [
        ("game".to_owned(), "game:2".to_owned()),
        ("log".to_owned(), "log:2".to_owned()),
    ]
    .into();
    let held = synced_pod()
        .label("lifecycle.apps.kruise.io/state", "PreparingUpdate")
        .view();
    let pinned = server()
        .spec("containers", json!([{"name": "game", "image": "game:1"}]))
        .view();
    let patch = plan(
        &Observed {
            server: Some(&pinned),
            pod: &held,
            template: Some(&template),
            eviction: None,
        },
        now(),
    );
    assert!(written(patch.as_ref()).contains(&"gs-updating-containers=log".to_owned()));
}

#[test]
fn plan_survives_a_record_that_cannot_be_read() {
    for record in ["", "{", "[]", r#"{"labels":7}"#] {
        let pod = synced_pod()
            .annotation(RECORD, record)
            .label("gs-sync/x", "1")
            .view();
        assert_eq!(
            planned(&server().view(), &pod),
            None,
            "{record:?}: nothing to remove, nothing to say"
        );
    }
}

#[test]
fn reduced_goes_without_images_then_with_fixed_labels_alone() {
    let server = server()
        .spec("opsState", json!("Allocated"))
        .spec("containers", json!([{"name": "game", "image": " bad"}]))
        .annotation("gs-sync/huge", "x")
        .version(2, 20);
    let [without_images, labels_only]: [PodPatch; 2] = planned(&server.view(), &synced_pod().view())
        .unwrap()
        .reduced()
        .try_into()
        .unwrap();
    assert!(without_images.images.is_empty());
    assert!(without_images.annotations.contains_key("gs-sync/huge"));
    assert!(
        !without_images
            .annotations
            .contains_key("game.kruise.io/synced-generation")
    );

    assert_eq!(
        labels_only.labels.keys().collect::<Vec<_>>(),
        ["game.kruise.io/gs-opsState"]
    );
    assert_eq!(
        labels_only.annotations.keys().collect::<Vec<_>>(),
        ["game.kruise.io/opsState-last-changed-time"]
    );
    assert!(
        labels_only
            .changes
            .iter()
            .all(|change| change.subject == Subject::OpsState)
    );
}

#[test]
fn reduced_is_nothing_when_only_the_refused_part_was_left() {
    let image = server()
        .spec("containers", json!([{"name": "game", "image": " bad"}]))
        .version(2, 20);
    assert_eq!(
        planned(&image.view(), &synced_pod().view()).unwrap().reduced(),
        []
    );
    let label = server().spec("opsState", json!("Kill")).version(2, 20);
    let reduced = planned(&label.view(), &synced_pod().view()).unwrap().reduced();
    assert!(!reduced.is_empty());
    for patch in reduced {
        assert!(patch.labels.contains_key("game.kruise.io/gs-opsState"));
    }
}
