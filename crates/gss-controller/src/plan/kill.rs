//! opsState `Kill`: the server is taken away and the set's replicas are lowered with it.
//!
//! Only `spec.replicas` is written here. The ordinary scale-in that follows takes servers marked `Kill` before all
//! others, so a crash at any point is recomputed: before the write nothing has happened, after it the set is simply
//! above its replicas.

use super::{ids::IdSet, server::Server};

/// The replicas to write, when servers of a set at rest are to be killed.
///
/// `None` while the desired ids and `replicas` differ: then a scale-in takes the killed servers first anyway, or a
/// kill already written has not been planned yet, and lowering again would count it twice. The number of Pods is not
/// looked at: a set whose Pods crash-loop or wait for a node can be killed too.
pub fn replicas_after_kill(replicas: u64, desired: &IdSet, servers: &[Server]) -> Option<u64> {
    if desired.len() != replicas {
        return None;
    }
    let killed = servers
        .iter()
        .filter(|server| server.standing.is_kill() && desired.contains(server.id))
        .count() as u64;
    (killed > 0).then(|| replicas - killed)
}
