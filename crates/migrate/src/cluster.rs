//! Reading the cluster: objects as JSON, in pages.

use controller_kit::resource::ResourceKind;
use http::Request;
use kube::Client;
use serde_json::Value;

use crate::error::Error;

/// Objects of one answer. The API server and this command hold one page at a time in their encoded form.
const PAGE: usize = 500;

/// All objects of a kind in a namespace; in all namespaces when it is empty. A kind that is not installed has none.
///
/// # Errors
/// When the API server cannot be reached or refuses.
pub async fn list(client: &Client, kind: &ResourceKind, namespace: &str) -> Result<Vec<Value>, Error> {
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let path = kind.path(namespace, None, None);
        let uri = format!("{path}?limit={PAGE}{token}");
        let failed = |error| Error::Read {
            what: kind.plural.to_owned(),
            error: Box::new(error),
        };
        let request = Request::get(uri)
            .body(Vec::new())
            .map_err(|error| failed(kube::Error::HttpError(error)))?;
        let mut page: Value = match client.request(request).await {
            Ok(page) => page,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(items),
            Err(error) => return Err(failed(error)),
        };
        if let Value::Array(found) = page["items"].take() {
            items.extend(found);
        }
        match page["metadata"]["continue"].as_str() {
            Some(next) if !next.is_empty() => token = format!("&continue={next}"),
            _ => return Ok(items),
        }
    }
}
