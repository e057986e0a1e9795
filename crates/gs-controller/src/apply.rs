//! Carries out a plan.

use std::{sync::Arc, time::Instant};

use api_types::{keys, views::Meta};
use controller_kit::{
    echo::Version,
    events::{EventRecord, Events, Regarding},
    key::ObjectKey,
    queue::Next,
    resource,
    write::{Created, MetaOnly, PatchKind, Precondition, Target, WriteError, Writer},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::Error,
    memory::Memory,
    metrics::{self, Deletion},
    observe::Snapshot,
    plan::{Creation, Plan, StatusStep, Update},
    status::Desired,
    views::{Belonging, PodView},
};

/// Event reason: a server's record was made anew because the earlier one belonged to another Pod.
const RECREATED: &str = "GameServerRecreated";

/// What it takes to carry out plans.
#[derive(Clone)]
pub(crate) struct Apply {
    /// Writes under this controller's field manager.
    pub writer: Writer,
    /// Where events go.
    pub events: Events,
    /// What is remembered between runs.
    pub memory: Arc<Memory>,
}

impl Apply {
    /// Carries out `plan`, which was made from `snapshot`. `now` is RFC 3339, the time the plan was made for.
    ///
    /// # Errors
    /// Any write that failed, except one to a GameServer that is gone: its own event brings the key back.
    pub(crate) async fn carry_out(
        &self,
        key: &ObjectKey,
        plan: Plan,
        snapshot: &Snapshot,
        now: &str,
    ) -> Result<Next, Error> {
        match plan {
            Plan::Rest => {
                self.memory.settled(key);
                Ok(Next::Done)
            }
            Plan::AwaitSet => Err(Error::SetNotSeen),
            Plan::Wait(left) => Ok(Next::After(left)),
            Plan::Create(creation) => self.create(key, creation, snapshot).await,
            Plan::Retire {
                uid,
                resource_version,
            } => self.retire(key, &uid, &resource_version).await,
            Plan::Update(update) => self.update(key, update, snapshot, now).await,
        }
    }

    async fn create(&self, key: &ObjectKey, creation: Creation, snapshot: &Snapshot) -> Result<Next, Error> {
        if self.memory.outlived(key) && !self.pod_lives(key, snapshot).await? {
            // Its own event is on the way and brings the key back.
            return Ok(Next::Done);
        }
        let target = game_server(key);
        if let Some(uid) = &creation.replaces {
            let deleted = self.writer.delete(&target, Precondition::uid(uid)).await;
            deleted.map_err(Error::write("delete the GameServer of an earlier Pod"))?;
            metrics::deleted(Deletion::Replaced);
        }
        let created: Created<MetaOnly> = self
            .writer
            .create(&target, &creation.body)
            .await
            .map_err(Error::write("create the GameServer"))?;
        let Created::New(made) = created else {
            return self.name_taken(key, snapshot.pod.as_deref()).await;
        };
        metrics::created();
        self.remember(key, &made);
        if creation.replaces.is_some() {
            let note = "the Pod was recreated; this GameServer starts from the defaults".to_owned();
            self.publish(key, &made.uid, false, RECREATED.to_owned(), note);
        }
        Ok(Next::Done)
    }

    /// Whether the Pod in the cache is alive. Asked only where a second GameServer would be made for it: the first one
    /// may have been collected with the Pod, and its event came first. A record of a server that is gone would be shown
    /// to users, and to allocators, until the garbage collector finds it.
    async fn pod_lives(&self, key: &ObjectKey, snapshot: &Snapshot) -> Result<bool, Error> {
        let target = Target::new(resource::POD, &key.namespace, &key.name);
        let live: Option<LiveObject> = self
            .writer
            .read(&target)
            .await
            .map_err(Error::write("read the Pod"))?;
        let cached = snapshot.pod.as_ref().map(|pod| pod.metadata.uid.as_str());
        Ok(live.is_some_and(|live| {
            Some(live.metadata.uid.as_str()) == cached && !live.metadata.is_terminating()
        }))
    }

    /// The name is taken by a GameServer that the cache does not show: it is this Pod's own (made a moment ago, by
    /// this process or another), or an earlier server's that somebody's finalizer still holds.
    async fn name_taken(&self, key: &ObjectKey, pod: Option<&PodView>) -> Result<Next, Error> {
        let live: Option<LiveObject> = self
            .writer
            .read(&game_server(key))
            .await
            .map_err(Error::write("read the GameServer"))?;
        let (Some(live), Some(pod)) = (live, pod) else {
            return Err(Error::NameTaken);
        };
        let current = pod
            .set()
            .is_some_and(|set| Belonging::of(&live.metadata, &pod.metadata.uid, set) != Belonging::Earlier);
        if current && !live.metadata.is_terminating() {
            // Its watch event is on the way.
            return Ok(Next::Done);
        }
        Err(Error::NameTaken)
    }

    async fn retire(&self, key: &ObjectKey, uid: &str, resource_version: &str) -> Result<Next, Error> {
        let precondition = Precondition::version(uid, resource_version);
        let deleted = self.writer.delete(&game_server(key), precondition).await;
        deleted.map_err(Error::write("delete the GameServer of a retired server"))?;
        metrics::deleted(Deletion::Retired);
        self.memory.settled(key);
        Ok(Next::Done)
    }

    /// The status first: it is what others wait for, and metadata that the API server refuses (a template's invalid
    /// label) must not hold it up.
    async fn update(
        &self,
        key: &ObjectKey,
        update: Update,
        snapshot: &Snapshot,
        now: &str,
    ) -> Result<Next, Error> {
        let next = match update.status {
            StatusStep::Keep => {
                self.memory.settled(key);
                Ok(Next::Done)
            }
            StatusStep::Later(left) => {
                self.memory.wait(key, Instant::now());
                Ok(Next::After(left))
            }
            StatusStep::Write(desired) => self.write_status(key, &desired, snapshot, now).await,
        };
        let patched = match update.metadata {
            Some(patch) => self.write_metadata(key, &update.uid, patch).await,
            None => Ok(()),
        };
        let next = next?;
        patched.map(|()| next)
    }

    async fn write_status(
        &self,
        key: &ObjectKey,
        desired: &Desired,
        snapshot: &Snapshot,
        now: &str,
    ) -> Result<Next, Error> {
        let (Some(pod), Some(game_server)) = (&snapshot.pod, &snapshot.game_server) else {
            return Ok(Next::Done);
        };
        let pod_status = pod.status.as_deref().map_or("{}", |raw| raw.get());
        let body = desired.body(serde_json::from_str(pod_status)?, now);
        let target = Target::status(resource::GAME_SERVER, &key.namespace, &key.name);
        let uid = &game_server.metadata.uid;
        let written = self.writer.apply::<MetaOnly>(&target, uid, body).await;
        let Some(written) = unless_gone(written).map_err(Error::write("write the status"))? else {
            return Ok(Next::Done);
        };
        self.remember(key, &written);
        if let Some(ready_since) = self.memory.settled(key).filter(|_| desired.is_ready()) {
            metrics::ready_after(ready_since.elapsed());
        }
        for warning in desired.warnings(&game_server.status) {
            self.publish(key, uid, true, warning.reason, warning.message);
        }
        Ok(Next::Done)
    }

    async fn write_metadata(&self, key: &ObjectKey, uid: &str, patch: Value) -> Result<(), Error> {
        let target = game_server(key);
        let patched = self
            .writer
            .patch(&target, PatchKind::Merge, Precondition::uid(uid), patch)
            .await;
        if let Some(patched) = unless_gone(patched).map_err(Error::write("write labels and annotations"))? {
            self.remember(key, &patched);
        }
        Ok(())
    }

    fn remember(&self, key: &ObjectKey, written: &MetaOnly) {
        let version = Version {
            uid: &written.uid,
            resource_version: &written.resource_version,
        };
        self.memory.wrote(key, version, Instant::now());
    }

    fn publish(&self, key: &ObjectKey, uid: &str, warning: bool, reason: String, note: String) {
        let regarding = Regarding {
            kind: keys::KIND_GAME_SERVER.into(),
            api_version: keys::API_VERSION.into(),
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            uid: uid.to_owned(),
        };
        self.events.publish(EventRecord {
            regarding,
            warning,
            reason: reason.into(),
            note,
        });
    }
}

fn game_server(key: &ObjectKey) -> Target<'_> {
    Target::new(resource::GAME_SERVER, &key.namespace, &key.name)
}

fn unless_gone(written: Result<MetaOnly, WriteError>) -> Result<Option<MetaOnly>, WriteError> {
    match written {
        Ok(written) => Ok(Some(written)),
        Err(WriteError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// As much of a live object as says which it is, and whose.
#[derive(Deserialize)]
struct LiveObject {
    metadata: Meta,
}
