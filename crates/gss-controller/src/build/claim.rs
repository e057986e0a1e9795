//! A game server's volume claims.

use api_types::{GameServerSetView, VolumeClaimTemplate, keys, keys::label};
use controller_kit::bug;
use serde_json::{Map, Value, json};

use crate::plan::{
    ids::Id,
    volumes::{Keeper, claim_name},
};

/// The claim of server `id` made from `template`; owned by the set where it goes with the set.
pub fn claim(set: &GameServerSetView, template: &VolumeClaimTemplate, id: Id, goes_with_set: bool) -> Value {
    let mut labels = template.metadata.labels.clone();
    labels.insert(label::OWNER_GSS.to_owned(), set.metadata.name.clone());
    let mut metadata = json!({
        "name": claim_name(&template.metadata.name, &set.metadata.name, id),
        "namespace": set.metadata.namespace,
        "labels": labels,
        "annotations": template.metadata.annotations,
    });
    if let Some(finalizers) = template.metadata.other.get("finalizers") {
        metadata["finalizers"] = finalizers.clone();
    }
    if goes_with_set {
        metadata["ownerReferences"] = json!([owner(set, &Keeper::Set)]);
    }
    json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template.spec })
}

/// The reference that makes a claim go with its set or with its Pod. It blocks nothing: a Pod need not wait for its claim.
pub fn owner(set: &GameServerSetView, keeper: &Keeper) -> Value {
    match keeper {
        Keeper::Set => json!({
            "apiVersion": keys::API_VERSION,
            "kind": keys::KIND_GAME_SERVER_SET,
            "name": set.metadata.name,
            "uid": set.metadata.uid,
        }),
        Keeper::Pod { name, uid } => {
            json!({ "apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid })
        }
    }
}

/// Mounts the server's claims: a volume of a template's name is the claim, whatever the Pod template says of it.
pub(super) fn mount(set: &GameServerSetView, id: Id, spec: &mut Map<String, Value>) {
    let templates = &set.spec.game_server_template.volume_claim_templates;
    if templates.is_empty() {
        return;
    }
    let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
    if volumes.is_null() {
        *volumes = json!([]);
    }
    // Anything but a list is refused by the API server, with a message that reaches the set's condition.
    let Value::Array(volumes) = volumes else { return };
    let id = id.saturating_sub(u32::from(bug::active("claim-of-another")));
    for template in templates {
        let name = template.metadata.name.as_str();
        volumes.retain(|volume| volume["name"] != name);
        let claim = claim_name(name, &set.metadata.name, id);
        volumes.push(json!({ "name": name, "persistentVolumeClaim": { "claimName": claim } }));
    }
}
