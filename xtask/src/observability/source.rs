//! Tests of the sources: a metric's name is written down in its table and nowhere else.

use std::path::{Path, PathBuf};

use crate::cluster::paths::repo_root;

/// Macros that register a metric, followed by its name.
const REGISTERING: [&str; 3] = ["counter!(", "gauge!(", "histogram!("];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The sources of every crate but the table itself and what only tests use.
fn shipped() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(repo_root().join("crates")).unwrap() {
        let krate = entry.unwrap().path();
        if !krate.ends_with("metric-table") && !krate.ends_with("test-bed") {
            sources(&krate.join("src"), &mut found);
        }
    }
    found
}

/// What is wrong with one file.
fn problems(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let table = name.ends_with("metrics.rs");
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let place = format!("{name}:{}", number + 1);
        if code.contains("\"gamekeeper_") && !(table && code.contains(": ") && code.contains(" [")) {
            found.push(format!("{place}: a metric's name outside of its table"));
        }
        let registers = REGISTERING.iter().filter_map(|macro_| code.split_once(macro_));
        if registers
            .map(|(_, rest)| rest.trim_start())
            .any(|rest| rest.starts_with('"'))
        {
            found.push(format!(
                "{place}: a metric registered by a text instead of a name of the table"
            ));
        }
        if code.contains("describe_counter!")
            || code.contains("describe_gauge!")
            || code.contains("describe_histogram!")
        {
            found.push(format!("{place}: a description outside of the table"));
        }
    }
    found
}

#[test]
fn metrics_are_named_in_their_tables_only() {
    let files = shipped();
    assert!(files.len() > 200, "{} files", files.len());
    let found: Vec<String> = files
        .iter()
        .flat_map(|path| problems(&path.to_string_lossy(), &std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_name_written_elsewhere_is_found() {
    let elsewhere = "counter!(\"gamekeeper_x_total\").increment(1);";
    assert_eq!(problems("apply.rs", elsewhere).len(), 2);
    assert_eq!(
        problems("metrics.rs", "const X: &str = \"gamekeeper_x_total\";").len(),
        1
    );
    assert!(problems("metrics.rs", "    X: Counter \"gamekeeper_x_total\" [] = \"x\";").is_empty());
    assert!(problems("apply.rs", "counter!(X).increment(1); // \"gamekeeper_x_total\"").is_empty());
}
