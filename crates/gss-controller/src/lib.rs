//! Owns the Pods of every GameServerSet.

pub mod plan;
