//! What actions change of a GameServer (pure).

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    GameServerContainer, GameServerSpec, IntOrString, ServiceQualityAction, label::is_label_value, ops_state,
    views::StringMap,
};

use super::{
    Notice,
    template::{is_template, rendered},
};
use crate::views::GameServerView;

/// Fields to change, with their new values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// `spec.opsState`.
    pub ops_state: Option<String>,
    /// `spec.updatePriority`.
    pub update_priority: Option<IntOrString>,
    /// `spec.deletionPriority`.
    pub deletion_priority: Option<IntOrString>,
    /// `spec.networkDisabled`.
    pub network_disabled: Option<bool>,
    /// `spec.containers`, all of them.
    pub containers: Option<Vec<GameServerContainer>>,
    /// Labels to set.
    pub labels: BTreeMap<String, String>,
    /// Annotations to set.
    pub annotations: BTreeMap<String, String>,
}

impl Changes {
    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the actions of some results want, later ones over earlier ones.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    spec: GameServerSpec,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Wishes {
    /// Adds an action that runs for `result` of `quality`. What cannot be written is left out and told.
    pub(super) fn add(
        &mut self,
        quality: &str,
        action: &ServiceQualityAction,
        result: &str,
        notices: &mut Vec<Notice>,
    ) {
        let mut fill = |field: &str, text: &str| match rendered(text, result) {
            Ok(text) => Some(text),
            Err(error) => {
                let note = format!("{quality}: {field} {text:?} is left as it is: {error}");
                notices.push(Notice::warning("InvalidTemplate", note));
                None
            }
        };
        let spec = &action.spec;
        let ops_state = spec.ops_state.as_deref().filter(|text| !text.is_empty());
        let ops_state = ops_state.and_then(|text| fill("opsState", text));
        let update = spec
            .update_priority
            .as_ref()
            .and_then(|it| priority(it, |text| fill("updatePriority", text)));
        let deletion = spec
            .deletion_priority
            .as_ref()
            .and_then(|it| priority(it, |text| fill("deletionPriority", text)));
        let labels: Vec<_> = filled(&action.labels, "label", &mut fill);
        self.annotations
            .extend(filled(&action.annotations, "annotation", &mut fill));
        if let Some(text) = ops_state {
            // A template that writes nothing wants nothing.
            match is_label_value(&text) {
                true if text.is_empty() => {}
                true => self.spec.ops_state = Some(text),
                false => notices.push(unfit("InvalidOpsState", quality, "opsState", &text, LABEL)),
            }
        }
        let (reason, place) = ("InvalidUpdatePriority", &mut self.spec.update_priority);
        notices.extend(prioritise(quality, "updatePriority", reason, update, place));
        let (reason, place) = ("InvalidDeletionPriority", &mut self.spec.deletion_priority);
        notices.extend(prioritise(quality, "deletionPriority", reason, deletion, place));
        for (key, text) in labels {
            if is_label_value(&text) {
                self.labels.insert(key, text);
            } else {
                notices.push(unfit("InvalidLabelValue", quality, &key, &text, LABEL));
            }
        }
        self.spec.network_disabled = spec.network_disabled.or(self.spec.network_disabled);
        for container in &spec.containers {
            merge_container(&mut self.spec.containers, container);
        }
    }

    /// What of this differs from the server as it is. A field that somebody else changed after the decision was made keeps
    /// what they wrote: `before` is the server as it was then.
    pub(super) fn changes(
        self,
        server: &GameServerView,
        before: &GameServerView,
        notices: &mut Vec<Notice>,
    ) -> Changes {
        let mut theirs = BTreeSet::new();
        let mut changes = Changes::default();
        let (now, then) = (&server.spec, &before.spec);
        if let Some(wanted) = self.spec.ops_state {
            changes.ops_state = ops_state_change(wanted, server, before, &mut theirs, notices);
        }
        changes.update_priority = change(
            self.spec.update_priority,
            |spec| spec.update_priority.as_ref(),
            (now, then),
            "updatePriority",
            &mut theirs,
        );
        changes.deletion_priority = change(
            self.spec.deletion_priority,
            |spec| spec.deletion_priority.as_ref(),
            (now, then),
            "deletionPriority",
            &mut theirs,
        );
        changes.network_disabled = change(
            self.spec.network_disabled,
            |spec| spec.network_disabled.as_ref(),
            (now, then),
            "networkDisabled",
            &mut theirs,
        );
        if !self.spec.containers.is_empty() {
            if now.containers == then.containers {
                let mut merged = now.containers.clone();
                for container in &self.spec.containers {
                    merge_container(&mut merged, container);
                }
                changes.containers = Some(merged).filter(|merged| *merged != now.containers);
            } else {
                theirs.insert("containers".to_owned());
            }
        }
        let (labels, annotations) = (&server.metadata.labels, &server.metadata.annotations);
        changes.labels = entries(self.labels, labels, &before.metadata.labels, &mut theirs);
        changes.annotations = entries(
            self.annotations,
            annotations,
            &before.metadata.annotations,
            &mut theirs,
        );
        notices.extend(yielded(theirs));
        changes
    }
}

const LABEL: &str =
    "a label holds at most 63 letters, digits, '-', '_' or '.', beginning and ending with a letter or digit";
const NUMBER: &str = "a priority is a whole number of at least 0";

fn unfit(reason: &'static str, quality: &str, field: &str, text: &str, rule: &str) -> Notice {
    Notice::warning(
        reason,
        format!("{quality}: {field} is left as it is: it would be {text:?}, and {rule}"),
    )
}

/// Says which fields were left to others.
fn yielded(theirs: BTreeSet<String>) -> Option<Notice> {
    let fields: Vec<_> = theirs.into_iter().collect();
    let note = format!(
        "left to whoever changed it at the same time: {}",
        fields.join(", ")
    );
    (!fields.is_empty()).then(|| Notice::warning("ActionYielded", note))
}

/// Takes a priority over, where one is wanted; one that is no number is told.
fn prioritise(
    quality: &str,
    field: &str,
    reason: &'static str,
    wanted: Option<Result<IntOrString, String>>,
    place: &mut Option<IntOrString>,
) -> Option<Notice> {
    match wanted? {
        Ok(number) => {
            *place = Some(number);
            None
        }
        Err(text) => Some(unfit(reason, quality, field, &text, NUMBER)),
    }
}

fn filled(
    map: &BTreeMap<String, String>,
    what: &str,
    mut fill: impl FnMut(&str, &str) -> Option<String>,
) -> Vec<(String, String)> {
    let filled = map
        .iter()
        .map(|(key, text)| (key, fill(&format!("{what} {key}"), text)));
    filled
        .filter_map(|(key, text)| Some((key.clone(), text?)))
        .collect()
}

/// A number, or what is none; plain values are used as they are, templates must become a number.
fn priority(
    value: &IntOrString,
    fill: impl FnOnce(&str) -> Option<String>,
) -> Option<Result<IntOrString, String>> {
    let checked = |number: i64, wanted: IntOrString, text: String| {
        if (0..=999_999_999_999_999_999).contains(&number) {
            Ok(wanted)
        } else {
            Err(text)
        }
    };
    match value {
        IntOrString::Int(number) => Some(checked(*number, value.clone(), number.to_string())),
        IntOrString::String(text) if is_template(text) => {
            let text = fill(text)?;
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            Some(match text.parse() {
                Ok(number) if digits => checked(number, IntOrString::Int(number), text),
                _ => Err(text),
            })
        }
        IntOrString::String(text) => {
            let digits =
                !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
            Some(if digits {
                Ok(value.clone())
            } else {
                Err(text.clone())
            })
        }
    }
}

fn ops_state_change(
    wanted: String,
    server: &GameServerView,
    before: &GameServerView,
    theirs: &mut BTreeSet<String>,
    notices: &mut Vec<Notice>,
) -> Option<String> {
    let shown = ops_state::normalise(server.spec.ops_state.as_deref());
    if shown == wanted {
        return None;
    }
    if shown != ops_state::normalise(before.spec.ops_state.as_deref()) {
        theirs.insert(format!("opsState, now {shown}"));
        return None;
    }
    if server.claimed && wanted == ops_state::ALLOCATED {
        let note = "opsState is left as it is: the server is being taken away and cannot become Allocated";
        notices.push(Notice::warning("ServerIsGoing", note));
        return None;
    }
    Some(wanted)
}

fn change<T: PartialEq + std::fmt::Display>(
    wanted: Option<T>,
    field: impl Fn(&GameServerSpec) -> Option<&T>,
    (now, then): (&GameServerSpec, &GameServerSpec),
    name: &str,
    theirs: &mut BTreeSet<String>,
) -> Option<T> {
    let wanted = wanted?;
    let shown = field(now);
    if shown == Some(&wanted) {
        return None;
    }
    if shown != field(then) {
        theirs.insert(format!(
            "{name}, now {}",
            shown.map_or_else(|| "absent".to_owned(), ToString::to_string)
        ));
        return None;
    }
    Some(wanted)
}

fn entries(
    wanted: BTreeMap<String, String>,
    now: &StringMap,
    then: &StringMap,
    theirs: &mut BTreeSet<String>,
) -> BTreeMap<String, String> {
    let mut changes = BTreeMap::new();
    for (key, value) in wanted {
        if now.get(&key) == Some(value.as_str()) {
            continue;
        }
        if now.get(&key) == then.get(&key) {
            changes.insert(key, value);
        } else {
            theirs.insert(key);
        }
    }
    changes
}

/// Puts what `from` gives over the entry of its name.
fn merge_container(containers: &mut Vec<GameServerContainer>, from: &GameServerContainer) {
    let Some(known) = containers
        .iter_mut()
        .find(|container| container.name == from.name)
    else {
        containers.push(from.clone());
        return;
    };
    if from.image.is_some() {
        known.image.clone_from(&from.image);
    }
    if let Some(resources) = &from.resources {
        let known = known.resources.get_or_insert_with(Default::default);
        known.limits.extend(resources.limits.clone());
        known.requests.extend(resources.requests.clone());
        if !resources.claims.is_empty() {
            known.claims.clone_from(&resources.claims);
        }
    }
}
