//! KEDA as processes beside a local cluster: its operator, and the server of external metrics that HorizontalPodAutoscalers read.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::ports;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::{Api, Client};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio::process::{Child, Command};

use crate::cluster::binaries::{Binary, ensure, source_dir};
use crate::fleet::{apply_yaml, http_get, tethered};

/// Group and version that the metrics are served under.
const METRICS: &str = "v1beta1.external.metrics.k8s.io";
/// How long a start may take on a busy machine.
const START: Duration = Duration::from_mins(2);

/// KEDA's programs, and what else of its module is needed.
pub(super) struct Programs {
    operator: PathBuf,
    adapter: PathBuf,
    /// Folder of its CustomResourceDefinitions.
    definitions: PathBuf,
    /// Its version.
    pub version: String,
}

/// A running KEDA; killed when dropped, or when this program ends.
pub(super) struct Keda {
    directory: tempfile::TempDir,
    _operator: Child,
    _adapter: Child,
}

struct Ports {
    health: u16,
    metrics: u16,
    service: u16,
    secure: u16,
    adapter: u16,
}

/// An address that was free a moment ago.
pub(super) fn free_address() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, ports::free()?).into())
}

impl Keda {
    /// Builds what is missing.
    ///
    /// # Errors
    /// When Go is missing, or a build fails.
    pub(super) async fn programs() -> Result<Programs> {
        let [operator, adapter] = ensure([Binary::KedaOperator, Binary::KedaAdapter]).await?;
        let listed = Command::new("go")
            .args([
                "list",
                "-m",
                "-f",
                "{{.Dir}} {{.Version}}",
                "github.com/kedacore/keda/v2",
            ])
            .current_dir(source_dir(Binary::KedaOperator))
            .output()
            .await
            .context("can't run go")?;
        let text = String::from_utf8_lossy(&listed.stdout);
        let (dir, version) = text
            .trim()
            .split_once(' ')
            .with_context(|| String::from_utf8_lossy(&listed.stderr).into_owned())?;
        Ok(Programs {
            operator,
            adapter,
            definitions: Path::new(dir).join("config/crd/bases"),
            version: version.to_owned(),
        })
    }

    /// Installs and starts it, and waits until the API server has metrics from it.
    ///
    /// # Errors
    /// When it doesn't come up; with its last log lines.
    pub(super) async fn start(client: &Client, kubeconfig: &Path, programs: &Programs) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("keda-").tempdir()?;
        certificates(directory.path())?;
        let mut ports = [0; 5];
        for port in &mut ports {
            *port = ports::free()?;
        }
        let [health, metrics, service, secure, adapter] = ports;
        let ports = Ports {
            health,
            metrics,
            service,
            secure,
            adapter,
        };
        install(client, &programs.definitions, ports.secure).await?;
        let keda = Self {
            _operator: operator(directory.path(), kubeconfig, programs, &ports)?,
            _adapter: adapter_process(directory.path(), kubeconfig, programs, &ports)?,
            directory,
        };
        keda.wait(client, ports.health)
            .await
            .with_context(|| keda.log_tail())?;
        Ok(keda)
    }

    async fn wait(&self, client: &Client, health: u16) -> Result<()> {
        let services: Api<APIService> = Api::all(client.clone());
        let deadline = tokio::time::Instant::now() + START;
        loop {
            let operator = matches!(http_get(health, "/readyz").await, Ok((200, _)));
            let service = services.get(METRICS).await?;
            let conditions = service.status.and_then(|status| status.conditions);
            let available = conditions
                .into_iter()
                .flatten()
                .find(|condition| condition.type_ == "Available");
            if operator && available.as_ref().is_some_and(|it| it.status == "True") {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                bail!("KEDA isn't up after {START:?}: operator ready: {operator}, metrics: {available:?}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The last lines of both logs.
    pub(super) fn log_tail(&self) -> String {
        let tail = |name: &str| {
            let text = std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!(
                "{name}:\n{}\n",
                lines[lines.len().saturating_sub(15)..].join("\n")
            )
        };
        tail("operator.log") + &tail("adapter.log")
    }
}

/// One key pair is server and client to both: the operator serves the adapter over mutual TLS.
fn certificates(directory: &Path) -> Result<()> {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate()?;
    let ca_certificate = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    leaf.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &issuer)?;
    std::fs::write(directory.join("ca.crt"), ca_certificate.pem())?;
    std::fs::write(directory.join("tls.crt"), certificate.pem())?;
    std::fs::write(directory.join("tls.key"), key.serialize_pem())?;
    Ok(())
}

/// Its kinds, its namespace, and the way from the API server to the adapter: a Service that stands for this machine, since there
/// is no Pod and no kube-proxy to lead to it.
async fn install(client: &Client, definitions: &Path, port: u16) -> Result<()> {
    for entry in std::fs::read_dir(definitions)? {
        let text = std::fs::read_to_string(entry?.path())?;
        apply_yaml(client, &text, None).await?;
    }
    let text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: keda}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: keda-metrics-apiserver, namespace: keda}}\n\
         spec: {{type: ExternalName, externalName: localhost}}\n---\n\
         apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {{name: {METRICS}}}\n\
         spec: {{group: external.metrics.k8s.io, version: v1beta1, groupPriorityMinimum: 100, versionPriority: 100,\n\
         \x20 insecureSkipTLSVerify: true, service: {{name: keda-metrics-apiserver, namespace: keda, port: {port}}}}}\n"
    );
    apply_yaml(client, &text, None).await
}

/// Its rights are not on trial: it runs as administrator.
fn command(directory: &Path, program: &Path, kubeconfig: &Path, log: &str) -> Result<Command> {
    let log = std::fs::File::create(directory.join(log))?;
    let mut command = tethered(program);
    command
        .env("WATCH_NAMESPACE", "")
        .env("POD_NAMESPACE", "keda")
        .env("KEDA_CLUSTER_OBJECT_NAMESPACE", "keda")
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--cert-dir={}", directory.display()))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(command)
}

fn operator(directory: &Path, kubeconfig: &Path, programs: &Programs, ports: &Ports) -> Result<Child> {
    command(directory, &programs.operator, kubeconfig, "operator.log")?
        .arg("--enable-cert-rotation=false")
        .arg(format!("--ca-dir={}", directory.display()))
        .arg(format!("--metrics-bind-address=127.0.0.1:{}", ports.metrics))
        .arg(format!("--health-probe-bind-address=127.0.0.1:{}", ports.health))
        .arg(format!(
            "--metrics-service-bind-address=127.0.0.1:{}",
            ports.service
        ))
        .spawn()
        .context("can't start KEDA's operator")
}

fn adapter_process(directory: &Path, kubeconfig: &Path, programs: &Programs, ports: &Ports) -> Result<Child> {
    let kubeconfig_flags = ["lister", "authentication", "authorization"]
        .map(|purpose| format!("--{purpose}-kubeconfig={}", kubeconfig.display()));
    let file = |flag: &str, name: &str| format!("--{flag}={}", directory.join(name).display());
    command(directory, &programs.adapter, kubeconfig, "adapter.log")?
        .args(kubeconfig_flags)
        .arg("--bind-address=127.0.0.1")
        .arg(format!("--secure-port={}", ports.secure))
        .arg(format!("--port={}", ports.adapter))
        .arg(format!("--metrics-service-address=127.0.0.1:{}", ports.service))
        .arg(file("tls-cert-file", "tls.crt"))
        .arg(file("tls-private-key-file", "tls.key"))
        .spawn()
        .context("can't start KEDA's adapter")
}
