//! Carries out what was planned: conditions of a Pod, or changes of a GameServer and then its status.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use controller_kit::{
    echo::Echoes,
    events::{EventRecord, Events, Regarding},
    key::ObjectKey,
    resource::{GAME_SERVER, POD},
    write::{MetaOnly, PatchKind, Precondition, Target, WriteError, Writer},
};

use crate::{
    build,
    error::Error,
    metrics,
    observe::Probed,
    plan::{Changes, Notice, Observed, Plan, Wanted, plan},
    views::{GameServerView, PodView},
};

/// What it takes to write Pod conditions.
pub(crate) struct PodApply {
    /// Writes under this controller's field manager.
    pub writer: Writer,
    /// Own writes that the cache does not show yet.
    pub echoes: Arc<Echoes>,
}

impl PodApply {
    /// Writes conditions. False when the Pod is gone: its event says so too.
    ///
    /// # Errors
    /// Any other failure; the conditions may have been written.
    pub(crate) async fn write(
        &self,
        key: &ObjectKey,
        pod: &PodView,
        wanted: &BTreeMap<String, Wanted>,
        now: &str,
    ) -> Result<bool, Error> {
        let target = Target::status(POD, &key.namespace, &key.name);
        let body = build::pod_conditions(pod, wanted, now);
        let precondition = Precondition::uid(&pod.metadata.uid);
        let written = self
            .writer
            .patch::<MetaOnly>(&target, PatchKind::Strategic, precondition, body)
            .await;
        self.echoes.remember(key, written, "write the conditions")
    }
}

/// Attempts at one change of a GameServer that others write too, each from a new read.
const ATTEMPTS: usize = 8;

/// What it takes to act on results.
pub(crate) struct ServerApply {
    /// Writes under this controller's field manager.
    pub writer: Writer,
    /// Where events go.
    pub events: Events,
    /// Own writes that the cache does not show yet.
    pub echoes: Arc<Echoes>,
    /// GameServers as they were when acting on a result was decided, until it is done: what others change from then on
    /// stays theirs, however often it is tried.
    decided: Mutex<HashMap<ObjectKey, Arc<GameServerView>>>,
    /// OpsStates that were written, until the Pod's label shows them.
    unseen: Mutex<HashMap<ObjectKey, (String, Instant)>>,
}

impl ServerApply {
    pub(crate) fn new(writer: Writer, events: Events, echoes: Arc<Echoes>) -> Self {
        Self {
            writer,
            events,
            echoes,
            decided: Mutex::default(),
            unseen: Mutex::default(),
        }
    }

    /// Carries out what is planned for a server. The GameServer first, in one patch with the record of what was acted on,
    /// then its status, which follows from that record: stopped between the two, the second is made up for and the first
    /// is not repeated.
    ///
    /// # Errors
    /// Any request that failed, except to a GameServer that is gone.
    pub(crate) async fn carry_out(
        &self,
        key: &ObjectKey,
        probed: &Probed,
        server: &Arc<GameServerView>,
        mut plan: Plan,
        now: &str,
        since: Instant,
    ) -> Result<(), Error> {
        if plan.acts() {
            let before = self.decided_on(key, server);
            let acted = self.act(key, probed, &before, now).await?;
            lock(&self.decided).remove(key);
            let Some(acted) = acted else {
                return Ok(());
            };
            if acted.acts() {
                metrics::acted_after(since.elapsed());
            }
            plan = acted;
        }
        if let Some(conditions) = &plan.conditions {
            let target = Target::status(GAME_SERVER, &key.namespace, &key.name);
            let body = build::server_status(conditions);
            let precondition = Precondition::uid(&server.metadata.uid);
            let written = self
                .writer
                .patch::<MetaOnly>(&target, PatchKind::Merge, precondition, body)
                .await;
            self.echoes.remember(key, written, "write the status")?;
        }
        // What was told with the patch is not told again.
        if !plan.acts() {
            self.tell(key, &server.metadata.uid, &plan.notices);
        }
        Ok(())
    }

    /// Acts on results, from the GameServer as the API server has it. Gives the plan that was carried out; `None` when the
    /// GameServer is gone or another one.
    async fn act(
        &self,
        key: &ObjectKey,
        probed: &Probed,
        before: &GameServerView,
        now: &str,
    ) -> Result<Option<Plan>, Error> {
        let target = Target::new(GAME_SERVER, &key.namespace, &key.name);
        let mut last = WriteError::Conflict("it never stays the same long enough".to_owned());
        for _ in 0..ATTEMPTS {
            let read = self.writer.read::<GameServerView>(&target).await;
            let Some(live) = read.map_err(Error::write("read the GameServer"))? else {
                return Ok(None);
            };
            if live.metadata.uid != before.metadata.uid {
                return Ok(None);
            }
            let observed = Observed {
                set: &probed.set,
                pod: &probed.pod,
                server: &live,
                before,
            };
            let plan = plan(&observed, now);
            let Some(record) = &plan.record else {
                return Ok(Some(plan));
            };
            let written = self
                .patch(&target, &live, build::server_patch(&plan.changes, record))
                .await;
            match written {
                Err(error @ WriteError::Conflict(_)) => last = error,
                Err(WriteError::Invalid(why)) => {
                    // It would be refused each time. What was looked at is kept, and nothing is changed.
                    let written = self
                        .patch(&target, &live, build::server_patch(&Changes::default(), record))
                        .await;
                    self.echoes.remember(key, written, "record a refused action")?;
                    metrics::acted("refused", plan.edges);
                    let note = format!("the API server refuses what the action changes: {why}");
                    self.tell(key, &live.metadata.uid, &[refused(note)]);
                    return Ok(Some(plan));
                }
                written => {
                    if !self.echoes.remember(key, written, "change the GameServer")? {
                        return Ok(None);
                    }
                    self.acted(key, &live, &plan);
                    return Ok(Some(plan));
                }
            }
        }
        Err(Error::write("change the GameServer")(last))
    }

    async fn patch(
        &self,
        target: &Target<'_>,
        live: &GameServerView,
        body: serde_json::Value,
    ) -> Result<MetaOnly, WriteError> {
        let precondition = Precondition::version(&live.metadata.uid, &live.metadata.resource_version);
        self.writer
            .patch(target, PatchKind::Merge, precondition, body)
            .await
    }

    fn acted(&self, key: &ObjectKey, live: &GameServerView, plan: &Plan) {
        let outcome = if plan.changes.is_empty() {
            "unchanged"
        } else {
            "changed"
        };
        metrics::acted(outcome, plan.edges);
        if let Some(ops_state) = &plan.changes.ops_state {
            lock(&self.unseen).insert(key.clone(), (ops_state.clone(), Instant::now()));
        }
        self.tell(key, &live.metadata.uid, &plan.notices);
    }

    fn decided_on(&self, key: &ObjectKey, server: &Arc<GameServerView>) -> Arc<GameServerView> {
        let mut decided = lock(&self.decided);
        let before = decided.entry(key.clone()).or_insert_with(|| Arc::clone(server));
        if before.metadata.uid != server.metadata.uid {
            *before = Arc::clone(server);
        }
        Arc::clone(before)
    }

    /// The Pod shows this opsState.
    pub(crate) fn label_seen(&self, key: &ObjectKey, ops_state: Option<&str>) {
        let mut unseen = lock(&self.unseen);
        if unseen
            .get(key)
            .is_some_and(|(wanted, _)| Some(wanted.as_str()) == ops_state)
            && let Some((_, at)) = unseen.remove(key)
        {
            metrics::label_after(at.elapsed());
        }
    }

    /// The GameServer is gone.
    pub(crate) fn gone(&self, key: &ObjectKey, uid: &str) {
        self.echoes.gone(key, uid);
        lock(&self.decided).remove(key);
        lock(&self.unseen).remove(key);
    }

    fn tell(&self, key: &ObjectKey, uid: &str, notices: &[Notice]) {
        for notice in notices {
            let regarding = Regarding {
                kind: GAME_SERVER.kind.to_owned(),
                api_version: GAME_SERVER.api_version(),
                namespace: key.namespace.to_string(),
                name: key.name.to_string(),
                uid: uid.to_owned(),
            };
            self.events.publish(EventRecord {
                regarding,
                warning: notice.warning,
                reason: notice.reason.clone(),
                note: notice.note.clone(),
            });
        }
    }
}

fn refused(note: String) -> Notice {
    Notice {
        warning: true,
        reason: "ActionRefused".into(),
        note,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under it, and each change is complete in itself.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
