//! What every controller's dashboard has: requests, queues, caches, the process (pure).

use super::{Panel, Row, Unit, quantile, rate, row};

/// What a controller has of what controllers can have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    /// A queue of keys.
    pub(super) queue: bool,
    /// A leader, or shards.
    pub(super) lease: bool,
    /// Events that it writes.
    pub(super) events: bool,
    /// Anything that it writes.
    pub(super) writes: bool,
}

/// Why one that only reads has no requests to time.
const READS: &str = "it lists when it starts, and watches";

/// The rows for this controller.
pub(super) fn rows(controller: &str, parts: Parts) -> Vec<Row> {
    let of = format!("controller=\"{controller}\"");
    let mut rows = Vec::new();
    if parts.queue {
        rows.push(work(&of));
    }
    rows.push(requests(&of, parts));
    rows.push(caches(&of));
    rows.push(process(&of, parts));
    rows
}

fn work(of: &str) -> Row {
    row(
        "Work",
        vec![
            Panel::lines("Queue", Unit::Count)
                .about("In a process that does not lead, keys wait until it does.")
                .ask(
                    format!("max by (queue) (gamekeeper_queue_depth{{{of}}})"),
                    "{{queue}}, waiting",
                )
                .ask(
                    format!("max by (queue) (gamekeeper_queue_active{{{of}}})"),
                    "{{queue}}, at work",
                ),
            Panel::lines("Wait in the queue", Unit::Seconds).quantiles("gamekeeper_queue_wait_seconds", of),
            Panel::lines("Time of a run", Unit::Seconds)
                .quantiles("gamekeeper_reconcile_duration_seconds", of),
            Panel::lines("Runs", Unit::Rate).ask(
                rate("gamekeeper_reconciles_total", of, "queue, outcome"),
                "{{queue}} {{outcome}}",
            ),
            Panel::lines("Runs to be repeated", Unit::Rate)
                .about("conflict: somebody else was faster, as happens at work.")
                .ask(
                    rate("gamekeeper_reconcile_retries_total", of, "category"),
                    "{{category}}",
                )
                .quiet("no run failed"),
        ],
    )
}

fn requests(of: &str, parts: Parts) -> Row {
    let failed = format!("{of},outcome!~\"ok|already_exists\"");
    let p99 = quantile("0.99", "gamekeeper_api_request_duration_seconds", of, "verb");
    let times = Panel::lines("Time of requests, p99", Unit::Seconds).ask(p99, "{{verb}}");
    let times = if parts.writes { times } else { times.quiet(READS) };
    row(
        "API server",
        vec![
            Panel::lines("Requests", Unit::Rate).ask(
                rate("gamekeeper_api_requests_total", of, "verb, resource"),
                "{{verb}} {{resource}}",
            ),
            Panel::lines("Requests that failed", Unit::Rate)
                .ask(
                    rate(
                        "gamekeeper_api_requests_total",
                        &failed,
                        "verb, resource, outcome",
                    ),
                    "{{verb}} {{resource}}: {{outcome}}",
                )
                .quiet("no request failed"),
            times,
        ],
    )
}

fn caches(of: &str) -> Row {
    row(
        "Caches",
        vec![
            Panel::lines("Objects", Unit::Count)
                .ask(format!("max by (resource, watch) (gamekeeper_watch_objects{{{of}}})"), "{{watch}}"),
            Panel::lines("Silence of watches", Unit::Seconds)
                .about("Time since anything was heard. Bookmarks come every minute or so.")
                .ask(format!("max by (resource, watch) (gamekeeper_watch_last_event_age_seconds{{{of}}})"), "{{watch}}"),
            Panel::lines("Caches without a complete first list", Unit::Count)
                .ask(format!("count by (controller) (gamekeeper_watch_synced{{{of}}}) - sum by (controller) (gamekeeper_watch_synced{{{of}}})"), "{{controller}}"),
            Panel::lines("Watches at rest", Unit::Count)
                .about("Of network-plugins and quality-prober, while no set asks for a network or a probe.")
                .ask(format!("sum by (controller) (gamekeeper_watch_resting{{{of}}})"), "{{controller}}"),
            Panel::lines("Events of watches", Unit::Rate)
                .ask(rate("gamekeeper_watch_events_total", of, "resource, type"), "{{resource}} {{type}}"),
            Panel::lines("Lists", Unit::Rate)
                .about("start and periodic are as it should be.")
                .ask(rate("gamekeeper_watch_relists_total", of, "reason"), "{{reason}}"),
            Panel::lines("Watches that were cut, objects not understood", Unit::Rate)
                .ask(rate("gamekeeper_watch_errors_total", of, "resource"), "{{resource}} cut")
                .quiet("no watch was cut")
                .ask(rate("gamekeeper_watch_malformed_total", of, "resource"), "{{resource}} not understood"),
        ],
    )
}

fn process(of: &str, parts: Parts) -> Row {
    let in_flight = format!("sum by (instance) (gamekeeper_api_requests_in_flight{{{of}}})");
    let under_way = Panel::lines("Requests under way", Unit::Count).ask(in_flight, "{{instance}}");
    let under_way = if parts.writes {
        under_way
    } else {
        under_way.quiet(READS)
    };
    let mut panels = vec![
        Panel::lines("Memory", Unit::Bytes).ask(
            format!("max by (instance) (process_resident_memory_bytes{{{of}}})"),
            "{{instance}}",
        ),
        Panel::lines("CPU", Unit::Share)
            .ask(rate("process_cpu_seconds_total", of, "instance"), "{{instance}}"),
        Panel::parts("Versions", Unit::Count).ask(
            format!("count by (version) (gamekeeper_build_info{{{of}}})"),
            "{{version}}",
        ),
        under_way,
    ];
    if parts.lease {
        panels.push(
            Panel::lines("Leadership", Unit::Count)
                .ask(
                    format!("max by (instance, lease) (gamekeeper_leader{{{of}}})"),
                    "{{lease}} {{instance}}",
                )
                .ask(
                    rate("gamekeeper_lease_transitions_total", of, "lease"),
                    "{{lease}}, changes/s",
                )
                .quiet("the lease has not changed hands since the process is scraped"),
        );
        panels.push(
            Panel::lines("Time to renew a lease", Unit::Seconds)
                .quantiles("gamekeeper_lease_renew_seconds", of),
        );
    }
    if parts.events {
        panels.push(
            Panel::lines("Kubernetes events", Unit::Rate)
                .ask(rate("gamekeeper_events_published_total", of, ""), "written")
                .ask(
                    rate("gamekeeper_events_dropped_total", of, "reason"),
                    "dropped: {{reason}}",
                ),
        );
    }
    row("Process", panels)
}
