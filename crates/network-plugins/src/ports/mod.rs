//! Ports of load balancers that servers share: which are free, who has which, and how two leaders can't give one twice.

mod ledger;
mod pool;
mod record;
mod release;
mod scribe;

pub(crate) use self::{
    ledger::{Ledger, Refusal},
    pool::{Ask, Range},
    release::Releases,
    scribe::{SERVICES_BY_TYPE, Services},
};
use crate::params::{PortItem, Protocol};

/// Ports that a server's Service needs of one of several load balancers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Ids of the load balancers, the first with room is taken.
    pub ids: Vec<String>,
    /// Annotation of a Service that says which it is on.
    pub id_annotation: String,
    /// The ports that may be given.
    pub range: Range,
    /// What is needed.
    pub items: Vec<PortItem>,
    /// Whether the Service must keep the ports it has.
    pub fixed: bool,
}

/// Ports that a Service holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Id of the load balancer.
    pub id: String,
    /// The ports.
    pub ports: Vec<HeldPort>,
}

/// One port that a Service holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HeldPort {
    /// The port of the Pod.
    pub target: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The port of the load balancer.
    pub port: u16,
}

impl Held {
    /// Whether there is a port for every item.
    pub(crate) fn covers(&self, items: &[PortItem]) -> bool {
        items.iter().all(|item| {
            let mut protocols = item.protocols.iter();
            protocols.all(|protocol| {
                let mut ports = self.ports.iter();
                ports.any(|held| Some(held.target) == item.port && held.protocol == *protocol)
            })
        })
    }
}
