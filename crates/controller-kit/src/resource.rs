//! The resources Gamekeeper reads and writes, and their URL paths.

use std::fmt::Write as _;

/// One kind of object in the API, known at compile time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResourceKind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// Lower-case plural, as in URLs and RBAC rules.
    pub plural: &'static str,
    /// CamelCase kind, as in `kind:`.
    pub kind: &'static str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
}

/// Pods.
pub const POD: ResourceKind = core("pods", "Pod");
/// PersistentVolumeClaims.
pub const PVC: ResourceKind = core("persistentvolumeclaims", "PersistentVolumeClaim");
/// PersistentVolumes (cluster-scoped).
pub const PV: ResourceKind = cluster_scoped(core("persistentvolumes", "PersistentVolume"));
/// Nodes (cluster-scoped).
pub const NODE: ResourceKind = cluster_scoped(core("nodes", "Node"));
/// Services.
pub const SERVICE: ResourceKind = core("services", "Service");
/// Ingresses.
pub const INGRESS: ResourceKind = grouped("networking.k8s.io", "ingresses", "Ingress");
/// ConfigMaps.
pub const CONFIG_MAP: ResourceKind = core("configmaps", "ConfigMap");
/// Events of the core group: what `kubectl describe` shows.
pub const EVENT: ResourceKind = core("events", "Event");
/// GameServers.
pub const GAME_SERVER: ResourceKind = game("gameservers", "GameServer");
/// GameServerSets.
pub const GAME_SERVER_SET: ResourceKind = game("gameserversets", "GameServerSet");
/// ControllerRevisions: the stored history of a set's template.
pub const CONTROLLER_REVISION: ResourceKind = grouped("apps", "controllerrevisions", "ControllerRevision");
/// PodDisruptionBudgets.
pub const POD_DISRUPTION_BUDGET: ResourceKind =
    grouped("policy", "poddisruptionbudgets", "PodDisruptionBudget");
/// HorizontalPodAutoscalers.
pub const HORIZONTAL_POD_AUTOSCALER: ResourceKind = ResourceKind {
    version: "v2",
    ..grouped(
        "autoscaling",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
    )
};
/// KEDA's ScaledObjects.
pub const SCALED_OBJECT: ResourceKind = ResourceKind {
    version: "v1alpha1",
    ..grouped("keda.sh", "scaledobjects", "ScaledObject")
};
/// Leases.
pub const LEASE: ResourceKind = grouped("coordination.k8s.io", "leases", "Lease");

const fn core(plural: &'static str, kind: &'static str) -> ResourceKind {
    grouped("", plural, kind)
}

const fn grouped(group: &'static str, plural: &'static str, kind: &'static str) -> ResourceKind {
    ResourceKind {
        group,
        version: "v1",
        plural,
        kind,
        namespaced: true,
    }
}

const fn game(plural: &'static str, kind: &'static str) -> ResourceKind {
    ResourceKind {
        version: api_types::keys::VERSION,
        ..grouped(api_types::keys::GROUP, plural, kind)
    }
}

const fn cluster_scoped(resource: ResourceKind) -> ResourceKind {
    ResourceKind {
        namespaced: false,
        ..resource
    }
}

impl ResourceKind {
    /// The `apiVersion` of an object of this kind: `v1`, `apps/v1`, …
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The URL path of a collection (`name` is `None`) or an object.
    ///
    /// An empty `namespace` means all namespaces, or a cluster-scoped resource. Parts are percent-encoded,
    /// so a name taken from a label or an annotation cannot lead to another path.
    pub fn path(&self, namespace: &str, name: Option<&str>, subresource: Option<&str>) -> String {
        let mut path = String::with_capacity(96);
        if self.group.is_empty() {
            path.push_str("/api/");
        } else {
            path.push_str("/apis/");
            path.push_str(self.group);
            path.push('/');
        }
        path.push_str(self.version);
        if !namespace.is_empty() {
            path.push_str("/namespaces/");
            push_encoded(&mut path, namespace);
        }
        path.push('/');
        path.push_str(self.plural);
        for part in [name, subresource].into_iter().flatten() {
            path.push('/');
            push_encoded(&mut path, part);
        }
        path
    }
}

/// Appends `value` percent-encoded: everything but unreserved characters (RFC 3986).
pub(crate) fn push_encoded(out: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_covers_core_grouped_cluster_and_subresource() {
        assert_eq!(
            POD.path("games", Some("a-0"), None),
            "/api/v1/namespaces/games/pods/a-0"
        );
        assert_eq!(NODE.path("", Some("n1"), None), "/api/v1/nodes/n1");
        assert_eq!(
            GAME_SERVER.path("games", Some("a-0"), Some("status")),
            "/apis/game.kruise.io/v1alpha1/namespaces/games/gameservers/a-0/status"
        );
        assert_eq!(
            GAME_SERVER_SET.path("", None, None),
            "/apis/game.kruise.io/v1alpha1/gameserversets"
        );
    }

    #[test]
    fn path_encodes_what_could_leave_the_path() {
        assert_eq!(
            POD.path("games", Some("../../secrets?x=1"), None),
            "/api/v1/namespaces/games/pods/..%2F..%2Fsecrets%3Fx%3D1"
        );
    }

    #[test]
    fn api_version_has_no_slash_for_the_core_group() {
        assert_eq!(POD.api_version(), "v1");
        assert_eq!(LEASE.api_version(), "coordination.k8s.io/v1");
    }
}
