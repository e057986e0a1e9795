//! One HTTP request: building it, sending it once, reading its answer.

use std::any::TypeId;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request, StatusCode};
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::outcome::{self, Failure};
use super::{MetaOnly, PatchKind, Target, WriteError};
use crate::requests::{self, InFlight};

const JSON: &str = "application/json";
const META_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// An answer nobody reads; asked for as metadata only, so that it is small.
#[derive(Deserialize)]
#[serde(from = "IgnoredAny")]
pub(super) struct Ignored;

impl From<IgnoredAny> for Ignored {
    fn from(_: IgnoredAny) -> Self {
        Self
    }
}

/// The wire form of [`MetaOnly`].
#[derive(Deserialize)]
pub(super) struct PartialObject {
    #[serde(default)]
    metadata: PartialMeta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PartialMeta {
    name: String,
    namespace: String,
    uid: String,
    resource_version: String,
    generation: i64,
}

impl From<PartialObject> for MetaOnly {
    fn from(PartialObject { metadata: meta }: PartialObject) -> Self {
        Self {
            name: meta.name,
            namespace: meta.namespace,
            uid: meta.uid,
            resource_version: meta.resource_version,
            generation: meta.generation,
        }
    }
}

/// What to send.
#[derive(Clone)]
pub(super) struct Call {
    verb: &'static str,
    method: Method,
    uri: String,
    content_type: &'static str,
    body: Vec<u8>,
    json_patch: bool,
}

impl Call {
    pub(super) fn create(target: &Target<'_>, manager: &str, body: Vec<u8>) -> Self {
        let collection = if target.subresource.is_some() {
            // `pods/eviction` and its like are created under the object.
            target
                .resource
                .path(target.namespace, Some(target.name), target.subresource)
        } else {
            target.resource.path(target.namespace, None, None)
        };
        Self::new(
            "create",
            Method::POST,
            format!("{collection}?fieldManager={manager}"),
            JSON,
            body,
        )
    }

    pub(super) fn patch(target: &Target<'_>, manager: &str, kind: PatchKind, body: Vec<u8>) -> Self {
        let content_type = match kind {
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::Strategic => "application/strategic-merge-patch+json",
            PatchKind::Json => "application/json-patch+json",
        };
        let uri = format!("{}?fieldManager={manager}", object_path(target));
        let mut call = Self::new("patch", Method::PATCH, uri, content_type, body);
        call.json_patch = kind == PatchKind::Json;
        call
    }

    pub(super) fn apply(target: &Target<'_>, manager: &str, body: Vec<u8>) -> Self {
        let uri = format!("{}?fieldManager={manager}&force=true", object_path(target));
        // The server parses YAML here, of which JSON is a subset.
        Self::new("apply", Method::PATCH, uri, "application/apply-patch+yaml", body)
    }

    pub(super) fn delete(target: &Target<'_>, body: Vec<u8>) -> Self {
        Self::new("delete", Method::DELETE, object_path(target), JSON, body)
    }

    pub(super) fn get(target: &Target<'_>) -> Self {
        Self::new("get", Method::GET, object_path(target), JSON, Vec::new())
    }

    fn new(
        verb: &'static str,
        method: Method,
        uri: String,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Self {
        Self {
            verb,
            method,
            uri,
            content_type,
            body,
            json_patch: false,
        }
    }
}

fn object_path(target: &Target<'_>) -> String {
    target
        .resource
        .path(target.namespace, Some(target.name), target.subresource)
}

/// Sends `call` once, within `deadline`, and counts its outcome.
pub(super) async fn send<R>(
    client: &Client,
    deadline: Duration,
    target: &Target<'_>,
    call: Call,
) -> Result<R, Failure>
where
    R: DeserializeOwned + 'static,
{
    // It ends after the count: who sees none in flight sees every one counted.
    let _in_flight = InFlight::begin();
    let (verb, started) = (call.verb, Instant::now());
    let result = match tokio::time::timeout(deadline, exchange(client, call)).await {
        Ok(result) => result,
        Err(_) => Err(WriteError::Unknown(format!("no answer within {deadline:?}")).into()),
    };
    let outcome = match &result {
        Ok(_) => "ok",
        Err(failure) => failure.outcome(),
    };
    requests::count(verb, &target.resource, target.subresource.unwrap_or(""), outcome);
    requests::record_duration(verb, &target.resource, started.elapsed());
    result
}

async fn exchange<R>(client: &Client, call: Call) -> Result<R, Failure>
where
    R: DeserializeOwned + 'static,
{
    let json_patch = call.json_patch;
    let request = Request::builder()
        .method(call.method)
        .uri(call.uri)
        .header(CONTENT_TYPE, call.content_type)
        .header(ACCEPT, accept::<R>())
        .body(Body::from(call.body))
        .map_err(|error| WriteError::Invalid(format!("refused before sending: {error}")))?;
    let unknown = |error: kube::Error| WriteError::Unknown(describe(&error));
    let response = client.send(request).await.map_err(unknown)?;
    let status = response.status();
    let retry_after = retry_after(&response);
    let body = response.into_body().collect_bytes().await.map_err(unknown)?;
    if status.is_success() {
        // The write happened; an answer that cannot be read leaves only its result unknown.
        return serde_json::from_slice(&body)
            .map_err(|error| WriteError::Unknown(format!("answer not understood: {error}")).into());
    }
    Err(outcome::classify(status, retry_after, &body, json_patch))
}

/// Answers of known small types are asked for as metadata only.
fn accept<R: 'static>() -> &'static str {
    let wanted = TypeId::of::<R>();
    if wanted == TypeId::of::<MetaOnly>() || wanted == TypeId::of::<Ignored>() {
        META_ONLY
    } else {
        JSON
    }
}

fn retry_after(response: &http::Response<Body>) -> Option<Duration> {
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The error with its causes: hyper says only "client error (Connect)" at the top.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let detail = error.to_string();
        if !text.contains(&detail) {
            text.push_str(": ");
            text.push_str(&detail);
        }
        cause = error.source();
    }
    text
}
