//! §5: adoption.

use std::collections::BTreeSet;

use tearline_crdt::id::{Class, CompartmentId, LogId};
use tearline_crdt::statement::{Act, Mark, Statement};

use super::Naive;
use super::closures::{Author, author};
use super::reach::Drawing;
use crate::bug::Bug;
use crate::world::Placed;

/// An adopt that counts.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Adopt {
    pub(crate) author: Author,
    pub(crate) marks: Vec<Mark>,
}

impl Adopt {
    /// The mark of a log.
    pub(crate) fn mark(&self, log: &LogId) -> Option<&Mark> {
        let digest = log.digest();
        self.marks.iter().find(|mark| mark.log == digest)
    }

    /// §5: "A desk's adopt speaks of logs of devices of its own agency, a root's of those of its
    /// agency. Logs of class authority are adopted by acts alone."
    pub(crate) fn speaks_of(&self, log: &LogId, drawing: &Drawing, bug: Option<Bug>) -> bool {
        let authority = log.class == Class::Authority && bug != Some(Bug::AuthorityAdopts);
        let agency = drawing.agency(&log.device);
        let foreign = bug == Some(Bug::ForeignAdopts);
        match &self.author {
            Author::Act => true,
            Author::Root(own) => !authority && (agency == Some(*own) || foreign),
            Author::Device { agency: own, .. } => !authority && (agency == *own || foreign),
        }
    }
}

impl Naive<'_> {
    /// §5, §7: the adopts that count in an area's logs: by desks at places that count, and by roots.
    pub(super) fn adopts(
        &self,
        area: CompartmentId,
        drawing: &Drawing,
        counts: &dyn Fn(&Placed) -> bool,
    ) -> BTreeSet<Adopt> {
        let mut adopts = BTreeSet::new();
        for placed in self.statements_in(area) {
            if let Statement::Adopt { marks } = placed.item.statement()
                && counts(placed)
            {
                adopts.insert(Adopt {
                    author: author(&placed.log.device, drawing),
                    marks: marks.resolve(placed.item.payload.as_deref()),
                });
            }
        }
        let roots = if area == self.coalition { self.root_acts() } else { Vec::new() };
        for (act, marks) in roots {
            let standing = drawing.is_standing(&act.root) || self.has(Bug::OldRootsAdopt);
            if let (Act::Adopt { .. }, Some(agency), true) =
                (&act.act, drawing.agency_of_root(&act.root), standing)
            {
                adopts.insert(Adopt { author: Author::Root(agency), marks });
            }
        }
        adopts
    }
}

/// §5: whether the word of one author overrides the closure of another: its rank is the higher, or
/// equal.
pub(super) fn outranks(one: &Author, other: &Author) -> bool {
    match (one, other) {
        (Author::Act, _) => true,
        (_, Author::Act) | (Author::Device { .. }, Author::Root(_)) => false,
        (Author::Root(own), Author::Root(agency)) => own == agency,
        (Author::Root(own), Author::Device { agency, .. }) => *agency == Some(*own),
        (Author::Device { id: own_id, agency: own, desk }, Author::Device { id, agency, .. }) => {
            own_id == id || *desk && own == agency
        }
    }
}
