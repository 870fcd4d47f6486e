//! Persons, documents, vessels and units.

use super::vocabulary;

vocabulary! {
    /// What an identity is (STIX 2.1 §10.9 `identity-class-ov`).
    IdentityClass: "a STIX identity class" {
        Individual = 0 "individual",
        Group = 1 "group",
        System = 2 "system",
        Organization = 3 "organization",
        Class = 4 "class",
        Unknown = 5 "unknown",
    }
}

vocabulary! {
    /// Sex as a machine-readable zone states it (ICAO Doc 9303 part 3; `<` is written `X`).
    Sex: "a sex as documents state it" {
        Male = 0 "M",
        Female = 1 "F",
        Unspecified = 2 "X",
    }
}

vocabulary! {
    /// What a name is to its bearer. The quality of an alias is that of the UN sanctions list:
    /// good suffices to identify, low does not.
    NameKind: "a kind of name" {
        Birth = 0 "birth",
        Legal = 1 "legal",
        AliasGood = 2 "aka-good",
        AliasLow = 3 "aka-low",
        Maiden = 4 "maiden",
        Religious = 5 "religious",
    }
}

vocabulary! {
    /// What has become of a travel document.
    DocumentStatus: "a travel-document status" {
        Valid = 0 "valid",
        Lost = 1 "lost",
        Stolen = 2 "stolen",
        StolenBlank = 3 "stolen-blank",
        Revoked = 4 "revoked",
        Invalidated = 5 "invalidated",
        Forged = 6 "forged",
        Counterfeit = 7 "counterfeit",
    }
}

vocabulary! {
    /// Readiness of an own unit.
    UnitStatus: "a unit status" {
        Available = 0 "available",
        Assigned = 1 "assigned",
        OnScene = 2 "on-scene",
        Unavailable = 3 "unavailable",
        Lost = 4 "lost",
    }
}
