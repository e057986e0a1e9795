//! What a list would have said at earlier moments: a server that lags behind says it still.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

/// Moments that are kept; older ones are forgotten.
const KEPT: usize = 400;

type Objects = BTreeMap<String, Arc<Value>>;

/// The moments of one resource, as one client saw them.
pub(super) struct Past {
    head: Value,
    moments: Vec<(String, Objects)>,
}

impl Past {
    /// Begins with a list.
    pub(super) fn of(list: &Value) -> Self {
        let mut head = list.clone();
        let items = head["items"].take();
        let objects = items.as_array().into_iter().flatten();
        let objects = objects
            .map(|object| (name(object), Arc::new(object.clone())))
            .collect();
        Self {
            moments: vec![(version(&head), objects)],
            head,
        }
    }

    /// Goes on by one event of a watch.
    pub(super) fn take(&mut self, event: &Value) {
        let object = &event["object"];
        let Some((_, now)) = self.moments.last() else {
            return;
        };
        let mut next = now.clone();
        if event["type"] == "DELETED" {
            next.remove(&name(object));
        } else {
            next.insert(name(object), Arc::new(object.clone()));
        }
        self.moments.push((version(object), next));
        if self.moments.len() > KEPT {
            self.moments.remove(0);
        }
    }

    /// The list as it was when half of what happened had happened.
    pub(super) fn halfway(&self) -> Option<Bytes> {
        let (version, objects) = self.moments.get(self.moments.len() / 2)?;
        let mut list = self.head.clone();
        list["metadata"] = json!({"resourceVersion": version});
        list["items"] = objects.values().map(|object| Value::clone(object)).collect();
        Some(Bytes::from(list.to_string()))
    }
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_past_is_what_a_lagging_server_lists() {
        let object =
            |name: &str, version: &str| json!({"metadata": {"name": name, "resourceVersion": version}});
        let mut past = Past::of(
            &json!({"kind": "PodList", "metadata": {"resourceVersion": "1", "continue": ""},
            "items": [object("a", "1")]}),
        );
        past.take(&json!({"type": "ADDED", "object": object("b", "2")}));
        past.take(&json!({"type": "DELETED", "object": object("a", "3")}));
        let list: Value = serde_json::from_slice(&past.halfway().unwrap()).unwrap();
        let wanted = json!({"kind": "PodList", "metadata": {"resourceVersion": "2"},
            "items": [object("a", "1"), object("b", "2")]});
        assert_eq!(list, wanted);
    }
}
