//! One-time codes of a phone or a token: TOTP (RFC 6238) with HMAC-SHA-1, six digits and steps of 30 s, the
//! one form that every authenticator knows. SHA-1's collisions do not touch HMAC (RFC 6151 says so of MD5,
//! whose are worse).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// Bytes of a secret: as many as the hash has (RFC 4226, section 4, R6).
pub(super) const SECRET_BYTES: usize = 20;
/// Seconds of a step.
pub(super) const STEP_S: u64 = 30;
/// Steps by which a clock may be ahead or behind.
const DRIFT_STEPS: u64 = 1;
/// A code has six digits.
const CODES: u32 = 1_000_000;

/// The step whose code this is, if it is the code of one near now that comes after `last`: no code is taken
/// twice (RFC 6238, section 5.2).
pub(super) fn step_of(secret: &[u8], code: &str, now_s: u64, last: u64) -> Option<u64> {
    let now = now_s / STEP_S;
    let digits = code.bytes().filter(|byte| *byte != b' ');
    let steps = now.saturating_sub(DRIFT_STEPS)..=now.saturating_add(DRIFT_STEPS);
    let matches = |step: &u64| format!("{:06}", code_at(secret, *step)).bytes().eq(digits.clone());
    steps.filter(|step| *step > last).find(matches)
}

/// HOTP (RFC 4226, section 5.3) of a step.
pub(super) fn code_at(secret: &[u8], step: u64) -> u32 {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else { return 0 };
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = hash.last().map_or(0, |last| usize::from(last & 0x0f));
    let four = hash.get(at..at + 4).and_then(|four| four.try_into().ok()).unwrap_or_default();
    (u32::from_be_bytes(four) & 0x7fff_ffff) % CODES
}

/// A secret as people type it: base32 (RFC 4648) without padding.
pub(super) fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::new();
    for chunk in bytes.chunks(5) {
        let mut five = [0; 8];
        for (to, from) in five.iter_mut().skip(3).zip(chunk) {
            *to = *from;
        }
        let bits = u64::from_be_bytes(five);
        let letters = (chunk.len() * 8).div_ceil(5);
        for n in 0..letters {
            let at = usize::try_from(bits >> (35 - 5 * n) & 0x1f).unwrap_or_default();
            text.extend(LETTERS.get(at).map(|letter| char::from(*letter)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    /// RFC 6238, appendix B, the rows of SHA-1, to six digits.
    #[test]
    fn codes_are_those_of_rfc_6238() {
        for (time_s, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(step_of(SECRET, code, time_s, 0), Some(time_s / STEP_S), "{time_s}");
        }
    }

    #[test]
    fn a_code_is_taken_once_and_near_its_time() {
        let step = 59 / STEP_S;
        assert_eq!(step_of(SECRET, "287 082", 59 + STEP_S, 0), Some(step));
        assert_eq!(step_of(SECRET, "287082", 59 + 2 * STEP_S, 0), None);
        assert_eq!(step_of(SECRET, "287082", 59, step), None);
        for wrong in ["", "28708", "2870820", "287083", "+87082", "２８７０８２"] {
            assert_eq!(step_of(SECRET, wrong, 59, 0), None, "{wrong}");
        }
    }

    /// RFC 4648, section 10, without padding.
    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }
}
