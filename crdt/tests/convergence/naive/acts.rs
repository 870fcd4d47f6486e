//! §2: acts of the whole.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::id::{AgencyNo, DeviceId, StatementId};
use tearline_crdt::statement::{Act, Mark, Statement};

use super::Naive;
use super::reach::Drawing;
use crate::bug::Bug;
use crate::world::Placed;

/// An act of which the bytes are held.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) act: Act,
    pub(crate) marks: Vec<Mark>,
}

impl Naive<'_> {
    /// §2: "propose carries its bytes; their hash names it". Acts stand in the coalition's logs.
    pub(super) fn acts_known(&self) -> BTreeMap<StatementId, Known> {
        let mut known: BTreeMap<StatementId, Known> = BTreeMap::new();
        for placed in self.statements_in(self.coalition) {
            let Statement::Propose(act) = placed.item.statement() else { continue };
            let marks = act.marks().map(|marks| marks.resolve(placed.item.payload.as_deref()));
            let marks = marks.unwrap_or_default();
            let entry = known.entry(act.id(&self.held.charter.id()));
            let entry = entry.or_insert_with(|| Known { act: act.clone(), marks: Vec::new() });
            if entry.marks.is_empty() {
                entry.marks = marks;
            }
        }
        known
    }

    /// §2: in force "when desks of as many different founders as the charter's quorum have approved
    /// it". A proposal is its issuer's approval.
    pub(super) fn is_approved(
        &self,
        id: StatementId,
        drawing: &Drawing,
        place: &dyn Fn(&Placed) -> bool,
    ) -> bool {
        let founders = self.held.charter.founders.iter().map(|founder| founder.no);
        let founders: BTreeSet<AgencyNo> = founders.collect();
        let mut approved = BTreeSet::new();
        for placed in self.statements_in(self.coalition) {
            let named = match placed.item.statement() {
                Statement::Propose(act) => act.id(&self.held.charter.id()),
                Statement::Approve { act } => *act,
                _ => continue,
            };
            if named == id && place(placed) {
                approved.extend(desk_of(drawing, &placed.log.device));
            }
        }
        let quorum = usize::from(self.held.charter.quorum);
        let quorum = if self.has(Bug::QuorumOfOne) { 1 } else { quorum };
        approved.intersection(&founders).count() >= quorum
    }
}

fn desk_of(drawing: &Drawing, device: &DeviceId) -> BTreeSet<AgencyNo> {
    let desk = drawing.devices.get(device).filter(|device| device.desk);
    desk.map(|desk| desk.agencies.clone()).unwrap_or_default()
}
