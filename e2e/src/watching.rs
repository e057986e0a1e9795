//! Three watches that keep a [`Snapshot`] current and say when it changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use api_types::{GameServer, GameServerSet};
use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::snapshot::Snapshot;

/// How long the first lists may take.
const FIRST_LISTS: Duration = Duration::from_secs(20);

/// What the watches share.
#[derive(Default)]
struct Shared {
    snapshot: Mutex<Snapshot>,
    errors: Mutex<Vec<String>>,
}

/// The watches of one namespace; they end when it is dropped.
pub(crate) struct Watching {
    shared: Arc<Shared>,
    /// Counts initial lists that are complete and changes since.
    ticks: watch::Receiver<u64>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Watching {
    /// Starts the watches and waits for their first complete lists, so that every later change is seen as one.
    pub(crate) async fn start(client: &Client, namespace: &str) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (sender, ticks) = watch::channel(0);
        let (listed, mut lists) = watch::channel(0);
        let follow = Follow {
            client,
            namespace,
            shared: &shared,
            ticks: &sender,
            listed: &listed,
        };
        let tasks = vec![
            follow.start::<Pod>(Snapshot::put_pod, |s| &mut s.pods),
            follow.start::<GameServer>(Snapshot::put_server, |s| &mut s.servers),
            follow.start::<GameServerSet>(Snapshot::put_set, |s| &mut s.sets),
        ];
        let all = lists.wait_for(|count| *count >= tasks.len());
        match tokio::time::timeout(FIRST_LISTS, all).await {
            Ok(listed) => listed.context("the watches ended")?,
            Err(_) => bail!(
                "no first lists: {:?}; are the CRDs installed?",
                lock(&shared.errors)
            ),
        };
        Ok(Self {
            shared,
            ticks,
            _tasks: tasks,
        })
    }

    /// What the watches have shown so far.
    pub(crate) fn snapshot(&self) -> MutexGuard<'_, Snapshot> {
        lock(&self.shared.snapshot)
    }

    /// A receiver that sees every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.ticks.clone()
    }

    /// Errors of the watches themselves; an object this crate can't decode is one.
    pub(crate) fn errors(&self) -> Vec<String> {
        lock(&self.shared.errors).clone()
    }
}

/// What starting a watch takes.
struct Follow<'a> {
    client: &'a Client,
    namespace: &'a str,
    shared: &'a Arc<Shared>,
    ticks: &'a watch::Sender<u64>,
    listed: &'a watch::Sender<usize>,
}

impl Follow<'_> {
    fn start<K>(
        &self,
        put: impl Fn(&mut Snapshot, String, Arc<K>) + Send + 'static,
        all: impl Fn(&mut Snapshot) -> &mut BTreeMap<String, Arc<K>> + Send + 'static,
    ) -> AbortOnDropHandle<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        let (shared, ticks, listed) = (self.shared.clone(), self.ticks.clone(), self.listed.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
            let mut listing = Vec::new();
            while let Some(event) = events.next().await {
                let mut snapshot = lock(&shared.snapshot);
                match event {
                    Ok(watcher::Event::Apply(object)) => {
                        put(&mut snapshot, object.name_any(), Arc::new(object));
                    }
                    Ok(watcher::Event::Delete(object)) => {
                        all(&mut snapshot).remove(&object.name_any());
                    }
                    Ok(watcher::Event::Init) => listing.clear(),
                    Ok(watcher::Event::InitApply(object)) => listing.push(Arc::new(object)),
                    Ok(watcher::Event::InitDone) => {
                        all(&mut snapshot).clear();
                        for object in listing.drain(..) {
                            put(&mut snapshot, object.name_any(), object);
                        }
                        listed.send_modify(|count| *count += 1);
                    }
                    Err(error) => lock(&shared.errors).push(format!("watch of {}: {error}", K::kind(&()))),
                }
                drop(snapshot);
                ticks.send_modify(|count| *count += 1);
            }
        }))
    }
}

/// A poisoned lock only means that another assertion failed first.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
