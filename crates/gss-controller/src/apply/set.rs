//! Writes to the set itself, and to GameServers that outlive their Pods.

use std::time::{Duration, Instant};

use api_types::{
    GameServerSetStatus,
    keys::{annotation, condition, label},
};
use controller_kit::{
    bug,
    resource::{GAME_SERVER, GAME_SERVER_SET, POD},
    write::{MetaOnly, PatchKind, Precondition, Target, WriteError},
};
use serde_json::{Value, json};

use super::{Pass, claim::Warrant};
use crate::{
    build::record::plan_patch,
    error::Error,
    metrics,
    plan::survivors::{SurvivorChange, SurvivorStep},
    status::{StatusReport, failures_patch, status_patch},
    views::PodView,
};

/// The least time between two status writes of a set that is not at rest.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// The least time between two status writes of which only the players are news.
pub(crate) const PLAYERS_INTERVAL: Duration = Duration::from_secs(5);

/// What became of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusWrite {
    /// It is stored, or was already.
    Done,
    /// It will be joined with what changes until then.
    In(Duration),
}

impl<'a> Pass<'a> {
    /// Writes `spec.replicas` for servers with opsState `Kill`.
    pub(super) async fn lower_replicas(&mut self, replicas: u64) -> Result<(), Error> {
        let before = self.observed.set.spec.replicas;
        self.patch_set(None, json!({ "spec": { "replicas": replicas } }))
            .await
            .map_err(Error::during("lower replicas for Kill"))?;
        let killed = u64::try_from(before).unwrap_or(0).saturating_sub(replicas);
        self.normal(
            "Kill",
            format!("servers with opsState Kill: {killed}; replicas lowered from {before} to {replicas}"),
        );
        Ok(())
    }

    /// Stores the plan record.
    pub(super) async fn store_record(&mut self) -> Result<Warrant<'a>, Error> {
        let record = &self.plan.scale.record;
        if bug::active("plan-not-stored") {
            let now = Some(Instant::now());
            return Ok(Warrant::new(
                &self.apply.writer,
                &self.observed.set,
                record.clone(),
                now,
            ));
        }
        let stored = plan_patch(&record.to_api(self.observed.set.metadata.generation));
        let mut body = json!({ "status": { "plan": stored } });
        if !self.plan.failures.news.is_empty() {
            body["status"]["failures"] = json!(self.plan.failures.next.as_ref().map(failures_patch));
        }
        let sent = Instant::now();
        let result = self.patch_set(Some("status"), body).await;
        metrics::plan_stored(if result.is_ok() { "stored" } else { "refused" });
        result.map_err(Error::during("store the plan"))?;
        self.tell_of_failures();
        let before = self
            .observed
            .record
            .as_ref()
            .map_or(0, |record| record.desired.len());
        let after = record.desired.len();
        if before != after {
            self.normal("Scale", format!("scale from {before} to {after}"));
        }
        Ok(Warrant::new(
            &self.apply.writer,
            &self.observed.set,
            record.clone(),
            Some(sent),
        ))
    }

    /// A warrant for a plan that decides nothing anew: the record is the cached one, and is read again before it is used.
    pub(super) fn standing_warrant(&self) -> Warrant<'a> {
        let record = self.observed.record.clone().unwrap_or_default();
        Warrant::new(&self.apply.writer, &self.observed.set, record, None)
    }

    /// Writes the reserves; the answer is why the API server will not have them.
    pub(super) async fn write_reserves(&mut self) -> Result<Option<String>, Error> {
        let Some(reserves) = self
            .plan
            .reserves
            .as_ref()
            .filter(|_| !bug::active("reserves-not-written"))
        else {
            return Ok(None);
        };
        let mut body =
            json!({ "metadata": { "annotations": { annotation::RESERVE_IDS: reserves.annotation } } });
        if let Some(ids) = &reserves.spec {
            body["spec"] = json!({ "reserveGameServerIds": ids });
        }
        match self.patch_set(None, body).await {
            Ok(()) => Ok(None),
            Err(WriteError::Invalid(why)) => Ok(Some(why)),
            Err(error) => Err(Error::during("write the reserves")(error)),
        }
    }

    /// Writes the status if it differs from the stored one and is due.
    pub(crate) async fn report(&mut self, report: &StatusReport) -> Result<StatusWrite, Error> {
        let stored = &self.observed.set.status;
        if report.status == *stored && written() == StatusWrite::Done {
            return Ok(StatusWrite::Done);
        }
        let age = self.apply.memory.status_age(self.key, self.uid(), Instant::now());
        let players_only = differs_in_players_only(&report.status, stored);
        let interval = if players_only {
            PLAYERS_INTERVAL
        } else {
            STATUS_INTERVAL
        };
        let wait = interval.saturating_sub(age.unwrap_or(interval));
        if !wait.is_zero() && (players_only || !report.settled) {
            return Ok(StatusWrite::In(wait));
        }
        self.patch_set(Some("status"), status_patch(&report.status))
            .await
            .map_err(Error::during("write the status"))?;
        self.apply
            .memory
            .status_written(self.key, self.uid(), Instant::now());
        for (type_, event) in [
            (condition::SCALE_IN_BLOCKED, "ScaleInBlocked"),
            (condition::UPDATE_BLOCKED, "UpdateBlocked"),
            (condition::DEGRADED, "Degraded"),
            (condition::HOOK_BLOCKED, "HookBlocked"),
            (condition::VOLUME_BLOCKED, "VolumeBlocked"),
            (condition::NEEDS_INTERVENTION, "NeedsIntervention"),
            (condition::EVICTION_ADVICE, "EvictionAdvice"),
        ] {
            let now = report
                .status
                .conditions
                .iter()
                .find(|found| found.type_ == type_ && found.status == "True");
            let Some(now) = now else { continue };
            if !stored
                .conditions
                .iter()
                .any(|old| old.type_ == type_ && old.status == "True" && old.reason == now.reason)
            {
                match (type_, now.reason.as_str()) {
                    (condition::SCALE_IN_BLOCKED, _) => metrics::scale_in_blocked(),
                    (condition::UPDATE_BLOCKED, "InPlaceUpdateStuck") => metrics::update_stuck(),
                    (condition::UPDATE_BLOCKED, _) => metrics::update_blocked(),
                    _ => {}
                }
                let reason = match &*now.reason {
                    "FailedCreate" => "FailedCreate",
                    "BudgetConflict" => "BudgetConflict",
                    _ => event,
                };
                self.warning(reason, now.message.clone());
            }
        }
        self.tell_of_updates(&report.status);
        Ok(written())
    }

    /// The beginning and the end of an update, told when the status that shows it is stored.
    fn tell_of_updates(&self, now: &GameServerSetStatus) {
        let before = &self.observed.set.status;
        let (Some(old), Some(new)) = (&before.update_revision, &now.update_revision) else {
            return;
        };
        if old != new {
            let back = before.revisions.iter().any(|known| known.name == *new);
            let to = if back { "back to revision" } else { "to revision" };
            let servers = now.current_replicas - now.updated_replicas;
            self.normal(
                "UpdateStarted",
                format!("update {to} {new}; servers that have another one: {servers}"),
            );
        }
        if before.current_revision != before.update_revision && now.current_revision == now.update_revision {
            self.normal(
                "UpdateFinished",
                format!("every server has revision {new}: {}", now.updated_replicas),
            );
        }
    }

    async fn patch_set(&mut self, subresource: Option<&'static str>, body: Value) -> Result<(), WriteError> {
        let meta = &self.observed.set.metadata;
        let target = Target {
            subresource,
            ..Target::new(GAME_SERVER_SET, &meta.namespace, &meta.name)
        };
        let version = Precondition::version(&meta.uid, &self.version);
        let answer = self
            .apply
            .writer
            .patch::<MetaOnly>(&target, PatchKind::Merge, version, body)
            .await?;
        self.wrote_set(answer.resource_version);
        Ok(())
    }

    /// Brings GameServers that outlive their Pods in line with the plan.
    pub(super) async fn write_survivors(&self) -> Result<(), Error> {
        self.all(
            self.plan
                .survivors
                .iter()
                .map(|step| self.write_survivor(step))
                .collect(),
        )
        .await
    }

    /// Whether the API server still has this very Pod.
    async fn is_there(&self, name: &str, pod_uid: &str) -> Result<bool, Error> {
        let pod = Target::new(POD, &self.key.namespace, name);
        let live = self.apply.writer.read::<PodView>(&pod).await;
        let live = live.map_err(Error::during("read a Pod"))?;
        Ok(live.is_some_and(|pod| pod.metadata.uid == pod_uid))
    }

    async fn write_survivor(&self, step: &SurvivorStep) -> Result<(), Error> {
        let namespace = &self.key.namespace;
        let (target, body) = match &step.change {
            SurvivorChange::MarkDeleting(marked) => {
                let labels = json!({ label::GS_DELETING: marked.to_string() });
                (
                    Target::new(GAME_SERVER, namespace, &step.name),
                    json!({ "metadata": { "labels": labels } }),
                )
            }
            SurvivorChange::Unmark { pod_uid } | SurvivorChange::ClearClaim { pod_uid } => {
                // The Pod cache may be behind the GameServer cache: a claim on a Pod that is still there stays.
                if self.is_there(&step.name, pod_uid).await? {
                    return Ok(());
                }
                match step.change {
                    SurvivorChange::Unmark { .. } => (
                        Target::new(GAME_SERVER, namespace, &step.name),
                        json!({ "spec": { "markedForDeletion": null } }),
                    ),
                    _ => (
                        Target::status(GAME_SERVER, namespace, &step.name),
                        json!({ "status": { "deletionClaim": null } }),
                    ),
                }
            }
        };
        let version = Precondition::version(&step.uid, &step.resource_version);
        let result = self
            .apply
            .writer
            .patch::<MetaOnly>(&target, PatchKind::Merge, version, body)
            .await;
        result
            .map(drop)
            .map_err(Error::during("write a surviving GameServer"))
    }
}

/// Players come and go all the time; what else a status says does not wait for them.
fn differs_in_players_only(now: &GameServerSetStatus, stored: &GameServerSetStatus) -> bool {
    let without = GameServerSetStatus {
        players: stored.players.clone(),
        ..now.clone()
    };
    without == *stored && now.players != stored.players
}

/// What follows a status that is stored: nothing.
fn written() -> StatusWrite {
    if bug::active("writes-at-rest") {
        return StatusWrite::In(STATUS_INTERVAL / 5);
    }
    StatusWrite::Done
}
