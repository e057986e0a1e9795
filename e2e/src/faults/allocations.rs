//! What an allocator was promised.

use std::collections::BTreeMap;
use std::sync::Mutex;

use api_types::GameServer;
use kube::ResourceExt as _;

use super::history::{GAME_SERVER, History, POD};
use super::ledger::lock;
use super::rest::{is_terminating, text, uid};

/// Acknowledged allocations that were not ended, by server: the Pod, or the server itself where it outlives Pods.
#[derive(Debug, Default)]
pub struct Allocations {
    held: Mutex<BTreeMap<String, String>>,
}

impl Allocations {
    pub(super) fn acknowledged(&self, server: &GameServer) {
        let pod = server.owner_references().iter().find(|owner| owner.kind == "Pod");
        let promised = pod.map(|owner| owner.uid.clone()).or(server.uid());
        lock(&self.held).insert(server.name_any(), promised.unwrap_or_default());
    }

    pub(super) fn released(&self, name: &str) {
        lock(&self.held).remove(name);
    }

    /// Servers allocated now.
    pub fn names(&self) -> Vec<String> {
        lock(&self.held).keys().cloned().collect()
    }

    /// Promises that do not hold: the Pod is another one or going, or the server does not say Allocated any more.
    pub fn broken(&self, history: &History) -> Vec<String> {
        let held = lock(&self.held).clone();
        let kept = |name: &String, promised: &String| {
            let (Some(server), Some(pod)) = (history.get(GAME_SERVER, name), history.get(POD, name)) else {
                return false;
            };
            text(server, "/spec/opsState") == "Allocated"
                && [uid(server), uid(pod)].contains(&promised.as_str())
                && !is_terminating(pod)
        };
        held.iter()
            .filter(|(name, promised)| !kept(name, promised))
            .map(|(name, _)| name.clone())
            .collect()
    }
}
