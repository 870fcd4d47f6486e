//! Room on the disk, measured before a write can fail for want of it.
//!
//! Two marks of what is free decide ([`Room`]). Above the *reserve* everything is written. Between it
//! and the *floor* no content is: what erases, restricts and revokes is. Below the floor nothing is
//! written. Each mark counts, beside what the operator sets, what the store's own upkeep may take at
//! once: a merge writes every page anew before the old ones are free, and a start copies the index.
//! So an erasure that was taken can be carried out, and a daemon that stopped can start.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use tearline_crdt::time::MonoTime;
use tearline_mesh::replica::Room;

use super::core::Core;
use crate::failure::{Failure, Kind};
use crate::store::{SledStore, free_space_bytes};

/// The floor is this part of the reserve.
const FLOOR_PART: u64 = 4;
/// Room is there again when so large a part of the reserve is free beyond it: content that comes and
/// goes at the mark would have every peer asked each time.
const MARGIN_PART: u64 = 8;
/// How long a measurement holds. What arrives in so long is far less than the floor.
const MEASURE_EVERY_MS: u64 = 200;
/// How often a disk that is nearly full is looked at while nothing else happens.
pub(super) const LOOK_AGAIN_MS: u64 = 1_000;

/// A flush writes what was applied, and lists of what changed that are shorter than that.
const FLUSH_PARTS: u64 = 2;

/// What to do.
pub(super) const MAKE_ROOM: &str = "make room on that disk; the daemon then goes on by itself; how much is \
                                    kept free is `tearline config set limits.disk_reserve_mib MIB`";

/// What tells how many bytes of a folder's disk are free.
type Free = Box<dyn Fn(&Path) -> io::Result<u64> + Send>;

/// Measures the disk of a folder.
pub struct Gauge {
    folder: PathBuf,
    reserve_bytes: u64,
    free: Free,
    measured: Option<MonoTime>,
    found: Found,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Found {
    room: Room,
    free_bytes: u64,
    upkeep_bytes: u64,
}

impl Gauge {
    /// A gauge of the disk that holds a folder, with the reserve that the operator set.
    #[must_use]
    pub fn new(folder: PathBuf, reserve_bytes: u64) -> Self {
        Self {
            folder,
            reserve_bytes,
            free: Box::new(free_space_bytes),
            measured: None,
            found: Found::default(),
        }
    }

    /// What was measured holds no longer.
    pub(super) const fn expire(&mut self) {
        self.measured = None;
    }

    /// Measures again if that is due; what room there is, if it changed.
    fn measure(&mut self, now: MonoTime, store: &SledStore) -> Option<Room> {
        let holds = |at: MonoTime| now.0.saturating_sub(at.0) < MEASURE_EVERY_MS;
        if self.measured.is_some_and(holds) {
            return None;
        }
        self.measured = Some(now);
        // What is applied will be written: it is as good as taken.
        let free_bytes = self.free_bytes().saturating_sub(store.unflushed_bytes());
        let before = self.found.room;
        self.found = Found { free_bytes, upkeep_bytes: store.upkeep_bytes(), ..self.found };
        let room = [Room::Everything, Room::Statements].into_iter().find(|room| {
            let margin = if *room > before { self.reserve_bytes / MARGIN_PART } else { 0 };
            free_bytes >= self.needed_bytes(*room).saturating_add(margin)
        });
        self.found.room = room.unwrap_or(Room::Nothing);
        (self.found.room != before).then_some(self.found.room)
    }

    fn free_bytes(&self) -> u64 {
        (self.free)(&self.folder).unwrap_or(u64::MAX)
    }

    /// How much must be free.
    fn needed_bytes(&self, room: Room) -> u64 {
        let own = match room {
            Room::Nothing => return 0,
            Room::Statements => self.reserve_bytes / FLOOR_PART,
            Room::Everything => self.reserve_bytes,
        };
        own.saturating_add(self.found.upkeep_bytes)
    }

    /// Why an act that needs this room is not done.
    fn failure(&self, needed: Room) -> Failure {
        Failure::failed(format!(
            "no room to write: the disk of {} is nearly full, {} bytes are free and {} needed",
            self.folder.display(),
            self.found.free_bytes,
            self.needed_bytes(needed),
        ))
        .hint(MAKE_ROOM)
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gauge({}, {:?})", self.folder.display(), self.found)
    }
}

impl Core {
    /// Measures the disk; what room there is, if that changed.
    pub(super) fn measure_room(&mut self) -> Option<Room> {
        let changed = self.gauge.measure(self.now().mono, self.replica.store())?;
        let Found { free_bytes, .. } = self.gauge.found;
        if changed == Room::Everything {
            tracing::info!(free_bytes, "there is room on the disk again");
        } else {
            let needed_bytes = self.gauge.needed_bytes(Room::Everything);
            tracing::warn!(free_bytes, needed_bytes, room = ?changed, "the disk is nearly full");
        }
        Some(changed)
    }

    /// Whether what waits for a flush fits the disk. It waits until it does: others may have filled
    /// the disk since it was applied, and a flush that fails ends the store.
    pub(super) fn flush_fits(&self) -> bool {
        let store = self.replica.store();
        let needed = store.unflushed_bytes().saturating_mul(FLUSH_PARTS);
        self.gauge.free_bytes() >= needed.saturating_add(store.upkeep_bytes())
    }

    /// Why an act that needs this room is not done.
    pub(super) fn no_room(&self, needed: Room) -> Failure {
        self.gauge.failure(needed)
    }

    /// What is said of an act whose flush does not fit.
    pub(super) fn not_durable(&self) -> Failure {
        let what = format!(
            "it was done, and is not on the disk of {}, which is full: it is written and sent when \
             there is room, and lost if the daemon stops before",
            self.gauge.folder.display()
        );
        Failure::new(Kind::Incomplete, what).hint(MAKE_ROOM)
    }

    /// Fails where nothing at all is written.
    pub(super) fn check_room(&self) -> Result<(), Failure> {
        match self.gauge.found.room {
            Room::Nothing => Err(self.no_room(Room::Statements)),
            Room::Statements | Room::Everything => Ok(()),
        }
    }

    /// What the operator should know of the disk: `None` while there is room.
    pub(super) fn shortage(&self) -> Option<String> {
        let Found { room, free_bytes, .. } = self.gauge.found;
        let stopped = match room {
            Room::Everything => return None,
            Room::Statements => "records are neither written nor taken from peers",
            Room::Nothing => "nothing is written or taken from peers",
        };
        Some(format!(
            "the disk of {} is nearly full ({free_bytes} bytes are free and {} needed): {stopped}",
            self.gauge.folder.display(),
            self.gauge.needed_bytes(Room::Everything),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use tearline_crdt::entropy::SeededEntropy;
    use tearline_crdt::id::Incarnation;
    use tearline_crdt::keys::DeviceKeys;
    use tearline_crdt::store::{Batch, Space, Store as _};
    use tearline_mesh::Replica;
    use tearline_mesh::net::{self, NetConfig};
    use tearline_mesh::replica::Setup;

    use super::super::core;
    use super::super::dialer::Dialer;
    use super::super::thin::ThinLinks;
    use super::*;
    use crate::index::{Index, Indexing};
    use crate::store::{OpenError, StoreKey};

    const RESERVE_BYTES: u64 = 64 * 1024 * 1024;

    #[test]
    fn content_stops_at_the_reserve_and_all_else_at_the_floor_and_a_margin_resumes() {
        let dir = tempfile::tempdir().unwrap();
        let store = SledStore::open(dir.path(), &StoreKey::new([1; 32])).unwrap();
        let free = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&free);
        let mut gauge = Gauge::new(dir.path().to_owned(), RESERVE_BYTES);
        gauge.free = Box::new(move |_| Ok(shown.load(Ordering::Relaxed)));
        let upkeep = store.upkeep_bytes();
        let (reserve, floor) = (RESERVE_BYTES + upkeep, RESERVE_BYTES / FLOOR_PART + upkeep);
        let steps = [
            (reserve, None),
            (reserve - 1, Some(Room::Statements)),
            (reserve + RESERVE_BYTES / MARGIN_PART - 1, None),
            (reserve + RESERVE_BYTES / MARGIN_PART, Some(Room::Everything)),
            (floor, Some(Room::Statements)),
            (floor - 1, Some(Room::Nothing)),
            (floor, None),
            (0, None),
            (floor + RESERVE_BYTES / MARGIN_PART, Some(Room::Statements)),
            (u64::MAX, Some(Room::Everything)),
        ];
        let mut now = 0;
        for (n, (bytes, changed)) in steps.into_iter().enumerate() {
            free.store(bytes, Ordering::Relaxed);
            assert_eq!(gauge.measure(MonoTime(now), &store), changed, "step {n}");
            let failure = gauge.failure(Room::Everything).what;
            assert!(failure.contains(&format!("{bytes} bytes")), "{failure}");
            free.store(0, Ordering::Relaxed);
            let soon = MonoTime(now + MEASURE_EVERY_MS - 1);
            assert_eq!(gauge.measure(soon, &store), None, "a measurement holds");
            now += MEASURE_EVERY_MS;
        }
    }

    /// Others fill the disk between an act and its flush: the act is said to be done and not durable, and
    /// becomes so by itself when there is room.
    #[test]
    fn an_act_whose_flush_does_not_fit_is_incomplete_and_is_written_when_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = SledStore::open(dir.path(), &StoreKey::new([1; 32])).unwrap();
        let index = Arc::new(Mutex::new(Index::open(&store).unwrap()));
        let setup = Setup {
            keys: DeviceKeys::from_seeds(&[2; 32], &[3; 32]),
            incarnation: Incarnation(1),
            entropy: Box::new(SeededEntropy::new(4)),
            projection: Box::new(Indexing(Arc::clone(&index))),
        };
        let dialer = Dialer::load(&store).unwrap();
        let replica = Replica::open(store, setup).unwrap();
        let (net, _events) = net::spawn(
            runtime.handle(),
            [2; 32],
            NetConfig { listen: vec![], ..NetConfig::default() },
        )
        .unwrap();
        let free = Arc::new(AtomicU64::new(u64::MAX));
        let shown = Arc::clone(&free);
        let mut gauge = Gauge::new(dir.path().to_owned(), RESERVE_BYTES);
        gauge.free = Box::new(move |_| Ok(shown.load(Ordering::Relaxed)));
        let (handle, queue) = core::channel();
        let thin = ThinLinks::new(DeviceKeys::from_seeds(&[2; 32], &[3; 32]));
        let core = Core::new(replica, index, net, dialer, thin, gauge, handle.clone()).unwrap();
        let thread = std::thread::spawn(move || core.run(&queue));
        let put = |key: &'static [u8], fills: Option<Arc<AtomicU64>>| {
            handle.act(move |core| {
                let mut batch = Batch::default();
                batch.put(Space::Meta, key, *b"value");
                let ticket = core.replica.put(batch).unwrap();
                if let Some(free) = fills {
                    free.store(0, Ordering::Relaxed);
                }
                Ok(((), ticket))
            })
        };
        put(b"before", None).unwrap();
        let told = put(b"meanwhile", Some(Arc::clone(&free))).unwrap_err();
        assert_eq!((told.kind, told.kind.exit_code()), (Kind::Incomplete, 7), "{told}");
        assert!(told.what.starts_with("it was done"), "{told}");
        let refused = put(b"full", None).unwrap_err();
        assert_eq!(refused.kind, Kind::Failed, "{refused}");
        free.store(u64::MAX, Ordering::Relaxed);
        put(b"after", None).unwrap();
        handle.stop();
        thread.join().unwrap();
        let store = loop {
            // The flushing thread lets go of the store when it has seen the core's end.
            match SledStore::open(dir.path(), &StoreKey::new([1; 32])) {
                Err(OpenError::InUse { .. }) => std::thread::yield_now(),
                opened => break opened.unwrap(),
            }
        };
        for (key, is_there) in
            [("before", true), ("meanwhile", true), ("full", false), ("after", true)]
        {
            let found = store.get(Space::Meta, key.as_bytes()).unwrap();
            assert_eq!(found.is_some(), is_there, "{key}");
        }
    }
}
