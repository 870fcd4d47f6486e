//! The scenarios that come with the program. `docs/simulations` has a page on each.

use crate::scenario::Scenario;

/// Name and text of each.
pub const SCENARIOS: [(&str, &str); 4] = [
    ("alliance", include_str!("../scenarios/alliance.toml")),
    ("chaos", include_str!("../scenarios/chaos.toml")),
    ("lake-chad", include_str!("../scenarios/lake-chad.toml")),
    ("land-border", include_str!("../scenarios/land-border.toml")),
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
        }
        assert!(named("nowhere").is_none());
    }
}
