//! A client as KEDA is one.

use std::collections::HashMap;

use external_scaler::proto::{
    GET_METRIC_SPEC, GET_METRICS, GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, HEALTH_CHECK,
    HealthCheckRequest, HealthCheckResponse, IS_ACTIVE, IsActiveResponse, METRIC, STREAM_IS_ACTIVE,
    ScaledObjectRef,
};
use http::uri::PathAndQuery;
use tonic::{Request, Status, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

/// A ScaledObject on a set, and a connection to the scaler.
#[derive(Clone)]
pub(crate) struct Keda {
    channel: Channel,
    object: ScaledObjectRef,
}

impl Keda {
    pub(crate) fn new(channel: Channel, namespace: &str, name: &str, metadata: &[(&str, &str)]) -> Self {
        let metadata: HashMap<String, String> = metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let object = ScaledObjectRef {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            scaler_metadata: metadata,
        };
        Self { channel, object }
    }

    async fn unary<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<Q, A>::default();
        let path = PathAndQuery::from_static(path);
        Ok(grpc.unary(Request::new(request), path, codec).await?.into_inner())
    }

    pub(crate) async fn is_active(&self) -> Result<bool, Status> {
        let answer: IsActiveResponse = self.unary(IS_ACTIVE, self.object.clone()).await?;
        Ok(answer.result)
    }

    pub(crate) async fn metric_spec(&self) -> Result<GetMetricSpecResponse, Status> {
        self.unary(GET_METRIC_SPEC, self.object.clone()).await
    }

    /// Replicas that the set should have.
    pub(crate) async fn value(&self) -> Result<i64, Status> {
        let request = GetMetricsRequest {
            scaled_object_ref: Some(self.object.clone()),
            metric_name: METRIC.to_owned(),
        };
        let answer: GetMetricsResponse = self.unary(GET_METRICS, request).await?;
        assert_eq!(
            (
                answer.metric_values.len(),
                answer.metric_values[0].metric_name.as_str()
            ),
            (1, METRIC)
        );
        Ok(answer.metric_values[0].metric_value)
    }

    pub(crate) async fn health(&self, service: &str) -> Result<i32, Status> {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer: HealthCheckResponse = self.unary(HEALTH_CHECK, request).await?;
        Ok(answer.status)
    }

    pub(crate) async fn unknown(&self) -> Status {
        let asked: Result<IsActiveResponse, Status> = self
            .unary(
                "/externalscaler.ExternalScaler/StreamMetricSpec",
                self.object.clone(),
            )
            .await;
        asked.unwrap_err()
    }

    pub(crate) async fn stream(&self) -> Result<Streaming<IsActiveResponse>, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<ScaledObjectRef, IsActiveResponse>::default();
        let path = PathAndQuery::from_static(STREAM_IS_ACTIVE);
        let request = Request::new(self.object.clone());
        Ok(grpc.server_streaming(request, path, codec).await?.into_inner())
    }
}
