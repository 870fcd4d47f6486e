//! Runs: sorted keys with their slots, packed. A page is a run, and so is what a flush changed.
//!
//! Each key is written as how many bytes it shares with the one before it and the rest, then its
//! slot: absent, a short value, or where in the values file the value is.

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::store::KEY_BYTES_MAX;

use super::seal::{NONCE_BYTES, Nonce};

/// Longest value that is kept beside its key.
pub(super) const INLINE_BYTES_MAX: usize = 512;
/// Longest full key: the space's byte and the key.
pub(super) const FULL_KEY_BYTES_MAX: usize = 1 + KEY_BYTES_MAX;

/// Sealed bytes in the values file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Extent {
    /// Where they begin.
    pub(super) offset: u64,
    /// How many there are, the tag included.
    pub(super) len: u32,
    /// The nonce they were sealed under.
    pub(super) nonce: Nonce,
}

impl Extent {
    /// The offset after the last byte.
    pub(super) const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len as u64)
    }

    /// `offset || len || nonce`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.number(self.offset).number(u64::from(self.len)).raw(&self.nonce);
    }

    /// Reads what [`Extent::encode`] wrote.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = reader.number("offset")?;
        let len = reader.number_max(u64::from(u32::MAX), "length")? as u32;
        let nonce = reader.array::<NONCE_BYTES>("nonce")?;
        Ok(Self { offset, len, nonce })
    }
}

/// What a key holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Slot {
    /// Nothing: it was removed, whatever an older run says.
    Gone,
    /// A short value.
    Inline(Box<[u8]>),
    /// A value in the values file.
    Stored(Extent),
}

impl Slot {
    /// The slot, borrowed.
    pub(super) fn view(&self) -> SlotView<'_> {
        match self {
            Self::Gone => SlotView::Gone,
            Self::Inline(value) => SlotView::Inline(value),
            Self::Stored(extent) => SlotView::Stored(*extent),
        }
    }
}

/// Packs keys in ascending order.
#[derive(Debug, Default)]
pub(super) struct RunWriter {
    bytes: Vec<u8>,
    last: Vec<u8>,
}

impl RunWriter {
    /// Adds a key above all before it.
    pub(super) fn push(&mut self, key: &[u8], slot: SlotView<'_>) {
        let shared = shared_bytes(&self.last, key);
        let rest = key.get(shared..).unwrap_or_default();
        self.bytes.number(shared as u64).bytes(rest);
        match slot {
            SlotView::Gone => self.bytes.push(0),
            SlotView::Inline(value) => {
                self.bytes.push(1);
                self.bytes.bytes(value);
            }
            SlotView::Stored(extent) => {
                self.bytes.push(2);
                extent.encode(&mut self.bytes);
            }
        }
        self.last.truncate(shared);
        self.last.extend_from_slice(rest);
    }

    /// Bytes so far.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The packed run; the writer starts anew.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.last.clear();
        std::mem::take(&mut self.bytes)
    }
}

/// Visits a run's keys in order.
pub(super) struct RunReader<'a> {
    reader: Reader<'a>,
    key: Vec<u8>,
    first: bool,
}

impl<'a> RunReader<'a> {
    /// A reader at the first key.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes), key: Vec::new(), first: true }
    }

    /// The next key and slot, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<(&[u8], SlotView<'a>)>, DecodeError> {
        if self.reader.left() == 0 {
            return Ok(None);
        }
        let at = self.reader.at();
        let shared = self.reader.number_max(self.key.len() as u64, "shared bytes")? as usize;
        let rest = self.reader.bytes(FULL_KEY_BYTES_MAX - shared, "key")?;
        let grows = rest.first() > self.key.get(shared) || (self.first && rest.is_empty());
        if !grows {
            return self.reader.invalid(at, "order of keys");
        }
        self.first = false;
        self.key.truncate(shared);
        self.key.extend_from_slice(rest);
        let at = self.reader.at();
        let slot = match self.reader.u8("slot")? {
            0 => SlotView::Gone,
            1 => SlotView::Inline(self.reader.bytes(INLINE_BYTES_MAX, "value")?),
            2 => SlotView::Stored(Extent::decode(&mut self.reader)?),
            _ => return self.reader.invalid(at, "slot"),
        };
        Ok(Some((&self.key, slot)))
    }

    /// The slot of one key.
    pub(super) fn find(mut self, wanted: &[u8]) -> Result<Option<Slot>, DecodeError> {
        while let Some((key, slot)) = self.next()? {
            match key.cmp(wanted) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(Some(slot.to_slot())),
                std::cmp::Ordering::Greater => break,
            }
        }
        Ok(None)
    }
}

/// A slot that borrows its value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SlotView<'a> {
    /// See [`Slot::Gone`].
    Gone,
    /// See [`Slot::Inline`].
    Inline(&'a [u8]),
    /// See [`Slot::Stored`].
    Stored(Extent),
}

impl SlotView<'_> {
    /// The slot on its own.
    pub(super) fn to_slot(self) -> Slot {
        match self {
            Self::Gone => Slot::Gone,
            Self::Inline(value) => Slot::Inline(value.into()),
            Self::Stored(extent) => Slot::Stored(extent),
        }
    }
}

fn shared_bytes(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn unpack(bytes: &[u8]) -> Result<Vec<(Vec<u8>, Slot)>, DecodeError> {
        let mut run = RunReader::new(bytes);
        let mut all = Vec::new();
        while let Some((key, slot)) = run.next()? {
            let key = key.to_vec();
            all.push((key, slot.to_slot()));
        }
        Ok(all)
    }

    fn slot() -> impl Strategy<Value = Slot> {
        prop_oneof![
            Just(Slot::Gone),
            proptest::collection::vec(any::<u8>(), 0..60).prop_map(|v| Slot::Inline(v.into())),
            (any::<u64>(), any::<u32>(), any::<[u8; 12]>())
                .prop_map(|(offset, len, nonce)| Slot::Stored(Extent { offset, len, nonce })),
        ]
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..6)
    }

    proptest! {
        #[test]
        fn runs_read_back(map in proptest::collection::btree_map(key(), slot(), 0..40)) {
            let map: BTreeMap<Vec<u8>, Slot> = map;
            let mut writer = RunWriter::default();
            for (key, slot) in &map {
                writer.push(key, slot.view());
            }
            let bytes = writer.take();
            prop_assert_eq!(unpack(&bytes).unwrap(), map.clone().into_iter().collect::<Vec<_>>());
            for (key, slot) in &map {
                let found = RunReader::new(&bytes).find(key).unwrap();
                prop_assert_eq!(found.as_ref(), Some(slot));
            }
            prop_assert_eq!(RunReader::new(&bytes).find(b"absent").unwrap(), None);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&bytes);
            let _ = RunReader::new(&bytes).find(&[1]);
        }
    }

    #[test]
    fn keys_out_of_order_are_refused() {
        for keys in [[&b"b"[..], b"a"], [b"a", b"a"], [b"", b""], [b"ab", b"a"]] {
            let mut bytes = Vec::new();
            for key in keys {
                bytes.number(0).bytes(key).push(0);
            }
            assert!(unpack(&bytes).is_err(), "{keys:?}");
        }
        let mut bytes = Vec::new();
        bytes.number(0).bytes(&[7; FULL_KEY_BYTES_MAX + 1]).push(0);
        assert!(unpack(&bytes).is_err());
    }
}
