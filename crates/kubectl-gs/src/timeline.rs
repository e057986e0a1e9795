//! What happened to a server, in the order of time: from its events, its conditions and the Pod's, its containers, and who
//! wrote which of its fields. Pure.

use api_types::{GameServer, keys};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};

use crate::{
    age::parse,
    managed::writings,
    server::{annotation, claim, created, label, uid},
    style::Tone,
    table::one_line,
};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub time: Timestamp,
    /// To what, or by whom.
    pub source: String,
    /// What.
    pub text: String,
    /// How it looks.
    pub tone: Tone,
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The server.
    pub server: GameServer,
    /// The Pod of its name.
    pub pod: Option<Pod>,
    /// Events about objects of its name.
    pub events: Vec<Event>,
}

/// The timeline, earliest first.
pub fn timeline(sources: &Sources) -> Vec<Moment> {
    let mut line = Line::default();
    // What happens within a second stays in this order, which is that in which it happens.
    if let Some(pod) = &sources.pod {
        line.push(created(&pod.metadata), "Pod", "made", Tone::Dim);
    }
    line.server(&sources.server);
    line.writers(&sources.server);
    if let Some(pod) = &sources.pod {
        line.pod(pod);
        line.containers(pod);
    }
    let pod = sources.pod.as_ref().map(|pod| uid(&pod.metadata));
    for event in &sources.events {
        line.event(event, pod);
    }
    line.moments.sort_by_key(|moment| moment.time);
    line.moments.dedup();
    line.moments
}

#[derive(Default)]
struct Line {
    moments: Vec<Moment>,
}

impl Line {
    fn push(&mut self, time: Option<Timestamp>, source: &str, text: impl Into<String>, tone: Tone) {
        if let Some(time) = time {
            self.moments.push(Moment {
                time,
                source: source.to_owned(),
                text: one_line(&text.into()),
                tone,
            });
        }
    }

    fn server(&mut self, server: &GameServer) {
        const SOURCE: &str = "GameServer";
        let meta = &server.metadata;
        self.push(created(meta), SOURCE, "made", Tone::Dim);
        let deleted = meta.deletion_timestamp.as_ref().map(|time| time.0);
        self.push(deleted, SOURCE, "deleted", Tone::Warn);
        if let Some(found) = claim(server) {
            let text = format!("claimed for deletion: {}", found.reason);
            self.push(parse(Some(&found.time)), SOURCE, text, Tone::Warn);
        }
        let Some(status) = &server.status else { return };
        for found in &status.conditions {
            let time = parse(found.last_transition_time.as_deref());
            let text = verdict(
                &found.type_,
                &found.status,
                found.reason.as_deref(),
                found.message.as_deref(),
            );
            self.push(time, SOURCE, text, tone(&found.status));
        }
        for found in &status.service_qualities_conditions {
            let time = parse(found.last_transition_time.as_deref());
            let told = found.status.as_deref().unwrap_or("unknown");
            let text = verdict(&found.name, told, None, found.result.as_deref());
            self.push(time, "quality", text, Tone::Plain);
        }
        self.reports(server);
    }

    fn reports(&mut self, server: &GameServer) {
        const SOURCE: &str = "server";
        let Some(status) = &server.status else { return };
        if let Some(players) = &status.players {
            let text = format!("reported {} players", players.count);
            self.push(parse(players.reported_at.as_deref()), SOURCE, text, Tone::Plain);
        }
        if let Some(report) = &status.reported {
            let said = [
                report.state.as_ref().map(|state| format!("match {state}")),
                report.health.as_ref().map(|health| format!("health {health}")),
                report.health_reason.clone(),
            ];
            let said: Vec<String> = said.into_iter().flatten().collect();
            if !said.is_empty() {
                let text = format!("reported {}", said.join(", "));
                self.push(parse(report.reported_at.as_deref()), SOURCE, text, Tone::Plain);
            }
        }
        if let Some(network) = &status.network_status {
            let now = network.current_network_state.as_deref().unwrap_or("unknown");
            let time = parse(network.last_transition_time.as_deref());
            self.push(time, "network", format!("network {now}"), tone_of_ready(now));
        }
    }

    /// Who last wrote the spec and the metadata. Statuses are told by what is in them.
    fn writers(&mut self, server: &GameServer) {
        for found in writings(&server.metadata).filter(|found| found.subresource.is_empty()) {
            let mut fields: Vec<String> = found
                .fields_in(&["spec"])
                .into_iter()
                .map(|field| format!("spec.{field}"))
                .collect();
            for kind in ["labels", "annotations"] {
                let ours = found.fields_in(&["metadata", kind]);
                let synced = ours
                    .into_iter()
                    .filter(|key| key.starts_with(keys::GS_SYNC_PREFIX));
                fields.extend(synced.map(|key| format!("{kind} {key}")));
            }
            // One that made the object owns all of it, and that is the object's beginning.
            let made =
                found.time.map(Timestamp::as_second) == created(&server.metadata).map(Timestamp::as_second);
            if !fields.is_empty() && !made {
                let text = format!("wrote {}", fields.join(", "));
                self.push(found.time, found.manager, text, Tone::Busy);
            }
        }
    }

    fn pod(&mut self, pod: &Pod) {
        const SOURCE: &str = "Pod";
        let meta = &pod.metadata;
        if let Some(until) = &meta.deletion_timestamp {
            let grace = meta.deletion_grace_period_seconds.unwrap_or_default();
            let asked = until.0.checked_sub(jiff::SignedDuration::from_secs(grace)).ok();
            self.push(
                asked,
                SOURCE,
                format!("deleted, with {grace} s to end"),
                Tone::Warn,
            );
        }
        let status = pod.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_ref());
        for found in conditions.into_iter().flatten() {
            let time = found.last_transition_time.as_ref().map(|time| time.0);
            let text = verdict(
                &found.type_,
                &found.status,
                found.reason.as_deref(),
                found.message.as_deref(),
            );
            self.push(time, SOURCE, text, tone(&found.status));
        }
        let marks = [
            (
                keys::annotation::OPS_STATE_LAST_CHANGED,
                keys::label::GS_OPS_STATE,
                "shows opsState",
            ),
            (
                keys::annotation::STATE_LAST_CHANGED,
                keys::label::GS_STATE,
                "shows state",
            ),
            (
                keys::annotation::LIFECYCLE_TIMESTAMP,
                keys::label::LIFECYCLE_STATE,
                "entered",
            ),
        ];
        for (time, value, what) in marks {
            let value = label(meta, value).unwrap_or("?");
            self.push(
                parse(annotation(meta, time)),
                SOURCE,
                format!("{what} {value}"),
                Tone::Busy,
            );
        }
    }

    fn containers(&mut self, pod: &Pod) {
        let Some(status) = &pod.status else { return };
        let init = status.init_container_statuses.iter().flatten();
        for container in init.chain(status.container_statuses.iter().flatten()) {
            self.container(container);
        }
    }

    fn container(&mut self, container: &ContainerStatus) {
        let source = format!("container {}", container.name);
        for state in [&container.last_state, &container.state].into_iter().flatten() {
            if let Some(running) = &state.running {
                let time = running.started_at.as_ref().map(|time| time.0);
                let again = if container.restart_count > 0 {
                    format!("started, restart {}", container.restart_count)
                } else {
                    "started".to_owned()
                };
                self.push(time, &source, again, Tone::Good);
            }
            if let Some(ended) = &state.terminated {
                let time = ended.finished_at.as_ref().map(|time| time.0);
                let reason = ended.reason.as_deref().unwrap_or("no reason");
                let text = format!("ended with exit code {} ({reason})", ended.exit_code);
                let tone = if ended.exit_code == 0 {
                    Tone::Plain
                } else {
                    Tone::Bad
                };
                self.push(time, &source, text, tone);
            }
        }
    }

    fn event(&mut self, event: &Event, pod: Option<&str>) {
        let regarding = &event.involved_object;
        let kind = regarding.kind.as_deref().unwrap_or_default();
        if !matches!(kind, "Pod" | "GameServer" | "PersistentVolumeClaim" | "Service") {
            return;
        }
        let time = event
            .last_timestamp
            .as_ref()
            .map(|time| time.0)
            .or_else(|| event.event_time.as_ref().map(|time| time.0))
            .or_else(|| event.first_timestamp.as_ref().map(|time| time.0))
            .or_else(|| created(&event.metadata));
        let by = event
            .source
            .as_ref()
            .and_then(|source| source.component.as_deref());
        let by = by
            .or(event.reporting_component.as_deref())
            .filter(|by| !by.is_empty());
        let reason = event.reason.as_deref().unwrap_or("Event");
        let message = event.message.as_deref().unwrap_or_default();
        let times = match event.count {
            Some(count) if count > 1 => format!(" ({count} times)"),
            _ => String::new(),
        };
        let earlier = kind == "Pod" && regarding.uid.as_deref() != pod;
        let of = if earlier { " [earlier Pod]" } else { "" };
        let warns = event.type_.as_deref() == Some("Warning");
        let tone = if warns { Tone::Warn } else { Tone::Plain };
        self.push(
            time,
            by.unwrap_or(kind),
            format!("{reason}: {message}{times}{of}"),
            tone,
        );
    }
}

fn verdict(type_: &str, status: &str, reason: Option<&str>, message: Option<&str>) -> String {
    let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    match (given(reason), given(message)) {
        (Some(reason), Some(message)) => format!("{type_} {status}: {message} ({reason})"),
        (Some(why), None) | (None, Some(why)) => format!("{type_} {status}: {why}"),
        (None, None) => format!("{type_} {status}"),
    }
}

fn tone(status: &str) -> Tone {
    match status {
        "True" => Tone::Good,
        "False" => Tone::Warn,
        _ => Tone::Plain,
    }
}

fn tone_of_ready(state: &str) -> Tone {
    if state == "Ready" { Tone::Good } else { Tone::Warn }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sources() -> Sources {
        let server = json!({
            "metadata": {"name": "arena-3", "creationTimestamp": "2026-01-01T00:00:01Z", "managedFields": [
                {"manager": "gamekeeper-gs-controller", "time": "2026-01-01T00:00:01Z",
                    "fieldsV1": {"f:spec": {"f:opsState": {}}}},
                {"manager": "kubectl-gs", "time": "2026-01-01T00:05:00Z", "fieldsV1": {
                    "f:spec": {"f:opsState": {}},
                    "f:metadata": {"f:labels": {"f:gs-sync/match": {}, "f:mine": {}}}}},
                {"manager": "gamekeeper-gs-controller", "subresource": "status", "time": "2026-01-01T00:09:00Z",
                    "fieldsV1": {"f:status": {}}},
            ]},
            "status": {
                "conditions": [{"type": "PodNormal", "status": "False", "reason": "Unhealthy", "message": "probe\nfailed",
                    "lastTransitionTime": "2026-01-01T00:07:00Z"}],
                "deletionClaim": {"podUID": "p1", "reason": "ScaleIn", "time": "2026-01-01T00:08:00Z"},
            },
        });
        let pod = json!({
            "metadata": {"name": "arena-3", "uid": "p1", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"game.kruise.io/gs-opsState": "Allocated"},
                "annotations": {"game.kruise.io/opsState-last-changed-time": "2026-01-01T00:05:00Z"}},
            "status": {
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}],
                "containerStatuses": [{"name": "game", "image": "g", "imageID": "", "ready": true, "restartCount": 2,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:50Z"}},
                    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled",
                        "finishedAt": "2026-01-01T00:00:40Z"}}}],
            },
        });
        let event = |kind: &str, uid: &str, time: &str, reason: &str| {
            json!({
                "metadata": {"name": "e"}, "type": "Warning", "reason": reason, "message": "what", "count": 3,
                "lastTimestamp": time, "involvedObject": {"kind": kind, "uid": uid},
                "source": {"component": "kubelet"},
            })
        };
        let events = json!([
            event("Pod", "p1", "2026-01-01T00:06:00Z", "Unhealthy"),
            event("Pod", "p0", "2025-12-31T23:59:00Z", "Killing"),
            event("Lease", "x", "2026-01-01T00:06:00Z", "LeaderElection"),
        ]);
        Sources {
            server: serde_json::from_value(server).unwrap(),
            pod: Some(serde_json::from_value(pod).unwrap()),
            events: serde_json::from_value(events).unwrap(),
        }
    }

    #[test]
    fn everything_is_told_in_the_order_of_time() {
        let line: Vec<String> = timeline(&sources())
            .iter()
            .map(|moment| {
                let time = moment.time.to_string();
                format!("{} {}: {}", &time[11..19], moment.source, moment.text)
            })
            .collect();
        assert_eq!(
            line,
            [
                "23:59:00 kubelet: Killing: what (3 times) [earlier Pod]",
                "00:00:00 Pod: made",
                "00:00:01 GameServer: made",
                "00:00:40 container game: ended with exit code 137 (OOMKilled)",
                "00:00:50 container game: started, restart 2",
                "00:01:00 Pod: Ready True",
                "00:05:00 kubectl-gs: wrote spec.opsState, labels gs-sync/match",
                "00:05:00 Pod: shows opsState Allocated",
                "00:06:00 kubelet: Unhealthy: what (3 times)",
                "00:07:00 GameServer: PodNormal False: probe failed (Unhealthy)",
                "00:08:00 GameServer: claimed for deletion: ScaleIn",
            ]
        );
    }

    #[test]
    fn a_server_of_which_nothing_is_known_has_an_empty_timeline() {
        assert!(timeline(&Sources::default()).is_empty());
    }
}
