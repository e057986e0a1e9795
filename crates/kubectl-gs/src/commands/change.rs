//! What the commands that change servers share: several at once, waiting for the Pods, saying what was done.

use api_types::GameServer;
use controller_kit::{
    resource::GAME_SERVER,
    write::{PatchKind, Precondition, Target, WriteError, Writer},
};
use futures::{StreamExt as _, stream};
use serde_json::Value;
use tokio::time::{Duration, Instant};

use crate::{
    FIELD_MANAGER,
    cli::{ChangeFormat, Patience},
    connect::Session,
    error::Error,
    output, read,
    server::{name, uid},
    shown::{Ending, Wanted, until_gone, until_shown},
};

/// Servers worked on at the same time.
const AT_ONCE: usize = 16;

/// A server that was dealt with.
#[derive(Debug)]
pub struct Changed {
    /// As it is now.
    pub server: GameServer,
    /// What was done with it, after its name.
    pub done: String,
}

/// Does `work` for every name, several at once, in their order.
pub async fn each<F>(names: &[String], work: impl Fn(String) -> F) -> Vec<Result<Changed, Error>>
where
    F: Future<Output = Result<Changed, Error>>,
{
    stream::iter(names.iter().cloned().map(work))
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Says what was done. What failed is said too, each in a line on standard error; the last failure is the command's.
///
/// # Errors
/// The last failure.
pub fn report(results: Vec<Result<Changed, Error>>, format: ChangeFormat) -> Result<(), Error> {
    let one = results.len() == 1;
    let (mut lines, mut objects, mut last) = (Vec::new(), Vec::new(), None);
    for result in results {
        match result {
            Ok(changed) => {
                let name = output::full_name(name(&changed.server.metadata));
                match format {
                    ChangeFormat::Text => lines.push(format!("{name} {}", changed.done)),
                    ChangeFormat::Name => lines.push(name),
                    ChangeFormat::Json | ChangeFormat::Yaml => objects.extend(
                        serde_json::to_value(&changed.server)
                            .ok()
                            .map(output::without_managed_fields),
                    ),
                }
            }
            Err(error) => {
                if let Some(before) = last.replace(error) {
                    eprintln!("{before}");
                }
            }
        }
    }
    match format {
        ChangeFormat::Text | ChangeFormat::Name => output::print(&output::lines(lines))?,
        ChangeFormat::Json if !objects.is_empty() => output::json(&output::listed(objects, one))?,
        ChangeFormat::Yaml if !objects.is_empty() => output::yaml(&output::listed(objects, one))?,
        ChangeFormat::Json | ChangeFormat::Yaml => {}
    }
    last.map_or(Ok(()), Err)
}

/// Writes to one server.
pub struct Change<'a> {
    session: &'a Session,
    writer: Writer,
}

impl<'a> Change<'a> {
    /// Changes servers of this session's namespace.
    pub fn new(session: &'a Session) -> Self {
        Self {
            session,
            writer: Writer::new(session.client.clone(), FIELD_MANAGER),
        }
    }

    /// The server as it is.
    ///
    /// # Errors
    /// When there is none.
    pub async fn read(&self, name: &str) -> Result<GameServer, Error> {
        read::existing(&self.session.client, &self.session.namespace, name).await
    }

    /// Patches the server that was read; in exactly that version where `as_read`.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn patch(
        &self,
        server: &GameServer,
        as_read: bool,
        body: Value,
    ) -> Result<GameServer, WriteError> {
        let meta = &server.metadata;
        let target = Target::new(GAME_SERVER, &self.session.namespace, name(meta));
        let precondition = Precondition {
            uid: uid(meta),
            resource_version: as_read.then(|| meta.resource_version.as_deref().unwrap_or_default()),
        };
        self.writer
            .patch(&target, PatchKind::Merge, precondition, body)
            .await
    }

    /// Waits until the Pod shows the server's opsState; what there is to say about it.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn shown(&self, server: &GameServer, patience: Patience) -> Result<&'static str, Error> {
        if patience.no_wait {
            return Ok("");
        }
        let name = name(&server.metadata);
        let wanted = Wanted {
            namespace: &self.session.namespace,
            name,
            pod_uid: None,
            ops_state: crate::server::ops_state(server),
            generation: server.metadata.generation.unwrap_or_default(),
        };
        let deadline = Instant::now() + patience.timeout;
        match until_shown(&self.session.client, &wanted, None, deadline).await? {
            Ending::Shown => Ok(""),
            Ending::Overtaken => Ok(", and has been changed again"),
            Ending::Gone => Ok("; it has no Pod"),
            Ending::Late => Err(Error::Timeout(format!(
                "{name} is changed, and its Pod did not show it within {} s; see `kubectl gs sync-gap`",
                patience.timeout.as_secs_f64()
            ))),
        }
    }

    /// Waits until the Pod that is there now is gone.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn gone(&self, name: &str, timeout: Duration) -> Result<(), Error> {
        let (client, namespace) = (&self.session.client, self.session.namespace.as_str());
        let Some(pod) = read::pod(client, namespace, name).await? else {
            return Ok(());
        };
        match until_gone(
            client,
            namespace,
            name,
            uid(&pod.metadata),
            Instant::now() + timeout,
        )
        .await?
        {
            Ending::Late => Err(Error::Timeout(format!(
                "the Pod of {name} was not gone within {} s; see `kubectl gs why {name}`",
                timeout.as_secs_f64()
            ))),
            _ => Ok(()),
        }
    }
}
