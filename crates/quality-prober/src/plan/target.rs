//! What is probed, and where (pure).

use std::time::Duration;

use api_types::ServiceQuality;
use k8s_openapi::{
    api::core::v1::{ExecAction, GRPCAction, HTTPGetAction, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::progress::Thresholds;
use crate::views::{Container, PodView, Running};

/// OpenKruiseGame's defaults, for what is absent or 0.
const TIMEOUT: u32 = 5;
const INITIAL_DELAY: u32 = 10;
const PERIOD: u32 = 3;
const SUCCESS: u32 = 1;
const FAILURE: u32 = 3;

/// A probe of one Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// What is done.
    pub handler: Handler,
    /// How long it may take.
    pub timeout: Duration,
    /// How long after the container's start it is first done.
    pub initial_delay: Duration,
    /// How often it is done.
    pub period: Duration,
    /// How many runs in a row make a state.
    pub thresholds: Thresholds,
    /// The container.
    pub container: String,
}

/// What a probe does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Handler {
    /// A command in the container.
    Exec {
        /// The command and its arguments.
        command: Vec<String>,
    },
    /// A GET to the Pod.
    Http {
        /// Whether by HTTPS, whatever the certificate.
        tls: bool,
        /// The port.
        port: u16,
        /// Path and query.
        path: String,
        /// Further headers.
        headers: Vec<(String, String)>,
    },
    /// A connection to the Pod.
    Tcp {
        /// The port.
        port: u16,
    },
    /// A gRPC health check of the Pod.
    Grpc {
        /// The port.
        port: u16,
        /// The service asked about; empty for the server as a whole.
        service: String,
    },
}

impl Handler {
    /// Value of the metric label `kind`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Exec { .. } => "exec",
            Self::Http { .. } => "http",
            Self::Tcp { .. } => "tcp",
            Self::Grpc { .. } => "grpc",
        }
    }
}

/// Where a probe runs, while it can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The container's process.
    pub running: Running,
    /// The Pod's address, where the probe goes there.
    pub ip: Option<String>,
}

/// Why a service quality cannot be probed in a Pod as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Reason of the condition.
    pub reason: &'static str,
    /// What is wrong, and what there is instead.
    pub message: String,
}

/// What to do for `quality` in `pod`, and where if it can be done now.
pub(crate) fn target(pod: &PodView, quality: &ServiceQuality) -> Result<(Target, Option<Place>), Misfit> {
    let container = container(pod, quality)?;
    let handler = handler(container, quality)?;
    let ip = match handler {
        Handler::Exec { .. } => None,
        _ => pod.ip.clone(),
    };
    let reachable = ip.is_some() || matches!(handler, Handler::Exec { .. });
    let place = container
        .running
        .clone()
        .filter(|_| reachable)
        .map(|running| Place { running, ip });
    let count = |given: Option<i32>, default| {
        let given = given.and_then(|given| u32::try_from(given).ok());
        given.filter(|given| *given > 0).unwrap_or(default)
    };
    let seconds = |given, default| Duration::from_secs(count(given, default).into());
    let target = Target {
        handler,
        timeout: seconds(quality.timeout_seconds, TIMEOUT),
        initial_delay: seconds(quality.initial_delay_seconds, INITIAL_DELAY),
        period: seconds(quality.period_seconds, PERIOD),
        thresholds: Thresholds {
            success: count(quality.success_threshold, SUCCESS),
            failure: count(quality.failure_threshold, FAILURE),
        },
        container: container.name.clone(),
    };
    Ok((target, place))
}

fn container<'a>(pod: &'a PodView, quality: &ServiceQuality) -> Result<&'a Container, Misfit> {
    let wanted = quality.container_name.as_deref().filter(|name| !name.is_empty());
    let found = match wanted {
        Some(name) => pod.containers.iter().find(|container| container.name == name),
        None => pod.containers.first(),
    };
    found.ok_or_else(|| Misfit {
        reason: "ContainerNotFound",
        message: format!(
            "containerName is {}, and the Pod's containers are: {}",
            wanted.unwrap_or("empty"),
            names(pod.containers.iter().map(|container| container.name.as_str()))
        ),
    })
}

fn handler(container: &Container, quality: &ServiceQuality) -> Result<Handler, Misfit> {
    let given = (
        &quality.exec,
        &quality.http_get,
        &quality.tcp_socket,
        &quality.grpc,
    );
    match given {
        (Some(ExecAction { command }), None, None, None) => {
            let command = command.clone().unwrap_or_default();
            if command.is_empty() {
                return Err(not_a_probe("exec has no command"));
            }
            Ok(Handler::Exec { command })
        }
        (None, Some(get), None, None) => http(container, get),
        (None, None, Some(TCPSocketAction { port, .. }), None) => Ok(Handler::Tcp {
            port: port_number(container, port)?,
        }),
        (None, None, None, Some(GRPCAction { port, service })) => Ok(Handler::Grpc {
            port: port_number(container, &IntOrString::Int(*port))?,
            service: service.clone().unwrap_or_default(),
        }),
        _ => Err(not_a_probe("give one of exec, httpGet, tcpSocket and grpc")),
    }
}

fn http(container: &Container, get: &HTTPGetAction) -> Result<Handler, Misfit> {
    let path = get.path.as_deref().unwrap_or_default();
    let headers = get.http_headers.iter().flatten();
    Ok(Handler::Http {
        tls: get.scheme.as_deref() == Some("HTTPS"),
        port: port_number(container, &get.port)?,
        path: if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        },
        headers: headers
            .map(|header| (header.name.clone(), header.value.clone()))
            .collect(),
    })
}

fn port_number(container: &Container, port: &IntOrString) -> Result<u16, Misfit> {
    let number = match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => {
            let named = container.ports.iter().find(|(known, _)| known == name);
            named.map(|(_, number)| *number).or_else(|| name.parse().ok())
        }
    };
    number.filter(|number| *number > 0).ok_or_else(|| {
        let asked = match port {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(name) => name.clone(),
        };
        Misfit {
            reason: "PortNotFound",
            message: format!(
                "port is {asked}, and the named ports of container {} are: {}",
                container.name,
                names(container.ports.iter().map(|(name, _)| name.as_str()))
            ),
        }
    })
}

fn not_a_probe(why: &str) -> Misfit {
    Misfit {
        reason: "NotAProbe",
        message: format!("it cannot be probed: {why}"),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixture::{pod, quality};

    fn of(fields: &Value) -> Result<(Target, Option<Place>), Misfit> {
        target(&pod().view(), &quality("healthy", fields))
    }

    #[test]
    fn what_is_absent_or_zero_is_openkruisegames_default() {
        let zero = json!({"exec": {"command": ["true"]}, "periodSeconds": 0, "failureThreshold": 0});
        for fields in [json!({"exec": {"command": ["true"]}}), zero] {
            let (target, place) = of(&fields).unwrap();
            assert_eq!(
                (target.timeout, target.initial_delay, target.period),
                (
                    Duration::from_secs(5),
                    Duration::from_secs(10),
                    Duration::from_secs(3)
                )
            );
            assert_eq!((target.thresholds.success, target.thresholds.failure), (1, 3));
            assert_eq!(
                (target.container.as_str(), place.unwrap().running.id.as_str()),
                ("game", "game-0")
            );
        }
    }

    #[test]
    fn a_container_or_port_that_is_not_there_is_told_with_those_that_are() {
        let misfit = of(&json!({"containerName": "minecraft", "exec": {"command": ["true"]}})).unwrap_err();
        assert_eq!(misfit.reason, "ContainerNotFound");
        assert_eq!(
            misfit.message,
            "containerName is minecraft, and the Pod's containers are: game, agent"
        );
        let misfit = of(&json!({"tcpSocket": {"port": "metrics"}})).unwrap_err();
        assert_eq!(misfit.reason, "PortNotFound");
        assert_eq!(
            misfit.message,
            "port is metrics, and the named ports of container game are: health"
        );
        for fields in [
            json!({}),
            json!({"exec": {}}),
            json!({"exec": {"command": ["x"]}, "grpc": {"port": 1}}),
        ] {
            assert_eq!(of(&fields).unwrap_err().reason, "NotAProbe");
        }
        assert_eq!(
            of(&json!({"grpc": {"port": 70_000}})).unwrap_err().reason,
            "PortNotFound"
        );
    }

    #[test]
    fn ports_and_paths_are_resolved() {
        let (target, place) = of(
            &json!({"httpGet": {"port": "health", "path": "ready?deep=1", "scheme": "HTTPS",
            "httpHeaders": [{"name": "X-A", "value": "b"}]}}),
        )
        .unwrap();
        let http = Handler::Http {
            tls: true,
            port: 8080,
            path: "/ready?deep=1".into(),
            headers: vec![("X-A".into(), "b".into())],
        };
        assert_eq!(target.handler, http);
        assert_eq!(place.unwrap().ip.as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn a_container_that_does_not_run_or_a_pod_without_address_is_no_place() {
        let exec = quality("healthy", &json!({"exec": {"command": ["true"]}}));
        let tcp = quality("healthy", &json!({"tcpSocket": {"port": 1}}));
        let place = |pod: &PodView, quality| target(pod, quality).unwrap().1;
        let stopped = pod().waiting("game").view();
        assert_eq!((place(&stopped, &exec), place(&stopped, &tcp)), (None, None));
        let mut nowhere = pod().view();
        nowhere.ip = None;
        assert!(place(&nowhere, &exec).is_some() && place(&nowhere, &tcp).is_none());
    }
}
