//! Keeps the PodDisruptionBudget of each namespace as its sets need it.

use api_types::{GameServerSetView, eviction::Policy, keys};
use controller_kit::{
    key::ObjectKey,
    queue::Next,
    resource::POD_DISRUPTION_BUDGET,
    store::Store,
    write::{Created, MetaOnly, PatchKind, Precondition, Target, WriteError, Writer},
};

use super::pods::is_namespace_ending;
use crate::{
    build::budget,
    error::Error,
    metrics,
    observe::BY_NAMESPACE,
    plan::guard::{self, GuardStep, Guarded},
    views::BudgetView,
};

/// The budgets of all namespaces.
pub struct Guards {
    /// Sets, indexed by namespace.
    pub sets: Store<GameServerSetView>,
    /// PodDisruptionBudgets, indexed by namespace.
    pub budgets: Store<BudgetView>,
    /// Who may evict servers of sets that say nothing.
    pub default: Policy,
    /// The way to the API server.
    pub writer: Writer,
}

/// The key under which a namespace is looked at: its budget, there or not.
pub fn key(namespace: &str) -> ObjectKey {
    ObjectKey::new(namespace, keys::EVICTION_BUDGET)
}

impl Guards {
    /// Looks at one namespace, and does what is due.
    pub(crate) async fn write(&self, key: &ObjectKey) -> Result<Next, Error> {
        let sets = self.sets.by_index(BY_NAMESPACE, &key.namespace);
        let sets = sets.iter().filter(|set| guard::is_planned(set));
        let sets: Vec<Guarded> = sets.map(|set| Guarded::of(set, self.default)).collect();
        let budgets = self.budgets.by_index(BY_NAMESPACE, &key.namespace);
        let target = Target::new(POD_DISRUPTION_BUDGET, &key.namespace, &key.name);
        match guard::plan(&sets, &budgets) {
            GuardStep::None => {}
            GuardStep::Create(selector) => {
                return self
                    .create(&target, &budget::made(&key.namespace, &selector))
                    .await;
            }
            GuardStep::Restore {
                uid,
                version,
                selector,
                surplus,
            } => {
                let body = budget::restored(&selector, &surplus);
                let version = Precondition::version(&uid, &version);
                self.writer
                    .patch::<MetaOnly>(&target, PatchKind::Merge, version, body)
                    .await
                    .map_err(Error::during("restore a PodDisruptionBudget"))?;
                metrics::budget("restored");
            }
            GuardStep::Delete { uid } => {
                let deleted = self.writer.delete(&target, Precondition::uid(&uid)).await;
                deleted.map_err(Error::during("delete a PodDisruptionBudget"))?;
                metrics::budget("deleted");
            }
        }
        Ok(Next::Done)
    }

    async fn create(&self, target: &Target<'_>, body: &serde_json::Value) -> Result<Next, Error> {
        match self.writer.create::<_, MetaOnly>(target, body).await {
            Ok(Created::New(_)) => {
                metrics::budget("created");
                Ok(Next::Done)
            }
            // Another leader's, or somebody else's: the watch says which.
            Ok(Created::AlreadyExists) | Err(WriteError::NotFound) => Ok(Next::Done),
            Err(error) if is_namespace_ending(&error) => Ok(Next::Done),
            Err(error) => Err(Error::during("create a PodDisruptionBudget")(error)),
        }
    }
}
