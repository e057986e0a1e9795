//! What is written, and when (pure).

pub(crate) mod entry;
pub(crate) mod limit;
pub(crate) mod report;

#[cfg(test)]
mod model;
