//! Beginnings: new records, built before their places in a log are known.
//!
//! What a record's first entries hold follows from the log, the key box and the fields; only how they
//! are sealed depends on their positions. So an import builds records on one thread while another
//! seals and stores those before them. And whoever built a record need not open, gate and read back what
//! he sealed himself: the shelf takes his word ([`Begun`]), and in debug builds compares.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::change::strip::Implied;
use crate::change::{self, BuildError};
use crate::document;
use crate::entropy::Entropy;
use crate::entry::run::VerifiedEntry;
use crate::entry::sealed::{EntryKind, SealedHeader};
use crate::epoch::KeyBox;
use crate::gate::Expected;
use crate::hash::{Digest, sha256};
use crate::id::{LogId, RecordId};
use crate::time::WallTime;

use super::super::genesis::{Carried, Genesis, Writers, encode_change, record_id};
use super::super::kind::Kind;
use super::super::label::Label;
use super::Opened;
use super::prepare::change_time;
use super::thread::Place;

/// A new record of one log, built, and not sealed yet.
#[derive(Clone, Debug)]
pub struct Beginning {
    pub(super) log: Digest,
    pub(super) record: RecordId,
    pub(super) wall: WallTime,
    pub(super) key_box: KeyBox,
    /// What its entries hold: one, or several where the record is too long for one.
    pub(super) payloads: Vec<Vec<u8>>,
    pub(super) content: Content,
}

/// What a record says that is one entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    pub(super) kind: Kind,
    pub(super) label: Label,
    pub(super) fields: Map<String, Value>,
}

impl Beginning {
    /// Builds a record for a log of this device, given by its digest. `wall` is the time at which its
    /// author begins it.
    pub fn build(
        log: &Digest,
        kind: Kind,
        fields: Map<String, Value>,
        label: Label,
        wall: WallTime,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, BuildError> {
        let log = *log;
        let mut key_box = KeyBox::default();
        entropy.fill(&mut key_box);
        let record = record_id(&log, &sha256(&key_box));
        let content = Content { kind, label, fields };
        let payloads = content.payloads(&log, &record, wall)?;
        Ok(Self { log, record, wall, key_box, payloads, content })
    }

    /// The same record, begun at another time.
    pub(super) fn dated(&self, wall: WallTime) -> Result<Self, BuildError> {
        let payloads = self.content.payloads(&self.log, &self.record, wall)?;
        Ok(Self { wall, payloads, ..self.clone() })
    }

    /// The record's properties.
    #[must_use]
    pub const fn fields(&self) -> &Map<String, Value> {
        &self.content.fields
    }

    /// Its entry, once that has a place; none if it has several.
    pub(super) fn opened(&self, place: Place, log: LogId, entry: &VerifiedEntry) -> Option<Opened> {
        let [payload] = self.payloads.as_slice() else { return None };
        Some(Opened {
            place,
            log,
            epoch: entry.epoch,
            id: entry.id,
            header: SealedHeader::genesis(self.record, self.wall),
            payload: Some(payload.clone()),
            key_box: Some(self.key_box),
            disclosed: None,
        })
    }
}

impl Content {
    /// What a record's entries hold that begins with this.
    fn payloads(
        &self,
        log: &Digest,
        record: &RecordId,
        wall: WallTime,
    ) -> Result<Vec<Vec<u8>>, BuildError> {
        let (kind, actor, time) = (self.kind, document::actor(log, record, 0), change_time(wall));
        let writers =
            if kind.open_to_compartment() { Writers::Compartment } else { Writers::Originator };
        let changes = change::first_change(actor, time, &self.fields)?;
        let payload = |(n, built)| {
            let change = Carried::of(built, &Implied { actor, time, first: n == 0 });
            if n > 0 {
                return encode_change(&change);
            }
            Genesis { kind, writers, label: self.label.clone(), change }.encode()
        };
        Ok(changes.iter().enumerate().map(payload).collect())
    }

    /// Reads what an entry says that begins a record and passes the gate. None if only a document can
    /// tell.
    pub(super) fn read(opened: &Opened, log: &Digest) -> Option<Self> {
        let payload = opened.payload.as_deref()?;
        let payload = (opened.header.kind == EntryKind::GENESIS).then_some(payload)?;
        let Genesis { kind, label, change, .. } = Genesis::decode(payload).ok()?;
        let implied = opened.implied(log);
        let expected = Expected { actor: implied.actor, seq: 1, deps: &[], start_op: 1 };
        let admitted = change.admit(&implied, &expected).ok()?;
        Some(Self { kind, label, fields: change::to_json(admitted.change())? })
    }
}

/// The records that begin in a run of this device, by the seq of their first entry.
pub type Begun = BTreeMap<u64, Arc<Beginning>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn a_record_that_is_dated_anew_is_as_if_it_had_begun_then() {
        let build = |wall| {
            let mut fields = Map::new();
            for n in 0..3_000 {
                fields.insert(format!("field{n}"), "of a record that takes several entries".into());
            }
            let mut entropy = SeededEntropy::new(1);
            let (label, wall) = (Label::unrestricted(), WallTime(wall));
            Beginning::build(&[7; 32], Kind::Case, fields, label, wall, &mut entropy).unwrap()
        };
        let (then, dated) = (build(9), build(5).dated(WallTime(9)).unwrap());
        assert!(then.payloads.len() > 1);
        assert_eq!(
            (dated.record, dated.wall, dated.key_box),
            (then.record, then.wall, then.key_box)
        );
        assert_eq!(dated.payloads, then.payloads);
        assert_ne!(build(5).wall, then.wall);
    }
}
