//! Priority: while a post has a flash on its disk that the other end of a link lacks, little that is routine goes
//! over the link.
//!
//! One frame is under way when a flash comes, some are asked for already, and ageing lets routine entries through
//! so that nothing starves. What goes beyond that is an inversion.

use super::Found;
use crate::agenda::NEVER;
use crate::world::World;

/// Most frames with routine entries that go before a flash, in one connection.
const FRAMES_MAX: u32 = 32;

/// A frame of routine urgency was sent from an end of a line.
pub(crate) fn check(world: &mut World, line: u32, end: usize) -> Option<Found> {
    let posts = world.lines.get(line as usize)?.plan.between;
    let [Some(from), Some(to)] = [posts.get(end), posts.get(1 - end)] else { return None };
    let honest = world.is_honest(*from) && world.is_honest(*to);
    let overtaken = honest.then(|| overtaken(world, *from, *to)).flatten();
    let line = world.lines.get_mut(line as usize)?;
    let count = line.inversions.get_mut(end)?;
    let Some(record) = overtaken else {
        *count = 0;
        return None;
    };
    *count += 1;
    if *count <= FRAMES_MAX {
        return None;
    }
    let name = |post: u32| world.plan.posts.get(post as usize).map_or("", |p| p.name.as_str());
    let author = world.books.records.get(record).map_or("", |record| name(record.by));
    Some(Found(format!(
        "{} sent {} {FRAMES_MAX} routine frames while it had a flash of {author} that {} lacked",
        name(*from),
        name(*to),
        name(*to)
    )))
}

/// A flash that one has on its disk and the other lacks, of those that are under way.
fn overtaken(world: &World, from: u32, to: u32) -> Option<usize> {
    world.books.flashes.iter().copied().find(|number| {
        let Some(record) = world.books.records.get(*number) else { return false };
        let had = |post: u32| record.had.get(post as usize).is_some_and(|had| *had != NEVER);
        let has = record.has.get(from as usize) == Some(&true);
        has && !had(to)
            && !record.gone
            && world.is_honest(record.by)
            && world.plan.reads(to, record.compartment)
    })
}
