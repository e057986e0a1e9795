//! `allocate`: one server that is free, given to nobody else.
//!
//! 1. Pods whose labels say Ready and None are the candidates, one page of metadata.
//! 2. The GameServer of one of them is read, and whether it is free decided from that version.
//! 3. `spec.opsState: Allocated` is written to exactly that version. Whoever was first (another allocator, a deletion claim, a
//!    mark) makes the write fail, and another server is tried. The API server itself refuses a server that is claimed.
//! 4. The answer is given when the Pod shows it.

use std::collections::BTreeSet;

use api_types::{GameServer, ops_state};
use controller_kit::{
    resource::GAME_SERVER,
    write::{PatchKind, Precondition, Target, WriteError, Writer},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::time::{Duration, Instant, sleep, timeout_at};

use crate::{
    FIELD_MANAGER,
    address::Addresses,
    cli::{Allocate, AllocationFormat, Selection},
    connect::Session,
    error::Error,
    output,
    pick::{self, Candidate},
    read,
    server::{name, set, uid},
    shown::{Ending, Wanted, until_shown},
};

/// Pods of one page: enough to choose from, little to send.
const PAGE: u32 = 100;
/// Before candidates are asked for again, after each of them was somebody else's.
const PAUSE: Duration = Duration::from_millis(20);

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Namespace of the servers.
    pub namespace: String,
    /// Which of them.
    pub selection: Selection,
    /// Labels and annotations to set on the GameServer, in the same write.
    pub metadata: Value,
    /// For how long.
    pub timeout: Duration,
}

/// A server that was given.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    /// Its name: the GameServer's and the Pod's.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its set.
    pub set: String,
    /// UID of its Pod.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// Generation of the GameServer that the Pod shows.
    pub generation: i64,
    /// Where to send players.
    pub address: Option<String>,
    /// All its addresses.
    pub addresses: Addresses,
    /// Servers that somebody else had first.
    pub conflicts: u32,
}

/// Runs the command.
///
/// # Errors
/// When no server was allocated.
pub async fn run(session: &Session, args: Allocate) -> Result<(), Error> {
    let request = Request {
        namespace: session.namespace.clone(),
        selection: args.selection,
        metadata: metadata(args.labels, args.annotations),
        timeout: args.timeout,
    };
    let given = allocate(&session.client, &request).await?;
    let address = given.address.as_deref();
    match args.output {
        AllocationFormat::Json => output::json(&given),
        AllocationFormat::Yaml => output::yaml(&given),
        AllocationFormat::Name => output::print(&format!("{}\n", output::full_name(&given.name))),
        AllocationFormat::Address => output::print(&format!("{}\n", address.unwrap_or(&given.name))),
        AllocationFormat::Text => {
            let name = output::full_name(&given.name);
            let at = address.map_or_else(
                || "; it has no address".to_owned(),
                |address| format!(" at {address}"),
            );
            output::print(&format!("{name} allocated{at}\n"))
        }
    }
}

fn metadata(labels: Vec<(String, String)>, annotations: Vec<(String, String)>) -> Value {
    let map = |pairs: Vec<(String, String)>| -> Map<String, Value> {
        pairs
            .into_iter()
            .map(|(key, value)| (key, json!(value)))
            .collect()
    };
    let mut metadata = json!({});
    for (field, pairs) in [("labels", labels), ("annotations", annotations)] {
        if !pairs.is_empty() {
            metadata[field] = Value::Object(map(pairs));
        }
    }
    metadata
}

/// Allocates a server and waits until its Pod shows it.
///
/// # Errors
/// `NothingFree` when no server is free, `Timeout` when none was allocated and shown in time; a server that was allocated
/// meanwhile is released again.
pub async fn allocate(client: &kube::Client, request: &Request) -> Result<Allocation, Error> {
    let deadline = Instant::now() + request.timeout;
    for set in &request.selection.sets {
        read::check_name(set)?;
    }
    let mut allocator = Allocator {
        client,
        request,
        writer: Writer::new(client.clone(), FIELD_MANAGER),
        deadline,
        conflicts: 0,
    };
    allocator.run().await
}

struct Allocator<'a> {
    client: &'a kube::Client,
    request: &'a Request,
    writer: Writer,
    deadline: Instant,
    conflicts: u32,
}

/// What came of one candidate.
enum Attempt {
    /// Written.
    Taken(Box<GameServer>),
    /// Somebody else was first, or it is not free after all.
    Missed,
}

/// What came of one page.
enum Page {
    Given(Box<Allocation>),
    /// None of it; `raced` where some of it was free when it was looked at.
    Passed {
        raced: bool,
        more: Option<String>,
    },
}

impl Allocator<'_> {
    async fn run(&mut self) -> Result<Allocation, Error> {
        loop {
            if let Some(given) = self.look().await? {
                return Ok(given);
            }
            if Instant::now() > self.deadline {
                return Err(self.late());
            }
            sleep(PAUSE).await;
        }
    }

    /// A read that ends at the deadline. Writes are never cut off: they have a deadline of their own, and an answer.
    async fn in_time<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout_at(self.deadline, read)
            .await
            .unwrap_or_else(|_| Err(self.late()))
    }

    fn late(&self) -> Error {
        let raced = match self.conflicts {
            0 => String::new(),
            count => format!(" ({count} were somebody else's first)"),
        };
        let seconds = self.request.timeout.as_secs_f64();
        Error::Timeout(format!("no server was allocated within {seconds} s{raced}"))
    }

    /// Goes through all pages once. `None`: all were raced for, look again.
    async fn look(&mut self) -> Result<Option<Allocation>, Error> {
        let among = match &self.request.selection.selector {
            None => None,
            // Labels of GameServers are not all on their Pods.
            Some(_) => Some(self.selected().await?),
        };
        let labels = pick::selector(&self.request.selection.sets);
        let (mut more, mut raced) = (None, false);
        loop {
            match self.page(&labels, among.as_ref(), more.take()).await? {
                Page::Given(given) => return Ok(Some(*given)),
                Page::Passed {
                    raced: some,
                    more: next,
                } => {
                    raced |= some;
                    more = next;
                }
            }
            if more.is_none() {
                return if raced { Ok(None) } else { Err(self.nothing()) };
            }
        }
    }

    fn nothing(&self) -> Error {
        let Selection { sets, selector } = &self.request.selection;
        let mut of = String::new();
        if !sets.is_empty() {
            of = format!(" of {}", sets.join(", "));
        }
        if let Some(selector) = selector {
            of = format!("{of} with {selector}");
        }
        Error::NothingFree(format!(
            "no server{of} in namespace {} is Ready and free",
            self.request.namespace
        ))
    }

    async fn selected(&self) -> Result<BTreeSet<String>, Error> {
        let labels = read::labels(&self.request.selection)?.unwrap_or_default();
        let names = self
            .in_time(read::server_names(self.client, &self.request.namespace, &labels))
            .await?;
        Ok(names.into_iter().collect())
    }

    async fn page(
        &mut self,
        labels: &str,
        among: Option<&BTreeSet<String>>,
        more: Option<String>,
    ) -> Result<Page, Error> {
        let namespace = &self.request.namespace;
        let found = self
            .in_time(read::pod_page(self.client, namespace, labels, PAGE, more))
            .await?;
        let version = found.metadata.resource_version;
        let more = found.metadata.continue_.filter(|next| !next.is_empty());
        let pods = found.items.into_iter().map(|item| item.metadata);
        let candidates =
            pick::candidates(pods.filter(|pod| among.is_none_or(|among| among.contains(name(pod)))));
        let (mut tried, mut raced) = (BTreeSet::new(), false);
        while let Some(candidate) = pick::choose(&candidates, &tried, rand::random()) {
            if Instant::now() > self.deadline {
                return Err(self.late());
            }
            tried.insert(uid(&candidate.pod).to_owned());
            let (attempt, was_free) = self.attempt(candidate).await?;
            raced |= was_free;
            let Attempt::Taken(server) = attempt else { continue };
            if let Some(given) = self.wait(&candidate.pod, *server, version.clone()).await? {
                return Ok(Page::Given(Box::new(given)));
            }
        }
        Ok(Page::Passed { raced, more })
    }

    /// Tries one candidate; the second says whether it was free when it was read.
    async fn attempt(&mut self, candidate: &Candidate) -> Result<(Attempt, bool), Error> {
        let name = name(&candidate.pod);
        let namespace = &self.request.namespace;
        let Some(server) = self.in_time(read::server(self.client, namespace, name)).await? else {
            return Ok((Attempt::Missed, false));
        };
        if pick::obstacle(&server, Some(&candidate.pod)).is_some() {
            return Ok((Attempt::Missed, false));
        }
        let mut patch = json!({ "spec": { "opsState": ops_state::ALLOCATED } });
        if self.request.metadata.is_object() {
            patch["metadata"] = self.request.metadata.clone();
        }
        let version = server.metadata.resource_version.as_deref().unwrap_or_default();
        let target = Target::new(GAME_SERVER, namespace, name);
        let precondition = Precondition::version(uid(&server.metadata), version);
        let written = self
            .writer
            .patch(&target, PatchKind::Merge, precondition, patch)
            .await;
        match written {
            Ok(server) => Ok((Attempt::Taken(Box::new(server)), true)),
            // A label or annotation that can't be is refused for every server.
            Err(WriteError::Invalid(message)) if !is_claimed(&message) => {
                Err(Error::write("cannot allocate", WriteError::Invalid(message)))
            }
            Err(WriteError::Conflict(_) | WriteError::NotFound | WriteError::Invalid(_)) => {
                self.conflicts += 1;
                Ok((Attempt::Missed, true))
            }
            Err(WriteError::TooManyRequests { retry_after }) => {
                sleep(retry_after).await;
                Ok((Attempt::Missed, true))
            }
            Err(WriteError::Unknown(message)) => self.unknown(&server, message).await,
            Err(error) => Err(Error::write("cannot allocate", error)),
        }
    }

    /// Whether it was written is not known. Nobody can tell an own write from another allocator's, so it is not used: at worst
    /// a server stays allocated that nobody plays on, which is said.
    async fn unknown(&self, before: &GameServer, message: String) -> Result<(Attempt, bool), Error> {
        let name = name(&before.metadata);
        let now = read::server(self.client, &self.request.namespace, name).await?;
        let changed = now.is_some_and(|now| {
            uid(&now.metadata) == uid(&before.metadata)
                && crate::server::ops_state(&now) == ops_state::ALLOCATED
        });
        if changed {
            return Err(Error::write(
                format!(
                    "{name} is Allocated now and it is not known by whom; `kubectl gs release {name}` where nobody uses it"
                ),
                WriteError::Unknown(message),
            ));
        }
        Ok((Attempt::Missed, true))
    }

    /// Waits until the Pod shows it. `None`: it was lost meanwhile, take another.
    async fn wait(
        &self,
        pod: &ObjectMeta,
        server: GameServer,
        version: Option<String>,
    ) -> Result<Option<Allocation>, Error> {
        let generation = server.metadata.generation.unwrap_or_default();
        let wanted = Wanted {
            namespace: &self.request.namespace,
            name: name(pod),
            pod_uid: Some(uid(pod)),
            ops_state: ops_state::ALLOCATED,
            generation,
        };
        match until_shown(self.client, &wanted, version, self.deadline).await {
            Ok(Ending::Shown) => Ok(Some(self.given(pod, &server, generation))),
            Ok(Ending::Overtaken) => Ok(None),
            Ok(Ending::Gone) => {
                self.give_back(&server, generation).await;
                Ok(None)
            }
            Ok(Ending::Late) => Err(self.not_shown(&server, generation).await),
            Err(error) => {
                self.give_back(&server, generation).await;
                Err(error)
            }
        }
    }

    fn given(&self, pod: &ObjectMeta, server: &GameServer, generation: i64) -> Allocation {
        let addresses = Addresses::of(server);
        Allocation {
            name: name(pod).to_owned(),
            namespace: self.request.namespace.clone(),
            set: set(pod).unwrap_or_default().to_owned(),
            pod_uid: uid(pod).to_owned(),
            generation,
            address: addresses.best(),
            addresses,
            conflicts: self.conflicts,
        }
    }

    async fn not_shown(&self, server: &GameServer, generation: i64) -> Error {
        let name = name(&server.metadata);
        let seconds = self.request.timeout.as_secs_f64();
        let end = if self.give_back(server, generation).await {
            "it is released again".to_owned()
        } else {
            format!("it is still Allocated: `kubectl gs release {name}`")
        };
        Error::Timeout(format!(
            "the Pod of {name} did not show its allocation within {seconds} s; {end}; see `kubectl gs sync-gap`"
        ))
    }

    /// Ends this command's own allocation, unless somebody has changed the server since: its generation says so.
    async fn give_back(&self, server: &GameServer, generation: i64) -> bool {
        let name = name(&server.metadata);
        let namespace = &self.request.namespace;
        // The status of a server changes all the time; a few rounds reach it.
        for _ in 0..5 {
            let now = match read::server(self.client, namespace, name).await {
                Ok(Some(now)) => now,
                // With the server its allocation is gone too.
                Ok(None) => return true,
                Err(_) => return false,
            };
            let same =
                uid(&now.metadata) == uid(&server.metadata) && now.metadata.generation == Some(generation);
            if !same {
                return true;
            }
            let version = now.metadata.resource_version.as_deref().unwrap_or_default();
            let target = Target::new(GAME_SERVER, namespace, name);
            let precondition = Precondition::version(uid(&now.metadata), version);
            let patch = json!({ "spec": { "opsState": ops_state::NONE } });
            let written = self
                .writer
                .patch::<Value>(&target, PatchKind::Merge, precondition, patch)
                .await;
            match written {
                Ok(_) => return true,
                Err(WriteError::Conflict(_)) => {}
                Err(_) => return false,
            }
        }
        false
    }
}

/// Whether the API server refused because of the deletion claim.
fn is_claimed(message: &str) -> bool {
    message.contains(api_types::crd::CLAIMED)
}
