//! Requests to one server: each over a connection of its own, bounded in time and size. No redirect is followed:
//! what is shown to one server is not shown to another.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, AUTHORIZATION, HOST, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::failure::{Failure, Kind};

/// TAXII 2.1, section 1.6.8.
pub(super) const MEDIA: &str = "application/taxii+json;version=2.1";
/// Longest that a request takes, with its answer.
const REQUEST_MAX: Duration = Duration::from_secs(120);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A server, and what is shown to it.
#[derive(Debug)]
pub(super) struct Server {
    authority: String,
    address: SocketAddr,
    authorization: Option<HeaderValue>,
    runtime: Runtime,
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Server {
    /// The server of a URL on this machine, and the path of the URL. `login` is a user's name and the password.
    pub(super) fn of(url: &str, login: Option<(&str, &str)>) -> Result<(Self, String), Failure> {
        let wrong = |why: &str| {
            Failure::usage(format!("{url:?} is no URL to ask: {why}"))
                .hint("write for example http://127.0.0.1:8100/taxii2/")
        };
        let uri: Uri = url.parse().map_err(|_| wrong("it cannot be read"))?;
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it holds a user's name; say it with --user"));
        }
        if uri.scheme_str() != Some("http") {
            return Err(wrong("only http to this machine is spoken, without TLS").hint(
                "let a program on this machine do TLS, as stunnel with `client = yes`, and name its address",
            ));
        }
        let port = authority.port_u16().unwrap_or(80);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let address = on_this_machine(host, port).ok_or_else(|| {
            wrong("it is not on this machine: what is shown and answered could be read on the way").hint(
                "let a program on this machine do TLS, as stunnel with `client = yes`, and name its address",
            )
        })?;
        let authorization = login.map(|(user, password)| {
            let mut value = HeaderValue::from_str(&format!(
                "Basic {}",
                STANDARD.encode(format!("{user}:{password}"))
            ))
            .map_err(|_| Failure::usage("the password cannot be sent"))?;
            value.set_sensitive(true);
            Ok::<_, Failure>(value)
        });
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::io("cannot begin to ask", &error))?;
        let server = Self {
            authority: authority.to_string(),
            address,
            authorization: authorization.transpose()?,
            runtime,
        };
        Ok((server, uri.path().to_owned()))
    }

    /// Asks for something; what is no good answer is a failure.
    pub(super) fn get(&self, target: &str) -> Result<Answer, Failure> {
        let answer = self.try_get(target)?;
        if answer.status.is_success() { Ok(answer) } else { Err(refused(target, &answer)) }
    }

    /// Asks for something.
    pub(super) fn try_get(&self, target: &str) -> Result<Answer, Failure> {
        let failed = |why: String| {
            Failure::new(Kind::Unreachable, format!("http://{}{target}: {why}", self.authority))
        };
        let mut request = Request::get(target)
            .header(HOST, &self.authority)
            .header(ACCEPT, HeaderValue::from_static(MEDIA));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|_| failed("that is no path to ask for".into()))?;
        let exchange = async { timeout(REQUEST_MAX, exchange(self.address, request)).await };
        match self.runtime.block_on(exchange) {
            Err(_) => Err(failed(format!("no answer within {} s", REQUEST_MAX.as_secs()))),
            Ok(Err(why)) => Err(failed(why)),
            Ok(Ok(answer)) => Ok(answer),
        }
    }
}

impl Answer {
    /// A header's value.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What a server's answer says that is none.
pub(super) fn refused(target: &str, answer: &Answer) -> Failure {
    let status = answer.status;
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Denied,
        StatusCode::NOT_FOUND => Kind::NotFound,
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Kind::Unreachable
        }
        _ => Kind::Failed,
    };
    let failure = Failure::new(kind, format!("the server answers {status} to {target}"));
    if status.is_redirection() {
        failure.hint("redirects are not followed: name the URL that it leads to")
    } else {
        failure
    }
}

async fn exchange(address: SocketAddr, request: Request<Empty<Bytes>>) -> Result<Answer, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
    // It ends with its sender, or with the runtime.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| format!("the answer broke off, or is too large: {error}"))?;
    Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
}

/// The address of a host, if that is this machine.
fn on_this_machine(host: &str, port: u16) -> Option<SocketAddr> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return ip.is_loopback().then(|| SocketAddr::new(ip, port));
    }
    if !host.eq_ignore_ascii_case("localhost") {
        return None;
    }
    (host, port).to_socket_addrs().ok()?.find(|address| address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_beyond_this_machine() {
        for (url, good) in [
            ("http://127.0.0.1:8100/taxii2/", true),
            ("http://[::1]:8100/", true),
            ("http://localhost:1/", true),
            ("http://192.0.2.7/taxii2/", false),
            ("http://taxii.example.org/taxii2/", false),
            ("http://localhost.example.org/", false),
            ("https://127.0.0.1/", false),
            ("http://me:secret@127.0.0.1/", false),
            ("/taxii2/", false),
            ("", false),
        ] {
            assert_eq!(Server::of(url, None).is_ok(), good, "{url}");
        }
    }
}
