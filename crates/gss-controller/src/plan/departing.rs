//! Servers whose Pod somebody else takes away: a drain, the scheduler, a kubelet, a person. Pure.
//!
//! Their GameServer gets a deletion claim like a victim's, so that no allocator is handed a dying server. Nothing is decided by
//! it: the Pod goes without us. An eviction that is announced and does not come takes the claim back with it.

use api_types::{
    keys::{self, claim_reason},
    views::Meta,
};

use crate::views::{DISRUPTION_TARGET, GameServerView, PodView};

/// What to write to a GameServer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// Claim it, for this reason.
    Claim(&'static str),
    /// Take the claim back: the Pod stays after all.
    Withdraw,
}

/// What is due for this server.
pub fn step(pod: &PodView, game_server: &GameServerView) -> Option<Departure> {
    if !is_of_a_set(&pod.metadata) || !speaks_for(game_server, pod) {
        return None;
    }
    let claim = game_server.deletion_claim.as_ref();
    let claim = claim.filter(|claim| claim.pod_uid == pod.metadata.uid);
    match (reason(pod), claim) {
        (Some(reason), None) => Some(Departure::Claim(reason)),
        (None, Some(claim)) if claim_reason::is_of_others(&claim.reason) => Some(Departure::Withdraw),
        _ => None,
    }
}

/// Why the Pod is going, if it is. Who deletes a Pod as a drain does, says so before; a Pod whose deletion says nothing was just
/// deleted.
pub fn reason(pod: &PodView) -> Option<&'static str> {
    let announced = pod
        .condition(DISRUPTION_TARGET)
        .filter(|condition| condition.status == "True");
    match announced.map(|condition| condition.reason.as_deref()) {
        Some(Some("PreemptionByScheduler")) => Some(claim_reason::PREEMPTED),
        Some(_) => Some(claim_reason::EVICTED),
        None => pod.metadata.is_terminating().then_some(claim_reason::DELETED),
    }
}

/// Whether the Pod is a GameServerSet's, and not one that OpenKruise still has.
fn is_of_a_set(pod: &Meta) -> bool {
    pod.controller().is_some_and(|owner| {
        owner.kind == keys::KIND_GAME_SERVER_SET && owner.api_version.starts_with(keys::GROUP)
    })
}

/// Whether the GameServer is about this very Pod, or about whatever Pod its server has.
fn speaks_for(game_server: &GameServerView, pod: &PodView) -> bool {
    match game_server.metadata.controller() {
        Some(owner) if owner.kind == keys::KIND_GAME_SERVER_SET => pod.owner_set() == Some(&*owner.name),
        Some(owner) => owner.uid == pod.metadata.uid,
        // Made by hand or restored without owners: the name is all there is.
        None => true,
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(going: bool, conditions: Value) -> PodView {
        serde_json::from_value(json!({
            "metadata": {
                "name": "arena-0", "uid": "pod", "labels": { "game.kruise.io/owner-gss": "arena" },
                "deletionTimestamp": going.then_some("2026-01-01T00:00:00Z"),
                "ownerReferences": [{ "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "name": "arena",
                    "uid": "set", "controller": true }],
            },
            "status": { "phase": "Running", "conditions": conditions },
        }))
        .unwrap()
    }

    fn server(claim: Option<(&str, &str)>) -> GameServerView {
        serde_json::from_value(json!({
            "metadata": { "name": "arena-0", "uid": "gs", "ownerReferences": [
                { "apiVersion": "v1", "kind": "Pod", "name": "arena-0", "uid": "pod", "controller": true }] },
            "spec": {},
            "status": { "deletionClaim": claim.map(|(uid, reason)| json!({ "podUID": uid, "reason": reason, "time": "" })) },
        }))
        .unwrap()
    }

    fn target(reason: &str, status: &str) -> Value {
        json!([{ "type": "DisruptionTarget", "status": status, "reason": reason }])
    }

    #[test]
    fn a_server_that_goes_is_claimed_once_with_the_reason() {
        let claimed = |pod: &PodView| step(pod, &server(None));
        for (pod, reason) in [
            (pod(true, json!([])), "Deleted"),
            (pod(false, target("EvictionByEvictionAPI", "True")), "Evicted"),
            (pod(true, target("EvictionByEvictionAPI", "True")), "Evicted"),
            (pod(false, target("PreemptionByScheduler", "True")), "Preempted"),
            (pod(false, target("TerminationByKubelet", "True")), "Evicted"),
        ] {
            assert_eq!(claimed(&pod), Some(Departure::Claim(reason)));
            assert_eq!(step(&pod, &server(Some(("pod", reason)))), None);
            assert_eq!(
                step(&pod, &server(Some(("pod", "ScaleIn")))),
                None,
                "ours came first"
            );
            // A claim on an earlier Pod of the name, not cleared yet.
            assert_eq!(
                step(&pod, &server(Some(("earlier", "Evicted")))),
                Some(Departure::Claim(reason))
            );
        }
        assert_eq!(claimed(&pod(false, json!([]))), None);
        assert_eq!(
            claimed(&pod(false, target("EvictionByEvictionAPI", "False"))),
            None
        );
    }

    // Kubernetes takes an announcement back after two minutes in which nobody deleted the Pod.
    #[test]
    fn an_eviction_that_does_not_come_takes_its_claim_with_it() {
        let stays = pod(false, target("EvictionByEvictionAPI", "False"));
        assert_eq!(
            step(&stays, &server(Some(("pod", "Evicted")))),
            Some(Departure::Withdraw)
        );
        assert_eq!(
            step(&stays, &server(Some(("pod", "ScaleIn")))),
            None,
            "ours is final"
        );
        assert_eq!(step(&stays, &server(Some(("earlier", "Evicted")))), None);
    }

    #[test]
    fn what_is_not_this_pods_or_not_ours_is_left_alone() {
        let mut other = server(None);
        other.metadata.owner_references[0].uid = "earlier".into();
        assert_eq!(step(&pod(true, json!([])), &other), None);
        let mut kruise = pod(true, json!([]));
        kruise.metadata.owner_references[0].kind = "StatefulSet".into();
        assert_eq!(step(&kruise, &server(None)), None);
        // It outlives its Pods.
        let mut kept = server(None);
        kept.metadata.owner_references[0].kind = "GameServerSet".into();
        kept.metadata.owner_references[0].name = "arena".into();
        assert!(step(&pod(true, json!([])), &kept).is_some());
    }
}
