//! The wire format of lists and watches, split without decoding the objects.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Watched;
use crate::key::ObjectKey;

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
    /// A type of a later API version.
    Other,
}

impl Kind {
    /// As the metrics name it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
            Self::Bookmark => "bookmark",
            Self::Error => "error",
            Self::Other => "other",
        }
    }
}

impl From<&str> for Kind {
    fn from(name: &str) -> Self {
        match name {
            "ADDED" => Self::Added,
            "MODIFIED" => Self::Modified,
            "DELETED" => Self::Deleted,
            "BOOKMARK" => Self::Bookmark,
            "ERROR" => Self::Error,
            _ => Self::Other,
        }
    }
}

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

/// The type and the object of an event in a line as API servers write it, found without a pass over the object, which is some
/// kilobytes long. `None` for any other line; it has to be read as a [`Frame`].
pub(super) fn split(line: &[u8]) -> Option<(Kind, &[u8])> {
    let rest = line.strip_prefix(br#"{"type":""#)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let (name, rest) = rest.split_at(end);
    let kind = Kind::from(std::str::from_utf8(name).ok()?);
    if !matches!(kind, Kind::Added | Kind::Modified | Kind::Deleted) {
        return None;
    }
    let object = rest.strip_prefix(br#"","object":"#)?.strip_suffix(b"}\n")?;
    Some((kind, object))
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

/// Decodes an object into its narrow type; `None` where [`decode`] has to find out what is wrong with it.
pub(super) fn decode_good<T: Watched>(object: &[u8]) -> Option<T> {
    let object: T = serde_json::from_slice(object).ok()?;
    (!object.meta().name.is_empty()).then_some(object)
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
    fn a_line_as_api_servers_write_it_is_split_without_a_look_at_the_object() {
        let object = br#"{"kind":"Pod","metadata":{"name":"a-0","resourceVersion":"7"}}"#;
        for (name, kind) in [
            ("ADDED", Kind::Added),
            ("MODIFIED", Kind::Modified),
            ("DELETED", Kind::Deleted),
        ] {
            let mut line = format!(r#"{{"type":"{name}","object":"#).into_bytes();
            line.extend_from_slice(object);
            line.extend_from_slice(b"}\n");
            assert_eq!(split(&line), Some((kind, object.as_slice())));
            let frame: Frame<'_> = serde_json::from_slice(&line).unwrap();
            assert_eq!(
                (Kind::from(&*frame.kind), frame.object.get().as_bytes()),
                (kind, object.as_slice())
            );
        }
        for other in [
            r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}}"#,
            r#"{"type":"ERROR","object":{"code":410}}"#,
            r#"{"type":"MODIFIEDTOO","object":{}}"#,
            r#"{"object":{},"type":"ADDED"}"#,
            r#"{ "type":"ADDED","object":{}}"#,
        ] {
            assert_eq!(split(format!("{other}\n").as_bytes()), None, "{other}");
        }
        assert_eq!(split(br#"{"type":"ADDED","object":{}}"#), None, "cut");
    }

    #[test]
    fn what_is_not_good_is_left_to_the_thorough_way() {
        let good = |text: &str| decode_good::<PodView>(text.as_bytes());
        assert!(good(r#"{"metadata":{"name":"a-0"}}"#).is_some());
        for text in [
            r#"{"metadata":{"name":"a-0"},"status":{"phase":[]}}"#,
            r#"{"metadata":{}}"#,
            r"{}",
            // More than an object: the line had other members.
            r#"{"metadata":{"name":"a-0"}},"more":{}"#,
        ] {
            assert!(good(text).is_none(), "{text}");
        }
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
