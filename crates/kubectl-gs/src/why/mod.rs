//! Why a server, or a set, is as it is. Pure: from what was read to findings, in words that say what to do.

mod ready;
mod server;
mod set;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::Serialize;

use api_types::{Condition, GameServer, GameServerSet};

pub use set::set;

use crate::{
    output,
    style::{Style, Tone},
    table::one_line,
};

/// What was read about a server.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// The server.
    pub server: GameServer,
    /// The Pod of its name, if there is one.
    pub pod: Option<Pod>,
    /// Its set, if it has one.
    pub set: Option<GameServerSet>,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Topic {
    /// Whether it is ready.
    Ready,
    /// Whether it goes, and why it does not.
    Deletion,
    /// Whether it has the latest template.
    Update,
    /// Whether it can be allocated.
    Allocation,
    /// Whether its Pod shows what it says.
    Sync,
    /// Whether the set has as many servers as wanted.
    Scale,
    /// What else the set says.
    Set,
}

impl Topic {
    const fn word(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Deletion => "Deletion",
            Self::Update => "Update",
            Self::Allocation => "Allocation",
            Self::Sync => "Sync",
            Self::Scale => "Scale",
            Self::Set => "Set",
        }
    }
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// On its way; nothing has to be done.
    Waits,
    /// It stays so until somebody does something, or somebody has decided it.
    Blocked,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Waits => "waits",
            Self::Blocked => "blocked",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Fine => Tone::Good,
            Self::Waits => Tone::Busy,
            Self::Blocked => Tone::Bad,
        }
    }
}

/// One thing that was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub topic: Topic,
    /// How it stands.
    pub verdict: Verdict,
    /// Why, in words.
    pub why: String,
    /// What to do, or where to look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    fn new(topic: Topic, verdict: Verdict, why: impl Into<String>) -> Self {
        Self {
            topic,
            verdict,
            why: one_line(&why.into()),
            hint: None,
        }
    }

    fn fine(topic: Topic, why: impl Into<String>) -> Self {
        Self::new(topic, Verdict::Fine, why)
    }

    fn waits(topic: Topic, why: impl Into<String>) -> Self {
        Self::new(topic, Verdict::Waits, why)
    }

    fn blocked(topic: Topic, why: impl Into<String>) -> Self {
        Self::new(topic, Verdict::Blocked, why)
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(one_line(&hint.into())),
            ..self
        }
    }
}

/// Everything about a server, at least one finding for each topic that servers have.
pub fn server(sight: &Sight, now: Timestamp) -> Vec<Finding> {
    let mut findings = ready::findings(sight, now);
    findings.extend(server::deletion(sight, now));
    findings.extend(server::update(sight));
    findings.push(server::allocation(sight));
    findings.push(server::sync(sight, now));
    findings
}

/// The findings as text, a line each, with a second line for a hint.
pub fn render(findings: &[Finding], style: Style) -> String {
    let mut lines = Vec::new();
    let mut last = None;
    for found in findings {
        let topic = if last == Some(found.topic) {
            ""
        } else {
            found.topic.word()
        };
        last = Some(found.topic);
        let topic = style.paint(&format!("{topic:<12}"), Tone::Strong);
        let verdict = style.paint(&format!("{:<9}", found.verdict.word()), found.verdict.tone());
        lines.push(format!("{topic}{verdict}{}", found.why));
        if let Some(hint) = &found.hint {
            let hint = style.paint(hint, Tone::Dim);
            lines.push(format!("{:21}-> {hint}", ""));
        }
    }
    output::lines(lines)
}

fn condition<'a>(set: &'a GameServerSet, type_: &str) -> Option<&'a Condition> {
    let conditions = set.status.as_ref()?.conditions.iter();
    conditions.into_iter().find(|condition| condition.type_ == type_)
}

/// A condition of the set that is True, in its own words.
fn trouble(set: &GameServerSet, type_: &str) -> Option<String> {
    condition(set, type_)
        .filter(|condition| condition.status == "True")
        .map(|condition| format!("{} ({})", condition.message, condition.reason))
}

#[cfg(test)]
mod tests;
