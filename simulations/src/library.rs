//! The scenarios that come with the program. `docs/simulations` has a page on each.

use crate::scenario::Scenario;

/// Name and text of each.
pub const SCENARIOS: [(&str, &str); 9] = [
    ("alerts", include_str!("../scenarios/alerts.toml")),
    ("alliance", include_str!("../scenarios/alliance.toml")),
    ("chaos", include_str!("../scenarios/chaos.toml")),
    ("coast-guard", include_str!("../scenarios/coast-guard.toml")),
    ("incident-portal", include_str!("../scenarios/incident-portal.toml")),
    ("lake-chad", include_str!("../scenarios/lake-chad.toml")),
    ("land-border", include_str!("../scenarios/land-border.toml")),
    ("notices", include_str!("../scenarios/notices.toml")),
    ("police-hub", include_str!("../scenarios/police-hub.toml")),
];

/// The text of a scenario.
#[must_use]
pub fn text_of(name: &str) -> Option<&'static str> {
    SCENARIOS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A scenario.
#[must_use]
pub fn named(name: &str) -> Option<Scenario> {
    Scenario::parse(text_of(name)?, name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_reads_and_bears_its_name() {
        for (name, text) in SCENARIOS {
            let scenario = Scenario::parse(text, name).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(scenario.name.get_ref(), name);
            assert!(!scenario.about.is_empty());
            let plan = crate::Plan::of(&scenario, 1, crate::plan::Changes::default());
            assert_eq!(plan.island(), None, "{name}");
        }
        assert!(named("nowhere").is_none());
    }
}
