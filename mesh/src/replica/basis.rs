//! The legal basis of an erasure: sealed for those who may read the record's compartment, and carried
//! in the payload beside the statement that asks for it, or beside the proposal of the founders.

use tearline_crdt::bounds::{BASIS_BYTES_MAX, ERASED_ENTRIES_MAX};
use tearline_crdt::codec::{Reader, Write as _};
use tearline_crdt::entry::sealed::LogCipher;
use tearline_crdt::id::{Class, CoalitionId, CompartmentId, EntryId, EpochId, LogId, StatementId};
use tearline_crdt::record::shelf::Detail;
use tearline_crdt::statement::{Act, Erasure};
use tearline_crdt::store::{Store, StoreError};
use tearline_crdt::time::Now;

use super::Replica;
use super::author::{ActError, Done};

impl<S: Store> Replica<S> {
    /// Proposes that the founders destroy a record. The act lists as many of its entries as it takes;
    /// readers add what it misses.
    pub fn propose_erasure(
        &mut self,
        now: Now,
        coalition: CoalitionId,
        detail: &Detail,
        basis: &str,
    ) -> Result<Done<StatementId>, ActError> {
        let genesis = detail.genesis;
        let mut others = other_entries(detail);
        others.truncate(ERASED_ENTRIES_MAX);
        let act = Act::Erase(Erasure { genesis, others });
        let log = self.own_log(CompartmentId(coalition.0), Class::Authority);
        let payload = self.seal_basis(now, detail.compartment, log, basis)?;
        self.propose(now, coalition, act, Some(payload))
    }

    /// Seals a basis under a compartment's epoch, for the next position of a log.
    pub(super) fn seal_basis(
        &mut self,
        now: Now,
        compartment: CompartmentId,
        log: LogId,
        basis: &str,
    ) -> Result<Vec<u8>, ActError> {
        if basis.trim().is_empty() || basis.len() > BASIS_BYTES_MAX {
            return Err(ActError::Basis);
        }
        let epoch = self.epoch_to_write(now, compartment)?;
        let keys = self.epoch_keys.get(&epoch).cloned().ok_or(ActError::NoKeys)?;
        let seq = self.logbook.head(&log).next;
        let mut payload = Vec::new();
        payload.raw(&epoch.0);
        payload.raw(&LogCipher::new(log, epoch, keys).seal_rest(seq, basis.as_bytes()));
        Ok(payload)
    }

    /// The basis beside a statement that asks for an erasure; `None` where this device has not the keys
    /// or there is none.
    pub fn basis(&self, log: &LogId, seq: u64) -> Result<Option<String>, StoreError> {
        let entry = self.logbook.entry(&self.store, log, seq)?;
        let Some(payload) = entry.and_then(|entry| entry.payload) else { return Ok(None) };
        let mut reader = Reader::new(&payload);
        let Ok(epoch) = reader.array("epoch").map(EpochId) else { return Ok(None) };
        let Some(keys) = self.epoch_keys.get(&epoch) else { return Ok(None) };
        let sealed = payload.get(epoch.0.len()..).unwrap_or_default();
        let basis = LogCipher::new(*log, epoch, keys.clone()).open_rest(seq, sealed).ok();
        Ok(basis.and_then(|basis| String::from_utf8(basis).ok()))
    }
}

/// A record's entries but the first, each once, ascending.
pub(super) fn other_entries(detail: &Detail) -> Vec<EntryId> {
    let mut others: Vec<EntryId> = detail.entries.iter().map(|entry| entry.id).collect();
    others.retain(|entry| *entry != detail.genesis);
    others.sort_unstable();
    others.dedup();
    others
}
