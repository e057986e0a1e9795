//! Kubernetes events: what `kubectl describe` shows of why something happened.
//!
//! Publishing never blocks and never takes capacity from real writes: the queue is bounded, equal events are
//! folded into one with a count for ten minutes, and at most `--event-qps` a second (up to `--event-burst` more after
//! a quiet time) are written, one after the other with pauses in which the API server can do something else. What does
//! not fit is dropped and counted in `gamekeeper_events_dropped_total`.
//!
//! An event costs the API server what a change of a Pod costs it: at 50 allocations a second, 20 events a second and
//! 200 at once were a third of all writes, and allocations waited for them.

mod aggregate;

use std::borrow::Cow;
use std::time::{Duration, Instant};

use api_types::views::Meta;
use kube::Client;
use metrics::counter;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::aggregate::{Aggregator, Bucket, Entry, Fingerprint, Written};
use crate::args::EventArgs;
use crate::metrics::{EVENTS_DROPPED, EVENTS_PUBLISHED};
use crate::pace::pause_after;
use crate::resource::{EVENT, ResourceKind};
use crate::supervise::{Phase, Supervisor};
use crate::write::{Created, MetaOnly, PatchKind, Precondition, Target, WriteError, Writer};

const QUEUE: usize = 1024;
/// How long the last events may take when the process stops.
const FLUSH: Duration = Duration::from_secs(5);
/// The API server's limits.
const MAX_NOTE: usize = 1024;
const MAX_REASON: usize = 128;
const MAX_NAME: usize = 253;

/// The object an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regarding {
    /// Its kind.
    pub kind: String,
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its namespace, where the event is written too; empty for cluster-scoped objects, whose events are
    /// written to `default`.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl Regarding {
    /// The object of kind `resource` with this metadata.
    pub fn object(resource: &ResourceKind, meta: &Meta) -> Self {
        Self {
            kind: resource.kind.to_owned(),
            api_version: resource.api_version(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
        }
    }
}

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// To which object.
    pub regarding: Regarding,
    /// Whether someone should look at it.
    pub warning: bool,
    /// CamelCase word for machines, at most 128 bytes.
    pub reason: Cow<'static, str>,
    /// Sentence for people; cut at 1024 bytes.
    pub note: String,
}

impl EventRecord {
    /// An event of type Normal.
    pub fn normal(
        regarding: Regarding,
        reason: impl Into<Cow<'static, str>>,
        note: impl Into<String>,
    ) -> Self {
        Self {
            regarding,
            warning: false,
            reason: reason.into(),
            note: note.into(),
        }
    }

    /// An event of type Warning.
    pub fn warning(
        regarding: Regarding,
        reason: impl Into<Cow<'static, str>>,
        note: impl Into<String>,
    ) -> Self {
        Self {
            warning: true,
            ..Self::normal(regarding, reason, note)
        }
    }
}

/// Where events are published. Cloning shares the queue.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<EventRecord>,
}

impl Events {
    /// Publishes an event, or drops and counts it when too many wait.
    pub fn publish(&self, record: EventRecord) {
        if self.queue.try_send(record).is_err() {
            dropped("queue_full");
        }
    }

    /// A handle and the other end of its queue, for tests of what a controller publishes.
    pub fn channel() -> (Self, mpsc::Receiver<EventRecord>) {
        let (queue, published) = mpsc::channel(QUEUE);
        (Self { queue }, published)
    }

    pub(crate) fn start(
        component: &'static str,
        client: Client,
        limits: EventArgs,
        supervisor: &Supervisor,
    ) -> Self {
        let (events, published) = Self::channel();
        let publisher = Publisher {
            writer: Writer::new(client, component),
            component,
            limits,
            instance: std::env::var("HOSTNAME").unwrap_or_else(|_| component.to_owned()),
            folded: Aggregator::default(),
            sequence: 0,
        };
        // Held by the task as well, so that the queue never closes under it.
        let open = events.clone();
        let drained = supervisor.drained();
        supervisor.spawn(Phase::AfterDrain, "events".into(), async move {
            publisher.run(published, drained).await;
            drop(open);
            Ok(())
        });
        events
    }
}

struct Publisher {
    writer: Writer,
    component: &'static str,
    limits: EventArgs,
    instance: String,
    folded: Aggregator,
    sequence: u16,
}

impl Publisher {
    async fn run(mut self, mut published: mpsc::Receiver<EventRecord>, drained: CancellationToken) {
        let mut bucket = Bucket::new(
            self.limits.event_qps,
            f64::from(self.limits.event_burst),
            Instant::now(),
        );
        let mut not_before = Instant::now();
        while !drained.is_cancelled() {
            while let Ok(record) = published.try_recv() {
                self.take_in(record);
            }
            let wait = if self.folded.has_pending() {
                let now = Instant::now();
                let due = match not_before.saturating_duration_since(now) {
                    Duration::ZERO => bucket.take(now),
                    pause => Err(pause),
                };
                match due {
                    Ok(()) => {
                        self.write_next().await;
                        not_before = Instant::now() + pause_after(now.elapsed());
                        continue;
                    }
                    Err(wait) => wait,
                }
            } else {
                Duration::MAX
            };
            tokio::select! {
                () = drained.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
                record = published.recv() => record.into_iter().for_each(|record| self.take_in(record)),
            }
        }
        while let Ok(record) = published.try_recv() {
            self.take_in(record);
        }
        let last = async { while self.write_next().await {} };
        if tokio::time::timeout(FLUSH, last).await.is_err() {
            dropped("shutdown");
        }
    }

    fn take_in(&mut self, record: EventRecord) {
        if self.limits.event_qps <= 0.0 {
            return dropped("switched_off");
        }
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        if !self.folded.record(record, Instant::now(), &now) {
            dropped("too_many_pending");
        }
    }

    /// Writes one event; false when none waits.
    async fn write_next(&mut self) -> bool {
        let Some((fingerprint, entry)) = self.folded.next() else {
            return false;
        };
        let result = match &entry.written {
            Some(written) => self.update(&entry, written).await,
            None => self.create(&fingerprint, &entry).await,
        };
        match result {
            Ok(()) => counter!(EVENTS_PUBLISHED, "outcome" => "ok").increment(1),
            Err(WriteError::NotFound | WriteError::Conflict(_)) if entry.written.is_some() => {
                self.folded.lost(&fingerprint);
            }
            Err(error) => {
                // Never retried: an overloaded API server has better things to do.
                tracing::debug!(%error, reason = %entry.record.reason, "event not written");
                dropped("write_failed");
            }
        }
        true
    }

    async fn create(&mut self, fingerprint: &Fingerprint, entry: &Entry) -> Result<(), WriteError> {
        self.sequence = self.sequence.wrapping_add(1);
        let nanos = jiff::Timestamp::now().as_nanosecond() as u64;
        let suffix = format!(".{nanos:x}{:04x}", self.sequence);
        let name = format!(
            "{}{suffix}",
            cut(&entry.record.regarding.name, MAX_NAME - suffix.len())
        );
        let body = self.body(&name, entry);
        let target = Target::new(EVENT, namespace(entry), &name);
        if let Created::New(MetaOnly { uid, .. }) = self.writer.create(&target, &body).await? {
            self.folded.written(fingerprint, Written { name, uid });
        }
        Ok(())
    }

    async fn update(&self, entry: &Entry, written: &Written) -> Result<(), WriteError> {
        let target = Target::new(EVENT, namespace(entry), &written.name);
        let patch = json!({ "count": entry.count, "lastTimestamp": entry.last });
        let precondition = Precondition::uid(&written.uid);
        self.writer
            .patch::<MetaOnly>(&target, PatchKind::Merge, precondition, patch)
            .await
            .map(drop)
    }

    fn body(&self, name: &str, entry: &Entry) -> Value {
        let EventRecord {
            regarding,
            warning,
            reason,
            note,
        } = &entry.record;
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "name": name, "namespace": namespace(entry) },
            "involvedObject": {
                "kind": regarding.kind,
                "apiVersion": regarding.api_version,
                "namespace": regarding.namespace,
                "name": regarding.name,
                "uid": regarding.uid,
            },
            "type": if *warning { "Warning" } else { "Normal" },
            "reason": cut(reason, MAX_REASON),
            "message": cut(note, MAX_NOTE),
            "count": entry.count,
            "firstTimestamp": entry.first,
            "lastTimestamp": entry.last,
            "source": { "component": self.component },
            "reportingComponent": self.component,
            "reportingInstance": cut(&self.instance, MAX_REASON),
        })
    }
}

fn namespace(entry: &Entry) -> &str {
    match entry.record.regarding.namespace.as_str() {
        "" => "default",
        namespace => namespace,
    }
}

/// At most `max` bytes of `text`, ending at a character.
fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn dropped(why: &'static str) {
    counter!(EVENTS_DROPPED, "reason" => why).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_ends_at_a_character() {
        assert_eq!(cut("ab€", 4), "ab");
        assert_eq!(cut("ab€", 5), "ab€");
    }
}
