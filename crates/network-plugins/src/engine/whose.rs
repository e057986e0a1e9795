//! Whose an object of a server's name is (pure).

use api_types::{keys, views::Meta};

use crate::views::{PodView, SetView};

/// Whose an object of a server's name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The server's.
    Ours,
    /// It is going away; its end is an event.
    Going,
    /// Of an earlier Pod or set of the same name, which is gone: the garbage collector would come for it.
    Forgotten,
    /// Somebody else's.
    Foreign(String),
}

/// Whose the object is. An object of an earlier Pod is never taken over: a cloud may be taking it down already.
pub(crate) fn whose(object: &Meta, pod: &PodView, set: Option<&SetView>) -> Whose {
    if object.is_terminating() {
        return Whose::Going;
    }
    let owner = object.controller().or_else(|| object.owner_references.first());
    let Some(owner) = owner else {
        return Whose::Foreign("has no owner".to_owned());
    };
    let is_set = set.is_some_and(|set| set.metadata.uid == owner.uid)
        || pod
            .metadata
            .controller()
            .is_some_and(|of_pod| of_pod.uid == owner.uid);
    if owner.uid == pod.metadata.uid || is_set {
        return Whose::Ours;
    }
    let earlier_pod = owner.kind == "Pod" && owner.name == pod.metadata.name;
    let earlier_set =
        owner.kind == keys::KIND_GAME_SERVER_SET && *owner.name == *pod.facts.set && set.is_some();
    if earlier_pod || earlier_set {
        Whose::Forgotten
    } else {
        Whose::Foreign(format!("belongs to {} {}", owner.kind, owner.name))
    }
}
