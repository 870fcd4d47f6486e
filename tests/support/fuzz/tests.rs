//! The fuzz functions over their seeds, and over a fixed number of mutations of them.

use automerge::transaction::Transactable as _;
use automerge::{ActorId, AutoCommit, ObjType, ROOT};
use serde_json::{Map, Value, json};
use tearline_crdt::change::{decode, first_change};
use tearline_crdt::entry::run::{NewEntry, write_segment};
use tearline_crdt::entry::sealed::EntryKind;
use tearline_crdt::entry::{NO_EPOCH, SUITE};
use tearline_crdt::frontier::{Leaf, LogKey, Prefix, Subtree};
use tearline_crdt::id::{AgencyNo, CoalitionId, EntryId, EpochId, RecordId};
use tearline_crdt::keys::Signer;
use tearline_crdt::record::rebase::Disclosure;
use tearline_crdt::seal::Key;
use tearline_crdt::statement::{
    Act, Audience, Caveats, DeskCertificate, EpochStatement, Erasure, Marks, Opening, Right,
};
use tearline_mesh::invitation::{Applicant, Invited, Refusal};

use super::mutation::Mutations;
use super::*;

/// Mutations of each set of seeds. Enough that every branch of a decoder is met, few enough for
/// every run of `cargo test`.
const ROUNDS: usize = 30_000;
/// Automerge is slower than our decoders.
const GATE_ROUNDS: usize = 4_000;

#[test]
fn hostile_frames() {
    let seeds = frames();
    assert!(seeds.iter().all(|seed| Frame::decode(seed).is_ok()));
    attack("frame", frame, &[seeds, joins()].concat(), ROUNDS);
}

#[test]
fn hostile_entries() {
    attack("entry", entry, &[headers(), statements(), runs()].concat(), ROUNDS);
}

#[test]
fn hostile_link_frames() {
    let seeds = link_frames();
    attack("thin", thin, &seeds, ROUNDS / 3);
}

#[test]
fn a_recorded_first_message_is_answered() {
    let mut machine = thin_machine([2, 1], false).unwrap();
    machine.handle(MonoTime(0), Event::Received { bytes: link_frames()[0].clone() });
    assert!(matches!(machine.poll_action(), Some(Action::Transmit { .. })));
}

#[test]
fn hostile_runs_get_past_the_first_check() {
    let seeds = runs();
    let verified = seeds.iter().filter(|seed| {
        let log = run_log(Class::from_u8(seed[0]).unwrap());
        let boxes = seed.len() - usize::from(seed[2]) * KEY_BOX_BYTES;
        let count = usize::from(seed[1]);
        let run = UnverifiedRun { log, count, entries: &seed[3..boxes], boxes: &seed[boxes..] };
        run.verify_with(&Head::EMPTY, |_, _, _| true).is_ok()
    });
    assert_eq!(verified.count(), seeds.len());
}

#[test]
fn hostile_changes() {
    attack("gate", gate, &changes(), GATE_ROUNDS);
}

#[test]
fn hostile_stripped_changes() {
    attack("stripped", stripped, &stripped_changes(), GATE_ROUNDS);
}

#[test]
fn an_honest_change_passes_the_gate_and_a_bomb_does_not() {
    let expected = Expected { actor: GATE_ACTOR, seq: 1, deps: &[], start_op: 1 };
    let honest = change(json!({ "name": "Kilo", "count": 3 }));
    assert_eq!(with_checksum(&honest), honest, "the checksum is not where Automerge puts it");
    assert!(gate::admit(&honest, &expected).is_ok());
    assert!(bomb().len() < 256, "Automerge writes no runs: {} bytes", bomb().len());
    assert!(gate::admit(&bomb(), &expected).is_err());
}

#[test]
fn hostile_files() {
    attack("import", import, &files(), ROUNDS / 10);
}

#[test]
fn hostile_bundles() {
    // Sealing 64 KiB anew each time is slow without optimisation.
    attack("bundle", bundle, &bundle_contents(), ROUNDS / 500);
}

#[test]
fn what_the_maker_of_a_fuzzed_bundle_seals_is_read() {
    let one = b"\x00\x00\x00\x03one";
    assert_eq!(bundle_read(one), Some(3), "it is sealed as the format says");
    assert_eq!(bundle_read(&[one, &[0xff; 4][..]].concat()), Some(3));
    assert_eq!(bundle_read(&[0; BUNDLE_CONTENT_BYTES + 1]), None);
}

/// Rows of frames as a bundle's maker seals them, and a bundle's beginning.
fn bundle_contents() -> Vec<Vec<u8>> {
    let behind_length = |frame: Vec<u8>| [&(frame.len() as u32).to_be_bytes()[..], &frame].concat();
    let frames: Vec<Vec<u8>> = frames().into_iter().map(behind_length).collect();
    let begun = b"tearline bundle\n\x01\x04".to_vec();
    vec![vec![], frames.concat(), frames.into_iter().next().unwrap_or_default(), begun]
}

/// Runs `target` over the seeds and over `rounds` mutations of them; says which input did it.
fn attack(name: &str, target: fn(&[u8]), seeds: &[Vec<u8>], rounds: usize) {
    export(name, seeds);
    for seed in seeds {
        target(seed);
    }
    for (round, input) in Mutations::new(seeds).take(rounds).enumerate() {
        let outcome = std::panic::catch_unwind(|| target(&input));
        if let Err(cause) = outcome {
            let shown: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("mutation {round} does it: {shown}");
            std::panic::resume_unwind(cause);
        }
    }
}

/// Leaves the seeds for libFuzzer, where `TEARLINE_FUZZ_CORPUS` asks for it.
fn export(name: &str, seeds: &[Vec<u8>]) {
    let Some(corpus) = std::env::var_os("TEARLINE_FUZZ_CORPUS") else { return };
    let folder = std::path::Path::new(&corpus).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
    }
}

/// A first message, bare and as a modem sends it, and frames of the other forms.
fn link_frames() -> Vec<Vec<u8>> {
    let mut machine = thin_machine([1, 2], true).unwrap();
    machine.handle(MonoTime(0), Event::Tick);
    let Some(Action::Transmit { bytes: open }) = machine.poll_action() else {
        panic!("a side that dials begins")
    };
    let data = [&[3, 0, 0, 0, 0][..], &[7; 150]].concat();
    let line = [kiss::encode(&open), kiss::encode(&data), kiss::encode(&[0xc0; 9])].concat();
    vec![open, line, [&[2][..], &[7; 57]].concat(), data]
}

fn frames() -> Vec<Vec<u8>> {
    let leaf = Leaf { key: LogKey([3; 16]), next: 300, head: [4; 8] };
    let area = [1; 8];
    let branches = Subtree::Branches(vec![(0, [1; 16]), (15, [2; 16])]);
    let root = Prefix::default();
    let frames = [
        Frame::Open { digest: [1; 16], nonce: [2; 8] },
        Frame::Same,
        Frame::Behind,
        Frame::Hello { digest: [2; 16], areas: vec![([3; 8], [4; 16])] },
        Frame::Intro { opening: vec![1, 2, 3] },
        Frame::Nodes {
            area,
            nodes: vec![(root.child(3), Subtree::Leaves(vec![leaf])), (root, branches)],
        },
        Frame::Positions { area, positions: vec![leaf] },
        Frame::Run {
            area,
            key: LogKey([2; 16]),
            author: Some((DeviceId([3; 32]), Incarnation(4))),
            knows: Some([7; 16]),
            hops: Some(2),
            left_out: true,
            first: 0,
            count: 1,
            entries: vec![5; 100],
            boxes: vec![6; 16],
        },
        Frame::Have { area, logs: vec![(LogKey([2; 16]), 3)] },
        Frame::Interest { interest: vec![1, 1, 4, 3] },
        Frame::Lack { area, key: LogKey([2; 16]), any: true, spans: vec![1..3, 9..10] },
        Frame::Payloads {
            area,
            key: LogKey([2; 16]),
            done: true,
            payloads: vec![(1, vec![7; 20])],
        },
        Frame::Gone { area, logs: vec![(LogKey([2; 16]), 3)] },
        Frame::Whereabouts { known: [1; 8], cards: vec![vec![5; 110], vec![6; 300]] },
        Frame::Fork { area, proof: vec![1] },
        Frame::Evidence { area, branches: vec![1] },
        Frame::Join { request: vec![1] },
        Frame::JoinAnswer { answer: vec![1] },
        Frame::Ask { area, key: LogKey([2; 16]), first: 3, end: 300, head: EntryId([4; 32]) },
        Frame::Piece {
            area,
            key: LogKey([2; 16]),
            knows: Some([7; 16]),
            from: Head { next: 300, id: EntryId([3; 32]), epoch: EpochId([4; 32]) },
            count: 1,
            entries: vec![5; 100],
            boxes: vec![6; 16],
        },
    ];
    frames.iter().map(Frame::encode).collect()
}

fn joins() -> Vec<Vec<u8>> {
    let agency = Applicant::Agency {
        name: "Customs".into(),
        country: *b"TD",
        desk: DeskCertificate::sign(&Signer::from_seed(&[9; 32]), &device(), None),
    };
    let request = |applicant| JoinRequest {
        coalition: CoalitionId([1; 32]),
        secret: [2; 16],
        applicant,
        kem: device().kem_key().clone(),
    };
    let invitation = Invitation {
        coalition: CoalitionId([1; 32]),
        inviter: DeviceId([2; 32]),
        invited: Invited::Agency,
        expires: WallTime(1_800_000_000_000),
        secret: [3; 16],
        addresses: vec!["/ip4/127.0.0.1/udp/4000/quic-v1".into()],
    };
    vec![
        request(agency).encode(),
        request(Applicant::Device(card())).encode(),
        JoinAnswer::Welcome(charter()).encode(),
        JoinAnswer::Refused(Refusal::Quorum).encode(),
        invitation.to_text().into_bytes(),
    ]
}

fn headers() -> Vec<Vec<u8>> {
    let signer = Signer::from_seed(&[4; 32]);
    let log = LogId { device: DeviceId(signer.public()), ..run_log(Class::Flash) };
    let entry = |fill: u8| NewEntry {
        epoch: EpochId([5; 32]),
        sealed: vec![fill; 60],
        key_box: Some([6; KEY_BOX_BYTES]),
        payload: Some(vec![fill; 90]),
    };
    let signed = |fill| {
        let run = write_segment(&log, &Head::EMPTY, &signer, &[entry(fill)]).unwrap();
        run.entries()[0].signed.clone().unwrap()
    };
    let sealed = SealedHeader {
        kind: EntryKind::CHANGE,
        record: RecordId([1; 16]),
        wall: WallTime(1_700_000_000_000),
        run: 0,
        box_seq: Some(300),
        own_deps: vec![3, 300],
        deps: vec![EntryId([1; 32]), EntryId([2; 32])],
        replaces: vec![],
    };
    let ids = [EntryId([1; 32]), EntryId([2; 32]), EntryId([3; 32])];
    let branch = Branch::covered(*signed(1), &ids, 1).unwrap();
    let proof = ForkProof::new(Branch::signed(*signed(1)), Branch::signed(*signed(2))).unwrap();
    assert_eq!(signed(1).header.encode()[1], SUITE);
    vec![
        log.encode().to_vec(),
        signed(1).header.encode(),
        appended(|out| signed(1).encode(out)),
        sealed.encode(),
        proof.encode(),
        appended(|out| branch.encode(out)),
        Label::most_restrictive().encode(),
        appended(|out| card().encode(out)),
        appended(|out| sealed_to(&device()).encode(out)),
        device().kem_key().as_bytes().to_vec(),
    ]
}

fn sealed_to(keys: &DeviceKeys) -> SecretBox {
    let card = keys.card([3; 32]);
    SecretBox::seal(&card, keys.kem_key(), b"context", &[4; 32], &[5; 64]).unwrap()
}

fn statements() -> Vec<Vec<u8>> {
    let caveats = Caveats {
        kinds: Some(vec![1, 3]),
        classes: Some(0b11),
        not_before_ms: Some(1),
        not_after_ms: Some(2),
        quota_bytes: Some(1 << 20),
        may_delegate: true,
        history: true,
    };
    let opening = Opening::sign(
        device().signer(),
        CoalitionId([1; 32]),
        vec![(AgencyNo(1), [9; 32])],
        [2; 16],
    );
    let epoch = EpochStatement { parents: vec![EpochId([1; 32])], depth: 2, commitment: [2; 32] };
    let desk = DeskCertificate::sign(&Signer::from_seed(&[9; 32]), &device(), None);
    let audience = Audience::Device { agency: AgencyNo(1), card: card() };
    let statements = [
        Statement::Found(charter()),
        Statement::Desk(desk),
        Statement::Grant { audience, right: Right::Write, caveats, reopening: None },
        Statement::Propose { number: 1, act: Act::Admit { member: member(), cites: vec![] } },
        Statement::Revoke { device: DeviceId([3; 32]), keep: Marks::NONE },
        Statement::Erase(Erasure { genesis: EntryId([1; 32]), others: vec![EntryId([2; 32])] }),
        Statement::Open(opening),
        Statement::Epoch(epoch),
        Statement::Seal { epoch: EpochId([1; 32]), boxes_root: [2; 32] },
        Statement::Unknown { kind: 99, bytes: vec![1, 2, 3] },
    ];
    let mut seeds: Vec<Vec<u8>> = statements.iter().map(Statement::encode).collect();
    assert!(seeds.iter().all(|seed| Statement::decode(seed).is_ok()));
    seeds.push(rebase_payload());
    seeds.push(charter().encode());
    seeds.push(appended(|out| member().encode(out)));
    seeds
}

fn rebase_payload() -> Vec<u8> {
    let header = |kind: EntryKind, run| SealedHeader {
        kind,
        record: RecordId([7; 16]),
        wall: WallTime(1_700_000_000_000),
        run,
        box_seq: None,
        own_deps: vec![],
        deps: vec![EntryId([1; 32])],
        replaces: vec![],
    };
    let disclosure = |class, run| Disclosure {
        log: run_log(class),
        key: Key::new([9; 32]),
        entries: vec![(3, header(EntryKind::CHANGE, run)), (5, header(EntryKind::LABEL, run))],
    };
    let all = [disclosure(Class::Routine, 0), disclosure(Class::Flash, 2)];
    rebase::encode(&all).remove(0)
}

/// Runs as `run` reads them, in every class.
fn runs() -> Vec<Vec<u8>> {
    let signer = Signer::from_seed(&[4; 32]);
    let run = |class: Class| {
        let epoch = if class == Class::Authority { NO_EPOCH } else { EpochId([5; 32]) };
        let entry = |boxed: bool| NewEntry {
            epoch,
            sealed: vec![9; 50],
            key_box: boxed.then_some([6; KEY_BOX_BYTES]),
            payload: Some(vec![8; 70]),
        };
        let entries = [entry(true), entry(false), entry(false)];
        let run = write_segment(&run_log(class), &Head::EMPTY, &signer, &entries).unwrap();
        [&[class as u8, 3, 1], run.bytes(), &[6; KEY_BOX_BYTES]].concat()
    };
    Class::ALL.into_iter().map(run).collect()
}

fn changes() -> Vec<Vec<u8>> {
    [
        json!({ "name": "Kilo" }),
        json!({ "names": ["Ali", "Abdou"], "plate": "8-NE-1234", "seen": true, "at": 1.5 }),
        json!({ "position": { "lat": 13.4, "lon": 14.1 }, "notes": [{ "text": "x" }, null, -1] }),
        json!({ "list": vec![Value::Null; 200] }),
    ]
    .into_iter()
    .map(change)
    .chain([bomb()])
    .collect()
}

/// A change that Automerge itself writes and reads, twice as many operations as the gate lets
/// through in a hundred bytes or so.
fn bomb() -> Vec<u8> {
    let mut document = AutoCommit::new().with_actor(ActorId::from(GATE_ACTOR));
    let list = document.put_object(ROOT, "list", ObjType::List).unwrap();
    for at in 0..2 * CHANGE_OPS_MAX {
        document.insert(&list, at, ()).unwrap();
    }
    document.get_last_local_change().unwrap().raw_bytes().to_vec()
}

/// The bytes of one change by the expected author that sets these fields.
fn change(fields: Value) -> Vec<u8> {
    let Value::Object(fields) = fields else { unreachable!("fields are an object") };
    let fields: Map<String, Value> = fields;
    first_change(GATE_ACTOR, GATE_TIME, &fields).unwrap().remove(0).bytes().to_vec()
}

/// Those changes and an alert in their stripped form, each as a first change and as a later one.
fn stripped_changes() -> Vec<Vec<u8>> {
    let alert = json!({
        "action_to_take": "seize",
        "latitude": 13.45,
        "place": "s4t2vw1x",
        "plate": "CT 1234 AB",
        "subject_refs": ["vehicle--3f0a6d0e-8a2c-4a51-9d0b-5f2f3f6f1c11"],
        "valid_from": "2023-11-14T21:55:00Z",
    });
    let mut seeds = Vec::new();
    for chunk in changes().into_iter().chain([change(alert)]) {
        let Ok(change) = decode(&chunk) else { continue };
        for first in [false, true] {
            let implied = Implied { actor: GATE_ACTOR, time: GATE_TIME, first };
            let bytes = strip(&change, &implied).unwrap();
            seeds.push([&[u8::from(first)], &bytes[..]].concat());
        }
    }
    assert!(seeds.len() > 8);
    seeds
}

fn files() -> Vec<Vec<u8>> {
    let bundle = json!({
        "type": "bundle",
        "id": "bundle--5d0092c5-5f74-4287-9642-33f4c354e56d",
        "objects": [{
            "type": "indicator",
            "spec_version": "2.1",
            "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
            "created": "2016-04-06T20:03:48.000Z",
            "valid_from": "2016-01-01T00:00:00+01:00",
            "pattern": "([ipv4-addr:value ISSUBSET '198.51.100.1/32'] AND [NOT EXISTS a:b[*].c OR a:b MATCHES '^(x|[y-z]{2,3})+$']) REPEATS 2 TIMES WITHIN 5 SECONDS",
            "labels": ["tlp:amber"]
        }, {
            "type": "identity",
            "identity_class": "individual",
            "name": "Zeynab",
            "dates_of_birth": ["1990-02-30"],
            "nationality": "XX",
            "mrz": "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10"
        }, {
            "type": "location",
            "latitude": 91.0,
            "longitude": -180.5,
            "country": "NE"
        }]
    });
    let texts = [
        "TLP:AMBER+STRICT PAP:RED",
        "2024-02-29T23:59:60.999-23:59",
        "+22790123456",
        "IMO 9074729",
        "CSQU3054383",
        "1HGCM82633A004352",
        "490154203237518",
        "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
    ];
    let mut files: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    files.push(bundle.to_string().into_bytes());
    files.push(vec![b'['; 100_000]);
    files
}

fn device() -> DeviceKeys {
    DeviceKeys::from_seeds(&[1; 32], &[2; 32])
}

fn card() -> DeviceCard {
    device().card([3; 32])
}

fn member() -> Member {
    Member {
        no: AgencyNo(2),
        name: "Customs".into(),
        country: "TD".into(),
        root: Signer::from_seed(&[9; 32]).public(),
    }
}

fn charter() -> Charter {
    Charter {
        name: "Drill".into(),
        nonce: [1; 16],
        quorum: 1,
        limits_version: 1,
        erasure_delay_hours: 0,
        default_label: vec![1, 2],
        agreement: Some([3; 32]),
        founders: vec![member()],
    }
}
