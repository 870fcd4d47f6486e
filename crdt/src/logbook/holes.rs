//! Holes: entries of records whose payload stays elsewhere.
//!
//! An outer header names the payload by length and hash, so an entry verifies, and its log goes on, without
//! it: that is how what was erased leaves its place. A hole is the same in its chunk, but for its key box,
//! which is here if the entry has one; and it is on this list, with the device that left the payload out.
//! What is erased is on no list. Whatever comes for a hole is known by the hash to be what its author wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use super::{Chunk, LogNo, Logbook, StoredEntry, Stretch, chunk_key, find, scan_chunks};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::entry::run::{Head, ShortEntry, part};
use crate::epoch::KEY_BOX_BYTES;
use crate::hash::{Digest, sha256};
use crate::id::{CompartmentId, DeviceId, EpochId, LogId};
use crate::store::{Batch, Space, Store, StoreError, damaged};

/// Most stretches of holes in one log, and in all: about 100 bytes of memory each. Holes that follow each
/// other and were left out by the same device are one stretch.
pub(super) const STRETCHES_PER_LOG_MAX: usize = 16_384;
const STRETCHES_MAX: usize = 131_072;
/// Payloads of so many bytes are not worth leaving out: the hash in their stead takes 32.
pub const LEFT_OUT_BYTES_MIN: usize = 64;

/// All holes: stretches by log and first position, none of them empty and none over another.
#[derive(Debug, Default)]
pub(super) struct Holes {
    stretches: BTreeMap<(LogNo, u64), Stays>,
    /// How many there are, by where and who left them out.
    counts: BTreeMap<(CompartmentId, DeviceId), u64>,
}

/// The end of a stretch, and who left it out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stays {
    end: u64,
    with: DeviceId,
}

/// Consecutive holes of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hole {
    /// The log.
    pub log: LogId,
    /// The log's number.
    pub no: LogNo,
    /// The positions.
    pub span: Range<u64>,
    /// Who left their payloads out.
    pub with: DeviceId,
}

/// What became of payloads that came for holes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filling {
    /// The entries whose payload is here now. They are [to be closed](Logbook::close_holes) with what follows
    /// from them.
    pub filled: BTreeSet<u64>,
    /// Those that name another payload than came.
    pub other: BTreeSet<u64>,
}

/// An entry with a payload, as whoever decides whether that is sent looks at it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offered {
    /// Its position.
    pub seq: u64,
    /// Its epoch.
    pub epoch: EpochId,
    /// The sealed header.
    pub sealed: Vec<u8>,
    /// The hash of its key box.
    pub box_hash: Option<Digest>,
}

impl Stretch {
    /// The entries whose payloads are worth leaving out.
    pub fn offered(&self) -> Result<Vec<Offered>, DecodeError> {
        let mut reader = Reader::new(&self.entries);
        let mut boxes = self.boxes.chunks_exact(KEY_BOX_BYTES);
        let (mut offered, mut epoch, mut seq) = (Vec::new(), self.epoch, self.first);
        for _ in 0..self.count {
            let short = ShortEntry::decode(&mut reader)?;
            epoch = short.epoch.unwrap_or(epoch);
            let salt = if short.has_box { boxes.next() } else { None };
            if short.payload.is_some_and(|payload| payload.len() > LEFT_OUT_BYTES_MIN) {
                let box_hash = salt.map(sha256).or(short.box_gone);
                offered.push(Offered { seq, epoch, sealed: short.sealed.to_vec(), box_hash });
            }
            seq = seq.saturating_add(1);
        }
        Ok(offered)
    }

    /// The stretch without the payloads of these entries. Key boxes stay.
    pub fn leave_out(self, aside: &BTreeSet<u64>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(&self.entries);
        let (mut entries, mut seq, mut left_out) = (Vec::new(), self.first, self.left_out);
        for _ in 0..self.count {
            let mut short = ShortEntry::decode(&mut reader)?;
            left_out |= aside.contains(&seq) && short.leave_out();
            short.encode(&mut entries);
            seq = seq.saturating_add(1);
        }
        Ok(Self { entries, left_out, ..self })
    }
}

/// An entry's payload, and what is known of the entry without it.
pub type Given = (Offered, Vec<u8>);

impl Logbook {
    /// Reads the list of holes.
    pub(super) fn load_holes(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let mut bad = None;
        store.scan(Space::Meta, PREFIX, &[], &mut |key, value| match read(key, value) {
            Ok(((no, start), stays)) => {
                self.insert_hole(no, start, stays);
                ControlFlow::Continue(())
            }
            Err(_) => {
                bad = Some(damaged(Space::Meta, key));
                ControlFlow::Break(())
            }
        })?;
        bad.map_or(Ok(()), Err)
    }

    /// All holes, by the number of their log and position, from a place on.
    pub fn holes_from(&self, no: LogNo, seq: u64) -> impl Iterator<Item = Hole> {
        let before = self.holes.stretches.range(..(no, seq)).next_back();
        let before = before.filter(move |((of, _), stays)| *of == no && stays.end > seq);
        let all = before.into_iter().chain(self.holes.stretches.range((no, seq)..));
        all.filter_map(move |((of, start), stays)| {
            let start = if *of == no { (*start).max(seq) } else { *start };
            let log = *self.log(*of)?;
            Some(Hole { log, no: *of, span: start..stays.end, with: stays.with })
        })
    }

    /// How many holes there are, by where and who left them out.
    pub fn holes_by_device(&self) -> impl Iterator<Item = (CompartmentId, DeviceId, u64)> {
        self.holes.counts.iter().map(|((compartment, with), count)| (*compartment, *with, *count))
    }

    /// All holes.
    pub fn holes(&self) -> impl Iterator<Item = Hole> {
        self.holes_from(LogNo(0), 0)
    }

    /// Who left out the payload of an entry; `None` if it is no hole.
    #[must_use]
    pub fn hole(&self, log: &LogId, seq: u64) -> Option<DeviceId> {
        let no = self.main_no(log, seq)?;
        let (_, stays) = self.holes.stretches.range((no, 0)..=(no, seq)).next_back()?;
        (stays.end > seq).then_some(stays.with)
    }

    /// Whether a span of a log has holes.
    pub(super) fn has_holes(&self, no: LogNo, span: Range<u64>) -> bool {
        span.start < span.end
            && self
                .holes
                .stretches
                .range((no, 0)..(no, span.end))
                .next_back()
                .is_some_and(|(_, stays)| stays.end > span.start)
    }

    /// Whether these can be added to the holes of a log.
    #[must_use]
    pub fn has_room_for_holes(&self, log: &LogId, seqs: &BTreeSet<u64>) -> bool {
        let stretches = spans(seqs).count();
        let held = self.logs.get(log).map_or(0, |state| {
            let of_log = (state.no, 0)..=(state.no, u64::MAX);
            self.holes.stretches.range(of_log).count()
        });
        held + stretches <= STRETCHES_PER_LOG_MAX
            && self.holes.stretches.len() + stretches <= STRETCHES_MAX
    }

    /// Notes that the payloads of these entries of a log, which are no holes yet, stay with a device.
    pub fn note_holes(
        &mut self,
        batch: &mut Batch,
        log: &LogId,
        seqs: &BTreeSet<u64>,
        with: DeviceId,
    ) {
        let Some(no) = self.logs.get(log).map(|state| state.no) else { return };
        for Range { start, end } in spans(seqs) {
            let before = self.holes.stretches.range((no, 0)..(no, start)).next_back();
            let joins = before.filter(|(_, stays)| stays.end == start && stays.with == with);
            let start = joins.map_or(start, |((_, first), _)| *first);
            self.put_hole(batch, no, start, Stays { end, with });
        }
    }

    /// These entries are no holes any more: they were filled, or what they lack is erased.
    pub fn close_holes(&mut self, batch: &mut Batch, no: LogNo, seqs: &BTreeSet<u64>) {
        if !self.holes.stretches.range((no, 0)..=(no, u64::MAX)).any(|_| true) {
            return;
        }
        for Range { start, end } in spans(seqs) {
            self.cut_holes(batch, no, start..end);
        }
    }

    /// What lies in a span is none any more.
    pub(super) fn cut_holes(&mut self, batch: &mut Batch, no: LogNo, span: Range<u64>) {
        loop {
            let last = self.holes.stretches.range((no, 0)..(no, span.end)).next_back();
            let last = last.map(|((_, first), stays)| (*first, *stays));
            let Some((first, stays)) = last.filter(|(_, stays)| stays.end > span.start) else {
                return;
            };
            self.remove_hole(no, first);
            batch.remove(Space::Meta, key(no, first));
            if stays.end > span.end {
                self.put_hole(batch, no, span.end, stays);
            }
            if first < span.start {
                self.put_hole(batch, no, first, Stays { end: span.start, ..stays });
            }
        }
    }

    fn put_hole(&mut self, batch: &mut Batch, no: LogNo, start: u64, stays: Stays) {
        let mut value = Vec::new();
        value.number(stays.end).raw(&stays.with.0);
        batch.put(Space::Meta, key(no, start), value);
        self.insert_hole(no, start, stays);
    }

    fn insert_hole(&mut self, no: LogNo, start: u64, stays: Stays) {
        self.remove_hole(no, start);
        self.holes.stretches.insert((no, start), stays);
        let Some(compartment) = self.log(no).map(|log| log.compartment) else { return };
        let count = self.holes.counts.entry((compartment, stays.with)).or_default();
        *count = count.saturating_add(stays.end.saturating_sub(start));
    }

    fn remove_hole(&mut self, no: LogNo, start: u64) {
        let Some(stays) = self.holes.stretches.remove(&(no, start)) else { return };
        let Some(compartment) = self.log(no).map(|log| log.compartment) else { return };
        let counted = (compartment, stays.with);
        let count = self.holes.counts.get(&counted).copied().unwrap_or_default();
        let left = count.saturating_sub(stays.end.saturating_sub(start));
        if left > 0 {
            self.holes.counts.insert(counted, left);
        } else {
            self.holes.counts.remove(&counted);
        }
    }

    /// The number under which an entry of the branch that is followed lies, if that is the log's own.
    fn main_no(&self, log: &LogId, seq: u64) -> Option<LogNo> {
        let state = self.state(log)?;
        (self.line(log, &state).no_at(seq) == state.no).then_some(state.no)
    }

    /// Payloads of a log, from the first of these positions on, that are here: as many as fit `bytes_max`,
    /// one at least; and the position after the last that was looked at.
    pub fn payloads(
        &self,
        store: &dyn Store,
        log: &LogId,
        seqs: &BTreeSet<u64>,
        bytes_max: usize,
    ) -> Result<(Vec<Given>, u64), StoreError> {
        let mut found: Vec<Given> = Vec::new();
        let (mut bytes, mut passed) = (0_usize, 0);
        let mut rest = seqs.iter().copied().peekable();
        while let Some(seq) = rest.next() {
            let held = self.state(log).is_some_and(|state| state.holds(seq));
            let entries = if held { self.entries_around(store, log, seq)? } else { Vec::new() };
            let last = entries.last().map_or(seq, |(last, _)| *last);
            let mut wanted = Some(seq);
            for (at, entry) in entries {
                if wanted != Some(at) {
                    continue;
                }
                if let Some(payload) = entry.payload {
                    if !found.is_empty() && bytes + payload.len() > bytes_max {
                        return Ok((found, at));
                    }
                    bytes += payload.len();
                    let StoredEntry { epoch, sealed, box_hash, .. } = entry;
                    found.push((Offered { seq: at, epoch, sealed, box_hash }, payload));
                }
                passed = at.saturating_add(1);
                wanted = rest.next_if(|next| *next <= last);
            }
            passed = passed.max(seq.saturating_add(1));
        }
        Ok((found, passed))
    }

    /// Puts payloads into the holes of a log that they are for. One that is not what its entry names fills
    /// nothing.
    pub fn fill_holes(
        &self,
        store: &dyn Store,
        batch: &mut Batch,
        log: &LogId,
        payloads: &BTreeMap<u64, Vec<u8>>,
    ) -> Result<Filling, StoreError> {
        let mut filling = Filling::default();
        let Some(no) = self.logs.get(log).map(|state| state.no) else { return Ok(filling) };
        let holes: BTreeMap<u64, &[u8]> = payloads
            .iter()
            .filter(|(seq, _)| self.hole(log, **seq).is_some())
            .map(|(seq, payload)| (*seq, payload.as_slice()))
            .collect();
        let mut next = holes.keys().next().copied();
        while let Some(seq) = next {
            let mut beyond = None;
            scan_chunks(store, no, seq, &mut |chunk| {
                write_filled(store, batch, log, (no, &chunk), &holes, &mut filling)?;
                beyond = chunk.end();
                Ok(ControlFlow::Break(()))
            })?;
            let end = beyond.map(|end| end.max(seq.saturating_add(1)));
            next = end.and_then(|end| holes.range(end..).next()).map(|(seq, _)| *seq);
        }
        Ok(filling)
    }
}

impl ShortEntry<'_> {
    /// Leaves out the payload, and names it. Whether there was one.
    fn leave_out(&mut self) -> bool {
        let Some(payload) = self.payload.take() else { return false };
        self.payload_gone = Some(part(payload));
        true
    }
}

/// Writes a chunk anew with these payloads, as several where it grows too large.
fn write_filled(
    store: &dyn Store,
    batch: &mut Batch,
    log: &LogId,
    (no, chunk): (LogNo, &Chunk<'_>),
    payloads: &BTreeMap<u64, &[u8]>,
    filling: &mut Filling,
) -> Result<(), StoreError> {
    let (mut parts, mut grows) = (Vec::new(), false);
    let mut growing = Growing::at(chunk.head);
    let _whole = chunk.walk(store, log, &mut |seq, walked| {
        let mut short = walked.short;
        let payload = payloads.get(&seq).copied();
        let named = short.payload_gone.or_else(|| short.payload.map(part));
        match payload {
            Some(payload) if named == Some(part(payload)) => {
                grows |= short.payload_gone.take().is_some();
                short.payload = Some(payload);
                filling.filled.insert(seq);
            }
            Some(_) => {
                filling.other.insert(seq);
            }
            None => {}
        }
        let mut bytes = Vec::new();
        short.encode(&mut bytes);
        if growing.count > 0 && growing.entries.len() + bytes.len() > super::CHUNK_BYTES {
            let next = Growing::at(growing.last);
            parts.push(std::mem::replace(&mut growing, next));
        }
        growing.count += 1;
        growing.entries.append(&mut bytes);
        growing.boxes.extend(walked.key_box.into_iter().flatten());
        growing.ids.extend(find::beginning(&walked.id));
        let epoch = walked.header.epoch;
        growing.last = Head { next: seq.saturating_add(1), id: walked.id, epoch };
        ControlFlow::Continue(())
    })?;
    // What was filled before a start, and not closed, is there.
    if !grows {
        return Ok(());
    }
    parts.push(growing);
    for Growing { head, last, count, entries, boxes, ids } in parts {
        let key = chunk_key(no, last.next.saturating_sub(1));
        let arrived = chunk.arrived;
        let part = Chunk { key: &key, head, count, arrived, entries: &entries, cut: false };
        let mut value = part.preamble();
        value.raw(&entries);
        if boxes.is_empty() {
            batch.remove(Space::Boxes, key.clone());
        } else {
            batch.put(Space::Boxes, key.clone(), boxes);
        }
        batch.put(Space::Ids, key.clone(), ids);
        batch.put(Space::Entries, key, value);
    }
    Ok(())
}

/// A chunk that is being written.
struct Growing {
    head: Head,
    last: Head,
    count: u64,
    entries: Vec<u8>,
    boxes: Vec<u8>,
    ids: Vec<u8>,
}

impl Growing {
    const fn at(head: Head) -> Self {
        Self { head, last: head, count: 0, entries: vec![], boxes: vec![], ids: vec![] }
    }
}

/// Consecutive positions, as spans.
fn spans(seqs: &BTreeSet<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut rest = seqs.iter().copied().peekable();
    std::iter::from_fn(move || {
        let start = rest.next()?;
        let mut end = start.saturating_add(1);
        while rest.next_if_eq(&end).is_some() {
            end = end.saturating_add(1);
        }
        Some(start..end)
    })
}

/// Before the stretches of holes, in [`Space::Meta`].
const PREFIX: &[u8] = b"hole/";

/// `prefix || log number (4, big-endian) || first position (8, big-endian)`.
fn key(no: LogNo, start: u64) -> Vec<u8> {
    [PREFIX, &no.0.to_be_bytes(), &start.to_be_bytes()].concat()
}

/// The value is `position after the last (number) || device (32)`.
fn read(key: &[u8], value: &[u8]) -> Result<((LogNo, u64), Stays), DecodeError> {
    let mut reader = Reader::new(key.get(PREFIX.len()..).unwrap_or_default());
    let no = LogNo(u32::from_be_bytes(reader.array("log number")?));
    let start = u64::from_be_bytes(reader.array("first position")?);
    reader.finish()?;
    let mut reader = Reader::new(value);
    let stays = Stays { end: reader.number("end")?, with: DeviceId(reader.array("device")?) };
    reader.finish()?;
    if stays.end <= start {
        return Err(DecodeError::Invalid { at: 0, what: "end" });
    }
    Ok(((no, start), stays))
}
