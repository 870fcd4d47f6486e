//! What an entry costs its author and whoever receives it: sealed, hashed, signed; verified, opened.
//! In segments, where one signature covers up to 256 entries, and one by one. Prints nanoseconds
//! per entry, the median of rounds.
//!
//! `cargo bench -p tearline-crdt --bench entry`

use std::hint::black_box;

use tearline_crdt::bounds::SEGMENT_ENTRIES_MAX;
use tearline_crdt::entry::run::{Head, NewEntry, UnverifiedRun, VerifiedRun, write_segment};
use tearline_crdt::entry::sealed::{LogCipher, SealedHeader};
use tearline_crdt::epoch::EpochKeys;
use tearline_crdt::hash::sha256;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, EpochId, Incarnation, LogId, RecordId};
use tearline_crdt::keys::Signer;
use tearline_crdt::time::WallTime;

/// Bytes of a payload: a sighting of 14 fields.
const PAYLOAD_BYTES: usize = 420;

fn signer() -> Signer {
    Signer::from_seed(&[1; 32])
}

fn cipher(class: Class) -> LogCipher {
    let log = LogId {
        compartment: CompartmentId([2; 32]),
        class,
        device: DeviceId(signer().public()),
        incarnation: Incarnation(1),
    };
    LogCipher::new(log, EpochId([3; 32]), EpochKeys::of(&[4; 32]))
}

fn seal(cipher: &LogCipher, seq: u64, payload: &[u8]) -> NewEntry {
    let header = SealedHeader::genesis(RecordId([5; 16]), WallTime(1_714_557_600_000));
    let key_box = [seq as u8; 16];
    let sealed = cipher.seal_header(seq, &header);
    let payload = cipher.seal_payload(seq, (&header, &sha256(&sealed)), &key_box, payload);
    NewEntry { epoch: cipher.epoch(), sealed, key_box: Some(key_box), payload }
}

/// Opens every entry of a run; returns the bytes of their payloads.
fn open(cipher: &LogCipher, run: &VerifiedRun) -> usize {
    let bytes = run.entries().iter().map(|entry| {
        let box_hash = entry.box_hash.as_ref();
        let header = cipher.open_header(entry.seq, run.sealed(entry), box_hash);
        let header = (&header.expect("its header opens"), &entry.sealed_hash);
        let (key_box, payload) = entry.key_box.zip(run.payload(entry)).expect("it is whole");
        let payload = cipher.open_payload(entry.seq, header, &key_box, payload);
        payload.expect("its payload opens").len()
    });
    bytes.sum()
}

const ROUNDS: usize = 15;
/// Entries of a round, about.
const ENTRIES: usize = 2_048;

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn measure<T>(what: &str, entries: usize, mut call: impl FnMut() -> T) {
    let calls = ENTRIES.div_ceil(entries);
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = std::time::Instant::now();
        for _ in 0..calls {
            black_box(call());
        }
        rounds.push(start.elapsed().as_nanos() / (calls * entries) as u128);
    }
    rounds.sort_unstable();
    println!("{:>9} ns  {what}", rounds.get(ROUNDS / 2).copied().unwrap_or(0));
}

fn main() {
    let payload = vec![6; PAYLOAD_BYTES];
    println!("an entry with a payload of {PAYLOAD_BYTES} bytes");
    let routine = cipher(Class::Routine);
    measure("seal header and payload", 1, || seal(&routine, 7, &payload));
    for (class, count) in [
        (Class::Routine, SEGMENT_ENTRIES_MAX),
        (Class::Routine, 16),
        (Class::Routine, 1),
        (Class::Flash, SEGMENT_ENTRIES_MAX),
    ] {
        let (cipher, signer) = (cipher(class), signer());
        let entries: Vec<_> = (0..count as u64).map(|n| seal(&cipher, n, &payload)).collect();
        let write = || write_segment(cipher.log(), &Head::EMPTY, &signer, &entries);
        let run = write().expect("it is written");
        let boxes: Vec<u8> = run.entries().iter().filter_map(|e| e.key_box).flatten().collect();
        let (log, bytes) = (*cipher.log(), run.bytes());
        let unverified = UnverifiedRun { log, count, entries: bytes, boxes: &boxes };
        let verified = unverified.verify(&Head::EMPTY).expect("it holds");
        assert_eq!(open(&cipher, &verified), count * PAYLOAD_BYTES);
        let each = if class.signs_every_entry() { "each signed" } else { "one signature" };
        let size = (bytes.len() + boxes.len()) / count;
        println!("{count} {} entries together, {each}, {size} bytes an entry", class.name());
        measure("hash and sign", count, write);
        measure("verify chain and signatures", count, || unverified.verify(&Head::EMPTY));
        measure("open header and payload", count, || open(&cipher, &verified));
    }
}
