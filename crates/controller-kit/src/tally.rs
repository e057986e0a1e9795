//! Sums over groups of objects that are kept, never counted again: an event costs the same however large its group is.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::key::ObjectKey;

/// Something that objects are added to and taken away from.
pub trait Sum: Default {
    /// What one object adds.
    type Share: Clone + PartialEq;

    /// Adds an object's share.
    fn add(&mut self, share: &Self::Share);
    /// Takes away what was added before.
    fn subtract(&mut self, share: &Self::Share);
    /// Whether nothing is in it.
    fn is_empty(&self) -> bool;
}

/// The sums of all groups. Nothing is kept of a group without objects.
pub struct Tally<S: Sum>(Mutex<Inner<S>>);

struct Inner<S: Sum> {
    /// What each object adds now, and to which group: the event of a resync has no old object to take away.
    shares: HashMap<ObjectKey, (ObjectKey, S::Share)>,
    sums: HashMap<ObjectKey, S>,
}

impl<S: Sum> Default for Tally<S> {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            shares: HashMap::new(),
            sums: HashMap::new(),
        }))
    }
}

impl<S: Sum> fmt::Debug for Tally<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("Tally")
            .field("objects", &inner.shares.len())
            .field("groups", &inner.sums.len())
            .finish()
    }
}

impl<S: Sum> Tally<S> {
    /// An object adds this to this group now, and nothing when `None`. Gives the groups whose sums changed: none, one, or two.
    pub fn set(&self, object: &ObjectKey, share: Option<&(ObjectKey, S::Share)>) -> Vec<ObjectKey> {
        let mut inner = self.lock();
        if inner.shares.get(object) == share {
            return Vec::new();
        }
        let old = match share {
            Some(share) => inner.shares.insert(object.clone(), share.clone()),
            None => inner.shares.remove(object),
        };
        let mut changed = Vec::new();
        if let Some((group, share)) = old {
            if let Some(sum) = inner.sums.get_mut(&group) {
                sum.subtract(&share);
                if sum.is_empty() {
                    inner.sums.remove(&group);
                }
            }
            changed.push(group);
        }
        if let Some((group, share)) = share {
            inner.sums.entry(group.clone()).or_default().add(share);
            if !changed.contains(group) {
                changed.push(group.clone());
            }
        }
        changed
    }

    /// The sum of one group.
    pub fn of(&self, group: &ObjectKey) -> S
    where
        S: Clone,
    {
        self.lock().sums.get(group).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        // No code that can panic runs between the steps of a change: each subtraction takes away what was added.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, Default, PartialEq)]
    struct Count {
        objects: u32,
        weight: u32,
    }

    impl Sum for Count {
        type Share = u32;

        fn add(&mut self, weight: &u32) {
            self.objects += 1;
            self.weight += weight;
        }

        fn subtract(&mut self, weight: &u32) {
            self.objects -= 1;
            self.weight -= weight;
        }

        fn is_empty(&self) -> bool {
            self.objects == 0
        }
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("games", name)
    }

    type History = Vec<(u8, Option<(u8, u32)>)>;

    fn histories() -> impl Strategy<Value = History> {
        let share = proptest::option::of((0_u8..3, 0_u32..100));
        proptest::collection::vec((0_u8..8, share), 0..200)
    }

    proptest! {
        #[test]
        fn the_sums_are_those_of_a_full_count_after_any_history(history in histories()) {
            let tally = Tally::<Count>::default();
            let mut objects: HashMap<u8, (u8, u32)> = HashMap::new();
            for (object, share) in history {
                let keyed = share.map(|(group, weight)| (key(&format!("group-{group}")), weight));
                tally.set(&key(&format!("object-{object}")), keyed.as_ref());
                match share {
                    Some(share) => objects.insert(object, share),
                    None => objects.remove(&object),
                };
                for group in 0..3 {
                    let of_it = || objects.values().filter(|share| share.0 == group);
                    let counted = Count { objects: of_it().count() as u32, weight: of_it().map(|share| share.1).sum() };
                    prop_assert_eq!(tally.of(&key(&format!("group-{group}"))), counted);
                }
            }
            for object in 0..8 {
                tally.set(&key(&format!("object-{object}")), None);
            }
            prop_assert!(tally.lock().sums.is_empty() && tally.lock().shares.is_empty());
        }
    }

    #[test]
    fn only_groups_whose_sums_changed_are_told() {
        let tally = Tally::<Count>::default();
        let (object, one, other) = (key("a-0"), key("a"), key("b"));
        assert_eq!(
            tally.set(&object, Some(&(one.clone(), 3))),
            std::slice::from_ref(&one)
        );
        assert_eq!(tally.set(&object, Some(&(one.clone(), 3))), []);
        assert_eq!(
            tally.set(&object, Some(&(one.clone(), 4))),
            std::slice::from_ref(&one)
        );
        assert_eq!(
            tally.set(&object, Some(&(other.clone(), 4))),
            [one, other.clone()]
        );
        assert_eq!(tally.set(&object, None), [other]);
        assert_eq!(tally.set(&object, None), []);
    }
}
