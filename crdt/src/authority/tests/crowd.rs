//! Many statements at once, whose signatures nobody checks: what they cost is counted.

use super::support::{Area, Part, Whole, World, agency, card};
use crate::authority::fact::Fact;
use crate::id::{AgencyNo, Class, DeviceId, LogId};
use crate::statement::{Audience, Caveats, Right, Statement};

impl World {
    /// Takes a statement at the end of the first desk's log as if it had been checked, and draws
    /// nothing.
    pub(in crate::authority) fn put(&mut self, area: Area, statement: Statement) {
        self.put_at(area, self.log((1, 0), area, Class::Authority), statement);
    }

    /// The same at the end of another log.
    pub(super) fn put_at(&mut self, area: Area, log: LogId, statement: Statement) {
        let place = self.append(log);
        let facts = match area {
            Whole => &mut self.coalition.facts,
            Part => &mut self.compartment.facts,
        };
        assert!(Fact::new(place, statement, None).join(facts));
    }

    /// Takes a statement of the first desk in the compartment, and draws nothing.
    pub(super) fn insert(&mut self, statement: Statement) {
        let place = self.append(self.log((1, 0), Part, Class::Authority));
        assert_eq!(self.compartment.insert(place, statement, None), Ok(true));
    }

    /// Lets devices of agency 1 in.
    pub(in crate::authority) fn crowd(&mut self, devices: u64) {
        for n in 0..devices {
            let card = crate::keys::DeviceCard { device: member(n), ..card((1, 4), (1, 0)) };
            let audience = Audience::Device { agency: agency(1), card };
            self.put(Whole, grant(audience, Caveats::default()));
        }
    }

    /// Grants to an agency in the compartment: equal ones, or each with a limit of its own.
    pub(in crate::authority) fn grant_agency(&mut self, no: AgencyNo, grants: u64, equal: bool) {
        for n in 0..grants {
            let not_after_ms = (!equal).then_some(n + 1);
            let caveats = Caveats { not_after_ms, ..Caveats::default() };
            self.put(Part, grant(Audience::Agency(no), caveats));
        }
    }
}

fn grant(audience: Audience, caveats: Caveats) -> Statement {
    Statement::Grant { audience, right: Right::Write, caveats, reopening: None }
}

/// A device of the crowd.
pub(in crate::authority) fn member(n: u64) -> DeviceId {
    DeviceId(crate::hash::sha256(&n.to_be_bytes()))
}
