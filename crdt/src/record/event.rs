//! Where and what happens: places, routes, sightings, crossings, incidents, seizures.

use super::identifier::{country, partial_date, reference, state, time, un_locode};
use super::schema::{Shape, view};
use super::vocabulary::{
    AlertState, Anomaly, Direction, IrregularMigration, LawInfringement, Nature, Region, Term, Zone,
};

/// Degrees north.
const LATITUDE: Shape = Shape::Number(-90.0, 90.0);
/// Degrees east.
const LONGITUDE: Shape = Shape::Number(-180.0, 180.0);
/// Largest count of a STIX sighting.
const COUNT: Shape = Shape::Count(999_999_999);

view! {
    /// A place (STIX 2.1 §4.9): a region, a country or a point.
    Location {
        /// Degrees north, WGS 84.
        latitude: Option<f64> = LATITUDE,
        /// Degrees east, WGS 84.
        longitude: Option<f64> = LONGITUDE,
        /// Radius of uncertainty in metres.
        precision: Option<f64> = Shape::Number(0.0, 20_100_000.0),
        /// Region of the world.
        region: Option<Term<Region>> = Shape::word::<Region>(),
        /// Country.
        country: Option<String> = Shape::Ruled(country),
        /// State, province or district.
        administrative_area: Option<String> = Shape::Text,
        /// City or village.
        city: Option<String> = Shape::Text,
        /// Street address.
        street_address: Option<String> = Shape::Text,
        /// Postal code.
        postal_code: Option<String> = Shape::Text,
        /// Port or place code.
        un_locode: Option<String> = Shape::Ruled(un_locode),
        /// Legal zone.
        zone: Option<Term<Zone>> = Shape::word::<Zone>(),
    }
}

view! {
    /// A way that people or goods take.
    Route {
        /// Its points, in the order of travel.
        points: Vec<RoutePoint> = Shape::List(&Shape::Group(RoutePoint::FIELDS)),
        /// How one travels: foot, camel, vehicle, boat, air.
        modes: Vec<String> = Shape::List(&Shape::Text),
        /// What moves along it.
        commodities: Vec<String> = Shape::List(&Shape::Text),
        /// First known use.
        first_seen: Option<String> = Shape::Ruled(time),
        /// Last known use.
        last_seen: Option<String> = Shape::Ruled(time),
        /// What shows it.
        evidence_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
    }
}

view! {
    /// A point of a route.
    RoutePoint {
        /// Degrees north, WGS 84.
        latitude: Option<f64> = LATITUDE,
        /// Degrees east, WGS 84.
        longitude: Option<f64> = LONGITUDE,
        /// Name of the place.
        name: Option<String> = Shape::Text,
        /// A record of the place.
        location_ref: Option<String> = Shape::Ruled(reference),
        /// When it was passed.
        time: Option<String> = Shape::Ruled(time),
    }
}

view! {
    /// Something was seen, or was looked for and not seen (STIX 2.1 §5.2).
    Sighting {
        /// What was seen.
        sighting_of_ref: Option<String> = Shape::Ruled(reference),
        /// Where.
        where_sighted_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// Degrees north, WGS 84.
        latitude: Option<f64> = LATITUDE,
        /// Degrees east, WGS 84.
        longitude: Option<f64> = LONGITUDE,
        /// Radius of uncertainty in metres.
        precision: Option<f64> = Shape::Number(0.0, 20_100_000.0),
        /// When first.
        first_seen: Option<String> = Shape::Ruled(time),
        /// When last.
        last_seen: Option<String> = Shape::Ruled(time),
        /// How many times; 0: looked for and not seen.
        count: Option<u64> = COUNT,
        /// The unit or sensor that saw it.
        observer_ref: Option<String> = Shape::Ruled(reference),
        /// How: eye, camera, radar, AIS, number-plate reader.
        method: Option<String> = Shape::Text,
        /// Course over ground in degrees from true north.
        course: Option<f64> = Shape::Number(0.0, 360.0),
        /// Heading in degrees from true north.
        heading: Option<f64> = Shape::Number(0.0, 360.0),
        /// Speed in metres per second.
        speed_m_s: Option<f64> = Shape::Number(0.0, 3_000.0),
        /// Anomaly of a vessel.
        anomaly: Option<Term<Anomaly>> = Shape::word::<Anomaly>(),
        /// Raw observations.
        observed_data_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// Whether many sightings are summed up here.
        summary: Option<bool> = Shape::Flag,
    }
}

view! {
    /// A border crossing, regular or not.
    Crossing {
        /// Who or what crossed.
        subject_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// When.
        time: Option<String> = Shape::Ruled(time),
        /// Where.
        location_ref: Option<String> = Shape::Ruled(reference),
        /// Degrees north, WGS 84.
        latitude: Option<f64> = LATITUDE,
        /// Degrees east, WGS 84.
        longitude: Option<f64> = LONGITUDE,
        /// Which way.
        direction: Option<Term<Direction>> = Shape::word::<Direction>(),
        /// State left.
        from_state: Option<String> = Shape::Ruled(state),
        /// State entered.
        to_state: Option<String> = Shape::Ruled(state),
        /// Whether it was regular.
        regular: Option<bool> = Shape::Flag,
        /// How it was irregular.
        irregular_migration: Option<Term<IrregularMigration>> = Shape::word::<IrregularMigration>(),
        /// How many persons.
        persons: Option<u64> = COUNT,
        /// Means of transport.
        conveyance_ref: Option<String> = Shape::Ruled(reference),
        /// Documents shown.
        document_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
    }
}

view! {
    /// An event that needs handling (STIX 2.1 §4.7, which leaves the properties to extensions).
    Incident {
        /// Kind of irregular migration.
        irregular_migration: Option<Term<IrregularMigration>> = Shape::word::<IrregularMigration>(),
        /// Kind of law infringement.
        law_infringement: Option<Term<LawInfringement>> = Shape::word::<LawInfringement>(),
        /// How it is known; exercises are simulated.
        nature: Option<Term<Nature>> = Shape::word::<Nature>(),
        /// When it began.
        start_time: Option<String> = Shape::Ruled(time),
        /// When it ended.
        stop_time: Option<String> = Shape::Ruled(time),
        /// Where.
        location_ref: Option<String> = Shape::Ruled(reference),
        /// Degrees north, WGS 84.
        latitude: Option<f64> = LATITUDE,
        /// Degrees east, WGS 84.
        longitude: Option<f64> = LONGITUDE,
        /// Who and what is involved.
        subject_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// How many persons.
        persons: Option<u64> = COUNT,
        /// Where it is in triage.
        state: Option<Term<AlertState>> = Shape::word::<AlertState>(),
        /// Agency in the lead.
        lead_agency: Option<String> = Shape::Text,
    }
}

view! {
    /// Goods or documents taken into custody.
    Seizure {
        /// When.
        time: Option<String> = Shape::Ruled(time),
        /// Where.
        location_ref: Option<String> = Shape::Ruled(reference),
        /// What was taken.
        items: Vec<SeizedItem> = Shape::List(&Shape::Group(SeizedItem::FIELDS)),
        /// From whom.
        subject_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// Kind of law infringement.
        law_infringement: Option<Term<LawInfringement>> = Shape::word::<LawInfringement>(),
        /// By whom.
        unit_ref: Option<String> = Shape::Ruled(reference),
        /// Who holds it now.
        custody: Option<String> = Shape::Text,
        /// Number in the register of exhibits.
        exhibit_number: Option<String> = Shape::Text,
        /// Since when it may be disposed of.
        disposal_after: Option<String> = Shape::Ruled(partial_date),
    }
}

view! {
    /// One thing seized.
    SeizedItem {
        /// A record of it.
        item_ref: Option<String> = Shape::Ruled(reference),
        /// What it is.
        description: Option<String> = Shape::Text,
        /// How much.
        quantity: Option<f64> = Shape::Number(0.0, 1e15),
        /// In what unit.
        unit: Option<String> = Shape::Text,
    }
}
