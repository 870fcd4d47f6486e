//! How a passphrase is stretched: Argon2id version 0x13 (RFC 9106) and its three costs.
//!
//! Recommended are the costs of RFC 9106, section 4, second option: 64 MiB and 3 passes, with one
//! lane, because the program uses one thread. The floor is the least that OWASP's password storage
//! sheet recommends for two passes. The costs stand in a file that others may have written, so both
//! ends are checked before any memory is taken.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use tearline_crdt::codec::{Reader, Write as _};
use tearline_crdt::seal::Key;
use zeroize::Zeroizing;

use super::{Passphrase, ProtectionError};

/// The costs of Argon2id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stretch {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Stretch {
    /// What a new file gets.
    pub const RECOMMENDED: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
    /// The least that is accepted.
    pub const LEAST: Self = Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
    /// The most that is accepted.
    pub const MOST: Self = Self { memory_kib: 256 * 1024, passes: 16, lanes: 4 };

    /// Reads costs that are within their bounds.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, ProtectionError> {
        let (least, most) = (Self::LEAST, Self::MOST);
        Ok(Self {
            memory_kib: cost(reader, "memory (KiB)", least.memory_kib, most.memory_kib)?,
            passes: cost(reader, "passes", least.passes, most.passes)?,
            lanes: cost(reader, "lanes", least.lanes, most.lanes)?,
        })
    }

    /// Appends `memory in KiB || passes || lanes`, each a number.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.number(self.memory_kib.into()).number(self.passes.into()).number(self.lanes.into());
    }

    /// The stretched passphrase. The memory that it took is wiped.
    pub fn apply(&self, passphrase: &Passphrase, salt: &[u8; 16]) -> Result<Key, ProtectionError> {
        let no_memory = || ProtectionError::NoMemory { mib: self.memory_kib / 1024 };
        // Costs, salt and output are within the bounds of Argon2, so that only memory can lack.
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|_| no_memory())?;
        let mut blocks = Zeroizing::new(Vec::new());
        blocks.try_reserve_exact(params.block_count()).map_err(|_| no_memory())?;
        blocks.resize(params.block_count(), Block::default());
        let mut key = Key::default();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(
                passphrase.bytes(),
                salt,
                key.as_mut_slice(),
                blocks.as_mut_slice(),
            )
            .map_err(|_| no_memory())?;
        Ok(key)
    }
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Argon2id, {} MiB, {} passes", self.memory_kib / 1024, self.passes)
    }
}

fn cost(
    reader: &mut Reader<'_>,
    what: &'static str,
    min: u32,
    max: u32,
) -> Result<u32, ProtectionError> {
    let found = reader.number(what)?;
    match u32::try_from(found) {
        Ok(cost) if cost < min => Err(ProtectionError::Weak { what, found, min: min.into() }),
        Ok(cost) if cost <= max => Ok(cost),
        _ => Err(ProtectionError::Excessive { what, found, max: max.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(memory_kib: u64, passes: u64, lanes: u64) -> Result<Stretch, ProtectionError> {
        let mut bytes = Vec::new();
        bytes.number(memory_kib).number(passes).number(lanes);
        Stretch::decode(&mut Reader::new(&bytes))
    }

    #[test]
    fn costs_are_taken_up_to_their_bounds_and_not_past_them() {
        let (least, most) = (Stretch::LEAST, Stretch::MOST);
        assert_eq!(decoded(19_456, 2, 1), Ok(least));
        assert_eq!(decoded(262_144, 16, 4), Ok(most));
        for (memory_kib, passes, lanes) in [(19_455, 2, 1), (19_456, 1, 1), (19_456, 2, 0)] {
            let refused = decoded(memory_kib, passes, lanes).unwrap_err();
            assert!(matches!(refused, ProtectionError::Weak { .. }), "{refused}");
        }
        for (memory_kib, passes, lanes) in
            [(262_145, 2, 1), (u64::MAX, 2, 1), (19_456, 17, 1), (19_456, 2, 5)]
        {
            let refused = decoded(memory_kib, passes, lanes).unwrap_err();
            assert!(matches!(refused, ProtectionError::Excessive { .. }), "{refused}");
        }
    }

    #[test]
    fn costs_read_back() {
        for stretch in [Stretch::LEAST, Stretch::RECOMMENDED, Stretch::MOST] {
            let mut bytes = Vec::new();
            stretch.encode(&mut bytes);
            assert_eq!(Stretch::decode(&mut Reader::new(&bytes)), Ok(stretch));
        }
    }

    #[test]
    fn every_cost_and_the_salt_change_the_key() {
        let passphrase = Passphrase::new(b"correct horse".to_vec());
        let least = Stretch::LEAST;
        let key = |stretch: Stretch, salt: u8| stretch.apply(&passphrase, &[salt; 16]).unwrap();
        let base = key(least, 0);
        assert_eq!(key(least, 0), base);
        assert_ne!(key(least, 1), base);
        assert_ne!(key(Stretch { passes: 3, ..least }, 0), base);
        assert_ne!(key(Stretch { memory_kib: 20 * 1024, ..least }, 0), base);
        assert_ne!(key(Stretch { lanes: 2, ..least }, 0), base);
    }
}
