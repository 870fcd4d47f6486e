//! The daemon's memory of its passes: what it minted, and which blocks are revoked. Never a token:
//! who reads the register can use none of the passes.
//!
//! Both lie in the store, a pass's entry under the name of its first block. A pass that ended long
//! ago leaves the list when another is minted. A revocation is forgotten only when there is no more
//! room, and then only of passes that ended long ago, so that a clock that ran ahead for a while
//! brings none back.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tearline_crdt::store::{Batch, Space, Store, StoreError, damaged};

use super::read::{BlockId, UnverifiedPass};
use super::scope::Second;
use super::summary::Summary;

/// Most passes that are kept at once.
pub const MINTED_MAX: usize = 1_024;
/// Most revoked blocks that are kept at once.
pub const REVOKED_MAX: usize = 8_192;
/// How long a pass stays in the list after it ended, in days.
pub const KEPT_DAYS: u64 = 30;

/// A pass that was minted here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Minted {
    /// The name of its first block.
    pub block: BlockId,
    /// What it says.
    pub summary: Summary,
    /// The public half of the pass key that minted it, in hexadecimal digits: another one than the device's
    /// is that of a former life, and the pass ended with that.
    pub key: String,
    /// From when on it is no more valid.
    pub not_after: Second,
    /// Whether the whole pass is revoked.
    pub revoked: bool,
}

/// Why the register did not take it. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// [`MINTED_MAX`] or [`REVOKED_MAX`] is reached by entries that are still needed.
    #[error("{0} are kept already, which is the most")]
    Full(&'static str),
}

#[derive(Deserialize, Serialize)]
struct MintedValue {
    key: String,
    not_after_s: u64,
    summary: Summary,
}

#[derive(Deserialize, Serialize)]
struct RevokedValue {
    not_after_s: u64,
}

/// The passes that are kept, by the name of their first block.
pub fn minted(store: &dyn Store) -> Result<Vec<Minted>, StoreError> {
    let revoked: BTreeSet<_> =
        entries::<RevokedValue>(store, REVOKED)?.into_iter().map(|(block, _)| block).collect();
    let entries = entries::<MintedValue>(store, MINTED)?;
    Ok(entries
        .into_iter()
        .map(|(block, value)| Minted {
            block,
            key: value.key,
            summary: value.summary,
            not_after: Second(value.not_after_s),
            revoked: revoked.contains(&block),
        })
        .collect())
}

/// Keeps a pass that was minted under a key.
pub fn add(
    store: &dyn Store,
    batch: &mut Batch,
    (pass, key): (&UnverifiedPass, &str),
    now: Second,
) -> Result<(), RegisterError> {
    let kept = drop_ended::<MintedValue>(store, batch, MINTED, now, |value| value.not_after_s)?;
    if kept >= MINTED_MAX {
        return Err(RegisterError::Full("1,024 passes"));
    }
    let not_after_s = pass.terms().scope.not_after.0;
    let value = MintedValue { key: key.into(), not_after_s, summary: pass.terms().into() };
    if let Some(block) = pass.blocks().first() {
        put(batch, MINTED, block, &value);
    }
    Ok(())
}

/// Revokes a block of a pass that ends at `not_after`. Returns whether it was not revoked before.
pub fn revoke(
    store: &dyn Store,
    batch: &mut Batch,
    block: &BlockId,
    not_after: Second,
    now: Second,
) -> Result<bool, RegisterError> {
    if is_revoked(store, block)? {
        return Ok(false);
    }
    if entries::<RevokedValue>(store, REVOKED)?.len() >= REVOKED_MAX {
        let kept = drop_ended::<RevokedValue>(store, batch, REVOKED, now, |v| v.not_after_s)?;
        if kept >= REVOKED_MAX {
            return Err(RegisterError::Full("8,192 revoked blocks"));
        }
    }
    put(batch, REVOKED, block, &RevokedValue { not_after_s: not_after.0 });
    Ok(true)
}

/// Those of a pass's blocks that are revoked.
pub fn revoked_of(store: &dyn Store, blocks: &[BlockId]) -> Result<BTreeSet<BlockId>, StoreError> {
    let mut revoked = BTreeSet::new();
    for block in blocks {
        if is_revoked(store, block)? {
            revoked.insert(*block);
        }
    }
    Ok(revoked)
}

/// Whatever the value is: that there is one means revoked.
fn is_revoked(store: &dyn Store, block: &BlockId) -> Result<bool, StoreError> {
    Ok(store.get(Space::Meta, &key(REVOKED, block))?.is_some())
}

/// Removes the entries that ended more than [`KEPT_DAYS`] ago; counts the others.
fn drop_ended<T: DeserializeOwned>(
    store: &dyn Store,
    batch: &mut Batch,
    prefix: &[u8],
    now: Second,
    not_after_s: impl Fn(&T) -> u64,
) -> Result<usize, StoreError> {
    let mut kept = 0;
    for (block, value) in entries::<T>(store, prefix)? {
        if not_after_s(&value).saturating_add(KEPT_DAYS * 86_400) < now.0 {
            batch.remove(Space::Meta, key(prefix, &block));
        } else {
            kept += 1;
        }
    }
    Ok(kept)
}

fn entries<T: DeserializeOwned>(
    store: &dyn Store,
    prefix: &[u8],
) -> Result<Vec<(BlockId, T)>, StoreError> {
    let mut entries = Vec::new();
    let mut bad = None;
    store.scan(Space::Meta, prefix, &[], &mut |key, value| {
        let block = key.strip_prefix(prefix).and_then(|name| name.try_into().ok());
        match (block, serde_json::from_slice(value)) {
            (Some(block), Ok(value)) => {
                entries.push((BlockId(block), value));
                ControlFlow::Continue(())
            }
            _ => {
                bad = Some(damaged(Space::Meta, key));
                ControlFlow::Break(())
            }
        }
    })?;
    bad.map_or(Ok(entries), Err)
}

fn put(batch: &mut Batch, prefix: &[u8], block: &BlockId, value: &impl Serialize) {
    // Plain structs of texts and numbers, which JSON always takes.
    let value = serde_json::to_vec(value).unwrap_or_default();
    batch.put(Space::Meta, key(prefix, block), value);
}

fn key(prefix: &[u8], block: &BlockId) -> Vec<u8> {
    [prefix, &block.0].concat()
}

const MINTED: &[u8] = b"pass/minted/";
const REVOKED: &[u8] = b"pass/revoked/";

#[cfg(test)]
mod tests {
    use tearline_crdt::store::memory::MemoryStore;

    use super::super::tests as sample;
    use super::*;

    const NOW: Second = sample::MINTED;
    const KEY: &str = "0c";

    fn apply(store: &mut MemoryStore, write: impl FnOnce(&MemoryStore, &mut Batch)) {
        let mut batch = Batch::default();
        write(store, &mut batch);
        store.apply(batch).unwrap();
    }

    #[test]
    fn what_was_minted_and_revoked_is_there_after_a_restart() {
        let mut store = MemoryStore::default();
        let pass = sample::minted();
        let block = *pass.blocks().first().unwrap();
        apply(&mut store, |store, batch| add(store, batch, (&pass, KEY), NOW).unwrap());
        let listed = minted(&store).unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].summary, Summary::from(pass.terms()));
        assert_eq!((listed[0].block, listed[0].revoked), (block, false));
        assert_eq!(listed[0].key, KEY);
        assert_eq!(listed[0].not_after, pass.terms().scope.not_after);
        let end = listed[0].not_after;
        for newly in [true, false] {
            apply(&mut store, |store, batch| {
                assert_eq!(revoke(store, batch, &block, end, NOW).unwrap(), newly);
            });
            assert!(minted(&store).unwrap()[0].revoked);
            assert_eq!(revoked_of(&store, &[block]).unwrap(), BTreeSet::from([block]));
        }
        assert_eq!(revoked_of(&store, &[BlockId([7; 64])]).unwrap(), BTreeSet::new());
    }

    #[test]
    fn no_token_can_be_read_out_of_the_register() {
        let mut store = MemoryStore::default();
        let pass = sample::minted();
        apply(&mut store, |store, batch| add(store, batch, (&pass, KEY), NOW).unwrap());
        let mut bytes = Vec::new();
        store
            .scan(Space::Meta, &[], &[], &mut |key, value| {
                bytes.extend([key, value].concat());
                ControlFlow::Continue(())
            })
            .unwrap();
        // The secret that the next block is signed with stands at the token's end.
        let secret = &pass.bytes()[pass.bytes().len() - 32..];
        assert!(!bytes.windows(32).any(|window| window == secret));
    }

    #[test]
    fn a_pass_that_ended_long_ago_leaves_the_list() {
        let mut store = MemoryStore::default();
        let pass = sample::minted();
        let (block, end) = (*pass.blocks().first().unwrap(), pass.terms().scope.not_after);
        apply(&mut store, |store, batch| add(store, batch, (&pass, KEY), NOW).unwrap());
        let last = Second(end.0 + KEPT_DAYS * 86_400);
        for (now, left) in [(last, 1), (Second(last.0 + 1), 0)] {
            apply(&mut store, |store, batch| {
                let kept = drop_ended::<MintedValue>(store, batch, MINTED, now, |v| v.not_after_s);
                assert_eq!(kept.unwrap(), left);
            });
            assert_eq!(minted(&store).unwrap().len(), left);
        }
        // Revocations stay while there is room, whatever the clock says.
        apply(&mut store, |store, batch| {
            revoke(store, batch, &block, end, NOW).unwrap();
        });
        apply(&mut store, |store, batch| {
            let late = Second(u64::MAX);
            assert!(revoke(store, batch, &BlockId([7; 64]), end, late).unwrap());
        });
        assert_eq!(revoked_of(&store, &[block]).unwrap().len(), 1);
    }

    #[test]
    fn the_register_is_full_at_its_bounds() {
        let mut store = MemoryStore::default();
        let name = |n: usize| {
            let mut bytes = [0; 64];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            BlockId(bytes)
        };
        let pass = sample::minted();
        let value =
            MintedValue { key: KEY.into(), not_after_s: NOW.0, summary: pass.terms().into() };
        apply(&mut store, |_, batch| {
            (1..MINTED_MAX).for_each(|n| put(batch, MINTED, &name(n), &value));
            let value = RevokedValue { not_after_s: NOW.0 };
            (1..REVOKED_MAX).for_each(|n| put(batch, REVOKED, &name(n), &value));
        });
        apply(&mut store, |store, batch| {
            add(store, batch, (&pass, KEY), NOW).unwrap();
            assert!(revoke(store, batch, &name(0), NOW, NOW).unwrap());
        });
        let batch = &mut Batch::default();
        assert!(matches!(add(&store, batch, (&pass, KEY), NOW), Err(RegisterError::Full(_))));
        let more = revoke(&store, batch, &BlockId([9; 64]), NOW, NOW);
        assert!(matches!(more, Err(RegisterError::Full(_))));
        assert!(batch.is_empty());
        let later = Second(NOW.0 + KEPT_DAYS * 86_400 + 1);
        apply(&mut store, |store, batch| {
            add(store, batch, (&pass, KEY), later).unwrap();
            assert!(revoke(store, batch, &BlockId([9; 64]), later, later).unwrap());
        });
        assert_eq!(entries::<RevokedValue>(&store, REVOKED).unwrap().len(), 1, "room was made");
    }

    #[test]
    fn a_value_that_does_not_decode_is_damage_and_still_revokes() {
        let mut store = MemoryStore::default();
        let block = BlockId([7; 64]);
        apply(&mut store, |_, batch| batch.put(Space::Meta, key(REVOKED, &block), *b"?"));
        assert!(matches!(minted(&store), Err(StoreError::Damaged { .. })));
        assert_eq!(revoked_of(&store, &[block]).unwrap().len(), 1);
    }
}
