//! The static dictionary of stripped changes, version 1: names of fields, each with the form that its
//! value usually has, and words that values often are. The order is part of the format: an entry is
//! its place. What is met most stands first, because the first 64 names and the first 128 words take
//! one byte.
//!
//! It is frozen. Another dictionary is another codec byte; a name or word that is not here is
//! spelled out. A test holds its hash.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::value::Form;
use Form::*;

/// Places by length and text: lengths tell most texts apart.
type Places = BTreeMap<(usize, &'static str), usize>;

fn places(texts: impl Iterator<Item = &'static str>) -> Places {
    texts.map(|text| (text.len(), text)).zip(0..).collect()
}

/// The place of a name.
pub(super) fn name_index(name: &str) -> Option<usize> {
    static PLACES: LazyLock<Places> = LazyLock::new(|| places(NAMES.iter().map(|(name, _)| *name)));
    PLACES.get(&(name.len(), name)).copied()
}

/// The place of a word.
pub(super) fn word_index(word: &str) -> Option<usize> {
    static PLACES: LazyLock<Places> = LazyLock::new(|| places(WORDS.iter().copied()));
    PLACES.get(&(word.len(), word)).copied()
}

/// Names of fields, and the form that the value usually has.
#[rustfmt::skip]
pub(super) const NAMES: [(&str, Form); 258] = [
    ("name", Str), ("description", Str), ("type", Word), ("id", Ref), ("created", Millis),
    ("modified", Millis), ("action_to_take", Word), ("plate", Upper), ("place", Lower),
    ("valid_from", Minutes), ("valid_until", Minutes), ("subject_refs", List),
    ("check_kind", Word), ("reason", Str), ("warnings", List), ("state", Word), ("colour", Lower),
    ("make", Str), ("model", Str), ("vehicle_class", Str), ("plate_country", Str),
    ("latitude", Decimal), ("longitude", Decimal), ("precision", Decimal), ("time", Minutes),
    ("first_seen", Seconds), ("last_seen", Seconds), ("count", Int), ("observer_ref", Ref),
    ("method", Str), ("heading", Decimal), ("speed_m_s", Decimal), ("sighting_of_ref", Ref),
    ("location_ref", Ref), ("direction", Word), ("persons", Int), ("relationship_type", Word),
    ("source_ref", Ref), ("target_ref", Ref), ("start_time", Minutes), ("stop_time", Minutes),
    ("content", Str), ("object_refs", List), ("countries", List), ("area_refs", List),
    ("notice", Word), ("contact", Str), ("from", Str), ("to", List), ("precedence", Word),
    ("sent", Minutes), ("in_reply_to_ref", Ref), ("confidence", Int), ("labels", List),
    ("number", Upper), ("status", Word), ("full", Str), ("family", Str), ("given", Str),
    ("date_of_birth", Upper), ("sex", Word), ("nationalities", List), ("marks", List),
    ("call_sign", Upper), ("abstract", Str), ("accompanying_refs", List), ("account_type", Str),
    ("addressees", List), ("administrative_area", Str), ("agencies", List), ("alert_ref", Ref),
    ("aliases", List), ("alternatives", List), ("altitude", Decimal),
    ("analytic_confidence", Word), ("anomaly", Word), ("answer", Str), ("answer_refs", List),
    ("as_of", Minutes), ("assignees", List), ("authors", List), ("base_ref", Ref), ("basis", Str),
    ("body", Str), ("calibre", Str), ("candidate_ref", Ref), ("capabilities", List),
    ("cause", Str), ("cause_ref", Ref), ("city", Str), ("closed", Minutes), ("commodities", List),
    ("commodity_type", Str), ("concealment", Str), ("contact_information", Str),
    ("container_number", Upper), ("context", Str), ("conveyance_ref", Ref), ("coordinates", List),
    ("country", Str), ("course", Decimal), ("created_by_ref", Ref), ("currency", Str),
    ("custody", Str), ("data_subject_category", Word), ("decided_by", Str),
    ("declared_content", Str), ("definition", Map), ("definition_type", Word),
    ("destination", Str), ("display_name", Str), ("disposal_after", Day), ("document_refs", List),
    ("document_type", Str), ("draught_m", Decimal), ("due", Minutes), ("evidence_refs", List),
    ("evidence_use", True), ("exhibit_number", Upper), ("expiry", Day), ("explanation", Str),
    ("extension_type", Word), ("extension_types", List), ("extensions", Map), ("external_id", Str),
    ("external_references", List), ("father", Str), ("first_observed", Millis), ("flag", Str),
    ("former_names", List), ("from_state", Str), ("geometry", Map), ("goals", List),
    ("granular_markings", List), ("gross_mass_kg", Decimal), ("hashes", Map), ("height_cm", Int),
    ("holder_ref", Ref), ("hs_code", Str), ("hull_number", Upper), ("icao24", Lower),
    ("identity_class", Word), ("imei", Upper), ("imo", Upper), ("imsi", Upper),
    ("indicator_types", List), ("infrastructure_types", List), ("instructions", Str),
    ("irregular_migration", Word), ("is_family", False), ("issued", Day), ("issuing_state", Str),
    ("item_ref", Ref), ("items", List), ("keeper_ref", Ref), ("kill_chain_name", Word),
    ("kill_chain_phases", List), ("kind", Word), ("lang", Str), ("last_observed", Millis),
    ("law_infringement", Word), ("lead_agency", Str), ("legal_basis", Str), ("length_m", Decimal),
    ("malware_types", List), ("measures_taken", List), ("mime_type", Lower), ("mmsi", Upper),
    ("modes", List), ("mother", Str), ("mrz_lines", List), ("names", List), ("nature", Word),
    ("necessity", Str), ("number_observed", Int), ("object_marking_refs", List),
    ("objective", Str), ("observed_data_refs", List), ("opened", Minutes), ("operator", Str),
    ("operator_ref", Ref), ("opinion", Word), ("origin_state", Str), ("outcome", Str),
    ("outcome_refs", List), ("owner_ref", Ref), ("patronymic", Str), ("pattern", Str),
    ("pattern_type", Word), ("pattern_version", Str), ("persons_link", Str), ("phase_name", Str),
    ("place_of_birth", Str), ("points", List), ("position", Map), ("postal_code", Str),
    ("primary_motivation", Str), ("probability", Word), ("properties", Map),
    ("published", Minutes), ("purpose", Word), ("quantity", Decimal), ("questions", List),
    ("refusal", Word), ("region", Word), ("registration", Upper), ("registration_number", Upper),
    ("registration_state", Str), ("regular", False), ("report_types", List), ("requester", Str),
    ("resource_level", Str), ("result", Str), ("revoked", False), ("roles", List), ("schema", Str),
    ("score", Decimal), ("script", Str), ("seals", List), ("sectors", List), ("selectors", List),
    ("serial_number", Upper), ("size", Int), ("size_type", Str), ("sophistication", Str),
    ("source_name", Str), ("spec_version", Word), ("speed", Decimal), ("statement", Str),
    ("street_address", Str), ("strength", Int), ("subject", Str), ("summary", True),
    ("threat_actor_types", List), ("title", Str), ("tlp", Word), ("to_state", Str),
    ("tool_types", List), ("tool_version", Str), ("transliteration", Str), ("un_locode", Upper),
    ("uncrewed", True), ("unit", Str), ("unit_ref", Ref), ("unit_refs", List), ("unit_type", Str),
    ("urgency", Word), ("urgency_reason", Str), ("url", Str), ("user_id", Str), ("user_ref", Ref),
    ("value", Decimal), ("version", Str), ("vessel_type", Str), ("vin", Upper),
    ("weapon_type", Str), ("where_sighted_refs", List), ("zone", Word),
];

/// Words: those of the vocabularies, types of objects, and what reports of vehicles often say.
#[rustfmt::skip]
pub(super) const WORDS: [&str; 378] = [
    "arrest", "refuse-entry", "return", "protect", "locate", "check", "seize", "report",
    "do-not-approach", "verify-identity", "discreet", "inquiry", "specific", "new", "triaged",
    "assigned", "investigating", "resolved", "escalated", "withdrawn", "red", "yellow", "blue",
    "black", "green", "orange", "purple", "silver", "un-special", "entry", "exit", "transit",
    "Observed", "Declared", "Estimated", "Simulated", "Other", "NonSpecified", "identity",
    "vehicle", "vessel", "aircraft", "container", "travel-document", "phone", "weapon",
    "commodity", "location", "route", "sighting", "crossing", "incident", "seizure", "alert",
    "note", "opinion", "relationship", "case", "request-for-information", "task", "assessment",
    "hit", "message", "unit", "available", "on-scene", "unavailable", "lost", "requested",
    "accepted", "declined", "en-route", "done", "candidate", "first-line", "second-line",
    "reported", "confirmed", "false-positive", "action-impossible", "open", "active", "suspended",
    "closed", "low", "moderate", "high", "almost-no-chance", "very-unlikely", "unlikely",
    "roughly-even-chance", "likely", "very-likely", "almost-certain", "strongly-disagree",
    "disagree", "neutral", "agree", "strongly-agree", "valid", "stolen", "stolen-blank", "revoked",
    "invalidated", "forged", "counterfeit", "ROUTINE", "PRIORITY", "IMMEDIATE", "FLASH",
    "FLASH OVERRIDE", "suspect", "convicted", "victim", "witness", "contact", "other", "birth",
    "legal", "aka-good", "aka-low", "maiden", "religious", "object", "2.1", "indicator", "malware",
    "attack-pattern", "campaign", "course-of-action", "infrastructure", "intrusion-set",
    "threat-actor", "tool", "vulnerability", "observed-data", "marking-definition",
    "extension-definition", "language-content", "malware-analysis", "grouping", "related-to",
    "same-as", "travels-with", "owns", "uses", "indicates", "derived-from", "duplicate-of",
    "located-at", "attributed-to", "targets", "mitigates", "pickup", "lorry", "motorcycle",
    "trailer", "car", "bus", "van", "white", "grey", "brown", "draft", "submitted", "acknowledged",
    "clarification", "refused", "forwarded", "in-progress", "partial", "answered", "satisfied",
    "unsatisfied", "expired", "urgent", "urgent-indirect", "normal", "not-available",
    "judicial-authorisation-refused", "personal-data", "security-or-investigation",
    "minor-offence", "political", "inaccurate", "individual", "group", "system", "organization",
    "class", "unknown", "IrregularBorderEntry", "EventRefusedBorderEntry", "IrregularEntryAttempt",
    "IrregularBorderExit", "RefusedBorderEntry", "IrregularExitAttempt", "IrregularStay",
    "FacilitatorInterception", "FacilitatorDisclosure", "InterceptionInThirdCountryTerritory",
    "HighSeas", "TerritorialWaters", "CoastLine", "ContiguousZone", "Port", "ControlPoint",
    "GreenBorder", "Inland", "ExclusiveEconomicArea", "ThirdCountry", "INW", "NAT",
    "UnexpectedMovement", "CargoLeaking", "ShiftingOfCargo", "VesselOutOfTrafficLanes",
    "VesselWithErraticMovements", "StainOfOilSighted", "DetecionOfChangesInAISParameters",
    "PerformingAISSpoofing", "WithoutAISTransmission", "DoNotAnswerOnVHFCh16", "BorderMonitoring",
    "BorderOperation", "CustomsMonitoring", "CustomsOperation", "LawEnforcementMonitoring",
    "LawEnforcementOperation", "CounterTerrorism", "Security", "Safety", "SAR",
    "FisheriesMonitoring", "FisheriesWarning", "FisheriesOperation", "EnvironmentMonitoring",
    "EnvironmentWarning", "EnvironmentResponse", "DefenceMonitoring", "CSDPTask", "VTM",
    "Operation", "Immigration", "AsylumSafeguard", "Training",
    "HumanTraffickingExploitationOfProstitutionOfOthers",
    "HumanTraffickingOtherFormsOfSexualExploitation", "HumanTraffickingForcedLabourOrServices",
    "HumanTraffickingSlaveryOrPracticesSimilarToSlavery", "HumanTraffickingServitude",
    "HumanTraffickingExploitationOfActivitiesAssociatedWithBeggingOrOfUnlawfulActivities",
    "HumanTraffickingRemovalOfOrgans", "HumanTraffickingOther", "DrugSmugglingMarihuana",
    "DrugSmugglingCocaine", "DrugSmugglingHashish", "DrugSmugglingCannabis", "DrugSmugglingHeroin",
    "DrugSmugglingAmphetamine", "DrugSmugglingMetamphetamine", "DrugSmugglingEcstasy",
    "DrugSmugglingOpium", "DrugSmugglingHallucinogens", "DrugSmugglingOtherDrugs",
    "GoodsSmugglingGoodsCarriedWithNoRequiredPermits", "GoodsSmugglingExciseGoods",
    "GoodsSmugglingCounterfeitedProducts", "GoodsSmugglingNaturalResourcesMinerals",
    "GoodsSmugglingThreatenedSpecies", "GoodsSmugglingCulturalHeritageGoods",
    "SmugglingInWasteAndOtherHazardousMaterialWaste",
    "SmugglingInWasteAndOtherHazardousMaterialChemical",
    "SmugglingInWasteAndOtherHazardousMaterialBiohazard",
    "SmugglingInWasteAndOtherHazardousMaterialRadioActive",
    "SmugglingInWasteAndOtherHazardousMaterialNuclear",
    "SmugglingInWasteAndOtherHazardousMaterialOtherDangerousSubstances",
    "SmugglingInWeaponAndRelatedAccessoriesArmsWeapons",
    "SmugglingInWeaponAndRelatedAccessoriesWeaponsOfMassDestruction",
    "SmugglingInWeaponAndRelatedAccessoriesAmmunition",
    "SmugglingInWeaponAndRelatedAccessoriesExplosives", "SmugglingInOtherMaterial",
    "OtherRelatedCrossBorderCriminalActivityStolenVehicle",
    "OtherRelatedCrossBorderCriminalActivityDocumentFalsificationFraud",
    "OtherRelatedCrossBorderCriminalActivityOther", "LawInfringementByVessels",
    "IllegalFlightOfAnAircraft", "LawInfringementByVehicles", "OtherAdministrativeOffense",
    "africa", "eastern-africa", "middle-africa", "northern-africa", "southern-africa",
    "western-africa", "americas", "caribbean", "central-america", "latin-america-caribbean",
    "northern-america", "south-america", "asia", "central-asia", "eastern-asia", "southern-asia",
    "south-eastern-asia", "western-asia", "europe", "eastern-europe", "northern-europe",
    "southern-europe", "western-europe", "oceania", "antarctica", "australia-new-zealand",
    "melanesia", "micronesia", "polynesia", "artifact", "autonomous-system", "directory",
    "domain-name", "email-addr", "email-message", "file", "ipv4-addr", "ipv6-addr", "mac-addr",
    "mutex", "network-traffic", "process", "software", "url", "user-account",
    "windows-registry-key", "x509-certificate", "stix", "pcre", "sigma", "snort", "suricata",
    "yara", "tlp", "statement", "capec", "cve", "mitre-attack", "lockheed-martin-cyber-kill-chain",
    "malicious-activity", "anomalous-activity", "compromised", "benign", "remote-access-trojan",
    "backdoor", "new-sdo", "new-sco", "new-sro", "property-extension",
    "toplevel-property-extension", "eye", "camera", "radar", "AIS", "number-plate-reader", "foot",
    "camel", "boat", "air", "rifle", "pistol", "ammunition", "explosive", "kg", "litre", "piece",
    "Latn", "Arab", "Cyrl",
];
