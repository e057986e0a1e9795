//! Host ports of the Pods that this process knows of, its own latest ones included.
//!
//! Only a hint for choosing well: which node a Pod may share with another is the scheduler's decision, and no two processes have
//! to agree here.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use controller_kit::{key::ObjectKey, watch::Change};
use network_plugins::{
    Problem,
    decorate::{HostPorts, decorate},
};
use serde_json::Value;

use crate::views::PodView;

/// How long a Pod that was made counts without being seen.
const EXPIRY: Duration = Duration::from_secs(10);

/// Which Pod has which host ports.
#[derive(Debug)]
pub struct HostPortBook(Mutex<Book>);

#[derive(Debug)]
struct Book {
    usage: HostPorts,
    pods: HashMap<ObjectKey, Entry>,
    /// Pods that are being made, the oldest first.
    unseen: VecDeque<(Instant, ObjectKey)>,
}

#[derive(Debug)]
struct Entry {
    ports: Vec<u16>,
    /// When it was made, while no watch has shown it.
    made: Option<Instant>,
}

impl HostPortBook {
    /// Nothing is known yet of the ports from `low` to `high`.
    pub fn new(low: u16, high: u16) -> Self {
        Self(Mutex::new(Book {
            usage: HostPorts::new(low, high),
            pods: HashMap::new(),
            unseen: VecDeque::new(),
        }))
    }

    /// A Pod has come, changed or gone.
    pub fn changed(&self, change: &Change<PodView>) {
        let key = ObjectKey::of(&change.object().metadata);
        match change {
            Change::Applied { new, .. } => self.lock().put(key, new.host_ports.clone(), None),
            Change::Deleted(_) => self.lock().put(key, Vec::new(), None),
        }
    }

    /// Gives a Pod that is about to be made its host ports, where its network asks for some.
    ///
    /// # Errors
    /// As of [`decorate`]: the Pod can be made as it is.
    pub fn decorate(&self, key: &ObjectKey, pod: &mut Value, now: Instant) -> Result<(), Problem> {
        let mut book = self.lock();
        book.expire(now);
        let chosen = decorate(pod, &book.usage)?;
        if !chosen.is_empty() {
            book.unseen.push_back((now, key.clone()));
            book.put(key.clone(), chosen, Some(now));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn put(&mut self, key: ObjectKey, mut ports: Vec<u16>, made: Option<Instant>) {
        if ports.is_empty() && self.pods.is_empty() {
            return;
        }
        // A port of two protocols is one port.
        ports.sort_unstable();
        ports.dedup();
        let before = if ports.is_empty() {
            self.pods.remove(&key)
        } else {
            self.usage.count(&ports);
            self.pods.insert(key, Entry { ports, made })
        };
        if let Some(before) = before {
            self.usage.discount(&before.ports);
        }
    }

    /// Forgets Pods that were never seen: their creation was refused, or they ended at once.
    fn expire(&mut self, now: Instant) {
        while let Some((made, key)) = self.unseen.front()
            && now.saturating_duration_since(*made) >= EXPIRY
        {
            let (made, key) = (*made, key.clone());
            self.unseen.pop_front();
            if self.pods.get(&key).is_some_and(|entry| entry.made == Some(made)) {
                self.put(key, Vec::new(), None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({
            "metadata": { "annotations": {
                "game.kruise.io/network-type": "Kubernetes-HostPort",
                "game.kruise.io/network-conf": r#"[{"name":"ContainerPorts","value":"game:80"}]"#,
            } },
            "spec": { "containers": [{ "name": "game" }] },
        })
    }

    fn given(book: &HostPortBook, name: &str, now: Instant) -> u64 {
        let mut pod = body();
        book.decorate(&ObjectKey::new("games", name), &mut pod, now)
            .unwrap();
        pod["spec"]["containers"][0]["ports"][0]["hostPort"]
            .as_u64()
            .unwrap()
    }

    fn seen(name: &str, ports: &[u16]) -> Arc<PodView> {
        let mut pod = PodView::default();
        pod.metadata.namespace = "games".to_owned();
        pod.metadata.name = name.to_owned();
        pod.host_ports = ports.to_vec();
        Arc::new(pod)
    }

    #[test]
    fn pods_on_their_way_count_until_they_are_seen_gone_or_overdue() {
        let (book, start) = (HostPortBook::new(8000, 8003), Instant::now());
        assert_eq!(
            [given(&book, "a-0", start), given(&book, "a-1", start)],
            [8000, 8001]
        );
        // Seen, and seen again by a resync: it counts once.
        for _ in 0..2 {
            book.changed(&Change::Applied {
                old: None,
                new: seen("a-0", &[8000, 8000]),
            });
        }
        assert_eq!(
            [given(&book, "a-2", start), given(&book, "a-3", start)],
            [8002, 8003]
        );
        book.changed(&Change::Deleted(seen("a-0", &[8000])));
        assert_eq!(given(&book, "a-4", start), 8000);
        // Nobody has seen the others: they are forgotten, and all are free again.
        assert_eq!(given(&book, "a-5", start + EXPIRY), 8000);
    }
}
