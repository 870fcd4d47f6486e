//! Who and what records are about: persons, bodies, means of transport, documents, goods, units.
//! STIX has objects for the first two only; the others are its extension types (see
//! [`kind`](super::kind)). Names are those of [`Common`](super::common::Common).

use super::identifier::{
    e164, icao24, imei, imo, imsi, iso_6346, mmsi, partial_date, reference, script, state, time,
    vin,
};
use super::schema::{Shape, view};
use super::vocabulary::{
    DataSubject, DocumentStatus, IdentityClass, NameKind, Sex, Term, UnitStatus,
};

view! {
    /// A natural person.
    Person {
        /// STIX identity class: individual.
        identity_class: Option<Term<IdentityClass>> = Shape::word::<IdentityClass>(),
        /// All names, each with its parts and script.
        names: Vec<PersonName> = Shape::List(&Shape::Group(PersonName::FIELDS)),
        /// Date of birth; unknown digits are X.
        date_of_birth: Option<String> = Shape::Ruled(partial_date),
        /// Place of birth.
        place_of_birth: Option<String> = Shape::Text,
        /// Nationalities, as documents write them.
        nationalities: Vec<String> = Shape::List(&Shape::Ruled(state)),
        /// Sex, as documents state it.
        sex: Option<Term<Sex>> = Shape::word::<Sex>(),
        /// As what the person appears here (LED article 6).
        data_subject_category: Option<Term<DataSubject>> = Shape::word::<DataSubject>(),
        /// Role in what happened, such as facilitator or driver.
        roles: Vec<String> = Shape::List(&Shape::Text),
        /// Height in centimetres.
        height_cm: Option<u64> = Shape::Count(272),
        /// Scars, tattoos and other marks.
        marks: Vec<String> = Shape::List(&Shape::Text),
        /// Warnings to whoever meets the person: armed, violent, contagious, at risk.
        warnings: Vec<String> = Shape::List(&Shape::Text),
        /// Travel documents.
        document_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// Telephone numbers and addresses in words.
        contact_information: Option<String> = Shape::Text,
    }
}

view! {
    /// One name of a person.
    PersonName {
        /// The whole name, as written.
        full: Option<String> = Shape::Text,
        /// Family name.
        family: Option<String> = Shape::Text,
        /// Given names.
        given: Option<String> = Shape::Text,
        /// Patronymic.
        patronymic: Option<String> = Shape::Text,
        /// Father's name.
        father: Option<String> = Shape::Text,
        /// Mother's name.
        mother: Option<String> = Shape::Text,
        /// Script it is written in.
        script: Option<String> = Shape::Ruled(script),
        /// Scheme by which it was transliterated.
        transliteration: Option<String> = Shape::Text,
        /// What the name is to its bearer.
        kind: Option<Term<NameKind>> = Shape::word::<NameKind>(),
    }
}

view! {
    /// A company, agency, group or network.
    Organisation {
        /// STIX identity class.
        identity_class: Option<Term<IdentityClass>> = Shape::word::<IdentityClass>(),
        /// Sectors of activity.
        sectors: Vec<String> = Shape::List(&Shape::Text),
        /// Roles.
        roles: Vec<String> = Shape::List(&Shape::Text),
        /// Other names.
        aliases: Vec<String> = Shape::List(&Shape::Text),
        /// Number in a register.
        registration_number: Option<String> = Shape::Text,
        /// State of registration.
        registration_state: Option<String> = Shape::Ruled(state),
        /// Telephone numbers and addresses in words.
        contact_information: Option<String> = Shape::Text,
    }
}

view! {
    /// A road vehicle.
    Vehicle {
        /// Registration plate, as read.
        plate: Option<String> = Shape::Text,
        /// State on the plate.
        plate_country: Option<String> = Shape::Ruled(state),
        /// Vehicle identification number.
        vin: Option<String> = Shape::Seen(vin),
        /// Make.
        make: Option<String> = Shape::Text,
        /// Model.
        model: Option<String> = Shape::Text,
        /// Colour.
        colour: Option<String> = Shape::Text,
        /// Class: car, pickup, lorry, motorcycle, trailer.
        vehicle_class: Option<String> = Shape::Text,
        /// What sets it apart: damage, load, stickers.
        marks: Vec<String> = Shape::List(&Shape::Text),
        /// Registered keeper.
        keeper_ref: Option<String> = Shape::Ruled(reference),
    }
}

view! {
    /// A ship or boat.
    Vessel {
        /// IMO number.
        imo: Option<String> = Shape::Seen(imo),
        /// Maritime mobile service identity.
        mmsi: Option<String> = Shape::Seen(mmsi),
        /// Radio call sign.
        call_sign: Option<String> = Shape::Text,
        /// Flag state.
        flag: Option<String> = Shape::Ruled(state),
        /// Type, such as fishing vessel or rubber boat.
        vessel_type: Option<String> = Shape::Text,
        /// Length over all in metres.
        length_m: Option<f64> = Shape::Number(0.0, 1_000.0),
        /// Draught in metres.
        draught_m: Option<f64> = Shape::Number(0.0, 50.0),
        /// Number on the hull.
        hull_number: Option<String> = Shape::Text,
        /// Colour of the hull.
        colour: Option<String> = Shape::Text,
        /// Former names.
        former_names: Vec<String> = Shape::List(&Shape::Text),
        /// Owner.
        owner_ref: Option<String> = Shape::Ruled(reference),
    }
}

view! {
    /// An aircraft, crewed or not.
    Aircraft {
        /// Registration mark.
        registration: Option<String> = Shape::Text,
        /// 24-bit address.
        icao24: Option<String> = Shape::Seen(icao24),
        /// Call sign or flight number.
        call_sign: Option<String> = Shape::Text,
        /// Make.
        make: Option<String> = Shape::Text,
        /// Model.
        model: Option<String> = Shape::Text,
        /// Serial number, of an uncrewed aircraft too.
        serial_number: Option<String> = Shape::Text,
        /// Whether nobody is on board.
        uncrewed: Option<bool> = Shape::Flag,
        /// Operator.
        operator_ref: Option<String> = Shape::Ruled(reference),
    }
}

view! {
    /// A freight container.
    Container {
        /// Container number with check digit (ISO 6346).
        container_number: Option<String> = Shape::Seen(iso_6346),
        /// Size and type code.
        size_type: Option<String> = Shape::Text,
        /// Numbers of the seals.
        seals: Vec<String> = Shape::List(&Shape::Text),
        /// What it is declared to hold.
        declared_content: Option<String> = Shape::Text,
        /// Gross mass in kilograms.
        gross_mass_kg: Option<f64> = Shape::Number(0.0, 100_000.0),
    }
}

view! {
    /// A passport, visa, identity card or the like.
    TravelDocument {
        /// Type as in its machine-readable zone: P, V, I, A, C.
        document_type: Option<String> = Shape::Text,
        /// Number.
        number: Option<String> = Shape::Text,
        /// Issuing state, as the document writes it.
        issuing_state: Option<String> = Shape::Ruled(state),
        /// Who it was issued to.
        holder_ref: Option<String> = Shape::Ruled(reference),
        /// The holder's names, as the document writes them.
        names: Vec<PersonName> = Shape::List(&Shape::Group(PersonName::FIELDS)),
        /// The holder's date of birth; unknown digits are X.
        date_of_birth: Option<String> = Shape::Ruled(partial_date),
        /// The holder's nationalities, as the document writes them.
        nationalities: Vec<String> = Shape::List(&Shape::Ruled(state)),
        /// The holder's sex, as the document states it.
        sex: Option<Term<Sex>> = Shape::word::<Sex>(),
        /// Date of issue.
        issued: Option<String> = Shape::Ruled(partial_date),
        /// Date of expiry.
        expiry: Option<String> = Shape::Ruled(partial_date),
        /// Lines of the machine-readable zone.
        mrz_lines: Vec<String> = Shape::List(&Shape::Text),
        /// What has become of it.
        status: Option<Term<DocumentStatus>> = Shape::word::<DocumentStatus>(),
    }
}

view! {
    /// A telephone, SIM or subscriber number.
    Phone {
        /// Number with country code (E.164).
        number: Option<String> = Shape::Ruled(e164),
        /// Identity of the equipment.
        imei: Option<String> = Shape::Seen(imei),
        /// Identity of the subscriber.
        imsi: Option<String> = Shape::Ruled(imsi),
        /// Operator.
        operator: Option<String> = Shape::Text,
        /// Make.
        make: Option<String> = Shape::Text,
        /// Model.
        model: Option<String> = Shape::Text,
        /// Who uses it.
        user_ref: Option<String> = Shape::Ruled(reference),
    }
}

view! {
    /// A weapon or its parts.
    Weapon {
        /// Type: rifle, pistol, launcher, ammunition, explosive.
        weapon_type: Option<String> = Shape::Text,
        /// Make.
        make: Option<String> = Shape::Text,
        /// Model.
        model: Option<String> = Shape::Text,
        /// Calibre.
        calibre: Option<String> = Shape::Text,
        /// Serial number.
        serial_number: Option<String> = Shape::Text,
        /// State of manufacture or import mark.
        origin_state: Option<String> = Shape::Ruled(state),
        /// How many.
        quantity: Option<u64> = Shape::Count(1_000_000_000),
    }
}

view! {
    /// Goods: drugs, fuel, cash, species, cultural property.
    Commodity {
        /// What it is.
        commodity_type: Option<String> = Shape::Text,
        /// Code of the Harmonized System.
        hs_code: Option<String> = Shape::Text,
        /// How much.
        quantity: Option<f64> = Shape::Number(0.0, 1e15),
        /// In what unit.
        unit: Option<String> = Shape::Text,
        /// Value, in the currency given.
        value: Option<f64> = Shape::Number(0.0, 1e15),
        /// Currency (ISO 4217).
        currency: Option<String> = Shape::Text,
        /// How it is packed or hidden.
        concealment: Option<String> = Shape::Text,
    }
}

view! {
    /// An own unit.
    Unit {
        /// Call sign.
        call_sign: Option<String> = Shape::Text,
        /// Type: patrol, boat, aircraft, post.
        unit_type: Option<String> = Shape::Text,
        /// Readiness.
        status: Option<Term<UnitStatus>> = Shape::word::<UnitStatus>(),
        /// Strength in persons.
        strength: Option<u64> = Shape::Count(1_000_000),
        /// What it can do.
        capabilities: Vec<String> = Shape::List(&Shape::Text),
        /// Where it is stationed.
        base_ref: Option<String> = Shape::Ruled(reference),
        /// How to reach it.
        contact_information: Option<String> = Shape::Text,
        /// When this was true.
        as_of: Option<String> = Shape::Ruled(time),
    }
}
