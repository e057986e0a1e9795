//! What to write to one GameServer (pure).

use std::time::Duration;

use api_types::GameServerCondition;

use crate::{
    status::{self, Alarm, Verdict},
    views::{GameServerView, NodeView, PodView},
};

/// Everything known about one game server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed<'a> {
    /// Its Pod.
    pub pod: Option<&'a PodView>,
    /// Its GameServer.
    pub game_server: Option<&'a GameServerView>,
    /// The Pod's node.
    pub node: NodeSeen<'a>,
}

/// What is known about the node of a Pod.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NodeSeen<'a> {
    /// The Pod is bound to none.
    Unbound,
    /// It is there.
    There(&'a NodeView),
    /// It has not been there for this long.
    Missing(Duration),
}

/// What was chosen when the controller was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// How long a node may be looked for before it counts as missing.
    pub patience: Duration,
    /// Whether a server whose node was always well gets the condition too.
    pub report_normal: bool,
}

/// What to write, and when to look again though nothing changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Plan {
    /// UID of the GameServer; empty when there is nothing to write.
    pub uid: String,
    /// The label.
    pub label: Option<Label>,
    /// The condition.
    pub condition: Option<GameServerCondition>,
    /// The event that goes with the condition.
    pub warning: Option<Warning>,
    /// The node's public address and the condition beside it, where only the address is news.
    pub address: Option<Address>,
    /// When to look again.
    pub again: Option<Duration>,
}

/// This controller's part of the status, of which the address is news.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Address {
    /// The node's address; nothing where it has none any more.
    pub public_ip: Option<String>,
    /// The stored condition: what is not sent again is removed.
    pub condition: Option<GameServerCondition>,
}

/// What becomes of the label `node-name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Label {
    /// It names this node.
    Set(String),
    /// It is removed: no label can hold the node's name, and it names another one.
    Remove,
}

/// A Warning event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    /// Its reason.
    pub alarm: Alarm,
    /// The same in words.
    pub note: String,
}

impl Plan {
    /// Whether anything is to be written.
    pub(crate) fn writes(&self) -> bool {
        self.label.is_some() || self.condition.is_some() || self.address.is_some()
    }
}

/// The longest value a label can have. A node's name may have 253 characters, and is a valid label value otherwise.
const MAX_LABEL: usize = 63;

/// Decides what to write to one GameServer. `now` is RFC 3339.
pub(crate) fn plan(observed: &Observed<'_>, policy: &Policy, now: &str) -> Plan {
    // Without a Pod the record keeps what it said last; it is about to go, or waits for its next Pod.
    let (Some(pod), Some(game_server)) = (observed.pod, observed.game_server) else {
        return Plan::default();
    };
    if game_server.metadata.is_terminating() || !game_server.metadata.is_record_of(&pod.metadata) {
        return Plan::default();
    }
    let label = label(pod, game_server);
    let verdict = match observed.node {
        NodeSeen::Unbound => status::unbound(),
        NodeSeen::There(node) => status::of(node, pod),
        NodeSeen::Missing(age) if age < policy.patience => {
            return Plan {
                uid: game_server.metadata.uid.clone(),
                label,
                again: Some(policy.patience.saturating_sub(age)),
                ..Plan::default()
            };
        }
        NodeSeen::Missing(_) => status::missing(pod.node_name.as_deref().unwrap_or_default()),
    };
    let report_normal = policy.report_normal && pod.node_name.is_some();
    let (condition, warning) = condition(&verdict, game_server.condition.as_ref(), report_normal, now);
    Plan {
        uid: game_server.metadata.uid.clone(),
        label,
        address: address(observed.node, game_server, condition.as_ref()),
        condition,
        warning,
        again: None,
    }
}

/// The part of the status that goes with every write of it; `None` where nothing of it is news. A node that is not there has
/// the address it had.
fn address(
    node: NodeSeen<'_>,
    game_server: &GameServerView,
    condition: Option<&GameServerCondition>,
) -> Option<Address> {
    let stored = &game_server.public_ip;
    let public_ip = match node {
        NodeSeen::There(node) => node.public_ip.clone(),
        NodeSeen::Unbound => None,
        NodeSeen::Missing(_) => stored.clone(),
    };
    (public_ip != *stored || (condition.is_some() && public_ip.is_some())).then(|| Address {
        public_ip,
        condition: game_server.condition.clone(),
    })
}

/// The label follows the Pod's binding; while a Pod is not bound it names the node of the Pod before.
fn label(pod: &PodView, game_server: &GameServerView) -> Option<Label> {
    let node = pod.node_name.as_deref()?;
    match game_server.node_label.as_deref() {
        shown if node.len() > MAX_LABEL => shown.map(|_| Label::Remove),
        Some(shown) if shown == node => None,
        _ => Some(Label::Set(node.to_owned())),
    }
}

fn condition(
    verdict: &Verdict,
    stored: Option<&GameServerCondition>,
    report_normal: bool,
    now: &str,
) -> (Option<GameServerCondition>, Option<Warning>) {
    let condition = verdict.condition(now);
    match stored {
        // No condition says that the node has always been well; writing it would be a request for each new server.
        None if verdict.is_well() && !report_normal => return (None, None),
        Some(stored) if status::say_the_same(stored, &condition) => return (None, None),
        _ => {}
    }
    let was_well = stored.is_none_or(|stored| stored.status != "False");
    // Details that change while a node is in trouble are in the condition; a node that will not come back is news.
    let warning = verdict
        .alarm
        .filter(|alarm| was_well || *alarm == Alarm::NotFound)
        .map(|alarm| Warning {
            alarm,
            note: verdict.message(),
        });
    (Some(condition), warning)
}

#[cfg(test)]
mod tests;
