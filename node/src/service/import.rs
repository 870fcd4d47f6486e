//! Import: records of files, many in one act.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use tearline_crdt::hash::Digest;
use tearline_crdt::id::{Class, CompartmentId, LogId};
use tearline_crdt::record::kind::Kind as RecordKind;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::shelf::{Beginning, Detail, Draft, DraftError};
use tearline_crdt::record::validate::doubts;
use tearline_crdt::record::vocabulary::Tlp;
use tearline_crdt::store::StoreError;
use tearline_mesh::replica::{ActError, Ticket};

use super::core::{Clock, Core, CoreHandle, Pending};
use super::edge::object;
use super::export::row_of;
use super::known::{Known, WRITTEN_HERE, dissent, hidden_record, is_native_as};
use super::merge::{BY_ANOTHER, Merge, is_by_another, is_older, merge};
use super::names::{class, label};
use super::sight::Guest;
use super::{SystemEntropy, json};
use crate::control::{self, Progress, Report, Source, reply};
use crate::exchange::csv::Mapping;
use crate::exchange::{self, Item};
use crate::failure::{Failure, Kind};
use crate::files::{open_named, read_text, regular};
use crate::index::external_id;
use crate::pass::Operation;

/// Drafts that are written in one act of an import; fewer in the first, so that the core begins early.
const DRAFTS_PER_ACT: usize = 256;
const DRAFTS_FIRST: usize = 32;
/// Most acts that wait for the core or are under way: it never waits for a thread to wake.
const ACTS_MAX: usize = 2;
/// Bytes of the file whose drafts are written in one act: bounds what waits in memory.
const FILE_BYTES_PER_ACT: u64 = 256 * 1024;
/// Longest that an act takes the core's thread, but for its last object and for writing those that are new: what
/// is left is the next act.
const ACT_TIME_MAX: Duration = Duration::from_millis(100);
/// Most bytes of a mapping file.
const MAPPING_BYTES_MAX: usize = 64 * 1024;
/// Problems that an import reports in full; the rest are counted.
const PROBLEMS_MAX: usize = 100;
/// Records that an import names because edits of them were kept; all are counted.
const KEPT_MAX: usize = 1_000;

/// What one import has come to.
#[derive(Default)]
struct Tally {
    /// For whom, if that is not the operator.
    guest: Option<Guest>,
    /// Whether the report has all problems in full.
    names_all: bool,
    report: reply::Imported,
    waiting: Vec<Read>,
    last: Option<Ticket>,
    /// The acts that the core is at while the next is read, in order.
    under_way: VecDeque<Pending<Imported>>,
    /// Set when an act leaves something: those behind it then leave all, so that what stands later in a
    /// file is written later.
    broken_off: Arc<AtomicBool>,
    /// Acts so far.
    acts: u32,
}

/// An object that was read and built, and where.
struct Read {
    beginning: Arc<Beginning>,
    kind: RecordKind,
    /// The colour of its label.
    tlp: Tlp,
    /// The label that the command or the object names; `None` where only the default holds.
    named: Option<Label>,
    file: Arc<str>,
    place: String,
    /// Whether its source has more to say of it.
    partial: bool,
}

impl Read {
    fn refused(self, reason: String) -> reply::Problem {
        reply::Problem { file: self.file.as_ref().into(), place: self.place, reason }
    }
}

/// Why a file was not read to its end.
enum Broken {
    /// It is the file.
    File(Failure),
    /// It is this device: no file can be imported.
    Import(Failure),
}

/// Reads files and writes a record for each good object. A file that is missing or breaks off is a problem.
pub(super) fn import(
    core: &CoreHandle,
    import: &control::Import,
    progress: &mut Report<'_>,
) -> Result<Value, Failure> {
    let class = class(import.class.as_deref())?;
    let least = import.label.as_deref().map(label).transpose()?;
    let mapping = import.map.as_deref().map(read_mapping).transpose()?;
    let named = import.compartment.clone();
    let target = core.ask(move |core| {
        let id = core.named_compartment(&named)?;
        Target::of(core, id, class, least)
    })?;
    let mut tally = Tally::default();
    let mut failed = None;
    let mut unread = None;
    for path in &import.files {
        let file: Arc<str> = if import.stdin.as_ref() == Some(path) {
            STANDARD_INPUT.into()
        } else {
            path.display().to_string().into()
        };
        let mut intake = Intake { core, target: &target, tally: &mut tally, progress };
        match intake.file(import, path, &file, mapping.as_ref()) {
            Ok(()) => {}
            Err(Broken::File(failure)) => {
                tally.report.broken_files += 1;
                tally.report.problems.push(reply::Problem {
                    file: file.as_ref().into(),
                    place: "the file".into(),
                    reason: failure.what.clone(),
                });
                unread.get_or_insert(failure);
            }
            Err(Broken::Import(failure)) => {
                failed = Some(failure);
                break;
            }
        }
    }
    if failed.is_none() {
        let mut told =
            || progress(Progress { note: "the last objects".into(), ..Progress::default() });
        let written = tally.flush(core, &target, &mut told);
        failed = written.and_then(|()| tally.settle(0, core, &target, &mut told)).err();
    }
    if failed.is_some() {
        tally.abandon();
    }
    let durable = match tally.last {
        Some(_) => core.act(|core| Ok(((), core.replica.settled()))),
        None => Ok(()),
    };
    if let Some(failure) = failed.or(durable.err()) {
        return Err(Failure {
            what: format!(
                "{} ({} records were written before it)",
                failure.what, tally.report.created
            ),
            ..failure
        });
    }
    match unread {
        Some(failure)
            if tally.report.read == 0 && tally.report.broken_files == import.files.len() as u64 =>
        {
            Err(failure)
        }
        _ => json(&tally.report),
    }
}

/// Takes objects from the holder of a pass, and waits until they are durable; says which were refused, by
/// their places. Objects that the pass does not cover, or that would change a record which it does not
/// cover, are refused alike.
pub(super) fn take(
    core: &CoreHandle,
    guest: &Guest,
    compartment: CompartmentId,
    drafts: Vec<exchange::Draft>,
) -> Result<Vec<reply::Problem>, Failure> {
    let class = Class::Routine;
    let target = core.ask(move |core| {
        core.stands()?;
        core.check_room()?;
        Target::of(core, compartment, class, None)
    })?;
    let file: Arc<str> = "the request".into();
    let mut tally = Tally { guest: Some(guest.clone()), names_all: true, ..Tally::default() };
    let written = tally.take(core, &target, drafts, &file);
    if written.is_err() {
        tally.abandon();
    }
    core.act(|core| Ok(((), core.replica.settled())))?;
    written.map(|()| tally.report.problems)
}

/// What is said of an object that a pass does not cover, whether it would be new or change what is there.
const NOT_COVERED: &str = "the pass does not cover it";

/// Where to an import writes.
struct Target {
    log: LogId,
    digest: Digest,
    /// The label of what names none.
    default: Label,
    /// The label that the command names.
    named: Option<Label>,
    clock: Clock,
}

impl Target {
    /// Where to a command or a program writes.
    fn of(
        core: &Core,
        compartment: CompartmentId,
        class: Class,
        named: Option<Label>,
    ) -> Result<Self, Failure> {
        let log = core.replica.own_log(compartment, class);
        let (digest, default) = (log.digest(), core.label_or_default(None)?);
        Ok(Self { log, digest, default, named, clock: core.clock() })
    }

    /// Builds the record that an object is if it is new here; or says where it is and why it is none.
    fn build(&self, draft: exchange::Draft, file: &Arc<str>) -> Result<Read, (String, String)> {
        let Self { digest, default, named, clock, .. } = self;
        let marking = draft.marking.and_then(|marking| marking.parse::<Label>().ok());
        let label = named.as_ref().unwrap_or(default);
        let label = marking.as_ref().map_or_else(|| label.clone(), |m| label.join(m));
        let named = (named.is_some() || marking.is_some()).then(|| label.clone());
        let (kind, fields, wall) = (draft.kind, draft.fields, clock.now().wall);
        let tlp = label.tlp;
        match Beginning::build(digest, kind, fields, label, wall, &mut SystemEntropy) {
            Ok(beginning) => Ok(Read {
                beginning: Arc::new(beginning),
                kind,
                tlp,
                named,
                file: Arc::clone(file),
                place: draft.place,
                partial: draft.partial,
            }),
            Err(error) => Err((draft.place, error.to_string())),
        }
    }
}

fn read_mapping(path: &Path) -> Result<Mapping, Failure> {
    let text = read_text(path, MAPPING_BYTES_MAX)?;
    Mapping::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// An import that is under way.
struct Intake<'a, 'r> {
    core: &'a CoreHandle,
    target: &'a Target,
    tally: &'a mut Tally,
    progress: &'a mut Report<'r>,
}

impl Intake<'_, '_> {
    fn file(
        &mut self,
        import: &control::Import,
        path: &Path,
        name: &Arc<str>,
        mapping: Option<&Mapping>,
    ) -> Result<(), Broken> {
        let file = open_named(path).map_err(Broken::File)?;
        let total = file.metadata().map(|found| found.len()).ok();
        let done = Cell::new(0);
        let file = Counted { file, done: &done };
        let format = import.format.unwrap_or_else(|| format_of(path));
        let target = self.target;
        let mut failure = None;
        let mut written_to = 0;
        let mut sink = |item: Item| {
            self.take(item, name);
            let full = self.tally.waiting.len() >= self.tally.act_drafts()
                || done.get().saturating_sub(written_to) >= FILE_BYTES_PER_ACT;
            if !full {
                return ControlFlow::Continue(());
            }
            written_to = done.get();
            match self.write(done.get(), total, name) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        let outcome = match (format, mapping) {
            (Source::Stix, _) => exchange::stix::read(file, &mut sink),
            (Source::Geojson, _) => exchange::geojson::read(file, last_part(name), &mut sink),
            (Source::Ais, _) => exchange::ais::read(file, &target.log.compartment.0, &mut sink),
            (Source::Misp, _) => exchange::misp::read(file, &mut sink),
            (Source::Cot, _) => exchange::cot::read(file, &target.log.compartment.0, &mut sink),
            (Source::Csv, Some(mapping)) => exchange::csv::read(file, mapping, &mut sink),
            (Source::Csv, None) => {
                let failure = Failure::usage(format!("{name}: a table needs a mapping file"));
                let hint = "name one: --map MAP.toml; docs/import.md shows one";
                return Err(Broken::File(failure.hint(hint)));
            }
        };
        if let Some(failure) = failure {
            return Err(Broken::Import(failure));
        }
        outcome.map_err(|error| Broken::File(Failure::failed(format!("{name}: {error}"))))
    }

    fn take(&mut self, item: Item, file: &Arc<str>) {
        self.tally.report.read += 1;
        let read = match item {
            Item::Draft(draft) => {
                self.tally.doubt(&draft, file);
                self.target.build(draft, file)
            }
            Item::Bad(problem) => Err((problem.place, problem.reason)),
            Item::PassedOver => {
                self.tally.report.passed_over += 1;
                return;
            }
        };
        match read {
            Ok(read) => self.tally.waiting.push(read),
            Err((place, reason)) => {
                self.tally.reject(reply::Problem { file: file.as_ref().into(), place, reason });
            }
        }
    }

    /// Has what was read written, and says how far it is.
    fn write(&mut self, done: u64, total: Option<u64>, file: &str) -> Result<(), Failure> {
        let note = format!("{} objects of {file}", self.tally.report.read);
        let report = Progress { done, total, unit: "bytes".into(), note };
        self.tally.flush(self.core, self.target, &mut || (self.progress)(report.clone()))
    }
}

/// What a file is called in its folder.
fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// What the file is called that holds what came by standard input.
const STANDARD_INPUT: &str = "standard input";

/// A file, and how many of its bytes were read.
struct Counted<'a> {
    file: File,
    done: &'a Cell<u64>,
}

impl io::Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.done.set(self.done.get() + count as u64);
        Ok(count)
    }
}

impl Tally {
    /// Has objects written: the next are built while the core is at those before them.
    fn take(
        &mut self,
        core: &CoreHandle,
        target: &Target,
        drafts: Vec<exchange::Draft>,
        file: &Arc<str>,
    ) -> Result<(), Failure> {
        let mut told = || ControlFlow::Continue(());
        for draft in drafts {
            match target.build(draft, file) {
                Ok(read) => self.waiting.push(read),
                Err((place, reason)) => {
                    self.reject(reply::Problem { file: file.as_ref().into(), place, reason });
                }
            }
            if self.waiting.len() >= self.act_drafts() {
                self.flush(core, target, &mut told)?;
            }
        }
        self.flush(core, target, &mut told)?;
        self.settle(0, core, target, &mut told)
    }

    /// Drafts of the next act.
    fn act_drafts(&self) -> usize {
        (DRAFTS_FIRST << self.acts.min(DRAFTS_PER_ACT.ilog2())).min(DRAFTS_PER_ACT)
    }

    /// Has the objects that wait written, after those before them; does not wait for the disk. `told` says how
    /// far it is, and hears whether anybody still waits for it.
    fn flush(
        &mut self,
        core: &CoreHandle,
        target: &Target,
        told: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        self.settle(ACTS_MAX - 1, core, target, told)?;
        let read = std::mem::take(&mut self.waiting);
        if !read.is_empty() {
            self.acts += 1;
            self.begin(core, target, read)?;
        }
        Ok(())
    }

    /// Waits until no more than `most` acts are under way, and counts what the others came to. What one
    /// left is begun again, with all that was to come after it, and waited for: who reads must not be faster
    /// than who writes.
    fn settle(
        &mut self,
        mut most: usize,
        core: &CoreHandle,
        target: &Target,
        told: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let mut interrupted = told().is_break();
        loop {
            self.broken_off.fetch_or(interrupted, Ordering::Relaxed);
            if self.under_way.len() <= if interrupted { 0 } else { most } {
                break;
            }
            let Some(act) = self.under_way.pop_front() else { break };
            let mut left = self.count(act)?;
            interrupted |= told().is_break();
            if left.is_empty() {
                continue;
            }
            for act in std::mem::take(&mut self.under_way) {
                left.extend(self.count(act)?);
            }
            if !interrupted {
                most = 0;
                self.broken_off = Arc::default();
                self.begin(core, target, left)?;
            }
        }
        if interrupted { Err(Failure::failed("the import was interrupted")) } else { Ok(()) }
    }

    fn begin(
        &mut self,
        core: &CoreHandle,
        target: &Target,
        read: Vec<Read>,
    ) -> Result<(), Failure> {
        debug_assert!(read.len() <= ACTS_MAX * DRAFTS_PER_ACT, "what waits has a bound");
        let (id, class) = (target.log.compartment, target.log.class);
        let (broken_off, guest) = (Arc::clone(&self.broken_off), self.guest.clone());
        let act =
            core.begin(move |core| Ok(core.import(id, class, read, &broken_off, guest.as_ref())))?;
        self.under_way.push_back(act);
        Ok(())
    }

    /// Gives up what is not begun, and counts what the acts under way come to.
    fn abandon(&mut self) {
        self.waiting.clear();
        self.broken_off.store(true, Ordering::Relaxed);
        for act in std::mem::take(&mut self.under_way) {
            let _ = self.count(act);
        }
    }

    /// Waits for an act and counts what it came to. Returns what it left.
    fn count(&mut self, act: Pending<Imported>) -> Result<Vec<Read>, Failure> {
        let written = act.wait()?;
        self.report.created += written.created;
        self.report.updated += written.updated;
        self.report.unchanged += written.unchanged;
        self.report.kept += written.kept.len() as u64;
        let room = KEPT_MAX.saturating_sub(self.report.kept_edits.len());
        self.report.kept_edits.extend(written.kept.into_iter().take(room));
        written.rejected.into_iter().for_each(|problem| self.reject(problem));
        self.last = written.ticket.or(self.last);
        written.failure.map_or(Ok(written.left), Err)
    }

    /// Notes what of an object was probably misread.
    fn doubt(&mut self, draft: &exchange::Draft, file: &Arc<str>) {
        let found = doubts(draft.kind, &draft.fields);
        if found.is_empty() {
            return;
        }
        self.report.doubtful += 1;
        if self.report.doubts.len() < PROBLEMS_MAX {
            let reason: Vec<String> = found.iter().map(ToString::to_string).collect();
            self.report.doubts.push(reply::Problem {
                file: file.as_ref().into(),
                place: draft.place.clone(),
                reason: reason.join("; "),
            });
        }
    }

    fn reject(&mut self, problem: reply::Problem) {
        self.report.rejected += 1;
        if self.names_all || self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(problem);
        }
    }
}

/// What one act of an import came to.
#[derive(Default)]
struct Imported {
    created: u64,
    updated: u64,
    unchanged: u64,
    kept: Vec<reply::KeptEdit>,
    rejected: Vec<reply::Problem>,
    ticket: Option<Ticket>,
    /// What there was no time for.
    left: Vec<Read>,
    /// Why nothing more can be imported.
    failure: Option<Failure>,
}

impl Core {
    /// Writes what was read, as far as there is time. An object that is here already changes its record,
    /// unless it is an older version of it.
    fn import(
        &mut self,
        id: CompartmentId,
        class: Class,
        read: Vec<Read>,
        broken_off: &AtomicBool,
        guest: Option<&Guest>,
    ) -> Imported {
        let mut done = Imported::default();
        if broken_off.load(Ordering::Relaxed) {
            return Imported { left: read, ..done };
        }
        done.failure = self.import_until(id, class, read, &mut done, guest).err();
        broken_off.fetch_or(done.failure.is_some() || !done.left.is_empty(), Ordering::Relaxed);
        done
    }

    fn import_until(
        &mut self,
        id: CompartmentId,
        class: Class,
        read: Vec<Read>,
        done: &mut Imported,
        guest: Option<&Guest>,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let mut fresh = Vec::new();
        let mut fresh_names = BTreeSet::new();
        let mut read = read.into_iter();
        let mut note = None;
        while let Some(one) = note.take().or_else(|| read.next()) {
            if began.elapsed() > ACT_TIME_MAX {
                done.left.push(one);
                done.left.extend(read);
                break;
            }
            if let Some(guest) = guest
                && !self.allows(guest, Operation::Import, id, one.kind, Some(one.tlp))?
            {
                done.rejected.push(one.refused(NOT_COVERED.into()));
                continue;
            }
            let fields = one.beginning.fields();
            let name = external_id(fields);
            if name.as_ref().is_some_and(|name| fresh_names.contains(name)) {
                // A later version of one that waits: that one must be there first.
                self.import_all(id, class, std::mem::take(&mut fresh), done)?;
                fresh_names.clear();
            }
            let known = match self.known(id, name.as_deref()) {
                Ok(known) => known,
                // What is here cannot be read: whether it is equal nobody can say.
                Err(error @ StoreError::Damaged { .. }) => {
                    done.rejected.push(one.refused(self.met(&error).what));
                    continue;
                }
                Err(error) => return Err(self.met(&error)),
            };
            if let (Some(guest), Some(known)) = (guest, &known)
                && !self.sees(guest, Operation::Import, &row_of(&known.detail))?
            {
                done.rejected.push(one.refused(NOT_COVERED.into()));
                continue;
            }
            let ours = match &known {
                Some(known) => is_native_as(&known.detail, fields).then(|| known.detail.clone()),
                // What STIX alone has a kind for nobody writes here.
                None if one.kind == RecordKind::Object => None,
                None => match self.written_here(id, name.as_deref(), guest.is_some()) {
                    Ok(ours) => ours.filter(|ours| is_native_as(ours, fields)),
                    Err(error @ StoreError::Damaged { .. }) => {
                        done.rejected.push(one.refused(self.met(&error).what));
                        continue;
                    }
                    Err(error) => return Err(self.met(&error)),
                },
            };
            if let Some(ours) = ours {
                if let Some(guest) = guest
                    && !self.sees(guest, Operation::Import, &row_of(&ours))?
                {
                    done.rejected.push(one.refused(NOT_COVERED.into()));
                } else if !is_older(&object(ours.clone()), fields) {
                    done.unchanged += 1;
                } else if self.is_of_others(fields) {
                    note = self.dissent((id, class), &ours, one, done)?;
                } else {
                    done.rejected.push(one.refused(WRITTEN_HERE.into()));
                }
                continue;
            }
            match known {
                Some(known) if is_older(fields, &known.brought) => done.unchanged += 1,
                Some(known) if is_by_another(fields, &known.brought) => {
                    note = self.dissent((id, class), &known.detail, one, done)?;
                }
                Some(known) => self.import_again(id, class, &known, one, done)?,
                None => {
                    fresh_names.extend(name);
                    fresh.push(one);
                }
            }
        }
        self.import_all(id, class, fresh, done)
    }

    /// Makes a note of a version of somebody else's object: only its producer issues versions of it.
    fn dissent(
        &self,
        (id, class): (CompartmentId, Class),
        of: &Detail,
        one: Read,
        done: &mut Imported,
    ) -> Result<Option<Read>, Failure> {
        let (kind, fields) = (RecordKind::Note, dissent(&id, one.beginning.fields()));
        let (digest, wall) = (self.replica.own_log(id, class).digest(), self.now().wall);
        let built = self.label_of_dissent(of, one.named.as_ref())?.and_then(|label| {
            let (tlp, named) = (label.tlp, Some(label.clone()));
            Beginning::build(&digest, kind, fields, label, wall, &mut SystemEntropy)
                .map(|beginning| (Arc::new(beginning), tlp, named))
                .map_err(|error| format!("{BY_ANOTHER}: {error}"))
        });
        match built {
            Ok((beginning, tlp, named)) => Ok(Some(Read { beginning, kind, tlp, named, ..one })),
            Err(why) => {
                done.rejected.push(one.refused(why));
                Ok(None)
            }
        }
    }

    /// Takes into a record what an object says otherwise than the last import of it did, and makes the label
    /// as strict as the object's.
    fn import_again(
        &mut self,
        id: CompartmentId,
        class: Class,
        known: &Known,
        again: Read,
        done: &mut Imported,
    ) -> Result<(), Failure> {
        let Known { detail, brought } = known;
        let (record, hidden) = (detail.record, detail.state.hides());
        let said = again.beginning.fields();
        let Merge { patch, news, kept } = if again.partial {
            let mut whole = brought.clone();
            whole.extend(said.clone());
            merge(brought, &detail.fields, &whole)
        } else {
            merge(brought, &detail.fields, said)
        };
        if !kept.is_empty() && !hidden {
            done.kept.push(reply::KeptEdit { record: record.to_string(), fields: kept });
        }
        let stricter = again.named.as_ref().filter(|named| !detail.label.is_at_least(named));
        let stricter = stricter.map(|named| detail.label.join(named));
        if news.is_empty() && stricter.is_none() {
            done.unchanged += 1;
            return Ok(());
        }
        // The label first: nothing is shown under one that is too weak.
        if let Some(label) = stricter.clone() {
            let draft = Draft::Label { record, label, cites: Vec::new() };
            if let Some(reason) = self.import_one(id, class, draft, done)? {
                done.rejected.push(again.refused(reason));
                return Ok(());
            }
        }
        let refusal = if news.is_empty() {
            None
        } else if hidden {
            Some(hidden_record(detail.record, self.erasure_due(detail), &news))
        } else {
            self.import_one(id, class, Draft::Bring { record, patch }, done)?
        };
        done.updated += u64::from(refusal.is_none() || stricter.is_some());
        if let Some(reason) = refusal {
            let reason = match stricter {
                Some(label) => {
                    format!("its label is {label} now; what else is new was refused: {reason}")
                }
                None => reason,
            };
            done.rejected.push(again.refused(reason));
        }
        Ok(())
    }

    /// Writes a draft; or says why it is refused.
    fn import_one(
        &mut self,
        id: CompartmentId,
        class: Class,
        draft: Draft,
        done: &mut Imported,
    ) -> Result<Option<String>, Failure> {
        match self.write(id, class, vec![draft]) {
            Ok(act) => {
                done.ticket = Some(act.ticket);
                Ok(None)
            }
            Err(failure) if matches!(failure.kind, Kind::Denied | Kind::Usage) => {
                Ok(Some(failure.what))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Writes new records together; what no grant covers is left out and named.
    fn import_all(
        &mut self,
        id: CompartmentId,
        class: Class,
        mut fresh: Vec<Read>,
        done: &mut Imported,
    ) -> Result<(), Failure> {
        while !fresh.is_empty() {
            let drafts = fresh.iter().map(|one| Draft::Begun(Arc::clone(&one.beginning))).collect();
            let now = self.now();
            match self.replica.write(now, id, class, drafts) {
                Ok(act) => {
                    done.ticket = Some(act.ticket);
                    done.created += fresh.len() as u64;
                    break;
                }
                Err(ActError::Draft { index, error: error @ DraftError::NotGranted { .. } })
                    if index < fresh.len() =>
                {
                    done.rejected.push(fresh.remove(index).refused(error.to_string()));
                }
                Err(error) => return Err(self.unwritten(id, class, error)),
            }
        }
        Ok(())
    }
}

fn format_of(path: &Path) -> Source {
    match path.extension().and_then(|end| end.to_str()) {
        Some("csv" | "tsv") => Source::Csv,
        Some("geojson") => Source::Geojson,
        Some("nmea" | "ais") => Source::Ais,
        Some("cot") => Source::Cot,
        _ => {
            // Most formats are called .json: the first bytes tell.
            let mut head = vec![0; 4_096];
            let opened = regular(File::options().read(true), path);
            let read = opened.and_then(|mut file| file.read(&mut head)).unwrap_or(0);
            let head = String::from_utf8_lossy(head.get(..read).unwrap_or_default()).into_owned();
            if head.trim_start().starts_with(['!', '\\']) {
                return Source::Ais;
            }
            if head.trim_start().starts_with('<') {
                return Source::Cot;
            }
            let head: String = head.chars().filter(|c| !c.is_whitespace()).collect();
            let has = |names: &[&str]| names.iter().any(|name| head.contains(name));
            if has(&["\"type\":\"FeatureCollection\"", "\"type\":\"Feature\""]) {
                Source::Geojson
            } else if has(&["\"Event\":{", "\"Attribute\":["]) && !has(&["\"type\":\"bundle\""]) {
                Source::Misp
            } else {
                Source::Stix
            }
        }
    }
}
