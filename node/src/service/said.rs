//! What is said of records: erase, restrict, hold, recall, lift, release; and who obeyed.

use serde_json::{Map, Value};

use tearline_crdt::authority::Asked;
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::id::{Class, DeviceId, RecordId, StatementId};
use tearline_crdt::record::kind::Kind as RecordKind;
use tearline_crdt::record::receipt;
use tearline_crdt::record::shelf::{Detail, Draft};
use tearline_mesh::replica::Word;

use super::core::Core;
use super::names::{self, label};
use super::overview::store_failure;
use super::records::act_failure;
use super::{Answer, json};
use crate::control::trust as shape;
use crate::failure::Failure;

/// The field of a record that lists what was released of it, and that of a release that names where
/// it came from.
const RELEASED_TO: &str = "released_to";
const RELEASED_FROM: &str = "released_from";

impl Core {
    pub(super) fn record_say(&mut self, text: &str, said: &shape::Said) -> Answer {
        let id = self.find_record(text)?;
        let word = match said {
            shape::Said::Erase { basis } => Word::Erase { basis: basis.clone() },
            shape::Said::Restrict => Word::Restrict,
            shape::Said::Hold => Word::Hold,
            shape::Said::Recall => Word::Recall,
        };
        let detail = self.visible(id)?;
        // What was released of it goes first: once the record is erased, nobody knows of them.
        let mut also = Vec::new();
        for release in releases(&detail) {
            let Ok(of) = self.visible(release) else { continue };
            if of.origin != detail.origin {
                continue;
            }
            let now = self.now();
            self.replica.speak(now, release, &word).map_err(act_failure)?;
            also.push(release.to_string());
        }
        let now = self.now();
        let done = self.replica.speak(now, id, &word).map_err(act_failure)?;
        let what = match word {
            Word::Erase { .. } => "erase",
            Word::Restrict => "restrict",
            Word::Hold => "hold",
            Word::Recall => "recall",
        };
        let statement = done.value.to_string();
        Ok((json(&shape::Declared { statement, what: what.into(), also })?, Some(done.ticket)))
    }

    pub(super) fn record_lift(&mut self, text: &str) -> Answer {
        let (area, id) = self.named_statement(text)?;
        let now = self.now();
        let done = self.replica.lift(now, area, id).map_err(act_failure)?;
        let statement = done.value.to_string();
        let what = format!("lift {id}");
        Ok((json(&shape::Declared { statement, what, also: vec![] })?, Some(done.ticket)))
    }

    pub(super) fn record_release(&mut self, release: shape::RecordRelease) -> Answer {
        let id = self.find_record(&release.record)?;
        let detail = self.visible(id)?;
        let own = self.agency_of(&self.replica.device());
        if own != Some(detail.origin) {
            return Err(Failure::denied("only the agency that began a record releases it"));
        }
        let mut fields = Map::new();
        for (name, value) in &detail.fields {
            let wanted = release.fields.is_empty() || release.fields.contains(name);
            if wanted && name != RELEASED_TO && name != RELEASED_FROM {
                fields.insert(name.clone(), value.clone());
            }
        }
        if let Some(name) = release.fields.iter().find(|name| !detail.fields.contains_key(*name)) {
            return Err(Failure::not_found("field", name));
        }
        let named: Vec<String> = fields.keys().cloned().collect();
        fields.insert(RELEASED_FROM.into(), Value::String(id.to_string()));
        let label = match &release.label {
            Some(text) => label(text)?,
            None => detail.label.clone(),
        };
        let (to, _) = self.destination(release.compartment.as_deref(), &release.rel)?;
        if to == detail.compartment {
            return Err(Failure::usage("the record is in that compartment"));
        }
        let kind: RecordKind = detail.kind;
        let act = self.write(to, Class::Routine, vec![Draft::New { kind, fields, label }])?;
        let released = act.value.first().map(|written| written.record);
        let released = released.ok_or_else(|| Failure::bug("a release wrote nothing"))?;
        let mut list = detail.fields.get(RELEASED_TO).and_then(Value::as_array).cloned();
        let list = list.get_or_insert_default();
        list.push(Value::String(released.to_string()));
        let mut patch = Patch::default();
        patch.set(vec![Segment::Name(RELEASED_TO.into())], Value::Array(list.clone()));
        let linked = self.write(
            detail.compartment,
            Class::Routine,
            vec![Draft::Edit { record: id, patch }],
        )?;
        let value = json(&shape::Released {
            record: id.to_string(),
            released: released.to_string(),
            compartment: to.to_string(),
            fields: named,
        })?;
        Ok((value, Some(linked.ticket)))
    }

    /// Who obeyed what was said of a record. It is answered for erased records, too, by whose full id
    /// is known.
    pub(super) fn record_receipts(&mut self, text: &str) -> Result<Value, Failure> {
        let id = self.find_record(text)?;
        let own = self.replica.device();
        let (compartment, genesis) = match self.replica.tombstone(&id) {
            Some(found) => found,
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
        let devices: Vec<DeviceId> = place
            .devices()
            .keys()
            .filter(|device| self.replica.right(compartment, device).is_some())
            .copied()
            .collect();
        let mut statements = Vec::new();
        for (statement, asks) in asked {
            let answers = receipt::answers(self.replica.store(), &statement);
            let answers = answers.map_err(|error| store_failure(&error))?;
            let of = |device: &DeviceId| {
                let answer = answers.get(device);
                shape::ReceiptOf {
                    device: self.device(device),
                    outcome: answer.map(|answer| answer.outcome.name().to_owned()),
                    at: answer.map(|answer| answer.wall.to_string()),
                    last_heard: self.last_heard.get(device).map(ToString::to_string),
                }
            };
            let answers: Vec<shape::ReceiptOf> = devices.iter().map(of).collect();
            let open = answers.iter().filter(|answer| answer.outcome.is_none()).count();
            let asks = match asks {
                Asked::Erase => "erase",
                Asked::Restrict => "restrict",
                Asked::Recall => "recall",
            };
            statements.push(shape::StatementReceipts {
                statement: statement.to_string(),
                asks: asks.into(),
                answers,
                open,
            });
        }
        json(&shape::Receipts { record: id.to_string(), statements })
    }
}

/// What was released of a record, by what it says itself.
fn releases(detail: &Detail) -> Vec<RecordId> {
    let list = detail.fields.get(RELEASED_TO).and_then(Value::as_array);
    let ids = list.into_iter().flatten().filter_map(Value::as_str);
    ids.filter_map(|id| names::record_id(id).ok()).collect()
}
