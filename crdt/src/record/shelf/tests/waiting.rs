//! What entries cost that wait for each other.

use super::history::{Act, History, World};
use super::step;
use crate::id::Class;
use crate::record::kind::Kind;

/// A record, and releases of it, each of which depends on the one before.
fn releases(count: u8) -> History {
    let release =
        |_| step(0, Class::Routine, false, vec![Act::Release { record: 0, label: 0, cites: 0 }]);
    let begun = step(0, Class::Routine, false, vec![Act::New(Kind::Case, 2)]);
    [begun].into_iter().chain((0..count).map(release)).collect()
}

#[test]
fn a_chain_of_releases_costs_as_many_looks_as_it_has_links() {
    for count in [10, 40] {
        let mut world = World::play(&releases(count));
        let record = world.records[0];
        world.archive.restart();
        assert_eq!(world.archive.show(record).unwrap().entries.len(), usize::from(count) + 1);
        let looks = world.archive.thread(record).looks();
        // Each when it comes, and when the one before it counts.
        assert!(looks <= 3 * usize::from(count) + 3, "{looks} for {count}");
        assert!(looks >= usize::from(count));
    }
}
