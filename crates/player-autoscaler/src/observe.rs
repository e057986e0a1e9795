//! Reads what is known about one set from the caches.

use std::sync::Arc;

use controller_kit::{echo::Version, key::ObjectKey, resource, store::Store};

use crate::{
    plan::{Observed, Other},
    totals::{Sums, Totals},
    views::{HpaView, ScaledObjectView, SetView},
};

/// Index of what scales sets, by the set.
pub(crate) const BY_SET: &str = "set";

/// The caches.
#[derive(Clone)]
pub(crate) struct Stores {
    /// Sets that opted in.
    pub sets: Store<SetView>,
    /// Servers and players of each set.
    pub totals: Arc<Totals>,
    /// HorizontalPodAutoscalers.
    pub hpas: Store<HpaView>,
    /// KEDA's ScaledObjects; `None` in a cluster that has no such kind.
    pub scaled_objects: Option<Store<ScaledObjectView>>,
}

/// What the caches hold about one set at one time.
pub(crate) struct Snapshot {
    /// The set.
    pub set: Arc<SetView>,
    sums: Sums,
    other: Option<Other>,
}

impl Stores {
    /// Reads the caches; `None` for a set that is gone.
    pub(crate) fn observe(&self, key: &ObjectKey) -> Option<Snapshot> {
        Some(Snapshot {
            set: self.sets.get(key)?,
            sums: self.totals.of(key),
            other: self.other(key),
        })
    }

    /// What else scales the set: the first by kind and name, so that it is always the same.
    fn other(&self, key: &ObjectKey) -> Option<Other> {
        let value = key.to_string();
        // KEDA's is told first: the HorizontalPodAutoscaler that it makes is not what people wrote.
        let objects = self.scaled_objects.iter();
        let objects = objects.flat_map(|store| store.by_index(BY_SET, &value));
        let object = objects.map(|it| it.metadata.name.clone()).min();
        if let Some(name) = object {
            let kind = resource::SCALED_OBJECT.kind;
            return Some(Other { kind, name });
        }
        let hpas = self.hpas.by_index(BY_SET, &value);
        let name = hpas.into_iter().map(|it| it.metadata.name.clone()).min()?;
        let kind = resource::HORIZONTAL_POD_AUTOSCALER.kind;
        Some(Other { kind, name })
    }
}

impl Snapshot {
    /// The snapshot as the plan takes it.
    pub(crate) fn observed(&self) -> Observed<'_> {
        Observed {
            set: &self.set,
            sums: self.sums,
            other: self.other.as_ref(),
        }
    }

    /// Version of the set.
    pub(crate) fn version(&self) -> Version<'_> {
        Version {
            uid: &self.set.metadata.uid,
            resource_version: &self.set.metadata.resource_version,
        }
    }
}
