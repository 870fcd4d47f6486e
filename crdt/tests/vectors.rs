//! Golden bytes: the format as it is. A change here is a change of the format.

use tearline_crdt::charter::{Charter, Member};
use tearline_crdt::codec::Reader;
use tearline_crdt::entry::Header;
use tearline_crdt::entry::run::{Head, NewEntry, UnverifiedRun, write_segment};
use tearline_crdt::entry::sealed::{EntryKind, LogCipher, SealedHeader};
use tearline_crdt::epoch::{EpochKeys, box_context};
use tearline_crdt::hash::sha256;
use tearline_crdt::id::{
    AgencyNo, Class, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId, StatementId,
};
use tearline_crdt::keys::{DeviceKeys, Signer};
use tearline_crdt::record::genesis::record_id;
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
    let header = SealedHeader {
        kind: EntryKind::GENESIS,
        record: record_id(&log().digest(), &sha256(&key_box)),
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
    let header = cipher.open_header(0, &sealed)?;
    let record = header.record;
    let key = cipher.record_key(&key_box.ok_or("it has a box")?).ok_or("the epoch lives")?;
    let disclosed = Disclosure { log: log(), key, entries: vec![(0, header)] };
    let payloads = rebase::encode(std::slice::from_ref(&disclosed));
    assert_eq!(payloads.iter().map(|one| hex(one)).collect::<Vec<_>>(), [REBASE]);
    let [read] = &rebase::decode(&payloads.concat(), log().compartment, record)?[..] else {
        return Err("one disclosure".into());
    };
    assert_eq!(read, &disclosed);
    let place = (&log(), &epoch);
    let payload = payload.ok_or("it has a payload")?;
    let opened = LogCipher::open_payload_with(&read.key, place, 0, &sha256(&sealed), &payload)?;
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
        ("replace-root", Act::ReplaceRoot { agency: AgencyNo(2), root: [15; 32], keep: keep() }),
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

const RUN: &str = "2b04040404040404040404040404040404040404040404040404040404040404042bcd81bbd4670ff32bb6e3e2e4882fb89fbee743ad6a9564f69abc1c86d1feb9551ebce2b0ac174bd816c675173a05dbc2a3fb4db8712d8a74acb71378a34a2ccdfdb899ba17d8419026c22f13482cb63e07ebc10438592aca5faf2a7458d970c75068f8fe68ec391e00e5a179846e694ecf71132770a3014d1425b7b25e3a790527d108";
const ID: &str = "d2c29b20e75116e5fcef19e694f2f9d6b19204f94afe133aea08d502439d77d2";
const HEADER: &str = "01010202020202020202020202020202020202020202020202020202020202020202048a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c000000000000000300000000000000000000000000000000000000000000000000000000000000000004040404040404040404040404040404040404040404040404040404040404042b53e4c859c9302ede12889564e25f91eccd920e3316240643e3ff3d71078d402003344676f277e8e49a34ac18103730d1627b621a68c87f0f0556a7640f03e4a44a175bbf201113d5bef48128a2930ace3490fe1af8351cd285a648ad7c7f98125f46";
const BOX_AGREEMENT: &str = "f0dde7a31c9ad76a16f46bb6ee8d33987c3d89c898aec60c0e25f302de7c6561";
const BOX_KEM_HASH: &str = "7fe385f4a19fecd539e63c758d7e570222129c59ebde0810d46bd6ce52a4c837";
const BOX_SEALED: &str = "1f56bcc566909113b5a7cf472231e679363f6270a20795ef6648a77110274324809b32a556bfc4e551da12e61b108779";
const BOX_HASH: &str = "8567bea9c73a512a0be853197654f0da8abf3508df0e066bf2ba684c7a8b904f";
const DETACHED: &str = "3504040404040404040404040404040404040404040404040404040404040404042bcd81bbd4670ff32bb6e3e2e4882fb89fbee743ad6a9564f69abc1c86d1feb9551ebce2b0ac174bd816c675344676f277e8e49a34ac18103730d1627b621a68c87f0f0556a7640f03e4a44a175bbf201113d5bef48128a2930ace3490fe1af8351cd285a648ad7c7f98125f46ba17d8419026c22f13482cb63e07ebc10438592aca5faf2a7458d970c75068f8fe68ec391e00e5a179846e694ecf71132770a3014d1425b7b25e3a790527d108";
const SEGMENT_IDS: [&str; 2] = [
    "d5cc21f1aa81bcf9175b322e423ba0a763969397fb2ef4b7354487c5e6f324e1",
    "c6a3e53c269864fd6ecc6d9a03c022cb0dc7080a6a4b63256c64be0b895b20d6",
];
const SEGMENT: &str = "2a04040404040404040404040404040404040404040404040404040404040404042bcd81bbd4670ff32bb6e3e2e4882fb89fbee743ad6a9564f69abc1c86d1feb9551ebce2b0ac174bd816c675173a05dbc2a3fb4db8712d8a74acb71378a34a2ccdfdb899412808080808080808080808080808080808080808080808080808080808080808080808080808080808019f245c5754989634684ead2fc416c06ccf8667f6406497d13e5e6baabda9f800f89647ab236b8f7a6152e7a10b5b965402d8e82e2b959a9b0b24a899db611a53653cdafdfba83469a43bd655c20f0a3c45ce9216bd4816fefa96f59a1a909b06";
const RECEIPTS: &str = "0680d095ffbc310401010101010101010101010101010101010101010101010101010101010101010102020202020202020202020202020202020202020202020202020202020202020203030303030303030303030303030303030303030303030303030303030303030301040404040404040404040404040404040404040404040404040404040404040404";
const RECEIPTS_ID: &str = "a836a060b0183b82b15c69a88a69ff8e5af74c4120619a961979a22aa27190eb";
const REBASE: &str = "0001048a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c0000000000000003d3fe6de0a6a0e8d852c93f1df6b59a2819d3fd076b8d2c76e0db245751b3efe701001b01d2e0d8d79a408dbb6635630207b4797480d095ffbc3100000000";
