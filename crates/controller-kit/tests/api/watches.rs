//! Watches without faults: priming, following, namespaces, malformed objects.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_types::views::Meta;
use controller_kit::key::ObjectKey;
use controller_kit::need::Need;
use controller_kit::queue::{Next, Queue};
use controller_kit::resource::ResourceKind;
use controller_kit::runtime::Runtime;
use controller_kit::store::Store;
use controller_kit::watch::{Change, Watch, Watched};
use controller_kit::write::WriteError;
use kube::Config;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::cluster::{CONFIG_MAP, eventually, post, scene};

/// A ConfigMap whose `count` must be a number: what a narrow type cannot decode, any client can write.
#[derive(Deserialize, Debug)]
pub struct Tally {
    metadata: Meta,
    #[serde(default)]
    data: TallyData,
}

#[derive(Deserialize, Default, Debug)]
struct TallyData {
    #[serde(default, deserialize_with = "number")]
    count: u32,
    group: Option<String>,
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    String::deserialize(from)?
        .parse()
        .map_err(serde::de::Error::custom)
}

impl Watched for Tally {
    const RESOURCE: ResourceKind = CONFIG_MAP;

    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// A started watch with everything it told.
pub struct Watching {
    pub runtime: Runtime,
    pub store: Store<Tally>,
    told: Arc<Mutex<Vec<String>>>,
    malformed: Arc<Mutex<Vec<String>>>,
}

impl Watching {
    pub async fn start(config: &Config, namespaces: &[String]) -> Self {
        Self::start_with(config, namespaces, Duration::from_mins(1), Duration::ZERO).await
    }

    pub async fn start_with(
        config: &Config,
        namespaces: &[String],
        session: Duration,
        resync: Duration,
    ) -> Self {
        let runtime = crate::cluster::runtime(config, namespaces, resync).await;
        let (told, malformed) = (
            Arc::<Mutex<Vec<String>>>::default(),
            Arc::<Mutex<Vec<String>>>::default(),
        );
        let (lines, bad) = (Arc::clone(&told), Arc::clone(&malformed));
        let store = Watch::<Tally>::new()
            .labels("kit-test=yes")
            .session(session)
            .index("group", |tally| tally.data.group.clone())
            .on_change(move |change| lines.lock().unwrap().push(line(&change)))
            .on_malformed(move |key, _| bad.lock().unwrap().push(key.name.to_string()))
            .start(&runtime);
        Self {
            runtime,
            store,
            told,
            malformed,
        }
    }

    pub async fn primed(config: &Config, namespaces: &[String]) -> Self {
        let watching = Self::start(config, namespaces).await;
        watching.wait_primed().await;
        watching
    }

    pub async fn wait_primed(&self) {
        tokio::time::timeout(Duration::from_secs(20), self.runtime.primed())
            .await
            .unwrap();
    }

    /// What was told so far, and forgets it.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    /// Waits until exactly these lines were told since the last [`take`](Self::take).
    pub async fn expect(&self, lines: &[&str]) {
        eventually(
            &format!("{lines:?}, told {:?}", self.told.lock().unwrap()),
            || *self.told.lock().unwrap() == lines,
        )
        .await;
        self.take();
    }

    pub fn count(&self, namespace: &str, name: &str) -> Option<u32> {
        self.store
            .get(&ObjectKey::new(namespace, name))
            .map(|tally| tally.data.count)
    }
}

fn line(change: &Change<Tally>) -> String {
    let word = match change {
        Change::Applied { old: None, .. } => "new",
        Change::Applied { old: Some(_), .. } => "changed",
        Change::Deleted(_) => "deleted",
    };
    let tally = change.object();
    format!("{word} {}={}", tally.metadata.name, tally.data.count)
}

#[tokio::test]
async fn a_watch_is_primed_with_what_exists_and_follows_in_order() {
    scene(1, |scene| async move {
        let namespace = scene.namespace();
        scene
            .create_map(namespace, "a", json!({ "count": "1", "group": "g" }))
            .await;
        let watching = Watching::primed(&scene.config, &scene.namespaces).await;
        watching.expect(&["new a=1"]).await;

        scene.set_data(namespace, "a", json!({ "count": "2" })).await;
        scene
            .create_map(namespace, "b", json!({ "count": "5", "group": "g" }))
            .await;
        scene.delete_map(namespace, "a").await;
        // One that leaves the selector is gone to us.
        scene
            .merge(
                namespace,
                "b",
                json!({ "metadata": { "labels": { "kit-test": "no" } } }),
            )
            .await;
        watching
            .expect(&["changed a=2", "new b=5", "deleted a=2", "deleted b=5"])
            .await;
        assert!(watching.store.is_empty());
        assert!(watching.store.by_index("group", "g").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_watch_that_is_not_needed_rests_and_goes_on_with_what_is_there_then() {
    scene(1, |scene| async move {
        let namespace = scene.namespace();
        scene.create_map(namespace, "a", json!({ "count": "1" })).await;
        let (need, idle) = (Need::new(), Arc::new(AtomicBool::new(false)));
        let runtime = scene.runtime(&scene.namespaces).await;
        let told = Arc::<Mutex<Vec<String>>>::default();
        let lines = Arc::clone(&told);
        let store = Watch::<Tally>::new()
            .labels("kit-test=yes")
            .while_needed(&need)
            .on_change(move |change| lines.lock().unwrap().push(line(&change)))
            .start(&runtime);
        let says = Arc::clone(&idle);
        need.rest_after(&runtime, Duration::from_millis(100), move || {
            says.load(Ordering::Relaxed)
        });
        eventually("the first list", || !need.is_waking() && store.len() == 1).await;
        idle.store(true, Ordering::Relaxed);
        eventually("rest", || store.is_empty()).await;
        assert!(!need.is_waking(), "nothing is waited for while it rests");

        // What happens meanwhile is not told, and what is there in the end is.
        scene.create_map(namespace, "b", json!({ "count": "2" })).await;
        scene.create_map(namespace, "c", json!({ "count": "3" })).await;
        scene.delete_map(namespace, "a").await;
        scene.delete_map(namespace, "b").await;
        idle.store(false, Ordering::Relaxed);
        need.wake();
        eventually("the next list", || !need.is_waking()).await;
        assert_eq!(
            store.len(),
            1,
            "a list is complete when it is no longer waited for"
        );
        scene.set_data(namespace, "c", json!({ "count": "4" })).await;
        let all = ["new a=1", "deleted a=1", "new c=3", "changed c=4"];
        eventually(&format!("{all:?}"), || *told.lock().unwrap() == all).await;
    })
    .await;
}

#[tokio::test]
async fn a_list_longer_than_a_page_is_complete() {
    scene(1, |scene| async move {
        let namespace = scene.namespace();
        let creates = (0..620_u32).map(|n| {
            let scene = &scene;
            async move {
                scene
                    .create_map(namespace, &format!("m-{n}"), json!({ "count": "1" }))
                    .await
            }
        });
        futures::stream::StreamExt::collect::<Vec<_>>(futures::stream::StreamExt::buffer_unordered(
            futures::stream::iter(creates),
            16,
        ))
        .await;
        let watching = Watching::primed(&scene.config, &scene.namespaces).await;
        assert_eq!(watching.store.len(), 620);
    })
    .await;
}

#[tokio::test]
async fn named_namespaces_are_watched_one_by_one_with_rights_in_them_only() {
    scene(3, |scene| async move {
        let [first, second, other] = scene.namespaces.as_slice() else { unreachable!() };
        for namespace in [first, second] {
            let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}");
            let rules = json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"] }]);
            let role = json!({ "metadata": { "name": "watcher" }, "rules": rules });
            post(&scene.client, &format!("{rbac}/roles"), &role).await;
            let binding = json!({
                "metadata": { "name": "watcher" },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "watcher" },
                "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "kit-watcher" }],
            });
            post(&scene.client, &format!("{rbac}/rolebindings"), &binding).await;
        }
        for namespace in [first, second, other] {
            scene.create_map(namespace, "a", json!({ "count": "1" })).await;
        }
        let mut config = scene.config.clone();
        config.auth_info.impersonate = Some("kit-watcher".into());
        let watching = Watching::primed(&config, &[first.clone(), second.clone()]).await;
        assert_eq!((watching.count(first, "a"), watching.count(second, "a")), (Some(1), Some(1)));
        assert_eq!(watching.store.len(), 2);
        watching.take();
        scene.set_data(other, "a", json!({ "count": "2" })).await;
        scene.set_data(second, "a", json!({ "count": "3" })).await;
        watching.expect(&["changed a=3"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_resync_looks_at_every_object_again() {
    scene(1, |scene| async move {
        for name in ["a", "b", "c"] {
            scene
                .create_map(scene.namespace(), name, json!({ "count": "1" }))
                .await;
        }
        let (session, resync) = (Duration::from_mins(1), Duration::from_secs(1));
        let watching = Watching::start_with(&scene.config, &scene.namespaces, session, resync).await;
        watching.wait_primed().await;
        watching.take();
        for _ in 0..2 {
            let mut seen = Vec::new();
            eventually("every object to be seen again", || {
                seen.extend(watching.take());
                ["new a=1", "new b=1", "new c=1"]
                    .iter()
                    .all(|line| seen.iter().any(|s| s == line))
            })
            .await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_malformed_object_stops_nothing_and_keeps_its_last_good_version() {
    scene(1, |scene| async move {
        let namespace = scene.namespace();
        scene
            .create_map(namespace, "bad-from-birth", json!({ "count": "many" }))
            .await;
        scene.create_map(namespace, "good", json!({ "count": "1" })).await;
        let watching = Watching::primed(&scene.config, &scene.namespaces).await;
        watching.expect(&["new good=1"]).await;
        assert_eq!(*watching.malformed.lock().unwrap(), ["bad-from-birth"]);

        // In the stream: the store keeps what it knew, a sibling is not held up.
        scene.set_data(namespace, "good", json!({ "count": "few" })).await;
        scene
            .create_map(namespace, "sibling", json!({ "count": "7" }))
            .await;
        watching.expect(&["new sibling=7"]).await;
        assert_eq!(watching.count(namespace, "good"), Some(1));
        assert_eq!(watching.malformed.lock().unwrap().last().unwrap(), "good");

        // Mended, it is followed again; a malformed one of the same name but another UID ends the old.
        scene.set_data(namespace, "good", json!({ "count": "2" })).await;
        watching.expect(&["changed good=2"]).await;
        scene
            .set_data(namespace, "bad-from-birth", json!({ "count": "4" }))
            .await;
        watching.expect(&["new bad-from-birth=4"]).await;
        // Malformed when it goes: its last good version is what is told.
        scene
            .set_data(namespace, "good", json!({ "count": "none" }))
            .await;
        scene.delete_map(namespace, "good").await;
        watching.expect(&["deleted good=2"]).await;
    })
    .await;
}

#[tokio::test]
async fn work_begins_when_every_watch_is_primed_and_readiness_says_which_is_not() {
    scene(1, |scene| async move {
        let namespace = scene.namespace().to_owned();
        scene.create_map(&namespace, "a", json!({ "count": "1" })).await;
        let front = crate::front::Front::start(scene.client.clone()).await;
        front.mode(crate::front::Mode::Answer(503, "{}".into()));
        let watching = Watching::start(&front.config, &scene.namespaces).await;
        let queue: Queue<ObjectKey> = Queue::new();
        queue.add(ObjectKey::new(namespace.as_str(), "a"));
        let seen = Arc::new(Mutex::new(None));
        let (store, result) = (watching.store.clone(), Arc::clone(&seen));
        queue.run(&watching.runtime, "primed-test", 2, move |work| {
            *result.lock().unwrap() = Some(store.get(&work.key).is_some());
            async { Ok::<_, WriteError>(Next::Done) }
        });
        let address = watching.runtime.admin_address();
        let mut answer = String::new();
        for _ in 0..200 {
            answer = http_get(address, "/readyz").await;
            if answer.contains("503 Service Unavailable:") || answer.contains(": 503") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(
            answer.contains("[-]watch/configmaps failed: first list not complete in kit-"),
            "{answer}"
        );
        assert_eq!(*seen.lock().unwrap(), None, "worked before the first list");

        front.mode(crate::front::Mode::Pass);
        eventually("the key to be worked on", || seen.lock().unwrap().is_some()).await;
        assert_eq!(*seen.lock().unwrap(), Some(true));
        let early = http_get(address, "/readyz").await;
        assert!(early.contains("[-]start failed"), "{early}");
        watching.runtime.wired();
        let answer = http_get(address, "/readyz?verbose").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("[+]watch/configmaps ok"), "{answer}");
        let metrics = http_get(address, "/metrics").await;
        for expected in [
            r#"gamekeeper_watch_synced{controller="kit-test",resource="configmaps",watch="configmaps"} 1"#,
            r#"gamekeeper_watch_last_event_age_seconds{controller="kit-test",resource="configmaps",watch="configmaps"}"#,
            r#"gamekeeper_reconciles_total{controller="kit-test",queue="primed-test",outcome="ok"} 1"#,
            r#"gamekeeper_api_requests_total{controller="kit-test",verb="list",resource="configmaps",subresource="",outcome="ok"}"#,
            "gamekeeper_queue_wait_seconds_bucket",
            "process_resident_memory_bytes",
            "process_cpu_seconds_total",
            "gamekeeper_build_info",
        ] {
            assert!(metrics.contains(expected), "{expected} is missing in\n{metrics}");
        }
        let cpu = metrics.lines().filter(|line| line.starts_with("process_cpu_seconds_total{"));
        assert_eq!(cpu.count(), 1, "{metrics}");
    })
    .await;
}

async fn http_get(address: std::net::SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
