//! The cluster under test, namespaces to work in, and waiting for conditions.

use std::future::Future;
use std::time::{Duration, Instant};

use controller_kit::args::{AdminArgs, CommonArgs, LogArgs, LogFormat, WatchArgs};
use controller_kit::client;
use controller_kit::resource::ResourceKind;
use controller_kit::runtime::Runtime;
use controller_kit::write::{Created, MetaOnly, Target, Writer};
use kube::{Client, Config};
use serde_json::{Value, json};

pub const CONFIG_MAP: ResourceKind = core("configmaps", "ConfigMap", true);
pub const NAMESPACE: ResourceKind = core("namespaces", "Namespace", false);

const fn core(plural: &'static str, kind: &'static str, namespaced: bool) -> ResourceKind {
    ResourceKind {
        group: "",
        version: "v1",
        plural,
        kind,
        namespaced,
    }
}

/// Namespaces of a test's own, on a real API server.
pub struct Scene {
    pub config: Config,
    pub client: Client,
    pub writer: Writer,
    pub namespaces: Vec<String>,
}

/// Runs a test in `N` fresh namespaces, which are deleted afterwards, also when it fails.
pub async fn scene<F, Fut>(namespaces: usize, test: F)
where
    F: FnOnce(Scene) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let config = config().await;
    let client = client::connect(&config).unwrap();
    let mut names = Vec::new();
    for _ in 0..namespaces {
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "generateName": "kit-" } });
        let made: MetaOnly = post(&client, &NAMESPACE.path("", None, None), &body).await;
        names.push(made.name);
    }
    let scene = Scene {
        // A machine busy with other tests must not fail these.
        writer: Writer::new(client.clone(), "kit-test").with_deadline(Duration::from_secs(20)),
        client: client.clone(),
        config,
        namespaces: names.clone(),
    };
    let ended = tokio::spawn(test(scene)).await;
    for name in names {
        let gone = http::Request::delete(NAMESPACE.path("", Some(&name), None))
            .body(Vec::new())
            .unwrap();
        client.request_text(gone).await.unwrap();
    }
    if let Err(error) = ended {
        std::panic::resume_unwind(error.into_panic());
    }
}

async fn config() -> Config {
    client::load_config(Some(&test_bed::kubeconfig())).await.unwrap()
}

impl Scene {
    /// The scene's first namespace.
    pub fn namespace(&self) -> &str {
        &self.namespaces[0]
    }

    /// Creates a ConfigMap with the label the watches of the tests select.
    pub async fn create_map(&self, namespace: &str, name: &str, data: Value) -> MetaOnly {
        let body = map_body(name, data);
        match self
            .writer
            .create(&Target::new(CONFIG_MAP, namespace, name), &body)
            .await
            .unwrap()
        {
            Created::New(made) => made,
            Created::AlreadyExists => panic!("{name} exists"),
        }
    }

    /// Deletes a ConfigMap as any other client would.
    pub async fn delete_map(&self, namespace: &str, name: &str) {
        let path = CONFIG_MAP.path(namespace, Some(name), None);
        let request = http::Request::delete(path).body(Vec::new()).unwrap();
        self.client.request_text(request).await.unwrap();
    }

    /// Replaces the data of a ConfigMap as any other client would.
    pub async fn set_data(&self, namespace: &str, name: &str, data: Value) -> MetaOnly {
        self.merge(namespace, name, json!({ "data": data })).await
    }

    /// Merge-patches a ConfigMap without preconditions.
    pub async fn merge(&self, namespace: &str, name: &str, patch: Value) -> MetaOnly {
        let request = http::Request::patch(CONFIG_MAP.path(namespace, Some(name), None))
            .header("content-type", "application/merge-patch+json")
            .body(patch.to_string().into_bytes())
            .unwrap();
        self.client.request(request).await.unwrap()
    }

    /// A runtime on the scene's API server, in `namespaces`.
    pub async fn runtime(&self, namespaces: &[String]) -> Runtime {
        runtime(&self.config, namespaces, Duration::ZERO).await
    }
}

pub fn map_body(name: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "labels": { "kit-test": "yes" } },
        "data": data,
    })
}

/// A runtime on the API server of `config`.
pub async fn runtime(config: &Config, namespaces: &[String], resync: Duration) -> Runtime {
    let args = args(namespaces, resync);
    Runtime::start_with("kit-test", &args, config).await.unwrap()
}

/// The flags of a test's runtime.
pub fn args(namespaces: &[String], resync: Duration) -> CommonArgs {
    CommonArgs {
        admin: AdminArgs {
            admin_address: ([127, 0, 0, 1], 0).into(),
        },
        log: LogArgs {
            log_format: LogFormat::Text,
            log_level: "warn".into(),
        },
        watch: WatchArgs {
            namespaces: namespaces.to_vec(),
            resync,
        },
        ..CommonArgs::default()
    }
}

/// Posts an object and gives back its metadata.
pub async fn post(client: &Client, path: &str, body: &Value) -> MetaOnly {
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap();
    client.request(request).await.unwrap()
}

/// Waits until `condition` holds; fails the test when it does not within 20 s.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
