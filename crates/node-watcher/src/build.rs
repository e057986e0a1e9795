//! Bodies of what is written (pure).

use api_types::{GameServerCondition, keys};
use serde_json::{Value, json};

use crate::plan::Label;

/// The merge patch of the label.
pub(crate) fn label_patch(label: &Label) -> Value {
    let value = match label {
        Label::Set(node) => json!(node),
        Label::Remove => Value::Null,
    };
    json!({ "metadata": { "labels": { keys::label::NODE_NAME: value } } })
}

/// The body of the server-side apply: one entry of the list, which is all that this field manager owns.
pub(crate) fn condition_body(condition: &GameServerCondition) -> Value {
    json!({ "status": { "conditions": [condition] } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_goes_is_null_in_the_patch() {
        assert_eq!(
            label_patch(&Label::Remove),
            json!({"metadata": {"labels": {"game.kruise.io/node-name": null}}})
        );
    }
}
