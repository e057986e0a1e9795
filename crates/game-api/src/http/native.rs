//! Gamekeeper's own paths: a server speaks of itself only, so none of them names one.

use std::sync::Arc;

use api_types::{DeletionClaim, Reported, ReportedPlayers};
use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    App, answer,
    body::{self, Told},
};
use crate::{error::Refusal, observe::Caller};

type Answer = Result<Response, Refusal>;

/// A server as it may see itself.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Itself {
    /// Its name.
    name: String,
    /// Its namespace.
    namespace: String,
    /// Its GameServerSet.
    set: Option<String>,
    /// The Pod that asks.
    #[serde(rename = "podUID")]
    pod_uid: String,
    /// The node it runs on.
    node_name: Option<String>,
    /// spec.opsState: what operators and allocators say about it; None where they say nothing.
    ops_state: String,
    /// status.currentState: Creating, Ready, NotReady, PreUpdate, Updating, PreDelete, Deleting, Crash or Unknown.
    state: Option<String>,
    /// Whether it is to go as soon as its players left.
    marked_for_deletion: bool,
    /// Why it is being taken away; absent while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion: Option<Deletion>,
    /// Players it reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    players: Option<ReportedPlayers>,
    /// What else it reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    reported: Option<Reported>,
    /// status.networkStatus: its addresses, where the set has a network.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    network: Option<Arc<RawValue>>,
}

/// Why a server is being taken away.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct Deletion {
    /// ScaleIn, Update, Kill, Evicted, …
    reason: String,
    /// Since when.
    time: String,
}

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object" })
}

pub(super) async fn read_self(State(app): State<Arc<App>>, headers: HeaderMap) -> Answer {
    let caller = app.caller(&headers).await?;
    let server = app.stores.record_of(&caller).ok_or(Refusal::NotYet)?;
    let pod = &caller.pod;
    let uid = &pod.metadata.uid;
    let deletion = server.claim_on(pod).map(|claim: &DeletionClaim| Deletion {
        reason: claim.reason.clone(),
        time: claim.time.clone(),
    });
    let itself = Itself {
        name: caller.key.name.to_string(),
        namespace: caller.key.namespace.to_string(),
        set: pod.set().map(str::to_owned),
        pod_uid: uid.clone(),
        node_name: pod.node_name.as_deref().map(str::to_owned),
        ops_state: api_types::ops_state::normalise(server.ops_state.as_deref()).to_owned(),
        state: server.state.as_deref().map(str::to_owned),
        marked_for_deletion: server.marked,
        deletion,
        players: server.seen.report.players_of(uid).cloned(),
        reported: server.seen.report.of(uid).cloned(),
        network: server.network.clone(),
    };
    Ok(answer::json(StatusCode::OK, &itself))
}

/// Reports of every kind.
pub(super) async fn report<T: body::Report>(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let caller = app.caller(&headers).await?;
    let said: T = body::json(&headers, body).await?;
    tell(&app, &caller, said.told()?, query.as_deref()).await
}

pub(super) async fn heartbeat(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let caller = app.caller(&headers).await?;
    body::none(&headers, body).await?;
    tell(&app, &caller, Told::default(), query.as_deref()).await
}

pub(super) async fn ask_for_deletion(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Answer {
    let caller = app.caller(&headers).await?;
    body::none(&headers, body).await?;
    app.reports.ask_for_deletion(&caller).await?;
    Ok(answer::json(StatusCode::OK, &answer::Stored { stored: true }))
}

pub(super) async fn document(State(app): State<Arc<App>>) -> Response {
    ([(CONTENT_TYPE, "application/json")], app.document.clone()).into_response()
}

pub(super) async fn healthz() -> Response {
    StatusCode::OK.into_response()
}

/// Reports what was said, and answers as the caller asks for it.
async fn tell(app: &App, caller: &Caller, told: Told, query: Option<&str>) -> Answer {
    let wait = match query {
        None | Some("" | "wait=false") => false,
        Some("wait=true") => true,
        Some(_) => {
            return Err(Refusal::Invalid(
                "the only parameter is wait=true: answer when it is stored".into(),
            ));
        }
    };
    Ok(answer::outcome(app.tell(caller, told, wait).await?))
}
