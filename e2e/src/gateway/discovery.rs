//! The watches, and the files that follow them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, stream};
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::backends::{Backend, Objects, backends};
use super::files::{Doors, Empty, bootstrap, files};
use crate::ports;

/// What to follow, and where to write.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Namespace of the Ingresses.
    pub namespace: String,
    /// Their class; others are another gateway's.
    pub class: String,
    /// What becomes of a server that takes no new connections.
    pub empty: Empty,
    /// Folder of the files.
    pub folder: PathBuf,
    /// Port of Envoy's own pages on 127.0.0.1.
    pub admin: u16,
}

/// What the files say now.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What is served.
    pub backends: Vec<Backend>,
    /// Port on 127.0.0.1 for HTTP and WebSocket.
    pub http: u16,
    /// Port on 127.0.0.1 for plain TCP, for each cluster there ever was.
    pub tcp: BTreeMap<String, u16>,
    /// Why nothing is written any more.
    pub failure: Option<String>,
}

impl Seen {
    /// The backend of `host`, where there is one.
    pub fn backend(&self, host: &str) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.host == host)
    }
}

/// The running discovery; it ends when it is dropped.
pub struct Discovery {
    seen: watch::Receiver<Seen>,
    _task: AbortOnDropHandle<()>,
}

impl Discovery {
    /// Writes Envoy's first files, and starts to follow the cluster. Gives the file that Envoy starts from too.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn start(client: &Client, settings: Settings) -> Result<(Self, PathBuf)> {
        let mut writer = Writer {
            doors: Doors {
                http: ports::free()?,
                tcp: BTreeMap::new(),
            },
            written: BTreeMap::new(),
            settings,
        };
        let start = PathBuf::from("bootstrap.json");
        let first = bootstrap(&writer.settings.folder, writer.settings.admin);
        writer.write(&start, &first.to_string())?;
        // Envoy is content with what isn't served yet, but not with a file that isn't there.
        let (sender, seen) = watch::channel(writer.update(Vec::new())?);
        let start = writer.settings.folder.join(start);
        let client = client.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = follow(&client, &mut writer, &sender).await {
                sender.send_modify(|seen| seen.failure = Some(format!("{error:#}")));
            }
        });
        let task = AbortOnDropHandle::new(task);
        Ok((Self { seen, _task: task }, start))
    }

    /// What the files say now.
    pub fn now(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until the files say what `holds` wants.
    ///
    /// # Errors
    /// After `limit`, naming `what`, and when the files can't be written.
    pub async fn until(&self, what: &str, limit: Duration, holds: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let mut seen = self.seen.clone();
        let wanted = seen.wait_for(|seen| seen.failure.is_some() || holds(seen));
        let Ok(found) = tokio::time::timeout(limit, wanted).await else {
            bail!(
                "the gateway doesn't know {what} after {limit:?}: {:?}",
                self.now().backends
            );
        };
        let found = found.context("discovery has ended")?.clone();
        match &found.failure {
            Some(failure) => bail!("discovery has ended: {failure}"),
            None => Ok(found),
        }
    }
}

/// One change of one of the three kinds.
type Change = Box<dyn FnOnce(&mut Objects, &mut Lists) + Send>;

/// Kinds whose first list is complete.
type Lists = usize;
const KINDS: Lists = 3;

async fn follow(client: &Client, writer: &mut Writer, sender: &watch::Sender<Seen>) -> Result<()> {
    let namespace = writer.settings.namespace.clone();
    let mut changes = stream::select_all([
        changes(client, &namespace, |objects| &mut objects.ingresses),
        changes(client, &namespace, |objects| &mut objects.services),
        changes(client, &namespace, |objects| &mut objects.slices),
    ]);
    let (mut objects, mut listed) = (Objects::default(), 0);
    while let Some(change) = changes.next().await {
        change(&mut objects, &mut listed);
        // A part of the picture would take servers away that are there.
        if listed < KINDS {
            continue;
        }
        let found = backends(&objects, &namespace, &writer.settings.class);
        if found != sender.borrow().backends {
            sender.send_replace(writer.update(found)?);
        }
    }
    bail!("the watches have ended")
}

fn changes<K>(
    client: &Client,
    namespace: &str,
    table: fn(&mut Objects) -> &mut BTreeMap<String, K>,
) -> stream::BoxStream<'static, Change>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let mut listing = BTreeMap::new();
    let mut first = true;
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let changes = events.filter_map(move |event| {
        let change: Option<Change> = match event {
            Ok(watcher::Event::Apply(object)) => Some(Box::new(move |objects, _| {
                table(objects).insert(object.name_any(), object);
            })),
            Ok(watcher::Event::Delete(object)) => Some(Box::new(move |objects, _| {
                table(objects).remove(&object.name_any());
            })),
            Ok(watcher::Event::Init) => {
                listing.clear();
                None
            }
            Ok(watcher::Event::InitApply(object)) => {
                listing.insert(object.name_any(), object);
                None
            }
            Ok(watcher::Event::InitDone) => {
                let (all, is_first) = (std::mem::take(&mut listing), std::mem::take(&mut first));
                Some(Box::new(move |objects, lists| {
                    *table(objects) = all;
                    *lists += usize::from(is_first);
                }))
            }
            // The watch begins again by itself, with a pause.
            Err(_) => None,
        };
        std::future::ready(change)
    });
    changes.boxed()
}

/// Writes what differs from what is there.
struct Writer {
    settings: Settings,
    doors: Doors,
    written: BTreeMap<PathBuf, String>,
}

impl Writer {
    fn update(&mut self, found: Vec<Backend>) -> Result<Seen> {
        for backend in &found {
            if !self.doors.tcp.contains_key(&backend.cluster) {
                // Kept for good: a server that comes again is found where it was.
                self.doors.tcp.insert(backend.cluster.clone(), ports::free()?);
            }
        }
        for (file, content) in files(&self.settings.folder, &found, &self.doors, self.settings.empty) {
            self.write(&file, &content.to_string())?;
        }
        Ok(Seen {
            backends: found,
            http: self.doors.http,
            tcp: self.doors.tcp.clone(),
            failure: None,
        })
    }

    fn write(&mut self, file: &Path, content: &str) -> Result<()> {
        if self.written.get(file).is_some_and(|known| known == content) {
            return Ok(());
        }
        let folder = &self.settings.folder;
        let mut fresh = tempfile::NamedTempFile::new_in(folder)
            .with_context(|| format!("can't write to {}", folder.display()))?;
        fresh.write_all(content.as_bytes())?;
        // Envoy follows moves: it never reads a file that is half written.
        fresh.persist(folder.join(file))?;
        self.written.insert(file.to_owned(), content.to_owned());
        Ok(())
    }
}
