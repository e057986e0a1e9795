//! Servers that wait for a lifecycle hook: how many, and for how long.

use api_types::{Condition, keys, keys::annotation, keys::condition::HOOK_BLOCKED};
use jiff::Timestamp;

use super::conditions::condition;
use crate::observe::{Observed, lifecycle};

/// From when on a hook counts as one that never lets go. Games that are played to their end take less; where they take longer,
/// the condition says so and nothing else happens.
pub const OVERDUE: i64 = 10 * 60;
/// Ages, in seconds, that the message tells apart: it is written when the oldest wait passes one, and at no other time.
const AGES: [(i64, &str); 5] = [
    (OVERDUE, "10 minutes"),
    (3600, "an hour"),
    (6 * 3600, "6 hours"),
    (24 * 3600, "a day"),
    (7 * 24 * 3600, "a week"),
];

/// The hooks a Pod can wait for, with the states in which it does.
const WAITS: [(&str, &[&str]); 3] = [
    ("preDelete", &[keys::lifecycle::PREPARING_DELETE]),
    (
        "inPlaceUpdate",
        &[keys::lifecycle::PREPARING_UPDATE, keys::lifecycle::UPDATED],
    ),
    ("preNormal", &[keys::lifecycle::PREPARING_NORMAL]),
];

/// Servers that wait for one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The hook.
    pub hook: &'static str,
    /// How many servers wait for it.
    pub servers: u32,
    /// Name of the Pod that has waited longest.
    pub oldest: String,
    /// Since when, in seconds since 1970.
    pub since: i64,
}

/// What waits for hooks in this set; hooks that nothing waits for are left out.
pub fn waiting(observed: &Observed, clock: Timestamp) -> Vec<Waiting> {
    let mut all: Vec<Waiting> = Vec::new();
    for pod in observed.pods.values() {
        let state = lifecycle(pod);
        let Some((hook, _)) = WAITS.iter().find(|(_, states)| states.contains(&state)) else {
            continue;
        };
        if pod.metadata.is_terminating() {
            continue;
        }
        let told = pod.metadata.annotation(annotation::LIFECYCLE_TIMESTAMP);
        let since = told
            .and_then(|time| time.parse::<Timestamp>().ok())
            .map_or_else(|| clock.as_second(), Timestamp::as_second);
        match all.iter_mut().find(|found| found.hook == *hook) {
            Some(found) => {
                found.servers += 1;
                if since < found.since {
                    (found.since, found.oldest) = (since, pod.metadata.name.clone());
                }
            }
            None => all.push(Waiting {
                hook,
                servers: 1,
                oldest: pod.metadata.name.clone(),
                since,
            }),
        }
    }
    all
}

/// The condition, where the set has hooks or had them when its status was last written.
pub(super) fn blocked(observed: &Observed, waiting: &[Waiting], clock: Timestamp) -> Option<Condition> {
    let had = observed
        .set
        .status
        .conditions
        .iter()
        .any(|old| old.type_ == HOOK_BLOCKED);
    if observed.set.spec.lifecycle.is_none() && waiting.is_empty() && !had {
        return None;
    }
    let overdue = waiting.iter().any(|found| passed(found, clock).is_some());
    let reason = match (overdue, waiting.is_empty()) {
        (true, _) => "HookOverdue",
        (false, false) => "HookWaiting",
        (false, true) => "NotBlocked",
    };
    let message = if waiting.is_empty() {
        "no server waits for a lifecycle hook".to_owned()
    } else {
        let each: Vec<String> = waiting.iter().map(|found| sentence(found, clock)).collect();
        each.join("; ")
    };
    Some(condition(HOOK_BLOCKED, overdue, reason, message))
}

fn sentence(found: &Waiting, clock: Timestamp) -> String {
    let Waiting {
        hook,
        servers,
        oldest,
        ..
    } = found;
    let wait = match servers {
        1 => "1 server waits".to_owned(),
        more => format!("{more} servers wait"),
    };
    let how = match *hook {
        "preDelete" | "inPlaceUpdate" => {
            "labels or finalizers of the hook are on its Pod, and whoever serves the hook has to take them off"
        }
        _ => {
            "its Pod has not all labels and finalizers of the hook, and whoever serves the hook has to put them on"
        }
    };
    match passed(found, clock) {
        Some(age) => format!("{wait} for hook {hook}, {oldest} for more than {age}: {how}"),
        None => format!("{wait} for hook {hook}"),
    }
}

/// The longest of [`AGES`] that the oldest has waited.
fn passed(found: &Waiting, clock: Timestamp) -> Option<&'static str> {
    let age = clock.as_second() - found.since;
    AGES.iter()
        .rev()
        .find(|(least, _)| age >= *least)
        .map(|(_, text)| *text)
}

/// In how many seconds the condition's message changes with nothing but time.
pub(super) fn changes_in(waiting: &[Waiting], clock: Timestamp) -> Option<i64> {
    waiting
        .iter()
        .filter_map(|found| {
            let age = clock.as_second() - found.since;
            let next = AGES.iter().find(|(least, _)| age < *least)?;
            Some(next.0 - age)
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(age: i64) -> (Vec<Waiting>, Timestamp) {
        let clock = Timestamp::from_second(1_900_000_000).unwrap();
        let waiting = Waiting {
            hook: "preDelete",
            servers: 2,
            oldest: "arena-3".into(),
            since: clock.as_second() - age,
        };
        (vec![waiting], clock)
    }

    #[test]
    fn the_message_changes_with_steps_of_age_only() {
        let mut age = 0;
        let mut writes = 0;
        let mut last = String::new();
        while let (waiting, clock) = found(age)
            && let Some(wait) = changes_in(&waiting, clock)
        {
            let now = sentence(&waiting[0], clock);
            assert_ne!(now, last);
            // Just before the announced moment nothing has changed.
            let (before, clock) = found(age + wait - 1);
            assert_eq!(sentence(&before[0], clock), now);
            (last, age, writes) = (now, age + wait, writes + 1);
        }
        assert_eq!(writes, AGES.len());
        assert_eq!(age, 7 * 24 * 3600);
    }

    #[test]
    fn a_wait_is_overdue_after_ten_minutes() {
        let text = |age| {
            let (waiting, clock) = found(age);
            sentence(&waiting[0], clock)
        };
        assert_eq!(text(599), "2 servers wait for hook preDelete");
        assert!(text(600).starts_with("2 servers wait for hook preDelete, arena-3 for more than 10 minutes"));
    }
}
