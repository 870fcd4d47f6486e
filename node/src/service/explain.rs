//! Statements and acts in words, and why they count or do not.

use std::collections::BTreeMap;

use serde_json::Value;

use tearline_crdt::authority::{Cause, Proposal, StatementVerdict};
use tearline_crdt::hash::Digest;
use tearline_crdt::id::{AgencyNo, Class, CompartmentId, DeviceId, EntryId, LogId, StatementId};
use tearline_crdt::record::kind::Kind as RecordKind;
use tearline_crdt::statement::{Act, Caveats, Mark, Marks, Reopening, Statement};
use tearline_crdt::time::WallTime;
use tearline_mesh::replica::{Area, Body};

use super::core::Core;
use super::json;
use super::names::is_prefix;
use super::overview::store_failure;
use crate::control::reply::AgencyRef;
use crate::control::trust as shape;
use crate::failure::Failure;
use crate::size;

impl Core {
    pub(super) fn explain(&self, text: &str) -> Result<Value, Failure> {
        if let Some(explained) = self.explain_proposal(text)? {
            return json(&explained);
        }
        let (area, id) = self.named_statement(text)?;
        let (log, said) = self
            .statements(area)
            .into_iter()
            .find(|(_, entry, _)| entry.0 == id.0)
            .map(|(log, _, statement)| (log, statement))
            .ok_or_else(|| Failure::not_found("statement", text))?;
        let verdict = self.verdict(&area, &EntryId(id.0))?;
        let (rule, by) = match &verdict {
            StatementVerdict::Counts => self.counts_by(&log.device, area, said)?,
            StatementVerdict::Quarantined(Cause::Closed(closure)) => (
                "authority.md §6.3: it is beyond what the closure keeps",
                vec![closure.to_string()],
            ),
            StatementVerdict::Quarantined(Cause::Fork | Cause::Branch(_)) => {
                ("authority.md §6.2: it is beyond the fork of its log", vec![])
            }
            StatementVerdict::Quarantined(Cause::Standing) | StatementVerdict::NoStanding => {
                ("authority.md §6.1: its device has no counting route that allows it", vec![])
            }
            StatementVerdict::Quarantined(Cause::Readmitted(by)) => (
                "authority.md §3: a readmitted incarnation has the routes alone that name it",
                vec![by.to_string()],
            ),
            StatementVerdict::NoDesk => {
                ("authority.md §7: a grant that names an incarnation is a desk's", vec![])
            }
            StatementVerdict::Uncovered(_) => {
                ("authority.md §3: a grant is narrowed along its route, never widened", vec![])
            }
            StatementVerdict::OtherAgency => {
                ("authority.md §3: an agency's desks and devices let in its own devices", vec![])
            }
            StatementVerdict::Waits { .. } => (
                "authority.md §2: an act is in force when a quorum of founders approved it",
                vec![],
            ),
            StatementVerdict::NotAbove => {
                ("authority.md §4: a closure is by a device above the one that it closes", vec![])
            }
            StatementVerdict::NoRecord | StatementVerdict::Lifted => {
                ("authority.md §8: what a steward of the record says of it binds", vec![])
            }
            StatementVerdict::Unclean(_) => {
                ("authority.md §9: an epoch is written under if it is clean", vec![])
            }
        };
        json(&shape::Explained {
            statement: id.to_string(),
            what: self.statement_text(said),
            issuer: self.device(&log.device),
            verdict: verdict.to_string(),
            rule: rule.into(),
            by,
            basis: self.basis_of(area, &EntryId(id.0))?,
        })
    }

    /// The rule by which a statement counts, and the certificates and grants that its issuer has its
    /// standing by, where that decided.
    fn counts_by(
        &self,
        issuer: &DeviceId,
        area: CompartmentId,
        said: &Statement,
    ) -> Result<(&'static str, Vec<String>), Failure> {
        let rule = match said {
            Statement::Desk(_) => {
                return Ok(("authority.md §3: a root of a member signed it", vec![]));
            }
            Statement::RootAct(_) => {
                return Ok(("authority.md §4 and §5: a root of the agency signed it", vec![]));
            }
            Statement::Adopt { .. } => {
                "authority.md §5: a desk adopts what devices of its own agency wrote"
            }
            said if said.is_narrowing() => {
                "authority.md §1: it takes away, and its issuer has positive reach over what it names"
            }
            _ => "authority.md §7: its issuer's counting routes cover it",
        };
        let given = self.given_to(issuer, area)?;
        Ok((rule, given.into_iter().map(|by| by.statement).collect()))
    }

    /// An act by its own id, which names no entry: all its approvals together.
    fn explain_proposal(&self, text: &str) -> Result<Option<shape::Explained>, Failure> {
        let proposals = self.coalition()?.proposals();
        let mut hits = proposals.iter().filter(|(id, _)| is_prefix(text, &id.to_string()));
        let (Some((id, one)), None) = (hits.next(), hits.next()) else { return Ok(None) };
        let needed = usize::from(self.coalition()?.charter().quorum);
        let waits = StatementVerdict::Waits { approved: one.approved.len(), needed };
        let verdict = if one.in_force { StatementVerdict::Counts } else { waits };
        let issuer = one.proposers.first().map(|device| self.device(device));
        Ok(Some(shape::Explained {
            statement: id.to_string(),
            what: format!("{}, as an act of the founders", self.act_text(&one.act)),
            issuer: issuer.unwrap_or_default(),
            verdict: verdict.to_string(),
            rule: "authority.md §2: an act is in force when a quorum of founders approved it"
                .into(),
            by: self.approvals_of(id),
            basis: self.bases(id).into_iter().next(),
        }))
    }

    /// The statements that propose and approve an act.
    fn approvals_of(&self, act: &StatementId) -> Vec<String> {
        let Ok(coalition) = self.coalition() else { return Vec::new() };
        let id = coalition.id();
        let says = |statement: &Statement| match statement {
            Statement::Propose { number, act: proposed } => proposed.id(&id, *number) == *act,
            Statement::Approve { act: approved } => approved == act,
            _ => false,
        };
        let said = coalition.statements().filter(|(_, statement)| says(statement));
        said.map(|(place, _)| place.id.to_string()).collect()
    }

    pub(super) fn act_text(&self, act: &Act) -> String {
        let agency = |no: &AgencyNo| {
            let AgencyRef { name, country, .. } = self.agency_ref(Some(*no));
            format!("{name} ({country})")
        };
        match act {
            Act::Admit { member, .. } => format!("admit {} ({})", member.name, member.country),
            Act::Retire { agency: no, .. } => format!("retire {}", agency(no)),
            Act::ReplaceRoot { agency: no, .. } => format!("replace the root of {}", agency(no)),
            Act::Revoke { device, .. } => format!("revoke device {}", device.short()),
            Act::Adopt { .. } => "adopt quarantined entries".into(),
            Act::Erase(_) | Act::Restrict { .. } | Act::Hold { .. } | Act::Recall { .. } => {
                let (asks, genesis) = of_record(act).unwrap_or_default();
                format!("{asks} the record that {} began", genesis.short())
            }
            Act::Lift { lifted } => format!("lift {}", lifted.short()),
            Act::RetireEpoch { epoch } => format!("retire epoch {}", epoch.short()),
        }
    }

    /// The legal basis beside a statement that asks for an erasure, or that proposes one.
    fn basis_of(&self, area: CompartmentId, id: &EntryId) -> Result<Option<String>, Failure> {
        let Some(Area { body, .. }) = self.replica.areas().get(&area) else { return Ok(None) };
        let asks = |statement: &Statement| {
            matches!(statement, Statement::Erase(_) | Statement::Propose { act: Act::Erase(_), .. })
        };
        let place = match body {
            Body::Coalition(coalition) => {
                coalition.statements().find(|(place, said)| place.id == *id && asks(said))
            }
            Body::Compartment(compartment) => {
                compartment.statements().find(|(place, said)| place.id == *id && asks(said))
            }
        };
        let Some((place, _)) = place else { return Ok(None) };
        let basis = self.replica.basis(&place.log, place.seq);
        basis.map_err(|error| store_failure(&error))
    }

    /// The bases that a proposed erasure was proposed with, as far as this device has the keys.
    fn bases(&self, proposal: &StatementId) -> Vec<String> {
        let Ok(coalition) = self.coalition() else { return Vec::new() };
        let id = coalition.id();
        let of = |statement: &Statement| match statement {
            Statement::Propose { number, act } => act.id(&id, *number) == *proposal,
            _ => false,
        };
        let places = coalition.statements().filter(|(_, said)| of(said)).map(|(place, _)| place);
        places.filter_map(|place| self.basis_of(coalition.compartment(), &place.id).ok()?).collect()
    }

    /// What is signed with an act, beside what [`Core::act_text`] says.
    pub(super) fn act_terms(&self, id: &StatementId, proposal: &Proposal) -> Vec<String> {
        let mut terms = Vec::new();
        match &proposal.act {
            Act::Admit { member, cites } => {
                terms.push(format!("as number {}", member.no.0));
                terms.push(format!("its root {}", hex(&member.root)));
                terms.extend(cites.iter().map(|id| format!("lifts the retirement {id}")));
            }
            Act::Retire { agency, .. } => terms.push(format!("number {}", agency.0)),
            Act::ReplaceRoot { agency, root, replaced, .. } => {
                terms.push(format!("number {}", agency.0));
                terms.push(format!("the new root {}", hex(root)));
                terms.extend(replaced.iter().map(|root| format!("in the place of {}", hex(root))));
            }
            Act::Revoke { device, .. } => terms.push(format!("device {device}")),
            Act::Erase(erasure) => {
                terms.push(format!("first entry {}", erasure.genesis));
                terms.push(format!("and {} further entries", erasure.others.len()));
                terms.extend(self.bases(id).iter().map(|basis| format!("on the basis: {basis}")));
            }
            Act::Restrict { genesis } | Act::Hold { genesis } | Act::Recall { genesis } => {
                terms.push(format!("first entry {genesis}"));
            }
            Act::Lift { lifted } => terms.push(format!("statement {lifted}")),
            Act::RetireEpoch { epoch } => terms.push(format!("epoch {epoch}")),
            Act::Adopt { .. } => {}
        }
        let Some(marks) = proposal.act.marks() else { return terms };
        let verb = if matches!(proposal.act, Act::Adopt { .. }) { "adopts" } else { "keeps" };
        if proposal.marks.is_empty() {
            terms.push(match marks {
                Marks::Wide(_) => format!("{verb} what a list says that is not here"),
                Marks::Inline(_) => format!("{verb} nothing"),
            });
        }
        let logs: BTreeMap<Digest, LogId> =
            self.replica.logbook().logs().map(|(log, _)| (log.digest(), *log)).collect();
        terms.extend(proposal.marks.iter().map(|Mark { log, count, head }| match logs.get(log) {
            Some(log) => format!(
                "{verb} {count} entries of class {} by {} in {}, the last {head}",
                log.class.name(),
                log.device.short(),
                self.compartment_name(&log.compartment),
            ),
            None => format!("{verb} {count} entries of a log that is not here, the last {head}"),
        }));
        match self.unnamed(&proposal.act, &proposal.marks) {
            0 => {}
            1 => terms.push("keeps nothing of one log that is here".into()),
            logs => terms.push(format!("keeps nothing of {logs} logs that are here")),
        }
        terms
    }

    pub(super) fn statement_text(&self, statement: &Statement) -> String {
        match statement {
            Statement::Found(charter) => format!("found {:?}", charter.name),
            Statement::Desk(certificate) => format!("desk {}", certificate.desk.device.short()),
            Statement::Grant { audience, right, caveats, reopening } => {
                let (right, limits) = (right.name(), limits_text(caveats));
                let life = life_text(reopening.as_ref());
                format!("{right} for {}{life} {limits}", self.audience_text(audience))
            }
            Statement::Propose { act, .. } => format!("propose to {}", self.act_text(act)),
            Statement::Approve { act } => format!("approve {}", act.short()),
            Statement::Open(_) => "open a compartment".into(),
            Statement::Epoch(_) => "begin an epoch".into(),
            Statement::Seal { epoch, .. } => format!("seal epoch {} to devices", epoch.short()),
            Statement::Describe { .. } => "name the compartment".into(),
            Statement::Revoke { device, .. } => format!("revoke device {}", device.short()),
            Statement::RootAct(root) => {
                format!("by an agency's root: {}", self.act_text(&root.act))
            }
            Statement::Adopt { .. } => "adopt quarantined entries".into(),
            Statement::Erase(erasure) => {
                format!("erase the record that {} began", erasure.genesis.short())
            }
            Statement::EraseAlso { entries, .. } => {
                format!("erase {} further entries", entries.len())
            }
            Statement::Restrict { genesis } => {
                format!("restrict the record that {} began", genesis.short())
            }
            Statement::Hold { genesis } => {
                format!("hold the record that {} began", genesis.short())
            }
            Statement::Lift { lifted } => format!("lift {}", lifted.short()),
            Statement::Recall { genesis } => {
                format!("recall the record that {} began", genesis.short())
            }
            Statement::Unknown { .. } => "something that this version does not know".into(),
        }
    }
}

/// What an act asks of which record, by its genesis.
pub(super) const fn of_record(act: &Act) -> Option<(&'static str, EntryId)> {
    Some(match act {
        Act::Erase(erasure) => ("erase", erasure.genesis),
        Act::Restrict { genesis } => ("restrict", *genesis),
        Act::Hold { genesis } => ("hold", *genesis),
        Act::Recall { genesis } => ("recall", *genesis),
        _ => return None,
    })
}

/// The one life of a device that a grant is for.
pub(super) fn life_text(reopening: Option<&Reopening>) -> String {
    reopening.map(|one| format!(" in its life {:016x}", one.incarnation.0)).unwrap_or_default()
}

/// Bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn limits_text(caveats: &Caveats) -> String {
    let mut parts = Vec::new();
    if let Some(kinds) = &caveats.kinds {
        let names = kinds.iter().filter_map(|kind| RecordKind::from_u8(*kind));
        parts.push(format!("kinds {}", names.map(RecordKind::name).collect::<Vec<_>>().join("+")));
    }
    if let Some(classes) = caveats.classes {
        let held = Class::ALL.iter().filter(|class| classes & (1 << **class as u8) != 0);
        parts.push(format!("classes {}", held.map(|c| c.name()).collect::<Vec<_>>().join("+")));
    }
    if let Some(from) = caveats.not_before_ms {
        parts.push(format!("from {}", WallTime(from)));
    }
    if let Some(until) = caveats.not_after_ms {
        parts.push(format!("until {}", WallTime(until)));
    }
    if let Some(bytes) = caveats.quota_bytes {
        parts.push(format!("at most {}", size::text(bytes)));
    }
    if caveats.may_delegate {
        parts.push("may be granted on".into());
    }
    if caveats.history {
        parts.push("with history".into());
    }
    parts.join(", ")
}
