//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::plan::Force;

/// Takes over a live OpenKruiseGame cluster without restarting a game server.
///
/// Without a command it plans: it reads, shows what would be done, and changes nothing. docs/migration.md has the whole
/// procedure. Exit code: 0 when all is well, 1 when it could not finish, 3 when something is in the way.
#[derive(Debug, Parser)]
#[command(name = "gamekeeper-migrate", version)]
pub struct Cli {
    /// What to do; `plan` when left out
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where, and how to show it.
    #[command(flatten)]
    pub common: Common,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Path of a kubeconfig file. Default: `KUBECONFIG`, or `~/.kube/config`
    #[arg(long, global = true, env = "GAMEKEEPER_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the sets. Default: the kubeconfig's
    #[arg(
        short,
        long,
        global = true,
        value_name = "NAME",
        conflicts_with = "all_namespaces"
    )]
    pub namespace: Option<String>,
    /// Sets of all namespaces
    #[arg(short = 'A', long, global = true)]
    pub all_namespaces: bool,
    /// Form of the output
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs: one JSON document.
    Json,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show what would be done and what is in the way; change nothing
    Plan(Selected),
    /// Take sets over; killed or refused at any point, run it again
    Run(Changing),
    /// Compare sets with what they were before the take-over
    Verify(Names),
    /// Give sets back to OpenKruise
    Rollback(Changing),
}

/// Which sets.
#[derive(Debug, Clone, Default, Args)]
pub struct Names {
    /// GameServerSets; all of the namespace when none is named
    #[arg(value_name = "SET")]
    pub sets: Vec<String>,
}

/// Which sets, in spite of what.
#[derive(Debug, Clone, Default, Args)]
pub struct Selected {
    /// Which sets.
    #[command(flatten)]
    pub names: Names,
    /// In spite of what.
    #[command(flatten)]
    pub force: ForceArgs,
}

/// For commands that change the cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct Changing {
    /// Which sets, in spite of what.
    #[command(flatten)]
    pub selected: Selected,
    /// Do it; without this flag it is only shown
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// What to do in spite of.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct ForceArgs {
    /// Go on though OpenKruiseGame's manager runs: it makes deleted workloads again, without their holes
    #[arg(long, help_heading = "In spite of")]
    pub force_okg_running: bool,
    /// Go on though webhooks are configured whose manager does not run
    #[arg(long, help_heading = "In spite of")]
    pub force_webhooks: bool,
    /// Go on though Pods are on several revisions
    #[arg(long, help_heading = "In spite of")]
    pub force_mixed_revisions: bool,
    /// Go on though OpenKruiseGame has not acted on the set's latest generation: Pods may be scaled or updated afterwards
    #[arg(long, help_heading = "In spite of")]
    pub force_set_behind: bool,
}

impl From<ForceArgs> for Force {
    fn from(args: ForceArgs) -> Self {
        Self {
            okg_running: args.force_okg_running,
            webhooks: args.force_webhooks,
            mixed_revisions: args.force_mixed_revisions,
            set_behind: args.force_set_behind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_before_or_after_the_command_and_plan_is_the_default() {
        let cli = Cli::parse_from(["x", "-n", "games"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.common.namespace.as_deref(), Some("games"));
        let cli = Cli::parse_from(["x", "run", "arena", "lobby", "--yes", "-n", "games", "-o", "json"]);
        assert_eq!(cli.common.output, Output::Json);
        let Some(Command::Run(run)) = cli.command else {
            panic!("not a run")
        };
        assert!(run.yes);
        assert_eq!(run.selected.names.sets, ["arena", "lobby"]);
        assert!(Cli::try_parse_from(["x", "run", "--yes", "--dry-run"]).is_err());
        assert!(Cli::try_parse_from(["x", "-A", "-n", "games"]).is_err());
    }
}
