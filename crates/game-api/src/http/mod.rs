//! HTTP: from requests to reports, and from outcomes to answers.

pub(crate) mod answer;
pub(crate) mod body;
mod compat;
mod native;
pub(crate) mod operations;

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::HeaderMap,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get, post, put},
};
use controller_kit::key::ObjectKey;

use self::{
    body::{HealthBody, PlayersBody, ReportBody, StateBody, Told},
    compat::{ActivePlayers, HealthSaid, StateSaid},
    operations::{OPERATIONS, Operation, Serves},
};
use crate::{
    apply::{Outcome, Reports, clock},
    auth,
    error::Refusal,
    metrics,
    observe::{Caller, Stores},
    plan::limit::Buckets,
    serve::Peer,
    token::Tokens,
};

/// Everything that requests need.
pub(crate) struct App {
    pub stores: Stores,
    pub reports: Arc<Reports>,
    pub tokens: Option<Tokens>,
    /// Where the code of administrators is.
    pub admin_code: Option<PathBuf>,
    pub timeout: Duration,
    pub by_server: Mutex<Buckets<ObjectKey>>,
    pub by_address: Mutex<Buckets<IpAddr>>,
    /// The document that describes all this.
    pub document: String,
}

impl App {
    /// The server that calls, by what it sent as `Authorization`.
    ///
    /// # Errors
    /// When it does not show who it is, or calls too often.
    pub(crate) async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let credential = auth::bearer(headers).ok_or(Refusal::Unauthorized)?;
        self.caller_with(credential).await
    }

    /// As [`caller`](Self::caller), by a code or token.
    pub(crate) async fn caller_with(&self, credential: &str) -> Result<Caller, Refusal> {
        let is_code = credential.starts_with(controller_kit::server_code::PREFIX);
        let caller = match &self.tokens {
            Some(tokens) if !is_code => tokens.caller(&self.stores, credential).await?,
            _ => auth::by_code(&self.stores, credential)?,
        };
        let mut limits = self.by_server.lock().unwrap_or_else(PoisonError::into_inner);
        limits
            .take(caller.key.clone(), Instant::now())
            .map_err(Refusal::TooMany)?;
        drop(limits);
        Ok(caller)
    }

    /// Takes in what the caller reports; `wait`s, where that is asked for, until it is stored.
    ///
    /// # Errors
    /// When the server has no GameServer yet.
    pub(crate) async fn tell(&self, caller: &Caller, told: Told, wait: bool) -> Result<Outcome, Refusal> {
        self.reports.report(caller, told.at(clock()), wait).await
    }
}

/// What answers requests; `compat` adds the paths of the other system.
pub(crate) fn router(app: Arc<App>, compat: bool) -> Router {
    let served = OPERATIONS
        .iter()
        .filter(|operation| compat || operation.serves != Serves::Compat);
    served
        .fold(Router::new(), |router, operation| {
            router.route(operation.path, handler(operation))
        })
        .fallback(async || Refusal::NotFound)
        .method_not_allowed_fallback(async || Refusal::Method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard))
        .with_state(app)
}

/// The table of operations is the router's too: what is documented is what is served.
fn handler(operation: &Operation) -> MethodRouter<Arc<App>> {
    match operation.id {
        "readSelf" => get(native::read_self),
        "reportPlayers" => put(native::report::<PlayersBody>),
        "reportState" => put(native::report::<StateBody>),
        "reportHealth" => put(native::report::<HealthBody>),
        "report" => put(native::report::<ReportBody>),
        "heartbeat" => post(native::heartbeat),
        "askForDeletion" => post(native::ask_for_deletion),
        "document" => get(native::document),
        "healthz" => get(native::healthz),
        "setActivePlayers" => post(compat::report::<ActivePlayers>),
        "setState" | "setStateOtherSpelling" => post(compat::report::<StateSaid>),
        "setHealth" | "setHealthOtherSpelling" => post(compat::report::<HealthSaid>),
        "setMarkedForDeletion" => post(compat::set_marked_for_deletion),
        "listRunning" => get(compat::list_running),
        "createCollection" => post(compat::refuse_create),
        "deleteCollection" => get(compat::refuse_delete),
        _ => MethodRouter::new(),
    }
}

/// Around every request: how many, how long, and what became of it.
async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let endpoint = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let from = request.extensions().get::<Peer>().map(|peer| peer.0);
    let allowed = from.map_or(Ok(()), |from| {
        let mut limits = app.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        limits.take(from, begun)
    });
    let response = match allowed {
        Err(wait) => Refusal::TooMany(wait).into_response(),
        Ok(()) => match tokio::time::timeout(app.timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Refusal::Timeout.into_response(),
        },
    };
    metrics::answered(&endpoint, response.status().as_u16(), begun.elapsed());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_handler() {
        for operation in OPERATIONS {
            let empty = format!("{:?}", MethodRouter::<Arc<App>>::new());
            assert_ne!(format!("{:?}", handler(operation)), empty, "{}", operation.id);
        }
    }
}
