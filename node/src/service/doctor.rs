//! Which addresses are of this machine alone.

use std::net::IpAddr;

use tearline_mesh::net::{Multiaddr, Protocol};

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
