//! Which keys belong to which shard, and which shards are owned here.

/// The most shards one group may have: all its leases are read in one list.
pub const MAX_SHARDS: u32 = 256;

/// The shard of an object: 64-bit FNV-1a over `namespace/name`, modulo `shards`.
///
/// The same in every replica, on every platform and in every release: changing it moves every object to another owner.
pub fn shard_of(namespace: &str, name: &str, shards: u32) -> u32 {
    let bytes = namespace.bytes().chain(*b"/").chain(name.bytes());
    (fnv1a(bytes) % u64::from(shards.max(1))) as u32
}

pub(crate) fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The shards this process owns at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedShards {
    owned: Vec<bool>,
}

impl OwnedShards {
    /// None of `shards` shards.
    pub fn none(shards: u32) -> Self {
        Self {
            owned: vec![false; shards.max(1) as usize],
        }
    }

    /// All of `shards` shards.
    pub fn all(shards: u32) -> Self {
        Self {
            owned: vec![true; shards.max(1) as usize],
        }
    }

    /// Those of `shards` shards that are listed; numbers out of range are ignored.
    pub fn of(shards: u32, listed: impl IntoIterator<Item = u32>) -> Self {
        let mut owned = Self::none(shards);
        for shard in listed {
            if let Some(slot) = owned.owned.get_mut(shard as usize) {
                *slot = true;
            }
        }
        owned
    }

    /// How many shards there are in all, at least 1.
    pub fn shards(&self) -> u32 {
        self.owned.len() as u32
    }

    /// How many of them are owned here.
    pub fn len(&self) -> usize {
        self.owned.iter().filter(|owned| **owned).count()
    }

    /// Whether none is owned here.
    pub fn is_empty(&self) -> bool {
        !self.owned.contains(&true)
    }

    /// Whether this shard is owned here; `false` for numbers out of range.
    pub fn contains(&self, shard: u32) -> bool {
        self.owned.get(shard as usize).copied().unwrap_or(false)
    }

    /// The shard of an object, see [`shard_of`].
    pub fn shard_of(&self, namespace: &str, name: &str) -> u32 {
        shard_of(namespace, name, self.shards())
    }

    /// Whether the shard of this object is owned here.
    pub fn owns(&self, namespace: &str, name: &str) -> bool {
        self.contains(self.shard_of(namespace, name))
    }

    /// The owned shards in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.shards()).filter(|shard| self.contains(*shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv1a_64() {
        // Published test vectors of FNV-1a, 64 bits.
        assert_eq!(fnv1a("".bytes()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a".bytes()), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar".bytes()), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_shard_of_an_object_never_changes_between_releases() {
        let shards: Vec<_> = (0..6)
            .map(|i| shard_of("default", &format!("minecraft-{i}"), 8))
            .collect();
        assert_eq!(shards, [7, 4, 5, 2, 3, 0]);
        assert_eq!(shard_of("any", "thing", 1), 0);
        assert_ne!(shard_of("a", "b-c", 1 << 30), shard_of("a-b", "c", 1 << 30));
    }

    #[test]
    fn a_thousand_servers_spread_evenly() {
        let mut counts = [0_u32; 8];
        for i in 0..1000 {
            counts[shard_of("games", &format!("lobby-{i}"), 8) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (100..=150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn membership_is_by_number() {
        let owned = OwnedShards::of(4, [1, 3, 9]);
        assert_eq!(owned.iter().collect::<Vec<_>>(), [1, 3]);
        assert_eq!((owned.len(), owned.shards(), owned.is_empty()), (2, 4, false));
        assert!(!owned.contains(9) && OwnedShards::none(4).is_empty());
        assert!(OwnedShards::all(1).owns("any", "thing"));
    }
}
