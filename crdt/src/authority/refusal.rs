//! Statements that are sound by themselves and give nothing, by all that is held.
//!
//! Nothing in their bytes is false: a grant that is wider than what its issuer has is valid once a
//! wider grant to the issuer comes. So they are stored and relayed, nobody who carries them is at
//! fault, and this answer is drawn anew from the sets, not counted as they come: whoever holds the
//! same refuses the same. To blame nobody for what others took away later, they are judged as if
//! nothing had ever been: with all limits, by every statement at every place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::id::{AgencyNo, DeviceId, EntryId, StatementId};
use crate::keys::DeviceCard;
use crate::statement::{Audience, Statement};

use super::closure::Closure;
use super::fact::Fact;
use super::positive::Devices;
use super::reach::{Reach, Source, named};
use super::readmitted::Readmitted;
use super::route::Uncovered;
use super::{Coalition, Compartment, is_self_proving};

/// Why a statement gives nothing, by all that is held.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum Refusal {
    /// Its issuer never had a standing in the area.
    #[error("its issuer has no standing")]
    NoStanding,
    /// Its issuer may not grant, not adopt, or not name a life of a device.
    #[error("its issuer lacks the right to say it")]
    NoRight,
    /// A grant for a device of another agency than its issuer's, or whose card no desk of the agency
    /// sponsors.
    #[error("it is for a device that is not its issuer's agency's")]
    OtherAgency,
    /// A grant at the end of a route that is as long as one may be.
    #[error("its issuer's right has passed through as many hands as it may")]
    TooDeep,
    /// A grant that goes beyond what its issuer has.
    #[error("it gives more than its issuer has")]
    Widened,
    /// A revocation by who is not above the device.
    #[error("its issuer is not above the device")]
    NotAbove,
    /// A seal for a device that may not read, so that nobody writes under its epoch.
    #[error("it seals keys to a device that may not read")]
    SealedToStranger,
}

impl Refusal {
    /// A stable name, for counters and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoStanding => "no-standing",
            Self::NoRight => "no-right",
            Self::OtherAgency => "grant-of-another-agency",
            Self::TooDeep => "grant-too-deep",
            Self::Widened => "grant-widened",
            Self::NotAbove => "revoke-not-above",
            Self::SealedToStranger => "seal-to-stranger",
        }
    }
}

impl From<Uncovered> for Refusal {
    fn from(uncovered: Uncovered) -> Self {
        match uncovered {
            Uncovered::MayNotGrant => Self::NoRight,
            Uncovered::TooDeep => Self::TooDeep,
            Uncovered::Widened => Self::Widened,
        }
    }
}

/// By whom a statement is, and why it gives nothing.
type Refused = BTreeMap<EntryId, (DeviceId, Refusal)>;

impl Coalition {
    /// The statements in the coalition's logs that give nothing, by all that is held.
    #[must_use]
    pub fn refused(&self) -> Refused {
        let judge = Judge {
            devices: &self.positive.devices,
            reach: &self.widest(),
            closed: ids(&self.closures),
            here: None,
        };
        self.facts.values().filter_map(|fact| judge.refused(fact)).collect()
    }

    /// Reach as it would be if all statements counted.
    fn widest(&self) -> Reach {
        let facts: Vec<&Fact> = self.facts.values().collect();
        let source = Source { id: self.id, charter: &self.charter, facts: &facts };
        let mut before = Reach::default();
        loop {
            let drawn = (&self.positive, &Readmitted::default());
            let reach = Reach::next_round(&source, drawn, &before, &|_| true);
            if reach.acts == before.acts {
                return reach;
            }
            before = reach;
        }
    }
}

impl Compartment {
    /// The statements in the compartment's logs that give nothing, by all that is held.
    #[must_use]
    pub fn refused(&self, coalition: &Coalition) -> Refused {
        let facts: Vec<&Fact> = self.facts.values().collect();
        let above = (&coalition.widest(), &Readmitted::default());
        let judge = Judge {
            devices: &self.positive,
            reach: &Reach::compartment(above, &self.opening, &facts, &|_| true),
            closed: ids(&self.closures),
            here: Some(self),
        };
        facts.iter().filter_map(|fact| judge.refused(fact)).collect()
    }
}

fn ids(closures: &[Arc<Closure>]) -> BTreeSet<StatementId> {
    closures.iter().map(|closure| closure.id).collect()
}

struct Judge<'a> {
    devices: &'a Devices,
    /// Reach if all statements counted.
    reach: &'a Reach,
    closed: BTreeSet<StatementId>,
    /// The compartment, if the area is none of a coalition's own.
    here: Option<&'a Compartment>,
}

impl Judge<'_> {
    fn refused(&self, fact: &Fact) -> Option<(EntryId, (DeviceId, Refusal))> {
        let refusal = self.refusal(fact)?;
        Some((fact.place.id, (fact.issuer(), refusal)))
    }

    fn refusal(&self, fact: &Fact) -> Option<Refusal> {
        let issuer = fact.issuer();
        if is_self_proving(&fact.statement) {
            return None;
        }
        if !self.devices.contains(&issuer) {
            return Some(Refusal::NoStanding);
        }
        match &fact.statement {
            Statement::Grant { audience, reopening, .. }
                if named(audience, reopening.as_ref()).is_some() && !self.is_desk(&issuer) =>
            {
                Some(Refusal::NoRight)
            }
            Statement::Grant { audience, right, caveats, .. } => {
                let standing = self.reach.devices.get(&issuer)?;
                let tried: Result<Vec<Uncovered>, ()> = standing
                    .routes_in(fact.place.log.incarnation)
                    .map(|route| route.grant(*right, caveats).err().ok_or(()))
                    .collect();
                match (tried, audience) {
                    (Ok(uncovered), _) => uncovered.into_iter().max().map(Refusal::from),
                    (Err(()), Audience::Device { agency, card }) if self.here.is_none() => {
                        (!self.are_of(*agency, card, &issuer)).then_some(Refusal::OtherAgency)
                    }
                    (Err(()), _) => None,
                }
            }
            Statement::Adopt { .. } => (!self.is_desk(&issuer)).then_some(Refusal::NoRight),
            Statement::Revoke { .. } => {
                (!self.closed.contains(&fact.id())).then_some(Refusal::NotAbove)
            }
            Statement::Seal { epoch, .. } => {
                let here = self.here?;
                let seal = here.seals.get(epoch)?.get(&fact.place.id)?;
                let to_stranger = seal.devices.iter().any(|device| here.is_no_reader(device));
                to_stranger.then_some(Refusal::SealedToStranger)
            }
            _ => None,
        }
    }

    fn is_desk(&self, device: &DeviceId) -> bool {
        self.devices.parts(device).any(|(_, part)| part.desk)
    }

    /// Whether the issuer, and a desk as the card's sponsor, are of an agency.
    fn are_of(&self, agency: AgencyNo, card: &DeviceCard, issuer: &DeviceId) -> bool {
        let sponsor = self.devices.of(&DeviceId(card.sponsor), agency);
        self.devices.of(issuer, agency).is_some() && sponsor.is_some_and(|part| part.desk)
    }
}
