//! The scenarios that come with Tidegate: what its balancing must reach. Knows their texts; they are ordinary scenario
//! files, and good ones to start from.

use crate::scenario::Scenario;
use crate::suggest::did_you_mean;

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

/// A name that none of them has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scenario `{name}`{}; there are {}", did_you_mean(.name, names()), names().collect::<Vec<_>>().join(", "))]
pub struct UnknownScenario {
    pub name: String,
}

fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// The name and the text of one of them, by its name in any case.
pub fn find(name: &str) -> Result<(&'static str, &'static str), UnknownScenario> {
    let known = ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.copied().ok_or_else(|| UnknownScenario { name: name.to_owned() })
}

/// The text of one of them, by its name in any case.
pub fn text(name: &str) -> Option<&'static str> {
    find(name).ok().map(|(_, text)| text)
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
