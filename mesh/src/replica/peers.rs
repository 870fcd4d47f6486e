//! How things stand with the devices that have a link, for people.

use std::collections::{BTreeMap, VecDeque};

use tearline_crdt::id::{CoalitionId, DeviceId};
use tearline_crdt::store::Store;
use tearline_crdt::time::WallTime;

use super::lag::LagKey;
use super::session::Phase;
use super::{Link, Replica};

/// How things stand with a device, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerState {
    /// The device.
    pub device: DeviceId,
    /// The link.
    pub link: Link,
    /// Whether we dialed.
    pub dialer: bool,
    /// Whether news flow.
    pub live: bool,
    /// Whether all that is shared is known to be equal.
    pub in_sync: bool,
    /// Whether both have named a coalition's own log. A member that names none to this device knows of
    /// no right of it, or of none any more.
    pub in_coalition: bool,
    /// Whether something that they brought was refused, and is to be asked for again.
    pub refused: bool,
    /// Entries that they lack, as far as known.
    pub entries_behind: u64,
    /// Entries that they said they have and that are not here.
    pub entries_ahead: u64,
    /// Logs of which they let go of a beginning that we lack, or cannot read what we lack: it has to come from
    /// another.
    pub gone: u64,
    /// Logs of which they lack what cannot be read here.
    pub withheld: u64,
    /// Entries that they left out, or lack themselves, and that stay elsewhere.
    pub left_aside: u64,
    /// Bytes of frames received over this link.
    pub bytes_in: u64,
    /// Bytes of frames handed over for this link.
    pub bytes_out: u64,
}

impl<S: Store> Replica<S> {
    /// The devices with a link, and how things stand with them.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerState> {
        let left_aside = self.left_aside(&|_| true);
        self.sessions
            .iter()
            .filter(|(_, session)| session.is_heard())
            .map(|(link, session)| PeerState {
                device: session.device,
                link: *link,
                dialer: session.dialer,
                live: session.phase == Phase::Live,
                in_sync: session.is_in_sync()
                    && session.declined.is_empty()
                    && session.refused.is_empty()
                    && session.gone.is_empty(),
                gone: session.gone.len() as u64,
                withheld: self.withheld_from(session),
                left_aside: left_aside.get(&session.device).copied().unwrap_or_default(),
                in_coalition: session
                    .shared
                    .iter()
                    .any(|id| self.coalition(CoalitionId(id.0)).is_some()),
                refused: !session.refused.is_empty(),
                entries_behind: session
                    .lag
                    .iter()
                    .map(|((_, area, key), lag)| {
                        self.areas
                            .get(area)
                            .map_or(0, |a| a.frontier.head(key).next.saturating_sub(lag.acked))
                    })
                    .sum(),
                entries_ahead: session
                    .claimed()
                    .map(|((_, area, key), next)| {
                        let own = self.areas.get(area).map_or(0, |a| a.frontier.head(key).next);
                        next.saturating_sub(own)
                    })
                    .fold(0, u64::saturating_add),
                bytes_in: session.bytes_in,
                bytes_out: session.bytes_out,
            })
            .collect()
    }

    /// What a device lacks, linked or not; `None` if nothing is known of it since the start.
    #[must_use]
    pub fn lacks(&self, device: &DeviceId) -> Option<Lacks> {
        let mut positions: BTreeMap<LagKey, u64> = BTreeMap::new();
        let mut is_known = false;
        let linked = self.sessions.values().filter(|s| s.device == *device && s.is_heard());
        for session in linked {
            is_known |= session.phase == Phase::Live;
            positions.extend(session.lag.iter().map(|(key, lag)| (*key, lag.acked)));
        }
        if let Some(memory) = self.memories.get(device).filter(|_| !is_known) {
            is_known = memory.digest.is_some();
            positions.extend(memory.moved.iter().map(|(key, next)| (*key, *next)));
        }
        let ahead = |((_, area, key), next): (&LagKey, &u64)| {
            let own = self.areas.get(area).map_or(0, |held| held.frontier.head(key).next);
            own.saturating_sub(*next)
        };
        is_known.then(|| Lacks {
            entries: positions.iter().map(ahead).sum(),
            flash_since: self.flashes.oldest(&positions),
        })
    }
}

/// What a device lacks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Lacks {
    /// Entries.
    pub entries: u64,
    /// Since when the oldest flash among them is here; `None` also if it was before the start.
    pub flash_since: Option<WallTime>,
}

/// Since when the latest flashes are here.
#[derive(Debug, Default)]
pub(super) struct Flashes(VecDeque<(LagKey, u64, WallTime)>);

/// Flashes of which it is remembered since when they are here.
const FLASHES_MAX: usize = 1_024;

impl Flashes {
    /// A log of flashes is durable here up to a position.
    pub(super) fn note(&mut self, key: LagKey, next: u64, at: WallTime) {
        self.0.push_back((key, next, at));
        if self.0.len() > FLASHES_MAX {
            self.0.pop_front();
        }
    }

    /// Since when the oldest is here that lies behind one of these positions.
    fn oldest(&self, positions: &BTreeMap<LagKey, u64>) -> Option<WallTime> {
        let lacks = |(key, next, _): &&(LagKey, u64, WallTime)| {
            positions.get(key).is_some_and(|held| held < next)
        };
        self.0.iter().find(lacks).map(|(.., at)| *at)
    }
}
