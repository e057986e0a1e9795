//! Metrics, declared once in each crate: what is declared is registered, documented in `docs/metrics.md`, and what dashboards and
//! alerts may ask for.
//!
//! ```
//! use metric_table::Values::OneOf;
//!
//! metric_table::metrics! {
//!     SERVED: Counter "example_served_total" ["size" in OneOf(&["small", "large"])] = "Meals served";
//!     OPEN: Gauge "example_open" [] = "1 while the kitchen is open";
//! }
//!
//! metric_table::describe(METRICS);
//! metrics::counter!(SERVED, "size" => "small").increment(1);
//! metrics::gauge!(OPEN).set(1.0);
//! ```
//!
//! A declared name that no code uses is dead code, and the compiler says so. A used name that is not declared does not exist:
//! a test of xtask lets nobody write one down elsewhere.

use metrics::{Label as Pair, counter, describe_counter, describe_gauge, describe_histogram};

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, without those that every metric of a process has.
    pub labels: &'static [Label],
    /// What its value says.
    pub meaning: &'static str,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, and begins anew with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of observations below bounds, with their sum and number.
    Histogram,
}

/// A label and what bounds its values: never the name of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Which values it takes.
    pub values: Values,
}

/// Which values a label takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// One of these.
    OneOf(&'static [&'static str]),
    /// One for each of what is described: things of which the program or its configuration has a few.
    Each(&'static str),
}

/// Counters whose every value of every label is known are there from the start, as 0, if they are no more series than this.
const ZEROES: usize = 64;

impl Kind {
    /// The word of Prometheus' exposition format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Metric {
    /// The unit, which the name ends with; `None` for plain numbers.
    pub fn unit(&self) -> Option<&'static str> {
        let name = self.name.trim_end_matches("_total");
        if name.ends_with("_timestamp_seconds") {
            Some("seconds since 1970")
        } else if name.ends_with("_seconds") {
            Some("seconds")
        } else if name.ends_with("_bytes") {
            Some("bytes")
        } else {
            None
        }
    }

    /// Every combination of label values; `None` where they aren't all known, or more than a program should hold from its start.
    fn combinations(&self) -> Option<Vec<Vec<Pair>>> {
        let mut all = vec![Vec::new()];
        for label in self.labels {
            let Values::OneOf(values) = label.values else {
                return None;
            };
            if all.len() * values.len() > ZEROES {
                return None;
            }
            let longer = |pairs: &Vec<Pair>| {
                let pairs = pairs.clone();
                values.iter().map(move |value| {
                    let mut pairs = pairs.clone();
                    pairs.push(Pair::from_static_parts(label.name, value));
                    pairs
                })
            };
            all = all.iter().flat_map(longer).collect();
        }
        Some(all)
    }
}

/// Registers the help texts with whatever recorder is installed. Counters begin at 0 instead of with their first event: a rate
/// can't tell the first event of a counter that was not there before.
pub fn describe(metrics: &[Metric]) {
    for metric in metrics {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.meaning),
            Kind::Gauge => describe_gauge!(metric.name, metric.meaning),
            Kind::Histogram => describe_histogram!(metric.name, metric.meaning),
        }
        if metric.kind == Kind::Counter {
            for labels in metric.combinations().into_iter().flatten() {
                counter!(metric.name, labels).absolute(0);
            }
        }
    }
}

/// Declares metrics: a constant for each name, and `METRICS`, the table of all of them.
#[macro_export]
macro_rules! metrics {
    ($(
        $name:ident: $kind:ident $full:literal [$($label:literal in $values:expr),* $(,)?] = $meaning:literal;
    )+) => {
        $(
            #[doc = $meaning]
            pub(crate) const $name: &str = $full;
        )+

        /// Every metric of this crate.
        pub const METRICS: &[$crate::Metric] = &[$(
            $crate::Metric {
                name: $full,
                kind: $crate::Kind::$kind,
                labels: &[$($crate::Label { name: $label, values: $values }),*],
                meaning: $meaning,
            },
        )+];
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn counter(labels: &'static [Label]) -> Metric {
        Metric {
            name: "a_seconds_total",
            kind: Kind::Counter,
            labels,
            meaning: "",
        }
    }

    const fn one_of(name: &'static str, values: &'static [&'static str]) -> Label {
        Label {
            name,
            values: Values::OneOf(values),
        }
    }

    #[test]
    fn units_are_in_the_name() {
        let named = |name| Metric { name, ..counter(&[]) };
        assert_eq!(counter(&[]).unit(), Some("seconds"));
        assert_eq!(named("a_timestamp_seconds").unit(), Some("seconds since 1970"));
        assert_eq!(named("a_bytes").unit(), Some("bytes"));
        assert_eq!(named("a_servers").unit(), None);
    }

    #[test]
    fn zeroes_are_every_combination_where_all_are_known() {
        let both = counter(const { &[one_of("x", &["1", "2"]), one_of("y", &["a", "b", "c"])] });
        let all = both.combinations().unwrap();
        assert_eq!(all.len(), 6);
        assert!(all.contains(&vec![
            Pair::from_static_parts("x", "2"),
            Pair::from_static_parts("y", "a")
        ]));
        assert_eq!(counter(&[]).combinations(), Some(vec![vec![]]));
        let open = counter(
            const {
                &[
                    one_of("x", &["1"]),
                    Label {
                        name: "y",
                        values: Values::Each("queue"),
                    },
                ]
            },
        );
        assert_eq!(open.combinations(), None);
    }
}
