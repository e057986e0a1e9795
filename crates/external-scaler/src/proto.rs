//! Messages of KEDA's `externalscaler.proto` and of gRPC health checks, by hand: there are few, and nothing has to be generated
//! when this is built. Numbers and names are the wire's.

use std::collections::HashMap;

/// The gRPC service.
pub const SERVICE: &str = "externalscaler.ExternalScaler";
/// Path of `IsActive`.
pub const IS_ACTIVE: &str = "/externalscaler.ExternalScaler/IsActive";
/// Path of `StreamIsActive`.
pub const STREAM_IS_ACTIVE: &str = "/externalscaler.ExternalScaler/StreamIsActive";
/// Path of `GetMetricSpec`.
pub const GET_METRIC_SPEC: &str = "/externalscaler.ExternalScaler/GetMetricSpec";
/// Path of `GetMetrics`.
pub const GET_METRICS: &str = "/externalscaler.ExternalScaler/GetMetrics";
/// Path of the health check.
pub const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// Name of the only metric.
pub const METRIC: &str = "gssReplicas";

/// A ScaledObject.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ScaledObjectRef {
    /// Its name, and the set's.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its namespace, and the set's.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// Metadata of the trigger.
    #[prost(map = "string, string", tag = "3")]
    pub scaler_metadata: HashMap<String, String>,
}

/// Whether anything is to be scaled at all.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct IsActiveResponse {
    /// Yes or no.
    #[prost(bool, tag = "1")]
    pub result: bool,
}

/// What is measured.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetMetricSpecResponse {
    /// One entry.
    #[prost(message, repeated, tag = "1")]
    pub metric_specs: Vec<MetricSpec>,
}

/// A metric and its target.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricSpec {
    /// Its name.
    #[prost(string, tag = "1")]
    pub metric_name: String,
    /// Its target.
    #[prost(int64, tag = "2")]
    pub target_size: i64,
}

/// Asks for values.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetMetricsRequest {
    /// Of what.
    #[prost(message, optional, tag = "1")]
    pub scaled_object_ref: Option<ScaledObjectRef>,
    /// Of which metric.
    #[prost(string, tag = "2")]
    pub metric_name: String,
}

/// Values.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetMetricsResponse {
    /// One entry.
    #[prost(message, repeated, tag = "1")]
    pub metric_values: Vec<MetricValue>,
}

/// The value of a metric.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub metric_name: String,
    /// Replicas that the set should have.
    #[prost(int64, tag = "2")]
    pub metric_value: i64,
}

/// Asks how a service is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HealthCheckRequest {
    /// The service; empty for the whole server.
    #[prost(string, tag = "1")]
    pub service: String,
}

/// How a service is.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HealthCheckResponse {
    /// [`SERVING`] or [`NOT_SERVING`].
    #[prost(int32, tag = "1")]
    pub status: i32,
}

/// It answers.
pub const SERVING: i32 = 1;
/// It does not know enough to answer yet, or any more.
pub const NOT_SERVING: i32 = 2;

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn messages_are_on_the_wire_as_keda_writes_them() {
        let object = ScaledObjectRef {
            name: "a".into(),
            namespace: "b".into(),
            scaler_metadata: [("k".to_owned(), "v".to_owned())].into(),
        };
        let bytes = b"\x0a\x01a\x12\x01b\x1a\x06\x0a\x01k\x12\x01v";
        assert_eq!(object.encode_to_vec(), bytes);
        let asked = GetMetricsRequest {
            scaled_object_ref: Some(ScaledObjectRef::default()),
            metric_name: "m".into(),
        };
        assert_eq!(asked.encode_to_vec(), b"\x0a\x00\x12\x01m");
        let answer = GetMetricsResponse {
            metric_values: vec![MetricValue {
                metric_name: "m".into(),
                metric_value: 300,
            }],
        };
        assert_eq!(answer.encode_to_vec(), b"\x0a\x06\x0a\x01m\x10\xac\x02");
        assert_eq!(IsActiveResponse { result: true }.encode_to_vec(), b"\x08\x01");
    }
}
