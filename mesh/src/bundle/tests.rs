//! Bundles: what reads back, what is refused and where, and what does not show.

use std::sync::LazyLock;

use proptest::prelude::*;
use snow::params::CipherChoice;
use snow::resolvers::{CryptoResolver as _, RingResolver};
use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::hash::sha256;
use tearline_crdt::keys::{self, DeviceKeys};
use tearline_crdt::seal;

use super::*;
use crate::wire::FRAME_BYTES_MAX;

const MADE: WallTime = WallTime(1_700_000_000_123);
const MIB: u64 = 1024 * 1024;
const HEAD: usize = START_BYTES + 4 * SLOT_BYTES;

fn keys(seed: u8) -> DeviceKeys {
    DeviceKeys::from_seeds(&[seed; 32], &[seed + 100; 32])
}

/// A bundle from device 1 to some.
fn bundle(to: &[u8], frames: &[Vec<u8>]) -> Vec<u8> {
    let to: Vec<[u8; 32]> = to.iter().map(|seed| keys(*seed).agreement()).collect();
    let own = keys(1);
    let mut entropy = SeededEntropy::new(7);
    let mut writer = Writer::begin(Vec::new(), &own, &to, MADE, 8 * MIB, &mut entropy).unwrap();
    frames.iter().for_each(|frame| writer.frame(frame).unwrap());
    writer.finish().unwrap()
}

/// All frames that a device can read, and why no more.
fn read(file: &[u8], by: u8) -> (Vec<Vec<u8>>, Option<BundleError>) {
    let mut reader = match Reader::begin(file, &keys(by)) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut frames = Vec::new();
    loop {
        match reader.frame() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

fn frame(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at ^ bytes) as u8).collect()
}

/// So many frames of some size each.
fn frames(count: usize, bytes: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| frame(bytes + n)).collect()
}

fn chunk(n: usize) -> std::ops::Range<usize> {
    HEAD + n * CHUNK_BYTES..HEAD + (n + 1) * CHUNK_BYTES
}

#[test]
fn frames_of_any_size_read_back() {
    let edge = CONTENT_BYTES - LENGTH_BYTES;
    let cases = [
        vec![],
        vec![1],
        vec![edge - 3],
        vec![edge - 4],
        vec![edge - 1],
        vec![edge],
        vec![edge + 1],
        vec![edge, 1],
        vec![FRAME_BYTES_MAX],
        vec![1, 70_000, 3, FRAME_BYTES_MAX, 65_536, 2],
    ];
    for sizes in cases {
        let given: Vec<Vec<u8>> = sizes.iter().map(|size| frame(*size)).collect();
        let (frames, error) = read(&bundle(&[2], &given), 2);
        assert!(error.is_none(), "{sizes:?}: {error:?}");
        assert_eq!(frames, given, "{sizes:?}");
    }
}

#[test]
fn each_recipient_opens_it_and_nobody_else() {
    let file = bundle(&[2, 3, 4, 5, 6], &[frame(9)]);
    let head =
        Head { name: [0; 32], maker: keys(1).id(), agreement: keys(1).agreement(), made: MADE };
    for to in [2, 3, 4, 5, 6] {
        let reader = Reader::begin(&file[..], &keys(to)).unwrap();
        assert_eq!(Head { name: [0; 32], ..*reader.head() }, head);
        assert_eq!(read(&file, to).0, [frame(9)]);
    }
    for other in [1, 7] {
        let (_, error) = read(&file, other);
        let head_bytes = (START_BYTES + 8 * SLOT_BYTES) as u64;
        assert!(
            matches!(error, Some(BundleError::NotForThis { head_bytes: n }) if n == head_bytes)
        );
    }
}

#[test]
fn a_finder_learns_neither_the_number_of_recipients_nor_the_size_within_a_step() {
    assert_eq!(bundle(&[2], &[frame(9)]).len(), bundle(&[2, 3, 4], &[frame(60_000)]).len());
    assert_eq!(bundle(&[2], &[]).len(), HEAD + CHUNK_BYTES);
    // Neither device's keys stand in it, and no two slots begin alike.
    let file = bundle(&[2, 3], &[]);
    for device in [1, 2, 3].map(keys) {
        for known in [device.id().0, device.agreement()] {
            assert!(!file.windows(32).any(|window| window == known));
        }
    }
    let slots: Vec<&[u8]> = file[START_BYTES..HEAD].chunks(SLOT_BYTES).collect();
    assert!(slots.windows(2).all(|pair| pair[0][..32] < pair[1][..32]), "in random order");
    for (chunks, expected) in [(1, 1), (15, 15), (16, 16), (17, 18), (31, 32), (33, 36), (257, 288)]
    {
        assert_eq!(padded(chunks), expected);
    }
    for chunks in 1..3_000 {
        let (more, less) = (padded(chunks), padded_below(chunks));
        assert!(less <= chunks && chunks <= more && more <= chunks + chunks / 8 + 1);
        assert_eq!((padded(less), padded_below(more)), (less, more), "{chunks}");
    }
}

#[test]
fn a_bundle_is_no_larger_than_asked_and_full_before_that() {
    let (own, to) = (keys(1), [keys(2).agreement()]);
    let begin = |bytes_max: u64| {
        Writer::begin(Vec::new(), &own, &to, MADE, bytes_max, &mut SeededEntropy::new(1))
    };
    let least = (HEAD + CHUNK_BYTES) as u64;
    let error = begin(least - 1).unwrap_err();
    assert!(matches!(error, WriteError::TooSmall { bytes_min } if bytes_min == least));
    for bytes_max in [least, least + 1, 3 * MIB, 3 * MIB + 70_000] {
        let mut writer = begin(bytes_max).unwrap();
        let mut rest = writer.room();
        while rest > 0 {
            writer.frame(&frame(rest.min(100_000) as usize)).unwrap();
            rest = writer.room();
        }
        let file = writer.finish().unwrap();
        assert!(file.len() as u64 <= bytes_max);
        assert!(file.len() as u64 * 9 / 8 + CHUNK_BYTES as u64 > bytes_max, "{bytes_max}");
        assert!(read(&file, 2).1.is_none());
    }
}

#[test]
fn whom_a_bundle_cannot_be_for() {
    let own = keys(1);
    let begin = |to: &[[u8; 32]]| {
        Writer::begin(Vec::new(), &own, to, MADE, MIB, &mut SeededEntropy::new(1)).err()
    };
    let good = keys(2).agreement();
    assert!(matches!(begin(&[]), Some(WriteError::Recipients(0))));
    assert!(matches!(begin(&[good; 65]), Some(WriteError::Recipients(65))));
    assert!(begin(&[good; 64]).is_none());
    assert!(matches!(begin(&[good, [0; 32]]), Some(WriteError::WeakKey { index: 1 })));
}

#[test]
fn a_torn_bundle_is_read_up_to_the_last_whole_chunk_and_says_where_it_ends() {
    let given = frames(30, 9_000);
    let file = bundle(&[2], &given);
    let places = (0..40).chain((0..20).map(|n| n * file.len() / 20)).chain([
        START_BYTES,
        HEAD - 1,
        HEAD,
        HEAD + 1,
        chunk(1).start,
        chunk(2).start - 1,
        file.len() - 1,
    ]);
    for end in places {
        let (frames, error) = read(&file[..end], 2);
        match error {
            Some(BundleError::NoBundle) => assert!(end < MAGIC.len(), "{end}"),
            Some(BundleError::Torn { at }) => assert_eq!(at, end as u64),
            other => panic!("torn at {end}: {other:?}"),
        }
        assert_eq!(frames, given[..frames.len()], "torn at {end}");
        let whole = end.saturating_sub(HEAD) / CHUNK_BYTES * CONTENT_BYTES;
        let mut there = 0;
        let fits = given.iter().take_while(|frame| {
            there += LENGTH_BYTES + frame.len();
            there <= whole
        });
        assert_eq!(frames.len(), fits.count(), "torn at {end}");
    }
}

#[test]
fn chunks_fit_their_own_place_in_their_own_file() {
    let file = bundle(&[2], &frames(30, 9_000));
    let damaged = |file: &[u8], place: usize| {
        let (_, error) = read(file, 2);
        let (from, to) = (chunk(place).start as u64, chunk(place).end as u64);
        let told =
            matches!(error, Some(BundleError::Damaged { from: f, to: t }) if (f, t) == (from, to));
        assert!(told, "{error:?}");
    };
    let mut swapped = file.clone();
    swapped[chunk(0)].copy_from_slice(&file[chunk(1)]);
    swapped[chunk(1)].copy_from_slice(&file[chunk(0)]);
    damaged(&swapped, 0);
    let mut dropped = file.clone();
    dropped.drain(chunk(1));
    damaged(&dropped, 1);
    let mut doubled = file.clone();
    let again = file[chunk(1)].to_vec();
    doubled.splice(chunk(2).start..chunk(2).start, again);
    damaged(&doubled, 2);
    // The same chunk of another bundle of the same maker for the same device.
    let mut other = bundle(&[2, 3], &frames(30, 9_000));
    other[chunk(1)].copy_from_slice(&file[chunk(1)]);
    damaged(&other, 1);
    let longer = [&file[..], b"x"].concat();
    let (frames, error) = read(&longer, 2);
    assert!(matches!(error, Some(BundleError::Trailing { at }) if at == file.len() as u64));
    assert_eq!(frames.len(), 30);
}

#[test]
fn a_recipient_cannot_make_another_believe_that_the_maker_wrote_something_else() {
    let mut file = bundle(&[2, 3], &frames(20, 9_000));
    let (_, payload) = file[START_BYTES..HEAD]
        .chunks(SLOT_BYTES)
        .find_map(|one| slot::open(&keys(3), one))
        .expect("a slot is for 3");
    let key = Key::new(*payload.first_chunk().unwrap());
    let mut chunks = Chunks { key, name: sha256(&file[..HEAD]), number: 0 };
    // It reseals a chunk of its own making, and then the maker's own second chunk in the first place.
    let content = vec![0; CONTENT_BYTES];
    let signed = chunks.signed(false, &content);
    let forged = keys(3).signer().sign(Domain::BundleChunk, &signed);
    chunks.number = 1;
    let second = &file[chunk(1)];
    let moved = seal::open(&chunks.key, &chunks.nonce(false), &chunks.name, second).unwrap();
    chunks.number = 0;
    for plain in [[&forged[..], &content].concat(), moved] {
        let sealed = seal::seal(&chunks.key, &chunks.nonce(false), &chunks.name, &plain);
        file[chunk(0)].copy_from_slice(&sealed);
        let (frames, error) = read(&file, 2);
        assert!(frames.is_empty());
        assert!(matches!(error, Some(BundleError::Forged { from, .. }) if from == HEAD as u64));
    }
}

/// A bundle whose maker put this into its only chunk.
fn hostile(content: &[u8]) -> Vec<u8> {
    let mut file = bundle(&[2], &[]);
    let slots = file[START_BYTES..HEAD].chunks(SLOT_BYTES);
    let (_, payload) = slots.into_iter().find_map(|one| slot::open(&keys(2), one)).unwrap();
    let key = Key::new(*payload.first_chunk().unwrap());
    let chunks = Chunks { key, name: sha256(&file[..HEAD]), number: 0 };
    let mut whole = content.to_vec();
    whole.resize(CONTENT_BYTES, 0);
    let signature = keys(1).signer().sign(Domain::BundleChunk, &chunks.signed(true, &whole));
    let plain = [&signature[..], &whole].concat();
    let sealed = seal::seal(&chunks.key, &chunks.nonce(true), &chunks.name, &plain);
    file[chunk(0)].copy_from_slice(&sealed);
    file
}

#[test]
fn lengths_that_no_maker_writes_are_refused_before_anything_is_allocated() {
    let after_end = [&[0, 0, 0, 0][..], &[1]].concat();
    let short_end =
        [&(CONTENT_BYTES as u32 - 6).to_be_bytes()[..], &[9; CONTENT_BYTES - 4]].concat();
    let beyond = (CONTENT_BYTES as u32).to_be_bytes().to_vec();
    let above = (FRAME_BYTES_MAX as u32 + 1).to_be_bytes().to_vec();
    let most = u32::MAX.to_be_bytes().to_vec();
    for content in [after_end, short_end, beyond, above, most] {
        let (_, error) = read(&hostile(&content), 2);
        let at = (HEAD + CHUNK_BYTES) as u64;
        assert!(matches!(error, Some(BundleError::Content { at: n }) if n == at), "{error:?}");
    }
    assert!(read(&hostile(&[0, 0, 0, 1, 5]), 2).1.is_none());
}

#[test]
fn other_files_are_told_from_bundles_of_other_versions() {
    let file = bundle(&[2], &[]);
    let with = |at: usize, byte: u8| {
        let mut other = file.clone();
        other[at] = byte;
        read(&other, 2).1
    };
    assert!(matches!(with(3, b'X'), Some(BundleError::NoBundle)));
    assert!(matches!(with(16, 2), Some(BundleError::Version(2))));
    for slots in [0, 1, 5, 255] {
        assert!(matches!(with(17, slots), Some(BundleError::NoBundle)), "{slots}");
    }
    for file in [&b""[..], b"{}", b"tearline backup 1 - sealed\n"] {
        assert!(matches!(read(file, 2).1, Some(BundleError::NoBundle)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_changed_bit_is_noticed_in_its_place(place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| bundle(&[2], &frames(20, 9_000)));
        let given = frames(20, 9_000);
        let mut file = WHOLE.clone();
        let at = place.index(file.len());
        file[at] ^= 1 << bit;
        let (frames, error) = read(&file, 2);
        prop_assert_eq!(&frames[..], &given[..frames.len()]);
        match error {
            Some(BundleError::Damaged { from, to }) if at >= HEAD => {
                prop_assert!((from..to).contains(&(at as u64)));
            }
            // A slot of nobody is bound all the same: then no chunk holds.
            Some(BundleError::Damaged { from, .. }) => prop_assert_eq!(from, HEAD as u64),
            Some(BundleError::NotForThis { .. } | BundleError::NoBundle | BundleError::Torn { .. }
                | BundleError::Version(_)) => prop_assert!(at < HEAD),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000), begins in 0..3_u8) {
        let start = [&b""[..], MAGIC, b"tearline bundle\n\x01\x04"][usize::from(begins)];
        read(&[start, &bytes].concat(), 2);
    }
}

/// What one slot says, derived by hand from the specification of Noise (revision 34, sections 5 and
/// 7.4) and from primitives, as whoever writes another program would.
fn open_by_hand(slot: &[u8], to: &DeviceKeys) -> Option<([u8; 32], Vec<u8>)> {
    let mut h = [0; 32];
    h[..31].copy_from_slice(b"Noise_X_25519_ChaChaPoly_SHA256");
    let mut ck = h;
    let mix = |h: &mut [u8; 32], bytes: &[u8]| *h = sha256(&[&h[..], bytes].concat());
    mix(&mut h, b"tearline bundle\n\x01");
    mix(&mut h, &to.agreement());
    let (ephemeral, rest) = slot.split_first_chunk::<32>()?;
    mix(&mut h, ephemeral);
    let mut open = |h: &mut [u8; 32], secret: &[u8; 32], sealed: &[u8]| {
        let both = seal::derive::<64>(secret, &ck, &[]);
        let (next, key) = both.split_at(32);
        ck.copy_from_slice(next);
        let mut cipher = RingResolver.resolve_cipher(&CipherChoice::ChaChaPoly)?;
        cipher.set(key.try_into().ok()?);
        let mut plain = vec![0; sealed.len()];
        let len = cipher.decrypt(0, h, sealed, &mut plain).ok()?;
        plain.truncate(len);
        mix(h, sealed);
        Some(plain)
    };
    let sender = open(&mut h, &*to.agree(ephemeral)?, &rest[..48])?;
    let sender: [u8; 32] = sender.try_into().ok()?;
    let payload = open(&mut h, &*to.agree(&sender)?, &rest[48..])?;
    Some((sender, payload))
}

#[test]
fn a_bundle_is_what_docs_protocol_bundle_says() {
    let file = bundle(&[2], &[b"one".to_vec(), b"another".to_vec()]);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex(&sha256(&file)), GOLDEN, "the format changed");
    assert_eq!(file[..18], *b"tearline bundle\n\x01\x04");
    let slots: Vec<&[u8]> = file[18..18 + 4 * 168].chunks(168).collect();
    let opened: Vec<_> = slots.iter().filter_map(|slot| open_by_hand(slot, &keys(2))).collect();
    let [(sender, payload)] = opened.as_slice() else { panic!("one slot is for 2") };
    assert_eq!(*sender, keys(1).agreement());
    assert_eq!(payload[32..64], keys(1).id().0);
    assert_eq!(payload[64..], MADE.0.to_be_bytes());
    let key = payload[..32].try_into().unwrap();
    let name = sha256(&file[..690]);
    let nonce = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let plain = seal::open(&key, &nonce, &name, &file[690..]).unwrap();
    let (signature, content) = plain.split_first_chunk().unwrap();
    let signed = [&name[..], &nonce, content].concat();
    assert!(keys::verify(&keys(1).id().0, Domain::BundleChunk, &signed, signature));
    let (frames, zeros) = content.split_at(18);
    assert_eq!(frames, b"\x00\x00\x00\x03one\x00\x00\x00\x07another");
    assert!(zeros.iter().all(|byte| *byte == 0) && content.len() == 65_456);
    let area = CompartmentId([5; 32]);
    let parts: [&[u8]; 4] = [b"tearline/1/bundle-area", &[0], &area.0, &name];
    assert_eq!(tag(&name, &area), sha256(&parts.concat())[..8]);
}

/// SHA-256 of the bundle of device 1 to device 2 with two frames.
const GOLDEN: &str = "0ee649de430fc8c40544ab9ae550f26da78af4b9193bcacb03fea51c4264a0a6";
