//! The commands: reading, deciding (elsewhere, purely), writing, printing.

pub mod allocate;
pub mod change;
pub mod complete;
pub mod describe;
pub mod drain;
pub mod list;
pub mod release;
pub mod set_ops;
pub mod sync_gap;
pub mod top;
pub mod why;
