//! What a request to the API server is about, read from its method, path and body.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// The parts of a request that rules and invariants speak of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `apply` or `delete`.
    pub verb: &'static str,
    /// Plural, with the subresource: `pods`, `gameservers/status`.
    pub resource: String,
    /// Empty for cluster-wide requests.
    pub namespace: String,
    /// Empty for lists and watches; of a create it is the name in the body.
    pub name: String,
}

impl Call {
    /// Reads a request; `None` for anything that is not about a resource (`/version`, discovery).
    pub fn parse(method: &str, path: &str, query: &str, content_type: &str, body: &Value) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/');
        match parts.next()? {
            "api" => parts.next()?,
            "apis" => {
                parts.next()?;
                parts.next()?
            }
            _ => return None,
        };
        let mut rest: Vec<&str> = parts.collect();
        let mut namespace = "";
        if rest.first() == Some(&"namespaces") && rest.len() > 2 {
            namespace = rest[1];
            rest.drain(..2);
        }
        let plural = *rest.first()?;
        let (name, subresource) = (rest.get(1).copied(), rest.get(2));
        let resource = subresource.map_or_else(|| plural.to_owned(), |sub| format!("{plural}/{sub}"));
        let verb = match (method, name) {
            ("GET", None) if query.contains("watch=true") => "watch",
            ("GET", None) => "list",
            ("GET", Some(_)) => "get",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) if content_type.starts_with("application/apply-patch") => "apply",
            ("PATCH", _) => "patch",
            ("DELETE", _) => "delete",
            _ => return None,
        };
        let created = body.pointer("/metadata/name").and_then(Value::as_str);
        let created = created.filter(|_| verb == "create");
        Some(Self {
            verb,
            resource,
            namespace: namespace.to_owned(),
            name: name.or(created).unwrap_or_default().to_owned(),
        })
    }

    /// Whether it changes anything when it is applied.
    pub fn mutates(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.verb, self.resource, self.name)
    }
}

/// UID and version that a mutating request insists on, wherever its shape carries them.
pub(super) fn preconditions(body: &Value) -> (Option<&str>, Option<&str>) {
    if let Value::Array(operations) = body {
        let tested = |path: &str| {
            let test = operations
                .iter()
                .find(|operation| operation["op"] == "test" && operation["path"] == path)?;
            test["value"].as_str()
        };
        return (tested("/metadata/uid"), tested("/metadata/resourceVersion"));
    }
    let at = |name: &str| {
        let own = body.pointer(&format!("/metadata/{name}"));
        own.or_else(|| body.pointer(&format!("/preconditions/{name}")))
            .and_then(Value::as_str)
    };
    (at("uid"), at("resourceVersion"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(method: &str, path: &str, query: &str, kind: &str) -> String {
        let body = json!({"metadata": {"name": "made"}});
        Call::parse(method, path, query, kind, &body).map_or("none".into(), |call| call.to_string())
    }

    #[test]
    fn verbs_resources_and_names_are_read_from_requests() {
        let servers = "/apis/game.kruise.io/v1alpha1/namespaces/n/gameservers";
        assert_eq!(parsed("GET", servers, "limit=500", ""), "list gameservers ");
        assert_eq!(parsed("GET", servers, "watch=true&x=y", ""), "watch gameservers ");
        let status = format!("{servers}/a-0/status");
        assert_eq!(
            parsed("PATCH", &status, "", "application/merge-patch+json"),
            "patch gameservers/status a-0"
        );
        assert_eq!(
            parsed("PATCH", &status, "", "application/apply-patch+yaml"),
            "apply gameservers/status a-0"
        );
        assert_eq!(
            parsed("POST", "/api/v1/namespaces/n/pods", "", ""),
            "create pods made"
        );
        assert_eq!(
            parsed("DELETE", "/api/v1/namespaces/n/pods/a-0", "", ""),
            "delete pods a-0"
        );
        assert_eq!(parsed("GET", "/version", "", ""), "none");
        assert_eq!(parsed("GET", "/api/v1/namespaces/n", "", ""), "get namespaces n");
    }

    #[test]
    fn preconditions_are_found_in_every_shape_of_write() {
        let both = (Some("u"), Some("7"));
        let merged = json!({"metadata": {"uid": "u", "resourceVersion": "7"}});
        let deleted = json!({"preconditions": {"uid": "u", "resourceVersion": "7"}});
        let listed = json!([{"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}]);
        for body in [merged, deleted, listed] {
            assert_eq!(preconditions(&body), both);
        }
        assert_eq!(preconditions(&json!({})), (None, None));
    }
}
