//! `cargo xtask gen-dashboards`: one Grafana dashboard for each controller, and one over all of them.
//!
//! They are described here once (pure); [`grafana`] writes them as JSON, the trial asks a Prometheus everything they ask, and
//! [`picture`](super::picture) draws the answers.

mod controllers;
mod grafana;
mod overview;
mod process;

use anyhow::{Result, bail};

use super::query;
use crate::cluster::paths::repo_root;
use crate::generated::Files;

/// Where the JSON files are.
const DIRECTORY: &str = "deploy/dashboards";

/// A dashboard.
#[derive(Debug, Clone)]
pub(crate) struct Dashboard {
    /// Name of its file, and part of its UID.
    pub(crate) name: &'static str,
    /// Its title.
    pub(crate) title: String,
    /// What it shows, in a sentence.
    pub(crate) about: &'static str,
    /// Rows of panels.
    pub(crate) rows: Vec<Row>,
}

/// Panels that belong together.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Heading.
    pub(crate) title: &'static str,
    /// From left to right.
    pub(crate) panels: Vec<Panel>,
}

/// Lines over time.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    /// Heading.
    pub(crate) title: &'static str,
    /// What one has to know to read it; may be empty.
    pub(crate) about: &'static str,
    /// What the values are.
    pub(crate) unit: Unit,
    /// Whether the lines are parts of a whole, one on top of the other.
    pub(crate) stacked: bool,
    /// What is drawn.
    pub(crate) queries: Vec<Query>,
}

/// One expression.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// PromQL, with Grafana's `$__rate_interval`.
    pub(crate) expression: String,
    /// Name of its lines; `{{label}}` is the label's value.
    pub(crate) legend: String,
    /// Why it may well give nothing.
    pub(crate) quiet: Option<&'static str>,
}

/// What values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Things.
    Count,
    /// Things a second.
    Rate,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Parts of 1: a core.
    Share,
}

impl Panel {
    fn lines(title: &'static str, unit: Unit) -> Self {
        Self {
            title,
            about: "",
            unit,
            stacked: false,
            queries: Vec::new(),
        }
    }

    fn parts(title: &'static str, unit: Unit) -> Self {
        Self::lines(title, unit).stacked()
    }

    /// How often something happens, a line for each value of `label`.
    fn rates(title: &'static str, counter: &str, label: &str) -> Self {
        Self::lines(title, Unit::Rate).rate_by(counter, label)
    }

    /// How many there are, a line for each value of `label`. Replicas see the same things; who sees most is up to date.
    fn most(title: &'static str, gauge: &str, label: &str) -> Self {
        Self::lines(title, Unit::Count).ask(format!("max by ({label}) ({gauge})"), value_of(label))
    }

    /// How long something takes: the median and the 99th percentile.
    fn times(title: &'static str, histogram: &str) -> Self {
        Self::lines(title, Unit::Seconds).quantiles(histogram, "")
    }

    fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Lines that are parts of a whole.
    fn stacked(mut self) -> Self {
        self.stacked = true;
        self
    }

    fn ask(mut self, expression: impl Into<String>, legend: impl Into<String>) -> Self {
        self.queries.push(Query {
            expression: expression.into(),
            legend: legend.into(),
            quiet: None,
        });
        self
    }

    /// A counter's rate, a line for each value of `label`.
    fn rate_by(self, counter: &str, label: &str) -> Self {
        self.ask(rate(counter, "", label), value_of(label))
    }

    /// A counter's rate, as one line.
    fn rate(self, counter: &str, legend: &'static str) -> Self {
        self.ask(rate(counter, "", ""), legend)
    }

    /// The median and the 99th percentile of a histogram; `conditions` as in `{…}`.
    fn quantiles(self, histogram: &str, conditions: &str) -> Self {
        self.ask(quantile("0.5", histogram, conditions, ""), "p50")
            .ask(quantile("0.99", histogram, conditions, ""), "p99")
    }

    /// The query asked last may give nothing, for this reason.
    fn quiet(mut self, reason: &'static str) -> Self {
        if let Some(query) = self.queries.last_mut() {
            query.quiet = Some(reason);
        }
        self
    }

    /// All queries may give nothing, for this reason.
    fn all_quiet(mut self, reason: &'static str) -> Self {
        for query in &mut self.queries {
            query.quiet = Some(reason);
        }
        self
    }
}

/// In a legend: what this label is.
fn value_of(label: &str) -> String {
    format!("{{{{{label}}}}}")
}

/// A quantile of a histogram over all replicas, by `label` unless that is empty.
fn quantile(share: &str, histogram: &str, conditions: &str, label: &str) -> String {
    let by = if label.is_empty() {
        "le".to_owned()
    } else {
        format!("{label}, le")
    };
    format!(
        "histogram_quantile({share}, sum by ({by}) (rate({histogram}_bucket{{{conditions}}}[$__rate_interval])))"
    )
}

/// A counter's rate over all replicas, by `labels` unless that is empty.
fn rate(counter: &str, conditions: &str, labels: &str) -> String {
    let by = if labels.is_empty() {
        String::new()
    } else {
        format!(" by ({labels})")
    };
    let conditions = if conditions.is_empty() {
        String::new()
    } else {
        format!("{{{conditions}}}")
    };
    format!("sum{by} (rate({counter}{conditions}[$__rate_interval]))")
}

/// How long something has lasted whose beginning is a gauge in seconds since 1970, 0 for nothing.
fn age(since: &str, label: &str) -> String {
    let by = if label.is_empty() {
        String::new()
    } else {
        format!(" by ({label})")
    };
    format!("time() - (max{by} ({since}) > 0)")
}

fn row(title: &'static str, panels: Vec<Panel>) -> Row {
    Row { title, panels }
}

/// All of them, the overview first.
pub(crate) fn all() -> Vec<Dashboard> {
    let mut all = vec![overview::dashboard()];
    all.extend(controllers::dashboards());
    all
}

/// Queries that ask for what no controller exports.
fn problems(all: &[Dashboard]) -> Vec<String> {
    let mut found = Vec::new();
    for dashboard in all {
        for panel in dashboard.rows.iter().flat_map(|row| &row.panels) {
            let wrong = panel
                .queries
                .iter()
                .flat_map(|query| query::problems(&query.expression));
            found.extend(wrong.map(|problem| format!("{}: {}: {problem}", dashboard.name, panel.title)));
        }
    }
    found
}

/// Writes the files; with `check`, compares instead.
///
/// # Errors
/// When one can't be written, is stale, or belongs to no dashboard.
pub(crate) fn run(check: bool) -> Result<()> {
    let all = all();
    if let Some(problem) = problems(&all).first() {
        bail!("{problem}");
    }
    let mut files = Files::default();
    files.only_in(DIRECTORY);
    for dashboard in &all {
        let text = serde_json::to_string_pretty(&grafana::json(dashboard))? + "\n";
        files.add(format!("{DIRECTORY}/{}.json", dashboard.name), text);
    }
    files.write_or_check(&repo_root(), check, "gen-dashboards")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::observability::catalogue;

    fn queries() -> Vec<(String, Query)> {
        let mut found = Vec::new();
        for dashboard in all() {
            for panel in dashboard.rows.into_iter().flat_map(|row| row.panels) {
                assert!(!panel.queries.is_empty(), "{}: {}", dashboard.name, panel.title);
                let place = format!("{}: {}", dashboard.name, panel.title);
                found.extend(panel.queries.into_iter().map(|query| (place.clone(), query)));
            }
        }
        found
    }

    #[test]
    fn every_query_asks_for_what_is_exported() {
        let mut all = all();
        assert_eq!(problems(&all), Vec::<String>::new());
        all[0].rows[0].panels[0].queries[0].expression = "max(gamekeeper_gs_by_stat)".to_owned();
        let found = problems(&all);
        assert_eq!(
            found,
            ["overview: Servers by state: gamekeeper_gs_by_stat is in no table of metrics"]
        );
    }

    #[test]
    fn no_label_that_grows_with_the_cluster_is_drawn() {
        // What a legend shows are labels of the tables, none of which is an object's name, or the replica.
        for (place, asked) in queries() {
            for label in asked
                .legend
                .split("{{")
                .skip(1)
                .filter_map(|rest| rest.split("}}").next())
            {
                let read = query::read(&asked.expression).unwrap();
                assert!(
                    read.labels.iter().any(|by| by == label),
                    "{place}: {label} isn't in {}",
                    asked.expression
                );
            }
        }
    }

    #[test]
    fn every_controller_has_one_and_every_metric_is_on_one() {
        let names: BTreeSet<&str> = all().iter().map(|dashboard| dashboard.name).collect();
        assert_eq!(names.len(), catalogue::CONTROLLERS.len() + 1);
        assert!(catalogue::CONTROLLERS.iter().all(|name| names.contains(name)));
        let asked: BTreeSet<&str> = queries()
            .iter()
            .flat_map(|(_, asked)| query::read(&asked.expression).unwrap().selectors)
            .filter_map(|selector| catalogue::find(&selector.name))
            .map(|found| found.metric.name)
            .collect();
        let all: BTreeSet<&str> = catalogue::SECTIONS
            .iter()
            .flat_map(|section| section.metrics)
            .map(|metric| metric.name)
            .collect();
        let missing: Vec<_> = all.difference(&asked).collect();
        // What only tests and tools look at.
        assert_eq!(missing, [&"gamekeeper_game_api_listen_port"]);
    }

    #[test]
    fn a_panel_name_is_there_once_in_its_dashboard() {
        for dashboard in all() {
            let titles: Vec<_> = dashboard
                .rows
                .iter()
                .flat_map(|row| &row.panels)
                .map(|panel| panel.title)
                .collect();
            assert_eq!(
                titles.iter().collect::<BTreeSet<_>>().len(),
                titles.len(),
                "{}",
                dashboard.name
            );
        }
    }
}
