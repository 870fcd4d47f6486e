//! The kinds of record.

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
