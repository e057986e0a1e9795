//! What a caller asks for.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// More simulated nodes than this only make kwok slow; one node takes 110 Pods or more.
const KWOK_MAX: u32 = 1000;

/// Who runs the control plane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// A cluster that exists already.
    Kubeconfig,
    /// kind, in Docker.
    Kind,
    /// Processes on this machine.
    #[default]
    Local,
}

/// Nodes of a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// Number of nodes simulated by kwok.
    pub kwok: u32,
    /// Whether there is a real node: kubelet and containerd on this machine.
    pub kubelet: bool,
}

/// A cluster as a caller wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Name; clusters of different names run side by side.
    pub name: String,
    /// `None`: the first that is there.
    pub provider: Option<Provider>,
    /// For [`Provider::Kubeconfig`].
    pub kubeconfig: Option<PathBuf>,
    /// `None`: whatever the cluster has already; a new one gets none.
    pub nodes: Option<Nodes>,
    /// Whether kube-apiserver writes an audit log (`logs/audit.log`, metadata only).
    pub audit_log: bool,
    /// More flags for kube-apiserver.
    pub apiserver_args: Vec<String>,
}

impl Spec {
    /// The cluster `name` with the given nodes and defaults for the rest.
    pub fn new(name: impl Into<String>, nodes: Nodes) -> Self {
        Self {
            name: name.into(),
            nodes: Some(nodes),
            ..Self::default()
        }
    }
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            name: "dev".into(),
            provider: None,
            kubeconfig: None,
            nodes: None,
            audit_log: false,
            apiserver_args: Vec::new(),
        }
    }
}

impl Nodes {
    /// No node at all: Pods stay Pending.
    pub const NONE: Self = Self {
        kwok: 0,
        kubelet: false,
    };

    /// What a cluster with `self` has after `other` was asked for: nodes are added, never taken away.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            kwok: self.kwok.max(other.kwok),
            kubelet: self.kubelet || other.kubelet,
        }
    }
}

impl FromStr for Nodes {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut nodes = Self::NONE;
        if text == "none" {
            return Ok(nodes);
        }
        for part in text.split(',') {
            let (kind, count) = part.split_once('=').unwrap_or((part, "1"));
            let count: u32 = count
                .parse()
                .with_context(|| format!("{part:?}: not a number of nodes"))?;
            match kind {
                "kwok" if count <= KWOK_MAX => nodes.kwok = count,
                "kwok" => bail!("{part:?}: at most {KWOK_MAX} simulated nodes"),
                "kubelet" if count <= 1 => nodes.kubelet = count == 1,
                "kubelet" => bail!("{part:?}: this machine can be one real node only"),
                _ => bail!("{part:?}: use none, kwok=N, kubelet=1, or kwok=N,kubelet=1"),
            }
        }
        Ok(nodes)
    }
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kwok, self.kubelet) {
            (0, false) => f.write_str("none"),
            (0, true) => f.write_str("kubelet=1"),
            (n, false) => write!(f, "kwok={n}"),
            (n, true) => write!(f, "kwok={n},kubelet=1"),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubeconfig => "kubeconfig",
            Self::Kind => "kind",
            Self::Local => "local",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_parse_and_print_the_same() {
        for text in ["none", "kwok=20", "kubelet=1", "kwok=3,kubelet=1"] {
            assert_eq!(text.parse::<Nodes>().unwrap().to_string(), text);
        }
        assert_eq!(
            "kubelet".parse::<Nodes>().unwrap(),
            Nodes {
                kwok: 0,
                kubelet: true
            }
        );
    }

    #[test]
    fn nonsense_is_refused_with_the_part_that_is_wrong() {
        for (text, part) in [
            ("kwok=x", "kwok=x"),
            ("kubelet=2", "kubelet=2"),
            ("k3s", "k3s"),
            ("kwok=1,", ""),
            ("kwok=9999", "9999"),
        ] {
            let message = text.parse::<Nodes>().unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn nodes_are_never_taken_away() {
        let has = Nodes {
            kwok: 20,
            kubelet: false,
        };
        assert_eq!(has.union(Nodes::NONE), has);
        assert_eq!(
            has.union(Nodes {
                kwok: 5,
                kubelet: true
            }),
            Nodes {
                kwok: 20,
                kubelet: true
            }
        );
    }
}
