//! Creating and deleting Pods.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use api_types::{keys, names};
use controller_kit::{
    bug,
    key::ObjectKey,
    queue::ReconcileError,
    resource::POD,
    server_code,
    write::{Created, MetaOnly, PatchKind, Precondition, Target, WriteError},
};
use jiff::Timestamp;
use serde_json::json;

use super::{
    Pass,
    claim::{Claimed, Warrant},
};
use crate::{
    build::{game_api, pod},
    error::Error,
    metrics,
    plan::{Gate, hooks, ids::Id, record::Deletion},
    status::rfc3339,
    views::PodView,
};

/// Whether nothing can be created any more because the whole namespace is being deleted. The answer has a cause of its own for
/// it, which [`WriteError`] does not keep; its message has not changed since Kubernetes 1.1.
pub(super) fn is_namespace_ending(error: &WriteError) -> bool {
    matches!(error, WriteError::Forbidden(why) if why.contains("because it is being terminated"))
}

impl Pass<'_> {
    /// Creates the planned Pods, many at a time. Once the API server refuses one for what it is, no more are begun: they are
    /// all alike.
    pub(super) async fn create_pods(&self) -> Result<(), Error> {
        let refused = AtomicBool::new(false);
        let now = rfc3339(Timestamp::now());
        let work = self
            .plan
            .create
            .iter()
            .map(|id| self.create_pod_unless(&refused, *id, &now));
        self.all(work.collect()).await
    }

    async fn create_pod_unless(&self, refused: &AtomicBool, id: Id, now: &str) -> Result<(), Error> {
        if refused.load(Ordering::Relaxed) {
            return Ok(());
        }
        let result = self.create_pod(id, now).await;
        if matches!(
            &result,
            Err(Error::NamespaceEnding | Error::Create(WriteError::Invalid(_) | WriteError::Forbidden(_)))
        ) {
            refused.store(true, Ordering::Relaxed);
        }
        result
    }

    async fn create_pod(&self, id: Id, now: &str) -> Result<(), Error> {
        if !self.make_claims(id).await? {
            return Ok(());
        }
        let set = &self.observed.set;
        let name = names::pod_name(&self.key.name, id);
        let target = Target::new(POD, &self.key.namespace, &name);
        // Without a Pod of its own only a GameServer that the set owns is observed: one that survived.
        let survived = self.observed.game_servers.get(&id).map(AsRef::as_ref);
        let revisions = &self.observed.history.revisions;
        let old = self.plan.create_old.contains(id);
        let revision = if old {
            &revisions.current
        } else {
            &revisions.update
        };
        let mut body = pod::pod(set, revision, id, survived, self.apply.default_eviction, now);
        let pod_key = ObjectKey::new(self.key.namespace.clone(), name.as_str());
        if let Err(problem) = self
            .apply
            .host_ports
            .decorate(&pod_key, &mut body, Instant::now())
        {
            // A server that cannot be reached is there to be looked at; network-plugins says on its GameServer what is wrong.
            tracing::debug!(object.namespace = %pod_key.namespace, object.name = %name, message = problem.message, "no host ports");
        }
        if let Some(url) = &self.apply.game_api {
            let code = server_code::code(&self.key.namespace, &name, &server_code::secret());
            game_api::add_environment(&mut body, url, &code);
        }
        match self.apply.writer.create::<_, MetaOnly>(&target, &body).await {
            Ok(Created::New(made)) => {
                metrics::pod_created();
                self.apply
                    .memory
                    .created(self.key, self.uid(), id, &made.uid, Instant::now());
                Ok(())
            }
            Ok(Created::AlreadyExists) => self.look_who_is_there(id, &target).await,
            Err(error) => Err(self.not_created(error)),
        }
    }

    /// What it means that a Pod or a volume claim could not be created. What the API server refuses for what it is, is tried
    /// one at a time from then on.
    pub(super) fn not_created(&self, error: WriteError) -> Error {
        match error {
            WriteError::NotFound => Error::Stale("the namespace is gone"),
            error if is_namespace_ending(&error) => Error::NamespaceEnding,
            error => {
                metrics::creation_refused(error.category());
                if matches!(error, WriteError::Invalid(_) | WriteError::Forbidden(_)) {
                    self.apply.memory.creation_failed(self.key, self.uid());
                }
                Error::Create(error)
            }
        }
    }

    /// The name is taken: by our own Pod that the cache does not show yet, or by somebody else's.
    async fn look_who_is_there(&self, id: Id, target: &Target<'_>) -> Result<(), Error> {
        let found = self
            .apply
            .writer
            .read::<PodView>(target)
            .await
            .map_err(Error::during("read a Pod"))?;
        let Some(found) = found else {
            return Err(Error::Stale("the Pod in the way is gone"));
        };
        let now = Instant::now();
        let owner = found.metadata.controller();
        let name = target.name;
        let what = match owner {
            Some(owner) if owner.uid == self.uid() && found.owner_set() == Some(&self.key.name) => {
                self.apply
                    .memory
                    .created(self.key, self.uid(), id, &found.metadata.uid, now);
                return Ok(());
            }
            Some(owner) if owner.uid == self.uid() => {
                format!(
                    "Pod {name} has lost its label {}={}; put it back, or remove that Pod",
                    keys::label::OWNER_GSS,
                    self.key.name
                )
            }
            Some(owner) => format!(
                "Pod {name} exists and is controlled by {} {}; remove that Pod, and the set makes its own",
                owner.kind, owner.name
            ),
            None => format!(
                "Pod {name} exists and is controlled by nobody; remove that Pod, and the set makes its own"
            ),
        };
        metrics::creation_refused("taken");
        self.warning("FailedCreate", what.clone());
        self.apply.memory.blocked(self.key, self.uid(), id, what, now);
        Ok(())
    }

    /// Claims and deletes the planned Pods, many at a time. One that cannot be taken does not keep the others.
    pub(super) async fn delete_pods(&self, warrant: &Warrant<'_>) -> Result<(), Error> {
        self.all(
            self.plan
                .delete
                .iter()
                .map(|deletion| self.delete_pod(deletion, warrant))
                .collect(),
        )
        .await
    }

    async fn delete_pod(&self, deletion: &Deletion, warrant: &Warrant<'_>) -> Result<(), Error> {
        let late = bug::active("claim-after-delete");
        if !late && !bug::active("claim-skipped") {
            match self.claim(deletion, warrant).await? {
                Claimed::Goes => {}
                Claimed::Drains => return Ok(()),
                Claimed::TimedOut(players) => self.tell_of_timeout(deletion, players),
            }
        }
        self.may_delete(deletion, warrant).await?;
        if deletion.reason == keys::claim_reason::REMOVED {
            return self.remove_from_set(deletion).await;
        }
        self.hand_over_claims(deletion).await?;
        if let Some(hook) = hooks::pre_delete(&self.observed.set) {
            return self.delete_through(hook, deletion).await;
        }
        let name = names::pod_name(&self.key.name, deletion.id);
        let target = Target::new(POD, &self.key.namespace, &name);
        match self
            .apply
            .writer
            .delete(&target, Precondition::uid(&deletion.pod_uid))
            .await
        {
            // A conflict says that the name has another Pod by now: the one we meant is gone.
            Ok(_) | Err(WriteError::Conflict(_)) => {
                metrics::pod_deleted(&deletion.reason);
                self.deletion_accepted(deletion);
                if late {
                    self.claim(deletion, warrant).await.map(drop)
                } else {
                    Ok(())
                }
            }
            Err(error) => Err(Error::during("delete a Pod")(error)),
        }
    }

    /// Opens the readiness gates of new Pods.
    pub(super) async fn open_gates(&self) -> Result<(), Error> {
        let now = rfc3339(Timestamp::now());
        self.all(
            self.plan
                .open_gates
                .iter()
                .map(|gate| self.open_gate(gate, &now))
                .collect(),
        )
        .await
    }

    async fn open_gate(&self, gate: &Gate, now: &str) -> Result<(), Error> {
        let name = names::pod_name(&self.key.name, gate.id);
        let target = Target::status(POD, &self.key.namespace, &name);
        let open = |type_: &&str| json!({ "type": type_, "status": "True", "lastTransitionTime": now });
        let conditions: Vec<_> = gate.conditions.iter().map(open).collect();
        let body = json!({ "status": { "conditions": conditions } });
        let uid = Precondition::uid(&gate.pod_uid);
        match self
            .apply
            .writer
            .patch::<MetaOnly>(&target, PatchKind::Strategic, uid, body)
            .await
        {
            // The Pod went away: there is nothing left to open.
            Ok(_) | Err(WriteError::Conflict(_) | WriteError::NotFound) => Ok(()),
            Err(error) => Err(Error::during("open a readiness gate")(error)),
        }
    }
}
