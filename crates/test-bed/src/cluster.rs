//! The cluster under test.

use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::wait::eventually;

const NO_CLUSTER: &str = "no cluster: run `cargo xtask cluster up` or `make test`";

/// The kubeconfig of the cluster under test.
pub fn kubeconfig() -> PathBuf {
    if let Some(path) = std::env::var_os("GAMEKEEPER_TEST_KUBECONFIG") {
        return path.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
        PathBuf::from,
    );
    let path = cache.join("gamekeeper/clusters/dev/kubeconfig");
    assert!(path.exists(), "{NO_CLUSTER}");
    path
}

/// An administrator's client of the cluster under test.
pub async fn client() -> Client {
    connect(&kubeconfig()).await
}

/// A client with the rights of this kubeconfig. It asks again when the API server is busy, as it is right after a CRD has
/// changed.
pub async fn connect(kubeconfig: &Path) -> Client {
    Client::try_from(config(kubeconfig).await).unwrap()
}

/// An administrator's client to which a refusal (429) is an answer, and nothing to ask again for.
pub async fn client_without_retries() -> Client {
    let mut config = config(&kubeconfig()).await;
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

async fn config(kubeconfig: &Path) -> Config {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = Kubeconfig::read_from(kubeconfig).expect(NO_CLUSTER);
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .unwrap()
}

/// Applies the CRDs and waits until they are served; the same content from several tests at once is no conflict.
pub async fn install_crds(client: &Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in api_types::crd::all().unwrap() {
        let name = crd.metadata.name.clone().unwrap();
        let params = PatchParams::apply("gamekeeper-tests").force();
        crds.patch(&name, &params, &Patch::Apply(&crd)).await.unwrap();
        let established = |crd: &CustomResourceDefinition| {
            let conditions = crd
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten());
            conditions
                .into_iter()
                .any(|found| found.type_ == "Established" && found.status == "True")
        };
        let read = async || crds.get(&name).await.unwrap();
        eventually("established CRD", read, established).await;
    }
}
