//! Who wrote what and when, from an object's managed fields. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

/// What one manager last wrote.
#[derive(Debug, Clone, Copy)]
pub struct Writing<'a> {
    /// The manager.
    pub manager: &'a str,
    /// The subresource it wrote; empty for the object itself.
    pub subresource: &'a str,
    /// When it last did.
    pub time: Option<Timestamp>,
    fields: &'a Value,
}

/// The object's managers.
pub fn writings(meta: &ObjectMeta) -> impl Iterator<Item = Writing<'_>> {
    meta.managed_fields.iter().flatten().filter_map(|entry| {
        Some(Writing {
            manager: entry.manager.as_deref().unwrap_or("?"),
            subresource: entry.subresource.as_deref().unwrap_or_default(),
            time: entry.time.as_ref().map(|time| time.0),
            fields: &entry.fields_v1.as_ref()?.0,
        })
    })
}

impl Writing<'_> {
    /// Whether the manager owns this field or something in it.
    pub fn owns(&self, path: &[&str]) -> bool {
        let mut at = self.fields;
        for part in path {
            match at.get(format!("f:{part}")) {
                Some(next) => at = next,
                None => return false,
            }
        }
        true
    }

    /// Names of the fields in `path` that the manager owns.
    pub fn fields_in(&self, path: &[&str]) -> Vec<&str> {
        let mut at = self.fields;
        for part in path {
            match at.get(format!("f:{part}")) {
                Some(next) => at = next,
                None => return Vec::new(),
            }
        }
        let names = at.as_object().into_iter().flatten();
        names.filter_map(|(key, _)| key.strip_prefix("f:")).collect()
    }
}

/// When a field was last written; where nobody owns it, when the object itself was.
pub fn written(meta: &ObjectMeta, path: &[&str]) -> Option<Timestamp> {
    let newest = |wanted: &dyn Fn(&Writing<'_>) -> bool| {
        writings(meta).filter(wanted).filter_map(|found| found.time).max()
    };
    newest(&|found| found.owns(path)).or_else(|| newest(&|found| found.subresource.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meta() -> ObjectMeta {
        serde_json::from_value(json!({"managedFields": [
            {"manager": "gamekeeper-gs-controller", "time": "2026-01-01T00:00:00Z",
                "fieldsV1": {"f:spec": {".": {}, "f:opsState": {}, "f:updatePriority": {}}}},
            {"manager": "kubectl-gs", "time": "2026-01-01T00:05:00Z",
                "fieldsV1": {"f:spec": {"f:opsState": {}}, "f:metadata": {"f:labels": {"f:gs-sync/match": {}}}}},
            {"manager": "gamekeeper-gs-controller", "subresource": "status", "time": "2026-01-01T00:09:00Z",
                "fieldsV1": {"f:status": {"f:currentState": {}}}},
        ]}))
        .unwrap()
    }

    #[test]
    fn a_field_was_written_when_its_last_owner_wrote() {
        let meta = meta();
        let at = |path: &[&str]| written(&meta, path).map(|time| time.to_string());
        assert_eq!(at(&["spec", "opsState"]).as_deref(), Some("2026-01-01T00:05:00Z"));
        assert_eq!(
            at(&["spec", "updatePriority"]).as_deref(),
            Some("2026-01-01T00:00:00Z")
        );
        assert_eq!(
            at(&["metadata", "labels", "gs-sync/gone"]).as_deref(),
            Some("2026-01-01T00:05:00Z"),
            "nobody owns what was removed"
        );
        assert_eq!(written(&ObjectMeta::default(), &["spec"]), None);
    }

    #[test]
    fn fields_are_named_without_their_marks() {
        let meta = meta();
        let ours = writings(&meta)
            .find(|found| found.manager == "kubectl-gs")
            .unwrap();
        assert_eq!(ours.fields_in(&["spec"]), ["opsState"]);
        assert_eq!(ours.fields_in(&["metadata", "labels"]), ["gs-sync/match"]);
        assert!(ours.fields_in(&["status"]).is_empty());
    }
}
