//! What this peer keeps for its operators beside the mesh: drafts of reports, and what one shift leaves to the next.
//! It lies in the store, sealed as everything there, and never leaves the peer.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tearline_crdt::hash::sha256;
use tearline_crdt::record::vocabulary::Tlp;
use tearline_crdt::store::{Batch, Space, Store as _};
use tokio::sync::watch;

use super::core::Core;
use super::explain::hex;
use super::overview::store_failure;
use super::sight::Viewer;
use super::{Tearline, json};
use crate::failure::Failure;
use crate::index::Query;
use tearline_crdt::id::Class;

/// A report that is being written.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct DraftReport {
    /// Ends the draft when it is no more that of the operator's account.
    pub(crate) generation: u64,
    /// When it was kept, in ms.
    pub(crate) at_ms: u64,
    /// The form's fields.
    pub(crate) fields: Vec<(String, String)>,
}

/// What an operator left to who comes after him.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Handover {
    /// Who.
    pub(crate) by: String,
    /// When, in ms.
    pub(crate) at_ms: u64,
    /// What.
    pub(crate) text: String,
    /// What he was shown records up to: it is shown to nobody who is shown less.
    pub(crate) label_max: Tlp,
}

/// Most drafts of a peer, and most bytes of one.
const DRAFTS_MAX: usize = 500;
const DRAFT_BYTES_MAX: usize = 64 * 1024;
/// Most notes that are kept, and most bytes of one.
const HANDOVERS_MAX: usize = 50;
pub(crate) const HANDOVER_BYTES_MAX: usize = 4 * 1024;
const DRAFT: &[u8] = b"desk/draft/";
const HANDOVER: &[u8] = b"desk/handover/";

impl Tearline {
    /// Keeps a draft, or takes it away.
    pub(crate) fn keep_draft(
        &self,
        operator: &str,
        kind: &str,
        draft: Option<&DraftReport>,
    ) -> Result<(), Failure> {
        let key = draft_key(operator, kind);
        let bytes = draft.map(|draft| Ok::<_, Failure>(json(draft)?.to_string().into_bytes()));
        let bytes = bytes.transpose()?;
        if bytes.as_ref().is_some_and(|bytes| bytes.len() > DRAFT_BYTES_MAX) {
            return Err(Failure::usage("the draft is too long to be kept"));
        }
        self.answer(move |core| {
            let mut batch = Batch::default();
            match bytes {
                Some(bytes) => {
                    let others = core.kept_under(DRAFT)?;
                    if others.len() >= DRAFTS_MAX && !others.iter().any(|(known, _)| *known == key)
                    {
                        // The oldest goes.
                        let age = |bytes: &[u8]| {
                            serde_json::from_slice(bytes)
                                .map_or(0, |draft: DraftReport| draft.at_ms)
                        };
                        let oldest = others.iter().min_by_key(|(_, bytes)| age(bytes));
                        oldest
                            .into_iter()
                            .for_each(|(key, _)| batch.remove(Space::Meta, key.clone()));
                    }
                    batch.put(Space::Meta, key, bytes);
                }
                None => batch.remove(Space::Meta, key),
            }
            let ticket = core.replica.put(batch).map_err(|error| store_failure(&error))?;
            Ok((Value::Null, Some(ticket)))
        })
        .map(drop)
    }

    /// An operator's draft of a kind, of the account that he has now.
    pub(crate) fn draft_of(
        &self,
        operator: &str,
        generation: u64,
        kind: &str,
    ) -> Result<Option<DraftReport>, Failure> {
        let key = draft_key(operator, kind);
        self.core.ask(move |core| {
            let bytes = core.replica.store().get(Space::Meta, &key);
            let bytes = bytes.map_err(|error| store_failure(&error))?;
            let draft = bytes.and_then(|bytes| serde_json::from_slice::<DraftReport>(&bytes).ok());
            Ok(draft.filter(|draft| draft.generation == generation))
        })
    }

    /// Leaves a note to the next shift.
    pub(crate) fn hand_over(&self, note: &Handover) -> Result<(), Failure> {
        if note.text.len() > HANDOVER_BYTES_MAX {
            return Err(Failure::usage(format!("a note has at most {HANDOVER_BYTES_MAX} bytes")));
        }
        let bytes = json(note)?.to_string().into_bytes();
        let key = [HANDOVER, format!("{:020}", note.at_ms).as_bytes()].concat();
        self.answer(move |core| {
            let mut batch = Batch::default();
            let known = core.kept_under(HANDOVER)?;
            // Keys are in the order of time.
            let over = (known.len() + 1).saturating_sub(HANDOVERS_MAX);
            known.into_iter().take(over).for_each(|(key, _)| batch.remove(Space::Meta, key));
            batch.put(Space::Meta, key, bytes);
            let ticket = core.replica.put(batch).map_err(|error| store_failure(&error))?;
            Ok((Value::Null, Some(ticket)))
        })
        .map(drop)
    }

    /// The latest notes that an operator may read, newest first.
    pub(crate) fn handovers_for(
        &self,
        viewer: Viewer,
        limit: usize,
    ) -> Result<Vec<Handover>, Failure> {
        self.core.ask(move |core| {
            let known = core.kept_under(HANDOVER)?;
            let notes =
                known.iter().rev().filter_map(|(_, bytes)| serde_json::from_slice(bytes).ok());
            let notes = notes.filter(|note: &Handover| note.label_max <= viewer.label_max);
            Ok(notes.take(limit).collect())
        })
    }

    /// Changes whenever a record comes or changes.
    pub(crate) fn news(&self) -> Result<watch::Receiver<u64>, Failure> {
        self.core.ask(|core| {
            let index = core.index.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            Ok(index.news())
        })
    }

    /// When the latest came that an operator may see, in µs of the index; or the latest flash.
    pub(crate) fn newest_for(&self, viewer: Viewer, flash: bool) -> Result<u64, Failure> {
        let classes = if flash { [Class::Flash as u8].into() } else { Default::default() };
        let query = Query { limit: 1, classes, ..Query::default() };
        let found = self.find_for(viewer, query)?;
        Ok(found.rows.first().map_or(0, |seen| seen.stamp_us))
    }
}

type KeyAndValue = (Vec<u8>, Vec<u8>);

impl Core {
    /// All that is kept under a beginning of a key.
    fn kept_under(&self, prefix: &[u8]) -> Result<Vec<KeyAndValue>, Failure> {
        let mut found = Vec::new();
        let scanned = self.replica.store().scan(Space::Meta, prefix, &[], &mut |key, bytes| {
            found.push((key.to_vec(), bytes.to_vec()));
            ControlFlow::Continue(())
        });
        scanned.map_err(|error| store_failure(&error))?;
        Ok(found)
    }
}

fn draft_key(operator: &str, kind: &str) -> Vec<u8> {
    let whose = hex(&sha256(&[b"tearline/1/draft-of\0", operator.as_bytes()].concat()));
    [DRAFT, whose.as_bytes(), b"/", kind.as_bytes()].concat()
}
