//! Columns of `kubectl get -o wide`, beside OpenKruiseGame's own.

/// Name, type, path and description of a column.
pub(super) type Column<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Of GameServers.
pub(super) const GAME_SERVER_WIDE: [Column<'_>; 8] = [
    ("NODE", "string", ".status.nodeName", "Node of the server's Pod"),
    (
        "PUBLIC-IP",
        "string",
        ".status.publicIP",
        "External address of the node, where it has one",
    ),
    (
        "HOST-IP",
        "string",
        ".status.podStatus.hostIP",
        "Address of the node inside the cluster",
    ),
    (
        "PHASE",
        "string",
        ".status.podStatus.phase",
        "Phase of the server's Pod",
    ),
    (
        "PLAYERS",
        "integer",
        ".status.players.count",
        "Players the server reported",
    ),
    (
        "HEALTH",
        "string",
        ".status.reported.health",
        "Health the server reported",
    ),
    (
        "MATCH",
        "string",
        ".status.reported.state",
        "Where the server says it is in its match",
    ),
    (
        "GOING",
        "string",
        ".status.deletionClaim.reason",
        "Why the server is being taken away",
    ),
];

/// Of GameServerSets.
pub(super) const SET_WIDE: [Column<'_>; 3] = [
    (
        "PLAYERS",
        "integer",
        ".status.players.count",
        "Players on the servers that count",
    ),
    (
        "LOAD",
        "integer",
        ".status.players.loadPercent",
        "Players in percent of what the servers take",
    ),
    (
        "DRAINING",
        "integer",
        ".status.drainingReplicas",
        "Servers that wait for their last player",
    ),
];
