//! Players and servers of each set.

use controller_kit::tally::{Sum, Tally};

/// What one server adds to its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Players on the server.
    pub players: u32,
    /// Players it takes, where it said so itself.
    pub capacity: Option<u32>,
}

/// Sums over the servers of one set that are not on their way out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Servers.
    pub servers: u32,
    /// Their players.
    pub players: u64,
    /// Servers that said what they take.
    pub own: u32,
    /// What those take.
    pub own_capacity: u64,
}

/// The sums of all sets.
pub(crate) type Totals = Tally<Sums>;

impl Sums {
    /// What all servers take, when those that did not say take `each`.
    pub(crate) fn capacity(&self, each: u32) -> u64 {
        self.own_capacity + u64::from(self.servers.saturating_sub(self.own)) * u64::from(each)
    }
}

impl Sum for Sums {
    type Share = Share;

    fn add(&mut self, share: &Share) {
        self.servers += 1;
        self.players += u64::from(share.players);
        self.own += u32::from(share.capacity.is_some());
        self.own_capacity += share.capacity.map_or(0, u64::from);
    }

    fn subtract(&mut self, share: &Share) {
        self.servers -= 1;
        self.players -= u64::from(share.players);
        self.own -= u32::from(share.capacity.is_some());
        self.own_capacity -= share.capacity.map_or(0, u64::from);
    }

    fn is_empty(&self) -> bool {
        self.servers == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_can_be_taken_away() {
        let shares = [
            Share {
                players: 3,
                capacity: None,
            },
            Share {
                players: 4,
                capacity: Some(40),
            },
        ];
        let mut sums = Sums::default();
        for share in &shares {
            sums.add(share);
        }
        assert_eq!((sums.players, sums.capacity(10)), (7, 50));
        for share in &shares {
            sums.subtract(share);
        }
        assert_eq!(sums, Sums::default());
    }
}
