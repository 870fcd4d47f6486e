//! Shamir's secret sharing over GF(256): A. Shamir, *How to Share a Secret*, 1979; the field, the
//! indices and the test case are those of draft-mcgrew-tss-03, which uses the field of AES
//! (FIPS 197, section 4).
//!
//! Each byte of the secret is the value at 0 of a polynomial of degree k - 1 whose other
//! coefficients are drawn at random; a share is its value at the share's index. Any k values
//! determine the polynomial; k - 1 of them fit every secret equally well.
//!
//! Arithmetic on secret bytes takes no table and no branch, so that neither a cache nor time tells
//! of them. Indices are public.

use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of the secret, and of each share.
pub(super) type Bytes = Zeroizing<[u8; 32]>;

/// The coefficients above the lowest, which is the secret: one for each point but the first that it
/// takes to find it.
pub(super) struct Polynomials<'a> {
    /// The values at 0.
    pub(super) secret: &'a [u8; 32],
    /// The other coefficients, from the lowest power up. All of them random.
    pub(super) higher: &'a [Bytes],
}

impl Polynomials<'_> {
    /// The values at an index, which is not 0.
    pub(super) fn at(&self, index: u8) -> Bytes {
        let mut values = Bytes::default();
        // Horner's rule, from the highest power down.
        for coefficient in self.higher.iter().rev() {
            for (value, coefficient) in values.iter_mut().zip(coefficient.iter()) {
                *value = times(*value ^ coefficient, index);
            }
        }
        for (value, lowest) in values.iter_mut().zip(self.secret) {
            *value ^= lowest;
        }
        values
    }
}

/// The values at `at` of the polynomials through these points, by Lagrange's formula. The points'
/// indices differ.
pub(super) fn interpolate(points: &[(u8, &[u8; 32])], at: u8) -> Bytes {
    let mut values = Bytes::default();
    for (own, point) in points {
        let mut weight = 1;
        for (other, _) in points.iter().filter(|(other, _)| other != own) {
            // Subtraction is addition in this field.
            weight = times(weight, times(at ^ other, inverse(own ^ other)));
        }
        for (value, byte) in values.iter_mut().zip(point.iter()) {
            let mut part = times(*byte, weight);
            *value ^= part;
            part.zeroize();
        }
    }
    values
}

/// The product in GF(256) modulo x^8 + x^4 + x^3 + x + 1.
const fn times(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a, b, 0);
    let mut bit = 0;
    while bit < 8 {
        product ^= a & (b & 1).wrapping_neg();
        let overflow = (a >> 7).wrapping_neg();
        a = (a << 1) ^ (overflow & 0x1b);
        b >>= 1;
        bit += 1;
    }
    product
}

/// The inverse, a^254; 0 for 0.
const fn inverse(a: u8) -> u8 {
    // 254 = 2 + 4 + 8 + 16 + 32 + 64 + 128.
    let (mut square, mut product) = (a, 1);
    let mut power = 0;
    while power < 7 {
        square = times(square, square);
        product = times(product, square);
        power += 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn multiplication_is_that_of_fips_197() {
        // FIPS 197, sections 4.2 and 4.2.1.
        assert_eq!(times(0x57, 0x83), 0xc1);
        assert_eq!(times(0x57, 0x13), 0xfe);
        assert_eq!(inverse(0x53), 0xca);
        for a in 1..=255 {
            assert_eq!(times(a, inverse(a)), 1, "{a}");
            assert_eq!((times(a, 1), times(a, 0)), (a, 0));
        }
    }

    fn padded(bytes: &[u8]) -> [u8; 32] {
        let mut all = [0; 32];
        all[..bytes.len()].copy_from_slice(bytes);
        all
    }

    /// draft-mcgrew-tss-03, section 9: the secret `74 65 73 74 00`, threshold 2, two shares.
    #[test]
    fn the_test_case_of_the_draft_holds() {
        let secret = padded(&[0x74, 0x65, 0x73, 0x74, 0x00]);
        let first = padded(&[0xb9, 0xfa, 0x07, 0xe1, 0x85]);
        let second = padded(&[0xf5, 0x40, 0x9b, 0x45, 0x11]);
        let points = [(1, &first), (2, &second)];
        assert_eq!(*interpolate(&points, 0), secret);
        // With the coefficient that the first share implies, the second follows.
        let mut higher = Bytes::default();
        for ((out, a), b) in higher.iter_mut().zip(secret).zip(first) {
            *out = a ^ b;
        }
        let polynomials = Polynomials { secret: &secret, higher: &[higher] };
        assert_eq!((*polynomials.at(1), *polynomials.at(2)), (first, second));
    }

    fn polynomials() -> impl Strategy<Value = ([u8; 32], Vec<[u8; 32]>)> {
        (any::<[u8; 32]>(), prop::collection::vec(any::<[u8; 32]>(), 1..8))
    }

    /// So many different indices.
    fn indices(count: usize) -> impl Strategy<Value = Vec<u8>> {
        prop::sample::subsequence((1..=255).collect::<Vec<u8>>(), count).prop_shuffle()
    }

    proptest! {
        #[test]
        fn any_k_points_restore_the_secret(
            ((secret, higher), chosen) in
                polynomials().prop_flat_map(|p| { let k = p.1.len() + 1; (Just(p), indices(k)) }),
        ) {
            let higher: Vec<Bytes> = higher.into_iter().map(Bytes::new).collect();
            let polynomials = Polynomials { secret: &secret, higher: &higher };
            let shares: Vec<(u8, Bytes)> =
                chosen.iter().map(|index| (*index, polynomials.at(*index))).collect();
            let points: Vec<(u8, &[u8; 32])> = shares.iter().map(|(i, b)| (*i, &**b)).collect();
            prop_assert_eq!(*interpolate(&points, 0), secret);
            // And any other point of the polynomials.
            prop_assert_eq!(&*interpolate(&points, 77), &*polynomials.at(77));
        }

        /// Whatever k - 1 shares say, for every secret there is exactly one set of coefficients
        /// that gives these very shares: they rule nothing out.
        #[test]
        fn k_less_one_points_fit_every_secret(
            ((secret, higher), chosen, other) in polynomials().prop_flat_map(|p| {
                let k = p.1.len() + 1;
                (Just(p), indices(k), any::<[u8; 32]>())
            }),
        ) {
            let higher: Vec<Bytes> = higher.into_iter().map(Bytes::new).collect();
            let polynomials = Polynomials { secret: &secret, higher: &higher };
            let held: Vec<(u8, Bytes)> =
                chosen.iter().skip(1).map(|index| (*index, polynomials.at(*index))).collect();
            // The polynomials through the held points and the other secret at 0 ...
            let mut points: Vec<(u8, &[u8; 32])> = held.iter().map(|(i, b)| (*i, &**b)).collect();
            points.push((0, &other));
            let missing = (chosen[0], interpolate(&points, chosen[0]));
            // ... give one value at the missing index, and with it the other secret.
            points.pop();
            points.push((missing.0, &missing.1));
            prop_assert_eq!(*interpolate(&points, 0), other);
        }
    }

    /// The same by counting, for one byte and a threshold of 2: over all 256 coefficients, a share
    /// takes every value exactly once, whatever the secret is.
    #[test]
    fn one_share_of_two_is_uniform_whatever_the_secret() {
        for secret in [0, 1, 0x5a, 255] {
            let mut seen = [0; 256];
            for coefficient in 0..=255 {
                let polynomials = Polynomials {
                    secret: &padded(&[secret]),
                    higher: &[Bytes::new(padded(&[coefficient]))],
                };
                seen[usize::from(polynomials.at(9)[0])] += 1;
            }
            assert_eq!(seen, [1; 256], "secret {secret}");
        }
    }
}
