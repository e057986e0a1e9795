//! Text that many objects have in common, kept once.
//!
//! Of a few thousand Pods every one carries the same fifteen label keys, and values such as `None`, `0` and the name of its
//! set. Held by each object for itself they were most of what a controller kept in memory.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// Texts that are in use, or were at the last purge.
#[derive(Default)]
struct Known {
    texts: HashSet<Arc<str>>,
    /// How many were left after the last purge.
    kept: usize,
}

/// Below this number of texts nothing is ever purged.
const FEW: usize = 4096;

impl Known {
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        // Users choose keys and values too: those of objects that are gone must not stay. Purging at twice the size costs
        // each text a constant share.
        if self.texts.len() >= FEW.max(self.kept * 2) {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.kept = self.texts.len();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }
}

/// The one copy of `text` in this process. For text that recurs: looking it up takes a lock for some ten nanoseconds, and a
/// text that nobody else has costs more kept here than by itself.
pub fn shared(text: &str) -> Arc<str> {
    static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    known.lock().unwrap_or_else(PoisonError::into_inner).share(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one() {
        let (one, other) = (
            shared("game.kruise.io/gs-state"),
            shared("game.kruise.io/gs-state"),
        );
        assert!(Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn texts_of_objects_that_are_gone_go_too() {
        let mut known = Known::default();
        let in_use = known.share("in use");
        for number in 0..10 * FEW {
            known.share(&number.to_string());
        }
        assert!(known.texts.len() <= FEW, "{}", known.texts.len());
        assert!(Arc::ptr_eq(&in_use, &known.share("in use")));
    }
}
