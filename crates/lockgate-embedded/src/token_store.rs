//! The token store in SQLite: rate limits that all processes on one file share.
//!
//! Its clock is the uptime of the host, which never goes back and is the same for all processes. After a
//! reboot it is unknown what was spent before. The bucket therefore starts empty, and token batches of the
//! old boot are void because their processes are dead.
//!
//! [`LimitState`] decides what an operation does. Each operation is one transaction.

mod row;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_limits::{
    AcquireRequest, Acquired, Changed, LimitChange, LimitState, LimitStatus, Pending, Report, TokenBatchId,
    TokenStore,
};
use sqlx::SqliteConnection;

use crate::columns::sql;
use crate::database::{Database, Doing, Write};
use row::Row;

/// The token store of one file.
#[derive(Debug)]
pub(crate) struct SqliteTokenStore {
    database: Database,
}

impl SqliteTokenStore {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    async fn operation(&self, limit: &str, operation: Operation) -> Result<Output, EngineError> {
        let doing = operation.doing();
        let call = Call { limit: limit.to_owned(), at: Reading::of(&self.database), operation };
        self.database.write(doing, call).await
    }

    async fn read_all(&self) -> Result<Vec<LimitStatus>, EngineError> {
        const DOING: &str = "reading the limits";
        let at = Reading::of(&self.database);
        let rows = sqlx::query(sql!("token_store/read_limits")).fetch_all(self.database.reader()).await;
        let rows = rows.doing(DOING)?;
        rows.iter().map(|row| Ok(Row::from_columns(row).doing(DOING)?.at(&at).status(&at))).collect()
    }
}

impl TokenStore for SqliteTokenStore {
    fn draw<'a>(&'a self, limit: &'a str, draw: AcquireRequest) -> Pending<'a, Acquired> {
        Box::pin(async move {
            match self.operation(limit, Operation::AcquireRequest(draw)).await? {
                Output::Acquired(acquired) => Ok(acquired),
                // No other operation has this output.
                _ => Ok(Acquired::Dry { retry_after: None }),
            }
        })
    }

    fn give_back<'a>(&'a self, limit: &'a str, batch: TokenBatchId, unspent: u32) -> Pending<'a, ()> {
        Box::pin(
            async move { Ok(self.operation(limit, Operation::GiveBack(batch, unspent)).await.map(drop)?) },
        )
    }

    fn look(&self) -> Pending<'_, Vec<LimitStatus>> {
        Box::pin(async move { Ok(self.read_all().await?) })
    }

    fn set<'a>(&'a self, limit: &'a str, change: LimitChange) -> Pending<'a, Changed> {
        Box::pin(async move {
            match self.operation(limit, Operation::Set(change)).await? {
                Output::Changed(changed) => Ok(changed),
                // No other operation has this output.
                _ => Ok(Changed::Version(0)),
            }
        })
    }

    fn report<'a>(&'a self, limit: &'a str, report: Report) -> Pending<'a, Changed> {
        Box::pin(async move {
            match self.operation(limit, Operation::Report(report)).await? {
                Output::Changed(changed) => Ok(changed),
                // The limit does not exist.
                _ => Ok(Changed::Version(0)),
            }
        })
    }
}

/// The time of a call: nanoseconds of uptime, and the boot that they count from.
#[derive(Debug, Clone)]
struct Reading {
    nanos: u64,
    boot: String,
}

impl Reading {
    fn of(database: &Database) -> Self {
        Self { nanos: database.uptime_nanos(), boot: database.boot().to_owned() }
    }
}

/// An operation on one rate limit.
enum Operation {
    AcquireRequest(AcquireRequest),
    GiveBack(TokenBatchId, u32),
    Set(LimitChange),
    Report(Report),
}

enum Output {
    Acquired(Acquired),
    Changed(Changed),
    Done,
}

impl Operation {
    fn doing(&self) -> &'static str {
        match self {
            Self::AcquireRequest(_) => "acquiring tokens",
            Self::GiveBack(..) => "returning tokens",
            Self::Set(_) => "changing a limit",
            Self::Report(_) => "reporting outcomes of jobs",
        }
    }

    /// Returns the state of a new limit, if this operation creates a missing one.
    fn creates(&self, at: u64) -> Option<LimitState> {
        match self {
            Self::AcquireRequest(draw) => Some(LimitState::new(Some(draw.quota), at)),
            Self::Set(change) => {
                change.version.is_none_or(|version| version == 0).then(|| LimitState::new(change.quota, at))
            }
            Self::GiveBack(..) | Self::Report(_) => None,
        }
    }
}

struct Call {
    limit: String,
    at: Reading,
    operation: Operation,
}

#[async_trait]
impl Write for Call {
    type Output = Output;

    /// What is acquired dies with the host; what an operator has set does not.
    fn is_durable(&self) -> bool {
        matches!(self.operation, Operation::Set(_))
    }

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Output, EngineError> {
        let doing = self.operation.doing();
        let stored =
            sqlx::query(sql!("token_store/read_limit")).bind(&self.limit).fetch_optional(&mut *tx).await;
        let stored =
            stored.and_then(|row| row.map(|row| Row::from_columns(&row)).transpose()).doing(doing)?;
        let Some(mut row) = stored.map(|row| row.at(&self.at)).or_else(|| self.new_row()) else {
            return Ok(Output::Done);
        };
        let answer = self.act(&mut row);
        row.save(tx).await.doing(doing)?;
        Ok(answer)
    }
}

impl Call {
    fn new_row(&self) -> Option<Row> {
        let state = self.operation.creates(self.at.nanos)?;
        Some(Row { name: self.limit.clone(), boot: self.at.boot.clone(), state })
    }

    fn act(&self, row: &mut Row) -> Output {
        let (at, Row { name, state, .. }) = (self.at.nanos, row);
        match &self.operation {
            Operation::AcquireRequest(draw) => Output::Acquired(state.draw(draw, at)),
            Operation::GiveBack(batch, unspent) => {
                state.give_back(*batch, *unspent, at);
                Output::Done
            }
            Operation::Set(change) => Output::Changed(state.set(name, change.clone(), at)),
            Operation::Report(report) => Output::Changed(state.report(name, report, at)),
        }
    }
}
