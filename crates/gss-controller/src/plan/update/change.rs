//! What it takes to bring a Pod from one template to another.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::build::{
    canonical::{self, default_pull_policy},
    template::Template,
};

/// The way from one template to another.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Both make the same Pods.
    None,
    /// It can be made in a running Pod.
    InPlace(InPlace),
    /// It takes a new Pod; what differs.
    Recreate(String),
}

/// What changes in a running Pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InPlace {
    /// New images by container.
    pub images: BTreeMap<String, String>,
    /// New `resources` (CPU and memory only) by container.
    pub resources: BTreeMap<String, Value>,
    /// Labels to set, or to remove where `None`.
    pub labels: BTreeMap<String, Option<String>>,
    /// Annotations to set, or to remove where `None`.
    pub annotations: BTreeMap<String, Option<String>>,
}

impl InPlace {
    /// Whether no container is touched: the Pod stays in service.
    pub fn is_metadata_only(&self) -> bool {
        self.images.is_empty() && self.resources.is_empty()
    }

    /// The same without what one server overrides.
    #[must_use]
    pub fn without(&self, images: &BTreeSet<&str>, resources: &BTreeSet<&str>) -> Self {
        let mut change = self.clone();
        change.images.retain(|name, _| !images.contains(name.as_str()));
        change
            .resources
            .retain(|name, _| !resources.contains(name.as_str()));
        change
    }
}

/// Finds the way from `old` to `new`.
pub fn between(old: &Template, new: &Template) -> Change {
    let (before, after) = (canonical::pod_spec(&old.spec), canonical::pod_spec(&new.spec));
    let mut change = InPlace {
        labels: changed_keys(&old.labels, &new.labels),
        annotations: changed_keys(&old.annotations, &new.annotations),
        ..InPlace::default()
    };
    if let Err(why) = compare_specs(&before, &after, &mut change) {
        return Change::Recreate(why);
    }
    // Images as they were written, not as they compare.
    for (name, image) in &mut change.images {
        if let Some(written) = container(&new.spec, name).and_then(|found| found.get("image")?.as_str()) {
            written.clone_into(image);
        }
    }
    for (name, wanted) in &mut change.resources {
        if let Some(written) = container(&new.spec, name).and_then(|found| found.get("resources")) {
            *wanted = cpu_and_memory(written);
        }
    }
    if !change.resources.is_empty() && quality(&before) != quality(&after) {
        return Change::Recreate("resources of another quality-of-service class".to_owned());
    }
    if let Some(key) = read_by_environment(&new.spec, &change) {
        return Change::Recreate(format!("{key}, which a container has in its environment"));
    }
    if change == InPlace::default() {
        Change::None
    } else {
        Change::InPlace(change)
    }
}

fn changed_keys(
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> BTreeMap<String, Option<String>> {
    let set = new
        .iter()
        .filter(|(key, value)| old.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), Some(value.clone())));
    let removed = old
        .keys()
        .filter(|key| !new.contains_key(*key))
        .map(|key| (key.clone(), None));
    set.chain(removed).collect()
}

fn compare_specs(before: &Value, after: &Value, change: &mut InPlace) -> Result<(), String> {
    let empty = Map::new();
    let (before, after) = (
        before.as_object().unwrap_or(&empty),
        after.as_object().unwrap_or(&empty),
    );
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        if name == "containers" {
            continue;
        }
        if before.get(name) != after.get(name) {
            return Err(name.clone());
        }
    }
    let list = |spec: &Map<String, Value>| {
        spec.get("containers")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let (before, after) = (list(before), list(after));
    if before.len() != after.len() {
        return Err("containers".to_owned());
    }
    before
        .iter()
        .zip(&after)
        .try_for_each(|(old, new)| compare_containers(old, new, change))
}

fn compare_containers(old: &Value, new: &Value, change: &mut InPlace) -> Result<(), String> {
    let text = |container: &Value, field: &str| {
        container
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let name = text(new, "name");
    if text(old, "name") != name {
        return Err("containers".to_owned());
    }
    // A running container keeps the pull policy it was created with.
    let policy = |container: &Value| match text(container, "imagePullPolicy") {
        given if given.is_empty() => default_pull_policy(&text(container, "image")).to_owned(),
        given => given,
    };
    if policy(old) != policy(new) {
        return Err(format!("imagePullPolicy of container {name}"));
    }
    let empty = Map::new();
    let (before, after) = (
        old.as_object().unwrap_or(&empty),
        new.as_object().unwrap_or(&empty),
    );
    let fields: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for field in fields {
        if field == "imagePullPolicy" || before.get(field) == after.get(field) {
            continue;
        }
        match field.as_str() {
            "image" => {
                change.images.insert(name.clone(), text(new, "image"));
            }
            "resources" if can_be_resized(before.get(field), after.get(field)) => {
                change.resources.insert(name.clone(), Value::Null);
            }
            field => return Err(format!("{field} of container {name}")),
        }
    }
    Ok(())
}

/// Whether only the amounts of CPU and memory differ. The API server lets none of them be added to or taken from a running
/// Pod.
fn can_be_resized(before: Option<&Value>, after: Option<&Value>) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return false;
    };
    let rest = |resources: &Value| {
        let mut rest = resources.clone();
        for section in ["limits", "requests"] {
            if let Some(amounts) = rest.get_mut(section).and_then(Value::as_object_mut) {
                amounts.retain(|name, _| !matches!(name.as_str(), "cpu" | "memory"));
            }
        }
        rest
    };
    let names = |resources: &Value| -> BTreeSet<(String, String)> {
        let effective = |section: &str, name: &str| {
            let given = |section: &str| {
                resources
                    .get(section)
                    .and_then(|amounts| amounts.get(name))
                    .is_some()
            };
            given(section) || (section == "requests" && given("limits"))
        };
        let all = ["limits", "requests"]
            .into_iter()
            .flat_map(|section| ["cpu", "memory"].into_iter().map(move |name| (section, name)));
        all.filter(|(section, name)| effective(section, name))
            .map(|(section, name)| (section.to_owned(), name.to_owned()))
            .collect()
    };
    let stripped = |resources: &Value| {
        let mut stripped = rest(resources);
        if let Some(fields) = stripped.as_object_mut() {
            fields.retain(|_, value| value.as_object().is_none_or(|inner| !inner.is_empty()));
        }
        stripped
    };
    stripped(before) == stripped(after) && names(before) == names(after)
}

/// CPU and memory of a `resources` as written, requests filled in from the limits as the API server does.
fn cpu_and_memory(resources: &Value) -> Value {
    let mut wanted = Map::new();
    for section in ["limits", "requests"] {
        let mut amounts = Map::new();
        for name in ["cpu", "memory"] {
            let given = |section: &str| resources.get(section)?.get(name).cloned();
            let amount = given(section).or_else(|| given("limits").filter(|_| section == "requests"));
            if let Some(amount) = amount {
                amounts.insert(name.to_owned(), amount);
            }
        }
        if !amounts.is_empty() {
            wanted.insert(section.to_owned(), Value::Object(amounts));
        }
    }
    Value::Object(wanted)
}

#[derive(PartialEq, Eq)]
enum Quality {
    BestEffort,
    Burstable,
    Guaranteed,
}

/// The Pod's quality-of-service class, which a resize cannot change.
fn quality(spec: &Value) -> Quality {
    let lists = ["containers", "initContainers"].map(|list| spec.get(list).and_then(Value::as_array));
    let resources: Vec<Option<&Value>> = lists
        .into_iter()
        .flatten()
        .flatten()
        .map(|container| container.get("resources"))
        .collect();
    let given = |resources: Option<&Value>, section: &str, name: &str| {
        resources
            .and_then(|resources| resources.get(section)?.get(name))
            .is_some()
    };
    let names = ["cpu", "memory"];
    if resources.iter().copied().all(|found| {
        names
            .iter()
            .all(|name| !given(found, "limits", name) && !given(found, "requests", name))
    }) {
        return Quality::BestEffort;
    }
    // Canonical resources have a request only where it differs from the limit.
    let guaranteed = |found: Option<&Value>| {
        names
            .iter()
            .all(|name| given(found, "limits", name) && !given(found, "requests", name))
    };
    if resources.iter().copied().all(guaranteed) {
        Quality::Guaranteed
    } else {
        Quality::Burstable
    }
}

/// A changed label or annotation that a container's environment was filled from: only a new container would see it.
fn read_by_environment(spec: &Value, change: &InPlace) -> Option<String> {
    let containers = ["containers", "initContainers"].map(|list| spec.get(list).and_then(Value::as_array));
    let env = containers
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|container| container.get("env")?.as_array())
        .flatten();
    let paths = env.filter_map(|variable| {
        variable
            .get("valueFrom")?
            .get("fieldRef")?
            .get("fieldPath")?
            .as_str()
    });
    for path in paths {
        for (kind, keys) in [("labels", &change.labels), ("annotations", &change.annotations)] {
            let key = path
                .strip_prefix("metadata.")
                .and_then(|path| path.strip_prefix(kind))
                .and_then(|path| path.strip_prefix("['"))
                .and_then(|path| path.strip_suffix("']"));
            if let Some(key) = key.filter(|key| keys.contains_key(*key)) {
                return Some(format!("{kind} {key}"));
            }
        }
    }
    None
}

fn container<'a>(spec: &'a Value, name: &str) -> Option<&'a Value> {
    spec.get("containers")?
        .as_array()?
        .iter()
        .find(|found| found.get("name").is_some_and(|found| found == name))
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
