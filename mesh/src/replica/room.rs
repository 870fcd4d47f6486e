//! Room: what is taken and written while the disk is nearly full.
//!
//! A write that fails for want of space ends a store until it is opened again. So the driver measures
//! what is free and says it *before* that, in two steps. First content stops: runs of records are
//! refused, as those are that cannot be judged yet, and stay with the peers, unacknowledged; records
//! are not written. What takes content away, or ends a standing, comes in statements, which are small:
//! they are taken and written on. Below the second step nothing is written at all; what was asked for
//! is still answered. When there is room again, peers hear where the logs are, and push.

use tearline_crdt::frontier::LogKey;
use tearline_crdt::store::{Store, StoreError};
use tearline_crdt::time::Now;

use super::author::ActError;
use super::{Link, Output, Replica};
use crate::wire::Frame;

/// How much room there is on the disk, as the driver measured it.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Room {
    /// Nothing is written.
    Nothing,
    /// Statements are, and what they ask for; records are not.
    Statements,
    /// Everything is.
    #[default]
    Everything,
}

impl Room {
    /// Whether a run of a log is taken.
    pub(super) fn takes(self, key: &LogKey) -> bool {
        let needed = if key.is_of_authority() { Self::Statements } else { Self::Everything };
        self >= needed
    }

    /// Whether there is room for what a frame may make a peer write. A run is refused by itself, so
    /// that the sender hears of it.
    pub(super) const fn allows(self, frame: &Frame) -> bool {
        !matches!(self, Self::Nothing)
            || !matches!(
                frame,
                Frame::Join { .. }
                    | Frame::JoinAnswer { .. }
                    | Frame::Intro { .. }
                    | Frame::Fork { .. }
                    | Frame::Evidence { .. }
                    | Frame::Stray { .. }
                    | Frame::Piece { .. }
                    | Frame::Whereabouts { .. }
                    | Frame::Part { .. }
                    | Frame::Payloads { .. }
            )
    }
}

impl<S: Store> Replica<S> {
    /// The driver measured how much room there is.
    pub(super) fn on_room(&mut self, now: Now, room: Room) -> Result<(), StoreError> {
        let before = std::mem::replace(&mut self.room, room);
        self.sessions.touch_all();
        if room <= before {
            return Ok(());
        }
        if before == Room::Nothing {
            // What peers said meanwhile was not heard: they say it again on a new link.
            let links: Vec<Link> = self.sessions.keys().copied().collect();
            for link in links {
                self.on_down(link);
                self.outputs.push_back(Output::Close { link, fault: None });
            }
        }
        self.ask_again()?;
        self.judge_later(now)
    }

    /// Fails if there is too little room for an act.
    pub(super) fn needs(&self, room: Room) -> Result<(), ActError> {
        if self.room < room { Err(ActError::NoRoom) } else { Ok(()) }
    }

    /// How much room there was when that was last said.
    #[must_use]
    pub const fn room(&self) -> Room {
        self.room
    }
}
