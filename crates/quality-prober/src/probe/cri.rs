//! Commands by the container runtime of this node, over its CRI socket: containerd, CRI-O, or Docker Engine with
//! cri-dockerd. The few messages that are used are written out here.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    Code, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};

use super::{COMMAND_TIMED_OUT, GRACE, Told, exited, failure, timed_out};

/// Where runtimes have their sockets, in the order in which they are tried.
const SOCKETS: [&str; 7] = [
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
    "/run/k3s/cri-dockerd/cri-dockerd.sock",
];

/// The sockets that are tried when none is named.
pub(crate) fn default_sockets() -> Vec<PathBuf> {
    SOCKETS.map(PathBuf::from).to_vec()
}

/// A larger answer is refused: a probe's output is a word or a number.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

#[derive(Clone, PartialEq, prost::Message)]
struct VersionRequest {
    #[prost(string, tag = "1")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionResponse {
    #[prost(string, tag = "2")]
    runtime_name: String,
    #[prost(string, tag = "3")]
    runtime_version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExecSyncRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, repeated, tag = "2")]
    cmd: Vec<String>,
    /// Seconds; 0 is for ever.
    #[prost(int64, tag = "3")]
    timeout: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExecSyncResponse {
    #[prost(bytes = "vec", tag = "1")]
    stdout: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    stderr: Vec<u8>,
    #[prost(int32, tag = "3")]
    exit_code: i32,
}

/// A container runtime: one connection, made when it is first needed and again after it broke.
#[derive(Clone)]
pub(crate) struct Runtime {
    channel: Channel,
}

impl Runtime {
    /// The runtime at the first of `sockets` that accepts a connection, each time one is made. Runtimes make their socket
    /// anew when they start again: mount its folder, not the socket.
    pub(crate) fn at(sockets: Vec<PathBuf>) -> Self {
        let sockets: Arc<[PathBuf]> = sockets.into();
        let connect = tower::service_fn(move |_: tonic::codegen::http::Uri| {
            let sockets = Arc::clone(&sockets);
            async move { connect(&sockets).await.map(TokioIo::new) }
        });
        // The address is not used, but HTTP needs one.
        let channel = Endpoint::from_static("http://container.runtime").connect_with_connector_lazy(connect);
        Self { channel }
    }

    /// The runtime's name and version.
    ///
    /// # Errors
    /// When none answers.
    pub(crate) async fn version(&self) -> Result<String, String> {
        let request = VersionRequest {
            version: "v1".to_owned(),
        };
        let call = self.call::<_, VersionResponse>("/runtime.v1.RuntimeService/Version", request);
        match tokio::time::timeout(GRACE, call).await {
            Ok(Ok(answer)) => Ok(format!("{} {}", answer.runtime_name, answer.runtime_version)),
            Ok(Err(status)) => Err(describe(&status)),
            Err(_) => Err(format!("no answer within {GRACE:?}")),
        }
    }

    /// Runs `command` in the container.
    pub(super) async fn exec(&self, container: &str, command: &[String], timeout: Duration) -> Told {
        let request = ExecSyncRequest {
            container_id: container.to_owned(),
            cmd: command.to_vec(),
            timeout: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        };
        let call = self.call::<_, ExecSyncResponse>("/runtime.v1.RuntimeService/ExecSync", request);
        match tokio::time::timeout(timeout + GRACE, call).await {
            // CRI-O tells a timeout so.
            Ok(Ok(answer))
                if answer.exit_code < 0 && answer.stderr.starts_with(COMMAND_TIMED_OUT.as_bytes()) =>
            {
                timed_out(COMMAND_TIMED_OUT, timeout)
            }
            Ok(Ok(answer)) => exited(answer.exit_code, &answer.stdout, &answer.stderr),
            Ok(Err(status)) => told(&status, timeout),
            Err(_) => timed_out("command timed out, and the runtime has not ended it", timeout),
        }
    }

    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER);
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = tonic_prost::ProstCodec::default();
        let path = PathAndQuery::from_static(path);
        let answer = grpc.unary(tonic::Request::new(request), path, codec).await?;
        Ok(answer.into_inner())
    }
}

async fn connect(sockets: &[PathBuf]) -> std::io::Result<UnixStream> {
    let mut last = std::io::Error::other("no socket is named");
    for socket in sockets {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = std::io::Error::new(error.kind(), format!("{}: {error}", socket.display())),
        }
    }
    Err(last)
}

/// What an error of the runtime tells of the server.
fn told(status: &Status, timeout: Duration) -> Told {
    match status.code() {
        Code::DeadlineExceeded => timed_out(COMMAND_TIMED_OUT, timeout),
        Code::OutOfRange => Told::failed("command printed more than is read"),
        Code::NotFound => Told::Nothing("container_gone"),
        Code::Unavailable | Code::Cancelled => Told::Nothing("runtime_away"),
        _ => failure::told(status.message(), "container_gone"),
    }
}

fn describe(status: &Status) -> String {
    use std::error::Error as _;
    let mut text = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
