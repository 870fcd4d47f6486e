//! The kinds of record, their names, and the STIX 2.1 object type that each is exported as.
//!
//! STIX has objects of its own for some kinds (`identity`, `location`, `sighting`, ...). For the
//! others Tearline defines new object types under an extension definition (STIX 2.1 §7.3), because
//! bare `x-` types are refused by strict validators. The kind of an imported object is the kind
//! that would be exported as its type; every other type is kept whole as [`Kind::Object`].

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// What a record is about. The number is the wire form.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Kind {
    /// Any STIX object without a kind of its own, kept whole.
    Object = 0,
    /// A natural person.
    Person = 1,
    /// A company, agency, group or network.
    Organisation = 2,
    /// A road vehicle.
    Vehicle = 3,
    /// A ship or boat.
    Vessel = 4,
    /// An aircraft, crewed or not.
    Aircraft = 5,
    /// A freight container.
    Container = 6,
    /// A passport, visa, identity card or the like.
    TravelDocument = 7,
    /// A telephone, SIM or subscriber number.
    Phone = 8,
    /// A weapon or its parts.
    Weapon = 9,
    /// Goods: drugs, fuel, cash, species, cultural property.
    Commodity = 10,
    /// A place.
    Location = 11,
    /// A way that people or goods take.
    Route = 12,
    /// Something was seen, by whom, where and when.
    Sighting = 13,
    /// A border crossing, regular or not.
    Crossing = 14,
    /// An event that needs handling.
    Incident = 15,
    /// Goods or documents taken into custody.
    Seizure = 16,
    /// Look out for this, and do that.
    Alert = 17,
    /// A written report that refers to other records.
    Report = 18,
    /// A remark on other records.
    Note = 19,
    /// Agreement or disagreement with a record.
    Opinion = 20,
    /// A directed link between two records.
    Relationship = 21,
    /// A file that several units work on.
    Case = 22,
    /// A request for information.
    Request = 23,
    /// A tasking.
    Task = 24,
    /// A judgement with its probability and confidence.
    Assessment = 25,
    /// A match to be confirmed.
    Hit = 26,
    /// A message between desks.
    Message = 27,
    /// An own unit.
    Unit = 28,
}

/// Where an exported record stands in STIX 2.1: that decides its required common properties.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StixCategory {
    /// A domain object of STIX itself.
    Domain,
    /// A relationship object of STIX itself.
    Relationship,
    /// A domain object that an extension adds (`new-sdo`).
    NewDomain,
    /// A cyber-observable object that an extension adds (`new-sco`): no `created`, `modified`.
    NewObservable,
}

/// A text that names no kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "no such kind of record; one of: person, organisation, vehicle, vessel, aircraft, \
         container, travel-document, phone, weapon, commodity, location, route, sighting, \
         crossing, incident, seizure, alert, report, note, opinion, relationship, case, request, \
         task, assessment, hit, message, unit, object (a STIX object of any other type)"
)]
pub struct ParseKindError;

impl Kind {
    /// All kinds, by number.
    pub const ALL: [Self; 29] = [
        Self::Object,
        Self::Person,
        Self::Organisation,
        Self::Vehicle,
        Self::Vessel,
        Self::Aircraft,
        Self::Container,
        Self::TravelDocument,
        Self::Phone,
        Self::Weapon,
        Self::Commodity,
        Self::Location,
        Self::Route,
        Self::Sighting,
        Self::Crossing,
        Self::Incident,
        Self::Seizure,
        Self::Alert,
        Self::Report,
        Self::Note,
        Self::Opinion,
        Self::Relationship,
        Self::Case,
        Self::Request,
        Self::Task,
        Self::Assessment,
        Self::Hit,
        Self::Message,
        Self::Unit,
    ];

    /// The kind with this number.
    #[must_use]
    pub fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.get(usize::from(value)).copied()
    }

    /// The kind's name, as people and files write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The STIX 2.1 object type that a record of this kind is exported as. An [`Kind::Object`]
    /// keeps the type it came with, so it has none of its own.
    #[must_use]
    pub const fn stix_type(self) -> Option<&'static str> {
        match self {
            Self::Object => None,
            other => Some(other.row().1),
        }
    }

    /// Where the exported object stands in STIX. `None` for [`Kind::Object`]: as it came.
    #[must_use]
    pub const fn stix_category(self) -> Option<StixCategory> {
        match self {
            Self::Object => None,
            other => Some(other.row().2),
        }
    }

    /// The kind of an imported STIX object with this `type`. An `identity` is a person if its
    /// `identity_class` is `individual` and an organisation otherwise; a type without a kind of its
    /// own is an [`Kind::Object`].
    #[must_use]
    pub fn from_stix_type(stix_type: &str, object: &Map<String, Value>) -> Self {
        if stix_type == "identity" {
            return match object.get("identity_class").and_then(Value::as_str) {
                Some("individual") => Self::Person,
                _ => Self::Organisation,
            };
        }
        Self::ALL
            .into_iter()
            .find(|kind| kind.stix_type() == Some(stix_type))
            .unwrap_or(Self::Object)
    }

    /// Whether a record of this kind may be opened to all writers of its compartment. All others
    /// are written by the originating agency's devices alone.
    #[must_use]
    pub const fn open_to_compartment(self) -> bool {
        matches!(self, Self::Case | Self::Request | Self::Task | Self::Message)
    }

    /// Name, STIX type, STIX category.
    const fn row(self) -> (&'static str, &'static str, StixCategory) {
        use StixCategory::{Domain, NewDomain, NewObservable, Relationship};
        match self {
            Self::Object => ("object", "", Domain),
            Self::Person => ("person", "identity", Domain),
            Self::Organisation => ("organisation", "identity", Domain),
            Self::Vehicle => ("vehicle", "vehicle", NewObservable),
            Self::Vessel => ("vessel", "vessel", NewObservable),
            Self::Aircraft => ("aircraft", "aircraft", NewObservable),
            Self::Container => ("container", "container", NewObservable),
            Self::TravelDocument => ("travel-document", "travel-document", NewObservable),
            Self::Phone => ("phone", "phone", NewObservable),
            Self::Weapon => ("weapon", "weapon", NewObservable),
            Self::Commodity => ("commodity", "commodity", NewObservable),
            Self::Location => ("location", "location", Domain),
            Self::Route => ("route", "route", NewDomain),
            Self::Sighting => ("sighting", "sighting", Relationship),
            Self::Crossing => ("crossing", "crossing", NewDomain),
            Self::Incident => ("incident", "incident", Domain),
            Self::Seizure => ("seizure", "seizure", NewDomain),
            Self::Alert => ("alert", "alert", NewDomain),
            Self::Report => ("report", "report", Domain),
            Self::Note => ("note", "note", Domain),
            Self::Opinion => ("opinion", "opinion", Domain),
            Self::Relationship => ("relationship", "relationship", Relationship),
            Self::Case => ("case", "case", NewDomain),
            Self::Request => ("request", "request-for-information", NewDomain),
            Self::Task => ("task", "task", NewDomain),
            Self::Assessment => ("assessment", "assessment", NewDomain),
            Self::Hit => ("hit", "hit", NewDomain),
            Self::Message => ("message", "message", NewDomain),
            Self::Unit => ("unit", "unit", NewDomain),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = ParseKindError;

    fn from_str(text: &str) -> Result<Self, ParseKindError> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(ParseKindError)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_names_read_back() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
            assert_eq!(Kind::from_u8(number as u8), Some(kind));
            assert_eq!(kind.name().parse(), Ok(kind));
            assert!(ParseKindError.to_string().contains(kind.name()));
        }
        assert_eq!(Kind::from_u8(29), None);
        assert_eq!(Kind::from_u8(255), None);
        assert_eq!("Person".parse::<Kind>(), Err(ParseKindError));
    }

    #[test]
    fn a_kind_comes_back_from_the_stix_type_it_is_exported_as() {
        for kind in Kind::ALL {
            let Some(stix_type) = kind.stix_type() else { continue };
            assert!(!stix_type.starts_with("x-") && !stix_type.is_empty());
            let class = if kind == Kind::Person { "individual" } else { "organization" };
            let object = json!({ "identity_class": class });
            assert_eq!(Kind::from_stix_type(stix_type, object.as_object().unwrap()), kind);
        }
    }

    #[test]
    fn what_has_no_kind_is_an_object() {
        let none = Map::new();
        for stix_type in ["", "object", "malware", "indicator", "bundle", "x-vessel", "Vessel"] {
            assert_eq!(Kind::from_stix_type(stix_type, &none), Kind::Object, "{stix_type}");
        }
        assert_eq!(Kind::from_stix_type("identity", &none), Kind::Organisation);
    }

    #[test]
    fn only_shared_work_is_open_to_the_compartment() {
        let open: Vec<_> = Kind::ALL.into_iter().filter(|k| k.open_to_compartment()).collect();
        assert_eq!(open, [Kind::Case, Kind::Request, Kind::Task, Kind::Message]);
    }
}
