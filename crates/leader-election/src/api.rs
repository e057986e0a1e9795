//! The few Lease requests, each with a deadline, none of them repeated by itself.

use std::{collections::BTreeMap, future::Future, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
};

use crate::record::{Claim, Version};

/// Field manager of every write to a Lease.
pub const FIELD_MANAGER: &str = "gamekeeper-leader-election";

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// Definitely not applied: the named version is not the stored one, or the object is gone or already there.
    #[error("the stored lease is another one: {0}")]
    Refused(String),
    /// Anything else. A write may have been applied.
    #[error("{0}")]
    Failed(String),
}

/// Requests for the Leases of one namespace.
#[derive(Clone)]
pub(crate) struct LeaseApi {
    api: Api<Lease>,
    deadline: Duration,
}

impl LeaseApi {
    pub(crate) fn new(client: Client, namespace: &str, deadline: Duration) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            deadline,
        }
    }

    pub(crate) fn api(&self) -> &Api<Lease> {
        &self.api
    }

    pub(crate) async fn read(&self, name: &str) -> Result<Option<Lease>, RequestError> {
        self.bounded(self.api.get_opt(name)).await
    }

    /// The leases with these labels, all from one snapshot: no page limit, and no `resourceVersion`, so the answer is the newest state.
    pub(crate) async fn list(&self, selector: &str) -> Result<(Vec<Lease>, String), RequestError> {
        let list = self
            .bounded(self.api.list(&ListParams::default().labels(selector)))
            .await?;
        Ok((list.items, list.metadata.resource_version.unwrap_or_default()))
    }

    pub(crate) async fn create(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
        claim: &Claim,
    ) -> Result<Lease, RequestError> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: (!labels.is_empty()).then(|| labels.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(claim.stamp(None, Timestamp::now())),
        };
        self.bounded(self.api.create(&write_params(), &lease)).await
    }

    /// Writes `claim` over exactly the version that `stored` is; everything else in it stays as it is.
    pub(crate) async fn replace(
        &self,
        stored: &Lease,
        labels: &BTreeMap<String, String>,
        claim: &Claim,
    ) -> Result<Lease, RequestError> {
        let name = stored.metadata.name.clone().unwrap_or_default();
        let mut lease = stored.clone();
        lease.metadata.managed_fields = None;
        if !labels.is_empty() {
            lease
                .metadata
                .labels
                .get_or_insert_default()
                .extend(labels.clone());
        }
        lease.spec = Some(claim.stamp(stored.spec.as_ref(), Timestamp::now()));
        self.bounded(self.api.replace(&name, &write_params(), &lease))
            .await
    }

    /// Deletes exactly this version.
    pub(crate) async fn delete(&self, name: &str, version: &Version) -> Result<(), RequestError> {
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: Some(version.uid.clone()),
            resource_version: Some(version.resource_version.clone()),
        });
        self.bounded(self.api.delete(name, &params)).await.map(|_| ())
    }

    async fn bounded<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, RequestError> {
        match tokio::time::timeout(self.deadline, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(classify(&error)),
            Err(_) => Err(RequestError::Failed(format!(
                "no answer within {:?}",
                self.deadline
            ))),
        }
    }
}

fn write_params() -> PostParams {
    PostParams {
        dry_run: false,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    }
}

fn classify(error: &kube::Error) -> RequestError {
    match error {
        kube::Error::Api(status) if matches!(status.code, 404 | 409) => {
            RequestError::Refused(status.message.clone())
        }
        kube::Error::Api(status) => RequestError::Failed(format!("{} {}", status.code, status.message)),
        other => RequestError::Failed(other.to_string()),
    }
}
