//! §2: acts of the whole.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::id::{AgencyNo, DeviceId, StatementId};
use tearline_crdt::keys::RootKey;
use tearline_crdt::statement::{Act, Mark, Statement};

use super::Naive;
use crate::bug::Bug;
use crate::world::Placed;

/// An act of which the bytes are held.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) act: Act,
    pub(crate) marks: Vec<Mark>,
}

impl Naive<'_> {
    /// §2: the acts of which a proposal is held. "The marks of an act are those of any proposal of
    /// it that is held with its list."
    pub(super) fn acts_known(&self) -> BTreeMap<StatementId, Known> {
        let mut known: BTreeMap<StatementId, Known> = BTreeMap::new();
        for placed in self.statements_in(self.coalition) {
            let Statement::Propose { number, act } = placed.item.statement() else { continue };
            let marks = act.marks().map(|marks| marks.resolve(placed.item.payload.as_deref()));
            let marks = marks.unwrap_or_default();
            let entry = known.entry(act.id(&self.held.charter.id(), *number));
            let entry = entry.or_insert_with(|| Known { act: act.clone(), marks: Vec::new() });
            if entry.marks.is_empty() {
                entry.marks = marks;
            }
        }
        known
    }

    /// §2: "as many different founders as the charter's quorum have approved it. An approval is one
    /// of each founder by whose root its issuer is certified: the root in the charter, and those
    /// that replace it."
    pub(super) fn is_approved(
        &self,
        id: StatementId,
        founders: &BTreeMap<AgencyNo, BTreeSet<RootKey>>,
        place: &dyn Fn(&Placed) -> bool,
    ) -> bool {
        let mut approved: BTreeSet<AgencyNo> = BTreeSet::new();
        for placed in self.statements_in(self.coalition) {
            let named = match placed.item.statement() {
                Statement::Propose { number, act } => act.id(&self.held.charter.id(), *number),
                Statement::Approve { act } => *act,
                _ => continue,
            };
            if named != id || !place(placed) {
                continue;
            }
            let certified = self.certified.get(&placed.log.device);
            for (founder, roots) in founders {
                if certified.is_some_and(|by| !by.is_disjoint(roots)) {
                    approved.insert(*founder);
                }
            }
        }
        let quorum = usize::from(self.held.charter.quorum);
        let quorum = if self.has(Bug::QuorumOfOne) { 1 } else { quorum };
        approved.len() >= quorum
    }

    /// The roots that certify each device.
    pub(super) fn certified(&self) -> BTreeMap<DeviceId, BTreeSet<RootKey>> {
        let mut certified: BTreeMap<DeviceId, BTreeSet<RootKey>> = BTreeMap::new();
        for certificate in self.certificates() {
            certified.entry(certificate.desk.device).or_default().insert(certificate.root);
        }
        certified
    }

    /// §2: the founders' roots, "the root in the charter, and those that replace it", where these
    /// acts give them.
    pub(super) fn founders(
        &self,
        giving: &BTreeSet<StatementId>,
    ) -> BTreeMap<AgencyNo, BTreeSet<RootKey>> {
        let founders = self.held.charter.founders.iter();
        let mut roots: BTreeMap<AgencyNo, BTreeSet<RootKey>> =
            founders.map(|founder| (founder.no, BTreeSet::from([founder.root]))).collect();
        for known in giving.iter().filter_map(|id| self.acts.get(id)) {
            if let Act::ReplaceRoot { agency, root, .. } = &known.act
                && let Some(of) = roots.get_mut(agency)
                && !self.has(Bug::OldRootsOnly)
            {
                of.insert(*root);
            }
        }
        roots
    }
}
