//! How many records there are: counted as they begin, come into view and go out of it, so that nobody
//! has to look through them.

use crate::codec::{Reader as Bytes, Write as _};
use crate::id::CompartmentId;
use crate::store::{Batch, Space, Store, StoreError, damaged};

/// The records of a compartment at this peer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Census {
    /// Those of which an entry could be opened.
    pub begun: u64,
    /// Those of them that the projection shows. Of the others nothing counts: they are quarantined,
    /// erased, or their beginning has not come.
    pub shown: u64,
}

impl Census {
    pub(super) fn load(store: &dyn Store, id: &CompartmentId) -> Result<Self, StoreError> {
        let Some(bytes) = store.get(Space::Meta, &key(id))? else { return Ok(Self::default()) };
        let mut reader = Bytes::new(&bytes);
        let (Ok(begun), Ok(shown), Ok(())) =
            (reader.number("begun"), reader.number("shown"), reader.finish())
        else {
            return Err(damaged(Space::Meta, &key(id)));
        };
        Ok(Self { begun, shown })
    }

    /// Counts so many records more, and so many more or fewer as shown.
    pub(super) fn change(
        store: &dyn Store,
        batch: &mut Batch,
        id: &CompartmentId,
        begun: u64,
        shown: i64,
    ) -> Result<(), StoreError> {
        if (begun, shown) == (0, 0) {
            return Ok(());
        }
        let census = match Self::load(store, id) {
            // Nobody knows how many there were: whoever asks is told that.
            Err(StoreError::Damaged { .. }) => return Ok(()),
            census => census?,
        };
        let mut out = Vec::new();
        out.number(census.begun + begun).number(census.shown.saturating_add_signed(shown));
        batch.put(Space::Meta, key(id), out);
        Ok(())
    }
}

fn key(id: &CompartmentId) -> Vec<u8> {
    [b"records/".as_slice(), &id.0].concat()
}
