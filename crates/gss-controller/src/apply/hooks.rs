//! From a claimed deletion to the DELETE request, through the `preDelete` hook; and what else hooks write to Pods.

use std::time::Instant;

use api_types::{
    LifecycleHook, keys,
    keys::{annotation, label},
    names,
};
use controller_kit::{
    bug,
    resource::POD,
    write::{MetaOnly, PatchKind, Precondition, Target, WriteError},
};
use jiff::Timestamp;
use serde_json::json;

use super::Pass;
use crate::{
    error::Error,
    metrics,
    observe::lifecycle,
    plan::{
        hooks,
        lifecycle::{LifecycleChange, LifecycleStep},
        record::Deletion,
    },
    status::rfc3339,
    views::PodView,
};

/// Attempts to delete one Pod whose status changes under our hands.
const ATTEMPTS: u32 = 4;

impl Pass<'_> {
    /// Deletes a claimed Pod, or tells it that it will be deleted, where the hook holds it.
    ///
    /// The deletion carries the version in which the hook did not hold the Pod: a game that blocks its deletion and is
    /// answered by the API server before our request arrives is not deleted.
    pub(super) async fn delete_through(
        &self,
        hook: &LifecycleHook,
        deletion: &Deletion,
    ) -> Result<(), Error> {
        let name = names::pod_name(&self.key.name, deletion.id);
        let target = Target::new(POD, &self.key.namespace, &name);
        let cached = self.observed.pods.get(&deletion.id);
        let mut found = match cached.filter(|pod| pod.metadata.uid == deletion.pod_uid) {
            Some(pod) => Some(PodView::clone(pod)),
            None => self.read_pod(&target).await?,
        };
        for _ in 0..ATTEMPTS {
            let Some(pod) = found.filter(|pod| pod.metadata.uid == deletion.pod_uid) else {
                self.deletion_accepted(deletion);
                return Ok(());
            };
            let game_server = self.observed.game_servers.get(&deletion.id);
            let held = hooks::holds_deletion(hook, &pod.metadata, game_server.map(AsRef::as_ref));
            if held && !bug::active("hook-ignored") {
                match self.prepare_delete(&target, &pod).await {
                    Err(WriteError::Conflict(_)) => found = self.read_pod(&target).await?,
                    result => return result.map_err(Error::during("tell a Pod of its deletion")),
                }
                continue;
            }
            let version = Precondition::version(&deletion.pod_uid, &pod.metadata.resource_version);
            match self.apply.writer.delete(&target, version).await {
                Ok(_) => {
                    metrics::pod_deleted(&deletion.reason);
                    self.deletion_accepted(deletion);
                    return Ok(());
                }
                Err(WriteError::Conflict(_)) => found = self.read_pod(&target).await?,
                Err(error) => return Err(Error::during("delete a Pod")(error)),
            }
        }
        Err(Error::Stale("the Pod keeps changing"))
    }

    /// State `PreparingDelete`, which whoever serves the hook waits for. It carries the version that was looked at: a cache that
    /// does not show the state yet must not write it again, with a new time, or the wait would seem to begin anew.
    async fn prepare_delete(&self, target: &Target<'_>, pod: &PodView) -> Result<(), WriteError> {
        if pod.metadata.is_terminating() || lifecycle(pod) == keys::lifecycle::PREPARING_DELETE {
            return Ok(());
        }
        let body = state(keys::lifecycle::PREPARING_DELETE);
        let version = Precondition::version(&pod.metadata.uid, &pod.metadata.resource_version);
        let result = self
            .apply
            .writer
            .patch::<MetaOnly>(target, PatchKind::Merge, version, body)
            .await;
        result.map(|_| metrics::hook_entered())
    }

    async fn read_pod(&self, target: &Target<'_>) -> Result<Option<PodView>, Error> {
        let live = self.apply.writer.read::<PodView>(target).await;
        live.map_err(Error::during("read a Pod"))
    }

    pub(super) fn deletion_accepted(&self, deletion: &Deletion) {
        let now = Instant::now();
        self.apply
            .memory
            .deleted(self.key, self.uid(), &deletion.pod_uid, now);
    }

    /// Takes the planned lifecycle steps of Pods.
    pub(super) async fn write_lifecycle(&self) -> Result<(), Error> {
        let steps = self.plan.lifecycle.iter();
        self.all(steps.map(|step| self.write_step(step)).collect()).await
    }

    async fn write_step(&self, step: &LifecycleStep) -> Result<(), Error> {
        let name = names::pod_name(&self.key.name, step.id);
        let target = Target::new(POD, &self.key.namespace, &name);
        let version = Precondition::version(&step.pod_uid, &step.resource_version);
        let (target, kind, body) = match &step.change {
            LifecycleChange::InService => (target, PatchKind::Merge, state(keys::lifecycle::NORMAL)),
            LifecycleChange::Readiness { ready, message } => {
                let condition = json!({
                    "type": keys::KRUISE_POD_READY,
                    "status": if *ready { "True" } else { "False" },
                    "message": message,
                    "lastTransitionTime": rfc3339(Timestamp::now()),
                });
                let status = Target::status(POD, &self.key.namespace, &name);
                (
                    status,
                    PatchKind::Strategic,
                    json!({ "status": { "conditions": [condition] } }),
                )
            }
        };
        let result = self
            .apply
            .writer
            .patch::<MetaOnly>(&target, kind, version, body)
            .await;
        result
            .map(drop)
            .map_err(Error::during("change a Pod's lifecycle"))
    }
}

/// The patch that puts a Pod into a lifecycle state.
fn state(name: &str) -> serde_json::Value {
    json!({ "metadata": {
        "labels": { label::LIFECYCLE_STATE: name },
        "annotations": { annotation::LIFECYCLE_TIMESTAMP: rfc3339(Timestamp::now()) },
    } })
}
