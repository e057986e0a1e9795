//! Wiring: watches into caches, requests into reports.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use api_types::keys;
use controller_kit::{
    key::ObjectKey,
    resource,
    runtime::Runtime,
    server_tls::{ServerTls, TlsFiles},
    store::Store,
    watch::{Change, Watch},
};
use tokio::net::TcpListener;

use crate::{
    Args,
    apply::Reports,
    http::{self, App},
    metrics,
    observe::Stores,
    openapi,
    plan::limit::Buckets,
    serve::Server,
    token::Tokens,
    views::{GameServerView, PodView, SetView},
};

controller_kit::watched! {
    PodView => resource::POD,
    GameServerView => resource::GAME_SERVER,
    SetView => resource::GAME_SERVER_SET,
}

/// Starts the watches and the server.
///
/// # Errors
/// When the address cannot be listened on, or certificate and key cannot be used.
pub(crate) async fn start(runtime: &Runtime, args: &Args) -> anyhow::Result<()> {
    let later = Later::default();
    let stores = Stores {
        pods: watch_pods(runtime, &later),
        game_servers: watch_game_servers(runtime, &later),
        sets: Watch::<SetView>::new().start(runtime),
    };
    let reports = Reports::new(
        stores.clone(),
        runtime.writer(keys::field_manager::GAME_API),
        args.write_interval,
        args.controller.concurrency,
    );
    // Set once, here. A change that came before it says nothing about reports: there were none.
    let _ = later.set(Arc::clone(&reports));
    let tokens = args
        .token_audience
        .clone()
        .map(|audience| Tokens::new(runtime.client(), audience));
    let app = App {
        stores,
        reports: Arc::clone(&reports),
        tokens,
        admin_code: args.admin_code_file.clone(),
        timeout: args.request_timeout,
        by_server: Mutex::new(Buckets::new(args.server_rate)),
        by_address: Mutex::new(Buckets::new(args.address_rate)),
        document: openapi::document()?,
    };
    let listener = TcpListener::bind(args.listen_address)
        .await
        .with_context(|| format!("--listen-address {}", args.listen_address))?;
    let address = listener.local_addr()?;
    metrics::listening(address.port());
    let server = Server {
        listener,
        tls: tls(runtime, args)?,
        router: http::router(Arc::new(app), args.compat),
        most: args.max_connections,
        most_from_one: args.address_connections,
        linger: args.linger,
    };
    serve(runtime, server, address, reports);
    Ok(())
}

/// Serves from when every Pod is known: before that a server's code would be refused because its Pod is not.
fn serve(runtime: &Runtime, server: Server, address: SocketAddr, reports: Arc<Reports>) {
    let serving = Arc::new(AtomicBool::new(false));
    let begun = Arc::clone(&serving);
    runtime.readiness("serving", move || {
        let serves = begun.load(Ordering::Acquire);
        serves.then_some(()).ok_or_else(|| "not yet".to_owned())
    });
    let (primed, shutdown) = (runtime.primed(), runtime.shutdown());
    runtime.spawn("serve", async move {
        if shutdown.run_until_cancelled(primed).await.is_some() {
            serving.store(true, Ordering::Release);
            tracing::info!(listen_address = %address, tls = server.tls.is_some(), "serving");
            server.run(shutdown).await;
        }
        reports.close().await;
        Ok(())
    });
}

fn tls(runtime: &Runtime, args: &Args) -> anyhow::Result<Option<Arc<ServerTls>>> {
    let (Some(certificate), Some(key)) = (&args.tls_cert_file, &args.tls_key_file) else {
        anyhow::ensure!(
            args.insecure_http,
            "give --tls-cert-file and --tls-key-file, or --insecure-http: codes are sent as they are"
        );
        tracing::warn!("serving plain HTTP: whoever is on the way can read and use the codes of servers");
        return Ok(None);
    };
    let files = TlsFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        client_ca: None,
    };
    let tls = ServerTls::load(files, b"http/1.1").context("TLS")?;
    metrics::certificate("ok");
    let following = Arc::clone(&tls).follow(runtime.shutdown(), |result| {
        metrics::certificate(if result.is_ok() { "ok" } else { "failed" });
    });
    runtime.spawn("certificate", following);
    Ok(Some(tls))
}

/// The reports, for watches that are started before them.
type Later = Arc<std::sync::OnceLock<Arc<Reports>>>;

fn watch_pods(runtime: &Runtime, reports: &Later) -> Store<PodView> {
    let reports = Arc::clone(reports);
    Watch::<PodView>::new()
        .labels(keys::label::OWNER_GSS)
        .on_change(move |change: Change<PodView>| {
            if let (Change::Deleted(last), Some(reports)) = (change, reports.get()) {
                reports.gone(&ObjectKey::of(&last.metadata), &last.metadata.uid);
            }
        })
        .start(runtime)
}

fn watch_game_servers(runtime: &Runtime, reports: &Later) -> Store<GameServerView> {
    let reports = Arc::clone(reports);
    Watch::<GameServerView>::new()
        .on_change(move |change: Change<GameServerView>| {
            if let (Change::Applied { new, .. }, Some(reports)) = (change, reports.get()) {
                reports.seen(&new);
            }
        })
        .start(runtime)
}
