//! The chunks in SQLite: limits of rate that all processes on one file share.
//!
//! Its clock is the host's uptime, which neither leaps nor goes back, and is one for all processes on the file. After
//! another start of the host nobody can tell what was spent before: the bucket begins empty, and nobody who had a chunk
//! lives.
//!
//! What a step does is decided by [`LimitState`]; each runs inside a transaction.

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

/// The chunks of one file.
#[derive(Debug)]
pub(crate) struct SqliteTokenStore {
    database: Database,
}

impl SqliteTokenStore {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    async fn step(&self, limit: &str, step: Step) -> Result<Answer, EngineError> {
        let doing = step.doing();
        let call = Call { limit: limit.to_owned(), at: Reading::take(&self.database), step };
        self.database.write(doing, call).await
    }

    async fn read_all(&self) -> Result<Vec<LimitStatus>, EngineError> {
        const DOING: &str = "reading the limits";
        let at = Reading::take(&self.database);
        let rows = sqlx::query(sql!("chunks/read_limits")).fetch_all(self.database.reader()).await;
        let rows = rows.doing(DOING)?;
        rows.iter().map(|row| Ok(Row::from_columns(row).doing(DOING)?.at(&at).status(&at))).collect()
    }
}

impl TokenStore for SqliteTokenStore {
    fn acquire<'a>(&'a self, limit: &'a str, request: AcquireRequest) -> StoreFuture<'a, Acquired> {
        Box::pin(async move {
            match self.step(limit, Step::Acquire(request)).await? {
                Answer::Acquired(acquired) => Ok(acquired),
                // No other step answers so.
                _ => Ok(Acquired::Insufficient { retry_after: None }),
            }
        })
    }

    fn give_back<'a>(&'a self, limit: &'a str, chunk: TokenBatchId, unspent: u32) -> StoreFuture<'a, ()> {
        Box::pin(async move { Ok(self.step(limit, Step::GiveBack(chunk, unspent)).await.map(drop)?) })
    }

    fn list(&self) -> StoreFuture<'_, Vec<LimitStatus>> {
        Box::pin(async move { Ok(self.read_all().await?) })
    }

    fn set<'a>(&'a self, limit: &'a str, change: LimitChange) -> StoreFuture<'a, Changed> {
        Box::pin(async move {
            match self.step(limit, Step::Set(change)).await? {
                Answer::Changed(changed) => Ok(changed),
                // No other step answers so.
                _ => Ok(Changed::Conflict(0)),
            }
        })
    }

    fn report<'a>(&'a self, limit: &'a str, report: SampleReport) -> StoreFuture<'a, Changed> {
        Box::pin(async move {
            match self.step(limit, Step::Report(report)).await? {
                Answer::Changed(changed) => Ok(changed),
                // There is no such limit.
                _ => Ok(Changed::Conflict(0)),
            }
        })
    }
}

/// When a call is made, by the host's clock.
#[derive(Debug, Clone)]
struct Reading {
    nanos: u64,
    boot: String,
}

impl Reading {
    fn take(database: &Database) -> Self {
        Self { nanos: database.uptime_nanos(), boot: database.boot().to_owned() }
    }
}

/// What is asked of a limit.
enum Step {
    Acquire(AcquireRequest),
    GiveBack(TokenBatchId, u32),
    Set(LimitChange),
    Report(SampleReport),
}

enum Answer {
    Acquired(Acquired),
    Changed(Changed),
    Taken,
}

impl Step {
    fn doing(&self) -> &'static str {
        match self {
            Self::Acquire(_) => "acquiring tokens",
            Self::GiveBack(..) => "giving tokens back",
            Self::Set(_) => "changing a limit",
            Self::Report(_) => "reporting what jobs came to",
        }
    }

    /// The limit that this step creates where there is none.
    fn creates(&self, at: u64) -> Option<LimitState> {
        match self {
            Self::Acquire(request) => Some(LimitState::new(Some(request.quota), at)),
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
    step: Step,
}

#[async_trait]
impl Write for Call {
    type Output = Answer;

    /// What is drawn dies with the host; what an operator has set does not.
    fn is_durable(&self) -> bool {
        matches!(self.step, Step::Set(_))
    }

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Answer, EngineError> {
        let doing = self.step.doing();
        let found = sqlx::query(sql!("chunks/read_limit")).bind(&self.limit).fetch_optional(&mut *tx).await;
        let found = found.and_then(|row| row.map(|row| Row::from_columns(&row)).transpose()).doing(doing)?;
        let Some(mut row) = found.map(|row| row.at(&self.at)).or_else(|| self.new_row()) else {
            return Ok(Answer::Taken);
        };
        let answer = self.act(&mut row);
        row.save(tx).await.doing(doing)?;
        Ok(answer)
    }
}

impl Call {
    fn new_row(&self) -> Option<Row> {
        let state = self.step.creates(self.at.nanos)?;
        Some(Row { name: self.limit.clone(), boot: self.at.boot.clone(), state })
    }

    fn act(&self, row: &mut Row) -> Answer {
        let (at, Row { name, state, .. }) = (self.at.nanos, row);
        match &self.step {
            Step::Acquire(request) => Answer::Acquired(state.acquire(request, at)),
            Step::GiveBack(chunk, unspent) => {
                state.give_back(*chunk, *unspent, at);
                Answer::Taken
            }
            Step::Set(change) => Answer::Changed(state.set(name, change.clone(), at)),
            Step::Report(report) => Answer::Changed(state.report(name, report, at)),
        }
    }
}
