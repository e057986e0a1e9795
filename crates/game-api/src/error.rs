//! Why a request is refused, in words for whoever programs the game.

use std::{borrow::Cow, time::Duration};

use http::StatusCode;

/// Why a request is refused. Nothing in it is a secret, or says whether a server exists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// No code, or none that counts.
    #[error(
        "no valid code: send the environment variable API_SERVER_CODE of this very Pod as `Authorization: Bearer …`"
    )]
    Unauthorized,
    /// A server speaks of another one.
    #[error("this code is of another server: a server can only speak for itself")]
    OtherServer,
    /// Something that servers may not do.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The body or a parameter is wrong.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// No such path.
    #[error("there is nothing here: /openapi.json lists what is")]
    NotFound,
    /// Not this way.
    #[error("this path has other methods: /openapi.json lists them")]
    Method,
    /// The body is too long.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// The body is no JSON.
    #[error("send the body as Content-Type: application/json")]
    MediaType,
    /// The body did not come in time.
    #[error("the request took too long")]
    Timeout,
    /// Too many requests.
    #[error("too many requests; wait for the time that Retry-After says")]
    TooMany(Duration),
    /// Pod and GameServer are there, but not yet known here, or not yet both.
    #[error("this server's record is not there yet; try again")]
    NotYet,
    /// The API server cannot be reached, or refuses.
    #[error("it could not be stored; try again")]
    Unavailable,
}

impl Refusal {
    /// HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::OtherServer | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NotYet | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// One word for programs, and for the metric label `reason`.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unauthorized => "Unauthorized",
            Self::OtherServer => "OtherServer",
            Self::Forbidden(_) => "Forbidden",
            Self::Invalid(_) => "Invalid",
            Self::NotFound => "NotFound",
            Self::Method => "MethodNotAllowed",
            Self::TooLarge(_) => "TooLarge",
            Self::MediaType => "UnsupportedMediaType",
            Self::Timeout => "Timeout",
            Self::TooMany(_) => "TooManyRequests",
            Self::NotYet => "NotYet",
            Self::Unavailable => "Unavailable",
        }
    }

    /// When to try again, where that helps.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany(wait) => Some(*wait),
            Self::NotYet | Self::Unavailable => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}
