//! Who may evict the server.

use api_types::{
    eviction::Policy,
    keys::{annotation, label},
    views::{GameServerView, PodView},
};
use proptest::{option, prelude::*, sample::select};
use serde_json::json;

use crate::{
    fixture::{GamePod, Server, now, pod, server, synced_pod},
    overlay::patched,
    plan::{Eviction, Observed, PodPatch, plan},
    template::SetEviction,
};

fn decided(
    policy: Policy,
    set: SetEviction,
    server: Option<&GameServerView>,
    pod: &PodView,
) -> Option<PodPatch> {
    let observed = Observed {
        server,
        pod,
        template: None,
        eviction: Some(Eviction { policy, set }),
    };
    plan(&observed, now())
}

/// Annotation and label after the patch.
fn shown(policy: Policy, server: Option<&Server>, pod: &GamePod) -> (Option<String>, Option<String>) {
    let view = pod.view();
    let patch = decided(
        policy,
        SetEviction::default(),
        server.map(Server::view).as_ref(),
        &view,
    );
    let after = patch.map_or(view.clone(), |patch| patched(&view, &patch, "101"));
    let metadata = after.metadata;
    (
        metadata.annotation(annotation::SAFE_TO_EVICT).map(str::to_owned),
        metadata.label(label::SAFE_TO_EVICT).map(str::to_owned),
    )
}

fn pair(annotation: &str, label: &str) -> (Option<String>, Option<String>) {
    (Some(annotation.to_owned()), Some(label.to_owned()))
}

fn marked(annotation: &str, label: &str) -> GamePod {
    synced_pod()
        .annotation(annotation::SAFE_TO_EVICT, annotation)
        .label(label::SAFE_TO_EVICT, label)
}

#[test]
fn a_pod_gets_what_its_set_says_whatever_it_had() {
    let known = server();
    for pod in [synced_pod(), marked("true", "true"), marked("nonsense", "false")] {
        assert_eq!(shown(Policy::Never, Some(&known), &pod), pair("false", "false"));
        assert_eq!(
            shown(Policy::OnUpgrade, Some(&known), &pod),
            pair("false", "true")
        );
        assert_eq!(shown(Policy::Always, None, &pod), pair("true", "true"));
    }
}

#[test]
fn a_pod_that_shows_it_needs_no_patch() {
    let (server, pod) = (server().view(), marked("false", "false").view());
    assert_eq!(
        decided(Policy::Never, SetEviction::default(), Some(&server), &pod),
        None
    );
}

// One patch: there is no version of the Pod that says Allocated and may be evicted.
#[test]
fn an_allocation_and_its_protection_are_one_patch() {
    let allocated = server()
        .spec("opsState", json!("Allocated"))
        .version(2, 20)
        .view();
    let pod = marked("true", "true").view();
    let patch = decided(Policy::WhenIdle, SetEviction::default(), Some(&allocated), &pod).unwrap();
    assert_eq!(patch.labels[label::GS_OPS_STATE].as_deref(), Some("Allocated"));
    assert_eq!(patch.labels[label::SAFE_TO_EVICT].as_deref(), Some("false"));
    assert_eq!(
        patch.annotations[annotation::SAFE_TO_EVICT].as_deref(),
        Some("false")
    );

    let released = server().version(3, 30).view();
    let protected = patched(&pod, &patch, "101");
    let patch = decided(
        Policy::WhenIdle,
        SetEviction::default(),
        Some(&released),
        &protected,
    )
    .unwrap();
    assert_eq!(patch.labels[label::GS_OPS_STATE].as_deref(), Some("None"));
    assert_eq!(patch.labels[label::SAFE_TO_EVICT].as_deref(), Some("true"));
}

#[test]
fn what_is_not_known_to_be_idle_is_left_as_it_is() {
    for pod in [marked("false", "false"), marked("true", "true"), synced_pod()] {
        let before = pod.view().metadata;
        let (annotation, label) = shown(Policy::WhenIdle, None, &pod);
        assert_eq!(
            annotation.as_deref(),
            before.annotation(annotation::SAFE_TO_EVICT)
        );
        assert_eq!(label.as_deref(), before.label(label::SAFE_TO_EVICT));
    }
    // The GameServer of an earlier Pod of the name says nothing about this one.
    let earlier = server().owner("Pod", "arena-0", "earlier");
    assert_eq!(
        shown(Policy::WhenIdle, Some(&earlier), &marked("false", "false")),
        pair("false", "false")
    );
}

// The first player who comes and the last who leaves; how many there are in between makes no difference.
#[test]
fn players_protect_the_pod_that_reported_them() {
    let with = |count: u32, uid: &str| {
        let mut server = server();
        server.0["status"] = json!({ "players": { "count": count }, "reported": { "podUID": uid } });
        server
    };
    let idle = marked("true", "true");
    assert_eq!(
        shown(Policy::WhenIdle, Some(&with(1, "pod-uid")), &idle),
        pair("false", "false")
    );
    assert_eq!(
        shown(Policy::WhenIdle, Some(&with(0, "pod-uid")), &idle),
        pair("true", "true")
    );
    assert_eq!(
        shown(Policy::WhenIdle, Some(&with(5, "earlier")), &idle),
        pair("true", "true")
    );
    let busy = marked("false", "false");
    assert_eq!(
        shown(Policy::WhenIdle, Some(&with(0, "pod-uid")), &busy),
        pair("true", "true")
    );
    let many = with(7, "pod-uid").view();
    let set = SetEviction::default();
    assert_eq!(decided(Policy::WhenIdle, set, Some(&many), &busy.view()), None);
}

#[test]
fn what_the_template_has_stays() {
    let set = SetEviction {
        policy: None,
        keeps_annotation: true,
        keeps_label: false,
    };
    let pod = synced_pod().annotation(annotation::SAFE_TO_EVICT, "true").view();
    let patch = decided(Policy::Never, set, Some(&server().view()), &pod).unwrap();
    assert!(!patch.annotations.contains_key(annotation::SAFE_TO_EVICT));
    assert_eq!(patch.labels[label::SAFE_TO_EVICT].as_deref(), Some("false"));
    let both = SetEviction {
        keeps_label: true,
        ..set
    };
    assert_eq!(decided(Policy::Never, both, Some(&server().view()), &pod), None);
}

#[test]
fn a_pod_that_is_going_is_left_alone() {
    let going = pod()
        .label("game.kruise.io/gs-state", "Deleting")
        .metadata("deletionTimestamp", json!("2026-05-04T03:02:01Z"));
    assert_eq!(shown(Policy::Never, Some(&server()), &going), (None, None));
}

// A `gs-sync/` value of a user's that the API server refuses must not keep a server with players evictable.
#[test]
fn protection_is_in_the_patch_that_is_left_when_the_whole_is_refused() {
    let allocated = server()
        .spec("opsState", json!("Allocated"))
        .annotation("gs-sync/huge", "x")
        .version(2, 20)
        .view();
    let pod = marked("true", "true").view();
    let patch = decided(Policy::WhenIdle, SetEviction::default(), Some(&allocated), &pod).unwrap();
    let least = patch.reduced().pop().unwrap();
    assert_eq!(least.labels[label::SAFE_TO_EVICT].as_deref(), Some("false"));
    assert_eq!(
        least.annotations[annotation::SAFE_TO_EVICT].as_deref(),
        Some("false")
    );
    assert!(!least.annotations.contains_key("gs-sync/huge"));
}

proptest! {
    // Whatever comes in whatever order: a Pod that shows Allocated is protected, from the first version that does.
    #[test]
    fn no_version_of_a_pod_is_allocated_and_evictable(
        states in proptest::collection::vec(option::of(select(vec!["None", "Allocated", "Maintaining", "Kill", ""])), 1..12),
    ) {
        let mut pod = marked("true", "true").view();
        for (version, state) in states.into_iter().enumerate() {
            let known = state.map(|state| {
                server().spec("opsState", json!(state)).version(version as i64 + 2, 20 + version as u64).view()
            });
            if let Some(patch) = decided(Policy::WhenIdle, SetEviction::default(), known.as_ref(), &pod) {
                pod = patched(&pod, &patch, &(101 + version).to_string());
            }
            let allocated = pod.metadata.label(label::GS_OPS_STATE) == Some("Allocated");
            let protected = pod.metadata.label(label::SAFE_TO_EVICT) == Some("false");
            prop_assert_eq!(allocated, protected);
        }
    }
}
