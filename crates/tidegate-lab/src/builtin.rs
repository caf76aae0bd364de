//! The scenarios that come with Tidegate: what its balancing must reach. Knows their texts; they are ordinary scenario
//! files, and good ones to start from.

use crate::scenario::Scenario;

/// Each name with its text.
pub const ALL: &[(&str, &str)] = &[
    ("G1", include_str!("../scenarios/g1.toml")),
    ("G2", include_str!("../scenarios/g2.toml")),
    ("G2-shared", include_str!("../scenarios/g2-shared.toml")),
    ("G3", include_str!("../scenarios/g3.toml")),
    ("G4", include_str!("../scenarios/g4.toml")),
    ("G5", include_str!("../scenarios/g5.toml")),
    ("G6", include_str!("../scenarios/g6.toml")),
    ("G7", include_str!("../scenarios/g7.toml")),
    ("G8", include_str!("../scenarios/g8.toml")),
    ("G9", include_str!("../scenarios/g9.toml")),
    ("G10", include_str!("../scenarios/g10.toml")),
    ("G11", include_str!("../scenarios/g11.toml")),
    ("G12", include_str!("../scenarios/g12.toml")),
    ("mixed", include_str!("../scenarios/mixed.toml")),
];

/// The text of one of them, by its name in any case.
pub fn text(name: &str) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, text)| *text)
}

/// One of them, by its name in any case.
pub fn scenario(name: &str) -> Option<Scenario> {
    text(name).and_then(|text| Scenario::parse(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_scenario_holds_together_and_bears_its_name() {
        for (name, text) in ALL {
            match Scenario::parse(text) {
                Ok(scenario) => assert_eq!(scenario.name, *name),
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
}
