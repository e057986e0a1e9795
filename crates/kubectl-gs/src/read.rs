//! Reading the cluster. Lists come in pages, and every object twice: as it is, for `-o json`, and decoded.

use api_types::{GameServer, GameServerSet};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Event, Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject, ListParams, ObjectList, PartialObjectMeta},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{cli::Selection, error::Error, server};

/// Objects of one answer, as kubectl asks for them.
const PAGE: u32 = 500;

/// An object as it is stored, and as far as it is understood.
#[derive(Debug, Clone)]
pub struct Object<T> {
    /// As it is stored.
    pub raw: Value,
    /// Decoded.
    pub object: T,
}

impl<T: DeserializeOwned> Object<T> {
    /// Decodes. An object that a stored mistake makes undecodable is left out, and said.
    pub fn of(raw: Value) -> Option<Self> {
        match serde_json::from_value(raw.clone()) {
            Ok(object) => Some(Self { raw, object }),
            Err(error) => {
                let name = raw["metadata"]["name"].as_str().unwrap_or("?").to_owned();
                eprintln!("warning: {name} cannot be understood and is left out: {error}");
                None
            }
        }
    }
}

/// A client for objects of any kind, in a namespace or in all.
pub fn dynamic<K>(client: &Client, namespace: Option<&str>) -> Api<DynamicObject>
where
    K: Resource<DynamicType = ()>,
{
    let resource = ApiResource::erase::<K>(&());
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Label selector of a selection; absent where it selects everything.
///
/// # Errors
/// When a set's name could be no label value.
pub fn labels(selection: &Selection) -> Result<Option<String>, Error> {
    let mut parts = Vec::new();
    for set in &selection.sets {
        check_name(set)?;
    }
    if !selection.sets.is_empty() {
        let sets = selection.sets.join(",");
        parts.push(format!("{} in ({sets})", api_types::keys::label::OWNER_GSS));
    }
    parts.extend(selection.selector.clone());
    Ok((!parts.is_empty()).then(|| parts.join(",")))
}

/// Refuses what is no name of an object, with kubectl's exit code for it.
///
/// # Errors
/// When it is none.
pub fn check_name(name: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let valid = !name.is_empty() && name.len() <= 253 && name.bytes().all(fits);
    valid.then_some(()).ok_or_else(|| {
        Error::Usage(format!(
            "{name:?} is no name: use lower-case letters, digits, '-' and '.'"
        ))
    })
}

/// The names on a command line, without `gs/`.
///
/// # Errors
/// When one of them names something else, or is no name.
pub fn names(texts: &[String]) -> Result<Vec<String>, Error> {
    let one = |text: &String| {
        let name = server::named(text).map_err(Error::Usage)?;
        check_name(name)?;
        Ok(name.to_owned())
    };
    texts.iter().map(one).collect()
}

/// All objects of a kind.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn list<K>(
    client: &Client,
    namespace: Option<&str>,
    labels: Option<&str>,
) -> Result<Vec<Object<K>>, Error>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let api = dynamic::<K>(client, namespace);
    let mut found = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    params.label_selector = labels.map(str::to_owned);
    loop {
        let page = api.list(&params).await?;
        let next = page.metadata.continue_.clone();
        for mut item in page.items {
            // Items of a list come without their type.
            item.types.get_or_insert_with(|| kube::api::TypeMeta {
                api_version: K::api_version(&()).into_owned(),
                kind: K::kind(&()).into_owned(),
            });
            found.extend(serde_json::to_value(item).ok().and_then(Object::of));
        }
        match next.filter(|next| !next.is_empty()) {
            Some(next) => params.continue_token = Some(next),
            None => return Ok(found),
        }
    }
}

/// The metadata of Pods with these labels, one page: `more` goes on where the last page ended.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn pod_page(
    client: &Client,
    namespace: &str,
    labels: &str,
    limit: u32,
    more: Option<String>,
) -> Result<ObjectList<PartialObjectMeta<Pod>>, Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut params = ListParams::default().labels(labels).limit(limit);
    params.continue_token = more;
    Ok(pods.list_metadata(&params).await?)
}

/// The names of GameServers with these labels.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn server_names(client: &Client, namespace: &str, labels: &str) -> Result<Vec<String>, Error> {
    let all = metadata::<GameServer>(client, Some(namespace), Some(labels)).await?;
    Ok(all.into_iter().filter_map(|meta| meta.name).collect())
}

/// The names of all objects of a kind.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn all_names<K>(client: &Client, namespace: Option<&str>) -> Result<Vec<String>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let all = metadata::<K>(client, namespace, None).await?;
    Ok(all.into_iter().filter_map(|meta| meta.name).collect())
}

/// Metadata of all Pods with these labels.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn pod_metadata(
    client: &Client,
    namespace: Option<&str>,
    labels: &str,
) -> Result<Vec<ObjectMeta>, Error> {
    metadata::<Pod>(client, namespace, Some(labels)).await
}

async fn metadata<K>(
    client: &Client,
    namespace: Option<&str>,
    labels: Option<&str>,
) -> Result<Vec<ObjectMeta>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut params = ListParams::default().limit(PAGE);
    params.label_selector = labels.map(str::to_owned);
    let mut found = Vec::new();
    loop {
        let page = api.list_metadata(&params).await?;
        found.extend(page.items.into_iter().map(|item| item.metadata));
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params.continue_token = Some(next),
            None => return Ok(found),
        }
    }
}

/// A GameServer.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn server(client: &Client, namespace: &str, name: &str) -> Result<Option<GameServer>, Error> {
    let api: Api<GameServer> = Api::namespaced(client.clone(), namespace);
    Ok(api.get_opt(name).await?)
}

/// A GameServer that must be there.
///
/// # Errors
/// When there is none, and as [`server`].
pub async fn existing(client: &Client, namespace: &str, name: &str) -> Result<GameServer, Error> {
    server(client, namespace, name)
        .await?
        .ok_or_else(|| Error::not_found("gameservers.game.kruise.io", name))
}

/// A set.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn set(client: &Client, namespace: &str, name: &str) -> Result<Option<GameServerSet>, Error> {
    let api: Api<GameServerSet> = Api::namespaced(client.clone(), namespace);
    Ok(api.get_opt(name).await?)
}

/// A Pod.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn pod(client: &Client, namespace: &str, name: &str) -> Result<Option<Pod>, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    Ok(api.get_opt(name).await?)
}

/// Events about objects of this name.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn events(client: &Client, namespace: &str, name: &str) -> Result<Vec<Event>, Error> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let fields = format!("involvedObject.name={name}");
    Ok(api.list(&ListParams::default().fields(&fields)).await?.items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_becomes_one_selector() {
        let mut selection = Selection::default();
        assert_eq!(labels(&selection).unwrap(), None);
        selection.sets = vec!["arena".into(), "lobby".into()];
        selection.selector = Some("map=desert".into());
        assert_eq!(
            labels(&selection).unwrap().as_deref(),
            Some("game.kruise.io/owner-gss in (arena,lobby),map=desert")
        );
        selection.sets = vec!["arena),x".into()];
        assert_eq!(labels(&selection).unwrap_err().code(), 2);
    }

    #[test]
    fn what_is_no_name_is_wrong_usage() {
        assert_eq!(
            names(&["gs/arena-3".into(), "arena-4".into()]).unwrap(),
            ["arena-3", "arena-4"]
        );
        for wrong in ["", "Arena", "a/b/c", "gs/", "pod/arena-3", "../x"] {
            assert_eq!(names(&[wrong.into()]).unwrap_err().code(), 2, "{wrong:?}");
        }
    }
}
