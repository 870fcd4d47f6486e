//! Detaching: an entry loses its payload and its key box, and stays in its chain.
//!
//! The outer header names both by their hashes, so the short form can carry the hashes in their
//! stead: the id is the same, and every signature and every proof holds. What was detached cannot
//! be told from what never came; whoever holds it forwards it as it is.

use std::sync::Arc;

use super::{RunFault, ShortEntry, VerifiedEntry, VerifiedRun, part, range_in};
use crate::bounds::SEGMENT_ENTRIES_MAX;
use crate::codec::Reader;
use crate::epoch::{KEY_BOX_BYTES, KeyBox};
use crate::hash::sha256;

/// Most bytes by which an entry grows when it is detached: the hash of a box that travelled beside
/// it, and length and hash of a payload of no bytes.
const GROWTH_BYTES_MAX: usize = 32 + 32;
/// Most bytes by which a segment grows when all of it is detached. A frame has room for them.
pub const SEGMENT_GROWTH_BYTES_MAX: usize = SEGMENT_ENTRIES_MAX * GROWTH_BYTES_MAX;

impl ShortEntry<'_> {
    /// Detaches payload and key box. `key_box` is the one that travels beside the entry. Whether
    /// there was anything to detach.
    pub(crate) fn detach(&mut self, key_box: Option<&KeyBox>) -> bool {
        let key_box = key_box.filter(|_| self.has_box);
        let payload = self.payload.take();
        let something = key_box.is_some() || payload.is_some();
        if let Some(payload) = payload {
            self.payload_gone = Some(part(payload));
        }
        if let Some(key_box) = key_box {
            self.has_box = false;
            self.box_gone = Some(sha256(key_box));
        }
        something
    }

    /// How many bytes its short form took as its author wrote it; it takes `len` now. Bounds are
    /// on that: detaching must not carry a segment past them.
    pub(super) fn written_len(&self, len: usize) -> usize {
        let hash = if self.box_gone.is_some() { 32 } else { 0 };
        let payload = self.payload_gone.map_or(0, |part| part.len as usize);
        let digest = if self.payload_gone.is_some() { 32 } else { 0 };
        (len + payload).saturating_sub(hash + digest)
    }
}

impl VerifiedRun {
    /// The run without payload and key box of the entries that `gone` names; `None` if there is
    /// nothing to detach.
    pub fn detached(
        &self,
        mut gone: impl FnMut(&VerifiedEntry) -> bool,
    ) -> Result<Option<Self>, RunFault> {
        let holds = |entry: &VerifiedEntry| entry.payload.is_some() || entry.key_box.is_some();
        let named: Vec<bool> = self.entries.iter().map(|e| holds(e) && gone(e)).collect();
        if !named.contains(&true) {
            return Ok(None);
        }
        let mut entries = self.entries.clone();
        let mut reader = Reader::new(&self.bytes);
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for (entry, gone) in entries.iter_mut().zip(named) {
            let mut short = ShortEntry::decode(&mut reader)?;
            if gone {
                short.detach(entry.key_box.take().as_ref());
                entry.detached = true;
            }
            short.encode(&mut bytes);
        }
        let mut reader = Reader::new(&bytes);
        for entry in &mut entries {
            let short = ShortEntry::decode(&mut reader)?;
            entry.sealed = range_in(&bytes, short.sealed);
            entry.payload = short.payload.map(|part| range_in(&bytes, part));
            entry.end = reader.at();
        }
        Ok(Some(Self {
            log: Arc::clone(&self.log),
            from: self.from,
            to: Arc::clone(&self.to),
            bytes,
            entries,
            written: self.written,
        }))
    }

    /// The key boxes that travel beside the entries, in order.
    #[must_use]
    pub fn boxes(&self) -> Vec<u8> {
        let mut boxes = Vec::with_capacity(self.entries.len() * KEY_BOX_BYTES);
        boxes.extend(self.entries.iter().filter_map(|entry| entry.key_box).flatten());
        boxes
    }
}
