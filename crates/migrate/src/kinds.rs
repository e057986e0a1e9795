//! OpenKruise's kinds and keys, as far as they are met here.

use controller_kit::resource::ResourceKind;

/// OpenKruise's Advanced StatefulSets.
pub const WORKLOAD: ResourceKind = ResourceKind {
    group: "apps.kruise.io",
    version: "v1beta1",
    plural: "statefulsets",
    kind: "StatefulSet",
    namespaced: true,
};
/// OpenKruise's PodProbeMarkers.
pub const PROBE_MARKER: ResourceKind = ResourceKind {
    group: "apps.kruise.io",
    version: "v1alpha1",
    plural: "podprobemarkers",
    kind: "PodProbeMarker",
    namespaced: true,
};
/// ConfigMaps: where the snapshot of a set is kept.
pub const CONFIG_MAP: ResourceKind = ResourceKind {
    group: "",
    version: "v1",
    plural: "configmaps",
    kind: "ConfigMap",
    namespaced: true,
};
/// Deployments: whether the old managers run.
pub const DEPLOYMENT: ResourceKind = ResourceKind {
    group: "apps",
    version: "v1",
    plural: "deployments",
    kind: "Deployment",
    namespaced: true,
};
/// Webhook configurations that change objects.
pub const MUTATING_WEBHOOK: ResourceKind =
    webhooks("mutatingwebhookconfigurations", "MutatingWebhookConfiguration");
/// Webhook configurations that only refuse objects.
pub const VALIDATING_WEBHOOK: ResourceKind = webhooks(
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
);
/// CustomResourceDefinitions.
pub const CRD: ResourceKind = ResourceKind {
    group: "apiextensions.k8s.io",
    version: "v1",
    plural: "customresourcedefinitions",
    kind: "CustomResourceDefinition",
    namespaced: false,
};

const fn webhooks(plural: &'static str, kind: &'static str) -> ResourceKind {
    ResourceKind {
        group: "admissionregistration.k8s.io",
        version: "v1",
        plural,
        kind,
        namespaced: false,
    }
}

/// Annotation on a Pod whose in-place update waits for its grace period.
pub const GRACE: &str = "apps.kruise.io/inplace-update-grace";
/// Finalizer with which OpenKruise stops a marker's probes on the nodes before the marker goes.
pub const PROBE_CLEANUP: &str = "kruise.io/node-pod-probe-cleanup";
/// Readiness gate that OpenKruise's webhook adds to every Pod of its workloads.
pub const KRUISE_POD_READY: &str = "KruisePodReady";

/// Deployment, image and webhook service of OpenKruiseGame's manager.
pub const OKG: Product = Product {
    deployment: "kruise-game-controller-manager",
    image: "kruise-game-manager",
    webhook_service: "kruise-game-webhook-service",
};
/// The same of OpenKruise's manager.
pub const KRUISE: Product = Product {
    deployment: "kruise-controller-manager",
    image: "kruise-manager",
    webhook_service: "kruise-webhook-service",
};

/// How a manager is recognised, whatever namespace it is installed in.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// Name of its Deployment, unless the installation chose another.
    pub deployment: &'static str,
    /// Last part of its image's name.
    pub image: &'static str,
    /// Service its webhooks call.
    pub webhook_service: &'static str,
}
