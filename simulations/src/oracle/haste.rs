//! Haste: no record is at a post before the contacts allow ([`crate::arrival`]). If it were, the simulator
//! or its bound would be wrong.

use super::Found;
use crate::agenda::NEVER;
use crate::arrival::Contacts;
use crate::quantity::short;
use crate::world::World;

pub(crate) fn check(world: &World) -> Option<Found> {
    let mut contacts = Contacts::of(&world.plan);
    for record in &world.books.records {
        let earliest = contacts.earliest(record.by, record.at, record.bytes, record.compartment);
        for (post, had) in (0..).zip(&record.had) {
            let earliest = earliest.get(post).copied().unwrap_or(NEVER);
            if *had < earliest && *had <= world.plan.horizon() {
                let name = world.plan.posts.get(post).map_or("", |p| p.name.as_str());
                let from = world.plan.posts.get(record.by as usize).map_or("", |p| p.name.as_str());
                let (wrote, had, could) = (short(record.at), short(*had), short(earliest));
                return Some(Found(format!(
                    "{name} had at {had} what {from} wrote at {wrote}, and could have it at {could}"
                )));
            }
        }
    }
    None
}
