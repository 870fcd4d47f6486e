//! Values of stores in memory, of which those that many stores hold are there once.
//!
//! Peers of one process come to hold the same entries. What they store of them differs in one thing: when
//! they came. So a value of many bytes is kept as one base for all stores, and the few bytes in which it
//! differs from that.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use super::Space;
use crate::logbook::arrival_in;

/// What stores have in common. Clones have it in common, too.
#[derive(Clone, Debug, Default)]
pub struct Common(Arc<Mutex<Table>>);

/// The bases, by a hash. One that no store holds any more is let go of in the end.
#[derive(Debug, Default)]
struct Table {
    bases: BTreeMap<u64, Base>,
    /// With how many of them those are let go of that nobody holds.
    swept_at: usize,
}

type Base = Arc<Box<[u8]>>;

/// With how many bases it is looked for the first time which of them nobody holds.
const SWEPT_AT_LEAST: usize = 4_096;
/// Bytes that a value has in its place. A longer one lies elsewhere.
const SHORT_BYTES_MAX: usize = 14;
/// Bytes in which a value may differ from its base: a moment in ms, as a number.
const STAMP_BYTES: usize = 6;

/// A value, of which a peer of a simulation has tens of thousands: two words.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Short {
        len: u8,
        bytes: [u8; SHORT_BYTES_MAX],
    },
    Long(Base),
    /// A base with other bytes at one place.
    Stamped {
        at: u8,
        stamp: [u8; STAMP_BYTES],
        base: Base,
    },
}

const _: () = assert!(size_of::<Value>() <= 16);

impl Value {
    pub(super) fn new(space: Space, mut value: Vec<u8>, common: Option<&Common>) -> Self {
        let mut bytes = [0; SHORT_BYTES_MAX];
        if let Some(short) = bytes.get_mut(..value.len()) {
            short.copy_from_slice(&value);
            return Self::Short { len: value.len() as u8, bytes };
        }
        // A record's list names logs by numbers that each store gives for itself.
        let Some(common) = common.filter(|_| space != Space::Records) else {
            return Self::Long(Arc::new(value.into()));
        };
        let arrival = if space == Space::Entries { arrival_in(&value) } else { None };
        let stamped = arrival.and_then(|span| {
            let at = u8::try_from(span.start).ok()?;
            let place: &mut [u8; STAMP_BYTES] = value.get_mut(span)?.try_into().ok()?;
            Some((at, std::mem::take(place)))
        });
        let base = common.base(value);
        match stamped {
            Some((at, stamp)) => Self::Stamped { at, stamp, base },
            None => Self::Long(base),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Short { len, .. } => usize::from(*len),
            Self::Long(base) | Self::Stamped { base, .. } => base.len(),
        }
    }

    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Short { len, bytes } => {
                Cow::Borrowed(bytes.get(..usize::from(*len)).unwrap_or_default())
            }
            Self::Long(base) => Cow::Borrowed(base),
            Self::Stamped { at, stamp, base } => {
                let mut bytes = base.to_vec();
                let at = usize::from(*at);
                if let Some(place) = bytes.get_mut(at..at + STAMP_BYTES) {
                    place.copy_from_slice(stamp);
                }
                Cow::Owned(bytes)
            }
        }
    }
}

impl Common {
    /// The base that has these bytes.
    fn base(&self, bytes: Vec<u8>) -> Base {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.bases.len() >= table.swept_at.max(SWEPT_AT_LEAST) {
            table.bases.retain(|_, base| Arc::strong_count(base) > 1);
            table.swept_at = 2 * table.bases.len();
        }
        let key = hasher.finish();
        match table.bases.get(&key) {
            Some(base) if ***base == *bytes => Arc::clone(base),
            // Of two with one hash the second is not shared.
            Some(_) => Arc::new(bytes.into()),
            None => {
                let base: Base = Arc::new(bytes.into());
                table.bases.insert(key, Arc::clone(&base));
                base
            }
        }
    }

    /// How many bases there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bases.len()
    }
}
