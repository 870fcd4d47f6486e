//! Writing rebases: before an entry of a record is written, those of its entries are disclosed that
//! count and whose epochs are closed to readers of the epoch that is written under.
//!
//! What an earlier rebase disclosed is not disclosed again, if all of them can open that, and if it
//! says what we know: another's word for it would be as good as ours.

use std::collections::BTreeSet;

use crate::document::EditError;
use crate::entry::sealed::{EntryKind, SealedHeader};
use crate::id::RecordId;
use crate::store::StoreError;

use super::super::rebase::{self, Disclosure};
use super::open::{REBASES_PER_LOG_MAX, Source};
use super::prepare::{DraftError, Prepared, Writing};
use super::thread::{Place, Thread};
use super::{ENTRIES_PER_LOG_MAX, Opened, Verdict};

impl Writing<'_> {
    /// Entries as they are in the store.
    pub(super) const fn source(&self) -> Source<'_> {
        Source {
            store: self.store,
            logbook: self.logbook,
            keys: self.keys,
            run: None,
            recall: None,
        }
    }

    pub(super) fn prepare_rebase(
        &mut self,
        thread: &Thread,
        record: RecordId,
        prepared: &mut Prepared,
    ) -> Result<(), DraftError> {
        let disclosures = self.undisclosed(thread, record)?;
        if disclosures.is_empty() {
            return Ok(());
        }
        let (entries, rebases) = self.log_no().map_or((0, 0), |no| {
            let rebases = thread.entries().filter(|(opened, _)| {
                opened.place.no == no && opened.header.kind == EntryKind::REBASE
            });
            (thread.entries_of(no), rebases.count())
        });
        let mut payloads = rebase::encode(&disclosures);
        payloads.truncate(REBASES_PER_LOG_MAX.saturating_sub(rebases));
        if entries + payloads.len() >= ENTRIES_PER_LOG_MAX {
            return Err(EditError::Full.into());
        }
        for payload in payloads {
            let seq = self.next_seq + prepared.entries.len() as u64;
            let mut header = SealedHeader {
                kind: EntryKind::REBASE,
                record,
                wall: self.now,
                run: 0,
                box_seq: None,
                own_deps: vec![],
                deps: vec![],
                replaces: vec![],
            };
            let key_box = self.key_box(thread, &mut header);
            prepared.entries.push(self.entry(seq, &header, &key_box, &payload)?);
        }
        Ok(())
    }

    /// What is to be disclosed: all that the record is made of.
    fn undisclosed(
        &self,
        thread: &Thread,
        record: RecordId,
    ) -> Result<Vec<Disclosure>, StoreError> {
        let counts = |verdict: &Verdict| {
            matches!(verdict, Verdict::Materialised | Verdict::HeldBack | Verdict::Replaced)
        };
        let is_wanted = |(opened, verdict): &(&Opened, Verdict)| {
            opened.header.kind != EntryKind::REBASE
                && self.closed.contains(&opened.epoch)
                && counts(verdict)
        };
        let mut wanted = thread.entries().filter(is_wanted).peekable();
        if wanted.peek().is_none() {
            return Ok(Vec::new());
        }
        let told = self.told(thread, record)?;
        let mut all: Vec<Disclosure> = Vec::new();
        for (opened, _) in wanted.filter(|(opened, _)| !told.contains(&opened.place)) {
            let Some(key) = self.source().record_key(opened)? else { continue };
            let one = (opened.place.seq, opened.header.clone());
            match all.iter_mut().find(|other| other.log == opened.log && other.key == key) {
                Some(disclosure) => disclosure.entries.push(one),
                None => all.push(Disclosure { log: opened.log, key, entries: vec![one] }),
            }
        }
        Ok(all)
    }

    /// What rebases truly disclose that all who are written to can open.
    fn told(&self, thread: &Thread, record: RecordId) -> Result<BTreeSet<Place>, StoreError> {
        let source = self.source();
        let mut told = BTreeSet::new();
        for (opened, verdict) in thread.entries() {
            let discloses = opened.header.kind == EntryKind::REBASE
                && verdict == Verdict::Materialised
                && !self.closed.contains(&opened.epoch);
            let payload = if discloses { source.payload(opened)? } else { None };
            let Some(payload) = payload else { continue };
            let disclosures = rebase::decode(&payload, opened.log.compartment, record);
            for Disclosure { log, key, entries } in disclosures.into_iter().flatten() {
                let Some(state) = self.logbook.state(&log) else { continue };
                for (seq, header) in entries {
                    let place = Place { no: state.no, seq };
                    let known = thread.opened(&place).filter(|known| known.header == header);
                    if let Some(known) = known
                        && source.record_key(known)?.as_ref() == Some(&key)
                    {
                        told.insert(place);
                    }
                }
            }
        }
        Ok(told)
    }
}
