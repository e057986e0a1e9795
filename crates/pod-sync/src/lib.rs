//! pod-sync.
pub mod label;
pub mod overlay;
pub mod plan;
pub mod record;
#[cfg(test)]
mod fixture;
