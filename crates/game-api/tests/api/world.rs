//! A namespace on a real API server, and what the tests put there.

use std::ops::Deref;

use controller_kit::server_code;
use serde_json::{Value, json};
use test_bed::{TestNamespace, eventually, uid};

/// A namespace of one test.
pub(crate) struct World(TestNamespace);

impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.0
    }
}

/// One game server: a Pod and its GameServer.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) pod_uid: String,
    pub(crate) code: String,
}

impl World {
    /// A new namespace, on a cluster that has the CRDs.
    pub(crate) async fn new() -> Self {
        Self(TestNamespace::new("game-api").await)
    }

    /// Makes the set `arena`, with these fields in its spec too.
    pub(crate) async fn set(&self, more: Value) {
        let mut body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": "arena"},
            "spec": {"replicas": 0,
                "gameServerTemplate": {"spec": {"containers": [{"name": "game", "image": "game"}]}}},
        });
        for (field, value) in more.as_object().unwrap() {
            body["spec"][field] = value.clone();
        }
        self.post(&self.path("gameserversets", ""), &body).await.unwrap();
    }

    /// Makes a Pod of the set as gss-controller does, with a code of its own.
    pub(crate) async fn pod(&self, name: &str) -> Server {
        let code = server_code::code(&self.namespace, name, &server_code::secret());
        let body = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"game.kruise.io/owner-gss": "arena"}},
            "spec": {
                "schedulerName": "nobody", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "game", "image": "game",
                    "env": [{"name": "SERVER_NAME", "value": name}, {"name": "API_SERVER_CODE", "value": code}]}],
            },
        });
        let pod_uid = uid(&self.post_pod(&body).await);
        Server {
            name: name.to_owned(),
            pod_uid,
            code,
        }
    }

    /// Makes a Pod and its GameServer.
    pub(crate) async fn server(&self, name: &str) -> Server {
        let server = self.pod(name).await;
        self.record(&server).await;
        server
    }

    /// Makes a Pod's GameServer, as gs-controller does.
    pub(crate) async fn record(&self, server: &Server) {
        let body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer",
            "metadata": {"name": server.name, "labels": {"game.kruise.io/owner-gss": "arena"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": server.name, "uid": server.pod_uid,
                    "controller": true, "blockOwnerDeletion": true}]},
            "spec": {"opsState": "Allocated"},
        });
        self.post(&self.path("gameservers", ""), &body).await.unwrap();
    }

    pub(crate) async fn game_server(&self, name: &str) -> Value {
        self.get(&self.path("gameservers", name))
            .await
            .unwrap_or_default()
    }

    /// Waits until the GameServer's status holds, and gives it.
    pub(crate) async fn status_when(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let look = async || self.game_server(name).await["status"].clone();
        eventually(what, look, |status| holds(status)).await
    }

    /// Waits for a number of players.
    pub(crate) async fn players_when(&self, name: &str, count: u32) -> Value {
        let what = format!("{count} players on {name}");
        self.status_when(name, &what, |status| status["players"]["count"] == count)
            .await
    }
}
