//! The arithmetic against OpenKruiseGame's figures, and against a set that catches up.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{
    metadata::{MetadataError, Min},
    *,
};

fn wish(min: &str, max: &str) -> Result<Wish, MetadataError> {
    let metadata = [
        ("minAvailable", min),
        ("maxAvailable", max),
        ("scalerAddress", "x:6000"),
    ];
    let metadata: HashMap<String, String> = metadata
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    Wish::read(&metadata)
}

fn counts(servers: &[(Standing, u32)]) -> Counts {
    let mut counts = Counts::default();
    for (standing, number) in servers {
        (0..*number).for_each(|_| counts.add(standing));
    }
    counts
}

use Standing::{Available, Broken, Coming, Kill, Taken, WaitToBeDeleted};

#[test]
fn the_smallest_number_is_openkruisegames() {
    let table = [
        (10, 2, "0.5", 8),
        (10, 5, "0.5", 0),
        (5, 1, "0.8", 16),
        (20, 10, "0.5", 0),
        (19, 9, "0.5", 10),
        (1, 0, "0.5", 1),
        (2, 0, "0.5", 2),
        (100, 10, "0.2", 23),
        (0, 0, "0.5", 0),
        (7, 7, "3", 3),
        (7, 7, "3.1", 4),
        (7, 7, "1.0", 1),
        (7, 7, "0", 0),
        (7, 7, "", 0),
        (10, 2, "50%", 8),
        (100, 10, "20 %", 23),
        (5, 1, " 80% ", 16),
        (7, 7, "0%", 0),
    ];
    for (total, free, text, expected) in table {
        let min = wish(text, "").unwrap().min;
        assert_eq!(
            min.of(total, free),
            expected,
            "{text} of {total} with {free} free"
        );
    }
}

#[test]
fn metadata_that_makes_no_sense_is_refused_with_what_to_write() {
    for min in [
        "-1",
        "abc",
        "NaN",
        "inf",
        "100%",
        "130%",
        "-5%",
        "%",
        "1e300",
        "3 servers",
    ] {
        let error = wish(min, "").unwrap_err().to_string();
        assert!(
            error.contains(&format!("{min:?}")) && error.contains("30%"),
            "{error}"
        );
    }
    for max in ["-1", "3.5", "many", "10%"] {
        assert!(wish("", max).unwrap_err().to_string().contains("maxAvailable"));
    }
    assert_eq!(wish("", ""), Ok(Wish::default()));
    assert_eq!(
        wish("0.3", "7").unwrap(),
        Wish {
            min: Min::Share(0.3),
            max: Some(7)
        }
    );
}

#[test]
fn replicas_are_as_openkruisegame_says_where_all_servers_are_well() {
    let table = [
        // More are needed; servers that wait to be deleted stay meanwhile.
        (5, counts(&[(Available, 1), (Taken, 4)]), "3", "", 7),
        (
            5,
            counts(&[(Available, 1), (Taken, 3), (WaitToBeDeleted, 1)]),
            "3",
            "",
            7,
        ),
        (5, counts(&[(Taken, 5)]), "0.5", "", 10),
        // The most bounds the fewest.
        (5, counts(&[(Taken, 5)]), "8", "2", 7),
        // Those that wait go, whatever the most says.
        (
            6,
            counts(&[(Available, 3), (Taken, 1), (WaitToBeDeleted, 2)]),
            "3",
            "1",
            4,
        ),
        // Too many.
        (9, counts(&[(Available, 6), (Taken, 3)]), "1", "4", 7),
        // Neither.
        (9, counts(&[(Available, 4), (Taken, 5)]), "1", "4", 9),
        (3, counts(&[(Taken, 3)]), "", "", 3),
        (0, Counts::default(), "", "", 0),
        (0, Counts::default(), "2", "", 2),
        (0, Counts::default(), "0.5", "", 0),
    ];
    for (replicas, counts, min, max, expected) in table {
        let wanted = wanted(replicas, &counts, &wish(min, max).unwrap());
        assert_eq!(wanted.replicas, expected, "{replicas} {counts:?} {min} {max}");
    }
}

#[test]
fn a_server_that_is_not_ready_is_not_available() {
    let three = wish("3", "").unwrap();
    assert_eq!(
        wanted(3, &counts(&[(Available, 2), (Broken, 1)]), &three).replicas,
        4
    );
    // Those that start are waited for, and those that are not even there.
    assert_eq!(
        wanted(3, &counts(&[(Available, 1), (Coming, 1)]), &three).replicas,
        3
    );
}

#[test]
fn a_set_is_active_while_it_has_or_needs_a_server() {
    let active = |replicas, counts: &Counts, min| wanted(replicas, counts, &wish(min, "").unwrap()).active;
    assert!(!active(0, &Counts::default(), ""));
    assert!(!active(0, &Counts::default(), "0"));
    assert!(active(0, &Counts::default(), "0.2"));
    assert!(active(0, &Counts::default(), "1"));
    assert!(active(1, &Counts::default(), ""));
    assert!(active(1, &counts(&[(Broken, 1)]), ""));
    assert!(!active(2, &counts(&[(WaitToBeDeleted, 2)]), ""));
    assert!(
        !active(0, &counts(&[(Available, 2)]), ""),
        "they are being taken away"
    );
}

#[test]
fn players_that_keep_servers_beyond_replicas_are_counted_with_them() {
    // Three wanted, five taken and kept: two free ones need seven.
    let two = wish("2", "").unwrap();
    assert_eq!(wanted(3, &counts(&[(Taken, 5)]), &two).replicas, 7);
    assert_eq!(wanted(3, &counts(&[(Taken, 5)]), &Wish::default()).replicas, 3);
}

#[test]
fn a_killed_server_changes_nothing_before_and_after_replicas_follow() {
    let two = wish("2", "2").unwrap();
    let before = counts(&[(Available, 2), (Taken, 2), (Kill, 1)]);
    assert_eq!(wanted(5, &before, &two).replicas, 5);
    assert_eq!(wanted(4, &before, &two).replicas, 4);
    let after = counts(&[(Available, 2), (Taken, 2)]);
    assert_eq!(wanted(4, &after, &two).replicas, 4);
}

prop_compose! {
    fn sets()(available in 0_u32..12, coming in 0_u32..6, broken in 0_u32..4, taken in 0_u32..12, waiting in 0_u32..5) -> Counts {
        counts(&[(Available, available), (Coming, coming), (Broken, broken), (Taken, taken), (WaitToBeDeleted, waiting)])
    }
}

fn wishes() -> impl Strategy<Value = Wish> {
    let min = prop_oneof![
        Just(String::new()),
        (0_u32..10).prop_map(|number| number.to_string()),
        (1_u32..90).prop_map(|percent| format!("{percent}%")),
    ];
    let max = prop_oneof![
        Just(String::new()),
        (0_u32..15).prop_map(|number| number.to_string())
    ];
    (min, max).prop_map(|(min, max)| wish(&min, &max).unwrap())
}

/// One step of a set that catches up with its replicas, as gss-controller does; `None` when it has.
fn step(replicas: u32, counts: &mut Counts) -> Option<()> {
    match counts.total().cmp(&replicas) {
        std::cmp::Ordering::Less => counts.add(&Coming),
        std::cmp::Ordering::Greater => {
            // Those that wait first, those with players never.
            let victims = [WaitToBeDeleted, Coming, Available, Broken];
            let victim = victims.into_iter().find(|standing| counts.of(*standing) > 0)?;
            counts.subtract(&victim);
        }
        std::cmp::Ordering::Equal => {
            if counts.of(Coming) == 0 {
                return None;
            }
            counts.subtract(&Coming);
            counts.add(&Available);
        }
    }
    Some(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn what_is_wanted_is_the_same_at_every_moment_while_the_set_catches_up(counts in sets(), wish in wishes()) {
        let goal = wanted(counts.total() as i32, &counts, &wish).replicas as i32;
        let mut now = counts;
        let first = wanted(goal, &now, &wish);
        while step(goal.unsigned_abs(), &mut now).is_some() {
            prop_assert_eq!(wanted(goal, &now, &wish), first, "{:?} on the way to {}", now, goal);
        }
    }

    #[test]
    fn asking_and_following_comes_to_rest(counts in sets(), wish in wishes()) {
        let mut now = counts;
        let mut replicas = counts.total() as i32;
        for round in 0.. {
            while step(replicas.unsigned_abs(), &mut now).is_some() {}
            let next = wanted(replicas, &now, &wish).replicas as i32;
            if next == replicas {
                break;
            }
            replicas = next;
            prop_assert!(round < 6, "never at rest: {now:?} {replicas}");
        }
        // At rest, what was asked for is there.
        let free = i64::from(now.of(Available) + now.of(Coming));
        let total = i64::from(now.total());
        let min = wish.min.of(total, free).min(wish.max.unwrap_or(i64::MAX));
        prop_assert!(free >= min, "{now:?}");
        if let Some(max) = wish.max {
            prop_assert!(free <= max || now.of(WaitToBeDeleted) > 0, "{now:?}");
        }
    }

    /// The model: OpenKruiseGame's rules in its own order, for sets at rest whose servers are all well.
    #[test]
    fn a_set_at_rest_gets_openkruisegames_answer(available in 0_u32..20, taken in 0_u32..20, waiting in 0_u32..6, wish in wishes()) {
        let counts = counts(&[(Available, available), (Taken, taken), (WaitToBeDeleted, waiting)]);
        let (total, none) = (f64::from(counts.total()), f64::from(available));
        let spec = f64::from(counts.total());
        let mut min = match wish.min {
            Min::None => 0.0,
            Min::Number(number) => number as f64,
            Min::Share(part) => {
                let delta = (total * part - none) / (1.0 - part);
                if delta <= 0.0 { 0.0 } else { ((delta * 100.0).round() / 100.0).ceil() + none }
            }
        };
        let max = wish.max.map(|max| max as f64);
        if let Some(max) = max && min > max {
            min = max;
        }
        let value = if none < min {
            spec + min - none
        } else if waiting > 0 {
            spec - f64::from(waiting)
        } else if let Some(max) = max && none > max {
            spec + max - none
        } else {
            spec
        };
        prop_assert_eq!(wanted(counts.total() as i32, &counts, &wish).replicas, value as i64);
    }
}
