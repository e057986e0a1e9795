//! `completion`: scripts for shells and for kubectl, and the candidates kubectl asks for.

use api_types::{GameServer, GameServerSet, ops_state, state::GameServerState};
use clap::CommandFactory as _;
use clap_complete::generate;
use tokio::time::{Duration, timeout};

use crate::{
    cli::{Cli, Global, Target},
    connect::Session,
    error::Error,
    output, read,
};

/// kubectl calls `kubectl_complete-gs` with the words after `kubectl gs`, and reads candidates and a directive.
const FOR_KUBECTL: &str = "#!/bin/sh\n\
    # Put this on PATH as kubectl_complete-gs, and make it executable.\n\
    exec kubectl-gs __complete -- \"$@\"\n";

/// A shell that asks the cluster waits no longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Cobra's directive: candidates are all there are, files are none.
const NO_FILES: &str = ":4\n";

/// Prints a completion script.
///
/// # Errors
/// When it can't be printed.
pub fn script(target: Target) -> Result<(), Error> {
    match target {
        Target::Kubectl => output::print(FOR_KUBECTL),
        Target::Shell(shell) => {
            let mut script = Vec::new();
            generate(shell, &mut Cli::command(), "kubectl-gs", &mut script);
            output::print(&String::from_utf8_lossy(&script))
        }
    }
}

/// Prints the candidates for the last of these words. What can't be found out has none: a shell is no place for errors.
///
/// # Errors
/// When they can't be printed.
pub async fn candidates(flags: &Global, words: &[String]) -> Result<(), Error> {
    let (last, before) = words
        .split_last()
        .map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut found = match wanted(before, last) {
        Wanted::These(words) => words,
        Wanted::Servers => from_cluster(flags, before, false).await,
        Wanted::Sets => from_cluster(flags, before, true).await,
    };
    found.retain(|word| word.starts_with(last));
    found.sort();
    output::print(&(output::lines(found) + NO_FILES))
}

/// What can stand at a place.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    These(Vec<String>),
    Servers,
    Sets,
}

/// Decides from the words before. Pure.
fn wanted(before: &[String], last: &str) -> Wanted {
    let words = |words: &[&str]| Wanted::These(words.iter().map(|word| (*word).to_owned()).collect());
    let cli = Cli::command();
    let known = |word: &&String| cli.find_subcommand(word.as_str()).is_some();
    let Some(command) = before
        .iter()
        .find(known)
        .and_then(|word| cli.find_subcommand(word))
    else {
        if last.starts_with('-') {
            return Wanted::These(flags(&cli));
        }
        let visible = cli.get_subcommands().filter(|command| !command.is_hide_set());
        return Wanted::These(visible.map(|command| command.get_name().to_owned()).collect());
    };
    match before.last().map(String::as_str) {
        Some("-s" | "--set") => return Wanted::Sets,
        Some("--state") => {
            return Wanted::These(GameServerState::ALL.iter().map(ToString::to_string).collect());
        }
        Some("--ops-state" | "--to") => return words(OPS_STATES),
        Some("-o" | "--output") => return Wanted::These(values(command, "output")),
        Some("--color") => return words(&["auto", "always", "never"]),
        _ => {}
    }
    if last.starts_with('-') {
        return Wanted::These([flags(command), flags(&cli)].concat());
    }
    match command.get_name() {
        "top" => Wanted::Sets,
        "completion" => words(&["kubectl", "bash", "zsh", "fish", "powershell", "elvish"]),
        "allocate" | "sync-gap" => Wanted::These(Vec::new()),
        // The last word is the opsState; which is the last is not known before there is a name.
        "set-ops" if last.starts_with(|first: char| first.is_ascii_uppercase()) => words(OPS_STATES),
        _ => Wanted::Servers,
    }
}

const OPS_STATES: &[&str] = &[
    ops_state::NONE,
    ops_state::ALLOCATED,
    ops_state::MAINTAINING,
    ops_state::WAIT_TO_BE_DELETED,
];

fn flags(command: &clap::Command) -> Vec<String> {
    let long = command.get_arguments().filter_map(clap::Arg::get_long);
    long.map(|flag| format!("--{flag}")).collect()
}

fn values(command: &clap::Command, argument: &str) -> Vec<String> {
    let found = command.get_arguments().find(|found| found.get_id() == argument);
    let values = found.map(clap::Arg::get_possible_values).unwrap_or_default();
    values.iter().map(|value| value.get_name().to_owned()).collect()
}

/// Names in the namespace that the words name, or the context's.
async fn from_cluster(flags: &Global, before: &[String], sets: bool) -> Vec<String> {
    let mut flags = flags.clone();
    for pair in before.windows(2) {
        match pair[0].as_str() {
            "-n" | "--namespace" => flags.namespace = Some(pair[1].clone()),
            "--context" => flags.context = Some(pair[1].clone()),
            "--kubeconfig" => flags.kubeconfig = Some(pair[1].clone().into()),
            _ => {}
        }
    }
    let read = async {
        let session = Session::open(&flags).await?;
        let scope = session.scope(false);
        if sets {
            read::all_names::<GameServerSet>(&session.client, scope).await
        } else {
            read::all_names::<GameServer>(&session.client, scope).await
        }
    };
    timeout(PATIENCE, read)
        .await
        .ok()
        .and_then(Result::ok)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: &str) -> Wanted {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let last = words.pop().unwrap_or_default();
        wanted(&words, &last)
    }

    fn these(line: &str) -> Vec<String> {
        match at(line) {
            Wanted::These(words) => words,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn each_place_has_its_candidates() {
        assert!(these("al").contains(&"allocate".to_owned()));
        assert!(
            !these("").iter().any(|word| word.starts_with('_')),
            "hidden commands"
        );
        assert_eq!(at("describe ar"), Wanted::Servers);
        assert_eq!(at("-n games release "), Wanted::Servers);
        assert_eq!(at("list --set "), Wanted::Sets);
        assert_eq!(at("top "), Wanted::Sets);
        assert!(these("list --state ").contains(&"PreDelete".to_owned()));
        assert!(these("list -o ").contains(&"wide".to_owned()));
        assert!(these("allocate --ti").contains(&"--timeout".to_owned()));
        assert!(these("allocate --co").contains(&"--context".to_owned()));
        assert!(these("set-ops arena-1 M").contains(&"Maintaining".to_owned()));
    }
}
