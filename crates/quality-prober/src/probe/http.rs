//! HTTP GETs to a Pod.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{Told, tls};
use crate::plan::{
    Verdict,
    message::{MAX_OUTPUT, clean, clean_text},
};

/// Redirects to the same Pod that are followed.
const MAX_REDIRECTS: usize = 5;

/// Asks the Pod. A status from 200 to 299 succeeds, and so does a redirect to elsewhere; the result is the body, or where a
/// failure has none, the status.
pub(super) async fn get(ip: IpAddr, port: u16, tls: bool, path: &str, headers: &[(String, String)]) -> Told {
    let mut path = path.to_owned();
    for _ in 0..=MAX_REDIRECTS {
        let (status, location, body) = match ask(ip, port, tls, &path, headers).await {
            Ok(answer) => answer,
            Err(error) => return Told::failed(clean_text(&format!("port {port}: {error}"))),
        };
        if status.is_success() {
            return Told::State(Verdict::Succeeded, clean(&body));
        }
        if status.is_redirection() {
            match location.as_deref().map(|to| local(to, ip, port, tls)) {
                Some(Some(next)) => {
                    path = next;
                    continue;
                }
                Some(None) => {
                    let to = location.unwrap_or_default();
                    return Told::State(Verdict::Succeeded, clean_text(&format!("redirected to {to}")));
                }
                None => {}
            }
        }
        let result = clean(&body);
        return Told::failed(if result.is_empty() {
            format!("status {status}")
        } else {
            result
        });
    }
    Told::failed(format!("more than {MAX_REDIRECTS} redirects"))
}

/// The path of a redirect that stays at this server; `None` where it leads elsewhere.
fn local(location: &str, ip: IpAddr, port: u16, tls: bool) -> Option<String> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(location.to_owned());
    }
    let uri: Uri = location.parse().ok()?;
    let scheme = if tls { "https" } else { "http" };
    let default = if tls { 443 } else { 80 };
    let host = uri.host()?.trim_matches(['[', ']']);
    let here = uri.scheme_str() == Some(scheme)
        && host.parse() == Ok(ip)
        && uri.port_u16().unwrap_or(default) == port;
    here.then(|| {
        uri.path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string)
    })
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn ask(
    ip: IpAddr,
    port: u16,
    tls: bool,
    path: &str,
    headers: &[(String, String)],
) -> Result<(StatusCode, Option<String>, Vec<u8>), Failure> {
    let address = SocketAddr::new(ip, port);
    let request = request(address, path, headers)?;
    let stream = TcpStream::connect(address).await?;
    let response = if tls {
        let name = ServerName::IpAddress(ip.into());
        exchange(tls::connector()?.connect(name, stream).await?, request).await?
    } else {
        exchange(stream, request).await?
    };
    let status = response.status();
    let location = response.headers().get(header::LOCATION);
    let location = location.and_then(|to| to.to_str().ok()).map(str::to_owned);
    Ok((status, location, read(response.into_body()).await?))
}

fn request(
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
) -> Result<Request<Empty<Bytes>>, http::Error> {
    let mut request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::USER_AGENT, "gamekeeper-quality-prober")
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())?;
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    Ok(request)
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender and the body: with this run, however that ends.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// The beginning of the body; the rest is not waited for.
async fn read(mut body: Incoming) -> Result<Vec<u8>, Failure> {
    let mut read = Vec::new();
    while read.len() < MAX_OUTPUT {
        let Some(frame) = body.frame().await else {
            break;
        };
        if let Some(data) = frame?.data_ref() {
            let room = MAX_OUTPUT - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(read)
}
