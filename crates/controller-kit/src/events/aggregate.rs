//! Which events are to be written, folded: equal ones become a count. Plain data, the caller brings the time.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::EventRecord;

/// Equal events within this time of the first are one event with a count.
const WINDOW: Duration = Duration::from_mins(10);
/// Events waiting to be written; more are dropped.
const MAX_PENDING: usize = 1024;
/// Events remembered for folding; beyond, those already written are forgotten.
const MAX_ENTRIES: usize = 4096;

/// What makes two events equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint {
    uid: String,
    reason: String,
    note: String,
}

impl Fingerprint {
    fn of(record: &EventRecord) -> Self {
        Self {
            uid: record.regarding.uid.clone(),
            reason: record.reason.clone().into_owned(),
            note: record.note.clone(),
        }
    }
}

/// The API object that shows an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) uid: String,
}

/// One event with its count. `first` and `last` are RFC 3339 times.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) record: EventRecord,
    pub(super) count: u32,
    pub(super) first: String,
    pub(super) last: String,
    pub(super) written: Option<Written>,
    since: Instant,
    queued: bool,
}

#[derive(Default)]
pub(super) struct Aggregator {
    entries: HashMap<Fingerprint, Entry>,
    pending: VecDeque<Fingerprint>,
}

impl Aggregator {
    /// Takes an event in. False when it had to be dropped.
    pub(super) fn record(&mut self, record: EventRecord, now: Instant, wall: &str) -> bool {
        let fingerprint = Fingerprint::of(&record);
        if let Some(entry) = self.entries.get_mut(&fingerprint)
            && now.saturating_duration_since(entry.since) < WINDOW
        {
            entry.count = entry.count.saturating_add(1);
            wall.clone_into(&mut entry.last);
            return self.queue(&fingerprint);
        }
        if self.pending.len() >= MAX_PENDING {
            return false;
        }
        self.make_room(now);
        let entry = Entry {
            record,
            count: 1,
            first: wall.to_owned(),
            last: wall.to_owned(),
            written: None,
            since: now,
            // An expired entry of the same event may still wait in `pending`.
            queued: self.entries.get(&fingerprint).is_some_and(|old| old.queued),
        };
        self.entries.insert(fingerprint.clone(), entry);
        self.queue(&fingerprint)
    }

    /// The next event to write, as it stands now.
    pub(super) fn next(&mut self) -> Option<(Fingerprint, Entry)> {
        let fingerprint = self.pending.pop_front()?;
        let entry = self.entries.get_mut(&fingerprint)?;
        entry.queued = false;
        Some((fingerprint, entry.clone()))
    }

    /// Whether anything waits to be written.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Remembers the object that shows an event, so that its count can be raised.
    pub(super) fn written(&mut self, fingerprint: &Fingerprint, written: Written) {
        if let Some(entry) = self.entries.get_mut(fingerprint) {
            entry.written = Some(written);
        }
    }

    /// The object is gone (events live one hour by default): the event is written anew.
    pub(super) fn lost(&mut self, fingerprint: &Fingerprint) -> bool {
        if let Some(entry) = self.entries.get_mut(fingerprint) {
            entry.written = None;
        }
        self.queue(fingerprint)
    }

    fn queue(&mut self, fingerprint: &Fingerprint) -> bool {
        let Some(entry) = self.entries.get_mut(fingerprint) else {
            return false;
        };
        if entry.queued {
            return true;
        }
        if self.pending.len() >= MAX_PENDING {
            return false;
        }
        entry.queued = true;
        self.pending.push_back(fingerprint.clone());
        true
    }

    fn make_room(&mut self, now: Instant) {
        if self.entries.len() >= MAX_ENTRIES {
            self.entries
                .retain(|_, e| e.queued || now.saturating_duration_since(e.since) < WINDOW);
        }
        if self.entries.len() >= MAX_ENTRIES {
            // Costs only the folding of events that repeat.
            self.entries.retain(|_, entry| entry.queued);
        }
    }
}

/// A token bucket: `burst` at once, `rate` a second in the long run.
pub(super) struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: f64, burst: f64, now: Instant) -> Self {
        Self {
            rate,
            burst,
            tokens: burst,
            at: now,
        }
    }

    /// Takes a token, or says how long until there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Regarding;
    use super::*;

    fn event(uid: usize, note: &str) -> EventRecord {
        let regarding = Regarding {
            kind: "GameServer".into(),
            api_version: "game.kruise.io/v1alpha1".into(),
            namespace: "games".into(),
            name: format!("lobby-{uid}"),
            uid: uid.to_string(),
        };
        EventRecord::normal(regarding, "Created", note)
    }

    #[test]
    fn equal_events_are_one_with_a_count_and_wait_once() {
        let (mut events, now) = (Aggregator::default(), Instant::now());
        for _ in 0..3 {
            assert!(events.record(event(1, "a"), now, "t"));
        }
        assert!(events.record(event(1, "b"), now, "t"));
        let counts: Vec<u32> = std::iter::from_fn(|| events.next().map(|(_, entry)| entry.count)).collect();
        assert_eq!(counts, [3, 1]);
    }

    #[test]
    fn a_repeat_updates_the_written_object_and_a_lost_one_is_made_anew() {
        let (mut events, now) = (Aggregator::default(), Instant::now());
        events.record(event(1, "a"), now, "t1");
        let (fingerprint, _) = events.next().unwrap();
        let written = Written {
            name: "lobby-1.x".into(),
            uid: "u".into(),
        };
        events.written(&fingerprint, written.clone());
        events.record(event(1, "a"), now, "t2");
        let (_, entry) = events.next().unwrap();
        assert_eq!(
            (entry.count, entry.written, entry.last.as_str()),
            (2, Some(written), "t2")
        );
        events.lost(&fingerprint);
        let (_, entry) = events.next().unwrap();
        assert_eq!((entry.count, entry.written), (2, None));
    }

    #[test]
    fn after_the_window_a_repeat_is_a_new_event() {
        let (mut events, now) = (Aggregator::default(), Instant::now());
        events.record(event(1, "a"), now, "t1");
        events.next();
        events.record(event(1, "a"), now + WINDOW, "t2");
        let (_, entry) = events.next().unwrap();
        assert_eq!((entry.count, entry.written), (1, None));
    }

    #[test]
    fn memory_is_bounded_whatever_is_published() {
        let (mut events, now) = (Aggregator::default(), Instant::now());
        let taken = (0..3 * MAX_PENDING)
            .filter(|n| events.record(event(*n, ""), now, "t"))
            .count();
        assert_eq!(taken, MAX_PENDING);
        while events.next().is_some() {}
        for n in 0..3 * MAX_ENTRIES {
            events.record(event(n, "x"), now, "t");
            events.next();
            assert!(events.entries.len() <= MAX_ENTRIES);
        }
    }

    #[test]
    fn bucket_gives_the_burst_then_the_rate() {
        let now = Instant::now();
        let mut bucket = Bucket::new(20.0, 200.0, now);
        assert_eq!((0..300).filter(|_| bucket.take(now).is_ok()).count(), 200);
        assert_eq!(bucket.take(now), Err(Duration::from_millis(50)));
        let later = now + Duration::from_secs(2);
        assert_eq!((0..300).filter(|_| bucket.take(later).is_ok()).count(), 40);
    }
}
