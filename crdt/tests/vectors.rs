//! Golden bytes: the format as it is. A change here is a change of the format.

use tearline_crdt::charter::{Charter, Member};
use tearline_crdt::codec::Reader;
use tearline_crdt::entry::Header;
use tearline_crdt::entry::run::{Head, NewEntry, UnverifiedRun, write_segment};
use tearline_crdt::entry::sealed::{EntryKind, LogCipher, SealedHeader};
use tearline_crdt::epoch::EpochKeys;
use tearline_crdt::hash::{Domain, sha256};
use tearline_crdt::id::{AgencyNo, Class, CompartmentId, DeviceId, EpochId, Incarnation, LogId};
use tearline_crdt::keys::{DeviceKeys, Signer};
use tearline_crdt::record::genesis::record_id;
use tearline_crdt::statement::{
    Approval, Audience, Caveats, DeskCertificate, EpochStatement, Opening, Right, Statement,
};
use tearline_crdt::time::WallTime;

/// The log of the device whose seed is 32 times 0x01, in the compartment 32 times 0x02.
fn log() -> LogId {
    LogId {
        compartment: CompartmentId([2; 32]),
        class: Class::Routine,
        device: DeviceId(signer().public()),
        incarnation: Incarnation(3),
    }
}

fn signer() -> Signer {
    Signer::from_seed(&[1; 32])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// One record's genesis with the payload "payload", under the epoch 32 times 0x04 whose secret is
/// 32 times 0x05, with the key box 16 times 0x06, at 2023-11-14T22:13:20Z.
fn entry() -> NewEntry {
    let epoch = EpochId([4; 32]);
    let cipher = LogCipher::new(log(), epoch, EpochKeys::of(&[5; 32]));
    let key_box = [6; 16];
    let header = SealedHeader {
        kind: EntryKind::GENESIS,
        record: record_id(&log().digest(), &key_box),
        wall: WallTime(1_700_000_000_000),
        run: 0,
        box_seq: None,
        own_deps: vec![],
        deps: vec![],
        replaces: vec![],
    };
    let sealed = cipher.seal_header(0, &header);
    let payload = cipher.seal_payload(0, &sha256(&sealed), &key_box, b"payload");
    NewEntry { epoch, sealed, key_box: Some(key_box), payload }
}

#[test]
fn a_run_has_these_bytes_and_this_id() -> Result<(), Box<dyn std::error::Error>> {
    let run = write_segment(&log(), &Head::EMPTY, &signer(), &[entry()])?;
    assert_eq!(hex(run.bytes()), RUN);
    assert_eq!(run.to().id.to_string(), ID);
    let boxes = [6; 16];
    let read = UnverifiedRun { log: log(), count: 1, entries: run.bytes(), boxes: &boxes };
    let back = read.verify(&Head::EMPTY)?;
    assert_eq!(back.to(), run.to());
    let signed = back.entries().first().and_then(|entry| entry.signed.as_ref());
    let header = signed.map(|signed| signed.header.encode()).unwrap_or_default();
    assert_eq!(hex(&header), HEADER);
    assert_eq!(Header::decode(&mut Reader::new(&header))?.id().to_string(), ID);
    Ok(())
}

/// Statements of every kind: the founder's root has the seed 32 times 0x09, its desk the seeds 32
/// times 0x01 (signing) and 0x02 (agreement), another device 0x03 and 0x04.
fn statements() -> Vec<(&'static str, Statement)> {
    let root = Signer::from_seed(&[9; 32]);
    let desk = DeviceKeys::from_seeds(&[1; 32], &[2; 32]);
    let device = DeviceKeys::from_seeds(&[3; 32], &[4; 32]).card(desk.id().0);
    let name = "Border Guard".to_owned();
    let member = Member { no: AgencyNo(1), name, country: "NE".into(), root: root.public() };
    let charter = Charter {
        name: "Drill".into(),
        nonce: [7; 16],
        quorum: 1,
        limits_version: 1,
        erasure_delay_hours: 72,
        default_label: vec![],
        agreement: None,
        founders: vec![member.clone()],
    };
    let id = charter.id();
    let joined = Member { no: AgencyNo(2), name: "Customs".into(), country: "TD".into(), ..member };
    let bytes = Statement::admission_bytes(&id, &joined);
    let signature = desk.signer().sign(Domain::Admission, &bytes);
    let audience = vec![(AgencyNo(1), root.public())];
    let secret = EpochKeys::commitment(&[5; 32]);
    let epoch = EpochStatement {
        parents: vec![],
        depth: 1,
        commitment: secret,
        frontier: [0; 32],
        boxes_root: [8; 32],
    };
    let epoch_id = epoch.id(&CompartmentId([2; 32]));
    let caveats = Caveats { classes: Some(0b1_1110), may_delegate: true, ..Caveats::default() };
    vec![
        ("found", Statement::Found(charter)),
        ("desk", Statement::Desk(DeskCertificate::sign(&root, &desk))),
        (
            "grant",
            Statement::Grant {
                audience: Audience::Device { agency: AgencyNo(1), card: device },
                right: Right::Write,
                caveats,
            },
        ),
        (
            "admit",
            Statement::Admit {
                member: joined,
                approvals: vec![Approval { desk: desk.id(), signature }],
            },
        ),
        ("open", Statement::Open(Opening::sign(desk.signer(), id, audience, [6; 16]))),
        ("epoch", Statement::Epoch(epoch)),
        ("reseal", Statement::Reseal { epoch: epoch_id, boxes_root: [8; 32] }),
        ("describe", Statement::Describe { epoch: epoch_id }),
    ]
}

#[test]
fn statements_have_these_bytes() {
    let written: Vec<String> = statements()
        .into_iter()
        .map(|(name, statement)| format!("{name} {}\n", hex(&statement.encode())))
        .collect();
    assert_eq!(written.concat(), include_str!("vectors/statements.txt"));
}

const RUN: &str = "2b04040404040404040404040404040404040404040404040404040404040404042b40819099b381945e075681004106f67bb9dc20ffee579855a30c5530a21742b06f3caebfcf354e3a8a08e3174adef64e7347650e28b27b6ad7b97c7a2e487b466b2e0a6539348a170a7ed63394f6ccc4d1e0bdf86c45a08f94fb03ea2495abfc9f803b84227903ab35530412842daecae825558c32565919bc17f802ed5479477f7f09";
const ID: &str = "9b771e21b6056d23b45ac53c33df84bc75e19cd9be2036501224b60c1e29a45d";
const HEADER: &str = "01010202020202020202020202020202020202020202020202020202020202020202048a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c000000000000000300000000000000000000000000000000000000000000000000000000000000000004040404040404040404040404040404040404040404040404040404040404042bcf4b200f0f3c3fc57aa3ceaa2ccd93ea3dea616ca9433adb27ec0e71f80abc8203344676f277e8e49a34ac18103730d1627b621a68c87f0f0556a7640f03e4a44a17a6f7f808aaa85f4acdacaeba75d565f211224ea1a5e8cb0a67a78702f4097856";
