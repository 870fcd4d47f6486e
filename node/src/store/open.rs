//! Opening a store: everything is looked at before anything is changed, so that a store that is
//! refused stays as it was found.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use tearline_crdt::store::{Scan, Space, StoreError, scan_past_damage};

use super::flush::{Limits, Writer};
use super::index::{self, Contents, Delta, Index, Rehearsal, Stretches};
use super::layers::{self, Layers, Pages, Reading};
use super::run::{Extent, RunReader, SlotView};
use super::seal::{Kind, Sealer, StoreKey};
use super::values::{HEADER_BYTES, StoreId, ValuesFile};
use super::{Failure, OpenError};

/// What a check has read.
#[derive(Debug, Default)]
pub struct Checked {
    /// Values that are whole.
    pub values: u64,
    /// Bytes of their keys and texts.
    pub bytes: u64,
    /// What is wrong with the others: of the first so many.
    pub damaged: Vec<StoreError>,
    /// How many further ones are damaged.
    pub more_damaged: u64,
}

impl Checked {
    /// How many values are damaged.
    #[must_use]
    pub const fn damaged(&self) -> u64 {
        self.damaged.len() as u64 + self.more_damaged
    }
}

/// Looks at every value of a store that nobody has open, and changes nothing.
pub fn check_folder(dir: &Path, key: &StoreKey) -> Result<Checked, OpenError> {
    check_clock(SystemTime::now())?;
    let _lock = super::lock(dir)?;
    let sealer = Arc::new(Sealer::new(key));
    if is_new(dir)? {
        return Ok(Checked::default());
    }
    let Found { layers, pages, .. } = Found::in_folder(dir, &sealer)?;
    let lock = RwLock::new(layers);
    check_values(&Reading { lock: &lock, pages: &pages }, &mut |_| {}).map_err(
        |error| match error {
            StoreError::KeysDamaged { what, .. } => OpenError::damaged(what),
            error => Failure::medium("checking the store", error).into(),
        },
    )
}

/// Fails where the clock is before 1970: sled would panic.
pub(crate) fn check_clock(now: SystemTime) -> Result<(), OpenError> {
    now.duration_since(UNIX_EPOCH).map(drop).map_err(|_| OpenError::Clock)
}

/// Reads every value there is, past those that are damaged.
pub(super) fn check_values(
    reading: &Reading<'_>,
    progress: &mut dyn FnMut(&Checked),
) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    walk_values(reading, (Space::Meta, &[]), &mut |_, key, value| {
        match value {
            Ok(value) => {
                checked.values += 1;
                checked.bytes += (key.len() + value.len()) as u64;
                if checked.values.is_multiple_of(PROGRESS_VALUES) {
                    progress(&checked);
                }
            }
            Err(error) if checked.damaged.len() < DAMAGED_NAMED_MAX => checked.damaged.push(error),
            Err(_) => checked.more_damaged += 1,
        }
        ControlFlow::Continue(())
    })?;
    Ok(checked)
}

/// Called with each value, or with what is wrong with it, until it breaks.
pub(super) type Walk<'a> =
    dyn FnMut(Space, &[u8], Result<&[u8], StoreError>) -> ControlFlow<()> + 'a;

/// Visits every value from a place on, in the order of the store, past those that are damaged.
pub(super) fn walk_values(
    reading: &Reading<'_>,
    (first, key): (Space, &[u8]),
    visit: &mut Walk<'_>,
) -> Result<(), StoreError> {
    let mut goes = ControlFlow::Continue(());
    for space in Space::ALL.into_iter().skip_while(|space| *space != first) {
        let scan: &Scan<'_> = &|from, visit| layers::scan(reading, space, &[], from, visit);
        let from = if space == first { key } else { &[] };
        scan_past_damage(scan, from, &mut |key, value| {
            goes = visit(space, key, value);
            goes
        })?;
        if goes.is_break() {
            break;
        }
    }
    Ok(())
}

/// Makes a store where there is none.
pub(super) fn make_if_new(dir: &Path, sealer: &Sealer) -> Result<(), OpenError> {
    if !is_new(dir)? {
        return Ok(());
    }
    let mut id = StoreId::default();
    getrandom::fill(&mut id).map_err(|cause| Failure::medium("drawing an id", cause))?;
    ValuesFile::create(&dir.join(VALUES), &id)
        .map_err(|cause| Failure::medium("making the values file", cause))?;
    Ok(Index::create(&dir.join(INDEX), &id, sealer)?)
}

/// Whether a folder holds no store yet.
pub fn is_new(dir: &Path) -> Result<bool, OpenError> {
    if dir.join(INDEX).exists() {
        return Ok(false);
    }
    let held = fs::metadata(dir.join(VALUES)).map_or(0, |found| found.len());
    if held > HEADER_BYTES as u64 {
        return Err(OpenError::damaged("it has values, but no index"));
    }
    Ok(true)
}

/// A store that hangs together. Nothing of it was changed.
pub(super) struct Found {
    rehearsal: Rehearsal,
    values: ValuesFile,
    pages: Pages,
    layers: Layers,
    /// Deltas that wait for a merge.
    deltas: Vec<u64>,
    /// What was to be overwritten when the process ended, and the lists that say so.
    stretches: Stretches,
    scrubbed: Vec<u64>,
    forgetting: Option<u64>,
    next_seq: u64,
    next_page: u64,
}

impl Found {
    /// Looks at the store in a folder, which is locked and holds one.
    pub(super) fn in_folder(dir: &Path, sealer: &Arc<Sealer>) -> Result<Self, OpenError> {
        index::remove_copies(dir);
        let (rehearsal, contents) = Rehearsal::of(&dir.join(INDEX), sealer)?;
        let values = match ValuesFile::open(&dir.join(VALUES), &rehearsal.id) {
            Ok(values) => values,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(cause) => return Err(Failure::medium("opening the values file", cause).into()),
        };
        let values = values.ok_or(OpenError::damaged("the values file is not the store's"))?;
        let confirmed = values.confirmed(sealer)?;
        if confirmed.is_some_and(|confirmed| !rehearsal.tip().covers(&confirmed)) {
            return Err(OpenError::damaged("the index lost changes"));
        }
        let pages = Pages::new(values.reader(), Arc::clone(sealer));
        let mut found = Self {
            rehearsal,
            values,
            pages,
            layers: Layers::default(),
            deltas: Vec::new(),
            stretches: Stretches::new(),
            scrubbed: Vec::new(),
            forgetting: None,
            next_seq: 0,
            next_page: 0,
        };
        found.take(contents)?;
        Ok(found)
    }

    /// Puts the layers together from what the index holds.
    fn take(&mut self, contents: Contents) -> Result<(), OpenError> {
        let Contents { deltas, pages, scrubs } = contents;
        let end = self.values.end();
        let beyond = |extent: &Extent| extent.end() > end;
        for entry in pages {
            if beyond(&entry.extent) {
                return Err(OpenError::damaged("a page ends beyond the values file"));
            }
            self.next_page = self.next_page.max(entry.no + 1);
            self.layers.pages.insert(entry.first.clone(), entry);
        }
        for (seq, delta) in deltas {
            self.next_seq = self.next_seq.max(seq + 1);
            self.deltas.push(seq);
            let run = match delta {
                Delta::Inline(run) => run,
                Delta::Stored(extent) => self
                    .pages
                    .values
                    .read(&self.pages.sealer, Kind::Delta, &seq.to_be_bytes(), &extent)?
                    .ok_or(OpenError::damaged("a list of changes does not match its seal"))?,
            };
            let mut run = RunReader::new(&run);
            while let Some((key, slot)) =
                run.next().map_err(|_| OpenError::damaged("a list of changes cannot be read"))?
            {
                if let SlotView::Stored(extent) = slot
                    && beyond(&extent)
                {
                    return Err(OpenError::damaged("a value ends beyond the values file"));
                }
                self.layers.recent.insert(key.to_vec(), slot.to_slot());
            }
        }
        for (seq, part) in scrubs {
            self.next_seq = self.next_seq.max(seq + 1);
            if part.is_empty() {
                self.forgetting = Some(seq);
                continue;
            }
            self.scrubbed.push(seq);
            self.stretches.extend(
                part.into_iter().filter(|(offset, len)| offset.saturating_add(*len) <= end),
            );
        }
        Ok(())
    }

    /// Opens it to be written to, and finishes overwriting that was interrupted.
    pub(super) fn open(self, dir: &Path, limits: Limits) -> Result<Opened, OpenError> {
        let Self { rehearsal, mut values, pages, layers, deltas, stretches, .. } = self;
        let id = rehearsal.id;
        let index = Index::open(&dir.join(INDEX), &pages.sealer, rehearsal)?;
        if !stretches.is_empty() {
            values.scrub(&stretches)?;
        }
        // The last confirmation may have been lost, or the change after it was cut short.
        values.confirm(&pages.sealer, index.tip())?;
        let writer = Writer {
            index,
            values,
            limits,
            next_seq: self.next_seq,
            next_page: self.next_page,
            deltas,
            scrubbed: self.scrubbed,
            forgetting: self.forgetting,
        };
        Ok(Opened { id, layers, pages, writer })
    }
}

/// The parts of an open store.
pub(super) struct Opened {
    pub(super) id: StoreId,
    pub(super) layers: Layers,
    pub(super) pages: Pages,
    pub(super) writer: Writer,
}

/// The names of a store's files.
pub(super) const VALUES: &str = "values";
pub(super) const INDEX: &str = "index";
/// A check says how far it is each time it has read so many values.
const PROGRESS_VALUES: u64 = 4_096;
/// Most damaged values that a check names.
const DAMAGED_NAMED_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_before_1970_opens_no_store() {
        assert!(check_clock(UNIX_EPOCH).is_ok());
        let before = check_clock(UNIX_EPOCH - Duration::from_nanos(1));
        assert!(matches!(before, Err(OpenError::Clock)));
    }
}
