//! gRPC health checks (`grpc.health.v1`), without TLS, as the kubelet makes them.

use std::net::{IpAddr, SocketAddr};

use tonic::{Code, client::Grpc, codegen::http::uri::PathAndQuery, transport::Endpoint};

use super::Told;
use crate::plan::{Verdict, message::clean_text};

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `ServingStatus`, by number.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: i32 = 1;

/// Asks the server how `service` is. The result is its word for it.
pub(super) async fn check(ip: IpAddr, port: u16, service: &str) -> Told {
    let address = format!("http://{}", SocketAddr::new(ip, port));
    let endpoint = match Endpoint::from_shared(address) {
        Ok(endpoint) => endpoint,
        Err(error) => return Told::failed(format!("port {port}: {error}")),
    };
    let channel = match endpoint.connect().await {
        Ok(channel) => channel,
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            return Told::failed(clean_text(&format!("port {port}: {cause}")));
        }
    };
    let mut grpc = Grpc::new(channel);
    if let Err(error) = grpc.ready().await {
        return Told::failed(clean_text(&format!("port {port}: {error}")));
    }
    let request = tonic::Request::new(HealthCheckRequest {
        service: service.to_owned(),
    });
    let codec = tonic_prost::ProstCodec::<_, HealthCheckResponse>::default();
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    match grpc.unary(request, path, codec).await {
        Ok(answer) => {
            let status = answer.into_inner().status;
            let word = usize::try_from(status).ok().and_then(|index| STATUSES.get(index));
            let word = word.copied().unwrap_or("UNKNOWN");
            if status == SERVING {
                Told::State(Verdict::Succeeded, word.to_owned())
            } else {
                Told::failed(word)
            }
        }
        Err(status) if status.code() == Code::Unimplemented => {
            Told::failed("the server does not know grpc.health.v1.Health")
        }
        Err(status) => Told::failed(clean_text(&format!("{:?}: {}", status.code(), status.message()))),
    }
}
