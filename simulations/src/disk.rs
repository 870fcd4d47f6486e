//! The disk of a peer: a store in memory that can be full.

use tearline_crdt::store::memory::{Common, MemoryStore};
use tearline_crdt::store::{Batch, Space, Store, StoreError, Visit};

/// A store in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) memory: MemoryStore,
    /// Whether it takes nothing more.
    pub(crate) full: bool,
}

impl Disk {
    /// An empty disk that keeps one copy of what it has in common with others.
    pub(crate) fn empty(common: &Common) -> Self {
        Self { memory: MemoryStore::with_common(common.clone()), full: false }
    }

    fn room(&self, during: &'static str) -> Result<(), StoreError> {
        if self.full {
            return Err(StoreError::Medium { during, cause: "no space left on device".to_owned() });
        }
        Ok(())
    }
}

impl Store for Disk {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory.get(space, key)
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        from: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.memory.scan(space, prefix, from, visit)
    }

    fn scan_back(
        &self,
        space: Space,
        prefix: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.memory.scan_back(space, prefix, visit)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StoreError> {
        self.room("writing")?;
        self.memory.apply(batch)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.room("flushing")?;
        self.memory.flush()
    }
}
