//! The servers that the plan record says are out of service for an update.
//!
//! Two planners may work from caches of different age. What one of them begins the other may not see for a while, would count as
//! in service, and would begin others on the same budget. So nothing is begun that the record does not name: it is stored with
//! the set's version, and whoever loses plans again from a record that has the other's servers in it.
//!
//! An entry stays until the server is *seen* back: in service, in a version of its Pod later than the one the decision was made
//! from. An older view cannot end it, whatever it shows. For an update in place, that version is also the precondition of its
//! first request. So a Pod seen in service in a later version either was updated or can no longer be begun under this entry; and
//! while the Pod has not moved, the entry stays, whoever was stopped before the request. An entry of a Pod that is to be
//! replaced goes when another one serves, or when its deletion is taken back.

use crate::{
    observe::Observed,
    plan::{
        ids::{Id, IdSet},
        record::{Deletion, Record, Taken},
        server,
        update::{Act, Stage, Subject, UpdatePlan, subject::stage},
    },
};

/// Entries in one record, about 90 bytes each. Beyond, updates wait for others to end.
pub const MOST: usize = 1000;

/// A server's Pod, as far as entries care.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// Its UID.
    pub uid: &'a str,
    /// Its version.
    pub version: u64,
    /// Whether it is in service and stays.
    pub serves: bool,
}

/// A Pod's version as a number. One that is not a number is later than any other: an entry must not stay for ever.
pub fn version(resource_version: &str) -> u64 {
    resource_version.parse().unwrap_or(u64::MAX)
}

/// The entries of the stored record that still hold; `record` is the one to be stored.
pub fn still_out(observed: &Observed, record: &Record) -> Vec<Taken> {
    let Some(stored) = &observed.record else {
        return Vec::new();
    };
    let latest = version(&observed.set.metadata.resource_version);
    let sight = |id: Id| {
        let found = observed
            .servers
            .binary_search_by_key(&id, |server| server.id)
            .ok()?;
        let seen = observed.servers.get(found)?.pod.as_ref()?;
        let pod = observed.pods.get(&id).filter(|pod| pod.metadata.uid == seen.uid);
        let leaving = seen.stage != server::Stage::Live || record.names(id, &seen.uid);
        Some(Sight {
            uid: &seen.uid,
            version: pod.map_or(0, |pod| version(&pod.metadata.resource_version)),
            serves: seen.available && !leaving && pod.is_some_and(|pod| stage(pod) == Stage::Idle),
        })
    };
    let stays = |taken: &&Taken| stays(taken, latest, &record.desired, sight(taken.id));
    let mut out: Vec<Taken> = stored.updating.iter().filter(stays).cloned().collect();
    // One entry for each server, whoever wrote them.
    out.sort_by_key(|taken| taken.id);
    out.dedup_by_key(|taken| taken.id);
    out
}

/// Whether an entry still holds. `latest` is the version of the set that has it.
pub fn stays(taken: &Taken, latest: u64, desired: &IdSet, sight: Option<Sight<'_>>) -> bool {
    // The record was stored after the Pod had that version: it comes from another cluster, with a backup.
    if taken.version > latest {
        return false;
    }
    match sight {
        None => desired.contains(taken.id),
        Some(seen) if seen.uid == taken.pod_uid && taken.recreate => true,
        Some(seen) if seen.uid == taken.pod_uid => !(seen.serves && seen.version > taken.version),
        Some(seen) => desired.contains(taken.id) && !(seen.serves && seen.version > taken.version),
    }
}

/// The entries of the next record: those that still hold, and what is begun. `before` are the stored deletions; `record` has
/// the next ones.
pub fn next(
    out: &[Taken],
    before: &[Deletion],
    record: &Record,
    subjects: &[Subject],
    plan: &UpdatePlan,
) -> Vec<Taken> {
    let named = |taken: &Taken| {
        before
            .iter()
            .any(|deletion| deletion.id == taken.id && deletion.pod_uid == taken.pod_uid)
    };
    let is_live = |taken: &Taken| {
        find(subjects, taken.id, &taken.pod_uid)
            .is_some_and(|found| !found.leaving && found.version >= taken.version)
    };
    let taken_back = |taken: &&Taken| {
        taken.recreate && named(taken) && is_live(taken) && !record.names(taken.id, &taken.pod_uid)
    };
    let mut next: Vec<Taken> = out.iter().filter(|taken| !taken_back(taken)).cloned().collect();
    for begun in begun(record, subjects, plan) {
        match next.binary_search_by_key(&begun.id, |taken| taken.id) {
            Err(at) => next.insert(at, begun),
            Ok(at) => {
                if let Some(known) = next.get_mut(at) {
                    // A Pod that is replaced goes whatever its version.
                    if !(known.recreate && begun.recreate && known.pod_uid == begun.pod_uid) {
                        *known = begun;
                    }
                }
            }
        }
    }
    next
}

/// The entry of a server, among entries by id.
pub fn entry(entries: &[Taken], id: Id) -> Option<&Taken> {
    let at = entries.binary_search_by_key(&id, |taken| taken.id).ok()?;
    entries.get(at)
}

fn find<'a>(subjects: &'a [Subject], id: Id, uid: &str) -> Option<&'a Subject> {
    let at = subjects.binary_search_by_key(&id, |subject| subject.id).ok()?;
    subjects.get(at).filter(|subject| subject.uid == uid)
}

fn begun(record: &Record, subjects: &[Subject], plan: &UpdatePlan) -> Vec<Taken> {
    let of = |id: Id, uid: &str, recreate: bool| {
        let subject = find(subjects, id, uid)?;
        // What is under way already has its entry.
        (recreate || subject.stage == Stage::Idle).then(|| Taken {
            id,
            pod_uid: uid.to_owned(),
            version: subject.version,
            recreate,
        })
    };
    let in_place = plan
        .steps
        .iter()
        .filter(|step| matches!(step.act, Act::Prepare | Act::Start))
        .filter_map(|step| of(step.id, &step.uid, false));
    let anew = plan
        .recreate
        .iter()
        .filter(|deletion| record.names(deletion.id, &deletion.pod_uid))
        .filter_map(|deletion| of(deletion.id, &deletion.pod_uid, true));
    in_place.chain(anew).collect()
}
