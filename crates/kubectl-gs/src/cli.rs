//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use controller_kit::args::parse_duration;

use crate::style::When;

/// Game servers from the command line.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no server is free, 4 not in time, 5 found something (with --exit-code).
#[derive(Debug, Parser)]
#[command(name = "kubectl-gs", bin_name = "kubectl gs", version, max_term_width = 110)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    /// Which cluster, and how to show it.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Global {
    /// Path of a kubeconfig file. Default: what `KUBECONFIG` names, or `~/.kube/config`
    #[arg(long, global = true, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig. Default: its current one
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Cluster of the kubeconfig, instead of the context's
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// User of the kubeconfig, instead of the context's
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// User to act as
    #[arg(long = "as", global = true, value_name = "USER")]
    pub act_as: Option<String>,
    /// Group to act as; repeatable
    #[arg(long = "as-group", global = true, value_name = "GROUP", requires = "act_as")]
    pub act_as_groups: Vec<String>,
    /// Namespace. Default: the context's
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub color: When,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List servers: state, opsState, players, address
    #[command(visible_alias = "ls")]
    List(List),
    /// Show all about a server, with a timeline of what happened to it
    Describe(Describe),
    /// Allocate a server that is ready and free, and print its address once its Pod shows the allocation
    Allocate(Allocate),
    /// End the allocation of servers
    Release(Release),
    /// Set the opsState of servers
    SetOps(SetOps),
    /// Mark servers for deletion: each goes when its last player has left. It can't be taken back
    Drain(Drain),
    /// Take servers away at once, with whoever plays on them. Asks first
    Kill(Kill),
    /// Say why a server, or a set, is as it is: not ready, not deleted, not updated, not allocatable, not scaled
    Why(Why),
    /// List servers whose Pods do not show yet what their GameServers say
    SyncGap(SyncGap),
    /// Count servers and players of each set
    Top(Top),
    /// Print a completion script for a shell
    Completion(Completion),
    /// Candidates for the words of a command line that is being written.
    #[command(hide = true, name = "__complete", disable_help_flag = true)]
    Complete(Complete),
}

/// Form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Columns.
    #[default]
    Table,
    /// More columns.
    Wide,
    /// The objects as JSON.
    Json,
    /// The objects as YAML.
    Yaml,
    /// The names alone.
    Name,
}

/// Form of what is said about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ChangeFormat {
    /// A sentence for each server.
    #[default]
    Text,
    /// The names alone.
    Name,
    /// The objects as JSON.
    Json,
    /// The objects as YAML.
    Yaml,
}

/// Form of an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum AllocationFormat {
    /// A sentence.
    #[default]
    Text,
    /// The address alone.
    Address,
    /// The name alone.
    Name,
    /// Name, Pod and addresses as JSON.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Which servers of a namespace.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Servers of these sets only; repeatable, or separated by commas
    #[arg(short = 's', long = "set", value_name = "SET", value_delimiter = ',')]
    pub sets: Vec<String>,
    /// Servers with these labels only, as in `kubectl get -l`
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
}

/// Flags of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Servers; all when none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Which of them.
    #[command(flatten)]
    pub selection: Selection,
    /// Servers in these states only: Ready, NotReady, Creating, PreDelete, ...
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    pub state: Vec<String>,
    /// Servers with these opsStates only: None, Allocated, Maintaining, ...
    #[arg(long = "ops-state", value_name = "OPSSTATE", value_delimiter = ',')]
    pub ops_state: Vec<String>,
    /// Servers of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Go on and print each server again when it changes
    #[arg(short, long)]
    pub watch: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// No line with the names of the columns
    #[arg(long)]
    pub no_headers: bool,
    /// Managed fields too, with -o json and yaml
    #[arg(long)]
    pub show_managed_fields: bool,
}

/// Flags of `describe`.
#[derive(Debug, Clone, Args)]
pub struct Describe {
    /// Servers
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Times as they are instead of how long ago
    #[arg(long)]
    pub times: bool,
}

/// Flags of `allocate`.
#[derive(Debug, Clone, Args)]
pub struct Allocate {
    /// Which servers.
    #[command(flatten)]
    pub selection: Selection,
    /// Label to set on the GameServer with the allocation; those that begin with `gs-sync/` reach the Pod. Repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
    /// The same for an annotation
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = pair)]
    pub annotations: Vec<(String, String)>,
    /// Longest time until the Pod shows the allocation; after it the server is released again
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10s")]
    pub timeout: Duration,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: AllocationFormat,
}

/// Waiting for the Pods.
#[derive(Debug, Clone, Copy, Args)]
pub struct Patience {
    /// Do not wait until the Pods show it
    #[arg(long)]
    pub no_wait: bool,
    /// Longest time to wait
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10s")]
    pub timeout: Duration,
}

/// Flags of `release`.
#[derive(Debug, Clone, Args)]
pub struct Release {
    /// Servers
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// OpsState they get, for example WaitToBeDeleted where a server is for one match
    #[arg(long = "to", value_name = "OPSSTATE", default_value = "None")]
    pub to: String,
    /// How long to wait.
    #[command(flatten)]
    pub patience: Patience,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: ChangeFormat,
}

/// Flags of `set-ops`.
#[derive(Debug, Clone, Args)]
#[command(
    override_usage = "kubectl gs set-ops NAME... OPSSTATE [OPTIONS]\n       kubectl gs set-ops --set SET OPSSTATE [OPTIONS]"
)]
pub struct SetOps {
    /// Servers (none with --set or --selector), and last the opsState: None, Allocated, Maintaining, WaitToBeDeleted, or a word
    /// of your own
    #[arg(required = true, value_name = "NAME... OPSSTATE")]
    pub words: Vec<String>,
    /// Which servers, where none are named.
    #[command(flatten)]
    pub selection: Selection,
    /// Yes to the word, though it is only almost one that has a meaning
    #[arg(long)]
    pub force: bool,
    /// How long to wait.
    #[command(flatten)]
    pub patience: Patience,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: ChangeFormat,
}

impl SetOps {
    /// The servers and the opsState.
    pub fn parts(&self) -> (&[String], &str) {
        self.words
            .split_last()
            .map_or((&[], ""), |(last, names)| (names, last.as_str()))
    }
}

/// Flags of `drain`.
#[derive(Debug, Clone, Args)]
pub struct Drain {
    /// Servers
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Also servers that are Allocated and report no players, which nobody waits for
    #[arg(long)]
    pub force: bool,
    /// Wait until their Pods are gone
    #[arg(short, long)]
    pub wait: bool,
    /// Longest time to wait
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1h", requires = "wait")]
    pub timeout: Duration,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: ChangeFormat,
}

/// Flags of `kill`.
#[derive(Debug, Clone, Args)]
pub struct Kill {
    /// Servers
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Wait until their Pods are gone
    #[arg(short, long)]
    pub wait: bool,
    /// Longest time to wait
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5m", requires = "wait")]
    pub timeout: Duration,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: ChangeFormat,
}

/// Form of an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum WhyFormat {
    /// Sentences.
    #[default]
    Text,
    /// The findings as JSON.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Flags of `why`.
#[derive(Debug, Clone, Args)]
pub struct Why {
    /// A server or a set; `gss/NAME` where a server has the set's name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: WhyFormat,
}

/// Flags of `sync-gap`.
#[derive(Debug, Clone, Args)]
pub struct SyncGap {
    /// Which servers.
    #[command(flatten)]
    pub selection: Selection,
    /// Servers of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Exit code 5 where there are some
    #[arg(long)]
    pub exit_code: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// No line with the names of the columns
    #[arg(long)]
    pub no_headers: bool,
}

/// Flags of `top`.
#[derive(Debug, Clone, Args)]
pub struct Top {
    /// Sets; all when none is named
    #[arg(value_name = "SET")]
    pub sets: Vec<String>,
    /// Sets of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// No line with the names of the columns
    #[arg(long)]
    pub no_headers: bool,
}

/// Flags of `completion`.
#[derive(Debug, Clone, Args)]
pub struct Completion {
    /// `kubectl` prints the script `kubectl_complete-gs`, with which kubectl itself completes `kubectl gs`
    #[arg(value_name = "SHELL", value_parser = target)]
    pub target: Target,
}

/// Words to complete.
#[derive(Debug, Clone, Args)]
pub struct Complete {
    /// The words so far, the last of them unfinished.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// Whose completion script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Of a shell, for the program `kubectl-gs`.
    Shell(Shell),
    /// kubectl's own, for `kubectl gs`.
    Kubectl,
}

fn target(text: &str) -> Result<Target, String> {
    if text == "kubectl" {
        return Ok(Target::Kubectl);
    }
    <Shell as ValueEnum>::from_str(text, false)
        .map(Target::Shell)
        .map_err(|_| "one of kubectl, bash, zsh, fish, powershell, elvish".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(std::iter::once("kubectl-gs").chain(line.split(' '))).map(|cli| cli.command)
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_kubectl_stand_before_or_after_the_command() {
        for line in [
            "-n games list --context dev",
            "list -n games --context dev",
            "--context dev ls -n games",
        ] {
            let cli = Cli::parse_from(std::iter::once("kubectl-gs").chain(line.split(' ')));
            assert_eq!(cli.global.namespace.as_deref(), Some("games"));
            assert_eq!(cli.global.context.as_deref(), Some("dev"));
        }
        assert!(parse("list -A -n games").is_err());
    }

    #[test]
    fn the_last_word_of_set_ops_is_the_ops_state() {
        let Ok(Command::SetOps(set)) = parse("set-ops arena-1 arena-2 Maintaining") else {
            panic!("not understood")
        };
        assert_eq!(
            set.parts(),
            (&["arena-1".to_owned(), "arena-2".to_owned()][..], "Maintaining")
        );
        let Ok(Command::SetOps(set)) = parse("set-ops --set arena None") else {
            panic!("not understood")
        };
        assert_eq!(set.parts(), (&[][..], "None"));
        assert_eq!(set.selection.sets, ["arena"]);
        assert!(parse("set-ops").is_err());
    }

    #[test]
    fn durations_and_pairs_are_checked() {
        assert!(parse("allocate --timeout soon").is_err());
        assert!(parse("allocate --label gs-sync/match").is_err());
        assert!(parse("allocate --label gs-sync/match=7").is_ok());
        assert!(parse("completion tcsh").is_err());
        assert!(parse("completion kubectl").is_ok());
        assert!(parse("drain arena-1 --timeout 5s").is_err(), "without --wait");
    }
}
