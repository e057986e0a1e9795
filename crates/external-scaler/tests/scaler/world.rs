//! A namespace on a real API server, and what the tests put there.

use std::{ops::Deref, path::Path};

use serde_json::{Value, json};
use test_bed::{Process, TestNamespace};
use tonic::transport::{Channel, Endpoint};

use crate::client::Keda;

/// A namespace of one test.
pub(crate) struct World(TestNamespace);

impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.0
    }
}

/// A running scaler, and where it answers.
pub(crate) struct Scaler {
    pub process: Process,
    pub port: u16,
}

impl World {
    /// A new namespace, on a cluster that has the CRDs.
    pub(crate) async fn new() -> Self {
        Self(TestNamespace::new("external-scaler").await)
    }

    pub(crate) async fn scaler(&self) -> Scaler {
        self.scaler_as(&self.kubeconfig, &[]).await
    }

    pub(crate) async fn scaler_as(&self, kubeconfig: &Path, flags: &[&str]) -> Scaler {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let address = format!("127.0.0.1:{port}");
        let flags = [&["--scaler-address", &address], flags].concat();
        let program = env!("CARGO_BIN_EXE_external-scaler");
        let process = Process::start(program, kubeconfig, &self.namespace, &flags).await;
        Scaler { process, port }
    }

    /// A ScaledObject named `name` with this metadata, as KEDA asks for it.
    pub(crate) async fn keda(&self, scaler: &Scaler, name: &str, metadata: &[(&str, &str)]) -> Keda {
        Keda::new(scaler.channel().await, &self.namespace, name, metadata)
    }

    /// Makes a set.
    pub(crate) async fn set(&self, name: &str, replicas: i32) {
        let body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": name},
            "spec": {"replicas": replicas, "gameServerTemplate": {"spec": {"containers": [{"name": "game", "image": "game"}]}}},
        });
        let path = self.path("gameserversets", "");
        self.post(&path, &body).await.unwrap();
    }

    pub(crate) async fn replicas(&self, name: &str, replicas: i32) {
        let path = self.path("gameserversets", name);
        self.merge(&path, &json!({"spec": {"replicas": replicas}})).await;
    }

    /// Makes a server of a set in this state.
    pub(crate) async fn server(&self, set: &str, id: u32, ops_state: &str, state: &str) {
        let name = format!("{set}-{id}");
        let body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer",
            "metadata": {"name": name, "labels": {"game.kruise.io/owner-gss": set}},
            "spec": {"opsState": ops_state},
        });
        self.post(&self.path("gameservers", ""), &body).await.unwrap();
        self.says(&name, &json!({"currentState": state})).await;
    }

    /// Changes a server's status.
    pub(crate) async fn says(&self, name: &str, status: &Value) {
        let path = format!("{}/status", self.path("gameservers", name));
        self.merge(&path, &json!({ "status": status })).await;
    }

    pub(crate) async fn ops_state(&self, name: &str, ops_state: &str) {
        let path = self.path("gameservers", name);
        self.merge(&path, &json!({"spec": {"opsState": ops_state}})).await;
    }
}

impl Scaler {
    pub(crate) async fn channel(&self) -> Channel {
        let address = format!("http://127.0.0.1:{}", self.port);
        Endpoint::from_shared(address).unwrap().connect().await.unwrap()
    }
}

/// Asks until the value is this one.
pub(crate) async fn value_until(keda: &Keda, expected: i64) {
    let what = format!("value {expected}");
    test_bed::eventually(
        &what,
        async || keda.value().await.unwrap(),
        |value| *value == expected,
    )
    .await;
}
