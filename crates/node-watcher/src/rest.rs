//! What can make a server's node worth a write (pure): while nothing can, the watches of Pods and GameServers rest.
//!
//! gs-controller creates a GameServer with the label of its Pod's node, and on a node that is well there is nothing to add. What is
//! left to this controller announces itself in what it goes on watching: Nodes, GameServers without the label, and GameServerSets
//! whose GameServers outlive their Pods. `docs/adr/0038-watches-that-rest.md` says what follows.

use api_types::keys;

use crate::views::{GameServerView, NodeView};

/// Whether servers on this node have something to show: trouble, or an external address.
pub(crate) fn is_news(node: &NodeView) -> bool {
    !node.health.is_normal() || node.public_ip.is_some()
}

/// Whether a GameServer outlives its Pod: it shows the node of that one until the next is bound.
pub(crate) fn outlives_its_pod(game_server: &GameServerView) -> bool {
    game_server
        .metadata
        .controller()
        .is_none_or(|owner| owner.kind == keys::KIND_GAME_SERVER_SET)
}

#[cfg(test)]
mod tests;
