//! One dashboard for each controller: what it is for, then what all have (pure).

use super::process::{Parts, rows};
use super::{Dashboard, Panel, Row, Unit, age, quantile, rate, row};

const WORKER: Parts = Parts {
    queue: true,
    lease: true,
    events: true,
    writes: true,
};
/// One that answers, and does nothing by itself.
const SERVER: Parts = Parts {
    queue: false,
    lease: false,
    events: false,
    writes: true,
};
/// One that reads only.
const READER: Parts = Parts {
    writes: false,
    ..SERVER
};

pub(super) fn dashboards() -> Vec<Dashboard> {
    let worker = |name, about, own| dashboard(name, about, own, WORKER);
    let mut nodes = WORKER;
    nodes.events = false;
    vec![
        worker(
            "gss-controller",
            "Sets: which Pods there are, and which go.",
            gss(),
        ),
        worker("gs-controller", "GameServers and their status.", gs()),
        worker("pod-sync", "How fast an opsState reaches its Pod.", pod_sync()),
        dashboard(
            "node-watcher",
            "Nodes, and what servers are told of them.",
            node_watcher(),
            nodes,
        ),
        worker("network-plugins", "Networks of servers.", network()),
        worker("quality-prober", "Probes and actions.", quality()),
        worker(
            "player-autoscaler",
            "Sets that follow their players.",
            autoscaler(),
        ),
        dashboard("external-scaler", "What KEDA is told.", scaler(), READER),
        dashboard("game-api", "What game servers report.", game_api(), SERVER),
    ]
}

fn dashboard(name: &'static str, about: &'static str, own: Vec<Row>, parts: Parts) -> Dashboard {
    Dashboard {
        name,
        title: format!("Gamekeeper / {name}"),
        about,
        rows: own.into_iter().chain(rows(name, parts)).collect(),
    }
}

fn gss() -> Vec<Row> {
    vec![sets(), pods(), claims(), updates()]
}

fn sets() -> Row {
    row(
        "Sets",
        vec![
            Panel::lines("Sets and their conditions", Unit::Count)
                .ask("max(gamekeeper_gss_sets)", "all")
                .ask(
                    "max by (condition) (gamekeeper_gss_set_conditions)",
                    "{{condition}}",
                ),
            Panel::rates("Passes", "gamekeeper_gss_passes_total", "result"),
            Panel::times("Time to decide", "gamekeeper_gss_plan_seconds"),
            Panel::rates("Plan records", "gamekeeper_gss_plans_total", "outcome"),
            Panel::lines("Scale-ins that began to wait", Unit::Rate)
                .about("For allocated servers, under protectAllocated.")
                .rate("gamekeeper_gss_scale_ins_blocked_total", "blocked"),
            Panel::rates("Failures of servers", "gamekeeper_gss_failures_total", "why"),
        ],
    )
}

fn pods() -> Row {
    row(
        "Pods",
        vec![
            Panel::lines("Created and deleted", Unit::Rate)
                .rate("gamekeeper_gss_pods_created_total", "created")
                .rate_by("gamekeeper_gss_pods_deleted_total", "reason"),
            Panel::rates(
                "Creations refused",
                "gamekeeper_gss_creations_refused_total",
                "category",
            ),
            Panel::rates("Volume claims", "gamekeeper_gss_volume_claims_total", "outcome"),
        ],
    )
}

fn claims() -> Row {
    row(
        "Claims and hooks",
        vec![
            Panel::rates("Claims", "gamekeeper_gss_claims_total", "outcome").about(
                "raced, refused, joined: an allocation or players were there first, and the server stays.",
            ),
            Panel::rates(
                "PodDisruptionBudgets written",
                "gamekeeper_gss_disruption_budgets_total",
                "outcome",
            )
            .about("restored: somebody else had changed one."),
            Panel::most("Servers with a claim", "gamekeeper_gss_claims_held", "reason"),
            Panel::lines("Oldest claim", Unit::Seconds)
                .ask(
                    age("gamekeeper_gss_claims_oldest_timestamp_seconds", "reason"),
                    "{{reason}}",
                )
                .quiet("no Pod waits for its end"),
            Panel::most(
                "Servers that wait for a hook",
                "gamekeeper_gss_hooks_waiting",
                "hook",
            ),
            Panel::lines("Longest wait for a hook", Unit::Seconds)
                .ask(
                    age("gamekeeper_gss_hooks_oldest_timestamp_seconds", "hook"),
                    "{{hook}}",
                )
                .quiet("nothing waits for a hook"),
            Panel::lines("preDelete hooks entered", Unit::Rate)
                .rate("gamekeeper_gss_hooks_entered_total", "Pods"),
        ],
    )
}

fn updates() -> Row {
    row(
        "Updates",
        vec![
            Panel::most(
                "Sets whose update waits",
                "gamekeeper_gss_sets_update_blocked",
                "reason",
            )
            .about("AllocatedServers: as protectAllocated asks."),
            Panel::rates("Pods updated", "gamekeeper_gss_updates_total", "kind"),
            Panel::lines("Updates that began to wait", Unit::Rate)
                .rate("gamekeeper_gss_updates_stuck_total", "stuck for ten minutes")
                .rate("gamekeeper_gss_updates_blocked_total", "blocked")
                .rate("gamekeeper_gss_updates_overtaken_total", "steps overtaken"),
            Panel::rates("Revisions", "gamekeeper_gss_revisions_total", "outcome"),
        ],
    )
}

fn gs() -> Vec<Row> {
    vec![row(
        "GameServers",
        vec![
            Panel::most("By state", "gamekeeper_gs_by_state", "state").stacked(),
            Panel::most("By opsState", "gamekeeper_gs_by_ops_state", "ops_state").stacked(),
            Panel::lines("Created", Unit::Rate).rate("gamekeeper_gs_created_total", "created"),
            Panel::rates("Deleted", "gamekeeper_gs_deleted_total", "reason"),
            Panel::times(
                "From a ready Pod to the status",
                "gamekeeper_gs_ready_to_status_seconds",
            ),
        ],
    )]
}

fn pod_sync() -> Vec<Row> {
    let p99 = |trigger: &str| quantile("0.99", "gamekeeper_pod_sync_seconds", trigger, "trigger");
    vec![
        row(
            "Sync gap",
            vec![
                Panel::lines("Oldest gap", Unit::Seconds)
                    .ask("max(gamekeeper_pod_sync_gap_oldest_seconds)", "oldest"),
                Panel::lines("Servers behind", Unit::Count).ask("sum(gamekeeper_pod_sync_gap_servers)", "servers"),
                Panel::lines("Servers told of in events SyncGap", Unit::Rate)
                    .rate("gamekeeper_pod_sync_gap_warnings_total", "servers"),
            ],
        ),
        row(
            "Patches",
            vec![
                Panel::lines("GameServer to Pod", Unit::Seconds)
                    .about("From the event of a change to the acknowledged patch of the Pod.")
                    .quantiles("gamekeeper_pod_sync_seconds", "trigger=\"gameserver\""),
                Panel::lines("Difference to patch, p99 by trigger", Unit::Seconds).ask(p99(""), "{{trigger}}"),
                Panel::rates("Patches by what was in them", "gamekeeper_pod_sync_patches_total", "kind"),
                Panel::lines("Patches that met a newer Pod, or were refused", Unit::Rate)
                    .rate("gamekeeper_pod_sync_conflicts_total", "conflicts")
                    .rate("gamekeeper_pod_sync_refused_total", "refused"),
                Panel::lines("Values skipped, runs behind", Unit::Rate)
                    .about("Values that no label can hold; runs in which the Pod showed a newer GameServer than the cache.")
                    .rate("gamekeeper_pod_sync_skipped_values_total", "values skipped")
                    .rate("gamekeeper_pod_sync_behind_total", "runs behind"),
            ],
        ),
        row(
            "Shards",
            vec![
                Panel::parts("Shards by replica", Unit::Count)
                    .ask("sum by (instance) (gamekeeper_pod_sync_owned_shards)", "{{instance}}"),
                Panel::lines("Shards owned and shards there are", Unit::Count)
                    .ask("sum by (group) (gamekeeper_shards_owned{controller=\"pod-sync\"})", "{{group}}, owned")
                    .ask("max by (group) (gamekeeper_shards{controller=\"pod-sync\"})", "{{group}}, all"),
                Panel::rates("Shards that moved", "gamekeeper_shard_moves_total", "change"),
            ],
        ),
    ]
}

fn node_watcher() -> Vec<Row> {
    vec![row(
        "Nodes",
        vec![
            Panel::lines("Nodes", Unit::Count)
                .ask("max(gamekeeper_node_watcher_nodes{normal=\"true\"})", "well")
                .ask("max(gamekeeper_node_watcher_nodes{normal=\"false\"})", "not well"),
            Panel::lines("Servers on nodes that are not well", Unit::Count)
                .ask("max(gamekeeper_node_watcher_servers_affected)", "servers"),
            Panel::lines("Events of nodes", Unit::Rate)
                .about("Those that are not significant are heartbeats and the like, of which nothing came.")
                .ask(
                    rate(
                        "gamekeeper_node_watcher_node_events_total",
                        "significant=\"true\"",
                        "",
                    ),
                    "significant",
                )
                .ask(
                    rate(
                        "gamekeeper_node_watcher_node_events_total",
                        "significant=\"false\"",
                        "",
                    ),
                    "not significant",
                ),
            Panel::rates(
                "Conditions NodeNormal written",
                "gamekeeper_node_watcher_conditions_total",
                "status",
            ),
            Panel::lines("Labels node-name written", Unit::Rate)
                .rate("gamekeeper_node_watcher_labels_total", "labels"),
            Panel::times("From a change to its write", "gamekeeper_node_watcher_seconds"),
        ],
    )]
}

fn network() -> Vec<Row> {
    vec![
        row(
            "Networks",
            vec![
                Panel::most(
                    "Servers by their network's state",
                    "gamekeeper_network_servers",
                    "state",
                )
                .stacked(),
                Panel::lines("Longest without a network", Unit::Seconds)
                    .ask(
                        age("gamekeeper_network_not_ready_oldest_timestamp_seconds", ""),
                        "NotReady or Waiting",
                    )
                    .quiet("every network is ready"),
                Panel::lines("From GameServer to network, p99", Unit::Seconds).ask(
                    quantile("0.99", "gamekeeper_network_ready_seconds", "", "type"),
                    "{{type}}",
                ),
                Panel::lines("Writes", Unit::Rate).ask(
                    rate("gamekeeper_network_writes_total", "", "resource, verb"),
                    "{{verb}} {{resource}}",
                ),
                Panel::rates("Warnings", "gamekeeper_network_problems_total", "reason"),
            ],
        ),
        row(
            "Ports of shared load balancers",
            vec![
                Panel::lines("Ports given", Unit::Count).ask("max(gamekeeper_network_ports)", "ports"),
                Panel::lines("Writes to the records", Unit::Rate)
                    .rate("gamekeeper_network_port_writes_total", "written")
                    .rate("gamekeeper_network_port_conflicts_total", "too late, made anew"),
            ],
        ),
    ]
}

fn quality() -> Vec<Row> {
    vec![
        row(
            "Probes",
            vec![
                Panel::parts("Probes that are run", Unit::Count)
                    .ask("sum by (kind) (gamekeeper_quality_prober_probes)", "{{kind}}"),
                Panel::lines("Runs of probes", Unit::Rate)
                    .about("nothing: the run told nothing, as the container or its runtime was away.")
                    .ask(
                        rate("gamekeeper_quality_prober_runs_total", "", "kind, outcome"),
                        "{{kind}} {{outcome}}",
                    ),
                Panel::lines("Time of a probe, p99", Unit::Seconds).ask(
                    quantile("0.99", "gamekeeper_quality_prober_run_seconds", "", "kind"),
                    "{{kind}}",
                ),
                Panel::times("How late runs begin", "gamekeeper_quality_prober_skew_seconds"),
                Panel::lines("Runs missed", Unit::Rate)
                    .about("The one before still ran, or waited for its turn.")
                    .rate("gamekeeper_quality_prober_missed_total", "missed"),
            ],
        ),
        row(
            "Conditions and actions",
            vec![
                Panel::rates(
                    "Pod conditions written",
                    "gamekeeper_quality_prober_conditions_total",
                    "status",
                ),
                Panel::times(
                    "From a run to its condition",
                    "gamekeeper_quality_prober_condition_seconds",
                ),
                Panel::rates(
                    "Results looked at for actions",
                    "gamekeeper_quality_prober_actions_total",
                    "outcome",
                ),
                Panel::times(
                    "From a condition to its action",
                    "gamekeeper_quality_prober_action_seconds",
                ),
                Panel::times(
                    "From an action to the Pod's label",
                    "gamekeeper_quality_prober_label_seconds",
                ),
            ],
        ),
    ]
}

fn autoscaler() -> Vec<Row> {
    vec![row(
        "Scaling",
        vec![
            Panel::lines("Sets that opted in", Unit::Count)
                .ask(
                    "max(gamekeeper_player_autoscaler_sets{able=\"true\"})",
                    "able to scale",
                )
                .ask(
                    "max(gamekeeper_player_autoscaler_sets{able=\"false\"})",
                    "not able",
                ),
            Panel::lines("Players", Unit::Count).ask("max(gamekeeper_player_autoscaler_players)", "players"),
            Panel::rates(
                "Changes of replicas",
                "gamekeeper_player_autoscaler_scales_total",
                "direction",
            ),
            Panel::times(
                "From a change to the replicas",
                "gamekeeper_player_autoscaler_seconds",
            ),
        ],
    )]
}

fn scaler() -> Vec<Row> {
    const NOBODY: &str = "nobody has asked yet";
    vec![row(
        "Answers",
        vec![
            Panel::most(
                "Servers by what they count as",
                "gamekeeper_external_scaler_servers",
                "standing",
            )
            .stacked(),
            Panel::lines("Requests of KEDA", Unit::Rate)
                .ask(
                    rate("gamekeeper_external_scaler_requests_total", "", "method, code"),
                    "{{method}} {{code}}",
                )
                .all_quiet(NOBODY),
            Panel::lines("Streams", Unit::Count).ask("sum(gamekeeper_external_scaler_streams)", "open"),
            Panel::lines("Messages pushed", Unit::Rate)
                .rate("gamekeeper_external_scaler_pushes_total", "messages"),
        ],
    )]
}

fn game_api() -> Vec<Row> {
    vec![
        row(
            "Requests of servers",
            vec![
                Panel::lines("Answered", Unit::Rate).ask(
                    rate("gamekeeper_game_api_requests_total", "", "endpoint, status"),
                    "{{status}} {{endpoint}}",
                ),
                Panel::lines("Time to the answer, p99", Unit::Seconds).ask(
                    quantile("0.99", "gamekeeper_game_api_request_seconds", "", "endpoint"),
                    "{{endpoint}}",
                ),
                Panel::rates("Refused", "gamekeeper_game_api_refused_total", "reason"),
            ],
        ),
        row(
            "Reports",
            vec![
                Panel::rates("Reports", "gamekeeper_game_api_reports_total", "outcome").about(
                    "known: nothing new; stored: written before the answer; accepted: to be written soon.",
                ),
                Panel::rates("Writes", "gamekeeper_game_api_writes_total", "outcome"),
                Panel::lines("Servers whose reports wait", Unit::Count)
                    .ask("sum(gamekeeper_game_api_pending)", "servers"),
            ],
        ),
        row(
            "Connections",
            vec![
                Panel::parts("Open", Unit::Count).ask(
                    "sum by (instance) (gamekeeper_game_api_connections)",
                    "{{instance}}",
                ),
                Panel::rates(
                    "Turned away",
                    "gamekeeper_game_api_connections_refused_total",
                    "reason",
                ),
                Panel::rates(
                    "Certificate read",
                    "gamekeeper_game_api_certificate_loads_total",
                    "outcome",
                ),
            ],
        ),
    ]
}
