//! Which cluster, as whom, in which namespace: as kubectl decides it.

use controller_kit::client::{ClientError, connect, named};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::{cli::Global, error::Error};

/// The cluster and the namespace to work in.
#[derive(Clone)]
pub struct Session {
    /// A client that sends each request once.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

impl Session {
    /// Connects as the flags and the kubeconfig say. Nothing is sent yet.
    ///
    /// # Errors
    /// When no cluster is configured, or what is configured can't be used.
    pub async fn open(flags: &Global) -> Result<Self, Error> {
        let mut config = config(flags).await?;
        if let Some(user) = &flags.act_as {
            config.auth_info.impersonate = Some(user.clone());
            config.auth_info.impersonate_groups = Some(flags.act_as_groups.clone());
        }
        Ok(Self {
            client: connect(&named(&config, "kubectl-gs"))?,
            namespace: flags
                .namespace
                .clone()
                .unwrap_or_else(|| config.default_namespace.clone()),
        })
    }

    /// The namespace to read: all of them where that was asked for.
    pub fn scope(&self, all: bool) -> Option<&str> {
        (!all).then_some(self.namespace.as_str())
    }
}

async fn config(flags: &Global) -> Result<Config, ClientError> {
    let options = KubeConfigOptions {
        context: flags.context.clone(),
        cluster: flags.cluster.clone(),
        user: flags.user.clone(),
    };
    let named = flags.kubeconfig.is_some() || flags.context.is_some() || flags.cluster.is_some();
    let file = match &flags.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    match file {
        Ok(file) => Ok(Config::from_custom_kubeconfig(file, &options).await?),
        // In a Pod there is no kubeconfig, and its service account does.
        Err(error) if !named && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
            Config::infer().await.map_err(|_| error.into())
        }
        Err(error) => Err(error.into()),
    }
}
