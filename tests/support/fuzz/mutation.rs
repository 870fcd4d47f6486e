//! Mutations of seeds, the same on every machine: what a fuzzer would try first, without one.

/// Endless damaged versions of some seeds.
pub(super) struct Mutations<'a> {
    seeds: &'a [Vec<u8>],
    state: u64,
}

/// Longest mutated input.
const BYTES_MAX: usize = 128 * 1024;

/// What lengths, counts and numbers are set to: their bounds, and past them.
const EXTREMES: [&[u8]; 7] = [
    &[0x00],
    &[0x01],
    &[0x7f],
    &[0x80, 0x00],
    &[0xff, 0xff, 0x03],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
];

impl<'a> Mutations<'a> {
    pub(super) fn new(seeds: &'a [Vec<u8>]) -> Self {
        assert!(!seeds.is_empty());
        Self { seeds, state: 0x9e37_79b9_7f4a_7c15 }
    }

    /// xorshift64*, after Vigna, "An experimental exploration of Marsaglia's xorshift generators".
    fn random(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number below `bound`, or 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.random() % bound.max(1) as u64) as usize
    }

    fn seed(&mut self) -> &'a [u8] {
        let at = self.below(self.seeds.len());
        &self.seeds[at]
    }

    fn range(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(bytes.len() + 1);
        let longest = (bytes.len() - start).min(64);
        start..start + self.below(longest + 1)
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        match self.below(8) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            2 if !bytes.is_empty() => bytes[at] = self.random() as u8,
            3 => {
                let extreme = EXTREMES[self.below(EXTREMES.len())];
                let end = (at + self.below(2) * extreme.len()).min(bytes.len());
                bytes.splice(at..end, extreme.iter().copied());
            }
            4 => bytes.truncate(at),
            5 => {
                let range = self.range(bytes);
                bytes.drain(range);
            }
            6 => {
                let range = self.range(bytes);
                let copy = bytes[range].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let other = self.seed();
                let range = self.range(other);
                bytes.splice(at..at, other[range].iter().copied());
            }
        }
    }
}

impl Iterator for Mutations<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut bytes = self.seed().to_vec();
        for _ in 0..=self.below(4) {
            self.damage(&mut bytes);
        }
        bytes.truncate(BYTES_MAX);
        Some(bytes)
    }
}

#[test]
fn mutations_are_the_same_every_time_and_differ_from_each_other() {
    let seeds = [b"a seed of some length".to_vec(), vec![]];
    let few = || Mutations::new(&seeds).take(500).collect::<Vec<_>>();
    assert_eq!(few(), few());
    let distinct: std::collections::BTreeSet<_> = few().into_iter().collect();
    assert!(distinct.len() > 300, "{}", distinct.len());
}
