//! Acts of the whole: proposed and approved by desks of founders.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use tearline_crdt::authority::{Author, Proposal};
use tearline_crdt::bounds::ROOTS_REPLACED_MAX;
use tearline_crdt::charter::Member;
use tearline_crdt::hash::Digest;
use tearline_crdt::id::{AgencyNo, CoalitionId, DeviceId, EntryId, EpochId, RecordId, StatementId};
use tearline_crdt::keys::RootKey;
use tearline_crdt::record::shelf::Detail;
use tearline_crdt::statement::{Act, Mark, Marks};
use tearline_crdt::store::StoreError;
use tearline_crdt::time::WallTime;
use tearline_mesh::replica::{self, ActError, Done, KeepBy, Kept};

use super::core::Core;
use super::explain::of_record;
use super::names::is_prefix;
use super::overview::store_failure;
use super::quarantine::mark;
use super::records::act_failure;
use super::trust::{marks, not_by_root, one_of, root_key, too_many};
use super::{Answer, json};
use crate::control::trust as shape;
use crate::country;
use crate::failure::{Failure, Kind};
use crate::home::check_name;
use crate::index::Row;

/// Records and their titles, by genesis.
type Named = BTreeMap<EntryId, (RecordId, String)>;

impl Core {
    pub(super) fn propose(&mut self, act: &shape::Proposed) -> Answer {
        let coalition = self.coalition()?.id();
        let now = self.now();
        if let shape::Proposed::Revoke { device, since, by } = act
            && let Some(id) =
                self.ended_by_all(device, Self::since(since.as_deref(), by.as_deref())?)?
        {
            let before = self.coalition()?.proposals();
            let ticket = self.replica.settled();
            let signed = self.signed(&id, &before, Vec::new(), Vec::new())?;
            return Ok((json(&signed)?, Some(ticket)));
        }
        let before = self.coalition()?.proposals();
        let (mut also, mut unreached) = (Vec::new(), Vec::new());
        let done = if let Some(record) = record_of(act) {
            let id = self.find_record(record)?;
            let detail = self.visible(id)?;
            let (releases, unseen) = self.releases_of(detail.clone())?;
            unreached = unseen;
            // Releases go first: once a record is destroyed, nobody knows of what was released of it.
            for release in releases.into_iter().rev() {
                let of = self.visible(release)?;
                match self.propose_of(coalition, act, &of) {
                    Ok(done) => also.push(done.value),
                    Err(ActError::Store(error)) => return Err(store_failure(&error)),
                    Err(_) => unreached.push(release.to_string()),
                }
            }
            self.propose_of(coalition, act, &detail)
        } else {
            let (act, marks) = self.act_of(act)?;
            self.replica.propose(now, coalition, act, marks)
        };
        let done = done.map_err(act_failure)?;
        let signed = self.signed(&done.value, &before, also, unreached)?;
        Ok((json(&signed)?, Some(done.ticket)))
    }

    /// Proposes what is asked for of a record.
    fn propose_of(
        &mut self,
        coalition: CoalitionId,
        act: &shape::Proposed,
        detail: &Detail,
    ) -> Result<Done<StatementId>, ActError> {
        let (now, genesis) = (self.now(), detail.genesis);
        let act = match act {
            shape::Proposed::Erase { basis, .. } => {
                return self.replica.propose_erasure(now, coalition, detail, basis);
            }
            shape::Proposed::Restrict { .. } => Act::Restrict { genesis },
            shape::Proposed::Hold { .. } => Act::Hold { genesis },
            shape::Proposed::Recall { .. } => Act::Recall { genesis },
            _ => return Err(ActError::NoRecord),
        };
        self.replica.propose(now, coalition, act, None)
    }

    /// The act that ended a device's standing, where a further one would change nothing.
    fn ended_by_all(
        &self,
        device: &str,
        since: Option<(WallTime, KeepBy)>,
    ) -> Result<Option<StatementId>, Failure> {
        let device = self.named_device(device)?;
        let mut kept = self.kept(&device, since)?;
        replica::keep_what_fits(&mut kept);
        let coalition = self.coalition()?;
        let mut acts = coalition.closures_of(&device).filter(|one| one.author == Author::Whole);
        let revokes = |act: &Act| matches!(act, Act::Revoke { .. });
        let proposals = coalition.proposals();
        let act = acts.find(|one| proposals.get(&one.id).is_some_and(|one| revokes(&one.act)));
        let Some(act) = act else { return Ok(None) };
        let area = coalition.compartment();
        let ended = self.replica.is_ended(area, &device, &kept, Author::Whole);
        Ok(ended.map_err(|error| store_failure(&error))?.then_some(act.id))
    }

    pub(super) fn approve(&mut self, id: &str) -> Answer {
        let coalition = self.coalition()?;
        let proposals = coalition.proposals();
        let hits: Vec<StatementId> =
            proposals.keys().filter(|known| is_prefix(id, &known.to_string())).copied().collect();
        let act = one_of(&hits, "proposal", id)
            .map_err(|error| error.hint("`tearline coalition proposals` shows those there are"))?;
        let own = coalition.live(&self.replica.device()).filter(|own| own.desk);
        let founders = &coalition.charter().founders;
        if !own.is_some_and(|own| founders.iter().any(|founder| founder.no == own.agency)) {
            return Err(Failure::denied("only a desk of a founder signs for it"));
        }
        let coalition = coalition.id();
        let (also, unreached) = match proposals.get(&act) {
            Some(proposal) => self.also_of(proposal, &proposals)?,
            None => (Vec::new(), Vec::new()),
        };
        for id in also.iter().chain([&act]) {
            let now = self.now();
            self.replica.approve(now, coalition, *id).map_err(act_failure)?;
        }
        let signed = self.signed(&act, &proposals, also, unreached)?;
        Ok((json(&signed)?, Some(self.replica.settled())))
    }

    /// The proposals that ask of a record's releases what one asks of the record, and wait; and the releases
    /// that this device cannot see, or of which nobody proposed that and no more: an erasure may list entries
    /// of others.
    fn also_of(
        &mut self,
        proposal: &Proposal,
        proposals: &BTreeMap<StatementId, Proposal>,
    ) -> Result<(Vec<StatementId>, Vec<String>), Failure> {
        let none = || Ok((Vec::new(), Vec::new()));
        let Some((asks, genesis)) = of_record(&proposal.act) else { return none() };
        let record = self.begun_with([genesis].into())?.remove(&genesis);
        let Some(record) = record else { return none() };
        let Some(detail) = self.visible_or_not(record).map_err(|error| self.met(&error))? else {
            return none();
        };
        let (releases, mut unreached) = self.releases_of(detail)?;
        let mut also = Vec::new();
        for release in releases.into_iter().rev() {
            let of = self.visible(release)?;
            let entries: BTreeSet<EntryId> = of.entries.iter().map(|entry| entry.id).collect();
            let is_it = |one: &&Proposal| match &one.act {
                _ if of_record(&one.act) != Some((asks, of.genesis)) => false,
                Act::Erase(erasure) => erasure.entries().all(|entry| entries.contains(entry)),
                _ => true,
            };
            let mut equal = proposals.iter().filter(|(_, one)| is_it(one)).peekable();
            if equal.peek().is_none() {
                unreached.push(release.to_string());
            }
            also.extend(equal.filter(|(_, one)| !one.in_force).map(|(id, _)| *id));
        }
        Ok((also, unreached))
    }

    pub(super) fn proposals(&mut self) -> Result<Value, Failure> {
        let known = self.coalition()?.proposals();
        let of = self.named_records(known.values())?;
        let proposals = known.iter().map(|(id, one)| self.proposal_shape(id, one, &of)).collect();
        json(&shape::Proposals { proposals })
    }

    /// The records of which proposals ask something, as far as this device may see them: id and title.
    fn named_records<'a>(
        &mut self,
        proposals: impl Iterator<Item = &'a Proposal>,
    ) -> Result<Named, Failure> {
        let geneses = proposals.filter_map(|one| of_record(&one.act)).map(|(_, genesis)| genesis);
        let mut named = Named::new();
        for (genesis, record) in self.begun_with(geneses.collect())? {
            let detail = match self.visible_or_not(record) {
                Ok(Some(detail)) => detail,
                Ok(None) => continue,
                // It is named by its first entry, as one that is not here.
                Err(error @ StoreError::Damaged { .. }) => {
                    self.met(&error);
                    continue;
                }
                Err(error) => return Err(self.met(&error)),
            };
            named.insert(genesis, (record, Row::describe(detail.kind, &detail.fields).title));
        }
        Ok(named)
    }

    /// The records that begin with entries, as far as they are here and this device may read them.
    fn begun_with(
        &mut self,
        geneses: BTreeSet<EntryId>,
    ) -> Result<BTreeMap<EntryId, RecordId>, Failure> {
        let now = self.now();
        self.replica.begun_with(now, geneses).map_err(|error| self.met(&error))
    }

    /// A proposal that was signed, of those that there were before, and others with it.
    fn signed(
        &mut self,
        id: &StatementId,
        before: &BTreeMap<StatementId, Proposal>,
        also: Vec<StatementId>,
        unreached: Vec<String>,
    ) -> Result<shape::Proposal, Failure> {
        let proposals = self.coalition()?.proposals();
        let is_signed = |id: &StatementId| {
            let signatures = |one: &Proposal| (one.approved.clone(), one.counting.clone());
            before.get(id).map(signatures) == proposals.get(id).map(signatures)
        };
        let already = is_signed(id) && also.iter().all(is_signed);
        let one = proposals.get(id).ok_or_else(|| Failure::bug("a proposal is not there"))?;
        let of = self.named_records([one].into_iter())?;
        let also = also.iter().map(ToString::to_string).collect();
        Ok(shape::Proposal { already, also, unreached, ..self.proposal_shape(id, one, &of) })
    }

    fn proposal_shape(&self, id: &StatementId, one: &Proposal, of: &Named) -> shape::Proposal {
        let record =
            of_record(&one.act).and_then(|(asks, genesis)| Some((asks, of.get(&genesis)?)));
        let charter = self.coalition().ok().map(|coalition| coalition.charter());
        let founders = charter.map(|charter| charter.founders.as_slice()).unwrap_or_default();
        let missing = founders.iter().filter(|f| !one.approved.contains(&f.no) && !one.in_force);
        shape::Proposal {
            proposal: id.to_string(),
            what: match record {
                Some((asks, (record, title))) => named_act(asks, record, title),
                None => self.act_text(&one.act),
            },
            record: record.map(|(_, (record, _))| record.to_string()),
            title: record.map(|(_, (_, title))| title.clone()),
            terms: self.act_terms(id, one),
            by: one.proposers.iter().map(|device| self.device(device)).collect(),
            approved: one.approved.iter().map(|no| self.agency_ref(Some(*no))).collect(),
            needed: charter.map_or(1, |charter| charter.quorum),
            waiting_for: missing.map(|founder| self.agency_ref(Some(founder.no))).collect(),
            in_force: one.in_force,
            root_given: one.gives_root,
            counting: one.counting.iter().map(|no| self.agency_ref(Some(*no))).collect(),
            already: false,
            also: Vec::new(),
            unreached: Vec::new(),
        }
    }

    /// How many logs are held of the devices whose standing an act ends, of which it keeps nothing.
    pub(super) fn unnamed(&self, act: &Act, kept: &[Mark]) -> usize {
        let Ok(coalition) = self.coalition() else { return 0 };
        let of = |device: &DeviceId| coalition.devices().get(device).map(|one| one.agency);
        let ends = |device: &DeviceId| match act {
            Act::Revoke { device: one, .. } => device == one,
            Act::Retire { agency, .. } | Act::ReplaceRoot { agency, .. } => {
                of(device) == Some(*agency)
            }
            _ => false,
        };
        let named: BTreeSet<Digest> = kept.iter().map(|mark| mark.log).collect();
        let logs = self.replica.logbook().logs();
        let ended = logs.filter(|(log, state)| ends(&log.device) && state.head.next > 0);
        ended.filter(|(log, _)| !named.contains(&log.digest())).count()
    }

    /// An act that is of no record, and the payload of its marks.
    pub(super) fn act_of(
        &mut self,
        act: &shape::Proposed,
    ) -> Result<(Act, Option<Vec<u8>>), Failure> {
        use shape::Proposed;
        let act = match act {
            Proposed::Admit { name, country: code, root } => {
                let root = root_key(root)?;
                let coalition = self.coalition()?;
                let own = coalition.live(&self.replica.device()).map(|own| own.agency);
                let own = own.ok_or_else(|| Failure::denied("this device has no standing"))?;
                let back = coalition.seats().values().find(|seat| seat.roots.contains(&root));
                let member = match back {
                    Some(seat) => seat.member.clone(),
                    None => {
                        check_name("an agency's name", name)?;
                        let no = coalition.next_agency(own).ok_or_else(|| {
                            Failure::failed("no number is left that this founder could give")
                        })?;
                        Member { no, name: name.clone(), country: country::read(code)?, root }
                    }
                };
                let closes = |act: &Act| match act {
                    Act::Retire { agency, .. } | Act::ReplaceRoot { agency, .. } => {
                        *agency == member.no
                    }
                    _ => false,
                };
                let known = coalition.proposals().into_iter();
                let known = known.filter(|(_, one)| one.in_force && closes(&one.act));
                let cites = known.map(|(id, _)| id).collect();
                Act::Admit { member, cites }
            }
            Proposed::Retire { agency } => {
                let agency = self.one_agency(agency)?;
                let (keep, payload) = self.keep_all(agency)?;
                return Ok((Act::Retire { agency, keep }, payload));
            }
            Proposed::ReplaceRoot { agency, root } => {
                let agency = self.one_agency(agency)?;
                let root = root_key(root)?;
                let replaced = self.roots_before(agency, &root)?;
                let (keep, payload) = self.keep_all(agency)?;
                return Ok((Act::ReplaceRoot { agency, root, replaced, keep }, payload));
            }
            Proposed::Revoke { device, since, by } => {
                let device = self.named_device(device)?;
                let since = Self::since(since.as_deref(), by.as_deref())?;
                let mut kept = self.kept(&device, since)?;
                replica::keep_what_fits(&mut kept);
                let (keep, payload) = marks(kept.iter())?;
                return Ok((Act::Revoke { device, keep }, payload));
            }
            Proposed::Adopt { entry } => {
                let found = self.quarantined_entry(entry)?;
                self.would_count(&found, Author::Whole)?;
                let (marks, payload) = Marks::of(vec![mark(&found)]).ok_or_else(too_many)?;
                return Ok((Act::Adopt { marks }, payload));
            }
            Proposed::Erase { .. }
            | Proposed::Restrict { .. }
            | Proposed::Hold { .. }
            | Proposed::Recall { .. } => return Err(not_by_root()),
            Proposed::Lift { statement } => Act::Lift { lifted: self.named_hold(statement)? },
            Proposed::RetireEpoch { epoch } => Act::RetireEpoch { epoch: self.named_epoch(epoch)? },
        };
        Ok((act, None))
    }

    /// The roots that another one takes the place of: all that the agency had.
    fn roots_before(&self, agency: AgencyNo, root: &RootKey) -> Result<Vec<RootKey>, Failure> {
        let seat = self.coalition()?.seats().get(&agency);
        let seat = seat.ok_or_else(|| Failure::bug("an agency has no seat"))?;
        if seat.replaced.contains(root) {
            return Err(Failure::denied("that root was replaced, and does not come back")
                .hint("make another: `tearline init --agency NAME` in an empty folder"));
        }
        if seat.roots.contains(root) {
            return Err(Failure::denied("that is the agency's root already"));
        }
        if seat.roots.len() > ROOTS_REPLACED_MAX {
            return Err(Failure::failed(format!(
                "the agency has had {} roots, and one act replaces {ROOTS_REPLACED_MAX}",
                seat.roots.len()
            ))
            .hint("retire it, and admit it with a new root: `tearline coalition amend`"));
        }
        Ok(seat.roots.iter().copied().collect())
    }

    /// Marks that keep all that an agency's devices wrote, as it is held here and as many as fit.
    fn keep_all(&self, agency: AgencyNo) -> Result<(Marks, Option<Vec<u8>>), Failure> {
        let coalition = self.coalition()?;
        let devices = coalition.devices().iter().filter(|(_, s)| s.agency == agency);
        let devices: Vec<DeviceId> = devices.map(|(device, _)| *device).collect();
        let logbook = self.replica.logbook();
        let mut kept = Vec::new();
        for (log, state) in logbook.logs().filter(|(log, _)| devices.contains(&log.device)) {
            if let Some(last) = state.head.next.checked_sub(1) {
                let entry = logbook.entry(self.replica.store(), log, last);
                let entry = entry.map_err(|error| store_failure(&error))?;
                let head = entry.ok_or_else(|| Failure::bug("a log has no last entry"))?.id;
                kept.push(Kept::all(*log, state.head.next, Some((head, None))));
            }
        }
        replica::keep_what_fits(&mut kept);
        marks(kept.iter())
    }

    /// What an act lifts: an act of the whole, or what an agency said.
    fn named_hold(&self, text: &str) -> Result<StatementId, Failure> {
        let holds = |act: &Act| matches!(act, Act::Hold { .. } | Act::Restrict { .. });
        let acts = self.coalition()?.proposals().into_iter();
        let acts = acts.filter(|(id, one)| holds(&one.act) && is_prefix(text, &id.to_string()));
        let hits: Vec<StatementId> = acts.map(|(id, _)| id).collect();
        match self.named_statement(text) {
            Err(failure) if failure.kind == Kind::NotFound => {
                if hits.is_empty() {
                    Err(failure)
                } else {
                    one_of(&hits, "act", text)
                }
            }
            found => Ok(found?.1),
        }
    }

    fn named_epoch(&self, text: &str) -> Result<EpochId, Failure> {
        let epochs = self.compartments().into_iter().flat_map(|(c, _)| c.epochs().keys());
        let hits: Vec<EpochId> =
            epochs.filter(|epoch| is_prefix(text, &epoch.to_string())).copied().collect();
        one_of(&hits, "epoch", text)
            .map_err(|error| error.hint("`tearline compartment show` names the current one"))
    }
}

/// The record of which an act is asked for.
fn record_of(act: &shape::Proposed) -> Option<&str> {
    match act {
        shape::Proposed::Erase { record, .. }
        | shape::Proposed::Restrict { record }
        | shape::Proposed::Hold { record }
        | shape::Proposed::Recall { record } => Some(record),
        _ => None,
    }
}

/// What is asked of a record, with its id and title. What is hidden has none.
fn named_act(asks: &str, record: &RecordId, title: &str) -> String {
    if title.is_empty() {
        return format!("{asks} record {record}");
    }
    format!("{asks} record {record}, {title:?}")
}
