//! What the program consists of, as CycloneDX: from `cargo metadata` and the checksums in Cargo.lock. No time and no random
//! number, so that it is the same for the same sources.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The bill of package `root`: all it links, with licence, checksum, and who needs what. `linked` are parts that cargo doesn't know.
///
/// # Errors
/// When `metadata` isn't what `cargo metadata` writes.
pub(super) fn of(metadata: &Value, lock: &str, root: &str, linked: &[(&str, String)]) -> Result<Value> {
    let packages = by_id(metadata, "packages")?;
    let nodes = by_id(&metadata["resolve"], "nodes")?;
    let start = packages.iter().find(|(_, package)| package["name"] == root);
    let (start, _) = start.with_context(|| format!("no package {root}"))?;
    let checksums = checksums(lock);
    let (mut seen, mut queue) = (BTreeSet::from([*start]), vec![*start]);
    let (mut components, mut dependencies) = (BTreeMap::new(), BTreeMap::new());
    while let Some(id) = queue.pop() {
        let package = packages.get(id).with_context(|| format!("no package {id}"))?;
        let needed = linked_by(nodes.get(id).copied().unwrap_or(&Value::Null));
        let names = needed
            .iter()
            .filter_map(|id| packages.get(id))
            .map(|package| reference(package));
        let mut names: Vec<String> = names.collect();
        names.sort();
        dependencies.insert(
            reference(package),
            json!({"ref": reference(package), "dependsOn": names}),
        );
        if id != *start {
            components.insert(reference(package), component(package, &checksums));
        }
        queue.extend(needed.into_iter().filter(|id| seen.insert(id)));
    }
    for (name, version) in linked {
        components.insert(
            format!("{name}@{version}"),
            json!({
                "type": "library", "bom-ref": format!("{name}@{version}"), "name": name, "version": version,
            }),
        );
    }
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {
            "type": "application", "bom-ref": reference(packages[start]), "name": root, "version": packages[start]["version"],
            "licenses": [{"expression": packages[start]["license"]}],
        }},
        "components": components.into_values().collect::<Vec<_>>(),
        "dependencies": dependencies.into_values().collect::<Vec<_>>(),
    }))
}

/// How many parts a bill has.
pub(super) fn parts(bill: &Value) -> usize {
    bill["components"].as_array().map_or(0, Vec::len)
}

fn by_id<'a>(value: &'a Value, key: &str) -> Result<BTreeMap<&'a str, &'a Value>> {
    let list = value[key].as_array().with_context(|| format!("no {key}"))?;
    Ok(list
        .iter()
        .filter_map(|entry| Some((entry["id"].as_str()?, entry)))
        .collect())
}

/// Ids of what is linked: neither what builds it nor what tests it.
fn linked_by(node: &Value) -> Vec<&str> {
    let dependencies = node["deps"].as_array().into_iter().flatten();
    let is_linked = |dependency: &&Value| {
        let kinds = dependency["dep_kinds"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
    };
    dependencies
        .filter(is_linked)
        .filter_map(|it| it["pkg"].as_str())
        .collect()
}

fn word<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

fn reference(package: &Value) -> String {
    let (name, version) = (word(package, "name"), word(package, "version"));
    if package["source"].is_null() {
        format!("{name}@{version}")
    } else {
        format!("pkg:cargo/{name}@{version}")
    }
}

fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Value {
    let (name, version) = (word(package, "name"), word(package, "version"));
    let mut component = json!({
        "type": "library", "bom-ref": reference(package), "name": name, "version": version,
    });
    if !package["source"].is_null() {
        component["purl"] = json!(reference(package));
    }
    if let Some(licence) = package["license"].as_str() {
        // Before SPDX had OR, crates wrote a slash.
        component["licenses"] = json!([{"expression": licence.replace('/', " OR ").replace("  ", " ")}]);
    }
    if let Some(checksum) = checksums.get(&(name.to_owned(), version.to_owned())) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    component
}

/// Checksums in Cargo.lock by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut all = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let value = |key: &str| {
            let lines = package.lines();
            let mut found =
                lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'));
            found.next().map(str::to_owned)
        };
        if let (Some(name), Some(version), Some(checksum)) =
            (value("name"), value("version"), value("checksum"))
        {
            all.insert((name, version), checksum);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n\n\
        [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\nchecksum = \"00ff\"\n";

    fn package(name: &str, version: &str, source: Option<&str>, licence: &str) -> Value {
        json!({"id": name, "name": name, "version": version, "source": source, "license": licence})
    }

    fn needs(name: &str, needed: &[(&str, Option<&str>)]) -> Value {
        let deps: Vec<Value> = needed
            .iter()
            .map(|(name, kind)| json!({"pkg": name, "dep_kinds": [{"kind": kind}]}))
            .collect();
        json!({"id": name, "deps": deps})
    }

    fn bill() -> Value {
        let metadata = json!({
            "packages": [
                package("app", "0.1.0", None, "Apache-2.0"),
                package("a", "1.0.0", Some("registry+x"), "MIT/Apache-2.0"),
                package("b", "2.0.0", Some("registry+x"), "MIT"),
                package("builder", "3.0.0", Some("registry+x"), "MIT"),
                package("tester", "4.0.0", Some("registry+x"), "MIT"),
            ],
            "resolve": {"nodes": [
                needs("app", &[("a", None), ("tester", Some("dev"))]),
                needs("a", &[("b", None), ("builder", Some("build"))]),
                needs("b", &[]), needs("builder", &[]), needs("tester", &[]),
            ]},
        });
        of(&metadata, LOCK, "app", &[("glibc", "2.36".into())]).unwrap()
    }

    #[test]
    fn what_is_linked_is_in_the_bill_and_what_only_builds_or_tests_is_not() {
        let bill = bill();
        let names: Vec<&str> = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["glibc", "a", "b"]);
        assert_eq!(bill["metadata"]["component"]["name"], "app");
        assert_eq!(parts(&bill), 3);
    }

    #[test]
    fn a_part_has_its_licence_its_checksum_and_what_it_needs() {
        let bill = bill();
        let a = &bill["components"][1];
        assert_eq!(a["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(a["hashes"][0]["content"], "00ff");
        assert_eq!(a["purl"], "pkg:cargo/a@1.0.0");
        let needed = bill["dependencies"].as_array().unwrap();
        assert!(needed.contains(&json!({"ref": "app@0.1.0", "dependsOn": ["pkg:cargo/a@1.0.0"]})));
    }
}
