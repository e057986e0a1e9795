//! The wire format of lists and watches, split without decoding the objects.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Watched;
use crate::key::ObjectKey;

/// One line of a watch.
#[derive(Deserialize)]
pub(super) struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// One page of a list.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(default)]
    pub(super) metadata: PageMeta,
    /// Null when empty, for some kinds.
    #[serde(borrow, default)]
    pub(super) items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PageMeta {
    pub(super) resource_version: String,
    #[serde(rename = "continue")]
    pub(super) next: String,
}

/// The error object of a watch, or of a failed request.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Status {
    /// Whether the version asked for is too old to go on from.
    pub(super) fn is_expired(&self) -> bool {
        self.code == 410 || self.reason == "Expired" || self.reason == "Gone"
    }
}

/// What every object has, however malformed the rest of it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Named")]
pub(super) struct Identity {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    metadata: NamedMeta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NamedMeta {
    namespace: String,
    name: String,
    uid: String,
    resource_version: String,
}

impl From<Named> for Identity {
    fn from(Named { metadata: meta }: Named) -> Self {
        Self {
            namespace: meta.namespace,
            name: meta.name,
            uid: meta.uid,
            resource_version: meta.resource_version,
        }
    }
}

impl Identity {
    pub(super) fn key(&self) -> ObjectKey {
        ObjectKey::new(self.namespace.as_str(), self.name.as_str())
    }
}

/// An object, as far as it could be read.
pub(super) enum Decoded<T> {
    Object(T),
    Malformed(Identity, String),
}

/// Decodes an object into its narrow type, or at least finds out which one it is.
///
/// # Errors
/// When not even that is possible: then this is no answer of an API server.
pub(super) fn decode<T: Watched>(raw: &RawValue) -> Result<Decoded<T>, serde_json::Error> {
    match serde_json::from_str::<T>(raw.get()) {
        // An object without a name cannot be stored: its metadata is not what it should be.
        Ok(object) if !object.meta().name.is_empty() => Ok(Decoded::Object(object)),
        Ok(_) => Err(serde::de::Error::custom("an object without a name")),
        Err(error) => {
            let identity: Identity = serde_json::from_str(raw.get())?;
            if identity.name.is_empty() {
                return Err(error);
            }
            Ok(Decoded::Malformed(identity, error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use api_types::views::PodView;

    use super::*;

    fn decoded(text: &str) -> Result<Decoded<PodView>, serde_json::Error> {
        let frame: Frame<'_> = serde_json::from_str(text).unwrap();
        decode(frame.object)
    }

    #[test]
    fn a_frame_is_split_without_decoding_and_a_bad_object_keeps_its_identity() {
        let good = r#"{"type":"ADDED","object":{"metadata":{"name":"a-0","namespace":"n","uid":"u"}}}"#;
        assert!(matches!(decoded(good), Ok(Decoded::Object(pod)) if pod.metadata.name == "a-0"));
        let bad = r#"{"type":"ADDED","object":{"metadata":{"name":"a-0","namespace":"n","uid":"u",
            "resourceVersion":"7"},"status":{"phase":["not","a","phase"]}}}"#;
        let Ok(Decoded::Malformed(identity, reason)) = decoded(bad) else {
            panic!("expected a bad object")
        };
        assert_eq!(
            (identity.key(), identity.resource_version.as_str()),
            (ObjectKey::new("n", "a-0"), "7")
        );
        assert!(
            reason.contains("phase") || reason.contains("expected"),
            "{reason}"
        );
    }

    #[test]
    fn an_object_without_a_name_is_no_answer_of_an_api_server() {
        assert!(decoded(r#"{"type":"ADDED","object":{}}"#).is_err());
    }

    #[test]
    fn an_empty_page_may_have_null_items() {
        let page: Page<'_> =
            serde_json::from_str(r#"{"metadata":{"resourceVersion":"5","continue":"x"},"items":null}"#)
                .unwrap();
        assert!(page.items.is_none());
        assert_eq!(
            (
                page.metadata.resource_version.as_str(),
                page.metadata.next.as_str()
            ),
            ("5", "x")
        );
    }

    #[test]
    fn expiry_is_known_by_code_or_reason() {
        assert!(
            Status {
                code: 410,
                ..Status::default()
            }
            .is_expired()
        );
        assert!(
            Status {
                reason: "Expired".into(),
                ..Status::default()
            }
            .is_expired()
        );
        assert!(
            !Status {
                code: 500,
                ..Status::default()
            }
            .is_expired()
        );
    }
}
