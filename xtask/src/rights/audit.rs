//! From a line of the API server's audit log to what somebody asked for.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::rbac::Grant;

/// Whose request it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// A ServiceAccount of this name, in whatever namespace: its rights were asked.
    Account(String),
    /// A program of this name with somebody else's rights, as tests of one controller run it.
    Program(String),
}

/// A request, with what makes it different from others in the eyes of an authorizer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Request {
    /// Whose it was.
    pub(super) who: Who,
    /// The right that it needed; with the name of the object.
    pub(super) right: Grant,
    /// Whether the API server refused it for want of that right.
    pub(super) refused: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(borrow)]
    user_agent: Option<std::borrow::Cow<'a, str>>,
    object_ref: Option<Object>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Object {
    resource: String,
    subresource: String,
    api_group: String,
    name: String,
}

/// What everybody may ask who has an account at all: what he may do.
const FOR_EVERYBODY: &str = "authorization.k8s.io";

/// Reads a line; `None` where it is about no object, or about nobody who is named.
///
/// # Errors
/// When it isn't an event of an audit log.
pub(super) fn request(line: &str) -> serde_json::Result<Option<Request>> {
    let line: Line<'_> = serde_json::from_str(line)?;
    let user = line.impersonated_user.unwrap_or(line.user).username;
    let Some(who) = who(&user, line.user_agent.as_deref().unwrap_or_default()) else {
        return Ok(None);
    };
    let Some(object) = line.object_ref.filter(|object| object.api_group != FOR_EVERYBODY) else {
        return Ok(None);
    };
    let resource = match object.subresource.as_str() {
        "" => object.resource,
        part => format!("{}/{part}", object.resource),
    };
    let decision = line.annotations.get("authorization.k8s.io/decision");
    Ok(Some(Request {
        who,
        right: Grant {
            group: object.api_group,
            resource,
            verb: line.verb,
            name: object.name,
        },
        refused: decision.is_some_and(|decision| decision == "forbid"),
    }))
}

/// By the account; where a person's rights are used, by the program that says its name.
fn who(user: &str, agent: &str) -> Option<Who> {
    if let Some(account) = user.strip_prefix("system:serviceaccount:") {
        return Some(Who::Account(account.split_once(':')?.1.to_owned()));
    }
    let program = agent.split_once('/')?.0;
    let program = program.strip_prefix("gamekeeper-").unwrap_or(program);
    Some(Who::Program(program.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn line() -> Value {
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": "ResponseComplete", "verb": "patch",
            "requestURI": "/apis/game.kruise.io/v1alpha1/namespaces/a/gameservers/arena-0/status?fieldManager=x",
            "user": {"username": "system:serviceaccount:gamekeeper-system:gs-controller", "groups": ["system:authenticated"]},
            "userAgent": "gs-controller/0.1.0",
            "objectRef": {
                "resource": "gameservers", "subresource": "status", "apiGroup": "game.kruise.io", "apiVersion": "v1alpha1",
                "namespace": "a", "name": "arena-0",
            },
            "responseStatus": {"metadata": {}, "code": 200},
            "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "RBAC: \"allowed\""},
        })
    }

    fn read(line: &Value) -> Option<Request> {
        request(&line.to_string()).unwrap()
    }

    #[test]
    fn a_request_is_of_its_account_and_needs_one_right() {
        let read = read(&line()).unwrap();
        assert_eq!(read.who, Who::Account("gs-controller".into()));
        assert_eq!(
            read.right.to_string(),
            "patch gameservers.game.kruise.io/status arena-0"
        );
        assert!(!read.refused);
    }

    #[test]
    fn a_conflict_is_no_refusal_and_neither_is_one_of_admission() {
        for code in [409, 403] {
            let mut line = line();
            line["responseStatus"]["code"] = json!(code);
            assert!(!read(&line).unwrap().refused, "{code}");
        }
        let mut line = line();
        line["annotations"]["authorization.k8s.io/decision"] = json!("forbid");
        assert!(read(&line).unwrap().refused);
    }

    #[test]
    fn with_an_administrators_rights_a_program_is_known_by_what_it_says_of_itself() {
        let mut line = line();
        line["user"]["username"] = json!("gamekeeper-admin");
        assert_eq!(read(&line).unwrap().who, Who::Program("gs-controller".into()));
        line["userAgent"] = json!("gamekeeper-migrate/0.1.0");
        assert_eq!(read(&line).unwrap().who, Who::Program("migrate".into()));
        line["userAgent"] = Value::Null;
        assert_eq!(read(&line), None);
    }

    #[test]
    fn who_acts_as_another_is_that_other() {
        let mut line = line();
        line["user"]["username"] = json!("gamekeeper-admin");
        line["impersonatedUser"] = json!({"username": "system:serviceaccount:a:gs-viewer"});
        assert_eq!(read(&line).unwrap().who, Who::Account("gs-viewer".into()));
    }

    #[test]
    fn what_is_about_no_object_or_what_everybody_may_is_left_out() {
        let mut line = line();
        line["objectRef"] =
            json!({"resource": "selfsubjectaccessreviews", "apiGroup": "authorization.k8s.io"});
        assert_eq!(read(&line), None);
        line["objectRef"] = Value::Null;
        assert_eq!(read(&line), None);
        assert!(request("{\"verb\": 1}").is_err());
    }
}
