//! What the stages of import and sync cost alone, each on one thread, with the daemon's own code on
//! the daemon's own store: the limit that a whole is measured against.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use tearline_crdt::epoch::EpochKeys;
use tearline_crdt::id::{
    AgencyNo, Class, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId, RecordId,
};
use tearline_crdt::keys::Signer;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::shelf::{Projection, RecordState, RecordView, Standings, Stewardship};
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::WallTime;
use tearline_node::index::{Index, Row};
use tearline_node::store::{SledStore, StoreKey};

/// What went wrong, from any thread.
pub(crate) type Broken = Box<dyn Error + Send + Sync>;

/// What stages cost, by name.
#[derive(Default)]
pub(crate) struct Stages {
    times: BTreeMap<&'static str, Duration>,
    pub(crate) objects: u64,
}

impl Stages {
    /// Microseconds for each object, in all of these stages together.
    pub(crate) fn micros(&self, stages: &[&str]) -> f64 {
        let all: Duration = stages.iter().filter_map(|stage| self.times.get(stage)).sum();
        all.as_secs_f64() * 1e6 / self.objects.max(1) as f64
    }

    /// Objects a second, where these stages follow each other on one thread.
    pub(crate) fn rate(&self, stages: &[&str]) -> f64 {
        1e6 / self.micros(stages)
    }

    /// The median of several measurements of each stage, of two the quicker: what else the machine does
    /// comes and goes.
    pub(crate) fn median(all: &[Self]) -> Self {
        let mut times: BTreeMap<_, Vec<Duration>> = BTreeMap::new();
        for (stage, time) in all.iter().flat_map(|one| &one.times) {
            times.entry(*stage).or_default().push(*time);
        }
        let middle = |mut times: Vec<Duration>| {
            times.sort_unstable();
            times.get(times.len().saturating_sub(1) / 2).copied().unwrap_or_default()
        };
        let times = times.into_iter().map(|(stage, times)| (stage, middle(times))).collect();
        Self { times, objects: all.first().map_or(0, |one| one.objects) }
    }

    pub(crate) fn add(&mut self, stage: &'static str, spent: Duration) {
        *self.times.entry(stage).or_default() += spent;
    }

    pub(crate) fn time<T>(&mut self, stage: &'static str, work: impl FnOnce() -> T) -> T {
        let (result, spent) = timed(work);
        self.add(stage, spent);
        result
    }
}

/// Does a piece of work and says how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let result = work();
    (result, began.elapsed())
}

/// Runs work on a thread of its own, as the core's is, so that it shares no memory pool with what
/// prepares it.
pub(crate) fn alone<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Broken> {
    thread::scope(|scope| scope.spawn(work).join()).map_err(|_| "a stage panicked".into())
}

/// The log that is written and received.
pub(crate) fn log() -> LogId {
    LogId {
        compartment: CompartmentId([2; 32]),
        class: Class::Routine,
        device: DeviceId(signer().public()),
        incarnation: Incarnation(1),
    }
}

/// Who signs it.
pub(crate) fn signer() -> Signer {
    Signer::from_seed(&[1; 32])
}

/// The epoch that it is written under.
pub(crate) fn epoch() -> (EpochId, EpochKeys) {
    (EpochId([3; 32]), EpochKeys::of(&[4; 32]))
}

/// A store of the shipped kind.
pub(crate) fn store(folder: &Path) -> Result<SledStore, Broken> {
    Ok(SledStore::open(folder, &StoreKey::new([5; 32]))?)
}

/// How often the stages flush. The daemon flushes on a thread of its own, one flush after another;
/// the stages count it to the core's thread, which makes the limit a low one.
pub(crate) const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// When all of it happens.
pub(crate) const NOW: WallTime = WallTime(1_767_225_600_000);

/// All devices are of one agency.
pub(crate) struct OneAgency;

impl Stewardship for OneAgency {
    fn state(&self, _: &LogId, _: &EntryId) -> RecordState {
        RecordState::default()
    }

    fn is_erased(&self, _: &LogId, _: &EntryId) -> bool {
        false
    }
}

impl Standings for OneAgency {
    fn agency(&self, _: &CompartmentId, _: &DeviceId) -> Option<AgencyNo> {
        Some(AgencyNo(1))
    }

    fn limit(&self, _: &LogId) -> u64 {
        u64::MAX
    }

    fn allows(&self, _: &LogId, _: Kind, _: WallTime) -> bool {
        true
    }
}

/// The index, kept as the daemon keeps it, and what that took.
#[derive(Default)]
pub(crate) struct TimedIndex {
    index: Index,
    pub(crate) spent: Duration,
}

impl Projection for TimedIndex {
    fn record(
        &mut self,
        _: &dyn Store,
        batch: &mut Batch,
        view: &RecordView<'_>,
    ) -> Result<(), StoreError> {
        let began = Instant::now();
        self.index.put(batch, Row::of(view));
        self.spent += began.elapsed();
        Ok(())
    }

    fn removed(&mut self, _: &dyn Store, _: &mut Batch, _: &RecordId) -> Result<(), StoreError> {
        Ok(())
    }

    fn erased(
        &mut self,
        store: &dyn Store,
        batch: &mut Batch,
        record: &RecordId,
    ) -> Result<(), StoreError> {
        self.index.remove(store, batch, record)
    }

    fn finish(&mut self, batch: &mut Batch) {
        let began = Instant::now();
        self.index.finish(batch);
        self.spent += began.elapsed();
    }
}
