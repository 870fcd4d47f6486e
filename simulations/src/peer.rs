//! A peer of the simulation: a replica, its disk, and what the driver owes it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tearline_crdt::id::{CompartmentId, DeviceId, Incarnation, RecordId};
use tearline_crdt::keys::DeviceKeys;
use tearline_crdt::record::shelf::{Projection, RecordView};
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_mesh::Replica;
use tearline_mesh::memo::Memo;
use tearline_mesh::replica::{Barrier, Setup, Ticket};

use crate::agenda::{NEVER, Nanos};
use crate::disk::Disk;
use crate::draws::Draws;
use crate::quantity::MILLISECOND;
use crate::world::at_clock;

/// A peer.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its number among the posts.
    pub(crate) number: u32,
    seed: u64,
    /// The post whose keys it has.
    original: u32,
    /// What all peers of the run found.
    memo: Memo,
    /// `None` while it is down.
    pub(crate) replica: Option<Replica<Disk>>,
    /// What is on the disk while it is down.
    disk: Disk,
    /// What was on the disk when a fault that rolls it back began to count.
    kept: Option<Disk>,
    pub(crate) device: DeviceId,
    /// Rises when the disk is lost.
    lives: u64,
    starts: u64,
    /// By how many ns its wall clock is wrong.
    pub(crate) clock: i64,
    /// Its place in the agenda.
    pub(crate) due: Nanos,
    pub(crate) next_tick: Nanos,
    /// When it was told the time last.
    pub(crate) told: Nanos,
    /// Flushes that are under way, oldest first.
    pub(crate) flushes: VecDeque<(Nanos, Barrier)>,
    /// When it starts again.
    pub(crate) starts_at: Nanos,
    /// Until when its disk is full.
    pub(crate) full_until: Nanos,
    /// Whether it ended by itself, and its links are not told yet.
    pub(crate) fell: bool,
    sink: Sink,
    /// Records that were shown and are not flushed yet.
    pub(crate) unflushed: Vec<RecordId>,
    /// Which records wait for which acknowledgement.
    pub(crate) tickets: BTreeMap<Ticket, Vec<u32>>,
    /// How often it had news: something became durable, or its standing changed.
    pub(crate) news: u64,
    /// Whether it lost its disk and has not come into the coalition again.
    pub(crate) homeless: bool,
}

/// How many documents a peer keeps between uses. Few are used twice.
const DOCUMENTS_MAX: usize = 8;

/// What a projection saw since it was last asked.
#[derive(Clone, Debug, Default)]
struct Sink(Arc<Mutex<Vec<Seen>>>);

/// A record that could be read here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) record: RecordId,
    pub(crate) compartment: CompartmentId,
}

impl Peer {
    /// A peer whose disk is empty or a copy.
    pub(crate) fn new(
        seed: u64,
        number: u32,
        original: u32,
        disk: Disk,
        memo: Memo,
    ) -> Result<Self, StoreError> {
        let mut peer = Self {
            number,
            seed,
            original,
            memo,
            replica: None,
            disk,
            kept: None,
            device: keys(seed, original).id(),
            lives: 0,
            starts: 0,
            clock: 0,
            due: NEVER,
            next_tick: NEVER,
            told: 0,
            flushes: VecDeque::new(),
            starts_at: NEVER,
            full_until: 0,
            fell: false,
            sink: Sink::default(),
            unflushed: Vec::new(),
            tickets: BTreeMap::new(),
            news: 0,
            homeless: false,
        };
        peer.start()?;
        Ok(peer)
    }

    /// Starts on what is on the disk.
    pub(crate) fn start(&mut self) -> Result<(), StoreError> {
        self.starts += 1;
        let entropy =
            Draws::of(self.seed, &format!("replica {}", self.starts), u64::from(self.number));
        let setup = Setup {
            keys: keys(self.seed, self.original),
            incarnation: Incarnation(1 + self.lives),
            entropy: Box::new(entropy),
            projection: Box::new(self.sink.clone()),
        };
        let disk = std::mem::take(&mut self.disk);
        let mut replica = Replica::open_with(disk, setup, self.memo.clone())?;
        replica.keep_documents(DOCUMENTS_MAX);
        // In its first life it is brought in by the founding.
        self.homeless = self.lives > 0 && replica.areas().is_empty();
        self.replica = Some(replica);
        self.starts_at = NEVER;
        Ok(())
    }

    /// The power is cut. Of what was not flushed the first batches may be there all the same.
    pub(crate) fn crash(&mut self, draws: &mut Draws) {
        let Some(mut replica) = self.replica.take() else { return };
        let mut disk = std::mem::take(replica.store_mut());
        let unflushed = disk.memory.batches_unflushed() as u64;
        disk.memory.crash_keeping(draws.below(unflushed + 1) as usize);
        self.disk = disk;
        self.flushes.clear();
        self.unflushed.clear();
        self.tickets.clear();
        self.sink.take();
        self.next_tick = NEVER;
    }

    /// The disk is gone; the device will come back in a new life.
    pub(crate) fn lose_disk(&mut self) {
        self.disk = Disk { memory: self.disk.memory.emptied(), full: self.disk.full };
        // Nobody rolls back what is gone.
        self.kept = None;
        self.lives += 1;
    }

    /// Keeps what is flushed of the disk, for [`Self::roll_back`].
    pub(crate) fn keep_disk(&mut self) {
        let mut disk = self.store().clone();
        disk.memory.crash();
        self.kept = Some(disk);
    }

    /// The disk is again what it was, and the device does not know. Only where it lost no disk since: then
    /// it has another life.
    pub(crate) fn roll_back(&mut self) {
        if let Some(kept) = self.kept.take() {
            self.disk = Disk { full: self.disk.full, ..kept };
        }
    }

    /// The disk is full, or is not any more.
    pub(crate) fn fill_disk(&mut self, full: bool) {
        self.disk.full = full;
        if let Some(replica) = self.replica.as_mut() {
            replica.store_mut().full = full;
        }
    }

    /// The store, wherever it is now.
    pub(crate) fn store(&self) -> &Disk {
        self.replica.as_ref().map_or(&self.disk, Replica::store)
    }

    /// What was shown since the last time.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.sink.take()
    }

    /// A planted bug: something is shown here that is another's.
    pub(crate) fn show(&self, seen: Seen) {
        self.sink.0.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }

    /// When it has something to do.
    pub(crate) fn next(&self) -> Nanos {
        let flush = self.flushes.front().map_or(NEVER, |(at, _)| *at);
        self.next_tick.min(flush).min(self.starts_at).min(self.deadline())
    }

    /// When it is to be told the time because its replica asks for that; never twice in a millisecond, which is
    /// as fine as its clock is.
    pub(crate) fn deadline(&self) -> Nanos {
        let asked = self.replica.as_ref().and_then(Replica::deadline);
        asked.map_or(NEVER, |at| at_clock(at).max(self.told + MILLISECOND))
    }
}

/// The keys of a post's device.
pub(crate) fn keys(seed: u64, number: u32) -> DeviceKeys {
    let mut draws = Draws::of(seed, "device", u64::from(number));
    let mut seeds = [[0; 32]; 2];
    seeds.iter_mut().for_each(|seed| tearline_crdt::entropy::Entropy::fill(&mut draws, seed));
    let [signing, receiving] = seeds;
    DeviceKeys::from_seeds(&signing, &receiving)
}

impl Sink {
    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Projection for Sink {
    fn record(
        &mut self,
        _store: &dyn Store,
        _batch: &mut Batch,
        view: &RecordView<'_>,
    ) -> Result<(), StoreError> {
        let seen = Seen { record: view.record, compartment: view.compartment };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        Ok(())
    }

    fn removed(
        &mut self,
        _store: &dyn Store,
        _batch: &mut Batch,
        _record: &RecordId,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn erased(
        &mut self,
        _store: &dyn Store,
        _batch: &mut Batch,
        _record: &RecordId,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn finish(&mut self, _batch: &mut Batch) {}
}
