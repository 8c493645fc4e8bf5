//! What a run fans out over: the active organizations of the table, or those that a file names. Read page by page: any
//! number of organizations takes the same memory.

mod plain;

use async_trait::async_trait;
use lockgate::core::ledger::PlannedJob;
use lockgate::{Key, Kind, Timestamp};
use lockgate_cli::{Input, Manifest, Problem, fanout};

use crate::import::{Column, Records, UnknownColumns};
use crate::job::ProjectSpikes;
use crate::store::Organizations;
use plain::PlainLines;

/// A manifest of organizations.
pub struct OrganizationManifest {
    from: From,
    as_of: Timestamp,
    kind: Kind,
}

enum From {
    Table { organizations: Organizations, after: i64 },
    Columns(Records),
    Plain(PlainLines),
}

/// Of a file with columns only this one counts here.
const COLUMN: &str = "organization_id";

const COLUMNS: &[Column] = &[Column::required(COLUMN)];

impl OrganizationManifest {
    /// All active organizations with an active subscription.
    #[must_use]
    pub fn active(organizations: Organizations, as_of: Timestamp, kind: Kind) -> Self {
        Self { from: From::Table { organizations, after: 0 }, as_of, kind }
    }

    /// Those that an input names: CSV or JSON lines with a column `organization_id`, or one id a line. They need not
    /// be in the table: a job of one that is not fails, and is accounted for.
    ///
    /// # Errors
    /// When the input cannot be read.
    pub fn named(input: &Input, as_of: Timestamp, kind: Kind) -> Result<Self, Problem> {
        let plain = PlainLines::open(&input.name(), input.open()?)?;
        let from = if plain.has_columns(COLUMN) {
            From::Columns(Records::open(&input.name(), plain.into_reader(), COLUMNS, UnknownColumns::Ignore)?)
        } else {
            From::Plain(plain)
        };
        Ok(Self { from, as_of, kind })
    }

    async fn next_ids(&mut self, most: usize) -> anyhow::Result<Vec<String>> {
        match &mut self.from {
            From::Table { organizations, after } => {
                let most = u32::try_from(most).unwrap_or(u32::MAX);
                let page = organizations.active_after(*after, most).await?;
                *after = page.last().map_or(*after, |(number, _)| *number);
                Ok(page.into_iter().map(|(_, id)| id).collect())
            }
            From::Columns(records) => {
                let mut ids = Vec::new();
                while ids.len() < most {
                    let Some(record) = records.next_record()? else { break };
                    let Some(id) = record.text(COLUMN) else { continue };
                    Key::new(id).map_err(|error| record.refused(COLUMN, error))?;
                    ids.push(id.to_owned());
                }
                Ok(ids)
            }
            From::Plain(lines) => Ok(lines.next_ids(most)?),
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
