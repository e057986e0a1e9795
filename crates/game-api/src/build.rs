//! Patches as they are sent (pure).

use api_types::Report;
use serde_json::{Value, json};

/// A merge patch of a GameServer's status with this report. Every field is in it, so that none of an earlier Pod's stays.
pub(crate) fn report(report: &Report) -> Value {
    let reported = report.reported.as_deref().map(|reported| {
        json!({
            "podUID": reported.pod_uid,
            "state": reported.state,
            "health": reported.health,
            "healthReason": reported.health_reason,
            "reportedAt": reported.reported_at,
            "heartbeatAt": reported.heartbeat_at,
        })
    });
    let players = report.players.as_ref().map(|players| {
        json!({
            "count": players.count,
            "capacity": players.capacity,
            "reportedAt": players.reported_at,
        })
    });
    json!({ "status": { "players": players, "reported": reported } })
}

/// A merge patch of a GameServer that asks for its deletion.
pub(crate) fn deletion() -> Value {
    json!({ "spec": { "markedForDeletion": true } })
}

#[cfg(test)]
mod tests {
    use api_types::{Reported, ReportedHealth};

    use super::*;

    #[test]
    fn what_is_not_said_is_taken_out() {
        let patch = report(&Report {
            players: None,
            reported: Some(Box::new(Reported {
                pod_uid: "p".into(),
                health: Some(ReportedHealth::Healthy),
                ..Reported::default()
            })),
        });
        assert_eq!(
            patch,
            json!({ "status": { "players": null, "reported": { "podUID": "p", "state": null, "health": "Healthy",
                "healthReason": null, "reportedAt": null, "heartbeatAt": null } } })
        );
    }
}
