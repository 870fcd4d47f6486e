//! Re-authoring: what an author's changes did that wait for something quarantined, said again.
//!
//! The author's own device does it, in the log of those changes: entries that say which entries they
//! replace. They are in a new run, unless they build on all of the last. They build on what counts of all that those built on, and on nothing
//! else: what others wrote meanwhile stays concurrent, and is shown beside.
//!
//! An entry replaces entries of its own log alone. There the chain binds a position as an id would,
//! and a replacement comes after what it replaces; so whoever holds the replacement has been shown
//! all of it. A device that was rebuilt edits anew what its former incarnation left stuck.

use std::ops::ControlFlow;

use crate::bounds::{CHANGE_OPS_MAX, DEPS_MAX};
use crate::change::Change;
use crate::change::strip::Implied;
use crate::document::{self, EditError, Replay};
use crate::entry::sealed::{EntryKind, REPLACES_MAX};
use crate::hash::Digest;
use crate::id::{Class, DeviceId, LogId, RecordId};
use crate::store::{Batch, Space, Store, StoreError, damaged};

use super::super::genesis::{Carried, decode_change, encode_change};
use super::prepare::{DraftError, Prepared, Writing, Written, change_time};
use super::read::Reader;
use super::thread::Thread;
use super::{ENTRIES_PER_LOG_MAX, Opened, Shelf};

impl Shelf {
    /// From now on notes in which records this device's changes come to wait for something quarantined,
    /// beside those that were noted before.
    pub fn note_stuck_of(&mut self, store: &dyn Store, device: DeviceId) -> Result<(), StoreError> {
        self.stuck = Stuck { author: Some(device), any: true };
        self.stuck(store, None, 1).map(|_| ())
    }

    /// Whether records may be noted.
    #[must_use]
    pub const fn has_stuck(&self) -> bool {
        self.stuck.any
    }

    /// Up to `most` records with changes of the device that waited for something quarantined when they
    /// were judged again last, in the order of their ids, from after one on.
    pub fn stuck(
        &mut self,
        store: &dyn Store,
        after: Option<RecordId>,
        most: usize,
    ) -> Result<Vec<RecordId>, StoreError> {
        let (mut records, mut bad) = (Vec::new(), None);
        let from = after.map_or_else(Vec::new, |after| [stuck_key(&after), vec![0]].concat());
        store.scan(Space::Meta, STUCK_PREFIX, &from, &mut |key, _| {
            if records.len() >= most {
                return ControlFlow::Break(());
            }
            let record = key.get(STUCK_PREFIX.len()..).and_then(|id| id.try_into().ok());
            match record {
                Some(record) => records.push(RecordId(record)),
                None => bad = Some(damaged(Space::Meta, key)),
            }
            if bad.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if let Some(bad) = bad {
            return Err(bad);
        }
        self.stuck.any &= after.is_some() || !records.is_empty();
        Ok(records)
    }

    /// The changes of a record were said again, or never will be.
    pub fn stuck_is_done(batch: &mut Batch, record: &RecordId) {
        batch.remove(Space::Meta, stuck_key(record));
    }

    /// Keeps a thread that was judged again, and notes its record if changes in it are stuck.
    pub(super) fn keep_noting_stuck(&mut self, batch: &mut Batch, thread: Thread) {
        if self.stuck.author.is_some_and(|author| thread.has_stuck(&author)) {
            batch.put(Space::Meta, stuck_key(&thread.record()), Vec::new());
            self.stuck.any = true;
        }
        self.threads.keep(thread.record(), thread);
    }
}

/// What is known of the changes of this peer's own device that are stuck.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stuck {
    /// Whose changes are noted.
    author: Option<DeviceId>,
    /// Whether records may be noted.
    any: bool,
}

/// Before the ids of records with stuck changes of this device, in [`Space::Meta`].
const STUCK_PREFIX: &[u8] = b"stuck/";

fn stuck_key(record: &RecordId) -> Vec<u8> {
    [STUCK_PREFIX, &record.0].concat()
}

impl Reader<'_> {
    /// The logs of a device with changes of a record that wait for something quarantined and were
    /// not said again: each is to be written to with [`super::Draft::Reauthor`].
    pub fn to_reauthor(
        &mut self,
        record: RecordId,
        device: &DeviceId,
    ) -> Result<Vec<LogId>, StoreError> {
        let Some(thread) = self.thread(record)? else { return Ok(Vec::new()) };
        let stuck = thread.stuck(device).into_iter();
        let open = stuck.filter(|opened| !thread.is_superseded(&opened.place));
        let mut logs: Vec<LogId> = open.map(|opened| opened.log).collect();
        logs.sort_unstable();
        logs.dedup();
        Ok(logs)
    }
}

impl Writing<'_> {
    pub(super) fn prepare_reauthor(
        &mut self,
        digest: &Digest,
        thread: &Thread,
        record: RecordId,
        prepared: &mut Prepared,
    ) -> Result<(), DraftError> {
        let log = *self.cipher.log();
        let here = |opened: &&Opened| opened.log == log && !thread.is_superseded(&opened.place);
        let (stuck, elsewhere): (Vec<&Opened>, Vec<&Opened>) =
            thread.stuck(&log.device).into_iter().partition(here);
        if stuck.is_empty() {
            return Err(EditError::NoChange.into());
        }
        if thread.is_full() {
            return Err(EditError::Full.into());
        }
        let mut replay = Replay::default();
        for opened in thread.outside() {
            self.change_at(opened)?.into_iter().for_each(|change| replay.know(change));
        }
        for opened in elsewhere {
            self.change_at(opened)?.iter().for_each(|change| replay.overwrite(change));
        }
        let heads = thread.heads_behind(stuck.iter().map(|opened| opened.place));
        let mut at: Vec<Digest> = heads.iter().filter_map(|o| thread.hash(&o.place)).collect();
        let mut header = self.header_on(EntryKind::REAUTHOR, true, thread, record, heads)?;
        let actor = document::actor(digest, &record, header.run);
        let no = self.log_no();
        let mut actor_seq = thread.next_seq(no, header.run);
        let mut scratch = thread.document().clone();
        let key_box = self.key_box(thread, &mut header);
        let first = self.next_seq + prepared.entries.len() as u64;
        let groups = self.grouped(&stuck)?;
        let listed = no.map_or(0, |no| thread.entries_of(no));
        if listed + groups.len() > ENTRIES_PER_LOG_MAX {
            return Err(EditError::Full.into());
        }
        for group in groups {
            let seq = self.next_seq + prepared.entries.len() as u64;
            if seq > first && header.box_seq.is_none() && log.class != Class::Flash {
                header.box_seq = Some(first);
            }
            let changes: Vec<&Change> = group.changes.iter().collect();
            let time = change_time(header.wall);
            let by = (actor, actor_seq, time);
            let said = scratch.replay(&mut replay, &changes, &at, by)?;
            header.replaces = group.replaces;
            let chunk = said.as_ref().map_or(&[][..], |change| change.bytes());
            let change = Carried::of_chunk(chunk, &Implied { actor, time, first: false });
            prepared.entries.push(self.entry(seq, &header, &key_box, &encode_change(&change))?);
            if let Some(change) = said {
                at = vec![change.hash()];
                (header.own_deps, header.deps) = (vec![seq], vec![]);
                actor_seq += 1;
            }
        }
        prepared.written.push(Written { record, seq: first });
        Ok(())
    }

    /// The stuck entries in groups that one entry each can replace.
    fn grouped(&self, stuck: &[&Opened]) -> Result<Vec<Group>, DraftError> {
        let mut groups: Vec<Group> = Vec::new();
        let mut ops = 0;
        for opened in stuck {
            let change = self.change_at(opened)?;
            let more = change.as_ref().map_or(0, |change| change.ops.len());
            let full =
                |group: &Group| group.replaces.len() >= REPLACES_MAX || ops + more > CHANGE_OPS_MAX;
            if groups.last().is_none_or(full) {
                groups.push(Group::default());
                ops = 0;
            }
            ops += more;
            if let Some(group) = groups.last_mut() {
                group.replaces.push(opened.place.seq);
                group.changes.extend(change);
            }
        }
        Ok(groups)
    }

    /// The change of an entry, judged or not, if it is one by the actor that it must be by.
    fn change_at(&self, opened: &Opened) -> Result<Option<Change>, StoreError> {
        let payload = self.source().payload(opened)?;
        Ok(payload.and_then(|payload| {
            let implied = opened.implied(&opened.log.digest());
            let change = decode_change(&payload).ok()?.change(&implied)?;
            let is_its = change.actor == implied.actor && change.deps.len() <= DEPS_MAX;
            is_its.then_some(change)
        }))
    }
}

/// What one entry says again.
#[derive(Default)]
struct Group {
    replaces: Vec<u64>,
    changes: Vec<Change>,
}
