//! What came of the plans.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use e2e::faults::Plan;
use serde::Serialize;

use super::ground::Tried;

/// Failures that are told in full; the others are counted.
const TOLD: usize = 20;

/// Results, plan by plan.
#[derive(Default)]
pub(super) struct Report {
    cells: BTreeMap<(&'static str, &'static str), Cell>,
    plans: usize,
    violations: usize,
    not_tried: usize,
    fired: usize,
    faults: usize,
    slowest: f64,
    plan_seconds: f64,
    pub(super) seconds: f64,
    /// Names of seeded bugs, and whether each was caught.
    pub(super) bugs: BTreeMap<String, bool>,
}

#[derive(Default)]
struct Cell {
    plans: usize,
    violations: usize,
}

/// The JSON of a run.
#[derive(Serialize)]
pub(super) struct Summary {
    plans: usize,
    violations: usize,
    plans_not_tried: usize,
    plans_per_minute: f64,
    faults_injected: usize,
    faults_not_reached: usize,
    slowest_plan_seconds: f64,
    seeded_bugs: usize,
    seeded_bugs_caught: usize,
    missed_bugs: Vec<String>,
}

impl Report {
    pub(super) fn add(&mut self, tried: &Tried) -> Result<()> {
        let kinds: BTreeSet<&'static str> = tried
            .plan
            .faults
            .iter()
            .map(|fault| fault.action.kind())
            .collect();
        let kind = match (kinds.len(), tried.plan.writers) {
            (0, _) => "none",
            (1, 1) => kinds.first().copied().unwrap_or_default(),
            (1, _) => "two writers",
            _ => "two faults",
        };
        let cell = self.cells.entry((tried.plan.workload.name, kind)).or_default();
        cell.plans += 1;
        self.plans += 1;
        self.fired += tried.fired;
        self.faults += tried.plan.faults.len();
        self.plan_seconds += tried.seconds;
        self.slowest = self.slowest.max(tried.seconds);
        if tried.violations.is_empty() {
            tried.forget();
            return Ok(());
        }
        cell.violations += 1;
        self.violations += 1;
        if self.violations <= TOLD {
            println!("VIOLATION in {}", tried.plan);
            for violation in &tried.violations {
                println!("    {violation}");
            }
            println!("    replay: cargo xtask faults --replay '{}'", tried.plan);
            println!("    ledger, history, logs: {}", tried.keep()?.display());
        }
        Ok(())
    }

    pub(super) fn not_tried(&mut self, plan: &Plan, error: &anyhow::Error) {
        self.not_tried += 1;
        println!("NOT TRIED {plan}: {error:#}");
    }

    pub(super) fn progress(&self, elapsed: Duration) {
        if self.plans > 0 && self.plans.is_multiple_of(25) {
            let rate = self.plans as f64 * 60.0 / elapsed.as_secs_f64();
            println!(
                "{:>5} plans, {} with violations, {rate:.0} a minute, {:.1} s each",
                self.plans,
                self.violations,
                self.plan_seconds / self.plans as f64
            );
        }
    }

    /// Whether every plan was tried and kept what must hold, and every seeded bug was caught.
    pub(super) fn is_good(&self) -> bool {
        self.violations + self.not_tried == 0 && self.bugs.values().all(|caught| *caught)
    }

    /// What is wrong, in a line.
    pub(super) fn trouble(&self) -> String {
        let missed = self.bugs.values().filter(|caught| !**caught).count();
        format!(
            "{} plans with violations, {} not tried, {missed} seeded bugs missed",
            self.violations, self.not_tried
        )
    }

    pub(super) fn print(&self) {
        println!(
            "\n{:<16} {:<14} {:>6} {:>10}",
            "workload", "fault", "plans", "violations"
        );
        for ((workload, fault), cell) in &self.cells {
            println!(
                "{workload:<16} {fault:<14} {:>6} {:>10}",
                cell.plans, cell.violations
            );
        }
        println!(
            "\n{} plans, {} with violations, {} not tried; {:.0} plans a minute; {} of {} faults struck; slowest plan {:.1} s",
            self.plans,
            self.violations,
            self.not_tried,
            self.per_minute(),
            self.fired,
            self.faults,
            self.slowest
        );
        for (bug, caught) in &self.bugs {
            println!(
                "seeded bug {bug:<28} {}",
                if *caught { "caught" } else { "MISSED" }
            );
        }
    }

    fn per_minute(&self) -> f64 {
        if self.seconds > 0.0 {
            self.plans as f64 * 60.0 / self.seconds
        } else {
            0.0
        }
    }

    pub(super) fn summary(&self) -> Summary {
        let missed: Vec<String> = self
            .bugs
            .iter()
            .filter(|(_, caught)| !**caught)
            .map(|(bug, _)| bug.clone())
            .collect();
        Summary {
            plans: self.plans,
            violations: self.violations,
            plans_not_tried: self.not_tried,
            plans_per_minute: self.per_minute(),
            faults_injected: self.fired,
            faults_not_reached: self.faults - self.fired,
            slowest_plan_seconds: self.slowest,
            seeded_bugs: self.bugs.len(),
            seeded_bugs_caught: self.bugs.len() - missed.len(),
            missed_bugs: missed,
        }
    }
}
