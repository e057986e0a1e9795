//! Whether what the documentation links to is there. A test and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cluster::paths::repo_root;

/// Where the links of a page lead, without those to other sites.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://") && !target.contains(char::is_whitespace))
}

/// What a page's headings are called in links.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let headings = text.lines().filter_map(|line| {
        fenced ^= line.starts_with("```");
        let heading = line.trim_start_matches('#');
        (!fenced && heading.len() < line.len() && heading.starts_with(' ')).then_some(heading)
    });
    headings
        .map(|heading| {
            let kept = heading.trim().to_lowercase();
            kept.chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

#[test]
fn headings_are_called_as_on_a_forge() {
    let text = "# One, `two`: three\n```\n# no\n```\n## It's\n";
    assert_eq!(anchors(text), ["one-two-three", "its"].map(str::to_owned).into());
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let root = repo_root();
    let mut all = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
        .map(|name| root.join(name))
        .to_vec();
    pages(&root.join("docs"), &mut all);
    let mut dead = Vec::new();
    for page in all {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in targets(&text) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let is_page = to.extension().is_some_and(|extension| extension == "md");
            let leads = to.exists()
                && (anchor.is_empty()
                    || !is_page
                    || anchors(&std::fs::read_to_string(&to).unwrap()).contains(anchor));
            if !leads {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}
