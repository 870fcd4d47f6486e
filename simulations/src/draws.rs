//! Random numbers of one seed, in streams that do not disturb each other.
//!
//! Each purpose (the contacts of link 7, the work of a group, the keys of a device) draws from a stream of
//! its own, begun from the hash of seed, purpose and number. So one more draw in one place shifts nothing
//! elsewhere, and a fault that is taken out of a run leaves the rest of it alone.

use tearline_crdt::entropy::Entropy;
use tearline_crdt::hash::sha256;

/// A stream: xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number generators").
#[derive(Clone, Debug)]
pub struct Draws([u64; 4]);

impl Draws {
    /// The stream of a seed for one purpose.
    #[must_use]
    pub fn of(seed: u64, purpose: &str, number: u64) -> Self {
        let mut state = [0; 4];
        let begin = [&seed.to_be_bytes()[..], &number.to_be_bytes(), purpose.as_bytes()].concat();
        for (word, bytes) in state.iter_mut().zip(sha256(&begin).chunks(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        // All zero would stay zero.
        state[0] |= 1;
        Self(state)
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let drawn = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ b << 17, d.rotate_left(45)];
        drawn
    }

    /// A number below `n`, and 0 below 0. By multiplication: the bias is below n / 2^64.
    pub const fn below(&mut self, n: u64) -> u64 {
        ((self.next() as u128 * n as u128) >> 64) as u64
    }

    /// A number from `least` to `most`.
    pub const fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    /// A number from 0 to below 1.
    pub const fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A time until the next event of a Poisson process.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        (-(1.0 - self.unit()).ln() * mean as f64) as u64
    }
}

impl Entropy for Draws {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.next().to_be_bytes();
            chunk.iter_mut().zip(drawn).for_each(|(to, from)| *to = from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_apart_and_repeat() {
        let first = |seed, purpose, number| Draws::of(seed, purpose, number).next();
        let all = [first(1, "a", 0), first(1, "a", 1), first(1, "b", 0), first(2, "a", 0)];
        let apart: std::collections::BTreeSet<u64> = all.into_iter().collect();
        assert_eq!(apart.len(), 4);
        assert_eq!(all[0], first(1, "a", 0));
    }

    #[test]
    fn numbers_stay_in_their_bounds_and_means_are_right() {
        let mut draws = Draws::of(1, "test", 0);
        let mut counts = [0_u32; 5];
        for _ in 0..50_000 {
            counts[draws.below(5) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_700..10_300).contains(count)), "{counts:?}");
        assert_eq!((draws.below(0), draws.between(7, 7)), (0, 7));
        let sum: u64 = (0..50_000).map(|_| draws.exponential(1_000)).sum();
        let mean = sum / 50_000;
        assert!((985..1_015).contains(&mean), "{mean}");
    }
}
