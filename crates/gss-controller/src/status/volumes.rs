//! Condition `VolumeBlocked`: which servers wait for a volume claim, and why.

use api_types::{Condition, keys::condition::VOLUME_BLOCKED};

use super::conditions::condition;
use crate::{
    observe::Observed,
    plan::{
        Plan,
        volumes::{BINDS_WITHIN, Obstacle},
    },
};

/// The condition, where the set has claim templates or had them when its status was last written.
pub(super) fn blocked(observed: &Observed, plan: &Plan) -> Option<Condition> {
    let template = &observed.set.spec.game_server_template;
    let had = observed
        .set
        .status
        .conditions
        .iter()
        .any(|old| old.type_ == VOLUME_BLOCKED);
    if template.volume_claim_templates.is_empty() && !had {
        return None;
    }
    let volumes = &plan.volumes;
    if let Some((_, first)) = volumes.blocked.iter().min_by_key(|(_, found)| found.obstacle) {
        let servers = match volumes.blocked.len() {
            1 => "1 server waits".to_owned(),
            more => format!("{more} servers wait"),
        };
        let (reason, why) = explain(first.obstacle);
        let message = format!("{servers} for volume claims, first {}: {why}", first.claim);
        return Some(condition(VOLUME_BLOCKED, true, reason, message));
    }
    if volumes.without.is_empty() {
        let message = "no server waits for a volume claim".to_owned();
        return Some(condition(VOLUME_BLOCKED, false, "NotBlocked", message));
    }
    let message = format!(
        "{} servers were made before a volume claim template was added or changed its name, and run without it until they \
         are recreated",
        volumes.without.len()
    );
    Some(condition(VOLUME_BLOCKED, false, "MadeWithoutClaim", message))
}

fn explain(obstacle: Obstacle) -> (&'static str, String) {
    match obstacle {
        Obstacle::Terminating => (
            "ClaimTerminating",
            "it is being deleted; a new one is made when it is gone (its finalizers say who holds it)".to_owned(),
        ),
        Obstacle::Foreign => (
            "ClaimForeign",
            "it belongs to another owner, or to an earlier set or Pod of the same name with which it will be deleted: wait, or \
             take its ownerReferences off to keep the data"
                .to_owned(),
        ),
        Obstacle::Lost => ("ClaimLost", "its volume is gone; delete the claim to have a new one made".to_owned()),
        Obstacle::Unbound => (
            "ClaimUnbound",
            format!(
                "no volume has been bound to it for {BINDS_WITHIN} seconds; `kubectl describe pvc` shows what its storage class says"
            ),
        ),
    }
}
