//! What is to be done about one server's network (pure).

use serde_json::Value;

use crate::{
    build::{self, Belongings},
    engine::{ServiceWant, Whose, whose},
    params::Params,
    plugins::{self, Addresses, IngressWant, Isolation, Live, Plugin, Server, Want},
    ports::{Held, Wish},
    problem::{Problem, Reason},
    views::{GameServerView, IngressView, PodView, ServiceView, SetView},
};

#[cfg(test)]
mod tests;

/// Everything known about one server.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Observed<'a> {
    /// Its Pod.
    pub pod: Option<&'a PodView>,
    /// Its GameServer.
    pub game_server: Option<&'a GameServerView>,
    /// Its set.
    pub set: Option<&'a SetView>,
    /// The Service of its name.
    pub service: Option<&'a ServiceView>,
    /// The Ingress of its name.
    pub ingress: Option<&'a IngressView>,
    /// Address of the Pod's node.
    pub node: Option<&'a str>,
    /// Ports of a load balancer that the Service holds.
    pub held: Option<&'a Held>,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Plan {
    /// About the Service.
    pub service: Step,
    /// About the Ingress.
    pub ingress: Step,
    /// Ports to ask for.
    pub wish: Option<Wish>,
    /// What the Pod's label `inplace-update-not-ready-blocker` should say.
    pub blocker: Option<bool>,
    /// How the network is; `None` when it is not to be said yet.
    pub report: Option<Report>,
}

/// What is to be done about an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Step {
    /// Nothing.
    #[default]
    Keep,
    /// Create it.
    Create(Value),
    /// Change it.
    Patch {
        /// Its UID.
        uid: String,
        /// The version the decision was made from.
        version: String,
        /// The merge patch.
        body: Value,
    },
    /// Delete it.
    Delete {
        /// Its UID.
        uid: String,
    },
}

/// How a server's network is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Where the server is found.
    pub addresses: Addresses,
    /// Why it is not ready; `None` when it is.
    pub problem: Option<Problem>,
    /// What else there is to say.
    pub note: Option<String>,
}

impl Report {
    /// Not ready, because of this.
    pub(crate) fn problem(problem: Problem) -> Self {
        Self {
            problem: Some(problem),
            ..Self::default()
        }
    }
}

/// Decides what is to be done about one server.
pub(crate) fn plan(observed: &Observed<'_>) -> Plan {
    let Some(pod) = observed.pod.filter(|pod| !pod.metadata.is_terminating()) else {
        // Its objects go with it, or wait for its successor; players that are on it stay until it is gone.
        return Plan::default();
    };
    plan_for(observed, pod).unwrap_or_else(|problem| Plan {
        report: Some(Report::problem(problem)),
        ..Plan::default()
    })
}

fn plan_for(observed: &Observed<'_>, pod: &PodView) -> Result<Plan, Problem> {
    let plugin = plugins::plugin(&pod.facts.network_type)?;
    let params = Params::parse(&pod.facts.network_conf)?;
    let isolation = if pod.facts.disabled {
        Some(Isolation::Disabled)
    } else if plugins::drains(&params)? && pod.is_preparing_delete() {
        Some(Isolation::Draining)
    } else {
        None
    };
    let server = Server {
        pod,
        params: &params,
        node: observed.node,
        isolation,
        held: observed.held,
    };
    let mut want = plugin.want(&server)?;
    let kept_by = if want.fixed {
        let missing = || {
            Problem::new(
                Reason::WaitingForSet,
                format!("its set {} is not known yet", pod.facts.set),
            )
        };
        Some(observed.set.ok_or_else(missing)?)
    } else {
        None
    };
    let not_ready = NotReady::of(observed, pod, &params);
    if let (Some(service), Some(not_ready)) = (&mut want.service, &not_ready) {
        service.publishes_not_ready = not_ready.publish;
    }
    let mut plan = objects(observed, pod, kept_by, &want)?;
    plan.blocker = not_ready.filter(|it| it.is_news(pod)).map(|it| it.block);
    if plan.service == Step::Keep && plan.ingress == Step::Keep && plan.wish.is_none() {
        plan.report = Some(report(observed, plugin, &server));
    }
    Ok(plan)
}

/// What is to be done about the Service and the Ingress.
///
/// # Errors
/// When one of them is not the server's.
fn objects(
    observed: &Observed<'_>,
    pod: &PodView,
    kept_by: Option<&SetView>,
    want: &Want,
) -> Result<Plan, Problem> {
    let service = observed.service.map(|live| (&live.metadata, live));
    let service = found("Service", service, pod, observed.set, want.service.is_some())?;
    let ingress = observed.ingress.map(|live| (&live.metadata, live));
    let ingress = found("Ingress", ingress, pod, observed.set, want.ingress.is_some())?;
    let mut plan = Plan::default();
    match (service, &want.service) {
        (Found::Nothing, None) => {}
        (Found::Remove(uid), _) => plan.service = Step::Delete { uid },
        (Found::Ours(live), None) => plan.service = remove_ours(&live.metadata),
        // What it has already stays as it is until the ports it is to have are its own.
        (Found::Ours(_), Some(_)) if want.wish.is_some() => plan.wish.clone_from(&want.wish),
        (found, Some(wanted)) => plan.service = service_step(wanted, pod, kept_by, found.ours()),
    }
    match (ingress, &want.ingress) {
        (Found::Nothing, None) => {}
        (Found::Remove(uid), _) => plan.ingress = Step::Delete { uid },
        (Found::Ours(live), None) => plan.ingress = remove_ours(&live.metadata),
        (found, Some(wanted)) => plan.ingress = ingress_step(wanted, pod, kept_by, found.ours()),
    }
    Ok(plan)
}

/// What there is under a server's name.
enum Found<'a, T> {
    Nothing,
    Ours(&'a T),
    Remove(String),
}

impl<'a, T> Found<'a, T> {
    fn ours(self) -> Option<&'a T> {
        match self {
            Self::Ours(live) => Some(live),
            _ => None,
        }
    }
}

fn found<'a, T>(
    kind: &str,
    live: Option<(&api_types::Meta, &'a T)>,
    pod: &PodView,
    set: Option<&SetView>,
    wanted: bool,
) -> Result<Found<'a, T>, Problem> {
    let Some((meta, live)) = live else {
        return Ok(Found::Nothing);
    };
    match whose(meta, pod, set) {
        Whose::Ours => Ok(Found::Ours(live)),
        Whose::Forgotten => Ok(Found::Remove(meta.uid.clone())),
        Whose::Going | Whose::Foreign(_) if !wanted => Ok(Found::Nothing),
        Whose::Going => Err(Problem::new(
            Reason::WaitingForObjects,
            format!("an earlier {kind} {} is still being deleted", meta.name),
        )),
        Whose::Foreign(why) => Err(Problem::new(
            Reason::NameTaken,
            format!(
                "{kind} {} exists and {why}; it is left alone: rename or delete it",
                meta.name
            ),
        )),
    }
}

/// Deletes an object that this controller has made and that is no longer wanted; others' own are theirs.
fn remove_ours(meta: &api_types::Meta) -> Step {
    if meta.labels.contains_key(api_types::keys::label::OWNER_GSS) {
        Step::Delete {
            uid: meta.uid.clone(),
        }
    } else {
        Step::Keep
    }
}

fn service_step(
    want: &ServiceWant,
    pod: &PodView,
    kept_by: Option<&SetView>,
    live: Option<&ServiceView>,
) -> Step {
    let belongings = Belongings {
        pod,
        kept_by,
        labels: &want.labels,
        annotations: &want.annotations,
    };
    match live {
        None => Step::Create(build::service::create(want, &belongings)),
        Some(live) => build::service::patch(want, &belongings, live).map_or(Step::Keep, |body| Step::Patch {
            uid: live.metadata.uid.clone(),
            version: live.metadata.resource_version.clone(),
            body,
        }),
    }
}

fn ingress_step(
    want: &IngressWant,
    pod: &PodView,
    kept_by: Option<&SetView>,
    live: Option<&IngressView>,
) -> Step {
    let belongings = Belongings {
        pod,
        kept_by,
        labels: &std::collections::BTreeMap::new(),
        annotations: &want.annotations,
    };
    match live {
        None => Step::Create(build::ingress::create(want, &belongings)),
        Some(live) => build::ingress::patch(want, &belongings, live).map_or(Step::Keep, |body| Step::Patch {
            uid: live.metadata.uid.clone(),
            version: live.metadata.resource_version.clone(),
            body,
        }),
    }
}

fn report(observed: &Observed<'_>, plugin: &dyn Plugin, server: &Server<'_>) -> Report {
    let live = Live {
        service: observed.service,
        ingress: observed.ingress,
    };
    let (addresses, problem) = match plugin.addresses(server, live) {
        Ok(addresses) => (addresses, None),
        Err(problem) => (Addresses::default(), Some(problem)),
    };
    let (reason, message) = match server.isolation {
        None => {
            return Report {
                addresses,
                problem,
                note: None,
            };
        }
        Some(Isolation::Disabled) => (
            Reason::Disabled,
            "networkDisabled is set: nobody is sent to this server",
        ),
        Some(Isolation::Draining) => (
            Reason::Draining,
            "the server is being taken away: nobody new is sent to it",
        ),
    };
    if plugin.isolates() {
        return Report {
            addresses,
            problem: Some(Problem::new(reason, message)),
            note: None,
        };
    }
    let note = format!(
        "{} cannot keep players from a server: its addresses go on working",
        plugin.name()
    );
    Report {
        addresses,
        problem,
        note: Some(note),
    }
}

/// What `AllowNotReadyContainers` asks for: that an update in place of these containers leaves the Pod in its Service.
#[derive(Debug, Clone, Copy)]
struct NotReady {
    /// Whether the Service shall have the Pod though it is not ready.
    publish: bool,
    /// Whether the update has to wait.
    block: bool,
}

impl NotReady {
    /// `None` where the parameter is absent.
    fn of(observed: &Observed<'_>, pod: &PodView, params: &Params) -> Option<Self> {
        let mut names = params
            .all("AllowNotReadyContainers")
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .peekable();
        names.peek()?;
        let published = observed
            .service
            .is_some_and(|service| service.publishes_not_ready);
        if !pod.is_preparing_update() {
            return Some(Self {
                publish: published && !pod.facts.ready,
                block: true,
            });
        }
        let set = observed.set?;
        let changes = names.any(|name| {
            let now = pod
                .facts
                .containers
                .iter()
                .find(|(container, _)| container == name);
            now.is_some_and(|(_, image)| set.images.get(name) != Some(image))
        });
        let publish = changes || published;
        Some(Self {
            publish,
            block: publish && !published && observed.service.is_some(),
        })
    }

    fn is_news(self, pod: &PodView) -> bool {
        pod.facts.blocker.as_deref() != Some(if self.block { "true" } else { "false" })
    }
}
