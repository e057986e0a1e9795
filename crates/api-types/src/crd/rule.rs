//! Bounds and rules, and how they are put into a schema.

use serde_json::{Map, Value, json};

/// Why a definition cannot be made: a table names a place that the types do not have.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// A path in a table of bounds or rules leads nowhere.
    #[error("the schema has nothing at {path:?} (stopped before {step:?})")]
    NoSuchPath {
        /// The whole path.
        path: String,
        /// The step that failed.
        step: String,
    },
    /// The finished schema is not one that Kubernetes knows.
    #[error("not a Kubernetes schema: {0}")]
    NotASchema(#[from] serde_json::Error),
}

/// What a table adds at one place of a schema.
///
/// The place is a path of property names joined by dots; `[]` stands for the items of a list, `{}` for the values of a
/// map, and the empty path for the root.
#[derive(Clone, Debug)]
pub(super) struct Node {
    path: String,
    keywords: Map<String, Value>,
    rules: Vec<Value>,
}

/// Starts an entry for the place at this path.
pub(super) fn at(path: &str) -> Node {
    Node {
        path: path.to_owned(),
        keywords: Map::new(),
        rules: Vec::new(),
    }
}

impl Node {
    /// Adds a schema keyword, or merges into the object that is there.
    pub(super) fn set(mut self, keyword: &str, value: impl Into<Value>) -> Self {
        self.keywords.insert(keyword.to_owned(), value.into());
        self
    }

    /// At most this many bytes of text.
    pub(super) fn max_length(self, bytes: u32) -> Self {
        self.set("maxLength", bytes)
    }

    /// At most this many items of a list.
    pub(super) fn max_items(self, items: u32) -> Self {
        self.set("maxItems", items)
    }

    /// At most this many entries of a map.
    pub(super) fn max_properties(self, entries: u32) -> Self {
        self.set("maxProperties", entries)
    }

    /// Integers from `low` to `high`.
    pub(super) fn range(self, low: i64, high: i64) -> Self {
        self.set("minimum", low).set("maximum", high)
    }

    /// Unknown fields are kept as they are.
    pub(super) fn keep_unknown(self) -> Self {
        self.set("x-kubernetes-preserve-unknown-fields", true)
    }

    /// A list whose items have a key: writers of different items do not disturb each other.
    pub(super) fn keyed_by(self, key: &str) -> Self {
        self.set("x-kubernetes-list-type", "map")
            .set("x-kubernetes-list-map-keys", json!([key]))
    }

    /// A rule in CEL; `message` says what to write instead.
    pub(super) fn rule(mut self, rule: &str, message: &str) -> Self {
        self.rules.push(json!({ "rule": rule, "message": message }));
        self
    }

    /// The same bounds with no rules, for fields that are accepted and not used.
    pub(super) fn without_rules(mut self) -> Self {
        self.rules.clear();
        self
    }

    /// A rule that is not checked again on objects that exist already; `oldSelf` is an optional value in it.
    pub(super) fn rule_with_optional_old(mut self, rule: &str, message: &str) -> Self {
        self.rules
            .push(json!({ "rule": rule, "message": message, "optionalOldSelf": true }));
        self
    }
}

/// Puts the tables' entries into the schema.
pub(super) fn apply(root: &mut Value, nodes: &[Node]) -> Result<(), CrdError> {
    for node in nodes {
        let target = find(root, &node.path)?;
        for (keyword, value) in &node.keywords {
            merge(target, keyword, value);
        }
        if !node.rules.is_empty() {
            let rules = target
                .entry("x-kubernetes-validations")
                .or_insert_with(|| json!([]));
            if let Value::Array(rules) = rules {
                rules.extend(node.rules.iter().cloned());
            }
        }
    }
    Ok(())
}

fn merge(target: &mut Map<String, Value>, keyword: &str, value: &Value) {
    match (target.get_mut(keyword), value) {
        (Some(Value::Object(present)), Value::Object(added)) => {
            for (key, value) in added {
                merge(present, key, value);
            }
        }
        _ => {
            target.insert(keyword.to_owned(), value.clone());
        }
    }
}

fn find<'a>(root: &'a mut Value, path: &str) -> Result<&'a mut Map<String, Value>, CrdError> {
    let missing = |step: &str| CrdError::NoSuchPath {
        path: path.to_owned(),
        step: step.to_owned(),
    };
    let mut node = root.as_object_mut().ok_or_else(|| missing(""))?;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let name = step.trim_end_matches("[]").trim_end_matches("{}");
        let mut next = node
            .get_mut("properties")
            .and_then(|properties| properties.get_mut(name));
        if step.ends_with("[]") {
            next = next.and_then(|list| list.get_mut("items"));
        } else if step.ends_with("{}") {
            next = next.and_then(|map| map.get_mut("additionalProperties"));
        }
        node = next.and_then(Value::as_object_mut).ok_or_else(|| missing(step))?;
    }
    Ok(node)
}
