#![allow(dead_code, reason = "each test file uses a part of it")]

//! A client and a namespace of its own for each test, on the cluster that `cargo xtask cluster up` made.

pub(crate) mod proxy;

use std::time::Duration;

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Namespace};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ObjectMeta, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use leader_election::Timing;

/// A third of a second of retry, so a test takes seconds; the ratios are those of the defaults.
pub(crate) fn short_timing() -> Timing {
    Timing {
        duration: Duration::from_secs(3),
        renew_deadline: Duration::from_secs(2),
        retry: Duration::from_millis(400),
    }
}

pub(crate) async fn config() -> Config {
    let kubeconfig = Kubeconfig::read_from(test_bed::kubeconfig()).expect("a readable kubeconfig");
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .expect("a usable kubeconfig");
    config.default_retry = false;
    config
}

/// A client of its own, as every process has: one that is dropped or stopped disturbs no other.
pub(crate) async fn client() -> Client {
    Client::try_from(config().await).expect("a client")
}

/// A namespace for one test; call [`Space::delete`] at the end.
pub(crate) struct Space {
    pub(crate) name: String,
    pub(crate) leases: Api<Lease>,
    namespaces: Api<Namespace>,
}

impl Space {
    pub(crate) async fn new() -> Self {
        let client = client().await;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = Namespace {
            metadata: ObjectMeta {
                generate_name: Some("leases-".into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let made = namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .expect("a namespace");
        let name = made.metadata.name.expect("a generated name");
        Self {
            leases: Api::namespaced(client, &name),
            name,
            namespaces,
        }
    }

    pub(crate) async fn holder(&self, lease: &str) -> Option<String> {
        let lease = self.leases.get_opt(lease).await.expect("an answer")?;
        lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
    }

    pub(crate) async fn delete(self) {
        self.namespaces
            .delete(&self.name, &DeleteParams::default())
            .await
            .expect("deleted");
    }
}

/// Waits until `condition` holds, asking every 5 ms; panics with `what` after `limit`.
pub(crate) async fn eventually(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}
