//! Convergence: once nothing fails and every link is up, all honest posts that read or carry a compartment
//! hold the same logs, and nothing waits for keys that are to come.

use tearline_crdt::frontier::NodeHash;
use tearline_crdt::id::CompartmentId;

use super::Found;
use crate::plan::{Fault, FaultKind};
use crate::world::World;

pub(crate) fn differing(world: &World) -> Option<Found> {
    let posts = 0..world.plan.posts.len() as u32;
    let members = posts.filter(|post| world.is_honest(*post));
    let common = CompartmentId(world.coalition.0);
    if let Some(found) = compare(world, common, "the coalition", members.clone()) {
        return Some(found);
    }
    (0..).zip(&world.compartments).find_map(|(number, id)| {
        let name = world.plan.compartments.get(number as usize).map_or("", |c| c.name.as_str());
        let holders = members.clone().filter(|post| world.plan.carries(*post, number));
        compare(world, *id, name, holders).or_else(|| {
            waiting(world, *id, name, members.clone().filter(|p| world.plan.reads(*p, number)))
        })
    })
}

fn compare(
    world: &World,
    id: CompartmentId,
    name: &str,
    posts: impl Iterator<Item = u32>,
) -> Option<Found> {
    same(world, name, "logs", posts, |post| {
        let replica = world.peers.get(post as usize)?.replica.as_ref()?;
        replica.areas().get(&id).map(|area| area.frontier.root())
    } as Option<NodeHash>)
}

fn waiting(
    world: &World,
    id: CompartmentId,
    name: &str,
    posts: impl Iterator<Item = u32>,
) -> Option<Found> {
    same(world, name, "what waits for keys", posts, |post| {
        let replica = world.peers.get(post as usize)?.replica.as_ref()?;
        let counts = replica.counts(id).ok()?;
        Some(counts.waiting)
    })
}

/// The first post whose answer is another than that of the first.
fn same<T: PartialEq>(
    world: &World,
    name: &str,
    what: &str,
    mut posts: impl Iterator<Item = u32>,
    answer: impl Fn(u32) -> Option<T>,
) -> Option<Found> {
    let first = posts.next()?;
    let expected = answer(first);
    let call = |post: u32| world.plan.posts.get(post as usize).map_or("", |p| p.name.as_str());
    // Where all disks that held it were lost nobody has it, and that is the same.
    let loses = |fault: &Fault| fault.kind == FaultKind::LostDisk;
    if expected.is_none() && !world.plan.faults.iter().any(loses) {
        return Some(Found(format!("{} does not have {name} at all", call(first))));
    }
    let other = posts.find(|post| answer(*post) != expected)?;
    Some(Found(format!("{what} of {name} differ at {} and {}", call(first), call(other))))
}
