//! Sets of game server ids, kept as intervals.
//!
//! A reservation such as `"0-2000000000"` is one interval: every operation here costs the number of intervals, never
//! the number of ids, so no spec can hang the controller or exhaust its memory.

use std::fmt;

use api_types::int_or_string::IntOrString;

/// The id of one game server: the number after the last `-` in its Pod's name.
pub type Id = u32;

/// The largest id accepted: a Kubernetes ordinal is a signed 32-bit integer.
pub const MAX_ID: Id = i32::MAX as Id;

/// One inclusive run of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// The lowest id of the run.
    pub first: Id,
    /// The highest id of the run; never below `first`.
    pub last: Id,
}

impl Run {
    fn len(self) -> u64 {
        u64::from(self.last - self.first) + 1
    }
}

/// A set of ids: ascending, disjoint runs with at least one absent id between any two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdSet {
    runs: Vec<Run>,
}

/// An item of an id list that cannot be understood. The other items of its list still count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadItem {
    /// The item as it is written in the list.
    pub item: String,
    /// What is wrong with it.
    pub problem: BadItemProblem,
}

/// Why an item of an id list is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadItemProblem {
    /// Neither an integer nor `first-last`.
    NotAnIdOrRange,
    /// A range whose first id is above its last.
    Reversed,
    /// An id below 0 or above [`MAX_ID`].
    OutOfBounds,
}

impl fmt::Display for BadItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { item, problem } = self;
        match problem {
            BadItemProblem::NotAnIdOrRange => {
                write!(
                    f,
                    "\"{item}\" is neither an id nor a range; write a number such as 3 or a range such as \"3-7\""
                )
            }
            BadItemProblem::Reversed => {
                write!(
                    f,
                    "\"{item}\" ends before it starts; write the lower id first, such as \"3-7\""
                )
            }
            BadItemProblem::OutOfBounds => {
                write!(f, "\"{item}\" is outside 0 to {MAX_ID}; write ids within it")
            }
        }
    }
}

impl IdSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { runs: Vec::new() }
    }

    /// Reads a list as it stands in `spec.reserveGameServerIds` or in the plan record. Items that cannot be
    /// understood are returned beside the set of those that can.
    pub fn parse_items(items: &[IntOrString]) -> (Self, Vec<BadItem>) {
        let mut runs = Vec::with_capacity(items.len());
        let mut bad = Vec::new();
        for item in items {
            let parsed = match item {
                IntOrString::Int(id) => parse_id(*id).map(|id| Run { first: id, last: id }),
                IntOrString::String(text) => parse_text(text),
            };
            match parsed {
                Ok(run) => runs.push(run),
                Err(problem) => bad.push(BadItem {
                    item: item_text(item),
                    problem,
                }),
            }
        }
        (Self::from_runs(runs), bad)
    }

    /// Reads the comma-joined form of the annotation `game.kruise.io/reserve-ids`. Items that cannot be understood
    /// are skipped one by one: the annotation is ours, and a damaged one must not hide the rest.
    pub fn parse_joined(text: &str) -> Self {
        Self::from_runs(text.split(',').filter_map(|item| parse_text(item).ok()).collect())
    }

    /// Ascending compact items: a run of three or more ids is one `"first-last"` string, shorter ones are integers.
    pub fn to_items(&self) -> Vec<IntOrString> {
        self.compact(
            |id| IntOrString::Int(i64::from(id)),
            |run| IntOrString::String(run_text(run)),
        )
    }

    /// The compact items joined by commas; the empty set is the empty string.
    pub fn to_joined(&self) -> String {
        self.compact(|id| id.to_string(), run_text).join(",")
    }

    fn compact<T>(&self, single: impl Fn(Id) -> T, range: impl Fn(Run) -> T) -> Vec<T> {
        let mut items = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            match run.len() {
                1 => items.push(single(run.first)),
                2 => items.extend([single(run.first), single(run.last)]),
                _ => items.push(range(*run)),
            }
        }
        items
    }

    /// Builds a set from runs in any order, overlapping or not.
    pub fn from_runs(mut runs: Vec<Run>) -> Self {
        runs.sort_unstable();
        let mut merged: Vec<Run> = Vec::with_capacity(runs.len());
        for run in runs {
            match merged.last_mut() {
                // Ids stay within MAX_ID, so the sum cannot overflow.
                Some(last) if run.first <= last.last + 1 => last.last = last.last.max(run.last),
                _ => merged.push(run),
            }
        }
        Self { runs: merged }
    }

    /// The runs, ascending.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How many ids the set holds.
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|run| run.len()).sum()
    }

    /// Whether the set holds no id.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether `id` is in the set.
    pub fn contains(&self, id: Id) -> bool {
        let after = self.runs.partition_point(|run| run.first <= id);
        after > 0 && self.runs.get(after - 1).is_some_and(|run| id <= run.last)
    }

    /// Adds one id. To add many, collect them and use [`Self::union`].
    pub fn insert(&mut self, id: Id) {
        if !self.contains(id) {
            *self = self.union(&Self::from_runs(vec![Run { first: id, last: id }]));
        }
    }

    /// Removes one id. To remove many, collect them and use [`Self::difference`].
    pub fn remove(&mut self, id: Id) {
        if self.contains(id) {
            *self = self.difference(&Self::from_runs(vec![Run { first: id, last: id }]));
        }
    }

    /// The ids in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_runs(self.runs.iter().chain(&other.runs).copied().collect())
    }

    /// The ids in this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::with_capacity(self.runs.len() + other.runs.len());
        let mut cuts = other.runs.iter().copied().peekable();
        for run in &self.runs {
            while cuts.next_if(|cut| cut.last < run.first).is_some() {}
            let mut from = Some(run.first);
            while let (Some(first), Some(cut)) = (from, cuts.peek().copied()) {
                if cut.first > run.last {
                    break;
                }
                if cut.first > first {
                    left.push(Run {
                        first,
                        last: cut.first - 1,
                    });
                }
                // A cut that reaches past this run may also cut the next one: it stays.
                from = (cut.last < run.last).then(|| cut.last + 1);
                if from.is_some() {
                    cuts.next();
                }
            }
            left.extend(from.map(|first| Run {
                first,
                last: run.last,
            }));
        }
        Self { runs: left }
    }

    /// The ids in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.difference(&self.difference(other))
    }

    /// The ids, ascending. Costs the ids taken, so take no more than needed.
    pub fn iter(&self) -> impl Iterator<Item = Id> + '_ {
        self.runs.iter().flat_map(|run| run.first..=run.last)
    }

    /// The lowest `count` ids from 0 to [`MAX_ID`] that are not in the set: fewer when so many are not left.
    #[must_use]
    pub fn lowest_free(&self, count: u64) -> Self {
        Self::from_runs(vec![Run {
            first: 0,
            last: MAX_ID,
        }])
        .difference(self)
        .lowest(count)
    }

    /// The lowest `count` ids of the set.
    #[must_use]
    pub fn lowest(&self, mut count: u64) -> Self {
        let mut runs = Vec::new();
        for run in &self.runs {
            if count == 0 {
                break;
            }
            let taken = count.min(run.len());
            runs.push(Run {
                first: run.first,
                last: run.first + (taken - 1) as Id,
            });
            count -= taken;
        }
        Self { runs }
    }

    /// The highest `count` ids of the set.
    #[must_use]
    pub fn highest(&self, count: u64) -> Self {
        self.difference(&self.lowest(self.len().saturating_sub(count)))
    }
}

impl FromIterator<Id> for IdSet {
    fn from_iter<T: IntoIterator<Item = Id>>(ids: T) -> Self {
        Self::from_runs(ids.into_iter().map(|id| Run { first: id, last: id }).collect())
    }
}

fn parse_id(id: i64) -> Result<Id, BadItemProblem> {
    Id::try_from(id)
        .ok()
        .filter(|id| *id <= MAX_ID)
        .ok_or(BadItemProblem::OutOfBounds)
}

/// Reads `"3"` or `"3-7"`, with blanks around the numbers tolerated.
fn parse_text(text: &str) -> Result<Run, BadItemProblem> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (parse_number(first)?, parse_number(last)?);
    if first > last {
        Err(BadItemProblem::Reversed)
    } else {
        Ok(Run { first, last })
    }
}

fn parse_number(text: &str) -> Result<Id, BadItemProblem> {
    let digits = text.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadItemProblem::NotAnIdOrRange);
    }
    // Only digits are left, so a failure can only mean a number too large for the type.
    digits
        .parse::<i64>()
        .map_err(|_| BadItemProblem::OutOfBounds)
        .and_then(parse_id)
}

fn run_text(run: Run) -> String {
    format!("{}-{}", run.first, run.last)
}

fn item_text(item: &IntOrString) -> String {
    match item {
        IntOrString::Int(id) => id.to_string(),
        IntOrString::String(text) => text.clone(),
    }
}
