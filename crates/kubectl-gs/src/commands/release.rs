//! `release`: ends allocations.

use api_types::ops_state;
use controller_kit::write::WriteError;
use serde_json::json;

use super::{
    change::{Change, Changed, each, report},
    set_ops::check_ops_state,
};
use crate::{cli::Release, connect::Session, error::Error, read, server};

/// Rounds in which somebody else may change the server before it is given up.
const ROUNDS: usize = 10;

/// Runs the command.
///
/// # Errors
/// When a server is not allocated, or can't be written.
pub async fn run(session: &Session, args: Release) -> Result<(), Error> {
    check_ops_state(&args.to, false)?;
    if args.to == ops_state::ALLOCATED {
        return Err(Error::Usage(
            "a server that is released is not Allocated".to_owned(),
        ));
    }
    let names = read::names(&args.names)?;
    let change = Change::new(session);
    let results = each(&names, |name| one(&change, name, &args)).await;
    report(results, args.output)
}

/// The decision is from what was read, so it is written to that version and no other: a server that somebody has set to
/// Maintaining meanwhile stays so.
async fn one(change: &Change<'_>, name: String, args: &Release) -> Result<Changed, Error> {
    for _ in 0..ROUNDS {
        let server = change.read(&name).await?;
        let now = server::ops_state(&server);
        if now == args.to {
            return Ok(Changed {
                server,
                done: format!("unchanged: its opsState is {}", args.to),
            });
        }
        if now != ops_state::ALLOCATED {
            return Err(Error::Refused(format!(
                "{name} is {now}, not Allocated; `kubectl gs set-ops {name} {}` to change it all the same",
                args.to
            )));
        }
        match change
            .patch(&server, true, json!({"spec": {"opsState": args.to}}))
            .await
        {
            Ok(server) => {
                let note = change.shown(&server, args.patience).await?;
                return Ok(Changed {
                    server,
                    done: format!("released{note}"),
                });
            }
            Err(WriteError::Conflict(_)) => {}
            Err(error) => return Err(Error::write(format!("cannot release {name}"), error)),
        }
    }
    Err(Error::Refused(format!(
        "{name} was changed by others {ROUNDS} times while it was to be released; try again"
    )))
}
