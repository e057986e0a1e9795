//! Claims on servers whose Pods somebody else takes away. They concern one server each, wait for no pass over a set, and are
//! written for servers of sets that are gone too.

use std::sync::Arc;

use api_types::DeletionClaim;
use controller_kit::{
    key::ObjectKey,
    queue::Next,
    resource::GAME_SERVER,
    store::Store,
    write::{MetaOnly, PatchKind, Precondition, Target, WriteError, Writer},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    error::Error,
    metrics,
    plan::departing::{self, Departure},
    status::rfc3339,
    views::{GameServerView, PodView},
};

/// Writes and withdraws these claims.
pub struct Departures {
    /// Pods of all sets.
    pub pods: Store<PodView>,
    /// GameServers.
    pub game_servers: Store<GameServerView>,
    /// The way to the API server.
    pub writer: Writer,
}

impl Departures {
    fn due(&self, key: &ObjectKey) -> Option<(Departure, Arc<PodView>, Arc<GameServerView>)> {
        let (pod, game_server) = (self.pods.get(key)?, self.game_servers.get(key)?);
        departing::step(&pod, &game_server).map(|step| (step, pod, game_server))
    }

    /// Writes what is due for one server.
    pub(crate) async fn write(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some((step, pod, game_server)) = self.due(key) else {
            return Ok(Next::Done);
        };
        let meta = &game_server.metadata;
        let (claim, version, outcome) = match step {
            Departure::Claim(reason) => {
                let claim = DeletionClaim {
                    pod_uid: pod.metadata.uid.clone(),
                    reason: reason.to_owned(),
                    time: rfc3339(Timestamp::now()),
                    empty: None,
                };
                // It rests on the Pod alone: whatever the GameServer is by now, its Pod goes.
                (json!(claim), Precondition::uid(&meta.uid), "departing")
            }
            Departure::Withdraw => (
                Value::Null,
                Precondition::version(&meta.uid, &meta.resource_version),
                "withdrawn",
            ),
        };
        let target = Target::status(GAME_SERVER, &key.namespace, &key.name);
        let body = json!({ "status": { "deletionClaim": claim } });
        let result = self
            .writer
            .patch::<MetaOnly>(&target, PatchKind::Merge, version, body)
            .await;
        match result {
            Ok(_) => {
                metrics::claim(outcome);
                Ok(Next::Done)
            }
            // Another GameServer has the name, or none: its event comes here too.
            Err(WriteError::NotFound) => Ok(Next::Done),
            Err(error) => Err(Error::during("claim a server that is going")(error)),
        }
    }
}
