//! Which ports of a load balancer are free, and who gets which (pure).

use std::collections::{BTreeMap, BTreeSet};

use super::{Held, HeldPort};
use crate::{
    params::{PortItem, Protocol},
    problem::{Problem, Reason},
};

/// Ports that may be given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Range {
    /// The first.
    pub low: u16,
    /// The last.
    pub high: u16,
    /// Those between that must not be given.
    pub blocked: BTreeSet<u16>,
}

/// A port of a load balancer: TCP and UDP are separate.
pub(crate) type Slot = (Protocol, u16);

/// Who has a port.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Entry {
    /// Namespace of the server.
    pub namespace: String,
    /// Name of the server, and of its Service.
    pub server: String,
    /// UID of the Service: an entry counts for as long as this very one is there.
    pub service: String,
    /// Port of the Pod.
    pub target: u16,
}

/// Who has which port of a load balancer.
pub(crate) type Pool = BTreeMap<Slot, Entry>;

/// A Service that needs ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Namespace of the server.
    pub namespace: String,
    /// Name of the server.
    pub server: String,
    /// UID of its Service.
    pub service: String,
    /// When the Service was made, in RFC 3339: of two that are found on one port, the older keeps it.
    pub created: String,
    /// What it needs.
    pub wish: super::Wish,
    /// What it has already, though nobody has recorded it.
    pub present: Option<Held>,
}

/// A port that a Service is seen on without being recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// UID of the Service.
    pub service: String,
    /// When it was made.
    pub created: String,
}

/// What is known when ports are given.
pub(crate) struct Known<'a> {
    /// The records, by id; an absent one is empty.
    pub pools: &'a BTreeMap<String, Pool>,
    /// Ports of Services that are in no record, by id and port.
    pub seen: &'a BTreeMap<(String, Slot), Vec<Sighting>>,
}

/// What is to be recorded: ports of one load balancer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Its id.
    pub id: String,
    /// The new entries; none where all is recorded already.
    pub entries: Vec<(Slot, Entry)>,
}

/// Gives `ask` its ports: those it has, and the lowest free ones of the first load balancer with room for the rest.
///
/// # Errors
/// When nobody has room, or a port that must stay is another's.
pub(crate) fn grant(ask: &Ask, known: &Known<'_>) -> Result<Grant, Problem> {
    let recorded = ask.wish.ids.iter().chain(known.pools.keys()).find(|id| {
        let pool = known.pools.get(*id);
        pool.is_some_and(|pool| pool.values().any(|entry| entry.service == ask.service))
    });
    if let Some(id) = recorded {
        return complete(ask, known, id, Vec::new()).ok_or_else(|| exhausted(ask, std::slice::from_ref(id)));
    }
    if let Some(present) = &ask.present {
        let (kept, lost) = keep(ask, known, present);
        if let Some((_, port)) = lost.first().filter(|_| ask.wish.fixed) {
            return Err(Problem::new(
                Reason::PortConflict,
                format!(
                    "port {port} of load balancer {} belongs to another Service; Fixed keeps this one from moving: \
                     delete one of the two",
                    present.id
                ),
            ));
        }
        if let Some(grant) = complete(ask, known, &present.id, kept).filter(|grant| !grant.entries.is_empty())
        {
            return Ok(grant);
        }
    }
    let mut ids = ask.wish.ids.iter();
    ids.find_map(|id| complete(ask, known, id, Vec::new()))
        .ok_or_else(|| exhausted(ask, &ask.wish.ids))
}

fn exhausted(ask: &Ask, ids: &[String]) -> Problem {
    let Range { low, high, blocked } = &ask.wish.range;
    let blocked = if blocked.is_empty() {
        String::new()
    } else {
        format!(" without the {} blocked ones", blocked.len())
    };
    Problem::new(
        Reason::PortsExhausted,
        format!(
            "load balancer {} has not enough free ports from {low} to {high}{blocked}: add one to LoadBalancerIds or widen the range",
            ids.join(", ")
        ),
    )
}

/// The ports that a Service is on already: those it keeps, and those that are another's.
fn keep(ask: &Ask, known: &Known<'_>, present: &Held) -> (Vec<(Slot, Entry)>, Vec<Slot>) {
    let (mut kept, mut lost) = (Vec::new(), Vec::new());
    for port in &present.ports {
        let slot = (port.protocol, port.port);
        let recorded = known
            .pools
            .get(&present.id)
            .is_some_and(|pool| pool.contains_key(&slot));
        let seen = known.seen.get(&(present.id.clone(), slot));
        let older = seen.into_iter().flatten().any(|other| {
            other.service != ask.service && (&other.created, &other.service) < (&ask.created, &ask.service)
        });
        if recorded || older {
            lost.push(slot);
        } else {
            kept.push((slot, entry(ask, port.target)));
        }
    }
    (kept, lost)
}

fn entry(ask: &Ask, target: u16) -> Entry {
    Entry {
        namespace: ask.namespace.clone(),
        server: ask.server.clone(),
        service: ask.service.clone(),
        target,
    }
}

/// `kept`, and ports on load balancer `id` for what it and the record leave open; `None` without room.
fn complete(ask: &Ask, known: &Known<'_>, id: &str, kept: Vec<(Slot, Entry)>) -> Option<Grant> {
    let empty = Pool::new();
    let pool = known.pools.get(id).unwrap_or(&empty);
    let mine = pool.iter().filter(|(_, entry)| entry.service == ask.service);
    let kept_slots = kept.iter().map(|(slot, entry)| (slot, entry));
    let has: BTreeSet<(u16, Protocol)> = mine
        .chain(kept_slots)
        .map(|((protocol, _), entry)| (entry.target, *protocol))
        .collect();
    let open: Vec<PortItem> = ask
        .wish
        .items
        .iter()
        .map(|item| PortItem {
            port: item.port,
            protocols: item
                .protocols
                .iter()
                .copied()
                .filter(|protocol| !has.contains(&(item.port.unwrap_or_default(), *protocol)))
                .collect(),
        })
        .filter(|item| !item.protocols.is_empty())
        .collect();
    let taken = |slot: Slot| {
        pool.contains_key(&slot)
            || kept.iter().any(|(kept, _)| *kept == slot)
            || known
                .seen
                .get(&(id.to_owned(), slot))
                .is_some_and(|seen| seen.iter().any(|other| other.service != ask.service))
    };
    let given = pick(&ask.wish.range, &open, taken)?;
    let mut entries = kept;
    entries.extend(
        given
            .into_iter()
            .map(|port| ((port.protocol, port.port), entry(ask, port.target))),
    );
    Some(Grant {
        id: id.to_owned(),
        entries,
    })
}

/// The lowest free ports for `items`; `None` without room. An item of two protocols gets one number that is free in both, and
/// chooses first: what is left then counts for each protocol alone, so that nothing fits that would not.
pub(crate) fn pick(range: &Range, items: &[PortItem], taken: impl Fn(Slot) -> bool) -> Option<Vec<HeldPort>> {
    let mut order: Vec<&PortItem> = items.iter().collect();
    order.sort_by_key(|item| std::cmp::Reverse(item.protocols.len()));
    let mut given: Vec<HeldPort> = Vec::new();
    for item in order {
        let free = |port: &u16| {
            !range.blocked.contains(port)
                && item.protocols.iter().all(|protocol| {
                    !taken((*protocol, *port))
                        && !given
                            .iter()
                            .any(|held| (held.protocol, held.port) == (*protocol, *port))
                })
        };
        let port = (range.low..=range.high).find(free)?;
        given.extend(item.protocols.iter().map(|protocol| HeldPort {
            target: item.port.unwrap_or_default(),
            protocol: *protocol,
            port,
        }));
    }
    Some(given)
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
