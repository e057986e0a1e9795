//! Whether what a controller exports is what its table says: read from the text it serves.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use metric_table::Values;

use super::catalogue::{self, CONTROLLER, Found};
use crate::fleet::{Fleet, http_get};

/// One line of the text.
#[derive(Debug, PartialEq, Eq)]
struct Sample<'a> {
    series: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
}

/// What one process exports.
#[derive(Debug, Default)]
pub(crate) struct Export {
    /// Metrics of the tables that it has.
    pub(crate) metrics: BTreeSet<&'static str>,
    /// What is not as the tables say.
    pub(crate) problems: Vec<String>,
}

/// Asks every process of the fleet.
///
/// # Errors
/// When one doesn't answer, or exports something that its table doesn't have.
pub(crate) async fn check(fleet: &Fleet) -> Result<BTreeSet<&'static str>> {
    let mut metrics = BTreeSet::new();
    let mut problems = Vec::new();
    for process in &fleet.processes {
        let (_, text) = http_get(process.admin_port, "/metrics").await?;
        let export = read(&text);
        metrics.extend(export.metrics);
        let name = process.controller.name();
        problems.extend(
            export
                .problems
                .into_iter()
                .map(|problem| format!("{name}: {problem}")),
        );
    }
    ensure!(
        problems.is_empty(),
        "metrics are not as their tables say (crates/*/src/metrics.rs):\n{}",
        problems.join("\n")
    );
    Ok(metrics)
}

/// Reads what one process exports.
pub(crate) fn read(text: &str) -> Export {
    let mut export = Export::default();
    let mut told = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
        let again = !line.is_empty() && !seen.insert(series);
        let problem = if again {
            Some(format!("{series} is there twice"))
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            kind(rest).err()
        } else if line.starts_with('#') || line.is_empty() {
            None
        } else {
            match sample(line).map(|sample| judged(&sample)) {
                Some(Ok(name)) => {
                    export.metrics.insert(name);
                    None
                }
                Some(Err(problem)) => Some(problem),
                None => Some(format!("not a sample: {line}")),
            }
        };
        // Each once: a histogram would say it for every bucket.
        export
            .problems
            .extend(problem.filter(|problem| told.insert(problem.clone())));
    }
    export
}

fn kind(declared: &str) -> Result<(), String> {
    let (name, kind) = declared.split_once(' ').unwrap_or((declared, ""));
    let known = catalogue::SECTIONS.iter().flat_map(|section| section.metrics);
    match known.into_iter().find(|metric| metric.name == name) {
        Some(metric) if metric.kind.as_str() == kind => Ok(()),
        Some(metric) => Err(format!("{name} is a {kind}, not a {}", metric.kind.as_str())),
        None => Err(format!("{name} is in no table")),
    }
}

fn judged(sample: &Sample<'_>) -> Result<&'static str, String> {
    let found = catalogue::find(sample.series).ok_or_else(|| format!("{} is in no table", sample.series))?;
    let name = found.metric.name;
    let controller = sample.labels.get(CONTROLLER).copied().unwrap_or_default();
    if !found.section.controllers.contains(&controller) {
        return Err(format!(
            "{name} is exported by '{controller}', which its table doesn't name"
        ));
    }
    let ours = |label: &&&str| **label != CONTROLLER && !(**label == "le" && found.suffix == "_bucket");
    let has: BTreeSet<&str> = sample.labels.keys().filter(ours).copied().collect();
    let wanted: BTreeSet<&str> = found.metric.labels.iter().map(|label| label.name).collect();
    if has != wanted {
        return Err(format!("{name} has labels {has:?}, not {wanted:?}"));
    }
    values(&found, sample).map(|()| name)
}

fn values(found: &Found, sample: &Sample<'_>) -> Result<(), String> {
    for (label, value) in &sample.labels {
        if let Some(Values::OneOf(known)) = found.label(label).map(|label| label.values)
            && !known.contains(value)
        {
            return Err(format!(
                "{} has {label}=\"{value}\", which is not one of {known:?}",
                found.metric.name
            ));
        }
    }
    Ok(())
}

/// `name{label="value",…} number`; none of our values has a quote or a comma in it, which would be a problem of its own.
fn sample(line: &str) -> Option<Sample<'_>> {
    let (series, value) = line.rsplit_once(' ')?;
    value.parse::<f64>().ok()?;
    let Some((name, rest)) = series.split_once('{') else {
        return Some(Sample {
            series,
            labels: BTreeMap::new(),
        });
    };
    let pairs = rest
        .strip_suffix('}')?
        .split("\",")
        .filter(|pair| !pair.is_empty());
    let labels = pairs.map(|pair| {
        let (label, value) = pair.split_once("=\"")?;
        Some((label, value.trim_end_matches('"')))
    });
    Some(Sample {
        series: name,
        labels: labels.collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read(text).problems
    }

    #[test]
    fn what_is_as_declared_is_no_problem() {
        let text = "# HELP gamekeeper_queue_depth x\n# TYPE gamekeeper_queue_depth gauge\n\
            gamekeeper_queue_depth{controller=\"pod-sync\",queue=\"pod-sync\"} 0\n\n\
            # TYPE gamekeeper_pod_sync_seconds histogram\n\
            gamekeeper_pod_sync_seconds_bucket{controller=\"pod-sync\",trigger=\"pod\",le=\"0.5\"} 3\n\
            gamekeeper_pod_sync_seconds_sum{controller=\"pod-sync\",trigger=\"pod\"} 0.1\n";
        let export = read(text);
        assert_eq!(export.problems, Vec::<String>::new());
        assert_eq!(export.metrics.len(), 2);
    }

    #[test]
    fn whatever_is_not_in_the_table_is_found() {
        let of = |sample: &str| problems(&format!("{sample} 1\n"));
        assert!(of("gamekeeper_new{controller=\"pod-sync\"}")[0].contains("no table"));
        let elsewhere = of("gamekeeper_pod_sync_gap_servers{controller=\"gs-controller\"}");
        assert!(elsewhere[0].contains("'gs-controller'"));
        assert!(of("gamekeeper_pod_sync_gap_servers{}")[0].contains("exported by ''"));
        let labelled = of("gamekeeper_pod_sync_gap_servers{controller=\"pod-sync\",name=\"arena-1\"}");
        assert!(labelled[0].contains("labels {\"name\"}, not {}"));
        let value = of("gamekeeper_pod_sync_seconds_count{controller=\"pod-sync\",trigger=\"whim\"}");
        assert!(value[0].contains("trigger=\"whim\""));
        let line = "gamekeeper_pod_sync_gap_servers{controller=\"pod-sync\"}";
        assert!(problems(&format!("{line} 1\n{line} 2\n"))[0].contains("twice"));
        let summary = problems("# TYPE gamekeeper_pod_sync_seconds summary");
        assert_eq!(
            summary,
            ["gamekeeper_pod_sync_seconds is a summary, not a histogram"]
        );
    }
}
