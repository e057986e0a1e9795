//! What must hold at every revision and of every request, whatever was injected.
//!
//! | | invariant | read from |
//! |---|---|---|
//! | I1 | no controller deletes a Pod without a claim on its GameServer, nor one that is Allocated and protected | history |
//! | I2 | never two Pods of one set and id | history |
//! | I3 | no Pod is made, or left, on an id whose reserve was acted on | history |
//! | I4 | what a Pod shows of its GameServer never goes back | history |
//! | I5 | every write names the UID it means, and the version where it acts on a decision, or is a create; no patch makes an object | ledger |
//! | I6 | everything has a living owner | end |
//! | I7 | not more servers are unavailable than the set allows | history |
//! | I8 | no Pod is deleted that a preDelete hook holds | history |
//! | I10 | the set comes to rest in time, and then nothing is written | workload |
//! | I11 | each controller writes its own fields only | ledger |
//! | I12 | requests are in proportion to what changed; none is repeated at once, again and again, after failing | ledger, clean run |
//! | I15 | no Pod is made or deleted that the stored plan did not name first | history |
//! | I16 | end state and makings equal the clean run's | end, clean run |
//! | I17 | no update is planned, and none is begun in place, while updates are paused | history |
//! | I18 | as many servers as the partition says stay on the old revision, also when one is replaced | history |
//! | I19 | a server goes back into service after an update in place when its containers run the new images | history |
//! | I20 | no volume claim of a wanted server is deleted, nor one that is to be retained; Pods use their own | history |
//!
//! I7 and I17 to I19 are in `updates`, I20 is in `claims`.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    keys::{claim_reason, lifecycle},
    names,
};
use serde::Serialize;
use serde_json::Value;

use super::claims::Claims;
use super::history::{CLAIM, Event, GAME_SERVER, History, Objects, POD, SET};
use super::ledger::Entry;
use super::outcome;
use super::ownership;
use super::rest::{controller, is_terminating, label, owner, text, uid};
use super::updates::Updates;

/// Something that must not happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// `I1` to `I20`.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

impl Violation {
    /// A violation of `invariant`.
    pub fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Self {
            invariant,
            what: what.into(),
        }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// Requests of a run, counted.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    /// Writes that took effect, by controller (its writers together), resource and name.
    pub writes: BTreeMap<String, usize>,
    /// Writes the API server itself refused as made from an old state.
    pub conflicts: usize,
}

impl Traffic {
    /// Counts the requests about game servers.
    pub fn of(entries: &[Entry]) -> Self {
        let mut traffic = Self::default();
        for entry in entries.iter().filter(|entry| entry.is_work()) {
            if entry.took_effect() {
                // `gss-controller-2` is a second writer of gss-controller; the clean run has one.
                let controller = entry.client.trim_end_matches("-2");
                let key = format!("{controller} {} {}", entry.call.resource, entry.call.name);
                *traffic.writes.entry(key).or_default() += 1;
            }
            traffic.conflicts += usize::from(entry.status == Some(409));
        }
        traffic
    }

    /// I12, against a clean run of the same workload.
    pub fn violations(&self, clean: &Self, writers: usize) -> Vec<Violation> {
        let mut found = Vec::new();
        for (key, count) in &self.writes {
            let usual = clean.writes.get(key).copied().unwrap_or_default();
            // Two writers may each say what they see, and a restart may do a little again.
            if *count > writers * (2 * usual + 10) {
                found.push(Violation::new(
                    "I12",
                    format!("{count} writes of {key}, {usual} in the clean run"),
                ));
            }
        }
        let bound = clean.conflicts + 30 * writers;
        if self.conflicts > bound {
            let what = format!("{} conflicts, at most {bound} are in proportion", self.conflicts);
            found.push(Violation::new("I12", what));
        }
        found
    }
}

/// Everything that can be checked of a finished plan without knowing the clean run.
pub fn check(history: &History, entries: &[Entry], max_unavailable: Option<usize>) -> Vec<Violation> {
    let mut found: Vec<Violation> = entries.iter().flat_map(request).collect();
    found.extend(hammering(entries));
    let mut replay = Replay {
        deleted: our_deletions(entries),
        state: Objects::new(),
        updates: Updates::new(max_unavailable, outcome::taken_by_mistake(history, entries)),
        claims: Claims::default(),
        planned: BTreeSet::new(),
        condemned: BTreeSet::new(),
        found: Vec::new(),
    };
    for event in history.ordered() {
        replay.take(&event);
    }
    found.append(&mut replay.found);
    found.extend(orphans(&history.now));
    found
}

/// I5 and I11, of one request.
fn request(entry: &Entry) -> Vec<Violation> {
    if !entry.call.mutates() || !entry.is_work() {
        return Vec::new();
    }
    let told = format!("{} {}", entry.client, entry.call);
    let mut found = Vec::new();
    if entry.call.verb != "create" && entry.uid.is_none() {
        found.push(Violation::new("I5", format!("{told}: no UID in the request")));
    }
    if entry.version.is_none() && decides(entry) {
        found.push(Violation::new(
            "I5",
            format!("{told}: no version in a request that acts on a decision"),
        ));
    }
    if entry.call.verb != "create" && entry.status == Some(201) {
        found.push(Violation::new("I5", format!("{told}: made the object")));
    }
    found.extend(
        ownership::foreign(&entry.client, &entry.call, &entry.body)
            .into_iter()
            .map(|field| Violation::new("I11", format!("{told}: wrote {field}"))),
    );
    found
}

/// Whether the request rests on a decision, so that it must be refused where the object has changed since (ADR 0004).
fn decides(entry: &Entry) -> bool {
    let patched = entry.call.verb == "patch";
    match entry.call.resource.as_str() {
        "gameserversets" | "gameserversets/status" | "persistentvolumeclaims" | "controllerrevisions" => {
            patched
        }
        "gameservers" | "gameservers/status" if entry.client.starts_with("gss-controller") => {
            // That somebody else takes its Pod is so whatever the GameServer is.
            let reason = entry.body["status"]["deletionClaim"]["reason"].as_str();
            patched && !reason.is_some_and(claim_reason::is_of_others)
        }
        "pods" | "pods/status" if entry.client.starts_with("gss-controller") => {
            let state = &entry.body["metadata"]["labels"][api_types::keys::label::LIFECYCLE_STATE];
            // Its images are changed in the Pod that was taken out of service, whatever happened to it since.
            let begins = state == lifecycle::UPDATING && entry.body["spec"].is_null();
            patched && (begins || state == lifecycle::PREPARING_UPDATE)
        }
        "pods" => patched && entry.client == "pod-sync",
        _ => false,
    }
}

/// I12: the same request sent again and again though it fails, without a pause.
fn hammering(entries: &[Entry]) -> Vec<Violation> {
    let mut runs: BTreeMap<(&str, &str, &str, &str), Vec<u64>> = BTreeMap::new();
    let mut found = Vec::new();
    for entry in entries
        .iter()
        .filter(|entry| entry.is_work() && entry.call.mutates())
    {
        let call = &entry.call;
        let key = (
            entry.client.as_str(),
            call.verb,
            call.resource.as_str(),
            call.name.as_str(),
        );
        let run = runs.entry(key).or_default();
        if entry.fault.is_none() {
            run.clear();
            continue;
        }
        run.push(entry.at);
        // Four failures in a row take at least 25 + 50 + 100 ms of backoff.
        if run.len() >= 4 && entry.at - run[run.len() - 4] < 100 {
            found.push(Violation::new(
                "I12",
                format!("{} {call}: repeated without a pause", entry.client),
            ));
            run.clear();
        }
    }
    found
}

/// UIDs of Pods that a controller deleted, with who it was.
pub(super) fn our_deletions(entries: &[Entry]) -> BTreeMap<String, String> {
    let deletes = entries
        .iter()
        .filter(|entry| entry.took_effect() && entry.call.verb == "delete" && entry.call.resource == POD);
    deletes
        .filter_map(|entry| {
            Some((
                entry.result_uid.clone().or(entry.uid.clone())?,
                entry.client.clone(),
            ))
        })
        .collect()
}

/// Walks through the history with the state before each change at hand.
struct Replay {
    deleted: BTreeMap<String, String>,
    state: Objects,
    updates: Updates,
    claims: Claims,
    /// Ids that a stored plan wanted, by UID of the set.
    planned: BTreeSet<(String, u32)>,
    /// UIDs of Pods that a stored plan named for deletion.
    condemned: BTreeSet<String>,
    found: Vec<Violation>,
}

impl Replay {
    fn take(&mut self, event: &Event) {
        match event.kind {
            POD => self.pod(event),
            SET => self.stored(&event.object),
            _ => {}
        }
        self.found.extend(self.updates.take(event, &self.state));
        self.found.extend(self.claims.take(event, &self.state));
        let key = (event.kind, event.name.clone());
        if event.deleted {
            // A later incarnation is not taken away by the end of an earlier one.
            if self
                .state
                .get(&key)
                .is_some_and(|held| uid(held) == uid(&event.object))
            {
                self.state.remove(&key);
            }
        } else {
            self.state.insert(key, event.object.clone());
        }
        self.found
            .extend(self.updates.available(event.revision, &self.state));
    }

    fn stored(&mut self, set: &Value) {
        let plan = &set["status"]["plan"];
        let wanted = ids(&plan["desired"]).into_iter();
        self.planned.extend(wanted.map(|id| (uid(set).to_owned(), id)));
        let named = plan["deleting"].as_array().into_iter().flatten();
        self.condemned
            .extend(named.map(|deletion| text(deletion, "/podUID").to_owned()));
    }

    fn at(&self, kind: &'static str, name: &str) -> Option<&Value> {
        self.state.get(&(kind, name.to_owned())).map(AsRef::as_ref)
    }

    fn say(&mut self, invariant: &'static str, event: &Event, what: &str) {
        self.found.push(Violation::new(
            invariant,
            format!("{} at revision {}: {what}", event.name, event.revision),
        ));
    }

    fn pod(&mut self, event: &Event) {
        let pod = event.object.as_ref();
        let before = self
            .at(POD, &event.name)
            .filter(|held| uid(held) == uid(pod))
            .cloned();
        let was_going = before.as_ref().is_some_and(is_terminating);
        if !was_going && (event.deleted || is_terminating(pod)) {
            self.going(event);
        }
        match before {
            Some(before) => self.shown(event, &before),
            None if !event.deleted => self.made(event),
            None => {}
        }
    }

    /// I1 and I8: a Pod's deletion begins.
    fn going(&mut self, event: &Event) {
        let pod = event.object.as_ref();
        let Some(client) = self.deleted.get(uid(pod)).cloned() else {
            return;
        };
        let Some(set) = self
            .at(SET, owner(pod))
            .filter(|set| !is_terminating(set))
            .cloned()
        else {
            return;
        };
        if !self.condemned.contains(uid(pod)) {
            self.say(
                "I15",
                event,
                &format!("{client} deleted a Pod that no stored plan named"),
            );
        }
        if let Some(server) = self.at(GAME_SERVER, &event.name).cloned() {
            let speaks = [uid(pod), uid(&set)].contains(&controller(&server));
            let protected = set["spec"]["scaleStrategy"]["protectAllocated"] == true;
            if speaks && protected && text(&server, "/spec/opsState") == "Allocated" {
                self.say("I1", event, &format!("{client} deleted an Allocated server"));
            }
            if speaks && text(&server, "/status/deletionClaim/podUID") != uid(pod) {
                self.say("I1", event, &format!("{client} deleted a Pod without a claim"));
            }
        }
        let hook = set["spec"]["lifecycle"]["preDelete"]["labelsHandler"].as_object();
        if hook.is_some_and(|labels| labels.iter().any(|(key, value)| value == label(pod, key))) {
            self.say(
                "I8",
                event,
                &format!("{client} deleted a Pod that its preDelete hook holds"),
            );
        }
    }

    /// I2 and I3: a Pod is new.
    fn made(&mut self, event: &Event) {
        let pod = event.object.as_ref();
        let id = names::ordinal_of(&event.name);
        let twin = self.state.iter().find(|((kind, name), other)| {
            *kind == POD && controller(other) == controller(pod) && names::ordinal_of(name) == id
        });
        if twin.is_some() {
            self.say("I2", event, "made while another Pod had its set and id");
        }
        if id.is_some_and(|id| !self.planned.contains(&(controller(pod).to_owned(), id))) {
            self.say("I15", event, "made though no stored plan wanted it");
        }
        let Some(set) = self.at(SET, owner(pod)) else {
            return;
        };
        let reserved = |items: &Value| id.is_some_and(|id| ids(items).contains(&id));
        if reserved(&set["spec"]["reserveGameServerIds"]) && reserved(&set["status"]["plan"]["reserved"]) {
            self.say("I3", event, "made on a reserved id");
        }
    }

    /// I4: what the Pod says of its GameServer.
    fn shown(&mut self, event: &Event, before: &Value) {
        let key = api_types::keys::annotation::SYNCED_GENERATION;
        let generation = |pod: &Value| {
            let text = pod["metadata"]["annotations"][key].as_str();
            text.and_then(|text| text.parse::<i64>().ok()).unwrap_or_default()
        };
        if generation(&event.object) < generation(before) {
            self.say("I4", event, "synced-generation went back");
        }
    }
}

/// I3 and I6, of the end.
fn orphans(now: &Objects) -> Vec<Violation> {
    let living: BTreeSet<&str> = now.values().map(|object| uid(object)).collect();
    let mut found = Vec::new();
    for ((kind, name), object) in now {
        let owner_uid = controller(object);
        let orphaned = match *kind {
            POD | GAME_SERVER => !living.contains(owner_uid),
            CLAIM => !owner_uid.is_empty() && !living.contains(owner_uid),
            _ => false,
        };
        if orphaned {
            found.push(Violation::new("I6", format!("{kind} {name} has no living owner")));
        }
        let set = now.get(&(SET, owner(object).to_owned()));
        let reserved = set.map(|set| ids(&set["spec"]["reserveGameServerIds"]));
        let id = names::ordinal_of(name);
        if *kind == POD && reserved.is_some_and(|ids| id.is_some_and(|id| ids.contains(&id))) {
            found.push(Violation::new(
                "I3",
                format!("{name} is on a reserved id at the end"),
            ));
        }
    }
    found
}

/// Ids in a list as the API has them: `3`, `"3"`, `"10-12"`. Workloads stay small, so ranges are written out.
pub fn ids(items: &Value) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for item in items.as_array().into_iter().flatten() {
        if let Some(id) = item.as_u64() {
            found.insert(id as u32);
        }
        let Some(text) = item.as_str() else { continue };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
            found.extend(first..=last.min(first.saturating_add(10_000)));
        }
    }
    found
}
