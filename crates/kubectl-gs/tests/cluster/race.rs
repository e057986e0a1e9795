//! Many that allocate at the same time, and somebody who takes servers away meanwhile.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use test_bed::uid;

use crate::world::{Answer, World};

const CLIENTS: usize = 8;
const SERVERS: usize = 20;

fn given(answer: &Answer) -> Option<Value> {
    match answer.code {
        0 => Some(serde_json::from_str(&answer.stdout).unwrap()),
        3 => None,
        _ => panic!("{answer:?}"),
    }
}

/// 32 allocations of 20 servers by 8 clients: each server is given once, its Pod shows it when the answer comes, and the
/// rest is told that nothing is free.
#[tokio::test]
async fn no_server_is_given_twice() {
    let world = World::new().await;
    let names: Vec<String> = (0..SERVERS).map(|id| format!("arena-{id}")).collect();
    join_all(names.iter().map(|name| world.server(name, &[]))).await;
    let client = async || {
        let mut mine = Vec::new();
        for _ in 0..4 {
            let Some(found) = given(&world.gs("allocate --set arena --timeout 60s -o json").await) else {
                continue;
            };
            let name = found["name"].as_str().unwrap().to_owned();
            let pod = world.get(&world.path("pods", &name)).await.unwrap();
            assert_eq!(
                pod["metadata"]["labels"]["game.kruise.io/gs-opsState"], "Allocated",
                "{name}"
            );
            assert_eq!(uid(&pod), found["podUID"].as_str().unwrap());
            assert_eq!(found["address"], "10.1.0.7");
            mine.push(name);
        }
        mine
    };
    let all: Vec<String> = join_all((0..CLIENTS).map(|_| client())).await.concat();
    let distinct: BTreeSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "given twice: {all:?}");
    assert_eq!(distinct, names.iter().collect(), "none was left out");
    world.delete_namespace().await;
}

/// While servers are allocated, others are claimed for deletion from the version that was read, as gss-controller does it.
/// Whoever was first has it; the other is refused.
#[tokio::test]
async fn a_server_is_either_given_or_claimed() {
    let world = World::new().await;
    let names: Vec<String> = (0..12).map(|id| format!("arena-{id}")).collect();
    join_all(names.iter().map(|name| world.server(name, &[]))).await;
    let claim = async |name: &String| {
        let before = world.now(name).await;
        if before["spec"]["opsState"] == "Allocated" {
            return false;
        }
        let claim = json!({"podUID": "p", "reason": "ScaleIn", "time": "2026-01-01T00:00:00Z"});
        let patch = json!({
            "metadata": {"uid": uid(&before), "resourceVersion": before["metadata"]["resourceVersion"]},
            "status": {"deletionClaim": claim},
        });
        let path = format!("{}/status", world.path("gameservers", name));
        world.try_merge(&path, &patch).await
    };
    let claims = async {
        let mut claimed = BTreeSet::new();
        for name in names.iter().rev() {
            if claim(name).await {
                claimed.insert(name.clone());
            }
        }
        claimed
    };
    let clients = join_all((0..4).map(|_| async {
        let mut mine = Vec::new();
        for _ in 0..4 {
            let found = given(&world.gs("allocate --set arena --timeout 60s -o json").await);
            mine.extend(found.map(|found| found["name"].as_str().unwrap().to_owned()));
        }
        mine
    }));
    let (claimed, clients) = futures::join!(claims, clients);
    let given: Vec<String> = clients.concat();
    let distinct: BTreeSet<String> = given.iter().cloned().collect();
    assert_eq!(distinct.len(), given.len(), "given twice: {given:?}");
    assert!(
        distinct.is_disjoint(&claimed),
        "given and claimed: {distinct:?} {claimed:?}"
    );
    assert_eq!(
        distinct.len() + claimed.len(),
        names.len(),
        "left over: {distinct:?} {claimed:?}"
    );
    for name in &claimed {
        assert_eq!(world.now(name).await["spec"]["opsState"], "None", "{name}");
    }
    world.delete_namespace().await;
}

/// A Pod that never shows its allocation: the server is released again, and the answer says so.
#[tokio::test]
async fn what_no_pod_shows_is_given_back() {
    let world = World::new().await;
    world.server("mute-0", &[]).await;
    let late = world.gs("allocate --set mute --timeout 700ms").await;
    assert_eq!((late.code, late.stdout.as_str()), (4, ""), "{late:?}");
    assert!(
        late.stderr
            .contains("did not show its allocation within 0.7 s; it is released again"),
        "{late:?}"
    );
    assert_eq!(world.now("mute-0").await["spec"]["opsState"], "None");
    let set = world.gs("set-ops mute-0 Maintaining --timeout 300ms").await;
    assert_eq!(set.code, 4, "{set:?}");
    assert!(set.stderr.contains("kubectl gs sync-gap"), "{set:?}");
    world.delete_namespace().await;
}
