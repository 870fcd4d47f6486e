//! What is said of records: erase, restrict, hold, recall, lift; and who obeyed.

use serde_json::Value;

use tearline_crdt::authority::Asked;
use tearline_crdt::id::{AgencyNo, CompartmentId, DeviceId, EntryId, LogId, RecordId, StatementId};
use tearline_crdt::record::receipt::{self, Outcome};
use tearline_crdt::record::shelf::Detail;
use tearline_crdt::statement::Right;
use tearline_crdt::time::WallTime;
use tearline_mesh::replica::{ActError, Word};

use super::core::Core;
use super::overview::store_failure;
use super::records::act_failure;
use super::{Answer, json};
use crate::control::trust as shape;
use crate::failure::{Failure, Kind};
use crate::index::Row;

impl Core {
    pub(super) fn record_say(&mut self, text: &str, said: &shape::Said) -> Answer {
        let id = self.find_record(text)?;
        if let (shape::Said::Erase { .. }, Some(destroyed)) = (said, self.destroyed(id)) {
            return Ok((json(&destroyed)?, Some(self.replica.settled())));
        }
        let word = match said {
            shape::Said::Erase { basis } => Word::Erase { basis: basis.clone() },
            shape::Said::Restrict => Word::Restrict,
            shape::Said::Hold => Word::Hold,
            shape::Said::Recall => Word::Recall,
        };
        let detail = self.visible(id)?;
        self.replica.may_speak(&detail, &word).map_err(|error| self.refused(error))?;
        let before = self.said_before(&detail, &word);
        let (genesis, begun) = (detail.genesis, log_of(&detail));
        let (releases, mut unreached) = self.releases_of(detail)?;
        // Releases go first, those of releases before them: once a record is destroyed, nobody knows of
        // what was released of it.
        let mut also = Vec::new();
        for release in releases.into_iter().rev() {
            if self.visible(release).is_ok_and(|of| self.said_before(&of, &word).is_some()) {
                continue;
            }
            let now = self.now();
            match self.replica.speak(now, release, &word) {
                Ok(_) => also.push(release.to_string()),
                Err(ActError::Store(error)) => return Err(store_failure(&error)),
                Err(_) => unreached.push(release.to_string()),
            }
        }
        let (statement, ticket) = match before {
            Some(statement) => (statement, self.replica.settled()),
            None => {
                let now = self.now();
                let done = self.replica.speak(now, id, &word);
                let done = done.map_err(|error| self.refused(error))?;
                (done.value, done.ticket)
            }
        };
        let already = before.is_some() && also.is_empty();
        let what = match word {
            Word::Erase { .. } => "erase",
            Word::Restrict => "restrict",
            Word::Hold => "hold",
            Word::Recall => "recall",
        };
        let by = before.map_or_else(Vec::new, |before| self.decided(before));
        let statement = statement.to_string();
        let what = what.into();
        let due = match word {
            Word::Erase { .. } => self.due(id, begun, &genesis),
            _ => None,
        };
        let due = due.map(|due| due.to_string());
        let record = Some(id.to_string());
        let (entries, changes) = (Vec::new(), Vec::new());
        let said = shape::Declared {
            statement,
            what,
            already,
            by,
            record,
            due,
            also,
            unreached,
            entries,
            changes,
        };
        Ok((json(&said)?, Some(ticket)))
    }

    /// What is answered to who erases a record that is destroyed here; `None` of others, and of those in
    /// compartments that this device may not see.
    fn destroyed(&self, record: RecordId) -> Option<shape::Declared> {
        let (compartment, stone) = self.replica.tombstone(&record)?;
        self.replica.right(compartment, &self.replica.device())?;
        Some(shape::Declared {
            statement: stone.statement.to_string(),
            what: "erase".into(),
            already: true,
            by: self.decided(stone.statement),
            record: Some(record.to_string()),
            due: Some(stone.at.to_string()),
            ..shape::Declared::default()
        })
    }

    /// The failure of what is said of a record, with whose it is.
    fn refused(&self, error: ActError) -> Failure {
        let ActError::NotOriginator(agency) = error else { return act_failure(error) };
        let whose = self.agency_ref(Some(agency)).name;
        Failure::denied(format!("the record is of {whose}")).hint(format!(
            "a desk of {whose} says it, or the founders: `tearline coalition propose`"
        ))
    }

    /// When a record that is hidden because it is erased is destroyed here, or was; `None` where nobody
    /// may have it destroyed.
    fn due(&self, record: RecordId, begun: Option<LogId>, genesis: &EntryId) -> Option<WallTime> {
        let gone = self.replica.tombstone(&record).map(|(_, stone)| stone.at);
        gone.or_else(|| self.replica.destroyed_from(&begun?, genesis))
    }

    /// When a record that is shown as hidden is destroyed here; `None` if it is not to be.
    pub(super) fn erasure_due(&self, detail: &Detail) -> Option<WallTime> {
        if !detail.state.hides() {
            return None;
        }
        self.replica.destroyed_from(&log_of(detail)?, &detail.genesis)
    }

    /// The releases of a record and theirs, each after what it was released from; and those that this
    /// device cannot see.
    pub(super) fn releases_of(
        &mut self,
        detail: Detail,
    ) -> Result<(Vec<RecordId>, Vec<String>), Failure> {
        let origin = detail.origin;
        let mut found = vec![detail.record];
        let mut unreached = Vec::new();
        let mut rest = vec![detail];
        while let Some(detail) = rest.pop() {
            for release in &detail.releases {
                if found.contains(release) || self.replica.tombstone(release).is_some() {
                    continue;
                }
                match self.visible(*release) {
                    Ok(of) if of.released_from == Some(detail.record) && of.origin == origin => {
                        found.push(*release);
                        rest.push(of);
                    }
                    Ok(_) => {}
                    Err(failure) if failure.kind == Kind::NotFound => {
                        unreached.push(release.to_string());
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        found.remove(0);
        unreached.sort_unstable();
        unreached.dedup();
        Ok((found, unreached))
    }

    /// Ends a hold or a restriction; of a record, all that our agency said.
    pub(super) fn record_lift(&mut self, text: &str) -> Answer {
        let lifted = match self.named_statement(text) {
            Ok(statement) => vec![statement],
            Err(failure) if failure.kind == Kind::NotFound => {
                let id = self.find_record(text)?;
                let detail = self.visible(id)?;
                let ours = self.binding_by_us(&detail);
                if ours.is_empty() {
                    let own = self.agency_of(&self.replica.device());
                    let ours = |log: &LogId| self.agency_of(&log.device) == own;
                    let lifts = self.lifts_of(detail.compartment, &detail.genesis, ours);
                    let before = lifts.last().copied().ok_or_else(|| none_binds(id))?;
                    return self.said_already(before, "lift".into());
                }
                ours.into_iter().map(|(id, _)| (detail.compartment, id)).collect()
            }
            Err(failure) => return Err(failure),
        };
        let own = self.agency_of(&self.replica.device());
        for (area, id) in &lifted {
            let issuer = self.statements(*area).into_iter().find(|(_, entry, _)| entry.0 == id.0);
            let of = issuer.and_then(|(log, ..)| self.agency_of(&log.device));
            if of.is_none() || of != own {
                return Err(Failure::denied("an agency lifts what its own devices said")
                    .hint("the founders can: `tearline coalition propose lift STATEMENT`"));
            }
        }
        if let [(area, id)] = lifted[..]
            && let Some(before) = self.lifted_by(area, id)
        {
            return self.said_already(before, format!("lift {id}"));
        }
        let mut done = None;
        for (area, id) in &lifted {
            let now = self.now();
            done = Some(self.replica.lift(now, *area, *id).map_err(act_failure)?);
        }
        let done = done.ok_or_else(|| Failure::not_found("statement", text))?;
        let ids: Vec<String> = lifted.iter().map(|(_, id)| id.to_string()).collect();
        let what = format!("lift {}", ids.join(", "));
        Ok((json(&shape::Declared::alone(done.value.to_string(), what))?, Some(done.ticket)))
    }

    /// The holds of a record that stand, whomever they bind.
    pub(super) fn holds_of(
        &self,
        area: CompartmentId,
        genesis: &EntryId,
    ) -> Result<Vec<shape::Hold>, Failure> {
        let Some(place) = self.replica.compartment(area) else { return Ok(Vec::new()) };
        let own = self.agency_of(&self.replica.device());
        let origin = self.replica.origin(area, genesis);
        let said: Vec<(LogId, u64, EntryId)> = match place.holds_of(genesis).next() {
            Some(_) => {
                self.places(area).into_iter().map(|(at, _)| (at.log, at.seq, at.id)).collect()
            }
            None => Vec::new(),
        };
        let mut holds = Vec::new();
        for (by, id) in place.holds_of(genesis) {
            let everywhere = by.is_none() || by == origin;
            let at = said.iter().find(|(_, _, entry)| entry.0 == id.0);
            let heard = match at {
                Some((log, seq, _)) => {
                    let heard = self.replica.logbook().arrived(self.replica.store(), log, *seq);
                    heard.map_err(|error| store_failure(&error))?
                }
                None => None,
            };
            holds.push(shape::Hold {
                statement: id.to_string(),
                by: by.map(|by| self.agency_ref(Some(by))),
                everywhere,
                here: everywhere || by == own,
                heard: heard.map(|heard| heard.to_string()),
            });
        }
        Ok(holds)
    }

    /// Whether a hold binds this peer not to destroy a record. What cannot be read says of none.
    pub(super) fn is_held(&self, row: &Row) -> bool {
        let genesis = self.replica.held_genesis(row.compartment, &row.record).ok().flatten();
        genesis.is_some_and(|genesis| self.holds_bind(row.compartment, &genesis, row.origin))
    }

    /// Whether a hold binds this peer not to destroy the record that `origin` began so.
    pub(super) fn holds_bind(
        &self,
        area: CompartmentId,
        genesis: &EntryId,
        origin: AgencyNo,
    ) -> bool {
        let own = self.agency_of(&self.replica.device()).unwrap_or_default();
        let place = self.replica.compartment(area);
        place.is_some_and(|place| place.record_state(genesis, origin, own).held)
    }

    /// Who obeyed what was said of a record. It is answered for erased records, too, by whose full id
    /// is known.
    pub(super) fn record_receipts(&mut self, text: &str) -> Result<Value, Failure> {
        let id = self.find_record(text)?;
        let own = self.replica.device();
        let (compartment, genesis) = match self.replica.tombstone(&id) {
            Some((compartment, stone)) => (compartment, stone.genesis),
            None => {
                let detail = self.visible(id)?;
                (detail.compartment, detail.genesis)
            }
        };
        if self.replica.right(compartment, &own).is_none() {
            return Err(Failure::not_found("record", text));
        }
        let place = self
            .replica
            .compartment(compartment)
            .ok_or_else(|| Failure::not_found("record", text))?;
        let asked: Vec<(StatementId, Asked)> =
            place.asked_of(&genesis, self.replica.origin(compartment, &genesis)).collect();
        // Who has ended may hold it still, and answers no more: it is named, and not waited for. A blind relay
        // destroys what an erasure lists, and writes nothing: no receipt either.
        let right = |device: &DeviceId| self.replica.right(compartment, device);
        let (ended, live): (Vec<DeviceId>, Vec<DeviceId>) =
            place.devices().keys().copied().partition(|device| right(device).is_none());
        let (relays, live): (Vec<DeviceId>, Vec<DeviceId>) =
            live.into_iter().partition(|device| right(device) == Some(Right::Relay));
        let mut statements = Vec::new();
        for (statement, asks) in asked {
            let answers = receipt::answers(self.replica.store(), &statement);
            let answers = answers.map_err(|error| store_failure(&error))?;
            let of = |device: &DeviceId| {
                let answer = answers.get(device);
                shape::ReceiptOf {
                    device: self.device(device),
                    ended: ended.contains(device),
                    outcome: answer.map(|answer| answer.outcome.name().to_owned()),
                    at: answer.map(|answer| answer.wall.to_string()),
                    last_heard: self.last_heard.get(device).map(ToString::to_string),
                }
            };
            let said: Vec<shape::ReceiptOf> = live.iter().chain(&ended).map(of).collect();
            let answers_of = live.iter().map(|device| answers.get(device));
            let done = |outcome: Outcome| match (asks, outcome) {
                (Asked::Erase, outcome) => {
                    matches!(outcome, Outcome::Destroyed | Outcome::NothingHere)
                }
                (_, outcome) => !matches!(outcome, Outcome::Refused(_)),
            };
            let open = answers_of
                .filter(|answer| !answer.is_some_and(|answer| done(answer.outcome)))
                .count();
            let asks = match asks {
                Asked::Erase => "erase",
                Asked::Restrict => "restrict",
                Asked::Recall => "recall",
            };
            statements.push(shape::StatementReceipts {
                statement: statement.to_string(),
                asks: asks.into(),
                answers: said,
                open,
            });
        }
        let lifted = self.lifts_of(compartment, &genesis, |_| true).into_iter();
        let lifted = lifted.flat_map(|lift| self.decided(lift)).collect();
        let relays = relays.iter().map(|relay| self.device(relay)).collect();
        let holds = self.holds_of(compartment, &genesis)?;
        json(&shape::Receipts { record: id.to_string(), statements, holds, lifted, relays })
    }
}

/// The log in which a record begins.
fn log_of(detail: &Detail) -> Option<LogId> {
    detail.entries.iter().find(|entry| entry.id == detail.genesis).map(|entry| entry.log)
}

fn none_binds(record: RecordId) -> Failure {
    Failure::denied(format!("no hold or restriction by this agency binds record {record}"))
        .hint(format!("`tearline why {record}` names what was said of it, and by whom"))
}
