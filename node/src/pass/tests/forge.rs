//! Each way to make a pass that this device did not mint, or that says more than it did.

use biscuit_auth::builder::Scope as BlockScope;
use biscuit_auth::format::schema;
use biscuit_auth::{Algorithm, PrivateKey};
use prost::Message as _;
use schema::proof::Content as Proof;

use super::*;

/// A pass narrowed twice, so that there is a block to lose in the middle.
fn sample() -> UnverifiedPass {
    let kinds = Narrowing { kinds: Some(BTreeSet::from([Kind::Sighting])), ..Narrowing::default() };
    let label = Narrowing { label_max: Some(Tlp::Green), ..Narrowing::default() };
    narrow(&narrowed(&minted(), &kinds), &label, &[5; 32]).unwrap()
}

fn opened(pass: &UnverifiedPass) -> schema::Biscuit {
    schema::Biscuit::decode(pass.bytes()).unwrap()
}

/// What becomes of a token that somebody put together.
fn tried(token: &schema::Biscuit) -> Result<Pass, PassFault> {
    UnverifiedPass::decode(token.encode_to_vec())?.verify(&key())
}

fn fault(token: &schema::Biscuit) -> PassFault {
    tried(token).unwrap_err()
}

#[test]
fn the_sample_is_good() {
    assert_eq!(verdict(&sample(), &request()), PassVerdict::Allowed);
    assert!(tried(&opened(&sample())).is_ok());
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let pass = sample();
    for at in 0..pass.bytes().len() {
        for bit in 0..8 {
            let mut bytes = pass.bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let outcome = UnverifiedPass::decode(bytes).and_then(|pass| pass.verify(&key()));
            assert!(outcome.is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn no_changed_character_goes_unnoticed() {
    let text = sample().to_text();
    for at in 0..text.len() {
        for with in ["A", "b", "_", "=", " "] {
            let mut changed = text.clone();
            changed.replace_range(at..=at, with);
            let outcome = UnverifiedPass::parse(&changed).and_then(|pass| pass.verify(&key()));
            assert!(changed == text || outcome.is_err(), "{with:?} at {at}");
        }
    }
}

#[test]
fn no_cut_and_no_addition_goes_unnoticed() {
    let pass = sample();
    for end in 0..pass.bytes().len() {
        let cut = UnverifiedPass::decode(pass.bytes()[..end].to_vec());
        assert!(cut.and_then(|pass| pass.verify(&key())).is_err(), "cut at {end}");
    }
    for more in [&[0][..], &[0x7a, 0], pass.bytes()] {
        assert!(UnverifiedPass::decode([pass.bytes(), more].concat()).is_err());
    }
    // A field that Biscuit does not know, which its parser would skip.
    let unknown = [pass.bytes(), &[0x7a, 1, b'x']].concat();
    assert_eq!(UnverifiedPass::decode(unknown).unwrap_err(), PassFault::Encoding);
}

#[test]
fn what_is_no_pass_at_all_is_refused() {
    for text in ["", " ", TEXT_PREFIX, "tearline-pass_!", "tearline-pass_AA=", "hello"] {
        assert!(UnverifiedPass::parse(text).is_err(), "{text:?}");
    }
    let text = sample().to_text();
    let bare = text.strip_prefix(TEXT_PREFIX).unwrap();
    assert_eq!(UnverifiedPass::parse(bare).unwrap_err(), PassFault::Text);
    assert_eq!(UnverifiedPass::parse(&format!("{text} ")).unwrap_err(), PassFault::Text);
    assert_eq!(UnverifiedPass::decode(Vec::new()).unwrap_err(), PassFault::Encoding);
}

#[test]
fn another_root_key_and_another_devices_pass_are_refused() {
    for other in [PassKey::derive(&[8; 32], 7), PassKey::derive(&[1; 32], 8)] {
        let theirs = mint(&other, &terms(), &held(Right::Admin), &[2; 32]).unwrap();
        assert_eq!(theirs.verify(&key()).unwrap_err(), PassFault::Signature);
        assert_eq!(minted().verify(&other).unwrap_err(), PassFault::Signature);
    }
    // Even with the right key, a pass acts through the device that it names and no other.
    let elsewhere = Standing { device: DeviceId([4; 32]), right: Some(Right::Admin) };
    let pass = verified(&minted());
    assert_eq!(
        check(&pass, &request(), &elsewhere, &BTreeSet::new(), &patient()),
        PassVerdict::Denied(Denial::OtherDevice)
    );
}

#[test]
fn a_block_cannot_be_taken_out_moved_or_repeated() {
    let good = opened(&sample());
    let mut bad = vec![good.clone(); 6];
    bad[0].blocks.remove(0);
    bad[1].blocks.remove(1);
    bad[2].blocks.clear();
    bad[3].blocks.swap(0, 1);
    bad[4].blocks.push(good.blocks[1].clone());
    bad[5].authority = good.blocks[0].clone();
    for (which, token) in bad.iter().enumerate() {
        assert!(tried(token).is_err(), "{which}");
        // Whatever the vocabulary makes of it: the chain of signatures does not hold either.
        let chain = Biscuit::from(token.encode_to_vec(), key().verifier().unwrap());
        assert!(chain.is_err(), "{which}");
    }
}

#[test]
fn blocks_of_two_passes_do_not_mix() {
    let mut other = terms();
    other.id = PassId([8; 16]);
    let other = mint(&key(), &other, &held(Right::Admin), &[6; 32]).unwrap();
    let mut token = opened(&sample());
    token.authority = opened(&other).authority;
    assert_eq!(fault(&token), PassFault::Signature);
    let mut token = opened(&sample());
    token.blocks[1] = opened(&sample()).blocks[0].clone();
    assert!(tried(&token).is_err());
}

#[test]
fn the_holder_cannot_put_another_proof_or_another_key_in() {
    let mut token = opened(&sample());
    token.proof.content = Some(Proof::NextSecret(vec![7; 32]));
    assert_eq!(fault(&token), PassFault::Signature);
    token.proof.content = None;
    assert_eq!(fault(&token), PassFault::Malformed);
    let sealed = odd_first(|same| same).seal().unwrap();
    assert_eq!(decoded(&sealed).unwrap_err(), PassFault::Sealed);
    // A P-256 key would do for Biscuit. Its signatures can be changed into others that hold, so a
    // revoked block could come back under another name.
    let p256 = PrivateKey::from_bytes(&[7; 32], Algorithm::Secp256r1).unwrap();
    let block = BlockBuilder::new().check("check if kind($x), {13}.contains($x)").unwrap();
    let token = odd_first(|same| same).append_with_keypair(&KeyPair::from(&p256), block).unwrap();
    assert_eq!(decoded(&token).unwrap_err(), PassFault::Algorithm { block: 1 });
    let mut hinted = opened(&sample());
    hinted.root_key_id = Some(1);
    assert_eq!(fault(&hinted), PassFault::Encoding);
}

#[test]
fn a_third_party_block_is_refused() {
    let token = odd_first(|same| same);
    let theirs = key_pair(&[7; 32]).unwrap();
    let block = BlockBuilder::new().check("check if kind($x), {13}.contains($x)").unwrap();
    let signed = token.third_party_request().unwrap().create_block(&theirs.private(), block);
    let token = token.append_third_party(theirs.public(), signed.unwrap()).unwrap();
    assert!(Biscuit::from(token.to_vec().unwrap(), key().verifier().unwrap()).is_ok());
    assert_eq!(decoded(&token).unwrap_err(), PassFault::ThirdParty { block: 1 });
}

/// Facts that would widen a pass, were they believed, in a block that its holder appends.
const WIDENING: [&str; 4] = [
    "right(2); operations({\"read\", \"search\", \"export\", \"write\", \"import\"});",
    "label_max(4); kinds({1, 13, 17}); pass(hex:00); needs(1); label(0);",
    "standing(2); this_device(hex:0303); now(2027-01-20T00:00:00Z);",
    "right($r) <- needs($r); compartments({hex:a3, hex:a4}) <- pass($p);",
];

#[test]
fn appended_facts_are_refused_and_would_not_count() {
    let outside = [
        Request { operation: Operation::Export, ..request() },
        Request { kind: Kind::Person, ..request() },
        Request { label: Some(Tlp::Red), ..request() },
        Request { compartment: ELSEWHERE, ..request() },
    ];
    for code in WIDENING {
        let token = odd_block(code);
        let refused = decoded(&token).unwrap_err();
        assert!(matches!(refused, PassFault::Vocabulary { block: 1, .. }), "{refused:?}");
        // The fence behind the vocabulary: the evaluator does not believe them either.
        for request in &outside {
            let run = evaluate(&token, request, &here(Right::Admin), &patient());
            assert!(matches!(run, Err(Stop::Denial(Denial::Outside { .. }))), "{code} {run:?}");
        }
        let lost = Standing { device: DEVICE, right: None };
        let run = evaluate(&token, &request(), &lost, &patient());
        assert_eq!(run, Err(Stop::Denial(Denial::Standing)), "{code}");
    }
}

#[test]
fn only_the_vocabulary_is_evaluated() {
    for code in [
        "check if true;",
        "check if kind($x), $x == 13;",
        "check if kind(13);",
        "check if kind($x), {13}.contains($x), true;",
        "check if kind($x), label($y), $x <= $y;",
        "check if kind($x), {13}.contains($x) or label($y), $y <= 4;",
        "check all kind($x), {13}.contains($x);",
        "reject if kind($x), {13}.contains($x);",
        "check if operation($x), $x.matches(\"r.*\");",
        "check if operation($x), {\"fly\"}.contains($x);",
        "check if holder($x), {\"me\"}.contains($x);",
        "check if needs($x), $x <= 3;",
        "check if label($x), $x <= 5;",
        "check if label($x), $x < 4;",
        "check if kind($x), {29}.contains($x);",
        "check if compartment($x), {hex:00, hex:01}.contains($x);",
        "check if now($x), $x >= 5;",
        "check if kind($x), {13}.contains($x) trusting previous;",
        "check if kind($x), {13}.contains($x); check if kind($x), {17}.contains($x);",
        "check if kind($x), {13}.contains($x); check if needs($x), $x <= 1;",
        "allowed(true) <- kind($x);",
    ] {
        let refused = decoded(&odd_block(code)).unwrap_err();
        assert!(matches!(refused, PassFault::Vocabulary { block: 1, .. }), "{code} {refused:?}");
    }
    for block in [
        BlockBuilder::new().scope(BlockScope::Previous),
        BlockBuilder::new().context("note".to_owned()),
    ] {
        let block = block.check("check if kind($x), {13}.contains($x)").unwrap();
        let token = odd_first(|same| same).append_with_keypair(&next_key(), block).unwrap();
        let refused = decoded(&token).unwrap_err();
        assert!(matches!(refused, PassFault::Vocabulary { block: 1, .. }), "{refused:?}");
    }
    let nothing = decoded(&odd_block("")).unwrap_err();
    let why = ScopeError::Nothing("limit");
    assert_eq!(nothing, PassFault::Narrowing { block: 1, why });
    let good = "check if kind($any), {13, 17}.contains($any); check if label($l), $l <= 1;";
    assert!(decoded(&odd_block(good)).unwrap().verify(&key()).is_ok(), "any tool can write it");
}

#[test]
fn a_first_block_says_the_terms_and_nothing_else() {
    type More = fn(BiscuitBuilder) -> BiscuitBuilder;
    let odd: [More; 6] = [
        |b| b.fact("right(1)").unwrap(),
        |b| b.fact("extra(1)").unwrap(),
        |b| b.rule("right($x) <- needs($x)").unwrap(),
        |b| b.check("check if true").unwrap(),
        |b| b.context("note".to_owned()),
        |b| b.scope(BlockScope::Previous),
    ];
    for (which, more) in odd.into_iter().enumerate() {
        let refused = decoded(&odd_first(more)).unwrap_err();
        assert!(matches!(refused, PassFault::Vocabulary { block: 0, .. }), "{which} {refused:?}");
    }
    let root = key().pair().unwrap();
    let empty = Biscuit::builder().build_with_key_pair(&root, SymbolTable::new(), &next_key());
    let refused = decoded(&empty.unwrap()).unwrap_err();
    assert!(matches!(refused, PassFault::Vocabulary { block: 0, .. }), "{refused:?}");
}

#[test]
fn terms_beyond_a_bound_are_refused_whoever_signed_them() {
    let mut long = terms();
    long.scope.not_after = Second(MINTED.0 + VALID_DAYS_MAX * DAY_S + 1);
    let mut builder = Biscuit::builder();
    for fact in vocabulary::facts(&long) {
        builder = builder.fact(fact).unwrap();
    }
    let root = key().pair().unwrap();
    let token = builder.build_with_key_pair(&root, SymbolTable::new(), &next_key()).unwrap();
    assert_eq!(decoded(&token).unwrap_err(), PassFault::Terms(TermsError::TooLong));
}
