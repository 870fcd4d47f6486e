//! The audit log: who collected, changed, consulted, disclosed, combined or erased what on this peer, when,
//! for which purpose, and how that went (Directive (EU) 2016/680, article 25).
//!
//! Entries are only ever appended. Each holds the hash of the one before it, as a log's entries do, so that
//! none can be altered, moved or taken out unnoticed; and where the chain ends is kept in a file of its own,
//! so that one that was cut is found, too. Everything is sealed under a key of this device. An entry is on
//! the disk before what it is about is answered: what cannot be written down is not done.
//!
//! ```text
//! HOME/audit/head                       first entry kept, next entry, hash of the last
//! HOME/audit/00000000000000000000.log   entries from 0 on: segments, each named by its first entry
//! ```
//!
//! An entry names records by their random ids and says nothing of what is in them, so that the log outlives
//! an erasure. When there are `SEGMENTS_MAX` segments the oldest goes, and an entry says up to where. What a
//! stranger can do without end, to be refused, is counted (`refusals`), so that he pushes nothing out.

mod refusals;
mod segment;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tearline_crdt::hash::{Digest, sha256};
use tearline_crdt::seal::{self, Key};
use tearline_crdt::time::WallTime;

use self::refusals::Refusals;
use self::segment::{Found, Segment};
use crate::failure::{Failure, Kind};
use crate::files::{create_private, random, read_whole, regular, write_atomically};
use crate::home::Home;

/// Bytes after which a segment is full.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Most segments: 1 GiB, some millions of entries.
const SEGMENTS_MAX: usize = 256;
/// Most records that an entry names; of more it says how many.
pub const RECORDS_MAX: usize = 100;
/// Longest text of an entry, in bytes; longer ones are cut.
const TEXT_BYTES_MAX: usize = 200;
/// Most entries of one page.
pub const PAGE_ENTRIES_MAX: u32 = 500;

/// What was done: the six of article 25 (1), and what is done around them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Somebody signed in or out, or tried to.
    Login,
    /// Something came to be recorded.
    Collection,
    /// A record was changed.
    Change,
    /// Records were read, listed or searched.
    Consultation,
    /// Records were given to others.
    Disclosure,
    /// Records were linked, or several values made one.
    Combination,
    /// A record was erased, restricted, held or recalled.
    Erasure,
    /// Operators, rights, keys or the log itself were administered.
    Administration,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Login,
        Self::Collection,
        Self::Change,
        Self::Consultation,
        Self::Disclosure,
        Self::Combination,
        Self::Erasure,
        Self::Administration,
    ];

    /// Its name, as in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Collection => "collection",
            Self::Change => "change",
            Self::Consultation => "consultation",
            Self::Disclosure => "disclosure",
            Self::Combination => "combination",
            Self::Erasure => "erasure",
            Self::Administration => "administration",
        }
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was asked for; what is answered comes after this entry.
    #[default]
    Asked,
    /// It was done.
    Done,
    /// It was refused, or failed.
    Refused,
}

/// What is written down.
#[derive(Clone, Debug)]
pub struct Note {
    /// What was done.
    pub event: Event,
    /// Who: an operator's name; [`CONSOLE`] for the command line.
    pub operator: String,
    /// As what: the name of a role.
    pub role: String,
    /// For which purpose; empty where none is asked.
    pub purpose: String,
    /// By which act: the tag of a request, a route.
    pub act: String,
    /// Which records.
    pub records: Vec<String>,
    /// What else is to be known: a reason. Never a record's content.
    pub detail: String,
    /// How it went.
    pub outcome: Outcome,
}

/// Who acts at the command line.
pub const CONSOLE: &str = "console";

/// An entry.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its number, from 0.
    pub seq: u64,
    /// When, by this peer's clock.
    pub at: String,
    /// What was done.
    pub event: Event,
    /// Who.
    pub operator: String,
    /// As what.
    pub role: String,
    /// For which purpose.
    pub purpose: String,
    /// By which act.
    pub act: String,
    /// Which records: the first [`RECORDS_MAX`].
    pub records: Vec<String>,
    /// How many more.
    pub more_records: u64,
    /// What else is to be known.
    pub detail: String,
    /// How it went.
    pub outcome: Outcome,
}

/// An entry in its chain.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The entry.
    pub entry: Entry,
    /// The hash of the one before it, 64 hexadecimal digits; zeros before the first.
    pub previous: String,
    /// Its own hash: SHA-256 of a tag, the hash before it, and the entry as compact JSON.
    pub hash: String,
}

/// What a chain was found to be.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Verified {
    /// The first entry that is kept.
    pub first: u64,
    /// How many entries were read.
    pub entries: u64,
    /// The hash of the last, 64 hexadecimal digits. Whoever notes it elsewhere can tell a log that was
    /// put back to an older state.
    pub head: String,
    /// What does not hold; empty if all does.
    pub faults: Vec<String>,
}

/// Why nothing was written down.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The disk refused.
    #[error("the audit log cannot be written: {0}")]
    Write(#[source] io::Error),
    /// The system refused.
    #[error("the audit log cannot be written: {0}")]
    Refused(Failure),
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Write(cause) => Self::io("the audit log cannot be written", &cause)
                .hint("make room on the disk; nothing is answered that cannot be written down"),
            AuditError::Refused(failure) => failure,
        }
    }
}

/// The audit log of a home.
#[derive(Debug)]
pub struct Audit {
    folder: PathBuf,
    key: Key,
    tail: Mutex<Tail>,
}

/// Where the log ends.
#[derive(Debug, Default)]
struct Tail {
    head: Head,
    segment: Option<Segment>,
    refusals: Refusals,
}

/// What the head's file says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Head {
    first: u64,
    next: u64,
    hash: Digest,
}

impl Audit {
    /// Opens a home's log, or begins it. A log that is not what its head says goes on behind the break, which
    /// [`Audit::verify`] finds: a peer starts all the same.
    pub fn open(home: &Home, device_seed: &[u8; 32]) -> Result<Self, Failure> {
        let folder = home.root().join("audit");
        create_private(&folder)?;
        let key = seal::derive(device_seed, &[], &[b"tearline/1/audit-key"]);
        let audit = Self { folder, key, tail: Mutex::default() };
        let segments = audit.segments()?;
        let mut broken = None;
        let head = match audit.read_head() {
            Err(failure) if failure.kind == Kind::Integrity => {
                broken = Some(failure.what);
                None
            }
            // It is on the disk before the first entry is.
            Ok(None) if segments.is_empty() => {
                let begin = Head::default();
                write_atomically(&audit.folder.join(HEAD_FILE), &audit.sealed(&begin)?)?;
                Some(begin)
            }
            Ok(None) => {
                broken = Some(NO_HEAD.into());
                None
            }
            read => read?,
        };
        let first = segments.first().copied().unwrap_or_default();
        let head = head.unwrap_or(Head { first, ..Head::default() });
        let mut tail = Tail { head, ..Tail::default() };
        if let Some(&last) = segments.last() {
            let found = audit.read_segment(last)?;
            let ends = found.links.last().map(|(link, hash)| (link.entry.seq + 1, *hash));
            match ends {
                // One that was written before its head was.
                Some((next, hash)) if next >= tail.head.next => {
                    tail.head = Head { next, hash, ..tail.head };
                    tail.segment = Some(audit.reopen(last, found.whole_bytes)?);
                }
                _ if tail.head.next > last => {
                    let ends = ends.map_or(last, |(next, _)| next);
                    broken = Some(format!("entries from {ends} to {} are lost", tail.head.next));
                }
                _ => tail.segment = Some(audit.reopen(last, found.whole_bytes)?),
            }
        } else if tail.head.next > 0 {
            broken = Some(format!("entries up to {} are lost", tail.head.next));
        }
        *audit.tail.lock().unwrap_or_else(PoisonError::into_inner) = tail;
        if let Some(what) = broken {
            tracing::error!(what, "the audit log was cut");
            audit.append(administration(FOUND_BROKEN, what))?;
        }
        Ok(audit)
    }

    /// Writes an entry, durably.
    pub fn append(&self, note: Note) -> Result<(), AuditError> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        for gathered in tail.refusals.due(Instant::now()) {
            self.add(&mut tail, gathered)?;
        }
        self.add(&mut tail, note)
    }

    /// Writes down that a sign-in was refused: durably, or counted with others of its hour. `operator` is
    /// empty in the note unless somebody here has that name.
    pub fn append_refusal(&self, note: Note) -> Result<(), AuditError> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        for note in tail.refusals.take(note, Instant::now()) {
            self.add(&mut tail, note)?;
        }
        Ok(())
    }

    /// Writes down what was counted so far, for whoever reads the log now.
    fn append_gathered(&self) -> Result<(), AuditError> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        for note in tail.refusals.all() {
            self.add(&mut tail, note)?;
        }
        Ok(())
    }

    fn add(&self, tail: &mut Tail, note: Note) -> Result<(), AuditError> {
        let full = tail.segment.as_ref().is_some_and(|segment| segment.bytes >= SEGMENT_BYTES);
        if full {
            tail.segment = None;
            self.drop_oldest(tail)?;
        }
        self.put(tail, note)
    }

    fn put(&self, tail: &mut Tail, note: Note) -> Result<(), AuditError> {
        let entry = note.into_entry(tail.head.next);
        let text = serde_json::to_vec(&entry).unwrap_or_default();
        let hash = chained(&tail.head.hash, &text);
        let frame = segment::frame(&self.key, entry.seq, &tail.head.hash, &text)
            .map_err(AuditError::Refused)?;
        let segment = match &mut tail.segment {
            Some(segment) => segment,
            none => none.insert(Segment::create(&self.path(entry.seq)).map_err(AuditError::Write)?),
        };
        if let Err(error) = segment.append(&frame) {
            // What is half written must not stand before the next.
            tail.segment = None;
            return Err(AuditError::Write(error));
        }
        tail.head = Head { next: entry.seq + 1, hash, ..tail.head };
        self.write_head(&tail.head).map_err(AuditError::Refused)
    }

    /// Removes the oldest segment if there are too many, and writes down up to where it went.
    fn drop_oldest(&self, tail: &mut Tail) -> Result<(), AuditError> {
        let segments = self.segments().map_err(AuditError::Refused)?;
        let (Some(oldest), Some(next)) = (segments.first(), segments.get(1)) else { return Ok(()) };
        if segments.len() < SEGMENTS_MAX {
            return Ok(());
        }
        fs::remove_file(self.path(*oldest)).map_err(AuditError::Write)?;
        tail.head.first = *next;
        self.put(tail, administration("audit.rotate", format!("entries before {next} were let go")))
    }

    /// A page of the log, newest first, before an entry; and where the next page begins.
    pub fn page(
        &self,
        before: Option<u64>,
        limit: u32,
        wanted: &dyn Fn(&Entry) -> bool,
    ) -> Result<(Vec<Link>, Option<u64>), Failure> {
        self.append_gathered()?;
        let before = before.unwrap_or(u64::MAX);
        let mut page: Vec<Link> = Vec::new();
        let segments = self.segments()?;
        for first in segments.into_iter().rev().filter(|first| *first < before) {
            let found = self.read_segment(first)?;
            for (link, _) in found.links.into_iter().rev() {
                if link.entry.seq >= before || !wanted(&link.entry) {
                    continue;
                }
                if page.len() >= limit.min(PAGE_ENTRIES_MAX) as usize {
                    return Ok((page.clone(), page.last().map(|last| last.entry.seq)));
                }
                page.push(link);
            }
        }
        Ok((page, None))
    }

    /// A page of the log, oldest first, from an entry on.
    pub fn read(&self, from: u64, limit: u32) -> Result<Vec<Link>, Failure> {
        self.append_gathered()?;
        let segments = self.segments()?;
        let begin = segments.partition_point(|first| *first <= from).saturating_sub(1);
        let mut page = Vec::new();
        for first in segments.into_iter().skip(begin) {
            let found = self.read_segment(first)?;
            let links = found.links.into_iter().map(|(link, _)| link);
            page.extend(links.filter(|link| link.entry.seq >= from));
            if page.len() >= limit as usize {
                page.truncate(limit as usize);
                break;
            }
        }
        Ok(page)
    }

    /// Reads the whole log and says what of it does not hold.
    pub fn verify(&self) -> Result<Verified, Failure> {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let without_head = |what: String| -> Result<(Head, Chain), Failure> {
            let mut chain = Chain::new(self.segments()?.first().copied().unwrap_or_default());
            chain.fault(what);
            Ok((Head::default(), chain))
        };
        let (head, mut chain) = match self.read_head() {
            Ok(Some(head)) => (head, Chain::new(head.first)),
            Ok(None) => without_head(NO_HEAD.into())?,
            Err(failure) if failure.kind == Kind::Integrity => without_head(failure.what)?,
            Err(failure) => return Err(failure),
        };
        for first in self.segments()? {
            let found = self.read_segment(first)?;
            for (link, _) in &found.links {
                chain.add(link);
            }
            if let Some(what) = found.broken {
                chain.fault(format!("segment {first}: {what}"));
            }
        }
        drop(tail);
        if chain.next < head.next {
            let (ends, next) = (chain.next, head.next);
            chain.fault(format!("the log was cut: it ends at {ends}, and had {next} entries"));
        } else if chain.next == head.next && chain.next > head.first && chain.hash != head.hash {
            chain.fault("the last entry is another than was written".into());
        }
        Ok(chain.verified())
    }

    fn path(&self, first: u64) -> PathBuf {
        self.folder.join(format!("{first:020}.log"))
    }

    /// The first entries of the segments there are, ascending.
    fn segments(&self) -> Result<Vec<u64>, Failure> {
        let failed =
            |e: io::Error| Failure::io(format_args!("cannot read {}", self.folder.display()), &e);
        let mut segments = Vec::new();
        for found in fs::read_dir(&self.folder).map_err(failed)? {
            let name = found.map_err(failed)?.file_name();
            let first: Option<u64> =
                name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok());
            segments.extend(first);
        }
        segments.sort_unstable();
        Ok(segments)
    }

    fn read_segment(&self, first: u64) -> Result<Found, Failure> {
        let most = usize::try_from(SEGMENT_BYTES).unwrap_or(usize::MAX) + segment::FRAME_BYTES_MAX;
        let bytes = read_whole(&self.path(first), most)?.unwrap_or_default();
        Ok(segment::read(&self.key, first, &bytes))
    }

    fn reopen(&self, first: u64, whole_bytes: u64) -> Result<Segment, Failure> {
        let path = self.path(first);
        Segment::reopen(&path, whole_bytes)
            .map_err(|e| Failure::io(format_args!("cannot open {}", path.display()), &e))
    }

    fn read_head(&self) -> Result<Option<Head>, Failure> {
        let Some(bytes) = read_whole(&self.folder.join(HEAD_FILE), HEAD_BYTES_MAX)? else {
            return Ok(None);
        };
        let broken = || Failure::new(Kind::Integrity, "the head of the audit log does not open");
        let (nonce, sealed) = bytes.split_first_chunk().ok_or_else(broken)?;
        let plain = seal::open(&self.key, nonce, HEAD_TAG, sealed).map_err(|_| broken())?;
        let (first, rest) = plain.split_first_chunk().ok_or_else(broken)?;
        let (next, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let hash = rest.try_into().map_err(|_| broken())?;
        let (first, next) = (u64::from_be_bytes(*first), u64::from_be_bytes(*next));
        Ok(Some(Head { first, next, hash }))
    }

    /// Written over, and not waited for: a head that is older than the log says nothing wrong of it.
    fn write_head(&self, head: &Head) -> Result<(), Failure> {
        let sealed = self.sealed(head)?;
        let path = self.folder.join(HEAD_FILE);
        let failed =
            |e: io::Error| Failure::io(format_args!("cannot write {}", path.display()), &e);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let file = regular(options, &path).map_err(failed)?;
        file.write_all_at(&sealed, 0).map_err(failed)
    }

    fn sealed(&self, head: &Head) -> Result<Vec<u8>, Failure> {
        let mut nonce = [0; 12];
        random(&mut nonce)?;
        let plain = [&head.first.to_be_bytes()[..], &head.next.to_be_bytes(), &head.hash].concat();
        Ok([&nonce[..], &seal::seal(&self.key, &nonce, HEAD_TAG, &plain)].concat())
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        if let Err(error) = self.append_gathered() {
            tracing::error!(%error, "refused sign-ins are not in the audit log");
        }
    }
}

impl Note {
    fn into_entry(self, seq: u64) -> Entry {
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        let mut records = self.records;
        let more_records = records.len().saturating_sub(RECORDS_MAX) as u64;
        records.truncate(RECORDS_MAX);
        Entry {
            seq,
            at: WallTime(u64::try_from(ms).unwrap_or(u64::MAX)).to_string(),
            event: self.event,
            operator: cut(self.operator),
            role: cut(self.role),
            purpose: cut(self.purpose),
            act: cut(self.act),
            records: records.into_iter().map(cut).collect(),
            more_records,
            detail: cut(self.detail),
            outcome: self.outcome,
        }
    }
}

/// An entry that the log makes of itself.
fn administration(act: &str, detail: String) -> Note {
    Note {
        event: Event::Administration,
        operator: CONSOLE.into(),
        role: String::new(),
        purpose: String::new(),
        act: act.into(),
        records: Vec::new(),
        detail,
        outcome: Outcome::Done,
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}

/// Reads a chain, link by link.
#[derive(Debug)]
pub struct Chain {
    first: u64,
    next: u64,
    entries: u64,
    hash: Digest,
    faults: Vec<String>,
}

impl Chain {
    /// A chain whose first entry that is kept has this number.
    #[must_use]
    pub fn new(first: u64) -> Self {
        Self { first, next: first, entries: 0, hash: Digest::default(), faults: Vec::new() }
    }

    /// Takes the next link.
    pub fn add(&mut self, link: &Link) {
        let seq = link.entry.seq;
        if seq != self.next {
            self.fault(format!(
                "after {} entries comes number {seq}, not {}",
                self.entries, self.next
            ));
        }
        let previous = unhex(&link.previous).unwrap_or_default();
        // Before the first that is kept there were others, unless it is number 0.
        if (self.entries > 0 || seq == 0) && previous != self.hash {
            self.fault(format!("entry {seq} does not follow the one before it"));
        }
        let text = serde_json::to_vec(&link.entry).unwrap_or_default();
        let hash = chained(&previous, &text);
        if unhex(&link.hash) != Some(hash) {
            self.fault(format!("entry {seq} is not what was written"));
        }
        if link.entry.act == FOUND_BROKEN {
            self.fault(format!(
                "entry {seq}, of {}: this peer found at its start that {}",
                link.entry.at, link.entry.detail
            ));
        }
        (self.next, self.hash) = (seq + 1, hash);
        self.entries += 1;
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(what);
        }
    }

    /// What it was found to be.
    #[must_use]
    pub fn verified(self) -> Verified {
        let Self { first, entries, hash, faults, .. } = self;
        Verified { first, entries, head: hex(&hash), faults }
    }
}

/// The hash of an entry behind another.
fn chained(previous: &Digest, text: &[u8]) -> Digest {
    sha256(&[b"tearline/1/audit\0", &previous[..], text].concat())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Digest> {
    let mut out = Digest::default();
    if text.len() != 2 * out.len() || !text.is_ascii() {
        return None;
    }
    for (byte, at) in out.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(out)
}

/// The act of an entry that says what a peer found broken when it started; whoever reads the chain finds it.
const FOUND_BROKEN: &str = "audit.open";
const NO_HEAD: &str = "the file that says where the audit log ends is gone: nobody can tell whether its end was cut off";
/// Most faults that are listed.
const FAULTS_MAX: usize = 100;
const HEAD_FILE: &str = "head";
const HEAD_TAG: &[u8] = b"tearline/1/audit-head";
const HEAD_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests;
