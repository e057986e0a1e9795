//! `cargo xtask cluster …`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use super::{Nodes, Provider, Spec, down, find, images, status, up};

/// Arguments of `cargo xtask cluster`.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Bring a cluster up (or find it up); the last line on stdout is its kubeconfig's path
    Up(UpArgs),
    /// Take a cluster down and remove what it left
    Down(NameArgs),
    /// Put a test image (a recipe of e2e/images) on the cluster's real nodes under any name
    Load(LoadArgs),
    /// Say what runs; the exit code is 0 when all is healthy, 1 when not, 2 when there is no such cluster
    Status(NameArgs),
}

#[derive(Debug, Args)]
struct NameArgs {
    /// Cluster name
    #[arg(long, default_value = "dev")]
    name: String,
}

#[derive(Debug, Args)]
struct LoadArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Folder in e2e/images
    #[arg(long, value_name = "RECIPE")]
    image: String,
    /// Reference, as manifests have it
    #[arg(long = "as", value_name = "REFERENCE")]
    reference: String,
}

#[derive(Debug, Args)]
struct UpArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Who runs the control plane; auto takes kubeconfig if one is named, else kind if it works, else local
    #[arg(long, value_enum, default_value = "auto")]
    provider: ProviderChoice,
    /// An existing cluster's kubeconfig
    #[arg(long, env = "GAMEKEEPER_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Nodes of a local cluster: none, kwok=N, kubelet=1, or kwok=N,kubelet=1; nodes are only ever added
    #[arg(long)]
    nodes: Option<Nodes>,
    /// Have kube-apiserver write logs/audit.log
    #[arg(long)]
    audit_log: bool,
    /// A further flag for kube-apiserver (repeatable)
    #[arg(long = "apiserver-arg", value_name = "FLAG", allow_hyphen_values = true)]
    apiserver_args: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProviderChoice {
    Auto,
    Kubeconfig,
    Kind,
    Local,
}

impl From<UpArgs> for Spec {
    fn from(args: UpArgs) -> Self {
        let provider = match args.provider {
            ProviderChoice::Auto => None,
            ProviderChoice::Kubeconfig => Some(Provider::Kubeconfig),
            ProviderChoice::Kind => Some(Provider::Kind),
            ProviderChoice::Local => Some(Provider::Local),
        };
        Self {
            name: args.name.name,
            provider,
            kubeconfig: args.kubeconfig,
            nodes: args.nodes,
            audit_log: args.audit_log,
            apiserver_args: args.apiserver_args,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// As the function it calls.
pub async fn run(args: ClusterArgs) -> Result<ExitCode> {
    match args.action {
        Action::Up(args) => println!("{}", up(&args.into()).await?.kubeconfig.display()),
        Action::Down(args) => {
            let was_there = down(&args.name).await?;
            eprintln!(
                "cluster {} {}",
                args.name,
                if was_there { "is down" } else { "was not up" }
            );
        }
        Action::Load(args) => {
            images::import(&find(&args.name.name)?, &args.image, &args.reference).await?;
            eprintln!("{} is on the nodes of cluster {}", args.reference, args.name.name);
        }
        Action::Status(args) => return print_status(&args.name).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn print_status(name: &str) -> Result<ExitCode> {
    let Some(status) = status(name).await? else {
        println!("no cluster {name}");
        return Ok(ExitCode::from(2));
    };
    println!("{status}");
    Ok(if status.problem.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
