//! Who may evict a server: what is wanted, how a Pod shows it, and what a Pod that shows it means. Pure.
//!
//! | policy | annotation | label | PodDisruptionBudget matches | node drain | cluster autoscaler |
//! |---|---|---|---|---|---|
//! | `Never` | `false` | `false` | yes | refused | refused |
//! | `OnUpgrade` | `false` | `true` | no | evicts | refused |
//! | `Always` | `true` | `true` | no | evicts | evicts |
//! | `WhenIdle` | as `Never` while players are, or may come, on the server; as `Always` otherwise | | | | |
//!
//! The annotation is [`annotation::SAFE_TO_EVICT`], the label [`label::SAFE_TO_EVICT`]. One that the set's template has stays as
//! it is there.

use std::{fmt, str::FromStr};

use crate::{
    game_server_set::{EvictionSafety, GameServerSetSpec},
    keys::{annotation, label},
};

/// Who may evict the servers of one set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nobody.
    #[default]
    Never,
    /// Node drains.
    OnUpgrade,
    /// Node drains and the cluster autoscaler.
    Always,
    /// Both, while the server is not Allocated and has no players.
    WhenIdle,
}

impl Policy {
    /// All of them, as they are written.
    const KNOWN: [(Self, &'static str); 4] = [
        (Self::Never, "Never"),
        (Self::OnUpgrade, "OnUpgrade"),
        (Self::Always, "Always"),
        (Self::WhenIdle, "WhenIdle"),
    ];

    /// What a set asks for.
    ///
    /// A template that has only the annotation, with `true`, is older than this field and says Always; where the field is
    /// there, it counts. A value that is not known is Never: what somebody wanted to be protected stays protected.
    pub fn of(wanted: Option<&EvictionSafety>, template: &Kept<'_>, default: Self) -> Self {
        match wanted {
            Some(EvictionSafety::Never | EvictionSafety::Other(_)) => Self::Never,
            Some(EvictionSafety::OnUpgrade) => Self::OnUpgrade,
            Some(EvictionSafety::Always) => Self::Always,
            Some(EvictionSafety::WhenIdle) => Self::WhenIdle,
            None if template.annotation == Some("true") => Self::Always,
            None => default,
        }
    }

    /// How the Pod of a server shows it. `busy`: it is Allocated or has players.
    pub fn marks(self, busy: bool) -> Marks {
        let (annotation, label) = match (self, busy) {
            (Self::Never, _) | (Self::WhenIdle, true) => ("false", "false"),
            (Self::OnUpgrade, _) => ("false", "true"),
            (Self::Always, _) | (Self::WhenIdle, false) => ("true", "true"),
        };
        Marks { annotation, label }
    }

    /// Whether a Pod may have to be kept from being evicted at all.
    pub fn protects(self) -> bool {
        matches!(self, Self::Never | Self::WhenIdle)
    }

    /// The value as it is written.
    pub fn as_str(self) -> &'static str {
        let known = Self::KNOWN.into_iter().find(|(policy, _)| *policy == self);
        known.map_or("Never", |(_, name)| name)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::KNOWN.into_iter().find(|(_, name)| *name == text);
        known
            .map(|(policy, _)| policy)
            .ok_or_else(|| "write Never, OnUpgrade, Always or WhenIdle".to_owned())
    }
}

/// Values of the annotation and the label that show a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Value of [`annotation::SAFE_TO_EVICT`].
    pub annotation: &'static str,
    /// Value of [`label::SAFE_TO_EVICT`].
    pub label: &'static str,
}

/// What a set's template says itself. These values are the user's, and nobody writes over them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept<'a> {
    /// The template's [`annotation::SAFE_TO_EVICT`].
    pub annotation: Option<&'a str>,
    /// The template's [`label::SAFE_TO_EVICT`].
    pub label: Option<&'a str>,
}

impl<'a> Kept<'a> {
    /// Of the template of `spec`.
    pub fn of(spec: &'a GameServerSetSpec) -> Self {
        let metadata = &spec.game_server_template.metadata;
        Self {
            annotation: metadata
                .annotations
                .get(annotation::SAFE_TO_EVICT)
                .map(String::as_str),
            label: metadata.labels.get(label::SAFE_TO_EVICT).map(String::as_str),
        }
    }
}

/// Who may evict a Pod with these values; `None` where it has neither, as every Pod that nobody has marked.
pub fn in_force(annotation: Option<&str>, label: Option<&str>) -> Option<EvictionSafety> {
    match (annotation, label) {
        (None, None) => None,
        // The budget stops the cluster autoscaler too, whatever the annotation says.
        (_, Some("false")) => Some(EvictionSafety::Never),
        (Some("false"), _) => Some(EvictionSafety::OnUpgrade),
        _ => Some(EvictionSafety::Always),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH: [EvictionSafety; 4] = [
        EvictionSafety::Never,
        EvictionSafety::OnUpgrade,
        EvictionSafety::Always,
        EvictionSafety::WhenIdle,
    ];

    // The table that was asked for, row by row.
    #[test]
    fn each_value_is_shown_as_documented() {
        let shown = |value: &EvictionSafety, busy| {
            let marks = Policy::of(Some(value), &Kept::default(), Policy::Always).marks(busy);
            (marks.annotation, marks.label)
        };
        for busy in [false, true] {
            assert_eq!(shown(&EvictionSafety::Never, busy), ("false", "false"));
            assert_eq!(shown(&EvictionSafety::OnUpgrade, busy), ("false", "true"));
            assert_eq!(shown(&EvictionSafety::Always, busy), ("true", "true"));
        }
        assert_eq!(shown(&EvictionSafety::WhenIdle, true), ("false", "false"));
        assert_eq!(shown(&EvictionSafety::WhenIdle, false), ("true", "true"));
        assert_eq!(
            shown(&EvictionSafety::Other("OnUpdate".into()), false),
            ("false", "false")
        );
    }

    #[test]
    fn the_old_annotation_alone_means_always() {
        let kept = |value| Kept {
            annotation: Some(value),
            label: None,
        };
        assert_eq!(Policy::of(None, &kept("true"), Policy::Never), Policy::Always);
        assert_eq!(
            Policy::of(None, &kept("false"), Policy::OnUpgrade),
            Policy::OnUpgrade
        );
        assert_eq!(Policy::of(None, &Kept::default(), Policy::Never), Policy::Never);
        for value in EACH {
            let explicit = Policy::of(Some(&value), &kept("true"), Policy::Never);
            assert_eq!(explicit.as_str(), value.as_str(), "what is said counts");
        }
    }

    #[test]
    fn a_pod_means_what_it_was_marked_for() {
        for policy in [Policy::Never, Policy::OnUpgrade, Policy::Always] {
            let marks = policy.marks(false);
            let found = in_force(Some(marks.annotation), Some(marks.label)).unwrap();
            assert_eq!(found.as_str(), policy.as_str());
        }
        assert_eq!(in_force(None, None), None);
        assert_eq!(in_force(Some("true"), Some("false")), Some(EvictionSafety::Never));
        assert_eq!(in_force(Some("false"), None), Some(EvictionSafety::OnUpgrade));
        assert_eq!(in_force(Some("nonsense"), Some("")), Some(EvictionSafety::Always));
    }

    #[test]
    fn the_flag_takes_what_the_field_takes() {
        for value in EACH {
            assert_eq!(
                value.as_str().parse::<Policy>().unwrap().to_string(),
                value.as_str()
            );
        }
        assert!("OnUpdate".parse::<Policy>().unwrap_err().contains("OnUpgrade"));
    }
}
