//! The configured peers: where each is, whether it is paused, and whom to dial when.
//!
//! Every peer with a multiaddress is dialled until it is connected, at growing intervals, its addresses
//! in turn. A thin link is no address to dial: the transport keeps it up by itself ([`super::thin`]).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tearline_crdt::id::DeviceId;
use tearline_crdt::store::{Batch, Space, Store, StoreError};
use tearline_crdt::time::MonoTime;
use tearline_mesh::net::{self, thin::ThinAddress};

/// First and longest wait between two attempts.
const WAIT_MS_MIN: u64 = 250;
const WAIT_MS_MAX: u64 = 60_000;
/// Members that nobody here named are dialled while fewer peers are linked.
const LINKS_WANTED: usize = 8;
/// Why a member is not dialled.
const ENOUGH: &str = "enough other peers are linked";
/// Most peers while some of them were found.
const FOUND_PEERS_MAX: usize = 256;
/// Most addresses of one peer.
const ADDRESSES_PER_PEER_MAX: usize = 16;

/// A configured peer.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Where it is dialled.
    pub addresses: Vec<String>,
    /// Where it is dialled that nobody here named: what was found on the local network. Not kept.
    pub found: Vec<String>,
    /// The thin link to it.
    pub thin: Option<ThinAddress>,
    /// Whether no link to it is wanted.
    pub paused: bool,
    /// Whether it is connected, other than by a thin link.
    pub connected: bool,
    /// Why the last attempt or link ended.
    pub reason: Option<String>,
    next_address: usize,
    /// Since a frame came of it.
    attempts: u32,
    at: MonoTime,
    /// It misbehaved and is not dialled before then.
    barred: MonoTime,
    out: bool,
}

/// What the store keeps of a peer, under its device id.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    addresses: Vec<String>,
    thin: Option<String>,
    paused: bool,
    #[serde(default)]
    removed: bool,
}

/// The configured peers.
#[derive(Clone, Debug, Default)]
pub struct Dialer {
    targets: BTreeMap<DeviceId, Target>,
    /// Those whose last address the operator forgot: until one is added they are not dialled, wherever they say
    /// that they are.
    removed: BTreeSet<DeviceId>,
}

impl Dialer {
    /// Reads the configured peers.
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut dialer = Self::default();
        store.scan(Space::Peers, &[], &[], &mut |key, value| {
            if let (Ok(id), Ok(kept)) =
                (<[u8; 32]>::try_from(key), serde_json::from_slice::<Kept>(value))
            {
                let Kept { addresses, thin, paused, removed } = kept;
                let thin = thin.and_then(|thin| thin.parse().ok());
                let target = Target { addresses, thin, paused, ..Target::default() };
                if target.says_anything() {
                    dialer.targets.insert(DeviceId(id), target);
                }
                if removed {
                    dialer.removed.insert(DeviceId(id));
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(dialer)
    }

    /// Adds the peers of the configuration, for this run. A thin link that the store has goes before
    /// the configuration's.
    pub fn add_configured(&mut self, peers: &[String]) {
        let mut not_kept = Batch::default();
        for peer in peers {
            if let Some((device, address)) = net::split_address(peer) {
                self.add(&mut not_kept, device, &address.to_string(), false);
            } else if let Ok(thin) = peer.parse::<ThinAddress>()
                && self.targets.get(&thin.device).is_none_or(|target| target.thin.is_none())
            {
                self.set_thin(&mut not_kept, thin);
            }
        }
    }

    /// Adds an address of a peer, in the store with the batch. The newest is dialled first.
    /// `connected` says whether there is a link to it, by whatever address: then it is not dialled.
    pub fn add(&mut self, batch: &mut Batch, device: DeviceId, address: &str, connected: bool) {
        self.removed.remove(&device);
        let target = self.targets.entry(device).or_default();
        target.connected = connected;
        target.addresses.retain(|known| known != address);
        target.addresses.insert(0, address.to_owned());
        target.addresses.truncate(ADDRESSES_PER_PEER_MAX);
        target.begin_anew();
        self.keep(batch, &device);
    }

    /// A member says that it can be reached at an address: it is dialled there, too, in this run.
    pub fn found(&mut self, device: DeviceId, address: &str, connected: bool) {
        let is_one_more = !self.targets.contains_key(&device);
        if self.removed.contains(&device) || is_one_more && self.targets.len() >= FOUND_PEERS_MAX {
            return;
        }
        let target = self.targets.entry(device).or_default();
        let is_known = target.addresses.iter().chain(&target.found).any(|known| known == address);
        if is_known || target.found.len() >= ADDRESSES_PER_PEER_MAX {
            return;
        }
        target.connected = connected;
        target.found.push(address.to_owned());
    }

    /// A member signed that it can be reached at these addresses, and at none that it said before.
    pub fn said(&mut self, device: DeviceId, addresses: Vec<String>, connected: bool) {
        if let Some(target) = self.targets.get_mut(&device) {
            target.found.clear();
        }
        addresses.iter().for_each(|address| self.found(device, address, connected));
        self.targets.retain(|_, target| target.says_anything() || !target.found.is_empty());
    }

    /// Sets the thin link to a peer, in place of the one that it had.
    pub fn set_thin(&mut self, batch: &mut Batch, address: ThinAddress) {
        let device = address.device;
        self.targets.entry(device).or_default().thin = Some(address);
        self.keep(batch, &device);
    }

    /// From now on wants no link to a peer, or wants one again.
    pub fn pause(&mut self, batch: &mut Batch, device: DeviceId, paused: bool) {
        let target = self.targets.entry(device).or_default();
        target.paused = paused;
        target.begin_anew();
        self.keep(batch, &device);
    }

    /// Forgets a peer, and dials it no more.
    pub fn remove(&mut self, batch: &mut Batch, device: &DeviceId) {
        self.targets.remove(device);
        self.removed.insert(*device);
        self.keep(batch, device);
    }

    /// Forgets one address of a peer, and the peer with its last. Where the last is forgotten at which it was
    /// dialled, it is dialled no more, though a thin link to it stays.
    pub fn remove_address(&mut self, batch: &mut Batch, device: &DeviceId, address: &str) {
        if let Some(target) = self.targets.get_mut(device) {
            let before = target.addresses.len();
            target.addresses.retain(|known| known != address);
            if before > 0 && target.addresses.is_empty() {
                target.found.clear();
                self.removed.insert(*device);
            }
            let is_it = |thin: &ThinAddress| thin.to_string() == address;
            target.thin = target.thin.take().filter(|thin| !is_it(thin));
            target.begin_anew();
        }
        self.keep(batch, device);
    }

    /// Writes down what is to be remembered of a peer; one of which nothing is, is forgotten.
    fn keep(&mut self, batch: &mut Batch, device: &DeviceId) {
        let removed = self.removed.contains(device);
        let target = self.targets.get(device);
        let says = target.filter(|target| target.says_anything());
        let kept = says.map(|target| Kept {
            addresses: target.addresses.clone(),
            thin: target.thin.as_ref().map(ToString::to_string),
            paused: target.paused,
            removed,
        });
        if kept.is_none() && target.is_some_and(|target| target.found.is_empty()) {
            self.targets.remove(device);
        }
        let kept = kept.or_else(|| removed.then(|| Kept { removed, ..Kept::default() }));
        let Some(kept) = kept else { return batch.remove(Space::Peers, device.0) };
        if let Ok(value) = serde_json::to_vec(&kept) {
            batch.put(Space::Peers, device.0, value);
        }
    }

    /// The peers.
    #[must_use]
    pub const fn targets(&self) -> &BTreeMap<DeviceId, Target> {
        &self.targets
    }

    /// Whether a link is wanted that came up: not of a peer that is paused, and not what an attempt
    /// came to that began before the address was forgotten.
    #[must_use]
    pub fn wants(&self, device: &DeviceId, dialled: bool) -> bool {
        let target = self.targets.get(device);
        let paused = target.is_some_and(|target| target.paused);
        let known = target.is_some_and(|target| target.count() > 0);
        !paused && (known || !dialled)
    }

    /// A link to a peer is up.
    pub fn connected(&mut self, device: &DeviceId) {
        if let Some(target) = self.targets.get_mut(device) {
            target.connected = true;
            target.out = false;
            target.reason = None;
        }
    }

    /// A peer is not dialled before then.
    pub fn bar(&mut self, device: &DeviceId, until: MonoTime) {
        if let Some(target) = self.targets.get_mut(device) {
            target.barred = until;
        }
    }

    /// A frame of a peer came: it wants to be linked, so that the next attempt need not wait long.
    pub fn heard(&mut self, device: &DeviceId) {
        if let Some(target) = self.targets.get_mut(device) {
            target.attempts = 0;
        }
    }

    /// A link to a peer is down.
    pub fn disconnected(&mut self, device: &DeviceId, now: MonoTime, reason: String) {
        if let Some(target) = self.targets.get_mut(device) {
            target.connected = false;
            target.put_off(now, reason);
        }
    }

    /// An attempt failed. If the peer got through to us meanwhile, that is nothing.
    pub fn failed(
        &mut self,
        device: Option<&DeviceId>,
        address: &str,
        now: MonoTime,
        reason: String,
    ) {
        let target = match device {
            Some(device) => self.targets.get_mut(device),
            None => self.targets.values_mut().find(|t| t.all().any(|a| a == address)),
        };
        if let Some(target) = target.filter(|target| !target.connected) {
            target.next_address = target.next_address.wrapping_add(1);
            target.put_off(now, reason);
        }
    }

    /// Whom to dial now.
    pub fn due(&mut self, now: MonoTime) -> Vec<(DeviceId, String)> {
        let mut due = Vec::new();
        let mut linked =
            self.targets.values().filter(|target| target.connected || target.out).count();
        for (device, target) in &mut self.targets {
            if !target.waits() || target.due_at() > now {
                continue;
            }
            // The operator's peers are linked however many there are; of others so many as keep the mesh together.
            if target.addresses.is_empty() && linked >= LINKS_WANTED {
                target.at = now.plus_ms(WAIT_MS_MAX);
                target.reason = Some(ENOUGH.into());
                continue;
            }
            linked += 1;
            let n = target.next_address % target.count();
            let address = target.all().nth(n).cloned();
            if let Some(address) = address {
                target.out = true;
                due.push((*device, address));
            }
        }
        due
    }

    /// How long until somebody is due; `None` if nobody will be.
    #[must_use]
    pub fn wait(&self, now: MonoTime) -> Option<Duration> {
        self.targets.values().filter_map(|target| target.wait(now)).min()
    }
}

impl Target {
    /// How long until it is dialled; `None` while it is not to be, or is being.
    #[must_use]
    pub fn wait(&self, now: MonoTime) -> Option<Duration> {
        self.waits().then(|| Duration::from_millis(self.due_at().0.saturating_sub(now.0)))
    }

    fn due_at(&self) -> MonoTime {
        self.at.max(self.barred)
    }

    /// Whether it is dialled when its time comes.
    const fn waits(&self) -> bool {
        !self.paused && !self.connected && !self.out && self.count() > 0
    }

    /// Where it is dialled: first where the operator said.
    fn all(&self) -> impl Iterator<Item = &String> {
        self.addresses.iter().chain(&self.found)
    }

    const fn count(&self) -> usize {
        self.addresses.len() + self.found.len()
    }

    /// Whether the operator wants a link to it.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.thin.is_some() || !self.addresses.is_empty()
    }

    const fn says_anything(&self) -> bool {
        self.paused || self.thin.is_some() || !self.addresses.is_empty()
    }

    fn begin_anew(&mut self) {
        self.out = false;
        self.reason = None;
        self.next_address = 0;
        self.attempts = 0;
        self.at = MonoTime(0);
        self.barred = MonoTime(0);
    }

    fn put_off(&mut self, now: MonoTime, reason: String) {
        let wait = WAIT_MS_MIN.saturating_mul(1 << self.attempts.min(10)).min(WAIT_MS_MAX);
        self.attempts = self.attempts.saturating_add(1);
        self.at = now.plus_ms(wait);
        self.reason = Some(reason);
        self.out = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tearline_crdt::store::memory::MemoryStore;

    const DEVICE: DeviceId = DeviceId([1; 32]);

    /// What another start of the daemon finds.
    fn reopened(store: &mut MemoryStore, batch: &mut Batch) -> Dialer {
        store.apply(std::mem::take(batch)).unwrap();
        Dialer::load(store).unwrap()
    }

    #[test]
    fn peers_are_dialled_in_turns_at_growing_intervals_until_they_answer() {
        let mut store = MemoryStore::default();
        let mut dialer = Dialer::default();
        let mut batch = Batch::default();
        dialer.add(&mut batch, DEVICE, "/a", false);
        dialer.add(&mut batch, DEVICE, "/b", false);
        let mut dialer = reopened(&mut store, &mut batch);
        let mut now = MonoTime(0);
        let mut waits = Vec::new();
        for expected in ["/b", "/a", "/b", "/a"] {
            assert_eq!(dialer.due(now), [(DEVICE, expected.to_owned())]);
            assert!(dialer.due(now).is_empty(), "one attempt at a time");
            dialer.failed(Some(&DEVICE), expected, now, "refused".into());
            let wait = dialer.wait(now).unwrap();
            waits.push(wait);
            now = now.plus_ms(wait.as_millis() as u64);
        }
        assert!(waits.windows(2).all(|pair| pair[0] < pair[1]));
        dialer.connected(&DEVICE);
        assert!(dialer.due(now).is_empty() && dialer.wait(now).is_none());
        dialer.failed(Some(&DEVICE), "/b", now, "the other side was faster".into());
        assert!(dialer.targets()[&DEVICE].reason.is_none());
        dialer.disconnected(&DEVICE, now, "cut".into());
        // A link over which nothing came is no reason to hurry.
        assert!(dialer.wait(now).unwrap() > *waits.last().unwrap());
        dialer.connected(&DEVICE);
        dialer.heard(&DEVICE);
        dialer.disconnected(&DEVICE, now, "cut".into());
        assert_eq!(dialer.wait(now), Some(waits[0]));
    }

    #[test]
    fn a_peer_that_is_linked_when_it_is_added_is_not_dialled_and_lacks_nothing() {
        let mut dialer = Dialer::default();
        dialer.add(&mut Batch::default(), DEVICE, "/a", true);
        assert!(dialer.due(MonoTime(0)).is_empty() && dialer.wait(MonoTime(0)).is_none());
        let target = &dialer.targets()[&DEVICE];
        assert!(target.connected && target.reason.is_none());
    }

    #[test]
    fn what_was_found_is_dialled_after_what_was_said_and_not_kept() {
        let mut store = MemoryStore::default();
        let (mut dialer, mut batch) = (Dialer::default(), Batch::default());
        dialer.add(&mut batch, DEVICE, "/a", false);
        let found = DeviceId([2; 32]);
        for device in [DEVICE, found] {
            (0..2).for_each(|_| dialer.found(device, "/found", false));
        }
        assert_eq!(dialer.due(MonoTime(0)), [(DEVICE, "/a".into()), (found, "/found".into())]);
        dialer.failed(Some(&DEVICE), "/a", MonoTime(0), "refused".into());
        assert_eq!(dialer.due(MonoTime(1_000)), [(DEVICE, "/found".into())]);
        assert!(dialer.wants(&found, true));
        let again = reopened(&mut store, &mut batch);
        assert_eq!(again.targets().keys().collect::<Vec<_>>(), [&DEVICE]);
        for n in 0..2 * FOUND_PEERS_MAX {
            let mut id = [7; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            dialer.found(DeviceId(id), "/far", false);
        }
        assert_eq!(dialer.targets().len(), FOUND_PEERS_MAX);
    }

    #[test]
    fn a_thin_link_is_kept_and_not_dialled() {
        let mut store = MemoryStore::default();
        let (mut dialer, mut batch) = (Dialer::default(), Batch::default());
        let address = |rate: u32| -> ThinAddress {
            format!("udp://192.0.2.7:7300/{DEVICE}?rate={rate}").parse().unwrap()
        };
        dialer.set_thin(&mut batch, address(600));
        dialer.set_thin(&mut batch, address(2_400));
        let mut dialer = reopened(&mut store, &mut batch);
        assert_eq!(dialer.targets()[&DEVICE].thin, Some(address(2_400)));
        assert!(dialer.due(MonoTime(0)).is_empty() && dialer.wait(MonoTime(0)).is_none());
        dialer.add(&mut batch, DEVICE, "/a", false);
        assert_eq!(dialer.due(MonoTime(0)), [(DEVICE, "/a".to_owned())]);
        dialer.remove_address(&mut batch, &DEVICE, "/a");
        let mut dialer = reopened(&mut store, &mut batch);
        assert!(dialer.targets()[&DEVICE].addresses.is_empty());
        dialer.remove_address(&mut batch, &DEVICE, &address(2_400).to_string());
        assert!(dialer.targets().is_empty() && reopened(&mut store, &mut batch).targets.is_empty());
    }

    #[test]
    fn who_was_removed_is_dialled_nowhere_until_it_is_added_again() {
        let remove_all: [fn(&mut Dialer, &mut Batch); 2] = [
            |dialer, batch| dialer.remove(batch, &DEVICE),
            |dialer, batch| dialer.remove_address(batch, &DEVICE, "/a"),
        ];
        for remove in remove_all {
            let mut store = MemoryStore::default();
            let (mut dialer, mut batch) = (Dialer::default(), Batch::default());
            dialer.add(&mut batch, DEVICE, "/a", false);
            dialer.found(DEVICE, "/found", false);
            remove(&mut dialer, &mut batch);
            for mut dialer in [reopened(&mut store, &mut batch), dialer.clone()] {
                dialer.found(DEVICE, "/found", false);
                dialer.said(DEVICE, vec!["/said".into()], false);
                assert!(dialer.targets().is_empty() && dialer.due(MonoTime(0)).is_empty());
                assert!(!dialer.wants(&DEVICE, true), "an attempt that was under way");
                assert!(dialer.wants(&DEVICE, false), "it may dial us");
            }
            dialer.add(&mut batch, DEVICE, "/b", false);
            let mut dialer = reopened(&mut store, &mut batch);
            dialer.said(DEVICE, vec!["/said".into()], false);
            assert_eq!(dialer.targets()[&DEVICE].all().collect::<Vec<_>>(), ["/b", "/said"]);
        }
    }

    #[test]
    fn a_paused_peer_is_left_alone_also_after_a_restart() {
        let mut store = MemoryStore::default();
        let (mut dialer, mut batch) = (Dialer::default(), Batch::default());
        dialer.add(&mut batch, DEVICE, "/a", false);
        dialer.pause(&mut batch, DEVICE, true);
        let mut dialer = reopened(&mut store, &mut batch);
        assert!(dialer.due(MonoTime(0)).is_empty() && dialer.wait(MonoTime(0)).is_none());
        assert!(!dialer.wants(&DEVICE, true) && !dialer.wants(&DEVICE, false));
        dialer.pause(&mut batch, DEVICE, false);
        assert_eq!(dialer.due(MonoTime(0)).len(), 1);
        // One that dials us has no address, and can be paused all the same.
        let other = DeviceId([2; 32]);
        dialer.pause(&mut batch, other, true);
        let mut dialer = reopened(&mut store, &mut batch);
        assert!(!dialer.wants(&other, false));
        dialer.pause(&mut batch, other, false);
        assert!(!dialer.targets().contains_key(&other));
        // It may dial us; an attempt of ours is one of before.
        assert!(dialer.wants(&other, false) && !dialer.wants(&other, true));
    }
}
