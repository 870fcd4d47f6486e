//! Drafts become entries: what an author seals, before the log places and signs it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::bounds::{CHANGE_TIME_MAX, DEPS_MAX};
use crate::change::BuildError;
use crate::change::strip::Implied;
use crate::document::{self, EditError, Patch};
use crate::entropy::Entropy;
use crate::entry::NO_EPOCH;
use crate::entry::run::NewEntry;
use crate::entry::sealed::{EntryKind, LogCipher, SealedHeader};
use crate::epoch::{EpochKeys, KeyBox};
use crate::hash::sha256;
use crate::id::{Class, EntryId, EpochId, LogId, RecordId};
use crate::logbook::{LogNo, Logbook};
use crate::store::{Store, StoreError};
use crate::time::WallTime;

use super::super::genesis::{Carried, LabelStatement, Writers, encode_change};
use super::super::kind::Kind;
use super::super::label::Label;
use super::super::receipt::Receipts;
use super::begun::{Beginning, Begun};
use super::thread::Thread;
use super::{ENTRIES_PER_LOG_MAX, Opened, Shelf, Standings, Verdict};

/// What an author wants to write.
#[derive(Clone, Debug)]
pub enum Draft {
    /// A new record.
    New {
        /// What it is about.
        kind: Kind,
        /// Its properties.
        fields: Map<String, Value>,
        /// Its first label.
        label: Label,
    },
    /// A new record that was built already.
    Begun(Arc<Beginning>),
    /// A change of a record.
    Edit {
        /// The record.
        record: RecordId,
        /// What changes.
        patch: Patch,
    },
    /// The same, where the record's source says so: an import.
    Bring {
        /// The record.
        record: RecordId,
        /// What the source says now.
        patch: Patch,
    },
    /// A further restriction, or, with citations, a release.
    Label {
        /// The record.
        record: RecordId,
        /// The label.
        label: Label,
        /// The statements that it lifts.
        cites: Vec<EntryId>,
    },
    /// What the author's changes in this log did that wait for something quarantined, said again
    /// ([`super::Reader::to_reauthor`]).
    Reauthor {
        /// The record.
        record: RecordId,
    },
}

/// Why a draft is not written.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// Its fields do not make a record.
    #[error("{0}")]
    Fields(#[from] BuildError),
    /// The record is not here, or is not visible: the same answer.
    #[error("no record you can see")]
    NoRecord,
    /// It was built for another log: this device began a new life meanwhile.
    #[error("the record was built for another log of this device; import it again")]
    OtherLog,
    /// The record is in another compartment than the one written to.
    #[error("the record is in another compartment")]
    OtherCompartment,
    /// Only the originating agency's devices may do this.
    #[error(
        "only the originating agency may do this; others write a record of their own that refers to it"
    )]
    NotWriter,
    /// It builds on an entry of another class, for which a flash would wait.
    #[error("a flash builds on flashes alone; write a new record that links this one")]
    Flash,
    /// The record has more concurrent heads than one change can join.
    #[error("the record has {0} concurrent versions; the limit is {DEPS_MAX}")]
    Heads(usize),
    /// The device's grants do not cover it: the entry would be quarantined on every peer.
    #[error("no grant of this device covers class {}, kind {kind} and the time {wall} together", class.name())]
    NotGranted {
        /// The class to write in.
        class: Class,
        /// The record's kind.
        kind: Kind,
        /// The entry's time.
        wall: WallTime,
    },
    /// The change cannot be made.
    #[error("{0}")]
    Edit(#[from] EditError),
    /// The epoch's payload key is gone.
    #[error("the compartment's epoch is retired")]
    Retired,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of a draft.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Written {
    /// The record.
    pub record: RecordId,
    /// Seq of its first entry in the author's log.
    pub seq: u64,
}

/// What drafts came to.
#[derive(Debug, Default)]
pub struct Prepared {
    /// The entries, in order.
    pub entries: Vec<NewEntry>,
    /// One for each draft.
    pub written: Vec<Written>,
    /// The records that begin among them.
    pub begun: Begun,
}

/// What the shelf works with while it prepares.
#[expect(missing_debug_implementations, reason = "holds trait objects of its caller")]
pub struct Writing<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The logs.
    pub logbook: &'a Logbook,
    /// The epochs that this device can open.
    pub keys: &'a BTreeMap<EpochId, EpochKeys>,
    /// Who is whose.
    pub standings: &'a dyn Standings,
    /// The author's log, under the epoch to write under.
    pub cipher: &'a LogCipher,
    /// The epochs that are closed to some whom that one is open to.
    pub closed: &'a BTreeSet<EpochId>,
    /// Seq of the first entry to be written.
    pub next_seq: u64,
    /// The author's clock; no entry is dated before the one that precedes it in the log, for all that.
    pub now: WallTime,
    /// Randomness for key boxes.
    pub entropy: &'a mut dyn Entropy,
}

impl Shelf {
    /// Seals drafts for the author's log. On an error nothing was prepared; it names the draft.
    pub fn prepare(
        &mut self,
        writing: &mut Writing<'_>,
        drafts: Vec<Draft>,
    ) -> Result<Prepared, (usize, DraftError)> {
        let mut prepared = Prepared::default();
        let digest = writing.cipher.log().digest();
        let mut edited = Vec::new();
        let latest = last_wall(writing.store, writing.logbook, writing.keys, writing.cipher.log());
        let mut latest = latest.map_err(|error| (0, error.into()))?.unwrap_or_default();
        for (index, draft) in drafts.into_iter().enumerate() {
            let at = |error: DraftError| (index, error);
            // No entry is dated before the one that precedes it in its log, whatever the clock says.
            if !matches!(draft, Draft::Begun(_)) {
                writing.now = writing.now.max(latest);
                latest = writing.now;
            }
            match draft {
                Draft::New { kind, fields, label } => {
                    let now = writing.now;
                    Beginning::build(&digest, kind, fields, label, now, writing.entropy)
                        .map_err(DraftError::from)
                        .and_then(|beginning| writing.prepare_new(beginning.into(), &mut prepared))
                        .map_err(at)?;
                }
                Draft::Begun(mut beginning) => {
                    if beginning.wall < latest {
                        let dated = beginning.dated(latest).map_err(|error| at(error.into()))?;
                        beginning = dated.into();
                    }
                    latest = beginning.wall;
                    writing.prepare_new(beginning, &mut prepared).map_err(at)?;
                }
                Draft::Edit { record, patch } => {
                    let change = (EntryKind::CHANGE, record, patch);
                    self.prepare_change(writing, &mut edited, change, &mut prepared).map_err(at)?;
                }
                Draft::Bring { record, patch } => {
                    let change = (EntryKind::BROUGHT, record, patch);
                    self.prepare_change(writing, &mut edited, change, &mut prepared).map_err(at)?;
                }
                Draft::Label { record, label, cites } => {
                    self.check_once(&mut edited, record).map_err(at)?;
                    let thread = self.thread(writing, record).map_err(at)?;
                    writing.prepare_rebase(thread, record, &mut prepared).map_err(at)?;
                    let statement = LabelStatement { label, cites };
                    writing.prepare_label(thread, record, &statement, &mut prepared).map_err(at)?;
                }
                Draft::Reauthor { record } => {
                    self.check_once(&mut edited, record).map_err(at)?;
                    let thread = self.thread(writing, record).map_err(at)?;
                    writing.prepare_rebase(thread, record, &mut prepared).map_err(at)?;
                    writing.prepare_reauthor(&digest, thread, record, &mut prepared).map_err(at)?;
                }
            }
        }
        Ok(prepared)
    }

    fn prepare_change(
        &mut self,
        writing: &mut Writing<'_>,
        edited: &mut Vec<RecordId>,
        (kind, record, patch): (EntryKind, RecordId, Patch),
        prepared: &mut Prepared,
    ) -> Result<(), DraftError> {
        self.check_once(edited, record)?;
        let digest = writing.cipher.log().digest();
        let thread = self.thread(writing, record)?;
        writing.prepare_rebase(thread, record, prepared)?;
        writing.prepare_edit(&digest, thread, (kind, record, &patch), prepared)
    }

    /// Two changes of one record in one act would have to build on each other before either is in
    /// its log.
    fn check_once(&self, edited: &mut Vec<RecordId>, record: RecordId) -> Result<(), DraftError> {
        if edited.contains(&record) {
            return Err(DraftError::Edit(EditError::Repeated));
        }
        edited.push(record);
        Ok(())
    }

    fn thread(&mut self, writing: &Writing<'_>, record: RecordId) -> Result<&Thread, DraftError> {
        let mut reader =
            self.reader(writing.store, writing.logbook, writing.keys, writing.standings);
        reader.load(record)?;
        self.threads.thread(&record).ok_or(DraftError::NoRecord)
    }
}

impl Writing<'_> {
    fn prepare_new(
        &mut self,
        beginning: Arc<Beginning>,
        prepared: &mut Prepared,
    ) -> Result<(), DraftError> {
        let Beginning { record, wall, key_box, .. } = *beginning;
        if beginning.log != self.cipher.log().digest() {
            return Err(DraftError::OtherLog);
        }
        self.check_granted(beginning.content.kind, wall)?;
        let first = self.next_seq + prepared.entries.len() as u64;
        for (n, payload) in beginning.payloads.iter().enumerate() {
            let seq = first + n as u64;
            let mut header = SealedHeader::genesis(record, wall);
            if n > 0 {
                header.kind = EntryKind::BROUGHT;
                header.box_seq = Some(first);
                header.own_deps = vec![seq - 1];
            }
            prepared.entries.push(self.entry(seq, &header, &key_box, payload)?);
        }
        prepared.written.push(Written { record, seq: first });
        prepared.begun.insert(first, beginning);
        Ok(())
    }

    fn prepare_edit(
        &mut self,
        digest: &[u8; 32],
        thread: &Thread,
        (kind, record, patch): (EntryKind, RecordId, &Patch),
        prepared: &mut Prepared,
    ) -> Result<(), DraftError> {
        let seq = self.next_seq + prepared.entries.len() as u64;
        if thread.is_full() {
            return Err(EditError::Full.into());
        }
        let mut header = self.header_on(kind, true, thread, record, thread.heads())?;
        let actor = document::actor(digest, &record, header.run);
        let actor_seq = thread.next_seq(self.log_no(), header.run);
        let time = change_time(header.wall);
        let change = thread.document().edit(actor, actor_seq, time, patch)?;
        let key_box = self.key_box(thread, &mut header);
        let change = Carried::of_chunk(&change, &Implied { actor, time, first: false });
        prepared.entries.push(self.entry(seq, &header, &key_box, &encode_change(&change))?);
        prepared.written.push(Written { record, seq });
        Ok(())
    }

    fn prepare_label(
        &mut self,
        thread: &Thread,
        record: RecordId,
        statement: &LabelStatement,
        prepared: &mut Prepared,
    ) -> Result<(), DraftError> {
        let seq = self.next_seq + prepared.entries.len() as u64;
        let (open, heads) = (statement.cites.is_empty(), thread.heads());
        let mut header = self.header_on(EntryKind::LABEL, open, thread, record, heads)?;
        let key_box = self.key_box(thread, &mut header);
        prepared.entries.push(self.entry(seq, &header, &key_box, &statement.encode())?);
        prepared.written.push(Written { record, seq });
        Ok(())
    }

    /// A header that depends on these entries of the record. `open`: whoever may write the compartment may
    /// do this where the record is open to it.
    pub(super) fn header_on(
        &self,
        kind: EntryKind,
        open: bool,
        thread: &Thread,
        record: RecordId,
        heads: Vec<&Opened>,
    ) -> Result<SealedHeader, DraftError> {
        let writers = thread.writers().ok_or(DraftError::NoRecord)?;
        let log = self.cipher.log();
        let beginning = thread.origin().ok_or(DraftError::NoRecord)?;
        if beginning.compartment != log.compartment {
            return Err(DraftError::OtherCompartment);
        }
        let agency = |device| self.standings.agency(&log.compartment, device);
        let same =
            agency(&log.device).is_some() && agency(&log.device) == agency(&beginning.device);
        if !(same || open && writers == Writers::Compartment) {
            return Err(DraftError::NotWriter);
        }
        if heads.len() > DEPS_MAX {
            return Err(DraftError::Heads(heads.len()));
        }
        // A restriction waits for nothing.
        let waits = kind != EntryKind::LABEL || !open;
        let urgent = |head: &&Opened| head.log.class == Class::Flash;
        if log.class == Class::Flash && waits && !heads.iter().all(urgent) {
            return Err(DraftError::Flash);
        }
        let no = self.log_no();
        if no.is_some_and(|no| thread.entries_of(no) >= ENTRIES_PER_LOG_MAX) {
            // Nobody would list it.
            return Err(EditError::Full.into());
        }
        let (run, wall) = (thread.next_run(no, &heads), self.now);
        self.check_granted(thread.kind().ok_or(DraftError::NoRecord)?, wall)?;
        let mut own_deps = Vec::new();
        let mut deps = Vec::new();
        for head in heads {
            if head.log == *log {
                own_deps.push(head.place.seq);
            } else {
                deps.push(head.id);
            }
        }
        own_deps.sort_unstable();
        deps.sort_unstable();
        let replaces = vec![];
        Ok(SealedHeader { kind, record, wall, run, box_seq: None, own_deps, deps, replaces })
    }

    fn check_granted(&self, kind: Kind, wall: WallTime) -> Result<(), DraftError> {
        let log = self.cipher.log();
        if self.standings.allows(log, kind, wall) {
            return Ok(());
        }
        Err(DraftError::NotGranted { class: log.class, kind, wall })
    }

    /// The author's log's number, if it has entries.
    pub(super) fn log_no(&self) -> Option<LogNo> {
        self.logbook.state(self.cipher.log()).map(|state| state.no)
    }

    /// The box of the record in this log: the one that is there, or a fresh one. A flash carries
    /// its own, so that it opens alone. A box is bound to no epoch; the key drawn from it is.
    pub(super) fn key_box(&mut self, thread: &Thread, header: &mut SealedHeader) -> KeyBox {
        let log = self.cipher.log();
        let known =
            self.log_no().filter(|_| log.class != Class::Flash).and_then(|no| thread.box_seq(no));
        if let Some((seq, key_box)) = known {
            header.box_seq = Some(seq);
            return key_box;
        }
        let mut key_box = KeyBox::default();
        self.entropy.fill(&mut key_box);
        key_box
    }

    pub(super) fn entry(
        &self,
        seq: u64,
        header: &SealedHeader,
        key_box: &KeyBox,
        payload: &[u8],
    ) -> Result<NewEntry, DraftError> {
        let sealed = self.cipher.seal_header(seq, header);
        let payload = self
            .cipher
            .seal_payload(seq, (header, &sha256(&sealed)), key_box, payload)
            .ok_or(DraftError::Retired)?;
        Ok(NewEntry {
            epoch: self.cipher.epoch(),
            sealed,
            key_box: header.box_seq.is_none().then_some(*key_box),
            payload: Some(payload),
        })
    }
}

/// The time of the last entry of a log, by its author; `None` if it says none, or cannot be read here.
pub fn last_wall(
    store: &dyn Store,
    logbook: &Logbook,
    keys: &BTreeMap<EpochId, EpochKeys>,
    log: &LogId,
) -> Result<Option<WallTime>, StoreError> {
    let Some(seq) = logbook.head(log).next.checked_sub(1) else { return Ok(None) };
    let entry = match logbook.entry(store, log, seq) {
        Err(StoreError::Damaged { .. }) => return Ok(None),
        entry => entry?,
    };
    let Some(entry) = entry.filter(|_| log.class != Class::Authority) else { return Ok(None) };
    if entry.epoch == NO_EPOCH {
        return Ok(Receipts::decode(&entry.sealed).ok().map(|receipts| receipts.wall));
    }
    let cipher = keys.get(&entry.epoch).map(|keys| LogCipher::new(*log, entry.epoch, keys.clone()));
    let header =
        cipher.map(|cipher| cipher.open_header(seq, &entry.sealed, entry.box_hash.as_ref()));
    Ok(header.and_then(Result::ok).map(|header| header.wall))
}

/// A change's time: the entry's, in what changes can say.
pub(super) fn change_time(wall: WallTime) -> i64 {
    i64::try_from(wall.0).unwrap_or(CHANGE_TIME_MAX).min(CHANGE_TIME_MAX)
}

/// Where a record's genesis is.
impl Thread {
    fn origin(&self) -> Option<&LogId> {
        self.entries()
            .find(|(opened, verdict)| {
                opened.header.kind == EntryKind::GENESIS
                    && matches!(verdict, Verdict::Materialised | Verdict::HeldBack)
            })
            .map(|(opened, _)| &opened.log)
    }
}
