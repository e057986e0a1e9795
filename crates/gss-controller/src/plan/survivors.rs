//! GameServers that outlive their Pods (reclaimPolicy Delete).

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::keys::label;

use super::{
    ids::{Id, IdSet},
    server::{Server, Stage},
};
use crate::views::GameServerView;

/// One write to a surviving GameServer, decided from this version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurvivorStep {
    /// The server's id.
    pub id: Id,
    /// Name of the GameServer.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The version the decision was made from.
    pub resource_version: String,
    /// What to write.
    pub change: SurvivorChange,
}

/// What to write to a surviving GameServer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SurvivorChange {
    /// Label `gs-deleting`: true when it shall go with its Pod, false when its id is wanted again.
    MarkDeleting(bool),
    /// Take back the mark for deletion, before the claim: it was for the Pod that is gone, and the next one would go too.
    Unmark {
        /// UID of the Pod the claim was about.
        pod_uid: String,
    },
    /// Remove the deletion claim: the Pod it was about is gone and the server may be allocated again.
    ClearClaim {
        /// UID of the Pod the claim was about.
        pod_uid: String,
    },
}

/// The writes that bring the GameServers owned by the set in line with the desired ids.
///
/// A GameServer is marked only once its Pod's deletion is certain (claimed, or no Pod is left): a server that is merely
/// being recreated keeps its GameServer, and a scale-in that is taken back has marked nothing.
pub fn steps(
    set_uid: &str,
    desired: &IdSet,
    servers: &[Server],
    game_servers: &BTreeMap<Id, Arc<GameServerView>>,
) -> Vec<SurvivorStep> {
    servers
        .iter()
        .filter_map(|server| Some((server, game_servers.get(&server.id)?)))
        .filter(|(_, found)| {
            found
                .metadata
                .controller()
                .is_some_and(|owner| owner.uid == set_uid)
        })
        .filter(|(_, found)| !found.metadata.is_terminating())
        .filter_map(|(server, found)| {
            Some(SurvivorStep {
                id: server.id,
                name: found.metadata.name.clone(),
                uid: found.metadata.uid.clone(),
                resource_version: found.metadata.resource_version.clone(),
                change: change(server, found, desired.contains(server.id))?,
            })
        })
        .collect()
}

fn change(server: &Server, found: &GameServerView, wanted: bool) -> Option<SurvivorChange> {
    let marked = found.metadata.label(label::GS_DELETING) == Some("true");
    let going = matches!(
        server.stage(),
        None | Some(Stage::Claimed(_) | Stage::PreparingDelete(Some(_)) | Stage::Terminating)
    );
    match (wanted, marked) {
        (false, false) if going => return Some(SurvivorChange::MarkDeleting(true)),
        (true, true) => return Some(SurvivorChange::MarkDeleting(false)),
        _ => {}
    }
    let claim = found.deletion_claim.as_ref().filter(|_| wanted)?;
    let pod_is_gone = server.pod.as_ref().is_none_or(|pod| pod.uid != claim.pod_uid);
    let pod_uid = claim.pod_uid.clone();
    pod_is_gone.then(|| {
        if found.is_marked() {
            SurvivorChange::Unmark { pod_uid }
        } else {
            SurvivorChange::ClearClaim { pod_uid }
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::server::{Hold, ServerPod, Standing};

    fn found(deleting: Option<&str>, claim: Option<&str>) -> GameServerView {
        serde_json::from_value(json!({
            "metadata": {
                "name": "arena-0", "uid": "gs", "resourceVersion": "7",
                "labels": deleting.map(|value| json!({ "game.kruise.io/gs-deleting": value })).unwrap_or_default(),
                "ownerReferences": [{ "kind": "GameServerSet", "uid": "set", "controller": true }],
            },
            "status": { "deletionClaim": claim.map(|uid| json!({ "podUID": uid, "reason": "ScaleIn", "time": "" })) },
        }))
        .unwrap()
    }

    fn decide(wanted: bool, stage: Option<Stage>, found: GameServerView) -> Option<SurvivorChange> {
        let pod = stage.map(|stage| ServerPod {
            uid: "pod".into(),
            stage,
            available: true,
            hold: Hold::Free,
            backs_off: false,
        });
        let server = Server {
            id: 0,
            pod,
            standing: Standing::UNKNOWN,
            deletion_priority: 0,
            players: 0,
            marked: false,
        };
        let desired = if wanted {
            IdSet::parse_joined("0")
        } else {
            IdSet::new()
        };
        let found = BTreeMap::from([(0, Arc::new(found))]);
        steps("set", &desired, &[server], &found)
            .pop()
            .map(|step| step.change)
    }

    fn claimed() -> Stage {
        Stage::Claimed("ScaleIn".into())
    }

    // OpenKruiseGame marks by live Pods: the GameServer of a server that is merely being recreated is lost.
    #[test]
    fn a_game_server_is_marked_once_its_deletion_is_certain() {
        let mark = Some(SurvivorChange::MarkDeleting(true));
        assert_eq!(decide(false, Some(Stage::Live), found(None, None)), None);
        assert_eq!(decide(false, Some(claimed()), found(None, Some("pod"))), mark);
        assert_eq!(decide(false, None, found(Some("false"), None)), mark);
        assert_eq!(decide(false, None, found(Some("true"), None)), None);
        assert_eq!(decide(true, Some(Stage::Terminating), found(None, None)), None);
    }

    #[test]
    fn a_wanted_game_server_is_unmarked_and_its_old_claim_cleared() {
        let cleared = Some(SurvivorChange::ClearClaim {
            pod_uid: "old".into(),
        });
        assert_eq!(
            decide(true, None, found(Some("true"), Some("old"))),
            Some(SurvivorChange::MarkDeleting(false))
        );
        assert_eq!(decide(true, None, found(Some("false"), Some("old"))), cleared);
        assert_eq!(decide(true, Some(Stage::Live), found(None, Some("old"))), cleared);
        assert_eq!(decide(true, Some(claimed()), found(None, Some("pod"))), None);
        assert_eq!(
            decide(false, None, found(Some("true"), Some("old"))),
            None,
            "it goes as a whole"
        );
    }

    #[test]
    fn a_mark_goes_with_the_pod_it_was_for() {
        let marked = |claim| {
            let mut found = found(None, claim);
            found.spec.marked_for_deletion = Some(true);
            found
        };
        let unmark = Some(SurvivorChange::Unmark {
            pod_uid: "old".into(),
        });
        assert_eq!(decide(true, None, marked(Some("old"))), unmark);
        assert_eq!(decide(true, Some(Stage::Live), marked(Some("old"))), unmark);
        assert_eq!(decide(true, Some(claimed()), marked(Some("pod"))), None);
        assert_eq!(
            decide(true, Some(Stage::Live), marked(None)),
            None,
            "it is for this one"
        );
    }
}
