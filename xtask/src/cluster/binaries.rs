//! The binaries of a local cluster: taken from `KUBEBUILDER_ASSETS`, from the cache, or built from the modules in `e2e/local`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::digest::sha256_hex;
use super::paths::{local_bin_dir, repo_root};
use super::state::{lock, write_atomically};

/// How often a long build says that it is still going on.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

/// A program that the local cluster runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    /// Store.
    Etcd,
    /// API server.
    ApiServer,
    /// Controllers of Kubernetes itself.
    ControllerManager,
    /// Scheduler.
    Scheduler,
    /// Client.
    Kubectl,
    /// Real node.
    Kubelet,
    /// Simulated nodes.
    Kwok,
    /// What people install charts with.
    Helm,
    /// Looks at manifests.
    KubeScore,
    /// KEDA, for its trial.
    KedaOperator,
    /// KEDA's server of external metrics.
    KedaAdapter,
}

impl Binary {
    /// What every local cluster needs.
    pub(crate) const CONTROL_PLANE: [Self; 5] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kubectl,
    ];

    /// File name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kubelet => "kubelet",
            Self::Kwok => "kwok",
            Self::Helm => "helm",
            Self::KubeScore => "kube-score",
            Self::KedaOperator => "keda-operator",
            Self::KedaAdapter => "keda-adapter",
        }
    }

    /// Module folder under `e2e/local`, Go package, and the module whose version the binary reports.
    const fn source(self) -> (&'static str, &'static str, &'static str) {
        const K8S: &str = "k8s.io/kubernetes";
        const KEDA: &str = "github.com/kedacore/keda/v2";
        match self {
            Self::Etcd => (
                "kubernetes",
                "go.etcd.io/etcd/server/v3",
                "go.etcd.io/etcd/server/v3",
            ),
            Self::ApiServer => ("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", K8S),
            Self::ControllerManager => ("kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager", K8S),
            Self::Scheduler => ("kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", K8S),
            Self::Kubectl => ("kubernetes", "k8s.io/kubernetes/cmd/kubectl", K8S),
            Self::Kubelet => ("kubernetes", "k8s.io/kubernetes/cmd/kubelet", K8S),
            Self::Kwok => ("kwok", "sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok"),
            Self::Helm => ("helm", "helm.sh/helm/v3/cmd/helm", "helm.sh/helm/v3"),
            Self::KubeScore => (
                "kube-score",
                "github.com/zegl/kube-score/cmd/kube-score",
                "github.com/zegl/kube-score",
            ),
            Self::KedaOperator => ("keda", "github.com/kedacore/keda/v2/cmd/operator", KEDA),
            Self::KedaAdapter => ("keda", "github.com/kedacore/keda/v2/cmd/adapter", KEDA),
        }
    }

    /// The ones that an envtest assets folder holds.
    const fn in_assets(self) -> bool {
        matches!(self, Self::Etcd | Self::ApiServer | Self::Kubectl)
    }
}

/// Makes sure that `binaries` exist, building what is missing, and gives their paths in the same order.
///
/// # Errors
/// When Go is needed and missing, or a build fails.
pub(crate) async fn ensure<const N: usize>(binaries: [Binary; N]) -> Result<[PathBuf; N]> {
    let cache = local_bin_dir()?;
    let mut paths = [const { PathBuf::new() }; N];
    for (path, binary) in paths.iter_mut().zip(binaries) {
        *path = match from_assets(binary) {
            Some(ready) => ready,
            None => from_cache(binary, &cache).await?,
        };
    }
    Ok(paths)
}

/// Folder of the Go module that `binary` is built from.
pub(crate) fn source_dir(binary: Binary) -> PathBuf {
    repo_root().join("e2e/local").join(binary.source().0)
}

/// Where `binary` is now, without building anything.
pub(crate) fn find(binary: Binary) -> Option<PathBuf> {
    let built = || local_bin_dir().ok().map(|dir| dir.join(binary.name()));
    from_assets(binary).or_else(built).filter(|path| path.exists())
}

fn from_assets(binary: Binary) -> Option<PathBuf> {
    let dir = std::env::var_os("KUBEBUILDER_ASSETS").filter(|_| binary.in_assets())?;
    Some(Path::new(&dir).join(binary.name())).filter(|path| path.exists())
}

async fn from_cache(binary: Binary, cache: &Path) -> Result<PathBuf> {
    let path = cache.join(binary.name());
    let source = Source::read(binary)?;
    if source.matches_stamp(cache) && path.exists() {
        return Ok(path);
    }
    // One build at a time on a machine: two would only fight for the same cores.
    let _lock = lock(cache).await?;
    if source.matches_stamp(cache) && path.exists() {
        return Ok(path);
    }
    // No stamp at all, but the version that is wanted: built by hand or by another checkout.
    if !source.stamp_path(cache).exists() && reports_version(&path, &source.version).await {
        write_atomically(&source.stamp_path(cache), source.stamp.as_bytes(), 0o644)?;
        return Ok(path);
    }
    source.build(&path).await?;
    write_atomically(&source.stamp_path(cache), source.stamp.as_bytes(), 0o644)?;
    Ok(path)
}

/// A binary's pinned source.
struct Source {
    binary: Binary,
    dir: PathBuf,
    version: String,
    stamp: String,
}

impl Source {
    fn read(binary: Binary) -> Result<Self> {
        let (_, _, module) = binary.source();
        let dir = source_dir(binary);
        let read = |file: &str| {
            std::fs::read_to_string(dir.join(file))
                .with_context(|| format!("can't read {file} in {}", dir.display()))
        };
        let (go_mod, go_sum) = (read("go.mod")?, read("go.sum")?);
        let version = required_version(&go_mod, module)
            .with_context(|| format!("{} doesn't require {module}", dir.join("go.mod").display()))?;
        let stamp = stamp(&[binary.name(), &go_mod, &go_sum, &linker_flags(module, &version)]);
        Ok(Self {
            binary,
            dir,
            version,
            stamp,
        })
    }

    fn stamp_path(&self, cache: &Path) -> PathBuf {
        cache.join(format!(".{}.stamp", self.binary.name()))
    }

    fn matches_stamp(&self, cache: &Path) -> bool {
        std::fs::read_to_string(self.stamp_path(cache)).is_ok_and(|stamp| stamp == self.stamp)
    }

    async fn build(&self, path: &Path) -> Result<()> {
        let (_, package, module) = self.binary.source();
        let fresh = path.with_extension("new");
        let log_path = path.with_extension("build.log");
        let log = std::fs::File::create(&log_path)?;
        let mut build = Command::new("go");
        build
            .current_dir(&self.dir)
            .env("CGO_ENABLED", "0")
            .args([
                "build",
                "-trimpath",
                "-ldflags",
                &linker_flags(module, &self.version),
                "-o",
            ])
            .arg(&fresh)
            .arg(package)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let mut child = build.spawn().map_err(|error| go_missing(&error, self.binary))?;
        eprintln!(
            "building {} {} from source (once; minutes on two cores)",
            self.binary.name(),
            self.version
        );
        let started = Instant::now();
        let status = loop {
            match tokio::time::timeout(PROGRESS_EVERY, child.wait()).await {
                Ok(status) => break status?,
                Err(_) => eprintln!(
                    "  … {} is building, {} s",
                    self.binary.name(),
                    started.elapsed().as_secs()
                ),
            }
        };
        if !status.success() {
            let text = std::fs::read_to_string(&log_path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            bail!(
                "go build of {} failed:\n{}",
                self.binary.name(),
                lines[lines.len().saturating_sub(20)..].join("\n")
            );
        }
        std::fs::rename(&fresh, path)?;
        eprintln!(
            "  {} is built, {} s",
            self.binary.name(),
            started.elapsed().as_secs()
        );
        Ok(())
    }
}

fn go_missing(error: &std::io::Error, binary: Binary) -> anyhow::Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        return anyhow::anyhow!(
            "{} has to be built and Go isn't installed: install Go 1.24 or newer, or use --provider kind or kubeconfig",
            binary.name()
        );
    }
    anyhow::anyhow!("can't run go: {error}")
}

/// Without these flags Kubernetes calls itself v0.0.0-master, and clients refuse to negotiate with that.
fn linker_flags(module: &str, version: &str) -> String {
    if module == "helm.sh/helm/v3" {
        return helm_linker_flags(version);
    }
    if module != "k8s.io/kubernetes" {
        return "-s -w".into();
    }
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or("0"), parts.next().unwrap_or("0"));
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    )
}

/// Without these flags Helm takes a chart that is only rendered to be for Kubernetes 1.20.
fn helm_linker_flags(version: &str) -> String {
    let kubernetes = ["pkg/chartutil", "pkg/lint/rules"].map(|package| {
        format!(
            "-X helm.sh/helm/v3/{package}.k8sVersionMajor=1 -X helm.sh/helm/v3/{package}.k8sVersionMinor=34"
        )
    });
    format!(
        "-s -w -X helm.sh/helm/v3/internal/version.version={version} {}",
        kubernetes.join(" ")
    )
}

/// The version that go.mod's own `require` lines give for `module`.
fn required_version(go_mod: &str, module: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        (words.next()? == module)
            .then(|| words.next())
            .flatten()
            .filter(|v| v.starts_with('v'))
            .map(str::to_owned)
    })
}

fn stamp(parts: &[&str]) -> String {
    // With its length before each part, no two lists of parts run together to the same text.
    let text: Vec<u8> = parts
        .iter()
        .flat_map(|part| part.len().to_le_bytes().into_iter().chain(part.bytes()))
        .collect();
    sha256_hex(&text)
}

async fn reports_version(path: &Path, version: &str) -> bool {
    let args: &[&str] = match path.file_name().and_then(|name| name.to_str()) {
        Some("kubectl") => &["version", "--client"],
        Some("helm") => &["version", "--template", "{{.Version}}"],
        _ => &["--version"],
    };
    let Ok(output) = Command::new(path).args(args).output().await else {
        return false;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let wanted = version.trim_start_matches('v');
    text.split_whitespace()
        .any(|word| word.trim_start_matches('v') == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_require_and_not_from_replace_or_tool() {
        let go_mod = "module x\ntool (\n\tk8s.io/kubernetes/cmd/kubelet\n)\nrequire k8s.io/kubernetes v1.34.4\n\
            require (\n\tgo.etcd.io/etcd/server/v3 v3.6.4 // indirect\n)\nreplace k8s.io/api => k8s.io/api v0.34.4\n";
        assert_eq!(
            required_version(go_mod, "k8s.io/kubernetes").as_deref(),
            Some("v1.34.4")
        );
        assert_eq!(
            required_version(go_mod, "go.etcd.io/etcd/server/v3").as_deref(),
            Some("v3.6.4")
        );
        assert_eq!(required_version(go_mod, "k8s.io/api"), None);
        assert_eq!(required_version(go_mod, "k8s.io/kubernetes/cmd/kubelet"), None);
    }

    #[test]
    fn every_binary_has_a_pinned_version() {
        let others = [
            Binary::Kubelet,
            Binary::Kwok,
            Binary::Helm,
            Binary::KubeScore,
            Binary::KedaOperator,
            Binary::KedaAdapter,
        ];
        for binary in [Binary::CONTROL_PLANE.as_slice(), &others].concat() {
            let source = Source::read(binary).unwrap();
            assert!(source.version.starts_with('v'), "{binary:?}: {}", source.version);
        }
    }

    #[test]
    fn the_stamp_changes_with_every_input_and_with_its_place() {
        let stamps = [
            stamp(&["a", "b"]),
            stamp(&["ab", ""]),
            stamp(&["b", "a"]),
            stamp(&["a", "b", "c"]),
        ];
        for (i, one) in stamps.iter().enumerate() {
            assert!(stamps.iter().skip(i + 1).all(|other| other != one));
        }
    }

    #[test]
    fn kubernetes_gets_its_version_from_the_linker() {
        let flags = linker_flags("k8s.io/kubernetes", "v1.34.4");
        assert!(
            flags.contains("gitVersion=v1.34.4") && flags.contains("gitMinor=34"),
            "{flags}"
        );
        assert_eq!(linker_flags("sigs.k8s.io/kwok", "v0.7.0"), "-s -w");
    }
}
