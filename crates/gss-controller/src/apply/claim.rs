//! Deletion claims, and what entitles to write one.

use std::time::{Duration, Instant};

use api_types::{DeletionClaim, GameServerSetView, IntOrString, Meta, keys::claim_reason};
use controller_kit::{
    bug,
    resource::{GAME_SERVER, GAME_SERVER_SET},
    write::{Created, MetaOnly, PatchKind, Precondition, Target, WriteError, Writer},
};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Mutex;

use super::Pass;
use crate::{
    build::game_server,
    error::Error,
    metrics,
    observe::speaks_for,
    plan::{
        players,
        record::{Deletion, Record},
        server::{Server, Stage, Standing},
    },
    status::rfc3339,
    views::GameServerView,
};

/// How long a record is relied on without looking again. It bounds what a process that was stopped in between can do with an
/// old plan; requests themselves end within 4 s.
const FRESH: Duration = Duration::from_secs(2);
/// Attempts to claim one GameServer whose status changes under our hands while the server stays what it was.
const ATTEMPTS: u32 = 4;

/// What a claim entitles to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// The Pod may go.
    Goes,
    /// It waits for its players.
    Drains,
    /// It waited long enough, and this many players are on it still.
    TimedOut(u32),
}

/// A plan record that was recently seen to be the stored one.
pub(crate) struct Warrant<'a> {
    writer: &'a Writer,
    set: &'a GameServerSetView,
    seen: Mutex<(Option<Instant>, Record)>,
}

impl<'a> Warrant<'a> {
    /// `seen` is when the record was known to be stored; `None` when a cache said so.
    pub(super) fn new(
        writer: &'a Writer,
        set: &'a GameServerSetView,
        record: Record,
        seen: Option<Instant>,
    ) -> Self {
        Self {
            writer,
            set,
            seen: Mutex::new((seen, record)),
        }
    }

    /// Fails unless this Pod may be deleted under the record as it is stored now.
    async fn check(&self, deletion: &Deletion) -> Result<(), Error> {
        let mut seen = self.seen.lock().await;
        if seen.0.is_none_or(|at| at.elapsed() > FRESH) {
            let meta = &self.set.metadata;
            let target = Target::new(GAME_SERVER_SET, &meta.namespace, &meta.name);
            let at = Instant::now();
            let live = self
                .writer
                .read::<GameServerSetView>(&target)
                .await
                .map_err(Error::during("read the plan"))?;
            let live = live.filter(|live| live.metadata.uid == meta.uid && !live.metadata.is_terminating());
            let stored = live
                .and_then(|live| live.status.plan)
                .ok_or(Error::Stale("the set or its plan is gone"))?;
            *seen = (Some(at), Record::from_api(&stored));
        }
        if seen.1.names(deletion.id, &deletion.pod_uid) {
            Ok(())
        } else {
            Err(Error::Stale("the stored plan does not name this Pod"))
        }
    }
}

impl Pass<'_> {
    /// Makes sure that the server's GameServer carries the claim for this Pod.
    ///
    /// A server that has none yet gets one here: a Pod deleted without a claim could be announced, found Ready and
    /// allocated by others between our look and the deletion. Only one GameServer can have the name, so whoever makes
    /// it, the claim and every allocation are writes to the same object.
    ///
    /// A claim that rests on nobody being on the server says so ([`DeletionClaim::empty`]), and the API server refuses it
    /// once players were reported, and reports of players once it is there.
    pub(super) async fn claim(&self, deletion: &Deletion, warrant: &Warrant<'_>) -> Result<Claimed, Error> {
        let name = api_types::names::pod_name(&self.key.name, deletion.id);
        let target = Target::status(GAME_SERVER, &self.key.namespace, &name);
        let cached = self.observed.game_servers.get(&deletion.id);
        // The cache may lag behind the creation of the GameServer: only the API server can say that there is none.
        let mut found = match cached {
            Some(cached) => Some(GameServerView::clone(cached)),
            None => self.read_game_server(&name, deletion).await?,
        };
        for _ in 0..ATTEMPTS {
            warrant.check(deletion).await?;
            let Some(game_server) = &found else {
                found = Some(self.announce(&name, deletion).await?);
                continue;
            };
            let claim = match self.claim_to_write(deletion, game_server)? {
                ToWrite::Nothing(claimed) => return Ok(claimed),
                ToWrite::Claim(claim) => claim,
            };
            let meta = &game_server.metadata;
            let version = as_decided(meta);
            let body = json!({ "status": { "deletionClaim": claim } });
            match self
                .apply
                .writer
                .patch::<MetaOnly>(&target, PatchKind::Merge, version, body)
                .await
            {
                Ok(_) => {
                    metrics::claim("written");
                    let now = Instant::now();
                    self.apply
                        .memory
                        .claimed(self.key, self.uid(), &deletion.pod_uid, &deletion.reason, now);
                    let drains = claim.reason == claim_reason::DRAINING && claim.empty != Some(true);
                    return Ok(if drains { Claimed::Drains } else { Claimed::Goes });
                }
                Err(WriteError::Conflict(_)) if bug::active("conflict-is-success") => {
                    return Ok(Claimed::Goes);
                }
                // The only rule that an unchanged server breaks: players were reported in the meantime.
                Err(WriteError::Invalid(_)) if claim.empty == Some(true) => {
                    metrics::claim("joined");
                    return Err(Error::Stale("somebody has joined the victim"));
                }
                // Its status changes often, its spec seldom: look what it was before giving the victim up.
                Err(WriteError::Conflict(_) | WriteError::NotFound) => {
                    metrics::claim("refused");
                    found = self.read_game_server(&name, deletion).await?;
                }
                Err(error) => return Err(Error::during("claim a server")(error)),
            }
        }
        Err(Error::Stale("the victim keeps changing"))
    }

    /// Makes the GameServer that a claim can be written to, or finds the one that somebody was faster to make.
    async fn announce(&self, name: &str, deletion: &Deletion) -> Result<GameServerView, Error> {
        let target = Target::new(GAME_SERVER, &self.key.namespace, name);
        let body =
            game_server::of_departing_pod(&self.key.namespace, &self.key.name, name, &deletion.pod_uid);
        let made = self
            .apply
            .writer
            .create::<_, GameServerView>(&target, &body)
            .await;
        match made.map_err(Error::during("create a GameServer to claim"))? {
            Created::New(made) => {
                metrics::claim("announced");
                Ok(made)
            }
            Created::AlreadyExists => {
                let live = self.read_game_server(name, deletion).await?;
                // An earlier Pod's, on its way out, or one whose end a finalizer holds up: while it has the name, nobody
                // can announce this Pod, but in the moment it goes, anybody can.
                live.ok_or(Error::Stale("an earlier GameServer has the name"))
            }
        }
    }

    async fn read_game_server(
        &self,
        name: &str,
        deletion: &Deletion,
    ) -> Result<Option<GameServerView>, Error> {
        let target = Target::new(GAME_SERVER, &self.key.namespace, name);
        let live = self.apply.writer.read::<GameServerView>(&target).await;
        let live = live.map_err(Error::during("read a GameServer"))?;
        Ok(live.filter(|found| speaks_for(found, &self.observed.set, &deletion.pod_uid)))
    }

    fn planned(&self, deletion: &Deletion) -> Option<&Server> {
        let servers = &self.observed.servers;
        let at = servers
            .binary_search_by_key(&deletion.id, |server| server.id)
            .ok()?;
        servers.get(at)
    }

    /// What this GameServer has to be told, if anything.
    fn claim_to_write(&self, deletion: &Deletion, live: &GameServerView) -> Result<ToWrite, Error> {
        let uid = &deletion.pod_uid;
        let players = live.players_of(uid);
        // One that only says what somebody else does to the Pod may be taken back: a deletion of ours needs one of ours.
        let ours =
            |claim: &&DeletionClaim| claim.pod_uid == *uid && !claim_reason::is_of_others(&claim.reason);
        if let Some(claim) = live.deletion_claim.as_ref().filter(ours) {
            let unsealed = claim.reason == claim_reason::DRAINING && claim.empty != Some(true);
            let waited = self
                .planned(deletion)
                .and_then(Server::stage)
                .is_some_and(|stage| !matches!(stage, Stage::Draining | Stage::Live));
            return Ok(match (unsealed, players) {
                (false, _) => ToWrite::Nothing(Claimed::Goes),
                // The last one has left: from here on nobody joins.
                (true, 0) => ToWrite::Claim(DeletionClaim {
                    empty: Some(true),
                    ..claim.clone()
                }),
                (true, _) if waited => ToWrite::Nothing(Claimed::TimedOut(players)),
                (true, _) => ToWrite::Nothing(Claimed::Drains),
            });
        }
        let empty = self.rests_on_emptiness(deletion);
        let joined = empty && players > 0;
        if (joined || !self.is_as_planned(deletion, live)) && !bug::active("changed-victim-claimed") {
            metrics::claim("raced");
            return Err(Error::Stale("the victim changed"));
        }
        Ok(ToWrite::Claim(DeletionClaim {
            pod_uid: uid.clone(),
            reason: deletion.reason.clone(),
            time: rfc3339(Timestamp::now()),
            empty: empty.then_some(true),
        }))
    }

    /// Whether this server is taken because nobody is on it.
    fn rests_on_emptiness(&self, deletion: &Deletion) -> bool {
        let running = self.planned(deletion).is_some_and(Server::is_live);
        let reason = deletion.reason.as_str();
        running
            && (reason == claim_reason::MARKED
                || (players::drains(&self.observed.set)
                    && [claim_reason::SCALE_IN, claim_reason::UPDATE].contains(&reason)))
    }

    /// Whether what the choice of this victim rested on still holds.
    fn is_as_planned(&self, deletion: &Deletion, live: &GameServerView) -> bool {
        let Some(planned) = self.planned(deletion) else {
            return false;
        };
        let label = self.observed.pods.get(&deletion.id);
        let label = label.and_then(|pod| pod.metadata.label(api_types::keys::label::GS_OPS_STATE));
        let priority = live
            .spec
            .deletion_priority
            .as_ref()
            .and_then(IntOrString::as_i64)
            .unwrap_or(0);
        let spec = live.spec.ops_state.as_deref();
        let spec = if bug::active("ops-state-from-label") {
            label
        } else {
            spec
        };
        Standing::of(spec, label) == planned.standing && priority == planned.deletion_priority
    }

    /// Whether the record still names the victim; for the delete that follows the claim.
    pub(super) async fn may_delete(&self, deletion: &Deletion, warrant: &Warrant<'_>) -> Result<(), Error> {
        warrant.check(deletion).await
    }
}

/// What a victim's GameServer has to be told.
enum ToWrite {
    /// It has been told everything.
    Nothing(Claimed),
    /// This claim.
    Claim(DeletionClaim),
}

/// A claim rests on what the GameServer was when its server was chosen.
fn as_decided(meta: &Meta) -> Precondition<'_> {
    if bug::active("claim-without-version") {
        return Precondition::uid(&meta.uid);
    }
    Precondition::version(&meta.uid, &meta.resource_version)
}
