//! Doing what probes do: the one place that talks to containers and Pods.

mod api;
mod cri;
mod failure;
mod grpc;
mod http;
mod tls;

pub(crate) use cri::{Runtime, default_sockets};

use std::{net::IpAddr, time::Duration};

use controller_kit::key::ObjectKey;
use kube::Client;
use tokio::net::TcpStream;

use crate::plan::{Handler, Place, Run, Target, Verdict};

/// What a run told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// How it went, and its result, cleaned.
    State(Verdict, String),
    /// Nothing: it could not be done, through no fault of the server. Why, in one word.
    Nothing(&'static str),
}

impl Told {
    /// Value of the metric label `outcome`.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::State(Verdict::Succeeded, _) => "success",
            Self::State(Verdict::Failed, _) => "failure",
            Self::State(Verdict::TimedOut, _) => "timeout",
            Self::Nothing(_) => "nothing",
        }
    }

    fn failed(result: impl Into<String>) -> Self {
        Self::State(Verdict::Failed, result.into())
    }
}

/// How commands are run in containers.
#[derive(Clone)]
pub(crate) enum Exec {
    /// By this node's container runtime.
    Runtime(Runtime),
    /// Through the API server.
    Api(Client),
}

/// Runs probes.
#[derive(Clone)]
pub(crate) struct Runner {
    /// How commands are run.
    pub exec: Exec,
}

impl Runner {
    /// Does one run. It ends, whatever the other side does.
    pub(crate) async fn run(&self, run: &Run) -> Told {
        self.run_at(&run.pod, &run.target, &run.place).await
    }

    async fn run_at(&self, pod: &ObjectKey, target: &Target, place: &Place) -> Told {
        match &target.handler {
            Handler::Exec { command } => match &self.exec {
                Exec::Runtime(runtime) => runtime.exec(&place.running.id, command, target.timeout).await,
                Exec::Api(client) => api::exec(client, pod, &target.container, command, target.timeout).await,
            },
            _ => match tokio::time::timeout(target.timeout, network(target, place)).await {
                Ok(told) => told,
                Err(_) => timed_out("no answer", target.timeout),
            },
        }
    }
}

async fn network(target: &Target, place: &Place) -> Told {
    let Some(ip) = place.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()) else {
        return Told::Nothing("no_address");
    };
    match &target.handler {
        Handler::Http {
            tls,
            port,
            path,
            headers,
        } => http::get(ip, *port, *tls, path, headers).await,
        Handler::Tcp { port } => match TcpStream::connect((ip, *port)).await {
            Ok(_) => Told::State(Verdict::Succeeded, String::new()),
            Err(error) => Told::failed(format!("port {port}: {error}")),
        },
        Handler::Grpc { port, service } => grpc::check(ip, *port, service).await,
        Handler::Exec { .. } => Told::Nothing("not_a_network_probe"),
    }
}

fn timed_out(what: &str, timeout: Duration) -> Told {
    Told::State(Verdict::TimedOut, format!("{what} after {} s", timeout.as_secs()))
}

/// Time for the runtime, and the way to it, to say itself that a command was ended for taking too long.
const GRACE: Duration = Duration::from_secs(2);
const COMMAND_TIMED_OUT: &str = "command timed out";

/// What an ended command told: its output, or what it complained about where there is none.
fn exited(code: i32, stdout: &[u8], stderr: &[u8]) -> Told {
    let result = crate::plan::message::clean(stdout);
    if code == 0 {
        return Told::State(Verdict::Succeeded, result);
    }
    if result.is_empty() {
        return Told::failed(crate::plan::message::clean(stderr));
    }
    Told::failed(result)
}

#[cfg(test)]
mod tests;
