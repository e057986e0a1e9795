use serde_json::json;

use super::*;
use crate::{
    conditions::ClaimState,
    fixture::{self, GAME_SERVER_UID, GameServer, Pod, Set, game_server, pod, set},
};

const NOW: &str = "2026-01-01T00:00:00Z";

/// Everything a plan is made from, in the making.
#[derive(Clone)]
struct Case {
    pod: Option<Pod>,
    game_server: Option<GameServer>,
    set: Option<Set>,
    claims: Vec<Claim>,
    pod_age: Duration,
    waiting: Duration,
    unsettled: usize,
}

fn case(pod: impl Into<Option<Pod>>, game_server: impl Into<Option<GameServer>>) -> Case {
    Case {
        pod: pod.into(),
        game_server: game_server.into(),
        set: Some(set()),
        claims: Vec::new(),
        pod_age: Duration::ZERO,
        waiting: Duration::ZERO,
        unsettled: 0,
    }
}

impl Case {
    fn set(mut self, set: impl Into<Option<Set>>) -> Self {
        self.set = set.into();
        self
    }

    fn waiting(mut self, waiting: Duration) -> Self {
        self.waiting = waiting;
        self
    }

    fn among(mut self, unsettled: usize) -> Self {
        self.unsettled = unsettled;
        self
    }

    fn plan(&self) -> Plan {
        let pod = self.pod.as_ref().map(Pod::view);
        let game_server = self.game_server.as_ref().map(GameServer::view);
        let set = self.set.as_ref().map(Set::view);
        let observed = Observed {
            pod: pod.as_ref(),
            game_server: game_server.as_ref(),
            set: set.as_ref(),
            claims: &self.claims,
        };
        let moment = Moment {
            now: NOW,
            pod_age: self.pod_age,
            waiting: self.waiting,
            unsettled: self.unsettled,
        };
        plan(&observed, &moment, &Limits::default())
    }

    fn creation(&self) -> Creation {
        match self.plan() {
            Plan::Create(creation) => creation,
            other => panic!("{other:?}"),
        }
    }

    fn status(&self) -> StatusStep {
        match self.plan() {
            Plan::Update(update) => update.status,
            other => panic!("{other:?}"),
        }
    }

    fn written(&self) -> Desired {
        match self.status() {
            StatusStep::Write(desired) => *desired,
            other => panic!("{other:?}"),
        }
    }
}

/// `game_server` after the status that the case writes has been stored.
fn stored(case: &Case) -> GameServer {
    let desired = case.waiting_long().written();
    let pod_status = case.pod.as_ref().unwrap().0["status"].clone();
    case.game_server.clone().unwrap().edit(|game_server| {
        game_server["status"] = desired.body(pod_status, NOW)["status"].clone();
    })
}

impl Case {
    fn waiting_long(&self) -> Self {
        self.clone().waiting(Duration::from_mins(1))
    }
}

#[test]
fn nothing_is_planned_for_nothing() {
    assert_eq!(case(None, None).plan(), Plan::Rest);
}

#[test]
fn a_pod_without_a_game_server_gets_one() {
    let creation = case(pod(), None).creation();
    assert_eq!(creation.replaces, None);
    assert_eq!(
        creation.body["metadata"]["ownerReferences"][0]["uid"],
        fixture::POD_UID
    );
}

#[test]
fn a_terminating_pod_gets_no_game_server() {
    assert_eq!(case(pod().terminating(), None).plan(), Plan::Rest);
    let earlier = game_server().edit(|it| it["metadata"]["ownerReferences"][0]["uid"] = json!("old"));
    assert_eq!(case(pod().terminating(), earlier).plan(), Plan::Rest);
}

#[test]
fn only_pods_controlled_by_a_known_set_get_a_game_server() {
    let nobodys = pod().edit(|it| it["metadata"]["ownerReferences"] = json!([]));
    assert_eq!(case(nobodys.clone(), None).plan(), Plan::Rest);
    assert_eq!(case(nobodys, game_server()).plan(), Plan::Rest);
    let of_a_stateful_set = pod().edit(|it| {
        it["metadata"]["ownerReferences"][0]["kind"] = json!("StatefulSet");
        it["metadata"]["ownerReferences"][0]["apiVersion"] = json!("apps.kruise.io/v1beta1");
    });
    assert_eq!(case(of_a_stateful_set, None).plan(), Plan::Rest);
    let of_an_earlier_set = pod().edit(|it| it["metadata"]["ownerReferences"][0]["uid"] = json!("old-set"));
    assert_eq!(case(of_an_earlier_set, None).plan(), Plan::Rest);
}

#[test]
fn a_set_that_is_not_cached_yet_is_waited_for() {
    assert_eq!(case(pod(), None).set(None).plan(), Plan::AwaitSet);
    // Status does not need the set.
    assert!(case(pod().ready(), game_server()).set(None).written().is_ready());
}

#[test]
fn a_pod_that_cannot_be_scheduled_has_its_game_server_at_once() {
    for reason in ["Unschedulable", "SchedulingGated"] {
        let refused = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": reason}]});
        let mut refused = case(pod().unscheduled().status(refused), None);
        refused.pod_age = Duration::ZERO;
        assert_eq!(refused.creation().body["metadata"]["name"], "arena-0");
    }
}

#[test]
fn an_unscheduled_pod_is_given_a_moment_to_be_scheduled() {
    let mut unscheduled = case(pod().unscheduled(), None);
    unscheduled.pod_age = Duration::from_millis(400);
    assert_eq!(unscheduled.plan(), Plan::Wait(Duration::from_millis(9600)));
    unscheduled.pod_age = Duration::from_secs(10);
    assert_eq!(
        unscheduled.creation().body["metadata"]["labels"].get("game.kruise.io/node-name"),
        None
    );
    assert_eq!(
        case(pod(), None).creation().body["metadata"]["labels"]["game.kruise.io/node-name"],
        "node-1"
    );
}

#[test]
fn a_cascade_game_server_of_an_earlier_pod_is_replaced_not_applied_to_the_new_one() {
    let killed = game_server().edit(|it| {
        it["metadata"]["ownerReferences"][0]["uid"] = json!("old-pod");
        it["spec"]["opsState"] = json!("Kill");
    });
    let creation = case(pod(), killed).creation();
    assert_eq!(creation.replaces.as_deref(), Some(GAME_SERVER_UID));
    assert_eq!(creation.body["spec"]["opsState"], "None");
}

#[test]
fn a_kept_game_server_serves_the_next_pod_but_not_the_next_set() {
    let kept = game_server().owned_by_set();
    assert!(
        case(pod().uid("new-pod").ready(), kept.clone())
            .written()
            .is_ready()
    );
    let next_set = pod().edit(|it| it["metadata"]["ownerReferences"][0]["uid"] = json!("next-set"));
    let known = set().keeping();
    let known = Set({
        let mut it = known.0;
        it["metadata"]["uid"] = json!("next-set");
        it
    });
    assert_eq!(
        case(next_set, kept).set(known).creation().replaces.as_deref(),
        Some(GAME_SERVER_UID)
    );
}

#[test]
fn a_game_server_without_a_controller_is_kept_up_to_date_and_never_replaced() {
    let made_by_hand = game_server().edit(|it| it["metadata"]["ownerReferences"] = json!([]));
    assert!(case(pod().ready(), made_by_hand).written().is_ready());
}

#[test]
fn gs_deleting_counts_whenever_it_comes() {
    let marked = game_server()
        .owned_by_set()
        .label("game.kruise.io/gs-deleting", "true");
    let retire = Plan::Retire {
        uid: GAME_SERVER_UID.into(),
        resource_version: "20".into(),
    };
    // Before the Pod is gone it waits; once it is gone, whether the mark or the deletion came last.
    assert!(matches!(
        case(pod().ready(), marked.clone()).plan(),
        Plan::Update(_)
    ));
    assert_eq!(case(None, marked.clone()).plan(), retire);
    assert_eq!(case(None, marked.clone()).set(None).plan(), retire);
    // A Pod that is merely terminating is still a Pod: its id may be about to be recreated.
    assert!(!matches!(
        case(pod().terminating(), marked.clone()).plan(),
        Plan::Retire { .. }
    ));
    // Wanted again, never marked, already going.
    for spared in [
        game_server().owned_by_set(),
        marked.clone().label("game.kruise.io/gs-deleting", "false"),
        marked.edit(|it| it["metadata"]["deletionTimestamp"] = json!(NOW)),
    ] {
        assert_eq!(case(None, spared).plan(), Plan::Rest);
    }
}

#[test]
fn a_terminating_game_server_is_left_alone() {
    let going = game_server().edit(|it| it["metadata"]["deletionTimestamp"] = json!(NOW));
    assert_eq!(case(pod().ready(), going).plan(), Plan::Rest);
}

#[test]
fn the_first_status_waits_a_moment_for_ready() {
    let born = case(pod(), game_server());
    assert_eq!(born.status(), StatusStep::Later(Duration::from_secs(3)));
    assert_eq!(
        born.clone().waiting(Duration::from_millis(400)).status(),
        StatusStep::Later(Duration::from_millis(2600))
    );
    assert!(!born.waiting(Duration::from_secs(3)).written().is_ready());
    assert!(case(pod().ready(), game_server()).written().is_ready());
}

#[test]
fn a_first_status_waits_longer_in_a_crowd_but_not_with_bad_news() {
    let seconds = |seconds| StatusStep::Later(Duration::from_secs(seconds));
    let starting = case(pod(), game_server());
    assert_eq!(starting.clone().among(200).status(), seconds(5));
    assert_eq!(starting.among(5_000).status(), seconds(10));
    let refused = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]});
    assert_eq!(
        case(pod().status(refused), game_server()).among(5_000).status(),
        seconds(3)
    );
    // What somebody acts on never waits.
    assert!(
        case(pod().ready(), game_server())
            .among(5_000)
            .written()
            .is_ready()
    );
}

#[test]
fn details_of_a_starting_server_are_coalesced_and_ready_is_not() {
    let creating = stored(&case(pod(), game_server()));
    let detail = pod().status(json!({"phase": "Pending", "hostIP": "10.1.1.1"}));
    assert_eq!(
        case(detail.clone(), creating.clone()).status(),
        StatusStep::Later(Duration::from_secs(3))
    );
    assert!(matches!(
        case(detail, creating.clone())
            .waiting(Duration::from_secs(3))
            .status(),
        StatusStep::Write(_)
    ));
    assert!(case(pod().ready(), creating).written().is_ready());
}

#[test]
fn a_change_of_priority_is_shown_at_once_even_while_creating() {
    let creating = stored(&case(pod(), game_server())).edit(|it| it["spec"]["deletionPriority"] = json!("7"));
    assert_eq!(case(pod(), creating).written().deletion_priority, "7");
}

#[test]
fn a_terminating_pod_is_deleting_in_every_phase() {
    for phase in ["Pending", "Running", "Failed", "Succeeded"] {
        let terminating = pod().status(json!({ "phase": phase })).terminating();
        let status = case(terminating, game_server()).written();
        assert_eq!(status.state, api_types::GameServerState::Deleting, "{phase}");
    }
    // Running without a Ready condition is not an empty state.
    let silent = pod().status(json!({"phase": "Running"}));
    assert_eq!(
        case(silent, game_server()).waiting_long().written().state,
        api_types::GameServerState::NotReady
    );
}

#[test]
fn a_missing_claim_is_a_false_condition_and_the_rest_of_the_status_goes_on() {
    let mut missing = case(pod().ready(), game_server());
    missing.claims = vec![Claim {
        namespace: "games".into(),
        name: "data-arena-0".into(),
        state: ClaimState::Missing,
    }];
    let status = missing.written();
    assert!(status.is_ready());
    assert_eq!(status.conditions[1].type_, "PersistentVolumeNormal");
    assert_eq!(
        (
            status.conditions[1].status.as_str(),
            status.conditions[1].reason.as_str()
        ),
        ("False", "PersistentVolumeClaim Not Found")
    );
}

#[test]
fn a_stored_status_and_a_heartbeat_need_no_write() {
    let ready = case(pod().ready(), stored(&case(pod().ready(), game_server())));
    assert_eq!(ready.plan(), Plan::Rest);
    let beat = pod()
        .ready()
        .edit(|it| it["status"]["conditions"][0]["lastProbeTime"] = json!(NOW));
    assert_eq!(case(beat, ready.game_server).plan(), Plan::Rest);
}

#[test]
fn template_metadata_follows_the_set_and_its_own_status_does_not_wait_for_it() {
    let ready = stored(&case(pod().ready(), game_server()));
    let changed = set().template(&json!({"tier": "gold"}), &json!({}));
    let Plan::Update(update) = case(pod().ready(), ready.clone()).set(changed.clone()).plan() else {
        panic!()
    };
    assert_eq!(update.status, StatusStep::Keep);
    let patch = update.metadata.unwrap();
    assert_eq!(patch["metadata"]["labels"]["tier"], "gold");
    let patched = ready.edit(|it| fixture::merge(it, &patch));
    assert_eq!(case(pod().ready(), patched).set(changed).plan(), Plan::Rest);
}
