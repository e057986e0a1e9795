//! The accounts of this version, each with what its code may do and why. `docs/architecture.md` says who writes what; the tests
//! of each controller run it with exactly these rights.

use super::model::{Account, Role, Rule, Scope};

const CORE: &str = "";
const APPS: &str = "apps";
const GAME: &str = "game.kruise.io";
const LEASES: &str = "coordination.k8s.io";

const READ: &[&str] = &["list", "watch"];
const PATCH: &[&str] = &["patch"];

/// Every account, by name.
pub(crate) const ALL: [Account; 12] = [
    EXTERNAL_SCALER,
    GAME_API,
    GS_CONTROLLER,
    GSS_CONTROLLER,
    super::migrate::MIGRATE,
    NETWORK_PLUGINS,
    NODE_WATCHER,
    PLAYER_AUTOSCALER,
    POD_SYNC,
    QUALITY_PROBER_CENTRAL,
    QUALITY_PROBER_NODE,
    QUALITY_PROBER,
];

const EVENTS: Rule = Rule::new("", CORE, &["events"], &["create", "patch"]);
const NEVER_WRITTEN_SETS: Rule = Rule::new("Neither is ever written.", GAME, &["gameserversets"], READ);
const READ_SETS: Rule = Rule::new("", GAME, &["gameserversets"], READ);
const READ_PODS: Rule = Rule::new("", CORE, &["pods"], READ);

const CREATE_LEASE: Rule = Rule::new("", LEASES, &["leases"], &["create"]);
const OWN_LEASE: Rule = Rule::new("", LEASES, &["leases"], &["get", "update", "watch"]);
const LEASE_WHY: &str =
    "Its own lease, watched while another replica holds it. A create cannot be limited to a name.";

const fn roles(rules: &'static [Rule]) -> Role {
    Role {
        suffix: "",
        why: "",
        scope: Scope::GameServers,
        rules,
    }
}

const fn leases(rules: &'static [Rule]) -> Role {
    Role {
        suffix: "-leases",
        why: LEASE_WHY,
        scope: Scope::Own,
        rules,
    }
}

const EXTERNAL_SCALER: Account = Account {
    name: "external-scaler",
    head: "The rights of external-scaler: it reads, and writes nothing.\n\n\
        With --namespace the rules work as a Role in each of the namespaces.",
    bound: true,
    roles: &[roles(&[Rule::new(
        "",
        GAME,
        &["gameserversets", "gameservers"],
        READ,
    )])],
};

const GAME_API: Account = Account {
    name: "game-api",
    head: "The rights of game-api, least first.\n\n\
        With --namespace the rules but that of tokenreviews work as a Role in each of the namespaces; tokenreviews are cluster-scoped\n\
        and need a ClusterRole always.",
    bound: true,
    roles: &[
        roles(&[
            NEVER_WRITTEN_SETS,
            Rule::new("A Pod's code is in its environment.", CORE, &["pods"], READ),
            Rule::new(
                "get: what another replica, or another writer, made of it meanwhile. patch: spec.markedForDeletion.",
                GAME,
                &["gameservers"],
                &["list", "watch", "get", "patch"],
            ),
            Rule::new(
                "patch: players and reported.",
                GAME,
                &["gameservers/status"],
                PATCH,
            ),
        ]),
        Role {
            suffix: "-tokens",
            why: "Only with --token-audience: whose token it is. Creates nothing.",
            scope: Scope::GameServers,
            rules: &[Rule::new(
                "",
                "authentication.k8s.io",
                &["tokenreviews"],
                &["create"],
            )],
        },
    ],
};

const GS_CONTROLLER: Account = Account {
    name: "gs-controller",
    head: "The rights of gs-controller, least first.\n\n\
        With --namespace the same rules work as a Role in each of the namespaces: leave out persistentvolumes, which are\n\
        cluster-scoped. The condition PersistentVolumeNormal rests on the claims then.",
    bound: true,
    roles: &[
        roles(&[
            Rule::new(
                "What a server's record is computed from. Pods are never written.\n\
                 get: whether a Pod whose GameServer has vanished is still there.",
                CORE,
                &["pods"],
                &["get", "list", "watch"],
            ),
            Rule::new("", CORE, &["persistentvolumeclaims", "persistentvolumes"], READ),
            READ_SETS,
            Rule::new(
                "get: whose it is, when a create finds the name taken.",
                GAME,
                &["gameservers"],
                &["get", "list", "watch", "create", "patch", "delete"],
            ),
            Rule::new("", GAME, &["gameservers/status"], PATCH),
            Rule::new(
                "A GameServer names its Pod or its set as an owner that waits for it (blockOwnerDeletion). Clusters with the admission\n\
                 plugin OwnerReferencesPermissionEnforcement ask for these.",
                CORE,
                &["pods/finalizers"],
                &["update"],
            ),
            Rule::new("", GAME, &["gameserversets/finalizers"], &["update"]),
            EVENTS,
        ]),
        leases(&[CREATE_LEASE, OWN_LEASE.named(&["gs-controller"])]),
    ],
};

const GSS_CONTROLLER: Account = Account {
    name: "gss-controller",
    head: "The rights of gss-controller, least first.\n\n\
        With --namespace the rules of the ClusterRole work as a Role in each of the namespaces.",
    bound: true,
    roles: &[
        roles(&[
            Rule::new(
                "get: whose Pod it is, when a create finds the name taken. patch: lifecycle state; images, template metadata and revision of\n\
                 updates in place; owner and label of a failed one that is taken out of its set.",
                CORE,
                &["pods"],
                &["get", "list", "watch", "create", "patch", "delete"],
            ),
            Rule::new(
                "The readiness gates: opened on a new Pod, shut while a hook or an update takes it out of service.",
                CORE,
                &["pods/status"],
                PATCH,
            ),
            Rule::new(
                "get: what a claim in the way is. patch: its owners, as the retention policy says. Claims are never deleted here.",
                CORE,
                &["persistentvolumeclaims"],
                &["get", "list", "watch", "create", "patch"],
            ),
            Rule::new(
                "CPU and memory of updates in place.",
                CORE,
                &["pods/resize"],
                PATCH,
            ),
            Rule::new(
                "The one budget of a namespace whose servers are not to be evicted; others are read, so that no Pod has two.",
                "policy",
                &["poddisruptionbudgets"],
                &["list", "watch", "create", "patch", "delete"],
            ),
            Rule::new(
                "The history of templates. get: whose it is, when a create finds the name taken. patch: an older one is wanted again.",
                APPS,
                &["controllerrevisions"],
                &["get", "list", "watch", "create", "patch", "delete"],
            ),
            Rule::new(
                "get: whether the stored plan still names a victim. patch: replicas on Kill, reserves.",
                GAME,
                &["gameserversets"],
                &["get", "list", "watch", "patch"],
            ),
            Rule::new("", GAME, &["gameserversets/status"], PATCH),
            Rule::new(
                "get: what a victim is, when its claim was refused. patch: label gs-deleting, a mark that is taken back, labels of a failed one; deletion claims are\n\
                 status. create: the GameServer of a victim that has none, to claim it.",
                GAME,
                &["gameservers"],
                &["get", "list", "watch", "create", "patch"],
            ),
            Rule::new("", GAME, &["gameservers/status"], PATCH),
            Rule::new(
                "A Pod names its set as an owner that waits for it (blockOwnerDeletion). Clusters with the admission plugin\n\
                 OwnerReferencesPermissionEnforcement ask for this; by default it is off.",
                GAME,
                &["gameserversets/finalizers"],
                &["update"],
            ),
            EVENTS,
        ]),
        leases(&[CREATE_LEASE, OWN_LEASE.named(&["gss-controller"])]),
    ],
};

const NETWORK_PLUGINS: Account = Account {
    name: "network-plugins",
    head: "The rights of network-plugins, least first.\n\n\
        With --namespace the rules but that of nodes work as a Role in each of the namespaces; nodes are cluster-scoped and\n\
        need a ClusterRole always.",
    bound: true,
    roles: &[
        roles(&[
            Rule::new(
                "Addresses of nodes. Neither is ever written.",
                CORE,
                &["nodes"],
                READ,
            ),
            READ_SETS,
            Rule::new(
                "get: whether a Pod is gone, or only its network. patch: annotation network-status.",
                CORE,
                &["pods"],
                &["get", "list", "watch", "patch"],
            ),
            Rule::new(
                "get: whose an object is, when a create finds the name taken; whether a Service is really gone.",
                CORE,
                &["services"],
                &["get", "list", "watch", "create", "patch", "delete"],
            ),
            Rule::new(
                "",
                "networking.k8s.io",
                &["ingresses"],
                &["get", "list", "watch", "create", "patch", "delete"],
            ),
            Rule::new("", GAME, &["gameservers"], READ),
            Rule::new(
                "patch: networkStatus and the condition NetworkReady.",
                GAME,
                &["gameservers/status"],
                PATCH,
            ),
            Rule::new(
                "A Service names its Pod or its set as an owner that waits for it (blockOwnerDeletion). Clusters with the admission plugin\n\
                 OwnerReferencesPermissionEnforcement ask for this; by default it is off.",
                CORE,
                &["pods/finalizers"],
                &["update"],
            ),
            Rule::new("", GAME, &["gameserversets/finalizers"], &["update"]),
            EVENTS,
        ]),
        Role {
            suffix: "-leases",
            why: "Its own lease, and the records of ports. A create cannot be limited to a name.",
            scope: Scope::Own,
            rules: &[
                CREATE_LEASE,
                OWN_LEASE.named(&["network-plugins"]),
                Rule::new(
                    "Named after a hash of the load balancer's id.",
                    CORE,
                    &["configmaps"],
                    &["get", "list", "create", "patch"],
                ),
            ],
        },
    ],
};

const NODE_WATCHER: Account = Account {
    name: "node-watcher",
    head: "The rights of node-watcher, least first.\n\n\
        With --namespace the rules but that of nodes work as a Role in each of the namespaces; nodes are cluster-scoped and\n\
        need a ClusterRole always.",
    bound: true,
    roles: &[
        roles(&[
            Rule::new("Neither is ever written.", CORE, &["nodes"], READ),
            READ_PODS,
            Rule::new(
                "Whether a set keeps GameServers for their next Pod.",
                GAME,
                &["gameserversets"],
                READ,
            ),
            Rule::new(
                "patch: the label node-name.",
                GAME,
                &["gameservers"],
                &["list", "watch", "patch"],
            ),
            Rule::new(
                "patch: the condition NodeNormal.",
                GAME,
                &["gameservers/status"],
                PATCH,
            ),
            EVENTS,
        ]),
        leases(&[CREATE_LEASE, OWN_LEASE.named(&["node-watcher"])]),
    ],
};

const PLAYER_AUTOSCALER: Account = Account {
    name: "player-autoscaler",
    head: "The rights of player-autoscaler, least first.\n\n\
        With --namespace the rules work as a Role in each of the namespaces.",
    bound: true,
    roles: &[
        roles(&[
            Rule::new("", GAME, &["gameserversets", "gameservers"], READ),
            Rule::new(
                "What else may scale a set; neither is ever written. The second kind is there where KEDA is.",
                "autoscaling",
                &["horizontalpodautoscalers"],
                READ,
            ),
            Rule::new("", "keda.sh", &["scaledobjects"], READ),
            Rule::new("patch: replicas.", GAME, &["gameserversets/scale"], PATCH),
            Rule::new(
                "patch: playerAutoscaling.",
                GAME,
                &["gameserversets/status"],
                PATCH,
            ),
            EVENTS,
        ]),
        leases(&[CREATE_LEASE, OWN_LEASE.named(&["player-autoscaler"])]),
    ],
};

const POD_SYNC: Account = Account {
    name: "pod-sync",
    head: "What pod-sync may do: see game servers and their Pods, patch Pods, say what it did, and share its shards.",
    bound: true,
    roles: &[
        roles(&[
            Rule::new("", GAME, &["gameservers", "gameserversets"], READ),
            Rule::new("", CORE, &["pods"], &["list", "watch", "patch"]),
            EVENTS,
        ]),
        Role {
            suffix: "-leases",
            why: "",
            scope: Scope::Own,
            rules: &[Rule::new(
                "",
                LEASES,
                &["leases"],
                &["get", "list", "watch", "create", "update", "delete"],
            )],
        },
    ],
};

const CONDITIONS: Rule = Rule::new(
    "patch: the conditions game.kruise.io/<name>.",
    CORE,
    &["pods/status"],
    PATCH,
);
const ACTIONS: Rule = Rule::new(
    "get: an action is decided from what is there at that moment. patch: what actions change, and what was acted on.",
    GAME,
    &["gameservers"],
    &["list", "watch", "get", "patch"],
);
const QUALITIES: Rule = Rule::new(
    "patch: serviceQualitiesConditions.",
    GAME,
    &["gameservers/status"],
    PATCH,
);
const PROBER_LEASES: Role = leases(&[CREATE_LEASE, OWN_LEASE.named(&["quality-prober"])]);

const QUALITY_PROBER: Account = Account {
    name: "quality-prober",
    head: "The rights of quality-prober with --mode actions, least first.\n\n\
        With --namespace the rules work as a Role in each of the namespaces.",
    bound: true,
    roles: &[
        roles(&[NEVER_WRITTEN_SETS, READ_PODS, ACTIONS, QUALITIES, EVENTS]),
        PROBER_LEASES,
    ],
};

const QUALITY_PROBER_NODE: Account = Account {
    name: "quality-prober-node",
    head: "The rights of quality-prober in node mode, least first: it sees Pods and sets, and writes Pods' conditions.\n\n\
        It also needs the container runtime's socket, which is root on its node: mount the socket's folder. With --namespace the rules\n\
        work as a Role in each of the namespaces.",
    bound: true,
    roles: &[roles(&[NEVER_WRITTEN_SETS, READ_PODS, CONDITIONS])],
};

const QUALITY_PROBER_CENTRAL: Account = Account {
    name: "quality-prober-central",
    head: "The rights of quality-prober with --mode central, least first. pods/exec is a shell in every container.\n\n\
        With --namespace the rules work as a Role in each of the namespaces.",
    bound: true,
    roles: &[
        roles(&[
            NEVER_WRITTEN_SETS,
            READ_PODS,
            CONDITIONS,
            Rule::new(
                "Which of the two an exec needs depends on the version of Kubernetes.",
                CORE,
                &["pods/exec"],
                &["get", "create"],
            ),
            ACTIONS,
            QUALITIES,
            EVENTS,
        ]),
        PROBER_LEASES,
    ],
};
