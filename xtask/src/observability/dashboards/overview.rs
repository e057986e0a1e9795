//! The fleet and its controllers at a glance (pure).

use super::{Dashboard, Panel, Row, Unit, quantile, rate, row};

/// Outcomes of requests that nobody need know of.
const FINE: &str = "outcome!~\"ok|already_exists\"";

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "overview",
        title: "Gamekeeper / Overview".to_owned(),
        about: "The fleet, what is done with it, and how the controllers are.",
        rows: vec![
            fleet(),
            players(),
            probes_and_networks(),
            controllers(),
            requests(),
        ],
    }
}

fn fleet() -> Row {
    row(
        "Fleet",
        vec![
            Panel::most("Servers by state", "gamekeeper_gs_by_state", "state").stacked(),
            Panel::most("Servers by opsState", "gamekeeper_gs_by_ops_state", "ops_state").stacked(),
            Panel::lines("Sets", Unit::Count)
                .about("GameServerSets, and those on which these conditions are True. Any line but the first three asks for a look.")
                .ask("max(gamekeeper_gss_sets)", "all")
                .ask("max by (condition) (gamekeeper_gss_set_conditions)", "{{condition}}"),
            Panel::lines("Sync gap", Unit::Seconds)
                .about("How long the Pod that is furthest behind its GameServer has been so.")
                .ask("max(gamekeeper_pod_sync_gap_oldest_seconds)", "oldest"),
            Panel::lines("Servers behind", Unit::Count)
                .about("Servers whose Pod does not show their GameServer at this moment.")
                .ask("sum(gamekeeper_pod_sync_gap_servers)", "servers"),
            Panel::lines("GameServer to Pod", Unit::Seconds)
                .about("From the event of a change to the acknowledged patch of the Pod.")
                .quantiles("gamekeeper_pod_sync_seconds", "trigger=\"gameserver\""),
        ],
    )
}

fn players() -> Row {
    row(
        "Servers that go",
        vec![
            Panel::lines("Deletion claims", Unit::Rate)
                .about(
                    "raced, refused, joined: an allocation or players were there before the claim, and the server stays. An allocation \
                     that comes after the claim is refused by the API server, and only its allocator sees that.",
                )
                .rate_by("gamekeeper_gss_claims_total", "outcome"),
            Panel::most("Servers with a claim", "gamekeeper_gss_claims_held", "reason")
                .about("Draining: they wait for their last player.")
                .ask("max by (hook) (gamekeeper_gss_hooks_waiting{hook=\"preDelete\"})", "hook {{hook}}"),
            Panel::lines("Pods created and deleted", Unit::Rate)
                .rate("gamekeeper_gss_pods_created_total", "created")
                .rate_by("gamekeeper_gss_pods_deleted_total", "reason"),
        ],
    )
}

fn probes_and_networks() -> Row {
    row(
        "Probes, networks, nodes",
        vec![
            Panel::rates("Probes", "gamekeeper_quality_prober_runs_total", "outcome"),
            Panel::most("Networks by state", "gamekeeper_network_servers", "state").stacked(),
            Panel::lines("Nodes that are not well", Unit::Count)
                .ask("max(gamekeeper_node_watcher_nodes{normal=\"false\"})", "nodes")
                .ask("max(gamekeeper_node_watcher_servers_affected)", "servers on them"),
        ],
    )
}

fn controllers() -> Row {
    row(
        "Controllers",
        vec![
            Panel::parts("Processes", Unit::Count).ask("count by (controller) (gamekeeper_build_info)", "{{controller}}"),
            Panel::most("Leaders", "gamekeeper_leader", "lease")
                .about("1 where somebody leads. pod-sync-member: whether any replica takes part in sharing the shards."),
            Panel::lines("Shards", Unit::Count)
                .ask("sum by (group) (gamekeeper_shards_owned)", "{{group}}, owned")
                .ask("max by (group) (gamekeeper_shards)", "{{group}}, all"),
            Panel::lines("Queues", Unit::Count)
                .about("Keys that wait for a worker. In a process that does not lead they wait until it does.")
                .ask("max by (controller, queue) (gamekeeper_queue_depth)", "{{controller}} {{queue}}"),
            Panel::lines("Memory", Unit::Bytes)
                .ask("max by (controller) (process_resident_memory_bytes)", "{{controller}}"),
            Panel::lines("CPU", Unit::Share)
                .rate_by("process_cpu_seconds_total", "controller"),
        ],
    )
}

fn requests() -> Row {
    row(
        "API server",
        vec![
            Panel::parts("Requests", Unit::Rate)
                .rate_by("gamekeeper_api_requests_total", "controller"),
            Panel::lines("Requests that failed", Unit::Rate)
                .about("conflict: somebody else was faster, as happens at work. unknown: timeouts, cut connections, 5xx.")
                .ask(rate("gamekeeper_api_requests_total", FINE, "controller, outcome"), "{{controller}} {{outcome}}")
                .quiet("no request failed"),
            Panel::lines("Time of requests, p99", Unit::Seconds).ask(
                quantile("0.99", "gamekeeper_api_request_duration_seconds", "verb!=\"list\"", "controller"),
                "{{controller}}",
            ),
        ],
    )
}
