//! The organizations of a run: all active ones in the database, or those listed in a file. They are read page
//! by page, so memory does not depend on their number.

mod plain;

use async_trait::async_trait;
use lockgate::core::ledger::PlannedJob;
use lockgate::{Key, Kind, Timestamp};
use lockgate_cli::{Input, Manifest, Problem, fanout};

use crate::import::{Column, Records, UnknownColumns};
use crate::job::ProjectSpikes;
use crate::store::Organizations;
use plain::PlainLines;

/// Yields a job for each organization of a run.
pub struct OrganizationManifest {
    source: Source,
    as_of: Timestamp,
    kind: Kind,
}

enum Source {
    Table { organizations: Organizations, after: i64 },
    Columns(Records),
    Plain(PlainLines),
}

/// The column that is read. Other columns of the file are ignored.
const COLUMN: &str = "organization_id";

const COLUMNS: &[Column] = &[Column::required(COLUMN)];

impl OrganizationManifest {
    /// Selects all active organizations with an active subscription.
    #[must_use]
    pub fn active(organizations: Organizations, as_of: Timestamp, kind: Kind) -> Self {
        Self { source: Source::Table { organizations, after: 0 }, as_of, kind }
    }

    /// Selects the organizations listed in an input: CSV or JSON lines with a column `organization_id`, or
    /// one id per line. Organizations that are not in the database are included: their jobs fail and are
    /// accounted for.
    ///
    /// # Errors
    /// When the input cannot be read.
    pub fn named(input: &Input, as_of: Timestamp, kind: Kind) -> Result<Self, Problem> {
        let plain = PlainLines::open(&input.name(), input.open()?)?;
        let source = if plain.has_columns(COLUMN) {
            Source::Columns(Records::open(
                &input.name(),
                plain.into_reader(),
                COLUMNS,
                UnknownColumns::Ignore,
            )?)
        } else {
            Source::Plain(plain)
        };
        Ok(Self { source, as_of, kind })
    }

    async fn next_ids(&mut self, most: usize) -> anyhow::Result<Vec<String>> {
        match &mut self.source {
            Source::Table { organizations, after } => {
                let most = u32::try_from(most).unwrap_or(u32::MAX);
                let page = organizations.active_after(*after, most).await?;
                *after = page.last().map_or(*after, |(number, _)| *number);
                Ok(page.into_iter().map(|(_, id)| id).collect())
            }
            Source::Columns(records) => {
                let mut ids = Vec::new();
                while ids.len() < most {
                    let Some(record) = records.next_record()? else { break };
                    let Some(id) = record.text(COLUMN) else { continue };
                    Key::new(id).map_err(|error| record.refused(COLUMN, error))?;
                    ids.push(id.to_owned());
                }
                Ok(ids)
            }
            Source::Plain(lines) => Ok(lines.next_ids(most)?),
        }
    }
}

#[async_trait]
impl Manifest for OrganizationManifest {
    fn kind(&self) -> Kind {
        self.kind.clone()
    }

    async fn next(&mut self, most: usize) -> anyhow::Result<Vec<PlannedJob>> {
        let ids = self.next_ids(most).await?;
        ids.into_iter().map(|id| fanout::job(&id, &ProjectSpikes::new(id.as_str(), self.as_of))).collect()
    }
}
