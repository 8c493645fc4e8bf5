//! Jobs that share a query: the organizations of one hour are asked for together.
//!
//! It must never let one organization decide over another: each has an answer of its own, and what the backend says of all
//! of them is told to each.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use lockgate::{Context, ErrorClass, Failure, JobError};

use super::{Asked, ProjectSpikes};
use crate::hour::Hour;
use crate::projection::Usage;
use crate::usage::{QueryId, UsageError, UsageSource};

/// Who is asked for together: each hour's organizations, every one of them once.
type Queries = BTreeMap<(Hour, usize), Vec<One>>;

/// A job of a group that is to be asked for.
struct One {
    place: usize,
    asked: Asked,
    ctx: Context,
}

/// Runs them, and answers for each in their order.
pub(super) async fn run(group: Vec<(ProjectSpikes, Context)>) -> Vec<Result<(), Failure>> {
    let Some((_, first)) = group.first() else { return Vec::new() };
    // The backend knows the query of all as the first's, under whose slot it runs.
    let query = QueryId::in_context(first);
    let asked = join_all(group.iter().map(|(job, ctx)| job.asked(ctx))).await;
    let (mut answers, mut queries) = (Vec::with_capacity(group.len()), Queries::new());
    for (place, (asked, (_, ctx))) in asked.into_iter().zip(group).enumerate() {
        answers.push(asked.map(|asked| join(&mut queries, One { place, asked, ctx })));
    }
    // One after the other: they have one slot.
    for together in queries.into_values() {
        let usage = each(&together, &query).await;
        let stored = join_all(together.iter().zip(usage).map(|(one, usage)| one.answer(usage))).await;
        for (one, stored) in together.iter().zip(stored) {
            if let Some(answer) = answers.get_mut(one.place) {
                *answer = stored;
            }
        }
    }
    answers
}

/// Joins the query of its hour; the next one of that hour, when two runs ask for the same organization.
fn join(queries: &mut Queries, one: One) {
    let mut nth = 0;
    while let Some(others) = queries.get(&(one.asked.as_of, nth))
        && others.iter().any(|other| other.asked.organization.id == one.asked.organization.id)
    {
        nth += 1;
    }
    queries.entry((one.asked.as_of, nth)).or_default().push(one);
}

/// The usage of organizations that look back on the same hours.
async fn each(together: &[One], query: &QueryId) -> Vec<Result<Usage, Failure>> {
    let Some(first) = together.first() else { return Vec::new() };
    let source = match first.ctx.state::<Arc<dyn UsageSource>>() {
        Ok(source) => source,
        Err(missing) => return together.iter().map(|_| Err(missing.clone().into())).collect(),
    };
    let ids: Vec<&str> = together.iter().map(|one| one.asked.organization.id.as_str()).collect();
    match source.each(&ids, first.asked.hours(), query).await {
        Ok(each) => each.into_iter().map(|usage| usage.map_err(Failure::from)).collect(),
        Err(error) => {
            let shared = Shared(Arc::new(error));
            together.iter().map(|_| Err(shared.clone().into())).collect()
        }
    }
}

impl One {
    async fn answer(&self, usage: Result<Usage, Failure>) -> Result<(), Failure> {
        self.asked.answer(&usage?, &self.ctx).await
    }
}

/// An error that several jobs have in common.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
struct Shared(Arc<UsageError>);

impl JobError for Shared {
    fn class(&self) -> ErrorClass {
        self.0.class()
    }

    fn backend_may_run(&self) -> bool {
        self.0.backend_may_run()
    }
}
