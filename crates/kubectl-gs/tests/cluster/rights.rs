//! The roles in `docs/kubectl-gs.md` are enough for what they are for, and for no more.

use std::path::Path;

use serde::Deserialize as _;
use serde_json::Value;
use test_bed::{Scope, allow, service_account};

use crate::world::World;

/// The rules of the role of this name in the documentation.
fn documented(name: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kubectl-gs.md");
    let text = std::fs::read_to_string(file).unwrap();
    let yaml = text
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let mut roles = serde_yaml::Deserializer::from_str(yaml).map(|role| Value::deserialize(role).unwrap());
    let role = roles.find(|role| role["metadata"]["name"] == name).unwrap();
    role["rules"].as_array().unwrap().clone()
}

#[tokio::test]
async fn documented_roles_are_enough_and_no_more() {
    let world = World::new().await;
    for name in ["arena-0", "arena-1", "arena-2"] {
        world.server(name, &[]).await;
    }
    // Named after their roles: by that name `cargo xtask rights-used` knows whose requests they are.
    let mut accounts = Vec::new();
    for role in ["gs-allocator", "gs-viewer"] {
        accounts.push(service_account(&world, role).await);
        allow(&world, role, role, &documented(role), Scope::Namespace).await;
    }
    let (allocator, viewer) = (accounts[0].to_path_buf(), accounts[1].to_path_buf());

    for line in [
        "allocate --set arena -o name",
        "allocate -l game.kruise.io/owner-gss=arena",
    ] {
        let answer = world.gs_as(&allocator, line).await;
        assert_eq!(answer.code, 0, "{line}: {answer:?}");
    }
    let release = world.gs_as(&allocator, "release arena-0 arena-1 arena-2").await;
    assert_eq!(release.stdout.lines().count(), 3, "{release:?}");
    for line in ["list", "describe arena-0", "why arena-0", "sync-gap", "top"] {
        let answer = world.gs_as(&viewer, line).await;
        assert_eq!(answer.code, 0, "{line}: {answer:?}");
    }
    for line in [
        "allocate --set arena",
        "drain arena-0",
        "set-ops arena-0 Maintaining",
    ] {
        let answer = world.gs_as(&viewer, line).await;
        assert_eq!(
            (answer.code, answer.stderr.lines().count()),
            (1, 1),
            "{line}: {answer:?}"
        );
        assert!(answer.stderr.contains("forbidden"), "{answer:?}");
    }
    world.delete_namespace().await;
}
