//! Volume claims: made before their Pod, handed to it before its deletion.

use std::time::Instant;

use api_types::{VolumeClaimTemplate, names};
use controller_kit::{
    bug,
    resource::PVC,
    write::{Created, MetaOnly, PatchKind, Precondition, Target},
};
use serde_json::{Value, json};

use super::Pass;
use crate::{
    build::claim,
    error::Error,
    metrics,
    plan::{
        ids::Id,
        record::Deletion,
        volumes::{self, Blocked, ClaimStep, Keeper, Obstacle, claim_name},
    },
    views::ClaimView,
};

impl Pass<'_> {
    /// Makes the claims of server `id` that are not there. Whether its Pod can be created: a claim of somebody else's, or one
    /// that is being deleted, keeps this server waiting and no other.
    pub(super) async fn make_claims(&self, id: Id) -> Result<bool, Error> {
        let templates = &self.observed.set.spec.game_server_template.volume_claim_templates;
        for template in templates {
            let name = claim_name(&template.metadata.name, &self.key.name, id);
            if self.observed.claims.contains_key(&name) || self.observed.pending.made_claims.contains(&name) {
                continue;
            }
            if !self.make_claim(template, id, &name).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn make_claim(&self, template: &VolumeClaimTemplate, id: Id, name: &str) -> Result<bool, Error> {
        let set = &self.observed.set;
        let target = Target::new(PVC, &self.key.namespace, name);
        let body = claim::claim(set, template, id, volumes::goes_with_set(set));
        match self.apply.writer.create::<_, MetaOnly>(&target, &body).await {
            Ok(Created::New(_)) => {
                metrics::claim_volume("created");
                self.apply
                    .memory
                    .made_claim(self.key, self.uid(), name, Instant::now());
                Ok(true)
            }
            Ok(Created::AlreadyExists) => self.look_at_claim(&target, id).await,
            Err(error) => Err(self.not_created(error)),
        }
    }

    /// The name is taken: by our claim that the cache does not show yet, or by one that somebody made for this server.
    async fn look_at_claim(&self, target: &Target<'_>, id: Id) -> Result<bool, Error> {
        let found = self.apply.writer.read::<ClaimView>(target).await;
        let Some(found) = found.map_err(Error::during("read a volume claim"))? else {
            return Err(Error::Stale("the volume claim in the way is gone"));
        };
        let now = Instant::now();
        let name = target.name;
        let obstacle = volumes::obstacle(&self.observed.set, id, &found, self.pod_uid(id));
        if let Some(obstacle @ (Obstacle::Terminating | Obstacle::Foreign)) = obstacle {
            metrics::claim_volume("blocked");
            let claim = name.to_owned();
            let blocked = Blocked { claim, obstacle };
            self.apply
                .memory
                .claim_blocked(self.key, self.uid(), id, blocked, now);
            return Ok(false);
        }
        self.apply.memory.made_claim(self.key, self.uid(), name, now);
        Ok(true)
    }

    /// Makes the claims again that waiting Pods lack.
    pub(super) async fn remake_claims(&self) -> Result<(), Error> {
        let work = self
            .plan
            .volumes
            .remake
            .iter()
            .map(|(id, lacking)| self.remake(*id, lacking));
        self.all(work.collect()).await
    }

    async fn remake(&self, id: Id, lacking: &[usize]) -> Result<(), Error> {
        let templates = &self.observed.set.spec.game_server_template.volume_claim_templates;
        for template in lacking.iter().filter_map(|index| templates.get(*index)) {
            let name = claim_name(&template.metadata.name, &self.key.name, id);
            self.make_claim(template, id, &name).await?;
            if let Some(pod_uid) = self.pod_uid(id) {
                // Whoever made it: this Pod's claim is there now. It is not looked for again on this Pod's account.
                self.apply
                    .memory
                    .remade_claim(self.key, self.uid(), &name, pod_uid);
            }
        }
        Ok(())
    }

    fn pod_uid(&self, id: Id) -> Option<&str> {
        self.observed.pods.get(&id).map(|pod| pod.metadata.uid.as_str())
    }

    /// Brings the claims' owners in line with the retention policy. Those of condemned servers wait for the deletion.
    pub(super) async fn own_claims(&self) -> Result<(), Error> {
        let steps = self.plan.volumes.steps.iter();
        self.all(steps.map(|step| self.own_claim(step)).collect()).await
    }

    /// With `whenScaled: Delete` the claims of a server that is scaled in go with its Pod: the reference must be there before
    /// the Pod is gone, and not before its deletion is certain.
    pub(super) async fn hand_over_claims(&self, deletion: &Deletion) -> Result<(), Error> {
        let set = &self.observed.set;
        let wanted = self.plan.scale.record.desired.contains(deletion.id);
        let wanted = wanted && !bug::active("wanted-claim-handed-over");
        if bug::active("claim-not-handed-over") || wanted || !volumes::goes_with_pod(set) {
            return Ok(());
        }
        let pod = Keeper::Pod {
            name: names::pod_name(&self.key.name, deletion.id),
            uid: deletion.pod_uid.clone(),
        };
        for template in &set.spec.game_server_template.volume_claim_templates {
            let name = claim_name(&template.metadata.name, &self.key.name, deletion.id);
            let found = match self.observed.claims.get(&name) {
                Some(cached) => Some(ClaimView::clone(cached)),
                // Made a moment ago, or by somebody else; the latter's is left alone.
                None => self.read_claim(&name).await?,
            };
            let step = found
                .and_then(|claim| volumes::handing_over(set, deletion.id, &claim, &pod, &deletion.pod_uid));
            if let Some(step) = step {
                self.own_claim(&step).await?;
            }
        }
        Ok(())
    }

    async fn read_claim(&self, name: &str) -> Result<Option<ClaimView>, Error> {
        let target = Target::new(PVC, &self.key.namespace, name);
        let found = self.apply.writer.read::<ClaimView>(&target).await;
        let found = found.map_err(Error::during("read a volume claim"))?;
        Ok(found
            .filter(|claim| claim.metadata.label(api_types::keys::label::OWNER_GSS) == Some(&self.key.name)))
    }

    async fn own_claim(&self, step: &ClaimStep) -> Result<(), Error> {
        let target = Target::new(PVC, &self.key.namespace, &step.name);
        let removed = step
            .remove
            .iter()
            .map(|uid| json!({ "$patch": "delete", "uid": uid }));
        let added = step
            .add
            .iter()
            .map(|keeper| claim::owner(&self.observed.set, keeper));
        let references: Vec<Value> = removed.chain(added).collect();
        let body = json!({ "metadata": { "ownerReferences": references } });
        let version = Precondition::version(&step.uid, &step.resource_version);
        let result = self
            .apply
            .writer
            .patch::<MetaOnly>(&target, PatchKind::Strategic, version, body)
            .await;
        match result {
            Ok(_) => {
                metrics::claim_volume("owner");
                Ok(())
            }
            Err(error) => Err(Error::during("own a volume claim")(error)),
        }
    }
}
