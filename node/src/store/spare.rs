//! Bytes that are kept, to be given back when the disk is full.
//!
//! sled writes a little whenever it is opened: a segment, a snapshot. Where other programs have taken
//! the last byte, a daemon that stopped could then not start, and nobody could export or look. So a
//! file of nothing lies beside the index; an opening that finds no room shortens it by what it needs,
//! and one that finds room makes it whole again. It is a convenience: where it cannot be kept, nothing
//! depends on it.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

use super::free_space_bytes;
use super::index::OPENING_BYTES;
use crate::files::regular;

/// The file's name.
const SPARE: &str = "spare";
/// Its size: three openings in a row.
const SPARE_BYTES: u64 = 3 * OPENING_BYTES;

/// Gives back what an opening needs, where that is not there.
pub(super) fn give_back_if_full(dir: &Path) {
    let full = free_space_bytes(dir).is_ok_and(|free| free < OPENING_BYTES);
    let Ok(spare) = regular(File::options().write(true), &dir.join(SPARE)) else { return };
    if full && let Ok(found) = spare.metadata() {
        let _ = spare.set_len(found.len().saturating_sub(OPENING_BYTES));
    }
}

/// Makes the file as large as it should be, if there is room.
pub(super) fn keep(dir: &Path) {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    let Ok(spare) = regular(&mut options, &dir.join(SPARE)) else { return };
    if spare.metadata().is_ok_and(|found| found.len() < SPARE_BYTES) {
        // Allocated, not only long: a hole gives nothing back.
        let _ = fallocate(&spare, FallocateFlags::empty(), 0, SPARE_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_whole_and_not_touched_while_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let len = || std::fs::metadata(dir.path().join(SPARE)).map_or(0, |found| found.len());
        give_back_if_full(dir.path());
        assert_eq!(len(), 0);
        keep(dir.path());
        assert_eq!(len(), SPARE_BYTES);
        give_back_if_full(dir.path());
        assert_eq!(len(), SPARE_BYTES);
    }
}
