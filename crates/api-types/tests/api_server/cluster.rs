//! The cluster under test: a raw client, the definitions installed, a namespace that goes away again.

use std::{collections::BTreeSet, time::Duration};

use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const GROUP: &str = "/apis/game.kruise.io/v1alpha1";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// The definitions are installed once, whichever test comes first.
static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// An API server's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) warnings: Vec<String>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// What the server says about a refusal.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// The body, where the request was granted.
    #[track_caller]
    pub(crate) fn granted(self) -> Value {
        assert!(self.is_success(), "{} {}", self.code, self.message());
        self.body
    }
}

/// A client of a cluster in which the definitions are installed and served.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: Client,
}

impl Cluster {
    pub(crate) async fn connect() -> Self {
        let cluster = Self {
            client: test_bed::client().await,
        };
        INSTALLED.get_or_init(async || cluster.install_all().await).await;
        cluster
    }

    async fn install_all(&self) {
        for definition in api_types::crd::all().expect("definitions") {
            let definition = serde_json::to_value(definition).expect("definition");
            self.install(&definition).await;
        }
    }

    /// Installs a definition and waits until the API server serves it, with these very rules.
    pub(crate) async fn install(&self, definition: &Value) {
        let (_, applied) = self.apply_definition(definition).await;
        let name = applied["metadata"]["name"].as_str().expect("name");
        wait_for(&format!("{name} to be Established"), async || {
            let stored = self.get(&format!("{DEFINITIONS}/{name}")).await.granted();
            condition(&stored, "Established") == Some("True")
        })
        .await;
        // A changed schema has no generation to wait for; what the server publishes shows which one it has.
        let messages = messages(definition);
        let group = definition["spec"]["group"].as_str().expect("group");
        wait_for(&format!("the rules of {name} to be published"), async || {
            let published = self
                .get(&format!("/openapi/v3/apis/{group}/v1alpha1"))
                .await
                .body
                .to_string();
            messages.iter().all(|message| published.contains(message))
        })
        .await;
    }

    /// Server-side apply of a definition: the warnings and what is stored.
    pub(crate) async fn apply_definition(&self, definition: &Value) -> (Vec<String>, Value) {
        let name = definition["metadata"]["name"].as_str().expect("name");
        let path =
            format!("{DEFINITIONS}/{name}?fieldManager=api-types-test&force=true&fieldValidation=Strict");
        let answer = self
            .call("PATCH", &path, "application/apply-patch+yaml", definition)
            .await;
        (answer.warnings.clone(), answer.granted())
    }

    /// A namespace of its own for `test`, deleted whatever the outcome; `test` returns what went wrong.
    pub(crate) async fn in_namespace(&self, test: impl AsyncFnOnce(&Objects<'_>) -> Vec<String>) {
        let body = json!({ "metadata": { "generateName": "api-types-" } });
        let created = self
            .call("POST", "/api/v1/namespaces", "application/json", &body)
            .await
            .granted();
        let namespace = created["metadata"]["name"].as_str().expect("name").to_owned();
        let failures = test(&Objects {
            cluster: self,
            namespace: &namespace,
        })
        .await;
        self.call(
            "DELETE",
            &format!("/api/v1/namespaces/{namespace}"),
            "application/json",
            &json!({}),
        )
        .await
        .granted();
        assert!(
            failures.is_empty(),
            "{} failed:\n{}",
            failures.len(),
            failures.join("\n")
        );
    }

    /// Takes a definition away, and all objects of it.
    pub(crate) async fn uninstall(&self, name: &str) {
        self.call(
            "DELETE",
            &format!("{DEFINITIONS}/{name}"),
            "application/json",
            &json!({}),
        )
        .await
        .granted();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "application/json", &Value::Null).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Answer {
        self.call_accepting("application/json", method, path, content_type, body)
            .await
    }

    pub(crate) async fn call_accepting(
        &self,
        accept: &str,
        method: &str,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Answer {
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("accept", accept)
            .header("content-type", content_type)
            .body(Body::from(bytes))
            .expect("request");
        let response = self.client.send(request).await.expect("answer");
        let code = response.status().as_u16();
        let texts = response.headers().get_all("warning").iter();
        let warnings = texts
            .map(|text| text.to_str().expect("warning").to_owned())
            .collect();
        let bytes = response.into_body().collect_bytes().await.expect("body");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { code, warnings, body }
    }
}

/// Game servers and sets of one namespace.
pub(crate) struct Objects<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
}

impl Objects<'_> {
    pub(crate) fn namespace(&self) -> &str {
        self.namespace
    }

    /// Creates with strict field validation, as `kubectl` does.
    pub(crate) async fn create(&self, object: &Value) -> Answer {
        let plural = match object["kind"].as_str() {
            Some("GameServerSet") => "gameserversets",
            _ => "gameservers",
        };
        let path = self.path(plural, "?fieldValidation=Strict");
        self.cluster.call("POST", &path, "application/json", object).await
    }

    /// Merge patch of a stored object; `subresource` is empty or begins with `/`.
    pub(crate) async fn patch(&self, object: &Value, subresource: &str, patch: &Value) -> Answer {
        let path = format!("{}{subresource}?fieldValidation=Strict", self.path_of(object));
        self.cluster
            .call("PATCH", &path, "application/merge-patch+json", patch)
            .await
    }

    pub(crate) async fn read(&self, object: &Value, subresource: &str) -> Value {
        self.cluster
            .get(&format!("{}{subresource}", self.path_of(object)))
            .await
            .granted()
    }

    /// The list as `kubectl get` asks for it.
    pub(crate) async fn table(&self, plural: &str) -> Value {
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let path = self.path(plural, "");
        self.cluster
            .call_accepting(accept, "GET", &path, "application/json", &Value::Null)
            .await
            .granted()
    }

    fn path_of(&self, object: &Value) -> String {
        let plural = if object["kind"] == "GameServerSet" {
            "gameserversets"
        } else {
            "gameservers"
        };
        self.path(
            plural,
            &format!("/{}", object["metadata"]["name"].as_str().expect("name")),
        )
    }

    fn path(&self, plural: &str, rest: &str) -> String {
        format!("{GROUP}/namespaces/{}/{plural}{rest}", self.namespace)
    }
}

/// Status of a condition.
pub(crate) fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a str> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == type_)?["status"].as_str()
}

/// Messages of all rules of a definition, as they stand in JSON.
fn messages(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    match schema {
        Value::Object(map) => {
            if let (Some(_), Some(Value::String(message))) = (map.get("rule"), map.get("message")) {
                found.insert(json!(message).to_string());
            }
            map.values().for_each(|child| found.extend(messages(child)));
        }
        Value::Array(items) => items.iter().for_each(|child| found.extend(messages(child))),
        _ => {}
    }
    found
}

async fn wait_for(what: &str, condition: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited 60 s for {what}"));
}
