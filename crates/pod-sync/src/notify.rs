//! Kubernetes events about what was written. Built after the patch was acknowledged, handed to a bounded queue, and written
//! behind everything else.

use std::time::Duration;

use api_types::{GameServerState, ops_state, views::GameServerView};
use controller_kit::{
    events::{EventRecord, Regarding},
    resource::GAME_SERVER,
};

use crate::{
    gap::Overdue,
    plan::{Change, InvalidValue, Subject},
};

/// Events about the changes of one patch.
pub(crate) fn changes(server: &GameServerView, changes: &[Change]) -> Vec<EventRecord> {
    changes
        .iter()
        .filter_map(|change| {
            Some(record(
                server,
                is_warning(change),
                "GsStateChanged",
                text(change)?,
            ))
        })
        .collect()
}

/// Events about values that could not be written.
pub(crate) fn invalid(server: &GameServerView, values: &[InvalidValue]) -> Vec<EventRecord> {
    let note = |value: &InvalidValue| {
        format!(
            "{} is {:?}, which no label can hold: not shown on the Pod. Use at most 63 letters, digits, '-', '_' or '.', \
             beginning and ending with a letter or digit",
            value.field, value.value
        )
    };
    values
        .iter()
        .map(|value| record(server, true, "InvalidLabelValue", note(value)))
        .collect()
}

/// An event about a patch the API server will never accept as a whole.
pub(crate) fn refused(server: &GameServerView, error: &str) -> EventRecord {
    let note =
        format!("the Pod shows all but what the API server refuses; change that on the GameServer: {error}");
    record(server, true, "PodPatchRefused", note)
}

/// An event about a Pod that has not shown its GameServer for too long: what lags, and why.
pub(crate) fn lagging(server: &GameServerView, changes: &[Change], overdue: &Overdue) -> EventRecord {
    let what: Vec<String> = changes
        .iter()
        .take(MAX_NAMED)
        .map(|change| {
            format!(
                "{} is still {:?} and should be {:?}",
                lags(change.subject),
                change.old,
                change.new
            )
        })
        .collect();
    let why = overdue.failure.as_deref().map_or_else(
        || "no attempt has been made yet".to_owned(),
        |failure| format!("the last attempt failed: {failure}"),
    );
    let note = format!(
        "for {:.1} s the Pod has not followed: {}; {why}",
        overdue.lasted.as_secs_f64(),
        what.join(", ")
    );
    record(server, true, "SyncGap", note)
}

/// An event about a Pod that shows its GameServer again, after [`lagging`].
pub(crate) fn healed(server: &GameServerView, lasted: Duration) -> EventRecord {
    let note = format!("the Pod shows it after {:.1} s", lasted.as_secs_f64());
    record(server, false, "SyncGapClosed", note)
}

/// Differences named in one event.
const MAX_NAMED: usize = 5;

fn lags(subject: Subject) -> &'static str {
    match subject {
        Subject::OpsState => "opsState",
        Subject::State => "state",
        Subject::UpdatePriority => "updatePriority",
        Subject::DeletionPriority => "deletionPriority",
        Subject::Network => "networkDisabled",
        Subject::Eviction => "eviction",
        Subject::GsSync => "gs-sync",
        Subject::Image => "image",
        Subject::UpdatingContainers => "updating containers",
        Subject::Bookkeeping => "generation",
    }
}

/// OpenKruiseGame's words, with their trailing space: people match on them. A first value is no change, and neither is the
/// step from Creating to Ready that every server takes once: it would be one more request for each.
fn text(change: &Change) -> Option<String> {
    let what = match change.subject {
        Subject::OpsState => "OpsState",
        Subject::State => "State",
        Subject::UpdatePriority => "UpdatePriority",
        Subject::DeletionPriority => "DeletionPriority",
        Subject::Network => "NetworkDisabled",
        // Under WhenIdle it goes with each allocation, of which there is an event already.
        Subject::Eviction
        | Subject::GsSync
        | Subject::Image
        | Subject::UpdatingContainers
        | Subject::Bookkeeping => return None,
    };
    let born = change.subject == Subject::State
        && change.old == GameServerState::Creating.as_str()
        && change.new == GameServerState::Ready.as_str();
    (!change.old.is_empty() && !born).then(|| format!("{what} turn from {} to {} ", change.old, change.new))
}

fn is_warning(change: &Change) -> bool {
    match change.subject {
        Subject::OpsState => change.new == ops_state::MAINTAINING,
        Subject::State => change.new == GameServerState::Crash.as_str(),
        _ => false,
    }
}

fn record(server: &GameServerView, warning: bool, reason: &'static str, note: String) -> EventRecord {
    let regarding = Regarding::object(&GAME_SERVER, &server.metadata);
    EventRecord {
        regarding,
        warning,
        reason: reason.into(),
        note,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::server;

    fn event(subject: Subject, old: &str, new: &str) -> Option<(bool, String)> {
        let changes = [Change {
            subject,
            old: old.into(),
            new: new.into(),
        }];
        super::changes(&server().view(), &changes)
            .pop()
            .map(|event| (event.warning, event.note))
    }

    #[test]
    fn events_use_the_known_words() {
        let normal = |text: &str| Some((false, text.to_owned()));
        assert_eq!(
            event(Subject::OpsState, "None", "Allocated"),
            normal("OpsState turn from None to Allocated ")
        );
        assert_eq!(
            event(Subject::UpdatePriority, "0", "5"),
            normal("UpdatePriority turn from 0 to 5 ")
        );
        assert_eq!(
            event(Subject::DeletionPriority, "0", "5"),
            normal("DeletionPriority turn from 0 to 5 ")
        );
        assert_eq!(
            event(Subject::Network, "false", "true"),
            normal("NetworkDisabled turn from false to true ")
        );
        assert_eq!(
            event(Subject::State, "Ready", "NotReady"),
            normal("State turn from Ready to NotReady ")
        );
    }

    #[test]
    fn a_lag_is_told_with_what_and_why() {
        let changes = [Change {
            subject: Subject::OpsState,
            old: "None".into(),
            new: "Allocated".into(),
        }];
        let mut overdue = Overdue {
            key: controller_kit::key::ObjectKey::new("games", "arena-0"),
            lasted: Duration::from_millis(5_240),
            failure: Some("conflict: the Pod has been modified".into()),
        };
        let event = lagging(&server().view(), &changes, &overdue);
        assert!(event.warning && event.reason == "SyncGap");
        assert_eq!(
            event.note,
            "for 5.2 s the Pod has not followed: opsState is still \"None\" and should be \"Allocated\"; \
             the last attempt failed: conflict: the Pod has been modified"
        );
        overdue.failure = None;
        let note = lagging(&server().view(), &changes, &overdue).note;
        assert!(
            note.ends_with("\"Allocated\"; no attempt has been made yet"),
            "{note}"
        );
        assert!(!healed(&server().view(), Duration::from_secs(6)).warning);
    }

    #[test]
    fn events_warn_of_maintenance_and_crashes() {
        assert!(event(Subject::OpsState, "None", "Maintaining").unwrap().0);
        assert!(event(Subject::State, "Ready", "Crash").unwrap().0);
    }

    #[test]
    fn events_leave_out_what_every_server_does_once() {
        assert_eq!(event(Subject::State, "Creating", "Ready"), None);
        assert_eq!(event(Subject::OpsState, "", "None"), None);
        assert_eq!(event(Subject::GsSync, "gs-sync/a", "1"), None);
        assert!(event(Subject::State, "Creating", "Crash").is_some());
    }
}
