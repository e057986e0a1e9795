//! Storing, bumping and trimming ControllerRevisions.

use std::time::Instant;

use controller_kit::{
    resource::CONTROLLER_REVISION,
    write::{Created, PatchKind, Precondition, Target, WriteError},
};
use serde_json::json;

use super::Pass;
use crate::{
    build::revision::revision, error::Error, metrics, plan::revisions::RevisionStep, views::RevisionView,
};

impl Pass<'_> {
    /// Carries the history out. The wanted revision is stored before any Pod names it: a Pod of a revision that nobody knows
    /// could only be recreated.
    pub(super) async fn write_revisions(&self) -> Result<(), Error> {
        for step in &self.observed.history.revisions.steps {
            match step {
                RevisionStep::Create { number } => self.store_revision(*number).await?,
                RevisionStep::Bump {
                    name,
                    uid,
                    resource_version,
                    number,
                } => {
                    let version = Precondition::version(uid, resource_version);
                    self.bump_revision(name, version, *number).await?;
                }
                RevisionStep::Trim { name, uid } => self.trim_revision(name, uid).await?,
            }
        }
        Ok(())
    }

    async fn store_revision(&self, number: i64) -> Result<(), Error> {
        let wanted = &self.observed.history.revisions.update;
        let target = Target::new(CONTROLLER_REVISION, &self.key.namespace, &wanted.name);
        let body = revision(&self.observed.set, &wanted.name, number, &wanted.template);
        let created = self.apply.writer.create::<_, RevisionView>(&target, &body).await;
        match created.map_err(Error::during("store a revision"))? {
            Created::New(stored) => {
                metrics::revision("created");
                self.remember(stored);
                Ok(())
            }
            Created::AlreadyExists => self.look_at_revision(&target).await,
        }
    }

    /// The name is taken: by the same revision, which the cache does not show yet, or by something else.
    async fn look_at_revision(&self, target: &Target<'_>) -> Result<(), Error> {
        let read = self.apply.writer.read::<RevisionView>(target).await;
        let found = read
            .map_err(Error::during("read a revision"))?
            .ok_or(Error::Stale("the revision in the way is gone"))?;
        let wanted = self.observed.history.revisions.update.template.canonical();
        let ours = found
            .metadata
            .controller()
            .is_some_and(|owner| owner.uid == self.uid());
        let same = found
            .stored
            .as_ref()
            .is_some_and(|stored| *stored.canonical == *wanted);
        if ours {
            self.remember(found);
        } else {
            let name = target.name.to_owned();
            self.apply
                .memory
                .taken(self.key, self.uid(), name, Instant::now());
        }
        if ours && same {
            Ok(())
        } else {
            Err(Error::Stale("the name of a revision is taken"))
        }
    }

    async fn bump_revision(&self, name: &str, version: Precondition<'_>, number: i64) -> Result<(), Error> {
        let target = Target::new(CONTROLLER_REVISION, &self.key.namespace, name);
        let body = json!({ "revision": number });
        let bumped = self
            .apply
            .writer
            .patch::<RevisionView>(&target, PatchKind::Merge, version, body)
            .await;
        self.remember(bumped.map_err(Error::during("bring a revision back"))?);
        metrics::revision("bumped");
        Ok(())
    }

    async fn trim_revision(&self, name: &str, uid: &str) -> Result<(), Error> {
        let target = Target::new(CONTROLLER_REVISION, &self.key.namespace, name);
        match self.apply.writer.delete(&target, Precondition::uid(uid)).await {
            Ok(_) | Err(WriteError::Conflict(_)) => {
                metrics::revision("trimmed");
                Ok(())
            }
            Err(error) => Err(Error::during("trim the history")(error)),
        }
    }

    fn remember(&self, revision: RevisionView) {
        self.apply
            .memory
            .stored(self.key, self.uid(), revision, Instant::now());
    }
}
