//! `cargo xtask gen-docs`: writes `docs/metrics.md` from the crates' tables, and `docs/events.md`, or says that one is stale.

use std::fmt::Write as _;

use anyhow::Result;
use e2e::reasons;
use metric_table::{Label, Metric, Values};

use super::catalogue::{CONTROLLERS, SECTIONS, Section};
use crate::cluster::paths::repo_root;
use crate::generated::Files;

const FILE: &str = "docs/metrics.md";

const INTRODUCTION: &str = "\
<!-- Written by `cargo xtask gen-docs` from crates/*/src/metrics.rs; edit the tables there, not this file. -->

# Metrics

Every controller serves its metrics at `/metrics` of `--admin-address`, in Prometheus' text format. How they are scraped, and the
dashboards and alerts made of them: [observability.md](observability.md).

- Every series has the label `controller`, the name of the controller, beside those named here and those that the scraper adds.
- A label never has the name of an object for its value: *one of* lists all its values, *each* says of what there is a handful.
- Counters begin with their process, at 0 where all values of their labels are known.
- Histograms have buckets from 0.5 ms to a minute.
- What is counted from a cache (`counted every 10 s`) is the same in every replica that is up: take `max`, not `sum`.
";

/// Writes the files; with `check`, compares instead.
///
/// # Errors
/// When one can't be written, or is stale.
pub(crate) fn run(check: bool) -> Result<()> {
    let mut files = Files::default();
    files.add(FILE, render());
    files.add(reasons::FILE, reasons::render());
    files.write_or_check(&repo_root(), check, "gen-docs")
}

fn render() -> String {
    let mut text = INTRODUCTION.to_owned();
    for part in &SECTIONS {
        section(&mut text, part);
    }
    text
}

fn section(text: &mut String, section: &Section) {
    let exported = match section.controllers {
        [one] if *one == section.name => String::new(),
        all if all.len() == CONTROLLERS.len() => " Exported by every controller.".to_owned(),
        some => format!(" Exported by {}.", some.join(", ")),
    };
    let (name, about) = (section.name, section.about);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "\n## {name}\n\n{about}{exported}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n"
    );
    for metric in section.metrics {
        let _ = writeln!(text, "{}", row(metric));
    }
}

fn row(metric: &Metric) -> String {
    let labels: Vec<String> = metric.labels.iter().map(label).collect();
    let unit = metric.unit().map(|unit| format!(", {unit}")).unwrap_or_default();
    format!(
        "| `{}` | {}{unit} | {} | {} |",
        metric.name,
        metric.kind.as_str(),
        labels.join("; "),
        metric.meaning.replace('|', "\\|")
    )
}

fn label(label: &Label) -> String {
    match label.values {
        Values::OneOf([one]) => format!("`{}`: {one}", label.name),
        Values::OneOf(values) => format!("`{}`, one of {}", label.name, values.join(", ")),
        Values::Each(what) => format!("`{}`, each {}", label.name, what.trim_start_matches("a ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_a_network_can_have_are_on_the_page_of_reasons() {
        for reason in network_plugins::Reason::ALL {
            let word = reason.as_str();
            assert!(
                reasons::is_condition("GameServer", "NetworkReady", Some(word)),
                "{word}"
            );
            let told = reasons::is_event("GameServer", "network-plugins", word);
            assert_eq!(told, reason.is_error(), "{word}");
        }
    }

    #[test]
    fn every_metric_has_its_row() {
        let text = render();
        for metric in SECTIONS.iter().flat_map(|section| section.metrics) {
            assert_eq!(
                text.matches(&format!("| `{}` |", metric.name)).count(),
                1,
                "{}",
                metric.name
            );
        }
        let wait = "| `gamekeeper_pod_sync_gap_oldest_seconds` | gauge, seconds |  |";
        assert!(text.contains(wait));
        assert!(text.contains("`reason`, one of retired, replaced"));
    }
}
