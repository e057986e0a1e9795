//! From HTTP/2 requests to methods and back.

use std::{
    convert::Infallible,
    future::{Future, Ready},
    pin::Pin,
    task::{Context, Poll},
};

use futures::Stream;
use tonic::{Request, Response, Status, body::Body, server::Grpc};
use tonic_prost::ProstCodec;

use super::methods::Methods;
use crate::{metrics, proto};

/// The gRPC service, as tonic's server takes it.
#[derive(Clone)]
pub(super) struct Service {
    methods: Methods,
}

type Answer = http::Response<Body>;

impl Service {
    pub(super) fn new(methods: Methods) -> Self {
        Self { methods }
    }

    async fn answer(self, request: http::Request<Body>) -> Answer {
        let methods = self.methods;
        match request.uri().path() {
            proto::IS_ACTIVE => unary("IsActive", request, move |object| methods.is_active(&object)).await,
            proto::STREAM_IS_ACTIVE => {
                streaming("StreamIsActive", request, move |object| {
                    methods.stream_is_active(&object)
                })
                .await
            }
            proto::GET_METRIC_SPEC => {
                unary("GetMetricSpec", request, |object| Methods::metric_spec(&object)).await
            }
            proto::GET_METRICS => unary("GetMetrics", request, move |asked| methods.metrics(&asked)).await,
            proto::HEALTH_CHECK => unary("Health", request, move |asked| methods.health(&asked)).await,
            // KEDA asks for StreamMetricSpec too, and does without: the target never changes.
            _ => {
                metrics::answered("other", tonic::Code::Unimplemented);
                Status::unimplemented("no such method").into_http()
            }
        }
    }
}

impl tower::Service<http::Request<Body>> for Service {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}

async fn unary<Q, A>(
    method: &'static str,
    request: http::Request<Body>,
    answer: impl FnOnce(Q) -> Result<A, Status>,
) -> Answer
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Send + 'static,
{
    let mut grpc = Grpc::new(ProstCodec::<A, Q>::default());
    grpc.unary(tower::service_fn(once(method, answer)), request).await
}

async fn streaming<Q, A, S>(
    method: &'static str,
    request: http::Request<Body>,
    answer: impl FnOnce(Q) -> Result<S, Status>,
) -> Answer
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Send + 'static,
    S: Stream<Item = Result<A, Status>> + Send + 'static,
{
    let mut grpc = Grpc::new(ProstCodec::<A, Q>::default());
    grpc.server_streaming(tower::service_fn(once(method, answer)), request)
        .await
}

/// Answers the one request there is, and counts how.
fn once<Q, T>(
    method: &'static str,
    answer: impl FnOnce(Q) -> Result<T, Status>,
) -> impl FnMut(Request<Q>) -> Ready<Result<Response<T>, Status>> {
    let mut answer = Some(answer);
    move |request| {
        let result = answer
            .take()
            .map_or_else(
                || Err(Status::internal("asked twice")),
                |answer| answer(request.into_inner()),
            )
            .map(Response::new);
        count(method, &result);
        std::future::ready(result)
    }
}

fn count<T>(method: &'static str, result: &Result<Response<T>, Status>) {
    let code = result.as_ref().map_or_else(Status::code, |_| tonic::Code::Ok);
    metrics::answered(method, code);
}
