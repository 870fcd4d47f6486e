//! An author's stages, from a file to what is durable: as an import does them, act by act.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::entry::run::{NewEntry, VerifiedRun, WriteFault, write_segment};
use tearline_crdt::entry::sealed::LogCipher;
use tearline_crdt::epoch::EpochKeys;
use tearline_crdt::id::{AgencyNo, EpochId};
use tearline_crdt::keys::Signer;
use tearline_crdt::logbook::Logbook;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::shelf::{Beginning, Begun, Desk, Draft, Shelf, Writing};
use tearline_crdt::store::{Batch, Store};
use tearline_crdt::time::WallTime;
use tearline_node::exchange::{Item, stix};
use tearline_node::index;
use tearline_node::store::SledStore;

use crate::stages::{self, Broken, FLUSH_EVERY, NOW, OneAgency, Stages, TimedIndex, timed};

/// Objects that an import writes together, and bytes of them, as text.
const OBJECTS_PER_ACT: usize = 256;
const BYTES_PER_ACT: usize = 256 * 1024;

/// Whose records they are.
const AUTHOR: AgencyNo = AgencyNo(1);

/// Takes the objects of a file through all stages, each timed by itself; returns what was written,
/// too.
pub(crate) fn author(file: &Path, folder: &Path) -> Result<(Stages, Vec<VerifiedRun>), Broken> {
    let mut stages = Stages::default();
    stages.time("parse", || {
        stix::read(File::open(file)?, &mut |item| {
            drop(item);
            ControlFlow::Continue(())
        })
    })?;
    let label: Label = "TLP:AMBER".parse()?;
    let log = stages::log().digest();
    let mut acts = vec![Vec::new()];
    let (mut bytes, mut objects, mut failed) = (0, 0, None);
    stix::read(File::open(file)?, &mut |item| {
        let Item::Draft(draft) = item else { return ControlFlow::Continue(()) };
        bytes += serde_json::to_string(&draft.fields).map_or(0, |text| text.len());
        let mut entropy = SeededEntropy::new(objects);
        objects += 1;
        let beginning = stages.time("build", || {
            Beginning::build(&log, draft.kind, draft.fields, label.clone(), NOW, &mut entropy)
        });
        let full = bytes > BYTES_PER_ACT
            || acts.last().is_some_and(|act: &Vec<Arc<Beginning>>| act.len() >= OBJECTS_PER_ACT);
        if full {
            bytes = 0;
            acts.push(Vec::new());
        }
        match (acts.last_mut(), beginning) {
            (Some(act), Ok(beginning)) => act.push(Arc::new(beginning)),
            (_, Err(error)) => failed = Some(error),
            (None, _) => {}
        }
        ControlFlow::Continue(())
    })?;
    failed.map_or(Ok(()), Err)?;
    let mut author = Author::new(folder)?;
    let written = stages::alone(|| {
        let written = acts.into_iter().map(|begun| author.act(&mut stages, begun));
        let written = written.collect::<Result<Vec<_>, _>>()?;
        author.flush(&mut stages)?;
        Ok::<_, Broken>(written.into_iter().flatten().collect())
    })?;
    Ok((stages, written?))
}

/// A device that writes, taken apart.
struct Author {
    store: SledStore,
    logbook: Logbook,
    shelf: Shelf,
    keys: BTreeMap<EpochId, EpochKeys>,
    signer: Signer,
    cipher: LogCipher,
    entropy: SeededEntropy,
    index: TimedIndex,
    flushed: Instant,
}

impl Author {
    fn new(folder: &Path) -> Result<Self, Broken> {
        let (epoch, keys) = stages::epoch();
        Ok(Self {
            store: stages::store(folder)?,
            logbook: Logbook::default(),
            shelf: Shelf::default(),
            keys: BTreeMap::from([(epoch, keys.clone())]),
            signer: stages::signer(),
            cipher: LogCipher::new(stages::log(), epoch, keys),
            entropy: SeededEntropy::new(6),
            index: TimedIndex::default(),
            flushed: Instant::now(),
        })
    }

    fn act(
        &mut self,
        stages: &mut Stages,
        begun: Vec<Arc<Beginning>>,
    ) -> Result<Vec<VerifiedRun>, Broken> {
        let log = stages::log();
        stages.objects += begun.len() as u64;
        stages.time("look up", || {
            let names = begun.iter().filter_map(|beginning| index::external_id(beginning.fields()));
            names.into_iter().try_for_each(|id| {
                let found = index::external(&self.store, &log.compartment, AUTHOR, &id);
                found.map(drop)
            })
        })?;
        let prepared = stages.time("seal", || {
            let mut writing = Writing {
                store: &self.store,
                logbook: &self.logbook,
                keys: &self.keys,
                standings: &OneAgency,
                cipher: &self.cipher,
                closed: &std::collections::BTreeSet::new(),
                next_seq: self.logbook.head(&log).next,
                now: NOW,
                entropy: &mut self.entropy,
            };
            self.shelf.prepare(&mut writing, begun.into_iter().map(Draft::Begun).collect())
        });
        let prepared = prepared.map_err(|(n, error)| format!("object {n}: {error}"))?;
        let mut runs = Vec::new();
        let mut rest = prepared.entries.as_slice();
        while !rest.is_empty() {
            runs.push(self.take(stages, &mut rest, &prepared.begun)?);
        }
        Ok(runs)
    }

    /// Writes as many of the entries as one signature may cover: the half, if all are too many.
    fn take(
        &mut self,
        stages: &mut Stages,
        rest: &mut &[NewEntry],
        begun: &Begun,
    ) -> Result<VerifiedRun, Broken> {
        let log = stages::log();
        let head = self.logbook.head(&log);
        let mut count = rest.len();
        let run = stages.time("chain", || {
            loop {
                match write_segment(&log, &head, &self.signer, rest.split_at(count).0) {
                    Err(WriteFault::SegmentTooLarge) if count > 1 => count = count.div_ceil(2),
                    written => break written,
                }
            }
        })?;
        *rest = rest.split_at(count).1;
        let (batch, listing) = timed(|| {
            let mut batch = Batch::default();
            let no = self
                .logbook
                .append(&mut batch, &run, WallTime::default())
                .ok_or("the run does not follow")?;
            let mut desk = Desk {
                store: &self.store,
                logbook: &self.logbook,
                keys: &self.keys,
                standings: &OneAgency,
                projection: &mut self.index,
                now: NOW,
            };
            self.shelf.take_own(&mut desk, &mut batch, (no, &run), begun)?;
            Ok::<_, Broken>(batch)
        });
        let indexing = std::mem::take(&mut self.index.spent);
        stages.add("index", indexing);
        stages.add("list", listing.saturating_sub(indexing));
        let batch = batch?;
        stages.time("store", || self.store.apply(batch))?;
        if self.flushed.elapsed() >= FLUSH_EVERY {
            self.flush(stages)?;
        }
        Ok(run)
    }

    fn flush(&mut self, stages: &mut Stages) -> Result<(), Broken> {
        stages.time("store", || self.store.flush())?;
        self.flushed = Instant::now();
        Ok(())
    }
}
