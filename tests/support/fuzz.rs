//! Hostile bytes, as functions: each takes any bytes at all, gives them to what a stranger or a
//! chosen file can reach, and panics when something that must hold does not. `cargo test` runs
//! them over fixed mutations of seeds, `tests/fuzz` gives them to libFuzzer. See `docs/fuzzing.md`.

#[cfg(test)]
mod mutation;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use serde_json::Value;
use tearline_crdt::bounds::{CHANGE_BYTES_MAX, CHANGE_OPS_MAX};
use tearline_crdt::change::encode;
use tearline_crdt::change::strip::{Implied, expand, strip};
use tearline_crdt::charter::{Charter, Member};
use tearline_crdt::codec::{DecodeError, Reader};
use tearline_crdt::document::Document;
use tearline_crdt::entropy::{Entropy as _, SeededEntropy};
use tearline_crdt::entry::Header;
use tearline_crdt::entry::fork::{Branch, ForkProof, SignedHeader};
use tearline_crdt::entry::run::{Head, UnverifiedRun};
use tearline_crdt::entry::sealed::SealedHeader;
use tearline_crdt::epoch::KEY_BOX_BYTES;
use tearline_crdt::gate::{self, Admitted, Expected};
use tearline_crdt::hash::{Domain, sha256};
use tearline_crdt::id::{Class, CompartmentId, DeviceId, Incarnation, LogId, RecordId};
use tearline_crdt::keys::{DeviceCard, DeviceKeys, KEM_KEY_BYTES, KemKey};
use tearline_crdt::record::day::Day;
use tearline_crdt::record::genesis::{Carried, Genesis, LabelStatement};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::pattern::{Objects, Pattern};
use tearline_crdt::record::validate::{PROBLEMS_MAX, doubts, validate};
use tearline_crdt::record::writing::bare;
use tearline_crdt::record::{identifier, mrz, rebase};
use tearline_crdt::seal::{self, Key, SecretBox};
use tearline_crdt::statement::Statement;
use tearline_crdt::time::{MonoTime, WallTime};
use tearline_mesh::bundle::{self, Writer};
use tearline_mesh::invitation::{Invitation, JoinAnswer, JoinRequest};
use tearline_mesh::thin::{Action, Config, Event, LINK_FRAME_BYTES_MAX, Line, Machine, kiss};
use tearline_mesh::wire::{FRAME_BYTES_MAX, Frame};

/// A frame of the sync protocol, and what an applicant and an inviter send: decodes or is refused,
/// and what decodes has no other spelling.
pub fn frame(data: &[u8]) {
    whole("frame", data, Frame::decode, Frame::encode);
    whole("join request", data, JoinRequest::decode, JoinRequest::encode);
    whole("join answer", data, JoinAnswer::decode, JoinAnswer::encode);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(invitation) = Invitation::from_text(text)
    {
        assert_eq!(Invitation::from_text(&invitation.to_text()), Ok(invitation));
    }
}

/// What a finder of a bundle puts in its place, and what a maker seals as a bundle's only chunk: frames up
/// to where it makes no sense, none beyond the bound.
pub fn bundle(data: &[u8]) {
    assert_eq!(frames_in(data, &bundle_keys()), 0, "nobody has the key");
    assert!(bundle_read(data).is_none_or(|bytes| bytes <= BUNDLE_CONTENT_BYTES));
}

/// How many bytes of frames are read of a bundle whose maker sealed this; `None` if it is too much.
fn bundle_read(data: &[u8]) -> Option<usize> {
    static HEAD: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let keys = bundle_keys();
        let (to, made) = ([keys.agreement()], WallTime(1));
        let mut entropy = SeededEntropy::new(BUNDLE_SEED);
        let bundle = Writer::begin(Vec::new(), &keys, &to, made, u64::MAX, &mut entropy);
        let mut file = bundle.ok().and_then(|bundle| bundle.finish().ok()).unwrap_or_default();
        file.truncate(file.len() - bundle::CHUNK_BYTES);
        file
    });
    let (keys, name) = (bundle_keys(), sha256(&HEAD));
    let padding = vec![0; BUNDLE_CONTENT_BYTES.checked_sub(data.len())?];
    let content = [data, &padding].concat();
    let mut key = Key::default();
    SeededEntropy::new(BUNDLE_SEED).fill(key.as_mut_slice());
    let nonce = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let signed = [&name[..], &nonce, &content].concat();
    let signature = keys.signer().sign(Domain::BundleChunk, &signed);
    let chunk = seal::seal(&key, &nonce, &name, &[&signature[..], &content].concat());
    Some(frames_in(&[&HEAD[..], &chunk].concat(), &keys))
}

fn frames_in(file: &[u8], keys: &DeviceKeys) -> usize {
    let Ok(mut bundle) = bundle::Reader::begin(file, keys) else { return 0 };
    let mut bytes = 0;
    while let Ok(Some(frame)) = bundle.frame() {
        assert!(!frame.is_empty() && frame.len() <= FRAME_BYTES_MAX, "{} bytes", frame.len());
        bytes += frame.len();
    }
    bytes
}

fn bundle_keys() -> DeviceKeys {
    DeviceKeys::from_seeds(&[1; 32], &[2; 32])
}

/// Of the bundle that is changed: what its file key is drawn from, and the content of a chunk.
const BUNDLE_SEED: u64 = 7;
const BUNDLE_CONTENT_BYTES: usize = 65_456;

/// Everything that an entry holds, in clear or once it is opened.
pub fn entry(data: &[u8]) {
    part("outer header", data, Header::decode, Header::encode);
    part("signed header", data, SignedHeader::decode, |header| appended(|out| header.encode(out)));
    part("branch", data, Branch::decode, |branch| appended(|out| branch.encode(out)));
    part("log id", data, LogId::decode, |log| log.encode().to_vec());
    part("charter", data, Charter::decode, Charter::encode);
    part("member", data, Member::decode, |member| appended(|out| member.encode(out)));
    part("device card", data, DeviceCard::decode, |card| appended(|out| card.encode(out)));
    part("label", data, Label::decode, Label::encode);
    let begins = || Some(RecordId([1; 16]));
    let header = |data: &[u8]| SealedHeader::decode(data, begins);
    whole("sealed header", data, header, SealedHeader::encode);
    whole("statement", data, Statement::decode, Statement::encode);
    // A label that this version cannot read becomes the most restrictive one, so these two need not
    // encode to what they were.
    let _ = LabelStatement::decode(data);
    rebase_of(data);
    let _ = Genesis::decode(data);
    if let Some(proof) = ForkProof::decode(data) {
        assert_eq!(proof.encode(), data, "a fork proof has two spellings");
    }
    secret_box(data);
    run(data);
}

/// What a rebase of the record 16 times 0x07 discloses.
fn rebase_of(data: &[u8]) {
    let compartment = run_log(Class::Routine).compartment;
    let Ok(all) = rebase::decode(data, compartment, RecordId([7; 16])) else { return };
    let payloads = rebase::encode(&all);
    if data.len() <= rebase::REBASE_BYTES_MAX / 2 {
        assert_eq!(payloads, [data], "a rebase has two spellings");
    }
    let read = payloads.iter().map(|one| rebase::decode(one, compartment, RecordId([7; 16])));
    assert!(read.into_iter().all(|one| one.is_ok()), "a rebase is not read back");
}

/// A box of a stranger is opened, and a stranger's ML-KEM key used: either works or is refused.
fn secret_box(data: &[u8]) {
    static KEYS: LazyLock<DeviceKeys> =
        LazyLock::new(|| DeviceKeys::from_seeds(&[1; 32], &[2; 32]));
    part("secret box", data, SecretBox::decode, |sealed| appended(|out| sealed.encode(out)));
    if let Ok(sealed) = SecretBox::decode(&mut Reader::new(data)) {
        let _ = SecretBox { device: KEYS.id(), ..sealed }.open(&KEYS, b"context");
    }
    if let Some(Ok(key)) = data.get(..KEM_KEY_BYTES).map(KemKey::from_bytes) {
        let named = DeviceCard { kem_hash: key.hash(), ..KEYS.card([0; 32]) };
        let sealed = SecretBox::seal(&named, &key, b"context", &[3; 32], &[4; 64]);
        assert_eq!(sealed.is_ok(), key.encapsulate(&[4; 32]).is_ok());
    }
}

/// What a modem sends, and what a stranger sends over a thin link: frames within their bound, which
/// have one spelling; whoever lacks the keys gets no session, and nothing but an answer to what a
/// device once said.
pub fn thin(data: &[u8]) {
    let mut decoder = kiss::Decoder::default();
    let mut frames: Vec<Vec<u8>> = data.iter().filter_map(|byte| decoder.push(*byte)).collect();
    for frame in &frames {
        assert!(frame.len() <= LINK_FRAME_BYTES_MAX);
        let mut again = kiss::Decoder::default();
        let decoded: Vec<_> = kiss::encode(frame).iter().filter_map(|b| again.push(*b)).collect();
        assert_eq!(decoded, [frame.as_slice()]);
    }
    frames.push(data.to_vec());
    let Some(mut machine) = thin_machine([2, 1], false) else { return };
    for (ms, bytes) in (0..).zip(frames) {
        machine.handle(MonoTime(ms), Event::Received { bytes });
        while let Some(action) = machine.poll_action() {
            assert!(matches!(action, Action::Transmit { .. }), "{action:?}");
        }
    }
    assert!(!machine.is_up());
}

/// A machine of the first of two devices, on a line to the second.
fn thin_machine(devices: [u8; 2], dials: bool) -> Option<Machine> {
    let [own, peer] = devices.map(|seed| DeviceKeys::from_seeds(&[seed; 32], &[seed; 32]));
    let line = Line { bits_per_s: 2_400, half_duplex: None };
    let entropy = Box::new(SeededEntropy::new(1));
    Machine::new(&own, peer.id(), peer.agreement(), Config::new(line, dials), entropy).ok()
}

/// Entries in short form: `class (1) || count (1) || boxes (1) || entries || boxes (16 each)`. Every
/// signature is taken as good, so that what lies behind them is reached.
fn run(data: &[u8]) {
    let Some(([class, count, boxes], rest)) = data.split_first_chunk::<3>() else { return };
    let boxes = usize::from(*boxes) * KEY_BOX_BYTES;
    let Some((entries, boxes)) =
        rest.len().checked_sub(boxes).and_then(|at| rest.split_at_checked(at))
    else {
        return;
    };
    let log = run_log(Class::from_u8(*class).unwrap_or(Class::Routine));
    let count = usize::from(*count);
    let run = UnverifiedRun { log, count, entries, boxes };
    let Ok(verified) = run.verify_with(&Head::EMPTY, |_, _, _| true) else { return };
    assert_eq!(verified.entries().len(), count, "a run has another number of entries");
    assert_eq!(verified.to().next, count as u64, "a run ends at another position");
    assert_eq!(verified.bytes(), entries, "a run has two spellings");
    for (seq, entry) in (0..).zip(verified.entries()) {
        assert_eq!(entry.seq, seq, "positions have gaps");
        assert!(
            verified.sealed(entry).len() + verified.payload(entry).map_or(0, <[u8]>::len)
                <= entries.len()
        );
    }
}

/// An Automerge change chunk on an empty document. Its checksum is put right first: a hostile
/// author would, and nothing behind it would be reached otherwise.
pub fn gate(data: &[u8]) {
    through_the_gate(&with_checksum(data));
}

/// A change in its stripped form: `first (1) || stripped`. What expands has no other stripped form, is
/// within the bounds, and goes through the gate like any other.
pub fn stripped(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let implied = Implied { actor: GATE_ACTOR, time: GATE_TIME, first: first & 1 == 1 };
    let Ok(change) = expand(bytes, &implied) else { return };
    assert_eq!(strip(&change, &implied).as_deref(), Some(bytes), "a change has two stripped forms");
    assert!(change.ops.len() <= CHANGE_OPS_MAX, "{} operations expanded", change.ops.len());
    let carried = Carried::Stripped(bytes.into());
    let stripped = carried.admit(&implied, &GATE_EXPECTED);
    let chunk = encode(&change);
    let plain = gate::admit(&chunk, &GATE_EXPECTED);
    let said = [&plain, &stripped].map(|verdict| verdict.as_ref().ok().map(Admitted::bytes));
    let [plain, stripped] = said;
    assert_eq!(plain, stripped, "a change is judged otherwise when it is stripped");
    through_the_gate(&chunk);
}

const GATE_EXPECTED: Expected<'static> =
    Expected { actor: GATE_ACTOR, seq: 1, deps: &[], start_op: 1 };

fn through_the_gate(chunk: &[u8]) {
    let Ok(admitted) = gate::admit(chunk, &GATE_EXPECTED) else { return };
    assert!(chunk.len() <= CHANGE_BYTES_MAX, "{} bytes passed the gate", chunk.len());
    let ops = admitted.max_op();
    assert!(ops <= CHANGE_OPS_MAX as u64, "{ops} operations passed the gate");
    let mut document = Document::empty();
    if document.apply(&admitted).is_ok() {
        let _ = document.to_json();
        let _ = document.conflicts();
    }
}

/// A file for `tearline import`, and the texts in it.
pub fn import(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    texts(text);
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    let mut waiting = vec![&value];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Array(values) => waiting.extend(values),
            Value::String(text) => texts(text),
            Value::Object(object) => {
                for kind in (0..=u8::MAX).filter_map(Kind::from_u8) {
                    assert!(validate(kind, object).len() <= PROBLEMS_MAX);
                    assert!(doubts(kind, object).len() <= PROBLEMS_MAX);
                }
                let stix_type = object.get("type").and_then(Value::as_str).unwrap_or_default();
                let _ = Kind::from_stix_type(stix_type, object);
                waiting.extend(object.values());
            }
            _ => {}
        }
    }
}

/// Every reader of a short text that a file can reach.
fn texts(text: &str) {
    if let Some(time) = WallTime::parse(text) {
        let shown = time.to_string();
        assert_eq!(WallTime::parse(&shown), Some(time), "{text:?} is shown as {shown:?}");
    }
    let _ = text.parse::<Label>();
    let _ = mrz::check(&text.lines().collect::<Vec<_>>());
    if let Ok(zone) = mrz::Zone::read(text) {
        let again = mrz::Zone::read(&zone.lines().join("\n"));
        assert_eq!(again.as_ref(), Ok(&zone), "a zone is read otherwise again");
        let _ = zone.properties(Day::of(WallTime(0)));
    }
    let _ = bare(text);
    if let Ok(pattern) = Pattern::parse(text) {
        let _ = pattern.obstacle();
        assert!(
            pattern.shown(&Objects::default()).iter().all(|shown| !shown),
            "nothing satisfies {text:?}"
        );
    }
    for check in IDENTIFIERS {
        let _ = check(text);
    }
}

/// Says what is wrong with an identifier.
type Check = fn(&str) -> Result<(), String>;

const IDENTIFIERS: [Check; 13] = [
    identifier::country,
    identifier::e164,
    identifier::geohash,
    identifier::icao24,
    identifier::imei,
    identifier::imo,
    identifier::imsi,
    identifier::iso_6346,
    identifier::mmsi,
    identifier::partial_date,
    identifier::reference,
    identifier::time,
    identifier::vin,
];

/// The author of the changes that `gate` expects, and the time of those that are stripped.
const GATE_ACTOR: [u8; 16] = [7; 16];
const GATE_TIME: i64 = 1_700_000_000_000;

/// The log that `run` puts entries on.
fn run_log(class: Class) -> LogId {
    LogId {
        compartment: CompartmentId([1; 32]),
        class,
        device: DeviceId([2; 32]),
        incarnation: Incarnation(3),
    }
}

/// A value that is the whole of the input, and whose decoder says so.
fn whole<T, E>(
    what: &str,
    data: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, E>,
    encode: impl FnOnce(&T) -> Vec<u8>,
) {
    if let Ok(value) = decode(data) {
        assert_eq!(encode(&value), data, "a {what} has two spellings");
    }
}

/// A value whose decoder leaves off where the value ends.
fn part<T>(
    what: &str,
    data: &[u8],
    decode: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
    encode: impl FnOnce(&T) -> Vec<u8>,
) {
    let mut reader = Reader::new(data);
    if let Ok(value) = decode(&mut reader) {
        let read = data.get(..reader.at()).unwrap_or_default();
        assert_eq!(encode(&value), read, "a {what} has two spellings");
    }
}

fn appended(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// `magic (4) || checksum (4) || the rest`, with the checksum that the rest has.
fn with_checksum(chunk: &[u8]) -> Vec<u8> {
    let mut chunk = chunk.to_vec();
    if let Some((head, rest)) = chunk.split_first_chunk_mut::<8>() {
        let checksum = sha256(rest);
        head.iter_mut().skip(4).zip(checksum).for_each(|(to, from)| *to = from);
    }
    chunk
}
