//! Answers.

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{apply::Outcome, error::Refusal, metrics};

/// Answer to a report.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Stored {
    /// true: the GameServer says so. false: it will within moments, with what is reported until then.
    pub stored: bool,
}

/// Answer to a request that was refused.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErrorBody {
    /// What was wrong.
    pub error: ErrorText,
}

/// What was wrong.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct ErrorText {
    /// One word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// JSON with this status.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(text) => (status, [(CONTENT_TYPE, "application/json")], text).into_response(),
        // Types of our own, which have no maps with strange keys.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The answer to a report.
pub(crate) fn outcome(outcome: Outcome) -> Response {
    let (status, stored) = match outcome {
        Outcome::Known | Outcome::Stored => (StatusCode::OK, true),
        Outcome::Accepted => (StatusCode::ACCEPTED, false),
    };
    json(status, &Stored { stored })
}

impl Refusal {
    fn head(&self, response: &mut Response) {
        metrics::refused(self.reason());
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after() {
            let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if *self == Self::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
    }

    /// The answer as text, as the other system's clients expect it.
    pub(crate) fn as_text(&self) -> Response {
        let mut response = (self.status(), self.to_string()).into_response();
        self.head(&mut response);
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = ErrorText {
            reason: self.reason(),
            message: self.to_string(),
        };
        let mut response = json(self.status(), &ErrorBody { error });
        self.head(&mut response);
        response
    }
}
