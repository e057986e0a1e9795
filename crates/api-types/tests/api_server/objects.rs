//! Test objects: good ones, changed as the tables of cases say.

use serde::Deserialize;
use serde_json::Value;

/// A row of a table of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What the case is about.
    #[serde(rename = "case")]
    pub(crate) title: String,
    /// Name of the object in `bases.yaml`.
    #[serde(default = "set")]
    base: String,
    /// What is changed before the object is created.
    #[serde(default)]
    patch: Value,
    /// What is changed afterwards.
    #[serde(default)]
    pub(crate) then: Value,
    /// The field that a refusal names.
    #[serde(default)]
    pub(crate) field: String,
    /// Part of a refusal's words.
    #[serde(default)]
    pub(crate) says: String,
}

fn set() -> String {
    "set".to_owned()
}

impl Case {
    /// The object to create.
    pub(crate) fn object(&self) -> Value {
        let mut object = base(&self.base);
        overlay(&mut object, &self.patch);
        object
    }
}

pub(crate) fn cases(table: &str) -> Vec<Case> {
    serde_yaml::from_str(table).expect("table of cases")
}

/// A good object by its name in `bases.yaml`.
pub(crate) fn base(name: &str) -> Value {
    let bases: Value = serde_yaml::from_str(include_str!("bases.yaml")).expect("bases");
    assert!(bases[name].is_object(), "no base {name}");
    bases[name].clone()
}

/// Merges a patch: null takes away what is there, and stands for itself where nothing is.
fn overlay(target: &mut Value, patch: &Value) {
    let (Some(target), Some(patch)) = (target.as_object_mut(), patch.as_object()) else {
        return;
    };
    for (key, value) in patch {
        match (target.get_mut(key), value) {
            (Some(_), Value::Null) => {
                target.remove(key);
            }
            (Some(present @ Value::Object(_)), Value::Object(_)) => overlay(present, value),
            _ => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
}
