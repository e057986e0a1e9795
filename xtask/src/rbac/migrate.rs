//! The role of whoever runs gamekeeper-migrate.

use super::model::{Account, Role, Rule, Scope};

const CORE: &str = "";
const GAME: &str = "game.kruise.io";
const KRUISE: &str = "apps.kruise.io";

/// Bound by hand, for as long as a take-over lasts.
pub(super) const MIGRATE: Account = Account {
    name: "migrate",
    head: "The rights of a person or job that runs gamekeeper-migrate. Bind it for as long as the take-over lasts.\n\n\
        With one namespace (`-n`) the rules of namespaced kinds, Deployments excepted, work as a Role in it.",
    bound: false,
    roles: &[Role {
        suffix: "",
        why: "",
        scope: Scope::GameServers,
        rules: RULES,
    }],
};

const RULES: &[Rule] = &[
    Rule::new(
        "What is there. patch: owner references.",
        CORE,
        &["pods", "persistentvolumeclaims"],
        &["list", "patch"],
    ),
    Rule::new("", "apps", &["controllerrevisions"], &["list", "patch"]),
    Rule::new(
        "Readiness gates that were OpenKruise's.",
        CORE,
        &["pods/status"],
        &["patch"],
    ),
    Rule::new("status: the plan record.", GAME, &["gameserversets"], &["list"]),
    Rule::new("", GAME, &["gameserversets/status"], &["patch"]),
    Rule::new(
        "get: whether they are gone. create: the way back. patch: a marker's finalizer when OpenKruise is gone.",
        KRUISE,
        &["statefulsets"],
        &["get", "list", "delete", "create"],
    ),
    Rule::new(
        "",
        KRUISE,
        &["podprobemarkers"],
        &["get", "list", "delete", "create", "patch"],
    ),
    Rule::new(
        "The snapshot. delete: that of an earlier take-over of the same set.",
        CORE,
        &["configmaps"],
        &["list", "create", "delete"],
    ),
    Rule::new(
        "Whether the old managers run, whether their webhooks are configured, whether our CRD is installed.",
        "apps",
        &["deployments"],
        &["list"],
    ),
    Rule::new(
        "",
        "admissionregistration.k8s.io",
        &["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
        &["list"],
    ),
    Rule::new(
        "",
        "apiextensions.k8s.io",
        &["customresourcedefinitions"],
        &["list"],
    ),
    Rule::new(
        "Owner references with blockOwnerDeletion, forwards and back. Clusters with the admission plugin\n\
         OwnerReferencesPermissionEnforcement ask for this; by default it is off.",
        GAME,
        &["gameserversets/finalizers"],
        &["update"],
    ),
    Rule::new("", KRUISE, &["statefulsets/finalizers"], &["update"]),
];
