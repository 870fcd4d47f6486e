//! How information may be handled, for what, and how far it is to be believed.

use super::vocabulary;

vocabulary! {
    /// Traffic Light Protocol 2.0 (FIRST, August 2022): with whom it may be shared. Ordered from
    /// the least to the most restrictive.
    Tlp: "a TLP colour" {
        /// With anybody.
        Clear = 0 "CLEAR",
        /// Within the community.
        Green = 1 "GREEN",
        /// Within the organisation and its clients, on a need-to-know basis.
        Amber = 2 "AMBER",
        /// Within the organisation only.
        AmberStrict = 3 "AMBER+STRICT",
        /// With the named recipients only.
        Red = 4 "RED",
    }
}

/// The STIX 2.1 extension that defines the TLP 2.0 marking definitions.
pub const TLP_2_EXTENSION_ID: &str = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d";

/// Identifiers of the TLP 2.0 marking definitions, of that extension.
const TLP_2_MARKINGS: [(Tlp, &str); 5] = [
    (Tlp::Clear, "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"),
    (Tlp::Green, "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"),
    (Tlp::Amber, "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"),
    (Tlp::AmberStrict, "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"),
    (Tlp::Red, "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"),
];

/// Identifiers of the TLP 1.0 marking definitions (STIX 2.1 §7.2.1.4); its WHITE is CLEAR now.
const TLP_1_MARKINGS: [(Tlp, &str); 4] = [
    (Tlp::Clear, "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"),
    (Tlp::Green, "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"),
    (Tlp::Amber, "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"),
    (Tlp::Red, "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"),
];

impl Tlp {
    /// The STIX identifier of the TLP 2.0 marking definition.
    #[must_use]
    pub fn marking_id(self) -> &'static str {
        TLP_2_MARKINGS.into_iter().find(|(tlp, _)| *tlp == self).map_or("", |(_, id)| id)
    }

    /// The STIX identifier of the TLP 1.0 marking definition that tools before 2.0 know. TLP 1.0
    /// has no AMBER+STRICT; the next more restrictive colour stands for it.
    #[must_use]
    pub fn marking_id_v1(self) -> &'static str {
        TLP_1_MARKINGS.into_iter().find(|(tlp, _)| *tlp >= self).map_or("", |(_, id)| id)
    }

    /// The colour that a STIX marking definition of TLP 2.0 or 1.0 stands for.
    #[must_use]
    pub fn from_marking_id(id: &str) -> Option<Self> {
        let mut markings = TLP_2_MARKINGS.into_iter().chain(TLP_1_MARKINGS);
        markings.find(|(_, known)| *known == id).map(|(tlp, _)| tlp)
    }
}

vocabulary! {
    /// Permissible Actions Protocol (MISP taxonomy `PAP`, version 3): what may be done with it.
    /// Ordered from the least to the most restrictive.
    Pap: "a PAP colour" {
        /// Anything.
        Clear = 0 "CLEAR",
        /// Action that does not hinder the source; active steps are allowed.
        Green = 1 "GREEN",
        /// Passive cross-checks only.
        Amber = 2 "AMBER",
        /// Nothing that the subject may notice: no stop, no question, no query outside.
        Red = 3 "RED",
    }
}

vocabulary! {
    /// Europol handling codes (Regulation (EU) 2016/794 as used on SIENA). They add up; none
    /// replaces another.
    HandlingCode: "a Europol handling code" {
        /// Only to prevent and combat crimes within Europol's mandate.
        H0 = 0 "H0",
        /// Not in judicial proceedings without the provider's permission.
        H1 = 1 "H1",
        /// Not to be passed on without the provider's permission.
        H2 = 2 "H2",
        /// Other restrictions, which a caveat spells out.
        H3 = 3 "H3",
    }
}

vocabulary! {
    /// What it may be used for: the 21 purposes of the CISE service model (`PurposeType`, 1.0.7)
    /// and three that CISE lacks.
    Purpose: "a purpose" {
        /// Watching a border.
        BorderMonitoring = 0 "BorderMonitoring",
        /// Acting at a border.
        BorderOperation = 1 "BorderOperation",
        /// Watching goods.
        CustomsMonitoring = 2 "CustomsMonitoring",
        /// Acting on goods.
        CustomsOperation = 3 "CustomsOperation",
        /// Watching for crime.
        LawEnforcementMonitoring = 4 "LawEnforcementMonitoring",
        /// Acting on crime.
        LawEnforcementOperation = 5 "LawEnforcementOperation",
        /// Countering terrorism.
        CounterTerrorism = 6 "CounterTerrorism",
        /// Security in general.
        Security = 7 "Security",
        /// Safety of life and traffic.
        Safety = 8 "Safety",
        /// Search and rescue.
        SearchAndRescue = 9 "SAR",
        /// Watching fisheries.
        FisheriesMonitoring = 10 "FisheriesMonitoring",
        /// Warning of fisheries matters.
        FisheriesWarning = 11 "FisheriesWarning",
        /// Acting on fisheries.
        FisheriesOperation = 12 "FisheriesOperation",
        /// Watching the environment.
        EnvironmentMonitoring = 13 "EnvironmentMonitoring",
        /// Warning of environmental harm.
        EnvironmentWarning = 14 "EnvironmentWarning",
        /// Acting on environmental harm.
        EnvironmentResponse = 15 "EnvironmentResponse",
        /// Watching for defence.
        DefenceMonitoring = 16 "DefenceMonitoring",
        /// A task of the Common Security and Defence Policy.
        CsdpTask = 17 "CSDPTask",
        /// Vessel traffic management.
        VesselTrafficManagement = 18 "VTM",
        /// Operations in general.
        Operation = 19 "Operation",
        /// Not specified: a use that declares this is allowed only where all purposes are, or
        /// where this is listed.
        NonSpecified = 20 "NonSpecified",
        /// Immigration matters (Tearline).
        Immigration = 21 "Immigration",
        /// Protection of asylum seekers (Tearline).
        AsylumSafeguard = 22 "AsylumSafeguard",
        /// Training with real data (Tearline).
        Training = 23 "Training",
    }
}

vocabulary! {
    /// Reliability of the source on the Admiralty scale (NATO STANAG 2511; MISP taxonomy
    /// `admiralty-scale`, version 5).
    AdmiraltySource: "an Admiralty source grade" {
        /// Completely reliable.
        A = 0 "A",
        /// Usually reliable.
        B = 1 "B",
        /// Fairly reliable.
        C = 2 "C",
        /// Not usually reliable.
        D = 3 "D",
        /// Unreliable.
        E = 4 "E",
        /// Reliability cannot be judged.
        F = 5 "F",
        /// Deliberately deceptive (MISP only).
        G = 6 "G",
    }
}

vocabulary! {
    /// Credibility of the information on the Admiralty scale (same sources).
    AdmiraltyInformation: "an Admiralty information grade" {
        /// Confirmed by other sources.
        Confirmed = 0 "1",
        /// Probably true.
        ProbablyTrue = 1 "2",
        /// Possibly true.
        PossiblyTrue = 2 "3",
        /// Doubtful.
        Doubtful = 3 "4",
        /// Improbable.
        Improbable = 4 "5",
        /// Truth cannot be judged.
        CannotBeJudged = 5 "6",
    }
}

impl AdmiraltyInformation {
    /// The STIX 2.1 `confidence` that Appendix A gives this grade; none for "cannot be judged".
    #[must_use]
    pub const fn stix_confidence(self) -> Option<u8> {
        match self {
            Self::Confirmed => Some(90),
            Self::ProbablyTrue => Some(70),
            Self::PossiblyTrue => Some(50),
            Self::Doubtful => Some(30),
            Self::Improbable => Some(10),
            Self::CannotBeJudged => None,
        }
    }
}

vocabulary! {
    /// Reliability of the source in Europol's 4x4 (Regulation (EU) 2016/794, article 29(2)).
    EuropolSource: "a Europol 4x4 source code" {
        /// No doubt of authenticity, trustworthiness and competence, or reliable in all instances.
        A = 0 "A",
        /// Reliable in most instances.
        B = 1 "B",
        /// Unreliable in most instances.
        C = 2 "C",
        /// Cannot be assessed.
        X = 3 "X",
    }
}

vocabulary! {
    /// Accuracy of the information in Europol's 4x4 (same article, paragraph 3).
    EuropolInformation: "a Europol 4x4 information code" {
        /// Accuracy is not in doubt.
        NotInDoubt = 0 "1",
        /// Known personally to the source, not to the official who passes it on.
        KnownToSource = 1 "2",
        /// Not known personally to the source, but corroborated by what is recorded.
        Corroborated = 2 "3",
        /// Not known personally to the source, and cannot be corroborated.
        NotCorroborated = 3 "4",
    }
}

vocabulary! {
    /// Whom the data are about: the categories of Directive (EU) 2016/680 (LED), article 6.
    DataSubject: "a data-subject category" {
        /// Serious grounds to believe that he committed or is about to commit an offence.
        Suspect = 0 "suspect",
        /// Convicted of an offence.
        Convicted = 1 "convicted",
        /// A victim, or somebody who may be one.
        Victim = 2 "victim",
        /// May be called to testify.
        Witness = 3 "witness",
        /// A contact or associate of a suspect or convict.
        Contact = 4 "contact",
        /// Any other party, such as somebody who can give information.
        Other = 5 "other",
    }
}

vocabulary! {
    /// Special categories of personal data (LED article 10; MISP taxonomy `gdpr`): processing must
    /// be strictly necessary.
    SpecialCategory: "a special category of data" {
        RacialOrEthnicOrigin = 0 "racial-or-ethnic-origin",
        PoliticalOpinions = 1 "political-opinions",
        ReligiousOrPhilosophicalBeliefs = 2 "religious-or-philosophical-beliefs",
        TradeUnionMembership = 3 "trade-union-membership",
        GeneticData = 4 "genetic-data",
        BiometricData = 5 "biometric-data",
        Health = 6 "health",
        SexLifeOrSexualOrientation = 7 "sex-life-or-sexual-orientation",
    }
}

vocabulary! {
    /// Message precedence (MISP taxonomy `intelligence-dissemination`), from the least to the most
    /// urgent.
    Precedence: "a precedence" {
        Routine = 0 "ROUTINE",
        Priority = 1 "PRIORITY",
        Immediate = 2 "IMMEDIATE",
        Flash = 3 "FLASH",
        FlashOverride = 4 "FLASH OVERRIDE",
    }
}

impl Precedence {
    /// The class of log that carries it. Nothing goes ahead of a flash, so that an override is one.
    #[must_use]
    pub const fn class(self) -> crate::id::Class {
        use crate::id::Class;
        match self {
            Self::Routine => Class::Routine,
            Self::Priority => Class::Priority,
            Self::Immediate => Class::Immediate,
            Self::Flash | Self::FlashOverride => Class::Flash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::vocabulary::Vocabulary as _;

    #[test]
    fn markings_map_both_ways() {
        for &tlp in Tlp::ALL {
            assert_eq!(Tlp::from_marking_id(tlp.marking_id()), Some(tlp));
            assert!(Tlp::from_marking_id(tlp.marking_id_v1()).unwrap() >= tlp);
        }
        assert_eq!(Tlp::AmberStrict.marking_id_v1(), Tlp::Red.marking_id_v1());
        assert_eq!(Tlp::from_marking_id("marking-definition--0"), None);
        assert_eq!(Tlp::from_marking_id(""), None);
    }
}
