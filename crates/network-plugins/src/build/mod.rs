//! Objects and patches as they are sent (pure).

pub(crate) mod ingress;
mod metadata;
pub(crate) mod service;
#[cfg(test)]
mod tests;

pub(crate) use metadata::Belongings;
