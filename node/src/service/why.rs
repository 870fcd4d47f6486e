//! Why a record is shown as it is, or is not: the rules that were applied, and the statements by which
//! they decide. Who may not know of a record is told the same as if there were none.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use tearline_crdt::authority::{Adoption, Cause, Compartment, StatementVerdict};
use tearline_crdt::epoch::decode_boxes;
use tearline_crdt::id::{CompartmentId, DeviceId, EntryId, EpochId, LogId, RecordId, StatementId};
use tearline_crdt::record::shelf::{Detail, Quarantine, Tombstone, Verdict};
use tearline_crdt::statement::{Act, Audience, Right, Statement};

use super::core::Core;
use super::find::PREFIX_HITS_MAX;
use super::json;
use super::overview::store_failure;
use crate::control::ID_PREFIX_DIGITS_MIN;
use crate::control::reply::{self, Decided, Reason};
use crate::failure::{Failure, Kind};

impl Core {
    pub(super) fn why(&mut self, text: &str) -> Result<Value, Failure> {
        let id = self.known_record(text)?;
        let shown = self.replica.records(|reader| reader.show(id));
        let shown = shown.map_err(|error| store_failure(&error))?;
        let erased = self.replica.tombstone(&id);
        let places = self.replica.places_of(&id).map_err(|error| store_failure(&error))?;
        let found = match (&shown, erased, places.first()) {
            (Some(detail), ..) => Some(detail.compartment),
            (None, Some((compartment, _)), _) => Some(compartment),
            (None, None, first) => first.map(|(log, _)| log.compartment),
        };
        let own = self.replica.device();
        let compartment = found.and_then(|id| self.replica.compartment(id));
        let compartment = compartment
            .filter(|compartment| compartment.is_reader(&own))
            .ok_or_else(|| Failure::not_found("record", text))?;
        let (state, because) = match (&shown, erased) {
            (Some(detail), _) => {
                let hidden = detail.state.restricted;
                (if hidden { "hidden" } else { "shown" }, self.grounds(compartment, detail)?)
            }
            (None, Some((_, stone))) => ("erased", vec![self.erased(&stone)]),
            (None, None) => self.obstacles(compartment, &places)?,
        };
        json(&reply::Why {
            record: id.to_string(),
            compartment: compartment.id().to_string(),
            compartment_name: self.compartment_name(&compartment.id()),
            state: state.into(),
            label: shown.map(|detail| detail.label.to_string()).unwrap_or_default(),
            because,
            holders: self.holders(compartment),
        })
    }

    /// A record named by its id or the beginning of it, also where nothing of it is shown.
    fn known_record(&mut self, text: &str) -> Result<RecordId, Failure> {
        let shown = self.find_record(text);
        let is_unknown = matches!(&shown, Err(failure) if failure.kind == Kind::NotFound);
        if !is_unknown || text.len() < ID_PREFIX_DIGITS_MIN {
            return shown;
        }
        let ids = self.replica.records_from(text, PREFIX_HITS_MAX);
        let mut hits = Vec::new();
        for id in ids.map_err(|error| self.met(&error))? {
            let places = self.replica.places_of(&id).map_err(|error| store_failure(&error))?;
            let erased = self.replica.tombstone(&id).map(|(compartment, _)| compartment);
            let of = erased.or_else(|| places.first().map(|(log, _)| log.compartment));
            let compartment = of.and_then(|of| self.replica.compartment(of));
            if compartment.is_some_and(|known| known.is_reader(&self.replica.device())) {
                hits.push(id);
            }
        }
        match hits.as_slice() {
            [] => shown,
            [id] => Ok(*id),
            _ => Err(Failure::usage(format!("{text:?} fits several records; write more digits"))),
        }
    }

    /// Why a record is shown, and what of it is not.
    fn grounds(&self, compartment: &Compartment, detail: &Detail) -> Result<Vec<Reason>, Failure> {
        let own = self.replica.device();
        let id = compartment.id();
        let audience: Vec<String> =
            self.audience(compartment).into_iter().map(|agency| agency.name).collect();
        let name = self.compartment_name(&id);
        let opened = |statement: &Statement| matches!(statement, Statement::Open(_));
        let right = self.replica.right(id, &own);
        let mut epochs = BTreeSet::new();
        for entry in &detail.entries {
            epochs.extend(self.epoch_of(&entry.log, entry.seq)?);
        }
        let mut keys = Vec::new();
        for epoch in epochs {
            keys.extend(self.sealed_to_us(id, &epoch)?);
        }
        let mut because = vec![
            Reason {
                rule: "audience".into(),
                detail: format!("compartment {name} is for {}", audience.join(", ")),
                section: "3".into(),
                by: self.statements_that(id, opened),
            },
            Reason {
                rule: "grant".into(),
                detail: format!(
                    "this device is of {} and holds the right to {}",
                    self.agency_ref(self.agency_of(&own)).name,
                    right.map_or("nothing", right_name)
                ),
                section: "3".into(),
                by: self.given_to_us(compartment)?,
            },
            Reason {
                rule: "epoch".into(),
                detail: format!("{} of its entries could be opened", detail.entries.len()),
                section: "9".into(),
                by: keys,
            },
            Reason {
                rule: "label".into(),
                detail: detail.label.to_string(),
                section: String::new(),
                by: Vec::new(),
            },
        ];
        because.extend(self.said(compartment, detail));
        let not_shown = detail.entries.iter().filter_map(|entry| match &entry.verdict {
            Verdict::Quarantined(Quarantine::Closed) => Some((entry.log, entry.seq)),
            _ => None,
        });
        because.extend(self.quarantines(not_shown)?);
        because.extend(self.adoptions(compartment, detail)?);
        let count = |is: fn(&Verdict) -> bool| {
            detail.entries.iter().filter(|entry| is(&entry.verdict)).count()
        };
        for (count, what) in [
            (
                count(|v| *v == Verdict::Waiting),
                "wait for entries that are quarantined or have not come",
            ),
            (count(|v| *v == Verdict::Replaced), "were written anew by their own devices"),
            (count(|v| *v == Verdict::HeldBack), "do not fit in any more"),
            (
                count(|v| *v == Verdict::Quarantined(Quarantine::Route)),
                "were written when, or of a kind, that no grant of their devices allows",
            ),
        ] {
            if count > 0 {
                because.push(Reason {
                    rule: "quarantine".into(),
                    detail: format!("{count} of its entries {what}"),
                    section: "10".into(),
                    by: Vec::new(),
                });
            }
        }
        Ok(because)
    }

    /// By what entries count that the end of their device's standing does not keep, those of one device
    /// together.
    fn adoptions(
        &self,
        compartment: &Compartment,
        detail: &Detail,
    ) -> Result<Vec<Reason>, Failure> {
        let coalition = self.coalition()?;
        let mut all: BTreeMap<(DeviceId, Adoption), usize> = BTreeMap::new();
        for entry in &detail.entries {
            let closed = matches!(&entry.verdict, Verdict::Quarantined(Quarantine::Closed));
            let adoption = compartment.adoption(coalition, &entry.log, entry.seq);
            if let Some(adoption) = adoption.filter(|_| !closed) {
                *all.entry((entry.log.device, adoption)).or_default() += 1;
            }
        }
        let reason = |((device, Adoption { closed, adopted }), count)| Reason {
            rule: "adoption".into(),
            detail: format!(
                "{count} of its entries, by {}, count though that one's standing ended and kept them not: they were \
                 adopted",
                self.device(&device).name.unwrap_or_else(|| device.short()),
            ),
            section: "5".into(),
            by: closed.into_iter().chain(adopted).flat_map(|id| self.decided(id)).collect(),
        };
        Ok(all.into_iter().map(reason).collect())
    }

    /// What stewards said of a record, if anything binds this peer.
    fn said(&self, compartment: &Compartment, detail: &Detail) -> Option<Reason> {
        let genesis = detail.genesis;
        let own = self.agency_of(&self.replica.device()).unwrap_or_default();
        let by: Vec<Decided> = compartment
            .binding(&genesis, detail.origin, own)
            .flat_map(|id| self.decided(id))
            .collect();
        if by.is_empty() {
            return None;
        }
        let state = compartment.record_state(&genesis, detail.origin, own);
        let due = self.erasure_due(detail);
        let mut parts = Vec::new();
        match (state.erased, due) {
            (Some(_), Some(due)) => {
                parts.push(format!("it is erased: hidden now, to be destroyed from {due} on"));
            }
            _ if state.restricted => parts.push("its content is hidden".into()),
            _ => {}
        }
        if state.held {
            parts.push("it is held: who asks to destroy it only hides it".into());
        }
        if state.recalled {
            parts.push("it is recalled: not to be relied on".into());
        }
        let section = "8".into();
        Some(Reason { rule: "said".into(), detail: parts.join("; "), section, by })
    }

    fn erased(&self, stone: &Tombstone) -> Reason {
        Reason {
            rule: "said".into(),
            detail: format!("it is erased: destroyed here at {}", stone.at),
            section: "8".into(),
            by: self.decided(stone.statement),
        }
    }

    /// Why a record, of which there are entries here, is not shown.
    fn obstacles(
        &self,
        compartment: &Compartment,
        places: &[(LogId, u64)],
    ) -> Result<(&'static str, Vec<Reason>), Failure> {
        let mut because = self.quarantines(places.iter().copied())?;
        let mut retired = BTreeSet::new();
        for (log, seq) in places {
            let epoch = self.epoch_of(log, *seq)?;
            let is_retired =
                |id: &EpochId| compartment.epochs().get(id).is_some_and(|epoch| epoch.retired);
            retired.extend(epoch.filter(is_retired));
        }
        for epoch in &retired {
            because.push(Reason {
                rule: "retired".into(),
                detail: format!("epoch {} is retired: its keys are destroyed", epoch.short()),
                section: "9".into(),
                by: self.retired_by(epoch),
            });
        }
        let state = match (because.is_empty(), retired.is_empty()) {
            (true, _) => "waiting",
            (false, true) => "quarantined",
            (false, false) => "retired",
        };
        if state == "waiting" {
            let closed = compartment.epochs().keys().filter(|e| !self.replica.can_open(e));
            let closed: BTreeSet<EpochId> = closed.copied().collect();
            let began = |statement: &Statement| {
                matches!(statement, Statement::Epoch(epoch)
                if closed.contains(&epoch.id(&compartment.id())))
            };
            because.push(Reason {
                rule: "keys".into(),
                detail: format!(
                    "its beginning has not come, or is sealed under one of {} epochs that this device \
                     cannot open",
                    closed.len()
                ),
                section: "9".into(),
                by: self.statements_that(compartment.id(), began),
            });
        }
        Ok((state, because))
    }

    /// Why entries do not count, each cause once.
    fn quarantines(
        &self,
        places: impl Iterator<Item = (LogId, u64)>,
    ) -> Result<Vec<Reason>, Failure> {
        let mut causes: BTreeMap<(String, DeviceId), (Cause, usize)> = BTreeMap::new();
        for (log, seq) in places {
            let cause = self.replica.cause(&log, seq).map_err(|error| store_failure(&error))?;
            if let Some(cause) = cause {
                causes.entry((cause.to_string(), log.device)).or_insert((cause, 0)).1 += 1;
            }
        }
        let reason = |((_, device), (cause, count)): ((String, DeviceId), (Cause, usize))| {
            let (why, section, by) = match cause {
                Cause::Closed(closure) => (
                    "beyond what is kept of its logs since its standing ended",
                    "6.3",
                    self.decided(closure),
                ),
                Cause::Fork => ("beyond the fork of a log of its", "6.2", Vec::new()),
                Cause::Branch(_) => {
                    ("on a branch of a log of its that was not chosen", "6.2", vec![])
                }
                Cause::Standing => ("of a device that may not write such a log", "6.1", Vec::new()),
                Cause::Readmitted(by) => (
                    "of a life that was readmitted with no right to write such a log",
                    "6.1",
                    self.decided(by),
                ),
            };
            let whose = self.device(&device).name.unwrap_or_else(|| device.short());
            Reason {
                rule: "quarantine".into(),
                detail: format!("{count} of its entries, by {whose}, are {why}"),
                section: section.into(),
                by,
            }
        };
        Ok(causes.into_iter().map(reason).collect())
    }

    fn epoch_of(&self, log: &LogId, seq: u64) -> Result<Option<EpochId>, Failure> {
        let entry = self.replica.logbook().entry(self.replica.store(), log, seq);
        Ok(entry.map_err(|error| store_failure(&error))?.map(|entry| entry.epoch))
    }

    /// The statement that brought this device the keys of an epoch; that which began it, where this
    /// device did.
    fn sealed_to_us(&self, id: CompartmentId, epoch: &EpochId) -> Result<Option<Decided>, Failure> {
        let own = self.replica.device();
        let (logbook, store) = (self.replica.logbook(), self.replica.store());
        let Some(compartment) = self.replica.compartment(id) else { return Ok(None) };
        let mut began = None;
        for (place, statement) in compartment.statements() {
            match statement {
                Statement::Epoch(one) if one.id(&id) == *epoch && place.log.device == own => {
                    began = Some((place, statement));
                }
                Statement::Seal { epoch: of, .. } if of == epoch => {
                    let entry = logbook.entry(store, &place.log, place.seq);
                    let entry = entry.map_err(|error| store_failure(&error))?;
                    let boxes = entry.and_then(|entry| decode_boxes(&entry.payload?).ok());
                    if boxes.is_some_and(|boxes| boxes.iter().any(|one| one.device == own)) {
                        return Ok(Some(self.decision(&place.log, &place.id, statement)));
                    }
                }
                _ => {}
            }
        }
        Ok(began.map(|(place, statement)| self.decision(&place.log, &place.id, statement)))
    }

    /// The certificates and grants by which this device may read a compartment, of those that count.
    fn given_to_us(&self, compartment: &Compartment) -> Result<Vec<Decided>, Failure> {
        self.given_to(&self.replica.device(), compartment.id())
    }

    /// The certificates and grants by which a device has its standing in an area, of those that count.
    pub(super) fn given_to(
        &self,
        device: &DeviceId,
        area: CompartmentId,
    ) -> Result<Vec<Decided>, Failure> {
        let agency = self.agency_of(device);
        let coalition = self.coalition()?.compartment();
        let areas = [Some(coalition), Some(area).filter(|area| *area != coalition)];
        let mut given = Vec::new();
        for area in areas.into_iter().flatten() {
            for (log, id, statement) in self.statements(area) {
                let ours = match statement {
                    Statement::Desk(certificate) => certificate.desk.device == *device,
                    Statement::Grant { audience: Audience::Device { card, .. }, .. } => {
                        card.device == *device
                    }
                    Statement::Grant { audience: Audience::Agency(no), .. } => Some(*no) == agency,
                    _ => false,
                };
                if ours && self.verdict(&area, &id)? == StatementVerdict::Counts {
                    given.push(self.decision(&log, &id, statement));
                }
            }
        }
        Ok(given)
    }

    /// The statements of an area that are such.
    fn statements_that(
        &self,
        area: CompartmentId,
        is: impl Fn(&Statement) -> bool,
    ) -> Vec<Decided> {
        let all = self.statements(area).into_iter();
        let such = all.filter(|(_, _, statement)| is(statement));
        such.map(|(log, id, statement)| self.decision(&log, &id, statement)).collect()
    }

    /// The proposals and approvals of the acts that retire an epoch.
    fn retired_by(&self, epoch: &EpochId) -> Vec<Decided> {
        let Ok(coalition) = self.coalition() else { return Vec::new() };
        let proposals = coalition.proposals().into_iter();
        let such = proposals.filter(|(_, proposal)| {
            let retires = matches!(&proposal.act, Act::RetireEpoch { epoch: of } if of == epoch);
            retires && proposal.in_force
        });
        such.flat_map(|(act, _)| self.decided(act)).collect()
    }

    /// What a name stands for: one statement; or an act, by all statements that proposed and approved
    /// it, or that carry it from an agency's root.
    pub(super) fn decided(&self, id: StatementId) -> Vec<Decided> {
        let Ok(coalition) = self.coalition().map(|coalition| coalition.id()) else {
            return Vec::new();
        };
        let names = |entry: &EntryId, statement: &Statement| {
            entry.0 == id.0
                || match statement {
                    Statement::Propose { number, act } => act.id(&coalition, *number) == id,
                    Statement::Approve { act } => *act == id,
                    Statement::RootAct(act) => act.id(&coalition) == id,
                    _ => false,
                }
        };
        let seen = self.replica.areas().keys().filter(|area| self.may_see(area));
        seen.flat_map(|area| self.statements(*area))
            .filter(|(_, entry, statement)| names(entry, statement))
            .map(|(log, entry, statement)| self.decision(&log, &entry, statement))
            .collect()
    }

    /// Whether the statements of an area are shown here: those of the coalition also to a device whose
    /// standing in it has ended.
    pub(super) fn may_see(&self, area: &CompartmentId) -> bool {
        self.coalition().is_ok_and(|coalition| coalition.compartment() == *area)
            || self.replica.right(*area, &self.replica.device()).is_some()
    }

    fn decision(&self, log: &LogId, id: &EntryId, statement: &Statement) -> Decided {
        Decided {
            statement: id.to_string(),
            what: self.statement_text(statement),
            issuer: self.device(&log.device),
        }
    }

    /// Who else may read a compartment, and whether they are known to hold all of it.
    fn holders(&self, compartment: &Compartment) -> Vec<reply::Holder> {
        let own = self.replica.device();
        let in_sync: Vec<DeviceId> = self
            .replica
            .peers()
            .into_iter()
            .filter(|peer| peer.in_sync)
            .map(|peer| peer.device)
            .collect();
        compartment
            .readers()
            .map(|(device, standing)| reply::Holder {
                device: device.to_string(),
                agency: self.agency_ref(Some(standing.agency)),
                holds: (*device == own || in_sync.contains(device)).then_some(true),
            })
            .collect()
    }
}

const fn right_name(right: Right) -> &'static str {
    match right {
        Right::Relay => "relay",
        Right::Read => "read",
        Right::Write => "write",
        Right::Admit => "admit",
        Right::Admin => "administer",
    }
}
