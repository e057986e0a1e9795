//! Carries out a plan: at most a label, and a condition with an address, all of the same GameServer.

use std::sync::Arc;

use controller_kit::{
    echo::Echoes,
    events::{EventRecord, Events, Regarding},
    key::ObjectKey,
    resource::GAME_SERVER,
    write::{MetaOnly, PatchKind, Precondition, Target, Writer},
};

use crate::{
    build,
    error::Error,
    metrics,
    plan::{Label, Plan, Warning},
};

/// What it takes to carry out plans.
#[derive(Clone)]
pub(crate) struct Apply {
    /// Writes under this controller's field manager.
    pub writer: Writer,
    /// Where events go.
    pub events: Events,
    /// Own writes that the cache does not show yet.
    pub echoes: Arc<Echoes>,
}

impl Apply {
    /// Carries out `plan`. The condition first: people act on it; the label is for searching.
    ///
    /// # Errors
    /// Any write that failed, except one to a GameServer that is gone.
    pub(crate) async fn carry_out(&self, key: &ObjectKey, plan: &Plan) -> Result<(), Error> {
        if let Some(body) = build::status_body(plan) {
            let target = Target::status(GAME_SERVER, &key.namespace, &key.name);
            let written = self.writer.apply::<MetaOnly>(&target, &plan.uid, body).await;
            if !self.echoes.remember(key, written, "write the condition")? {
                return Ok(());
            }
            if let Some(condition) = &plan.condition {
                metrics::condition_written(&condition.status);
            }
            if let Some(warning) = &plan.warning {
                self.events.publish(event(key, &plan.uid, warning));
            }
        }
        if let Some(label) = &plan.label {
            self.write_label(key, &plan.uid, label).await?;
        }
        Ok(())
    }

    async fn write_label(&self, key: &ObjectKey, uid: &str, label: &Label) -> Result<(), Error> {
        let target = Target::new(GAME_SERVER, &key.namespace, &key.name);
        let patch = build::label_patch(label);
        let written = self
            .writer
            .patch::<MetaOnly>(&target, PatchKind::Merge, Precondition::uid(uid), patch)
            .await;
        if self.echoes.remember(key, written, "write the label")? {
            metrics::label_written();
        }
        Ok(())
    }
}

fn event(key: &ObjectKey, uid: &str, warning: &Warning) -> EventRecord {
    let regarding = Regarding {
        kind: GAME_SERVER.kind.to_owned(),
        api_version: GAME_SERVER.api_version(),
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        uid: uid.to_owned(),
    };
    EventRecord::warning(regarding, warning.alarm.as_str(), warning.note.clone())
}
