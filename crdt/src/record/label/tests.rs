//! Labels: their join, their forms, and what is refused.

use proptest::collection::btree_set;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::codec::{DecodeError, Reader};
use crate::record::vocabulary::Vocabulary;

fn words<V: Vocabulary>(max: usize) -> impl Strategy<Value = BTreeSet<V>> {
    btree_set(select(V::ALL), 0..=max)
}

fn any_day() -> impl Strategy<Value = Day> {
    (0..=Day::MAX.number()).prop_map(|days| Day::from_number(days).unwrap())
}

fn any_grading() -> impl Strategy<Value = Grading> {
    prop_oneof![
        (select(AdmiraltySource::ALL), select(AdmiraltyInformation::ALL))
            .prop_map(|(source, information)| Grading::Admiralty(source, information)),
        (select(EuropolSource::ALL), select(EuropolInformation::ALL))
            .prop_map(|(source, information)| Grading::Europol(source, information)),
    ]
}

fn texts() -> impl Strategy<Value = BTreeSet<String>> {
    let text = "[A-Za-z0-9\"\\\\=,:é]([A-Za-z0-9 \"\\\\=,:é]{0,20}[A-Za-z0-9\"\\\\=,:é])?";
    btree_set(text, 0..=9)
}

fn any_label() -> impl Strategy<Value = Label> {
    let known = (
        (select(Tlp::ALL), select(Pap::ALL), words(4), option::of(words(5))),
        (btree_set(any_grading(), 0..=9), texts(), words(3), words(3)),
        (option::of(any_day()), option::of(any_day()), texts()),
    )
        .prop_map(
            |(
                (tlp, pap, handling, purposes),
                (grading, legal_basis, categories, special),
                dates,
            )| {
                let (review_by, expires, caveats) = dates;
                Label {
                    unknown: false,
                    tlp,
                    pap,
                    handling,
                    purposes,
                    grading,
                    legal_basis,
                    categories,
                    special_categories: special,
                    review_by,
                    expires,
                    caveats,
                }
            },
        );
    prop_oneof![
        12 => known,
        1 => Just(Label::most_restrictive()),
        1 => Just(Label::unrestricted()),
    ]
}

fn decode(bytes: &[u8]) -> Result<Label, DecodeError> {
    let mut reader = Reader::new(bytes);
    let label = Label::decode(&mut reader)?;
    reader.finish()?;
    Ok(label)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn join_is_a_semilattice(a in any_label(), b in any_label(), c in any_label()) {
        prop_assert_eq!(a.join(&b).join(&c), a.join(&b.join(&c)));
        prop_assert_eq!(a.join(&b), b.join(&a));
        prop_assert_eq!(a.join(&a), a.clone());
        prop_assert_eq!(a.join(&Label::unrestricted()), a.clone());
        prop_assert_eq!(a.join(&Label::most_restrictive()), Label::most_restrictive());
    }

    #[test]
    fn a_join_allows_nothing_that_either_forbids(a in any_label(), b in any_label()) {
        let both = a.join(&b);
        prop_assert!(both.is_at_least(&a) && both.is_at_least(&b));
        prop_assert!(both.tlp >= a.tlp && both.pap >= a.pap);
        prop_assert!(both.handling.is_superset(&a.handling));
        for &purpose in Purpose::ALL {
            prop_assert!(!both.allows(purpose) || (a.allows(purpose) && b.allows(purpose)));
        }
        if !both.unknown {
            for day in [a.expires, b.expires].into_iter().flatten() {
                prop_assert!(both.is_expired(day));
            }
            prop_assert!(both.caveats.is_superset(&a.caveats));
        }
    }

    #[test]
    fn every_form_reads_back(label in any_label()) {
        let bytes = label.encode();
        prop_assert!(bytes.len() <= LABEL_BYTES_MAX);
        prop_assert_eq!(decode(&bytes), Ok(label.clone()));
        prop_assert_eq!(Label::decode_or_most_restrictive(&bytes), label.clone());
        prop_assert_eq!(label.to_string().parse(), Ok(label.clone()), "{}", label);
        let json = serde_json::to_string(&label).unwrap();
        prop_assert_eq!(serde_json::from_str::<Label>(&json).unwrap(), label);
    }

    #[test]
    fn hostile_bytes_are_refused_or_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(label) = decode(&bytes) {
            prop_assert_eq!(label.encode(), bytes);
        } else {
            prop_assert_eq!(Label::decode_or_most_restrictive(&bytes), Label::most_restrictive());
        }
    }

    #[test]
    fn a_damaged_label_is_refused_or_canonical(label in any_label(), at in any::<usize>(), byte: u8) {
        let mut bytes = label.encode();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(label) = decode(&bytes) {
            prop_assert_eq!(label.encode(), bytes);
        }
        let cut = &label.encode()[..at];
        prop_assert!(decode(cut).is_err());
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "(?s).{0,80}") {
        let _ = text.parse::<Label>();
    }

    #[test]
    fn the_effective_label_does_not_depend_on_order_and_only_a_release_loosens(
        labels in proptest::collection::vec(any_label(), 1..6),
        more in any_label(),
        released in any_label(),
        cited: u8,
    ) {
        let statements: Vec<_> =
            labels.iter().enumerate().map(|(i, label)| (EntryId([i as u8; 32]), label)).collect();
        let release = Release {
            entry: EntryId([8; 32]),
            cites: (0..8).filter(|i| cited >> i & 1 == 1).map(|i| EntryId([i; 32])).collect(),
            label: released,
        };
        let more = (EntryId([9; 32]), &more);
        for releases in [&[][..], &[release]] {
            let before = effective(statements.iter().copied(), releases);
            prop_assert_eq!(&before, &effective(statements.iter().rev().copied(), releases));
            let after = effective(statements.iter().copied().chain([more]), releases);
            prop_assert!(after.is_at_least(&before));
        }
    }
}

/// The largest label there can be, or one text more of each.
fn large(extra: usize) -> Label {
    let texts = |c: char| -> BTreeSet<String> {
        (0..LABEL_TEXTS_MAX + extra)
            .map(|i| format!("{i:02}{}", c.to_string().repeat(LABEL_TEXT_BYTES_MAX - 2)))
            .collect()
    };
    let grading = AdmiraltySource::ALL
        .iter()
        .flat_map(|&s| AdmiraltyInformation::ALL.iter().map(move |&i| Grading::Admiralty(s, i)))
        .take(LABEL_GRADINGS_MAX)
        .collect();
    Label {
        unknown: false,
        tlp: Tlp::Red,
        pap: Pap::Red,
        handling: HandlingCode::ALL.iter().copied().collect(),
        purposes: Some(Purpose::ALL.iter().copied().collect()),
        grading,
        legal_basis: texts('l'),
        categories: DataSubject::ALL.iter().copied().collect(),
        special_categories: SpecialCategory::ALL.iter().copied().collect(),
        review_by: Some(Day::MAX),
        expires: Some(Day::MAX),
        caveats: texts('c'),
    }
}

#[test]
fn the_largest_label_fits_and_one_text_more_is_most_restrictive() {
    let label = large(0);
    assert_eq!(label.encode().len(), LABEL_BYTES_MAX);
    assert_eq!(decode(&label.encode()), Ok(label.clone()));
    assert_eq!(label.join(&label), label);

    let over = large(1);
    assert_eq!(decode(&over.encode()), Ok(Label::most_restrictive()));
    assert_eq!(over.join(&Label::unrestricted()), Label::most_restrictive());
    let text = over.to_string();
    assert!(matches!(text.parse::<Label>(), Err(ParseLabelError::TooMany { max: 16, .. })));
    assert!(serde_json::from_value::<Label>(serde_json::to_value(&over).unwrap()).is_err());
}

#[test]
fn unknown_label_is_most_restrictive() {
    let unknown = Label::most_restrictive();
    // Nothing is known of it; of another version; and joined with one that is known.
    assert_eq!(effective([], &[]), unknown);
    let mut later = Label::unrestricted().encode();
    later[0] = 200;
    let read = Label::decode_or_most_restrictive(&later);
    assert_eq!(read, unknown);
    let known: Label = "TLP:CLEAR".parse().unwrap();
    let statements = [(EntryId([1; 32]), &known), (EntryId([2; 32]), &read)];
    assert_eq!(effective(statements, &[]), unknown);
    assert_eq!((unknown.tlp, unknown.pap), (Tlp::Red, Pap::Red));
}

#[test]
fn a_plain_label_is_short_on_the_wire() {
    let label: Label =
        "TLP:AMBER+STRICT PAP:GREEN H2 purpose=BorderOperation review 2027-01-01".parse().unwrap();
    assert_eq!(label.encode(), [0x89, 0b1110, 4, 2, 0xd3, 0xa2, 1]);
    let label: Label = "TLP:AMBER".parse().unwrap();
    assert_eq!(label.encode(), [3]);
}

#[test]
fn unknown_words_bits_and_parts_are_refused() {
    assert_eq!(decode(&[3]).unwrap().tlp, Tlp::Amber);
    assert_eq!(decode(&[20]).unwrap().pap, Pap::Red);
    for (bad, at, what) in [
        (&[21][..], 0, "label's colours"),
        (&[0x80], 0, "label's colours"),
        (&[0x83, 0], 1, "label's parts"),
        (&[0x83, 0x80, 4], 1, "label's parts"),
        (&[0x83, 1, 0], 2, "grading"),
        (&[0x83, 2, 16], 2, "handling codes"),
        (&[0x83, 2, 0], 2, "handling codes"),
        (&[0x83, 4, 0x80, 0x80, 0x80, 8], 2, "purposes"),
        (&[0x83, 32, 0], 2, "legal basis"),
        (&[0x83, 64, 0], 2, "caveat"),
        (&[0x83, 0x80, 1, 64], 3, "data-subject categories"),
        (&[0x83, 0x80, 2, 0], 3, "special categories"),
    ] {
        assert_eq!(decode(bad), Err(DecodeError::Invalid { at, what }), "{bad:?}");
        assert_eq!(Label::decode_or_most_restrictive(bad), Label::most_restrictive());
    }
    assert!(decode(&[0x83, 4, 0]).unwrap().purposes.unwrap().is_empty());
    assert!(matches!(decode(&[3, 0]), Err(DecodeError::Trailing { count: 1, .. })));
}

#[test]
fn a_release_lifts_what_it_cites_and_nothing_else() {
    let entry = |n: u8| EntryId([n; 32]);
    let label = |text: &str| text.parse::<Label>().unwrap();
    let (red, amber, caveat) =
        (label("TLP:RED"), label("TLP:AMBER"), label("TLP:CLEAR caveat=\"REL NE\""));
    let statements = [(entry(1), &red), (entry(2), &amber), (entry(3), &caveat)];
    assert_eq!(effective(statements, &[]).to_string(), "TLP:RED caveat=\"REL NE\"");

    let release = |n: u8, cites: &[u8], text: &str| Release {
        entry: entry(n),
        cites: cites.iter().map(|&n| entry(n)).collect(),
        label: label(text),
    };
    let first = release(4, &[1], "TLP:GREEN");
    assert_eq!(
        effective(statements, std::slice::from_ref(&first)).to_string(),
        "TLP:AMBER caveat=\"REL NE\""
    );
    // A later release lifts the first one and its label with it.
    let second = release(5, &[2, 4], "TLP:CLEAR");
    assert_eq!(effective(statements, &[first, second]).to_string(), "TLP:CLEAR caveat=\"REL NE\"");

    assert_eq!(effective([], &[]), Label::most_restrictive());
}

#[test]
fn the_short_form_says_what_is_wrong() {
    let error = |text: &str| text.parse::<Label>().unwrap_err().to_string();
    assert_eq!(error(""), "a label needs a TLP colour, such as TLP:AMBER");
    assert_eq!(error("TLP:AMBER TLP:RED"), "TLP is given twice; give it once");
    assert!(error("TLP:PINK").starts_with("\"PINK\": not a TLP colour; one of: CLEAR"));
    assert!(error("TLP:RED NOFORN").starts_with("\"NOFORN\" is no part of a label"));
    assert!(error("TLP:RED review tomorrow").starts_with("\"tomorrow\": not a day"));
    assert!(error("TLP:RED review").starts_with("\"\": not a day"));
    assert!(error("TLP:RED grade=Z9").starts_with("\"Z9\": not a grading"));
    assert!(error("TLP:RED caveat=").contains("1 to 80 bytes"));
    assert_eq!(error("TLP:RED caveat=\"x"), "a double quote is not closed");

    let label: Label = "tlp:amber h1 purpose=none grade=4x4:x4 GRADE=b2 expires=2030-01-01 \
                        subject=victim"
        .parse()
        .unwrap();
    assert!(Purpose::ALL.iter().all(|&purpose| !label.allows(purpose)));
    assert_eq!(
        label.to_string(),
        "TLP:AMBER H1 purpose=none grade=B2 grade=4x4:X4 subject=victim expires 2030-01-01"
    );
}

#[test]
fn json_that_is_not_understood_is_refused() {
    let parse = |text: &str| serde_json::from_str::<Label>(text);
    assert!(parse(r#"{"tlp":"AMBER","pap":"CLEAR"}"#).is_ok());
    for bad in [
        r#"{}"#,
        r#"{"tlp":"AMBER"}"#,
        r#"{"tlp":"amber","pap":"CLEAR"}"#,
        r#"{"tlp":"AMBER","pap":"CLEAR","noforn":true}"#,
        r#"{"tlp":"AMBER","pap":"CLEAR","caveats":[""]}"#,
        r#"{"tlp":"AMBER","pap":"CLEAR","caveats":["REL \u202eEN"]}"#,
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    assert_eq!(
        parse(r#"{"unknown":true,"tlp":"CLEAR","pap":"CLEAR"}"#).unwrap(),
        Label::most_restrictive()
    );
}

#[test]
fn dates_count_from_the_day_itself() {
    let label: Label = "TLP:RED review 2027-01-01 expires 2028-01-01".parse().unwrap();
    let day = |text: &str| text.parse::<Day>().unwrap();
    assert!(!label.is_review_due(day("2026-12-31")) && label.is_review_due(day("2027-01-01")));
    assert!(!label.is_expired(day("2027-12-31")) && label.is_expired(day("2028-01-01")));
    assert!(!Label::most_restrictive().is_expired(Day::MAX));
}
