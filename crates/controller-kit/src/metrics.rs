//! Metrics that every controller has.

use metric_table::Values::{Each, OneOf};

const RESOURCE: metric_table::Values = Each("a kind of object");
const QUEUE: metric_table::Values = Each("a queue of the controller");
const WATCH: metric_table::Values = Each("a watch of the controller");

const VERBS: [&str; 6] = ["get", "list", "watch", "create", "patch", "apply"];
const ALL_VERBS: [&str; 7] = {
    let [a, b, c, d, e, f] = VERBS;
    [a, b, c, d, e, f, "delete"]
};
const TIMED_VERBS: [&str; 6] = {
    let [get, list, _, create, patch, apply] = VERBS;
    [get, list, create, patch, apply, "delete"]
};
const OUTCOMES: [&str; 10] = [
    "ok",
    "already_exists",
    "conflict",
    "not_found",
    "invalid",
    "forbidden",
    "throttled",
    "expired",
    "refused",
    "unknown",
];
const EVENT_TYPES: [&str; 6] = ["added", "modified", "deleted", "bookmark", "error", "other"];
const RELISTS: [&str; 8] = [
    "start",
    "rested",
    "periodic",
    "refused",
    "in stream",
    "at start",
    "while listing",
    "history went back",
];
const DROPPED: [&str; 5] = [
    "queue_full",
    "switched_off",
    "too_many_pending",
    "write_failed",
    "shutdown",
];

metric_table::metrics! {
    BUILD_INFO: Gauge "gamekeeper_build_info" ["version" in Each("a version that runs")] = "1";
    REQUESTS: Counter "gamekeeper_api_requests_total" [
        "verb" in OneOf(&ALL_VERBS),
        "resource" in RESOURCE,
        "subresource" in Each("a subresource, empty for the object itself"),
        "outcome" in OneOf(&OUTCOMES),
    ] =
        "Requests to the API server. expired, refused: lists and watches only; unknown: timeouts, cut connections and 5xx, after \
         which nobody knows whether a write was done";
    REQUEST_SECONDS: Histogram "gamekeeper_api_request_duration_seconds" ["verb" in OneOf(&TIMED_VERBS), "resource" in RESOURCE] =
        "Time from sending a request to having read its answer";
    IN_FLIGHT: Gauge "gamekeeper_api_requests_in_flight" [] =
        "Requests that wait for their answer, watches and lists not counted";
    QUEUE_DEPTH: Gauge "gamekeeper_queue_depth" ["queue" in QUEUE] =
        "Keys waiting for a worker; in a process that does not lead they wait until it does";
    QUEUE_ACTIVE: Gauge "gamekeeper_queue_active" ["queue" in QUEUE] = "Keys being worked on";
    QUEUE_WAIT: Histogram "gamekeeper_queue_wait_seconds" ["queue" in QUEUE] =
        "Time from a key's first add to the start of its run";
    RECONCILE_SECONDS: Histogram "gamekeeper_reconcile_duration_seconds" ["queue" in QUEUE] = "Time of one run of a reconcile";
    RECONCILES: Counter "gamekeeper_reconciles_total" ["queue" in QUEUE, "outcome" in OneOf(&["ok", "error"])] =
        "Finished runs";
    RETRIES: Counter "gamekeeper_reconcile_retries_total" ["queue" in QUEUE, "category" in Each("a category of errors of the controller")] =
        "Failed runs by category of the error; conflict: somebody else was faster, as happens at work";
    WATCH_SYNCED: Gauge "gamekeeper_watch_synced" ["resource" in RESOURCE, "watch" in WATCH] =
        "1 when the watch has a complete first list";
    WATCH_AGE: Gauge "gamekeeper_watch_last_event_age_seconds" ["resource" in RESOURCE, "watch" in WATCH] =
        "Time since the watch, in the namespace where it is quietest, last heard anything, bookmarks included";
    WATCH_RESTING: Gauge "gamekeeper_watch_resting" ["resource" in RESOURCE, "watch" in WATCH] =
        "1 while the watch is closed because nothing needs it; its age is 0 then";
    WATCH_OBJECTS: Gauge "gamekeeper_watch_objects" ["resource" in RESOURCE, "watch" in WATCH] = "Objects held";
    WATCH_EVENTS: Counter "gamekeeper_watch_events_total" ["resource" in RESOURCE, "type" in OneOf(&EVENT_TYPES)] =
        "Watch events";
    WATCH_RELISTS: Counter "gamekeeper_watch_relists_total" ["resource" in RESOURCE, "reason" in OneOf(&RELISTS)] =
        "Lists taken; start and periodic are as it should be";
    WATCH_ERRORS: Counter "gamekeeper_watch_errors_total" ["resource" in RESOURCE] =
        "Watches that could not be started or were cut";
    WATCH_MALFORMED: Counter "gamekeeper_watch_malformed_total" ["resource" in RESOURCE] =
        "Objects that could not be decoded";
    EVENTS_PUBLISHED: Counter "gamekeeper_events_published_total" ["outcome" in OneOf(&["ok"])] = "Kubernetes events written";
    EVENTS_DROPPED: Counter "gamekeeper_events_dropped_total" ["reason" in OneOf(&DROPPED)] = "Kubernetes events given up";
}
