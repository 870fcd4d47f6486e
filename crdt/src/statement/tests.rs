use super::*;

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
        Statement::Desk(DeskCertificate::sign(&root, &keys(1))),
        Statement::Grant {
            audience: Audience::Device { agency: AgencyNo(2), card: card(2) },
            right: Right::Write,
            caveats: Caveats {
                kinds: Some(vec![1, 2]),
                classes: Some(0b11111),
                not_before_ms: Some(1),
                not_after_ms: Some(2),
                quota_bytes: Some(3),
                incarnations: Some(4),
                may_delegate: true,
            },
        },
        Statement::Grant {
            audience: Audience::Agency(AgencyNo(7)),
            right: Right::Relay,
            caveats: Caveats::default(),
        },
        Statement::Admit {
            member,
            approvals: vec![Approval { desk: card(1).device, signature: [8; 64] }],
        },
        Statement::Open(opening()),
        Statement::Epoch(EpochStatement {
            parents: vec![EpochId([1; 32]), EpochId([2; 32])],
            depth: 2,
            commitment: [3; 32],
            frontier: [4; 32],
            boxes_root: [5; 32],
        }),
        Statement::Reseal { epoch: EpochId([1; 32]), boxes_root: [2; 32] },
        Statement::Describe { epoch: EpochId([3; 32]) },
        Statement::Unknown { kind: 99, bytes: vec![1, 2, 3] },
    ]
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
fn a_desk_certificate_holds_only_as_signed() {
    let certificate = DeskCertificate::sign(&Signer::from_seed(&[9; 32]), &keys(1));
    assert!(certificate.holds());
    assert!(!DeskCertificate { desk: card(2), ..certificate.clone() }.holds());
    let other = Signer::from_seed(&[8; 32]);
    let claimed = DeskCertificate::sign(&other, &keys(1));
    assert!(!DeskCertificate { root: [0; 32], ..certificate.clone() }.holds());
    // Another root certifies a desk that stands under this one.
    let mut bytes = Vec::new();
    certificate.desk.encode(&mut bytes);
    let signature = other.sign(Domain::DeskCertificate, &bytes);
    assert!(!DeskCertificate { signature, desk: certificate.desk, ..claimed }.holds());
}
