//! The leases of one shard group: their names, and what one listing of them says.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use k8s_openapi::api::coordination::v1::Lease;

use super::owned::fnv1a;
use crate::record::{LeaseRecord, Observed, Sighting, Version};

/// Label on every lease of a group; its value is `<prefix>-of-<shards>`.
pub const GROUP_LABEL: &str = "game.kruise.io/lease-group";

/// The longest prefix: the group's name has to fit into a label value (63) with `-of-256` behind it.
pub(crate) const MAX_PREFIX: usize = 50;

/// How the leases of one group are called.
///
/// The number of shards is part of every name. Replicas with another `--shards` (a rolling update) form another group that
/// covers all objects by itself, so no object is left out while both run.
#[derive(Debug, Clone)]
pub(crate) struct GroupNames {
    prefix: String,
    shards: u32,
}

impl GroupNames {
    pub(crate) fn new(prefix: &str, shards: u32) -> Self {
        Self {
            prefix: prefix.to_owned(),
            shards,
        }
    }

    pub(crate) fn label(&self) -> String {
        format!("{}-of-{}", self.prefix, self.shards)
    }

    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(GROUP_LABEL.to_owned(), self.label())])
    }

    pub(crate) fn selector(&self) -> String {
        format!("{GROUP_LABEL}={}", self.label())
    }

    pub(crate) fn shard(&self, shard: u32) -> String {
        format!("{}-{shard}-of-{}", self.prefix, self.shards)
    }

    pub(crate) fn member(&self, identity: &str) -> String {
        format!(
            "{}-member-{}-of-{}",
            self.prefix,
            name_part(identity),
            self.shards
        )
    }

    /// The shard a lease stands for, or `None` for members and strangers.
    fn shard_number(&self, name: &str) -> Option<u32> {
        let shard = name
            .strip_prefix(&self.prefix)?
            .strip_prefix('-')?
            .split('-')
            .next()?
            .parse()
            .ok()?;
        (shard < self.shards && name == self.shard(shard)).then_some(shard)
    }

    fn is_member(&self, name: &str) -> bool {
        name.strip_prefix(&self.prefix)
            .is_some_and(|rest| rest.starts_with("-member-"))
    }
}

/// An identity as part of an object name: unchanged if it is a plain lower-case name, else made plain with a hash to stay unique.
fn name_part(identity: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if identity.len() <= 100 && !identity.is_empty() && identity.chars().all(plain) {
        return identity.to_owned();
    }
    let kept: String = identity
        .to_ascii_lowercase()
        .chars()
        .filter(|c| plain(*c))
        .take(80)
        .collect();
    format!("{kept}-{:016x}", fnv1a(identity.bytes()))
}

/// One member lease as this replica has watched it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) lease: String,
    pub(crate) sighting: Sighting,
}

/// What one listing said, with the age of each member judged by this replica's clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupView {
    pub(crate) members: BTreeMap<String, Member>,
    pub(crate) holders: Vec<Option<String>>,
    pub(crate) shards: Vec<Option<Lease>>,
}

impl GroupView {
    /// Reads a listing received at `now`; `previous` is the view before, for the ages of members.
    pub(crate) fn read(names: &GroupNames, previous: &Self, leases: Vec<Lease>, now: Instant) -> Self {
        let mut view = Self {
            members: BTreeMap::new(),
            holders: vec![None; names.shards as usize],
            shards: vec![None; names.shards as usize],
        };
        for lease in leases {
            let name = lease.metadata.name.clone().unwrap_or_default();
            if let Some(shard) = names.shard_number(&name) {
                view.holders[shard as usize] = LeaseRecord::from_lease(&lease).holder;
                view.shards[shard as usize] = Some(lease);
            } else if names.is_member(&name) {
                let observed = Observed::from_lease(&lease);
                // A member lease given back by hand names nobody; under its own name it still ages and is deleted.
                let identity = observed.record.holder.clone().unwrap_or_else(|| name.clone());
                let before = previous
                    .members
                    .get(&identity)
                    .filter(|member| member.lease == name);
                let sighting = Sighting::next(before.map(|member| &member.sighting), observed, now);
                view.members.insert(
                    identity,
                    Member {
                        lease: name,
                        sighting,
                    },
                );
            }
        }
        view
    }

    /// Every member with the instant from which it counts as gone.
    pub(crate) fn expiries(&self, own_duration: Duration) -> BTreeMap<String, Instant> {
        self.members
            .iter()
            .map(|(identity, member)| (identity.clone(), member.sighting.expiry(own_duration)))
            .collect()
    }

    /// When the next member other than `me` may have to be fenced.
    pub(crate) fn next_expiry(&self, me: &str, own_duration: Duration) -> Option<Instant> {
        let others = self.members.iter().filter(|(identity, _)| *identity != me);
        others
            .map(|(_, member)| member.sighting.expiry(own_duration))
            .min()
    }

    pub(crate) fn member(&self, identity: &str) -> Option<(&str, &Version)> {
        let member = self.members.get(identity)?;
        Some((&member.lease, &member.sighting.observed.version))
    }

    pub(crate) fn names(&self, shard: u32, identity: &str) -> bool {
        self.holders.get(shard as usize).and_then(Option::as_deref) == Some(identity)
    }

    /// The shards among `mine` whose lease no longer names `me`: changed by hand.
    pub(crate) fn lost(&self, mine: &BTreeSet<u32>, me: &str) -> Vec<u32> {
        mine.iter()
            .copied()
            .filter(|shard| !self.names(*shard, me))
            .collect()
    }

    /// Whether this change of a lease can matter to the plan of `me`. Renewals, by far the most events, do not.
    pub(crate) fn is_news(&self, names: &GroupNames, me: &str, lease: &Lease, deleted: bool) -> bool {
        let name = lease.metadata.name.as_deref().unwrap_or_default();
        let holder = LeaseRecord::from_lease(lease).holder;
        if let Some(shard) = names.shard_number(name) {
            let known = self.holders.get(shard as usize).cloned().flatten();
            return deleted || (holder.as_deref() != Some(me) && holder != known);
        }
        let identity = holder.as_deref().unwrap_or(name);
        names.is_member(name) && deleted == self.members.contains_key(identity)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::ObjectMeta};

    use super::*;

    fn lease(name: &str, holder: &str, version: &str) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(name.into()),
                uid: Some(format!("uid-{name}")),
                resource_version: Some(version.into()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.into()),
                // Stands for the renewal that made this version.
                lease_transitions: version.parse().ok(),
                ..LeaseSpec::default()
            }),
        }
    }

    fn view(leases: Vec<Lease>) -> GroupView {
        GroupView::read(
            &GroupNames::new("sync", 2),
            &GroupView::default(),
            leases,
            Instant::now(),
        )
    }

    #[test]
    fn leases_are_told_apart_by_name() {
        let names = GroupNames::new("sync", 2);
        assert_eq!(names.shard_number("sync-1-of-2"), Some(1));
        for other in [
            "sync-2-of-2",
            "sync-1-of-3",
            "sync-01-of-2",
            "sync-1",
            "sync-member-1-of-2",
            "other-1-of-2",
        ] {
            assert_eq!(names.shard_number(other), None, "{other}");
        }
        assert!(names.is_member(&names.member("a")) && !names.is_member("sync-1-of-2"));
    }

    #[test]
    fn odd_identities_become_valid_and_different_names() {
        let names = GroupNames::new("sync", 2);
        assert_eq!(names.member("0f3c-9a"), "sync-member-0f3c-9a-of-2");
        let (upper, lower) = (names.member("Host_1"), names.member("host_1"));
        assert_ne!(upper, lower);
        for name in [upper, lower, names.member(&"x".repeat(253)), names.member("é")] {
            assert_eq!(crate::config::check_name("lease", &name, 253), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_member_ages_from_the_listing_that_first_showed_its_record() {
        let names = GroupNames::new("sync", 2);
        let start = Instant::now();
        let later = start + Duration::from_secs(5);
        let duration = Duration::from_secs(15);
        let first = GroupView::read(
            &names,
            &GroupView::default(),
            vec![lease("sync-member-a-of-2", "a", "1")],
            start,
        );
        let same = GroupView::read(&names, &first, vec![lease("sync-member-a-of-2", "a", "1")], later);
        assert_eq!(same.next_expiry("me", duration), Some(start + duration));
        let renewed = GroupView::read(&names, &same, vec![lease("sync-member-a-of-2", "a", "2")], later);
        assert_eq!(renewed.next_expiry("me", duration), Some(later + duration));
        assert_eq!(
            renewed.next_expiry("a", duration),
            None,
            "a replica does not wait for its own end"
        );
    }

    #[test]
    fn only_moves_are_news() {
        let names = GroupNames::new("sync", 2);
        let view = view(vec![
            lease("sync-0-of-2", "a", "1"),
            lease("sync-member-a-of-2", "a", "1"),
        ]);
        let news = |name: &str, holder: &str, deleted| {
            view.is_news(&names, "me", &lease(name, holder, "9"), deleted)
        };
        assert!(!news("sync-0-of-2", "a", false), "the same holder");
        assert!(!news("sync-0-of-2", "me", false), "an own write");
        assert!(
            news("sync-0-of-2", "", false)
                && news("sync-0-of-2", "b", false)
                && news("sync-0-of-2", "a", true)
        );
        assert!(!news("sync-member-a-of-2", "a", false), "a renewal");
        assert!(news("sync-member-b-of-2", "b", false) && news("sync-member-a-of-2", "a", true));
        assert!(
            !news("sync-member-c-of-2", "c", true),
            "somebody the listing did not show either"
        );
    }

    #[test]
    fn a_shard_renamed_by_hand_is_lost() {
        let view = view(vec![
            lease("sync-0-of-2", "me", "1"),
            lease("sync-1-of-2", "b", "1"),
        ]);
        assert_eq!(view.lost(&BTreeSet::from([0, 1]), "me"), [1]);
    }
}
