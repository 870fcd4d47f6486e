//! Shares: who brings what, where several peers have what is missing here.
//!
//! A peer that catches up from several others would get the same from each. So who is about to send a lot says
//! which logs, and up to where ([`Frame::Bring`]). Of what two or more peers have ([`Session::claims`]) each log
//! has one *bringer* here; the others are told to wait ([`Frame::Wait`]), and hear when the log is as long here as
//! they said. A log goes to whoever has least to bring, so that all links carry something. This is the
//! sharing of pieces among sources of BitTorrent (B. Cohen, *Incentives build robustness in BitTorrent*, 2003),
//! with logs in the place of pieces.
//!
//! The receiver alone decides, and gives nobody more than a turn. A bringer whose link ends loses its logs
//! at once, one from whose link nothing comes for [`SILENT_MS`] all of them, one that brings nothing of a log for
//! [`STUCK_MS`] that log; one who has nothing left to bring takes over half of what another needs long for, and its
//! only log if that is slow: so nobody holds a log up by bringing a little of it now and then.
//! Whoever takes over hears the position, and goes on from the last durable entry. Who failed with a log
//! gets it back only when all others failed, too. So what a peer that withholds can cost is that time, once
//! for each log that it claims, all at the same time. Whoever is told to wait loses nothing but what it asked for.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{CompartmentId, DeviceId};
use tearline_crdt::store::Store;
use tearline_crdt::time::MonoTime;

use super::lag::LagKey;
use super::session::{Phase, Session};
use super::sync::Outcome;
use super::{Link, Replica};
use crate::wire::{Frame, POSITIONS_MAX, Tag};

/// Who brings what.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Logs that several peers have.
    of: BTreeMap<LagKey, Share>,
    /// What each of these peers is to bring.
    by: BTreeMap<Link, Load>,
    /// Whether somebody may have nothing left to bring, or a link ended.
    look: bool,
    /// When it is looked next whether somebody is stuck.
    look_at: MonoTime,
    /// What is to be said: who is to wait with which logs.
    waits: BTreeMap<(Link, CompartmentId), BTreeMap<LogKey, u64>>,
}

/// A log that several peers have.
#[derive(Debug)]
struct Share {
    /// Who brings it.
    link: Link,
    /// When it began to, or brought something of it.
    moved: MonoTime,
    /// Who brought nothing of it.
    failed: BTreeSet<Link>,
}

/// What somebody is to bring.
#[derive(Debug, Default)]
struct Load {
    logs: BTreeSet<LagKey>,
    /// Entries that were missing of these when they were given to it.
    entries: u64,
    /// Entries that came since it brings anything.
    came: u64,
    since: MonoTime,
}

/// What is said on one link of who brings what.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Logs that were found to be missing there, of which it was not said that they are brought.
    unsaid: BTreeSet<LagKey>,
    /// Logs that the peer brings, and up to where.
    brings: BTreeMap<LagKey, u64>,
    /// Logs that it was told to wait with.
    waits: BTreeSet<LagKey>,
}

impl Side {
    /// A comparison showed that the peer lacks something of a log.
    pub(super) fn note_missing(&mut self, key: LagKey) {
        self.unsaid.insert(key);
    }

    /// The peer asked for what is missing, and knows what comes.
    pub(super) fn is_known(&mut self) {
        self.unsaid.clear();
    }

    pub(super) fn part_with(&mut self, id: CompartmentId) {
        self.unsaid.retain(|key| key.1 != id);
        self.brings.retain(|key, _| key.1 != id);
        self.waits.retain(|key| key.1 != id);
    }
}

/// Who sends fewer entries says nothing of it: what comes twice of so few costs less.
const BROUGHT_ENTRIES_MIN: u64 = 256;
/// Most logs that one peer may say it brings: so many as there are of the busiest coalition that is measured,
/// with room. Of others it is as if it had said nothing.
const BROUGHT_LOGS_MAX: usize = 131_072;
/// A bringer from whose link nothing comes for so long brings nothing; on a thin link one entry may take
/// minutes, and there is no better one, or it would not bring anything.
const SILENT_MS: u64 = 5_000;
/// One who brings other things for so long and nothing of a log does not bring that: longer than a link of 64 kbit/s
/// needs for the largest run.
const STUCK_MS: u64 = 20_000;
/// And each of its logs waits for its turn among the others: one of them takes so long at 64 entries on a fast link.
const TURN_MS: u64 = 5;
const THIN_MS: u64 = 30 * 60_000;
/// Who will be done within this gives nothing away: most of it is on its way.
const DONE_SOON_MS: u64 = 2_000;

impl Session {
    /// Up to where the peer has a log, as far as it said.
    pub(super) fn claims(&self, key: &LagKey) -> u64 {
        let wanted = self.open.wanted.get(key).copied().unwrap_or_default();
        wanted.max(self.side.brings.get(key).copied().unwrap_or_default())
    }

    /// All that the peer said it has more of than was here, and up to where.
    pub(super) fn claimed(&self) -> impl Iterator<Item = (&LagKey, u64)> {
        let wanted = self.open.wanted.keys();
        let brought = self.side.brings.keys().filter(|key| !self.open.wanted.contains_key(*key));
        wanted.chain(brought).map(|key| (key, self.claims(key)))
    }

    /// Nothing counts any more of what they said of a log.
    pub(super) fn forget_claims(&mut self, key: &LagKey) {
        self.open.forget(key);
        self.side.brings.remove(key);
    }
}

impl<S: Store> Replica<S> {
    /// Says which logs are about to be sent, if that is much.
    pub(super) fn say_brings(&mut self, link: Link) {
        let Some(session) = self.sessions.get(&link).filter(|s| !s.side.unsaid.is_empty()) else {
            return;
        };
        let (live, thin) = (session.phase == Phase::Live, session.thin);
        if !live {
            return;
        }
        let mut areas: BTreeMap<CompartmentId, Vec<(LogKey, u64)>> = BTreeMap::new();
        let mut entries = 0u64;
        for key in &session.side.unsaid {
            let (_, id, log) = key;
            let own = self.areas.get(id).map_or(0, |area| area.frontier.head(log).next);
            let Some(lag) = session.lag.get(key).filter(|lag| lag.sent < own) else { continue };
            entries = entries.saturating_add(own - lag.sent);
            areas.entry(*id).or_default().push((*log, own));
        }
        if let Some(session) = self.sessions.get_mut(&link) {
            session.side.unsaid.clear();
        }
        if thin || entries < BROUGHT_ENTRIES_MIN {
            return;
        }
        for (id, logs) in areas {
            let area = self.tag_of(link, &id);
            for part in logs.chunks(POSITIONS_MAX) {
                self.say(link, Frame::Bring { area, logs: part.to_vec() });
            }
        }
    }

    /// The peer is about to send what follows in these logs.
    pub(super) fn on_bring(&mut self, link: Link, tag: Tag, logs: &[(LogKey, u64)]) -> Outcome {
        if let Err(fault) = self.charge(link, 1) {
            return Ok(Err(fault));
        }
        let Some(id) = self.area_of(link, tag).filter(|id| self.may_bring(link, *id)) else {
            return Ok(Ok(()));
        };
        let mut idle = 0;
        for (log, next) in logs {
            let key = super::lag::lag_key(id, *log);
            let Some(area) = self.areas.get(&id) else { break };
            if *next <= area.frontier.head(log).next || !self.may_share(link, &key) {
                idle += 1;
                continue;
            }
            let Some(session) = self.sessions.get_mut(&link) else { break };
            let brings = &mut session.side.brings;
            if brings.len() >= BROUGHT_LOGS_MAX && !brings.contains_key(&key) {
                idle += 1;
                continue;
            }
            idle += usize::from(brings.insert(key, *next).is_some_and(|said| said >= *next));
            if !self.is_to_bring(link, key) {
                self.tell_to_wait(link, key);
            }
        }
        Ok(self.charge(link, idle))
    }

    /// Whether a log is taken from a peer as far as is known, and it matters who brings it.
    fn may_share(&self, link: Link, key: &LagKey) -> bool {
        let (_, id, log) = key;
        let Some(area) = self.areas.get(id) else { return false };
        let held = area.logs.get(log);
        let takes = held.is_none_or(|held| {
            self.admits(held, None) && !self.logbook.has_excess(*id, held.device)
        });
        let session = self.sessions.get(&link).filter(|s| s.is_heard());
        takes
            && !area.frontier.is_forked(log)
            && session.is_some_and(|s| !s.refused.contains(*id, *log, held.is_some()))
    }

    /// Whether a peer that has more of a log than is here is to bring it; it said so just now.
    pub(super) fn is_to_bring(&mut self, link: Link, key: LagKey) -> bool {
        if let Some(share) = self.shares.of.get(&key) {
            let is_it = share.link == link;
            if let Entry::Vacant(fresh) = self.shares.by.entry(link) {
                // One more, which may take something over.
                fresh.insert(Load::default());
                self.shares.look = true;
            }
            return is_it;
        }
        if !self.may_share(link, &key) {
            return true;
        }
        let mut claimants = self.claimants(&key);
        claimants.retain(|other| self.may_share(*other, &key));
        if claimants.iter().all(|other| *other == link) {
            return true;
        }
        if self.shares.of.is_empty() {
            self.shares.look_at = self.clock.plus_ms(SILENT_MS);
        }
        for other in &claimants {
            self.shares.by.entry(*other).or_default();
        }
        // Of two who have as much to bring who began goes on.
        let least = claimants.iter().min_by_key(|other| (self.cost(other), **other == link));
        let Some(bringer) = least.copied() else { return true };
        let share = Share { link: bringer, moved: self.clock, failed: BTreeSet::new() };
        self.shares.of.insert(key, share);
        self.load(bringer, key);
        for other in claimants.into_iter().filter(|other| ![bringer, link].contains(other)) {
            self.tell_to_wait(other, key);
        }
        bringer == link
    }

    /// Who has more of a log than is here.
    fn claimants(&self, key: &LagKey) -> Vec<Link> {
        let own = self.areas.get(&key.1).map_or(0, |area| area.frontier.head(&key.2).next);
        let claims = |session: &Session| {
            session.phase == Phase::Live && session.is_heard() && session.claims(key) > own
        };
        self.sessions.iter().filter(|(_, s)| claims(s)).map(|(link, _)| *link).collect()
    }

    /// What it costs to let a peer bring a log: thin links come last.
    fn cost(&self, link: &Link) -> (bool, u64) {
        let thin = self.sessions.get(link).is_none_or(|session| session.thin);
        (thin, self.shares.by.get(link).map_or(0, |load| load.entries))
    }

    /// A log is given to a peer.
    fn load(&mut self, link: Link, key: LagKey) {
        let entries = self.left_with(link, &key);
        let clock = self.clock;
        let load = self.shares.by.entry(link).or_default();
        if load.logs.is_empty() {
            *load = Load { since: clock, ..Load::default() };
        }
        load.logs.insert(key);
        load.entries = load.entries.saturating_add(entries);
    }

    /// A log is taken from a peer.
    fn unload(&mut self, link: Link, key: &LagKey) {
        let entries = self.left_with(link, key);
        let Some(load) = self.shares.by.get_mut(&link) else { return };
        if load.logs.remove(key) {
            load.entries = load.entries.saturating_sub(entries);
        }
        self.shares.look |= load.logs.is_empty();
    }

    /// How much of a log a peer has that is not here.
    fn left_with(&self, link: Link, key: &LagKey) -> u64 {
        let own = self.areas.get(&key.1).map_or(0, |area| area.frontier.head(&key.2).next);
        self.sessions.get(&link).map_or(0, |session| session.claims(key).saturating_sub(own))
    }

    /// Somebody else brings a log, and the peer has more of it than is here, too.
    fn is_brought_by_another(&self, link: Link, key: &LagKey) -> bool {
        let share = self.shares.of.get(key);
        share.is_some_and(|share| share.link != link && self.may_share(share.link, key))
            && self.left_with(link, key) > 0
    }

    /// Whether the peer is not asked for a log, because somebody else brings it; then it is told to wait.
    pub(super) fn is_put_off(&mut self, link: Link, key: LagKey) -> bool {
        let is = self.is_brought_by_another(link, &key);
        if is {
            self.tell_to_wait(link, key);
        }
        is
    }

    /// Whether a peer owes a log, so that it may be asked for it again.
    pub(super) fn is_owed_by(&self, link: Link, key: &LagKey) -> bool {
        !self.is_brought_by_another(link, key)
    }

    fn tell_to_wait(&mut self, link: Link, key: LagKey) {
        let Some(share) = self.shares.of.get(&key) else { return };
        let bringer = self.sessions.get(&share.link);
        let upto = bringer.map_or(0, |session| session.claims(&key));
        let Some(session) = self.sessions.get_mut(&link) else { return };
        // It hears when it is as long here as there, and so waits for no more than that.
        let upto = upto.min(session.claims(&key));
        session.side.waits.insert(key);
        self.shares.waits.entry((link, key.1)).or_default().insert(key.2, upto);
    }

    /// Another brings the peer these logs.
    pub(super) fn on_wait(&mut self, link: Link, tag: Tag, logs: &[(LogKey, u64)]) -> Outcome {
        let Some(id) = self.area_of(link, tag) else { return Ok(self.charge(link, 1)) };
        let mut idle = 0;
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(Ok(())) };
        for (log, upto) in logs {
            let holds_off = session.hold_off(&super::lag::lag_key(id, *log), *upto);
            idle += usize::from(!holds_off);
        }
        Ok(self.charge(link, idle))
    }

    /// A log is durable here up to a position: who has to hear of it, being told to wait for that.
    ///
    /// Returns the links, and what is to be said there: as much as they said they have.
    pub(super) fn note_brought(
        &mut self,
        key: &LagKey,
        to: u64,
        (source, entries): (Option<Link>, u64),
    ) -> Vec<(Link, u64)> {
        let mut told = Vec::new();
        if self.shares.of.is_empty() {
            return told;
        }
        self.sessions.change(
            |session| session.side.waits.contains(key) && session.claims(key) <= to,
            |link, session| {
                session.side.waits.remove(key);
                told.push((*link, session.claims(key)));
            },
        );
        let clock = self.clock;
        if let Some(load) = source.and_then(|source| self.shares.by.get_mut(&source)) {
            load.came = load.came.saturating_add(entries);
            if load.logs.contains(key) {
                load.entries = load.entries.saturating_sub(entries);
            }
        }
        let Some(share) = self.shares.of.get_mut(key) else { return told };
        let bringer = share.link;
        if source == Some(bringer) {
            share.moved = clock;
        }
        if self.sessions.get(&bringer).is_none_or(|session| session.claims(key) <= to) {
            self.shares.of.remove(key);
            self.unload(bringer, key);
            // Somebody may have more of it.
            let more = self.sessions.iter().filter(|(_, session)| session.claims(key) > to);
            let more: Vec<Link> = more.map(|(link, _)| *link).collect();
            for link in more {
                if self.is_to_bring(link, *key) {
                    self.ask_for_share(link, *key);
                }
            }
        }
        told
    }

    /// A log is refused that a peer brings: others are refused, too, and hear of it as they did before.
    pub(super) fn note_not_taken(&mut self, link: Link, key: &LagKey) {
        if let Some(session) = self.sessions.get_mut(&link) {
            session.side.brings.remove(key);
        }
        if self.shares.of.get(key).is_some_and(|share| share.link == link) {
            self.shares.of.remove(key);
            self.unload(link, key);
            self.release(key);
        }
    }

    /// A peer has not what it said it brings.
    pub(super) fn note_not_there(&mut self, link: Link, key: &LagKey) {
        if let Some(session) = self.sessions.get_mut(&link) {
            session.side.brings.remove(key);
        }
        if self.shares.of.get(key).is_some_and(|share| share.link == link) {
            self.pass_on(*key);
        }
    }

    /// Nobody waits for another with a log any more.
    fn release(&mut self, key: &LagKey) {
        let waiting = self.sessions.iter().filter(|(_, session)| session.side.waits.contains(key));
        let mut links: BTreeSet<Link> = waiting.map(|(link, _)| *link).collect();
        let others = self.claimants(key).into_iter().filter(|link| self.may_share(*link, key));
        links.extend(others);
        links.into_iter().for_each(|link| self.ask_for_share(link, *key));
    }

    fn ask_for_share(&mut self, link: Link, key: LagKey) {
        if let Some(session) = self.sessions.get_mut(&link) {
            session.side.waits.remove(&key);
        }
        if let Some(waits) = self.shares.waits.get_mut(&(link, key.1)) {
            waits.remove(&key.2);
        }
        self.say_position(link, key.1, key.2);
    }

    /// An area is not followed any more.
    pub(super) fn part_with_shares(&mut self, id: CompartmentId) {
        self.shares.of.retain(|key, _| key.1 != id);
        for load in self.shares.by.values_mut() {
            load.logs.retain(|key| key.1 != id);
            if load.logs.is_empty() {
                load.entries = 0;
            }
        }
        self.shares.look = true;
        self.shares.waits.retain(|(_, area), _| *area != id);
    }

    /// The bringer of a log failed: another brings it, if there is one.
    fn pass_on(&mut self, key: LagKey) {
        let Some(from) = self.shares.of.get(&key).map(|share| share.link) else { return };
        self.unload(from, &key);
        let mut others = self.claimants(&key);
        let is_there = others.contains(&from);
        others.retain(|other| *other != from && self.may_share(*other, &key));
        let clock = self.clock;
        let Some(share) = self.shares.of.get_mut(&key) else { return };
        share.failed.insert(from);
        if others.iter().all(|other| share.failed.contains(other)) {
            share.failed = BTreeSet::from([from]);
        }
        let failed = share.failed.clone();
        let able = others.iter().filter(|other| !failed.contains(other));
        let Some(next) = able.min_by_key(|other| self.cost(other)).copied() else {
            if is_there && self.may_share(from, &key) {
                if let Some(share) = self.shares.of.get_mut(&key) {
                    share.moved = clock;
                }
                self.load(from, key);
            } else {
                self.shares.of.remove(&key);
                self.release(&key);
            }
            return;
        };
        self.give(key, from, next);
    }

    /// Another brings a log from now on.
    fn give(&mut self, key: LagKey, from: Link, to: Link) {
        let clock = self.clock;
        let Some(share) = self.shares.of.get_mut(&key) else { return };
        (share.link, share.moved) = (to, clock);
        self.load(to, key);
        self.ask_for_share(to, key);
        if self.left_with(from, &key) > 0 {
            self.tell_to_wait(from, key);
        }
    }

    /// When it is looked whether somebody is stuck.
    pub(super) fn next_share(&self) -> Option<MonoTime> {
        (!self.shares.of.is_empty()).then_some(self.shares.look_at)
    }

    /// Gives what those bring who are gone or stuck to others, and something to those who have nothing left to bring; and
    /// says who is to wait.
    pub(super) fn tend_shares(&mut self) {
        if self.shares.by.keys().any(|link| !self.sessions.contains_key(link)) {
            self.bury_bringers();
        }
        if !self.shares.of.is_empty() && self.shares.look_at <= self.clock {
            self.shares.look_at = self.clock.plus_ms(SILENT_MS);
            self.shares.look = true;
            self.relieve_stuck();
        }
        if std::mem::take(&mut self.shares.look) {
            self.even_out();
        }
        if self.shares.of.is_empty() {
            self.shares.by.clear();
        }
        for ((link, id), logs) in std::mem::take(&mut self.shares.waits) {
            let area = self.tag_of(link, &id);
            let logs: Vec<(LogKey, u64)> = logs.into_iter().collect();
            for part in logs.chunks(POSITIONS_MAX) {
                self.say(link, Frame::Wait { area, logs: part.to_vec() });
            }
        }
    }

    /// What those were to bring whose links ended, others bring.
    fn bury_bringers(&mut self) {
        let gone = self.shares.by.keys().filter(|link| !self.sessions.contains_key(link));
        let gone: Vec<Link> = gone.copied().collect();
        let mut logs: BTreeSet<LagKey> = BTreeSet::new();
        for link in gone {
            logs.extend(self.shares.by.remove(&link).unwrap_or_default().logs);
        }
        logs.into_iter().for_each(|key| self.pass_on(key));
        self.shares.look = true;
    }

    fn relieve_stuck(&mut self) {
        let clock = self.clock;
        let is_stuck = |(key, share): (&LagKey, &Share)| {
            let session = self.sessions.get(&share.link)?;
            let logs = self.shares.by.get(&share.link).map_or(0, |load| load.logs.len() as u64);
            let turn = logs.saturating_mul(TURN_MS);
            let (silent, stuck) =
                if session.thin { (THIN_MS, THIN_MS) } else { (SILENT_MS, STUCK_MS + turn) };
            let silent = session.owing.last_moved().max(share.moved).plus_ms(silent) <= clock;
            (silent || share.moved.plus_ms(stuck) <= clock).then_some(*key)
        };
        let stuck: Vec<LagKey> = self.shares.of.iter().filter_map(is_stuck).collect();
        stuck.into_iter().for_each(|key| self.pass_on(key));
    }

    /// Who has nothing left to bring takes half of what the one brings who needs longest, or its only log from a slower one.
    fn even_out(&mut self) {
        let idle = self.shares.by.iter().filter(|(_, load)| load.logs.is_empty());
        let idle: Vec<Link> = idle.map(|(link, _)| *link).collect();
        for link in idle {
            if self.sessions.get(&link).is_none_or(|session| session.thin) {
                continue;
            }
            let untried = Load::default();
            let own = self.shares.by.get(&link).unwrap_or(&untried);
            let busy = self.shares.by.iter().filter(|(_, load)| {
                load.left_ms(self.clock) > DONE_SOON_MS
                    && (load.logs.len() > 1 || own.may_outpace(load, self.clock))
            });
            let busiest = busy.max_by_key(|(_, load)| load.left_ms(self.clock));
            let Some((from, load)) = busiest else { continue };
            let from = *from;
            let may = |key: &&LagKey| {
                let share = self.shares.of.get(key);
                self.left_with(link, key) > 0
                    && self.may_share(link, key)
                    && share.is_some_and(|share| !share.failed.contains(&link))
            };
            let mut theirs: Vec<(MonoTime, LagKey)> = load
                .logs
                .iter()
                .filter(may)
                .filter_map(|key| Some((self.shares.of.get(key)?.moved, *key)))
                .collect();
            // Logs take turns: of what it brought something of just now it sends more last.
            theirs.sort_unstable();
            theirs.reverse();
            let half = (load.logs.len() / 2).max(1);
            theirs.truncate(half);
            for (_, key) in theirs {
                self.unload(from, &key);
                self.give(key, from, link);
            }
        }
    }

    /// Who brings a log that several have.
    #[must_use]
    pub fn bringer(&self, id: CompartmentId, log: LogKey) -> Option<DeviceId> {
        let share = self.shares.of.get(&super::lag::lag_key(id, log))?;
        self.sessions.get(&share.link).map(|session| session.device)
    }
}

impl Load {
    /// How long it has been bringing, in ms.
    fn passed_ms(&self, now: MonoTime) -> u64 {
        now.0.saturating_sub(self.since.0).max(1)
    }

    /// How long it will take at the pace of so far.
    fn left_ms(&self, now: MonoTime) -> u64 {
        self.entries.saturating_mul(self.passed_ms(now)) / self.came.max(1)
    }

    /// Whether a log is better off with it than as all that another brings, who needs long: it was twice as fast,
    /// or was never tried.
    fn may_outpace(&self, other: &Self, now: MonoTime) -> bool {
        let left = other.left_ms(now);
        if other.logs.is_empty() || other.passed_ms(now) < DONE_SOON_MS || left <= SILENT_MS {
            return false;
        }
        if self.since == MonoTime(0) {
            return left > STUCK_MS;
        }
        let own = self.came.saturating_mul(other.passed_ms(now));
        own > other.came.saturating_mul(self.passed_ms(now)).saturating_mul(2)
    }
}
