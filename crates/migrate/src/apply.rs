//! Carrying steps out: one guarded write each.

use std::time::Duration;

use controller_kit::{
    resource::{CONTROLLER_REVISION, GAME_SERVER_SET, POD, PVC, ResourceKind},
    write::{Created, MetaOnly, PatchKind, Precondition, Target, WriteError, Writer},
};
use futures::{StreamExt, stream};
use gss_controller::build::record::plan_patch;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use serde_json::{Value, json};

use crate::{
    error::Error,
    facts::{ClusterFacts, SetFacts},
    kinds::{CONFIG_MAP, PROBE_MARKER, WORKLOAD},
    observe::{self, Scope},
    plan::{OwnedKind, SetPlan, State, Step},
    snapshot::{Snapshot, config_map_name},
};

/// Writes under way at the same time. The API server answers several hundred a second on two cores.
const CONCURRENCY: usize = 32;
/// Looks at a set before giving up. A round ends early when an object changed since it was read.
const ROUNDS: u32 = 50;
/// How long the garbage collector may take to let a workload go, and OpenKruise a marker.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause after a request whose outcome is not known.
const UNKNOWN_PAUSE: Duration = Duration::from_millis(500);
/// Pause between two looks at something that is going.
const PAUSE: Duration = Duration::from_millis(100);

/// Name under which the writes are recorded.
pub const FIELD_MANAGER: &str = "gamekeeper-migrate";

/// What came of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was taken.
    Yes,
    /// The object has changed since it was read: look again.
    Stale,
}

/// Takes steps.
pub struct Apply {
    client: Client,
    writer: Writer,
}

impl Apply {
    /// With the rights of this client.
    pub fn new(client: Client) -> Self {
        Self {
            writer: Writer::new(client.clone(), FIELD_MANAGER),
            client,
        }
    }

    /// Brings a set to its end: look, plan, take the steps, until none is left. The last plan tells what was met: it is
    /// `Done`, or `Refused` with what is in the way.
    ///
    /// # Errors
    /// When the API server fails, or something does not end in time. The same call later goes on from there.
    pub async fn finish(
        &self,
        set: &SetFacts,
        plan: impl Fn(&ClusterFacts, &SetFacts) -> SetPlan,
    ) -> Result<SetPlan, Error> {
        let scope = Scope {
            namespace: set.namespace.clone(),
            names: vec![set.name.clone()],
        };
        for _ in 0..ROUNDS {
            let cluster = observe::cluster(&self.client).await?;
            let Some(set) = observe::sets(&self.client, &scope).await?.pop() else {
                return Err(Error::Late(format!("GameServerSet {} is gone", set.name)));
            };
            let plan = plan(&cluster, &set);
            if plan.state == State::Refused || plan.steps.is_empty() {
                return Ok(plan);
            }
            self.take(&cluster, &set, &plan.steps).await?;
        }
        Err(Error::Restless(ROUNDS))
    }

    /// Takes the steps, phase after phase, and stops where one was stale: the next phase rests on all of them.
    ///
    /// # Errors
    /// The first error met; the rest of its phase was still tried.
    pub async fn take(&self, cluster: &ClusterFacts, set: &SetFacts, steps: &[Step]) -> Result<Done, Error> {
        for phase in steps.chunk_by(|a, b| a.phase() == b.phase()) {
            let work: Vec<_> = phase.iter().map(|step| self.step(cluster, set, step)).collect();
            let results: Vec<_> = stream::iter(work).buffer_unordered(CONCURRENCY).collect().await;
            let mut done = Done::Yes;
            for result in results {
                if result? == Done::Stale {
                    done = Done::Stale;
                }
            }
            if done == Done::Stale {
                return Ok(done);
            }
        }
        Ok(Done::Yes)
    }

    /// Takes one step.
    ///
    /// # Errors
    /// What the API server said; after `Unknown` the step may have been taken, and the next plan shows whether.
    pub async fn step(&self, cluster: &ClusterFacts, set: &SetFacts, step: &Step) -> Result<Done, Error> {
        match step {
            Step::DropSnapshot { uid } => {
                self.delete(CONFIG_MAP, set, &config_map_name(&set.name), uid)
                    .await
            }
            Step::StoreSnapshot { snapshot } => self.store_snapshot(set, snapshot).await,
            Step::StoreRecord { record } => {
                let target = Target::status(GAME_SERVER_SET, &set.namespace, &set.name);
                let body = json!({ "status": { "plan": plan_patch(record) } });
                self.patch(&target, Precondition::version(&set.uid, &set.version), body)
                    .await
            }
            Step::Adopt {
                kind,
                name,
                uid,
                version,
                owners,
            } => {
                let target = Target::new(kind.resource(), &set.namespace, name);
                self.replace_owners(&target, Precondition::version(uid, version), owners)
                    .await
            }
            Step::OpenGates { name, uid, gates } => self.open_gates(&set.namespace, name, uid, gates).await,
            // The objects that come next name its UID as their owner: look again.
            Step::CreateWorkload { manifest } => {
                self.create(WORKLOAD, set, manifest).await.map(|()| Done::Stale)
            }
            Step::DeleteWorkload { uid } => self.delete_workload(set, uid).await,
            Step::AwaitWorkload => self.until_gone(WORKLOAD, set).await.map(|()| Done::Stale),
            Step::CreateMarker { manifest } => {
                self.create(PROBE_MARKER, set, manifest).await.map(|()| Done::Yes)
            }
            Step::DeleteMarker { uid } => {
                self.delete(PROBE_MARKER, set, &set.name, uid).await?;
                // Without OpenKruise nobody takes its finalizer off: that is another step, planned from how it is then.
                let released = !cluster.kruise_running.is_empty();
                Ok(if released { Done::Yes } else { Done::Stale })
            }
            Step::ReleaseMarker {
                uid,
                version,
                finalizers,
            } => {
                let target = Target::new(PROBE_MARKER, &set.namespace, &set.name);
                let body = json!({ "metadata": { "finalizers": finalizers } });
                self.patch(&target, Precondition::version(uid, version), body)
                    .await
            }
            Step::AwaitMarker => self.until_gone(PROBE_MARKER, set).await.map(|()| Done::Yes),
        }
    }

    /// As a JSON patch: a merge patch drops every null of the object it is applied to, and the `creationTimestamp: null` in
    /// the data of OpenKruise's ControllerRevisions, which may not change, is one.
    async fn replace_owners(
        &self,
        target: &Target<'_>,
        precondition: Precondition<'_>,
        owners: &[OwnerReference],
    ) -> Result<Done, Error> {
        let body = json!([{ "op": "add", "path": "/metadata/ownerReferences", "value": owners }]);
        let answer = self
            .writer
            .patch::<MetaOnly>(target, PatchKind::Json, precondition, body)
            .await;
        let action = format!("change the owner of {} {}", target.resource.kind, target.name);
        fate(answer, &action).await
    }

    async fn delete_workload(&self, set: &SetFacts, uid: &str) -> Result<Done, Error> {
        let target = Target::new(WORKLOAD, &set.namespace, &set.name);
        let deleted = self
            .writer
            .delete_orphaning(&target, Precondition::uid(uid))
            .await;
        settled(deleted, "delete the workload").await?;
        self.until_gone(WORKLOAD, set).await?;
        // Whatever came to be between the last look and now is looked at once more.
        Ok(Done::Stale)
    }

    async fn store_snapshot(&self, set: &SetFacts, snapshot: &Snapshot) -> Result<Done, Error> {
        let name = config_map_name(&set.name);
        let target = Target::new(CONFIG_MAP, &set.namespace, &name);
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let snapshot = Snapshot {
            time: now,
            ..snapshot.clone()
        };
        let body = snapshot.config_map(&set.namespace, &set.name);
        let created = self.writer.create::<_, MetaOnly>(&target, &body).await;
        let stored = settled(created, "store a snapshot").await?;
        // Nothing is changed before it is known to be stored.
        Ok(match stored {
            Some(Created::New(_)) => Done::Yes,
            Some(Created::AlreadyExists) | None => Done::Stale,
        })
    }

    async fn create(&self, kind: ResourceKind, set: &SetFacts, manifest: &Value) -> Result<(), Error> {
        let target = Target::new(kind, &set.namespace, &set.name);
        let created = self.writer.create::<_, MetaOnly>(&target, manifest).await;
        settled(created, &format!("create {} {}", kind.kind, set.name))
            .await
            .map(drop)
    }

    async fn open_gates(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        gates: &[String],
    ) -> Result<Done, Error> {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let open = |gate: &String| json!({ "type": gate, "status": "True", "lastTransitionTime": now });
        let conditions: Vec<Value> = gates.iter().map(open).collect();
        let body = json!({ "status": { "conditions": conditions } });
        let target = Target::status(POD, namespace, name);
        // Strategic: conditions are a list by type, and the kubelet's stay.
        let answer = self
            .writer
            .patch::<MetaOnly>(&target, PatchKind::Strategic, Precondition::uid(uid), body)
            .await;
        fate(answer, &format!("open the gates of {name}")).await
    }

    async fn patch(
        &self,
        target: &Target<'_>,
        precondition: Precondition<'_>,
        body: Value,
    ) -> Result<Done, Error> {
        let answer = self
            .writer
            .patch::<MetaOnly>(target, PatchKind::Merge, precondition, body)
            .await;
        fate(answer, &format!("patch {} {}", target.resource.kind, target.name)).await
    }

    async fn delete(&self, kind: ResourceKind, set: &SetFacts, name: &str, uid: &str) -> Result<Done, Error> {
        let target = Target::new(kind, &set.namespace, name);
        let deleted = self.writer.delete(&target, Precondition::uid(uid)).await;
        fate(deleted, &format!("delete {} {name}", kind.kind)).await
    }

    async fn until_gone(&self, kind: ResourceKind, set: &SetFacts) -> Result<(), Error> {
        let target = Target::new(kind, &set.namespace, &set.name);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self.writer.read::<MetaOnly>(&target).await;
            match settled(found, &format!("read {} {}", kind.kind, set.name)).await? {
                Some(None) => return Ok(()),
                _ if tokio::time::Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
                _ => {
                    return Err(Error::Late(format!(
                        "{}.{} {}/{} is still there {} s after its deletion: see its metadata.finalizers and who should take \
                         them off (the garbage collector of kube-controller-manager, OpenKruise), then run the command again",
                        kind.kind,
                        kind.group,
                        set.namespace,
                        set.name,
                        PATIENCE.as_secs()
                    )));
                }
            }
        }
    }
}

async fn fate<T>(result: Result<T, WriteError>, action: &str) -> Result<Done, Error> {
    let known = settled(result, action).await?;
    Ok(if known.is_some() { Done::Yes } else { Done::Stale })
}

/// `None` where the next look decides: the decision was stale, or the outcome is unknown, or the server asks to wait.
async fn settled<T>(result: Result<T, WriteError>, action: &str) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(WriteError::Conflict(_) | WriteError::NotFound) => Ok(None),
        Err(WriteError::Unknown(_)) => {
            tokio::time::sleep(UNKNOWN_PAUSE).await;
            Ok(None)
        }
        Err(WriteError::TooManyRequests { retry_after }) => {
            tokio::time::sleep(retry_after).await;
            Ok(None)
        }
        Err(error) => Err(Error::Write {
            action: action.to_owned(),
            error,
        }),
    }
}

impl OwnedKind {
    /// The resource.
    pub fn resource(self) -> ResourceKind {
        match self {
            Self::Revision => CONTROLLER_REVISION,
            Self::Claim => PVC,
            Self::Pod => POD,
        }
    }
}
