//! Schema fragments that the types share.

use schemars::{Schema, SchemaGenerator, json_schema};

/// An RFC 3339 time, kept as text: it is compared and shown far more often than computed with.
pub(crate) fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// An object whose fields are kept as they are, whatever they are.
pub(crate) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}
