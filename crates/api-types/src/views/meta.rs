//! Object metadata.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{
    StringMap,
    keep::{AllButLastApplied, Keep, Kept},
};
use crate::keys;

/// Object metadata that controllers read. Managed fields are never kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Name within the namespace.
    pub name: String,
    /// Namespace; empty for objects of the cluster.
    pub namespace: String,
    /// Identity of the object over its life.
    pub uid: String,
    /// Version of the object for optimistic locking; opaque.
    pub resource_version: String,
    /// Counts the changes of the spec; 0 for kinds that have none.
    pub generation: i64,
    /// RFC 3339 time of creation.
    pub creation_timestamp: Option<String>,
    /// RFC 3339 time after which the object may be gone; set while it is terminating.
    pub deletion_timestamp: Option<String>,
    /// Labels, those that the view keeps.
    pub labels: StringMap,
    /// Annotations, those that the view keeps.
    pub annotations: StringMap,
    /// Owners.
    pub owner_references: Vec<OwnerRef>,
    /// Finalizers.
    pub finalizers: Vec<String>,
}

/// A reference to an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerRef {
    /// API group and version of the owner.
    pub api_version: String,
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// UID of the owner.
    pub uid: String,
    /// Whether the owner is the controller; at most one is.
    pub controller: bool,
}

impl OwnerRef {
    /// The reference to write into an object that a Pod controls.
    pub fn to_pod(name: &str, uid: &str) -> Value {
        controller_reference("v1", "Pod", name, uid)
    }

    /// The reference to write into an object that a GameServerSet controls.
    pub fn to_set(name: &str, uid: &str) -> Value {
        controller_reference(keys::API_VERSION, keys::KIND_GAME_SERVER_SET, name, uid)
    }
}

/// `blockOwnerDeletion`: a foreground deletion of the owner waits for the object.
fn controller_reference(api_version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

impl Meta {
    /// The controlling owner.
    pub fn controller(&self) -> Option<&OwnerRef> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    /// Whether the object is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Who the object is, and who owns it: all that a view keeps which reads no labels, annotations and finalizers.
    #[must_use]
    pub fn into_identity(self) -> Self {
        Self {
            labels: StringMap::default(),
            annotations: StringMap::default(),
            finalizers: Vec::new(),
            ..self
        }
    }

    /// Who the object is, where nobody asks whose it is.
    #[must_use]
    pub fn without_owners(self) -> Self {
        Self {
            owner_references: Vec::new(),
            ..self
        }
    }

    /// Whether this GameServer is the record of `pod` rather than of an earlier one of its name. One without a controller, made by
    /// hand or restored without owners, is taken for this Pod's.
    pub fn is_record_of(&self, pod: &Self) -> bool {
        self.controller().is_none_or(|owner| {
            let set = pod.controller().map(|set| set.uid.as_str());
            owner.uid == pod.uid || Some(owner.uid.as_str()) == set
        })
    }

    /// Value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key)
    }

    /// Value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key)
    }
}

impl<'de> Deserialize<'de> for Meta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        keeping::<AllButLastApplied, D>(deserializer)
    }
}

/// Decodes metadata with only the labels and annotations that `K` keeps.
pub(super) fn keeping<'de, K: Keep, D: Deserializer<'de>>(deserializer: D) -> Result<Meta, D::Error> {
    let mut wire = MetaWire::<K>::deserialize(deserializer)?;
    // Lists grow by doubling from four; most have one entry.
    wire.owner_references.shrink_to_fit();
    wire.finalizers.shrink_to_fit();
    Ok(Meta {
        name: wire.name,
        namespace: wire.namespace,
        uid: wire.uid,
        resource_version: wire.resource_version,
        generation: wire.generation,
        creation_timestamp: wire.creation_timestamp,
        deletion_timestamp: wire.deletion_timestamp,
        labels: wire.labels.0,
        annotations: wire.annotations.0,
        owner_references: wire.owner_references,
        finalizers: wire.finalizers,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "K: Keep")]
struct MetaWire<K> {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    generation: i64,
    #[serde(default)]
    creation_timestamp: Option<String>,
    #[serde(default)]
    deletion_timestamp: Option<String>,
    #[serde(default)]
    labels: Kept<K>,
    #[serde(default)]
    annotations: Kept<K>,
    #[serde(default)]
    owner_references: Vec<OwnerRef>,
    #[serde(default)]
    finalizers: Vec<String>,
}
