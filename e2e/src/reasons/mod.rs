//! `docs/events.md`: what the reasons of events and conditions mean, from one table. It is held against the code, and every test against
//! what its namespace has shown.

mod servers;
mod sets;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};

use crate::{Snapshot, World};

/// Where it is written.
pub const FILE: &str = "docs/events.md";

/// How a reason is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In a condition of this type.
    Condition(&'static str),
    /// In events.
    Event,
}

/// Reasons that are met at the same place.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// Kind of the object.
    on: &'static str,
    way: Way,
    /// The controller whose words these are.
    by: &'static str,
    about: &'static str,
    reasons: &'static [Reason],
}

/// One reason.
#[derive(Debug, Clone, Copy)]
struct Reason {
    word: &'static str,
    /// Of an event: its type.
    type_: &'static str,
    means: &'static str,
    to_do: &'static str,
}

const fn reason(word: &'static str, means: &'static str, to_do: &'static str) -> Reason {
    Reason {
        word,
        type_: "",
        means,
        to_do,
    }
}

const fn normal(word: &'static str, means: &'static str, to_do: &'static str) -> Reason {
    Reason {
        type_: "Normal",
        ..reason(word, means, to_do)
    }
}

const fn warning(word: &'static str, means: &'static str, to_do: &'static str) -> Reason {
    Reason {
        type_: "Warning",
        ..reason(word, means, to_do)
    }
}

const fn condition(
    on: &'static str,
    type_: &'static str,
    by: &'static str,
    about: &'static str,
    reasons: &'static [Reason],
) -> Group {
    Group {
        on,
        way: Way::Condition(type_),
        by,
        about,
        reasons,
    }
}

const fn events(
    on: &'static str,
    by: &'static str,
    about: &'static str,
    reasons: &'static [Reason],
) -> Group {
    Group {
        on,
        way: Way::Event,
        by,
        about,
        reasons,
    }
}

/// Every group, in the page's order.
fn groups() -> impl Iterator<Item = &'static Group> {
    sets::GROUPS.iter().chain(&servers::GROUPS)
}

/// Whose events have Kubernetes' own reasons beside those of the table.
const BORROWS: &str = "gs-controller";

const INTRODUCTION: &str = "\
<!-- Written by `cargo xtask gen-docs` from e2e/src/reasons; edit the table there, not this file. -->

# Events and conditions

What `kubectl describe gss NAME` and `kubectl describe gs NAME` show, word by word. A condition says how it is now, an event what happened; both have a reason for programs, and
a message that says why and, where anything can be done, what. `kubectl gs why NAME` reads them for you ([kubectl-gs.md](kubectl-gs.md)).

- Conditions of a set are written when they change, with `lastTransitionTime` of their status. Those named *in sets with …* are absent elsewhere.
- Equal events within ten minutes are one with a count. Events make room for everything else: at most 10 a second are written by each controller (`--event-qps`), and what is too much is dropped and counted
  ([metrics.md](metrics.md)); conditions are not.
- Kubernetes keeps events for an hour.
";

/// The page.
pub fn render() -> String {
    let mut text = INTRODUCTION.to_owned();
    for group in groups() {
        section(&mut text, group);
    }
    text
}

fn section(text: &mut String, group: &Group) {
    let Group {
        on,
        by,
        about,
        reasons,
        ..
    } = group;
    let (title, columns) = match group.way {
        Way::Condition(type_) => (format!("{on}: condition `{type_}`"), "reason |"),
        Way::Event => (format!("{on}: events of {by}"), "reason | type |"),
    };
    // Writing to a String cannot fail.
    let _ = write!(text, "\n## {title}\n");
    let from = match group.way {
        Way::Condition(_) => format!(" From {by}."),
        Way::Event => String::new(),
    };
    let about = format!("{about}{from}");
    if !about.is_empty() {
        let _ = write!(text, "\n{}\n", about.trim());
    }
    if reasons.is_empty() {
        return;
    }
    let dashes = "---|".repeat(columns.matches('|').count() + 2);
    let _ = write!(text, "\n| {columns} meaning | what to do |\n|{dashes}\n");
    for Reason {
        word,
        type_,
        means,
        to_do,
    } in *reasons
    {
        let type_ = if type_.is_empty() {
            String::new()
        } else {
            format!(" {type_} |")
        };
        let _ = writeln!(text, "| `{word}` |{type_} {means} | {to_do} |");
    }
}

/// Checks that whatever the controllers have said in this world is in the table.
///
/// # Errors
/// Naming what is not.
pub(crate) async fn check(world: &World) -> Result<()> {
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let events = events.list(&ListParams::default()).await?.items;
    let strange = strange_events(&events).chain(strange_conditions(&world.now()));
    let strange: BTreeSet<String> = strange.collect();
    let strange: Vec<String> = strange.into_iter().collect();
    ensure!(
        strange.is_empty(),
        "not in the table of {FILE}: {}",
        strange.join("; ")
    );
    Ok(())
}

fn strange_events(events: &[Event]) -> impl Iterator<Item = String> {
    events.iter().filter_map(|event| {
        let by = event.reporting_component.as_deref()?;
        let on = event.involved_object.kind.as_deref()?;
        let word = event.reason.as_deref()?;
        let ours = groups().any(|group| group.by == by) && by != BORROWS;
        (ours && !is_event(on, by, word)).then(|| format!("event {word} of {by} on a {on}"))
    })
}

fn strange_conditions(now: &Snapshot) -> Vec<String> {
    let of_sets = now.sets.values().filter_map(|set| set.status.as_ref());
    let of_sets = of_sets.flat_map(|status| &status.conditions).filter_map(|found| {
        let known = is_condition("GameServerSet", &found.type_, Some(&found.reason));
        (!known).then(|| format!("condition {} {} of a set", found.type_, found.reason))
    });
    let of_servers = now.servers.values().filter_map(|server| server.status.as_ref());
    // Many of their reasons are of Pods, volumes and nodes.
    let of_servers = of_servers
        .flat_map(|status| &status.conditions)
        .filter_map(|found| {
            let known = is_condition("GameServer", &found.type_, None);
            (!known).then(|| format!("condition {} of a server", found.type_))
        });
    of_sets.chain(of_servers).collect()
}

/// Whether events of this controller on this kind can have this reason.
pub fn is_event(on: &str, by: &str, word: &str) -> bool {
    let here = |group: &&Group| (group.on, group.way, group.by) == (on, Way::Event, by);
    let mut groups = groups().filter(here);
    groups.any(|group| group.reasons.iter().any(|reason| reason.word == word))
}

/// Whether this kind has a condition of this type, and it this reason, if one is named.
pub fn is_condition(on: &str, type_: &str, word: Option<&str>) -> bool {
    groups().any(|group| {
        let is_it = matches!(group.way, Way::Condition(known) if known == type_);
        let known = word.is_none_or(|word| group.reasons.iter().any(|reason| reason.word == word));
        group.on == on && is_it && known
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn crates() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")
    }

    /// All Rust sources of a crate, its tests left out.
    fn sources(folder: &Path) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                text += &sources(&path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !name.contains("test") {
                text += &std::fs::read_to_string(path).unwrap();
            }
        }
        text
    }

    fn source_of(controller: &str) -> String {
        sources(&crates().join(controller).join("src"))
    }

    #[test]
    fn every_reason_of_the_table_is_in_its_controllers_code() {
        for group in groups() {
            let code = source_of(group.by) + &sources(&crates().join("api-types/src"));
            for reason in group.reasons {
                // As a text, or as the variant of an enum that is written out by its name.
                let text = format!("\"{}\"", reason.word);
                let variant = format!("        {},", reason.word);
                assert!(
                    code.contains(&text) || code.contains(&variant),
                    "{}: {} is not in the code",
                    group.by,
                    reason.word
                );
            }
        }
    }

    /// Each controller's crate doc names its events.
    #[test]
    fn events_that_the_crates_name_are_those_of_the_table() {
        let controllers: BTreeSet<&str> = groups().map(|group| group.by).collect();
        for controller in controllers {
            let file = crates().join(controller).join("src/lib.rs");
            let doc = std::fs::read_to_string(file).unwrap();
            let row = doc.lines().find(|line| {
                line.starts_with("//! | events |")
                    || (line.starts_with("//! | also writes |") && line.contains("Events"))
            });
            let named: BTreeSet<&str> = row
                .unwrap()
                .split('`')
                .skip(1)
                .step_by(2)
                .filter(|word| word.chars().all(char::is_alphanumeric))
                .filter(|word| !["False", "True"].contains(word))
                .collect();
            let known: BTreeSet<&str> = groups()
                .filter(|group| group.by == controller && group.way == Way::Event)
                .flat_map(|group| group.reasons.iter().map(|reason| reason.word))
                .collect();
            assert_eq!(named, known, "{controller}");
        }
    }

    #[test]
    fn every_row_says_what_to_do_once() {
        let page = render();
        for group in groups() {
            let mut seen = BTreeSet::new();
            for reason in group.reasons {
                assert!(seen.insert(reason.word), "{} twice", reason.word);
                assert!(
                    !reason.means.is_empty() && !reason.to_do.is_empty(),
                    "{}",
                    reason.word
                );
                assert!(page.contains(&format!("| `{}` |", reason.word)));
            }
        }
    }
}
