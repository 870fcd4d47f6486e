//! Attachments: the files that belong to records, fetched on request.
//!
//! Nothing of a file travels by itself but its manifest, in the record. A device that wants one asks a peer
//! that may read the compartment for what follows the bytes that it has; the peer answers with a part, when
//! nothing of a log is to be sent; what came is written down, checked item by item, and the next part asked
//! for. So a transfer goes on where it stopped, also after a start and from another peer, and a file delays
//! no entry by more than a part. Who has nothing answers with a part of no bytes, and another is asked.
//!
//! What rotted of a file is lacking as what did not come yet, and is fetched again: those items alone.
//!
//! A file is served from where the record is shown, to whoever may read it. Blind relays cannot see which
//! files there are, and hold none.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::attachment::{self, Layout, Manifest};
use tearline_crdt::hash::sha256;
use tearline_crdt::id::{AttachmentId, CompartmentId, RecordId};
use tearline_crdt::statement::Right;
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::{MonoTime, Now};

use super::repair::unless_damaged;
use super::session::Phase;
use super::sync::Outcome;
use super::{Event, Link, Output, Replica, Room};
use crate::fault::PeerFault;
use crate::urgency::Urgency;
use crate::wire::{Frame, Tag};

/// How far a file has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fetched {
    /// Bytes of its sealed form that are here.
    pub held_bytes: u64,
    /// How many there are.
    pub sealed_bytes: u64,
    /// Whether a peer was asked for more, and has not answered yet.
    pub is_coming: bool,
}

impl Fetched {
    /// Whether all is here.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.held_bytes == self.sealed_bytes
    }
}

/// Why a file cannot be fetched or read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// So many are being fetched already.
    #[error("{WANTED_MAX} files are being fetched already: wait until one of them is here")]
    TooMany,
    /// What is here does not open to what its manifest says: its maker's fault.
    #[error("the file is not what its record says of it")]
    Broken,
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The files that are wanted here.
#[derive(Debug, Default)]
pub(super) struct Fetches(BTreeMap<AttachmentId, Fetch>);

/// A file that is wanted.
#[derive(Debug)]
struct Fetch {
    record: RecordId,
    compartment: CompartmentId,
    layout: Layout,
    /// The items that are not here whole.
    lacks: BTreeSet<u64>,
    /// What has come of the first of them.
    part: Vec<u8>,
    /// Who brought the beginning of the item that is under way.
    item_from: Option<Link>,
    /// Who is asked, and since when.
    asked: Option<(Link, MonoTime)>,
    /// Who has nothing of it, or does not answer.
    passed: BTreeSet<Link>,
    /// When these are asked once more.
    again: Option<MonoTime>,
}

/// What a peer wants of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    id: AttachmentId,
    /// Where it is and how long, if the peer may have it.
    file: Option<(RecordId, Layout)>,
    from: u64,
}

impl Fetch {
    /// The place from which on it is asked for.
    fn from(&self) -> u64 {
        let first = self.lacks.first().map(|item| self.layout.begin(*item));
        first.unwrap_or(self.layout.sealed_bytes()) + self.part.len() as u64
    }

    fn held_bytes(&self) -> u64 {
        let lacks: usize = self.lacks.iter().map(|item| self.layout.item_bytes(*item)).sum();
        self.layout.sealed_bytes() - (lacks - self.part.len()) as u64
    }

    /// An item is to be fetched from its beginning.
    fn begin_again(&mut self, item: u64) {
        self.lacks.insert(item);
        self.part.clear();
    }
}

impl<S: Store> Replica<S> {
    /// Keeps a file's sealed form, which was made here.
    pub fn keep_file(
        &mut self,
        record: &RecordId,
        id: &AttachmentId,
        items: Vec<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (item, bytes) in items.into_iter().enumerate() {
            attachment::put(&mut batch, record, id, item as u64, bytes);
        }
        self.apply(batch)
    }

    /// How much of a file is here.
    pub fn file(&self, record: &RecordId, manifest: &Manifest) -> Result<Fetched, StoreError> {
        let layout = manifest.layout();
        let fetch = self.fetches.0.get(&manifest.id);
        let held_bytes = match fetch {
            Some(fetch) => fetch.held_bytes(),
            None => attachment::held(&self.store, record, &manifest.id, layout)?,
        };
        Ok(Fetched {
            held_bytes,
            sealed_bytes: layout.sealed_bytes(),
            is_coming: fetch.is_some_and(|fetch| fetch.asked.is_some()),
        })
    }

    /// Asks for what is lacking of a file of a record, from now until it is here or the process ends.
    pub fn fetch(
        &mut self,
        now: Now,
        compartment: CompartmentId,
        record: RecordId,
        manifest: &Manifest,
    ) -> Result<Fetched, FileError> {
        self.clock = self.clock.max(now.mono);
        if self.fetches.0.contains_key(&manifest.id) {
            return Ok(self.file(&record, manifest)?);
        }
        let layout = manifest.layout();
        let lacks = attachment::lacking(&self.store, &record, &manifest.id, layout)?;
        let Some(first) = lacks.first().copied() else {
            return Ok(self.file(&record, manifest)?);
        };
        if self.fetches.0.len() >= WANTED_MAX {
            return Err(FileError::TooMany);
        }
        let begun = attachment::item(&self.store, &record, &manifest.id, first);
        let begun = unless_damaged(begun.map(Some))?.unwrap_or_default();
        let is_beginning = begun.len() < layout.item_bytes(first);
        let fetch = Fetch {
            record,
            compartment,
            layout,
            lacks,
            part: if is_beginning { begun } else { Vec::new() },
            item_from: None,
            asked: None,
            passed: BTreeSet::new(),
            again: None,
        };
        self.fetches.0.insert(manifest.id, fetch);
        self.tend_fetches();
        self.settle_outputs()?;
        Ok(self.file(&record, manifest)?)
    }

    /// A file that is here whole, opened and checked; `None` while something is lacking, or is damaged.
    pub fn read_file(
        &self,
        record: &RecordId,
        manifest: &Manifest,
    ) -> Result<Option<Vec<u8>>, FileError> {
        let layout = manifest.layout();
        if !attachment::lacking(&self.store, record, &manifest.id, layout)?.is_empty() {
            return Ok(None);
        }
        let mut plain = Vec::with_capacity(manifest.bytes as usize);
        for block in 0..layout.blocks() {
            let sealed = attachment::item(&self.store, record, &manifest.id, block + 1)?;
            plain.extend(manifest.open(block, &sealed).map_err(|_| FileError::Broken)?);
        }
        if sha256(&plain) == manifest.sha256 { Ok(Some(plain)) } else { Err(FileError::Broken) }
    }

    /// Asks for what is wanted and on its way from nobody.
    pub(super) fn tend_fetches(&mut self) {
        // What has no room would be asked for again and again.
        if self.room < Room::Everything {
            return;
        }
        let now = self.clock;
        let ids: Vec<AttachmentId> = self.fetches.0.keys().copied().collect();
        for id in ids {
            let Some(fetch) = self.fetches.0.get_mut(&id) else { continue };
            if self.shelf.tombstone(&fetch.record).is_some() {
                self.fetches.0.remove(&id);
                continue;
            }
            if let Some((link, since)) = fetch.asked {
                let session = self.sessions.get(&link);
                let is_late = session.is_none_or(|s| since.plus_ms(silent_ms(s.thin)) <= now);
                if !is_late {
                    continue;
                }
                fetch.asked = None;
                if session.is_some() {
                    fetch.passed.insert(link);
                    fetch.again.get_or_insert(now.plus_ms(AGAIN_MS));
                }
            }
            if fetch.again.is_some_and(|at| at <= now) {
                fetch.again = None;
                fetch.passed.clear();
            }
            self.ask_for(id);
        }
    }

    /// Asks a peer for what follows of a file: a fast link before a thin one, and each for a few at a time.
    fn ask_for(&mut self, id: AttachmentId) {
        let Some(fetch) = self.fetches.0.get(&id) else { return };
        let busy = |link: &Link| {
            let asked =
                self.fetches.0.values().filter(|f| f.asked.is_some_and(|(l, _)| l == *link));
            asked.count() >= ASKED_PER_LINK_MAX
        };
        let may = |(link, session): &(&Link, &super::session::Session)| {
            session.phase == Phase::Live
                && session.shared.contains(&fetch.compartment)
                && !fetch.passed.contains(link)
                && self.right(fetch.compartment, &session.device) >= Some(Right::Read)
                && !busy(link)
        };
        let able = self.sessions.iter().filter(may);
        let Some((link, _)) = able.min_by_key(|(link, session)| (session.thin, **link)) else {
            return;
        };
        let (link, record, from) = (*link, fetch.record, fetch.from());
        let area = self.tag_of(link, &fetch.compartment);
        if let Some(fetch) = self.fetches.0.get_mut(&id) {
            fetch.asked = Some((link, self.clock));
        }
        self.say(link, Frame::Fetch { area, record, attachment: id, from });
    }

    /// When a fetch is to be looked at.
    pub(super) fn next_fetch(&self) -> Option<MonoTime> {
        if self.room < Room::Everything {
            return None;
        }
        let due = |fetch: &Fetch| {
            let asked = fetch.asked.map(|(link, since)| {
                let thin = self.sessions.get(&link).is_some_and(|session| session.thin);
                since.plus_ms(silent_ms(thin))
            });
            asked.into_iter().chain(fetch.again).min()
        };
        self.fetches.0.values().filter_map(due).min()
    }

    /// A peer wants what follows of a file.
    pub(super) fn on_fetch(
        &mut self,
        link: Link,
        tag: Tag,
        record: RecordId,
        id: AttachmentId,
        from: u64,
    ) -> Outcome {
        let Some(session) = self.sessions.get(&link) else { return Ok(Ok(())) };
        let device = session.device;
        let waits = session.fetching.iter().any(|asked| asked.id == id);
        let is_full = session.fetching.len() >= ASKED_PER_LINK_MAX;
        // Who waits for an answer has no more to ask; after a long time it may ask again.
        if (waits || is_full)
            && let Err(fault) = self.charge(link, ASKED_AGAIN_COST)
        {
            return Ok(Err(fault));
        }
        if is_full && !waits {
            return Ok(Ok(()));
        }
        let area = self.area_of(link, tag).filter(|area| {
            self.right(*area, &device) >= Some(Right::Read)
                && self.own_right(*area) >= Some(Right::Read)
        });
        let shown = match area {
            // Of what is damaged here nothing is given.
            Some(_) => unless_damaged(self.records(|reader| reader.show(record)))?,
            None => None,
        };
        let shown = shown.filter(|shown| Some(shown.compartment) == area);
        let files = shown.map(|shown| Manifest::all(&shown.fields)).unwrap_or_default();
        let file = files.iter().find(|file| file.id == id).map(|file| (record, file.layout()));
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(Ok(())) };
        if let Some((_, at)) = session.last_part.take_if(|(last, _)| *last == id) {
            // It asks for what follows: the last part has come.
            session.window.acknowledged(self.clock.0.saturating_sub(at.0));
        }
        session.fetching.retain(|asked| asked.id != id);
        session.fetching.push_back(Asked { id, file, from });
        Ok(Ok(()))
    }

    /// The next part of a file that the peer asked for, when its lane is free.
    pub(super) fn next_part(
        &mut self,
        link: Link,
    ) -> Result<Option<(Urgency, Vec<u8>)>, StoreError> {
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(None) };
        if session.busy.has(Urgency::Routine) {
            return Ok(None);
        }
        let most =
            if session.thin { THIN_PART_BYTES } else { (session.window.0 / 2).min(PART_BYTES_MAX) };
        let Some(Asked { id, file, from }) = session.fetching.pop_front() else {
            return Ok(None);
        };
        session.last_part = Some((id, self.clock));
        let bytes = match file {
            Some(file) => self.part(file, &id, from, most)?,
            None => Vec::new(),
        };
        let frame = Frame::Part { attachment: id, from, bytes };
        Ok(Some((Urgency::Routine, frame.encode())))
    }

    /// What is here of a file from a place on.
    fn part(
        &self,
        (record, layout): (RecordId, Layout),
        id: &AttachmentId,
        from: u64,
        most: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let mut part = Vec::new();
        let (mut item, mut within) = layout.item_at(from);
        while part.len() < most && item <= layout.blocks() {
            let read = attachment::item(&self.store, &record, id, item).map(Some);
            let bytes = unless_damaged(read)?.unwrap_or_default();
            part.extend(bytes.get(within..).unwrap_or_default().iter().take(most - part.len()));
            // Behind an item that is not whole here, nothing follows.
            if bytes.len() < layout.item_bytes(item) {
                break;
            }
            (item, within) = (item + 1, 0);
        }
        Ok(part)
    }

    /// A part of a file came.
    pub(super) fn on_part(
        &mut self,
        link: Link,
        id: AttachmentId,
        from: u64,
        bytes: &[u8],
    ) -> Outcome {
        let fetch = self.fetches.0.get_mut(&id);
        let asked = |fetch: &Fetch| fetch.asked.is_some_and(|(of, _)| of == link);
        let Some(fetch) = fetch.filter(|fetch| asked(fetch) && fetch.from() == from) else {
            return Ok(self.charge(link, 1));
        };
        fetch.asked = None;
        if bytes.is_empty() {
            fetch.passed.insert(link);
            fetch.again.get_or_insert(self.clock.plus_ms(AGAIN_MS));
            return Ok(Ok(()));
        }
        if self.room < Room::Everything || self.shelf.tombstone(&fetch.record).is_some() {
            return Ok(Ok(()));
        }
        if bytes.len() as u64 > fetch.layout.sealed_bytes() - from {
            return Ok(Err(PeerFault::Attachment));
        }
        let (record, layout) = (fetch.record, fetch.layout);
        let mut batch = Batch::default();
        let mut list = match fetch.lacks.first() {
            Some(0) => Vec::new(),
            _ => {
                let read = attachment::item(&self.store, &record, &id, 0).map(Some);
                let Some(list) = unless_damaged(read)? else {
                    fetch.begin_again(0);
                    return Ok(Ok(()));
                };
                list
            }
        };
        let (mut at, mut left) = (from, bytes);
        while !left.is_empty() {
            let (item, within) = layout.item_at(at);
            let (now, later) = left.split_at(left.len().min(layout.item_bytes(item) - within));
            (left, at) = (later, at + now.len() as u64);
            // What is here whole was not asked for.
            if fetch.lacks.first() != Some(&item) {
                continue;
            }
            if fetch.part.is_empty() {
                fetch.item_from = Some(link);
            }
            fetch.part.extend(now);
            if fetch.part.len() == layout.item_bytes(item) {
                if !layout.holds(&id, &list, item, &fetch.part) {
                    // Of two who brought an item, it is not known who was wrong: it is begun again.
                    let is_theirs = fetch.item_from == Some(link);
                    fetch.begin_again(item);
                    attachment::remove(&mut batch, &record, &id, item);
                    self.apply(batch)?;
                    return Ok(if is_theirs { Err(PeerFault::Attachment) } else { Ok(()) });
                }
                let whole = std::mem::take(&mut fetch.part);
                if item == 0 {
                    list.clone_from(&whole);
                }
                attachment::put(&mut batch, &record, &id, item, whole);
                fetch.lacks.remove(&item);
            } else {
                attachment::put(&mut batch, &record, &id, item, fetch.part.clone());
            }
        }
        let is_whole = fetch.lacks.is_empty();
        self.apply(batch)?;
        if is_whole {
            self.fetches.0.remove(&id);
            self.outputs.push_back(Output::Event(Event::Fetched(record)));
        } else {
            self.ask_for(id);
        }
        Ok(Ok(()))
    }
}

/// After so long without an answer another is asked, in ms: on a thin link a part waits for what is more
/// urgent, and takes its time.
const fn silent_ms(thin: bool) -> u64 {
    if thin { 30 * 60_000 } else { 60_000 }
}

/// Bytes of a part on a thin link: what takes a few seconds.
const THIN_PART_BYTES: usize = 1_024;
/// Largest part, in bytes. Where the line carries less in a moment a part is smaller, as a run is: what is on its
/// way when a link is cut comes again.
pub(crate) const PART_BYTES_MAX: usize = 64 * 1024;
/// Most files that are fetched at a time.
const WANTED_MAX: usize = 64;
/// Most of them that one peer is asked for at a time.
const ASKED_PER_LINK_MAX: usize = 4;
/// What it costs to ask before what was asked is answered.
const ASKED_AGAIN_COST: usize = 64;
/// How long until those are asked again that had nothing, in ms.
const AGAIN_MS: u64 = 60_000;
