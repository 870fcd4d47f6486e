//! What a peer owes: a greeting, and the entries that it says it has.
//!
//! A peer that describes a log which is longer there than here is told our position, and has to give what
//! follows. If nothing comes it is asked again, by a new comparison of the areas in question; what it does
//! not claim then any more it does not owe. Who claims entries again and again and gives none is blamed.
//!
//! Nobody is blamed for being slow: whatever is stored of what the peer brings, and every sign that a frame
//! is coming ([`super::Input::Coming`]), puts the next question off. So all that a peer does give has come before it
//! is blamed for what it does not give; and who goes on giving is not blamed at all: what it holds back
//! comes from those who have it. Nor is it blamed for what is not taken here, because of a fork, an author
//! without a standing, or the disk. On a thin link hours may pass, and nobody is asked.

use std::collections::BTreeSet;

use tearline_crdt::frontier::Leaf;
use tearline_crdt::id::CompartmentId;
use tearline_crdt::store::Store;
use tearline_crdt::time::MonoTime;

use super::lag::LagKey;
use super::session::{Phase, Session};
use super::{Link, Replica, Room};
use crate::fault::PeerFault;

/// How long a peer may claim entries and give none before it is blamed, if nothing else is said.
pub(super) const WITHHELD_AFTER_MS: u64 = 600_000;
/// How often it is asked in that time.
const ASKED_MAX: u32 = 4;
/// How long who made a link may take to say its first word: longer than a line of 2,400 bit/s needs for it.
const GREETING_MS: u64 = 60_000;

/// What a peer owes in one session, but for the entries themselves ([`super::insync`]).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owing {
    /// When the link came up, or something came over it.
    moved: MonoTime,
    /// How often it was asked since an entry came.
    asked: u32,
}

impl Owing {
    pub(super) const fn since(now: MonoTime) -> Self {
        Self { moved: now, asked: 0 }
    }

    /// When something came last.
    pub(super) const fn last_moved(&self) -> MonoTime {
        self.moved
    }

    /// A frame is coming.
    pub(super) const fn moves(&mut self, now: MonoTime) {
        self.moved = now;
    }
}

impl Session {
    /// Entries of it were stored.
    pub(super) const fn gives(&mut self, now: MonoTime) {
        self.owing = Owing::since(now);
    }

    /// Whether it may be looked at what the peer owes.
    pub(super) fn may_owe(&self) -> bool {
        self.overdue_at(0).is_some()
    }

    /// When it is looked at what the peer owes; `None` while it owes nothing.
    fn overdue_at(&self, withheld_after_ms: u64) -> Option<MonoTime> {
        match self.phase {
            Phase::Awaiting if !self.thin && self.bytes_in == self.aside.said_bytes() => {
                Some(self.owing.moved.plus_ms(GREETING_MS))
            }
            Phase::Live if !self.thin && !self.open.wanted.is_empty() => {
                Some(self.owing.moved.plus_ms(withheld_after_ms / u64::from(ASKED_MAX)))
            }
            _ => None,
        }
    }
}

impl<S: Store> Replica<S> {
    /// From now on blames who claims entries for so long and gives none.
    pub const fn withheld_after(&mut self, after_ms: u64) {
        self.withheld_after_ms = after_ms;
    }

    /// When it is looked next at what peers owe.
    pub(super) fn next_overdue(&self) -> Option<MonoTime> {
        let owing = self.sessions.owing();
        owing.filter_map(|(_, session)| session.overdue_at(self.withheld_after_ms)).min()
    }

    /// Asks those again who gave nothing for too long, and blames those who were asked often enough.
    pub(super) fn dun(&mut self) {
        let is_due = |session: &Session| {
            session.overdue_at(self.withheld_after_ms).is_some_and(|at| at <= self.clock)
        };
        let due: Vec<Link> =
            self.sessions.owing().filter(|(_, s)| is_due(s)).map(|(link, _)| *link).collect();
        for link in due {
            self.dun_one(link);
        }
    }

    fn dun_one(&mut self, link: Link) {
        let owed = self.owed(link);
        let now = self.clock;
        let Some(session) = self.sessions.get_mut(&link) else { return };
        if session.phase == Phase::Awaiting {
            return self.blame(link, PeerFault::NoGreeting);
        }
        session.owing.moves(now);
        if owed.is_empty() {
            return;
        }
        if session.owing.asked >= ASKED_MAX {
            return self.blame(link, PeerFault::Withheld);
        }
        session.owing.asked += 1;
        session.open.ask_again();
        let areas: BTreeSet<CompartmentId> = owed.iter().map(|(_, id, _)| *id).collect();
        for id in areas {
            self.start_comparison(link, id);
            let of_it = owed.iter().filter(|(_, area, _)| *area == id);
            let Some(area) = self.areas.get(&id) else { continue };
            let positions: Vec<Leaf> = of_it.map(|(.., key)| area.frontier.leaf(key)).collect();
            let tag = self.tag_of(link, &id);
            self.say_positions(link, tag, positions);
        }
    }

    /// The logs of which a peer claims more than is here, and that would be taken from it.
    fn owed(&self, link: Link) -> Vec<LagKey> {
        let Some(session) = self.sessions.get(&link) else { return Vec::new() };
        let own = self.device();
        let is_owed = |key: &LagKey| {
            let (_, id, log) = key;
            let Some(area) = self.areas.get(id) else { return false };
            let held = area.logs.get(log);
            let takes = held.is_none_or(|log| {
                self.admits(log, None) && !self.logbook.has_excess(*id, log.device)
            });
            takes
                && self.room == Room::Everything
                && self.right(*id, &own).is_some()
                && !area.frontier.is_forked(log)
                && !session.refused.contains(*id, *log, held.is_some())
                && self.is_owed_by(link, key)
        };
        let owed = session.open.wanted.keys().filter(|key| is_owed(key));
        owed.take(ASKED_LOGS_MAX).copied().collect()
    }
}

/// Most logs of which a position is said when a peer is asked again; the comparison finds the others.
const ASKED_LOGS_MAX: usize = 256;
