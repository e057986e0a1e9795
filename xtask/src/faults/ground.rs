//! Where plans are tried: a cluster with CRDs and RBAC, an observer, and credentials for each controller.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api_types::GameServer;
use e2e::faults::invariants::{self, Violation};
use e2e::faults::{
    Allocations, Crash, Gates, History, Ledger, Lost, NotInTime, Observer, Outcome, Plan, Stage, Traffic,
    stage,
};
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::sync::mpsc;

use super::process::{Launch, Process};
use crate::fleet::{Controller, client_for, install, service_account_kubeconfig};

/// The controllers of a plan: those whose work meets. node-watcher's is about nodes, and nothing here happens to one.
pub(super) const CONTROLLERS: [Controller; 3] = [Controller::Gss, Controller::Gs, Controller::PodSync];

/// Everything that plans share.
pub(super) struct Ground {
    client: Client,
    /// Without credentials: each request brings its controller's.
    upstream: Client,
    observer: Arc<Observer>,
    accounts: BTreeMap<Controller, PathBuf>,
    node: String,
    pub(super) binaries: PathBuf,
    directory: PathBuf,
    cluster_dir: Option<PathBuf>,
    /// Namespaces of plans.
    made: Mutex<Vec<String>>,
}

/// What a clean run of a workload led to, and cost.
#[derive(Debug, Clone)]
pub(super) struct Clean {
    pub(super) outcome: Outcome,
    pub(super) traffic: Traffic,
    /// How long all of its steps took together.
    pub(super) took: Duration,
}

/// One plan after it was tried.
pub(super) struct Tried {
    pub(super) plan: Plan,
    pub(super) violations: Vec<Violation>,
    /// Faults whose place was reached.
    pub(super) fired: usize,
    pub(super) seconds: f64,
    pub(super) ledger: Ledger,
    pub(super) history: History,
    /// Logs of its controllers.
    pub(super) directory: PathBuf,
}

/// Waits until the garbage collector knows the kinds of the CRDs. It looks for new ones every 30 s, and a set deleted before that
/// leaves its servers behind for longer than any plan waits.
async fn wait_for_garbage_collector(client: &Client) -> Result<()> {
    let servers: Api<GameServer> = Api::default_namespaced(client.clone());
    let orphan = json!({
        "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer",
        "metadata": {"generateName": "garbage-", "ownerReferences": [{
            "apiVersion": "v1", "kind": "Pod", "name": "never-was", "uid": "00000000-0000-4000-8000-000000000000",
        }]},
        "spec": {},
    });
    let made = servers
        .create(&PostParams::default(), &serde_json::from_value(orphan)?)
        .await?;
    let deadline = Instant::now() + Duration::from_secs(120);
    while servers.get_opt(&made.name_any()).await?.is_some() {
        anyhow::ensure!(
            Instant::now() < deadline,
            "the garbage collector has left an orphaned GameServer alone for 120 s"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

impl Ground {
    pub(super) async fn prepare(
        root: &Path,
        kubeconfig: &Path,
        binaries: PathBuf,
        cluster_dir: Option<PathBuf>,
    ) -> Result<Self> {
        let client = client_for(kubeconfig).await?;
        install(&client, root).await?;
        wait_for_garbage_collector(&client).await?;
        let directory = tempfile::Builder::new()
            .prefix("gamekeeper-faults-")
            .tempdir()?
            .keep();
        let mut accounts = BTreeMap::new();
        for controller in CONTROLLERS {
            let account =
                service_account_kubeconfig(&client, kubeconfig, controller.name(), &directory).await?;
            accounts.insert(controller, account);
        }
        let nodes: Api<Node> = Api::all(client.clone());
        let node = nodes.list(&ListParams::default()).await?.items;
        Ok(Self {
            upstream: without_credentials(kubeconfig).await?,
            observer: Arc::new(Observer::start(&client).await?),
            accounts,
            node: node.first().context("the cluster has no node")?.name_any(),
            binaries,
            directory,
            cluster_dir,
            made: Mutex::default(),
            client,
        })
    }

    /// Deletes the namespaces of all plans: the cluster is somebody's.
    ///
    /// # Errors
    /// When the API server refuses.
    pub(super) async fn clean_up(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let made = self.made.lock().map(|made| made.clone()).unwrap_or_default();
        for name in made {
            namespaces.delete(&name, &DeleteParams::default()).await?;
        }
        Ok(())
    }

    /// Tries one plan in a namespace of its own. `clean` is what to compare with; without it, this is the clean run.
    ///
    /// # Errors
    /// When the plan could not be tried: neither a violation nor its absence was shown.
    pub(super) async fn try_plan(
        &self,
        plan: &Plan,
        clean: Option<&Clean>,
        bug: Option<&str>,
    ) -> Result<Tried> {
        let begun = Instant::now();
        let namespace = self.make_namespace().await?;
        let directory = self.directory.join(&namespace);
        std::fs::create_dir_all(&directory)?;
        self.observer.open(&namespace);
        let (crashes, mut asked) = mpsc::unbounded_channel();
        let gates = Gates {
            upstream: self.upstream.clone(),
            ledger: Ledger::default(),
            crashes,
            faults: plan.faults.clone(),
            fired: Arc::new(Mutex::default()),
        };
        let mut processes = self.start(plan, &gates, &namespace, &directory, bug).await?;
        let stage = Stage {
            client: self.client.clone(),
            namespace: namespace.clone(),
            observer: Arc::clone(&self.observer),
            ledger: gates.ledger.clone(),
            seed: plan.seed,
            allocations: Allocations::default(),
            node: self.node.clone(),
            // On a machine with much else to do everything takes longer, and nothing is wrong with that.
            bound: clean.map_or(4 * stage::BOUND, |clean| stage::BOUND.max(3 * clean.took)),
            volumes: Mutex::default(),
        };
        let mut violations = Vec::new();
        let result = attended(
            plan.workload.run(&stage),
            &mut processes,
            &mut asked,
            &mut violations,
        )
        .await;
        end(&mut processes, &mut violations).await?;
        let history = self.observer.close(&namespace);
        judge(result, &mut violations)?;
        verdict(plan, &history, &gates.ledger, clean, &mut violations);
        // What it left goes on its own time; a namespace's deletion would cost the API server more than the plan did.
        let _ = stage.delete_set().await;
        stage.clear().await;
        let fired = gates.fired.lock().map_or(0, |fired| fired.len());
        Ok(Tried {
            plan: plan.clone(),
            violations,
            fired,
            seconds: begun.elapsed().as_secs_f64(),
            ledger: gates.ledger,
            history,
            directory,
        })
    }

    async fn make_namespace(&self) -> Result<String> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let wanted = serde_json::from_value(json!({"metadata": {"generateName": "faults-"}}))?;
        let name = namespaces
            .create(&PostParams::default(), &wanted)
            .await?
            .name_any();
        if let Ok(mut made) = self.made.lock() {
            made.push(name.clone());
        }
        // Its own controller would make it in a moment; until then Pods are refused.
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &name);
        let default = serde_json::from_value(json!({"metadata": {"name": "default"}}))?;
        match accounts.create(&PostParams::default(), &default).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            made => drop(made?),
        }
        Ok(name)
    }

    async fn start(
        &self,
        plan: &Plan,
        gates: &Gates,
        namespace: &str,
        directory: &Path,
        bug: Option<&str>,
    ) -> Result<Vec<Process>> {
        let mut processes = Vec::new();
        for controller in CONTROLLERS {
            let account = self.accounts.get(&controller).context("no credentials")?;
            let launch = Launch {
                binaries: &self.binaries,
                account,
                directory,
                namespace,
                bug,
                cluster_dir: self.cluster_dir.as_deref(),
            };
            let mut clients = vec![controller.name().to_owned()];
            if controller == Controller::Gss && plan.writers > 1 {
                clients.push(format!("{}-2", controller.name()));
            }
            for client in clients {
                let gate = gates.open(&client).await?;
                processes.push(Process::start(controller, &client, gate, &launch)?);
            }
        }
        Ok(processes)
    }
}

impl Tried {
    /// Writes ledger, history and violations beside the controllers' logs; gives the folder.
    pub(super) fn keep(&self) -> Result<&Path> {
        let write = |name: &str, text: String| std::fs::write(self.directory.join(name), text);
        write("plan.txt", format!("{}\n", self.plan))?;
        let violations: Vec<String> = self.violations.iter().map(ToString::to_string).collect();
        write("violations.txt", violations.join("\n") + "\n")?;
        write("ledger.jsonl", self.ledger.to_lines())?;
        write("history.jsonl", self.history.to_lines())?;
        Ok(&self.directory)
    }

    /// Removes what was written while it ran.
    pub(super) fn forget(&self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Runs the workload while killing and restarting processes as the gates ask for.
async fn attended(
    workload: impl Future<Output = Result<()>>,
    processes: &mut [Process],
    asked: &mut mpsc::UnboundedReceiver<Crash>,
    violations: &mut Vec<Violation>,
) -> Result<Result<()>> {
    let mut workload = std::pin::pin!(workload);
    loop {
        tokio::select! {
            result = &mut workload => return Ok(result),
            Some(crash) = asked.recv() => {
                let process = processes.iter_mut().find(|process| process.client == crash.client);
                let process = process.context("a gate without a process")?;
                process.kill().await?;
                let _ = crash.dead.send(());
                process.restart()?;
            }
            () = tokio::time::sleep(Duration::from_millis(250)) => {
                for process in &mut *processes {
                    if let Some(status) = process.ended()? {
                        violations.push(Violation::new("I13", format!("{} ended: {status}", process.client)));
                        process.restart()?;
                    }
                }
            }
        }
    }
}

/// Kills what still runs: a plan is over when its set is at rest, and a drain would only take time.
async fn end(processes: &mut [Process], violations: &mut Vec<Violation>) -> Result<()> {
    for process in processes {
        process.kill().await?;
        if process.panicked() {
            violations.push(Violation::new("I13", format!("{} panicked", process.client)));
        }
    }
    Ok(())
}

/// Adds what history and ledger show. What did not come to rest is not compared with what did.
fn verdict(
    plan: &Plan,
    history: &History,
    ledger: &Ledger,
    clean: Option<&Clean>,
    violations: &mut Vec<Violation>,
) {
    let at_rest = violations.is_empty();
    let entries = ledger.entries().clone();
    let mut causes = invariants::check(history, &entries, plan.workload.max_unavailable);
    // What is broken first, then that it did not come to rest.
    causes.append(violations);
    *violations = causes;
    let Some(clean) = clean.filter(|_| at_rest) else {
        return;
    };
    violations.extend(Traffic::of(&entries).violations(&clean.traffic, plan.writers));
    let differences = Outcome::of(history, plan.workload.racy, &entries).differences(&clean.outcome);
    violations.extend(differences.into_iter().map(|what| Violation::new("I16", what)));
}

/// What a workload's end says: a violation, or that nothing could be tried.
fn judge(result: Result<Result<()>>, violations: &mut Vec<Violation>) -> Result<()> {
    let Err(error) = result? else { return Ok(()) };
    if let Some(late) = error.downcast_ref::<NotInTime>() {
        violations.push(Violation::new("I10", late.to_string()));
        return Ok(());
    }
    if let Some(lost) = error.downcast_ref::<Lost>() {
        violations.push(Violation::new("I1", lost.to_string()));
        return Ok(());
    }
    Err(error)
}

async fn without_credentials(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.auth_info = kube::config::AuthInfo::default();
    Ok(controller_kit::client::connect(&config)?)
}
