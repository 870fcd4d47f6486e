//! Entries whose content is gone: whether somebody erased it, or whoever sends them took it away.
//!
//! An entry without its payload or its key box has the same id, so whoever takes it from a peer never
//! asks another for the rest. It is taken only where a statement that is held here erases it. A
//! statement may still be on its way; so what nothing explains is declined, and asked for again
//! when statements came. The peer is at fault if it holds the same authority logs as we do and no record of
//! the compartment is erased.
//!
//! Of authority entries only seals are ever detached: those of epochs that an act has retired. For them the
//! same holds; of any other, whoever sends it without its content took that away.

use std::collections::BTreeSet;

use tearline_crdt::entry::run::{VerifiedEntry, VerifiedRun};
use tearline_crdt::frontier::{NodeHash, Prefix};
use tearline_crdt::hash::Domain;
use tearline_crdt::id::{Class, CompartmentId, EntryId};
use tearline_crdt::store::Store;

use super::Replica;
use super::area::Body;
use super::retired::sealed_epoch;

/// What is to be thought of a run's content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Content {
    /// It is there, or erased.
    Sound,
    /// Some is gone, and what is known here does not say why.
    Unexplained,
    /// Some is gone, and the sender took it away.
    Stripped,
}

impl<S: Store> Replica<S> {
    /// What is to be thought of the content of a run, of whose sender we know which authority logs
    /// it holds.
    pub(super) fn content_of(&self, run: &VerifiedRun, knows: Option<NodeHash>) -> Content {
        self.content_beside(run, knows, &BTreeSet::new())
    }

    /// The same, beside entries whose payloads were left out.
    pub(super) fn content_beside(
        &self,
        run: &VerifiedRun,
        knows: Option<NodeHash>,
        holes: &BTreeSet<u64>,
    ) -> Content {
        let is_gone = |entry: &&VerifiedEntry| entry.detached && !holes.contains(&entry.seq);
        let mut gone = run.entries().iter().filter(is_gone).peekable();
        if gone.peek().is_none() {
            return Content::Sound;
        }
        let id = run.log().compartment;
        if run.log().class == Class::Authority {
            let mut gone = gone.filter(|entry| !self.is_retired_seal(run, entry)).peekable();
            if gone.peek().is_none() {
                return Content::Sound;
            }
            let others = gone.any(|entry| sealed_epoch(run, entry).is_none());
            let same = knows.is_some() && knows == self.authority_known(id);
            return if others || same { Content::Stripped } else { Content::Unexplained };
        }
        let Some(compartment) = self.compartment(id) else { return Content::Stripped };
        if gone.all(|entry| self.is_known_erased(run, entry)) {
            return Content::Sound;
        }
        let nothing_erased = compartment.listed_entries().next().is_none();
        if nothing_erased && knows.is_some() && knows == self.authority_known(id) {
            return Content::Stripped;
        }
        Content::Unexplained
    }

    /// The entries of a run that lack their payload alone and are not known to be erased, if its sender says
    /// that it left some out.
    pub(super) fn left_out_of(&self, run: &VerifiedRun, left_out: bool) -> BTreeSet<u64> {
        let is_hole =
            |entry: &&VerifiedEntry| entry.lacks_payload() && !self.is_known_erased(run, entry);
        let entries = run.entries().iter().filter(|_| left_out);
        entries.filter(is_hole).map(|entry| entry.seq).collect()
    }

    /// Whether a statement lists an entry, or its record was destroyed here. A statement that is not
    /// yet due here, or that is held up here alone, may be carried out elsewhere.
    fn is_known_erased(&self, run: &VerifiedRun, entry: &VerifiedEntry) -> bool {
        let log = run.log();
        let listed = self.compartment(log.compartment).is_some_and(|compartment| {
            let author = compartment.originator(log);
            let origin = |genesis: &EntryId| self.origin(log.compartment, genesis);
            author.is_some_and(|author| compartment.is_erased_anywhere(&entry.id, author, &origin))
        });
        listed || self.shelf.is_of_erased(&self.epoch_keys, run, entry)
    }

    /// A hash of the authority logs that decide what is erased in a compartment: its own, and its
    /// coalition's. `None` while some that are stored are not durable, and where some of them are forked
    /// or left out: what peers hold of these may differ though the hash does not.
    #[must_use]
    pub fn authority_known(&self, id: CompartmentId) -> Option<NodeHash> {
        let area = self.areas.get(&id)?;
        let Body::Compartment(compartment) = &area.body else { return None };
        let coalition = CompartmentId(compartment.opening().coalition.0);
        let above = self.areas.get(&coalition)?;
        let decides = |area: &CompartmentId| *area == id || *area == coalition;
        let pending = self.arrivals.iter().any(|(_, arrival)| {
            arrival.log.class == Class::Authority && decides(&arrival.log.compartment)
        });
        let differs = |area: CompartmentId| {
            let mut logs = self.logbook.logs_of(area);
            let excess = self.logbook.excesses(area).next().is_some();
            excess
                || logs.any(|(l, state)| l.class == Class::Authority && state.proven_at.is_some())
        };
        if pending || differs(id) || differs(coalition) {
            return None;
        }
        let authority = Prefix::default().child(Class::Authority as u8);
        let parts = [area.frontier.hash(&authority), above.frontier.root()];
        let hash = Domain::KnownAuthority.hash(&[&parts.concat()]);
        hash.first_chunk().copied()
    }
}
