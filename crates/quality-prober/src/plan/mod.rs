//! What to probe, when, and what a result means; what to do about results (pure).

mod effects;
pub(crate) mod message;
mod probes;
mod progress;
mod record;
mod schedule;
mod target;
mod template;

pub(crate) use effects::Changes;
pub(crate) use probes::{Limits, Now, Probes, REMOVED, Run, Wanted};
pub(crate) use progress::{Sample, Verdict};
pub(crate) use record::{Acted, Record};
pub(crate) use target::{Handler, Place, Target};
#[cfg(test)]
pub(crate) use target::{Misfit, target};

use std::borrow::Cow;

use api_types::{ServiceQuality, ServiceQualityCondition};

use self::{effects::Wishes, template::Template};
use crate::{
    status,
    views::{GameServerView, PodView, SetView},
};

/// One game server as the caches, or a read, show it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed<'a> {
    /// Its set.
    pub set: &'a SetView,
    /// Its Pod.
    pub pod: &'a PodView,
    /// Its GameServer.
    pub server: &'a GameServerView,
    /// The same as it was when acting on these results was first decided.
    pub before: &'a GameServerView,
}

/// What is to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What actions change of the GameServer.
    pub changes: Changes,
    /// What will have been acted on, where that must be kept with the changes.
    pub record: Option<Record>,
    /// `status.serviceQualitiesConditions`, where it differs.
    pub conditions: Option<Vec<ServiceQualityCondition>>,
    /// Results that were looked at for actions.
    pub edges: usize,
    /// What to tell people.
    pub notices: Vec<Notice>,
}

impl Plan {
    /// Whether the GameServer itself is to be patched, not only its status.
    pub(crate) fn acts(&self) -> bool {
        self.record.is_some()
    }

    /// Whether anything is written.
    pub(crate) fn writes(&self) -> bool {
        self.acts() || self.conditions.is_some()
    }
}

/// An event on the GameServer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Whether someone should look at it.
    pub warning: bool,
    /// One word.
    pub reason: Cow<'static, str>,
    /// A sentence.
    pub note: String,
}

impl Notice {
    fn normal(reason: &'static str, note: impl Into<String>) -> Self {
        Self {
            warning: false,
            reason: reason.into(),
            note: note.into(),
        }
    }

    fn warning(reason: impl Into<Cow<'static, str>>, note: impl Into<String>) -> Self {
        Self {
            warning: true,
            reason: reason.into(),
            note: note.into(),
        }
    }
}

/// A result that is looked at for actions.
struct Edge<'a> {
    quality: &'a ServiceQuality,
    status: &'a str,
    result: String,
    /// Whether it is the first of this server.
    first: bool,
}

/// What to write for one game server. `now` is RFC 3339.
pub(crate) fn plan(observed: &Observed<'_>, now: &str) -> Plan {
    let Observed { set, pod, server, .. } = *observed;
    let gone = pod.metadata.is_terminating() || server.metadata.is_terminating();
    if gone || !pod.is_of(&set.metadata.uid) || !server.metadata.is_record_of(&pod.metadata) {
        return Plan::default();
    }
    let mut record = server.record.clone();
    // A quality that the set no longer has: one of the same name, added later, begins anew.
    record
        .0
        .retain(|name, _| set.qualities.iter().any(|it| it.name == *name));
    let mut keep = record != server.record;
    let (mut wishes, mut notices, mut edges) = (Wishes::default(), Vec::new(), Vec::new());
    let mut current = Record::default();
    for quality in &set.qualities {
        let known = known(server, &quality.name);
        let Some(edge) = edge(quality, pod, known.as_ref()) else {
            current.0.extend(known.map(|known| (quality.name.clone(), known)));
            continue;
        };
        let healthy = edge.status == "True";
        let matching = quality.service_quality_action.iter().filter(|action| {
            let wanted = action.result.as_deref().unwrap_or_default();
            action.state == healthy && (wanted.is_empty() || wanted == edge.result)
        });
        let mut ran = false;
        for action in matching {
            ran = true;
            wishes.add(&quality.name, action, &edge.result, &mut notices);
        }
        let acted = Acted {
            status: edge.status.to_owned(),
            result: edge.result.clone(),
            pod_uid: pod.metadata.uid.clone(),
            ran: ran.then(|| now.to_owned()),
        };
        // Without an action there is nothing that could be done twice: the status is record enough, unless an older
        // record would hide it.
        if ran || record.0.contains_key(&quality.name) {
            record.0.insert(quality.name.clone(), acted.clone());
            keep = true;
        }
        current.0.insert(quality.name.clone(), acted);
        edges.push(edge);
    }
    let changes = wishes.changes(server, observed.before, &mut notices);
    notices.splice(0..0, told(&edges, &changes, server));
    let conditions = status::conditions(set, pod, server, &current);
    let differs = conditions != server.conditions;
    if differs {
        notices.extend(status::unknown(set, pod, server));
    }
    Plan {
        changes,
        record: keep.then_some(record),
        conditions: differs.then_some(conditions),
        edges: edges.len(),
        notices,
    }
}

/// The result of this quality that was last looked at. Where no record is kept the status tells, so that a server taken
/// over from OpenKruiseGame is not acted on again.
fn known(server: &GameServerView, name: &str) -> Option<Acted> {
    if let Some(acted) = server.record.0.get(name) {
        return Some(acted.clone());
    }
    let shown = server.conditions.iter().find(|shown| shown.name == name)?;
    Some(Acted {
        status: shown.status.clone().unwrap_or_default(),
        result: shown.result.clone().unwrap_or_default(),
        pod_uid: String::new(),
        ran: shown.last_action_transition_time.clone(),
    })
}

/// The result of this quality, if it is to be looked at for actions now.
fn edge<'a>(quality: &'a ServiceQuality, pod: &'a PodView, known: Option<&Acted>) -> Option<Edge<'a>> {
    let condition = pod.qualities.get(&quality.name)?;
    let status = condition.status.as_str();
    if !matches!(status, "True" | "False") {
        return None;
    }
    let result = message::clean_text(condition.message.as_deref().unwrap_or_default());
    let first = known.is_none_or(|known| {
        let other_pod = !known.pod_uid.is_empty() && known.pod_uid != pod.metadata.uid;
        other_pod || known.status.is_empty()
    });
    let same = known.is_some_and(|known| known.status == status && known.result == result);
    let done = quality.permanent && known.is_some_and(|known| known.ran.is_some());
    if done || (same && !first) {
        return None;
    }
    Some(Edge {
        quality,
        status,
        result,
        first,
    })
}

/// Results that are new, with what came of them. The first of a server that changes nothing is no news.
fn told(edges: &[Edge<'_>], changes: &Changes, server: &GameServerView) -> Vec<Notice> {
    let effects = status::effects(changes, server);
    let mut told = Vec::new();
    for edge in edges {
        if edge.first && effects.is_empty() {
            continue;
        }
        let result = if edge.result.is_empty() {
            String::new()
        } else {
            format!(": {}", edge.result)
        };
        let note = format!("{} is {}{result}", edge.quality.name, edge.status);
        told.push(Notice::normal("ServiceQualityChanged", note));
    }
    if !effects.is_empty() {
        told.push(Notice::normal("ServiceQualityAction", effects.join(", ")));
    }
    told
}

/// Templates of a set that cannot be used, each with why.
pub(crate) fn unusable_templates(set: &SetView) -> Vec<String> {
    let mut unusable = Vec::new();
    for quality in &set.qualities {
        for action in &quality.service_quality_action {
            let priorities = [&action.spec.update_priority, &action.spec.deletion_priority];
            let priorities = priorities
                .into_iter()
                .flatten()
                .filter_map(|priority| match priority {
                    api_types::IntOrString::String(text) => Some(text),
                    api_types::IntOrString::Int(_) => None,
                });
            let texts = action.spec.ops_state.iter().chain(priorities);
            let texts = texts
                .chain(action.labels.values())
                .chain(action.annotations.values());
            for text in texts.filter(|text| template::is_template(text)) {
                let usable = Template::parse(text).and_then(|template| template.render(""));
                if let Err(error) = usable {
                    unusable.push(format!("{}: {text:?}: {error}", quality.name));
                }
            }
        }
    }
    unusable
}

#[cfg(test)]
mod tests;
