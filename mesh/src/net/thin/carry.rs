//! Drives one machine over a medium, with one sleep.
//!
//! The line counts as free when the last frame was carried at its rate: what a modem or a system has
//! taken can no longer be overtaken. The machine outlives the medium: when a modem comes back, its
//! session goes on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tearline_crdt::time::MonoTime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::medium::LinkFrames;
use super::meter::Meter;
use crate::thin::{Action, Event, Line, Machine, SendError, ThinFault};
use crate::urgency::Urgency;

/// What the carrier is told to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Give a frame of the mesh to the session of this number, counted from 1. One at a time and
    /// urgency: the next after [`Happened::Room`].
    Send { session: u64, urgency: Urgency, bytes: Vec<u8> },
    /// End the session.
    Close,
}

/// What happened.
#[derive(Debug, Eq, PartialEq)]
pub(in super::super) enum Happened {
    /// A session began.
    Up { dialer: bool },
    /// The session is lost.
    Down { fault: Option<ThinFault> },
    /// One whole frame of the mesh.
    Frame { bytes: Vec<u8> },
    /// There is room for the next frame of an urgency.
    Room { urgency: Urgency },
    /// The medium is open.
    Open,
    /// The medium does not open, or failed. It is tried again after so long, if ever.
    Failed { reason: String, again: Option<Duration> },
}

/// Why [`Carrier::carry`] returned.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// Nobody gives commands or takes events any more.
    Unwanted,
    /// The medium failed.
    Medium,
    /// The session was to be ended.
    Closed,
}

/// A machine, and what is on its way between it and its core.
pub(super) struct Carrier {
    machine: Machine,
    line: Line,
    start: Instant,
    /// What the core has not taken yet. While there is any, nothing is taken from the line.
    waiting: VecDeque<Happened>,
    outgoing: Option<Vec<u8>>,
    /// When the line is free again, if it is not.
    free_at: Option<MonoTime>,
    /// How many sessions began in this link's life.
    sessions: u64,
    meter: Arc<Meter>,
    /// What the meter knows of the bytes that came again in this session.
    repeated_bytes: u64,
}

impl Carrier {
    /// A carrier of a link that had so many sessions before.
    pub(super) fn new(machine: Machine, line: Line, meter: Arc<Meter>, sessions: u64) -> Self {
        Self {
            machine,
            line,
            start: Instant::now(),
            waiting: VecDeque::new(),
            outgoing: None,
            free_at: None,
            sessions,
            meter,
            repeated_bytes: 0,
        }
    }

    pub(super) const fn sessions(&self) -> u64 {
        self.sessions
    }

    fn now(&self) -> MonoTime {
        MonoTime(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Carries over a medium that was just opened, until that fails or there is no use in it.
    pub(super) async fn carry(
        &mut self,
        frames: LinkFrames,
        commands: &mut mpsc::Receiver<Command>,
        events: &mpsc::Sender<Happened>,
    ) -> Ended {
        let LinkFrames { mut received, transmit, origin } = frames;
        // What the last medium had is lost, as on the line.
        if self.outgoing.take().is_some() || self.free_at.take().is_some() {
            self.machine.handle(self.now(), Event::Sent);
        }
        self.machine.handle(self.now(), Event::Contact);
        loop {
            self.take_actions();
            let wake = [self.machine.deadline(), self.free_at].into_iter().flatten().min();
            let start = self.start;
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(start + Duration::from_millis(at.0)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                permit = events.reserve(), if !self.waiting.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.waiting.pop_front() {
                            permit.send(event);
                        }
                    }
                    Err(_) => return Ended::Unwanted,
                },
                permit = transmit.reserve(), if self.outgoing.is_some() => {
                    let Ok(permit) = permit else { return Ended::Medium };
                    if let Some(bytes) = self.outgoing.take() {
                        self.free_at = Some(self.now().plus_ms(self.line.air_ms(bytes.len())));
                        self.meter.sent(bytes.len());
                        permit.send(bytes);
                    }
                },
                frame = received.recv(), if self.waiting.is_empty() => match frame {
                    Some((bytes, from)) => {
                        let taken = self.take(bytes);
                        if from.is_some() && taken {
                            origin.send_if_modified(|to| std::mem::replace(to, from) != from);
                        }
                    }
                    None => return Ended::Medium,
                },
                command = commands.recv() => match command {
                    Some(Command::Send { session, urgency, bytes }) => {
                        self.send(session, urgency, &bytes);
                    }
                    Some(Command::Close) => return Ended::Closed,
                    None => return Ended::Unwanted,
                },
                () = sleep => {
                    let now = self.now();
                    let is_free = self.free_at.is_some_and(|at| at <= now);
                    self.free_at = self.free_at.filter(|_| !is_free);
                    self.machine.handle(now, if is_free { Event::Sent } else { Event::Tick });
                }
            }
        }
    }

    /// Gives what came to the machine. Whether it was of the other device.
    fn take(&mut self, bytes: Vec<u8>) -> bool {
        let (count, refused) = (bytes.len(), self.machine.counters().refused());
        self.machine.handle(self.now(), Event::Received { bytes });
        let repeated = self.machine.repeated_bytes();
        // Another session counts from nothing.
        self.meter.repeated(repeated.saturating_sub(self.repeated_bytes));
        self.repeated_bytes = repeated;
        let taken = self.machine.counters().refused() == refused;
        if taken {
            self.meter.received(count);
        } else {
            self.meter.refused();
        }
        taken
    }

    /// Gives a frame to the machine. One for a session that is lost is lost with it.
    pub(super) fn send(&mut self, session: u64, urgency: Urgency, bytes: &[u8]) {
        if session != self.sessions {
            return;
        }
        match self.machine.send(self.now(), urgency, bytes) {
            Ok(()) | Err(SendError::Down) => {}
            Err(error) => tracing::warn!(%error, "a frame was not taken by a thin link"),
        }
    }

    fn take_actions(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            let happened = match action {
                Action::Transmit { bytes } => {
                    self.outgoing = Some(bytes);
                    continue;
                }
                Action::Up { dialer } => {
                    self.sessions += 1;
                    Happened::Up { dialer }
                }
                Action::Down { fault } => Happened::Down { fault },
                Action::Deliver { bytes, .. } => Happened::Frame { bytes },
                Action::Room { urgency } => Happened::Room { urgency },
            };
            self.waiting.push_back(happened);
        }
    }
}
