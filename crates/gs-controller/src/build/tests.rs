use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fixture::{self, GameServer, Set, pod, set};

/// The object that the API server would store, with the given UID added.
fn born(set: &Set) -> GameServer {
    let mut body = game_server(&pod().view(), &set.view());
    body["metadata"]["uid"] = json!(fixture::GAME_SERVER_UID);
    GameServer(body)
}

#[test]
fn a_cascade_game_server_is_owned_by_its_pod() {
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "arena-0", "uid": fixture::POD_UID,
        "controller": true, "blockOwnerDeletion": true}]);
    assert_eq!(born(&set()).0["metadata"]["ownerReferences"], owner);
}

#[test]
fn a_kept_game_server_is_owned_by_its_set() {
    let owner = json!([{"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "name": "arena",
        "uid": fixture::SET_UID, "controller": true, "blockOwnerDeletion": true}]);
    assert_eq!(born(&set().keeping()).0["metadata"]["ownerReferences"], owner);
}

#[test]
fn defaults_and_template_metadata_are_there_from_birth() {
    let set = set().template(&json!({"tier": "gold"}), &json!({"gs-sync/map": "dust"}));
    let game_server = born(&set).0;
    assert_eq!(
        game_server["spec"],
        json!({"opsState": "None", "updatePriority": 0, "deletionPriority": 0, "networkDisabled": false})
    );
    assert_eq!(
        game_server["metadata"]["labels"],
        json!({"tier": "gold", "game.kruise.io/owner-gss": "arena", "game.kruise.io/node-name": "node-1"})
    );
    assert_eq!(
        game_server["metadata"]["annotations"],
        json!({"gs-sync/map": "dust", "game.kruise.io/gsTemplate-metadata-hash": set.view().template_hash,
            "game.kruise.io/gsTemplate-metadata-keys": "label:tier,annotation:gs-sync/map"})
    );
}

#[test]
fn a_template_cannot_set_what_has_a_writer_of_its_own() {
    let set = set().template(
        &json!({"game.kruise.io/owner-gss": "other", "game.kruise.io/gs-deleting": "true"}),
        &json!({"game.kruise.io/gsTemplate-metadata-hash": "x"}),
    );
    assert_eq!(set.view().template_hash, fixture::set().view().template_hash);
    assert_eq!(
        born(&set).0["metadata"]["labels"]["game.kruise.io/owner-gss"],
        "arena"
    );
    assert_eq!(
        born(&set).0["metadata"]["labels"].get("game.kruise.io/gs-deleting"),
        None
    );
}

#[test]
fn a_node_name_too_long_for_a_label_is_left_out() {
    let long = pod()
        .edit(|it| it["spec"]["nodeName"] = json!("n".repeat(64)))
        .view();
    let body = game_server(&long, &set().view());
    assert_eq!(body["metadata"]["labels"].get("game.kruise.io/node-name"), None);
}

#[test]
fn once_it_exists_its_node_is_another_writers() {
    let unlabelled = born(&set()).edit(|it| {
        let labels = it["metadata"]["labels"].as_object_mut().unwrap();
        labels.remove("game.kruise.io/node-name");
    });
    for server in [
        unlabelled,
        born(&set()).label("game.kruise.io/node-name", "node-2"),
    ] {
        assert_eq!(metadata_patch(Some(&set().view()), &server.view()), None);
    }
}

#[test]
fn without_the_set_the_template_metadata_stays() {
    assert_eq!(metadata_patch(None, &born(&set()).view()), None);
}

#[test]
fn a_damaged_record_removes_nothing_that_has_a_writer_of_its_own() {
    let record = "label:game.kruise.io/owner-gss,annotation:game.kruise.io/gsTemplate-metadata-hash,label:,x,label:old";
    assert_eq!(
        taken_keys(record).into_iter().collect::<Vec<_>>(),
        [TakenKey::Label("old")]
    );
}

fn keys_and_values() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[a-d]", "[x-z]", 0..4)
}

proptest! {
    /// From any template to any other: what the old one gave and the new one does not is gone, what the new one gives
    /// is there, what a user added stays, and then nothing is left to do.
    #[test]
    fn a_patch_leads_to_the_new_template_and_keeps_the_users_keys(
        (old_labels, old_annotations) in (keys_and_values(), keys_and_values()),
        (new_labels, new_annotations) in (keys_and_values(), keys_and_values()),
        users in prop::collection::btree_map("user-[a-d]", "[x-z]", 0..3),
    ) {
        let mut server = born(&set().template(&json!(old_labels), &json!(old_annotations)));
        for (key, value) in &users {
            server.0["metadata"]["labels"][key] = json!(value);
            server.0["metadata"]["annotations"][key] = json!(value);
        }
        let new = set().template(&json!(new_labels), &json!(new_annotations));
        if let Some(patch) = metadata_patch(Some(&new.view()), &server.view()) {
            fixture::merge(&mut server.0, &patch);
        }
        let mut expected = born(&new).0["metadata"].clone();
        for (key, value) in &users {
            expected["labels"][key] = json!(value);
            expected["annotations"][key] = json!(value);
        }
        expected["uid"] = json!(fixture::GAME_SERVER_UID);
        prop_assert_eq!(&server.0["metadata"], &expected);
        prop_assert_eq!(metadata_patch(Some(&new.view()), &server.view()), None);
    }
}
