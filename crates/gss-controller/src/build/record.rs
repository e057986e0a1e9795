//! The body that stores a plan record.

use api_types::PlanRecord;
use serde_json::{Value, json};

/// `status.plan` for a merge patch. Empty lists are said, or the patch would leave what was there before.
pub fn plan_patch(record: &PlanRecord) -> Value {
    json!({
        "generation": record.generation,
        "desired": record.desired,
        "reserved": record.reserved,
        "implicit": record.implicit,
        "growing": record.growing,
        "deleting": record.deleting,
        "updating": record.updating,
    })
}
