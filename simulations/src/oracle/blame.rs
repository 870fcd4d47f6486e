//! Blame: no peer is held to have misbehaved, because none did.

use tearline_mesh::PeerFault;

use super::Found;
use crate::world::World;

pub(crate) fn check(world: &World, post: u32, fault: Option<PeerFault>) -> Option<Found> {
    let fault = fault?;
    let name = world.plan.posts.get(post as usize).map_or("", |p| p.name.as_str());
    Some(Found(format!("{name} holds {fault:?} against an honest peer")))
}
