//! Commands through the API server: `pods/exec`, three connections for each.

use std::time::Duration;

use controller_kit::key::ObjectKey;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::{
    Api, Client,
    api::{AttachParams, AttachedProcess},
};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{COMMAND_TIMED_OUT, Told, exited, failure, timed_out};
use crate::plan::message::MAX_OUTPUT;

/// Runs `command` in a container of the Pod. When it takes too long the connection is given up; whether the process ends with
/// it is the runtime's business.
pub(super) async fn exec(
    client: &Client,
    pod: &ObjectKey,
    container: &str,
    command: &[String],
    timeout: Duration,
) -> Told {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let params = AttachParams::default()
        .container(container)
        .stdout(true)
        .stderr(true)
        .stdin(false);
    let run = async {
        match pods.exec(&pod.name, command.to_vec(), &params).await {
            Ok(process) => outcome(process).await,
            Err(error) => {
                tracing::debug!(%pod, %error, "a command could not be begun");
                Told::Nothing("not_begun")
            }
        }
    };
    match tokio::time::timeout(timeout, run).await {
        Ok(told) => told,
        Err(_) => timed_out(COMMAND_TIMED_OUT, timeout),
    }
}

async fn outcome(mut process: AttachedProcess) -> Told {
    let (Some(stdout), Some(stderr), Some(status)) =
        (process.stdout(), process.stderr(), process.take_status())
    else {
        return Told::Nothing("not_begun");
    };
    let (stdout, stderr, status) = tokio::join!(read(stdout), read(stderr), status);
    match status {
        Some(status) => ended(&status, &stdout, &stderr),
        None => Told::Nothing("connection_lost"),
    }
}

/// What is kept of a stream. All of it is read: one that is not read holds up the other.
async fn read(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut chunk = vec![0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        let room = MAX_OUTPUT - kept.len();
        kept.extend_from_slice(&chunk[..length.min(room)]);
    }
    kept
}

fn ended(status: &Status, stdout: &[u8], stderr: &[u8]) -> Told {
    if status.status.as_deref() == Some("Success") {
        return exited(0, stdout, stderr);
    }
    let causes = status
        .details
        .iter()
        .flat_map(|details| details.causes.iter().flatten());
    let code = causes
        .filter(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .find_map(|cause| cause.message.as_deref()?.parse().ok());
    match code {
        Some(code) => exited(code, stdout, stderr),
        None => failure::told(status.message.as_deref().unwrap_or_default(), "container_gone"),
    }
}
