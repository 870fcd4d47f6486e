//! Listings: which entries of a record the store holds.

use crate::codec::{DecodeError, Reader as Bytes, Write as _};
use crate::id::RecordId;
use crate::logbook::LogNo;
use crate::store::{Space, Store, StoreError};
use crate::time::WallTime;

use super::thread::Place;

/// What the store holds of a record: its entries, by place.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Listing {
    pub(super) version: u64,
    /// When the first entry of it that opened came.
    pub(super) arrived: WallTime,
    /// Whether the projection shows it, and so the census counts it as shown.
    pub(super) shown: bool,
    pub(super) places: Vec<Place>,
}

impl Listing {
    /// A listing of nothing, of a record that is new here.
    pub(super) fn begin(arrived: WallTime) -> Self {
        Self { arrived, ..Self::default() }
    }

    /// `version, arrived in ms (numbers) || shown (1) || count (number) || log number, seq
    /// (numbers)...`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.number(self.version).number(self.arrived.0).raw(&[u8::from(self.shown)]);
        out.number(self.places.len() as u64);
        for place in &self.places {
            out.number(u64::from(place.no.0)).number(place.seq);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Bytes::new(bytes);
        let version = reader.number("version")?;
        let arrived = WallTime(reader.number("arrived")?);
        let at = reader.at();
        let shown = match reader.u8("shown")? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::Invalid { at, what: "shown" }),
        };
        let count = reader.count(ENTRIES_PER_RECORD_MAX, "entries")?;
        let mut places = Vec::with_capacity(count);
        for _ in 0..count {
            let no = LogNo(reader.number_max(u64::from(u32::MAX), "log number")? as u32);
            places.push(Place { no, seq: reader.number("seq")? });
        }
        reader.finish()?;
        Ok(Self { version, arrived, shown, places })
    }

    /// Lists a place. Which are listed in the end does not depend on the order.
    pub(super) fn note(&mut self, place: Place) -> Listed {
        let (mut of_log, mut last) = (0, None::<(usize, u64)>);
        for (index, known) in self.places.iter().enumerate() {
            if *known == place {
                return Listed::There;
            }
            if known.no == place.no {
                of_log += 1;
                if last.is_none_or(|(_, seq)| seq < known.seq) {
                    last = Some((index, known.seq));
                }
            }
        }
        let Some((index, seq)) = last.filter(|_| of_log >= ENTRIES_PER_LOG_MAX) else {
            self.places.push(place);
            return Listed::There;
        };
        if seq < place.seq {
            return Listed::Beyond;
        }
        if let Some(last) = self.places.get_mut(index) {
            *last = place;
        }
        Listed::InsteadOfLast
    }

    pub(crate) fn load(store: &dyn Store, record: &RecordId) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = store.get(Space::Records, &record.0)? else { return Ok(None) };
        Self::decode(&bytes).map(Some).map_err(|_| crate::store::damaged(Space::Records, &record.0))
    }
}

/// Most entries of one log about one record that count: the first so many. Further ones stay in
/// their logs, unlisted, and an author is refused them. A record's changes are bounded in its history,
/// too ([`crate::bounds::RECORD_OPS_MAX`]); this bounds what does not count. There is no bound over
/// all logs: by that, one author could push out what another wrote.
pub(super) const ENTRIES_PER_LOG_MAX: usize = 4_096;
/// Most entries that the listing of a record can have.
const ENTRIES_PER_RECORD_MAX: usize = 1 << 24;

/// What became of a place in a listing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Listed {
    /// It is there, now or already.
    There,
    /// It is there, and the last of its log is no longer.
    InsteadOfLast,
    /// Its log has enough earlier ones.
    Beyond,
}
