//! The arithmetic (pure).

use super::{Counts, Standing, Wish};

/// What a set should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Whether there is anything to scale.
    pub active: bool,
    /// Replicas.
    pub replicas: i64,
}

/// What a set with `replicas` in its spec and these servers should have.
///
/// The answer rests on what the set will be when it has caught up with its replicas, not on how far it is: servers that are still
/// to be made count as coming, and of those that are still to be taken away, in the order in which they are chosen, none counts. So
/// it is the same however often it is asked while the set catches up; counted as they are, servers that take a minute to start
/// would be asked for again every 15 s.
pub(crate) fn wanted(replicas: i32, counts: &Counts, wish: &Wish) -> Wanted {
    let count = |standing| i64::from(counts.of(standing));
    let replicas = i64::from(replicas.max(0));
    let there = i64::from(counts.total());
    let missing = (replicas - there).max(0);
    let mut surplus = (there - replicas).max(0);
    let mut left = |count: i64| {
        let taken = count.min(surplus);
        surplus -= taken;
        count - taken
    };
    left(count(Standing::Kill));
    let waiting = left(count(Standing::WaitToBeDeleted));
    let free = left(count(Standing::Available) + count(Standing::Coming) + missing);
    let broken = left(count(Standing::Broken));
    // Servers with players that are there although they are not wanted: more than replicas, and they stay.
    let held = surplus;
    let total = free + broken + waiting + count(Standing::Taken);
    let mut min = wish.min.of(total, free);
    if let Some(max) = wish.max {
        min = min.min(max);
    }
    let replicas = if free < min {
        replicas + held + min - free
    } else if waiting > 0 {
        (replicas - waiting).max(0)
    } else if let Some(max) = wish.max.filter(|max| free > *max) {
        (replicas + max - free).max(0)
    } else {
        replicas
    };
    Wanted {
        active: wish.min.is_some() || total > waiting,
        replicas,
    }
}
