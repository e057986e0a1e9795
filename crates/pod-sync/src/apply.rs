//! The one write of this controller.

use controller_kit::{
    key::ObjectKey,
    resource::POD,
    write::{MetaOnly, Precondition, Target, WriteError, Writer},
};

use crate::{build::build_body, plan::PodPatch};

/// Sends `patch` and returns the Pod's new resource version.
///
/// # Errors
/// `Conflict` when the Pod is not the one, or not as, the plan was made from (ADR 0008); `NotFound` when it is gone.
pub(crate) async fn apply(writer: &Writer, key: &ObjectKey, patch: &PodPatch) -> Result<String, WriteError> {
    let target = Target::new(POD, &key.namespace, &key.name);
    let (kind, body) = build_body(patch);
    let precondition = Precondition::version(&patch.uid, &patch.resource_version);
    // Metadata only: the Pod's spec and status would be most of the answer, and we know them.
    let answer: MetaOnly = writer.patch(&target, kind, precondition, body).await?;
    Ok(answer.resource_version)
}
