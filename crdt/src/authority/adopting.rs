//! What lets entries count that the end of a standing does not keep, for those who ask why.

use std::collections::BTreeSet;

use crate::id::{LogId, StatementId};
use crate::statement::{Act, Statement};

use super::fact::Fact;
use super::reach::Reach;
use super::{Closure, Coalition, Compartment};

/// Why an entry counts although its device's standing has ended.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Adoption {
    /// The closures that do not keep it.
    pub closed: BTreeSet<StatementId>,
    /// The statements and acts that adopt it.
    pub adopted: BTreeSet<StatementId>,
}

impl Closure {
    /// How many entries of a log it keeps.
    #[must_use]
    pub fn keeps(&self, log: &LogId) -> u64 {
        self.keep.get(&log.digest()).map_or(0, |(count, _)| count)
    }
}

impl Compartment {
    /// What an entry counts by, if it does, that an active closure of its device does not keep; `None` if all
    /// keep it, or there are none.
    #[must_use]
    pub fn adoption(&self, coalition: &Coalition, log: &LogId, seq: u64) -> Option<Adoption> {
        let active = self.active_in(&log.device, log.incarnation);
        let closed = active.filter(|closure| closure.keeps(log) <= seq).map(|closure| closure.id);
        let closed: BTreeSet<StatementId> = closed.collect();
        if closed.is_empty() {
            return None;
        }
        let (digest, agency) = (log.digest(), self.counting.devices.get(&log.device)?.agency);
        let by = &|fact: &Fact, reach: &Reach, counts: bool| match &fact.statement {
            Statement::Adopt { .. } => {
                let desk = reach.devices.get(&fact.issuer()).filter(|by| by.desk && counts)?;
                (desk.agency == agency).then(|| fact.id())
            }
            Statement::RootAct(root) if matches!(root.act, Act::Adopt { .. }) => {
                let of = coalition.counting.root_of(&root.root)?;
                let seat = coalition.seats().get(&of)?;
                let speaks = of == agency && seat.is_standing(&root.root);
                speaks.then(|| root.id(&coalition.id))
            }
            Statement::Propose { number, act: act @ Act::Adopt { .. } } => {
                let id = act.id(&coalition.id, *number);
                coalition.counting.acts.contains_key(&id).then_some(id)
            }
            _ => None,
        };
        let above = (&coalition.facts, &coalition.counted, &coalition.counting);
        let own = (&self.facts, &self.counted, &self.counting);
        let adopted = [above, own].into_iter().flat_map(|(facts, counted, reach)| {
            let names = |fact: &&Fact| fact.marks.get(&digest).is_some_and(|(n, _)| n > seq);
            let such = facts.values().filter(names);
            such.filter_map(move |fact| by(fact, reach, counted.contains(&fact.place.id)))
        });
        let adopted = adopted.collect();
        Some(Adoption { closed, adopted })
    }
}
