//! The hours of a file without duplicates. Decides what to do with two records for the same hour.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::category::Category;
use crate::hour::Hour;
use crate::projection::Count;
use crate::store::UsageRow;

/// What to do with two records for the same hour of the same project and category.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Reject the file, even if the counts are equal: the records may be two halves of one hour.
    #[default]
    Error,
    /// Keep the later record.
    Last,
    /// Add up their counts.
    Sum,
}

/// A project (by its index in the names), a category, an hour.
type Key = (u32, Category, Hour);

/// The hours of a file, or of one part of it, ordered by project.
#[derive(Debug)]
pub(super) struct Hours {
    on_duplicate: OnDuplicate,
    /// Index of the part, and number of parts.
    part: (u64, u64),
    names: Vec<Arc<str>>,
    hours: BTreeMap<Key, Seen>,
}

/// The counts of an hour, and the line that gave them.
#[derive(Debug, Clone, Copy)]
struct Seen {
    line: u64,
    accepted: u64,
    dropped: u64,
}

impl Hours {
    /// Creates an empty set of hours. `names` has the projects by their index.
    pub(super) fn new(on_duplicate: OnDuplicate, part: (u64, u64), names: Vec<Arc<str>>) -> Self {
        Self { on_duplicate, part, names, hours: BTreeMap::new() }
    }

    /// Adds the record of a line, unless it belongs to another part.
    ///
    /// # Errors
    /// When another line has the same hour and duplicates are refused, or when their sum is too large.
    pub(super) fn add(
        &mut self,
        (project, category, count): (u32, Category, Count),
        line: u64,
    ) -> Result<(), String> {
        let key = (project, category, count.hour);
        if !self.is_in_part(key) {
            return Ok(());
        }
        let new = Seen { line, accepted: count.accepted, dropped: count.dropped };
        match self.hours.entry(key) {
            Entry::Vacant(vacant) => drop(vacant.insert(new)),
            Entry::Occupied(mut occupied) => {
                let earlier = *occupied.get();
                let merged = match self.on_duplicate {
                    OnDuplicate::Last => new,
                    OnDuplicate::Sum => earlier.plus(new)?,
                    OnDuplicate::Error => {
                        let project =
                            self.names.get(index_of(project)).map(AsRef::as_ref).unwrap_or_default();
                        return Err(contradiction((project, category, count.hour), earlier, new));
                    }
                };
                occupied.insert(merged);
            }
        }
        Ok(())
    }

    /// Returns the number of hours.
    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.hours.len()).unwrap_or(u64::MAX)
    }

    /// Iterates over the hours as rows, in pages of this size.
    pub(super) fn pages(&self, size: usize) -> impl Iterator<Item = Vec<UsageRow>> {
        let mut rows = self.hours.iter().filter_map(|((project, category, hour), seen)| {
            let project = self.names.get(index_of(*project))?.to_string();
            let count = Count { hour: *hour, accepted: seen.accepted, dropped: seen.dropped };
            Some(UsageRow { project, category: *category, count })
        });
        std::iter::from_fn(move || {
            let page: Vec<_> = rows.by_ref().take(size).collect();
            Some(page).filter(|page| !page.is_empty())
        })
    }

    fn is_in_part(&self, key: Key) -> bool {
        let (part, parts) = self.part;
        if parts <= 1 {
            return true;
        }
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish().checked_rem(parts) == Some(part)
    }
}

impl Seen {
    fn plus(self, other: Self) -> Result<Self, String> {
        let sum = |one: u64, two: u64| one.checked_add(two).filter(|sum| i64::try_from(*sum).is_ok());
        match (sum(self.accepted, other.accepted), sum(self.dropped, other.dropped)) {
            (Some(accepted), Some(dropped)) => Ok(Self { accepted, dropped, ..self }),
            _ => Err(format!(
                "the counts of this hour add up to more than {}, with those of line {}; correct one of them",
                i64::MAX,
                self.line
            )),
        }
    }
}

fn index_of(project: u32) -> usize {
    usize::try_from(project).unwrap_or(usize::MAX)
}

fn contradiction((project, category, hour): (&str, Category, Hour), earlier: Seen, new: Seen) -> String {
    format!(
        "lines {} and {} are both about {hour} of project {project:?}, {category}: {} accepted and {} dropped, then {} and {}; \
         keep one of them, or choose with --on-duplicate last or --on-duplicate sum",
        earlier.line, new.line, earlier.accepted, earlier.dropped, new.accepted, new.dropped
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Hour = Hour(480_000);

    fn hours(on_duplicate: OnDuplicate, part: (u64, u64)) -> Hours {
        Hours::new(on_duplicate, part, vec!["p".into(), "q".into()])
    }

    fn count(hour: Hour, accepted: u64) -> Count {
        Count { hour, accepted, dropped: 1 }
    }

    #[test]
    fn two_records_for_one_hour_are_rejected_merged_or_added_up_as_chosen() {
        for (on_duplicate, wanted) in
            [(OnDuplicate::Last, Some((7, 1))), (OnDuplicate::Sum, Some((12, 2))), (OnDuplicate::Error, None)]
        {
            let mut hours = hours(on_duplicate, (0, 1));
            hours.add((0, Category::Errors, count(HOUR, 5)), 2).unwrap();
            hours.add((1, Category::Errors, count(HOUR, 5)), 3).unwrap();
            hours.add((0, Category::Attachments, count(HOUR, 5)), 4).unwrap();
            match (hours.add((0, Category::Errors, count(HOUR, 7)), 5002), wanted) {
                (Ok(()), Some((accepted, dropped))) => {
                    let rows: Vec<UsageRow> = hours.pages(2).flatten().collect();
                    assert_eq!((rows.len(), hours.len()), (3, 3));
                    assert_eq!((rows[0].count.accepted, rows[0].count.dropped), (accepted, dropped));
                }
                (Err(why), None) => assert!(why.starts_with("lines 2 and 5002 are both about"), "{why}"),
                other => panic!("{on_duplicate:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn equal_counts_are_rejected_too_because_they_may_be_two_halves() {
        let mut hours = hours(OnDuplicate::Error, (0, 1));
        hours.add((0, Category::Errors, count(HOUR, 5)), 2).unwrap();
        assert!(hours.add((0, Category::Errors, count(HOUR, 5)), 3).is_err());
    }

    #[test]
    fn sum_beyond_the_range_of_the_column_is_rejected() {
        let mut hours = hours(OnDuplicate::Sum, (0, 1));
        hours.add((0, Category::Errors, count(HOUR, u64::try_from(i64::MAX).unwrap())), 2).unwrap();
        let why = hours.add((0, Category::Errors, count(HOUR, 1)), 9).unwrap_err();
        assert!(why.contains("more than 9223372036854775807, with those of line 2"), "{why}");
    }

    #[test]
    fn every_hour_is_in_one_part_and_parts_have_similar_sizes() {
        let mut seen = Vec::new();
        for part in 0..3 {
            let mut hours = hours(OnDuplicate::Error, (part, 3));
            for n in 0..3_000 {
                hours.add((0, Category::Errors, count(HOUR.plus(n), 1)), 0).unwrap();
            }
            assert!((800..1_200).contains(&hours.len()), "{}", hours.len());
            seen.extend(hours.pages(100).flatten().map(|row| row.count.hour));
        }
        seen.sort();
        assert_eq!(seen, HOUR.until(HOUR.plus(3_000)).collect::<Vec<_>>());
    }
}
