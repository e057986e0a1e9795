//! The condition `NodeNormal` (pure).

use api_types::{GameServerCondition, keys};

use crate::views::{NodeView, PodView, Taint, Trouble};

/// How the node of a server's Pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What is wrong, the gravest first; `None` when all is well.
    pub alarm: Option<Alarm>,
    reasons: Vec<String>,
    messages: Vec<String>,
}

/// What is wrong with a node, as one word: the reason of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// There is no such node.
    NotFound,
    /// The node is being deleted.
    Terminating,
    /// A taint evicts the Pod.
    Evicting,
    /// The kubelet is not ready, or has not been heard of.
    NotReady,
    /// Another condition is not as it should be.
    Unwell,
}

impl Alarm {
    /// The event's reason.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => NODE_NOT_FOUND,
            Self::Terminating => NODE_TERMINATING,
            Self::Evicting => "NodeEvicting",
            Self::NotReady => "NodeNotReady",
            Self::Unwell => "NodeUnwell",
        }
    }
}

const NODE_NOT_FOUND: &str = "NodeNotFound";
const NODE_TERMINATING: &str = "NodeTerminating";

/// Bounds of the stored texts, in characters. The conditions of a node are anybody's to write.
const MAX_REASON: usize = 1024;
const MAX_MESSAGE: usize = 4096;

/// A Pod that is bound to no node, so that no node can be at fault.
pub(crate) fn unbound() -> Verdict {
    Verdict {
        alarm: None,
        reasons: Vec::new(),
        messages: Vec::new(),
    }
}

/// The Pod's node is not there.
pub(crate) fn missing(node: &str) -> Verdict {
    Verdict {
        alarm: Some(Alarm::NotFound),
        reasons: vec![NODE_NOT_FOUND.to_owned()],
        messages: vec![format!(
            "there is no node {node}; its Pods are removed, and made anew elsewhere"
        )],
    }
}

/// How `node` is for `pod`.
pub(crate) fn of(node: &NodeView, pod: &PodView) -> Verdict {
    let mut verdict = unbound();
    let health = &node.health;
    if health.terminating {
        let message = format!("node {} is being deleted", node.metadata.name);
        verdict.add(Alarm::Terminating, NODE_TERMINATING.to_owned(), message);
    }
    for Taint { key, value } in health.taints.iter().filter(|taint| !pod.tolerates(taint)) {
        let shown = if value.is_empty() {
            key.clone()
        } else {
            format!("{key}={value}")
        };
        let message = format!("taint {shown} of node {} evicts the Pod", node.metadata.name);
        verdict.add(Alarm::Evicting, format!("Taint:{key}"), message);
    }
    for Trouble {
        type_,
        status,
        reason,
    } in &health.troubles
    {
        let alarm = if type_ == "Ready" {
            Alarm::NotReady
        } else {
            Alarm::Unwell
        };
        let why = if reason.is_empty() { status } else { reason };
        let message = format!(
            "condition {type_} of node {} is {status}: {why}",
            node.metadata.name
        );
        verdict.add(alarm, format!("{type_}:{why}"), message);
    }
    verdict
}

impl Verdict {
    fn add(&mut self, alarm: Alarm, reason: String, message: String) {
        self.alarm.get_or_insert(alarm);
        self.reasons.push(reason);
        self.messages.push(message);
    }

    /// Whether all is well.
    pub(crate) fn is_well(&self) -> bool {
        self.alarm.is_none()
    }

    /// All that is wrong, in words.
    pub(crate) fn message(&self) -> String {
        joined(&self.messages, MAX_MESSAGE)
    }

    /// The condition that says so. `now` is RFC 3339.
    pub(crate) fn condition(&self, now: &str) -> GameServerCondition {
        let text = |texts: &[String], max| (!texts.is_empty()).then(|| joined(texts, max));
        GameServerCondition {
            type_: keys::condition::NODE_NORMAL.to_owned(),
            status: if self.is_well() { "True" } else { "False" }.to_owned(),
            last_probe_time: None,
            last_transition_time: Some(now.to_owned()),
            reason: text(&self.reasons, MAX_REASON),
            message: text(&self.messages, MAX_MESSAGE),
        }
    }
}

fn joined(texts: &[String], max: usize) -> String {
    texts.join("; ").chars().take(max).collect()
}

/// Whether both conditions say the same, whatever their times.
pub(crate) fn say_the_same(one: &GameServerCondition, other: &GameServerCondition) -> bool {
    let said = |it: &GameServerCondition| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        (it.status.clone(), text(&it.reason), text(&it.message))
    };
    said(one) == said(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{node, pod};

    #[test]
    fn the_condition_names_all_that_is_wrong_and_the_alarm_the_gravest() {
        let node = node("node-1")
            .condition("Ready", "Unknown", "NodeStatusUnknown")
            .condition("DiskPressure", "True", "")
            .taint("maintenance", "tonight", "NoExecute");
        let verdict = of(&node.view(), &pod().view());
        assert_eq!(verdict.alarm, Some(Alarm::Evicting));
        let condition = verdict.condition("2026-01-01T00:00:00Z");
        assert_eq!(
            (condition.type_.as_str(), condition.status.as_str()),
            ("NodeNormal", "False")
        );
        assert_eq!(
            condition.reason.unwrap(),
            "Taint:maintenance; Ready:NodeStatusUnknown; DiskPressure:True"
        );
        assert_eq!(
            condition.message.unwrap(),
            "taint maintenance=tonight of node node-1 evicts the Pod; \
             condition Ready of node node-1 is Unknown: NodeStatusUnknown; condition DiskPressure of node node-1 is True: True"
        );
    }

    #[test]
    fn a_tolerated_taint_is_nothing_wrong() {
        let node = node("node-1").taint("dedicated", "games", "NoExecute").view();
        assert!(!of(&node, &pod().view()).is_well());
        assert!(of(&node, &pod().tolerating("dedicated").view()).is_well());
    }

    #[test]
    fn texts_are_bounded() {
        let mut node = node("node-1");
        for number in 0..2000 {
            node = node.condition(&format!("Broken{number}"), "True", "Überlauf");
        }
        let condition = of(&node.view(), &pod().view()).condition("2026-01-01T00:00:00Z");
        assert_eq!(condition.reason.unwrap().chars().count(), MAX_REASON);
        assert_eq!(condition.message.unwrap().chars().count(), MAX_MESSAGE);
    }
}
