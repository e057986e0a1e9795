//! The operational state of a game server: what its operators and its allocator say about it.
//!
//! `spec.opsState` is an open string. The values below have a meaning to Gamekeeper; any other value that is a valid
//! label value is carried to the Pod and means nothing more.

/// Nothing is known about the server; it may be allocated.
pub const NONE: &str = "None";
/// Players are, or are about to be, on the server.
pub const ALLOCATED: &str = "Allocated";
/// An operator works on the server; it is deleted last.
pub const MAINTAINING: &str = "Maintaining";
/// The server is idle and is deleted first.
pub const WAIT_TO_BE_DELETED: &str = "WaitToBeDeleted";
/// The server is taken away at once, and the set's replicas are lowered with it.
pub const KILL: &str = "Kill";

/// The value to act on: absent and empty both mean [`NONE`].
pub fn normalise(ops_state: Option<&str>) -> &str {
    match ops_state {
        None | Some("") => NONE,
        Some(value) => value,
    }
}

/// How readily a server is chosen for scale-in; higher goes earlier.
pub fn deletion_weight(ops_state: &str) -> i32 {
    match ops_state {
        KILL => 100,
        WAIT_TO_BE_DELETED => 1,
        ALLOCATED => -1,
        MAINTAINING => -2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_means_none() {
        assert_eq!(normalise(None), NONE);
        assert_eq!(normalise(Some("")), NONE);
        assert_eq!(normalise(Some("GateMaintaining")), "GateMaintaining");
    }

    #[test]
    fn idle_goes_before_unknown_before_allocated_before_maintaining() {
        let mut states = [MAINTAINING, "Custom", ALLOCATED, KILL, WAIT_TO_BE_DELETED];
        states.sort_by_key(|state| -deletion_weight(state));
        assert_eq!(
            states,
            [KILL, WAIT_TO_BE_DELETED, "Custom", ALLOCATED, MAINTAINING]
        );
        assert_eq!(deletion_weight(NONE), deletion_weight("Custom"));
    }
}
