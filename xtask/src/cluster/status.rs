//! What a cluster consists of and whether it works.

use std::fmt;

use anyhow::Result;

use super::{control_plane, find, paths, state::State};

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentStatus {
    /// Component.
    pub name: String,
    /// Process id.
    pub pid: i32,
    /// Whether exactly that process runs.
    pub running: bool,
    /// Where it logs.
    pub log: String,
}

/// The state of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Heading: name, provider, nodes, kubeconfig.
    pub summary: String,
    /// Its processes.
    pub components: Vec<ComponentStatus>,
    /// What is wrong; `None` when all is well.
    pub problem: Option<String>,
}

/// The status of cluster `name`; `None` where there is none.
///
/// # Errors
/// When its record is damaged.
pub async fn status(name: &str) -> Result<Option<Status>> {
    let dir = paths::cluster_dir(name)?;
    let Some(state) = State::load(&dir)? else {
        return Ok(None);
    };
    let cluster = find(name)?;
    let components: Vec<ComponentStatus> = state
        .processes
        .iter()
        .map(|process| ComponentStatus {
            name: process.launch.name.clone(),
            pid: process.pid,
            running: process.is_alive(),
            log: process.launch.log.display().to_string(),
        })
        .collect();
    let dead = components.iter().find(|component| !component.running);
    let problem = match dead {
        Some(component) => Some(format!(
            "{} isn't running; `cluster up` starts it again",
            component.name
        )),
        None => control_plane::check(&cluster.kubeconfig)
            .await
            .err()
            .map(|error| format!("{error:#}")),
    };
    let summary = format!(
        "cluster {name}: provider {}, nodes {}, kubeconfig {}",
        cluster.provider,
        cluster.nodes,
        cluster.kubeconfig.display()
    );
    Ok(Some(Status {
        summary,
        components,
        problem,
    }))
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.summary)?;
        let width = self.components.iter().map(|c| c.name.len()).max().unwrap_or(0);
        for component in &self.components {
            let state = if component.running { "running" } else { "ended" };
            writeln!(
                f,
                "  {:width$}  {:>8}  {state:7}  {}",
                component.name, component.pid, component.log
            )?;
        }
        match &self.problem {
            Some(problem) => write!(f, "NOT HEALTHY: {problem}"),
            None => f.write_str("healthy"),
        }
    }
}
