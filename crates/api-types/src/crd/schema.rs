//! From a Rust type to a structural schema.

use kube_core::schema::{OptionalEnum, OptionalIntOrString, StructuralSchemaRewriter};
use schemars::{JsonSchema, generate::SchemaSettings, transform::AddNullable};
use serde_json::{Map, Value, json};

/// The structural schema of `T`, without bounds and rules.
pub(super) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let generator = settings
        .with_transform(AddNullable::default())
        .with_transform(StructuralSchemaRewriter)
        .with_transform(OptionalEnum)
        .with_transform(OptionalIntOrString)
        .into_generator();
    let mut root = generator.into_root_schema_for::<T>().to_value();
    tidy(&mut root);
    root
}

/// Brings one schema node, and all below it, to the form OpenKruiseGame's schema has.
fn tidy(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else {
        return;
    };
    for key in ["title", "nullable", "default", "minimum", "maximum"] {
        // Rust's `Option` is a field that may be absent, not one that may be null. A default in the schema would be
        // written into every stored object, where it changes what Git and the cluster have in common.
        node.remove(key);
    }
    join_lines(node);
    if node
        .get("format")
        .and_then(Value::as_str)
        .is_some_and(|format| format.starts_with("uint"))
    {
        // The API server warns about formats it does not know, and has no unsigned ones.
        node.insert("format".to_owned(), json!("int64"));
        node.insert("minimum".to_owned(), json!(0));
    }
    if node.get("x-kubernetes-int-or-string").is_some() {
        // Both forms spelled out: some clients generate their types from `anyOf` alone.
        node.remove("type");
        node.remove("format");
        node.insert(
            "anyOf".to_owned(),
            json!([{ "type": "integer" }, { "type": "string" }]),
        );
        return;
    }
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        properties.values_mut().for_each(tidy);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = node.get_mut(key) {
            tidy(child);
        }
    }
}

/// Doc comments are wrapped for the editor; `kubectl explain` wraps again for the terminal.
fn join_lines(node: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = node.get_mut("description") {
        let paragraphs = text
            .split("\n\n")
            .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
        *text = paragraphs.collect::<Vec<_>>().join("\n");
    }
}
