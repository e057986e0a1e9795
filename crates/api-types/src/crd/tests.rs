use serde_json::Value;

use super::*;

fn walk(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        walk(child, &format!("{path}.{name}"), visit);
    }
    for (key, step) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            walk(&schema[key], &format!("{path}{step}"), visit);
        }
    }
}

fn schemas() -> Vec<(String, Value)> {
    let roots = all().unwrap().into_iter().map(|crd| {
        let root = crd.spec.versions[0]
            .schema
            .as_ref()
            .unwrap()
            .open_api_v3_schema
            .clone();
        (crd.spec.names.kind, serde_json::to_value(root).unwrap())
    });
    roots.collect()
}

#[test]
fn every_field_is_described() {
    for (kind, root) in schemas() {
        let mut bare = Vec::new();
        walk(&root, &kind, &mut |path, node| {
            let is_field = !path.ends_with("[]") && !path.ends_with("{}") && !path.contains(".metadata");
            if is_field && node["description"].as_str().is_none_or(str::is_empty) {
                bare.push(path.to_owned());
            }
        });
        assert_eq!(bare, Vec::<String>::new());
    }
}

#[test]
fn schemas_are_structural_and_know_no_unsigned_numbers() {
    for (kind, root) in schemas() {
        walk(&root, &kind, &mut |path, node| {
            let is_union = node["x-kubernetes-int-or-string"] == true;
            assert!(is_union || node["type"].is_string(), "{path} has no type: {node}");
            assert!(
                !node["format"].as_str().unwrap_or_default().starts_with("uint"),
                "{path}"
            );
            for key in ["nullable", "default", "oneOf", "allOf", "not", "$ref", "title"] {
                assert!(node.get(key).is_none_or(Value::is_null), "{path} has {key}");
            }
            assert!(is_union || node.get("anyOf").is_none(), "{path} has anyOf");
        });
    }
}

/// The API server refuses a definition whose rules could cost too much; every text and list of a spec has a bound, so that
/// a rule can be added without a surprise.
#[test]
fn every_list_and_text_of_a_spec_is_bounded() {
    for (kind, root) in schemas() {
        walk(&root["properties"]["spec"], &kind, &mut |path, node| {
            let bound = |key: &str| node.get(key).is_some_and(Value::is_number) || node.get("enum").is_some();
            match node["type"].as_str() {
                Some("array") => assert!(bound("maxItems"), "{path}"),
                Some("string") | None => assert!(bound("maxLength"), "{path}"),
                _ if node["additionalProperties"].is_object() => assert!(bound("maxProperties"), "{path}"),
                _ => {}
            }
        });
    }
}

#[test]
fn every_rule_has_a_sentence() {
    for (kind, root) in schemas() {
        walk(&root, &kind, &mut |path, node| {
            for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let message = rule["message"].as_str().unwrap_or_default();
                assert!(message.len() > 20 && !message.contains('\n'), "{path}: {rule}");
            }
        });
    }
}

#[test]
fn the_claim_rule_stands_at_the_root() {
    let (_, root) = schemas()
        .into_iter()
        .find(|(kind, _)| kind == "GameServer")
        .unwrap();
    assert_eq!(
        root["x-kubernetes-validations"][0]["message"],
        game_server_rules::CLAIMED
    );
    assert!(
        root.get("required").is_none_or(Value::is_null),
        "neither spec nor status is required"
    );
}
