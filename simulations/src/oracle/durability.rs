//! Durability: a record whose author was told that it is on disk is at every reader in the end, whatever
//! crashed. Only where all disks that held it were lost nobody can be asked for it.

use super::Found;
use crate::agenda::NEVER;
use crate::world::World;

pub(crate) fn missing(world: &World) -> Option<Found> {
    // A post that passes nothing on is owed nothing; what a seized device wrote before, is, as far as it has a
    // link to an honest post that carries it.
    let joined = |record: &crate::books::Record| {
        world.plan.lines.iter().any(|line| {
            let [a, b] = line.between;
            let other = if a == record.by { b } else { a };
            line.between.contains(&record.by)
                && world.is_honest(other)
                && world.plan.carries(other, record.compartment)
        })
    };
    let owed = |record: &crate::books::Record| {
        world.plan.posts.get(record.by as usize).is_some_and(|p| p.hostile.is_none())
            && !world.is_copied(record.by)
            && (world.is_honest(record.by) || joined(record))
    };
    let acknowledged = |record: &&crate::books::Record| {
        record.acknowledged != NEVER && !record.gone && owed(record)
    };
    for record in world.books.records.iter().filter(acknowledged) {
        let readers = world.peers.iter().filter(|peer| {
            world.is_honest(peer.number) && world.plan.reads(peer.number, record.compartment)
        });
        for peer in readers {
            let replica = peer.replica.as_ref();
            let there = replica.and_then(|r| r.record_version(&record.id).ok().flatten());
            if there.is_none() {
                let call =
                    |post: u32| world.plan.posts.get(post as usize).map_or("", |p| p.name.as_str());
                return Some(Found(format!(
                    "a record that {} wrote and was acknowledged is not at {}",
                    call(record.by),
                    call(peer.number)
                )));
            }
        }
    }
    None
}
