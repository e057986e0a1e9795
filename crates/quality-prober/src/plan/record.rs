//! What has been acted on, as it is kept on the GameServer (pure).
//!
//! It is written in the same patch as what the action changes: whatever is interrupted between two requests, a result is never
//! acted on twice, and an allocator's later change is never taken back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Results that were acted on, by service quality.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Record(pub(crate) BTreeMap<String, Acted>);

/// A result that was looked at for actions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Acted {
    /// True or False.
    pub status: String,
    /// The result.
    pub result: String,
    /// Pod that it came from; empty where it is not known.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// RFC 3339 time at which an action last ran; absent where none did for the last result.
    #[serde(rename = "acted", skip_serializing_if = "Option::is_none")]
    pub ran: Option<String>,
}

impl Record {
    /// Reads the annotation. What cannot be read counts as absent: the status then says what was acted on.
    pub(crate) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The annotation.
    pub(crate) fn text(&self) -> String {
        // Strings in maps: it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_nonsense_is_none() {
        let acted = Acted {
            status: "True".into(),
            result: "gate \"1\"".into(),
            pod_uid: "u".into(),
            ran: Some("2026-01-01T00:00:00Z".into()),
        };
        let record = Record([("healthy".to_owned(), acted)].into());
        assert_eq!(Record::read(&record.text()), record);
        assert_eq!(Record::read("{\"healthy\": 5}"), Record::default());
    }
}
