//! Bundles read, and what is remembered of those that were exchanged with a device.
//!
//! A bundle is one half of a conversation, written down: the frames in it are those of
//! [`crate::wire`], and they are taken as from a link with its maker on which nobody listens. So what
//! comes by hand is verified, admitted, stored and blamed as what comes over a wire. Two things differ.
//! Its maker did not know where its readers would be by then: a run may overlap what is here, or begin
//! behind it, or continue another branch of a forked log, which is said before it ([`Frame::After`]).
//! And nobody answers: the *receipt* of a bundle is the positions that its reader says in the next one
//! that it makes, or over a link.
//!
//! Of each device is remembered how far it is in each log, as it said or showed by what it packed, and up
//! to where the log was packed for it since. Both are hints: when they are wrong, too much is packed or the
//! reader says that there is a gap, and its next receipt puts that right.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::entry::fork::ForkProof;
use tearline_crdt::entry::run::{Head as LogHead, UnverifiedRun, VerifiedEntry, VerifiedRun};
use tearline_crdt::epoch::KEY_BOX_BYTES;
use tearline_crdt::frontier::Leaf;
use tearline_crdt::id::{DeviceId, LogId};
use tearline_crdt::logbook::LogNo;
use tearline_crdt::store::{Batch, Scan, Space, Store, StoreError, scan_past_damage};
use tearline_crdt::time::{Now, WallTime};

use super::ingest::Incoming;
use super::repair::unless_damaged;
use super::session::{Phase, Session};
use super::stripped::Content;
use super::sync::Outcome;
use super::{Link, Replica, Room};
use crate::bundle::{self, Head};
use crate::fault::PeerFault;
use crate::wire::{Frame, Nonce, Tag};

/// Why a bundle is not read at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotRead {
    /// Its maker has no standing here, or none any more.
    #[error("the device that made it has no standing here")]
    Stranger,
    /// The key that sealed it is another than its maker's card names.
    #[error("it was not sealed with the key of the device that it says made it")]
    OtherKey,
}

/// What became of what was in a bundle, in entries.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Taken {
    /// Stored: they were not here.
    pub new: u64,
    /// Were here already.
    pub held: u64,
    /// Begin behind what is here: something before them is missing.
    pub gap: u64,
    /// Continue another branch of a log than the one that is here.
    pub other_branch: u64,
    /// Not taken now: of areas that are not known here, of authors who have no standing, beyond a fork,
    /// without content that nothing erases, or for want of room.
    pub refused: u64,
    /// Whether its maker's positions were older than those known.
    pub stale: bool,
    /// What its maker did wrong, at which reading ended.
    pub fault: Option<PeerFault>,
}

/// A bundle that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    head: Head,
    /// What the next run follows.
    after: Option<[u8; 8]>,
    /// The logs of which its maker said or showed where it is.
    told: BTreeSet<LogNo>,
    taken: Taken,
}

/// The latest bundles that were exchanged with a device, by when they were made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Exchanged {
    /// Made here for it.
    pub sent: Option<WallTime>,
    /// Made by it, by its own clock, and read here to the end.
    pub received: Option<WallTime>,
}

/// Where a device is in a log, as far as it was said by hand.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Known {
    /// Where it said that it is.
    pub(super) said: u64,
    /// The head that it said it has there.
    pub(super) head: [u8; 8],
    /// Up to where the log was packed for it since.
    pub(super) packed: Option<u64>,
}

impl<S: Store> Replica<S> {
    /// The agreement key of a device that has a standing.
    #[must_use]
    pub fn agreement_of(&self, device: &DeviceId) -> Option<[u8; 32]> {
        self.coalitions().find_map(|coalition| Some(coalition.live(device)?.card.agreement))
    }

    /// Whether a bundle's maker has a standing here, and the key that its card names.
    pub fn check_maker(&self, head: &Head) -> Result<(), NotRead> {
        match self.agreement_of(&head.maker) {
            None => Err(NotRead::Stranger),
            Some(agreement) if agreement == head.agreement => Ok(()),
            Some(_) => Err(NotRead::OtherKey),
        }
    }

    /// Begins to read a bundle, as a link of its own: its frames are said as
    /// [`Input::Frame`](super::Input::Frame)s, and [`Replica::end_reading`] ends it.
    pub fn begin_reading(&mut self, head: &Head) -> Result<Link, NotRead> {
        self.check_maker(head)?;
        // Drivers count their links from the other end.
        let link = Link(u64::MAX - self.readings_begun);
        self.readings_begun += 1;
        let mut session = Session::new(head.maker, false, Nonce::default());
        session.phase = Phase::Bundle(head.name);
        let followed = self.areas.keys().filter(|id| self.follows(id));
        session.names = followed.map(|id| (bundle::tag(&head.name, id), *id)).collect();
        self.sessions.insert(link, session);
        let last = self.exchanged.get(&head.maker).and_then(|last| last.received);
        let stale = last.is_some_and(|last| head.made <= last);
        let taken = Taken { stale, ..Taken::default() };
        self.readings
            .insert(link, Reading { head: *head, after: None, told: BTreeSet::new(), taken });
        Ok(link)
    }

    /// How far reading is; `None` if nothing more is heard, because there was no room meanwhile.
    #[must_use]
    pub fn reading(&self, link: Link) -> Option<&Taken> {
        let taken = self.readings.get(&link).map(|reading| &reading.taken);
        taken.filter(|taken| taken.fault.is_some() || self.sessions.contains_key(&link))
    }

    /// Ends reading a bundle, of which all was said here or not. What was taken stays.
    pub fn end_reading(&mut self, link: Link, whole: bool) -> Result<Taken, StoreError> {
        // It has none any more if its maker was at fault, or if there was no room meanwhile.
        let heard = self.sessions.remove(&link).is_some() && self.room > Room::Nothing;
        let Some(Reading { head: Head { maker, made, .. }, told, taken, .. }) =
            self.readings.remove(&link)
        else {
            return Ok(Taken::default());
        };
        if whole && heard && !taken.stale {
            let mut batch = Batch::default();
            // Of the other logs it holds nothing, whatever was packed or said before.
            let known = self.known_of(&maker)?.into_keys().filter(|no| !told.contains(no));
            known.for_each(|no| batch.remove(Space::Meta, known_key(&maker, no)));
            self.memories.remove(&maker);
            let last = self.exchanged.get(&maker).copied().unwrap_or_default();
            self.note_exchanged(&mut batch, maker, Exchanged { received: Some(made), ..last });
            self.apply(batch)?;
        }
        Ok(taken)
    }

    /// The latest bundles that were exchanged, by device.
    #[must_use]
    pub const fn exchanged(&self) -> &BTreeMap<DeviceId, Exchanged> {
        &self.exchanged
    }

    pub(super) fn note_exchanged(&mut self, batch: &mut Batch, device: DeviceId, last: Exchanged) {
        batch.put(Space::Meta, [EXCHANGED_PREFIX, &device.0].concat(), last.encode());
        self.exchanged.insert(device, last);
    }

    pub(super) fn load_exchanged(&mut self) -> Result<(), StoreError> {
        let mut bad = None;
        let exchanged = &mut self.exchanged;
        self.store.scan(Space::Meta, EXCHANGED_PREFIX, &[], &mut |key, value| {
            let device = key.get(EXCHANGED_PREFIX.len()..).and_then(|id| id.try_into().ok());
            match (device, Exchanged::decode(value)) {
                (Some(id), Ok(last)) => {
                    exchanged.insert(DeviceId(id), last);
                    ControlFlow::Continue(())
                }
                _ => {
                    bad = Some(tearline_crdt::store::damaged(Space::Meta, key));
                    ControlFlow::Break(())
                }
            }
        })?;
        bad.map_or(Ok(()), Err)
    }

    /// Where a device is, as far as it was said by hand.
    pub(super) fn known_of(&self, device: &DeviceId) -> Result<BTreeMap<LogNo, Known>, StoreError> {
        let mut known = BTreeMap::new();
        let prefix = [KNOWN_PREFIX, &device.0].concat();
        let scan: &Scan<'_> = &|from, visit| self.store.scan(Space::Meta, &prefix, from, visit);
        scan_past_damage(scan, &[], &mut |key, value| {
            let no = key.get(prefix.len()..).and_then(|no| no.try_into().ok());
            let one = value.ok().and_then(|value| Known::decode(value).ok());
            // What cannot be read was not said: more is packed than is needed.
            if let (Some(no), Some(one)) = (no.map(u32::from_be_bytes), one) {
                known.insert(LogNo(no), one);
            }
            ControlFlow::Continue(())
        })?;
        Ok(known)
    }

    pub(super) fn on_bundle_frame(&mut self, now: Now, link: Link, frame: Frame) -> Outcome {
        let Some(reading) = self.readings.get_mut(&link) else { return Ok(Ok(())) };
        let after = reading.after.take();
        if after.is_some() && !matches!(frame, Frame::Run { .. }) {
            return Ok(Err(PeerFault::OutOfTurn(frame.name())));
        }
        match frame {
            Frame::Positions { area, positions } => self.on_receipt(link, area, &positions),
            Frame::Intro { opening } => self.on_intro(link, &opening),
            Frame::Fork { area, proof } => self.on_fork(now, link, area, &proof),
            Frame::Evidence { area, branches } => self.on_evidence(now, link, area, &branches),
            Frame::Stray { area, stray } => self.on_stray(now, link, area, &stray),
            Frame::After { head } => {
                reading.after = Some(head);
                Ok(Ok(()))
            }
            Frame::Run {
                area,
                key,
                author,
                knows,
                hops: None,
                left_out,
                first,
                count,
                entries,
                boxes,
            } => {
                if after.is_some() != (first > 0) {
                    return Ok(Err(PeerFault::OutOfTurn("run")));
                }
                let run = Incoming { key, author, knows, left_out, first, count, entries, boxes };
                self.on_bundle_run(now, link, area, run, after)
            }
            other => Ok(Err(PeerFault::OutOfTurn(other.name()))),
        }
    }

    /// Takes of a run what continues its log here.
    fn on_bundle_run(
        &mut self,
        now: Now,
        link: Link,
        tag: Tag,
        run: Incoming,
        after: Option<[u8; 8]>,
    ) -> Outcome {
        let count = run.count as u64;
        let Some(id) = self.area_of(link, tag) else {
            self.tally(link, |taken| taken.refused += count);
            return Ok(Ok(()));
        };
        let (key, first) = (run.key, run.first);
        let log = self.areas.get(&id).and_then(|area| area.logs.get(&key)).map(|log| **log);
        let head = log.map_or(LogHead::EMPTY, |log| self.logbook.head(&log));
        if first > head.next {
            self.tally(link, |taken| taken.gap += count);
            return Ok(Ok(()));
        }
        if let (Some(log), Some(_)) = (log, after)
            && let Some(held) = self.tag_if_readable(&log, first)?
            && held != after
        {
            self.tally(link, |taken| taken.other_branch += count);
            return Ok(Ok(()));
        }
        let held = head.next.saturating_sub(first).min(count);
        let rest = match log.filter(|_| held > 0) {
            None => run,
            Some(log) => match self.behind(&log, &head, run)? {
                Ok(Overlap::Same(rest, held)) => {
                    if let Some(held) = held
                        && self.content_of(&held, rest.knows) == Content::Sound
                    {
                        self.fill(now, &held)?;
                        self.fill_from(now, &held)?;
                    }
                    rest
                }
                Ok(Overlap::Differs(proof)) => {
                    self.tally(link, |taken| taken.other_branch += count);
                    if let Some(proof) = proof {
                        self.keep_fork(now, &proof)?;
                    }
                    return Ok(Ok(()));
                }
                Err(fault) => return Ok(Err(fault)),
            },
        };
        self.tally(link, |taken| taken.held += held);
        let outcome = if rest.count > 0 { self.on_run(now, link, tag, rest)? } else { Ok(()) };
        let Some(log) = self.areas.get(&id).and_then(|area| area.logs.get(&key)).map(|log| **log)
        else {
            self.tally(link, |taken| taken.refused += count);
            return Ok(outcome);
        };
        let next = self.logbook.head(&log).next;
        let new = next.saturating_sub(head.next);
        self.tally(link, |taken| {
            taken.new += new;
            taken.refused += count.saturating_sub(held).saturating_sub(new);
        });
        self.note_shown(link, &log, next.min(first.saturating_add(count)))?;
        Ok(outcome)
    }

    /// What of a run, which begins in its log here, is behind the log's end.
    fn behind(
        &mut self,
        log: &LogId,
        head: &LogHead,
        run: Incoming,
    ) -> Result<Result<Overlap, PeerFault>, StoreError> {
        let from = match run.first.checked_sub(1) {
            None => LogHead::EMPTY,
            Some(last) => match unless_damaged(self.logbook.entry(&self.store, log, last))? {
                Some(entry) => LogHead { next: run.first, id: entry.id, epoch: entry.epoch },
                // Of what follows it cannot be said here what it continues.
                None => return Ok(Ok(Overlap::Differs(None))),
            },
        };
        let Incoming { count, entries, boxes, .. } = &run;
        let unverified = UnverifiedRun { log: *log, count: *count, entries, boxes };
        let verified = match unverified.verify(&from) {
            Ok(verified) => verified,
            Err(fault) => return Ok(Err(PeerFault::Run(fault))),
        };
        let held: Vec<_> =
            verified.entries().iter().take_while(|entry| entry.seq < head.next).collect();
        let Some(last) = held.last() else { return Ok(Ok(Overlap::Same(run, None))) };
        let own = self.logbook.entry(&self.store, log, last.seq);
        let is_same = match self.past_damage(own)? {
            Some(own) => own.id == last.id,
            None => self.gap_from(log, last.seq).is_some_and(|gap| {
                let ends = |entry: &&VerifiedEntry| entry.seq.checked_add(1) == Some(gap.span.end);
                verified.entries().iter().find(ends).is_some_and(|entry| entry.id == gap.last)
            }),
        };
        if !is_same {
            return Ok(Ok(Overlap::Differs(self.fork_in(log, &verified)?.map(Box::new))));
        }
        let boxes = held.iter().filter(|entry| entry.key_box.is_some()).count() * KEY_BOX_BYTES;
        let rest = Incoming {
            author: None,
            first: head.next,
            count: run.count.saturating_sub(held.len()),
            entries: run.entries.get(last.end..).unwrap_or_default().to_vec(),
            boxes: run.boxes.get(boxes..).unwrap_or_default().to_vec(),
            ..run
        };
        Ok(Ok(Overlap::Same(rest, Some(Box::new(verified)))))
    }

    /// The proof that a run has another entry somewhere than is here.
    fn fork_in(&self, log: &LogId, run: &VerifiedRun) -> Result<Option<ForkProof>, StoreError> {
        for entry in run.entries() {
            let own = unless_damaged(self.logbook.entry(&self.store, log, entry.seq))?;
            let Some(own) = own else { break };
            if own.id != entry.id {
                let own = unless_damaged(self.logbook.branch(&self.store, log, entry.seq))?;
                return Ok(own
                    .zip(run.branch(entry.seq))
                    .and_then(|(a, b)| ForkProof::new(a, b).ok()));
            }
        }
        Ok(None)
    }

    /// Its maker says where it is: that is the receipt of what was packed for it.
    fn on_receipt(&mut self, link: Link, tag: Tag, positions: &[Leaf]) -> Outcome {
        let Some(id) = self.served_area(link, tag) else { return Ok(Ok(())) };
        let Some(Reading { head: Head { maker, .. }, told, taken, .. }) =
            self.readings.get_mut(&link)
        else {
            return Ok(Ok(()));
        };
        let Some(area) = self.areas.get(&id).filter(|_| !taken.stale) else { return Ok(Ok(())) };
        let mut batch = Batch::default();
        for Leaf { key, next, head } in positions {
            let log = area.logs.get(key).and_then(|log| self.logbook.state(log));
            if let Some(state) = log {
                let known = Known { said: *next, head: *head, packed: None };
                batch.put(Space::Meta, known_key(maker, state.no), known.encode());
                told.insert(state.no);
            }
        }
        self.apply(batch)?;
        Ok(Ok(()))
    }

    /// Its maker holds a log, as it is here, up to a position at least: it packed that.
    fn note_shown(&mut self, link: Link, log: &LogId, next: u64) -> Result<(), StoreError> {
        let no = self.logbook.state(log).map(|state| state.no);
        let (Some(reading), Some(no)) = (self.readings.get_mut(&link), no) else { return Ok(()) };
        reading.told.insert(no);
        let maker = reading.head.maker;
        let key = known_key(&maker, no);
        let known = unless_damaged(self.store.get(Space::Meta, &key))?;
        let known = known.and_then(|value| Known::decode(&value).ok());
        if known.is_some_and(|known| known.said >= next) {
            return Ok(());
        }
        let Some(Some(head)) = self.tag_if_readable(log, next)? else { return Ok(()) };
        let mut batch = Batch::default();
        batch.put(Space::Meta, key, Known { said: next, head, packed: None }.encode());
        self.apply(batch)
    }

    /// As [`Replica::tag_at`]; `None` where it cannot be read, which is remembered.
    fn tag_if_readable(
        &mut self,
        log: &LogId,
        next: u64,
    ) -> Result<Option<Option<[u8; 8]>>, StoreError> {
        let tag = self.tag_at(log, next).map(Some);
        self.past_damage(tag)
    }

    fn tally(&mut self, link: Link, count: impl FnOnce(&mut Taken)) {
        if let Some(reading) = self.readings.get_mut(&link) {
            count(&mut reading.taken);
        }
    }

    /// Its maker is at fault, and reading has ended.
    pub(super) fn note_bundle_fault(&mut self, link: Link, fault: PeerFault) {
        self.tally(link, |taken| taken.fault = Some(fault));
    }
}

/// A run that begins before the end of its log here.
enum Overlap {
    /// They are one; this of it is new, perhaps nothing, and all of it may fill what cannot be read here.
    Same(Incoming, Option<Box<VerifiedRun>>),
    /// They part, and if it can be proven, the log is forked.
    Differs(Option<Box<ForkProof>>),
}

impl Known {
    /// `said (number) || head (8) || packed + 1, or 0 (number)`.
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        out.number(self.said).raw(&self.head);
        out.number(self.packed.map_or(0, |packed| packed.saturating_add(1)));
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let said = reader.number("position")?;
        let head = reader.array("head")?;
        let packed = reader.number("packed")?.checked_sub(1);
        reader.finish()?;
        Ok(Self { said, head, packed })
    }
}

impl Exchanged {
    /// `sent + 1, or 0 (number) || received + 1, or 0 (number)`.
    fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        for time in [self.sent, self.received] {
            out.number(time.map_or(0, |time| time.0.saturating_add(1)));
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let sent = reader.number("sent")?.checked_sub(1).map(WallTime);
        let received = reader.number("received")?.checked_sub(1).map(WallTime);
        reader.finish()?;
        Ok(Self { sent, received })
    }
}

const EXCHANGED_PREFIX: &[u8] = b"bundle/last/";
const KNOWN_PREFIX: &[u8] = b"bundle/known/";

/// `prefix || device (32) || log number (4, big-endian)`.
pub(super) fn known_key(device: &DeviceId, no: LogNo) -> Vec<u8> {
    [KNOWN_PREFIX, &device.0, &no.0.to_be_bytes()].concat()
}
