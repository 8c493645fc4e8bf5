//! How a kind cancels a backend query whose attempt has ended without it.
//!
//! A backend that keeps working for a disconnected client occupies its slot. Without a canceller the slot
//! drains for the kind's `backend_time`. With one it drains until the backend has confirmed the end of the
//! query.

use async_trait::async_trait;
use lockgate_core::error::Source;
use lockgate_core::{Fence, JobId};

/// A backend query that an execution may have left running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrphanedQuery {
    /// The job whose execution started the query.
    pub job: JobId,
    /// The fence of that execution, see [`crate::Context::fence`]. A query with a larger fence of the same
    /// job belongs to a later execution and must be left alone.
    pub fence: Fence,
}

/// Cancels backend queries. A kind returns its canceller from [`crate::Job::canceller`].
///
/// Any process that knows the kind may call it, also concurrently, and more than once for the same query. So
/// a job must name its queries at the backend in a way that a canceller can find, for example by an id made
/// of the job and the fence.
///
/// ```
/// use async_trait::async_trait;
/// use lockgate_core::error::Source;
/// use lockgate_runtime::{Canceller, OrphanedQuery};
///
/// /// A backend whose `cancel(id)` returns whether a query with that id still runs.
/// # struct Backend;
/// # impl Backend { async fn cancel(&self, _: String) -> Result<bool, Source> { Ok(false) } }
/// struct CancelReports(Backend);
///
/// #[async_trait]
/// impl Canceller for CancelReports {
///     async fn end(&self, orphans: &[OrphanedQuery]) -> Result<Vec<OrphanedQuery>, Source> {
///         let mut ended = Vec::new();
///         for orphan in orphans {
///             let id = format!("{}-{}", orphan.job, orphan.fence.0);
///             let still_runs = self.0.cancel(id).await?;
///             if !still_runs {
///                 ended.push(*orphan);
///             }
///         }
///         Ok(ended)
///     }
/// }
/// ```
#[async_trait]
pub trait Canceller: Send + Sync + 'static {
    /// Cancels the queries of these executions, and of earlier executions of the same jobs.
    ///
    /// Returns the executions for which the backend has confirmed that no query runs and none can start any
    /// more. Their slots are released at once. The slots of the others keep draining, and the canceller is
    /// called for them again. A call that takes longer than 30 s is dropped, and then all slots keep
    /// draining.
    ///
    /// # Errors
    /// When the backend cannot confirm anything. All slots keep draining.
    async fn end(&self, orphans: &[OrphanedQuery]) -> Result<Vec<OrphanedQuery>, Source>;
}
