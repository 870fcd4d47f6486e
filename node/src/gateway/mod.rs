//! The gateway: other people's tools read and write through this device, over HTTP.
//!
//! ```text
//! connection -> server (bounds) -> guard (Host, Origin, pass, rate) -> router -> one of ROUTES -> edge -> core
//! ```
//!
//! Off unless `tearline run --api ADDRESS` asks for it. Every route needs a pass: there is no session, no
//! cookie, and nothing that a program may do because it runs on this machine. What a pass may see is
//! decided by `service::sight` alone. All routes stand in one table, `routes::ROUTES`, from which the
//! router is made, and which the tests go through.

mod call;
mod events;
mod guard;
mod media;
mod metrics;
mod ogc;
mod openapi;
mod place;
mod problem;
mod rate;
mod records;
mod rooms;
mod routes;
mod server;
mod share;
mod taxii;
mod time;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

pub(crate) use self::ogc::may_be_located;
pub(crate) use self::server::{Gateway, start};
pub(crate) use self::time::{parse as stamp, text as stamp_text};
use crate::failure::Failure;
use crate::service::edge::Edge;
use crate::tls;

/// How the gateway is run.
#[derive(Clone)]
pub struct Options {
    address: SocketAddr,
    url: Option<Url>,
    tls: Option<TlsAcceptor>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, url, tls } = self;
        let tls = tls.is_some();
        f.debug_struct("Options")
            .field("address", address)
            .field("url", url)
            .field("tls", &tls)
            .finish()
    }
}

/// Where the gateway is reached: what its absolute links begin with.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Url {
    scheme: &'static str,
    authority: String,
}

impl Options {
    /// Where to listen, as `127.0.0.1:8100`; at what URL clients reach it, where they do so by a name or a proxy
    /// stands before it; the files of the certificate and the key that it is served with over TLS; and whether
    /// passes and records may go over a network in the clear.
    pub fn new(
        address: &str,
        url: Option<&str>,
        tls: Option<(&Path, &Path)>,
        plain: bool,
    ) -> Result<Self, Failure> {
        let address: SocketAddr = address.parse().map_err(|_| {
            Failure::usage(format!("{address:?} is no address to serve the API at"))
                .hint("write for example --api 127.0.0.1:8100")
        })?;
        if !address.ip().is_loopback() && tls.is_none() && !plain {
            return Err(Failure::usage(format!(
                "the API at {address} would be open to the network without TLS: passes and records could be \
                 read on the way"
            ))
            .hint(
                "give it a certificate: --tls-cert and --tls-key; or serve it at 127.0.0.1 behind a proxy that does \
                 TLS (--api-url says its URL); or accept it: --api-plain",
            ));
        }
        let tls = tls.map(|(certificate, key)| tls::acceptor(certificate, key)).transpose()?;
        let url = url.map(Url::parse).transpose()?;
        Ok(Self { address, url, tls })
    }

    /// What URLs of the address itself begin with.
    const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl Url {
    fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!("{text:?} is no URL of a gateway"))
                .hint("write a scheme and a host, as in --api-url https://taxii.example.org")
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let scheme = match scheme {
            "http" => "http",
            "https" => "https",
            _ => return Err(wrong()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest).to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        if authority.is_empty() || !authority.chars().all(plain) {
            return Err(wrong());
        }
        Ok(Self { scheme, authority })
    }
}

/// All routes there are: the method, and the path with names in braces for what stands there.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    routes::ROUTES.iter().map(|route| (route.method, route.path))
}

/// What all connections share.
struct State {
    edge: Edge,
    guard: guard::Guard,
    rates: Mutex<rate::Rates>,
    shares: Mutex<share::Shares>,
    statuses: Mutex<taxii::status::Statuses>,
    counts: Mutex<metrics::Counts>,
    /// Turns for looking at a pass.
    admissions: Arc<Semaphore>,
    /// Turns for what waits for the core.
    calls: Arc<Semaphore>,
    /// Places for bodies.
    bodies: Arc<Semaphore>,
    /// Places for streams of events.
    streams: Arc<Semaphore>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_the_network_reaches_is_asked_for_twice() {
        for (address, plain, good) in [
            ("127.0.0.1:8100", false, true),
            ("[::1]:0", false, true),
            ("0.0.0.0:8100", false, false),
            ("192.0.2.7:8100", false, false),
            ("192.0.2.7:8100", true, true),
            ("8100", true, false),
            ("localhost:8100", true, false),
        ] {
            assert_eq!(Options::new(address, None, None, plain).is_ok(), good, "{address} {plain}");
        }
    }

    #[test]
    fn a_url_is_a_scheme_and_a_host() {
        for (text, good) in [
            ("https://taxii.example.org", true),
            ("http://[::1]:8100/", true),
            ("taxii.example.org", false),
            ("ftp://example.org", false),
            ("https://a/b", false),
            ("https://me@example.org", false),
            ("https://", false),
        ] {
            assert_eq!(Url::parse(text).is_ok(), good, "{text}");
        }
    }
}
