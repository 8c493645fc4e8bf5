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
    AcquireRequest, Acquired, Changed, LimitChange, LimitState, LimitStatus, SampleReport, StoreFuture,
    TokenBatchId, TokenStore,
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
    fn acquire<'a>(&'a self, limit: &'a str, request: AcquireRequest) -> StoreFuture<'a, Acquired> {
        Box::pin(async move {
            match self.operation(limit, Operation::Acquire(request)).await? {
                Output::Acquired(acquired) => Ok(acquired),
                // No other operation has this output.
                _ => Ok(Acquired::Insufficient { retry_after: None }),
            }
        })
    }

    fn give_back<'a>(&'a self, limit: &'a str, batch: TokenBatchId, unspent: u32) -> StoreFuture<'a, ()> {
        Box::pin(async move { Ok(self.operation(limit, Operation::Return(batch, unspent)).await.map(drop)?) })
    }

    fn list(&self) -> StoreFuture<'_, Vec<LimitStatus>> {
        Box::pin(async move { Ok(self.read_all().await?) })
    }

    fn set<'a>(&'a self, limit: &'a str, change: LimitChange) -> StoreFuture<'a, Changed> {
        Box::pin(async move {
            match self.operation(limit, Operation::Set(change)).await? {
                Output::Changed(changed) => Ok(changed),
                // No other operation has this output.
                _ => Ok(Changed::Conflict(0)),
            }
        })
    }

    fn report<'a>(&'a self, limit: &'a str, report: SampleReport) -> StoreFuture<'a, Changed> {
        Box::pin(async move {
            match self.operation(limit, Operation::Report(report)).await? {
                Output::Changed(changed) => Ok(changed),
                // The limit does not exist.
                _ => Ok(Changed::Conflict(0)),
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
    /// Acquires a token batch.
    Acquire(AcquireRequest),
    /// Returns the unspent tokens of a batch.
    Return(TokenBatchId, u32),
    /// Changes the limit on behalf of an operator.
    Set(LimitChange),
    /// Adds outcomes of jobs, which a ramp depends on.
    Report(SampleReport),
}

/// What an operation returns.
enum Output {
    Acquired(Acquired),
    Changed(Changed),
    /// Nothing to return, or the limit does not exist.
    Done,
}

impl Operation {
    fn doing(&self) -> &'static str {
        match self {
            Self::Acquire(_) => "acquiring tokens",
            Self::Return(..) => "returning tokens",
            Self::Set(_) => "changing a limit",
            Self::Report(_) => "reporting outcomes of jobs",
        }
    }

    /// Returns the state of a new limit, if this operation creates a missing one.
    fn creates(&self, at: u64) -> Option<LimitState> {
        match self {
            Self::Acquire(request) => Some(LimitState::new(Some(request.quota), at)),
            Self::Set(change) => {
                change.version.is_none_or(|version| version == 0).then(|| LimitState::new(change.quota, at))
            }
            Self::Return(..) | Self::Report(_) => None,
        }
    }
}

/// An operation on a named limit at a point in time, as the writer runs it.
struct Call {
    limit: String,
    at: Reading,
    operation: Operation,
}

#[async_trait]
impl Write for Call {
    type Output = Output;

    /// Token batches die with the host. The settings of an operator must survive a loss of power.
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
        let output = self.apply(&mut row);
        row.save(tx).await.doing(doing)?;
        Ok(output)
    }
}

impl Call {
    fn new_row(&self) -> Option<Row> {
        let state = self.operation.creates(self.at.nanos)?;
        Some(Row { name: self.limit.clone(), boot: self.at.boot.clone(), state })
    }

    fn apply(&self, row: &mut Row) -> Output {
        let (at, Row { name, state, .. }) = (self.at.nanos, row);
        match &self.operation {
            Operation::Acquire(request) => Output::Acquired(state.acquire(request, at)),
            Operation::Return(batch, unspent) => {
                state.give_back(*batch, *unspent, at);
                Output::Done
            }
            Operation::Set(change) => Output::Changed(state.set(name, change.clone(), at)),
            Operation::Report(report) => Output::Changed(state.report(name, report, at)),
        }
    }
}
