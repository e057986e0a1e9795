//! When an update in place is done.
//!
//! `docs/adr/0011-completion-of-updates-in-place.md` has the cases, and why each of the signs alone misleads.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    build::quantity,
    views::{Amounts, Container, ContainerStatus, PodView},
};

/// How long a container that was started anew is watched when nothing else tells which image it runs.
const SETTLE_SECONDS: i64 = 10;
/// An update in place that takes longer is reported as stuck.
pub const DEADLINE_SECONDS: i64 = 600;

/// The annotation `apps.kruise.io/inplace-update-state`: what the containers were when they were changed. The form is
/// OpenKruise's; `containerID` and `image` are ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateState {
    /// The revision the Pod was changed to.
    pub revision: String,
    /// When.
    pub update_timestamp: String,
    /// The changed containers as they were before.
    pub last_container_statuses: BTreeMap<String, LastStatus>,
    /// Whether images were changed.
    pub update_images: bool,
    /// Whether CPU or memory were changed.
    pub update_resources: bool,
    /// Which containers were changed when; always one batch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_batches_record: Vec<Batch>,
}

/// A container before its image was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastStatus {
    /// Its image's digest.
    #[serde(rename = "imageID")]
    pub image_id: String,
    /// The runtime's id of it; empty where OpenKruise wrote this, or where it had not been started.
    #[serde(rename = "containerID", skip_serializing_if = "String::is_empty")]
    pub container_id: String,
}

/// Containers changed together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Batch {
    /// When.
    pub timestamp: String,
    /// Their names.
    pub containers: Vec<String>,
}

/// How far an update in place is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    /// Every changed container runs what the spec says.
    Done,
    /// Not yet.
    Waiting {
        /// The first container that is waited for.
        container: String,
        /// Seconds since it was changed.
        seconds: i64,
        /// Seconds after which the passing of time alone may tell.
        look_in: i64,
    },
}

/// Whether the containers that were last changed run what the Pod's spec says.
pub fn completion(pod: &PodView, state: Option<&UpdateState>, clock: Timestamp) -> Completion {
    // Nothing was changed yet.
    let Some(state) = state else {
        return Completion::Done;
    };
    let changed_at = state.update_timestamp.parse::<Timestamp>().ok();
    let seconds = changed_at.map_or(DEADLINE_SECONDS, |at| clock.as_second() - at.as_second());
    let waiting = |container: &str, look_in: i64| Completion::Waiting {
        container: container.to_owned(),
        seconds,
        look_in: look_in.max(1),
    };
    for (name, before) in &state.last_container_statuses {
        // A container that is not in the spec cannot be waited for.
        let Some(wanted) = pod.container(name) else {
            continue;
        };
        let look_in = DEADLINE_SECONDS - seconds;
        let Some(now) = pod.container_status(name) else {
            return waiting(name, look_in);
        };
        match runs(wanted, now, before) {
            Runs::New => {}
            Runs::Old => return waiting(name, look_in),
            Runs::Perhaps if seconds >= SETTLE_SECONDS => {}
            Runs::Perhaps => return waiting(name, SETTLE_SECONDS - seconds),
        }
    }
    if state.update_resources {
        let unlike = pod.containers.iter().find(|wanted| {
            pod.container_status(&wanted.name)
                .is_none_or(|now| !has_resources(wanted, now))
        });
        if let Some(container) = unlike {
            return waiting(&container.name, DEADLINE_SECONDS - seconds);
        }
    }
    Completion::Done
}

enum Runs {
    New,
    Old,
    /// It was started anew, from an image that cannot be told from the old one.
    Perhaps,
}

fn runs(wanted: &Container, now: &ContainerStatus, before: &LastStatus) -> Runs {
    if now.container_id.is_empty() {
        return Runs::Old;
    }
    let named = same_image(&wanted.image, &now.image);
    let other_content = !now.image_id.is_empty() && now.image_id != before.image_id;
    if before.container_id.is_empty() {
        // OpenKruise's record, or a container that had not been started: its own rule.
        return if named || other_content {
            Runs::New
        } else {
            Runs::Old
        };
    }
    if now.container_id == before.container_id {
        return Runs::Old;
    }
    // A container that crashed just before the kubelet saw the new image is started anew from the old one.
    if named || other_content {
        Runs::New
    } else {
        Runs::Perhaps
    }
}

/// Whether a runtime's name of an image is the one in the spec.
fn same_image(wanted: &str, reported: &str) -> bool {
    normal(wanted) == normal(reported)
}

fn normal(image: &str) -> String {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let image = image.strip_prefix("library/").unwrap_or(image);
    let name = image.rsplit('/').next().unwrap_or_default();
    if name.contains([':', '@']) {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

/// Whether the kubelet has put the spec's CPU and memory into force.
fn has_resources(wanted: &Container, now: &ContainerStatus) -> bool {
    let same = |wanted: &Amounts, now: &Amounts| {
        let each = [(&wanted.cpu, &now.cpu), (&wanted.memory, &now.memory)];
        each.into_iter().all(|pair| match pair {
            (Some(wanted), Some(now)) => quantity::same(wanted, now),
            (Some(_), None) => false,
            (None, _) => true,
        })
    };
    same(&wanted.resources.limits, &now.resources.limits)
        && same(&wanted.resources.requests, &now.resources.requests)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CHANGED: &str = "2026-05-04T03:00:00Z";

    /// Whether a container is done that had image id `i1` and container id `c1` (`was` otherwise).
    fn done(spec_image: &str, now: (&str, &str, &str), was: &str, seconds: i64) -> bool {
        let (image, image_id, container_id) = now;
        let pod: PodView = serde_json::from_value(json!({
            "metadata": { "name": "a-0" },
            "spec": { "containers": [{ "name": "game", "image": spec_image }] },
            "status": { "containerStatuses": [
                { "name": "game", "image": image, "imageID": image_id, "containerID": container_id },
            ] },
        }))
        .unwrap();
        let state: UpdateState = serde_json::from_value(json!({
            "revision": "a-1", "updateTimestamp": CHANGED,
            "lastContainerStatuses": { "game": { "imageID": "i1", "containerID": was }, "gone": { "imageID": "x" } },
        }))
        .unwrap();
        let at = CHANGED.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds);
        completion(&pod, Some(&state), at) == Completion::Done
    }

    #[test]
    fn a_container_is_done_when_it_was_started_from_the_new_image() {
        assert!(
            !done("game:2", ("game:1", "i1", "c1"), "c1", 60),
            "not yet restarted"
        );
        assert!(
            !done("game:2", ("game:2", "i2", "c1"), "c1", 60),
            "the status runs ahead of the container"
        );
        assert!(done("game:2", ("docker.io/library/game:2", "i2", "c2"), "c1", 1));
        assert!(
            done("game", ("docker.io/library/game:latest", "i1", "c2"), "c1", 1),
            "same content, same name"
        );
        assert!(
            !done("game:2", ("game:2", "i2", ""), "c1", 60),
            "created, not started"
        );
    }

    // W18 of OpenKruise: a new tag of the same content, under a name that the runtime does not use, never completes.
    #[test]
    fn another_tag_of_the_same_content_is_done_a_moment_after_the_restart() {
        let now = ("mirror.example.com/game:1", "i1", "c2");
        assert!(
            !done("game:2", now, "c1", 9),
            "it may have crashed and be the old one"
        );
        assert!(done("game:2", now, "c1", 10));
    }

    #[test]
    fn a_state_that_openkruise_wrote_is_judged_by_its_own_rule() {
        assert!(!done("game:2", ("game:1", "i1", "c9"), "", 60));
        assert!(done("game:2", ("game:2", "i1", "c9"), "", 1));
        assert!(done("game:2", ("x", "i2", "c9"), "", 1));
    }

    #[test]
    fn a_resize_is_done_when_it_is_in_force() {
        let done = |allocated: &str| {
            let pod: PodView = serde_json::from_value(json!({
                "metadata": {},
                "spec": { "containers": [{ "name": "game", "resources": { "requests": { "cpu": "1500m" } } }] },
                "status": { "containerStatuses": [{ "name": "game", "resources": { "requests": { "cpu": allocated } } }] },
            }))
            .unwrap();
            let state = UpdateState {
                update_resources: true,
                update_timestamp: CHANGED.into(),
                ..UpdateState::default()
            };
            completion(&pod, Some(&state), CHANGED.parse().unwrap()) == Completion::Done
        };
        assert!(done("1.5") && !done("1"));
    }

    #[test]
    fn without_a_record_nothing_is_waited_for() {
        assert_eq!(
            completion(&PodView::default(), None, Timestamp::UNIX_EPOCH),
            Completion::Done
        );
    }
}
