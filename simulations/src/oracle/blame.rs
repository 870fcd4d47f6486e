//! Blame: no honest post is held to have misbehaved, and one that sent what is wrong whoever reads it is.

use tearline_crdt::id::{DeviceId, LogId};
use tearline_mesh::PeerFault;

use super::Found;
use crate::plan::FaultKind;
use crate::world::World;

/// A post holds a fault against a device.
pub(crate) fn check(
    world: &World,
    post: u32,
    device: &DeviceId,
    fault: PeerFault,
) -> Option<Found> {
    let honest = |peer: &&crate::peer::Peer| peer.device == *device && world.is_honest(peer.number);
    let blamed = world.peers.iter().find(honest)?;
    // Whoever does what it must not cannot be believed either.
    if !world.is_honest(post) {
        return None;
    }
    let (name, blamed) = (name(world, post), name(world, blamed.number));
    Some(Found(format!("{name} holds {fault:?} against {blamed}, which is honest")))
}

/// A log is held to be forked: its device is there twice, or its disk came back as it was.
pub(crate) fn forked(world: &World, log: &LogId) -> Option<Found> {
    let author = world.peers.iter().find(|peer| peer.device == log.device)?.number;
    let rolled_back = |fault: &crate::plan::Fault| {
        fault.kind == FaultKind::RolledBack && fault.posts.contains(&author)
    };
    if world.is_copied(author) || world.plan.faults.iter().any(rolled_back) {
        return None;
    }
    let author = name(world, author);
    Some(Found(format!("a log of {author} is held to be forked, and {author} writes once")))
}

/// At the end: somebody holds a fault against each that sent noise.
pub(crate) fn unnamed(world: &World) -> Option<Found> {
    let post = world.hostiles.unnamed()?;
    Some(Found(format!("{} sent noise, and nobody holds it against it", name(world, post))))
}

fn name(world: &World, post: u32) -> &str {
    world.plan.posts.get(post as usize).map_or("", |p| p.name.as_str())
}
