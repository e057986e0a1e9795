//! Whether a take-over is complete and restarted nothing: what is, compared with what was.

use gss_controller::plan::ids::IdSet;
use serde::Serialize;

use crate::{
    facts::{Holder, PodFacts, SetFacts},
    plan::live_ids,
    snapshot::Snapshot,
};

/// Names listed in a message; more are counted.
const NAMED: usize = 5;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What must hold.
    pub check: &'static str,
    /// Whether it does.
    pub ok: bool,
    /// What was found.
    pub message: String,
}

/// All findings about one set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether all findings are good.
    pub ok: bool,
    /// What was looked at.
    pub findings: Vec<Finding>,
}

/// Compares a set with its snapshot. `still_owned` are the objects that name the old workload's UID as owner.
pub fn verify(set: &SetFacts, still_owned: &[String]) -> Verification {
    let pods = |bad: &dyn Fn(&PodFacts) -> bool| -> Vec<String> {
        let servers = set.pods.iter().filter(|pod| pod.id.is_some());
        servers
            .filter(|pod| bad(pod))
            .map(|pod| pod.object.name.clone())
            .collect()
    };
    let foreign = pods(&|pod| set.holder(&pod.object) != Holder::Set);
    let closed = pods(&|pod| pod.phase == "Running" && pod.gates.values().any(|open| !open));
    let mut findings = vec![
        gone("the workload is gone", set.workload.is_none()),
        gone("the PodProbeMarker is gone", set.marker.is_none()),
        none_of("no object names the old owner", still_owned),
        none_of("every server belongs to the set", &foreign),
        none_of("readiness gates are open", &closed),
    ];
    match &set.snapshot {
        None => findings.push(Finding {
            check: "there is a snapshot to compare with",
            ok: false,
            message: "no ConfigMap gamekeeper-migrate-<set>: not taken over by `gamekeeper-migrate run`"
                .to_owned(),
        }),
        Some(stored) => findings.extend(compared(set, &stored.content)),
    }
    Verification {
        namespace: set.namespace.clone(),
        name: set.name.clone(),
        ok: findings.iter().all(|finding| finding.ok),
        findings,
    }
}

fn compared(set: &SetFacts, before: &Snapshot) -> [Finding; 3] {
    let now = |name: &str| set.servers().find(|pod| pod.object.name == name);
    let mut replaced = Vec::new();
    let mut restarted = Vec::new();
    for (name, pod) in &before.pods {
        match now(name) {
            Some(now) if now.object.uid == pod.uid => {
                // A count that grew, or a container that is not reported any more.
                if now.restarts != pod.restarts {
                    restarted.push(name.clone());
                }
            }
            _ => replaced.push(name.clone()),
        }
    }
    [
        none_of("every Pod is the one it was", &replaced),
        none_of("no container was restarted", &restarted),
        ids(set, before),
    ]
}

/// The ids of the Pods, and those of the plan record, are what they were.
fn ids(set: &SetFacts, before: &Snapshot) -> Finding {
    let then: IdSet = before
        .pods
        .keys()
        .filter_map(|name| api_types::names::ordinal_of(name))
        .collect();
    let now = live_ids(set);
    let recorded = set
        .record
        .as_ref()
        .map(|record| record.desired.clone())
        .unwrap_or_default();
    // A server that had no Pod then is in the record only.
    let ok = now == then && then.difference(&recorded).is_empty();
    Finding {
        check: "the ids are what they were",
        ok,
        message: format!(
            "then {}, now {}, recorded {}",
            then.to_joined(),
            now.to_joined(),
            recorded.to_joined()
        ),
    }
}

fn gone(check: &'static str, ok: bool) -> Finding {
    let message = if ok {
        "deleted"
    } else {
        "still there: run `gamekeeper-migrate run`"
    };
    Finding {
        check,
        ok,
        message: message.to_owned(),
    }
}

fn none_of(check: &'static str, bad: &[String]) -> Finding {
    let shown = bad.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    Finding {
        check,
        ok: bad.is_empty(),
        message: match bad.len() {
            0 => "none does otherwise".to_owned(),
            all if all > NAMED => format!("{shown} and {} more do not", all - NAMED),
            _ => format!("not so: {shown}"),
        },
    }
}
