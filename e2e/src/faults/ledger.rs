//! Every request of the controllers, and what became of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::{Call, call};

/// One request.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Milliseconds since the plan began.
    pub at: u64,
    /// Who sent it.
    pub client: String,
    /// What it was about.
    #[serde(flatten)]
    pub call: Call,
    /// Its body; null for reads.
    pub body: Value,
    /// UID it insisted on.
    pub uid: Option<String>,
    /// Version it insisted on.
    pub version: Option<String>,
    /// What the API server answered; `None` when it never got there.
    pub status: Option<u16>,
    /// UID of the object in that answer.
    pub result_uid: Option<String>,
    /// Version of the object in that answer.
    pub result_version: Option<String>,
    /// The fault that struck it.
    pub fault: Option<String>,
    /// How often a request of this kind had come, this one included.
    pub nth: u32,
}

impl Entry {
    /// Whether it changed the cluster.
    pub fn took_effect(&self) -> bool {
        self.call.mutates() && self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Whether it is about game servers: leases and events are not.
    pub fn is_work(&self) -> bool {
        !matches!(self.call.resource.as_str(), "events" | "leases")
    }

    /// The version the object had after it, as a number.
    pub fn revision(&self) -> Option<u64> {
        self.result_version.as_deref()?.parse().ok()
    }
}

/// The requests of one plan, in the order of their arrival.
#[derive(Debug, Clone)]
pub struct Ledger {
    begun: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
    last_write: Arc<Mutex<Instant>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            entries: Arc::default(),
            last_write: Arc::new(Mutex::new(Instant::now())),
        }
    }
}

impl Ledger {
    pub(super) fn begin(&self, client: &str, call: &Call, body: &Value, nth: u32) -> usize {
        let (uid, version) = call::preconditions(body);
        let entry = Entry {
            at: self.begun.elapsed().as_millis() as u64,
            client: client.to_owned(),
            call: call.clone(),
            uid: uid.map(str::to_owned),
            version: version.map(str::to_owned),
            body: body.clone(),
            status: None,
            result_uid: None,
            result_version: None,
            fault: None,
            nth,
        };
        if call.mutates() && entry.is_work() {
            *lock(&self.last_write) = Instant::now();
        }
        let mut entries = self.entries();
        entries.push(entry);
        entries.len() - 1
    }

    pub(super) fn answered(&self, at: usize, status: u16, answer: &Value) {
        let text = |name: &str| {
            let pointer = format!("/metadata/{name}");
            answer
                .pointer(&pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let mut entries = self.entries();
        let entry = &mut entries[at];
        entry.status = Some(status);
        entry.result_uid = text("uid");
        entry.result_version = text("resourceVersion");
    }

    pub(super) fn struck(&self, at: usize, fault: &str) {
        self.entries()[at].fault = Some(fault.to_owned());
    }

    /// What has happened so far.
    pub fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        lock(&self.entries)
    }

    /// When the last mutating request about game servers arrived, whatever became of it.
    pub fn last_write(&self) -> Instant {
        *lock(&self.last_write)
    }

    /// The entries, one JSON object a line.
    pub fn to_lines(&self) -> String {
        let line = |entry: &Entry| serde_json::to_string(entry).unwrap_or_default() + "\n";
        self.entries().iter().map(line).collect()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
