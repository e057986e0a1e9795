//! Arithmetic of load (pure): whole numbers only, so there is nothing that is not a number.

use super::settings::Settings;

/// Players held against capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// Players on all servers.
    pub players: u64,
    /// What all servers take.
    pub capacity: u64,
    /// What one more, or one less, server takes.
    pub each: u64,
}

impl Load {
    /// Whether the players take more than this percentage of `capacity`. Equal is not more.
    fn above(self, percent: u64, capacity: u64) -> bool {
        u128::from(self.players) * 100 > u128::from(percent) * u128::from(capacity)
    }

    /// Whether the players take less than this percentage of `capacity`. Equal is not less.
    fn below(self, percent: u64, capacity: u64) -> bool {
        u128::from(self.players) * 100 < u128::from(percent) * u128::from(capacity)
    }

    /// Whether servers are to be added.
    pub(crate) fn is_high(self, settings: &Settings) -> bool {
        self.above(settings.scale_out, self.capacity)
    }

    /// Whether servers are to be taken away.
    pub(crate) fn is_low(self, settings: &Settings) -> bool {
        self.below(settings.scale_in, self.capacity)
    }

    /// How many servers to add, of at most `room`: as many as a step has, but none that the load would not want to stay. 0 without
    /// room.
    pub(crate) fn servers_to_add(self, settings: &Settings, room: u32) -> u32 {
        let most = settings.step.min(room);
        let wanted = |more: &u32| {
            let capacity = self.capacity + u64::from(*more) * self.each;
            *more == 1 || !self.below(settings.scale_in, capacity)
        };
        (1..=most).rev().find(wanted).unwrap_or(0)
    }

    /// How many servers to take away, of at most `room`: as many as a step has, but none whose players would then be a load that
    /// adds servers again. 0 where one is already too many.
    pub(crate) fn servers_to_remove(self, settings: &Settings, room: u32) -> u32 {
        let most = settings.step.min(room);
        let bearable = |less: &u32| {
            let left = self.capacity.saturating_sub(u64::from(*less) * self.each);
            self.below(settings.scale_out, left)
        };
        (1..=most).rev().find(bearable).unwrap_or(0)
    }
}
