//! The only ways Gamekeeper changes the cluster: create, patch, apply, delete.
//!
//! | shape | precondition | a stale decision shows as |
//! |---|---|---|
//! | [`Writer::create`] | the deterministic name is free | [`Created::AlreadyExists`] |
//! | [`Writer::patch`] | UID, and `resourceVersion` where it acts on a decision | [`WriteError::Conflict`], [`WriteError::NotFound`] |
//! | [`Writer::apply`] | UID | [`WriteError::Conflict`] |
//! | [`Writer::delete`] | UID, and `resourceVersion` where it acts on a decision | [`WriteError::Conflict`], [`Deleted::Gone`] |
//!
//! A request is sent once and has a deadline. Nothing here retries: the caller plans again.

mod encode;
mod outcome;
mod request;

pub(crate) use self::request::describe;

use std::time::Duration;

use kube::Client;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::encode::encode;
pub use self::outcome::{FailedWrite, WriteError};
use self::request::Call;
use crate::bug;
use crate::resource::ResourceKind;

/// The object a write is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Its kind.
    pub resource: ResourceKind,
    /// Its namespace; empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// `status`, `scale`, …, or the object itself.
    pub subresource: Option<&'static str>,
}

impl<'a> Target<'a> {
    /// The object itself.
    pub fn new(resource: ResourceKind, namespace: &'a str, name: &'a str) -> Self {
        Self {
            resource,
            namespace,
            name,
            subresource: None,
        }
    }

    /// The object's `status` subresource.
    pub fn status(resource: ResourceKind, namespace: &'a str, name: &'a str) -> Self {
        Self {
            subresource: Some("status"),
            ..Self::new(resource, namespace, name)
        }
    }
}

/// What must still hold when the write arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precondition<'a> {
    /// UID of the object the decision was about. Never empty: such a write is refused before it is sent.
    pub uid: &'a str,
    /// The version the decision was taken from; `None` when any later version will do.
    pub resource_version: Option<&'a str>,
}

impl<'a> Precondition<'a> {
    /// The object must be this one, in any version.
    pub fn uid(uid: &'a str) -> Self {
        Self {
            uid,
            resource_version: None,
        }
    }

    /// The object must be this one, in exactly this version.
    pub fn version(uid: &'a str, resource_version: &'a str) -> Self {
        Self {
            uid,
            resource_version: Some(resource_version),
        }
    }
}

/// How the body of a patch is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// JSON merge patch: objects are merged, lists replaced, null removes. Works on every kind.
    Merge,
    /// Strategic merge patch: lists are merged by key. Built-in kinds only.
    Strategic,
    /// JSON patch: a list of operations; preconditions become `test` operations at its head. The API server does
    /// not say which operation failed, so one that does not fit the object (a path that is not there) shows as
    /// `Conflict` too: it was built for another state of the object.
    Json,
}

/// The outcome of a create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created<R> {
    /// The object was made by this request.
    New(R),
    /// The name is taken. Whose object it is must be looked at before it is believed to be ours.
    AlreadyExists,
}

/// The outcome of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The object is gone or on its way (grace period, finalizers).
    Accepted,
    /// There was nothing of that name.
    Gone,
}

/// An answer of metadata only. Asking for it makes the API server leave out the rest of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(from = "request::PartialObject")]
pub struct MetaOnly {
    /// The object's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
    /// Its version after the write.
    pub resource_version: String,
    /// Its generation; 0 for kinds without one.
    pub generation: i64,
}

/// Sends writes under one field manager.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    field_manager: &'static str,
    deadline: Duration,
}

impl Writer {
    /// Deadline of a request unless [`with_deadline`](Self::with_deadline) says otherwise.
    pub const DEADLINE: Duration = Duration::from_secs(4);

    /// A writer whose changes are recorded under `field_manager`.
    pub fn new(client: Client, field_manager: &'static str) -> Self {
        Self {
            client,
            field_manager,
            deadline: Self::DEADLINE,
        }
    }

    /// The same writer with another deadline for a whole request, connecting included.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Creates the object `body`, which carries the deterministic name in its metadata.
    ///
    /// # Errors
    /// Any [`WriteError`] but `Conflict` for a taken name. After `Unknown` the object may exist.
    pub async fn create<B, R>(&self, target: &Target<'_>, body: &B) -> Result<Created<R>, WriteError>
    where
        B: Serialize + Sync + ?Sized,
        R: DeserializeOwned + 'static,
    {
        let call = Call::create(target, self.field_manager, encode(body)?);
        match self.send(target, call).await {
            Ok(answer) => Ok(Created::New(answer)),
            Err(outcome::Failure::AlreadyExists) => Ok(Created::AlreadyExists),
            Err(outcome::Failure::Error(error)) => Err(error),
        }
    }

    /// Patches the object if `precondition` holds. `body` is the patch without preconditions: an object for
    /// `Merge` and `Strategic`, a list of operations for `Json`.
    ///
    /// # Errors
    /// `Conflict` when the object is another one or another version, `NotFound` when it is gone.
    pub async fn patch<R>(
        &self,
        target: &Target<'_>,
        kind: PatchKind,
        precondition: Precondition<'_>,
        body: Value,
    ) -> Result<R, WriteError>
    where
        R: DeserializeOwned + 'static,
    {
        let precondition = if bug::active("patch-without-version") {
            Precondition::uid(precondition.uid)
        } else {
            precondition
        };
        let body = guarded_patch(kind, precondition, body)?;
        let call = Call::patch(target, self.field_manager, kind, encode(&body)?);
        Ok(self.send(target, call).await?)
    }

    /// Applies the complete set of fields this field manager owns to the object with this UID (server-side
    /// apply, forced). `apiVersion`, `kind` and name are filled in.
    ///
    /// # Errors
    /// `Conflict` when the object is another one or gone: an apply never creates here.
    pub async fn apply<R>(&self, target: &Target<'_>, uid: &str, body: Value) -> Result<R, WriteError>
    where
        R: DeserializeOwned + 'static,
    {
        let mut body = guarded_patch(PatchKind::Merge, Precondition::uid(uid), body)?;
        body["apiVersion"] = json!(target.resource.api_version());
        body["kind"] = json!(target.resource.kind);
        body["metadata"]["name"] = json!(target.name);
        let call = Call::apply(target, self.field_manager, encode(&body)?);
        Ok(self.send(target, call).await?)
    }

    /// Deletes the object if `precondition` holds, with its kind's default grace period and propagation.
    ///
    /// # Errors
    /// `Conflict` when the object of that name is another one or another version: the decision was stale.
    pub async fn delete(
        &self,
        target: &Target<'_>,
        precondition: Precondition<'_>,
    ) -> Result<Deleted, WriteError> {
        self.send_delete(target, delete_options(precondition)?).await
    }

    /// Deletes the object like [`delete`](Self::delete) and leaves the objects it owns: the garbage collector takes its
    /// references off them.
    ///
    /// # Errors
    /// As of [`delete`](Self::delete).
    pub async fn delete_orphaning(
        &self,
        target: &Target<'_>,
        precondition: Precondition<'_>,
    ) -> Result<Deleted, WriteError> {
        let mut options = delete_options(precondition)?;
        options["propagationPolicy"] = json!("Orphan");
        self.send_delete(target, options).await
    }

    async fn send_delete(&self, target: &Target<'_>, body: Value) -> Result<Deleted, WriteError> {
        match self
            .send::<request::Ignored>(target, Call::delete(target, encode(&body)?))
            .await
        {
            Ok(_) => Ok(Deleted::Accepted),
            Err(outcome::Failure::Error(WriteError::NotFound)) => Ok(Deleted::Gone),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Reads the object as it is now, past every cache.
    ///
    /// # Errors
    /// Any [`WriteError`] but `NotFound`, which is `None`.
    pub async fn read<R>(&self, target: &Target<'_>) -> Result<Option<R>, WriteError>
    where
        R: DeserializeOwned + 'static,
    {
        match self.send(target, Call::get(target)).await {
            Ok(answer) => Ok(Some(answer)),
            Err(outcome::Failure::Error(WriteError::NotFound)) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn send<R>(&self, target: &Target<'_>, call: Call) -> Result<R, outcome::Failure>
    where
        R: DeserializeOwned + 'static,
    {
        let mut retries = if bug::active("blind-retry") { 6 } else { 0 };
        while retries > 0 {
            retries -= 1;
            let again = request::send(&self.client, self.deadline, target, call.clone()).await;
            if !matches!(again, Err(outcome::Failure::Error(WriteError::Unknown(_)))) {
                return again;
            }
        }
        request::send(&self.client, self.deadline, target, call).await
    }
}

fn require_uid(precondition: Precondition<'_>) -> Result<(), WriteError> {
    if precondition.uid.is_empty() {
        // The API server takes an empty UID as none at all: the write would hit whatever has the name.
        return Err(WriteError::Invalid(
            "refused before sending: a write to an object needs its UID".into(),
        ));
    }
    Ok(())
}

fn delete_options(precondition: Precondition<'_>) -> Result<Value, WriteError> {
    require_uid(precondition)?;
    let mut preconditions = json!({ "uid": precondition.uid });
    if let Some(version) = precondition.resource_version {
        preconditions["resourceVersion"] = json!(version);
    }
    if bug::active("delete-without-uid") {
        preconditions = json!({});
    }
    Ok(json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions }))
}

/// Puts the preconditions into the body of a patch.
fn guarded_patch(kind: PatchKind, precondition: Precondition<'_>, body: Value) -> Result<Value, WriteError> {
    require_uid(precondition)?;
    match (kind, body) {
        (PatchKind::Json, Value::Array(operations)) => {
            let test = |path: &str, value: &str| json!({ "op": "test", "path": path, "value": value });
            let mut guarded = vec![test("/metadata/uid", precondition.uid)];
            guarded.extend(
                precondition
                    .resource_version
                    .map(|v| test("/metadata/resourceVersion", v)),
            );
            guarded.extend(operations);
            Ok(Value::Array(guarded))
        }
        (PatchKind::Merge | PatchKind::Strategic, Value::Object(mut body)) => {
            let metadata = body.entry("metadata").or_insert_with(|| json!({}));
            let Value::Object(metadata) = metadata else {
                return Err(WriteError::Invalid(
                    "refused before sending: metadata is not an object".into(),
                ));
            };
            metadata.insert("uid".into(), json!(precondition.uid));
            if let Some(version) = precondition.resource_version {
                metadata.insert("resourceVersion".into(), json!(version));
            }
            Ok(Value::Object(body))
        }
        (kind, _) => Err(WriteError::Invalid(format!(
            "refused before sending: the body does not fit a {kind:?} patch"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preconditions_go_into_the_body_of_every_kind_of_patch() {
        let at = Precondition::version("u1", "42");
        let merged = guarded_patch(
            PatchKind::Merge,
            at,
            json!({ "metadata": { "labels": { "a": "b" } } }),
        );
        assert_eq!(
            merged.unwrap(),
            json!({ "metadata": { "labels": { "a": "b" }, "uid": "u1", "resourceVersion": "42" } })
        );
        let listed = guarded_patch(
            PatchKind::Json,
            Precondition::uid("u1"),
            json!([{ "op": "remove", "path": "/x" }]),
        );
        assert_eq!(
            listed.unwrap(),
            json!([
                { "op": "test", "path": "/metadata/uid", "value": "u1" },
                { "op": "remove", "path": "/x" }
            ])
        );
    }

    #[test]
    fn an_empty_uid_or_a_body_of_the_wrong_shape_is_refused() {
        let invalid = |kind, uid, body| {
            matches!(
                guarded_patch(kind, Precondition::uid(uid), body),
                Err(WriteError::Invalid(_))
            )
        };
        assert!(invalid(PatchKind::Merge, "", json!({})));
        assert!(invalid(PatchKind::Merge, "u", json!([])));
        assert!(invalid(PatchKind::Json, "u", json!({})));
        assert!(invalid(PatchKind::Strategic, "u", json!({ "metadata": 1 })));
    }
}
