//! The GameServer of a server that has to go before anybody announced it.

use api_types::{OwnerRef, keys, ops_state};
use serde_json::{Value, json};

/// A GameServer for the Pod with this name and UID, which is about to be claimed for deletion.
///
/// It is owned by the Pod whatever the set's `reclaimPolicy`: a server that nobody ever saw has nothing to keep. Its
/// spec is a newborn's, so the choice of this victim, made without a GameServer, still holds.
pub fn of_departing_pod(namespace: &str, set: &str, pod: &str, pod_uid: &str) -> Value {
    json!({
        "apiVersion": keys::API_VERSION,
        "kind": keys::KIND_GAME_SERVER,
        "metadata": {
            "name": pod,
            "namespace": namespace,
            "labels": { keys::label::OWNER_GSS: set },
            "ownerReferences": [OwnerRef::to_pod(pod, pod_uid)],
        },
        "spec": {
            "opsState": ops_state::NONE,
            "updatePriority": 0,
            "deletionPriority": 0,
            "networkDisabled": false,
        },
    })
}
