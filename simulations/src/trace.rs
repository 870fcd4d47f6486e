//! The trace: a hash of everything that happened, in order.
//!
//! Two runs with equal hashes did the same, to the byte and the nanosecond. Where two runs that should be
//! equal are not, the marks (one for each [`MARK_EVERY`] events) say where they part.

use sha2::{Digest as _, Sha256};

use crate::agenda::Nanos;

/// So many events lie between two marks.
pub const MARK_EVERY: u64 = 1_000;
/// Most marks that are kept.
const MARKS_MAX: usize = 100_000;

/// The trace of a run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: Sha256,
    events: u64,
    marks: Vec<[u8; 8]>,
}

impl Trace {
    /// Notes an event: when, of which kind, whose, and what belongs to it.
    pub(crate) fn note(&mut self, at: Nanos, kind: u8, who: u32, with: &[u8]) {
        self.hash.update(at.to_be_bytes());
        self.hash.update([kind]);
        self.hash.update(who.to_be_bytes());
        self.hash.update((with.len() as u64).to_be_bytes());
        self.hash.update(with);
        self.events += 1;
        if self.events.is_multiple_of(MARK_EVERY) && self.marks.len() < MARKS_MAX {
            let so_far = self.hash.clone().finalize();
            let mut mark = [0; 8];
            mark.iter_mut().zip(so_far).for_each(|(to, from)| *to = from);
            self.marks.push(mark);
        }
    }

    /// How many events there were.
    pub(crate) const fn events(&self) -> u64 {
        self.events
    }

    /// The hash in hexadecimal digits, and the marks.
    pub(crate) fn finish(self) -> (String, Vec<[u8; 8]>) {
        let hash = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        (hash, self.marks)
    }
}
