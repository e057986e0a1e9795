//! The rights of `e2e/rbac/` are enough, as a Role in one namespace.

use test_bed::{Scope, allow, rules, service_account};

use crate::world::{World, settings};

const NAME: &str = "player-autoscaler";

#[tokio::test]
async fn the_rights_are_enough() {
    let world = World::new().await;
    let kubeconfig = service_account(&world, NAME).await;
    allow(&world, NAME, NAME, &rules(NAME, "ClusterRole"), Scope::Namespace).await;
    allow(&world, NAME, "leases", &rules(NAME, "Role"), Scope::Namespace).await;
    world.set("arena", 1, settings(0)).await;
    let flags = ["--lease-namespace", &world.namespace];
    let process = world.autoscaler_as(&kubeconfig, &flags).await;
    world.reason_until("arena", "AtMinimum").await;
    world.players("arena-0", 10).await;
    world.replicas_until("arena", 2).await;
    world.event_until("ScaledOut").await;
    assert_eq!(process.forbidden().await, 0, "requests were refused");
    world.delete_namespace().await;
}
