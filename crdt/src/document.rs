//! A record's document: its changes, judged together and merged by Automerge.
//!
//! Two things live side by side. The *history* is our own: every change that is sound beside those
//! it builds on, whatever Automerge makes of it; it judges the next. The *document* is Automerge's:
//! it merges. Automerge works on a copy and under a guard, and what it holds afterwards is read
//! back and compared; if it panics, refuses or distorts, the change is *held back* here, the
//! document stays as it was, and the operator is told. That is an alarm of this peer, not a
//! verdict: the change still counts, and others may build on it.
//!
//! A history in which nothing is concurrent may be so plain that it reads itself (`flat`). Then Automerge is
//! asked when somebody edits the record, or comes with more; in debug builds at once, to compare.
//!
//! Making an empty document draws a random actor inside Automerge; it is never written with.

mod edit;
mod flat;
mod history;
mod replay;
#[cfg(test)]
mod tests;
mod view;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, ChangeHash};
use autosurgeon::{Hydrate, HydrateError};
use serde_json::{Map, Value};

pub use edit::{EditError, Patch, Segment};
pub use view::{Concurrent, Conflicts};

use crate::change::{Actor, Change};
use crate::gate::{Admitted, GateFault};
use crate::hash::{Digest, Domain};
use crate::id::RecordId;

use flat::{FLAT_CHANGES_MAX, Flat};
use history::History;
pub(crate) use replay::Replay;
use view::View;

/// One record's changes, merged.
#[derive(Clone, Debug)]
pub struct Document {
    automerge: Automerge,
    /// Changes that the view has and Automerge has not, while the whole history is plain.
    unmerged: Vec<Admitted>,
    flat: Option<Flat>,
    history: History,
    view: View,
    /// Changes of the history that Automerge does not have.
    held: BTreeMap<Digest, Held>,
}

/// Why a change was not merged. The document is as it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Held {
    /// The change makes no sense beside those that it builds on. This alone is a verdict, the same
    /// on every peer.
    #[error("void: {0}")]
    Unsound(GateFault),
    /// A change that it builds on is not here, or is held back itself.
    #[error("a change that it builds on is missing")]
    MissingDep {
        /// Its hash.
        hash: Digest,
    },
    /// Another change of the same actor has this place in its line: the log was forked.
    #[error("the actor's change {seq} is already another")]
    Forked {
        /// The place.
        seq: u64,
    },
    /// Concurrent changes together are more than a record may hold here: each alone may be sound.
    #[error("the record holds all that it may")]
    Full,
    /// Automerge panicked.
    #[error("Automerge panicked on it")]
    Panicked,
    /// Automerge refused it.
    #[error("Automerge refused it")]
    Refused,
    /// Automerge took it and gave back something else.
    #[error("Automerge distorted it")]
    Distorted,
}

/// Why a document is not of a type.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It has another shape.
    #[error("the record has another shape: {0}")]
    Shape(#[from] HydrateError),
    /// Automerge panicked on reading.
    #[error("Automerge panicked while it was read")]
    Panicked,
}

impl Document {
    /// A record before its first change.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            automerge: Automerge::new(),
            unmerged: Vec::new(),
            flat: Some(Flat::default()),
            history: History::default(),
            view: View::default(),
            held: BTreeMap::new(),
        }
    }

    /// Merges a change. One that is already there changes nothing; one that was held back stays so.
    pub fn apply(&mut self, change: &Admitted) -> Result<(), Held> {
        self.apply_all(&[change]).map_err(|(_, held)| held)
    }

    /// Merges changes, each after those that it builds on; much cheaper than one by one. All that
    /// can be merged are; the error says which was the first that could not.
    pub fn apply_all(&mut self, changes: &[&Admitted]) -> Result<(), (usize, Held)> {
        let mut first = Ok(());
        let mut fresh: Vec<(usize, &Admitted)> = Vec::new();
        for (index, change) in changes.iter().enumerate() {
            match self.accept(change) {
                Ok(true) => fresh.push((index, *change)),
                Ok(false) => {}
                Err(held) => first = first.and(Err((index, held))),
            }
        }
        let batch: Vec<&Admitted> = fresh.iter().map(|(_, change)| *change).collect();
        for (hash, held) in self.merge_accepted(&batch) {
            let of = fresh.iter().find(|(_, change)| change.hash() == hash);
            let Some((index, _)) = of.copied() else { continue };
            first = match first {
                Err((earlier, held)) if earlier < index => Err((earlier, held)),
                _ => Err((index, held)),
            };
        }
        first
    }

    /// Judges a change and takes it into the history; false if it is there already. What is
    /// accepted must be merged, later and together with others: [`Document::merge_accepted`].
    pub(crate) fn accept(&mut self, change: &Admitted) -> Result<bool, Held> {
        match self.held.get(&change.hash()) {
            Some(held) => Err(*held),
            None if self.history.contains(&change.hash()) => Ok(false),
            None => self.history.accept(change).map(|()| true),
        }
    }

    /// Merges changes that were accepted, in their order. Returns which are held back, and why; of those
    /// before as well that were not asked Automerge about.
    pub(crate) fn merge_accepted(&mut self, changes: &[&Admitted]) -> Vec<(Digest, Held)> {
        if changes.is_empty() || self.read(changes) {
            return Vec::new();
        }
        let unmerged = std::mem::take(&mut self.unmerged);
        let all: Vec<&Admitted> = unmerged.iter().chain(changes.iter().copied()).collect();
        if self.merge(&all).is_ok() {
            return Vec::new();
        }
        let mut held_back = Vec::new();
        for change in all {
            if let Err(held) = self.merge(&[change]) {
                self.held.insert(change.hash(), held);
                held_back.push((change.hash(), held));
            }
        }
        held_back
    }

    /// Takes changes into the view if the history is plain with them, too.
    fn read(&mut self, changes: &[&Admitted]) -> bool {
        let few = self.unmerged.len() + changes.len() <= FLAT_CHANGES_MAX;
        let Some(flat) = self.flat.take().filter(|_| few) else { return false };
        let mut changed = changes.iter();
        let begin = (flat, self.view.fields.clone());
        let read = changed.try_fold(begin, |(flat, fields), change| flat.with(fields, change));
        let Some((flat, fields)) = read else { return false };
        self.flat = Some(flat);
        self.unmerged.extend(changes.iter().copied().cloned());
        self.view = View { fields, conflicts: Conflicts::new() };
        debug_assert!(self.is_as_merged());
        true
    }

    /// Whether Automerge, if it merges what was only read, shows the same.
    fn is_as_merged(&self) -> bool {
        let unmerged: Vec<&Admitted> = self.unmerged.iter().collect();
        let copy = self.automerge.clone();
        let merged = catch_unwind(AssertUnwindSafe(|| merge_into(copy, &unmerged)));
        match merged {
            Ok(Ok((_, view))) => {
                view.fields == self.view.fields && view.conflicts == self.view.conflicts
            }
            _ => true,
        }
    }

    /// Automerge's document with all that is shown. May panic.
    fn merged(&self) -> Result<Cow<'_, Automerge>, Held> {
        if self.unmerged.is_empty() {
            return Ok(Cow::Borrowed(&self.automerge));
        }
        let unmerged: Vec<&Admitted> = self.unmerged.iter().collect();
        merge_into(self.automerge.clone(), &unmerged).map(|(merged, _)| Cow::Owned(merged))
    }

    /// Whether all its sound changes are merged. If not, it cannot be edited here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.held.is_empty()
    }

    /// Hashes of the merged changes that no other builds on, ascending.
    #[must_use]
    pub fn heads(&self) -> Vec<Digest> {
        if let Some(head) = self.flat.as_ref().and_then(Flat::head) {
            return vec![head];
        }
        let mut heads: Vec<Digest> =
            self.automerge.get_heads().into_iter().map(|head| head.0).collect();
        heads.sort_unstable();
        heads
    }

    /// One of its sound changes.
    pub(crate) fn change(&self, hash: &Digest) -> Option<&Change> {
        self.history.change(hash)
    }

    /// The highest operation of all sound changes, merged or held back. The next change that builds
    /// on all begins behind it.
    #[must_use]
    pub const fn max_op(&self) -> u64 {
        self.history.max_op()
    }

    /// The fields that one of its sound changes touches, itself or in what lies below them.
    #[must_use]
    pub fn fields_of(&self, change: &Digest) -> Vec<String> {
        self.history.fields(change).into_iter().map(str::to_owned).collect()
    }

    /// How many operations its sound changes have.
    #[must_use]
    pub const fn ops(&self) -> usize {
        self.history.ops()
    }

    /// How many bytes its sound changes have.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.history.bytes()
    }

    /// About how many bytes of memory it takes: each change is held parsed, by Automerge, in the
    /// view, and with a clock of as many numbers as there are actors.
    pub(crate) fn weight(&self) -> usize {
        4 * self.history.bytes() + self.history.clock_bytes()
    }

    /// The fields. Of concurrent values it shows the one that Automerge prefers; see
    /// [`Document::conflicts`].
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        self.view.fields.clone()
    }

    /// The fields that concurrent writers left several values in, with all of them.
    #[must_use]
    pub fn conflicts(&self) -> Conflicts {
        self.view.conflicts.clone()
    }

    /// Whether a field has several values.
    #[must_use]
    pub fn has_conflicts(&self) -> bool {
        !self.view.conflicts.is_empty()
    }

    /// The record as a type.
    pub fn hydrate<T: Hydrate>(&self) -> Result<T, ReadError> {
        let read = catch_unwind(AssertUnwindSafe(|| {
            self.merged().map(|merged| autosurgeon::hydrate(merged.as_ref()))
        }));
        match read {
            Ok(Ok(read)) => Ok(read?),
            Ok(Err(_)) | Err(_) => Err(ReadError::Panicked),
        }
    }

    /// Merges sound changes, on a copy and under the guard.
    fn merge(&mut self, changes: &[&Admitted]) -> Result<(), Held> {
        let before = &self.automerge;
        let merged = catch_unwind(AssertUnwindSafe(|| merge_into(before.clone(), changes)));
        let (automerge, view) = merged.unwrap_or(Err(Held::Panicked))?;
        self.automerge = automerge;
        self.view = view;
        Ok(())
    }
}

impl Default for Document {
    fn default() -> Self {
        Self::empty()
    }
}

/// The actor of a run of changes: 16 bytes that depend on the log, the record and the run's number.
#[must_use]
pub fn actor(log_digest: &Digest, record: &RecordId, run: u32) -> Actor {
    let hash = Domain::Actor.hash(&[log_digest, &record.0, &run.to_be_bytes()]);
    let mut actor = Actor::default();
    actor.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    actor
}

/// May panic: that is Automerge's.
fn merge_into(mut copy: Automerge, changes: &[&Admitted]) -> Result<(Automerge, View), Held> {
    let before = copy.get_heads();
    let mut parsed = Vec::with_capacity(changes.len());
    for change in changes {
        for dep in &change.change().deps {
            let known = copy.get_change_meta_by_hash(&ChangeHash(*dep)).is_some()
                || parsed.iter().any(|known: &automerge::Change| known.hash().0 == *dep);
            if !known {
                return Err(Held::MissingDep { hash: *dep });
            }
        }
        let change = automerge::Change::from_bytes(change.bytes().to_vec());
        parsed.push(change.map_err(|_| Held::Refused)?);
    }
    copy.apply_changes(parsed).map_err(|_| Held::Refused)?;
    let mut there = copy.get_changes(&before);
    there.sort_unstable_by_key(automerge::Change::hash);
    let same = |change: &&Admitted| {
        there
            .binary_search_by_key(&ChangeHash(change.hash()), automerge::Change::hash)
            .ok()
            .and_then(|index| there.get(index))
            .is_some_and(|there| there.raw_bytes() == change.bytes())
    };
    if there.len() != changes.len() || !changes.iter().all(same) {
        return Err(Held::Distorted);
    }
    let view = View::of(&copy).map_err(|_| Held::Refused)?;
    Ok((copy, view))
}
