//! What is shown: a table for people, JSON for programs. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::json;

use crate::{
    cli::Output,
    plan::{OwnedKind, SetPlan, Step},
    verify::Verification,
};

/// Plans, or how far they came.
pub fn plans(plans: &[SetPlan], output: Output) -> String {
    if output == Output::Json {
        return pretty(&json!({ "sets": plans }));
    }
    let header = ["NAMESPACE", "NAME", "STATE", "IDS", "HOLES", "STEPS"].map(str::to_owned);
    let row = |plan: &SetPlan| {
        let or_none = |text: &str| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                text.to_owned()
            }
        };
        [
            plan.namespace.clone(),
            plan.name.clone(),
            format!("{:?}", plan.state),
            or_none(&plan.ids),
            or_none(&plan.holes),
            summary(&plan.steps),
        ]
    };
    let mut text = table(std::iter::once(header).chain(plans.iter().map(row)));
    for plan in plans {
        let place = format!("{}/{}", plan.namespace, plan.name);
        for obstacle in &plan.obstacles {
            let _ = writeln!(
                text,
                "{place}: in the way: {:?}: {}",
                obstacle.reason, obstacle.message
            );
        }
        for note in &plan.notes {
            let _ = writeln!(text, "{place}: note: {note}");
        }
    }
    text
}

/// Findings of a verification.
pub fn verifications(all: &[Verification], output: Output) -> String {
    if output == Output::Json {
        return pretty(&json!({ "sets": all }));
    }
    let header = ["NAMESPACE", "NAME", "OK", "CHECK", "FOUND"].map(str::to_owned);
    let rows = all.iter().flat_map(|set| {
        set.findings.iter().map(|finding| {
            [
                set.namespace.clone(),
                set.name.clone(),
                if finding.ok { "yes" } else { "NO" }.to_owned(),
                finding.check.to_owned(),
                finding.message.clone(),
            ]
        })
    });
    table(std::iter::once(header).chain(rows))
}

/// `record, 500 Pods, 3 revisions, workload`
fn summary(steps: &[Step]) -> String {
    let mut counts: BTreeMap<(u8, &str), usize> = BTreeMap::new();
    for step in steps {
        let what = match step {
            Step::DropSnapshot { .. } => "drop snapshot",
            Step::StoreSnapshot { .. } => "snapshot",
            Step::StoreRecord { .. } => "record",
            Step::Adopt {
                kind: OwnedKind::Revision,
                ..
            } => "revisions",
            Step::Adopt {
                kind: OwnedKind::Claim,
                ..
            } => "claims",
            Step::Adopt {
                kind: OwnedKind::Pod, ..
            } => "pods",
            Step::OpenGates { .. } => "gates",
            Step::DeleteWorkload { .. } | Step::AwaitWorkload => "delete workload",
            Step::CreateWorkload { .. } => "create workload",
            Step::CreateMarker { .. } => "create probe marker",
            Step::DeleteMarker { .. } | Step::ReleaseMarker { .. } | Step::AwaitMarker => {
                "delete probe marker"
            }
        };
        *counts.entry((step.phase(), what)).or_default() += 1;
    }
    let many = |what: &str| ["revisions", "claims", "pods", "gates"].contains(&what);
    let part = |((_, what), count): (&(u8, &str), &usize)| {
        if many(what) {
            format!("{count} {what}")
        } else {
            (*what).to_owned()
        }
    };
    let mut parts: Vec<String> = counts.iter().map(part).collect();
    parts.dedup();
    if parts.is_empty() {
        "-".to_owned()
    } else {
        parts.join(", ")
    }
}

/// Columns as wide as their widest cell, the last one as it is.
fn table<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let line: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(text, "{}", line.join("   ").trim_end());
    }
    text
}

fn pretty(value: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
