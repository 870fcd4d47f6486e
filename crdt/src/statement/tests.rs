//! Statements: their bytes, their bounds, and what does not decode.

use super::*;
use crate::charter::Member;
use crate::id::{CoalitionId, Incarnation};
use crate::keys::{DeviceCard, DeviceKeys, Signer};

fn keys(n: u8) -> DeviceKeys {
    DeviceKeys::from_seeds(&[n; 32], &[n + 100; 32])
}

fn card(n: u8) -> DeviceCard {
    keys(n).card([9; 32])
}

fn opening() -> Opening {
    let audience = vec![(AgencyNo(1), [1; 32]), (AgencyNo(2), [2; 32])];
    Opening::sign(keys(1).signer(), CoalitionId([1; 32]), audience, [2; 16])
}

#[test]
fn an_opening_holds_only_as_its_opener_signed_it() {
    assert!(opening().holds());
    assert!(!Opening { audience: vec![(AgencyNo(1), [1; 32])], ..opening() }.holds());
    assert!(!Opening { opener: card(2).device, ..opening() }.holds());
    assert!(!Opening { nonce: [3; 16], ..opening() }.holds());
    assert_eq!(Opening { signature: [0; 64], ..opening() }.id(), opening().id());
}

fn samples() -> Vec<Statement> {
    let root = Signer::from_seed(&[9; 32]);
    let member = Member {
        no: AgencyNo(2),
        name: "Customs".into(),
        country: "TD".into(),
        root: root.public(),
    };
    let charter = Charter {
        name: "Drill".into(),
        nonce: [1; 16],
        quorum: 1,
        limits_version: 1,
        erasure_delay_hours: 0,
        default_label: vec![1, 2],
        agreement: Some([3; 32]),
        founders: vec![member.clone()],
    };
    vec![
        Statement::Found(charter),
        Statement::Desk(DeskCertificate::sign(&root, &keys(1), Some(reopening()))),
        Statement::Grant {
            audience: Audience::Device { agency: AgencyNo(2), card: card(2) },
            right: Right::Write,
            caveats: Caveats {
                kinds: Some(vec![1, 2]),
                classes: Some(0b11111),
                not_before_ms: Some(1),
                not_after_ms: Some(2),
                quota_bytes: Some(3),
                may_delegate: true,
                history: true,
            },
            reopening: Some(reopening()),
        },
        Statement::Grant {
            audience: Audience::Agency(AgencyNo(7)),
            right: Right::Relay,
            caveats: Caveats::default(),
            reopening: None,
        },
        Statement::Propose { number: 300, act: Act::Admit { member, cites: vec![ID, OTHER] } },
        Statement::Open(opening()),
        Statement::Epoch(EpochStatement {
            parents: vec![EpochId([1; 32]), EpochId([2; 32])],
            depth: 2,
            commitment: [3; 32],
        }),
        Statement::Seal { epoch: EpochId([1; 32]), boxes_root: [2; 32] },
        Statement::Describe { epoch: EpochId([3; 32]) },
        Statement::Approve { act: ID },
        Statement::Revoke { device: DeviceId([3; 32]), keep: keep() },
        Statement::RootAct(by_root(&root)),
        Statement::Adopt { marks: Marks::Wide([1; 32]) },
        Statement::Erase(Erasure { genesis: EntryId([1; 32]), others: vec![EntryId([2; 32])] }),
        Statement::EraseAlso { genesis: EntryId([1; 32]), entries: vec![EntryId([2; 32])] },
        Statement::Restrict { genesis: EntryId([1; 32]) },
        Statement::Hold { genesis: EntryId([1; 32]) },
        Statement::Lift { lifted: ID },
        Statement::Recall { genesis: EntryId([1; 32]) },
        Statement::Unknown { kind: 99, bytes: vec![1, 2, 3] },
    ]
    .into_iter()
    .chain(acts().map(|act| Statement::Propose { number: 0, act }))
    .collect()
}

const ID: StatementId = StatementId([7; 32]);
const OTHER: StatementId = StatementId([8; 32]);

fn reopening() -> Reopening {
    Reopening { incarnation: Incarnation(5), cites: vec![ID, OTHER] }
}

fn keep() -> Marks {
    Marks::Inline(vec![Mark { log: [1; 32], count: 300, head: EntryId([2; 32]) }])
}

fn acts() -> impl Iterator<Item = Act> {
    let genesis = EntryId([1; 32]);
    [
        Act::Retire { agency: AgencyNo(3), keep: keep() },
        Act::ReplaceRoot {
            agency: AgencyNo(3),
            root: [4; 32],
            replaced: vec![[5; 32], [6; 32]],
            keep: Marks::NONE,
        },
        Act::Revoke { device: DeviceId([3; 32]), keep: keep() },
        Act::Adopt { marks: keep() },
        Act::Erase(Erasure { genesis, others: vec![] }),
        Act::Restrict { genesis },
        Act::Hold { genesis },
        Act::Lift { lifted: ID },
        Act::Recall { genesis },
        Act::RetireEpoch { epoch: EpochId([3; 32]) },
    ]
    .into_iter()
}

fn by_root(root: &Signer) -> RootAct {
    let act = Act::Revoke { device: DeviceId([3; 32]), keep: keep() };
    RootAct::sign(root, &CoalitionId([1; 32]), act).unwrap()
}

#[test]
fn a_roots_act_holds_only_as_signed_for_its_coalition_and_revokes_or_adopts() {
    let act = by_root(&Signer::from_seed(&[9; 32]));
    assert!(act.holds(&CoalitionId([1; 32])));
    assert!(!act.holds(&CoalitionId([2; 32])));
    assert!(!RootAct { root: [0; 32], ..act.clone() }.holds(&CoalitionId([1; 32])));
    let other = Act::Revoke { device: DeviceId([3; 32]), keep: Marks::NONE };
    assert!(!RootAct { act: other, ..act }.holds(&CoalitionId([1; 32])));
    let root = Signer::from_seed(&[9; 32]);
    let sole = Act::Restrict { genesis: EntryId([1; 32]) };
    assert!(RootAct::sign(&root, &CoalitionId([1; 32]), sole).is_none());
}

#[test]
fn acts_of_equal_content_differ_by_their_number_and_coalition() {
    let act = Act::Hold { genesis: EntryId([1; 32]) };
    let id = |coalition, number| act.id(&CoalitionId([coalition; 32]), number);
    assert_ne!(id(1, 0), id(1, 1));
    assert_ne!(id(1, 0), id(2, 0));
}

#[test]
fn what_is_named_in_a_list_is_bounded_and_in_order() {
    let cites = |count: u8| Statement::Propose {
        number: 0,
        act: Act::Admit {
            member: Member {
                no: AgencyNo(2),
                name: "Customs".into(),
                country: "TD".into(),
                root: [1; 32],
            },
            cites: (0..count).map(|n| StatementId([n; 32])).collect(),
        },
    };
    let most = crate::bounds::CITES_MAX as u8;
    assert!(Statement::decode(&cites(most).encode()).is_ok());
    assert!(Statement::decode(&cites(most + 1).encode()).is_err());
    let erase = |others: Vec<EntryId>| {
        Statement::decode(&Statement::Erase(Erasure { genesis: EntryId([1; 32]), others }).encode())
    };
    let entries = |count: usize| -> Vec<EntryId> {
        (0..count)
            .map(|n| {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&(n as u64).to_be_bytes());
                EntryId(id)
            })
            .collect()
    };
    assert!(erase(entries(ERASED_ENTRIES_MAX)).is_ok());
    assert!(erase(entries(ERASED_ENTRIES_MAX + 1)).is_err());
    assert!(erase(vec![EntryId([2; 32]), EntryId([1; 32])]).is_err());
    assert!(erase(vec![EntryId([2; 32]), EntryId([2; 32])]).is_err());
}

#[test]
fn statements_read_back() {
    for statement in samples() {
        assert_eq!(Statement::decode(&statement.encode()), Ok(statement));
    }
}

#[test]
fn no_truncation_of_a_known_kind_is_a_statement() {
    for statement in samples().into_iter().filter(|s| !matches!(s, Statement::Unknown { .. })) {
        let bytes = statement.encode();
        for len in 0..bytes.len() {
            assert!(Statement::decode(&bytes[..len]).is_err(), "{statement:?} cut at {len}");
        }
    }
}

#[test]
fn a_flag_that_names_no_caveat_is_refused() {
    for bit in 0..8 {
        let flags: u8 = 1 << bit;
        let bytes = [flags, 0, 0];
        let read = Caveats::decode(&mut Reader::new(&bytes));
        assert_eq!(read.is_ok(), bit != 5, "bit {bit}");
    }
}

#[test]
fn a_desk_certificate_holds_only_as_signed() {
    let root = Signer::from_seed(&[9; 32]);
    let certificate = DeskCertificate::sign(&root, &keys(1), None);
    assert!(certificate.holds());
    assert!(!DeskCertificate { desk: card(2), ..certificate.clone() }.holds());
    // Nobody adds a citation to what the root signed.
    let reopening = Some(reopening());
    assert!(!DeskCertificate { reopening, ..certificate.clone() }.holds());
    let other = Signer::from_seed(&[8; 32]);
    let claimed = DeskCertificate::sign(&other, &keys(1), None);
    assert!(!DeskCertificate { root: [0; 32], ..certificate.clone() }.holds());
    // Another root certifies a desk that stands under this one.
    assert!(!DeskCertificate { desk: certificate.desk, ..claimed }.holds());
}
