//! Which struct belongs to which kind.

use autosurgeon::{Hydrate, Reconcile};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::annotation::{Assessment, Note, Opinion, Relationship, Report};
use super::event::{Crossing, Incident, Location, Route, Seizure, Sighting};
use super::kind::Kind;
use super::schema::Field;
use super::subject::{
    Aircraft, Commodity, Container, Organisation, Person, Phone, TravelDocument, Unit, Vehicle,
    Vessel, Weapon,
};
use super::work::{Alert, Case, Hit, Message, Request, Task};

/// The view of a record of one kind.
pub trait Typed:
    Clone + Default + PartialEq + Hydrate + Reconcile + Serialize + DeserializeOwned
{
    /// The kind.
    const KIND: Kind;
    /// Its own properties; the common ones are [`Common::FIELDS`](super::common::Common::FIELDS).
    const FIELDS: &'static [Field];
}

macro_rules! typed {
    ($($kind:ident)+) => {
        $(impl Typed for $kind {
            const KIND: Kind = Kind::$kind;
            const FIELDS: &'static [Field] = Self::FIELDS;
        })+

        impl Kind {
            /// The properties that a record of this kind has besides the common ones. An
            /// [`Kind::Object`] has none that are known.
            #[must_use]
            pub const fn fields(self) -> &'static [Field] {
                match self {
                    $(Self::$kind => $kind::FIELDS,)+
                    Self::Object => &[],
                }
            }
        }
    };
}

typed! {
    Person Organisation Vehicle Vessel Aircraft Container TravelDocument Phone Weapon Commodity
    Location Route Sighting Crossing Incident Seizure Alert Report Note Opinion Relationship Case
    Request Task Assessment Hit Message Unit
}

impl Kind {
    /// The properties without which a native record of this kind says nothing.
    #[must_use]
    pub const fn required(self) -> &'static [&'static str] {
        match self {
            Self::Organisation | Self::Incident | Self::Case | Self::Report => &["name"],
            Self::Alert => &["action_to_take"],
            Self::Note => &["content", "object_refs"],
            Self::Opinion => &["opinion", "object_refs"],
            Self::Relationship => &["relationship_type", "source_ref", "target_ref"],
            Self::Request => &["questions"],
            Self::Assessment => &["statement", "probability", "analytic_confidence"],
            Self::Hit => &["alert_ref"],
            Self::Message => &["content"],
            _ => &[],
        }
    }
}
