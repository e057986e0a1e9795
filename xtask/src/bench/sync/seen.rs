//! When each change was sent, acknowledged and seen on the Pod by a watch of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api_types::keys;
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use tokio_util::task::AbortOnDropHandle;

/// Between two attempts to watch.
const AGAIN: Duration = Duration::from_millis(100);

/// One change of opsState that hasn't been seen on its Pod yet.
#[derive(Debug)]
struct Pending {
    value: &'static str,
    sent: Instant,
    acknowledged: Option<Instant>,
}

/// One change that was seen on its Pod.
#[derive(Debug)]
struct Seen {
    sent: Instant,
    /// From sending to the label, milliseconds.
    from_sending: f64,
    /// From the acknowledgement to the label, milliseconds; 0 where the label was seen before it.
    from_acknowledgement: f64,
}

#[derive(Debug, Default)]
struct Book {
    labels: HashMap<String, String>,
    generations: HashMap<String, i64>,
    pending: HashMap<String, Pending>,
    seen: Vec<Seen>,
    refused: usize,
    backwards: usize,
}

/// Account of all changes of one round.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Book>>);

/// What became of the changes of one round.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// From sending the patch to the label, milliseconds.
    pub(crate) from_sending: Vec<f64>,
    /// From the acknowledgement of the patch to the label, milliseconds; 0 where the label was seen before it.
    pub(crate) from_acknowledgement: Vec<f64>,
    /// The longest from sending to the label of the changes sent in each second since the first, milliseconds; 0 where none was sent.
    pub(crate) longest_by_second: Vec<f64>,
    /// Acknowledged, and never seen on the Pod.
    pub(crate) lost: usize,
    /// Refused by the API server, so not a change.
    pub(crate) refused: usize,
    /// Pods on which an older generation followed a newer one.
    pub(crate) backwards: usize,
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches the Pods' metadata; complete once `count` of them are known.
    pub(crate) fn watch(&self, client: &Client, namespace: &str) -> AbortOnDropHandle<()> {
        let pods: Api<PartialObjectMeta<Pod>> = Api::namespaced(client.clone(), namespace);
        let config = watcher::Config::default().labels(keys::label::OWNER_GSS);
        let ledger = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut events = Box::pin(watcher(pods, config));
            loop {
                match events.try_next().await {
                    Ok(Some(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) => {
                        let label = pod.labels().get(keys::label::GS_OPS_STATE).cloned();
                        let generation = pod.annotations().get(keys::annotation::SYNCED_GENERATION);
                        let generation = generation.and_then(|text| text.parse().ok());
                        ledger.seen(pod.name_any(), label.unwrap_or_default(), generation);
                    }
                    Ok(None) => return,
                    Ok(Some(_)) => {}
                    // Without a growing pause: a witness that comes back late would see a late label.
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            }
        }))
    }

    fn seen(&self, name: String, label: String, generation: Option<i64>) {
        let now = Instant::now();
        let mut book = self.book();
        if let Some(generation) = generation {
            let before = book.generations.insert(name.clone(), generation);
            book.backwards += usize::from(before.is_some_and(|before| before > generation));
        }
        if book
            .pending
            .get(&name)
            .is_some_and(|pending| pending.value == label)
            && let Some(pending) = book.pending.remove(&name)
        {
            let ms = |from: Instant| now.saturating_duration_since(from).as_secs_f64() * 1e3;
            book.seen.push(Seen {
                sent: pending.sent,
                from_sending: ms(pending.sent),
                from_acknowledgement: pending.acknowledged.map_or(0.0, ms),
            });
        }
        book.labels.insert(name, label);
    }

    /// Books a change that is about to be sent, and gives its value: never the one that the Pod shows. `None` while an earlier
    /// change of this server is on its way: overtaken, it could not be told from a lost one.
    pub(crate) fn sending(&self, name: &str) -> Option<&'static str> {
        let mut book = self.book();
        if book.pending.contains_key(name) {
            return None;
        }
        let value = match book.labels.get(name).map(String::as_str) {
            Some("Allocated") => "None",
            _ => "Allocated",
        };
        let pending = Pending {
            value,
            sent: Instant::now(),
            acknowledged: None,
        };
        book.pending.insert(name.to_owned(), pending);
        Some(value)
    }

    pub(crate) fn acknowledged(&self, name: &str) {
        if let Some(pending) = self.book().pending.get_mut(name) {
            pending.acknowledged.get_or_insert_with(Instant::now);
        }
    }

    pub(crate) fn refused(&self, name: &str) {
        let mut book = self.book();
        book.pending.remove(name);
        book.refused += 1;
    }

    /// Names of the Pods seen so far.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.book().labels.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Changes not seen on their Pods yet.
    pub(crate) fn outstanding(&self) -> usize {
        self.book().pending.len()
    }

    /// Waits until every change was seen, `patience` at most, and closes the round's account.
    pub(crate) async fn close(&self, patience: Duration) -> Account {
        let deadline = Instant::now() + patience;
        while self.outstanding() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut book = self.book();
        let seen = std::mem::take(&mut book.seen);
        let lost = std::mem::take(&mut book.pending).len();
        Account {
            from_sending: seen.iter().map(|change| change.from_sending).collect(),
            from_acknowledgement: seen.iter().map(|change| change.from_acknowledgement).collect(),
            longest_by_second: longest_by_second(&seen),
            lost,
            refused: std::mem::take(&mut book.refused),
            backwards: std::mem::take(&mut book.backwards),
        }
    }
}

fn longest_by_second(seen: &[Seen]) -> Vec<f64> {
    let Some(first) = seen.iter().map(|change| change.sent).min() else {
        return Vec::new();
    };
    let mut longest = Vec::new();
    for change in seen {
        let second = (change.sent - first).as_secs() as usize;
        if longest.len() <= second {
            longest.resize(second + 1, 0.0);
        }
        longest[second] = f64::max(longest[second], change.from_sending);
    }
    longest
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Ledger, Seen, longest_by_second};

    #[tokio::test]
    async fn a_change_is_seen_lost_or_refused() {
        let ledger = Ledger::default();
        for name in ["a", "b", "c"] {
            ledger.seen(name.into(), "None".into(), Some(1));
            assert_eq!(ledger.sending(name), Some("Allocated"));
            assert_eq!(ledger.sending(name), None);
        }
        ledger.acknowledged("a");
        ledger.seen("a".into(), "None".into(), Some(2));
        assert_eq!(ledger.outstanding(), 3);
        ledger.seen("a".into(), "Allocated".into(), Some(1));
        ledger.refused("b");
        let account = ledger.close(Duration::ZERO).await;
        assert_eq!(account.from_sending.len(), 1);
        assert_eq!((account.lost, account.refused, account.backwards), (1, 1, 1));
        assert_eq!(ledger.sending("a"), Some("None"));
    }

    #[test]
    fn the_longest_of_each_second_counts_from_the_first_change_sent() {
        let begun = Instant::now();
        let seen = |after_ms, from_sending| Seen {
            sent: begun + Duration::from_millis(after_ms),
            from_sending,
            from_acknowledgement: 0.0,
        };
        // In the order in which they were seen.
        let seen = [seen(3_100, 9.0), seen(0, 7.0), seen(900, 40.0), seen(1_000, 8.0)];
        assert_eq!(longest_by_second(&seen), [40.0, 8.0, 0.0, 9.0]);
        assert!(longest_by_second(&[]).is_empty());
    }
}
