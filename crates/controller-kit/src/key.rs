//! The name of one namespaced object, cheap to clone.

use std::fmt;
use std::sync::Arc;

use api_types::views::{Meta, shared};

/// Namespace and name of an object. Cloning copies two pointers.
///
/// A key says nothing about identity over time: an object deleted and made again has the same key
/// and another UID. Every write takes the UID for that reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The object's namespace; empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// A key from its two parts.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of the object that `meta` belongs to. Keys of one namespace hold its name once.
    pub fn of(meta: &Meta) -> Self {
        Self::new(shared(&meta.namespace), meta.name.as_str())
    }
}

impl From<&Meta> for ObjectKey {
    fn from(meta: &Meta) -> Self {
        Self::of(meta)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_display_leaves_out_an_empty_namespace() {
        assert_eq!(ObjectKey::new("games", "lobby-0").to_string(), "games/lobby-0");
        assert_eq!(ObjectKey::new("", "node-1").to_string(), "node-1");
    }
}
