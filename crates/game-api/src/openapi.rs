//! The OpenAPI document, made from the table of operations and the types that decode their bodies (pure).

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::http::operations::{OPERATIONS, Operation, Serves, refusal};

/// The document as text, as it is served and checked in.
///
/// # Errors
/// Never with the types there are; a schema that is no JSON would be one.
pub fn document() -> serde_json::Result<String> {
    serde_json::to_string_pretty(&build()).map(|text| text + "\n")
}

fn build() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let refusal = refusal(&mut generator).to_value();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let described = describe(operation, &mut generator, &refusal);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described;
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gamekeeper game-api",
            "version": "1",
            "description": "What a game server tells the cluster about itself, and what it may ask. A server finds the address and \
                its code in its environment: API_SERVER_URL and API_SERVER_CODE. Operations tagged compat are there with --compat.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "code": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "API_SERVER_CODE of the Pod, or a token of its ServiceAccount that is bound to the Pod",
                },
                "codeInUrl": { "type": "apiKey", "in": "query", "name": "code" },
            },
        },
    })
}

fn describe(operation: &Operation, generator: &mut schemars::SchemaGenerator, refusal: &Value) -> Value {
    let compat = operation.serves == Serves::Compat;
    let mut responses = Map::new();
    let refused = operation.summary == "Always refused";
    if !refused {
        let mut done = json!({ "description": if operation.reports { "Stored" } else { "Done" } });
        if let Some(answer) = operation.answer {
            done["content"] = content(&answer(generator).to_value());
        }
        if operation.reports {
            let mut accepted = done.clone();
            accepted["description"] =
                json!("Accepted: it is stored within moments, with what is reported until then");
            responses.insert("202".into(), accepted);
        }
        responses.insert("200".into(), done);
    }
    for code in operation.refusals() {
        let mut answer = json!({ "description": meaning(code) });
        if !compat {
            answer["content"] = content(refusal);
        }
        responses.insert(code.to_string(), answer);
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": responses,
    });
    if let Some(body) = operation.body {
        described["requestBody"] =
            json!({ "required": true, "content": content(&body(generator).to_value()) });
    }
    if operation.reports {
        described["parameters"] = json!([{
            "name": "wait", "in": "query", "schema": { "type": "boolean" },
            "description": "Answer when it is stored, not before",
        }]);
    }
    match operation.serves {
        Serves::Servers => described["security"] = json!([{ "code": [] }]),
        Serves::Compat => {
            described["security"] = json!([{ "codeInUrl": [] }, { "code": [] }]);
            described["tags"] = json!(["compat"]);
        }
        Serves::Anybody => {}
    }
    described
}

fn content(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn meaning(code: u16) -> &'static str {
    match code {
        400 => "The body or a parameter is wrong; the message says where",
        401 => "No code that counts",
        403 => "Another server is named, or servers may not do this",
        408 => "The request took too long",
        413 => "The body is too long",
        415 => "The body is no application/json",
        429 => "Too many requests; Retry-After says how long to wait",
        _ => "Not possible at the moment; try again after Retry-After",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the document is checked in.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

    #[test]
    fn the_document_that_is_checked_in_is_the_one_that_is_served() {
        let text = std::fs::read_to_string(FILE).unwrap_or_default();
        assert_eq!(
            document().unwrap(),
            text,
            "write it anew: cargo run -p game-api -- --print-openapi > crates/game-api/openapi.json"
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(node: &Value, visit: &mut dyn FnMut(&str)) {
            match node {
                Value::Object(fields) => {
                    for (name, value) in fields {
                        match value.as_str().filter(|_| name == "$ref") {
                            Some(reference) => visit(reference),
                            None => walk(value, visit),
                        }
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
                _ => {}
            }
        }
        let document = build();
        let mut count = 0;
        walk(&document, &mut |reference| {
            count += 1;
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        });
        assert!(count > 5);
    }

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<_> = OPERATIONS.iter().map(|operation| operation.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), OPERATIONS.len());
    }
}
