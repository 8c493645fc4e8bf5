//! How the backend work of a kind is found and ended, when the attempt that began it is not there any more to do so.
//!
//! A backend that goes on working for a client that is gone keeps its slot: until the kind's `backend_time` has passed, or,
//! with a canceller, until the backend itself has confirmed that the work is over.

use async_trait::async_trait;
use lockgate_core::error::Source;
use lockgate_core::{Fence, JobId};

/// What an execution may have left behind at the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Leftover {
    /// The job.
    pub job: JobId,
    /// The fence of its execution, as its [`crate::Context`] told it. A later one's is larger, and is none of the leftovers.
    pub fence: Fence,
}

/// Ends backend work. A kind names its canceller in [`crate::Job::canceller`].
///
/// Any process that knows the kind may be asked, several at once too, and more than once for the same leftover. So a job must
/// be able to tell its backend whose work it is: by an id made of the job and the fence, say.
///
/// ```
/// use async_trait::async_trait;
/// use lockgate_core::error::Source;
/// use lockgate_runtime::{Canceller, Leftover};
///
/// /// A backend that takes `cancel(id)` and answers whether anything of that id runs.
/// # struct Backend;
/// # impl Backend { async fn cancel(&self, _: String) -> Result<bool, Source> { Ok(false) } }
/// struct EndReports(Backend);
///
/// #[async_trait]
/// impl Canceller for EndReports {
///     async fn end(&self, leftovers: &[Leftover]) -> Result<Vec<Leftover>, Source> {
///         let mut ended = Vec::new();
///         for leftover in leftovers {
///             let id = format!("{}-{}", leftover.job, leftover.fence.0);
///             let runs_still = self.0.cancel(id).await?;
///             if !runs_still {
///                 ended.push(*leftover);
///             }
///         }
///         Ok(ended)
///     }
/// }
/// ```
#[async_trait]
pub trait Canceller: Send + Sync + 'static {
    /// Ends what the backend still does for these executions, and for earlier ones of the same jobs. Answers those for which
    /// the backend has confirmed that nothing runs and nothing can begin any more: their slots are free at once. The others
    /// drain on, and are asked for again.
    ///
    /// It is given up after 30 s.
    ///
    /// # Errors
    /// When the backend does not say: then all of them drain on.
    async fn end(&self, leftovers: &[Leftover]) -> Result<Vec<Leftover>, Source>;
}
