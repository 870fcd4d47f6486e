//! Runs: consecutive entries of one log in short form, and the one way to make them *verified*.
//!
//! The short form leaves out what the reader derives: log and seq from where it reads, the previous
//! id and the epoch from the entry before, the hashes of parts that are present. Disks and wires
//! hold the same bytes, so a sender forwards what it stored without hashing anything.
//!
//! ```text
//! entry  = flags (1)
//!          epoch (32)                        if EPOCH: another one than the entry before
//!          sealed header (bytes)
//!          box hash (32)                     if BOX_GONE
//!          payload (bytes)                   if PAYLOAD
//!          payload length (number), hash(32) if PAYLOAD_GONE
//!          covered count (1), root (32)      if COVERS
//!          signature (64)                    if SIGNED
//! ```
//! Key boxes travel beside the entries, 16 bytes for each entry with the flag BOX, in order, so
//! that a store can keep them where they can be overwritten. [`detach`] destroys them.

pub mod detach;

use std::ops::Range;
use std::sync::Arc;

use crate::bounds::{PAYLOAD_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_ENTRIES_MAX};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::entry::fork::{Branch, SignedHeader};
use crate::entry::{Covers, Header, NO_EPOCH, Part, SEALED_MAX, merkle_root};
use crate::epoch::{KEY_BOX_BYTES, KeyBox};
use crate::hash::{Digest, Domain, sha256};
use crate::id::{Class, DeviceId, EntryId, EpochId, LogId};
use crate::keys::{self, Signature, Signer};

const SIGNED: u8 = 1;
const BOX: u8 = 2;
const BOX_GONE: u8 = 4;
const PAYLOAD: u8 = 8;
const PAYLOAD_GONE: u8 = 16;
const EPOCH: u8 = 32;
const COVERS: u8 = 64;

/// Where a log ends: what the next entry in short form builds on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// Seq of the next entry.
    pub next: u64,
    /// Id of the last entry; zero before the first.
    pub id: EntryId,
    /// Epoch of the last entry; [`NO_EPOCH`] before the first.
    pub epoch: EpochId,
}

impl Head {
    /// The head of a log without entries.
    pub const EMPTY: Self = Self { next: 0, id: EntryId([0; 32]), epoch: NO_EPOCH };
}

/// One entry in short form, as read; nothing is checked but its shape.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ShortEntry<'a> {
    /// The epoch, if it is another one than the entry's before.
    pub epoch: Option<EpochId>,
    /// The sealed header, or the statement of an authority entry.
    pub sealed: &'a [u8],
    /// Whether a key box travels beside it.
    pub has_box: bool,
    /// The hash of a box that was destroyed.
    pub box_gone: Option<Digest>,
    /// The payload.
    pub payload: Option<&'a [u8]>,
    /// Length and hash of a payload that was destroyed or left out.
    pub payload_gone: Option<Part>,
    /// What the signature covers.
    pub covers: Option<Covers>,
    /// The signature.
    pub signature: Option<Signature>,
}

impl<'a> ShortEntry<'a> {
    /// Reads one entry.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let at = reader.at();
        let flags = reader.u8("entry flags")?;
        let has = |bit: u8| flags & bit != 0;
        let contradiction = has(BOX) && has(BOX_GONE)
            || has(PAYLOAD) && has(PAYLOAD_GONE)
            || has(COVERS) && !has(SIGNED)
            || flags & 0x80 != 0;
        if contradiction {
            return reader.invalid(at, "entry flags");
        }
        let epoch = has(EPOCH).then(|| reader.array("epoch").map(EpochId)).transpose()?;
        let sealed = reader.bytes(SEALED_MAX, "sealed header")?;
        let box_gone = has(BOX_GONE).then(|| reader.array("box hash")).transpose()?;
        let payload =
            has(PAYLOAD).then(|| reader.bytes(PAYLOAD_BYTES_MAX, "payload")).transpose()?;
        let payload_gone = has(PAYLOAD_GONE)
            .then(|| super::decode_part(reader, PAYLOAD_BYTES_MAX, "payload"))
            .transpose()?;
        let covers = has(COVERS)
            .then(|| {
                let at = reader.at();
                let count = reader.u8("covered entries")?;
                if count == 0 || usize::from(count) >= SEGMENT_ENTRIES_MAX {
                    return reader.invalid(at, "covered entries");
                }
                Ok(Covers { count, root: reader.array("covered root")? })
            })
            .transpose()?;
        let signature = has(SIGNED).then(|| reader.array("signature")).transpose()?;
        let has_box = has(BOX);
        Ok(Self { epoch, sealed, has_box, box_gone, payload, payload_gone, covers, signature })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let flags = if self.signature.is_some() { SIGNED } else { 0 }
            | if self.has_box { BOX } else { 0 }
            | if self.box_gone.is_some() { BOX_GONE } else { 0 }
            | if self.payload.is_some() { PAYLOAD } else { 0 }
            | if self.payload_gone.is_some() { PAYLOAD_GONE } else { 0 }
            | if self.epoch.is_some() { EPOCH } else { 0 }
            | if self.covers.is_some() { COVERS } else { 0 };
        out.push(flags);
        if let Some(epoch) = &self.epoch {
            out.raw(&epoch.0);
        }
        out.bytes(self.sealed);
        if let Some(hash) = &self.box_gone {
            out.raw(hash);
        }
        if let Some(payload) = self.payload {
            out.bytes(payload);
        }
        if let Some(part) = &self.payload_gone {
            out.number(u64::from(part.len)).raw(&part.hash);
        }
        if let Some(covers) = &self.covers {
            out.raw(&[covers.count]).raw(&covers.root);
        }
        if let Some(signature) = &self.signature {
            out.raw(signature);
        }
    }

    /// Whether its payload or its key box is gone.
    pub(crate) const fn is_detached(&self) -> bool {
        self.box_gone.is_some() || self.payload_gone.is_some()
    }

    /// Whether it never had a key box or a payload.
    const fn is_header_alone(&self) -> bool {
        !self.has_box
            && self.box_gone.is_none()
            && self.payload.is_none()
            && self.payload_gone.is_none()
    }

    /// The full header at `head` of `log`. Without a signature it says that it is covered.
    #[must_use]
    pub fn header(&self, log: &LogId, head: &Head, key_box: Option<&KeyBox>) -> Header {
        Header {
            log: *log,
            seq: head.next,
            prev: head.id,
            epoch: self.epoch.unwrap_or(head.epoch),
            sealed: part(self.sealed),
            key_box: key_box.map(|salt| sha256(salt)).or(self.box_gone),
            payload: self.payload.map(part).or(self.payload_gone),
            covers: self.covers,
            covered: self.signature.is_none(),
        }
    }
}

/// A part of an entry by its length and hash.
pub(crate) fn part(bytes: &[u8]) -> Part {
    Part { len: bytes.len() as u32, hash: sha256(bytes) }
}

/// Consecutive entries of one log as they came from somewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnverifiedRun<'a> {
    /// The log.
    pub log: LogId,
    /// How many entries.
    pub count: usize,
    /// The entries in short form.
    pub entries: &'a [u8],
    /// Their key boxes.
    pub boxes: &'a [u8],
}

/// What is wrong with a run. Nothing of it was kept; whoever sent it is to blame, because it should
/// have checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RunFault {
    /// An entry's bytes are malformed.
    #[error("malformed entry: {0}")]
    Malformed(#[from] DecodeError),
    /// More or fewer boxes than entries with the flag, or bytes left over.
    #[error("the key boxes do not match the entries")]
    Boxes,
    /// The last entries are not signed, or an entry that must be is not.
    #[error("entry {seq} lacks the signature that its class or place asks for")]
    Unsigned {
        /// Its position.
        seq: u64,
    },
    /// The signature covers another number of entries than precede it unsigned, or other ones.
    #[error("the signature of entry {seq} covers other entries than those before it")]
    Coverage {
        /// Its position.
        seq: u64,
    },
    /// The signature does not hold: forged, or the run does not follow the head it was put on.
    #[error("the signature of entry {seq} does not hold")]
    Signature {
        /// Its position.
        seq: u64,
    },
    /// A segment is larger than one signature may cover.
    #[error("the segment ending at entry {seq} is too large")]
    SegmentTooLarge {
        /// Position of its last entry.
        seq: u64,
    },
    /// An epoch is repeated, or named in an authority log, or missing in an entry that has a key box
    /// or a payload or is not of class routine.
    #[error("entry {seq} names its epoch in a way that no writer does")]
    Epoch {
        /// Its position.
        seq: u64,
    },
    /// No entries.
    #[error("the run is empty")]
    Empty,
}

/// One verified entry; the ranges point into the run's bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedEntry {
    /// Position in the log.
    pub seq: u64,
    /// Its id.
    pub id: EntryId,
    /// Its epoch.
    pub epoch: EpochId,
    /// The sealed header, or the statement.
    pub sealed: Range<usize>,
    /// SHA-256 of the sealed header.
    pub sealed_hash: Digest,
    /// The payload, where present.
    pub payload: Option<Range<usize>>,
    /// The key box, where present.
    pub key_box: Option<KeyBox>,
    /// The hash of the key box, present or destroyed.
    pub box_hash: Option<Digest>,
    /// Whether its payload or its key box is gone.
    pub detached: bool,
    /// Where the entry's short form ends.
    pub end: usize,
    /// The signed header, where the entry is signed.
    pub signed: Option<Box<SignedHeader>>,
}

impl VerifiedEntry {
    /// Whether its payload is missing, and the key box in it, if it has one, is not.
    #[must_use]
    pub const fn lacks_payload(&self) -> bool {
        let lacks_box = self.box_hash.is_some() && self.key_box.is_none();
        self.detached && self.payload.is_none() && !lacks_box
    }
}

/// Entries whose chain and signatures hold on a given head. Only [`UnverifiedRun::verify`] and
/// [`write_segment`] make one.
#[derive(Clone, Debug)]
pub struct VerifiedRun {
    log: Arc<LogId>,
    from: Head,
    to: Arc<Head>,
    bytes: Vec<u8>,
    entries: Vec<VerifiedEntry>,
    written: u64,
}

impl VerifiedRun {
    /// The log.
    #[must_use]
    pub fn log(&self) -> &LogId {
        &self.log
    }

    /// The log, for those who keep it.
    #[must_use]
    pub const fn shared_log(&self) -> &Arc<LogId> {
        &self.log
    }

    /// The head that it was verified on.
    #[must_use]
    pub const fn from(&self) -> &Head {
        &self.from
    }

    /// The head after it.
    #[must_use]
    pub fn to(&self) -> &Head {
        &self.to
    }

    /// The head after it, for those who keep it.
    #[must_use]
    pub const fn shared_to(&self) -> &Arc<Head> {
        &self.to
    }

    /// The entries in short form.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes its author wrote: the entries in short form with their key boxes, whether payloads
    /// and boxes are here or gone. So it is the same wherever it is counted.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[VerifiedEntry] {
        &self.entries
    }

    /// An entry's sealed header.
    #[must_use]
    pub fn sealed(&self, entry: &VerifiedEntry) -> &[u8] {
        self.bytes.get(entry.sealed.clone()).unwrap_or_default()
    }

    /// What proves which entry it has at a position; `None` outside of it.
    #[must_use]
    pub fn branch(&self, seq: u64) -> Option<Branch> {
        let at = self.entries.iter().position(|entry| entry.seq == seq)?;
        let end = at + self.entries.get(at..)?.iter().position(|entry| entry.signed.is_some())?;
        let signed = SignedHeader::clone(self.entries.get(end)?.signed.as_deref()?);
        if at == end {
            return Some(Branch::signed(signed));
        }
        let first = end.checked_sub(usize::from(signed.header.covers?.count))?;
        let ids: Vec<EntryId> = self.entries.get(first..end)?.iter().map(|e| e.id).collect();
        Branch::covered(signed, &ids, at.checked_sub(first)?)
    }

    /// An entry's payload, where present.
    #[must_use]
    pub fn payload(&self, entry: &VerifiedEntry) -> Option<&[u8]> {
        self.bytes.get(entry.payload.clone()?)
    }
}

impl UnverifiedRun<'_> {
    /// Checks shape, chain, segments and every signature of the run on `head`.
    pub fn verify(&self, head: &Head) -> Result<VerifiedRun, RunFault> {
        self.verify_with(head, |device, message, signature| {
            keys::verify(&device.0, Domain::Entry, message, signature)
        })
    }

    /// As [`UnverifiedRun::verify`], with the signature check as an argument, so that a simulator
    /// can remember its results. `check` gets the device, the header's bytes and the signature.
    pub fn verify_with(
        &self,
        head: &Head,
        mut check: impl FnMut(&DeviceId, &[u8], &Signature) -> bool,
    ) -> Result<VerifiedRun, RunFault> {
        if self.count == 0 {
            return Err(RunFault::Empty);
        }
        let mut reader = Reader::new(self.entries);
        let mut boxes = self.boxes.chunks_exact(KEY_BOX_BYTES);
        let mut at = *head;
        let mut entries = Vec::with_capacity(self.count.min(SEGMENT_ENTRIES_MAX));
        let mut unsigned: Vec<EntryId> = Vec::new();
        let (mut segment_bytes, mut written) = (0, 0);
        for _ in 0..self.count {
            let (seq, start) = (at.next, reader.at());
            let short = ShortEntry::decode(&mut reader)?;
            let key_box = self.next_box(&short, &mut boxes)?;
            self.check_epoch(&short, &at)?;
            let header = short.header(&self.log, &at, key_box.as_ref());
            let bytes = header.encode();
            let id = EntryId(Domain::Entry.hash(&[&bytes]));
            let end = reader.at();
            let len = short.written_len(end - start);
            segment_bytes += len;
            written += len as u64 + written_box(&header);
            if segment_bytes > SEGMENT_BYTES_MAX || unsigned.len() >= SEGMENT_ENTRIES_MAX {
                return Err(RunFault::SegmentTooLarge { seq });
            }
            let signed = match short.signature {
                None if self.log.class.signs_every_entry() => {
                    return Err(RunFault::Unsigned { seq });
                }
                None => {
                    unsigned.push(id);
                    None
                }
                Some(signature) => {
                    check_coverage(seq, short.covers.as_ref(), &unsigned)?;
                    if !check(&self.log.device, &bytes, &signature) {
                        return Err(RunFault::Signature { seq });
                    }
                    unsigned.clear();
                    segment_bytes = 0;
                    Some(Box::new(SignedHeader { header: header.clone(), signature }))
                }
            };
            let range = |part: &[u8]| range_in(self.entries, part);
            entries.push(VerifiedEntry {
                seq,
                id,
                epoch: header.epoch,
                sealed: range(short.sealed),
                sealed_hash: header.sealed.hash,
                payload: short.payload.map(range),
                key_box,
                box_hash: header.key_box,
                detached: short.is_detached(),
                end,
                signed,
            });
            let next = seq.checked_add(1).ok_or(RunFault::Empty)?;
            at = Head { next, id, epoch: header.epoch };
        }
        if boxes.next().is_some() || !boxes.remainder().is_empty() {
            return Err(RunFault::Boxes);
        }
        reader.finish()?;
        if !unsigned.is_empty() {
            return Err(RunFault::Unsigned { seq: at.next - 1 });
        }
        let bytes = self.entries.to_vec();
        Ok(VerifiedRun {
            log: Arc::new(self.log),
            from: *head,
            to: Arc::new(at),
            bytes,
            entries,
            written,
        })
    }

    /// The run without its first entries, of which nothing is checked; `None` if it has no more of them, or
    /// they cannot be read.
    #[must_use]
    pub fn without_first(&self, count: usize) -> Option<Self> {
        let left = self.count.checked_sub(count).filter(|left| *left > 0)?;
        let mut reader = Reader::new(self.entries);
        let mut boxes = 0;
        for _ in 0..count {
            boxes += usize::from(ShortEntry::decode(&mut reader).ok()?.has_box);
        }
        let entries = self.entries.get(reader.at()..)?;
        let boxes = self.boxes.get(boxes.checked_mul(KEY_BOX_BYTES)?..)?;
        Some(Self { log: self.log, count: left, entries, boxes })
    }

    fn next_box(
        &self,
        short: &ShortEntry<'_>,
        boxes: &mut std::slice::ChunksExact<'_, u8>,
    ) -> Result<Option<KeyBox>, RunFault> {
        if !short.has_box {
            return Ok(None);
        }
        let salt = boxes.next().ok_or(RunFault::Boxes)?;
        salt.try_into().map(Some).map_err(|_| RunFault::Boxes)
    }

    fn check_epoch(&self, short: &ShortEntry<'_>, at: &Head) -> Result<(), RunFault> {
        let fault = RunFault::Epoch { seq: at.next };
        let repeated = short.epoch == Some(at.epoch);
        let none = short.epoch.unwrap_or(at.epoch) == NO_EPOCH;
        let may_be_clear = self.log.class == Class::Routine && short.is_header_alone();
        let sound = match self.log.class {
            Class::Authority => none,
            _ => !none || may_be_clear,
        };
        if repeated || !sound { Err(fault) } else { Ok(()) }
    }
}

fn check_coverage(seq: u64, covers: Option<&Covers>, unsigned: &[EntryId]) -> Result<(), RunFault> {
    let holds = match covers {
        None => unsigned.is_empty(),
        Some(covers) => {
            usize::from(covers.count) == unsigned.len()
                && covers.root == merkle_root(unsigned.iter().map(|id| id.0))
        }
    };
    if holds { Ok(()) } else { Err(RunFault::Coverage { seq }) }
}

/// Where `part`, a slice of `whole`, lies in it.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

/// An entry to be written: sealed by its author, not yet placed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewEntry {
    /// The epoch; [`NO_EPOCH`] in authority logs.
    pub epoch: EpochId,
    /// The sealed header, or the statement.
    pub sealed: Vec<u8>,
    /// The key box.
    pub key_box: Option<KeyBox>,
    /// The sealed payload.
    pub payload: Option<Vec<u8>>,
}

/// Why a segment cannot be written: errors of the caller. Nothing was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WriteFault {
    /// Too many entries, or too many bytes, for one segment.
    #[error("a segment takes at most 256 entries and 256 KiB")]
    SegmentTooLarge,
    /// No entries.
    #[error("a segment has at least one entry")]
    Empty,
}

/// Writes entries that belong together at `head` of the signer's own log. One signature on the last
/// covers all, where the class allows it; elsewhere each is signed.
pub fn write_segment(
    log: &LogId,
    head: &Head,
    signer: &Signer,
    new: &[NewEntry],
) -> Result<VerifiedRun, WriteFault> {
    let last = new.len().checked_sub(1).ok_or(WriteFault::Empty)?;
    if new.len() > SEGMENT_ENTRIES_MAX {
        return Err(WriteFault::SegmentTooLarge);
    }
    let mut bytes = Vec::new();
    let mut entries = Vec::with_capacity(new.len());
    let mut unsigned = Vec::new();
    let mut boxes = 0;
    let mut at = *head;
    for (n, entry) in new.iter().enumerate() {
        let sign = n == last || log.class.signs_every_entry();
        let covers = (sign && !unsigned.is_empty()).then(|| Covers {
            count: unsigned.len() as u8,
            root: merkle_root(unsigned.iter().map(|id: &EntryId| id.0)),
        });
        let mut short = ShortEntry {
            epoch: (entry.epoch != at.epoch).then_some(entry.epoch),
            sealed: &entry.sealed,
            has_box: entry.key_box.is_some(),
            box_gone: None,
            payload: entry.payload.as_deref(),
            payload_gone: None,
            covers,
            signature: None,
        };
        let header = Header { covered: !sign, ..short.header(log, &at, entry.key_box.as_ref()) };
        let header_bytes = header.encode();
        let id = EntryId(Domain::Entry.hash(&[&header_bytes]));
        let signed = sign.then(|| {
            let signature = signer.sign(Domain::Entry, &header_bytes);
            short.signature = Some(signature);
            Box::new(SignedHeader { header: header.clone(), signature })
        });
        let start = bytes.len();
        short.encode(&mut bytes);
        entries.push(placed(&bytes, start, at.next, id, &header, entry, signed)?);
        boxes += written_box(&header);
        if sign {
            unsigned.clear();
        } else {
            unsigned.push(id);
        }
        at = Head { next: at.next + 1, id, epoch: entry.epoch };
    }
    if bytes.len() > SEGMENT_BYTES_MAX && new.len() > 1 {
        return Err(WriteFault::SegmentTooLarge);
    }
    let written = bytes.len() as u64 + boxes;
    Ok(VerifiedRun { log: Arc::new(*log), from: *head, to: Arc::new(at), bytes, entries, written })
}

/// How many bytes the key box took that its author wrote beside an entry.
const fn written_box(header: &Header) -> u64 {
    if header.key_box.is_some() { KEY_BOX_BYTES as u64 } else { 0 }
}

/// The verified form of the entry whose short form was just written at `start`.
fn placed(
    bytes: &[u8],
    start: usize,
    seq: u64,
    id: EntryId,
    header: &Header,
    entry: &NewEntry,
    signed: Option<Box<SignedHeader>>,
) -> Result<VerifiedEntry, WriteFault> {
    let mut reader = Reader::new(bytes);
    let read = reader.take(start, "entries").and_then(|_| ShortEntry::decode(&mut reader));
    let Ok(short) = read else { return Err(WriteFault::SegmentTooLarge) };
    Ok(VerifiedEntry {
        seq,
        id,
        epoch: header.epoch,
        sealed: range_in(bytes, short.sealed),
        sealed_hash: header.sealed.hash,
        payload: short.payload.map(|part| range_in(bytes, part)),
        key_box: entry.key_box,
        box_hash: header.key_box,
        detached: false,
        end: bytes.len(),
        signed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{CompartmentId, Incarnation};
    use proptest::prelude::*;

    fn signer() -> Signer {
        Signer::from_seed(&[1; 32])
    }

    fn log(class: Class) -> LogId {
        LogId {
            compartment: CompartmentId([1; 32]),
            class,
            device: DeviceId(signer().public()),
            incarnation: Incarnation(1),
        }
    }

    fn new(n: u8, epoch: u8) -> NewEntry {
        NewEntry {
            epoch: EpochId([epoch; 32]),
            sealed: vec![n; 40],
            key_box: n.is_multiple_of(2).then_some([n; 16]),
            payload: (!n.is_multiple_of(5)).then(|| vec![n; usize::from(n) * 3]),
        }
    }

    fn boxes(run: &VerifiedRun) -> Vec<u8> {
        run.entries().iter().filter_map(|e| e.key_box).flatten().collect()
    }

    fn read<'a>(run: &'a VerifiedRun, boxes: &'a [u8]) -> UnverifiedRun<'a> {
        UnverifiedRun { log: *run.log, count: run.entries.len(), entries: &run.bytes, boxes }
    }

    fn segment(class: Class, count: u8) -> VerifiedRun {
        let epoch = u8::from(class != Class::Authority);
        let entries: Vec<_> = (0..count).map(|n| new(n, epoch)).collect();
        write_segment(&log(class), &Head::EMPTY, &signer(), &entries).unwrap()
    }

    #[test]
    fn what_is_written_verifies_to_the_same() {
        for (class, count) in [(Class::Routine, 200), (Class::Flash, 3), (Class::Authority, 2)] {
            let run = segment(class, count);
            let boxes = boxes(&run);
            let back = read(&run, &boxes).verify(&Head::EMPTY).unwrap();
            assert_eq!(back.entries, run.entries);
            assert_eq!(back.to, run.to);
            let signed = run.entries.iter().filter(|e| e.signed.is_some()).count();
            assert_eq!(signed, if class == Class::Routine { 1 } else { usize::from(count) });
        }
    }

    #[test]
    fn a_run_holds_on_its_own_head_only() {
        let run = segment(Class::Routine, 3);
        let boxes = boxes(&run);
        for head in [Head { next: 1, ..Head::EMPTY }, Head { id: EntryId([1; 32]), ..Head::EMPTY }]
        {
            let fault = read(&run, &boxes).verify(&head).unwrap_err();
            assert!(matches!(fault, RunFault::Coverage { .. } | RunFault::Signature { .. }));
        }
        let other = LogId { incarnation: Incarnation(2), ..*run.log };
        let moved = UnverifiedRun { log: other, ..read(&run, &boxes) };
        assert!(moved.verify(&Head::EMPTY).is_err());
    }

    #[test]
    fn a_segment_holds_at_its_bound_and_not_past_it() {
        let entries: Vec<_> = (0..=SEGMENT_ENTRIES_MAX).map(|n| new(n as u8, 1)).collect();
        let log = log(Class::Routine);
        let fits = write_segment(&log, &Head::EMPTY, &signer(), &entries[..SEGMENT_ENTRIES_MAX]);
        let fits = fits.unwrap();
        assert!(read(&fits, &boxes(&fits)).verify(&Head::EMPTY).is_ok());
        let over = write_segment(&log, &Head::EMPTY, &signer(), &entries);
        assert_eq!(over.unwrap_err(), WriteFault::SegmentTooLarge);
    }

    #[test]
    fn the_same_entries_signed_in_another_way_are_others() {
        let entries: Vec<_> = (0..3).map(|n| new(n, 1)).collect();
        let log = log(Class::Routine);
        let whole = write_segment(&log, &Head::EMPTY, &signer(), &entries).unwrap();
        let one = write_segment(&log, &Head::EMPTY, &signer(), &entries[..1]).unwrap();
        assert_ne!(whole.entries[0].id, one.entries[0].id);
        let two = write_segment(&log, one.to(), &signer(), &entries[1..2]).unwrap();
        assert_ne!(whole.entries[1].id, two.entries[0].id);
    }

    #[test]
    fn an_unsigned_end_and_unsigned_flashes_are_refused() {
        let run = segment(Class::Routine, 3);
        let cut = run.entries[1].end;
        let boxes = boxes(&run);
        let unsigned = UnverifiedRun {
            count: 2,
            entries: &run.bytes[..cut],
            boxes: &boxes[..16],
            ..read(&run, &boxes)
        };
        assert_eq!(unsigned.verify(&Head::EMPTY).unwrap_err(), RunFault::Unsigned { seq: 1 });
        let flash = UnverifiedRun { log: log(Class::Flash), ..read(&run, &boxes) };
        assert_eq!(flash.verify(&Head::EMPTY).unwrap_err(), RunFault::Unsigned { seq: 0 });
    }

    #[test]
    fn boxes_must_match_their_entries() {
        let run = segment(Class::Routine, 4);
        let boxes = boxes(&run);
        let with = |boxes| UnverifiedRun { boxes, ..read(&run, &[]) }.verify(&Head::EMPTY);
        assert!(with(&boxes).is_ok());
        assert_eq!(with(&boxes[..16]).unwrap_err(), RunFault::Boxes);
        let longer = [boxes.clone(), vec![0; 16]].concat();
        assert_eq!(with(&longer).unwrap_err(), RunFault::Boxes);
        assert_eq!(with(&longer[..33]).unwrap_err(), RunFault::Boxes);
        let mut swapped = boxes.clone();
        swapped[0] ^= 1;
        assert!(with(&swapped).is_err());
    }

    #[test]
    fn a_content_log_needs_an_epoch_and_an_authority_log_has_none() {
        let content = NewEntry { epoch: NO_EPOCH, ..new(1, 0) };
        let run = write_segment(&log(Class::Flash), &Head::EMPTY, &signer(), &[content]).unwrap();
        let fault = read(&run, &[]).verify(&Head::EMPTY).unwrap_err();
        assert_eq!(fault, RunFault::Epoch { seq: 0 });
        let statement = new(1, 1);
        let run =
            write_segment(&log(Class::Authority), &Head::EMPTY, &signer(), &[statement]).unwrap();
        assert_eq!(read(&run, &[]).verify(&Head::EMPTY).unwrap_err(), RunFault::Epoch { seq: 0 });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_changed_bit_verifies(count in 1u8..20, bit in any::<prop::sample::Index>()) {
            let run = segment(Class::Routine, count);
            let boxes = boxes(&run);
            let mut bytes = run.bytes.clone();
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed = UnverifiedRun { entries: &bytes, ..read(&run, &boxes) };
            prop_assert!(changed.verify(&Head::EMPTY).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), count in 0usize..5) {
            let run = UnverifiedRun { log: log(Class::Routine), count, entries: &bytes, boxes: &[] };
            prop_assert!(run.verify(&Head::EMPTY).is_err());
        }
    }
}
