//! What counted statements of an area adopt and reopen (`docs/protocol/authority.md`, sections 4
//! and 5).
//!
//! It is gathered once for each round. A coalition's is the same for all its compartments, which take
//! it as it is; only which of their closures a citation lifts is theirs to say. What is said twice is
//! kept once.

use std::collections::{BTreeMap, BTreeSet};

use crate::hash::Digest;
use crate::id::{AgencyNo, CoalitionId, DeviceId, EntryId, Incarnation, StatementId};
use crate::statement::{Act, Audience, Reopening, Statement};

use super::closure::Author;
use super::fact::{Fact, MarkSet};
use super::reach::Reach;
use super::readmitted::Readmitted;

/// A prefix that an adoption lets count: by whom, how many entries, and the last of them.
pub(super) type Adopted = (Author, u64, EntryId);

/// What counted statements adopt and reopen.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    /// By log, for each author the longest last.
    pub(super) adopted: BTreeMap<Digest, BTreeSet<Adopted>>,
    /// What is cited, for which life of which device, on whose word.
    pub(super) cited: BTreeMap<(DeviceId, Incarnation, Author), BTreeSet<StatementId>>,
    /// The acts whose closures an agency may lift.
    pub(super) permitted: BTreeMap<AgencyNo, BTreeSet<StatementId>>,
}

impl Gathered {
    /// Gathers from the facts that counted. `seats` is the coalition's reach; `readmitted` the area's.
    pub(super) fn new(
        facts: &[&Fact],
        counted: &BTreeSet<EntryId>,
        reach: &Reach,
        (seats, readmitted): (&Reach, &Readmitted),
        coalition: &CoalitionId,
    ) -> Self {
        let mut gathered = Self::default();
        let opens =
            |of: DeviceId, reopening: &Reopening| readmitted.contains(&of, reopening.incarnation);
        let mut by_roots = BTreeMap::new();
        for fact in facts.iter().filter(|fact| counted.contains(&fact.place.id)) {
            let by = reach.devices.get(&fact.issuer()).filter(|by| by.desk);
            match &fact.statement {
                Statement::Desk(certificate) => {
                    let desk = certificate.desk.device;
                    let reopening = certificate.reopening.as_ref();
                    let Some(reopening) = reopening.filter(|one| opens(desk, one)) else {
                        continue;
                    };
                    let held = reach.devices.get(&desk);
                    let Some(agency) = held.map(|held| held.agency) else { continue };
                    if seats.seats.get(&agency).is_some_and(|s| s.is_standing(&certificate.root)) {
                        gathered.reopen(desk, reopening, Author::Root(agency), seats);
                    }
                }
                Statement::Grant {
                    audience: Audience::Device { agency, card },
                    reopening: Some(reopening),
                    ..
                } if opens(card.device, reopening) => {
                    let held = reach.devices.get(&card.device);
                    let held = held.filter(|held| held.agency == *agency);
                    if held.is_some() && by.is_some_and(|by| by.agency == *agency) {
                        gathered.reopen(card.device, reopening, Author::Desk(*agency), seats);
                    }
                }
                Statement::Adopt { .. } => {
                    if let Some(desk) = by {
                        gathered.adopt(Author::Desk(desk.agency), &fact.marks);
                    }
                }
                Statement::RootAct(root) if matches!(root.act, Act::Adopt { .. }) => {
                    let marks =
                        by_roots.entry((root.root, root.id(coalition))).or_insert(&fact.marks);
                    if marks.is_empty() {
                        *marks = &fact.marks;
                    }
                }
                _ => {}
            }
        }
        for ((root, _), marks) in by_roots {
            let Some(agency) = seats.root_of(&root) else { continue };
            if seats.seats.get(&agency).is_some_and(|seat| seat.is_standing(&root)) {
                gathered.adopt(Author::Root(agency), marks);
            }
        }
        for held in reach.acts.values() {
            if matches!(held.act, Act::Adopt { .. }) {
                gathered.adopt(Author::Whole, &held.marks);
            }
        }
        gathered
    }

    fn reopen(&mut self, device: DeviceId, reopening: &Reopening, author: Author, seats: &Reach) {
        if let Some(agency) = author.agency() {
            self.permitted.entry(agency).or_insert_with(|| seats.permitted(agency));
        }
        let life = (device, reopening.incarnation, author);
        self.cited.entry(life).or_default().extend(&reopening.cites);
    }

    fn adopt(&mut self, author: Author, marks: &MarkSet) {
        for mark in marks.iter() {
            self.adopted.entry(mark.log).or_default().insert((author, mark.count, mark.head));
        }
    }
}
