//! `kubectl-gs`, the kubectl plugin for game servers: a command, not a controller.
//!
//! | | |
//! |---|---|
//! | reads | GameServers, GameServerSets, Pods, events |
//! | writes | GameServer `spec.opsState`, `spec.markedForDeletion`; labels and annotations that `allocate` is given |
//! | field manager | [`FIELD_MANAGER`] |
//! | RBAC | that of whoever runs it; `docs/kubectl-gs.md` has a role for it |
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`], [`connect`], [`error`] | flags, cluster, exit codes |
//! | [`commands`] | one file for each command |
//! | [`pick`] | pure: which server is allocated, and what keeps one from being |
//! | [`why`] | pure: why a server or a set is as it is |
//! | [`timeline`] | pure: what happened to a server, from events, conditions and managed fields |
//! | [`gap`], [`top`], [`address`], [`server`], [`managed`] | pure: Pods that lag, counts, addresses, what a GameServer says, who wrote what |
//! | [`table`], [`style`], [`age`], [`output`] | how it looks |
//! | [`read`], [`shown`] | reading the cluster; waiting for a Pod |
//!
//! `docs/adr/0032-allocating-from-the-command-line.md` says how an allocation is made.

pub mod address;
pub mod age;
pub mod cli;
pub mod commands;
pub mod connect;
pub mod error;
pub mod gap;
pub mod managed;
pub mod output;
pub mod pick;
pub mod read;
pub mod server;
pub mod shown;
pub mod style;
pub mod table;
pub mod timeline;
pub mod top;
pub mod why;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    cli::{Cli, Command},
    connect::Session,
    error::Error,
    style::Style,
};

/// The name under which this command writes.
pub const FIELD_MANAGER: &str = "kubectl-gs";

/// The program: reads the command line, runs the command, says what went wrong.
pub async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.code();
            if code != 0 {
                eprintln!("{error}");
            }
            ExitCode::from(code)
        }
    }
}

async fn run(cli: Cli) -> Result<(), Error> {
    let style = Style::of(cli.global.color);
    // These need no cluster, or make do without.
    match &cli.command {
        Command::Completion(args) => return commands::complete::script(args.target),
        Command::Complete(args) => return commands::complete::candidates(&cli.global, &args.words).await,
        _ => {}
    }
    let session = Session::open(&cli.global).await?;
    match cli.command {
        Command::List(args) => commands::list::run(&session, args, style).await,
        Command::Describe(args) => commands::describe::run(&session, args, style).await,
        Command::Allocate(args) => commands::allocate::run(&session, args).await,
        Command::Release(args) => commands::release::run(&session, args).await,
        Command::SetOps(args) => commands::set_ops::run(&session, args).await,
        Command::Drain(args) => commands::drain::run(&session, args).await,
        Command::Kill(args) => commands::drain::kill(&session, args).await,
        Command::Why(args) => commands::why::run(&session, args, style).await,
        Command::SyncGap(args) => commands::sync_gap::run(&session, args, style).await,
        Command::Top(args) => commands::top::run(&session, args, style).await,
        Command::Completion(_) | Command::Complete(_) => Ok(()),
    }
}
