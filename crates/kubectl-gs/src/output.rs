//! Printing: text, names, JSON and YAML.

use std::io::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Error;

/// Name of a server as kubectl prints it.
pub fn full_name(name: &str) -> String {
    format!("gameserver.game.kruise.io/{name}")
}

/// Writes to standard output.
///
/// # Errors
/// When it is closed or full.
pub fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Each on a line of its own.
pub fn lines(lines: impl IntoIterator<Item = String>) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Prints as JSON, the way kubectl indents it.
///
/// # Errors
/// As of [`print`].
pub fn json(value: &impl Serialize) -> Result<(), Error> {
    let mut bytes = Vec::new();
    let indented = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, indented);
    value
        .serialize(&mut writer)
        .map_err(|error| Error::Output(error.into()))?;
    bytes.push(b'\n');
    print(&String::from_utf8_lossy(&bytes))
}

/// Prints as YAML.
///
/// # Errors
/// As of [`print`].
pub fn yaml(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_yaml::to_string(value).map_err(|error| Error::Output(std::io::Error::other(error)))?;
    print(&text)
}

/// One object as it is, several as a list: what kubectl prints, and takes again.
pub fn listed(mut objects: Vec<Value>, one: bool) -> Value {
    if one && objects.len() == 1 {
        return objects.remove(0);
    }
    json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "" }, "items": objects })
}

/// The object without its managed fields.
#[must_use]
pub fn without_managed_fields(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_is_itself_and_several_are_a_list() {
        let object = json!({"metadata": {"name": "a", "managedFields": []}});
        let plain = without_managed_fields(object);
        assert_eq!(plain, json!({"metadata": {"name": "a"}}));
        assert_eq!(listed(vec![plain.clone()], true), plain);
        assert_eq!(listed(vec![plain.clone()], false)["items"][0], plain);
        assert_eq!(listed(Vec::new(), true)["kind"], "List");
    }
}
