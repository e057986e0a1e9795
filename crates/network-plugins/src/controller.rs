//! Wiring: watches into stores and the queue, the queue into reconciles.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use api_types::{keys, views::Meta};
use controller_kit::{
    key::ObjectKey,
    need::Need,
    queue::{Next, Queue, Work},
    resource::{self, INGRESS, POD, SERVICE},
    runtime::Runtime,
    store::Store,
    watch::{Change, Watch, Watched},
    write::Target,
};

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Args,
    apply::{Apply, LiveObject, Outcome, SERVICES_AT_ONCE},
    census::Census,
    error::Error,
    metrics,
    observe::{OwnWrites, PODS_BY_NODE, PODS_BY_SET, Snapshot, Stores},
    plan::{Report, plan},
    ports::{Ask, Held, HeldPort, Ledger, Refusal, Releases, SERVICES_BY_TYPE, Services, Wish},
    status,
    views::{GameServerView, IngressView, LOAD_BALANCER, NodeView, PodView, ServiceView, SetView},
};

controller_kit::watched! {
    PodView => resource::POD,
    GameServerView => resource::GAME_SERVER,
    SetView => resource::GAME_SERVER_SET,
    ServiceView => resource::SERVICE,
    IngressView => resource::INGRESS,
    NodeView => resource::NODE,
}

/// How long a server waits for watches that go on after a rest; a list takes about as long.
const WAKING: Duration = Duration::from_millis(100);

/// Servers whose Pod the cache does not show, and that may have lost their network rather than their Pod.
#[derive(Debug, Default)]
struct Suspects(Mutex<HashSet<ObjectKey>>);

impl Suspects {
    fn add(&self, key: &ObjectKey) {
        self.lock().insert(key.clone());
    }

    fn take(&self, key: &ObjectKey) -> bool {
        self.lock().remove(key)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<ObjectKey>> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often the networks are counted for the metrics.
const CENSUS_INTERVAL: Duration = Duration::from_secs(10);

/// Everything a reconcile needs.
struct Controller {
    stores: Stores,
    suspects: Arc<Suspects>,
    ledger: Ledger,
    apply: Apply,
    need: Need,
}

impl Controller {
    /// Brings one server's network up to date: observe, plan, apply, status.
    async fn reconcile(&self, work: Work<ObjectKey>) -> Result<Next, Error> {
        let key = &work.key;
        if self.need.is_waking() {
            return Ok(Next::After(WAKING));
        }
        let suspect = self.suspects.take(key);
        let snapshot = self.stores.observe(key, |service| self.ledger.held(service));
        if let Some(left) = snapshot.behind(key, &self.apply.own, Instant::now()) {
            return Ok(Next::After(left));
        }
        let observed = snapshot.observed();
        if observed.pod.is_none() {
            if suspect {
                self.take_back(key, &snapshot).await?;
            }
            return Ok(Next::Done);
        }
        let plan = plan(&observed);
        tracing::debug!(object.namespace = %key.namespace, object.name = %key.name, ?plan, "planned");
        let mut outcome = self.apply.objects(key, &observed, &plan).await;
        if let (Some(wish), Some(service)) = (&plan.wish, observed.service) {
            match self.ledger.claim(ask(wish, service)).await {
                // Everything is looked at again: what is theirs is what the next plan is made from.
                Ok(()) => return Ok(Next::After(Duration::ZERO)),
                Err(refusal) => outcome = refused(refusal),
            }
        }
        let report = outcome.problem.map(Report::problem).or(plan.report);
        let now = jiff::Timestamp::now();
        let writes = report
            .map(|report| status::compute(&observed, &report, now))
            .unwrap_or_default();
        self.apply.report(key, &observed, plan.blocker, &writes).await?;
        match outcome.error {
            Some(error) => Err(error),
            None => Ok(writes
                .again
                .map_or(Next::Done, |seconds| Next::After(Duration::from_secs(seconds)))),
        }
    }

    /// Removes what is left of a network that is no longer asked for. A Pod that is gone is none of this: its objects go
    /// with it, or wait for its successor.
    async fn take_back(&self, key: &ObjectKey, snapshot: &Snapshot) -> Result<(), Error> {
        let observed = snapshot.observed();
        let says = observed.game_server.filter(|found| found.has_network());
        let objects = [
            observed.service.map(|found| (SERVICE, &found.metadata)),
            observed.ingress.map(|found| (INGRESS, &found.metadata)),
        ];
        let objects = objects.into_iter().flatten();
        let ours: Vec<_> = objects
            .filter(|(_, meta)| meta.labels.contains_key(keys::label::OWNER_GSS) && !meta.is_terminating())
            .collect();
        if says.is_none() && ours.is_empty() {
            return Ok(());
        }
        let target = Target::new(POD, &key.namespace, &key.name);
        let pod = self.apply.writer.read::<LiveObject>(&target).await;
        let pod = pod.map_err(Error::write("look whether the Pod is there"))?;
        let Some(pod) = pod.map(|pod| pod.metadata).filter(|pod| !pod.is_terminating()) else {
            return Ok(());
        };
        if pod
            .annotation(keys::annotation::NETWORK_TYPE)
            .is_some_and(|type_| !type_.is_empty())
        {
            // The watch is about to show it.
            return Ok(());
        }
        let set = pod.controller().map(|set| set.uid.as_str());
        for (kind, meta) in ours {
            let of_server = meta
                .controller()
                .is_some_and(|owner| owner.uid == pod.uid || Some(owner.uid.as_str()) == set);
            if of_server {
                let target = Target::new(kind, &key.namespace, &key.name);
                self.apply.delete(&target, &meta.uid).await?;
            }
        }
        if let Some(game_server) = says {
            let body = status::nothing(&game_server.network);
            self.apply.status(key, &game_server.metadata.uid, body).await?;
        }
        Ok(())
    }
}

/// What a server asks for, with what its Service is on already.
fn ask(wish: &Wish, service: &ServiceView) -> Ask {
    let meta = &service.metadata;
    let on = meta
        .annotation(&wish.id_annotation)
        .filter(|_| service.type_ == LOAD_BALANCER);
    let ports = service.ports.iter().map(|port| HeldPort {
        target: port.target.unwrap_or(port.port),
        protocol: port.protocol,
        port: port.port,
    });
    Ask {
        namespace: meta.namespace.clone(),
        server: meta.name.clone(),
        service: meta.uid.clone(),
        created: meta.creation_timestamp.clone().unwrap_or_default(),
        wish: wish.clone(),
        present: on.map(|id| Held {
            id: id.to_owned(),
            ports: ports.collect(),
        }),
    }
}

fn refused(refusal: Refusal) -> Outcome {
    match refusal {
        Refusal::Problem(problem) => Outcome {
            problem: Some(problem.clone()),
            // Which server gives a port back, and when, is no event of this one.
            error: Some(Error::Blocked(problem)),
        },
        Refusal::Write(error) => Outcome {
            problem: None,
            error: Some(Error::write("record ports")(error)),
        },
    }
}

/// Queues of this controller.
pub(crate) struct Queues {
    /// Servers whose network may have to be changed.
    pub servers: Queue<ObjectKey>,
    /// Servers whose Services may be gone.
    pub releases: Queue<ObjectKey>,
}

/// Starts the watches and the work. `leads` tells whether this process does; `namespace` is where the records of ports are.
pub(crate) fn start(
    runtime: &Runtime,
    queues: &Queues,
    args: &Args,
    leads: watch::Receiver<bool>,
    namespace: &str,
) {
    let queue = &queues.servers;
    let suspects = Arc::new(Suspects::default());
    let need = Need::new();
    let pods = watch_pods(runtime, queue, &suspects, &need);
    let wiring = Wiring {
        runtime,
        need: &need,
        queue,
        suspects: &suspects,
        pods: &pods,
    };
    let writer = runtime.writer(keys::field_manager::NETWORK_PLUGINS);
    let (watched, found) = (Arc::new(OnceLock::new()), queues.releases.clone());
    let services = wiring.services(&watched, &found);
    let (ledger, scribe) = Ledger::new(
        writer.clone(),
        namespace,
        Services {
            store: services.clone(),
            gone: Box::new(move |server| found.add(server)),
        },
    );
    // Whatever the watch has told until now: the ledger knew nothing yet that could have been given back.
    let _ = watched.set(ledger.clone());
    runtime.spawn("record ports", scribe.run(runtime.shutdown()));
    let releases = Releases::new(ledger.clone(), writer.clone(), queues.releases.clone());
    releases.start(runtime);
    releases.sweep(runtime, leads.clone(), namespace, services.clone());
    let stores = Stores {
        nodes: wiring.nodes(),
        sets: wiring.sets(),
        game_servers: wiring.game_servers(),
        services,
        ingresses: wiring.ingresses(),
        pods: pods.clone(),
    };
    rest(runtime, &need, args.rest.rest_after, stores.clone(), queue, leads);
    let controller = Arc::new(Controller {
        stores,
        suspects,
        ledger,
        apply: Apply {
            writer,
            events: runtime.events(),
            own: Arc::new(OwnWrites::default()),
            creations: Arc::new(Semaphore::new(SERVICES_AT_ONCE)),
        },
        need,
    });
    begin(runtime, queue, controller, args.controller.concurrency);
}

/// Begins to count, and to work.
fn begin(runtime: &Runtime, queue: &Queue<ObjectKey>, controller: Arc<Controller>, concurrency: usize) {
    runtime.spawn("census", census(Arc::clone(&controller), runtime.shutdown()));
    queue.run(runtime, "servers", concurrency, move |work| {
        let controller = Arc::clone(&controller);
        async move { controller.reconcile(work).await }
    });
}

/// Counts the servers' networks for the metrics until shutdown.
async fn census(controller: Arc<Controller>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let stores = &controller.stores;
    let mut tick = tokio::time::interval(CENSUS_INTERVAL);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        let mut census = Census::default();
        stores.pods.for_each(|pod| {
            let server = stores.game_servers.get(&ObjectKey::of(&pod.metadata));
            census.server(pod, server.as_deref());
        });
        metrics::census(&census);
    }
    Ok(())
}

/// Where nothing has a network, watches of what changes most rest.
fn rest(
    runtime: &Runtime,
    need: &Need,
    after: Duration,
    stores: Stores,
    queue: &Queue<ObjectKey>,
    leads: watch::Receiver<bool>,
) {
    let queue = queue.clone();
    need.rest_beside_leader(
        runtime,
        after,
        leads,
        move || queue.is_idle(),
        move || stores.is_idle(),
    );
}

/// Pods without a network are decoded and forgotten: a set that asks for none costs no memory here.
fn watch_pods(
    runtime: &Runtime,
    queue: &Queue<ObjectKey>,
    suspects: &Arc<Suspects>,
    need: &Need,
) -> Store<PodView> {
    let (queue, suspects) = (queue.clone(), Arc::clone(suspects));
    Watch::<PodView>::new()
        .labels(keys::label::OWNER_GSS)
        .keep(PodView::has_network)
        .while_needed(need)
        .index(PODS_BY_NODE, |pod: &PodView| pod.facts.node_name.clone())
        .index(PODS_BY_SET, |pod: &PodView| {
            Some(format!("{}/{}", pod.metadata.namespace, pod.facts.set))
        })
        .on_change(move |change: Change<PodView>| match change {
            Change::Applied { old, new } => {
                if old.is_none_or(|old| old.differs(&new)) {
                    queue.add(ObjectKey::of(&new.metadata));
                }
            }
            Change::Deleted(last) => {
                // One that was not on its way out may still be there, without a network.
                if !last.metadata.is_terminating() {
                    let key = ObjectKey::of(&last.metadata);
                    suspects.add(&key);
                    queue.add(key);
                }
            }
        })
        .start(runtime)
}

/// What the watches of everything but Pods have in common.
struct Wiring<'a> {
    runtime: &'a Runtime,
    need: &'a Need,
    queue: &'a Queue<ObjectKey>,
    suspects: &'a Arc<Suspects>,
    pods: &'a Store<PodView>,
}

impl Wiring<'_> {
    /// What is done about a change of an object of a server's name: nothing where neither Pod nor `leftover` is there.
    fn about_server<T: Watched>(&self, leftover: fn(&T) -> bool) -> impl Fn(&Change<T>) + use<T> {
        let (queue, suspects, pods) = (self.queue.clone(), Arc::clone(self.suspects), self.pods.clone());
        move |change| {
            let key = ObjectKey::of(change.object().meta());
            if pods.get(&key).is_some() {
                return queue.add(key);
            }
            // Seen for the first time, or looked at again: whether its Pod is gone or only its network is worth a request.
            if let Change::Applied { old: None, new } = change
                && leftover(new)
            {
                suspects.add(&key);
                queue.add(key);
            }
        }
    }

    fn nodes(&self) -> Store<NodeView> {
        let (queue, pods) = (self.queue.clone(), self.pods.clone());
        Watch::<NodeView>::new()
            .while_needed(self.need)
            .on_change(move |change: Change<NodeView>| {
                if let Change::Applied { old: Some(old), new } = &change
                    && old.address == new.address
                {
                    return;
                }
                for pod in pods.by_index(PODS_BY_NODE, &change.object().metadata.name) {
                    queue.add(ObjectKey::of(&pod.metadata));
                }
            })
            .start(self.runtime)
    }

    fn sets(&self) -> Store<SetView> {
        let (queue, pods, need) = (self.queue.clone(), self.pods.clone(), self.need.clone());
        Watch::<SetView>::new()
            .on_change(move |change: Change<SetView>| {
                if let Change::Applied { new, .. } = &change
                    && new.has_network
                {
                    need.wake();
                }
                if let Change::Applied { old: Some(old), new } = &change
                    && !old.differs(new)
                {
                    return;
                }
                let index = ObjectKey::of(&change.object().metadata).to_string();
                for pod in pods.by_index(PODS_BY_SET, &index) {
                    queue.add(ObjectKey::of(&pod.metadata));
                }
            })
            .start(self.runtime)
    }

    fn game_servers(&self) -> Store<GameServerView> {
        let about_server = self.about_server(GameServerView::has_network);
        Watch::<GameServerView>::new()
            .while_needed(self.need)
            .on_change(move |change: Change<GameServerView>| {
                if let Change::Applied { old: Some(old), new } = &change
                    && !old.differs(new)
                {
                    return;
                }
                about_server(&change);
            })
            .start(self.runtime)
    }

    /// All Services that may be a server's, and all of type LoadBalancer: no other has ports that a server could take from it.
    fn services(&self, ledger: &Arc<OnceLock<Ledger>>, releases: &Queue<ObjectKey>) -> Store<ServiceView> {
        let about_server = self.about_server(|service: &ServiceView| is_of_pod(&service.metadata));
        let (ledger, releases) = (Arc::clone(ledger), releases.clone());
        Watch::<ServiceView>::new()
            .keep(ServiceView::is_of_concern)
            .index(SERVICES_BY_TYPE, |service: &ServiceView| {
                Some(service.type_.clone())
            })
            .on_change(move |change: Change<ServiceView>| {
                about_server(&change);
                if let Change::Deleted(last) = &change {
                    let key = ObjectKey::of(&last.metadata);
                    if ledger.get().is_some_and(|ledger| ledger.knows(&key)) {
                        releases.add(key);
                    }
                }
            })
            .start(self.runtime)
    }

    fn ingresses(&self) -> Store<IngressView> {
        let about_server = self.about_server(|ingress: &IngressView| is_of_pod(&ingress.metadata));
        Watch::<IngressView>::new()
            .labels(keys::label::OWNER_GSS)
            .on_change(move |change: Change<IngressView>| about_server(&change))
            .start(self.runtime)
    }
}

fn is_of_pod(meta: &Meta) -> bool {
    meta.controller().is_some_and(|owner| owner.kind == POD.kind)
}
