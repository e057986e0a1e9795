//! The queue's rules as a plain state machine: the caller brings the time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Instant;

/// Which keys wait, which run, and which come later.
///
/// A key is in at most one of `ready` and `active`; it may be in `delayed` beside `active` only.
pub(super) struct State<K> {
    ready: VecDeque<K>,
    /// Since when each ready key waits.
    since: HashMap<K, Instant>,
    /// Keys being worked on; `Some` when they were added again meanwhile.
    active: HashMap<K, Option<Instant>>,
    /// Delayed keys by due time. The number keeps equal times apart.
    delayed: BTreeMap<(Instant, u64), K>,
    due: HashMap<K, (Instant, u64)>,
    sequence: u64,
}

impl<K: Clone + Eq + Hash> State<K> {
    pub(super) fn new() -> Self {
        Self {
            ready: VecDeque::new(),
            since: HashMap::new(),
            active: HashMap::new(),
            delayed: BTreeMap::new(),
            due: HashMap::new(),
            sequence: 0,
        }
    }

    /// Adds a key to be worked on now. An earlier `add_at` of the key is superseded: this run sees
    /// everything that one would have seen.
    pub(super) fn add(&mut self, key: K, now: Instant) {
        self.undelay(&key);
        self.make_ready(key, now);
    }

    /// Adds a key to be worked on at `at`, unless it waits already or is due earlier.
    pub(super) fn add_at(&mut self, key: K, at: Instant) {
        if self.since.contains_key(&key) || self.due.get(&key).is_some_and(|(due, _)| *due <= at) {
            return;
        }
        self.undelay(&key);
        self.sequence += 1;
        self.due.insert(key.clone(), (at, self.sequence));
        self.delayed.insert((at, self.sequence), key);
    }

    /// Takes the key that waits longest, with the time since which it waits.
    pub(super) fn take(&mut self, now: Instant) -> Option<(K, Instant)> {
        self.promote(now);
        let key = self.ready.pop_front()?;
        let since = self.since.remove(&key).unwrap_or(now);
        self.active.insert(key.clone(), None);
        Some((key, since))
    }

    /// Ends the work on a key; if it was added meanwhile it waits again, since then.
    pub(super) fn finish(&mut self, key: &K) {
        if let Some(Some(since)) = self.active.remove(key) {
            self.make_ready(key.clone(), since);
        }
    }

    /// When the next delayed key comes due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|((at, _), _)| *at)
    }

    /// Keys that wait to be worked on now.
    pub(super) fn depth(&self) -> usize {
        self.ready.len()
    }

    /// Whether there is no key at all.
    pub(super) fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.active.is_empty() && self.delayed.is_empty()
    }

    fn promote(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry() {
            let at = entry.key().0;
            if at > now {
                break;
            }
            let key = entry.remove();
            self.due.remove(&key);
            self.make_ready(key, at);
        }
    }

    fn make_ready(&mut self, key: K, since: Instant) {
        if let Some(again) = self.active.get_mut(&key) {
            again.get_or_insert(since);
        } else if !self.since.contains_key(&key) {
            self.since.insert(key.clone(), since);
            self.ready.push_back(key);
        }
    }

    fn undelay(&mut self, key: &K) {
        if let Some(entry) = self.due.remove(key) {
            self.delayed.remove(&entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Add(u8),
        AddAfter(u8, u64),
        Take,
        Finish(prop::sample::Index),
        Advance(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (0_u8..5).prop_map(Op::Add),
            3 => (0_u8..5, 0_u64..20).prop_map(|(k, after)| Op::AddAfter(k, after)),
            3 => Just(Op::Take),
            2 => any::<prop::sample::Index>().prop_map(Op::Finish),
            2 => (0_u64..10).prop_map(Op::Advance),
        ]
    }

    /// What is owed to each key, and nothing about how: times are ticks.
    #[derive(Default)]
    struct Model {
        waiting: BTreeMap<u8, u64>,
        running: BTreeMap<u8, Option<u64>>,
        later: BTreeMap<u8, u64>,
    }

    impl Model {
        fn owe(&mut self, key: u8, since: u64) {
            match self.running.get_mut(&key) {
                Some(again) => *again = Some(again.map_or(since, |a| a)),
                None => {
                    self.waiting.entry(key).or_insert(since);
                }
            }
        }

        fn ripen(&mut self, now: u64) {
            let mut ripe: Vec<(u64, u8)> = self
                .later
                .iter()
                .filter(|(_, at)| **at <= now)
                .map(|(k, at)| (*at, *k))
                .collect();
            ripe.sort_unstable();
            for (at, key) in ripe {
                self.later.remove(&key);
                self.owe(key, at);
            }
        }
    }

    proptest! {
        #[test]
        fn state_keeps_the_promises_of_a_naive_model(ops in proptest::collection::vec(op(), 0..120)) {
            let start = Instant::now();
            let at = |tick: u64| start + Duration::from_millis(tick);
            let (mut state, mut model, mut now) = (State::new(), Model::default(), 0_u64);
            for op in ops {
                match op {
                    Op::Add(key) => {
                        state.add(key, at(now));
                        model.later.remove(&key);
                        model.owe(key, now);
                    }
                    Op::AddAfter(key, after) => {
                        state.add_at(key, at(now + after));
                        if !model.waiting.contains_key(&key) {
                            let due = model.later.entry(key).or_insert(now + after);
                            *due = (*due).min(now + after);
                        }
                    }
                    Op::Take => {
                        model.ripen(now);
                        match state.take(at(now)) {
                            Some((key, since)) => {
                                // Never twice at once, never a key nobody asked for.
                                prop_assert!(!model.running.contains_key(&key));
                                let expected = model.waiting.remove(&key);
                                prop_assert_eq!(expected.map(at), Some(since));
                                model.running.insert(key, None);
                            }
                            None => prop_assert!(model.waiting.is_empty(), "left waiting: {:?}", model.waiting),
                        }
                    }
                    Op::Finish(index) => {
                        let running: Vec<u8> = model.running.keys().copied().collect();
                        if !running.is_empty() {
                            let key = running[index.index(running.len())];
                            state.finish(&key);
                            if let Some(Some(since)) = model.running.remove(&key) {
                                model.owe(key, since);
                            }
                        }
                    }
                    Op::Advance(ticks) => now += ticks,
                }
                prop_assert_eq!(state.next_due(), model.later.values().min().map(|tick| at(*tick)));
                let ready: BTreeSet<u8> = state.ready.iter().copied().collect();
                prop_assert_eq!(ready.len(), state.ready.len(), "a key waits twice");
                prop_assert_eq!(state.delayed.len(), state.due.len());
            }
        }
    }

    #[test]
    fn take_is_first_in_first_out() {
        let now = Instant::now();
        let mut state = State::new();
        for key in ["a", "b", "c", "a"] {
            state.add(key, now);
        }
        let order: Vec<_> = std::iter::from_fn(|| state.take(now).map(|(key, _)| key)).collect();
        assert_eq!(order, ["a", "b", "c"]);
    }
}
