//! What `doctor` looks at beside the store and the links: the clock, the addresses, the rights and the keys
//! that end, and a relay's house.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tearline_crdt::id::{CompartmentId, DeviceId};
use tearline_crdt::time::WallTime;
use tearline_mesh::net::{Multiaddr, Protocol};

use super::core::Core;
use super::overview::check;
use crate::control::reply::{Check, CheckStatus};
use crate::index::Query;
use crate::size;

impl Core {
    /// Whether what others wrote came before they wrote it, by the clocks of both. A clock that is behind
    /// theirs shows so; one that is ahead of theirs does not, because entries may take any time. One that was
    /// ahead shows in what was written by it.
    pub(super) fn check_clock(&self) -> Check {
        // What cannot be read is found by the check of the store.
        let latest = self.replica.own_dates_reach().unwrap_or_default();
        if latest.0.saturating_sub(self.now().wall.0) > CLOCKS_DIFFER_MS {
            let message = format!(
                "it was ahead: this device wrote entries that are dated up to {latest}, and those after them in \
                 their logs are dated no earlier"
            );
            return check("clock", CheckStatus::Warn, message, Some(DATES_FIX));
        }
        let own = self.replica.device();
        let query = Query { limit: RECORDS_LOOKED_AT, ..Query::default() };
        let mut ahead: BTreeMap<DeviceId, u64> = BTreeMap::new();
        let index = self.index.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let page = index.search(self.replica.store(), &query, &mut |_| Ok(true));
        drop(index);
        // What cannot be read is found by the check of the store.
        for row in page.map(|page| page.rows).unwrap_or_default() {
            let by = row.created_ms.saturating_sub(row.received_ms);
            if row.device != own && by > CLOCKS_DIFFER_MS {
                let most = ahead.entry(row.device).or_default();
                *most = by.max(*most);
            }
        }
        let most_s = ahead.values().max().copied().unwrap_or_default() / 1_000;
        let devices: Vec<String> = ahead.keys().map(DeviceId::short).collect();
        match devices.as_slice() {
            [] => check(
                "clock",
                CheckStatus::Pass,
                "behind nobody's, as far as is known".into(),
                None,
            ),
            [device] => {
                let message =
                    format!("records of {device} are dated up to {most_s} s after they came");
                check("clock", CheckStatus::Warn, message, Some(CLOCK_FIX))
            }
            _ => {
                let message = format!(
                    "behind those of {}: their records are dated up to {most_s} s after they came",
                    devices.join(", ")
                );
                check("clock", CheckStatus::Fail, message, Some(CLOCK_FIX))
            }
        }
    }

    /// Whether other machines can dial this one.
    pub(super) fn check_reach(&self) -> Check {
        let own = self.addresses.iter().chain(&self.announce);
        let own: Vec<Multiaddr> = own.filter_map(|address| address.parse().ok()).collect();
        let targets = self.dialer.targets().values();
        let mut dialled =
            targets.flat_map(|target| &target.addresses).filter_map(|a| a.parse().ok());
        let far = dialled.any(|address: Multiaddr| !is_near(&address));
        if far && own.iter().all(is_near) {
            let message =
                "other machines cannot dial this one: it listens on loopback alone".into();
            return check("addresses", CheckStatus::Warn, message, Some(REACH_FIX));
        }
        let message = if own.iter().all(is_near) {
            "on this machine alone, as its peers are"
        } else {
            "other machines may dial this one"
        };
        check("addresses", CheckStatus::Pass, message.into(), None)
    }

    /// Whether rights of this device end, and whether keys are older than the schedule.
    pub(super) fn check_expiry(&self) -> Check {
        let now = self.now().wall;
        let mut ended = Vec::new();
        let mut ending = Vec::new();
        let mut overdue = Vec::new();
        for id in self.replica.areas().keys() {
            if let Some(end) = self.replica.rights_end(*id) {
                let said = format!("{} at {end}", self.area_name(id));
                if end <= now {
                    ended.push(said);
                } else if end.0 - now.0 <= ENDS_SOON_MS {
                    ending.push(said);
                }
            }
            let due = self.replica.epoch_age(*id).filter(|age| age.written).and_then(|age| age.due);
            if due.is_some_and(|due| WallTime(due.0.saturating_add(OVERDUE_MS)) < now) {
                overdue.push(self.area_name(id));
            }
        }
        if !ended.is_empty() {
            let message = format!("rights of this device ended: {}", ended.join(", "));
            return check("expiry", CheckStatus::Fail, message, Some(RIGHTS_FIX));
        }
        if !ending.is_empty() {
            let message = format!("rights of this device end: {}", ending.join(", "));
            return check("expiry", CheckStatus::Warn, message, Some(RIGHTS_FIX));
        }
        if !overdue.is_empty() {
            let message = format!("keys are older than the schedule in {}", overdue.join(", "));
            return check("expiry", CheckStatus::Warn, message, Some(KEYS_FIX));
        }
        check("expiry", CheckStatus::Pass, "no right and no key is about to end".into(), None)
    }

    /// Whether devices have written more than they may, as far as is known here.
    pub(super) fn check_quotas(&self) -> Check {
        let mut over = Vec::new();
        for id in self.replica.areas().keys() {
            let quotas = self.replica.quotas(*id).into_iter().filter(|(_, quota)| quota.is_over());
            over.extend(quotas.map(|(device, quota)| {
                let own = if device == self.replica.device() { "this device" } else { "" };
                let named = self.device(&device).name.unwrap_or_else(|| device.short());
                let who = if own.is_empty() { named.as_str() } else { own };
                let (used, most) = (size::text(quota.used_bytes), size::text(quota.bytes));
                format!("{who} wrote {used} of {most} in {}", self.area_name(id))
            }));
        }
        if over.is_empty() {
            return check("quotas", CheckStatus::Pass, "nobody is over one".into(), None);
        }
        let message = format!("over quota: {}", over.join("; "));
        check("quotas", CheckStatus::Warn, message, Some(QUOTA_FIX))
    }

    /// The compartments in which a device is over its quota, by name.
    pub(super) fn over_quota(&self, device: &DeviceId) -> Vec<String> {
        let over = |id: &&CompartmentId| {
            let quotas = self.replica.quotas_of(**id, device);
            quotas.iter().any(tearline_mesh::replica::Quota::is_over)
        };
        self.replica.areas().keys().filter(over).map(|id| self.area_name(id)).collect()
    }

    /// Whether a relay has room for what comes.
    pub(super) fn check_relay(&self) -> Option<Check> {
        let house = self.replica.relay_state()?;
        let (held, quota) = (house.held_bytes, house.terms.quota_bytes);
        let held = format!("{} of {} are held", size::near(held), size::text(quota));
        Some(if house.is_full {
            let message = format!("full of what is more urgent than what comes: {held}");
            check("relay", CheckStatus::Fail, message, Some(RELAY_FIX))
        } else if house.evicted_bytes > 0 {
            let went = size::near(house.evicted_bytes);
            let message = format!("{held}; {went} went since the start");
            check("relay", CheckStatus::Warn, message, Some(RELAY_FIX))
        } else {
            check("relay", CheckStatus::Pass, held, None)
        })
    }

    pub(super) fn area_name(&self, id: &CompartmentId) -> String {
        if self.replica.compartment(*id).is_some() {
            self.compartment_name(id)
        } else {
            "the coalition".into()
        }
    }
}

/// Whether an address is of this machine alone.
pub(super) fn is_near(address: &Multiaddr) -> bool {
    let near = |part| match part {
        Protocol::Ip4(ip) => IpAddr::from(ip).is_loopback(),
        Protocol::Ip6(ip) => IpAddr::from(ip).is_loopback(),
        _ => false,
    };
    let relayed = address.iter().any(|part| part == Protocol::P2pCircuit);
    !relayed && address.iter().next().is_some_and(near)
}

/// Records that are looked at: the newest.
const RECORDS_LOOKED_AT: usize = 200;
/// By how much a record may be dated after it came.
const CLOCKS_DIFFER_MS: u64 = 120_000;
/// Rights that end within this time are told.
const ENDS_SOON_MS: u64 = 7 * 24 * 3_600_000;
/// So long after they were due keys are told to be old.
const OVERDUE_MS: u64 = 24 * 3_600_000;

const CLOCK_FIX: &str =
    "set this machine's clock, and keep it by NTP or GPS; if it is right, theirs are not";
const DATES_FIX: &str = "set the clock, then `tearline doctor --new-life`, which begins new logs; or leave it: until \
                         then dates are wrong, and a grant with `--until` may end early";
const REACH_FIX: &str = "`tearline config set listen '[\"/ip4/0.0.0.0/udp/4101/quic-v1\"]'`, and `announce` behind a \
                         router; or listen over a relay: `listen` with RELAY/p2p-circuit";
const RIGHTS_FIX: &str = "a desk of its agency grants it anew: `tearline grant issue`";
const KEYS_FIX: &str = "a desk of the agency that opened it begins new ones when it is linked: \
                        `tearline compartment rotate`";
const QUOTA_FIX: &str = "peers may take no more of it: a desk of its agency grants it more (`tearline grant issue \
                         --quota SIZE`)";
const RELAY_FIX: &str =
    "give it more with `run --relay --relay-quota`, or a shorter `--relay-keep`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_this_machine_alone_is_told_from_what_is_not() {
        let near = ["/ip4/127.0.0.1/tcp/1", "/ip6/::1/udp/1/quic-v1"];
        let relay = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp/p2p-circuit";
        let far = ["/ip4/192.0.2.7/tcp/1", "/dns/peer.example/tcp/1", "/ip4/0.0.0.0/tcp/1", relay];
        for (address, expected) in
            near.map(|a| (a, true)).into_iter().chain(far.map(|a| (a, false)))
        {
            let parsed: Multiaddr = address.parse().unwrap_or_else(|_| Multiaddr::empty());
            assert_eq!(is_near(&parsed), expected, "{address}");
        }
    }
}
