//! Receipts: a peer's signed word that it obeyed. They prove a promise and nothing more: who kept a
//! copy and a key keeps them.
//!
//! A receipt is a *clear entry*: an entry of class routine that names no epoch and has neither key
//! box nor payload. What stands in place of the sealed header is readable by all, because a blind
//! relay, which has no keys, destroys and answers too. It says nothing of the record: it names the
//! statement, as the statement's own clear core does.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::bounds::SEALED_HEADER_BYTES_MAX;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::entry::NO_EPOCH;
use crate::entry::run::NewEntry;
use crate::entry::sealed::EntryKind;
use crate::id::{DeviceId, StatementId};
use crate::store::{Batch, Space, Store, StoreError, damaged};
use crate::time::WallTime;

/// Most receipts in one entry: as many as fit a sealed header's bound.
pub const RECEIPTS_PER_ENTRY_MAX: usize = 59;
const RECEIPT_BYTES_MAX: usize = 32 + 1 + 1;
const _: () = assert!(
    1 + 10 + 1 + RECEIPTS_PER_ENTRY_MAX * RECEIPT_BYTES_MAX <= SEALED_HEADER_BYTES_MAX
        && 1 + 10 + 1 + (RECEIPTS_PER_ENTRY_MAX + 1) * RECEIPT_BYTES_MAX > SEALED_HEADER_BYTES_MAX
);

/// What a peer did about a statement.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// 1: it shows the content no longer.
    Hidden,
    /// 2: it destroyed what it held.
    Destroyed,
    /// 3: it does not obey.
    Refused(Refusal),
    /// 4: it holds nothing of what the statement names.
    NothingHere,
    /// 5: it says that the record is not to be relied on.
    Marked,
}

impl Outcome {
    /// A stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Destroyed => "destroyed",
            Self::Refused(_) => "refused",
            Self::NothingHere => "nothing-here",
            Self::Marked => "marked",
        }
    }

    /// Appends `outcome (1) || reason (1) if refused`.
    fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Hidden => out.push(1),
            Self::Destroyed => out.push(2),
            Self::Refused(reason) => out.extend([3, reason.0]),
            Self::NothingHere => out.push(4),
            Self::Marked => out.push(5),
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        Ok(match reader.u8("outcome")? {
            1 => Self::Hidden,
            2 => Self::Destroyed,
            3 => Self::Refused(Refusal(reader.u8("reason")?)),
            4 => Self::NothingHere,
            5 => Self::Marked,
            _ => return reader.invalid(at, "outcome"),
        })
    }
}

/// Why a peer does not obey. A number that this version does not know is some other reason.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Refusal(pub u8);

impl Refusal {
    /// Another reason, which the peer's operator may tell.
    pub const OTHER: Self = Self(0);
    /// A hold binds the peer, which therefore only hides.
    pub const HOLD: Self = Self(1);
    /// The law of the peer's country asks to keep it.
    pub const LAW: Self = Self(2);
}

/// What became of one statement at one peer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Receipt {
    /// The statement: an erasure, restriction or recall.
    pub statement: StatementId,
    /// What the peer did.
    pub outcome: Outcome,
}

/// The receipts of one entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipts {
    /// The author's clock.
    pub wall: WallTime,
    /// At most [`RECEIPTS_PER_ENTRY_MAX`], at least one; ascending by statement, each named once.
    pub list: Vec<Receipt>,
}

impl Receipts {
    /// Receipts in as many entries as they need. Of several about one statement the last is kept.
    #[must_use]
    pub fn entries(wall: WallTime, receipts: impl IntoIterator<Item = Receipt>) -> Vec<NewEntry> {
        let by_statement: BTreeMap<_, _> =
            receipts.into_iter().map(|receipt| (receipt.statement, receipt)).collect();
        let all: Vec<Receipt> = by_statement.into_values().collect();
        all.chunks(RECEIPTS_PER_ENTRY_MAX)
            .map(|part| NewEntry {
                epoch: NO_EPOCH,
                sealed: Self { wall, list: part.to_vec() }.encode(),
                key_box: None,
                payload: None,
            })
            .collect()
    }

    /// `kind (1) = 6 || wall ms (number) || count (number) || statement (32), outcome (1),
    /// reason (1) if refused, each`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![EntryKind::RECEIPT.0];
        out.number(self.wall.0).number(self.list.len() as u64);
        for Receipt { statement, outcome } in &self.list {
            out.raw(&statement.0);
            outcome.encode(&mut out);
        }
        out
    }

    /// Reads what [`Receipts::encode`] wrote. A clear entry of another kind is an error, too: it
    /// is stored and relayed, and says nothing to this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if EntryKind(reader.u8("kind")?) != EntryKind::RECEIPT {
            return reader.invalid(0, "kind of clear entry");
        }
        let wall = WallTime(reader.number("wall time")?);
        let at = reader.at();
        let count = reader.count(RECEIPTS_PER_ENTRY_MAX, "receipts")?;
        let mut list: Vec<Receipt> = Vec::with_capacity(count);
        for _ in 0..count {
            let statement = StatementId(reader.array("statement")?);
            let outcome = Outcome::decode(&mut reader)?;
            list.push(Receipt { statement, outcome });
        }
        let ascends = |pair: &[Receipt]| matches!(pair, [a, b] if a.statement < b.statement);
        if list.is_empty() || !list.windows(2).all(ascends) {
            return reader.invalid(at, "receipts");
        }
        reader.finish()?;
        Ok(Self { wall, list })
    }
}

/// A device's last word about a statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer {
    /// What it did.
    pub outcome: Outcome,
    /// When, by its clock.
    pub wall: WallTime,
}

/// What devices answered about a statement, by what is stored.
pub fn answers(
    store: &dyn Store,
    statement: &StatementId,
) -> Result<BTreeMap<DeviceId, Answer>, StoreError> {
    let mut answers = BTreeMap::new();
    let mut outcome = Ok(());
    let prefix = [PREFIX, &statement.0].concat();
    store.scan(Space::Meta, &prefix, &[], &mut |key, value| match read_answer(
        key.get(prefix.len()..).unwrap_or_default(),
        value,
    ) {
        Ok((device, answer)) => {
            answers.insert(device, answer);
            ControlFlow::Continue(())
        }
        Err(_) => {
            outcome = Err(damaged(Space::Meta, key));
            ControlFlow::Break(())
        }
    })?;
    outcome.map(|()| answers)
}

/// A device's last answer about a statement, by what is stored.
pub fn answer(
    store: &dyn Store,
    statement: &StatementId,
    device: &DeviceId,
) -> Result<Option<Answer>, StoreError> {
    let key = [PREFIX, &statement.0, &device.0].concat();
    let Some(value) = store.get(Space::Meta, &key)? else { return Ok(None) };
    let read = read_answer(&device.0, &value).map_err(|_| damaged(Space::Meta, &key))?;
    Ok(Some(read.1))
}

/// Keeps a device's receipts. One of another life of the device that is older by its clock than what
/// is kept changes nothing.
pub(super) fn keep(
    store: &dyn Store,
    batch: &mut Batch,
    device: &DeviceId,
    receipts: &Receipts,
) -> Result<(), StoreError> {
    for Receipt { statement, outcome } in &receipts.list {
        let kept = match answer(store, statement, device) {
            Err(StoreError::Damaged { .. }) => None,
            kept => kept?,
        };
        if kept.is_some_and(|kept| kept.wall > receipts.wall) {
            continue;
        }
        let mut value = Vec::new();
        value.number(receipts.wall.0);
        outcome.encode(&mut value);
        batch.put(Space::Meta, [PREFIX, &statement.0, &device.0].concat(), value);
    }
    Ok(())
}

const PREFIX: &[u8] = b"receipt/";

/// Key after the statement: `device (32)`; value: `wall ms (number) || outcome`.
fn read_answer(device: &[u8], value: &[u8]) -> Result<(DeviceId, Answer), DecodeError> {
    let mut reader = Reader::new(device);
    let device = DeviceId(reader.array("device")?);
    reader.finish()?;
    let mut reader = Reader::new(value);
    let wall = WallTime(reader.number("wall time")?);
    let outcome = Outcome::decode(&mut reader)?;
    reader.finish()?;
    Ok((device, Answer { outcome, wall }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn receipt(n: usize, outcome: Outcome) -> Receipt {
        Receipt { statement: StatementId([n as u8; 32]), outcome }
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Hidden),
            Just(Outcome::Destroyed),
            any::<u8>().prop_map(|reason| Outcome::Refused(Refusal(reason))),
            Just(Outcome::NothingHere),
        ]
    }

    #[test]
    fn the_number_of_receipts_is_bounded() {
        let many = |count| Receipts {
            wall: WallTime(u64::MAX),
            list: (0..count).map(|n| receipt(n, Outcome::Refused(Refusal::HOLD))).collect(),
        };
        let most = many(RECEIPTS_PER_ENTRY_MAX);
        assert!(most.encode().len() <= SEALED_HEADER_BYTES_MAX);
        assert_eq!(Receipts::decode(&most.encode()), Ok(most.clone()));
        assert!(Receipts::decode(&many(RECEIPTS_PER_ENTRY_MAX + 1).encode()).is_err());
        assert!(Receipts::decode(&many(0).encode()).is_err());
        let entries = Receipts::entries(WallTime(1), many(RECEIPTS_PER_ENTRY_MAX + 1).list);
        let counts = entries.iter().map(|e| Receipts::decode(&e.sealed).unwrap().list.len());
        assert_eq!(counts.collect::<Vec<_>>(), [RECEIPTS_PER_ENTRY_MAX, 1]);
        assert!(entries.iter().all(|e| e.key_box.is_none() && e.payload.is_none()));
    }

    #[test]
    fn one_statement_is_answered_once_in_an_entry() {
        let of = |list| Receipts { wall: WallTime(5), list };
        let twice = vec![receipt(1, Outcome::Hidden), receipt(1, Outcome::Destroyed)];
        assert!(Receipts::decode(&of(twice.clone()).encode()).is_err());
        let unordered = vec![receipt(2, Outcome::Hidden), receipt(1, Outcome::Hidden)];
        assert!(Receipts::decode(&of(unordered).encode()).is_err());
        let [entry] = Receipts::entries(WallTime(5), twice).try_into().unwrap();
        let read = Receipts::decode(&entry.sealed).unwrap();
        assert_eq!(read, of(vec![receipt(1, Outcome::Destroyed)]));
    }

    proptest! {
        #[test]
        fn receipts_read_back(wall in any::<u64>(), outcomes in prop::collection::vec(outcomes(), 1..9)) {
            let list = outcomes.into_iter().enumerate().map(|(n, o)| receipt(n, o)).collect();
            let receipts = Receipts { wall: WallTime(wall), list };
            let bytes = receipts.encode();
            prop_assert_eq!(Receipts::decode(&bytes), Ok(receipts));
            for len in 0..bytes.len() {
                prop_assert!(Receipts::decode(&bytes[..len]).is_err());
            }
        }

        #[test]
        fn one_value_has_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let bytes = [&[EntryKind::RECEIPT.0], &bytes[..]].concat();
            if let Ok(receipts) = Receipts::decode(&bytes) {
                prop_assert_eq!(receipts.encode(), bytes);
            }
        }
    }
}
