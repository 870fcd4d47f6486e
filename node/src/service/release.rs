//! Releases: fields of a record for another audience, looked through before they go.

use serde_json::{Map, Value};

use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::hash::sha256;
use tearline_crdt::id::{AgencyNo, Class, CompartmentId, DeviceId};
use tearline_crdt::record::edge;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::shelf::{Detail, Draft};

use super::core::Core;
use super::explain::hex;
use super::names::label;
use super::{Answer, json};
use crate::control::trust as shape;
use crate::failure::{Failure, Kind};
use crate::release::{Coarse, CoarseTime, FILES, leaks};

/// What is released of a record, and what it tells beside.
struct Prepared {
    fields: Map<String, Value>,
    label: Label,
    changes: Vec<shape::ReleasedField>,
    leaks: Vec<shape::ReleaseLeak>,
}

impl Core {
    pub(super) fn record_release(&mut self, release: shape::RecordRelease) -> Answer {
        let id = self.find_record(&release.record)?;
        let detail = self.visible(id)?;
        self.may_release(&detail)?;
        let prepared = prepare(&detail, &release)?;
        let mut answer = shape::Released {
            record: id.to_string(),
            label: prepared.label.to_string(),
            fields: prepared.fields.keys().cloned().collect(),
            changes: prepared.changes,
            leaks: prepared.leaks,
            ..shape::Released::default()
        };
        answer.stamp = stamp_of(&answer)?;
        if release.stamp.as_ref().is_some_and(|stamp| *stamp != answer.stamp) {
            return Err(Failure::new(
                Kind::Waits,
                "what would be released is not what was looked at; nothing was released",
            )
            .hint("the record or the release was changed since: look at it again"));
        }
        if release.dry_run {
            self.say_where(&detail, &release, &mut answer)?;
            return Ok((json(&answer)?, None));
        }
        if !release.despite_leaks && !answer.leaks.is_empty() {
            return Err(told_beside(&answer.leaks));
        }
        let (to, _) = self.destination(release.compartment.as_deref(), &release.rel)?;
        not_its_own(&detail, Some(to))?;
        answer.compartment = to.to_string();
        answer.compartment_name = self.compartment_name(&to);
        answer.receivers = self.receivers(Some(to), &[])?;
        let (kind, label, mut fields) = (detail.kind, prepared.label, prepared.fields);
        fields.insert(edge::RELEASED_FROM.into(), Value::String(id.to_string()));
        let act = self.write(to, Class::Routine, vec![Draft::New { kind, fields, label }])?;
        let released = act.value.first().map(|written| written.record);
        let released = released.ok_or_else(|| Failure::bug("a release wrote nothing"))?;
        let mut patch = Patch::default();
        patch.set(vec![Segment::Name(edge::released_to(&released))], Value::Bool(true));
        let link = vec![Draft::Edit { record: id, patch }];
        let linked = self.write(detail.compartment, Class::Routine, link).map_err(|failure| {
            let what = format!(
                "released as {released}, which the record could not note: {}",
                failure.what
            );
            Failure::new(failure.kind, what)
                .hint(format!("take it back: tearline record erase {released}"))
        })?;
        answer.released = released.to_string();
        Ok((json(&answer)?, Some(linked.ticket)))
    }

    fn may_release(&self, detail: &Detail) -> Result<(), Failure> {
        let own = self.agency_of(&self.replica.device());
        if own != Some(detail.origin) {
            return Err(Failure::denied("only the agency that began a record releases it"));
        }
        if detail.state.hides() {
            return Err(Failure::denied(
                "the record is restricted: what it says is released nowhere",
            ));
        }
        if !self.replica.may_write(detail.compartment, Class::Routine) {
            return Err(Failure::denied(
                "a release is noted in the record, where this device may not write",
            ));
        }
        Ok(())
    }

    /// Where a release would go and who would receive it, without opening anything.
    fn say_where(
        &self,
        detail: &Detail,
        release: &shape::RecordRelease,
        answer: &mut shape::Released,
    ) -> Result<(), Failure> {
        let (to, audience) = match &release.compartment {
            Some(_) if !release.rel.is_empty() => {
                return Err(Failure::usage("name a compartment or an audience, not both"));
            }
            Some(name) => (Some(self.named_compartment(name)?), Vec::new()),
            None => {
                let audience = self.full_audience(&release.rel)?;
                let coalition = self.coalition()?.id();
                (self.replica.compartment_for(coalition, &audience), audience)
            }
        };
        not_its_own(detail, to)?;
        if let Some(to) = to {
            answer.compartment = to.to_string();
            answer.compartment_name = self.compartment_name(&to);
        }
        answer.receivers = self.receivers(to, &audience)?;
        Ok(())
    }

    /// The devices that read a compartment, or would read one of these agencies; without this one.
    fn receivers(
        &self,
        compartment: Option<CompartmentId>,
        audience: &[AgencyNo],
    ) -> Result<Vec<shape::Receiver>, Failure> {
        let own = self.replica.device();
        let there = compartment.and_then(|id| self.replica.compartment(id));
        let devices: Vec<DeviceId> = match there {
            Some(there) => there.readers().map(|(device, _)| *device).collect(),
            None => {
                let coalition = self.coalition()?;
                let of = |device: &&DeviceId| {
                    coalition.live(device).is_some_and(|held| {
                        audience.contains(&held.agency) && self.device(device).right != "relay"
                    })
                };
                coalition.devices().keys().filter(of).copied().collect()
            }
        };
        let area = match compartment {
            Some(id) => id,
            None => self.coalition()?.compartment(),
        };
        let others = devices.iter().filter(|device| **device != own);
        others
            .map(|device| {
                let because = self.given_to(device, area)?;
                Ok(shape::Receiver { device: self.device(device), because })
            })
            .collect()
    }
}

fn not_its_own(detail: &Detail, to: Option<CompartmentId>) -> Result<(), Failure> {
    if to == Some(detail.compartment) {
        return Err(Failure::usage("the record is in that compartment"));
    }
    Ok(())
}

fn told_beside(leaks: &[shape::ReleaseLeak]) -> Failure {
    let told: Vec<String> = leaks
        .iter()
        .map(|leak| format!("{} ({}): {:?}", leak.field, leak.kind, leak.found))
        .collect();
    Failure::new(
        Kind::Waits,
        format!("the release would tell more than its fields; nothing was released: {}", told.join("; ")),
    )
    .hint(
        "leave the field out (--fields), make it coarser (--coarse-place, --coarse-time), edit the text, or \
         release it all the same (--despite-leaks); --dry-run shows all of it",
    )
}

fn stamp_of(answer: &shape::Released) -> Result<String, Failure> {
    let told = json(&(&answer.record, &answer.label, &answer.changes, &answer.leaks))?;
    Ok(hex(&sha256(&[b"tearline/1/release-stamp\0", told.to_string().as_bytes()].concat())))
}

/// Picks the fields, makes them coarse, and looks them through.
fn prepare(detail: &Detail, release: &shape::RecordRelease) -> Result<Prepared, Failure> {
    if release.fields.iter().any(|name| name == FILES) {
        return Err(Failure::usage("files are not released with a record")
            .hint("attach them to the release: tearline record attach RELEASE FILE"));
    }
    if let Some(name) = release.fields.iter().find(|name| !detail.fields.contains_key(*name)) {
        return Err(Failure::not_found("field", name));
    }
    let time = release.coarse_time.as_deref().map(coarse_time).transpose()?;
    let (mut fields, mut withheld) = (Map::new(), Map::new());
    let own = detail.fields.iter().filter(|(name, _)| !edge::is_reserved(name));
    for (name, value) in own.clone() {
        let wanted = release.fields.is_empty() || release.fields.contains(name);
        let side = if wanted { &mut fields } else { &mut withheld };
        side.insert(name.clone(), value.clone());
    }
    if fields.is_empty() {
        return Err(Failure::usage("the release would say nothing"));
    }
    Coarse { place_km: release.coarse_km, time }.apply(&mut fields);
    let changes = own.map(|(name, before)| shape::ReleasedField {
        field: name.clone(),
        before: before.clone(),
        after: fields.get(name).cloned(),
    });
    let changes = changes.collect();
    let leaks = leaks(&fields, &withheld, release.coarse_km.is_some()).into_iter().map(|leak| {
        shape::ReleaseLeak { kind: leak.kind.name().into(), field: leak.field, found: leak.found }
    });
    let leaks = leaks.collect();
    let label = match &release.label {
        Some(text) => label(text)?,
        None => detail.label.clone(),
    };
    Ok(Prepared { fields, label, changes, leaks })
}

fn coarse_time(text: &str) -> Result<CoarseTime, Failure> {
    let found = CoarseTime::ALL.into_iter().find(|coarse| coarse.name() == text);
    found.ok_or_else(|| {
        Failure::usage(format!("{text:?} is no step of time; one of: hour, day, month"))
    })
}
