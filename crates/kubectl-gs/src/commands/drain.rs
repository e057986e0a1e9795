//! `drain` and `kill`: servers that are to go.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin};

use api_types::{GameServer, ops_state};
use controller_kit::write::WriteError;
use serde_json::{Value, json};
use tokio::time::Duration;

use super::change::{Change, Changed, each, report};
use crate::{
    cli::{Drain, Kill},
    connect::Session,
    error::Error,
    read,
    server::{self, claim},
};

/// Rounds in which somebody else may change the server before it is given up.
const ROUNDS: usize = 10;

/// Runs `drain`.
///
/// # Errors
/// When a server can't be written, or is not gone in time.
pub async fn run(session: &Session, args: Drain) -> Result<(), Error> {
    let names = read::names(&args.names)?;
    let change = Change::new(session);
    let wait = args.wait.then_some(args.timeout);
    let going = Going {
        patch: json!({"spec": {"markedForDeletion": true}}),
        already: |server| server.spec.marked_for_deletion == Some(true),
        guard: if args.force { |_| Ok(()) } else { may_drain },
        done: drained,
    };
    let results = each(&names, |name| going.one(&change, name, wait)).await;
    report(results, args.output)
}

fn drained(server: &GameServer) -> String {
    match server::players(server) {
        Some((players, _)) if players > 0 => {
            format!("marked for deletion: goes when its {players} players have left")
        }
        _ => "marked for deletion: no players are reported on it".to_owned(),
    }
}

/// A server that reports no players goes at once. Where it is Allocated, somebody may be on it all the same.
fn may_drain(server: &GameServer) -> Result<(), Error> {
    if server::ops_state(server) == ops_state::ALLOCATED && server::players(server).is_none() {
        let name = server::name(&server.metadata);
        return Err(Error::Refused(format!(
            "{name} is Allocated and reports no players, so it would not be waited for: release it first, or --force"
        )));
    }
    Ok(())
}

/// Runs `kill`.
///
/// # Errors
/// When nobody said yes, a server can't be written, or is not gone in time.
pub async fn kill(session: &Session, args: Kill) -> Result<(), Error> {
    let names = read::names(&args.names)?;
    let change = Change::new(session);
    if !args.yes {
        if !stdin().is_terminal() {
            return Err(Error::Usage(
                "kill asks before it takes servers away, and nobody is there to answer: add --yes".to_owned(),
            ));
        }
        let mut servers = Vec::new();
        for name in &names {
            servers.push(change.read(name).await?);
        }
        ask(&servers)?;
    }
    let wait = args.wait.then_some(args.timeout);
    let going = Going {
        patch: json!({"spec": {"opsState": ops_state::KILL}}),
        already: |server| server::ops_state(server) == ops_state::KILL,
        guard: |_| Ok(()),
        done: |_| "killed: its set's replicas are lowered with it".to_owned(),
    };
    let results = each(&names, |name| going.one(&change, name, wait)).await;
    report(results, args.output)
}

/// A way for servers to go.
struct Going {
    patch: Value,
    already: fn(&GameServer) -> bool,
    guard: fn(&GameServer) -> Result<(), Error>,
    done: fn(&GameServer) -> String,
}

impl Going {
    async fn one(&self, change: &Change<'_>, name: String, wait: Option<Duration>) -> Result<Changed, Error> {
        let (server, done) = self.write(change, &name).await?;
        let Some(timeout) = wait else {
            return Ok(Changed { server, done });
        };
        change.gone(&name, timeout).await?;
        Ok(Changed {
            server,
            done: "gone".to_owned(),
        })
    }

    /// The guard is about what was read, so it is written to that version.
    async fn write(&self, change: &Change<'_>, name: &str) -> Result<(GameServer, String), Error> {
        for _ in 0..ROUNDS {
            let before = change.read(name).await?;
            if (self.already)(&before) {
                return Ok((before, "unchanged: it goes already".to_owned()));
            }
            (self.guard)(&before)?;
            match change.patch(&before, true, self.patch.clone()).await {
                Ok(server) => {
                    let done = (self.done)(&server);
                    return Ok((server, done));
                }
                Err(WriteError::Conflict(_)) => {}
                Err(error) => return Err(Error::write(format!("cannot write {name}"), error)),
            }
        }
        Err(Error::Refused(format!(
            "{name} was changed by others {ROUNDS} times meanwhile; try again"
        )))
    }
}

fn ask(servers: &[GameServer]) -> Result<(), Error> {
    let question = question(servers);
    let mut err = stderr().lock();
    // If the question can't be seen, no answer is a yes.
    write!(err, "{question} [y/N] ").and_then(|()| err.flush())?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::Refused("nothing was done".to_owned())),
    }
}

/// What is about to happen, to whom. Pure.
fn question(servers: &[GameServer]) -> String {
    let each: Vec<String> = servers
        .iter()
        .map(|server| {
            let name = server::name(&server.metadata);
            let ops_state = server::ops_state(server);
            let players = match server::players(server) {
                Some((1, _)) => ", 1 player".to_owned(),
                Some((players, _)) => format!(", {players} players"),
                None => String::new(),
            };
            let going = claim(server).map_or(String::new(), |claim| format!(", goes: {}", claim.reason));
            format!("{name} ({ops_state}{players}{going})")
        })
        .collect();
    format!(
        "Take away at once, with whoever plays on it: {}?",
        each.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_the_players() {
        let server = |name: &str, players: u32| -> GameServer {
            serde_json::from_value(json!({
                "metadata": {"name": name},
                "spec": {"opsState": "Allocated"},
                "status": {"players": {"count": players}, "reported": {"podUID": "p1"}},
            }))
            .unwrap()
        };
        assert_eq!(
            question(&[server("arena-1", 1), server("arena-2", 7)]),
            "Take away at once, with whoever plays on it: arena-1 (Allocated, 1 player), arena-2 (Allocated, 7 players)?"
        );
    }

    #[test]
    fn a_drained_server_says_for_whom_it_waits() {
        let mut server = GameServer::new("arena-1", api_types::GameServerSpec::default());
        assert_eq!(
            drained(&server),
            "marked for deletion: no players are reported on it"
        );
        assert!(may_drain(&server).is_ok());
        server.spec.ops_state = Some("Allocated".into());
        assert!(may_drain(&server).is_err(), "who is on it is not known");
        server.status =
            serde_json::from_value(json!({"players": {"count": 3}, "reported": {"podUID": "p1"}})).unwrap();
        assert_eq!(
            drained(&server),
            "marked for deletion: goes when its 3 players have left"
        );
        assert!(may_drain(&server).is_ok(), "it is waited for them");
    }
}
