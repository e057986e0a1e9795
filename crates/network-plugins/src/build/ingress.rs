//! A server's Ingress.

use serde_json::{Map, Value, json};

use super::Belongings;
use crate::{
    plugins::IngressWant,
    views::{IngressView, Shape},
};

/// The Ingress to create.
pub(crate) fn create(want: &IngressWant, belongings: &Belongings<'_>) -> Value {
    let mut spec = spec(&want.shape);
    if let Some(spec) = spec.as_object_mut() {
        spec.retain(|_, value| !value.is_null());
    }
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": belongings.create(),
        "spec": spec,
    })
}

/// The merge patch that makes the Ingress that is there the wanted one; `None` where it is.
pub(crate) fn patch(want: &IngressWant, belongings: &Belongings<'_>, live: &IngressView) -> Option<Value> {
    let mut patch = Map::new();
    if let Some(metadata) = belongings.patch(&live.metadata) {
        patch.insert("metadata".into(), metadata);
    }
    let mut shape = want.shape.clone();
    if shape.class.is_none() {
        // The cluster's default class, which the API server filled in.
        shape.class.clone_from(&live.shape.class);
    }
    if shape != live.shape || live.rules != 1 {
        patch.insert("spec".into(), spec(&shape));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The spec, with `null` for what it does not have.
fn spec(shape: &Shape) -> Value {
    let paths: Vec<_> = shape
        .paths
        .iter()
        .map(|path| {
            json!({
                "path": path.path,
                "pathType": path.path_type,
                "backend": { "service": { "name": path.service, "port": { "number": path.port } } },
            })
        })
        .collect();
    let mut rule = json!({ "http": { "paths": paths } });
    if !shape.host.is_empty() {
        rule["host"] = json!(shape.host);
    }
    let tls = |tls: &crate::views::Tls| {
        let mut json = json!({});
        if !tls.hosts.is_empty() {
            json["hosts"] = json!(tls.hosts);
        }
        if !tls.secret_name.is_empty() {
            json["secretName"] = json!(tls.secret_name);
        }
        json
    };
    let tls: Vec<_> = shape.tls.iter().map(tls).collect();
    json!({
        "ingressClassName": shape.class,
        "rules": [rule],
        "tls": if tls.is_empty() { Value::Null } else { json!(tls) },
    })
}
