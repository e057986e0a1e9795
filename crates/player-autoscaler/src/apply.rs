//! Carries out a decision: replicas first, then what is said about them.
//!
//! Replicas that are not those last written down start a cooldown when they are seen, so a crash between the two writes costs
//! nothing but the reason.

use std::{sync::Arc, time::Duration};

use api_types::PlayerAutoscalingStatus;
use controller_kit::{
    echo::Echoes,
    events::{EventRecord, Events, Regarding},
    key::ObjectKey,
    resource::GAME_SERVER_SET,
    write::{MetaOnly, PatchKind, Precondition, Target, Writer},
};
use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    build,
    error::Error,
    plan::Scale,
    status::{Idle, after},
    views::SetView,
};

/// What it takes to carry out decisions.
#[derive(Clone)]
pub(crate) struct Apply {
    /// Writes under this controller's field manager.
    pub writer: Writer,
    /// Where events go.
    pub events: Events,
    /// Own writes that the cache does not show yet.
    pub echoes: Arc<Echoes>,
}

/// Version of the set after a write. The scale subresource tells it too, but not as metadata only.
#[derive(Deserialize)]
#[serde(transparent)]
struct Written(MetaOnly);

impl Apply {
    /// Changes replicas, if the set is still as it was when that was decided.
    ///
    /// # Errors
    /// `Conflict` when it is not: decide again.
    pub(crate) async fn scale(
        &self,
        key: &ObjectKey,
        set: &SetView,
        scale: Scale,
        cooldown: Duration,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let target = Target {
            subresource: Some("scale"),
            ..Target::new(GAME_SERVER_SET, &key.namespace, &key.name)
        };
        let seen = Precondition::version(&set.metadata.uid, &set.metadata.resource_version);
        let body = build::scale_patch(scale.to);
        let written = self
            .writer
            .patch::<Written>(&target, PatchKind::Merge, seen, body)
            .await;
        if !self
            .echoes
            .remember(key, written.map(|Written(meta)| meta), "change replicas")?
        {
            return Ok(false);
        }
        self.publish(set, scale.reason(), scale.text(), false);
        self.report(key, set, Some(&after(scale, cooldown, now))).await?;
        Ok(true)
    }

    /// Writes the status, or takes it away.
    ///
    /// # Errors
    /// Any write that failed, except one to a set that is gone.
    pub(crate) async fn report(
        &self,
        key: &ObjectKey,
        set: &SetView,
        status: Option<&PlayerAutoscalingStatus>,
    ) -> Result<bool, Error> {
        let target = Target::status(GAME_SERVER_SET, &key.namespace, &key.name);
        let uid = Precondition::uid(&set.metadata.uid);
        let body = build::status_patch(status);
        let written = self
            .writer
            .patch::<Written>(&target, PatchKind::Merge, uid, body)
            .await;
        self.echoes
            .remember(key, written.map(|Written(meta)| meta), "write the status")
    }

    /// Tells of a reason that somebody has to know, once when it becomes the reason.
    pub(crate) fn warn(&self, set: &SetView, idle: &Idle) {
        let known = set.status.as_ref().map(|status| status.reason.as_str());
        if idle.is_warning() && known != Some(idle.reason()) {
            self.publish(set, idle.reason(), idle.message(), true);
        }
    }

    fn publish(&self, set: &SetView, reason: &'static str, note: String, warning: bool) {
        let regarding = Regarding::object(&GAME_SERVER_SET, &set.metadata);
        self.events.publish(if warning {
            EventRecord::warning(regarding, reason, note)
        } else {
            EventRecord::normal(regarding, reason, note)
        });
    }
}
