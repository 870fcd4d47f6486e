//! What arguments name: ids by prefix, compartments and agencies by name.

use tearline_crdt::authority::{Coalition, Compartment};
use tearline_crdt::id::{AgencyNo, Class, CompartmentId, DeviceId, RecordId};
use tearline_crdt::record::label::Label;
use tearline_mesh::replica::Body;

use super::core::Core;
use crate::control::ID_PREFIX_DIGITS_MIN;
use crate::control::reply::AgencyRef;
use crate::failure::{Failure, Kind};

impl Core {
    /// The coalition that this device is in.
    pub(super) fn coalition(&self) -> Result<&Coalition, Failure> {
        self.replica
            .areas()
            .values()
            .find_map(|area| match &area.body {
                Body::Coalition(coalition) => Some(&**coalition),
                Body::Compartment(_) => None,
            })
            .ok_or_else(|| {
                Failure::new(Kind::NotFound, "this device is in no coalition").hint(
                    "found one with `tearline coalition create --name NAME`, or `tearline join INVITATION`",
                )
            })
    }

    /// The compartments that this device may read, with their names.
    pub(super) fn compartments(&self) -> Vec<(&Compartment, String)> {
        let own = self.replica.device();
        let mut found: Vec<_> = self
            .replica
            .areas()
            .values()
            .filter_map(|area| match &area.body {
                Body::Compartment(c) if self.replica.right(c.id(), &own).is_some() => {
                    Some((&**c, area.name.clone().unwrap_or_else(|| c.id().short())))
                }
                _ => None,
            })
            .collect();
        found.sort_by(|a, b| a.1.cmp(&b.1).then(a.0.id().cmp(&b.0.id())));
        found
    }

    pub(super) fn compartment_name(&self, id: &CompartmentId) -> String {
        let name = self.replica.areas().get(id).and_then(|area| area.name.clone());
        name.unwrap_or_else(|| id.short())
    }

    /// The compartment of a name, an id, or the prefix of one.
    pub(super) fn named_compartment(&self, name: &str) -> Result<CompartmentId, Failure> {
        let all = self.compartments();
        let hits: Vec<_> = all
            .iter()
            .filter(|(c, called)| called == name || is_prefix(name, &c.id().to_string()))
            .collect();
        match hits.as_slice() {
            [(compartment, _)] => Ok(compartment.id()),
            [] => Err(Failure::not_found("compartment", name)
                .hint("`tearline compartment list` shows those there are")),
            several => {
                let which: Vec<String> = several.iter().map(|(c, _)| self.audience_of(c)).collect();
                Err(Failure::usage(format!(
                    "{name:?} fits several compartments: {}",
                    which.join("; ")
                ))
                .hint("name one by its id"))
            }
        }
    }

    /// Fails when a compartment has a name here.
    pub(super) fn free_compartment_name(&self, name: &str) -> Result<(), Failure> {
        match self.compartments().into_iter().find(|(_, called)| called == name) {
            Some((taken, _)) => {
                Err(Failure::usage(format!("{name:?} is the name of {}", self.audience_of(taken)))
                    .hint("choose another"))
            }
            None => Ok(()),
        }
    }

    /// Which compartment it is of several of a name.
    fn audience_of(&self, compartment: &Compartment) -> String {
        let agencies = self.audience(compartment);
        let names: Vec<&str> = agencies.iter().map(|agency| agency.name.as_str()).collect();
        format!("{} of {}", compartment.id().short(), names.join(", "))
    }

    /// The agencies of names, numbers or country codes.
    pub(super) fn named_agencies(&self, names: &[String]) -> Result<Vec<AgencyNo>, Failure> {
        let coalition = self.coalition()?;
        names
            .iter()
            .flat_map(|names| names.split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(|name| named_agency(coalition, name))
            .collect()
    }

    /// An agency, briefly.
    pub(super) fn agency_ref(&self, no: Option<AgencyNo>) -> AgencyRef {
        let member = no.and_then(|no| self.coalition().ok()?.member(no).cloned());
        AgencyRef {
            no: no.map(|no| no.0),
            name: member.as_ref().map_or_else(|| "unknown".into(), |m| m.name.clone()),
            country: member.map_or_else(|| "ZZ".into(), |m| m.country),
        }
    }

    pub(super) fn agency_of(&self, device: &DeviceId) -> Option<AgencyNo> {
        Some(self.coalition().ok()?.devices().get(device)?.agency)
    }
}

fn named_agency(coalition: &Coalition, name: &str) -> Result<AgencyNo, Failure> {
    let members = || coalition.members();
    if let Ok(no) = name.parse::<u16>()
        && coalition.member(AgencyNo(no)).is_some()
    {
        return Ok(AgencyNo(no));
    }
    let by_name: Vec<_> = members().filter(|m| m.name.eq_ignore_ascii_case(name)).collect();
    let by_country: Vec<_> = members().filter(|m| m.country.eq_ignore_ascii_case(name)).collect();
    let hits = if by_name.is_empty() { by_country } else { by_name };
    match hits.as_slice() {
        [member] => Ok(member.no),
        [] => {
            let known: Vec<String> =
                members().map(|m| format!("{} ({})", m.name, m.country)).collect();
            Err(Failure::new(Kind::NotFound, format!("no agency {name:?} in the coalition"))
                .hint(format!("its agencies are: {}", known.join(", "))))
        }
        several => {
            let nos: Vec<String> =
                several.iter().map(|m| format!("{} = {}", m.no.0, m.name)).collect();
            Err(Failure::usage(format!("{name:?} fits several agencies: {}", nos.join(", ")))
                .hint("name one by its number"))
        }
    }
}

/// Whether a text is a usable prefix of an id.
pub(super) fn is_prefix(text: &str, id: &str) -> bool {
    text.len() >= ID_PREFIX_DIGITS_MIN && id.starts_with(&text.to_ascii_lowercase())
}

/// A record's id, in full.
pub(super) fn record_id(text: &str) -> Result<RecordId, Failure> {
    text.to_ascii_lowercase().parse().map_err(|_| Failure::not_found("record", text))
}

/// A class by its name; routine if none is named. Nobody writes authority entries by hand.
pub(super) fn class(name: Option<&str>) -> Result<Class, Failure> {
    let Some(name) = name else { return Ok(Class::Routine) };
    Class::ALL
        .into_iter()
        .find(|class| *class != Class::Authority && class.name() == name)
        .ok_or_else(|| {
            Failure::usage(format!("{name:?} is no class"))
                .hint("the classes are flash, immediate, priority and routine")
        })
}

/// A label from its text.
pub(super) fn label(text: &str) -> Result<Label, Failure> {
    text.parse::<Label>().map_err(|error| {
        Failure::usage(format!("{text:?} is no label: {error}"))
            .hint("write for example \"TLP:AMBER PAP:GREEN\"")
    })
}
