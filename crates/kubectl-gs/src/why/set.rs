//! Why a set has not as many servers as wanted, or not of the latest template.

use api_types::{GameServerSet, GameServerSetStatus, keys::condition as of};
use jiff::Timestamp;

use super::{Finding, Topic, condition, trouble};
use crate::{age, server::name};

/// Everything about a set.
pub fn set(set: &GameServerSet, now: Timestamp) -> Vec<Finding> {
    if let Some(since) = &set.metadata.deletion_timestamp {
        let finalizers = set.metadata.finalizers.clone().unwrap_or_default().join(", ");
        let held = if finalizers.is_empty() {
            String::new()
        } else {
            format!("; finalizers hold it: {finalizers}")
        };
        let since = age::since(Some(since.0), now);
        return vec![Finding::waits(
            Topic::Set,
            format!("it has been deleted {since} ago, and nothing is decided any more{held}"),
        )];
    }
    let Some(status) = &set.status else {
        return vec![
            Finding::blocked(Topic::Set, "nobody has looked at it yet")
                .hint("is gss-controller running, and does it watch this namespace?"),
        ];
    };
    let mut found = vec![scale(set, status)];
    found.extend(seen(set, status));
    found.push(ready(set));
    found.push(update(set, status));
    found.extend(rest(set));
    found.extend(autoscaling(set, status));
    found
}

fn scale(set: &GameServerSet, status: &GameServerSetStatus) -> Finding {
    let topic = Topic::Scale;
    let (wanted, has) = (set.spec.replicas, status.current_replicas);
    let draining = status.draining_replicas.unwrap_or_default();
    let held = status.pre_delete_replicas.unwrap_or_default();
    if let Some(why) = trouble(set, of::SCALE_IN_BLOCKED) {
        return Finding::blocked(topic, why)
            .hint("raise replicas, or release servers: kubectl gs release NAME");
    }
    if has == wanted {
        return Finding::fine(topic, format!("it has the {wanted} servers that are wanted"));
    }
    if has > wanted {
        let mut why = format!("{wanted} servers are wanted and it has {has}");
        for (count, what) in [
            (draining, "wait for their last player"),
            (held, "are in PreDelete"),
        ] {
            if count > 0 {
                why = format!("{why}; {count} {what}");
            }
        }
        return Finding::waits(topic, why)
            .hint("kubectl gs list shows who is LEAVING; kubectl gs why NAME says what holds it");
    }
    let why = format!("{wanted} servers are wanted and it has {has}");
    let problems = [of::DEGRADED, of::VOLUME_BLOCKED, of::NEEDS_INTERVENTION];
    match problems.into_iter().find_map(|type_| trouble(set, type_)) {
        Some(trouble) => Finding::blocked(topic, format!("{why}: {trouble}")),
        None => Finding::waits(topic, format!("{why}: {}", progress(set))),
    }
}

fn progress(set: &GameServerSet) -> String {
    condition(set, of::PROGRESSING)
        .map_or_else(|| "nothing is known".to_owned(), |found| found.message.clone())
}

/// Whether gss-controller has acted on the latest spec.
fn seen(set: &GameServerSet, status: &GameServerSetStatus) -> Option<Finding> {
    let (now, seen) = (
        set.metadata.generation?,
        status.observed_generation.unwrap_or_default(),
    );
    (now != seen).then(|| {
        Finding::waits(
            Topic::Scale,
            format!("its generation is {now}, and gss-controller has acted on {seen}"),
        )
        .hint("if it stays so, look at gss-controller's log and its leader")
    })
}

fn ready(set: &GameServerSet) -> Finding {
    let topic = Topic::Ready;
    match condition(set, of::READY) {
        Some(found) if found.status == "True" => Finding::fine(topic, found.message.clone()),
        Some(found) => Finding::waits(topic, found.message.clone()).hint(format!(
            "kubectl gs list --set {} --state NotReady,Creating,Crash",
            name(&set.metadata)
        )),
        None => Finding::waits(topic, "gss-controller has said nothing about it yet"),
    }
}

fn update(set: &GameServerSet, status: &GameServerSetStatus) -> Finding {
    let topic = Topic::Update;
    if let Some(why) = trouble(set, of::UPDATE_BLOCKED) {
        return Finding::blocked(topic, why);
    }
    let (updated, has) = (status.updated_replicas, status.current_replicas);
    if updated >= has {
        return Finding::fine(topic, format!("all {has} servers have the latest template"));
    }
    let why = format!(
        "{updated} of {has} servers have the latest template: {}",
        progress(set)
    );
    let progressing = condition(set, of::PROGRESSING).is_some_and(|found| found.status == "True");
    if progressing {
        Finding::waits(topic, why)
    } else {
        Finding::blocked(topic, why)
    }
}

/// What else is True and should not be.
fn rest(set: &GameServerSet) -> Vec<Finding> {
    let problems = [
        of::DEGRADED,
        of::HOOK_BLOCKED,
        of::VOLUME_BLOCKED,
        of::NEEDS_INTERVENTION,
    ];
    let told = problems.into_iter().filter_map(|type_| {
        let why = trouble(set, type_)?;
        Some(Finding::blocked(Topic::Set, format!("{type_}: {why}")))
    });
    let mut told: Vec<Finding> = told.collect();
    if told.is_empty() {
        told.push(Finding::fine(
            Topic::Set,
            "no condition says that anything is wrong",
        ));
    }
    told
}

/// What player-autoscaler says, where it is asked to scale.
fn autoscaling(set: &GameServerSet, status: &GameServerSetStatus) -> Option<Finding> {
    let wanted = set.spec.player_autoscaling.as_ref()?;
    wanted.enabled.then_some(())?;
    let topic = Topic::Scale;
    let Some(told) = &status.player_autoscaling else {
        return Some(
            Finding::blocked(topic, "player autoscaling is on and nobody has looked at it")
                .hint("is player-autoscaler running?"),
        );
    };
    let why = format!("player autoscaling: {} ({})", told.message, told.reason);
    Some(if told.able_to_scale {
        Finding::fine(topic, why)
    } else {
        Finding::blocked(topic, why)
    })
}
