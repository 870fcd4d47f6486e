//! Where members say that they are, and where this device says that it is.

use std::net::IpAddr;

use tearline_crdt::id::DeviceId;
use tearline_crdt::store::StoreError;
use tearline_mesh::net::{Multiaddr, Protocol};

use super::core::Core;
use super::doctor::is_near;

impl Core {
    /// Dials a member where it says that it is: so far as that can be another machine, and not this one or
    /// what happens to have that address on the same line.
    pub(super) fn dial_where_said(&mut self, device: DeviceId) {
        if device == self.replica.device() {
            return;
        }
        let card = self.replica.whereabouts().find(|card| card.device == device);
        let said = card.map(|card| card.addresses.clone()).unwrap_or_default();
        let told = self.told().filter_map(|address| address.parse().ok()).map(|a| scope(&a));
        let own: Vec<Scope> = told.collect();
        let addresses = said.into_iter().filter(|address| {
            address.parse().is_ok_and(|address| is_shared(scope(&address), &own))
        });
        let addresses = addresses.collect();
        let connected = self.is_connected(&device);
        self.dialer.said(device, addresses, connected);
    }

    /// Dials all members that say where they are, as far as links to them are wanted.
    pub(super) fn dial_members(&mut self) {
        let devices: Vec<DeviceId> = self.replica.whereabouts().map(|card| card.device).collect();
        devices.into_iter().for_each(|device| self.dial_where_said(device));
    }

    /// Says where this device can be reached: where the settings say so, else where it listens, but not on
    /// loopback.
    pub(super) fn announce(&mut self) -> Result<(), StoreError> {
        let is_far = |address: &&String| {
            !self.announce.is_empty() || address.parse().is_ok_and(|address| !is_near(&address))
        };
        let told: Vec<String> = self.told().filter(is_far).cloned().collect();
        self.replica.announce(self.now(), &told)
    }

    /// Where this device is, as its operator says, or else where it listens.
    fn told(&self) -> impl Iterator<Item = &String> {
        if self.announce.is_empty() { self.addresses.iter() } else { self.announce.iter() }
    }
}

/// From where an address is the same device's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scope {
    /// From one machine.
    Machine,
    /// On one line.
    Line,
    /// Everywhere, or that cannot be told from the address.
    Wide,
}

/// The scope of an address, or of the relay's that it leads over.
fn scope(address: &Multiaddr) -> Scope {
    let ip = match address.iter().next() {
        Some(Protocol::Ip4(ip)) => IpAddr::from(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::from(ip).to_canonical(),
        _ => return Scope::Wide,
    };
    let is_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if ip.is_loopback() || ip.is_unspecified() {
        Scope::Machine
    } else if is_local || ip.is_multicast() {
        Scope::Line
    } else {
        Scope::Wide
    }
}

/// Whether an address of that scope may be another's, for a device whose own have these.
fn is_shared(scope: Scope, own: &[Scope]) -> bool {
    match scope {
        Scope::Wide => true,
        Scope::Line => own.contains(&Scope::Line),
        // Every machine has loopback. Who is there alone means it.
        Scope::Machine => !own.is_empty() && own.iter().all(|own| *own == Scope::Machine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_what_is_of_one_line_are_dialled_only_by_who_is_there_too() {
        let of = |text: &str| scope(&text.parse().unwrap_or_else(|_| Multiaddr::empty()));
        for (text, expected) in [
            ("/ip4/127.0.0.1/tcp/22", Scope::Machine),
            ("/ip6/::1/tcp/22", Scope::Machine),
            ("/ip6/::ffff:127.0.0.1/tcp/22", Scope::Machine),
            ("/ip4/0.0.0.0/tcp/22", Scope::Machine),
            ("/ip4/169.254.169.254/tcp/80", Scope::Line),
            ("/ip6/fe80::1/tcp/80", Scope::Line),
            ("/ip4/224.0.0.251/udp/5353/quic-v1", Scope::Line),
            ("/ip4/10.0.0.7/tcp/4101", Scope::Wide),
            ("/dns/peer.example/tcp/4101", Scope::Wide),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
        let everywhere = [Scope::Machine, Scope::Wide];
        assert!(!is_shared(Scope::Machine, &everywhere) && !is_shared(Scope::Line, &everywhere));
        assert!(is_shared(Scope::Machine, &[Scope::Machine]) && !is_shared(Scope::Machine, &[]));
        assert!(is_shared(Scope::Line, &[Scope::Wide, Scope::Line]));
        assert!(is_shared(Scope::Wide, &[]));
    }
}
