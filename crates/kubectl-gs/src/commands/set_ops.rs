//! `set-ops`: what operators and allocators say about servers.

use api_types::{GameServer, label::is_label_value, ops_state};
use serde_json::json;

use super::change::{Change, Changed, each, report};
use crate::{
    cli::{Patience, Selection, SetOps},
    connect::Session,
    error::Error,
    read,
    server::{self, rank},
};

/// The words that mean something to Gamekeeper.
const KNOWN: [&str; 5] = [
    ops_state::NONE,
    ops_state::ALLOCATED,
    ops_state::MAINTAINING,
    ops_state::WAIT_TO_BE_DELETED,
    ops_state::KILL,
];

/// Runs the command.
///
/// # Errors
/// When the opsState is none, no servers are named, or one can't be written.
pub async fn run(session: &Session, args: SetOps) -> Result<(), Error> {
    let (named, wanted) = args.parts();
    check_ops_state(wanted, args.force)?;
    let names = selected(session, named, &args.selection).await?;
    let change = Change::new(session);
    let results = each(&names, |name| one(&change, name, wanted, args.patience)).await;
    report(results, args.output)
}

async fn one(change: &Change<'_>, name: String, wanted: &str, patience: Patience) -> Result<Changed, Error> {
    let server = change.read(&name).await?;
    if server::ops_state(&server) == wanted {
        return Ok(Changed {
            server,
            done: format!("unchanged: its opsState is {wanted}"),
        });
    }
    // What it was does not matter: the last word counts. That a claimed server is not allocated is the API server's rule.
    let server = change
        .patch(&server, false, json!({"spec": {"opsState": wanted}}))
        .await
        .map_err(|error| Error::write(format!("cannot set {name} to {wanted}"), error))?;
    let note = change.shown(&server, patience).await?;
    Ok(Changed {
        server,
        done: format!("set to {wanted}{note}"),
    })
}

/// The servers that are named, or selected where none are named.
async fn selected(session: &Session, named: &[String], selection: &Selection) -> Result<Vec<String>, Error> {
    let labels = read::labels(selection)?;
    match (named.is_empty(), labels) {
        (false, None) => read::names(named),
        (false, Some(_)) => Err(Error::Usage(
            "names and a selection exclude each other".to_owned(),
        )),
        (true, None) => Err(Error::Usage(
            "name servers, or choose them with --set or --selector".to_owned(),
        )),
        (true, Some(labels)) => {
            let scope = session.scope(false);
            let mut found = read::list::<GameServer>(&session.client, scope, Some(&labels)).await?;
            found.sort_by(|a, b| rank(&a.object.metadata).cmp(&rank(&b.object.metadata)));
            if found.is_empty() {
                return Err(Error::Refused(format!("no servers with {labels}")));
            }
            Ok(found
                .iter()
                .map(|found| server::name(&found.object.metadata).to_owned())
                .collect())
        }
    }
}

/// Refuses what no Pod could show, what is almost a word that has a meaning, and what has a command of its own. Pure.
///
/// # Errors
/// With what to write instead.
pub fn check_ops_state(wanted: &str, force: bool) -> Result<(), Error> {
    if wanted.is_empty() || !is_label_value(wanted) {
        return Err(Error::Usage(format!(
            "{wanted:?} is no opsState: use letters, digits, '-', '_' and '.', at most 63, for example Maintaining"
        )));
    }
    if wanted == ops_state::KILL {
        return Err(Error::Usage(
            "use `kubectl gs kill NAME`, which asks first".to_owned(),
        ));
    }
    let meant = KNOWN
        .iter()
        .find(|known| **known != wanted && known.eq_ignore_ascii_case(wanted));
    match meant {
        Some(meant) if !force => Err(Error::Usage(format!(
            "{wanted:?} means nothing to Gamekeeper; did you mean {meant}? (--force to set it all the same)"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_ones_own_are_taken_and_slips_are_not() {
        for word in ["None", "Maintaining", "GateMaintaining", "Allocated"] {
            assert!(check_ops_state(word, false).is_ok(), "{word}");
        }
        for word in [
            "",
            "in game",
            "-x",
            "allocated",
            "NONE",
            "waittobedeleted",
            "Kill",
        ] {
            assert_eq!(check_ops_state(word, false).unwrap_err().code(), 2, "{word}");
        }
        assert!(check_ops_state("allocated", true).is_ok());
        assert!(check_ops_state("Kill", true).is_err());
    }
}
