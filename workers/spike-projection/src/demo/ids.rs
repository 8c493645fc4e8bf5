//! What the demo's organizations and projects are called.
//!
//! It must never use an id that a real organization has: `place.rs` tells demos apart from all else by their ids.

/// What the ids of all demos' organizations begin with, where they are texts.
const PREFIX: &str = "demo-";

/// What they begin after, where they are numbers.
const NUMBERS: u64 = 9_000_000_000;

/// The most organizations of a demo.
const MOST: u64 = 1_000_000;

/// How a backend knows organizations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    /// By texts.
    Texts,
    /// By numbers.
    Numbers,
}

impl Ids {
    /// The id of the organization at this place.
    pub(super) fn organization(self, place: usize) -> String {
        let number = u64::try_from(place).unwrap_or(u64::MAX).saturating_add(1);
        match self {
            Self::Texts => format!("{PREFIX}{number:05}"),
            Self::Numbers => NUMBERS.saturating_add(number).to_string(),
        }
    }

    /// The id of the project of an organization at this place.
    pub(super) fn project(self, organization: &str, place: usize) -> String {
        match self {
            Self::Texts if place == 0 => organization.to_owned(),
            Self::Texts => format!("{organization}-{}", place + 1),
            Self::Numbers => format!("{organization}{:03}", place + 1),
        }
    }
}

/// Whether it is the id of an organization of some demo.
pub(super) fn is_of_a_demo(id: &str) -> bool {
    let number = |id: &str| id.parse::<u64>().is_ok_and(|id| (NUMBERS + 1..=NUMBERS + MOST).contains(&id));
    id.starts_with(PREFIX) || number(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_of_a_demo_is_known_as_one() {
        for ids in [Ids::Texts, Ids::Numbers] {
            for place in [0, 6, 999_999] {
                assert!(is_of_a_demo(&ids.organization(place)), "{ids:?} {place}");
            }
        }
        assert_eq!(Ids::Texts.project("demo-00001", 0), "demo-00001");
        assert_eq!(Ids::Texts.project("demo-00001", 1), "demo-00001-2");
        let (organization, project) = (Ids::Numbers.organization(6), Ids::Numbers.project("9000000007", 1));
        assert_eq!((organization.as_str(), project.as_str()), ("9000000007", "9000000007002"));
        for other in ["7", "9000000000", "9001000001", "o1", ""] {
            assert!(!is_of_a_demo(other), "{other}");
        }
    }
}
