//! Bodies of requests: read up to a bound, decoded, checked.

use api_types::{
    ReportedHealth, ReportedState,
    game_server::reported::{LONGEST_HEALTH_REASON, MOST_PLAYERS},
};
use axum::{
    body::Body,
    http::{
        HeaderMap,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    error::Refusal,
    plan::report::{Condition, News, Players, Said},
};

/// The longest body.
pub(crate) const LONGEST: usize = 4096;

/// Players on the server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct PlayersBody {
    /// Players who are on the server.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub count: u32,
    /// How many it takes, where that differs from the set's spec.players.capacity. Absent: what was reported before stays.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub capacity: Option<u32>,
}

/// Where a server is in its match.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum State {
    Idle,
    Assigned,
    Running,
    PostMatch,
}

/// How a server says it is.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum Health {
    Creating,
    Healthy,
    Failed,
}

/// Where the server is in its match.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateBody {
    /// Idle: no match. Assigned: it has one and waits for players. Running. PostMatch: it is over.
    pub state: State,
}

/// How the server is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthBody {
    /// Creating, Healthy, or Failed: it can do no more work, and the set's failurePolicy says what follows.
    pub health: Health,
    /// Why, in one line.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub reason: Option<String>,
}

/// Any of it in one request; what is absent stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReportBody {
    /// Players on the server.
    #[serde(default, deserialize_with = "object")]
    pub players: Option<PlayersBody>,
    /// Where the server is in its match.
    #[serde(default)]
    pub state: Option<State>,
    /// How the server is.
    #[serde(default)]
    pub health: Option<Health>,
    /// Why the health is what it is, in one line.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub health_reason: Option<String>,
}

impl From<State> for ReportedState {
    fn from(state: State) -> Self {
        match state {
            State::Idle => Self::Idle,
            State::Assigned => Self::Assigned,
            State::Running => Self::Running,
            State::PostMatch => Self::PostMatch,
        }
    }
}

impl From<Health> for ReportedHealth {
    fn from(health: Health) -> Self {
        match health {
            Health::Creating => Self::Creating,
            Health::Healthy => Self::Healthy,
            Health::Failed => Self::Failed,
        }
    }
}

/// What a request reports. Empty it says that the server is alive.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub players: Option<Players>,
    pub condition: Option<Condition>,
}

impl Told {
    /// What was said at this time.
    pub(crate) fn at(self, at: Timestamp) -> News {
        News {
            players: self.players.map(|value| Said::now(value, at)),
            condition: self.condition.map(|value| Said::now(value, at)),
        }
    }
}

/// A body that reports something, whichever protocol it belongs to.
pub(crate) trait Report: DeserializeOwned + Send + 'static {
    /// What it reports.
    ///
    /// # Errors
    /// When it makes no sense.
    fn told(self) -> Result<Told, Refusal>;
}

impl Report for PlayersBody {
    fn told(self) -> Result<Told, Refusal> {
        Ok(Told {
            players: Some(players(self.count, self.capacity)?),
            condition: None,
        })
    }
}

impl Report for StateBody {
    fn told(self) -> Result<Told, Refusal> {
        Ok(Told {
            players: None,
            condition: condition(Some(self.state), None, None)?,
        })
    }
}

impl Report for HealthBody {
    fn told(self) -> Result<Told, Refusal> {
        Ok(Told {
            players: None,
            condition: condition(None, Some(self.health), self.reason)?,
        })
    }
}

impl Report for ReportBody {
    fn told(self) -> Result<Told, Refusal> {
        let players = self.players.map(|said| players(said.count, said.capacity));
        Ok(Told {
            players: players.transpose()?,
            condition: condition(self.state, self.health, self.health_reason)?,
        })
    }
}

/// Players as a report takes them.
///
/// # Errors
/// When there are more than any server has.
pub(crate) fn players(count: u32, capacity: Option<u32>) -> Result<Players, Refusal> {
    for (name, number) in [("count", count), ("capacity", capacity.unwrap_or(0))] {
        if number > MOST_PLAYERS {
            return Err(Refusal::Invalid(
                format!("{name} is {number}; the most is {MOST_PLAYERS}").into(),
            ));
        }
    }
    Ok(Players { count, capacity })
}

/// State and health as a report takes them.
///
/// # Errors
/// When the reason is too long, is no line of text, or belongs to no health.
pub(crate) fn condition(
    state: Option<State>,
    health: Option<Health>,
    reason: Option<String>,
) -> Result<Option<Condition>, Refusal> {
    let reason = reason.filter(|reason| !reason.is_empty());
    if let Some(reason) = &reason {
        if health.is_none() {
            return Err(Refusal::Invalid("a reason needs a health beside it".into()));
        }
        if reason.chars().count() > LONGEST_HEALTH_REASON as usize {
            return Err(Refusal::Invalid(
                format!("the reason has more than {LONGEST_HEALTH_REASON} characters").into(),
            ));
        }
        if reason.chars().any(char::is_control) {
            return Err(Refusal::Invalid(
                "the reason is one line of text, without control characters".into(),
            ));
        }
    }
    if state.is_none() && health.is_none() {
        return Ok(None);
    }
    Ok(Some(Condition {
        state: state.map(Into::into),
        health: health.map(|health| (health.into(), reason)),
    }))
}

/// Reads a body that has to be JSON.
///
/// # Errors
/// When it is too long, or says something else.
pub(crate) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Refusal> {
    let type_ = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = type_.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::MediaType);
    }
    decode(&bytes(headers, body).await?)
}

/// Decodes JSON.
///
/// # Errors
/// Says where it is wrong.
pub(crate) fn decode<T: DeserializeOwned>(text: &[u8]) -> Result<T, Refusal> {
    // Derived decoders also take a list of the fields' values, in their order.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::Invalid("the body is a JSON object: {…}".into()));
    }
    serde_json::from_slice(text).map_err(|error| Refusal::Invalid(error.to_string().into()))
}

/// An object, and no list of its values.
fn object<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: DeserializeOwned,
    D: serde::Deserializer<'de>,
{
    let fields = Option::<serde_json::Map<String, serde_json::Value>>::deserialize(deserializer)?;
    fields
        .map(|fields| serde_json::from_value(fields.into()))
        .transpose()
        .map_err(serde::de::Error::custom)
}

/// Reads a body.
///
/// # Errors
/// When it is too long or is cut.
pub(crate) async fn bytes(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Refusal> {
    let said = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|length| length > LONGEST as u64) {
        return Err(Refusal::TooLarge(LONGEST));
    }
    // Its errors are the bound, and a connection that ended, which takes no answer any more.
    let read = axum::body::to_bytes(body, LONGEST).await;
    read.map(|bytes| bytes.to_vec())
        .map_err(|_| Refusal::TooLarge(LONGEST))
}

/// Checks that there is no body, where none is asked for.
///
/// # Errors
/// When there is one.
pub(crate) async fn none(headers: &HeaderMap, body: Body) -> Result<(), Refusal> {
    let read = bytes(headers, body).await?;
    // Clients in some languages send an empty object with every POST.
    if read.is_empty() || read.trim_ascii() == b"{}" {
        return Ok(());
    }
    Err(Refusal::Invalid("this request has no body".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_says_the_bounds_that_are_checked() {
        let schema = |value: schemars::Schema| value.to_value();
        let players = schema(schemars::schema_for!(PlayersBody));
        for field in ["count", "capacity"] {
            assert_eq!(players["properties"][field]["maximum"], MOST_PLAYERS, "{field}");
        }
        let health = schema(schemars::schema_for!(HealthBody));
        assert_eq!(health["properties"]["reason"]["maxLength"], LONGEST_HEALTH_REASON);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(players(MOST_PLAYERS, Some(MOST_PLAYERS)).is_ok());
        assert!(players(MOST_PLAYERS + 1, None).is_err());
        assert!(players(0, Some(MOST_PLAYERS + 1)).is_err());
        let with = |health, reason: &str| condition(None, health, Some(reason.to_owned()));
        assert!(with(Some(Health::Failed), &"ä".repeat(256)).is_ok());
        assert!(with(Some(Health::Failed), &"a".repeat(257)).is_err());
        assert!(with(Some(Health::Failed), "two\nlines").is_err());
        assert!(with(None, "why").is_err());
        assert_eq!(condition(None, None, None), Ok(None));
        for wrong in [
            "",
            "{",
            "[]",
            r#"{"count": -1}"#,
            r#"{"count": 1.5}"#,
            r#"{"count": "1"}"#,
            r#"{"count": 1, "x": 1}"#,
        ] {
            assert!(decode::<PlayersBody>(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(decode::<PlayersBody>(b"[1, 2]").is_err());
        assert!(decode::<ReportBody>(br#"{"players": [1, 2]}"#).is_err());
        assert!(decode::<ReportBody>(br#"{"players": {"count": 1, "x": 2}}"#).is_err());
        assert!(decode::<ReportBody>(br#"{"players": null}"#).is_ok());
        assert!(decode::<ReportBody>(br#" {"players": {"count": 1}}"#).is_ok());
    }
}
