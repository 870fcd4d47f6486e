//! Golden bytes: the format as it is. A change here is a change of the format.

use tearline_crdt::change::first_change;
use tearline_crdt::change::strip::Implied;
use tearline_crdt::charter::{Charter, Member};
use tearline_crdt::codec::Reader;
use tearline_crdt::entry::Header;
use tearline_crdt::entry::run::{Head, NewEntry, UnverifiedRun, write_segment};
use tearline_crdt::entry::sealed::{LogCipher, SealedHeader};
use tearline_crdt::epoch::{EpochKeys, box_context};
use tearline_crdt::gate::Expected;
use tearline_crdt::hash::sha256;
use tearline_crdt::id::{
    AgencyNo, Class, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId, StatementId,
};
use tearline_crdt::keys::{DeviceKeys, Signer};
use tearline_crdt::record::genesis::{Carried, Genesis, Writers, record_id};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::rebase::{self, Disclosure};
use tearline_crdt::record::receipt::{Outcome, Receipt, Receipts, Refusal};
use tearline_crdt::seal::SecretBox;
use tearline_crdt::statement::{
    Act, Audience, Caveats, DeskCertificate, EpochStatement, Erasure, Mark, Marks, Opening,
    Reopening, Right, RootAct, Statement,
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
    let record = record_id(&log().digest(), &sha256(&key_box));
    let header = SealedHeader::genesis(record, WallTime(1_700_000_000_000));
    let sealed = cipher.seal_header(0, &header);
    let payload = cipher.seal_payload(0, (&header, &sha256(&sealed)), &key_box, b"payload");
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

/// The payload of an alert: TLP:AMBER, by the actor 16 times 0x07 at 2026-05-01T10:01:00.250Z; what to
/// do, a cell, a plate, and a time a minute before. The change in it is that of the hash.
#[test]
fn an_alert_has_these_bytes() -> Result<(), Box<dyn std::error::Error>> {
    let fields = serde_json::json!({
        "action_to_take": "seize",
        "place": "s4t2vw1x",
        "plate": "CT 1234 A",
        "valid_from": "2026-05-01T10:00:00Z",
    });
    let fields = fields.as_object().ok_or("an object")?;
    let implied = Implied { actor: [7; 16], time: 1_777_629_660_250, first: true };
    let built = first_change(implied.actor, implied.time, fields)?.remove(0);
    let (kind, writers, label) = (Kind::Alert, Writers::Originator, "TLP:AMBER".parse()?);
    let change = Carried::of(&built, &implied);
    let payload = Genesis { kind, writers, label, change }.encode();
    assert_eq!(hex(&payload), ALERT);
    let change = Genesis::decode(&payload)?.change;
    let expected = Expected { actor: implied.actor, seq: 1, deps: &[], start_op: 1 };
    assert_eq!(change.admit(&implied, &expected)?.bytes(), built.bytes());
    assert_eq!(hex(&built.hash()), ALERT_CHANGE);
    Ok(())
}

/// The secret 32 times 0x05 in the compartment 32 times 0x02, sealed to the device whose seeds are 32
/// times 0x01 (signing) and 0x02 (receiving), with the entropy 0x00, 0x01, ... 0x3f.
#[test]
fn a_box_has_these_bytes() -> Result<(), Box<dyn std::error::Error>> {
    let device = DeviceKeys::from_seeds(&[1; 32], &[2; 32]);
    let card = device.card([9; 32]);
    assert_eq!(hex(&card.agreement), BOX_AGREEMENT);
    assert_eq!(hex(&card.kem_hash), BOX_KEM_HASH);
    let context = box_context(&[2; 32], &EpochKeys::commitment(&[5; 32]));
    let entropy = std::array::from_fn(|at| at as u8);
    let sealed = SecretBox::seal(&card, device.kem_key(), &context, &[5; 32], &entropy)?;
    let mut bytes = Vec::new();
    sealed.encode(&mut bytes);
    assert_eq!(hex(&sealed.sealed), BOX_SEALED);
    assert_eq!(hex(&sha256(&bytes)), BOX_HASH);
    let read = SecretBox::decode(&mut Reader::new(&bytes))?;
    assert_eq!(*read.open(&device, &context)?, [5; 32]);
    Ok(())
}

/// The same entry without key box and payload: another form, the same id.
#[test]
fn a_detached_run_has_these_bytes_and_the_same_id() -> Result<(), Box<dyn std::error::Error>> {
    let run = write_segment(&log(), &Head::EMPTY, &signer(), &[entry()])?;
    let detached = run.detached(|_| true)?.ok_or("there is something to detach")?;
    assert_eq!(hex(detached.bytes()), DETACHED);
    let read = UnverifiedRun { log: log(), count: 1, entries: detached.bytes(), boxes: &[] };
    assert_eq!(read.verify(&Head::EMPTY)?.to().id.to_string(), ID);
    Ok(())
}

/// The same content in a segment of two: it is not signed itself and its id is another. The second
/// entry has 40 times 0x08 as sealed header, and no key box and no payload.
#[test]
fn a_segment_has_these_bytes_and_ids() -> Result<(), Box<dyn std::error::Error>> {
    let last = NewEntry { sealed: vec![8; 40], key_box: None, payload: None, ..entry() };
    let run = write_segment(&log(), &Head::EMPTY, &signer(), &[entry(), last])?;
    let ids: Vec<String> = run.entries().iter().map(|entry| entry.id.to_string()).collect();
    assert_eq!(ids, SEGMENT_IDS);
    assert_eq!(hex(run.bytes()), SEGMENT);
    let boxes = [6; 16];
    let read = UnverifiedRun { log: log(), count: 2, entries: run.bytes(), boxes: &boxes };
    assert_eq!(read.verify(&Head::EMPTY)?.to(), run.to());
    Ok(())
}

/// Receipts for four statements, 32 times 0x01 to 0x04, at 2023-11-14T22:13:20Z.
#[test]
fn receipts_have_these_bytes() -> Result<(), Box<dyn std::error::Error>> {
    let outcomes = [
        Outcome::Hidden,
        Outcome::Destroyed,
        Outcome::Refused(Refusal::HOLD),
        Outcome::NothingHere,
    ];
    let list = (1u8..).zip(outcomes).map(|(n, outcome)| {
        let statement = StatementId([n; 32]);
        Receipt { statement, outcome }
    });
    let entries = Receipts::entries(WallTime(1_700_000_000_000), list);
    let sealed: Vec<String> = entries.iter().map(|entry| hex(&entry.sealed)).collect();
    assert_eq!(sealed, [RECEIPTS]);
    let run = write_segment(&log(), &Head::EMPTY, &signer(), &entries)?;
    let read = UnverifiedRun { log: log(), count: 1, entries: run.bytes(), boxes: &[] };
    assert_eq!(read.verify(&Head::EMPTY)?.to().id.to_string(), RECEIPTS_ID);
    Ok(())
}

/// A rebase that discloses the entry above.
#[test]
fn a_rebase_has_these_bytes() -> Result<(), Box<dyn std::error::Error>> {
    let NewEntry { epoch, sealed, key_box, payload } = entry();
    let cipher = LogCipher::new(log(), epoch, EpochKeys::of(&[5; 32]));
    let box_hash = key_box.as_ref().map(|key_box| sha256(key_box));
    let header = cipher.open_header(0, &sealed, box_hash.as_ref())?;
    let record = header.record;
    let key = cipher.record_key(&key_box.ok_or("it has a box")?).ok_or("the epoch lives")?;
    let disclosed = Disclosure { log: log(), key, entries: vec![(0, header.clone())] };
    let payloads = rebase::encode(std::slice::from_ref(&disclosed));
    assert_eq!(payloads.iter().map(|one| hex(one)).collect::<Vec<_>>(), [REBASE]);
    let [read] = &rebase::decode(&payloads.concat(), log().compartment, record)?[..] else {
        return Err("one disclosure".into());
    };
    assert_eq!(read, &disclosed);
    let place = (&log(), &epoch);
    let payload = payload.ok_or("it has a payload")?;
    let beside = (&header, &sha256(&sealed));
    let opened = LogCipher::open_payload_with(&read.key, place, 0, beside, &payload)?;
    assert_eq!(opened, b"payload");
    Ok(())
}

/// Statements of every kind: the founder's root has the seed 32 times 0x09, its desk the seeds 32
/// times 0x01 (signing) and 0x02 (receiving), another device 0x03 and 0x04.
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
    let audience = vec![(AgencyNo(1), root.public())];
    let secret = EpochKeys::commitment(&[5; 32]);
    let epoch = EpochStatement { parents: vec![], depth: 1, commitment: secret };
    let epoch_id = epoch.id(&CompartmentId([2; 32]));
    let caveats = Caveats { classes: Some(0b1_1110), may_delegate: true, ..Caveats::default() };
    let reopening = Reopening { incarnation: Incarnation(6), cites: vec![StatementId([10; 32])] };
    let mark = Mark { log: [11; 32], count: 300, head: EntryId([12; 32]) };
    let keep = || Marks::Inline(vec![mark]);
    let genesis = EntryId([13; 32]);
    let act = Act::Admit { member: joined, cites: vec![StatementId([10; 32])] };
    let revoked = DeviceId([14; 32]);
    let by_root = Act::Revoke { device: revoked, keep: keep() };
    let acts = [
        ("retire", Act::Retire { agency: AgencyNo(2), keep: keep() }),
        (
            "replace-root",
            Act::ReplaceRoot {
                agency: AgencyNo(2),
                root: [15; 32],
                replaced: vec![root.public()],
                keep: keep(),
            },
        ),
        ("act-revoke", by_root.clone()),
        ("act-adopt", Act::Adopt { marks: Marks::Wide([16; 32]) }),
        ("act-erase", Act::Erase(Erasure { genesis, others: vec![EntryId([17; 32])] })),
        ("act-restrict", Act::Restrict { genesis }),
        ("act-hold", Act::Hold { genesis }),
        ("act-lift", Act::Lift { lifted: StatementId([18; 32]) }),
        ("act-recall", Act::Recall { genesis }),
        ("act-retire-epoch", Act::RetireEpoch { epoch: epoch_id }),
    ];
    let approved = act.id(&id, 1);
    let mut statements = vec![
        ("found", Statement::Found(charter)),
        ("desk", Statement::Desk(DeskCertificate::sign(&root, &desk, Some(reopening.clone())))),
        (
            "grant",
            Statement::Grant {
                audience: Audience::Device { agency: AgencyNo(1), card: device },
                right: Right::Write,
                caveats,
                reopening: Some(reopening),
            },
        ),
        ("admit", Statement::Propose { number: 1, act }),
        ("open", Statement::Open(Opening::sign(desk.signer(), id, audience, [6; 16]))),
        ("epoch", Statement::Epoch(epoch)),
        ("seal", Statement::Seal { epoch: epoch_id, boxes_root: [8; 32] }),
        ("describe", Statement::Describe { epoch: epoch_id }),
        ("approve", Statement::Approve { act: approved }),
        ("revoke", Statement::Revoke { device: revoked, keep: keep() }),
        ("adopt", Statement::Adopt { marks: keep() }),
        ("erase", Statement::Erase(Erasure { genesis, others: vec![EntryId([17; 32])] })),
        ("erase-also", Statement::EraseAlso { genesis, entries: vec![EntryId([17; 32])] }),
        ("restrict", Statement::Restrict { genesis }),
        ("hold", Statement::Hold { genesis }),
        ("lift", Statement::Lift { lifted: StatementId([18; 32]) }),
        ("recall", Statement::Recall { genesis }),
    ];
    let by_root = RootAct::sign(&root, &id, by_root).map(Statement::RootAct);
    statements.extend(by_root.map(|statement| ("root-act", statement)));
    statements.extend(acts.map(|(name, act)| (name, Statement::Propose { number: 0, act })));
    statements
}

#[test]
fn statements_have_these_bytes() {
    let written: Vec<String> = statements()
        .into_iter()
        .map(|(name, statement)| format!("{name} {}\n", hex(&statement.encode())))
        .collect();
    assert_eq!(written.concat(), include_str!("vectors/statements.txt"));
}

const RUN: &str = "2b04040404040404040404040404040404040404040404040404040404040404041764251a352bb956a00ea83c3e9a76a68820c83db0c32e9d1725e5a3b56e042250e327e61ceaf4c418e8832862c0502de833102d4550a0b4e30457c98197c8810bd1e50a29ff93d2f72c04780f6606212bfabc7c62db36a21f575e48291bb4feca72dfe8bc0829c2c5ed7dcdc1c74c02";
const ID: &str = "0600c45bb7ab23ee6261e9b444a04d5cea4734fceeda1250fa535cc3ed045e83";
const HEADER: &str = "01010202020202020202020202020202020202020202020202020202020202020202048a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c000000000000000300000000000000000000000000000000000000000000000000000000000000000004040404040404040404040404040404040404040404040404040404040404041728a6cf02be4e6d37b0281a8f4ef9bb73856d7bf06fd0071543a5d0576b21439703344676f277e8e49a34ac18103730d1627b621a68c87f0f0556a7640f03e4a44a1756694cf7f71a199961b4bbea4ebf1dfd0dda7705c680ed6ec3549ce5ca7e5f40";
const ALERT: &str = "012201030d0611087543b25e044f0f090f9cad3dc120137f";
const ALERT_CHANGE: &str = "1f6e8eef5b1bfb461629629e4234bf6d49bd9202a3e3f338ea7e515953165c75";
const BOX_AGREEMENT: &str = "f0dde7a31c9ad76a16f46bb6ee8d33987c3d89c898aec60c0e25f302de7c6561";
const BOX_KEM_HASH: &str = "7fe385f4a19fecd539e63c758d7e570222129c59ebde0810d46bd6ce52a4c837";
const BOX_SEALED: &str = "1f56bcc566909113b5a7cf472231e679363f6270a20795ef6648a77110274324809b32a556bfc4e551da12e61b108779";
const BOX_HASH: &str = "8567bea9c73a512a0be853197654f0da8abf3508df0e066bf2ba684c7a8b904f";
const DETACHED: &str = "3504040404040404040404040404040404040404040404040404040404040404041764251a352bb956a00ea83c3e9a76a68820c83db0c32e9d344676f277e8e49a34ac18103730d1627b621a68c87f0f0556a7640f03e4a44a1756694cf7f71a199961b4bbea4ebf1dfd0dda7705c680ed6ec3549ce5ca7e5f40e833102d4550a0b4e30457c98197c8810bd1e50a29ff93d2f72c04780f6606212bfabc7c62db36a21f575e48291bb4feca72dfe8bc0829c2c5ed7dcdc1c74c02";
const SEGMENT_IDS: [&str; 2] = [
    "1dd72da780eea35b30377e59974d4714cf34a9338a7c05ee0290359fa242f2f8",
    "10b57091f1f4e9fcadd7831be6bc68e477cff77754c0ae704fc4373dbdae1759",
];
const SEGMENT: &str = "2a04040404040404040404040404040404040404040404040404040404040404041764251a352bb956a00ea83c3e9a76a68820c83db0c32e9d1725e5a3b56e042250e327e61ceaf4c418e8832862c0502d412808080808080808080808080808080808080808080808080808080808080808080808080808080808018c36581bad746f012807cd324df33dba1f91ff00f6df137d6b1f2ece4c3d087c8ccedd601142d361296709bda3797c0d9cd2f4267b182a2fd626ea63f7f03d92ccfc2f2737277023604b68f54cb24001752b1f463b6d40273bb4413077ce7b07";
const RECEIPTS: &str = "0680d095ffbc310401010101010101010101010101010101010101010101010101010101010101010102020202020202020202020202020202020202020202020202020202020202020203030303030303030303030303030303030303030303030303030303030303030301040404040404040404040404040404040404040404040404040404040404040404";
const RECEIPTS_ID: &str = "a836a060b0183b82b15c69a88a69ff8e5af74c4120619a961979a22aa27190eb";
const REBASE: &str = "0001048a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c0000000000000003d3fe6de0a6a0e8d852c93f1df6b59a2819d3fd076b8d2c76e0db245751b3efe70100070180d095ffbc31";
