//! Takes over a live OpenKruiseGame cluster without restarting a game server: a command, not a controller.
//!
//! | | |
//! |---|---|
//! | reads | GameServerSets, Pods, volume claims, ControllerRevisions, ConfigMaps; OpenKruise's StatefulSets and PodProbeMarkers; Deployments, webhook configurations and CRDs |
//! | writes | owner references of Pods, volume claims and ControllerRevisions; GameServerSet `status.plan`, before any Pod is taken over; Pod conditions `KruisePodReady` and `InPlaceUpdateReady`; a ConfigMap `gamekeeper-migrate-<set>` |
//! | deletes | OpenKruise's StatefulSets (orphaning) and PodProbeMarkers of the sets it takes over |
//! | field manager | `gamekeeper-migrate` |
//! | RBAC | `e2e/rbac/migrate.yaml` |
//!
//! | module | what it is |
//! |---|---|
//! | [`facts`] | plain data: the cluster and its sets |
//! | [`plan`](mod@plan) | pure: the steps that are left, and what is in the way |
//! | [`rollback`] | pure: the same for the way back |
//! | [`verify`](mod@verify) | pure: what is, compared with what was |
//! | [`snapshot`] | what was |
//! | [`observe`], [`cluster`] | from the cluster to facts |
//! | [`apply`] | one guarded write for each step |
//! | [`cli`], [`report`] | flags and output |
//!
//! `docs/adr/0015-take-over.md` says why ownership moves in this order; `docs/migration.md` is for operators.

pub mod apply;
pub mod cli;
pub mod cluster;
pub mod error;
pub mod facts;
pub mod kinds;
pub mod observe;
pub mod plan;
pub mod report;
pub mod rollback;
pub mod snapshot;
pub mod verify;

use std::process::ExitCode;

use controller_kit::client::{connect, load_config, named};
use kube::Client;

use crate::{
    apply::Apply,
    cli::{Changing, Cli, Command, Common, Names, Output, Selected},
    error::Error,
    facts::{ClusterFacts, SetFacts},
    observe::Scope,
    plan::{Force, SetPlan, State},
};

/// Exit code when something is in the way.
const REFUSED: u8 = 3;

/// Plans from facts, forwards or backwards.
type Planner = fn(&ClusterFacts, &SetFacts, Force) -> SetPlan;

/// Runs the command and prints what came of it.
///
/// # Errors
/// When the cluster cannot be reached, or a step fails; running it again goes on from there.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = load_config(cli.common.kubeconfig.as_deref()).await?;
    let session = Session {
        client: connect(&named(&config, "gamekeeper-migrate"))?,
        common: cli.common,
    };
    let command = cli.command.unwrap_or_else(|| Command::Plan(Selected::default()));
    Ok(match command {
        Command::Plan(selected) => session.show(&selected, plan::plan).await?,
        Command::Verify(names) => session.verify(&names).await?,
        Command::Run(changing) => {
            let code = session.change(&changing, plan::plan).await?;
            if !changing.yes || code != ExitCode::SUCCESS || session.common.output == Output::Json {
                return Ok(code);
            }
            session.verify(&changing.selected.names).await?
        }
        Command::Rollback(changing) => session.change(&changing, rollback::plan).await?,
    })
}

struct Session {
    client: Client,
    common: Common,
}

impl Session {
    async fn sets(&self, names: &Names) -> anyhow::Result<Vec<SetFacts>> {
        let namespace = if self.common.all_namespaces {
            String::new()
        } else {
            let default = || self.client.default_namespace().to_owned();
            self.common.namespace.clone().unwrap_or_else(default)
        };
        let scope = Scope {
            namespace,
            names: names.sets.clone(),
        };
        let sets = observe::sets(&self.client, &scope).await?;
        let missing = names
            .sets
            .iter()
            .find(|name| sets.iter().all(|set| set.name != **name));
        if let Some(name) = missing {
            anyhow::bail!(
                "there is no GameServerSet {name} in namespace {:?}",
                scope.namespace
            );
        }
        Ok(sets)
    }

    async fn show(&self, selected: &Selected, planner: Planner) -> anyhow::Result<ExitCode> {
        let cluster = observe::cluster(&self.client).await?;
        let sets = self.sets(&selected.names).await?;
        let plans: Vec<SetPlan> = sets
            .iter()
            .map(|set| planner(&cluster, set, selected.force.into()))
            .collect();
        print!("{}", report::plans(&plans, self.common.output));
        Ok(code(plans.iter().any(|plan| plan.state == State::Refused)))
    }

    async fn change(&self, changing: &Changing, planner: Planner) -> anyhow::Result<ExitCode> {
        if !changing.yes {
            let code = self.show(&changing.selected, planner).await?;
            if !changing.dry_run {
                eprintln!("nothing was changed: add --yes to do it");
            }
            return Ok(code);
        }
        let force = Force::from(changing.selected.force);
        let apply = Apply::new(self.client.clone());
        let mut results: Vec<(SetFacts, Result<SetPlan, Error>)> = Vec::new();
        for set in self.sets(&changing.selected.names).await? {
            let result = apply
                .finish(&set, |cluster, set| planner(cluster, set, force))
                .await;
            results.push((set, result));
        }
        let plans: Vec<SetPlan> = results
            .iter()
            .filter_map(|(_, result)| result.as_ref().ok().cloned())
            .collect();
        print!("{}", report::plans(&plans, self.common.output));
        let refused = plans.iter().any(|plan| plan.state == State::Refused);
        // One set's trouble keeps no other from being taken over; all of it is said.
        let failed: Vec<String> = results
            .into_iter()
            .filter_map(|(set, result)| Some(format!("{}/{}: {}", set.namespace, set.name, result.err()?)))
            .collect();
        anyhow::ensure!(failed.is_empty(), "{}; run it again to go on", failed.join("; "));
        Ok(code(refused))
    }

    async fn verify(&self, names: &Names) -> anyhow::Result<ExitCode> {
        let mut all = Vec::new();
        // Sets that were never OpenKruise's have nothing to be compared with, unless they are asked about.
        let sets = self.sets(names).await?;
        for set in sets
            .into_iter()
            .filter(|set| set.snapshot.is_some() || !names.sets.is_empty())
        {
            all.push(self.verify_set(&set).await?);
        }
        print!("{}", report::verifications(&all, self.common.output));
        Ok(code(all.iter().any(|set| !set.ok)))
    }

    async fn verify_set(&self, set: &SetFacts) -> Result<verify::Verification, Error> {
        let old = set
            .snapshot
            .as_ref()
            .map(|stored| stored.content.workload_uid.as_str());
        let still_owned = match old {
            Some(uid) => observe::owned_by(&self.client, &set.namespace, uid).await?,
            None => Vec::new(),
        };
        Ok(verify::verify(set, &still_owned))
    }
}

fn code(refused: bool) -> ExitCode {
    if refused {
        ExitCode::from(REFUSED)
    } else {
        ExitCode::SUCCESS
    }
}
