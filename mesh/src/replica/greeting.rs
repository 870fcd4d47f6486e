//! Greetings in turn: who comes back over several links at once gets what it lacks over one of them.
//!
//! Peers that meet push to each other at once what the other lacks. Over four links that came up together the
//! same would come four times. So one greeting at a time is under way here: the others wait until what it
//! showed to be missing has come, and then mostly find nothing missing any more. No greeting waits for longer
//! than [`TURN_MS`], whatever becomes of the one before it, and no greeting waits for one that takes longer.
//! On a thin link time is dear and nothing else is as slow: it takes no turns.

use tearline_crdt::frontier::NodeHash;
use tearline_crdt::store::Store;
use tearline_crdt::time::MonoTime;

use super::session::{Phase, Session};
use super::{Link, Replica};
use crate::wire::Nonce;

/// How long a greeting waits for another at most.
const TURN_MS: u64 = 2_000;

/// How a session stands in the order of greetings.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Turn {
    /// It has not come to it.
    #[default]
    None,
    /// It waits.
    Waits {
        /// For how long at most.
        until: MonoTime,
        /// What the dialer said, if the peer dialed.
        opened: Option<(NodeHash, Nonce)>,
    },
    /// It had its turn.
    Begun {
        /// When.
        at: MonoTime,
    },
}

impl Session {
    /// Whether others wait for what the peer sends. For a stranger nobody waits.
    fn takes_its_turn(&self, now: MonoTime) -> bool {
        let Turn::Begun { at } = self.turn else { return false };
        let greets = match self.phase {
            Phase::Opening | Phase::Greeting => true,
            Phase::Live => !self.open.is_settled(),
            _ => false,
        };
        greets && self.vouched && !self.thin && now < at.plus_ms(TURN_MS)
    }
}

impl<S: Store> Replica<S> {
    /// Begins to greet the peer, which said this if it dialed; when it is this session's turn.
    pub(super) fn greet(&mut self, link: Link, opened: Option<(NodeHash, Nonce)>) {
        let others = self.sessions.iter().filter(|(other, _)| **other != link);
        let must_wait = others.into_iter().any(|(_, other)| other.takes_its_turn(self.clock));
        let Some(session) = self.sessions.get_mut(&link) else { return };
        if must_wait && !session.thin {
            session.phase = Phase::Turn;
            session.turn = Turn::Waits { until: self.clock.plus_ms(TURN_MS), opened };
            return;
        }
        self.begin_greeting(link, opened);
    }

    fn begin_greeting(&mut self, link: Link, opened: Option<(NodeHash, Nonce)>) {
        if let Some(session) = self.sessions.get_mut(&link) {
            session.turn = Turn::Begun { at: self.clock };
        }
        match opened {
            Some((digest, nonce)) => self.on_open(link, digest, nonce),
            None => self.say_open(link),
        }
    }

    /// Gives the turn to those that wait: to all whose time is over, and to the next one.
    pub(super) fn give_turns(&mut self) {
        while self.next_turn().is_some() {
            let busy = self.sessions.values().any(|session| session.takes_its_turn(self.clock));
            let next = self.sessions.waiting().find_map(|(link, session)| match session.turn {
                Turn::Waits { until, opened } if !busy || until <= self.clock => {
                    Some((*link, opened))
                }
                _ => None,
            });
            let Some((link, opened)) = next else { return };
            self.begin_greeting(link, opened);
        }
    }

    /// When a greeting has waited for long enough.
    pub(super) fn next_turn(&self) -> Option<MonoTime> {
        let waits = self.sessions.waiting().filter_map(|(_, session)| match session.turn {
            Turn::Waits { until, .. } => Some(until),
            _ => None,
        });
        waits.min()
    }
}
