//! Every label, annotation, condition type, field manager and fixed value that Gamekeeper reads or writes.
//!
//! The keys are OpenKruiseGame's, so existing dashboards, allocators and Downward API volumes keep working. A key is
//! written by exactly one controller; the documentation of each constant names it.

/// API group of both custom resources.
pub const GROUP: &str = "game.kruise.io";
/// The only API version, served and stored.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of both custom resources.
pub const API_VERSION: &str = "game.kruise.io/v1alpha1";
/// Kind of a set of game servers.
pub const KIND_GAME_SERVER_SET: &str = "GameServerSet";
/// Kind of one game server's operational record.
pub const KIND_GAME_SERVER: &str = "GameServer";

/// Prefix of the keys Gamekeeper owns on Pods and GameServers.
pub const GAME_PREFIX: &str = "game.kruise.io/";
/// GameServer labels and annotations with this prefix are copied to the Pod, one way.
pub const GS_SYNC_PREFIX: &str = "gs-sync/";

/// Readiness gate that lets an in-place update take a Pod out of service before its image changes.
pub const IN_PLACE_UPDATE_READY: &str = "InPlaceUpdateReady";

/// Readiness gate that keeps a Pod out of service while a lifecycle hook with `markPodNotReady` holds it. The name, and the
/// list of keys in the condition's message, are those of OpenKruise: Pods taken over from it have this gate.
pub const KRUISE_POD_READY: &str = "KruisePodReady";

/// Name of the PodDisruptionBudget that keeps Pods with label [`label::SAFE_TO_EVICT`] `false` from being evicted. The name is
/// Agones', whose servers have the same label.
pub const EVICTION_BUDGET: &str = "agones-gameserver-safe-to-evict-false";

/// Value of [`label::MANAGED_BY`].
pub const MANAGER: &str = "gamekeeper";

/// Label keys.
pub mod label {
    /// Name of the owning GameServerSet. On Pods (gss-controller) and GameServers (gs-controller).
    pub const OWNER_GSS: &str = "game.kruise.io/owner-gss";
    /// Computed state of the server, see [`crate::state`]. On Pods; born with `Creating`, then pod-sync.
    pub const GS_STATE: &str = "game.kruise.io/gs-state";
    /// Copy of `GameServer.spec.opsState`. On Pods; pod-sync.
    pub const GS_OPS_STATE: &str = "game.kruise.io/gs-opsState";
    /// Copy of `GameServer.spec.updatePriority`. On Pods; pod-sync.
    pub const GS_UPDATE_PRIORITY: &str = "game.kruise.io/gs-update-priority";
    /// Copy of `GameServer.spec.deletionPriority`. On Pods; pod-sync.
    pub const GS_DELETE_PRIORITY: &str = "game.kruise.io/gs-delete-priority";
    /// Copy of `GameServer.spec.networkDisabled`, `true` or `false`. On Pods; pod-sync.
    pub const NETWORK_DISABLED: &str = "game.kruise.io/network-disabled";
    /// `true`: the GameServer goes when its Pod is gone; `false`: its id is wanted again. On GameServers; gss-controller.
    pub const GS_DELETING: &str = "game.kruise.io/gs-deleting";
    /// Node of the server's Pod. On GameServers; born with it, then node-watcher. Absent where the name has more than 63
    /// characters.
    pub const NODE_NAME: &str = "game.kruise.io/node-name";
    /// `true` while a network plugin wants the Pod out of service during an in-place update. On Pods; network-plugins.
    pub const INPLACE_NOT_READY_BLOCKER: &str = "game.kruise.io/inplace-update-not-ready-blocker";
    /// Key of a Service's selector that stands in for [`POD_NAME`] while nobody is to be sent to the Pod: no Pod has it.
    pub const SERVICE_SELECTOR_DISABLED: &str = "game.kruise.io/svc-selector-disabled";
    /// On ConfigMaps that record which server has which port of a load balancer; network-plugins.
    pub const NETWORK_PORTS: &str = "game.kruise.io/network-ports";
    /// Name of the GameServerSet a failed server was taken out of, in place of [`OWNER_GSS`]. On Pods and GameServers;
    /// gss-controller.
    pub const REMOVED_FROM_GSS: &str = "game.kruise.io/removed-from-gss";
    /// The Pod's own name, for Services that select one Pod. On Pods; gss-controller.
    pub const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
    /// The Pod's ordinal. On Pods; gss-controller.
    pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";
    /// Name of the ControllerRevision the Pod was made or updated from. On Pods; gss-controller.
    pub const CONTROLLER_REVISION_HASH: &str = "controller-revision-hash";
    /// Where the Pod is in its lifecycle, one of [`super::lifecycle`]. On Pods; gss-controller.
    pub const LIFECYCLE_STATE: &str = "lifecycle.apps.kruise.io/state";
    /// `false`: the PodDisruptionBudget [`super::EVICTION_BUDGET`] keeps the Pod from being evicted. On Pods; born with it, then
    /// pod-sync, unless the template has it.
    pub const SAFE_TO_EVICT: &str = "agones.dev/safe-to-evict";
    /// Who made an object that several programs might have made: [`super::MANAGER`].
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
}

/// Annotation keys.
pub mod annotation {
    /// Network plugin name. On Pods; gss-controller.
    pub const NETWORK_TYPE: &str = "game.kruise.io/network-type";
    /// Network parameters, a JSON array of `{name, value}`. On Pods; gss-controller.
    pub const NETWORK_CONF: &str = "game.kruise.io/network-conf";
    /// Result of the network plugin, JSON of [`crate::NetworkStatus`]. On Pods; network-plugins.
    pub const NETWORK_STATUS: &str = "game.kruise.io/network-status";
    /// Which labels and annotations of a Service or an Ingress came from the network's parameters, so that one removed there
    /// is removed here and anybody else's never is. On Services and Ingresses; network-plugins.
    pub const NETWORK_KEYS: &str = "game.kruise.io/network-keys";
    /// Id of the load balancer that a ConfigMap of [`super::label::NETWORK_PORTS`] is about. On ConfigMaps; network-plugins.
    pub const LOAD_BALANCER_ID: &str = "game.kruise.io/load-balancer-id";
    /// RFC 3339 time at which a network plugin was last asked to look again. On Pods.
    pub const NETWORK_TRIGGER_TIME: &str = "game.kruise.io/network-trigger-time";
    /// RFC 3339 time of the last change of the opsState label. On Pods; pod-sync.
    pub const OPS_STATE_LAST_CHANGED: &str = "game.kruise.io/opsState-last-changed-time";
    /// RFC 3339 time of the last change of the state label, absent until it first changes. On Pods; pod-sync.
    pub const STATE_LAST_CHANGED: &str = "game.kruise.io/state-last-changed-time";
    /// Comma-joined names of the containers an in-place update is about to change. On Pods; pod-sync.
    pub const GS_UPDATING_CONTAINERS: &str = "game.kruise.io/gs-updating-containers";
    /// Hash of the set's template labels and annotations last merged. On GameServers; gs-controller.
    pub const GS_TEMPLATE_METADATA_HASH: &str = "game.kruise.io/gsTemplate-metadata-hash";
    /// Keys that came from the set's template, so that a key removed there is removed here and a user's own never is.
    /// On GameServers; gs-controller.
    pub const GS_TEMPLATE_METADATA_KEYS: &str = "game.kruise.io/gsTemplate-metadata-keys";
    /// Explicit reserves already acted on, compact form `1,2,5-7`. On GameServerSets; gss-controller.
    pub const RESERVE_IDS: &str = "game.kruise.io/reserve-ids";
    /// GameServer generation the Pod's labels show; never goes backwards. On Pods; pod-sync.
    pub const SYNCED_GENERATION: &str = "game.kruise.io/synced-generation";
    /// What the Pod remembers of the GameServer it shows: its resource version and its `gs-sync/` keys, as JSON. On Pods;
    /// pod-sync.
    pub const SYNCED_FROM: &str = "game.kruise.io/synced-from";
    /// Results of service qualities that were acted on, as JSON by name. On GameServers; quality-prober.
    pub const SERVICE_QUALITY_ACTED: &str = "game.kruise.io/service-quality-acted";
    /// RFC 3339 time at which the Pod entered its lifecycle state. On Pods; gss-controller.
    pub const LIFECYCLE_TIMESTAMP: &str = "lifecycle.apps.kruise.io/timestamp";
    /// What the containers were before an update in place changed them, as JSON in OpenKruise's form. On Pods; gss-controller.
    pub const IN_PLACE_UPDATE_STATE: &str = "apps.kruise.io/inplace-update-state";
    /// `false`: the cluster autoscaler leaves the Pod's node alone. On Pods; born with it, then pod-sync, unless the template has
    /// it.
    pub const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
    /// What `kubectl apply` last sent: a second copy of the object, never kept in memory.
    pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
}

/// Names under which the controllers write; each owns its own fields.
pub mod field_manager {
    /// Creates and deletes Pods, claims, plan records and set status.
    pub const GSS_CONTROLLER: &str = "gamekeeper-gss-controller";
    /// Creates GameServers and writes their status.
    pub const GS_CONTROLLER: &str = "gamekeeper-gs-controller";
    /// Copies GameServer fields to Pod labels.
    pub const POD_SYNC: &str = "gamekeeper-pod-sync";
    /// Writes node conditions and addresses to GameServers.
    pub const NODE_WATCHER: &str = "gamekeeper-node-watcher";
    /// Writes probe results and runs service-quality actions.
    pub const QUALITY_PROBER: &str = "gamekeeper-quality-prober";
    /// Writes Services, Ingresses and network status.
    pub const NETWORK_PLUGINS: &str = "gamekeeper-network-plugins";
    /// Writes what game servers report about themselves.
    pub const GAME_API: &str = "gamekeeper-game-api";
    /// Writes replicas as players come and go, and says why in the set's status.
    pub const PLAYER_AUTOSCALER: &str = "gamekeeper-player-autoscaler";
}

/// Environment variables of a game server's containers, by which it finds game-api. On Pods; gss-controller.
pub mod variable {
    /// Name of the server: its GameServer's and its Pod's.
    pub const SERVER_NAME: &str = "SERVER_NAME";
    /// Namespace of both.
    pub const SERVER_NAMESPACE: &str = "SERVER_NAMESPACE";
    /// Where game-api answers.
    pub const API_SERVER_URL: &str = "API_SERVER_URL";
    /// The code of this server and this Pod, with which it calls game-api.
    pub const API_SERVER_CODE: &str = "API_SERVER_CODE";
}

/// Values of [`label::LIFECYCLE_STATE`].
pub mod lifecycle {
    /// Created, its `preNormal` hook not yet satisfied.
    pub const PREPARING_NORMAL: &str = "PreparingNormal";
    /// In service.
    pub const NORMAL: &str = "Normal";
    /// An in-place update waits for its hook.
    pub const PREPARING_UPDATE: &str = "PreparingUpdate";
    /// An in-place update is under way.
    pub const UPDATING: &str = "Updating";
    /// An in-place update is done, its hook not yet satisfied.
    pub const UPDATED: &str = "Updated";
    /// The deletion waits for its hook.
    pub const PREPARING_DELETE: &str = "PreparingDelete";
}

/// Condition types of GameServerSets and GameServers.
pub mod condition {
    /// GameServerSet: as many servers as wanted are ready.
    pub const READY: &str = "Ready";
    /// GameServerSet: servers are being created, deleted or updated.
    pub const PROGRESSING: &str = "Progressing";
    /// GameServerSet: allocated servers keep the set above its replicas.
    pub const SCALE_IN_BLOCKED: &str = "ScaleInBlocked";
    /// GameServerSet: servers that are to be updated wait for something that may never come; the message says what.
    pub const UPDATE_BLOCKED: &str = "UpdateBlocked";
    /// GameServerSet: the spec cannot be carried out as written; the message says why.
    pub const DEGRADED: &str = "Degraded";
    /// GameServerSet: a lifecycle hook has held servers for long.
    pub const HOOK_BLOCKED: &str = "HookBlocked";
    /// GameServerSet: volume claims keep servers from being created or started.
    pub const VOLUME_BLOCKED: &str = "VolumeBlocked";
    /// GameServerSet: as many servers have failed as its failurePolicy allows, and no more are replaced.
    pub const NEEDS_INTERVENTION: &str = "NeedsIntervention";
    /// GameServerSet: who may evict its servers is not as it seems, or not as advised; the message says what to change. Absent
    /// while there has been nothing to say.
    pub const EVICTION_ADVICE: &str = "EvictionAdvice";
    /// GameServer: the Pod and its containers are well.
    pub const POD_NORMAL: &str = "PodNormal";
    /// GameServer: the Pod's node is well. Absent while it has always been.
    pub const NODE_NORMAL: &str = "NodeNormal";
    /// GameServer: the network plugin has published the server's addresses, and they lead to it.
    pub const NETWORK_READY: &str = "NetworkReady";
    /// GameServer: every claimed volume is bound and well.
    pub const PERSISTENT_VOLUME_NORMAL: &str = "PersistentVolumeNormal";
}

/// Reasons in [`crate::DeletionClaim::reason`].
pub mod claim_reason {
    /// The set has more servers than wanted.
    pub const SCALE_IN: &str = "ScaleIn";
    /// The Pod is recreated from a newer template.
    pub const UPDATE: &str = "Update";
    /// The server's opsState is `Kill`.
    pub const KILL: &str = "Kill";
    /// The Pod was evicted: by a node drain, the cluster autoscaler, its kubelet, or because of a taint.
    pub const EVICTED: &str = "Evicted";
    /// The scheduler takes the Pod's place for a more important one.
    pub const PREEMPTED: &str = "Preempted";
    /// Somebody else deleted the Pod.
    pub const DELETED: &str = "Deleted";
    /// The Pod has failed or ended and is replaced by a new one of the same name.
    pub const REPLACED: &str = "Replaced";
    /// The server is to go, and waits for its last player.
    pub const DRAINING: &str = "Draining";
    /// The server was marked for deletion, and nobody is on it.
    pub const MARKED: &str = "Marked";
    /// The server has failed, and is replaced.
    pub const FAILED: &str = "Failed";
    /// The server has failed, and is taken out of its set, running.
    pub const REMOVED: &str = "Removed";

    /// Whether the claim only says what somebody else did to the Pod. Nothing is deleted because of it.
    pub fn is_of_others(reason: &str) -> bool {
        [EVICTED, PREEMPTED, DELETED].contains(&reason)
    }
}
