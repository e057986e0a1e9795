//! Who should own what: a pure function of one listing.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

/// What one replica does after one listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShardPlan {
    /// Members that gave no sign of life for their lease duration: delete their member leases, which frees their shards.
    pub fence: Vec<String>,
    /// Shards beyond this replica's share: stop working on them, then free them.
    pub release: Vec<u32>,
    /// Shards to write down as this replica's. They are owned once that write is confirmed.
    pub claim: Vec<u32>,
}

/// Plans the moves of replica `me`.
///
/// - `members`: every member lease of the listing, with the instant from which it counts as gone if nothing changes;
/// - `holders`: who the lease of each shard names, `None` for a free or missing one;
/// - `mine`: the shards that `me` claimed and had confirmed during its present membership.
///
/// Every replica computes the same shares from the same listing: `N / R` each, and one more for the first `N mod R` in the order
/// (most shards held, then by name), so whoever already has the larger share keeps it and nothing moves without need.
/// Free shards go to the replicas below their share in the order of their names, so two replicas that saw the same listing
/// never reach for the same shard.
///
/// A shard is never taken from a member, dead or alive: it is free only when its lease names nobody or somebody
/// who has no member lease. Dead members lose theirs first (`fence`).
pub fn plan_shards(
    members: &BTreeMap<String, Instant>,
    holders: &[Option<String>],
    me: &str,
    mine: &BTreeSet<u32>,
    now: Instant,
) -> ShardPlan {
    let gone = |member: &str, expiry: &Instant| member != me && now >= *expiry;
    let fence = members
        .iter()
        .filter(|(member, expiry)| gone(member, expiry))
        .map(|(member, _)| member.clone())
        .collect();

    let mut held: BTreeMap<&str, usize> = members
        .iter()
        .filter(|(member, expiry)| !gone(member, expiry))
        .map(|(member, _)| (member.as_str(), 0))
        .collect();
    held.insert(me, 0);
    for holder in holders.iter().flatten() {
        if let Some(count) = held.get_mut(holder.as_str()) {
            *count += 1;
        }
    }
    let shares = shares(&held, holders.len());

    let (release, mut claim) = keep_own(holders, me, mine, shares.get(me).copied().unwrap_or(0));
    let free = (0_u32..).zip(holders).filter(|(_, holder)| {
        holder
            .as_ref()
            .is_none_or(|holder| holder != me && !members.contains_key(holder))
    });
    claim.extend(own_part_of_free(free.map(|(shard, _)| shard), &held, &shares, me));
    ShardPlan {
        fence,
        release,
        claim,
    }
}

/// How many shards each live member should have.
fn shares<'a>(held: &BTreeMap<&'a str, usize>, shards: usize) -> BTreeMap<&'a str, usize> {
    let mut order: Vec<_> = held
        .iter()
        .map(|(member, count)| (Reverse(*count), *member))
        .collect();
    order.sort_unstable();
    let (base, extra) = (shards / order.len().max(1), shards % order.len().max(1));
    order
        .into_iter()
        .enumerate()
        .map(|(rank, (_, member))| (member, base + usize::from(rank < extra)))
        .collect()
}

/// Of the shards that name `me`: those to release, and those to claim again because an earlier membership or process claimed them.
fn keep_own(
    holders: &[Option<String>],
    me: &str,
    mine: &BTreeSet<u32>,
    share: usize,
) -> (Vec<u32>, Vec<u32>) {
    let named: Vec<u32> = (0..)
        .zip(holders)
        .filter(|(_, holder)| holder.as_deref() == Some(me))
        .map(|(shard, _)| shard)
        .collect();
    let (mut keep, unsettled): (Vec<u32>, Vec<u32>) =
        named.into_iter().partition(|shard| mine.contains(shard));
    keep.extend(unsettled);
    let release = keep.split_off(share.min(keep.len()));
    (
        release,
        keep.into_iter().filter(|shard| !mine.contains(shard)).collect(),
    )
}

fn own_part_of_free(
    mut free: impl Iterator<Item = u32>,
    held: &BTreeMap<&str, usize>,
    shares: &BTreeMap<&str, usize>,
    me: &str,
) -> Vec<u32> {
    for (member, count) in held {
        let wanted = shares.get(member).copied().unwrap_or(0).saturating_sub(*count);
        let part = free.by_ref().take(wanted);
        if *member == me {
            return part.collect();
        }
        part.for_each(drop);
    }
    Vec::new()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
