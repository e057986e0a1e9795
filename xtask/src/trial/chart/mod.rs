//! `trial chart`: what a default installation leaves out, installed by the real Helm on a real node: probes on the node, rights in one
//! namespace, game-api and external-scaler with TLS, network policies. Each has to become ready and to do its work once.

mod calls;
mod pki;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api_types::{GameServer, keys};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};

use super::install::Way;
use super::shipped::{self, API_SERVER, Options, REPOSITORY, TAG};
use crate::chart::{Helm, chart};
use crate::cluster::{self, Cluster};
use crate::fleet::{SYSTEM_NAMESPACE, apply_yaml, client_for};
use calls::{Server, address};
use pki::Pki;

const CLUSTER: &str = "trial-chart";
/// The only namespace that the controllers may work in.
const GAMES: &str = "games";
/// One in which nobody may do anything.
const ELSEWHERE: &str = "elsewhere";
/// Where Pod Security lets the runtime's socket be mounted.
const NODE: &str = "gamekeeper-node";
const IMAGE: &str = "gamekeeper.local/demo/game:1";
const SET: &str = "arena";
const AUDIENCE: &str = "gamekeeper-game-api";
const GAME_API: &str = "game-api.gamekeeper-system.svc";
const SCALER: &str = "external-scaler.gamekeeper-system.svc";
const LIMIT: Duration = Duration::from_secs(60);

/// What was done, and after how many seconds.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    installed: f64,
    probed: f64,
    reported: f64,
    scaled: f64,
}

/// Runs the trial.
///
/// # Errors
/// When it can't run here, or something is not as it should be.
pub(super) async fn run(options: Options) -> Result<()> {
    let outcome = shipped::run(CLUSTER, &options, async |running, helm, archive, _| {
        story(running, helm, archive).await
    })
    .await?;
    println!("{outcome:#?}");
    Ok(())
}

async fn story(running: &Cluster, helm: &Helm, archive: &Path) -> Result<Outcome> {
    let gateway = running.gateway.clone().context("the cluster has no bridge")?;
    let way = Way::open(&running.kubeconfig, &gateway).await?;
    cluster::images::import_archive(running, archive).await?;
    cluster::images::import(running, "game", IMAGE).await?;
    let (client, pki) = (client_for(&running.kubeconfig).await?, Pki::new()?);
    lay_down(&client, &pki).await?;
    let begun = Instant::now();
    let since = || begun.elapsed().as_secs_f64();
    let values = values(running, &gateway, way.port)?;
    let chart = chart();
    let arguments = [
        "install",
        "gamekeeper",
        &chart,
        "--namespace",
        SYSTEM_NAMESPACE,
        "--wait",
        "--timeout",
        "180s",
    ];
    let helm = helm.on(running.kubeconfig.clone());
    helm.run(&arguments, Some(&values)).await?;
    let mut outcome = Outcome {
        installed: since(),
        ..Outcome::default()
    };
    let ground = Ground { client, pki };
    ground.everything_is_ready().await?;
    ground.rights_are_of_one_namespace().await?;
    for namespace in [GAMES, ELSEWHERE] {
        apply_yaml(&ground.client, &set(), Some(namespace)).await?;
    }
    ground.node_probes().await.context("probes on the node")?;
    outcome.probed = since();
    ground.game_reports().await.context("game-api")?;
    outcome.reported = since();
    ground.keda_asks().await.context("external-scaler")?;
    outcome.scaled = since();
    ground.nobody_works_elsewhere().await?;
    Ok(outcome)
}

/// Namespaces with what Pod Security enforces there, and the Secrets that the values name.
async fn lay_down(client: &Client, pki: &Pki) -> Result<()> {
    let levels = [
        (SYSTEM_NAMESPACE, "restricted"),
        (NODE, "privileged"),
        (GAMES, "restricted"),
        (ELSEWHERE, "restricted"),
    ];
    for (namespace, level) in levels {
        let text = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n  labels: {{pod-security.kubernetes.io/enforce: {level}}}\n"
        );
        apply_yaml(client, &text, None).await?;
    }
    for (name, host) in [("game-api-tls", GAME_API), ("external-scaler-tls", SCALER)] {
        pki.secret(client, SYSTEM_NAMESPACE, name, host).await?;
    }
    Ok(())
}

fn values(running: &Cluster, gateway: &str, port: u16) -> Result<Value> {
    let node = cluster::real_node(&running.kubeconfig).context("the cluster has no real node")?;
    let folder = node.socket.parent().context("the socket is in no folder")?;
    let socket = node.socket.file_name().context("the socket has no name")?;
    let mut values = json!({
        "image": {"repository": REPOSITORY, "tag": TAG},
        "apiServer": {"host": API_SERVER, "port": port},
        "defaults": {"hostAliases": [{"ip": gateway, "hostnames": [API_SERVER]}]},
        "namespaces": [GAMES],
        "qualityProber": {"mode": "node", "node": {
            "namespace": NODE, "socketFolder": folder, "socket": socket.to_string_lossy(),
        }},
        "gameApi": {"enabled": true, "tls": {"secretName": "game-api-tls"}, "tokenAudience": AUDIENCE},
        "externalScaler": {"enabled": true, "tls": {"secretName": "external-scaler-tls", "clientCaKey": "ca.crt"}},
        "networkPolicy": {"enabled": true},
        "priorityClass": {"create": true},
    });
    // Whether there are two of each is another trial's question.
    for key in [
        "gssController",
        "gsController",
        "podSync",
        "nodeWatcher",
        "networkPlugins",
        "qualityProber",
        "playerAutoscaler",
        "externalScaler",
        "gameApi",
    ] {
        values[key]["replicas"] = json!(1);
    }
    Ok(values)
}

/// A set whose servers are taken for maintenance as soon as a command in their container succeeds.
fn set() -> String {
    json!({
        "apiVersion": "game.kruise.io/v1alpha1",
        "kind": "GameServerSet",
        "metadata": {"name": SET},
        "spec": {
            "replicas": 1,
            "serviceQualities": [{
                "name": "installed", "permanent": false, "periodSeconds": 1, "containerName": "game",
                "exec": {"command": ["ls", "/game/game.sh"]},
                "serviceQualityAction": [{"state": true, "opsState": "Maintaining"}],
            }],
            "gameServerTemplate": {"spec": {
                "terminationGracePeriodSeconds": 1,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 10_001, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "game", "image": IMAGE,
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            }},
        },
    })
    .to_string()
}

struct Ground {
    client: Client,
    pki: Pki,
}

impl Ground {
    fn in_namespace<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Helm has waited; this is that it waited for what was meant.
    async fn everything_is_ready(&self) -> Result<()> {
        let all = ListParams::default();
        let daemons = self.in_namespace::<DaemonSet>(NODE).list(&all).await?.items;
        let ready = daemons
            .iter()
            .filter_map(|daemon| Some(daemon.status.as_ref()?.number_ready));
        let ready: i32 = ready.sum();
        ensure!(
            (daemons.len(), ready) == (1, 1),
            "{} DaemonSets, {ready} ready Pods",
            daemons.len()
        );
        let deployments = self
            .in_namespace::<Deployment>(SYSTEM_NAMESPACE)
            .list(&all)
            .await?
            .items;
        ensure!(deployments.len() == 9, "{} Deployments", deployments.len());
        let mut policies = 0;
        for namespace in [SYSTEM_NAMESPACE, NODE] {
            policies += self
                .in_namespace::<NetworkPolicy>(namespace)
                .list(&all)
                .await?
                .items
                .len();
        }
        ensure!(policies == 10, "{policies} network policies");
        Ok(())
    }

    /// In the whole cluster nobody may do anything but look at nodes and ask whose a token is.
    async fn rights_are_of_one_namespace(&self) -> Result<()> {
        let roles: Api<ClusterRole> = Api::all(self.client.clone());
        let ours = ListParams::default().labels("app.kubernetes.io/part-of=gamekeeper");
        let mut resources: Vec<String> = Vec::new();
        for role in roles.list(&ours).await?.items {
            let rules = role.rules.into_iter().flatten();
            resources.extend(rules.flat_map(|rule| rule.resources.into_iter().flatten()));
        }
        resources.sort();
        resources.dedup();
        ensure!(
            resources == ["nodes", "tokenreviews"],
            "{resources:?} in the whole cluster"
        );
        Ok(())
    }

    /// The DaemonSet runs a command in a container, the Deployment acts on it, and pod-sync shows it.
    async fn node_probes(&self) -> Result<()> {
        let name = format!("{SET}-0");
        let shown = async || {
            let pod = self.in_namespace::<Pod>(GAMES).get_opt(&name).await?;
            anyhow::Ok(pod.and_then(|pod| pod.labels().get(keys::label::GS_OPS_STATE).cloned()))
        };
        until("Maintaining on the Pod", shown, |state| {
            state.as_deref() == Some("Maintaining")
        })
        .await?;
        let server = self.in_namespace::<GameServer>(GAMES).get(&name).await?;
        let qualities = server.status.map(|status| status.service_qualities_conditions);
        let result = qualities.unwrap_or_default().into_iter().next();
        let result = result.and_then(|quality| quality.result).unwrap_or_default();
        ensure!(
            result.contains("/game/game.sh"),
            "the quality's result is {result:?}"
        );
        Ok(())
    }

    /// A server reports with its code, and reads itself with a token of its ServiceAccount.
    async fn game_reports(&self) -> Result<()> {
        let pods = self.in_namespace::<Pod>(GAMES);
        let pod = pods.get(&format!("{SET}-0")).await?;
        ensure!(
            variable(&pod, keys::variable::API_SERVER_URL)? == format!("https://{GAME_API}:8443"),
            "the server was told another address"
        );
        let api = self.server("game-api", 8443, GAME_API, false).await?;
        let code = variable(&pod, keys::variable::API_SERVER_CODE)?;
        let body = r#"{"count": 3, "capacity": 8}"#;
        let stored = api.http("PUT", "/v1/self/players?wait=true", &code, body).await?;
        ensure!(stored == 200, "a report is answered with {stored}");
        let servers = self.in_namespace::<GameServer>(GAMES);
        let server = servers.get(&pod.name_any()).await?;
        let players = server.status.and_then(|status| status.players);
        ensure!(players.is_some_and(|it| it.count == 3), "the report isn't stored");

        let token = self.token(&pod).await?;
        let read = api.http("GET", "/v1/self", &token, "").await?;
        ensure!(read == 200, "a token is answered with {read}");
        let wrong = api.http("GET", "/v1/self", "nonsense", "").await?;
        ensure!(wrong == 401, "nonsense is answered with {wrong}");
        Ok(())
    }

    async fn token(&self, pod: &Pod) -> Result<String> {
        let ask: TokenRequest = serde_json::from_value(json!({"metadata": {}, "spec": {
            "audiences": [AUDIENCE], "expirationSeconds": 600,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "uid": pod.uid()},
        }}))?;
        let accounts = self.in_namespace::<ServiceAccount>(GAMES);
        let answer = accounts
            .create_token_request("default", &PostParams::default(), &ask)
            .await?;
        Ok(answer.status.context("no token")?.token)
    }

    /// Whoever shows a certificate is answered, and nobody else.
    async fn keda_asks(&self) -> Result<()> {
        let known = self.server("external-scaler", 6000, SCALER, true).await?;
        let replicas = known.replicas(GAMES, SET).await?;
        ensure!(replicas == 1, "{replicas} replicas are wanted");
        let stranger = self.server("external-scaler", 6000, SCALER, false).await?;
        ensure!(
            stranger.replicas(GAMES, SET).await.is_err(),
            "a stranger was answered"
        );
        Ok(())
    }

    async fn server(&self, name: &str, port: u16, host: &'static str, certified: bool) -> Result<Server> {
        let selector = ListParams::default().labels(&format!("app.kubernetes.io/name={name}"));
        let pods = self
            .in_namespace::<Pod>(SYSTEM_NAMESPACE)
            .list(&selector)
            .await?
            .items;
        let ip = pods.iter().find_map(|pod| pod.status.as_ref()?.pod_ip.as_deref());
        let protocol: &[u8] = if host == SCALER { b"h2" } else { b"http/1.1" };
        Ok(Server {
            address: address(ip, port)?,
            host,
            config: self.pki.client(protocol, certified)?,
        })
    }

    /// By now whoever could work there would have.
    async fn nobody_works_elsewhere(&self) -> Result<()> {
        let all = ListParams::default();
        let pods = self.in_namespace::<Pod>(ELSEWHERE).list(&all).await?.items;
        let servers = self.in_namespace::<GameServer>(ELSEWHERE).list(&all).await?.items;
        ensure!(
            pods.is_empty() && servers.is_empty(),
            "{} Pods where nobody may work",
            pods.len()
        );
        Ok(())
    }
}

/// The value of a variable of the Pod's containers.
fn variable(pod: &Pod, name: &str) -> Result<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut variables = containers.flat_map(|container| container.env.iter().flatten());
    let found = variables.find(|variable| variable.name == name);
    found
        .and_then(|variable| variable.value.clone())
        .with_context(|| format!("the Pod has no {name}"))
}

async fn until<T: std::fmt::Debug>(
    what: &str,
    read: impl AsyncFn() -> Result<T>,
    wanted: impl Fn(&T) -> bool,
) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let now = read().await?;
        if wanted(&now) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "no {what} in {LIMIT:?}; there is {now:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
