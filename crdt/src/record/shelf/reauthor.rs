//! Re-authoring: what an author's changes did that wait for something quarantined, said again.
//!
//! The author's own device does it, in the log of those changes: entries that say which entries they
//! replace. They are in a new run, unless they build on all of the last. They build on what counts of all that those built on, and on nothing
//! else: what others wrote meanwhile stays concurrent, and is shown beside.
//!
//! An entry replaces entries of its own log alone. There the chain binds a position as an id would,
//! and a replacement comes after what it replaces; so whoever holds the replacement has been shown
//! all of it. A device that was rebuilt edits anew what its former incarnation left stuck.

use crate::bounds::{CHANGE_OPS_MAX, DEPS_MAX};
use crate::change::Change;
use crate::change::strip::Implied;
use crate::document::{self, EditError, Replay};
use crate::entry::sealed::{EntryKind, REPLACES_MAX};
use crate::hash::Digest;
use crate::id::{Class, DeviceId, LogId, RecordId};
use crate::store::StoreError;

use super::super::genesis::{Carried, decode_change, encode_change};
use super::prepare::{DraftError, Prepared, Writing, Written, change_time};
use super::read::Reader;
use super::thread::Thread;
use super::{ENTRIES_PER_LOG_MAX, Opened};

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
        let replaced = stuck.iter().map(|opened| opened.header.wall).max();
        header.wall = replaced.map_or(header.wall, |wall| wall.max(header.wall));
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
