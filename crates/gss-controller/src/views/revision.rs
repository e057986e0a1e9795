//! A ControllerRevision as this controller keeps it.

use api_types::views::Meta;
use controller_kit::{
    resource::{CONTROLLER_REVISION, ResourceKind},
    watch::Watched,
};
use serde::Deserialize;
use serde_json::Value;

use crate::build::template::Template;

/// A stored template of a set. Held as text: a few kilobytes each, a dozen for a set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "WireRevision")]
pub struct RevisionView {
    /// Metadata.
    pub metadata: Meta,
    /// Its place in the set's history; the largest is the latest.
    pub revision: i64,
    /// The template in `data`; `None` where there is none, or one that cannot be understood.
    pub stored: Option<StoredTemplate>,
}

/// A template as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTemplate {
    /// `data`, as JSON.
    data: Box<str>,
    /// [`Template::canonical`]: equal for templates that mean the same.
    pub canonical: Box<str>,
}

impl StoredTemplate {
    /// The template as it is kept.
    pub fn of(template: &Template) -> Self {
        Self {
            data: template.to_data().to_string().into(),
            canonical: template.canonical().into(),
        }
    }

    /// The template itself.
    pub fn template(&self) -> Option<Template> {
        Template::from_data(&serde_json::from_str(&self.data).ok()?)
    }
}

impl Watched for RevisionView {
    const RESOURCE: ResourceKind = CONTROLLER_REVISION;

    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireRevision {
    metadata: Meta,
    revision: i64,
    data: Value,
}

impl From<WireRevision> for RevisionView {
    fn from(wire: WireRevision) -> Self {
        let mut metadata = wire.metadata;
        // Kruise copies a set's annotations, of any size, to its revisions.
        metadata.annotations.clear();
        Self {
            metadata,
            revision: wire.revision,
            stored: Template::from_data(&wire.data).as_ref().map(StoredTemplate::of),
        }
    }
}
