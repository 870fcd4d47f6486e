//! What passed over the line of a thin link, for people: air time is what such a line is short of.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one thin link, of all its sessions together. The link counts, whoever started it reads.
#[derive(Debug, Default)]
pub struct Meter {
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    repeated_bytes: AtomicU64,
    refused_frames: AtomicU64,
}

/// What a meter says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reading {
    /// Bytes of link frames sent.
    pub sent_bytes: u64,
    /// Bytes of link frames that the other device sent and that came.
    pub received_bytes: u64,
    /// Bytes of messages that came more than once.
    pub repeated_bytes: u64,
    /// Link frames that came and were not taken: of others, damaged, or repeated by the line.
    pub refused_frames: u64,
}

impl Meter {
    /// What was counted so far.
    #[must_use]
    pub fn read(&self) -> Reading {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Reading {
            sent_bytes: read(&self.sent_bytes),
            received_bytes: read(&self.received_bytes),
            repeated_bytes: read(&self.repeated_bytes),
            refused_frames: read(&self.refused_frames),
        }
    }

    pub(super) fn sent(&self, bytes: usize) {
        add(&self.sent_bytes, bytes as u64);
    }

    pub(super) fn received(&self, bytes: usize) {
        add(&self.received_bytes, bytes as u64);
    }

    pub(super) fn repeated(&self, bytes: u64) {
        add(&self.repeated_bytes, bytes);
    }

    pub(super) fn refused(&self) {
        add(&self.refused_frames, 1);
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}
