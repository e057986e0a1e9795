//! Updates in place.
//!
//! # Order of effects
//! 1. The Pod is taken out of service: gate closed, Ready false and state `Updating`, in one request to its `status`, with the
//!    version the decision was made from, which is in the plan record. Whoever changed the Pod meanwhile makes it fail, and
//!    another plan is made.
//! 2. When the grace period is over, CPU and memory through `resize`, then images, labels and annotations with the revision they
//!    belong to. Until the revision is on the Pod, the step is taken again.
//! 3. When the containers run what the spec says, the gate is opened and the state is `Normal`, in one request.

use std::time::Instant;

use api_types::{keys, names};
use controller_kit::{
    bug,
    resource::{GAME_SERVER, POD},
    write::{MetaOnly, PatchKind, Precondition, Target, WriteError},
};
use jiff::Timestamp;
use serde_json::Value;

use super::Pass;
use crate::{
    build::{in_place, live::is_made_from},
    error::Error,
    metrics,
    observe::speaks_for,
    plan::{
        ids::Id,
        server::Standing,
        update::{
            Act, Stage, Step,
            change::InPlace,
            completion::Completion,
            subject::{Ways, completion_of, grace_seconds, in_place_hook, overridden, revision_of, stage},
        },
    },
    status::rfc3339,
    views::{GameServerView, PodView},
};

/// What became of a write to a Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// It is stored.
    Done,
    /// Somebody changed the Pod since the cache saw it. Nothing more is decided about it until the cache shows that; the others
    /// go on. While servers are updated, pod-sync and the kubelet write to their Pods all the time: were a pass given up for each
    /// of these conflicts, an update in place took longer than making every Pod anew.
    Overtaken,
}

impl Pass<'_> {
    /// Takes the planned steps, many at a time. One that fails does not keep the others.
    pub(super) async fn update_in_place(&self) -> Result<(), Error> {
        let steps = &self.plan.update.steps;
        if steps.is_empty() {
            return Ok(());
        }
        let ways = Ways::of(self.observed);
        let now = rfc3339(Timestamp::now());
        let work = steps.iter().map(|step| self.take_step(step, &ways, &now));
        self.all(work.collect()).await
    }

    /// Looks at the Pods whose revision is not stored. One that is what the template makes gets the name of its revision; of
    /// any other it is remembered that it is not.
    pub(super) async fn compare_pods(&self) -> Result<(), Error> {
        let work = self
            .plan
            .compare
            .iter()
            .filter_map(|id| Some(self.compare_pod(*id, self.observed.pods.get(id)?)));
        self.all(work.collect()).await
    }

    async fn compare_pod(&self, id: Id, pod: &PodView) -> Result<(), Error> {
        let target = Target::new(POD, &self.key.namespace, &pod.metadata.name);
        let live = self
            .apply
            .writer
            .read::<Value>(&target)
            .await
            .map_err(Error::during("read a Pod"))?;
        let live = live.filter(|live| live["metadata"]["uid"] == pod.metadata.uid.as_str());
        let live = live.ok_or(Error::Stale("the Pod is gone"))?;
        let wanted = &self.observed.history.revisions.update;
        let (images, resources) = overridden(self.observed.game_servers.get(&id).map(AsRef::as_ref));
        if !is_made_from(&live, &wanted.template, &images, &resources) {
            self.apply
                .memory
                .compared(self.key, self.uid(), &pod.metadata.uid, &wanted.name);
            return Ok(());
        }
        let version = live["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let version = Precondition::version(&pod.metadata.uid, version);
        let body = in_place::relabel(&InPlace::default(), &wanted.name);
        self.patch_pod(pod, None, version, body, "name a Pod's revision")
            .await?;
        Ok(())
    }

    async fn take_step(&self, step: &Step, ways: &Ways<'_>, now: &str) -> Result<(), Error> {
        let pod = self
            .observed
            .pods
            .get(&step.id)
            .filter(|pod| pod.metadata.uid == step.uid);
        let Some(pod) = pod else { return Ok(()) };
        let revision = &self.observed.history.revisions.update.name;
        let change = || {
            ways.change(step.id, pod)
                .ok_or(Error::Stale("the Pod cannot be changed in place"))
        };
        let version = Precondition::version(&step.uid, &pod.metadata.resource_version);
        match step.act {
            Act::Relabel => {
                let body = in_place::relabel(&change()?, revision);
                if self
                    .patch_pod(pod, None, version, body, "update a Pod's metadata")
                    .await?
                    == Sent::Done
                {
                    metrics::updated("metadata");
                }
                Ok(())
            }
            Act::Prepare => {
                let again = stage(pod) == Stage::Updated;
                let body = in_place::prepare(&self.observed.set, pod, again, now);
                self.patch_pod(pod, None, version, body, "prepare an update in place")
                    .await?;
                Ok(())
            }
            Act::Start => self.start(step, pod, &change()?, now).await,
            Act::Begin => self.begin(step.id, pod, &change()?, version, now).await,
            Act::Finish => self.finish(pod, version, now).await,
        }
    }

    /// Out of service; and, without a grace period, changed at once.
    async fn start(&self, step: &Step, pod: &PodView, change: &InPlace, now: &str) -> Result<(), Error> {
        let version = if bug::active("start-without-version") {
            Precondition::uid(&step.uid)
        } else {
            Precondition::version(&step.uid, &pod.metadata.resource_version)
        };
        let guarded = pod.has_gate(keys::IN_PLACE_UPDATE_READY) && !change.images.is_empty();
        let waits = grace_seconds(&self.observed.set) > 0;
        if !guarded && !waits && !self.protects() {
            return self.begin(step.id, pod, change, version, now).await;
        }
        self.ask_the_allocator(step.id, pod).await?;
        let (subresource, body) = if guarded {
            (Some("status"), in_place::start(pod, now))
        } else {
            (None, in_place::start_unguarded(now))
        };
        let sent = self
            .patch_pod(pod, subresource, version, body, "take a Pod out of service")
            .await?;
        if waits || sent == Sent::Overtaken {
            return Ok(());
        }
        // What was decided about is the Pod as it was before our own write; it is the same Pod.
        self.begin(step.id, pod, change, Precondition::uid(&step.uid), now)
            .await
    }

    /// Changes the containers.
    ///
    /// Under `protectAllocated` the allocator is asked first. The Pod says by now that it is out of service: an allocation made
    /// before that is seen here, and nothing has been done to the server; one made later chose a server that was not Ready.
    async fn begin(
        &self,
        id: Id,
        pod: &PodView,
        change: &InPlace,
        precondition: Precondition<'_>,
        now: &str,
    ) -> Result<(), Error> {
        self.ask_the_allocator(id, pod).await?;
        let mut precondition = precondition;
        if !change.resources.is_empty() {
            let body = in_place::resize(change);
            let sent = self
                .patch_pod(pod, Some("resize"), precondition, body, "resize a Pod")
                .await?;
            if sent == Sent::Overtaken {
                return Ok(());
            }
            precondition = Precondition::uid(&pod.metadata.uid);
        }
        let revision = &self.observed.history.revisions.update.name;
        let body = in_place::begin(pod, change, revision, now);
        if self
            .patch_pod(pod, None, precondition, body, "update a Pod in place")
            .await?
            == Sent::Done
        {
            metrics::updated("in_place");
        }
        Ok(())
    }

    async fn finish(&self, pod: &PodView, version: Precondition<'_>, now: &str) -> Result<(), Error> {
        let hook = in_place_hook(&self.observed.set);
        let accepts = |pod: &PodView| {
            hook.as_ref()
                .is_none_or(|hook| crate::plan::hooks::is_satisfied(hook, &pod.metadata))
        };
        let accepted = accepts(pod);
        let closed = pod
            .condition(keys::IN_PLACE_UPDATE_READY)
            .is_none_or(|gate| gate.status != "True");
        let gate = pod.has_gate(keys::IN_PLACE_UPDATE_READY) && closed;
        let subresource = gate.then_some("status");
        let body = in_place::finish(accepted, gate, now);
        let action = "end an update in place";
        let sent = self
            .patch_pod(pod, subresource, version, body.clone(), action)
            .await?;
        if sent == Sent::Done {
            return Ok(());
        }
        // pod-sync and the kubelet write to a Pod that is being updated: where that is all, it is not kept out of service until
        // the next pass.
        let target = Target::new(POD, &self.key.namespace, &pod.metadata.name);
        let live = self.apply.writer.read::<PodView>(&target).await;
        let live = live.map_err(Error::during("read a Pod"))?;
        let is_done = |live: &PodView| {
            live.metadata.uid == pod.metadata.uid
                && stage(live) == stage(pod)
                && revision_of(live) == revision_of(pod)
                && !live.metadata.is_terminating()
                && accepts(live) == accepted
                && completion_of(live, self.observed) == Completion::Done
        };
        if let Some(live) = live.filter(is_done) {
            let version = Precondition::version(&live.metadata.uid, &live.metadata.resource_version);
            self.patch_pod(&live, subresource, version, body, action).await?;
        }
        Ok(())
    }

    fn protects(&self) -> bool {
        let strategy = self.observed.set.spec.scale_strategy.as_ref();
        strategy
            .and_then(|strategy| strategy.protect_allocated)
            .unwrap_or(false)
    }

    /// Under `protectAllocated` the GameServer is read once more: the cache may be a moment behind an allocation, and nothing
    /// orders it with a write to the Pod.
    async fn ask_the_allocator(&self, id: Id, pod: &PodView) -> Result<(), Error> {
        if !self.protects() || bug::active("players-disturbed") {
            return Ok(());
        }
        let name = names::pod_name(&self.key.name, id);
        let target = Target::new(GAME_SERVER, &self.key.namespace, &name);
        let live = self.apply.writer.read::<GameServerView>(&target).await;
        let live = live.map_err(Error::during("read a GameServer"))?;
        let live = live.filter(|found| speaks_for(found, &self.observed.set, &pod.metadata.uid));
        let allocated =
            live.is_some_and(|found| Standing::of(found.spec.ops_state.as_deref(), None).allocated);
        if allocated {
            Err(Error::Stale("the server was allocated"))
        } else {
            Ok(())
        }
    }

    async fn patch_pod(
        &self,
        pod: &PodView,
        subresource: Option<&'static str>,
        precondition: Precondition<'_>,
        body: Value,
        action: &'static str,
    ) -> Result<Sent, Error> {
        let meta = &pod.metadata;
        let target = Target {
            subresource,
            ..Target::new(POD, &self.key.namespace, &meta.name)
        };
        let answer = self
            .apply
            .writer
            .patch::<MetaOnly>(&target, PatchKind::Strategic, precondition, body)
            .await;
        match answer {
            Ok(answer) => {
                let now = Instant::now();
                self.apply
                    .memory
                    .touched(self.key, self.uid(), &meta.uid, &answer.resource_version, now);
                Ok(Sent::Done)
            }
            Err(WriteError::Conflict(_) | WriteError::NotFound) => {
                metrics::overtaken();
                self.apply
                    .memory
                    .overtaken(self.key, self.uid(), meta, Instant::now());
                Ok(Sent::Overtaken)
            }
            Err(WriteError::Invalid(why)) => {
                // Another plan is made: to recreate the Pod, or to say that it cannot be updated.
                let revision = &self.observed.history.revisions.update.name;
                self.apply
                    .memory
                    .refused(self.key, self.uid(), &meta.uid, revision, why);
                Err(Error::Stale("the API server refuses the change"))
            }
            Err(error) => Err(Error::during(action)(error)),
        }
    }
}
