//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler as processes on 127.0.0.1.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};

use super::binaries::{Binary, ensure};
use super::certs::{API_SERVER_NAMES, Pki, Use};
use super::kubeconfig;
use super::local::Local;
use super::process::Launch;

/// First start on a loaded two-core machine took 20 s at most.
const START_LIMIT: Duration = Duration::from_mins(2);

/// Who the API server is to further API servers.
const FRONT_PROXY: &str = "front-proxy";

/// The control plane's processes.
pub(crate) const COMPONENTS: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// Brings the control plane up: what runs is left alone, what is missing is started.
///
/// # Errors
/// When a component doesn't start; the message ends with its log.
pub(crate) async fn ensure_running(local: &mut Local) -> Result<Client> {
    let [etcd, api_server, controller_manager, scheduler, _kubectl] = ensure(Binary::CONTROL_PLANE).await?;
    let pki = Pki::open(&local.dir.join("pki"))?;
    let admin = pki.pair(
        "admin",
        Use::Client {
            user: "gamekeeper-admin",
            group: Some("system:masters"),
        },
    )?;
    let kubeconfig_path = local.kubeconfig();
    kubeconfig::write(
        &kubeconfig_path,
        &local.context(),
        &server(local)?,
        &pki.ca(),
        &admin,
    )?;
    let launch = etcd_launch(local, etcd)?;
    local.ensure_started(launch).await?;
    let launch = api_server_launch(local, &pki, api_server)?;
    local.ensure_started(launch).await?;
    let client = kubeconfig::client(&kubeconfig_path).await?;
    let is_ready = || kubeconfig::is_ready(&client);
    local
        .wait("kube-apiserver is ready", &COMPONENTS[..2], START_LIMIT, is_ready)
        .await?;
    // Only now: both give up at once when the API server hasn't made their RBAC roles yet.
    let launch = controller_manager_launch(local, &pki, controller_manager)?;
    local.ensure_started(launch).await?;
    let launch = scheduler_launch(local, &pki, scheduler)?;
    local.ensure_started(launch).await?;
    // Pods are refused until their ServiceAccount is there, and kube-controller-manager makes it.
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    let account_exists = || async {
        accounts
            .get_opt("default")
            .await
            .is_ok_and(|account| account.is_some())
    };
    local
        .wait(
            "ServiceAccount default exists",
            &COMPONENTS[..3],
            START_LIMIT,
            account_exists,
        )
        .await?;
    Ok(client)
}

/// The API server's address.
pub(crate) fn server(local: &mut Local) -> Result<String> {
    Ok(format!(
        "https://127.0.0.1:{}",
        local.state.port("kube-apiserver")?
    ))
}

fn etcd_launch(local: &mut Local, program: PathBuf) -> Result<Launch> {
    let data = local.data_dir();
    std::fs::create_dir_all(&data).with_context(|| format!("can't make {}", data.display()))?;
    let client = format!("http://127.0.0.1:{}", local.state.port("etcd")?);
    let peer = format!("http://127.0.0.1:{}", local.state.port("etcd-peer")?);
    let args = vec![
        "--name=local".into(),
        format!("--data-dir={}", data.join("etcd").display()),
        // A test cluster's data need not survive a power cut, and each fsync would cost up to 50 ms on disk.
        "--unsafe-no-fsync".into(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=local={peer}"),
        "--quota-backend-bytes=4294967296".into(),
        "--log-level=warn".into(),
    ];
    Ok(local.launch("etcd", program, args))
}

fn api_server_launch(local: &mut Local, pki: &Pki, program: PathBuf) -> Result<Launch> {
    let names: Vec<String> = API_SERVER_NAMES.iter().map(|name| (*name).to_owned()).collect();
    let serving = pki.pair("kube-apiserver", Use::Server(&names))?;
    let masters = Some("system:masters");
    let to_kubelet = pki.pair(
        "kubelet-client",
        Use::Client {
            user: "kube-apiserver",
            group: masters,
        },
    )?;
    let front_proxy = pki.pair(
        FRONT_PROXY,
        Use::Client {
            user: FRONT_PROXY,
            group: None,
        },
    )?;
    let path = |flag: &str, file: &Path| format!("--{flag}={}", file.display());
    let mut args = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", local.state.port("etcd")?),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        // Endpoints on loopback are refused, so none are kept for the service `kubernetes`.
        "--endpoint-reconciler-type=none".into(),
        format!("--secure-port={}", local.state.port("kube-apiserver")?),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--allow-privileged=true".into(),
        path("client-ca-file", &pki.ca()),
        path("tls-cert-file", &serving.cert),
        path("tls-private-key-file", &serving.key),
        path("service-account-key-file", &pki.service_account_public_key()),
        path("service-account-signing-key-file", &pki.service_account_key()),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        path("kubelet-client-certificate", &to_kubelet.cert),
        path("kubelet-client-key", &to_kubelet.key),
        path("kubelet-certificate-authority", &pki.ca()),
        // Further API servers, such as one of metrics, are told whom a request is from.
        path("requestheader-client-ca-file", &pki.ca()),
        format!("--requestheader-allowed-names={FRONT_PROXY}"),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        path("proxy-client-cert-file", &front_proxy.cert),
        path("proxy-client-key-file", &front_proxy.key),
        // A real node is reached by its name, which /etc/hosts resolves to the bridge.
        "--kubelet-preferred-address-types=Hostname".into(),
    ];
    if local.state.audit_log {
        args.extend(audit_args(&local.dir)?);
    }
    args.extend(local.state.apiserver_args.iter().cloned());
    Ok(local.launch("kube-apiserver", program, args))
}

/// What Kubernetes' own parts ask for is most of what there is, and nobody's question here. A watch is written down when it
/// begins as well: it may not end before the API server does.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: None, nonResourceURLs: [\"/*\"]}
  - {level: None, userGroups: [system:serviceaccounts:kube-system, system:nodes]}
  - {level: None, users: [system:apiserver, system:kube-controller-manager, system:kube-scheduler, system:kwok]}
  - {level: Metadata}
";

fn audit_args(dir: &Path) -> Result<[String; 4]> {
    let policy = dir.join("audit-policy.yaml");
    std::fs::write(&policy, AUDIT_POLICY)?;
    Ok([
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", dir.join("logs/audit.log").display()),
        // A cluster of a test is there for minutes, and all of its log is wanted; one that is left up does not fill the disk.
        "--audit-log-maxsize=1000".into(),
        "--audit-log-maxbackup=3".into(),
    ])
}

fn controller_manager_launch(local: &mut Local, pki: &Pki, program: PathBuf) -> Result<Launch> {
    let kubeconfig = local.component_kubeconfig(pki, "kube-controller-manager", None)?;
    let path = |flag: &str, file: &Path| format!("--{flag}={}", file.display());
    let args = vec![
        path("kubeconfig", &kubeconfig),
        path("authentication-kubeconfig", &kubeconfig),
        path("authorization-kubeconfig", &kubeconfig),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={}", local.state.port("kube-controller-manager")?),
        path("root-ca-file", &pki.ca()),
        path("service-account-private-key-file", &pki.service_account_key()),
        path("cluster-signing-cert-file", &pki.ca()),
        path("cluster-signing-key-file", &pki.ca_key()),
        "--use-service-account-credentials=true".into(),
        "--leader-elect=false".into(),
        // Its default of 20 requests/s would be the bottleneck of every test that creates or deletes many objects.
        "--kube-api-qps=500".into(),
        "--kube-api-burst=1000".into(),
    ];
    Ok(local.launch("kube-controller-manager", program, args))
}

fn scheduler_launch(local: &mut Local, pki: &Pki, program: PathBuf) -> Result<Launch> {
    let kubeconfig = local.component_kubeconfig(pki, "kube-scheduler", None)?;
    let config = local.dir.join("kube-scheduler.yaml");
    let text = serde_json::json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": false},
        "clientConnection": {"kubeconfig": kubeconfig, "qps": 1000, "burst": 2000},
    });
    std::fs::write(&config, serde_yaml::to_string(&text)?)?;
    let path = |flag: &str, file: &Path| format!("--{flag}={}", file.display());
    let args = vec![
        path("config", &config),
        path("authentication-kubeconfig", &kubeconfig),
        path("authorization-kubeconfig", &kubeconfig),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={}", local.state.port("kube-scheduler")?),
    ];
    Ok(local.launch("kube-scheduler", program, args))
}

/// Whether the control plane answers, for `status`.
///
/// # Errors
/// With what is wrong.
pub(crate) async fn check(kubeconfig_path: &Path) -> Result<()> {
    let client = kubeconfig::client(kubeconfig_path).await?;
    if !kubeconfig::is_ready(&client).await {
        bail!(
            "the API server of {} doesn't answer /readyz with ok",
            kubeconfig_path.display()
        );
    }
    Ok(())
}
