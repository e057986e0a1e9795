//! How many servers a set should have (pure).

mod metadata;
mod wanted;

pub(crate) use self::{
    metadata::Wish,
    wanted::{Wanted, wanted},
};
use controller_kit::tally::Sum;

/// What one server counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Nobody has it, and it is ready.
    Available,
    /// Nobody has it, and it will be ready by itself: it starts, or is being updated in place.
    Coming,
    /// Nobody has it, and it was ready, or never will be.
    Broken,
    /// Somebody has it, or an operator keeps it for himself.
    Taken,
    /// It may be taken away.
    WaitToBeDeleted,
    /// It is about to be taken away, and replicas with it.
    Kill,
}

impl Standing {
    pub(crate) const ALL: [Self; 6] = [
        Self::Available,
        Self::Coming,
        Self::Broken,
        Self::Taken,
        Self::WaitToBeDeleted,
        Self::Kill,
    ];

    /// For metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Coming => "coming",
            Self::Broken => "broken",
            Self::Taken => "taken",
            Self::WaitToBeDeleted => "wait_to_be_deleted",
            Self::Kill => "kill",
        }
    }
}

/// Servers of one set, by what they count as. Those that are being taken away are not in it: their places are others'.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts([u32; Standing::ALL.len()]);

impl Counts {
    /// How many count as this.
    pub(crate) fn of(&self, standing: Standing) -> u32 {
        self.0[standing as usize]
    }

    /// All of them.
    pub(crate) fn total(&self) -> u32 {
        self.0.iter().sum()
    }
}

impl Sum for Counts {
    type Share = Standing;

    fn add(&mut self, standing: &Standing) {
        self.0[*standing as usize] += 1;
    }

    fn subtract(&mut self, standing: &Standing) {
        self.0[*standing as usize] -= 1;
    }

    fn is_empty(&self) -> bool {
        self.total() == 0
    }
}

#[cfg(test)]
mod tests;
