//! The ids of the demo's organizations and projects. No real organization may have such an id, because
//! `location.rs` recognizes demo data by its ids.

/// Prefix of all text ids.
const PREFIX: &str = "demo-";

/// Numeric ids are above this number.
const NUMBERS: u64 = 9_000_000_000;

/// Largest number of organizations in a demo.
const MOST: u64 = 1_000_000;

/// How a backend identifies organizations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    /// By texts.
    Texts,
    /// By numbers.
    Numbers,
}

impl Ids {
    /// Returns the id of the organization with this index.
    pub(super) fn organization(self, index: usize) -> String {
        let number = u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1);
        match self {
            Self::Texts => format!("{PREFIX}{number:05}"),
            Self::Numbers => NUMBERS.saturating_add(number).to_string(),
        }
    }

    /// Returns the id of the organization's project with this index.
    pub(super) fn project(self, organization: &str, index: usize) -> String {
        match self {
            Self::Texts if index == 0 => organization.to_owned(),
            Self::Texts => format!("{organization}-{}", index + 1),
            Self::Numbers => format!("{organization}{:03}", index + 1),
        }
    }
}

/// Returns whether the id belongs to an organization of any demo.
pub(super) fn is_of_a_demo(id: &str) -> bool {
    let number = |id: &str| id.parse::<u64>().is_ok_and(|id| (NUMBERS + 1..=NUMBERS + MOST).contains(&id));
    id.starts_with(PREFIX) || number(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_of_a_demo_is_recognized() {
        for ids in [Ids::Texts, Ids::Numbers] {
            for index in [0, 6, 999_999] {
                assert!(is_of_a_demo(&ids.organization(index)), "{ids:?} {index}");
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
