//! Paths and bodies of Azure's dedicated game servers, for programs that were written for them. Behind `--compat`.
//!
//! What was unsafe there is not done here: a server's code counts for that server alone, nobody lists without the
//! administrators' code, and nobody creates or deletes sets through a port that game servers reach.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use controller_kit::server_code::Fingerprint;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    App, answer,
    body::{self, Health, HealthBody, PlayersBody, Report, State as MatchState, StateBody, Told},
};
use crate::{
    auth,
    error::Refusal,
    observe::Caller,
    views::{GameServerView, PodView},
};

/// Parameters in the URL.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Parameters {
    code: Option<String>,
}

impl Parameters {
    /// The code in the URL, else the one in the header.
    fn credential<'a>(&'a self, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
        let code = self.code.as_deref().or_else(|| auth::bearer(headers));
        code.ok_or(Refusal::Unauthorized)
    }
}

/// The server that a body names.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named<T> {
    server_name: Option<String>,
    namespace: Option<String>,
    #[serde(flatten)]
    said: T,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActivePlayers {
    player_count: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct StateSaid {
    state: MatchState,
}

#[derive(Debug, Deserialize)]
pub(super) struct HealthSaid {
    health: Health,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Marked {
    marked_for_deletion: bool,
}

/// The fewest characters of an administrators' code.
const SHORTEST_ADMIN_CODE: usize = 16;

/// Clients of that system expect text.
fn text(result: Result<Response, Refusal>) -> Response {
    result.unwrap_or_else(|refusal| refusal.as_text())
}

impl Report for ActivePlayers {
    fn told(self) -> Result<Told, Refusal> {
        let count = u32::try_from(self.player_count)
            .map_err(|_| Refusal::Invalid("playerCount is a number of at least 0".into()))?;
        PlayersBody {
            count,
            capacity: None,
        }
        .told()
    }
}

impl Report for StateSaid {
    fn told(self) -> Result<Told, Refusal> {
        StateBody { state: self.state }.told()
    }
}

impl Report for HealthSaid {
    fn told(self) -> Result<Told, Refusal> {
        HealthBody {
            health: self.health,
            reason: None,
        }
        .told()
    }
}

/// Reports of every kind.
pub(super) async fn report<T: Report>(
    State(app): State<Arc<App>>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let result = async {
        let (caller, said) = heard::<T>(&app, parameters, &headers, body).await?;
        app.tell(&caller, said.told()?, false).await?;
        Ok(done())
    };
    text(result.await)
}

pub(super) async fn set_marked_for_deletion(
    State(app): State<Arc<App>>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let result = async {
        let (caller, said) = heard::<Marked>(&app, parameters, &headers, body).await?;
        if said.marked_for_deletion {
            app.reports.ask_for_deletion(&caller).await?;
        } else if app.stores.record_of(&caller).ok_or(Refusal::NotYet)?.marked {
            return Err(Refusal::Forbidden(
                "a server cannot take a mark back: whoever set it may count on it; change spec.markedForDeletion of the GameServer",
            ));
        }
        Ok(done())
    };
    text(result.await)
}

/// Servers that run, are healthy and are not to go; for administrators.
pub(super) async fn list_running(
    State(app): State<Arc<App>>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    let result = async {
        admin(&app, parameters, &headers).await?;
        let mut running = Vec::new();
        app.stores.pods.for_each(|pod| {
            let caller = Caller {
                key: (&pod.metadata).into(),
                pod: Arc::clone(pod),
            };
            if let Some(server) = app.stores.record_of(&caller) {
                running.extend(as_running(pod, &server));
            }
        });
        running.sort_by_key(|server| server["metadata"].to_string());
        Ok(answer::json(StatusCode::OK, &running))
    };
    text(result.await)
}

pub(super) async fn refuse_create() -> Response {
    Refusal::Forbidden(
        "sets are not created here, next to the game servers: apply a GameServerSet to the Kubernetes API",
    )
    .as_text()
}

pub(super) async fn refuse_delete() -> Response {
    Refusal::Forbidden(
        "sets are not deleted here, next to the game servers: delete the GameServerSet at the Kubernetes API",
    )
    .as_text()
}

/// Who calls, and what the body says about that server. The credential is looked at first, whatever the body is.
async fn heard<T: DeserializeOwned>(
    app: &App,
    parameters: Parameters,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Caller, T), Refusal> {
    let credential = parameters.credential(headers)?;
    let caller = app.caller_with(credential).await?;
    let named: Named<T> = body::decode(&body::bytes(headers, body).await?)?;
    auth::is_about(
        &caller.key,
        named.namespace.as_deref(),
        named.server_name.as_deref(),
    )?;
    Ok((caller, named.said))
}

/// Those clients look for 200 and log the text.
fn done() -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, "text/plain")], "ok\n").into_response()
}

/// Checks the administrators' code, which is read each time: changing the file is enough to change it.
async fn admin(app: &App, parameters: Parameters, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(file) = &app.admin_code else {
        return Err(Refusal::Forbidden(
            "nobody may list servers here: game-api runs without --admin-code-file",
        ));
    };
    let credential = parameters.credential(headers)?;
    let wanted = match tokio::fs::read_to_string(file).await {
        Ok(wanted) if wanted.trim().len() >= SHORTEST_ADMIN_CODE => wanted,
        Ok(_) => {
            tracing::warn!(
                "the administrators' code is shorter than {SHORTEST_ADMIN_CODE} characters and counts for nobody"
            );
            return Err(Refusal::Unavailable);
        }
        Err(error) => {
            tracing::warn!(%error, "the administrators' code cannot be read");
            return Err(Refusal::Unavailable);
        }
    };
    if Fingerprint::of(wanted.trim()).matches(credential) {
        Ok(())
    } else {
        Err(Refusal::Unauthorized)
    }
}

/// A server in the form that system lists it.
fn as_running(pod: &PodView, server: &GameServerView) -> Option<Value> {
    let uid = &pod.metadata.uid;
    let reported = server.seen.report.of(uid)?;
    let healthy = reported.health.as_ref().map(api_types::ReportedHealth::as_str) == Some("Healthy");
    if !healthy || &*pod.phase != "Running" || server.marked || server.claim_on(pod).is_some() {
        return None;
    }
    Some(json!({
        "metadata": { "name": pod.metadata.name, "namespace": pod.metadata.namespace,
            "labels": { "DedicatedGameServerCollectionName": pod.set() } },
        "status": {
            "podPhase": &*pod.phase,
            "health": "Healthy",
            "dgsState": reported.state.as_ref().map_or("Idle", api_types::ReportedState::as_str),
            "markedForDeletion": false,
            "nodeName": pod.node_name.as_deref(),
            "activePlayers": server.seen.report.count_of(uid),
        },
    }))
}
