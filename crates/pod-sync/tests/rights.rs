//! The rights in e2e/rbac/pod-sync.yaml are enough for everything pod-sync does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod world;

use test_bed::{Scope, allow, rules, service_account};
use world::{PodSync, World};

const ACCOUNT: &str = "pod-sync";

#[tokio::test(flavor = "multi_thread")]
async fn rights_of_the_service_account_are_enough() {
    let world = World::new().await;
    let kubeconfig = service_account(&world, ACCOUNT).await;
    for (name, kind) in [(ACCOUNT, "ClusterRole"), ("pod-sync-leases", "Role")] {
        allow(&world, ACCOUNT, name, &rules(ACCOUNT, kind), Scope::Namespace).await;
    }
    world.server("arena-0").await;
    let flags = [
        "--shards=2",
        "--lease-namespace",
        &world.namespace,
        "--lease-name",
        &world.namespace,
    ];
    let mut process = PodSync::start_as(&world, &kubeconfig, &flags).await;

    process
        .metric_until("gamekeeper_pod_sync_owned_shards", &[], |owned| owned == 2)
        .await;
    world.set_ops_state("arena-0", "Allocated").await;
    world.label_until("arena-0", "gs-opsState", "Allocated").await;
    world
        .event_until(
            "arena-0",
            "GsStateChanged",
            "OpsState turn from None to Allocated ",
        )
        .await;
    assert_eq!(process.forbidden().await, 0);
    assert!(process.terminate().await.success());
}
