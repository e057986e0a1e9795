//! The rights of `e2e/rbac/` are enough, as a Role in one namespace.

use test_bed::{Scope, allow, rules, service_account};

use crate::world::World;

const NAME: &str = "external-scaler";

#[tokio::test]
async fn the_rights_are_enough() {
    let world = World::new().await;
    let kubeconfig = service_account(&world, NAME).await;
    allow(&world, NAME, NAME, &rules(NAME, "ClusterRole"), Scope::Namespace).await;
    world.set("arena", 1).await;
    world.server("arena", 0, "Allocated", "Ready").await;
    let scaler = world.scaler_as(&kubeconfig, &[]).await;
    let keda = world.keda(&scaler, "arena", &[("minAvailable", "0.5")]).await;
    assert_eq!(keda.value().await.unwrap(), 2);
    assert_eq!(scaler.process.forbidden().await, 0, "requests were refused");
    world.delete_namespace().await;
}
