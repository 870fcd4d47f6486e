//! Requests to one server: each over a connection of its own, bounded in time and size, and over TLS unless the server
//! is on this machine. No redirect is followed:
//! what is shown to one server is not shown to another.

use std::error::Error;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::failure::{Failure, Kind};
use crate::tls;

/// TAXII 2.1, section 1.6.8.
pub(super) const MEDIA: &str = "application/taxii+json;version=2.1";
/// Longest that a request takes, with its answer.
const REQUEST_MAX: Duration = Duration::from_secs(120);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A server, and what is shown to it.
pub(super) struct Server {
    scheme: &'static str,
    authority: String,
    place: Place,
    authorization: Option<HeaderValue>,
    runtime: Runtime,
}

/// Where a server is.
enum Place {
    /// On this machine, in the clear.
    Here(SocketAddr),
    /// Wherever, over TLS, under a name that its certificate must be for.
    Secure { host: String, port: u16, name: ServerName<'static>, tls: TlsConnector },
}

/// Who asks, and whom he believes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asker<'a> {
    /// A user's name and the password.
    pub(crate) login: Option<(&'a str, &'a str)>,
    /// A file with the certificates of authorities that are believed, instead of the system's.
    pub(crate) authorities: Option<&'a Path>,
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Server {
    /// The server of a URL, and the path of the URL.
    pub(super) fn of(url: &str, asker: Asker<'_>) -> Result<(Self, String), Failure> {
        let wrong = |why: &str| {
            Failure::usage(format!("{url:?} is no URL to ask: {why}"))
                .hint("write for example https://taxii.example.org/taxii2/")
        };
        let uri: Uri = url.parse().map_err(|_| wrong("it cannot be read"))?;
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it holds a user's name; say it with --user"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let (scheme, place) = match uri.scheme_str() {
            Some("https") => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| wrong("no certificate can be for that host"))?;
                let (port, tls) =
                    (authority.port_u16().unwrap_or(443), tls::connector(asker.authorities)?);
                ("https", Place::Secure { host, port, name, tls })
            }
            Some("http") => {
                let here = on_this_machine(&host, authority.port_u16().unwrap_or(80));
                let here = here.ok_or_else(|| {
                    wrong("without TLS what is shown and answered could be read on the way")
                        .hint("write https://; http is for servers on this machine")
                })?;
                ("http", Place::Here(here))
            }
            _ => return Err(wrong("it is neither https nor http")),
        };
        let authorization = asker.login.map(|(user, password)| {
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
            scheme,
            authority: authority.to_string(),
            place,
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
        self.send(Method::GET, target, Bytes::new())
    }

    /// Sends something, and reads what is answered.
    pub(super) fn send(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let failed = |why: String| {
            let whole = format!("{}://{}{target}: {why}", self.scheme, self.authority);
            Failure::new(Kind::Unreachable, whole)
        };
        let media = HeaderValue::from_static(MEDIA);
        let mut request = Request::builder()
            .method(&method)
            .uri(target)
            .header(HOST, &self.authority)
            .header(ACCEPT, &media);
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, &media);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|_| failed("that is no path to ask for".into()))?;
        let exchange = async { timeout(REQUEST_MAX, self.place.exchange(request)).await };
        match self.runtime.block_on(exchange) {
            Err(_) => Err(failed(format!("no answer within {} s", REQUEST_MAX.as_secs()))),
            Ok(Err(error)) if is_of_tls(&*error) => Err(self.unbelieved(&*error)),
            Ok(Err(error)) => Err(failed(whole(&*error))),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    /// A server that cannot show that it is the one that was asked for.
    fn unbelieved(&self, error: &(dyn Error + Send + Sync)) -> Failure {
        let what = format!("{}: its certificate is not believed: {}", self.authority, whole(error));
        Failure::new(Kind::Denied, what)
            .hint("name the file of the authority that signed it: --ca FILE")
    }

    /// Lets time go by before the server is asked again.
    pub(super) fn pause(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }
}

type Fault = Box<dyn Error + Send + Sync>;

/// Whether TLS refused a certificate.
fn is_of_tls(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let fault = inner.and_then(|inner| inner.downcast_ref::<tokio_rustls::rustls::Error>());
    matches!(fault, Some(tokio_rustls::rustls::Error::InvalidCertificate(_)))
}

/// An error with its causes.
fn whole(error: &(dyn Error + Send + Sync)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}

impl Place {
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Fault> {
        match self {
            Self::Here(address) => exchange(TcpStream::connect(address).await?, request).await,
            Self::Secure { host, port, name, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                exchange(tls.connect(name.clone(), stream).await?, request).await
            }
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

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Fault> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its sender, or with the runtime.
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
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
    fn nothing_is_sent_beyond_this_machine_in_the_clear() {
        for (url, good) in [
            ("http://127.0.0.1:8100/taxii2/", true),
            ("http://[::1]:8100/", true),
            ("http://localhost:1/", true),
            ("http://192.0.2.7/taxii2/", false),
            ("http://taxii.example.org/taxii2/", false),
            ("http://localhost.example.org/", false),
            ("http://me:secret@127.0.0.1/", false),
            ("https://me@taxii.example.org/", false),
            ("ftp://127.0.0.1/", false),
            ("/taxii2/", false),
            ("", false),
        ] {
            assert_eq!(Server::of(url, Asker::default()).is_ok(), good, "{url}");
        }
    }
}
