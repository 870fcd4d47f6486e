//! What an epoch costs for each device that may read it: sealing its secret to the device, and there
//! opening it. Prints microseconds, the median of rounds, beside the limit: the sum of the primitives
//! that cannot be left out, measured in the same run.
//!
//! `cargo bench -p tearline-crdt --bench secret_box`

use std::hint::black_box;

use tearline_crdt::keys::{DeviceKeys, KEM_CIPHERTEXT_BYTES, ephemeral_agree};
use tearline_crdt::seal::{BOX_BYTES, Key, SecretBox, derive, open, seal};

/// Bytes of the derivation's info: label, keys, ciphertext, hash, context.
const INFO_BYTES: usize = 32 + 32 + 32 + KEM_CIPHERTEXT_BYTES + 32 + 64;

const ROUNDS: usize = 21;
const CALLS: u32 = 100;

/// The time of one call in nanoseconds.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn time<T>(mut call: impl FnMut() -> T) -> u128 {
    let mut rounds: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let start = std::time::Instant::now();
            for _ in 0..CALLS {
                black_box(call());
            }
            start.elapsed().as_nanos() / u128::from(CALLS)
        })
        .collect();
    rounds.sort_unstable();
    rounds.get(ROUNDS / 2).copied().unwrap_or(0)
}

fn primitive<T>(what: &str, call: impl FnMut() -> T) -> u128 {
    let nanos = time(call);
    println!("{} us    {what}", micros(nanos));
    nanos
}

fn whole<T>(what: &str, limit: u128, call: impl FnMut() -> T) {
    let nanos = time(call);
    let (limit, share) = (micros(limit), limit * 100 / nanos.max(1));
    println!("{} us  {what}; its limit {} us, {share} % of it", micros(nanos), limit.trim());
}

fn micros(nanos: u128) -> String {
    format!("{:>7}.{}", nanos / 1_000, nanos % 1_000 / 100)
}

fn main() {
    let keys = DeviceKeys::from_seeds(&[1; 32], &[2; 32]);
    let (card, kem) = (keys.card([3; 32]), keys.kem_key());
    let (context, secret, entropy) = ([4; 64], [5; 32], [6; 64]);
    println!("a box of {BOX_BYTES} bytes");
    let make = || SecretBox::seal(&card, kem, &context, &secret, &entropy).expect("it is sealed");
    let made = make();

    let hash = primitive("SHA-256 of the ML-KEM key", || kem.hash());
    let info = [7; INFO_BYTES];
    let key = primitive("HKDF-SHA-256", || -> Key { derive(&[8; 64], &[], &[&info]) });
    let cipher =
        primitive("AES-256-GCM-SIV, to seal", || seal(&[9; 32], &[0; 12], &[1; 32], &secret));
    let agree = primitive("X25519, twice", || ephemeral_agree(&[6; 32], &card.agreement));
    let encapsulate = primitive("ML-KEM-768, to encapsulate", || kem.encapsulate(&[6; 32]));
    whole("sealed to a device", hash + key + cipher + agree + encapsulate, make);

    let (ephemeral, _) = ephemeral_agree(&[6; 32], &card.agreement).expect("a sound key");
    let (ciphertext, _) = kem.encapsulate(&[6; 32]).expect("a sound key");
    let sealed = seal(&[9; 32], &[0; 12], &[1; 32], &secret);
    let plain =
        primitive("AES-256-GCM-SIV, to open", || open(&[9; 32], &[0; 12], &[1; 32], &sealed));
    let agree = primitive("X25519, once", || keys.agree(&ephemeral));
    let decapsulate = primitive("ML-KEM-768, to decapsulate", || keys.decapsulate(&ciphertext));
    whole("opened there", hash + key + plain + agree + decapsulate, || {
        made.open(&keys, &context).expect("it opens")
    });
}
