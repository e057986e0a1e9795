//! What an answer of the API server means for the one who wrote.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use crate::queue::ReconcileError;

/// How long to wait after 429 without a `Retry-After`.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Longest wait taken over from a server (or a proxy) that asks for more.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);

/// Why a write did not happen, or is not known to have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The object is another one (UID) or another version than the decision was taken from: plan again.
    #[error("conflict: {0}")]
    Conflict(String),
    /// There is no such object (for a create: no such namespace).
    #[error("not found")]
    NotFound,
    /// The API server will never accept this.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Not allowed: RBAC, quota, admission, or a terminating namespace.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// The API server (or a disruption budget) asks to wait.
    #[error("too many requests, retry after {retry_after:?}")]
    TooManyRequests {
        /// How long to wait at least; 1 s when the server did not say, 60 s at most.
        retry_after: Duration,
    },
    /// Timeout, 5xx or a cut connection: it may have happened. Read live, then decide.
    #[error("unknown outcome: {0}")]
    Unknown(String),
}

impl ReconcileError for WriteError {
    fn category(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::NotFound => "not_found",
            Self::Invalid(_) => "invalid",
            Self::Forbidden(_) => "forbidden",
            Self::TooManyRequests { .. } => "throttled",
            Self::Unknown(_) => "unknown",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}

/// A [`WriteError`], and what was being done: the error of a run that does nothing but write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct FailedWrite {
    doing: &'static str,
    source: WriteError,
}

impl FailedWrite {
    /// Says what was being done when the write failed.
    pub fn write(doing: &'static str) -> impl FnOnce(WriteError) -> Self {
        move |source| Self { doing, source }
    }

    /// What the API server said.
    pub fn error(&self) -> &WriteError {
        &self.source
    }
}

impl ReconcileError for FailedWrite {
    fn category(&self) -> &'static str {
        self.source.category()
    }

    fn retry_after(&self) -> Option<Duration> {
        self.source.retry_after()
    }
}

/// A [`WriteError`], or the one refusal that is an outcome of a create.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    AlreadyExists,
    Error(WriteError),
}

impl Failure {
    /// The value of the metric label `outcome`.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::AlreadyExists => "already_exists",
            Self::Error(error) => error.category(),
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self::Error(error)
    }
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        match failure {
            // Only a create can meet it, and a create handles it.
            Failure::AlreadyExists => Self::Conflict("already exists".into()),
            Failure::Error(error) => error,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    message: String,
    reason: String,
    details: Details,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    causes: Vec<Cause>,
    retry_after_seconds: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cause {
    field: String,
}

/// Sorts an unsuccessful answer. `json_patch` says that the request was a JSON patch with `test` operations.
pub(super) fn classify(
    code: StatusCode,
    retry_after: Option<Duration>,
    body: &[u8],
    json_patch: bool,
) -> Failure {
    // Proxies answer with HTML; the code alone must do then.
    let status: Status = serde_json::from_slice(body).unwrap_or_else(|_| Status {
        message: String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned(),
        ..Status::default()
    });
    match code {
        StatusCode::CONFLICT if status.reason == "AlreadyExists" => Failure::AlreadyExists,
        StatusCode::CONFLICT => WriteError::Conflict(status.message).into(),
        StatusCode::NOT_FOUND | StatusCode::GONE => WriteError::NotFound.into(),
        StatusCode::UNPROCESSABLE_ENTITY if is_stale(&status, json_patch) => {
            WriteError::Conflict(status.message).into()
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => WriteError::Forbidden(status.message).into(),
        StatusCode::TOO_MANY_REQUESTS => {
            let wait = retry_after
                .or((status.details.retry_after_seconds > 0)
                    .then(|| Duration::from_secs(status.details.retry_after_seconds)))
                .unwrap_or(DEFAULT_RETRY_AFTER);
            WriteError::TooManyRequests {
                retry_after: wait.min(MAX_RETRY_AFTER),
            }
            .into()
        }
        // The server gave up waiting for us, so it may have acted: as unknown as a 5xx.
        StatusCode::REQUEST_TIMEOUT => WriteError::Unknown(status.message).into(),
        code if code.is_client_error() => WriteError::Invalid(status.message).into(),
        code => WriteError::Unknown(format!("{code}: {}", status.message)).into(),
    }
}

/// A precondition that failed, told as 422: a merge patch with another UID reads as an attempt to change the
/// immutable field, and a failed `test` operation has no cause of its own.
fn is_stale(status: &Status, json_patch: bool) -> bool {
    let uid_differs = status
        .details
        .causes
        .iter()
        .any(|cause| cause.field == "metadata.uid");
    uid_differs || (json_patch && status.details.causes.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sorted(code: u16, body: &serde_json::Value) -> Failure {
        classify(
            StatusCode::from_u16(code).unwrap(),
            None,
            body.to_string().as_bytes(),
            false,
        )
    }

    fn category(code: u16, body: &serde_json::Value) -> &'static str {
        sorted(code, body).outcome()
    }

    #[test]
    fn answers_are_sorted_by_what_the_writer_has_to_do() {
        let plain = json!({ "message": "m" });
        let expected = [
            (400, "invalid"),
            (401, "forbidden"),
            (403, "forbidden"),
            (404, "not_found"),
            (405, "invalid"),
            (408, "unknown"),
            (409, "conflict"),
            (413, "invalid"),
            (415, "invalid"),
            (422, "invalid"),
            (429, "throttled"),
            (500, "unknown"),
            (502, "unknown"),
            (503, "unknown"),
            (504, "unknown"),
        ];
        for (code, outcome) in expected {
            assert_eq!(category(code, &plain), outcome, "{code}");
        }
        assert_eq!(
            category(409, &json!({ "reason": "AlreadyExists" })),
            "already_exists"
        );
    }

    #[test]
    fn a_precondition_told_as_422_is_a_conflict() {
        let immutable =
            json!({ "reason": "Invalid", "details": { "causes": [{ "field": "metadata.uid" }] } });
        assert_eq!(category(422, &immutable), "conflict");
        let other = json!({ "reason": "Invalid", "details": { "causes": [{ "field": "spec.replicas" }] } });
        assert_eq!(category(422, &other), "invalid");
        let no_cause =
            json!({ "reason": "Invalid", "message": "the server rejected our request" }).to_string();
        let sorted = classify(StatusCode::UNPROCESSABLE_ENTITY, None, no_cause.as_bytes(), true);
        assert_eq!(sorted.outcome(), "conflict");
    }

    #[test]
    fn retry_after_comes_from_header_then_body_then_default_and_is_bounded() {
        let wait = |header: Option<u64>, body: &serde_json::Value| {
            let header = header.map(Duration::from_secs);
            match classify(
                StatusCode::TOO_MANY_REQUESTS,
                header,
                body.to_string().as_bytes(),
                false,
            ) {
                Failure::Error(WriteError::TooManyRequests { retry_after }) => retry_after.as_secs(),
                other => panic!("{other:?}"),
            }
        };
        let body = json!({ "details": { "retryAfterSeconds": 5 } });
        assert_eq!(wait(Some(2), &body), 2);
        assert_eq!(wait(None, &body), 5);
        assert_eq!(wait(None, &json!({})), 1);
        assert_eq!(wait(Some(1000), &body), 60);
    }

    #[test]
    fn an_answer_that_is_no_status_is_sorted_by_its_code() {
        let page = b"<html>bad gateway</html>";
        let failure = classify(StatusCode::BAD_GATEWAY, None, page, false);
        assert_eq!(
            failure,
            WriteError::Unknown(format!("502 Bad Gateway: {}", "<html>bad gateway</html>")).into()
        );
    }
}
