//! Every operation: the router and the document are both made from this table.

use schemars::{Schema, SchemaGenerator};

use super::{
    answer::{ErrorBody, Stored},
    body::{HealthBody, PlayersBody, ReportBody, StateBody},
    native::Itself,
};

/// Who may ask for an operation, and under which circumstances it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serves {
    /// Servers, with their code.
    Servers,
    /// Anybody.
    Anybody,
    /// Programs of the other system, with `--compat`.
    Compat,
}

/// Makes a schema.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One method of one path.
#[derive(Debug)]
pub(crate) struct Operation {
    pub id: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    pub summary: &'static str,
    pub serves: Serves,
    /// The body it takes.
    pub body: Option<SchemaOf>,
    /// What it answers with 200, where that is JSON.
    pub answer: Option<SchemaOf>,
    /// Whether it is a report: 202 where it is not stored yet, and the parameter `wait`.
    pub reports: bool,
}

impl Operation {
    /// Statuses of refusals that it can answer.
    pub(crate) fn refusals(&self) -> Vec<u16> {
        let mut codes = vec![408, 429];
        if self.serves != Serves::Anybody {
            codes.extend([401, 503]);
        }
        if self.method != "get" {
            codes.extend([400, 413]);
        }
        if self.body.is_some() && self.serves == Serves::Servers {
            codes.push(415);
        }
        if self.serves == Serves::Compat {
            codes.push(403);
        }
        codes.sort_unstable();
        codes
    }
}

/// The schema of every refusal.
pub(crate) fn refusal(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<ErrorBody>()
}

const fn server(
    id: &'static str,
    method: &'static str,
    path: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        id,
        method,
        path,
        summary,
        serves: Serves::Servers,
        body: None,
        answer: Some(SchemaGenerator::subschema_for::<Stored>),
        reports: false,
    }
}

const fn report(id: &'static str, path: &'static str, summary: &'static str, body: SchemaOf) -> Operation {
    Operation {
        body: Some(body),
        reports: true,
        ..server(id, "put", path, summary)
    }
}

const fn other(
    id: &'static str,
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    serves: Serves,
) -> Operation {
    Operation {
        serves,
        answer: None,
        ..server(id, method, path, summary)
    }
}

/// Body of a path of the other system: its fields beside `serverName` and `namespace`.
fn named(field: &str, schema: &serde_json::Value) -> Schema {
    schemars::json_schema!({
        "type": "object",
        "required": [field],
        "properties": {
            "serverName": { "type": "string", "description": "If it is there: the server that calls." },
            "namespace": { "type": "string", "description": "If it is there: that server's." },
            field: schema,
        },
    })
}

const STATE: SchemaOf = |_| {
    named(
        "state",
        &serde_json::json!({ "type": "string", "enum": ["Idle", "Assigned", "Running", "PostMatch"] }),
    )
};
const HEALTH: SchemaOf = |_| {
    named(
        "health",
        &serde_json::json!({ "type": "string", "enum": ["Creating", "Healthy", "Failed"] }),
    )
};

const fn compat(id: &'static str, path: &'static str, summary: &'static str, body: SchemaOf) -> Operation {
    Operation {
        body: Some(body),
        ..other(id, "post", path, summary, Serves::Compat)
    }
}

/// All of them.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        answer: Some(SchemaGenerator::subschema_for::<Itself>),
        ..server("readSelf", "get", "/v1/self", "The server as the cluster sees it")
    },
    report(
        "reportPlayers",
        "/v1/self/players",
        "Reports how many players are on the server",
        SchemaGenerator::subschema_for::<PlayersBody>,
    ),
    report(
        "reportState",
        "/v1/self/state",
        "Reports where the server is in its match",
        SchemaGenerator::subschema_for::<StateBody>,
    ),
    report(
        "reportHealth",
        "/v1/self/health",
        "Reports how the server is",
        SchemaGenerator::subschema_for::<HealthBody>,
    ),
    report(
        "report",
        "/v1/self/report",
        "Reports any of these in one request",
        SchemaGenerator::subschema_for::<ReportBody>,
    ),
    Operation {
        reports: true,
        ..server(
            "heartbeat",
            "post",
            "/v1/self/heartbeat",
            "Says that the server is alive; every report says so too",
        )
    },
    server(
        "askForDeletion",
        "post",
        "/v1/self/deletion",
        "Asks to be deleted once the last player left",
    ),
    other(
        "document",
        "get",
        "/openapi.json",
        "This document",
        Serves::Anybody,
    ),
    other(
        "healthz",
        "get",
        "/healthz",
        "Whether anybody answers",
        Serves::Anybody,
    ),
    compat(
        "setActivePlayers",
        "/setactiveplayers",
        "Reports how many players are on the server",
        |_| {
            named(
                "playerCount",
                &serde_json::json!({ "type": "integer", "minimum": 0, "maximum": 1_000_000 }),
            )
        },
    ),
    compat(
        "setState",
        "/setdgsstate",
        "Reports where the server is in its match",
        STATE,
    ),
    compat(
        "setStateOtherSpelling",
        "/setsdgsstate",
        "Reports where the server is in its match",
        STATE,
    ),
    compat("setHealth", "/setsdgshealth", "Reports how the server is", HEALTH),
    compat(
        "setHealthOtherSpelling",
        "/setdgshealth",
        "Reports how the server is",
        HEALTH,
    ),
    compat(
        "setMarkedForDeletion",
        "/setdgsmarkedfordeletion",
        "Asks to be deleted once the last player left; a mark cannot be taken back here",
        |_| named("markedForDeletion", &serde_json::json!({ "type": "boolean" })),
    ),
    other(
        "listRunning",
        "get",
        "/running",
        "Servers that run and are healthy; for the administrators' code",
        Serves::Compat,
    ),
    other(
        "createCollection",
        "post",
        "/create",
        "Always refused",
        Serves::Compat,
    ),
    other(
        "deleteCollection",
        "get",
        "/delete",
        "Always refused",
        Serves::Compat,
    ),
];
