//! Whom to dial, and when: every configured peer is dialled until it is connected, at growing
//! intervals, its addresses in turn.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use tearline_crdt::id::DeviceId;
use tearline_crdt::store::{Batch, Space, Store, StoreError};
use tearline_crdt::time::MonoTime;

/// First and longest wait between two attempts.
const WAIT_MS_MIN: u64 = 250;
const WAIT_MS_MAX: u64 = 60_000;
/// Most addresses of one peer.
const ADDRESSES_PER_PEER_MAX: usize = 16;

/// A configured peer.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Where it is dialled.
    pub addresses: Vec<String>,
    /// Whether it is connected.
    pub connected: bool,
    /// Why the last attempt or link ended.
    pub reason: Option<String>,
    next_address: usize,
    attempts: u32,
    at: MonoTime,
    out: bool,
}

/// The configured peers.
#[derive(Clone, Debug, Default)]
pub struct Dialer {
    targets: BTreeMap<DeviceId, Target>,
}

impl Dialer {
    /// Reads the configured peers.
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut dialer = Self::default();
        store.scan(Space::Peers, &[], &[], &mut |key, value| {
            if let (Ok(id), Ok(addresses)) =
                (<[u8; 32]>::try_from(key), serde_json::from_slice::<Vec<String>>(value))
            {
                dialer.targets.insert(DeviceId(id), Target { addresses, ..Target::default() });
            }
            ControlFlow::Continue(())
        })?;
        Ok(dialer)
    }

    /// Adds an address of a peer, in the store with the batch. The newest is dialled first. `linked`
    /// says whether there is a link to it, by whatever address: then it is not dialled.
    pub fn add(&mut self, batch: &mut Batch, device: DeviceId, address: &str, linked: bool) {
        let target = self.targets.entry(device).or_default();
        target.connected = linked;
        target.addresses.retain(|known| known != address);
        target.addresses.insert(0, address.to_owned());
        target.addresses.truncate(ADDRESSES_PER_PEER_MAX);
        target.next_address = 0;
        target.attempts = 0;
        target.at = MonoTime(0);
        if let Ok(value) = serde_json::to_vec(&target.addresses) {
            batch.put(Space::Peers, device.0, value);
        }
    }

    /// Forgets a peer.
    pub fn remove(&mut self, batch: &mut Batch, device: &DeviceId) -> Option<Target> {
        batch.remove(Space::Peers, device.0);
        self.targets.remove(device)
    }

    /// The peers.
    #[must_use]
    pub const fn targets(&self) -> &BTreeMap<DeviceId, Target> {
        &self.targets
    }

    /// A link to a peer is up.
    pub fn connected(&mut self, device: &DeviceId) {
        if let Some(target) = self.targets.get_mut(device) {
            target.connected = true;
            target.out = false;
            target.attempts = 0;
            target.reason = None;
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
            None => self.targets.values_mut().find(|t| t.addresses.iter().any(|a| a == address)),
        };
        if let Some(target) = target.filter(|target| !target.connected) {
            target.next_address = target.next_address.wrapping_add(1);
            target.put_off(now, reason);
        }
    }

    /// Whom to dial now.
    pub fn due(&mut self, now: MonoTime) -> Vec<(DeviceId, String)> {
        let mut due = Vec::new();
        for (device, target) in &mut self.targets {
            if target.connected || target.out || target.at > now || target.addresses.is_empty() {
                continue;
            }
            let n = target.next_address % target.addresses.len();
            if let Some(address) = target.addresses.get(n) {
                target.out = true;
                due.push((*device, address.clone()));
            }
        }
        due
    }

    /// How long until somebody is due; `None` if nobody will be.
    #[must_use]
    pub fn wait(&self, now: MonoTime) -> Option<Duration> {
        self.targets
            .values()
            .filter(|t| !t.connected && !t.out && !t.addresses.is_empty())
            .map(|t| Duration::from_millis(t.at.0.saturating_sub(now.0)))
            .min()
    }
}

impl Target {
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

    #[test]
    fn peers_are_dialled_in_turns_at_growing_intervals_until_they_answer() {
        let device = DeviceId([1; 32]);
        let mut store = MemoryStore::default();
        let mut dialer = Dialer::default();
        let mut batch = Batch::default();
        dialer.add(&mut batch, device, "/a", false);
        dialer.add(&mut batch, device, "/b", false);
        store.apply(batch).unwrap();
        let mut dialer = Dialer::load(&store).unwrap();
        let mut now = MonoTime(0);
        let mut waits = Vec::new();
        for expected in ["/b", "/a", "/b", "/a"] {
            assert_eq!(dialer.due(now), [(device, expected.to_owned())]);
            assert!(dialer.due(now).is_empty(), "one attempt at a time");
            dialer.failed(Some(&device), expected, now, "refused".into());
            let wait = dialer.wait(now).unwrap();
            waits.push(wait);
            now = now.plus_ms(wait.as_millis() as u64);
        }
        assert!(waits.windows(2).all(|pair| pair[0] < pair[1]));
        dialer.connected(&device);
        assert!(dialer.due(now).is_empty() && dialer.wait(now).is_none());
        dialer.failed(Some(&device), "/b", now, "the other side was faster".into());
        assert!(dialer.targets()[&device].reason.is_none());
        dialer.disconnected(&device, now, "cut".into());
        assert!(dialer.wait(now).is_some());
    }

    #[test]
    fn a_peer_that_is_linked_when_it_is_added_is_not_dialled_and_lacks_nothing() {
        let device = DeviceId([1; 32]);
        let mut dialer = Dialer::default();
        dialer.add(&mut Batch::default(), device, "/a", true);
        assert!(dialer.due(MonoTime(0)).is_empty() && dialer.wait(MonoTime(0)).is_none());
        let target = &dialer.targets()[&device];
        assert!(target.connected && target.reason.is_none());
    }
}
