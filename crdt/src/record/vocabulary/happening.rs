//! What happens, where, and how it is judged.

use super::vocabulary;

vocabulary! {
    /// Kinds of irregular migration (CISE data model 1.5.3, `IrregularMigrationIncidentType`).
    IrregularMigration: "a CISE irregular-migration type" {
        IrregularBorderEntry = 0 "IrregularBorderEntry",
        EventRefusedBorderEntry = 1 "EventRefusedBorderEntry",
        IrregularEntryAttempt = 2 "IrregularEntryAttempt",
        IrregularBorderExit = 3 "IrregularBorderExit",
        RefusedBorderEntry = 4 "RefusedBorderEntry",
        IrregularExitAttempt = 5 "IrregularExitAttempt",
        IrregularStay = 6 "IrregularStay",
        FacilitatorInterception = 7 "FacilitatorInterception",
        FacilitatorDisclosure = 8 "FacilitatorDisclosure",
        InterceptionInThirdCountryTerritory = 9 "InterceptionInThirdCountryTerritory",
        Other = 10 "Other",
        NonSpecified = 11 "NonSpecified",
    }
}

vocabulary! {
    /// Kinds of law infringement (CISE data model 1.5.3, `LawInfringementIncidentType`).
    LawInfringement: "a CISE law-infringement type" {
        TraffickingProstitution = 0 "HumanTraffickingExploitationOfProstitutionOfOthers",
        TraffickingOtherSexual = 1 "HumanTraffickingOtherFormsOfSexualExploitation",
        TraffickingForcedLabour = 2 "HumanTraffickingForcedLabourOrServices",
        TraffickingSlavery = 3 "HumanTraffickingSlaveryOrPracticesSimilarToSlavery",
        TraffickingServitude = 4 "HumanTraffickingServitude",
        TraffickingBegging = 5 "HumanTraffickingExploitationOfActivitiesAssociatedWithBeggingOrOfUnlawfulActivities",
        TraffickingOrgans = 6 "HumanTraffickingRemovalOfOrgans",
        TraffickingOther = 7 "HumanTraffickingOther",
        DrugMarihuana = 8 "DrugSmugglingMarihuana",
        DrugCocaine = 9 "DrugSmugglingCocaine",
        DrugHashish = 10 "DrugSmugglingHashish",
        DrugCannabis = 11 "DrugSmugglingCannabis",
        DrugHeroin = 12 "DrugSmugglingHeroin",
        DrugAmphetamine = 13 "DrugSmugglingAmphetamine",
        DrugMetamphetamine = 14 "DrugSmugglingMetamphetamine",
        DrugEcstasy = 15 "DrugSmugglingEcstasy",
        DrugOpium = 16 "DrugSmugglingOpium",
        DrugHallucinogens = 17 "DrugSmugglingHallucinogens",
        DrugOther = 18 "DrugSmugglingOtherDrugs",
        GoodsWithoutPermits = 19 "GoodsSmugglingGoodsCarriedWithNoRequiredPermits",
        GoodsExcise = 20 "GoodsSmugglingExciseGoods",
        GoodsCounterfeit = 21 "GoodsSmugglingCounterfeitedProducts",
        GoodsMinerals = 22 "GoodsSmugglingNaturalResourcesMinerals",
        GoodsSpecies = 23 "GoodsSmugglingThreatenedSpecies",
        GoodsHeritage = 24 "GoodsSmugglingCulturalHeritageGoods",
        HazardousWaste = 25 "SmugglingInWasteAndOtherHazardousMaterialWaste",
        HazardousChemical = 26 "SmugglingInWasteAndOtherHazardousMaterialChemical",
        HazardousBiological = 27 "SmugglingInWasteAndOtherHazardousMaterialBiohazard",
        HazardousRadioactive = 28 "SmugglingInWasteAndOtherHazardousMaterialRadioActive",
        HazardousNuclear = 29 "SmugglingInWasteAndOtherHazardousMaterialNuclear",
        HazardousOther = 30 "SmugglingInWasteAndOtherHazardousMaterialOtherDangerousSubstances",
        WeaponArms = 31 "SmugglingInWeaponAndRelatedAccessoriesArmsWeapons",
        WeaponMassDestruction = 32 "SmugglingInWeaponAndRelatedAccessoriesWeaponsOfMassDestruction",
        WeaponAmmunition = 33 "SmugglingInWeaponAndRelatedAccessoriesAmmunition",
        WeaponExplosives = 34 "SmugglingInWeaponAndRelatedAccessoriesExplosives",
        SmugglingOther = 35 "SmugglingInOtherMaterial",
        StolenVehicle = 36 "OtherRelatedCrossBorderCriminalActivityStolenVehicle",
        DocumentFraud = 37 "OtherRelatedCrossBorderCriminalActivityDocumentFalsificationFraud",
        CrossBorderOther = 38 "OtherRelatedCrossBorderCriminalActivityOther",
        ByVessels = 39 "LawInfringementByVessels",
        IllegalFlight = 40 "IllegalFlightOfAnAircraft",
        ByVehicles = 41 "LawInfringementByVehicles",
        AdministrativeOffence = 42 "OtherAdministrativeOffense",
        Other = 43 "Other",
        NonSpecified = 44 "NonSpecified",
    }
}

vocabulary! {
    /// Anomalies of a vessel (CISE data model 1.5.3, `AnomalyType`, its spelling kept).
    Anomaly: "a CISE anomaly type" {
        UnexpectedMovement = 0 "UnexpectedMovement",
        CargoLeaking = 1 "CargoLeaking",
        ShiftingOfCargo = 2 "ShiftingOfCargo",
        VesselOutOfTrafficLanes = 3 "VesselOutOfTrafficLanes",
        VesselWithErraticMovements = 4 "VesselWithErraticMovements",
        StainOfOilSighted = 5 "StainOfOilSighted",
        ChangesInAisParameters = 6 "DetecionOfChangesInAISParameters",
        PerformingAisSpoofing = 7 "PerformingAISSpoofing",
        WithoutAisTransmission = 8 "WithoutAISTransmission",
        DoNotAnswerOnVhfCh16 = 9 "DoNotAnswerOnVHFCh16",
        Other = 10 "Other",
        NonSpecified = 11 "NonSpecified",
    }
}

vocabulary! {
    /// Legal zone of a place (CISE data model 1.5.3, `LocationZoneType`).
    Zone: "a CISE location zone" {
        HighSeas = 0 "HighSeas",
        TerritorialWaters = 1 "TerritorialWaters",
        CoastLine = 2 "CoastLine",
        ContiguousZone = 3 "ContiguousZone",
        Port = 4 "Port",
        ControlPoint = 5 "ControlPoint",
        GreenBorder = 6 "GreenBorder",
        Inland = 7 "Inland",
        ExclusiveEconomicArea = 8 "ExclusiveEconomicArea",
        ThirdCountry = 9 "ThirdCountry",
        InlandWaterway = 10 "INW",
        Natural = 11 "NAT",
        Other = 12 "Other",
        NonSpecified = 13 "NonSpecified",
    }
}

vocabulary! {
    /// How an event is known (CISE data model 1.5.3, `NatureType`). Exercises are `Simulated`.
    Nature: "a CISE event nature" {
        Observed = 0 "Observed",
        Declared = 1 "Declared",
        Estimated = 2 "Estimated",
        Simulated = 3 "Simulated",
        Other = 4 "Other",
        NonSpecified = 5 "NonSpecified",
    }
}

vocabulary! {
    /// Regions of the world (STIX 2.1 §10.20 `region-ov`, after UN M49). The words of the
    /// specification; the published JSON schema runs some of them together.
    Region: "a STIX region" {
        Africa = 0 "africa",
        EasternAfrica = 1 "eastern-africa",
        MiddleAfrica = 2 "middle-africa",
        NorthernAfrica = 3 "northern-africa",
        SouthernAfrica = 4 "southern-africa",
        WesternAfrica = 5 "western-africa",
        Americas = 6 "americas",
        Caribbean = 7 "caribbean",
        CentralAmerica = 8 "central-america",
        LatinAmericaCaribbean = 9 "latin-america-caribbean",
        NorthernAmerica = 10 "northern-america",
        SouthAmerica = 11 "south-america",
        Asia = 12 "asia",
        CentralAsia = 13 "central-asia",
        EasternAsia = 14 "eastern-asia",
        SouthernAsia = 15 "southern-asia",
        SouthEasternAsia = 16 "south-eastern-asia",
        WesternAsia = 17 "western-asia",
        Europe = 18 "europe",
        EasternEurope = 19 "eastern-europe",
        NorthernEurope = 20 "northern-europe",
        SouthernEurope = 21 "southern-europe",
        WesternEurope = 22 "western-europe",
        Oceania = 23 "oceania",
        Antarctica = 24 "antarctica",
        AustraliaNewZealand = 25 "australia-new-zealand",
        Melanesia = 26 "melanesia",
        Micronesia = 27 "micronesia",
        Polynesia = 28 "polynesia",
    }
}

vocabulary! {
    /// Which way a border was crossed.
    Direction: "a direction" {
        Entry = 0 "entry",
        Exit = 1 "exit",
        Transit = 2 "transit",
    }
}

vocabulary! {
    /// How likely a judgement is (ICD 203 §D.6.e.2.a; MISP taxonomy `estimative-language`,
    /// version 5), from the least to the most likely. Confidence is stated separately.
    Probability: "an ICD-203 probability" {
        AlmostNoChance = 0 "almost-no-chance",
        VeryUnlikely = 1 "very-unlikely",
        Unlikely = 2 "unlikely",
        RoughlyEvenChance = 3 "roughly-even-chance",
        Likely = 4 "likely",
        VeryLikely = 5 "very-likely",
        AlmostCertain = 6 "almost-certain",
    }
}

impl Probability {
    /// Lower and upper bound in percent, as ICD 203 gives them.
    #[must_use]
    pub const fn percent(self) -> (u8, u8) {
        match self {
            Self::AlmostNoChance => (1, 5),
            Self::VeryUnlikely => (5, 20),
            Self::Unlikely => (20, 45),
            Self::RoughlyEvenChance => (45, 55),
            Self::Likely => (55, 80),
            Self::VeryLikely => (80, 95),
            Self::AlmostCertain => (95, 99),
        }
    }
}

vocabulary! {
    /// How firm the ground of a judgement is (ICD 203). Never merged with its probability.
    Confidence: "an analytic confidence" {
        Low = 0 "low",
        Moderate = 1 "moderate",
        High = 2 "high",
    }
}

vocabulary! {
    /// Agreement with another record (STIX 2.1 §10.17 `opinion-enum`).
    OpinionValue: "a STIX opinion" {
        StronglyDisagree = 0 "strongly-disagree",
        Disagree = 1 "disagree",
        Neutral = 2 "neutral",
        Agree = 3 "agree",
        StronglyAgree = 4 "strongly-agree",
    }
}
