//! Any k of n, typed by hand, rebuild the root; anything else is refused with its reason.

use proptest::prelude::*;

use super::*;

fn agency(name: &str) -> Agency {
    Agency::generate(name, "NE").unwrap()
}

fn named(shares: Vec<Share>) -> Vec<(String, Share)> {
    shares.into_iter().map(|share| (format!("file {}", share.index), share)).collect()
}

fn again(share: &Share) -> Share {
    Share::from_text(&share.to_text()).unwrap()
}

fn pick(shares: &[Share], indices: &[u8]) -> Vec<(String, Share)> {
    let find = |index: &u8| again(shares.iter().find(|share| share.index == *index).unwrap());
    named(indices.iter().map(find).collect())
}

#[test]
fn every_three_of_five_rebuild_the_root_and_two_do_not() {
    let agency = agency("Garde nationale");
    let shares = split(&agency, 3, 5).unwrap();
    for (a, b, c) in (1..=5).flat_map(|a| {
        (1..=5)
            .flat_map(move |b| (1..=5).map(move |c| (a, b, c)))
            .filter(|(a, b, c)| a != b && b != c && a != c)
    }) {
        let rebuilt = join(&pick(&shares, &[a, b, c])).unwrap();
        assert_eq!(rebuilt.root_seed, agency.root_seed);
        assert_eq!((rebuilt.name.as_str(), rebuilt.country.as_str()), ("Garde nationale", "NE"));
    }
    assert!(join(&pick(&shares, &[1, 2, 3, 4, 5])).is_ok());
    let few = join(&pick(&shares, &[1, 2])).unwrap_err();
    assert_eq!(few, JoinError::TooFew { have: 2, need: 3 });
    assert_eq!(few.failure().kind, Kind::Incomplete);
    assert_eq!(join(&[]).unwrap_err(), JoinError::TooFew { have: 0, need: 2 });
}

#[test]
fn what_does_not_go_together_is_named() {
    let (own, other) = (agency("A"), agency("A"));
    let (shares, others) = (split(&own, 2, 3).unwrap(), split(&other, 2, 3).unwrap());
    let second = split(&own, 2, 3).unwrap();
    let pair =
        |one: &Share, two: &Share| vec![("one".into(), again(one)), ("two".into(), again(two))];
    let refused = join(&pair(&shares[0], &others[1])).unwrap_err();
    assert!(matches!(&refused, JoinError::OtherRoot { name, .. } if name == "two"), "{refused}");
    let refused = join(&pair(&shares[0], &second[1])).unwrap_err();
    assert!(matches!(&refused, JoinError::OtherSplit { .. }), "{refused}");
    let refused = join(&pair(&shares[0], &shares[0])).unwrap_err();
    assert!(matches!(&refused, JoinError::Duplicate { index: 1, .. }), "{refused}");
    assert_eq!(refused.failure().kind, Kind::Usage);
}

#[test]
fn a_share_that_was_forged_under_a_good_checksum_is_found() {
    let own = agency("A");
    let shares = split(&own, 2, 3).unwrap();
    let mut forged = again(&shares[2]);
    forged.value[5] ^= 1;
    let with = |indices: &[u8]| {
        let mut given = pick(&shares, indices);
        given.push(("forged".into(), again(&forged)));
        join(&given).unwrap_err()
    };
    assert_eq!(with(&[1, 2]), JoinError::Misfit { name: "forged".into() });
    assert_eq!(with(&[1, 3]), JoinError::Misfit { name: "forged".into() });
    assert_eq!(with(&[1]), JoinError::WrongRoot(Fingerprint::of(&own)));
}

#[test]
fn lines_of_two_shares_do_not_make_one() {
    let shares = split(&agency("A"), 2, 2).unwrap();
    let lines = |share: &Share| -> Vec<String> {
        share.to_text().lines().filter(|line| line.contains(": ")).map(str::to_owned).collect()
    };
    let (first, second) = (lines(&shares[0]), lines(&shares[1]));
    for at in 0..first.len() {
        let mut mixed = first.clone();
        mixed[at].clone_from(&second[at]);
        if mixed != first {
            let refused = Share::from_text(&mixed.join("\n")).unwrap_err();
            assert_eq!(refused, ShareError::Checksum, "line {}", at + 1);
        }
    }
    let cut = Share::from_text(&first[..first.len() - 1].join("\n")).unwrap_err();
    assert!(matches!(cut, ShareError::Malformed(_)), "{cut}");
}

#[test]
fn thresholds_and_counts_have_bounds() {
    let own = agency(&"n".repeat(NAME_BYTES_MAX));
    for (threshold, count) in [(2, 2), (2, 16), (16, 16)] {
        let shares = split(&own, threshold, count).unwrap();
        assert!(shares.iter().all(|share| share.encode().len() <= SHARE_BYTES_MAX));
        assert_eq!(join(&named(shares)).unwrap().root_seed, own.root_seed);
    }
    for (threshold, count) in [(0, 5), (1, 5), (3, 2), (2, 17), (17, 17)] {
        assert!(split(&own, threshold, count).is_err(), "{threshold} of {count}");
    }
}

#[test]
fn a_share_says_what_it_is_and_hides_its_value() {
    let own = agency("Garde nationale");
    let share = &split(&own, 3, 5).unwrap()[1];
    let text = share.to_text();
    assert!(text.starts_with("Tearline recovery share 2 of 5. Any 3 of them rebuild"), "{}", *text);
    assert!(text.contains(&Fingerprint::of(&own).to_string()));
    assert!(text.lines().all(|line| line.len() <= 80), "{}", *text);
    assert!(format!("{share:?}").ends_with("hidden)"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_text_panics(text in "[0-9A-Z: \n-]{0,400}") {
        let _ = Share::from_text(&text);
    }
}
