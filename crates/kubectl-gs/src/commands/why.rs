//! `why`: reads what there is to know, and says what it means.

use jiff::Timestamp;
use serde_json::json;

use crate::{
    cli::{Why, WhyFormat},
    connect::Session,
    error::Error,
    output, read,
    server::{self, named, named_set, ops_state, state},
    style::{Style, Tone},
    why::{self, Finding, Sight},
};

/// Runs the command.
///
/// # Errors
/// When neither a server nor a set has the name.
pub async fn run(session: &Session, args: Why, style: Style) -> Result<(), Error> {
    let now = Timestamp::now();
    let (title, findings) = of_any(session, &args.name, now).await?;
    match args.output {
        WhyFormat::Json => output::json(&json!({ "about": title, "findings": findings })),
        WhyFormat::Yaml => output::yaml(&json!({ "about": title, "findings": findings })),
        WhyFormat::Text => {
            let title = style.paint(&title, Tone::Strong);
            output::print(&format!("{title}\n{}", why::render(&findings, style)))
        }
    }
}

/// A server, or else a set, of this name.
async fn of_any(session: &Session, text: &str, now: Timestamp) -> Result<(String, Vec<Finding>), Error> {
    if let Some(set) = named_set(text) {
        return of_set(session, set, now).await;
    }
    let name = named(text).map_err(Error::Usage)?;
    read::check_name(name)?;
    match of_server(session, name, now).await? {
        Some(found) => Ok(found),
        // `gs/NAME` can only be a server.
        None if text != name => Err(Error::not_found("gameservers.game.kruise.io", name)),
        None => of_set(session, name, now).await,
    }
}

async fn of_server(
    session: &Session,
    name: &str,
    now: Timestamp,
) -> Result<Option<(String, Vec<Finding>)>, Error> {
    let (client, namespace) = (&session.client, session.namespace.as_str());
    // The GameServer before the Pod: what differs then is late, and not merely newer.
    let Some(found) = read::server(client, namespace, name).await? else {
        return Ok(None);
    };
    let pod = read::pod(client, namespace, name).await?;
    let set = match server::set(&found.metadata) {
        Some(set) => read::set(client, namespace, set).await?,
        None => None,
    };
    let state = if state(&found).is_empty() {
        "without a state"
    } else {
        state(&found)
    };
    let of = server::set(&found.metadata).map_or_else(String::new, |set| format!(" of set {set}"));
    let title = format!("gameserver/{name}{of}: {state}, opsState {}", ops_state(&found));
    let sight = Sight {
        server: found,
        pod,
        set,
    };
    Ok(Some((title, why::server(&sight, now))))
}

async fn of_set(session: &Session, name: &str, now: Timestamp) -> Result<(String, Vec<Finding>), Error> {
    read::check_name(name)?;
    let Some(found) = read::set(&session.client, &session.namespace, name).await? else {
        return Err(Error::Refused(format!(
            "no game server and no set is called {name:?} in namespace {}",
            session.namespace
        )));
    };
    let title = format!("gameserverset/{name}: {} replicas wanted", found.spec.replicas);
    Ok((title, why::set(&found, now)))
}
