//! Waiting until a Pod shows what its GameServer says.
//!
//! The answer to a change is given when the game can see it, not when the API server has taken it: the label on the Pod is what
//! the game reads.

use std::time::Duration;

use api_types::keys;
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{ListParams, WatchEvent, WatchParams},
};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    error::Error,
    server::{annotation, label, uid},
};

/// Between two attempts to watch.
const PAUSE: Duration = Duration::from_millis(200);

/// What is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Namespace of the Pod.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its UID, where a later Pod of the name won't do.
    pub pod_uid: Option<&'a str>,
    /// The opsState it should show.
    pub ops_state: &'a str,
    /// The generation of the GameServer it should show at least.
    pub generation: i64,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The Pod shows it.
    Shown,
    /// The Pod shows a later change: somebody has changed the opsState again.
    Overtaken,
    /// The Pod is gone, or on its way.
    Gone,
    /// Not in time.
    Late,
}

/// What this version of the Pod means for the wait; `None`: go on. Pure.
pub fn judge(wanted: &Wanted<'_>, pod: &ObjectMeta) -> Option<Ending> {
    if wanted.pod_uid.is_some_and(|wanted| wanted != uid(pod)) || pod.deletion_timestamp.is_some() {
        return Some(Ending::Gone);
    }
    let synced = annotation(pod, keys::annotation::SYNCED_GENERATION).and_then(|text| text.parse().ok());
    let synced: i64 = synced.unwrap_or_default();
    let shows = label(pod, keys::label::GS_OPS_STATE) == Some(wanted.ops_state);
    match synced.cmp(&wanted.generation) {
        std::cmp::Ordering::Less => None,
        // Of this generation it shows all but what could not be written.
        std::cmp::Ordering::Equal => shows.then_some(Ending::Shown),
        std::cmp::Ordering::Greater if shows => Some(Ending::Shown),
        std::cmp::Ordering::Greater => Some(Ending::Overtaken),
    }
}

/// Waits until the Pod shows it. `from` is the version of a list in which the Pod was; without one it is looked at first.
///
/// # Errors
/// When the API server refuses to show the Pod. Broken connections are tried again until the deadline.
pub async fn until_shown(
    client: &Client,
    wanted: &Wanted<'_>,
    from: Option<String>,
    deadline: Instant,
) -> Result<Ending, Error> {
    let follower = Follower {
        pods: Api::namespaced(client.clone(), wanted.namespace),
        name: wanted.name,
        judge: &|pod| judge(wanted, pod),
    };
    follower.until(from, deadline).await
}

/// Waits until the Pod of this UID is gone.
///
/// # Errors
/// As of [`until_shown`].
pub async fn until_gone(
    client: &Client,
    namespace: &str,
    name: &str,
    pod_uid: &str,
    deadline: Instant,
) -> Result<Ending, Error> {
    let follower = Follower {
        pods: Api::namespaced(client.clone(), namespace),
        name,
        judge: &|pod| (uid(pod) != pod_uid).then_some(Ending::Gone),
    };
    follower.until(None, deadline).await
}

/// Looks at one Pod at each of its changes.
struct Follower<'a> {
    pods: Api<Pod>,
    name: &'a str,
    judge: &'a (dyn Fn(&ObjectMeta) -> Option<Ending> + Sync),
}

impl Follower<'_> {
    async fn until(&self, from: Option<String>, deadline: Instant) -> Result<Ending, Error> {
        timeout_at(deadline, self.wait(from))
            .await
            .unwrap_or(Ok(Ending::Late))
    }

    async fn wait(&self, mut from: Option<String>) -> Result<Ending, Error> {
        loop {
            let version = match from.take() {
                Some(version) => version,
                None => match self.look().await? {
                    Seen::End(ending) => return Ok(ending),
                    Seen::Version(version) => version,
                },
            };
            if let Some(ending) = self.follow(&version).await? {
                return Ok(ending);
            }
            sleep(PAUSE).await;
        }
    }

    fn fields(&self) -> String {
        format!("metadata.name={}", self.name)
    }

    /// Looks once: the end, or the version to watch from.
    async fn look(&self) -> Result<Seen, Error> {
        let params = ListParams::default().fields(&self.fields());
        let found = loop {
            match self.pods.list_metadata(&params).await {
                Ok(found) => break found,
                Err(error) => passing(error)?,
            }
            sleep(PAUSE).await;
        };
        let Some(pod) = found.items.first() else {
            return Ok(Seen::End(Ending::Gone));
        };
        Ok(match (self.judge)(&pod.metadata) {
            Some(ending) => Seen::End(ending),
            None => Seen::Version(found.metadata.resource_version.unwrap_or_default()),
        })
    }

    /// Follows the Pod until it ends the wait, or the watch ends.
    async fn follow(&self, version: &str) -> Result<Option<Ending>, Error> {
        let params = WatchParams::default().fields(&self.fields());
        let changes = match self.pods.watch_metadata(&params, version).await {
            Ok(changes) => changes,
            Err(error) => return passing(error).map(|()| None),
        };
        pin_mut!(changes);
        while let Some(Ok(change)) = changes.next().await {
            let ending = match change {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => (self.judge)(&pod.metadata),
                WatchEvent::Deleted(_) => Some(Ending::Gone),
                WatchEvent::Bookmark(_) => None,
                // The version is too old, or the API server stops: look anew.
                WatchEvent::Error(_) => return Ok(None),
            };
            if ending.is_some() {
                return Ok(ending);
            }
        }
        Ok(None)
    }
}

/// What one look at the Pod came to.
enum Seen {
    End(Ending),
    Version(String),
}

/// Missing rights stay missing; all else may pass.
fn passing(error: kube::Error) -> Result<(), Error> {
    match &error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(pod: &serde_json::Value) -> Option<Ending> {
        let wanted = Wanted {
            namespace: "games",
            name: "arena-3",
            pod_uid: Some("p1"),
            ops_state: "Allocated",
            generation: 5,
        };
        judge(&wanted, &serde_json::from_value(pod.clone()).unwrap())
    }

    fn pod(ops_state: &str, generation: i64) -> serde_json::Value {
        json!({
            "uid": "p1",
            "labels": {keys::label::GS_OPS_STATE: ops_state},
            "annotations": {keys::annotation::SYNCED_GENERATION: generation.to_string()},
        })
    }

    #[test]
    fn a_label_of_an_earlier_generation_is_not_the_answer() {
        assert_eq!(judged(&pod("None", 4)), None);
        assert_eq!(judged(&pod("Allocated", 4)), None, "of an earlier allocation");
        assert_eq!(judged(&pod("None", 5)), None, "its label could not be written");
        assert_eq!(judged(&pod("Allocated", 5)), Some(Ending::Shown));
        assert_eq!(judged(&pod("Allocated", 6)), Some(Ending::Shown));
        assert_eq!(judged(&pod("Maintaining", 6)), Some(Ending::Overtaken));
    }

    #[test]
    fn another_pod_or_one_that_goes_shows_nothing() {
        let mut other = pod("Allocated", 5);
        other["uid"] = json!("p2");
        assert_eq!(judged(&other), Some(Ending::Gone));
        let mut goes = pod("Allocated", 5);
        goes["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(judged(&goes), Some(Ending::Gone));
        assert_eq!(judged(&json!({"uid": "p1"})), None, "nothing is on it yet");
    }
}
