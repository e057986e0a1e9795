//! Bodies of what is written (pure).

use api_types::{GameServerCondition, keys};
use serde_json::{Value, json};

use crate::plan::{Label, Plan};

/// The merge patch of the label.
pub(crate) fn label_patch(label: &Label) -> Value {
    let value = match label {
        Label::Set(node) => json!(node),
        Label::Remove => Value::Null,
    };
    json!({ "metadata": { "labels": { keys::label::NODE_NAME: value } } })
}

/// The body of the server-side apply: one entry of the list and the node's address, which is all that this field manager
/// owns. Both are in it each time: what is left out is removed.
pub(crate) fn status_body(plan: &Plan) -> Option<Value> {
    let address = plan.address.as_ref();
    if plan.condition.is_none() && address.is_none() {
        return None;
    }
    let stored = address.and_then(|address| address.condition.as_ref());
    let conditions: Vec<&GameServerCondition> = plan.condition.as_ref().or(stored).into_iter().collect();
    let mut status = json!({});
    if !conditions.is_empty() {
        status["conditions"] = json!(conditions);
    }
    if let Some(public_ip) = address.and_then(|address| address.public_ip.as_ref()) {
        status["publicIP"] = json!(public_ip);
    }
    Some(json!({ "status": status }))
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

    #[test]
    fn what_is_not_news_is_sent_again() {
        use crate::plan::Address;
        let condition = |status: &str| GameServerCondition {
            type_: "NodeNormal".into(),
            status: status.into(),
            ..GameServerCondition::default()
        };
        let address = |public_ip: Option<&str>, stored: Option<&str>| {
            Some(Address {
                public_ip: public_ip.map(Into::into),
                condition: stored.map(condition),
            })
        };
        let body = |new: Option<&str>, address: Option<Address>| {
            let plan = Plan {
                condition: new.map(condition),
                address,
                ..Plan::default()
            };
            status_body(&plan).map(|body| {
                let status = &body["status"];
                (
                    status["publicIP"].clone(),
                    status["conditions"][0]["status"].clone(),
                )
            })
        };
        assert_eq!(body(None, None), None);
        assert_eq!(
            body(None, address(Some("1.2.3.4"), Some("False"))),
            Some((json!("1.2.3.4"), json!("False")))
        );
        assert_eq!(
            body(Some("True"), address(Some("1.2.3.4"), Some("False"))),
            Some((json!("1.2.3.4"), json!("True")))
        );
        assert_eq!(body(Some("True"), None), Some((Value::Null, json!("True"))));
        assert_eq!(body(None, address(None, None)), Some((Value::Null, Value::Null)));
    }
}
