//! What must hold of volume claims, revision by revision: I20.

use api_types::names;
use serde_json::Value;

use super::history::{CLAIM, Event, Objects, POD, SET};
use super::invariants::{Violation, ids};
use super::rest::{is_terminating, uid};
use super::stage::GAME;

/// What is remembered of the revisions so far.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Whether claims go with the set, and with Pods that are scaled in, as the set last said.
    deletes: [bool; 2],
}

impl Claims {
    /// One change, with the state before it.
    pub(super) fn take(&mut self, event: &Event, before: &Objects) -> Vec<Violation> {
        match event.kind {
            SET if !event.deleted => {
                let policy = &event.object["spec"]["persistentVolumeClaimRetentionPolicy"];
                self.deletes = ["whenDeleted", "whenScaled"].map(|when| policy[when] == "Delete");
                Vec::new()
            }
            CLAIM => self.claim(event, before),
            POD if !event.deleted => used(event),
            _ => Vec::new(),
        }
    }

    fn claim(&self, event: &Event, before: &Objects) -> Vec<Violation> {
        let claim = event.object.as_ref();
        let earlier = before.get(&(CLAIM, event.name.clone()));
        let earlier = earlier.filter(|earlier| uid(earlier) == uid(claim));
        let set = before
            .get(&(SET, GAME.to_owned()))
            .filter(|set| !is_terminating(set));
        let desired = set.map(|set| ids(&set["status"]["plan"]["desired"]));
        let living = names::ordinal_of(&event.name)
            .is_some_and(|id| desired.as_ref().is_some_and(|desired| desired.contains(&id)));
        let mut found = Vec::new();
        let going = |claim: &Value| is_terminating(claim);
        let ends = event.deleted || going(claim);
        if ends && !earlier.is_some_and(|earlier| going(earlier)) {
            let [with_set, with_pod] = self.deletes;
            if living {
                found.push(at(event, "the claim of a server that is wanted was deleted"));
            }
            if !(if set.is_some() { with_pod } else { with_set }) {
                found.push(at(event, "a claim was deleted that is to be retained"));
            }
        }
        if living && !ends && goes_with_pod(claim) && !earlier.is_some_and(|earlier| goes_with_pod(earlier)) {
            found.push(at(
                event,
                "the claim of a server that is wanted was made to go with its Pod",
            ));
        }
        found
    }
}

fn goes_with_pod(claim: &Value) -> bool {
    let owners = claim["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|owner| owner["kind"] == "Pod"))
}

/// A Pod uses claims of its own.
fn used(event: &Event) -> Vec<Violation> {
    let volumes = event.object["spec"]["volumes"].as_array();
    let claims = volumes
        .into_iter()
        .flatten()
        .filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str());
    claims
        .filter(|claim| !claim.ends_with(&format!("-{}", event.name)))
        .map(|claim| at(event, &format!("the Pod uses {claim}")))
        .collect()
}

fn at(event: &Event, what: &str) -> Violation {
    Violation::new(
        "I20",
        format!("{} at revision {}: {what}", event.name, event.revision),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn event(kind: &'static str, name: &str, object: Value) -> Event {
        Event {
            revision: 1,
            kind,
            name: name.to_owned(),
            deleted: false,
            object: Arc::new(object),
        }
    }

    fn set(scaled: &str) -> Event {
        let object = json!({
            "metadata": {"name": GAME, "uid": "s"},
            "spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": scaled}},
            "status": {"plan": {"desired": [0]}},
        });
        event(SET, GAME, object)
    }

    fn broken(scaled: &str, last: &Event) -> usize {
        let (mut claims, mut state) = (Claims::default(), Objects::new());
        let claim = |name: &str| event(CLAIM, name, json!({"metadata": {"uid": name}}));
        for event in [set(scaled), claim("save-game-0"), claim("save-game-1")] {
            assert_eq!(claims.take(&event, &state), []);
            state.insert((event.kind, event.name), event.object);
        }
        claims.take(last, &state).len()
    }

    #[test]
    fn claims_go_when_the_policy_says_so_and_their_server_is_not_wanted() {
        let going = |name: &str| {
            event(
                CLAIM,
                name,
                json!({"metadata": {"uid": name, "deletionTimestamp": "now"}}),
            )
        };
        assert_eq!(broken("Delete", &going("save-game-1")), 0);
        assert_eq!(broken("Delete", &going("save-game-0")), 1);
        assert_eq!(broken("Retain", &going("save-game-1")), 1);
        assert_eq!(broken("Retain", &going("save-game-0")), 2);
    }

    #[test]
    fn the_claim_of_a_wanted_server_never_goes_with_its_pod() {
        let owned = |name: &str| {
            let owners = json!([{"kind": "Pod", "uid": "p"}]);
            event(
                CLAIM,
                name,
                json!({"metadata": {"uid": name, "ownerReferences": owners}}),
            )
        };
        assert_eq!(broken("Delete", &owned("save-game-1")), 0);
        assert_eq!(broken("Delete", &owned("save-game-0")), 1);
    }

    #[test]
    fn a_pod_uses_its_own_claim() {
        let using = |claim: &str| {
            let volumes = json!([{"persistentVolumeClaim": {"claimName": claim}}, {"emptyDir": {}}]);
            event(
                POD,
                "game-1",
                json!({"metadata": {"uid": "p"}, "spec": {"volumes": volumes}}),
            )
        };
        assert_eq!(broken("Delete", &using("save-game-1")), 0);
        assert_eq!(broken("Delete", &using("save-game-0")), 1);
    }
}
