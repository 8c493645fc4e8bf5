//! A limit across processes: a shared ledger that hands out chunks, which are charged when they are handed out.
//!
//! However many processes draw, and whichever of them die, together they never exceed the limit: a token is charged
//! before anybody has it, and one that is not spent is given back or lost. The price is use, not accuracy: what lies
//! unspent in a chunk is missing elsewhere for as long as the chunk lasts.
//!
//! A store implements [`Chunks`]. Each call is one step of the store's, by the store's own clock: one script, one
//! transaction. What a store keeps of a namespace is the line's number (tokens issued, lifted by time) and the chunks
//! that are out, each with its tokens and its end.
//!
//! It must never trust a process's clock, nor hand out a token that is not charged.

mod limiter;
mod memory;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::error::Error;
use std::future::Future;
use std::time::Duration;

pub use limiter::{ChunkError, ChunkOptions, ChunkedLimiter};
pub use memory::MemoryChunks;

use crate::quota::Quota;

/// Number of a chunk, given by the store, never used twice in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId(pub u64);

/// A wish for a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Rate and burst of the whole namespace. All processes say the same; when they differ, the latest holds, and no
    /// token is created by it.
    pub quota: Quota,
    /// Tokens that are needed at least.
    pub least: u32,
    /// Tokens that are welcome: the store gives what it has, from `least` to this.
    pub most: u32,
    /// How long the chunk lasts by the store's clock. What is unspent then is lost.
    pub lasts: Duration,
    /// The chunk that this process had before, and its unspent tokens: given back in the same step.
    pub before: Option<(ChunkId, u32)>,
}

/// The store's answer to a [`Draw`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawn {
    /// A chunk. It is charged, and counts as part of the burst until it is given back or ends.
    Chunk {
        /// Its number.
        id: ChunkId,
        /// Its tokens.
        tokens: u32,
    },
    /// Fewer than the least are there. Nothing was charged; what came back was taken.
    Dry {
        /// When they are, if nobody else draws. `None` for more than a burst.
        retry_after: Option<Duration>,
    },
}

/// A ledger that several processes draw from.
///
/// An implementer keeps three rules, and the tests of the memory implementation show them:
///
/// 1. In one step: take `before` back, lift the line (`issued` is at least the full line plus all chunks that are out, as
///    they were before this step), charge, and write the chunk down.
/// 2. A chunk whose end has passed by the store's clock is forgotten with its tokens; one that is given back after that
///    changes nothing.
/// 3. A chunk is given back once: the same call again changes nothing.
///
/// No lock is held between calls, and a call that is lost on its way costs at most the chunk, until its end.
pub trait Chunks: Send + Sync {
    /// What the store could not do.
    type Error: Error + Send + Sync + 'static;

    /// Draws a chunk of the namespace's tokens.
    fn draw(&self, namespace: &str, draw: Draw) -> impl Future<Output = Result<Drawn, Self::Error>> + Send;

    /// Gives the unspent tokens of a chunk back, before a process ends or falls idle.
    fn give_back(
        &self,
        namespace: &str,
        chunk: ChunkId,
        unspent: u32,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
