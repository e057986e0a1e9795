//! Taking a failed server out of its set, running; and what is told of servers that leave for reasons of their own.

use api_types::{keys::label, names};
use controller_kit::{
    resource::{GAME_SERVER, POD},
    write::{MetaOnly, PatchKind, Precondition, Target, WriteError},
};
use serde_json::{Value, json};

use super::Pass;
use crate::{
    error::Error,
    metrics,
    plan::{failures::Why, ids::Id, record::Deletion},
    views::PodView,
};

impl Pass<'_> {
    /// Takes a claimed Pod out of the set: its owner and its label go, and it stays for people to look at.
    ///
    /// The GameServer first: once the Pod is out of every controller's sight, nobody would finish what was begun.
    pub(super) async fn remove_from_set(&self, deletion: &Deletion) -> Result<(), Error> {
        let name = names::pod_name(&self.key.name, deletion.id);
        let labels = json!({ label::OWNER_GSS: null, label::REMOVED_FROM_GSS: self.key.name });
        // The set's own record of an id that outlives its Pods stays the set's: it goes with the id.
        let found = self.observed.game_servers.get(&deletion.id);
        let of_set = |owner: &api_types::OwnerRef| owner.uid == self.uid();
        if let Some(found) = found.filter(|found| !found.metadata.controller().is_some_and(of_set)) {
            let target = Target::new(GAME_SERVER, &self.key.namespace, &name);
            let uid = Precondition::uid(&found.metadata.uid);
            let body = json!({ "metadata": { "labels": labels } });
            let result = self
                .apply
                .writer
                .patch::<MetaOnly>(&target, PatchKind::Merge, uid, body)
                .await;
            match result {
                Ok(_) | Err(WriteError::NotFound | WriteError::Conflict(_)) => {}
                Err(error) => return Err(Error::during("take a GameServer out of its set")(error)),
            }
        }
        let Some(pod) = self.observed.pods.get(&deletion.id) else {
            return Err(Error::Stale("the failed Pod is gone"));
        };
        let target = Target::new(POD, &self.key.namespace, &name);
        let version = Precondition::version(&deletion.pod_uid, &pod.metadata.resource_version);
        let body = json!({ "metadata": { "labels": labels, "ownerReferences": self.other_owners(pod) } });
        self.apply
            .writer
            .patch::<MetaOnly>(&target, PatchKind::Merge, version, body)
            .await
            .map_err(Error::during("take a Pod out of its set"))?;
        metrics::pod_deleted(&deletion.reason);
        self.deletion_accepted(deletion);
        Ok(())
    }

    fn other_owners(&self, pod: &PodView) -> Vec<Value> {
        let owners = pod.metadata.owner_references.iter();
        owners
            .filter(|owner| owner.uid != self.uid())
            .map(|owner| {
                json!({
                    "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid,
                    "controller": owner.controller,
                })
            })
            .collect()
    }

    /// A server goes though players are on it.
    pub(super) fn tell_of_timeout(&self, deletion: &Deletion, players: u32) {
        let name = names::pod_name(&self.key.name, deletion.id);
        self.warning(
            "DrainTimeout",
            format!("{name} goes with {players} players on it: they had until spec.players.drainTimeoutSeconds, or were not waited for any more"),
        );
    }

    /// Failures that were counted for the first time, told when they are stored.
    pub(super) fn tell_of_failures(&self) {
        let failures = &self.plan.failures;
        for (id, why) in &failures.news {
            metrics::failure(match why {
                Why::Pod => "pod",
                Why::Reported => "reported",
                Why::Silent(_) => "silent",
            });
            self.warning("ServerFailed", self.failure(*id, *why));
        }
    }

    fn failure(&self, id: Id, why: Why) -> String {
        let failures = &self.plan.failures;
        let name = names::pod_name(&self.key.name, id);
        let what = if failures.delete.contains(id) {
            "it is replaced"
        } else if failures.remove.contains(id) {
            "it is taken out of the set and left running"
        } else {
            "it stays as it is: failurePolicy.maxFailures is reached"
        };
        format!("{name} has failed ({}): {what}", why.says())
    }
}
