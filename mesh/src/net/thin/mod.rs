//! Thin links: a machine of [`crate::thin`] for each, over what its address says carries it.
//!
//! One task for each link opens the medium, and again at growing intervals when that fails. The
//! session is the machine's, and goes on when the medium is back. A session that ended by a fault of
//! the other side is followed by a new machine, after a while.

mod address;
mod carry;
mod medium;
mod meter;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

pub use address::{AddressError, Medium, ThinAddress, is_thin};
pub(super) use carry::Happened;
use carry::{Carrier, Command, Ended};
pub use meter::{Meter, Reading};

use crate::thin::{Machine, PairError};
use crate::urgency::Urgency;

/// Makes the machine of a link, once for each time that it begins without one.
pub struct MakeMachine(Box<dyn FnMut() -> Result<Machine, PairError> + Send>);

impl MakeMachine {
    /// By this function.
    pub fn new(make: impl FnMut() -> Result<Machine, PairError> + Send + 'static) -> Self {
        Self(Box::new(make))
    }
}

impl fmt::Debug for MakeMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MakeMachine")
    }
}

/// First and longest wait until a medium that failed is opened again.
const WAIT_MIN: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long opening a medium may take.
const OPEN_MAX: Duration = Duration::from_secs(20);
/// How long a link rests after the core closed it.
const REST: Duration = Duration::from_secs(60);
/// Events of one link that wait for the driver.
const EVENTS_MAX: usize = 16;
/// Commands that wait for one link: a frame of each urgency, and the end.
const COMMANDS_MAX: usize = Urgency::ALL.len() + 1;

/// The driver's side of a link's task. Dropping it ends the task.
pub(super) struct Thin(mpsc::Sender<Command>);

impl Thin {
    /// Starts a link's task, and what takes its events.
    pub(super) fn start(
        address: ThinAddress,
        make: MakeMachine,
        meter: Arc<Meter>,
    ) -> (Self, mpsc::Receiver<Happened>, impl Future<Output = ()> + Send) {
        let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
        let (events, event_queue) = mpsc::channel(EVENTS_MAX);
        (Self(commands), event_queue, serve(address, make, meter, command_queue, events))
    }

    /// Gives a frame to the session of this number, counted from 1.
    pub(super) fn send(&self, session: u64, urgency: Urgency, bytes: Vec<u8>) {
        // The core sends one frame at a time and lane, and there is room for all.
        if self.0.try_send(Command::Send { session, urgency, bytes }).is_err() {
            tracing::warn!("a frame was sent over a thin link before there was room for it");
        }
    }

    pub(super) fn close(&self) {
        let _ = self.0.try_send(Command::Close);
    }
}

async fn serve(
    address: ThinAddress,
    mut make: MakeMachine,
    meter: Arc<Meter>,
    mut commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Happened>,
) {
    let mut sessions = 0;
    loop {
        let mut carrier = match (make.0)() {
            Ok(machine) => Carrier::new(machine, address.line, Arc::clone(&meter), sessions),
            Err(error) => {
                let failed = Happened::Failed { reason: error.to_string(), again: None };
                let _ = events.send(failed).await;
                return;
            }
        };
        if keep_up(&address, &mut carrier, &mut commands, &events).await == Ended::Unwanted {
            return;
        }
        sessions = carrier.sessions();
        if events.send(Happened::Down { fault: None }).await.is_err() {
            return;
        }
        sleep(REST).await;
    }
}

/// Carries over one medium after the other, until the session is to be ended.
async fn keep_up(
    address: &ThinAddress,
    carrier: &mut Carrier,
    commands: &mut mpsc::Receiver<Command>,
    events: &mpsc::Sender<Happened>,
) -> Ended {
    let mut wait = WAIT_MIN;
    loop {
        let opened = timeout(OPEN_MAX, medium::open(&address.medium)).await;
        let opened = opened.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let reason = match opened {
            Ok(medium) => {
                wait = WAIT_MIN;
                if events.send(Happened::Open).await.is_err() {
                    return Ended::Unwanted;
                }
                let (frames, ports) = medium::channels();
                // Whichever ends first ends the other: each waits for the other's channels.
                let (ended, failed) = tokio::join!(
                    carrier.carry(frames, commands, events),
                    medium::carry(medium, ports)
                );
                if ended != Ended::Medium {
                    return ended;
                }
                failed.err().map_or_else(|| "the medium ended".into(), |error| error.to_string())
            }
            Err(error) => error.to_string(),
        };
        if events.send(Happened::Failed { reason, again: Some(wait) }).await.is_err() {
            return Ended::Unwanted;
        }
        tokio::select! {
            () = sleep(wait) => {}
            // Frames for a session wait in the machine.
            ended = take_commands(carrier, commands) => return ended,
        }
        wait = (wait * 2).min(WAIT_MAX);
    }
}

async fn take_commands(carrier: &mut Carrier, commands: &mut mpsc::Receiver<Command>) -> Ended {
    loop {
        match commands.recv().await {
            Some(Command::Send { session, urgency, bytes }) => {
                carrier.send(session, urgency, &bytes);
            }
            Some(Command::Close) => return Ended::Closed,
            None => return Ended::Unwanted,
        }
    }
}
