//! The daemon's shell: it takes the home for itself, opens its inside (a [`Service`]), answers on
//! the control socket until it is told to stop, and closes in order.
//!
//! What it is told by: `tearline stop` over the control socket, SIGINT, SIGTERM, and, if asked for, the
//! end of its stdin, so that a daemon never outlives the program that started it. SIGHUP is left to the
//! system, so that `nohup` works.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use tearline_mesh::replica::RelayTerms;

use crate::config::Config;
use crate::control::Service;
use crate::control::server::{Bounds, Listener, serve};
use crate::failure::Failure;
use crate::gateway;
use crate::home::{Agency, Home, Identity};
use crate::portal;
use crate::protection::Opener;

/// What a daemon's inside is opened with.
#[derive(Debug)]
pub struct Opening {
    /// Where its files are. The home is locked.
    pub home: Home,
    /// Its settings, with `--listen` applied.
    pub config: Config,
    /// Its secrets.
    pub identity: Identity,
    /// The agency's root, where it is still here.
    pub agency: Option<Agency>,
    /// Where it runs its tasks. They end when the runtime is dropped, after [`Service::close`].
    pub runtime: Handle,
    /// How it serves other programs over HTTP, if it does.
    pub api: Option<gateway::Options>,
    /// Where it serves its portal, if it does.
    pub portal: Option<portal::Options>,
    /// Whether nothing is quarantined.
    pub sabotage: bool,
    /// What it holds as a blind relay, if it is to be one.
    pub relay: Option<RelayTerms>,
    /// Whether it looks for peers on the local network.
    pub mdns: bool,
    /// Told when the daemon shall end.
    pub stop: mpsc::Sender<()>,
    /// Told when the inside broke down by a fault of the program: the daemon then ends, so that
    /// whoever watches it can start it again.
    pub broke: oneshot::Sender<()>,
}

/// Opens a daemon's inside. It listens and has its store open when this returns.
pub type Start = fn(Opening) -> Result<Arc<dyn Service>, Failure>;

/// How a daemon is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Addresses to listen on, instead of those in the settings.
    pub listen: Vec<String>,
    /// How it serves other programs over HTTP, if it does.
    pub api: Option<gateway::Options>,
    /// Where it serves its portal, if it does.
    pub portal: Option<portal::Options>,
    /// Whether the end of stdin ends the daemon.
    pub until_stdin_ends: bool,
    /// Whether nothing is quarantined: for the exercise that must fail.
    pub sabotage: bool,
    /// What it holds as a blind relay, if it is to be one.
    pub relay: Option<RelayTerms>,
    /// Whether it looks for peers on the local network.
    pub mdns: bool,
}

/// Runs a daemon until it is told to stop; returns why it stopped. What opens its secrets is
/// forgotten as soon as they are open.
pub fn run(
    home: &Home,
    options: Options,
    mut opener: Opener,
    start: Start,
) -> Result<&'static str, Failure> {
    home.check_root()?;
    let lock = home.lock()?;
    home.empty_scratch()?;
    let mut config = Config::read(home)?;
    if !options.listen.is_empty() {
        config.listen = options.listen;
    }
    let identity = home.read_identity(&mut opener)?;
    let agency = home.read_agency(&mut opener)?;
    drop(opener);
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::io("cannot start the runtime", &e))?;
    // Handlers are in place before anybody is told that the daemon is up.
    let stop = runtime.block_on(async { stop_signal(options.until_stdin_ends) })?;
    let bounds = Bounds { commands_max: config.limits.commands_max, ..Bounds::default() };
    let (asked, mut asks) = mpsc::channel(1);
    let (broke, broken) = oneshot::channel();
    let opening = Opening {
        home: home.clone(),
        config,
        identity,
        agency,
        runtime: runtime.handle().clone(),
        api: options.api,
        portal: options.portal,
        sabotage: options.sabotage,
        relay: options.relay,
        mdns: options.mdns,
        stop: asked,
        broke,
    };
    let service = start(opening)?;
    let reason = runtime.block_on(async {
        let listener = Listener::bind(home, &lock)?;
        info!(socket = %listener.path().display(), "ready");
        let broken = async {
            match broken.await {
                Ok(()) => Err(Failure::bug("the daemon's inside broke down; see the log")),
                // It ended in order.
                Err(_) => std::future::pending().await,
            }
        };
        let mut reason = Ok("");
        let stopped = async {
            reason = tokio::select! {
                told = stop => Ok(told),
                Some(()) = asks.recv() => Ok("asked to"),
                broke = broken => broke,
            };
        };
        serve(listener, Arc::clone(&service), bounds, stopped).await;
        reason
    });
    service.close();
    runtime.shutdown_timeout(TASKS_WAIT);
    info!("stopped");
    drop(lock);
    reason
}

/// Completes when the daemon shall stop, with the reason.
fn stop_signal(
    until_stdin_ends: bool,
) -> Result<impl Future<Output = &'static str> + use<>, Failure> {
    let on = |kind| signal(kind).map_err(|e| Failure::io("cannot listen to signals", &e));
    let (mut int, mut term) = (on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
    let stdin = until_stdin_ends.then(|| {
        let (end, ended) = oneshot::channel::<()>();
        // A thread of its own: reading stdin cannot be interrupted, and must not keep the runtime.
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            drop(end);
        });
        ended
    });
    Ok(async move {
        let stdin_ends = async {
            match stdin {
                Some(ended) => drop(ended.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = int.recv() => "interrupted",
            _ = term.recv() => "terminated",
            () = stdin_ends => "stdin ended",
        }
    })
}

/// How long background tasks may take to end.
const TASKS_WAIT: Duration = Duration::from_secs(5);
