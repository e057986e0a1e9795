//! What a GameServer says, in the words of this command. Pure.

use api_types::{DeletionClaim, GameServer, keys, names, ops_state};
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use crate::style::Tone;

/// The name; objects from the API server always have one.
pub fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// The namespace.
pub fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

/// The UID.
pub fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

/// A label's value.
pub fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

/// An annotation's value.
pub fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// When the object was made.
pub fn created(meta: &ObjectMeta) -> Option<Timestamp> {
    meta.creation_timestamp.as_ref().map(|time| time.0)
}

/// The set of a server or its Pod; the former one of a server that was taken out of it.
pub fn set(meta: &ObjectMeta) -> Option<&str> {
    label(meta, keys::label::OWNER_GSS).or_else(|| label(meta, keys::label::REMOVED_FROM_GSS))
}

/// The state; empty before it has one.
pub fn state(server: &GameServer) -> &str {
    let status = server.status.as_ref();
    status
        .and_then(|status| status.current_state.as_deref())
        .unwrap_or_default()
}

/// The opsState, `None` where it has none.
pub fn ops_state(server: &GameServer) -> &str {
    ops_state::normalise(server.spec.ops_state.as_deref())
}

/// The deletion claim.
pub fn claim(server: &GameServer) -> Option<&DeletionClaim> {
    server.status.as_ref()?.deletion_claim.as_ref()
}

/// UID of the Pod this GameServer lives and dies with; absent where it outlives its Pods.
pub fn owner_pod(server: &GameServer) -> Option<&str> {
    let mut owners = server.metadata.owner_references.iter().flatten();
    owners
        .find(|owner| owner.controller == Some(true) && owner.kind == "Pod")
        .map(|owner| owner.uid.as_str())
}

/// Whether the GameServer speaks for this Pod: one that lives and dies with another Pod of the same name does not.
pub fn speaks_for(server: &GameServer, pod_uid: &str) -> bool {
    owner_pod(server).is_none_or(|owner| owner == pod_uid)
}

/// Players and capacity as this server's Pod reported them. Without knowing the Pod, what the report itself says.
pub fn players(server: &GameServer) -> Option<(u32, Option<u32>)> {
    let status = server.status.as_ref()?;
    let reported = status.reported.as_ref()?;
    speaks_for(server, &reported.pod_uid).then_some(())?;
    let players = status.players.as_ref()?;
    Some((players.count, players.capacity))
}

/// Why the server is on its way out, where it is.
pub fn leaving(server: &GameServer) -> Option<String> {
    if let Some(claim) = claim(server) {
        return Some(claim.reason.clone());
    }
    if server.metadata.deletion_timestamp.is_some() {
        return Some("Deleting".to_owned());
    }
    (server.spec.marked_for_deletion == Some(true)).then(|| "marked".to_owned())
}

/// Where a server sorts: namespace, set, number, name.
pub fn rank(meta: &ObjectMeta) -> (&str, &str, u32, &str) {
    let name = name(meta);
    let number = names::ordinal_of(name).unwrap_or(u32::MAX);
    (namespace(meta), set(meta).unwrap_or_default(), number, name)
}

/// The tone of a state.
pub fn tone_of_state(state: &str) -> Tone {
    match state {
        "Ready" => Tone::Good,
        "Creating" | "PreUpdate" | "Updating" => Tone::Busy,
        "PreDelete" | "Deleting" | "NotReady" => Tone::Warn,
        "Crash" => Tone::Bad,
        _ => Tone::Dim,
    }
}

/// The tone of an opsState.
pub fn tone_of_ops_state(ops_state: &str) -> Tone {
    match ops_state {
        ops_state::NONE => Tone::Plain,
        ops_state::ALLOCATED => Tone::Busy,
        ops_state::KILL => Tone::Bad,
        _ => Tone::Warn,
    }
}

/// The Pod's lifecycle state, where it has one.
pub fn lifecycle(pod: &Pod) -> Option<&str> {
    label(&pod.metadata, keys::label::LIFECYCLE_STATE)
}

/// A name as kubectl takes it: `arena-3`, `gs/arena-3`, `gameserver.game.kruise.io/arena-3`.
///
/// # Errors
/// When it names another kind of object.
pub fn named(text: &str) -> Result<&str, String> {
    match text.split_once('/') {
        None => Ok(text),
        Some((kind, name)) if is_server_kind(kind) && !name.is_empty() => Ok(name),
        Some((kind, _)) => Err(format!(
            "{text:?}: {kind:?} is not a kind of game server; write gs/NAME"
        )),
    }
}

fn is_server_kind(kind: &str) -> bool {
    let kind = kind.split('.').next().unwrap_or_default().to_ascii_lowercase();
    matches!(kind.as_str(), "gs" | "gameserver" | "gameservers")
}

/// The name of a set after `gss/` and the like.
pub fn named_set(text: &str) -> Option<&str> {
    let (kind, name) = text.split_once('/')?;
    let kind = kind.split('.').next()?.to_ascii_lowercase();
    matches!(kind.as_str(), "gss" | "gameserverset" | "gameserversets").then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(extra: &serde_json::Value) -> GameServer {
        let mut object = json!({
            "metadata": {"name": "arena-3", "namespace": "games", "labels": {keys::label::OWNER_GSS: "arena"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "arena-3", "uid": "p1", "controller": true}]},
        });
        for (key, value) in extra.as_object().unwrap() {
            object[key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn names_are_taken_as_kubectl_takes_them() {
        assert_eq!(named("arena-3"), Ok("arena-3"));
        assert_eq!(named("gs/arena-3"), Ok("arena-3"));
        assert_eq!(named("GameServer.game.kruise.io/arena-3"), Ok("arena-3"));
        assert!(named("pod/arena-3").is_err());
        assert!(named("gs/").is_err());
        assert_eq!(named_set("gss/arena"), Some("arena"));
        assert_eq!(named_set("arena"), None);
    }

    #[test]
    fn players_of_an_earlier_pod_are_not_on_this_one() {
        let report = |uid: &str| json!({"status": {"players": {"count": 5}, "reported": {"podUID": uid}}});
        assert_eq!(players(&server(&report("p1"))), Some((5, None)));
        assert_eq!(players(&server(&report("p0"))), None);
    }

    #[test]
    fn a_server_that_goes_says_why() {
        assert_eq!(leaving(&server(&json!({}))), None);
        let marked = server(&json!({"spec": {"markedForDeletion": true}}));
        assert_eq!(leaving(&marked).as_deref(), Some("marked"));
        let claimed = json!({"podUID": "p1", "reason": "ScaleIn", "time": "2026-01-01T00:00:00Z"});
        let claimed =
            server(&json!({"spec": {"markedForDeletion": true}, "status": {"deletionClaim": claimed}}));
        assert_eq!(leaving(&claimed).as_deref(), Some("ScaleIn"));
    }

    #[test]
    fn numbers_sort_as_numbers() {
        let mut names = ["arena-10", "arena-9", "arena-x"].map(|name| ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        });
        names.sort_by(|a, b| rank(a).cmp(&rank(b)));
        let names: Vec<&str> = names.iter().map(name).collect();
        assert_eq!(names, ["arena-9", "arena-10", "arena-x"]);
    }
}
