//! One test's world: its namespace, and waiting for what it should come to look like.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use api_types::{GameServer, GameServerSet};
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use crate::watching::Watching;
use crate::{Snapshot, account, cluster, reasons};

/// How long a condition may take on a busy machine with two cores. Nothing waits this long when all is well.
const LIMIT: Duration = Duration::from_secs(60);
/// Keeps the namespace of a failed test for a look.
const KEEP: &str = "GAMEKEEPER_TEST_KEEP";

/// A namespace under test.
pub struct World {
    /// An administrator's client.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
    watching: Watching,
}

/// Runs `test` in a namespace of its own, which is deleted afterwards. A failure is printed with all there is to know about it.
///
/// # Errors
/// Those of the test, and of making the namespace.
pub async fn in_namespace(test: impl AsyncFnOnce(&World) -> Result<()>) -> Result<()> {
    let client = cluster::client().await?;
    let wanted: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "e2e-"}}))?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespaces
        .create(&PostParams::default(), &wanted)
        .await
        .context("can't make a namespace")?
        .name_any();
    let world = World::new(client, namespace).await?;
    let passed = match run(&world, test).await {
        Ok(()) => reasons::check(&world).await,
        failed => failed,
    };
    if passed.is_ok() || std::env::var_os(KEEP).is_none() {
        world.release_all().await?;
        // It goes in the background: the next test needn't wait for it.
        ignore_absence(
            namespaces
                .delete(&world.namespace, &DeleteParams::default())
                .await,
        )?;
    }
    passed
}

/// Runs `test` in namespace `default`, for manifests that name it; set `set` is deleted before and afterwards.
///
/// # Errors
/// Those of the test, and when the set doesn't go away.
pub async fn in_default(set: &str, test: impl AsyncFnOnce(&World) -> Result<()>) -> Result<()> {
    let world = World::new(cluster::client().await?, "default".to_owned()).await?;
    world.remove_set(set).await?;
    let passed = run(&world, test).await;
    if passed.is_ok() || std::env::var_os(KEEP).is_none() {
        passed.and(world.remove_set(set).await)
    } else {
        passed
    }
}

async fn run(world: &World, test: impl AsyncFnOnce(&World) -> Result<()>) -> Result<()> {
    let outcome = AssertUnwindSafe(test(world)).catch_unwind().await;
    if !matches!(outcome, Ok(Ok(()))) {
        eprintln!("{}", account::of(world).await);
    }
    match outcome {
        Ok(result) => result,
        // The assertion has printed its own message; cleaning up comes before the test ends.
        Err(panic) => bail!("an assertion failed: {}", message(panic.as_ref())),
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("see above")
}

impl World {
    /// The namespace as it is; whoever asks cleans up. Tests have [`in_namespace`] and [`in_default`].
    ///
    /// # Errors
    /// When the watches don't start.
    pub async fn new(client: Client, namespace: String) -> Result<Self> {
        let watching = Watching::start(&client, &namespace).await?;
        Ok(Self {
            client,
            namespace,
            watching,
        })
    }

    /// The namespace's Pods.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The namespace's GameServers.
    pub fn servers(&self) -> Api<GameServer> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The namespace's GameServerSets.
    pub fn sets(&self) -> Api<GameServerSet> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// What the watches show now.
    pub fn now(&self) -> Snapshot {
        self.watching.snapshot().clone()
    }

    pub(crate) fn watch_errors(&self) -> Vec<String> {
        self.watching.errors()
    }

    /// Waits until `holds`, looking once for every change the watches show.
    ///
    /// # Errors
    /// After a minute, naming `what`.
    pub async fn until(&self, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Result<()> {
        self.find(what, |snapshot| holds(snapshot).then_some(())).await
    }

    /// Waits until `found` gives something, and gives that.
    ///
    /// # Errors
    /// After a minute, naming `what`.
    pub async fn find<T>(&self, what: &str, found: impl Fn(&Snapshot) -> Option<T>) -> Result<T> {
        self.find_within(LIMIT, what, found).await
    }

    /// [`World::find`] for at most `limit`.
    ///
    /// # Errors
    /// After `limit`, naming `what`.
    pub async fn find_within<T>(
        &self,
        limit: Duration,
        what: &str,
        found: impl Fn(&Snapshot) -> Option<T>,
    ) -> Result<T> {
        let mut changes = self.watching.changes();
        let search = async {
            loop {
                // Marked before the look: a change during it ends the wait below at once.
                changes.borrow_and_update();
                let result = found(&self.watching.snapshot());
                if let Some(result) = result {
                    return Ok(result);
                }
                changes.changed().await.context("the watches ended")?;
            }
        };
        match tokio::time::timeout(limit, search).await {
            Ok(result) => result,
            Err(_) => bail!("not within {} s: {what}", limit.as_secs()),
        }
    }

    /// Waits until the set is at rest with exactly these ids, all Ready.
    ///
    /// # Errors
    /// After a minute.
    pub async fn at_rest(&self, set: &str, ids: &[u32]) -> Result<()> {
        self.until(&format!("{set} at rest with ids {ids:?}"), |s| {
            s.at_rest(set, ids)
        })
        .await
    }

    /// Deletes a set if there is one, and waits until nothing of it is left.
    ///
    /// # Errors
    /// After a minute.
    pub async fn remove_set(&self, set: &str) -> Result<()> {
        ignore_absence(self.sets().delete(set, &DeleteParams::foreground()).await)?;
        let gone = |s: &Snapshot| {
            !s.sets.contains_key(set) && s.pods_of(set).count() == 0 && s.servers_of(set).count() == 0
        };
        self.until(&format!("nothing left of {set}"), gone).await
    }

    /// Takes this crate's finalizers off all Pods, so that the namespace can go.
    async fn release_all(&self) -> Result<()> {
        for pod in self.pods().list(&ListParams::default()).await?.items {
            if !pod.finalizers().is_empty() {
                let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
                ignore_absence(
                    self.pods()
                        .patch(&pod.name_any(), &PatchParams::default(), &patch)
                        .await,
                )?;
            }
        }
        Ok(())
    }
}

/// An object that isn't there need not be removed.
pub(crate) fn ignore_absence<T>(result: kube::Result<T>) -> Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}
