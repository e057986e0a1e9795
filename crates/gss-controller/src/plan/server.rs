//! What the planner knows of one game server.

use api_types::ops_state;

use super::ids::Id;

/// One id that has a Pod of this set, a GameServer, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The id in its name.
    pub id: Id,
    /// Its Pod, when one exists and belongs to this set.
    pub pod: Option<ServerPod>,
    /// What its operators and its allocator say about it.
    pub standing: Standing,
    /// Higher is deleted earlier among servers of equal opsState.
    pub deletion_priority: i64,
    /// Players on its Pod, as that very Pod reported them.
    pub players: u32,
    /// Whether operators want it to go when it is empty.
    pub marked: bool,
}

/// The Pod of a game server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPod {
    /// The Pod's UID: every decision is about this incarnation and no other.
    pub uid: String,
    /// Where the Pod is in its life.
    pub stage: Stage,
    /// Whether it counts as available (ready, in service, not going away).
    pub available: bool,
    /// What the `preDelete` hook has to say about its deletion.
    pub hold: Hold,
    /// It has ended, like others of this id shortly before: its replacement waits a while.
    pub backs_off: bool,
}

/// What the `preDelete` hook has to say about a Pod's deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    /// Nothing: there is no hook, or it has let go.
    #[default]
    Free,
    /// The hook holds the Pod, which has not been told of its deletion.
    Holds,
    /// The hook holds the Pod, and the Pod's state says so: there is nothing to do until the hook lets go.
    Waits,
}

/// Where a Pod is in its life, as far as scaling cares. The first that holds, in this order, is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Its deletion was accepted by the API server; the id is occupied until the Pod is gone.
    Terminating,
    /// Its deletion has begun with a lifecycle hook, for this reason where its claim or the record still tells. Nothing
    /// brings it back; the id is occupied until the hook lets go and the Pod is gone.
    PreparingDelete(Option<String>),
    /// Its deletion claim is written, and it waits for its last player: nothing brings it back, and its id is occupied for
    /// nobody knows how long.
    Draining,
    /// Its deletion claim is written, for this reason: nothing brings it back.
    Claimed(String),
    /// All its containers have ended for good (phase Failed or Succeeded).
    Ended,
    /// None of these: players may be on it.
    Live,
}

/// A server's opsState as the planner acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// Deletion weight of the opsState, see [`ops_state::deletion_weight`]; higher is deleted earlier.
    pub weight: i32,
    /// Players are, or are about to be, on the server.
    pub allocated: bool,
}

impl Standing {
    /// A server about which nobody has said anything.
    pub const UNKNOWN: Self = Self {
        weight: 0,
        allocated: false,
    };

    /// Combines `GameServer.spec.opsState` (`None` without a GameServer) with the Pod's label.
    ///
    /// The spec is the truth and the label its echo, so the label may only protect: a server whose allocation or
    /// maintenance still shows on the Pod counts as such. `Kill` is an order and is never softened by a late label.
    pub fn of(spec: Option<&str>, label: Option<&str>) -> Self {
        let spec = ops_state::normalise(spec);
        let label = ops_state::normalise(label);
        if spec == ops_state::KILL {
            return Self {
                weight: ops_state::deletion_weight(spec),
                allocated: false,
            };
        }
        let (wanted, shown) = (
            ops_state::deletion_weight(spec),
            ops_state::deletion_weight(label),
        );
        Self {
            weight: if shown < 0 { wanted.min(shown) } else { wanted },
            allocated: [spec, label].contains(&ops_state::ALLOCATED),
        }
    }

    /// Whether the server's operators want it gone at once.
    pub fn is_kill(self) -> bool {
        self.weight == ops_state::deletion_weight(ops_state::KILL)
    }
}

impl Server {
    /// The stage of its Pod, if it has one.
    pub fn stage(&self) -> Option<&Stage> {
        self.pod.as_ref().map(|pod| &pod.stage)
    }

    /// Whether a hook keeps its Pod in the way of a new one for nobody knows how long.
    pub fn is_held(&self) -> bool {
        self.pod.as_ref().is_some_and(|pod| match pod.stage {
            Stage::PreparingDelete(_) | Stage::Draining => true,
            // Finalizers hold a Pod that somebody else deleted.
            Stage::Terminating => pod.hold != Hold::Free,
            Stage::Claimed(_) | Stage::Ended | Stage::Live => false,
        })
    }

    /// Whether its deletion waits for a hook, or for players, and nothing can be done about it now. One without a claim gets
    /// that first: a server that waits for its end must not be allocated.
    pub fn only_waits(&self) -> bool {
        self.pod.as_ref().is_some_and(|pod| match pod.stage {
            Stage::Draining => self.players > 0,
            Stage::PreparingDelete(None) => false,
            _ => pod.hold == Hold::Waits,
        })
    }

    /// Whether players may be on it.
    pub fn is_live(&self) -> bool {
        self.stage() == Some(&Stage::Live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(spec: Option<&str>, label: Option<&str>) -> i32 {
        Standing::of(spec, label).weight
    }

    #[test]
    fn the_label_can_protect_but_never_condemn() {
        assert_eq!(weight(Some("None"), Some("Allocated")), -1);
        assert_eq!(weight(Some("WaitToBeDeleted"), Some("Maintaining")), -2);
        assert_eq!(weight(Some("None"), Some("Kill")), 0);
        assert_eq!(weight(Some("WaitToBeDeleted"), Some("None")), 1);
        assert_eq!(weight(None, Some("WaitToBeDeleted")), 0);
    }

    #[test]
    fn kill_is_an_order_even_while_the_label_says_allocated() {
        let standing = Standing::of(Some("Kill"), Some("Allocated"));
        assert!(standing.is_kill() && !standing.allocated);
    }

    #[test]
    fn allocation_counts_before_and_after_the_label_follows() {
        assert!(Standing::of(Some("Allocated"), Some("None")).allocated);
        assert!(Standing::of(Some("None"), Some("Allocated")).allocated);
        assert!(Standing::of(Some("Allocated"), Some("Maintaining")).allocated);
        assert_eq!(Standing::of(None, None), Standing::UNKNOWN);
    }
}
