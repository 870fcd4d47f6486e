//! Repair: what cannot be read of a log is named, not claimed, and fetched again.
//!
//! A value of the store that rotted takes the entries in it ([`tearline_crdt::logbook::gap`]). What they
//! cost is what they hold and nothing else: a peer that lacks them gets what is before them and is told, by
//! [`Frame::Gone`], that it need not wait here for what comes up to their end; it gets the rest once it
//! has them from another. Nobody is blamed, and no exchange ends.
//!
//! The log's other entries say which ones are missing. So whoever has the log is asked for them, one peer
//! after the other, by [`Frame::Ask`] with the log's own key, and what comes is known to be them before it is
//! stored. It is stored as what comes first is: without what is erased, and told to others once it is
//! durable. Then the records that it is about are judged again.
//!
//! Gaps are found where somebody reads: a peer that wants entries, a question of the operator
//! ([`Replica::met`]), `doctor`.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::entry::run::{UnverifiedRun, VerifiedRun};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, EntryId, LogId};
use tearline_crdt::logbook::find::Search;
use tearline_crdt::logbook::gap::Gap;
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::{MonoTime, Now};

use super::area::Fact;
use super::branch::{Incoming, ends_with};
use super::lag::lag_key;
use super::session::{Phase, Session};
use super::stripped::Content;
use super::sync::Outcome;
use super::{Barrier, Event, Link, Replica, Room};
use crate::fault::PeerFault;
use crate::wire::Frame;

/// Most gaps that are remembered; further ones are met again.
const GAPS_MAX: usize = 1_024;
/// How long a peer that was asked may take before another is.
const ANSWER_MS: u64 = 60_000;
/// How often all are asked anew that had not what was asked for.
const AGAIN_MS: u64 = 600_000;

/// The gaps that are known, each by its log and the position after it.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    gaps: BTreeMap<(LogId, u64), Repair>,
    /// What was filled and is not durable yet.
    filled: Vec<(Barrier, LogId, u64)>,
    /// Entries that were fetched again since the start.
    fetched: u64,
    /// Whether it is to be looked who can be asked.
    look: bool,
}

impl Repairs {
    /// Another peer may be asked now.
    pub(super) const fn look(&mut self) {
        self.look = true;
    }
}

/// A gap, and who is asked to fill it.
#[derive(Debug)]
struct Repair {
    gap: Gap,
    /// Who was asked last, and when.
    asked: Option<(Link, MonoTime)>,
    /// Who has it not, and since when nobody else is left.
    without: BTreeSet<Link>,
    idle_since: Option<MonoTime>,
}

/// A stretch of a log that cannot be read here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unreadable {
    /// The log.
    pub log: LogId,
    /// The first position.
    pub first: u64,
    /// How many entries.
    pub count: u64,
    /// Whether a peer is being asked for it.
    pub asked: bool,
}

impl<S: Store> Replica<S> {
    /// An error of the store was met by a question: what it says of a log is remembered, and asked for. Another
    /// error, or of what no peer can give, changes nothing.
    pub fn met(&mut self, error: &StoreError) -> Result<(), StoreError> {
        self.note_gap(error)?;
        self.settle_outputs()
    }

    /// The stretches of logs that are known to be unreadable here.
    pub fn unreadable(&self) -> impl Iterator<Item = Unreadable> {
        self.repairs.gaps.iter().map(|((log, end), repair)| Unreadable {
            log: *log,
            first: repair.gap.span.start,
            count: end.saturating_sub(repair.gap.span.start),
            asked: repair.asked.is_some(),
        })
    }

    /// Entries that could not be read and were fetched again since the start.
    #[must_use]
    pub const fn fetched_again(&self) -> u64 {
        self.repairs.fetched
    }

    /// Passes over what is damaged, and remembers it. Any other error stays one.
    pub(super) fn past_damage<T>(
        &mut self,
        read: Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match read {
            Err(error @ StoreError::Damaged { .. }) => {
                self.note_gap(&error)?;
                Ok(None)
            }
            read => read,
        }
    }

    /// Remembers what an error says of a log.
    pub(super) fn note_gap(&mut self, error: &StoreError) -> Result<(), StoreError> {
        let Some((log, seq)) = self.logbook.position_of(error) else { return Ok(()) };
        self.look_for_gap(&log, seq)
    }

    fn look_for_gap(&mut self, log: &LogId, seq: u64) -> Result<(), StoreError> {
        let Some(gap) = self.logbook.gap(&self.store, log, seq)? else { return Ok(()) };
        let key = (*log, gap.span.end);
        if self.repairs.gaps.len() >= GAPS_MAX || self.repairs.gaps.contains_key(&key) {
            return Ok(());
        }
        // It may have grown.
        let within =
            |(of, end): &(LogId, u64), _: &mut Repair| *of == *log && gap.span.contains(end);
        self.repairs.gaps.extract_if(.., within).for_each(drop);
        let entries = gap.span.end.saturating_sub(gap.span.start);
        self.outputs.push_back(super::Output::Event(Event::Unreadable { log: *log, entries }));
        let repair = Repair { gap, asked: None, without: BTreeSet::new(), idle_since: None };
        self.repairs.gaps.insert(key, repair);
        self.repairs.look();
        Ok(())
    }

    /// The known gap of a log that holds a position or begins behind it.
    pub(super) fn gap_from(&self, log: &LogId, seq: u64) -> Option<&Gap> {
        let behind = (*log, seq.saturating_add(1))..=(*log, u64::MAX);
        self.repairs.gaps.range(behind).next().map(|(_, repair)| &repair.gap)
    }

    /// Where entries of a log end that can be sent from a position on: what is being filled is not durable.
    pub(super) fn readable_to(&self, log: &LogId, from: u64, durable: u64) -> u64 {
        self.gap_from(log, from).map_or(durable, |gap| gap.span.start.max(from).min(durable))
    }

    /// A peer needs what cannot be read here: it does not wait for that. Whether it was told.
    pub(super) fn lacks_unreadable(&mut self, link: Link, log: &LogId, theirs: u64) -> bool {
        let gap = self.gap_from(log, theirs).filter(|gap| gap.span.start <= theirs);
        let Some(end) = gap.map(|gap| gap.span.end) else { return false };
        self.say_gone(link, log, end);
        true
    }

    /// Of how many logs a peer was told that it lacks what cannot be read here.
    pub(super) fn withheld_from(&self, session: &Session) -> u64 {
        let logs: BTreeSet<&LogId> = self.repairs.gaps.keys().map(|(log, _)| log).collect();
        let told =
            |log: &&&LogId| session.declined.contains(&lag_key(log.compartment, LogKey::of(log)));
        logs.iter().filter(told).count() as u64
    }

    /// Asks for what is missing: each gap of one peer at a time.
    pub(super) fn ask_for_gaps(&mut self) -> Result<(), StoreError> {
        let due = self.next_ask_for_gaps().is_some_and(|at| at <= self.clock);
        if self.room < Room::Everything || !(due || std::mem::take(&mut self.repairs.look)) {
            return Ok(());
        }
        let waiting: Vec<(LogId, u64)> = self.repairs.gaps.keys().copied().collect();
        for key in waiting {
            self.ask_for_gap(key)?;
        }
        Ok(())
    }

    fn ask_for_gap(&mut self, key: (LogId, u64)) -> Result<(), StoreError> {
        let ((log, end), now) = (key, self.clock);
        let lag_key = lag_key(log.compartment, LogKey::of(&log));
        let pending = self.repairs.filled.iter().any(|(_, of, _)| *of == log);
        let Some(repair) = self.repairs.gaps.get_mut(&key).filter(|_| !pending) else {
            return Ok(());
        };
        if let Some((link, at)) = repair.asked {
            let asked = self.sessions.get_mut(&link);
            let asked = asked.filter(|session| session.asking.contains_key(&lag_key));
            match asked {
                Some(_) if now < at.plus_ms(ANSWER_MS) => return Ok(()),
                Some(session) => drop(session.asking.remove(&lag_key)),
                None => {}
            }
            repair.without.insert(link);
            repair.asked = None;
        }
        if repair.idle_since.is_some_and(|since| now >= since.plus_ms(AGAIN_MS)) {
            repair.without.clear();
            repair.idle_since = None;
        }
        let candidates = self.sessions.iter().filter(|(link, session)| {
            session.phase == Phase::Live
                && session.started.contains(&log.compartment)
                && !session.asking.contains_key(&lag_key)
                && !repair.without.contains(*link)
        });
        let first = candidates.min_by_key(|(_, session)| (session.thin, !session.in_sync));
        let Some(link) = first.map(|(link, _)| *link) else {
            repair.idle_since = repair.idle_since.or(Some(now));
            return Ok(());
        };
        let Some(gap) = self.logbook.gap(&self.store, &log, end.saturating_sub(1))? else {
            self.repairs.gaps.remove(&key);
            return Ok(());
        };
        let area = self.tag_of(link, &log.compartment);
        let (first, end, head) = (gap.span.start, gap.span.end, gap.last);
        if let Some(repair) = self.repairs.gaps.get_mut(&key) {
            (repair.gap, repair.asked, repair.idle_since) = (gap, Some((link, now)), None);
        }
        if let Some(session) = self.sessions.get_mut(&link) {
            session.asking.insert(lag_key, (end, head));
        }
        self.say(link, Frame::Ask { area, key: lag_key.2, first, end, head });
        Ok(())
    }

    /// When a peer has not answered for too long, or all are asked anew.
    pub(super) fn next_ask_for_gaps(&self) -> Option<MonoTime> {
        let at = |repair: &Repair| match (repair.asked, repair.idle_since) {
            (Some((_, at)), _) => Some(at.plus_ms(ANSWER_MS)),
            (None, since) => since.map(|since| since.plus_ms(AGAIN_MS)),
        };
        self.repairs.gaps.values().filter_map(at).min()
    }

    /// What a peer gave of a log in which something cannot be read.
    pub(super) fn on_repair(
        &mut self,
        now: Now,
        link: Link,
        (log, asked): (LogId, (u64, EntryId)),
        piece: &Incoming,
    ) -> Outcome {
        let Incoming { from, count, entries, boxes, .. } = piece;
        let unverified = UnverifiedRun { log, count: *count, entries, boxes };
        let run = match unverified.verify(from) {
            Ok(run) => run,
            Err(fault) => return Ok(Err(PeerFault::Run(fault))),
        };
        if !ends_with(&run, asked.0, &asked.1) {
            return Ok(Err(PeerFault::OtherBranch));
        }
        let content = match self.content_of(&run, piece.knows) {
            Content::Sound => Content::Sound,
            _ => {
                self.conclude(now)?;
                self.content_of(&run, piece.knows)
            }
        };
        match content {
            Content::Sound => {}
            // Another may have it whole.
            Content::Unexplained => return Ok(self.charge(link, *count)),
            Content::Stripped => return Ok(Err(PeerFault::Stripped)),
        }
        if self.room == Room::Everything {
            self.give_back(link, *count);
            self.fill(now, &run)?;
        }
        Ok(Ok(()))
    }

    /// Puts what a run has into the gaps of its log that it leads to the end of.
    pub(super) fn fill(&mut self, now: Now, run: &VerifiedRun) -> Result<(), StoreError> {
        let log = *run.log();
        let ends = (log, run.from().next.saturating_add(1))..=(log, run.to().next);
        let ends: Vec<u64> = self.repairs.gaps.range(ends).map(|((_, end), _)| *end).collect();
        ends.into_iter().try_for_each(|end| self.fill_up_to(now, run, end))
    }

    fn fill_up_to(&mut self, now: Now, run: &VerifiedRun, end: u64) -> Result<(), StoreError> {
        let log = *run.log();
        let Some(gap) = self.logbook.gap(&self.store, &log, end.saturating_sub(1))? else {
            self.repairs.gaps.remove(&(log, end));
            return Ok(());
        };
        let standings =
            super::Standings::new(&self.areas, &self.heard, self.keys.id(), self.reckoning.now());
        let screened = if log.class == Class::Authority {
            self.without_retired(run)
        } else {
            self.shelf.screen(&self.epoch_keys, &standings, run)
        };
        let Ok(screened) = screened else { return Ok(()) };
        let run = screened.as_ref().unwrap_or(run);
        let mut batch = Batch::default();
        let Some(first) = self.logbook.fill(&self.store, &mut batch, &gap, run, now.wall)? else {
            return Ok(());
        };
        let filled = first..gap.span.end;
        if log.class == Class::Authority {
            for entry in run.entries().iter().filter(|entry| filled.contains(&entry.seq)) {
                let fact = Fact {
                    id: entry.id,
                    seq: entry.seq,
                    log,
                    statement: run.sealed(entry),
                    payload: run.payload(entry),
                    detached: entry.detached,
                };
                self.take_fact(&mut batch, &fact);
            }
        }
        self.apply(batch)?;
        if log.class == Class::Authority {
            let mut batch = Batch::default();
            self.keep_beyond(&mut batch, &log)?;
            self.apply(batch)?;
        } else {
            self.put_on_shelf(now, &log, filled.clone())?;
        }
        self.repairs.fetched += filled.end.saturating_sub(filled.start);
        self.repairs.filled.push((Barrier(self.next_barrier), log, filled.end));
        if let Some(repair) = self.repairs.gaps.get_mut(&(log, filled.end)) {
            repair.asked = None;
        }
        if first > gap.span.start {
            self.look_for_gap(&log, first.saturating_sub(1))?;
        }
        // What is judged by these entries is drawn again.
        self.stale.insert(log.compartment);
        Ok(())
    }

    fn put_on_shelf(
        &mut self,
        now: Now,
        log: &LogId,
        span: std::ops::Range<u64>,
    ) -> Result<(), StoreError> {
        let Some(no) = self.logbook.state(log).map(|state| state.no) else { return Ok(()) };
        let mut from = Some(span.start);
        while let Some(next) = from {
            let mut batch = Batch::default();
            let rest = next..span.end;
            from = self.at_desk(now, |shelf, desk| shelf.healed(desk, &mut batch, no, rest))?;
            self.apply(batch)?;
        }
        Ok(())
    }

    /// What was filled up to a barrier is durable: it is no gap any more, and whoever was told that it is not
    /// here is told otherwise.
    pub(super) fn tell_filled(&mut self, barrier: Barrier) {
        let filled = std::mem::take(&mut self.repairs.filled);
        let (durable, waiting): (Vec<_>, Vec<_>) =
            filled.into_iter().partition(|(covered_by, ..)| *covered_by <= barrier);
        self.repairs.filled = waiting;
        for (_, log, end) in durable {
            self.repairs.gaps.remove(&(log, end));
            self.repairs.look();
            let (id, key) = (log.compartment, LogKey::of(&log));
            self.outputs.push_back(super::Output::Event(Event::Repaired(log)));
            self.seek_again(&log);
            let lag_key = lag_key(id, key);
            let mut links: Vec<Link> = Vec::new();
            self.sessions.change(
                |session| session.declined.contains(&lag_key),
                |link, session| {
                    session.declined.remove(&lag_key);
                    links.push(*link);
                },
            );
            // Who lacks it asks for it then.
            links.into_iter().for_each(|link| self.say_position(link, id, key));
        }
    }

    /// Looks again for what statements name and was not found: it may be where nobody could read.
    fn seek_again(&mut self, log: &LogId) {
        let id = log.compartment;
        let Some(area) = self.areas.get_mut(&id).filter(|_| log.class != Class::Authority) else {
            return;
        };
        let spoken = area.spoken.iter().filter(|(_, spoken)| spoken.place.is_none());
        let listed = area.listed.iter().filter(|(_, place)| place.is_none());
        let ids: BTreeSet<_> = spoken.map(|(id, _)| *id).chain(listed.map(|(id, _)| *id)).collect();
        if !ids.is_empty() {
            area.search = Some(Search::new(ids));
        }
        self.said.insert(id);
    }
}

/// What was read; nothing where a value of the store is damaged: others have it, too.
pub(super) fn unless_damaged<T>(
    read: Result<Option<T>, StoreError>,
) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Damaged { .. }) => Ok(None),
        read => read,
    }
}
