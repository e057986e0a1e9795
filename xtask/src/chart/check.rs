//! What the real Helm makes of the chart: `helm lint`, and `helm template` with many values, looked at as objects.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::restricted::{Standard, complaints};
use super::{CHART, Helm, helm, listed, manifests, policies};
use crate::cluster::paths::repo_root;
use crate::rbac;

const NAMESPACE: &str = "gamekeeper-system";

/// Key in the values, and the controller.
const CONTROLLERS: [(&str, &str); 9] = [
    ("gssController", "gss-controller"),
    ("gsController", "gs-controller"),
    ("podSync", "pod-sync"),
    ("nodeWatcher", "node-watcher"),
    ("networkPlugins", "network-plugins"),
    ("qualityProber", "quality-prober"),
    ("playerAutoscaler", "player-autoscaler"),
    ("externalScaler", "external-scaler"),
    ("gameApi", "game-api"),
];

/// Lints and renders the chart, and checks what comes of it. Gives the number of checks.
///
/// # Errors
/// With the first that fails.
pub(crate) async fn run(helm: &Helm) -> Result<u64> {
    let mut passed = 0;
    for file in listed(&repo_root().join(CHART).join("ci"), "yaml")? {
        lint(helm, &file).await?;
        let values: Value = serde_yaml::from_str(&std::fs::read_to_string(&file)?)?;
        let objects = helm.objects(NAMESPACE, &values).await?;
        sound(&objects).with_context(|| format!("with {}", file.display()))?;
        passed += 2;
    }
    manifests(helm, true).await?;
    for (key, controller) in CONTROLLERS {
        alone(helm, key, controller)
            .await
            .with_context(|| format!("with {controller} alone"))?;
        passed += 1;
    }
    in_namespaces(helm).await.context("with namespaces")?;
    by_node(helm).await.context("with probes on the nodes")?;
    everything(helm).await.context("with everything on")?;
    elsewhere(helm)
        .await
        .context("with an API server of another name and port")?;
    flags(helm).await.context("flags")?;
    for (values, complaint) in refused() {
        refuses(helm, &values, complaint).await?;
        passed += 1;
    }
    Ok(passed + 6)
}

async fn lint(helm: &Helm, file: &Path) -> Result<()> {
    let file = file.display().to_string();
    let chart = helm::chart();
    let arguments = [
        "lint",
        &chart,
        "--strict",
        "--quiet",
        "--namespace",
        NAMESPACE,
        "--values",
        &file,
    ];
    let said = helm.say(&arguments, None).await?;
    ensure!(
        said.success,
        "helm lint with {file}: {}{}",
        said.stdout,
        said.stderr
    );
    Ok(())
}

/// What holds for every rendering.
fn sound(objects: &[Value]) -> Result<()> {
    let mut names = BTreeSet::new();
    for object in objects {
        let name = identity(object);
        ensure!(names.insert(name.clone()), "{name} is there twice");
    }
    for object in objects {
        match object["kind"].as_str().unwrap_or_default() {
            "Deployment" => runs(object, Standard::Restricted, &names)?,
            "DaemonSet" => runs(object, Standard::RuntimeSocket, &names)?,
            "PodDisruptionBudget" => about_one(object, "selector", objects)?,
            "NetworkPolicy" => about_one(object, "podSelector", objects)?,
            "RoleBinding" | "ClusterRoleBinding" => binds(object, &names)?,
            _ => {}
        }
    }
    if objects.iter().any(|object| object["kind"] == "NetworkPolicy") {
        let wrong = policies::complaints(objects);
        ensure!(wrong.is_empty(), "network policies: {}", wrong.join("; "));
    }
    Ok(())
}

/// A workload selects its own Pods, which keep the standard and run as an account that is there.
fn runs(workload: &Value, standard: Standard, names: &BTreeSet<String>) -> Result<()> {
    let name = identity(workload);
    let template = &workload["spec"]["template"];
    let wrong = complaints(template, standard);
    ensure!(wrong.is_empty(), "{name}: {}", wrong.join("; "));
    ensure!(
        selects(
            &workload["spec"]["selector"]["matchLabels"],
            &template["metadata"]["labels"]
        ),
        "{name} doesn't select its Pods"
    );
    let account = template["spec"]["serviceAccountName"]
        .as_str()
        .unwrap_or_default();
    let namespace = workload["metadata"]["namespace"].as_str().unwrap_or_default();
    let wanted = format!("ServiceAccount {namespace}/{account}");
    ensure!(
        names.contains(&wanted),
        "{name} runs as {wanted}, which isn't there"
    );
    Ok(())
}

/// What is about Pods is about those of one workload.
fn about_one(object: &Value, key: &str, objects: &[Value]) -> Result<()> {
    let selector = &object["spec"][key]["matchLabels"];
    let workloads = objects.iter().filter(|object| is_workload(object));
    let hit =
        workloads.filter(|workload| selects(selector, &workload["spec"]["template"]["metadata"]["labels"]));
    ensure!(hit.count() == 1, "{} is not about one workload", identity(object));
    Ok(())
}

fn binds(binding: &Value, names: &BTreeSet<String>) -> Result<()> {
    let namespace = binding["metadata"]["namespace"].as_str();
    let role = identity(&json!({
        "kind": binding["roleRef"]["kind"],
        "metadata": {"name": binding["roleRef"]["name"], "namespace": namespace},
    }));
    ensure!(
        names.contains(&role),
        "{} is of {role}, which isn't there",
        identity(binding)
    );
    Ok(())
}

fn is_workload(object: &Value) -> bool {
    object["kind"] == "Deployment" || object["kind"] == "DaemonSet"
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.as_object().filter(|wanted| !wanted.is_empty());
    wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| labels[key] == *value))
}

fn identity(object: &Value) -> String {
    let word = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let namespace = match word("/metadata/namespace") {
        "" => String::new(),
        namespace => format!("{namespace}/"),
    };
    format!("{} {namespace}{}", word("/kind"), word("/metadata/name"))
}

/// The switches with `on` alone, and what it can't do without.
fn only(on: &str) -> Value {
    let mut values = json!({"crds": {"install": false}});
    for (key, _) in CONTROLLERS {
        values[key]["enabled"] = json!(key == on);
    }
    if on == "gameApi" {
        values["gameApi"]["tls"] = json!({"secretName": "game-api-tls"});
    }
    values
}

async fn alone(helm: &Helm, key: &str, controller: &str) -> Result<()> {
    let objects = helm.objects(NAMESPACE, &only(key)).await?;
    sound(&objects)?;
    let workloads: Vec<_> = objects
        .iter()
        .filter(|it| is_workload(it))
        .map(identity)
        .collect();
    ensure!(
        workloads == [format!("Deployment {NAMESPACE}/{controller}")],
        "{workloads:?} are there"
    );
    let strangers = objects
        .iter()
        .filter(|object| object["metadata"]["labels"]["app.kubernetes.io/name"] != controller);
    let strangers: Vec<String> = strangers.map(identity).collect();
    ensure!(strangers.is_empty(), "{strangers:?} are there too");
    let account = if controller == "quality-prober" {
        "quality-prober-central"
    } else {
        controller
    };
    let granted = rbac::grants(
        objects
            .iter()
            .filter(|it| it["kind"] == "ClusterRole" || it["kind"] == "Role")
            .map(|it| &it["rules"]),
    );
    let wanted = rbac::of_account(account, false);
    ensure!(
        granted == wanted,
        "rights differ from the account's: {:?}",
        granted.symmetric_difference(&wanted).collect::<Vec<_>>()
    );
    Ok(())
}

/// With namespaces nothing is asked for in the whole cluster but nodes; and each controller is told its namespaces.
async fn in_namespaces(helm: &Helm) -> Result<()> {
    let values = json!({"namespaces": ["games-a", "games-b"], "crds": {"install": false}});
    let objects = helm.objects(NAMESPACE, &values).await?;
    sound(&objects)?;
    for object in &objects {
        if object["kind"] == "ClusterRole" {
            for rule in object["rules"].as_array().into_iter().flatten() {
                ensure!(
                    rule["resources"] == json!(["nodes"]),
                    "{} has {rule}",
                    identity(object)
                );
            }
        }
        if is_workload(object) {
            let arguments = object["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
            ensure!(
                arguments.contains("--namespace=games-a") && arguments.contains("--namespace=games-b"),
                "{} has {arguments}",
                identity(object)
            );
        }
    }
    let roles_in = |namespace: &str| {
        objects
            .iter()
            .filter(|it| it["kind"] == "Role" && it["metadata"]["namespace"] == namespace)
            .count()
    };
    // Seven controllers in each, and the leases of seven.
    let counts = [roles_in("games-a"), roles_in("games-b"), roles_in(NAMESPACE)];
    ensure!(counts == [7, 7, 7], "{counts:?} roles");
    Ok(())
}

/// On the nodes the exception is the prober's alone, and no central rights are left.
async fn by_node(helm: &Helm) -> Result<()> {
    let values = json!({"qualityProber": {"mode": "node", "node": {"namespace": "gamekeeper-node"}}, "crds": {"install": false}});
    let objects = helm.objects(NAMESPACE, &values).await?;
    sound(&objects)?;
    let named = |name: &str| {
        let found = objects.iter().find(|object| identity(object) == name);
        found.with_context(|| format!("no {name}"))
    };
    let daemon = named("DaemonSet gamekeeper-node/quality-prober-node")?;
    let arguments = &daemon["spec"]["template"]["spec"]["containers"][0]["args"];
    ensure!(
        arguments[0] == "quality-prober" && arguments.to_string().contains("--mode=node"),
        "{arguments}"
    );
    let binding = named("ClusterRoleBinding gamekeeper:gamekeeper-system:quality-prober-node")?;
    ensure!(
        binding["subjects"][0]["namespace"] == "gamekeeper-node",
        "{binding}"
    );
    ensure!(
        !json!(objects).to_string().contains("pods/exec"),
        "somebody may exec"
    );
    let acting = named("Deployment gamekeeper-system/quality-prober")?;
    ensure!(
        acting.to_string().contains("--mode=actions"),
        "the Deployment doesn't act"
    );
    Ok(())
}

async fn everything(helm: &Helm) -> Result<()> {
    let values = json!({
        "externalScaler": {"enabled": true, "tls": {"secretName": "scaler-tls", "clientCaKey": "ca.crt"}},
        "gameApi": {"enabled": true, "tls": {"secretName": "game-api-tls"}, "tokenAudience": "gamekeeper-game-api"},
        "networkPolicy": {"enabled": true},
        "metrics": {"podMonitor": {"enabled": true}, "alerts": {"enabled": true}, "dashboards": {"enabled": true}},
        "priorityClass": {"create": true},
    });
    let objects = helm.objects(NAMESPACE, &values).await?;
    sound(&objects)?;
    let count = |kind: &str| objects.iter().filter(|it| it["kind"] == kind).count();
    let files = |folder: &str, extension: &str| {
        anyhow::Ok(listed(&repo_root().join("deploy").join(folder), extension)?.len())
    };
    for (kind, expected) in [
        ("Deployment", 9),
        ("PodDisruptionBudget", 9),
        ("NetworkPolicy", 9),
        ("PodMonitor", 9),
        ("Service", 2),
        ("PriorityClass", 1),
        ("CustomResourceDefinition", 2),
        ("PrometheusRule", files("alerts", "yaml")?),
        ("ConfigMap", files("dashboards", "json")?),
    ] {
        ensure!(
            count(kind) == expected,
            "{} of kind {kind}, and not {expected}",
            count(kind)
        );
    }
    for object in &objects {
        if object["kind"] == "CustomResourceDefinition" {
            let policy = &object["metadata"]["annotations"]["helm.sh/resource-policy"];
            ensure!(policy == "keep", "{} would go with the release", identity(object));
        }
        if object["kind"] == "Deployment" {
            let class = &object["spec"]["template"]["spec"]["priorityClassName"];
            ensure!(
                class == "gamekeeper-gamekeeper-system",
                "{} has {class}",
                identity(object)
            );
        }
    }
    let told = "--game-api-url=https://game-api.gamekeeper-system.svc:8443";
    ensure!(
        json!(objects).to_string().contains(told),
        "gss-controller isn't told where game-api is"
    );
    Ok(())
}

/// Network policies follow the API server, and let names be resolved only where there is one to be.
async fn elsewhere(helm: &Helm) -> Result<()> {
    let alias = json!({"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["api.example.org"]}]});
    for (host, defaults, resolves) in [
        ("api.example.org", json!({}), true),
        ("api.example.org", alias, false),
        ("10.0.0.1", json!({}), false),
    ] {
        let values = json!({
            "apiServer": {"host": host, "port": 16443}, "defaults": defaults,
            "networkPolicy": {"enabled": true}, "crds": {"install": false},
        });
        let objects = helm.objects(NAMESPACE, &values).await?;
        sound(&objects)?;
        let policies = objects.iter().filter(|it| it["kind"] == "NetworkPolicy");
        let names = policies
            .filter(|it| it.to_string().contains("\"port\":53,"))
            .count();
        ensure!(
            (names > 0) == resolves,
            "{host}: {names} policies let names be resolved"
        );
    }
    Ok(())
}

/// Numbers, switches and lists arrive as the controllers read them; what all are told, all are told.
async fn flags(helm: &Helm) -> Result<()> {
    let values = json!({
        "crds": {"install": false},
        "commonFlags": {"log-level": "info,kube=warn", "lease-duration": "6s"},
        "podSync": {"shards": 64, "replicas": 12, "flags": {"concurrency": 128, "log-level": "debug"}},
        "nodeWatcher": {"flags": {"report-normal": true}},
        "gameApi": {"enabled": true, "insecureHttp": true, "flags": {"address-rate": 1_000_000}},
    });
    let objects = helm.objects(NAMESPACE, &values).await?;
    let of = |name: &str| {
        let found = objects
            .iter()
            .find(|it| is_workload(it) && it["metadata"]["name"] == name);
        found
            .map(|it| it["spec"]["template"]["spec"]["containers"][0]["args"].clone())
            .unwrap_or_default()
    };
    let expected = json!([
        "pod-sync",
        "--shards=64",
        "--concurrency=128",
        "--lease-duration=6s",
        "--log-format=json",
        "--log-level=debug",
    ]);
    ensure!(of("pod-sync") == expected, "pod-sync has {}", of("pod-sync"));
    ensure!(
        of("node-watcher").to_string().contains("\"--report-normal\""),
        "{}",
        of("node-watcher")
    );
    let game_api = of("game-api").to_string();
    ensure!(
        game_api.contains("--address-rate=1000000") && !game_api.contains("lease"),
        "game-api has {game_api}"
    );
    Ok(())
}

/// Values that are refused, and a part of what is said then.
fn refused() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"podSync": {"shard": 4}}), "'shard' not allowed"),
        (json!({"podsync": {"shards": 4}}), "'podsync' not allowed"),
        (
            json!({"podSync": {"flags": {"shards": 4}}}),
            "'shards' not allowed",
        ),
        (json!({"podSync": {"flags": {"qps": 4}}}), "'qps' not allowed"),
        (json!({"podSync": {"replicas": "two"}}), "want integer"),
        (json!({"podSync": {"shards": 0}}), "Set shards to 1 or more"),
        (
            json!({"gsController": {"flags": {"leader-elect": false}}}),
            "leader-elect is false",
        ),
        (
            json!({"qualityProber": {"mode": "nodes"}}),
            "'central', 'node', 'actions'",
        ),
        (json!({"gameApi": {"enabled": true}}), "name a Secret"),
        (
            json!({"gameApi": {"enabled": true, "insecureHttp": true, "tls": {"secretName": "x"}}}),
            "not both",
        ),
        (
            json!({"gameApi": {"compat": {"adminCodeSecretName": "x"}}}),
            "needs gameApi.compat.enabled",
        ),
        (
            json!({"externalScaler": {"enabled": true, "tls": {"clientCaKey": "ca.crt"}}}),
            "needs externalScaler.tls.secretName",
        ),
        (json!({"namespaces": ["Games"]}), "/namespaces/0"),
        (json!({"image": {"digest": "sha256:1"}}), "/image/digest"),
        (
            json!({"defaults": {"terminationGracePeriodSeconds": 5}}),
            "terminationGracePeriodSeconds",
        ),
        (json!({"commonFlags": {"log-format": "xml"}}), "'json', 'text'"),
    ]
}

async fn refuses(helm: &Helm, values: &Value, complaint: &str) -> Result<()> {
    let chart = helm::chart();
    let said = helm
        .say(&["template", "gamekeeper", &chart], Some(values))
        .await?;
    if said.success {
        bail!("{values} is accepted");
    }
    ensure!(
        said.stderr.contains(complaint),
        "{values} is refused without {complaint:?}: {}",
        said.stderr
    );
    Ok(())
}
