//! Thin watches: the fields we read, straight from the API server's lines into an indexed [`Store`].
//!
//! Each watch lists its resource in pages (never from a cache that may lag), then follows it with bookmarks.
//! What a watch promises to its handlers:
//! - every change of an object is seen in order, after the store shows it;
//! - an object that vanished while the connection was cut is reported as [`Change::Deleted`] by the list that
//!   follows, an object replaced by another of the same name as `Deleted`, then `Applied`;
//! - an object that cannot be decoded stops nothing: it is reported by `on_malformed` and counted, and the store
//!   keeps the last version that could be read, if it is the same object (UID). Taking that away instead would
//!   look like a deletion, and deletions have consequences; a decision from the old version is stopped by its
//!   precondition.
//!
//! `docs/adr/0003-own-thin-watcher.md` says why kube-runtime's watcher is not used.

mod batch;
mod follow;
mod frame;
mod relist;
mod resync;
mod sink;

use std::sync::Arc;
use std::time::Duration;

use api_types::views::{GameServerSetView, GameServerView, Meta, PodView};
use serde::de::DeserializeOwned;

use self::follow::Follower;
use self::sink::Sink;
use crate::admin::WatchHealth;
use crate::backoff::Backoff;
use crate::key::ObjectKey;
use crate::need::Need;
use crate::resource::{self, ResourceKind};
use crate::runtime::Runtime;
use crate::store::{IndexFn, Store};

/// For [`Watch::batched`], where what changes with each opsState is followed by those who are in no hurry. At 60 changes a second
/// gs-controller took 2.8 % of a core without, 2.0 with 50 ms and 1.5 with this.
pub const BATCH: Duration = Duration::from_millis(100);

/// A type that can be watched: the part of an object we read.
pub trait Watched: DeserializeOwned + Send + Sync + 'static {
    /// Where it is in the API.
    const RESOURCE: ResourceKind;

    /// Its metadata.
    fn meta(&self) -> &Meta;
}

/// Says where types with a field `metadata: Meta` are in the API: `watched! { PodView => resource::POD }`.
#[macro_export]
macro_rules! watched {
    ($($view:ty => $resource:expr),+ $(,)?) => {$(
        impl $crate::watch::Watched for $view {
            const RESOURCE: $crate::resource::ResourceKind = $resource;

            fn meta(&self) -> &api_types::views::Meta {
                &self.metadata
            }
        }
    )+};
}

watched! {
    PodView => resource::POD,
    GameServerView => resource::GAME_SERVER,
    GameServerSetView => resource::GAME_SERVER_SET,
}

/// What happened to a watched object. The store shows it already.
#[derive(Debug)]
pub enum Change<T> {
    /// It is new to us, it changed, or a resync looks at it again.
    Applied {
        /// What the store held before; `None` for a new object and for a resync, which both want a full look.
        old: Option<Arc<T>>,
        /// What it holds now.
        new: Arc<T>,
    },
    /// It is gone, or left the selector; with its last known state.
    Deleted(Arc<T>),
}

// Not derived: that would ask for `T: Clone`.
impl<T> Clone for Change<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Applied { old, new } => Self::Applied {
                old: old.clone(),
                new: Arc::clone(new),
            },
            Self::Deleted(last) => Self::Deleted(Arc::clone(last)),
        }
    }
}

impl<T> Change<T> {
    /// The object: as it is now, or as it was last.
    pub fn object(&self) -> &Arc<T> {
        match self {
            Self::Applied { new, .. } => new,
            Self::Deleted(last) => last,
        }
    }
}

pub(crate) type OnChange<T> = Box<dyn Fn(Change<T>) + Send + Sync>;
pub(crate) type Keep<T> = Box<dyn Fn(&T) -> bool + Send + Sync>;
pub(crate) type OnMalformed = Box<dyn Fn(ObjectKey, String) + Send + Sync>;

/// A watch to be started.
#[must_use = "a watch does nothing until it is started"]
pub struct Watch<T> {
    name: &'static str,
    labels: Option<String>,
    fields: Option<String>,
    session: Duration,
    batch: Duration,
    retry: Backoff,
    keep: Option<Keep<T>>,
    need: Option<Need>,
    indexes: Vec<(&'static str, IndexFn<T>)>,
    on_change: Vec<OnChange<T>>,
    on_malformed: Vec<OnMalformed>,
}

impl<T: Watched> Default for Watch<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Watched> Watch<T> {
    /// A watch of every object of the kind in the runtime's namespaces.
    pub fn new() -> Self {
        Self {
            name: T::RESOURCE.plural,
            labels: None,
            fields: None,
            session: follow::SESSION,
            batch: Duration::ZERO,
            retry: Backoff::WATCH,
            keep: None,
            need: None,
            indexes: Vec::new(),
            on_change: Vec::new(),
            on_malformed: Vec::new(),
        }
    }

    /// Its name in `/readyz`, logs and metrics (label `watch`); the resource's plural by default. Two watches of
    /// one resource need different names.
    pub fn name(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// Only objects this label selector matches. One that stops matching is reported as deleted.
    pub fn labels(self, selector: impl Into<String>) -> Self {
        Self {
            labels: Some(selector.into()),
            ..self
        }
    }

    /// Only objects this field selector matches.
    pub fn fields(self, selector: impl Into<String>) -> Self {
        Self {
            fields: Some(selector.into()),
            ..self
        }
    }

    /// Only objects that `keep` says yes to, for what no selector can ask. The others are decoded and forgotten; one that is no
    /// longer wanted is reported as deleted, as it was last held.
    pub fn keep(self, keep: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        Self {
            keep: Some(Box::new(keep)),
            ..self
        }
    }

    /// Watches only while `need` says so; see [`Need`].
    pub fn while_needed(self, need: &Need) -> Self {
        Self {
            need: Some(need.clone()),
            ..self
        }
    }

    /// How long the server keeps one watch request open, ±10 % (60 s by default, whole seconds, at least 2 s). A
    /// connection that died silently is noticed 5 s later at the latest.
    pub fn session(self, session: Duration) -> Self {
        Self {
            session: session.max(Duration::from_secs(2)),
            ..self
        }
    }

    /// Reads events that come in close succession together, at most once in `interval` (zero, which is the default, reads each when it
    /// comes). One that comes after a silence of `interval` is read at once; any other up to `interval` later. For watches of
    /// what changes often and in which nobody waits for the single change: many events at once take a fraction of the CPU. Not for
    /// one from which something is chosen: what somebody wrote a moment before he asked would not be known.
    pub fn batched(self, interval: Duration) -> Self {
        Self {
            batch: interval,
            ..self
        }
    }

    /// The longest pause between two attempts to go on after the watch was interrupted (10 s by default). What changed while the
    /// API server was away is known this much later than it could be; a request each time is what a shorter one costs.
    pub fn retry_within(self, longest: Duration) -> Self {
        Self {
            retry: Backoff {
                cap: longest.max(Backoff::WATCH.first),
                ..Backoff::WATCH
            },
            ..self
        }
    }

    /// Adds an index for [`Store::by_index`]: objects by the value `value_of` gives, which must be pure.
    pub fn index(
        mut self,
        name: &'static str,
        value_of: impl Fn(&T) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.indexes.push((name, Box::new(value_of)));
        self
    }

    /// Calls `handler` for every change, in order. It runs on the watch's task: it must be quick and must not
    /// block; adding a key to a queue is what it is for. Several handlers are called one after the other.
    pub fn on_change(mut self, handler: impl Fn(Change<T>) + Send + Sync + 'static) -> Self {
        self.on_change.push(Box::new(handler));
        self
    }

    /// Calls `handler` with the key of an object that could not be decoded, and why. The same rules hold.
    pub fn on_malformed(mut self, handler: impl Fn(ObjectKey, String) + Send + Sync + 'static) -> Self {
        self.on_malformed.push(Box::new(handler));
        self
    }

    /// Starts watching in supervised tasks: one for each of the runtime's namespaces (all feed the same store),
    /// or one for the cluster. Queues on the same runtime wait for its first list.
    pub fn start(self, runtime: &Runtime) -> Store<T> {
        let store = Store::new(self.indexes);
        let scopes = match runtime.namespaces() {
            namespaces if T::RESOURCE.namespaced && !namespaces.is_empty() => namespaces.to_vec(),
            _ => vec![String::new()],
        };
        let counted = store.clone();
        let objects = Box::new(move || counted.len());
        let health = Arc::new(WatchHealth::new(self.name, T::RESOURCE.plural, &scopes, objects));
        runtime.health().add_watch(Arc::clone(&health));
        if let Some(need) = &self.need {
            need.attach(Arc::clone(&health));
        }
        let sink = Arc::new(Sink::new(
            store.clone(),
            self.keep,
            self.on_change,
            self.on_malformed,
        ));
        for (scope, namespace) in scopes.into_iter().enumerate() {
            let task = format!("watch {} {namespace}", self.name).trim_end().to_owned();
            let wanted = follow::Wanted {
                labels: self.labels.clone(),
                fields: self.fields.clone(),
                session: self.session,
                batch: self.batch,
                retry: self.retry,
                needed: self.need.as_ref().map(Need::subscribe),
            };
            let follower = Follower::new(
                runtime.separate_client(),
                Arc::clone(&sink),
                follow::Scope {
                    namespace,
                    number: scope,
                    health: Arc::clone(&health),
                },
                wanted,
            );
            runtime.spawn(task, follower.run(runtime.shutdown()));
        }
        if !runtime.resync().is_zero() {
            let task = resync::run(sink, runtime.resync(), runtime.primed(), runtime.shutdown());
            runtime.spawn(format!("resync {}", self.name), task);
        }
        store
    }
}
