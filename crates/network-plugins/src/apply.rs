//! Carries out a plan: objects first, then what is said about them.
//!
//! A crash between any two requests costs nothing: names are deterministic, and the next run plans from what is there.

use std::{sync::Arc, time::Instant};

use api_types::{
    Meta,
    keys::{annotation, label},
};
use controller_kit::{
    echo::{Echoes, Version},
    events::{EventRecord, Events, Regarding},
    key::ObjectKey,
    resource::{GAME_SERVER, INGRESS, POD, ResourceKind, SERVICE},
    write::{Created, MetaOnly, PatchKind, Precondition, Target, WriteError, Writer},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    engine::{Whose, whose},
    error::Error,
    metrics,
    observe::OwnWrites,
    plan::{Observed, Plan, Step},
    problem::{Problem, Reason},
    status::Writes,
};

/// What it takes to carry out plans.
#[derive(Clone)]
pub(crate) struct Apply {
    /// Writes under this controller's field manager.
    pub writer: Writer,
    /// Where events go.
    pub events: Events,
    /// Own writes that the caches do not show yet.
    pub own: Arc<OwnWrites>,
    /// Creations of Services under way, see [`SERVICES_AT_ONCE`].
    pub creations: Arc<Semaphore>,
}

/// Services created at the same time. The API server takes each one's cluster IP and node ports out of one list in etcd: more at
/// once only make each other repeat, until they run out of time.
pub(crate) const SERVICES_AT_ONCE: usize = 4;

/// How far a plan got.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What there is to tell people about it.
    pub problem: Option<Problem>,
    /// Why it is to be repeated.
    pub error: Option<Error>,
}

/// An object as a live read gives it.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct LiveObject {
    /// Its metadata.
    pub metadata: Meta,
}

impl Apply {
    /// Creates, changes and deletes the Service and the Ingress, at the same time.
    pub(crate) async fn objects(&self, key: &ObjectKey, observed: &Observed<'_>, plan: &Plan) -> Outcome {
        let (service, ingress) = tokio::join!(
            self.step(key, observed, SERVICE, &self.own.services, &plan.service),
            self.step(key, observed, INGRESS, &self.own.ingresses, &plan.ingress),
        );
        let Err(error) = service.and(ingress) else {
            return Outcome::default();
        };
        let problem = match &error {
            Error::Blocked(problem) => Some(problem.clone()),
            Error::Write(failed) => match failed.error() {
                WriteError::Invalid(why) | WriteError::Forbidden(why) => Some(Problem::new(
                    Reason::Refused,
                    format!("the API server refuses it: {why}"),
                )),
                _ => None,
            },
        };
        Outcome {
            problem,
            error: Some(error),
        }
    }

    async fn step(
        &self,
        key: &ObjectKey,
        observed: &Observed<'_>,
        resource: ResourceKind,
        own: &Echoes,
        step: &Step,
    ) -> Result<(), Error> {
        let target = Target::new(resource, &key.namespace, &key.name);
        match step {
            Step::Keep => Ok(()),
            Step::Create(body) => {
                // Never closed: the semaphore lives as long as the process.
                let _permit = match resource {
                    SERVICE => Some(self.creations.acquire().await),
                    _ => None,
                };
                let created = self.writer.create::<_, MetaOnly>(&target, body).await;
                match created.map_err(Error::write("create an object"))? {
                    Created::New(made) => {
                        metrics::written(resource.plural, "create");
                        remember(own, key, &made);
                        Ok(())
                    }
                    Created::AlreadyExists => self.look_whose_it_is(&target, observed).await,
                }
            }
            Step::Patch { uid, version, body } => {
                let at = Precondition::version(uid, version);
                let patched = self
                    .writer
                    .patch::<MetaOnly>(&target, PatchKind::Merge, at, body.clone());
                let patched = patched.await.map_err(Error::write("change an object"))?;
                metrics::written(resource.plural, "patch");
                remember(own, key, &patched);
                Ok(())
            }
            Step::Delete { uid } => self.delete(&target, uid).await,
        }
    }

    /// Deletes an object; its end is an event.
    pub(crate) async fn delete(&self, target: &Target<'_>, uid: &str) -> Result<(), Error> {
        match self.writer.delete(target, Precondition::uid(uid)).await {
            // A conflict says that another object has the name by now.
            Ok(_) | Err(WriteError::Conflict(_)) => {
                metrics::written(target.resource.plural, "delete");
                Ok(())
            }
            Err(error) => Err(Error::write("delete an object")(error)),
        }
    }

    /// The name is taken by an object that the cache does not show: it lags, or the object lacks the label we watch for.
    async fn look_whose_it_is(&self, target: &Target<'_>, observed: &Observed<'_>) -> Result<(), Error> {
        let Some(pod) = observed.pod else { return Ok(()) };
        let found = self.writer.read::<LiveObject>(target).await;
        let Some(found) = found.map_err(Error::write("read the object in the way"))? else {
            return Err(later("the object in the way is gone"));
        };
        let (kind, meta) = (target.resource.kind, &found.metadata);
        match whose(meta, pod, observed.set) {
            Whose::Foreign(why) => Err(Error::Blocked(Problem::new(
                Reason::NameTaken,
                format!(
                    "{kind} {} exists and {why}; it is left alone: rename or delete it",
                    target.name
                ),
            ))),
            Whose::Ours if meta.label(label::OWNER_GSS) != Some(&pod.facts.set) => {
                let at = Precondition::version(&meta.uid, &meta.resource_version);
                let body = json!({ "metadata": { "labels": { label::OWNER_GSS: pod.facts.set } } });
                let adopted = self
                    .writer
                    .patch::<MetaOnly>(target, PatchKind::Merge, at, body)
                    .await;
                adopted.map_err(Error::write("adopt an object"))?;
                metrics::written(target.resource.plural, "adopt");
                Ok(())
            }
            // Not to be waited for by its event: the watch does not show what lacks the label.
            Whose::Forgotten => {
                self.delete(target, &meta.uid).await?;
                Err(later("an earlier object of the name was deleted"))
            }
            Whose::Ours | Whose::Going => Err(later("the cache does not show the object yet")),
        }
    }

    /// Writes what is said about the network: the annotation first, which the game may read, then the GameServer's status.
    pub(crate) async fn report(
        &self,
        key: &ObjectKey,
        observed: &Observed<'_>,
        blocker: Option<bool>,
        writes: &Writes,
    ) -> Result<(), Error> {
        if let Some(pod) = observed.pod
            && let Some(body) = pod_patch(blocker, writes.annotation.as_deref())
        {
            let target = Target::new(POD, &key.namespace, &key.name);
            let at = Precondition::uid(&pod.metadata.uid);
            let written = self
                .writer
                .patch::<MetaOnly>(&target, PatchKind::Merge, at, body)
                .await;
            if let Some(written) = unless_gone(written, "annotate the Pod")? {
                metrics::written(POD.plural, "patch");
                remember(&self.own.pods, key, &written);
            }
        }
        if let (Some(game_server), Some(body)) = (observed.game_server, &writes.game_server) {
            let uid = &game_server.metadata.uid;
            if self.status(key, uid, body.clone()).await? {
                if let Some(problem) = &writes.warning {
                    self.warn(key, uid, problem);
                }
                if let Some(seconds) = writes.became_ready {
                    let type_ = observed.pod.map_or("", |pod| &*pod.facts.network_type);
                    metrics::became_ready(type_, seconds);
                }
            }
        }
        Ok(())
    }

    /// Applies this controller's part of a GameServer's status. False when the GameServer is gone.
    pub(crate) async fn status(&self, key: &ObjectKey, uid: &str, body: Value) -> Result<bool, Error> {
        let target = Target::status(GAME_SERVER, &key.namespace, &key.name);
        let written = self.writer.apply::<MetaOnly>(&target, uid, body).await;
        let written = unless_gone(written, "write the network status")?;
        if let Some(written) = &written {
            metrics::written(GAME_SERVER.plural, "apply");
            remember(&self.own.game_servers, key, written);
        }
        Ok(written.is_some())
    }

    fn warn(&self, key: &ObjectKey, uid: &str, problem: &Problem) {
        metrics::problem(problem.reason.as_str());
        let regarding = Regarding {
            kind: GAME_SERVER.kind.to_owned(),
            api_version: GAME_SERVER.api_version(),
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            uid: uid.to_owned(),
        };
        let record = EventRecord::warning(regarding, problem.reason.as_str(), problem.message.clone());
        self.events.publish(record);
    }
}

fn later(why: &str) -> Error {
    Error::Blocked(Problem::new(Reason::WaitingForObjects, why))
}

/// What a write gave; `None` when there was nothing to write to, which an event of its own says too.
fn unless_gone(
    written: Result<MetaOnly, WriteError>,
    doing: &'static str,
) -> Result<Option<MetaOnly>, Error> {
    match written {
        Ok(written) => Ok(Some(written)),
        Err(WriteError::NotFound | WriteError::Conflict(_)) => Ok(None),
        Err(error) => Err(Error::write(doing)(error)),
    }
}

fn remember(own: &Echoes, key: &ObjectKey, written: &MetaOnly) {
    let version = Version {
        uid: &written.uid,
        resource_version: &written.resource_version,
    };
    own.wrote(key, version, Instant::now());
}

fn pod_patch(blocker: Option<bool>, status: Option<&str>) -> Option<Value> {
    if blocker.is_none() && status.is_none() {
        return None;
    }
    let mut metadata = json!({});
    if let Some(blocker) = blocker {
        metadata["labels"] = json!({ label::INPLACE_NOT_READY_BLOCKER: blocker.to_string() });
    }
    if let Some(status) = status {
        metadata["annotations"] = json!({ annotation::NETWORK_STATUS: status });
    }
    Some(json!({ "metadata": metadata }))
}
