//! The portal: what people see of this peer, in a browser on the same machine.
//!
//! ```text
//! connection -> server (bounds) -> guard (Host, Origin) -> session -> router -> one of ROUTES -> service::desk -> core
//! ```
//!
//! Off unless `tearline run --portal ADDRESS` asks for it, and on loopback alone. Pages are made here, whole,
//! and work without the one script there is, `portal.js`. Every route stands in one table, `routes::ROUTES`, with the right
//! that it takes, and `service::sight` decides what records an operator is shown.

mod assets;
mod basemap;
mod call;
mod drawing;
mod form;
mod frame;
pub(crate) mod geo;
mod guard;
mod html;
mod language;
mod live;
mod mark;
mod multipart;
mod pages;
mod routes;
mod server;
mod session;
mod words;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

pub(crate) use self::server::{Portal, start};
use crate::failure::Failure;
use crate::operators::Right;
use crate::service::Tearline;
use crate::service::books::Books;

/// How the portal is run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    address: SocketAddr,
}

impl Options {
    /// Where to listen, as `127.0.0.1:8080`.
    pub fn new(address: &str) -> Result<Self, Failure> {
        let address: SocketAddr = address.parse().map_err(|_| {
            Failure::usage(format!("{address:?} is no address to serve the portal at"))
                .hint("write for example --portal 127.0.0.1:8080")
        })?;
        if !address.ip().is_loopback() {
            return Err(Failure::usage(format!(
                "the portal at {address} would be open to the network"
            ))
            .hint("it is for browsers on this machine: --portal 127.0.0.1:8080"));
        }
        Ok(Self { address })
    }
}

/// Who may take a route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Anybody on this machine.
    Open,
    /// Whoever is signed in.
    Member,
    /// Whoever is signed in in a role with a right.
    Holder(Right),
}

/// All routes there are: the method, the path with names in braces for what stands there, and who may take it.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str, Access)> {
    routes::ROUTES.iter().map(|route| (route.method, route.path, route.access))
}

/// What all connections share.
struct State {
    service: Arc<Tearline>,
    books: Books,
    guard: guard::Guard,
    sessions: Mutex<session::Sessions>,
    /// The name of the cookie: each peer of a machine has its own.
    cookie: String,
    /// What this device calls itself.
    peer: String,
    /// Turns for what waits for the core.
    calls: Arc<Semaphore>,
    /// Turns for signing in, which takes much memory and time.
    logins: Arc<Semaphore>,
    /// Turns for forms with files, which take much memory.
    uploads: Arc<Semaphore>,
    /// Places for streams of news.
    streams: Arc<Semaphore>,
    /// How many each operator has.
    streams_of: Mutex<BTreeMap<String, usize>>,
    /// Where streams are carried.
    runtime: Handle,
    /// Changes when the portal ends.
    stop: watch::Receiver<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portal_is_on_loopback_alone() {
        for (address, good) in [
            ("127.0.0.1:8080", true),
            ("[::1]:0", true),
            ("0.0.0.0:8080", false),
            ("192.0.2.7:8080", false),
            ("localhost:8080", false),
            ("8080", false),
        ] {
            assert_eq!(Options::new(address).is_ok(), good, "{address}");
        }
    }
}
