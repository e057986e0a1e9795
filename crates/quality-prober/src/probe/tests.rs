//! Network probes against servers of this process. Commands need a container: `e2e/tests/kubelet`.

use std::{net::Ipv4Addr, sync::Arc};

use ::http::{HeaderMap, HeaderValue, Response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::{plan::Misfit, views::Running};

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn run_of(handler: Handler, timeout: Duration) -> (Target, Place) {
    let quality = crate::fixture::quality("q", &serde_json::json!({"exec": {"command": ["x"]}}));
    let found: Result<_, Misfit> = crate::plan::target(&crate::fixture::pod().view(), &quality);
    let (mut target, _) = found.unwrap();
    (target.handler, target.timeout) = (handler, timeout);
    let place = Place {
        running: Running {
            id: "c".into(),
            since: None,
        },
        ip: Some("127.0.0.1".into()),
    };
    (target, place)
}

async fn probe(handler: Handler, timeout: Duration) -> Told {
    let (target, place) = run_of(handler, timeout);
    let runner = Runner {
        exec: Exec::Runtime(Runtime::at(Vec::new())),
    };
    runner
        .run_at(&ObjectKey::new("games", "arena-0"), &target, &place)
        .await
}

const SECOND: Duration = Duration::from_secs(1);

fn succeeded(result: &str) -> Told {
    Told::State(Verdict::Succeeded, result.to_owned())
}

/// Answers each connection with what `answer` makes of its request.
async fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> u16 {
    let (listener, port) = listen().await;
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let text = answer(&String::from_utf8_lossy(&request[..length]));
                stream.write_all(text.as_bytes()).await.unwrap();
            });
        }
    });
    port
}

fn get(port: u16, path: &str) -> Handler {
    Handler::Http {
        tls: false,
        port,
        path: path.to_owned(),
        headers: vec![("X-Probe".into(), "yes".into())],
    }
}

fn said(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_get_tells_its_body() {
    let port = serve(|request| {
        let lower = request.to_lowercase();
        assert!(
            lower.contains("x-probe: yes") && lower.contains("host: 127.0.0.1:"),
            "{request}"
        );
        match request.split(' ').nth(1).unwrap() {
            "/ok" => said("200 OK", "", "3 players\n"),
            "/silent" => said("204 No Content", "", ""),
            "/bad" => said("503 Service Unavailable", "", "gate|"),
            "/worse" => said("500 Internal Server Error", "", ""),
            "/long" => said("200 OK", "", &"x".repeat(50_000)),
            "/moved" => said("302 Found", "Location: /ok\r\n", ""),
            "/away" => said("302 Found", "Location: http://example.com/login\r\n", ""),
            _ => said("302 Found", "Location: /round\r\n", ""),
        }
    })
    .await;
    assert_eq!(probe(get(port, "/ok"), SECOND).await, succeeded("3 players"));
    assert_eq!(probe(get(port, "/silent"), SECOND).await, succeeded(""));
    assert_eq!(probe(get(port, "/bad"), SECOND).await, Told::failed("gate"));
    assert_eq!(
        probe(get(port, "/worse"), SECOND).await,
        Told::failed("status 500 Internal Server Error")
    );
    assert_eq!(
        probe(get(port, "/long"), SECOND).await,
        succeeded(&"x".repeat(1_024))
    );
    assert_eq!(probe(get(port, "/moved"), SECOND).await, succeeded("3 players"));
    let away = succeeded("redirected to http://example.com/login");
    assert_eq!(probe(get(port, "/away"), SECOND).await, away);
    assert_eq!(
        probe(get(port, "/round"), SECOND).await,
        Told::failed("more than 5 redirects")
    );
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_a_failure_that_says_so() {
    let (listener, port) = listen().await;
    drop(listener);
    for handler in [get(port, "/"), Handler::Tcp { port }] {
        let Told::State(Verdict::Failed, result) = probe(handler, SECOND).await else {
            panic!("it succeeded")
        };
        assert!(
            result.starts_with(&format!("port {port}: ")) && result.contains("refused"),
            "{result}"
        );
    }
}

#[tokio::test]
async fn a_server_that_never_answers_times_out() {
    let (listener, port) = listen().await;
    let timeout = Duration::from_millis(100);
    let silent = Told::State(Verdict::TimedOut, "no answer after 0 s".to_owned());
    assert_eq!(probe(get(port, "/"), timeout).await, silent);
    let grpc = Handler::Grpc {
        port,
        service: String::new(),
    };
    assert_eq!(probe(grpc, timeout).await, silent);
    // It accepts, which is all that a TCP probe asks.
    assert_eq!(probe(Handler::Tcp { port }, timeout).await, succeeded(""));
    drop(listener);
}

#[tokio::test]
async fn https_takes_any_certificate() {
    let certified = rcgen::generate_simple_self_signed(vec!["game".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        assert!(request[..length].starts_with(b"GET / "));
        stream
            .write_all(said("200 OK", "", "secret").as_bytes())
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
    });
    let https = Handler::Http {
        tls: true,
        port,
        path: "/".into(),
        headers: Vec::new(),
    };
    assert_eq!(probe(https, SECOND).await, succeeded("secret"));
}

/// A gRPC server that answers every call with these bytes of a message, and this status.
async fn grpc_server(message: &'static [u8], status: &'static str) -> u16 {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    let head = Response::builder().header("content-type", "application/grpc");
                    let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
                    let mut frame = vec![0, 0, 0, 0, message.len() as u8];
                    frame.extend_from_slice(message);
                    stream.send_data(frame.into(), false).unwrap();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static(status));
                    stream.send_trailers(trailers).unwrap();
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_health_check_tells_the_servers_word() {
    let check = |port| Handler::Grpc {
        port,
        service: "game.v1.Game".to_owned(),
    };
    // Field 1, an enum.
    let port = grpc_server(&[0x08, 1], "0").await;
    assert_eq!(probe(check(port), SECOND).await, succeeded("SERVING"));
    let port = grpc_server(&[0x08, 2], "0").await;
    assert_eq!(probe(check(port), SECOND).await, Told::failed("NOT_SERVING"));
    let port = grpc_server(&[], "0").await;
    assert_eq!(probe(check(port), SECOND).await, Told::failed("UNKNOWN"));
    let port = grpc_server(&[], "12").await;
    assert_eq!(
        probe(check(port), SECOND).await,
        Told::failed("the server does not know grpc.health.v1.Health")
    );
}

#[tokio::test]
async fn a_runtime_that_is_away_tells_nothing() {
    let command = Handler::Exec {
        command: vec!["true".into()],
    };
    assert_eq!(probe(command, SECOND).await, Told::Nothing("runtime_away"));
    let nowhere = Runtime::at(vec!["/nowhere/cri.sock".into()]);
    let error = nowhere.version().await.unwrap_err();
    assert!(error.contains("/nowhere/cri.sock"), "{error}");
}

#[test]
fn an_exit_code_is_the_state_and_the_output_the_result() {
    assert_eq!(exited(0, b"gate\n", b"warning"), succeeded("gate"));
    assert_eq!(exited(0, b"", b"warning"), succeeded(""));
    assert_eq!(exited(1, b"gate\n", b"warning"), Told::failed("gate"));
    assert_eq!(
        exited(127, b"\n", b"bash: ./x.sh: not found\n"),
        Told::failed("bash: ./x.sh: not found")
    );
}
