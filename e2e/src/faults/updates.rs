//! What must hold of updates, revision by revision: I7 and I17 to I19, and I1 where a server is updated in its Pod.

use std::collections::{BTreeMap, BTreeSet};

use api_types::keys::{annotation, claim_reason, label, lifecycle};
use api_types::names;
use serde_json::Value;

use super::history::{Event, GAME_SERVER, Objects, POD, SET};
use super::invariants::{Violation, ids};
use super::rest::{is_ready, is_terminating, label, owner, text, uid};
use super::stage::GAME;

/// What is remembered of the revisions so far.
#[derive(Debug, Default)]
pub(super) struct Updates {
    max_unavailable: Option<usize>,
    /// Desired ids that were available before: what comes before that is growth.
    served: BTreeSet<u32>,
    /// UIDs of Pods that were ready and were not taken out of service since. The simulated kubelet says now and then once more that a
    /// Pod has just started, and is not ready; that is nobody's doing.
    ready: BTreeSet<String>,
    /// UIDs of Pods that no controller and no user took away.
    taken: BTreeSet<String>,
    /// The template's revision that each id's latest Pod has.
    revisions: BTreeMap<u32, String>,
    /// UIDs of Pods that a stored plan named for an update.
    named: BTreeSet<String>,
}

impl Updates {
    /// `max_unavailable` is how many servers may be unavailable, where the workload is held to it; `taken` are the UIDs of Pods
    /// that neither a controller nor a user took away.
    pub(super) fn new(max_unavailable: Option<usize>, taken: BTreeSet<String>) -> Self {
        Self {
            max_unavailable,
            taken,
            ..Self::default()
        }
    }

    /// One change, with the state before it.
    pub(super) fn take(&mut self, event: &Event, before: &Objects) -> Vec<Violation> {
        let gone = event.deleted || is_terminating(&event.object);
        if gone
            && self.taken.contains(uid(&event.object))
            && let Some(id) = names::ordinal_of(&event.name)
        {
            // As if it had never been there: its absence is nobody's doing.
            self.served.remove(&id);
        }
        match event.kind {
            SET => self.set(event),
            POD if !event.deleted => self.pod(event, before),
            _ => Vec::new(),
        }
    }

    /// I17, of what is decided: a plan is stored with the version of the spec it was made from.
    fn set(&mut self, event: &Event) -> Vec<Violation> {
        let set = event.object.as_ref();
        let deleting = set["status"]["plan"]["deleting"].as_array();
        let replaced = deleting
            .into_iter()
            .flatten()
            .filter(|d| d["reason"] == claim_reason::UPDATE);
        let in_place = set["status"]["plan"]["updating"].as_array();
        let named = replaced.chain(in_place.into_iter().flatten());
        let uids: Vec<String> = named.map(|named| text(named, "/podUID").to_owned()).collect();
        let new = uids.iter().filter(|uid| !self.named.contains(*uid)).count();
        self.named.extend(uids);
        if new > 0 && is_paused(set) {
            let what = format!("{new} updates were planned while updates are paused");
            return vec![at("I17", event, &what)];
        }
        Vec::new()
    }

    fn pod(&mut self, event: &Event, before: &Objects) -> Vec<Violation> {
        let pod = event.object.as_ref();
        let find = |kind, name: &str| before.get(&(kind, name.to_owned())).map(AsRef::as_ref);
        let earlier = find(POD, &event.name).filter(|held| uid(held) == uid(pod));
        let set = find(SET, owner(pod)).filter(|set| !is_terminating(set));
        let (Some(set), Some(id)) = (set, names::ordinal_of(&event.name)) else {
            return Vec::new();
        };
        let mut found = self.moved(event, id, earlier.is_some(), set);
        let Some(earlier) = earlier else { return found };
        let [was, is] = [earlier, pod].map(|pod| label(pod, label::LIFECYCLE_STATE));
        if was != is && is == lifecycle::UPDATING {
            let protected = set["spec"]["scaleStrategy"]["protectAllocated"] == true;
            let players = find(GAME_SERVER, &event.name)
                .is_some_and(|server| text(server, "/spec/opsState") == "Allocated");
            if protected && players {
                found.push(at("I1", event, "an Allocated server was taken out of service"));
            }
        }
        if was != is && was == lifecycle::UPDATING {
            found.extend(unfinished(pod).map(|what| at("I19", event, &what)));
        }
        found
    }

    /// I17 and I18: a server goes from one revision of the template to another.
    fn moved(&mut self, event: &Event, id: u32, in_place: bool, set: &Value) -> Vec<Violation> {
        let pod = event.object.as_ref();
        let to = label(pod, label::CONTROLLER_REVISION_HASH).to_owned();
        let from = self.revisions.insert(id, to.clone());
        if from.is_none_or(|from| from == to) {
            return Vec::new();
        }
        let mut found = Vec::new();
        let knows = set["status"]["observedGeneration"] == set["metadata"]["generation"];
        if in_place && is_paused(set) && knows && !self.named.contains(uid(pod)) {
            found.push(at("I17", event, "updated in place while updates are paused"));
        }
        let desired = ids(&set["status"]["plan"]["desired"]);
        let kept = self
            .revisions
            .iter()
            .filter(|(id, of)| desired.contains(id) && **of != to)
            .count();
        let partition = &set["spec"]["updateStrategy"]["rollingUpdate"]["partition"];
        let partition = partition.as_u64().unwrap_or_default() as usize;
        if kept < partition.min(desired.len()) {
            let what = format!("updated, which leaves {kept} on the old revision; {partition} are to stay");
            found.push(at("I18", event, &what));
        }
        found
    }

    /// I7: servers that are wanted, were there before, and are not available.
    pub(super) fn available(&mut self, revision: u64, state: &Objects) -> Option<Violation> {
        let most = self.max_unavailable?;
        let set = state.get(&(SET, GAME.to_owned()))?;
        let wanted = ids(&set["status"]["plan"]["desired"]);
        let pods = state.iter().filter(|((kind, _), _)| *kind == POD);
        let mut up = BTreeSet::new();
        for ((_, name), pod) in pods.filter(|(_, pod)| !is_terminating(pod)) {
            if is_ready(pod) {
                self.ready.insert(uid(pod).to_owned());
            } else if label(pod, label::LIFECYCLE_STATE) == lifecycle::UPDATING {
                self.ready.remove(uid(pod));
            }
            if self.ready.contains(uid(pod)) {
                up.extend(names::ordinal_of(name));
            }
        }
        self.served.extend(&up);
        self.served.retain(|id| wanted.contains(id));
        let down: Vec<&u32> = self.served.difference(&up).collect();
        (down.len() > most).then(|| {
            let what = format!("servers {down:?} are unavailable at revision {revision}, allowed are {most}");
            Violation::new("I7", what)
        })
    }
}

fn at(invariant: &'static str, event: &Event, what: &str) -> Violation {
    Violation::new(
        invariant,
        format!("{} at revision {}: {what}", event.name, event.revision),
    )
}

fn is_paused(set: &Value) -> bool {
    set["spec"]["updateStrategy"]["rollingUpdate"]["paused"] == true
}

/// What of the last update in place is not done in a Pod that goes back into service.
fn unfinished(pod: &Value) -> Option<String> {
    let record = pod["metadata"]["annotations"][annotation::IN_PLACE_UPDATE_STATE].as_str()?;
    let record: Value = serde_json::from_str(record).ok()?;
    let named = |list: &Value, name: &str| {
        let found = list
            .as_array()?
            .iter()
            .find(|container| container["name"] == name);
        found.cloned()
    };
    let before = record["lastContainerStatuses"].as_object()?;
    before.iter().find_map(|(name, before)| {
        let status = named(&pod["status"]["containerStatuses"], name)?;
        let wanted = named(&pod["spec"]["containers"], name)?;
        if status["containerID"] == before["containerID"] {
            return Some(format!("back in service with container {name} as it was before"));
        }
        (status["image"] != wanted["image"])
            .then(|| format!("back in service while container {name} runs another image"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn event(revision: u64, kind: &'static str, name: &str, object: Value) -> Event {
        Event {
            revision,
            kind,
            name: name.to_owned(),
            deleted: false,
            object: Arc::new(object),
        }
    }

    fn set(rolling: &Value) -> Value {
        json!({
            "metadata": {"name": GAME, "uid": "s", "generation": 2},
            "spec": {"updateStrategy": {"rollingUpdate": rolling}, "scaleStrategy": {"protectAllocated": true}},
            "status": {"observedGeneration": 2, "plan": {"desired": ["0-2"]}},
        })
    }

    fn pod(pod_uid: &str, revision: &str, state: &str, ready: bool) -> Value {
        let ready = if ready { "True" } else { "False" };
        json!({
            "metadata": {"uid": pod_uid, "labels": {
                label::OWNER_GSS: GAME, label::CONTROLLER_REVISION_HASH: revision, label::LIFECYCLE_STATE: state,
            }},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    /// The invariants that these changes, one after the other, break.
    fn broken(events: Vec<Event>) -> Vec<&'static str> {
        let mut updates = Updates::new(Some(1), BTreeSet::new());
        let mut state = Objects::new();
        let mut found = Vec::new();
        for event in events {
            found.extend(updates.take(&event, &state));
            state.insert((event.kind, event.name.clone()), Arc::clone(&event.object));
            found.extend(updates.available(event.revision, &state));
        }
        found.into_iter().map(|violation| violation.invariant).collect()
    }

    fn running(rolling: &Value) -> Vec<Event> {
        let mut events = vec![event(1, SET, GAME, set(rolling))];
        for (revision, name) in [(2, "game-0"), (3, "game-1"), (4, "game-2")] {
            events.push(event(revision, POD, name, pod(name, "one", "Normal", true)));
        }
        events
    }

    #[test]
    fn growth_is_not_unavailability_and_two_servers_at_once_are_too_many() {
        let mut events = running(&json!({}));
        events.push(event(5, POD, "game-0", pod("game-0", "one", "Updating", false)));
        assert_eq!(broken(events.clone()), [""; 0]);
        let mut flaps = events.clone();
        flaps.push(event(6, POD, "game-1", pod("game-1", "one", "Normal", false)));
        assert_eq!(broken(flaps), [""; 0]);
        events.push(event(6, POD, "game-1", pod("game-1", "one", "Updating", false)));
        assert_eq!(broken(events.clone()), ["I7"]);
        // Back in service is who is ready again.
        events.push(event(7, POD, "game-1", pod("game-1", "two", "Normal", false)));
        assert_eq!(broken(events), ["I7", "I7"]);
    }

    #[test]
    fn nothing_changes_its_revision_while_paused() {
        let paused = json!({"paused": true});
        let mut events = running(&paused);
        events.push(event(5, POD, "game-0", pod("game-0", "two", "Updating", true)));
        assert_eq!(broken(events), ["I17"]);
        let mut planned = set(&paused);
        planned["status"]["plan"]["deleting"] = json!([{"id": 1, "podUID": "game-1", "reason": "Update"}]);
        let mut events = running(&paused);
        events.push(event(5, SET, GAME, planned));
        assert_eq!(broken(events), ["I17"]);
    }

    #[test]
    fn a_partition_holds_in_place_and_for_new_pods() {
        for moved in [
            pod("game-1", "two", "Updating", true),
            pod("new", "two", "Normal", true),
        ] {
            let mut events = running(&json!({"partition": 2}));
            events.push(event(5, POD, "game-2", pod("game-2", "two", "Updating", true)));
            assert_eq!(broken(events.clone()), [""; 0]);
            events.push(event(6, POD, "game-1", moved));
            assert_eq!(broken(events), ["I18"]);
        }
    }

    #[test]
    fn a_server_goes_back_into_service_when_its_container_was_restarted_from_the_new_image() {
        let record = json!({"lastContainerStatuses": {"game": {"containerID": "c1"}}}).to_string();
        let with = |state: &str, container: &str, image: &str| {
            let mut pod = pod("game-0", "one", state, true);
            pod["metadata"]["annotations"] = json!({annotation::IN_PLACE_UPDATE_STATE: record});
            pod["spec"] = json!({"containers": [{"name": "game", "image": "game:2"}]});
            pod["status"]["containerStatuses"] =
                json!([{"name": "game", "image": image, "containerID": container}]);
            pod
        };
        for (container, image, expected) in [
            ("c1", "game:2", &["I19"][..]),
            ("c2", "game:1", &["I19"]),
            ("c2", "game:2", &[]),
        ] {
            let mut events = running(&json!({}));
            events.push(event(5, POD, "game-0", with("Updating", "c1", "game:1")));
            events.push(event(6, POD, "game-0", with("Normal", container, image)));
            assert_eq!(broken(events), expected);
        }
    }

    #[test]
    fn players_are_not_disturbed() {
        let mut events = running(&json!({}));
        let server = json!({"metadata": {"uid": "g"}, "spec": {"opsState": "Allocated"}});
        events.push(event(5, GAME_SERVER, "game-0", server));
        events.push(event(6, POD, "game-0", pod("game-0", "one", "Updating", true)));
        assert_eq!(broken(events), ["I1"]);
    }
}
