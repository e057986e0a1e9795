//! Bodies of what is written (pure).

use api_types::PlayerAutoscalingStatus;
use serde_json::{Value, json};

/// The merge patch of the scale subresource.
pub(crate) fn scale_patch(replicas: i32) -> Value {
    json!({ "spec": { "replicas": replicas } })
}

/// The merge patch of the status; without one the field goes. Absent values are said as null, or a merge would leave what was
/// there before.
pub(crate) fn status_patch(status: Option<&PlayerAutoscalingStatus>) -> Value {
    let field = status.map(|status| {
        json!({
            "ableToScale": status.able_to_scale,
            "reason": status.reason,
            "message": status.message,
            "lastTransitionTime": status.last_transition_time,
            "lastScaleTime": status.last_scale_time,
            "lastScale": status.last_scale,
            "replicas": status.replicas,
        })
    });
    json!({ "status": { "playerAutoscaling": field } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_status_is_in_the_patch() {
        let full = PlayerAutoscalingStatus {
            able_to_scale: true,
            reason: "Settling".into(),
            message: "m".into(),
            last_transition_time: Some("t".into()),
            last_scale_time: Some("t".into()),
            last_scale: Some("s".into()),
            replicas: Some(3),
        };
        let patch = status_patch(Some(&full));
        assert_eq!(
            patch["status"]["playerAutoscaling"],
            serde_json::to_value(&full).unwrap()
        );
        let empty = status_patch(Some(&PlayerAutoscalingStatus::default()));
        assert_eq!(empty["status"]["playerAutoscaling"]["lastScaleTime"], Value::Null);
        assert!(
            empty["status"]["playerAutoscaling"]
                .as_object()
                .unwrap()
                .contains_key("lastScale")
        );
        assert_eq!(status_patch(None)["status"]["playerAutoscaling"], Value::Null);
    }
}
