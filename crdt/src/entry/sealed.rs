//! The sealed header: which record an entry is about, of what kind it is, and what it depends on.
//! It is sealed under a key per (epoch, log) that outlives erasure, so that an auditor can follow
//! the skeleton of a record whose content is gone.

use crate::bounds::DEPS_MAX;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::epoch::{EpochKeys, KeyBox};
use crate::hash::Digest;
use crate::id::{EntryId, EpochId, LogId, RecordId};
use crate::record::genesis::record_id;
use crate::seal::{self, BrokenSeal, Key, TAG_BYTES};
use crate::time::WallTime;

/// What an entry does. The number is the wire form; numbers that this version does not know are
/// stored and relayed, and change nothing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct EntryKind(pub u8);

impl EntryKind {
    /// A record begins: payload is a genesis ([`crate::record::genesis`]).
    pub const GENESIS: Self = Self(1);
    /// A record changes: payload is a codec byte and an Automerge change.
    pub const CHANGE: Self = Self(2);
    /// A label statement.
    pub const LABEL: Self = Self(3);
    /// What lets newcomers read entries of the record whose epochs are closed to them
    /// ([`crate::record::rebase`]).
    pub const REBASE: Self = Self(4);
    /// A change that says again what earlier entries of its own log said, which wait on what is
    /// quarantined, and replaces those. Payload as that of a change.
    pub const REAUTHOR: Self = Self(5);
    /// Receipts, in a clear entry ([`crate::record::receipt`]).
    pub const RECEIPT: Self = Self(6);
    /// A change that says what the record's source said: what an import changed, or the rest of a genesis
    /// that is too long for one entry. Judged as a change, with the payload of one; what it touches counts as
    /// *brought* ([`crate::record::shelf::Reader::brought`]).
    pub const BROUGHT: Self = Self(7);
}

/// The sealed header, opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SealedHeader {
    /// What the entry does.
    pub kind: EntryKind,
    /// The record.
    pub record: RecordId,
    /// The author's wall clock; never earlier than those of the entries of this log that it builds on.
    pub wall: WallTime,
    /// The author's unbroken line of changes to the record in this log, from 0.
    pub run: u32,
    /// Where the record's key box is: `None` in this entry, or in the log's entry of that seq.
    pub box_seq: Option<u64>,
    /// The record's heads in this log, as the author saw them, by seq: ascending. The chain binds
    /// them as an id would, in fewer bytes.
    pub own_deps: Vec<u64>,
    /// The record's heads in other logs, by id: ascending.
    pub deps: Vec<EntryId>,
    /// The entries of this log that it replaces, by seq: ascending. Of kind
    /// [`EntryKind::REAUTHOR`] alone; no other kind has the list.
    pub replaces: Vec<u64>,
}

impl SealedHeader {
    /// `kind (1) || wall ms (number)`, and but for a genesis `record (16) || run (number) ||
    /// box seq + 1, or 0 (number) || count (number), own deps (numbers) ||
    /// count (number), deps (32 each)`, and for kind 5 `count (number), replaced seqs (numbers)`. A
    /// genesis builds on nothing and has its key box, from which its record's id is drawn.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.raw(&[self.kind.0]).number(self.wall.0);
        if self.kind == EntryKind::GENESIS {
            return out;
        }
        out.raw(&self.record.0)
            .number(u64::from(self.run))
            .number(self.box_seq.map_or(0, |seq| seq.saturating_add(1)))
            .number(self.own_deps.len() as u64);
        for dep in &self.own_deps {
            out.number(*dep);
        }
        out.number(self.deps.len() as u64);
        for dep in &self.deps {
            out.raw(&dep.0);
        }
        if self.kind == EntryKind::REAUTHOR {
            out.number(self.replaces.len() as u64);
            for seq in &self.replaces {
                out.number(*seq);
            }
        }
        out
    }

    /// The last position of its own log that it names.
    pub(crate) fn last_named(&self) -> Option<u64> {
        let lists = self.own_deps.last().max(self.replaces.last()).copied();
        lists.max(self.box_seq)
    }

    /// The header of an entry that begins a record.
    #[must_use]
    pub const fn genesis(record: RecordId, wall: WallTime) -> Self {
        Self {
            kind: EntryKind::GENESIS,
            record,
            wall,
            run: 0,
            box_seq: None,
            own_deps: Vec::new(),
            deps: Vec::new(),
            replaces: Vec::new(),
        }
    }

    /// Reads what [`SealedHeader::encode`] wrote. `begins` is the record that a genesis there begins;
    /// none without a key box, and then a genesis is malformed.
    pub fn decode(
        bytes: &[u8],
        begins: impl FnOnce() -> Option<RecordId>,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let kind = EntryKind(reader.u8("entry kind")?);
        let wall = WallTime(reader.number("wall time")?);
        if kind == EntryKind::GENESIS {
            let record = begins().ok_or(DecodeError::Invalid { at: 0, what: "key box" })?;
            return reader.finish().map(|()| Self::genesis(record, wall));
        }
        let record = RecordId(reader.array("record id")?);
        let run = reader.number_max(u64::from(u32::MAX), "run")? as u32;
        let box_seq = reader.number("box seq")?.checked_sub(1);
        let own_deps = seqs(&mut reader, OWN_DEPS_MAX, "own dependencies")?;
        let at = reader.at();
        let count = reader.count(DEPS_MAX, "dependencies")?;
        let mut deps = Vec::with_capacity(count);
        for _ in 0..count {
            deps.push(EntryId(reader.array("dependency")?));
        }
        if !deps.windows(2).all(|pair| matches!(pair, [a, b] if a < b)) {
            return reader.invalid(at, "dependencies");
        }
        let replaces = if kind == EntryKind::REAUTHOR {
            seqs(&mut reader, REPLACES_MAX, "replaced entries")?
        } else {
            Vec::new()
        };
        reader.finish()?;
        Ok(Self { kind, record, wall, run, box_seq, own_deps, deps, replaces })
    }
}

/// A list of positions, ascending.
fn seqs(reader: &mut Reader<'_>, max: usize, what: &'static str) -> Result<Vec<u64>, DecodeError> {
    let at = reader.at();
    let count = reader.count(max, what)?;
    let mut seqs = Vec::with_capacity(count);
    for _ in 0..count {
        seqs.push(reader.number(what)?);
    }
    if !seqs.windows(2).all(|pair| matches!(pair, [a, b] if a < b)) {
        return reader.invalid(at, what);
    }
    Ok(seqs)
}

/// Seals and opens the entries of one log under one epoch. Holds the log's header key, so that a
/// run of entries derives it once.
#[derive(Debug)]
pub struct LogCipher {
    log: LogId,
    log_bytes: [u8; crate::id::LOG_ID_BYTES],
    log_digest: Digest,
    epoch: EpochId,
    keys: EpochKeys,
    header_key: Key,
}

/// Tells the uses of one (log, seq) nonce space apart.
const NONCE_HEADER: u8 = 1;
const NONCE_PAYLOAD: u8 = 2;
const NONCE_REST: u8 = 3;

impl LogCipher {
    /// The cipher of a log under an epoch's keys.
    #[must_use]
    pub fn new(log: LogId, epoch: EpochId, keys: EpochKeys) -> Self {
        let header_key = keys.header_key(&log);
        Self { log, log_bytes: log.encode(), log_digest: log.digest(), epoch, keys, header_key }
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &LogId {
        &self.log
    }

    /// The epoch.
    #[must_use]
    pub const fn epoch(&self) -> EpochId {
        self.epoch
    }

    /// Seals a header for position `seq`.
    #[must_use]
    pub fn seal_header(&self, seq: u64, header: &SealedHeader) -> Vec<u8> {
        let associated = self.associated(seq, None);
        seal::seal(&self.header_key, &nonce(NONCE_HEADER, seq), &associated, &header.encode())
    }

    /// Opens the sealed header at position `seq`, beside a key box with this hash. What it names in
    /// its own log is before it there.
    pub fn open_header(
        &self,
        seq: u64,
        sealed: &[u8],
        box_hash: Option<&Digest>,
    ) -> Result<SealedHeader, OpenFault> {
        let associated = self.associated(seq, None);
        let plain = seal::open(&self.header_key, &nonce(NONCE_HEADER, seq), &associated, sealed)?;
        let begins = || box_hash.map(|hash| record_id(&self.log_digest, hash));
        let header = SealedHeader::decode(&plain, begins)?;
        match header.last_named() {
            Some(named) if named >= seq => Err(OpenFault::NotBefore { named }),
            _ => Ok(header),
        }
    }

    /// Seals what a statement at position `seq` says to readers only.
    #[must_use]
    pub fn seal_rest(&self, seq: u64, rest: &[u8]) -> Vec<u8> {
        let associated = self.associated(seq, None);
        seal::seal(&self.header_key, &nonce(NONCE_REST, seq), &associated, rest)
    }

    /// Opens what [`LogCipher::seal_rest`] sealed.
    pub fn open_rest(&self, seq: u64, sealed: &[u8]) -> Result<Vec<u8>, OpenFault> {
        let associated = self.associated(seq, None);
        Ok(seal::open(&self.header_key, &nonce(NONCE_REST, seq), &associated, sealed)?)
    }

    /// Seals a payload for position `seq`, bound to its header and to how that is sealed beside it.
    /// `None` once the epoch is retired.
    #[must_use]
    pub fn seal_payload(
        &self,
        seq: u64,
        (header, sealed_hash): (&SealedHeader, &Digest),
        key_box: &KeyBox,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        let key = self.keys.record_key(&self.log, key_box)?;
        let associated = self.associated(seq, Some((header, sealed_hash)));
        Some(seal::seal(&key, &nonce(NONCE_PAYLOAD, seq), &associated, payload))
    }

    /// Opens the payload at position `seq`.
    pub fn open_payload(
        &self,
        seq: u64,
        (header, sealed_hash): (&SealedHeader, &Digest),
        key_box: &KeyBox,
        payload: &[u8],
    ) -> Result<Vec<u8>, OpenFault> {
        let key = self.keys.record_key(&self.log, key_box).ok_or(OpenFault::Retired)?;
        let associated = self.associated(seq, Some((header, sealed_hash)));
        Ok(seal::open(&key, &nonce(NONCE_PAYLOAD, seq), &associated, payload)?)
    }

    /// Opens the payload at position `seq` with the record key, where that is at hand and the epoch's
    /// keys are not. It opens beside its own header and no other.
    pub fn open_payload_with(
        key: &Key,
        (log, epoch): (&LogId, &EpochId),
        seq: u64,
        (header, sealed_hash): (&SealedHeader, &Digest),
        payload: &[u8],
    ) -> Result<Vec<u8>, OpenFault> {
        let associated = associated(&log.encode(), epoch, seq, Some((header, sealed_hash)));
        Ok(seal::open(key, &nonce(NONCE_PAYLOAD, seq), &associated, payload)?)
    }

    /// The key of the payloads of a record with this box; `None` once the epoch is retired.
    #[must_use]
    pub fn record_key(&self, key_box: &KeyBox) -> Option<Key> {
        self.keys.record_key(&self.log, key_box)
    }

    fn associated(&self, seq: u64, header: Option<(&SealedHeader, &Digest)>) -> Vec<u8> {
        associated(&self.log_bytes, &self.epoch, seq, header)
    }
}

/// `log (73) || epoch (32) || seq (8, big-endian)`, and of a payload
/// `hash of the sealed header (32) || header`.
fn associated(
    log: &[u8; crate::id::LOG_ID_BYTES],
    epoch: &EpochId,
    seq: u64,
    header: Option<(&SealedHeader, &Digest)>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(224);
    out.raw(log).raw(&epoch.0).raw(&seq.to_be_bytes());
    if let Some((header, sealed_hash)) = header {
        out.raw(sealed_hash).raw(&header.encode());
    }
    out
}

/// Why an entry's content does not open. The entry stays in its log; it changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenFault {
    /// Sealed under other keys, or tampered with by its author.
    #[error("the seal does not match")]
    Seal,
    /// The epoch's payload key was destroyed.
    #[error("the epoch is retired")]
    Retired,
    /// The header names a position of its log that is not before its own.
    #[error("it names position {named}, which is not before it")]
    NotBefore {
        /// The position.
        named: u64,
    },
    /// The plaintext is not a header.
    #[error("malformed header: {0}")]
    Malformed(#[from] DecodeError),
}

impl From<BrokenSeal> for OpenFault {
    fn from(_: BrokenSeal) -> Self {
        Self::Seal
    }
}

/// `use (1) || 0 (3) || seq (8, big-endian)`: with the key it is bound to the log and the position.
fn nonce(part: u8, seq: u64) -> [u8; 12] {
    let mut out = [0; 12];
    for (to, from) in out.iter_mut().zip([part, 0, 0, 0].into_iter().chain(seq.to_be_bytes())) {
        *to = from;
    }
    out
}

/// Most heads of one record in one log: a log is a chain, so honest authors have one.
const OWN_DEPS_MAX: usize = 4;

/// Most entries that one replaces. What is more takes a further one.
pub(crate) const REPLACES_MAX: usize = 64;

/// Longest sealed form of a header with the most dependencies that replaces the most entries.
pub const SEALED_BYTES_MAX: usize = 1
    + 16
    + 10
    + 5
    + 10
    + (1 + 10 * OWN_DEPS_MAX)
    + (1 + 32 * DEPS_MAX)
    + (1 + 10 * REPLACES_MAX)
    + TAG_BYTES;
const _: () = assert!(SEALED_BYTES_MAX <= crate::bounds::SEALED_HEADER_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Class, CompartmentId, DeviceId, Incarnation};

    fn cipher(device: u8, secret: u8) -> LogCipher {
        let log = LogId {
            compartment: CompartmentId([1; 32]),
            class: Class::Routine,
            device: DeviceId([device; 32]),
            incarnation: Incarnation(3),
        };
        LogCipher::new(log, EpochId([9; 32]), EpochKeys::of(&[secret; 32]))
    }

    fn header(deps: usize) -> SealedHeader {
        SealedHeader {
            kind: EntryKind::CHANGE,
            record: RecordId([7; 16]),
            wall: WallTime(u64::MAX),
            run: u32::MAX,
            box_seq: Some(u64::MAX - 1),
            own_deps: (0..OWN_DEPS_MAX as u64).map(|n| u64::MAX - 9 + n).collect(),
            deps: (0..deps).map(|n| EntryId([n as u8; 32])).collect(),
            replaces: vec![],
        }
    }

    fn decode(bytes: &[u8]) -> Result<SealedHeader, DecodeError> {
        SealedHeader::decode(bytes, || None)
    }

    fn reauthor(replaced: usize) -> SealedHeader {
        let replaces = (0..replaced as u64).map(|n| u64::MAX - 99 + n).collect();
        SealedHeader { kind: EntryKind::REAUTHOR, replaces, ..header(DEPS_MAX) }
    }

    #[test]
    fn headers_open_in_their_place_only() {
        let sealed = cipher(1, 1).seal_header(u64::MAX, &header(2));
        assert_eq!(cipher(1, 1).open_header(u64::MAX, &sealed, None), Ok(header(2)));
        for result in [
            cipher(1, 1).open_header(u64::MAX - 1, &sealed, None),
            cipher(2, 1).open_header(u64::MAX, &sealed, None),
            cipher(1, 2).open_header(u64::MAX, &sealed, None),
        ] {
            assert_eq!(result, Err(OpenFault::Seal));
        }
    }

    #[test]
    fn headers_name_positions_before_their_own() {
        let none = SealedHeader { box_seq: None, own_deps: vec![], ..reauthor(0) };
        let naming = |named| {
            [
                SealedHeader { box_seq: Some(named), ..none.clone() },
                SealedHeader { own_deps: vec![0, named], ..none.clone() },
                SealedHeader { replaces: vec![0, named], ..none.clone() },
            ]
        };
        let open = |seq, header: &SealedHeader| {
            cipher(1, 1).open_header(seq, &cipher(1, 1).seal_header(seq, header), None)
        };
        assert_eq!(open(0, &none), Ok(none.clone()));
        for header in naming(5) {
            assert_eq!(open(6, &header), Ok(header.clone()));
            assert_eq!(open(5, &header), Err(OpenFault::NotBefore { named: 5 }));
            assert_eq!(open(4, &header), Err(OpenFault::NotBefore { named: 5 }));
        }
    }

    #[test]
    fn a_genesis_says_its_time_and_its_box_says_its_record() {
        let box_hash = [3; 32];
        let record = record_id(&cipher(1, 1).log().digest(), &box_hash);
        let genesis = SealedHeader::genesis(record, WallTime(1_777_629_660_250));
        assert_eq!(genesis.encode().len(), 7);
        let sealed = cipher(1, 1).seal_header(0, &genesis);
        assert_eq!(cipher(1, 1).open_header(0, &sealed, Some(&box_hash)), Ok(genesis.clone()));
        let other = cipher(1, 1).open_header(0, &sealed, Some(&[4; 32])).unwrap();
        assert_ne!(other.record, record);
        let none = cipher(1, 1).open_header(0, &sealed, None);
        assert!(matches!(none, Err(OpenFault::Malformed(_))));
        let longer = [genesis.encode(), vec![0]].concat();
        assert!(SealedHeader::decode(&longer, || Some(record)).is_err());
    }

    #[test]
    fn payloads_open_beside_their_header_with_their_box_only() {
        let (one, other) = (header(2), header(1));
        let key = cipher(1, 1).record_key(&[2; 16]).unwrap();
        let sealed = cipher(1, 1).seal_payload(5, (&one, &[1; 32]), &[2; 16], b"text").unwrap();
        let open = |seq, header, hash: u8, key_box: u8| {
            cipher(1, 1).open_payload(seq, (header, &[hash; 32]), &[key_box; 16], &sealed)
        };
        assert_eq!(open(5, &one, 1, 2).unwrap(), b"text");
        assert!(open(5, &one, 0, 2).is_err());
        assert!(open(5, &one, 1, 0).is_err());
        assert!(open(4, &one, 1, 2).is_err());
        assert!(open(5, &other, 1, 2).is_err());
        let cipher = cipher(1, 1);
        let place = (cipher.log(), &cipher.epoch());
        let open =
            |header| LogCipher::open_payload_with(&key, place, 5, (header, &[1; 32]), &sealed);
        assert_eq!(open(&one).unwrap(), b"text");
        assert!(open(&other).is_err());
    }

    #[test]
    fn the_number_of_dependencies_is_bounded() {
        let most = header(DEPS_MAX);
        assert_eq!(decode(&most.encode()), Ok(most.clone()));
        assert!(decode(&header(DEPS_MAX + 1).encode()).is_err());
        let mut unordered = header(2);
        unordered.deps.reverse();
        assert!(decode(&unordered.encode()).is_err());
    }

    #[test]
    fn what_an_entry_replaces_is_bounded_and_costs_other_kinds_nothing() {
        let most = reauthor(REPLACES_MAX);
        assert_eq!(decode(&most.encode()), Ok(most.clone()));
        assert_eq!(cipher(1, 1).seal_header(u64::MAX, &most).len(), SEALED_BYTES_MAX);
        assert!(decode(&reauthor(REPLACES_MAX + 1).encode()).is_err());
        let mut unordered = reauthor(2);
        unordered.replaces.reverse();
        assert!(decode(&unordered.encode()).is_err());
        let change = SealedHeader { kind: EntryKind::CHANGE, replaces: vec![], ..most.clone() };
        assert_eq!(change.encode().len() + 1 + 10 * REPLACES_MAX, most.encode().len());
        let ignored = SealedHeader { kind: EntryKind::CHANGE, ..most };
        assert_eq!(decode(&ignored.encode()), Ok(change));
    }
}
