//! *Exercise LAKE*: the demo. Five fictional agencies round Lake Chad, a patrol unit and a blind relay, each a
//! real daemon in a process of its own, linked over real sockets through links that can be slowed
//! and cut, and over a radio `line`. The `story` is told in requests to those daemons; every row of the `report` is
//! measured and stands beside its bound.
//!
//! Whatever happens (a failure, a panic, an interrupt, a killed terminal), no daemon outlives the
//! exercise, and its folder is removed.

pub mod line;
mod link;
pub mod report;
mod stage;
mod story;

use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

pub use self::report::Report;
use self::stage::Stage;
use crate::failure::Failure;

/// How to play.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// Leave the daemons up at the end, if a person looks on, until interrupted.
    pub stay: bool,
    /// The first port that daemons listen on; free ones are chosen if absent.
    pub port: Option<u16>,
    /// What the exercise's chances are drawn from.
    pub seed: Option<u64>,
    /// Start daemons that quarantine nothing: the exercise must fail.
    pub sabotage: bool,
    /// Tell nothing while it goes on.
    pub quiet: bool,
}

/// Plays the exercise to its end.
pub fn play(plan: &Plan) -> Result<Report, Failure> {
    let seed = match plan.seed {
        Some(seed) => seed,
        None => draw_seed()?,
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::io("cannot start the runtime", &e))?;
    let stage = Arc::new(Stage::build(runtime.handle().clone(), plan.port, plan.sabotage)?);
    let quiet = plan.quiet;
    tell(quiet, report::BANNER);
    tell(quiet, &format!("seed {seed}; the same seed gives the same names and texts\n"));
    let ended = runtime.block_on(async {
        let interrupt = interrupted()?;
        let actors = Arc::clone(&stage);
        let told = tokio::task::spawn_blocking(move || {
            story::tell(&actors, seed, &mut |text| tell(quiet, text))
        });
        tokio::pin!(interrupt);
        // The links stay while somebody looks around.
        let (report, _links) = tokio::select! {
            told = told => told.map_err(|_| Failure::bug("the exercise broke off"))?,
            () = &mut interrupt => return Err(Failure::failed("the exercise was interrupted")),
        };
        if plan.stay && io::stdout().is_terminal() {
            tell(quiet, &format!("\n{}", stage.invitation_to_look_around()));
            interrupt.await;
        }
        Ok(report)
    });
    stage.strike();
    runtime.shutdown_timeout(TASKS_WAIT);
    ended
}

/// Completes when a person or the system wants the exercise to end.
fn interrupted() -> Result<impl Future<Output = ()>, Failure> {
    let on = |kind| signal(kind).map_err(|e| Failure::io("cannot listen to signals", &e));
    let (mut int, mut term, mut hup) =
        (on(SignalKind::interrupt())?, on(SignalKind::terminate())?, on(SignalKind::hangup())?);
    Ok(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hup.recv() => {}
        }
    })
}

fn tell(quiet: bool, text: &str) {
    if !quiet {
        // Whoever closed the other end has seen enough; the exercise goes on to its verdict.
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }
}

fn draw_seed() -> Result<u64, Failure> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|e| Failure::failed(format!("the system gives no randomness: {e}")))?;
    Ok(u64::from(u32::from_be_bytes(bytes)))
}

/// How long the links' tasks may take to end.
const TASKS_WAIT: Duration = Duration::from_secs(2);
