//! Rebases: what lets those read a record's old entries whose epochs are closed to them.
//!
//! A rebase is an entry of the record, under an epoch that they can open. It carries no copy of the
//! record. It *discloses* entries: for each its sealed header in clear, and the record key that opens
//! its payload. Everything replicates, so a newcomer holds the ciphertexts already; it opens the
//! payloads that their authors sealed and signed, and comes to the same document, with the same
//! history. Who writes a rebase cannot lie: a payload is sealed in the entry's place, beside its header
//! and that one's sealed form, and opens with another key or beside another header no more.

use crate::bounds::SEALED_HEADER_BYTES_MAX;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::entry::sealed::SealedHeader;
use crate::id::{Class, CompartmentId, DeviceId, Incarnation, LogId, RecordId};
use crate::seal::Key;

use super::genesis::{CODEC_PLAIN, plain};

/// Most entries that one rebase discloses. What is more takes a further one.
pub const DISCLOSED_MAX: usize = 512;
/// Most bytes of a rebase's payload: several fit a segment.
pub const REBASE_BYTES_MAX: usize = 48 * 1024;
const _: () = assert!(REBASE_BYTES_MAX < crate::bounds::PAYLOAD_BYTES_MAX);

/// Entries of one log that one record key opens.
#[derive(Clone, Eq, PartialEq)]
pub struct Disclosure {
    /// The log.
    pub log: LogId,
    /// The record key of their payloads.
    pub key: Key,
    /// Their positions, ascending, and their headers.
    pub entries: Vec<(u64, SealedHeader)>,
}

impl std::fmt::Debug for Disclosure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Disclosure({:?}, key hidden, {:?})", self.log, self.entries)
    }
}

/// The payloads of as many rebases as these take. Each has a part of what there is, in order.
#[must_use]
pub fn encode(disclosures: &[Disclosure]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let (mut entries, mut bytes) = (0, 0);
    for Disclosure { log, key, entries: headers } in disclosures {
        let mut open: Option<(usize, Vec<u8>)> = None;
        for (seq, header) in headers {
            let mut one = Vec::new();
            one.number(*seq).bytes(&header.encode());
            let whole = bytes + GROUP_BYTES_MAX + one.len() > REBASE_BYTES_MAX;
            if whole || entries >= DISCLOSED_MAX {
                parts.extend(open.take().map(|(count, body)| group(log, key, count, &body)));
                payloads.push(payload(&std::mem::take(&mut parts)));
                (entries, bytes) = (0, 0);
            }
            if open.is_none() {
                bytes += GROUP_BYTES_MAX;
            }
            let (count, body) = open.get_or_insert_default();
            *count += 1;
            body.raw(&one);
            entries += 1;
            bytes += one.len();
        }
        parts.extend(open.map(|(count, body)| group(log, key, count, &body)));
    }
    if !parts.is_empty() {
        payloads.push(payload(&parts));
    }
    payloads
}

/// Most bytes of a disclosure before its entries, and of its share of the count before all.
const GROUP_BYTES_MAX: usize = 1 + 32 + 8 + 32 + 3 + 3;

fn group(log: &LogId, key: &Key, count: usize, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(GROUP_BYTES_MAX + body.len());
    out.raw(&[log.class as u8])
        .raw(&log.device.0)
        .raw(&log.incarnation.0.to_be_bytes())
        .raw(&**key)
        .number(count as u64)
        .raw(body);
    out
}

/// `codec (1) || count (number) || disclosures`, each `class (1) || device (32) || incarnation (8,
/// big-endian) || record key (32) || count (number) || entries: seq (number), header (bytes)`.
fn payload(groups: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![CODEC_PLAIN];
    out.number(groups.len() as u64);
    groups.iter().for_each(|group| {
        out.raw(group);
    });
    out
}

/// Reads the payload of a rebase of a record in a compartment. All that it discloses is of that
/// record.
pub fn decode(
    bytes: &[u8],
    compartment: CompartmentId,
    record: RecordId,
) -> Result<Vec<Disclosure>, DecodeError> {
    let mut reader = Reader::new(bytes);
    plain(&mut reader)?;
    let count = reader.count(DISCLOSED_MAX, "disclosures")?;
    let mut disclosures = Vec::new();
    let mut left = DISCLOSED_MAX;
    for _ in 0..count {
        let at = reader.at();
        let class = Class::from_u8(reader.u8("class")?)
            .filter(|class| *class != Class::Authority)
            .ok_or(DecodeError::Invalid { at, what: "class" })?;
        let device = DeviceId(reader.array("device id")?);
        let incarnation = Incarnation(u64::from_be_bytes(reader.array("incarnation")?));
        let key = Key::new(reader.array("record key")?);
        let at = reader.at();
        let count = reader.count(left, "disclosed entries")?;
        let mut entries: Vec<(u64, SealedHeader)> = Vec::new();
        for _ in 0..count {
            let seq = reader.number("seq")?;
            let header = SealedHeader::decode(
                reader.bytes(SEALED_HEADER_BYTES_MAX, "disclosed header")?,
                || Some(record),
            )?;
            let follows = entries.last().is_none_or(|(last, _)| *last < seq);
            if !follows || header.record != record || header.last_named() >= Some(seq) {
                return reader.invalid(at, "disclosed entries");
            }
            entries.push((seq, header));
        }
        if entries.is_empty() {
            return reader.invalid(at, "disclosed entries");
        }
        left -= count;
        disclosures.push(Disclosure {
            log: LogId { compartment, class, device, incarnation },
            key,
            entries,
        });
    }
    if disclosures.is_empty() {
        return reader.invalid(1, "disclosures");
    }
    reader.finish()?;
    Ok(disclosures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::DEPS_MAX;
    use crate::entry::sealed::EntryKind;
    use crate::id::EntryId;
    use crate::time::WallTime;

    const COMPARTMENT: CompartmentId = CompartmentId([1; 32]);
    const RECORD: RecordId = RecordId([2; 16]);

    fn disclosure(device: u8, seqs: std::ops::Range<u64>, deps: usize) -> Disclosure {
        let header = |seq: u64| SealedHeader {
            kind: EntryKind::CHANGE,
            record: RECORD,
            wall: WallTime(7),
            run: 0,
            box_seq: seq.checked_sub(1),
            own_deps: vec![],
            deps: (0..deps).map(|n| EntryId([n as u8; 32])).collect(),
            replaces: vec![],
        };
        let (device, incarnation) = (DeviceId([device; 32]), Incarnation(1));
        Disclosure {
            log: LogId { compartment: COMPARTMENT, class: Class::Routine, device, incarnation },
            key: Key::new([device.0[0]; 32]),
            entries: seqs.map(|seq| (seq, header(seq))).collect(),
        }
    }

    fn read(payload: &[u8]) -> Result<Vec<Disclosure>, DecodeError> {
        decode(payload, COMPARTMENT, RECORD)
    }

    #[test]
    fn what_does_not_fit_one_rebase_takes_several() {
        for (all, count) in [
            (vec![disclosure(1, 0..1, 0), disclosure(2, 3..9, 2)], 1),
            (vec![disclosure(1, 0..DISCLOSED_MAX as u64, 0)], 1),
            (vec![disclosure(1, 0..DISCLOSED_MAX as u64, 0), disclosure(2, 0..1, 0)], 2),
            (vec![disclosure(1, 0..700, DEPS_MAX), disclosure(2, 0..2, DEPS_MAX)], 16),
            (vec![], 0),
        ] {
            let payloads = encode(&all);
            assert_eq!(payloads.len(), count);
            let mut back: Vec<Disclosure> = Vec::new();
            for payload in payloads {
                assert!(payload.len() <= REBASE_BYTES_MAX);
                for one in read(&payload).unwrap() {
                    match back.last_mut().filter(|last| last.log == one.log) {
                        Some(last) => last.entries.extend(one.entries),
                        None => back.push(one),
                    }
                }
            }
            assert_eq!(back, all);
        }
    }

    #[test]
    fn a_rebase_has_one_form() {
        let payload = encode(&[disclosure(1, 1..3, 1)]).remove(0);
        assert!(read(&payload).is_ok());
        assert!(decode(&payload, COMPARTMENT, RecordId([3; 16])).is_err(), "of another record");
        for len in 0..payload.len() {
            assert!(read(&payload[..len]).is_err());
        }
        assert!(read(&[payload.clone(), vec![0]].concat()).is_err());
        assert!(read(&[0, 0]).is_err(), "nothing");
        let mut descending = disclosure(1, 1..3, 1);
        descending.entries.reverse();
        let mut ahead = disclosure(1, 1..2, 0);
        ahead.entries[0].1.box_seq = Some(1);
        let mut clear = disclosure(1, 1..2, 0);
        clear.log.class = Class::Authority;
        let none = disclosure(1, 1..1, 0);
        let empty = payload_of(&none);
        for bad in [payload_of(&descending), payload_of(&ahead), payload_of(&clear), empty] {
            assert!(read(&bad).is_err());
        }
    }

    fn payload_of(one: &Disclosure) -> Vec<u8> {
        let mut body = Vec::new();
        for (seq, header) in &one.entries {
            body.number(*seq).bytes(&header.encode());
        }
        payload(&[group(&one.log, &one.key, one.entries.len(), &body)])
    }
}
