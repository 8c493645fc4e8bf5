//! Pushes to the sessions of this process: from the store, and of what their own calls granted them.
//!
//! It must never say that a session listens when no push can reach it: the store grants to whoever listens. A push is
//! only a hint, and the heartbeat says it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Lease, Notification, SlotRequest};
use lockgate_core::slots::Notifications;
use lockgate_core::{Fence, SessionId};
use redis::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::failure::engine_error;
use super::link::Link;
use super::reply;

const DOING: &str = "waiting for wake-ups";

/// Pushes that a session has not read yet. More are dropped: the heartbeat says them again.
const UNREAD: usize = 1_024;

/// Who of this process listens.
pub(super) struct Board {
    channels: String,
    lines: Mutex<HashMap<SessionId, Line>>,
}

struct Line {
    wakes: mpsc::Sender<Notification>,
    /// Whether the store pushes to it now.
    listens: bool,
}

impl Board {
    pub(super) fn new(namespace: &str) -> Self {
        Self { channels: format!("{{lockgate:{namespace}}}:wake:"), lines: Mutex::default() }
    }

    /// The channel of a session, or what all of them begin with.
    pub(super) fn channel_of(&self, session: Option<SessionId>) -> String {
        session.map_or_else(|| self.channels.clone(), |session| format!("{}{session}", self.channels))
    }

    /// The channels of all sessions here.
    pub(super) fn channels(&self) -> Vec<String> {
        self.lines().keys().map(|session| self.channel_of(Some(*session))).collect()
    }

    pub(super) fn listens(&self, session: SessionId) -> bool {
        self.lines().get(&session).is_some_and(|line| line.listens && !line.wakes.is_closed())
    }

    pub(super) fn all_listen(&self) {
        self.lines().values_mut().for_each(|line| line.listens = true);
    }

    pub(super) fn nobody_listens(&self) {
        self.lines().values_mut().for_each(|line| line.listens = false);
    }

    /// A push of the store: channel and message.
    pub(super) fn hear(&self, data: &[Value]) {
        let [Value::BulkString(channel), Value::BulkString(message)] = data else { return };
        let session = std::str::from_utf8(channel).ok().and_then(|name| name.strip_prefix(&self.channels));
        let Some(session) = session.and_then(|id| id.parse().ok()) else { return };
        match std::str::from_utf8(message).ok().and_then(wake) {
            Some(wake) => self.push(session, wake),
            None => tracing::warn!("a push of the slot store is not understood"),
        }
    }

    /// What a session's own call granted it: no push goes out for that.
    pub(super) fn hand_over(&self, session: SessionId, told: Value) {
        let Ok(rows) = reply::rows(DOING, told) else { return };
        for mut row in rows {
            match row.lease() {
                Ok(lease) => self.push(session, Notification::Granted(lease)),
                Err(error) => tracing::warn!(%error, "a grant of the slot store is not understood"),
            }
        }
    }

    fn push(&self, session: SessionId, wake: Notification) {
        if let Some(line) = self.lines().get(&session) {
            // Only a hint: whom it does not reach learns it by its heartbeat.
            line.wakes.try_send(wake).ok();
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<SessionId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(message: &str) -> Option<Notification> {
    if let Some(lease) = message.strip_prefix('s') {
        return lease.parse().ok().map(Notification::Stop);
    }
    let (fence, request) = message.strip_prefix('g')?.split_once('\u{1}')?;
    let request: SlotRequest = serde_json::from_str(request).ok()?;
    Some(Notification::Granted(Lease { request, fence: Fence(fence.parse().ok()?) }))
}

impl Link {
    /// Subscribes a session. The stream outlives the connection: who subscribed is subscribed again.
    pub(super) async fn listen(&self, session: SessionId) -> Result<Box<dyn Notifications>, EngineError> {
        let (sender, wakes) = mpsc::channel(UNREAD);
        self.board.lines().insert(session, Line { wakes: sender, listens: false });
        let subscribe = async {
            let live = self.live().await?;
            live.subscribe(&[self.board.channel_of(Some(session))]).await
        };
        let late = || redis::RedisError::from((redis::ErrorKind::Io, "no answer in time"));
        let subscribed = timeout(self.response, subscribe).await.unwrap_or_else(|_| Err(late()));
        if let Err(error) = subscribed {
            self.board.lines().remove(&session);
            self.doubt.notify_one();
            return Err(engine_error("asking for wake-ups", error));
        }
        if let Some(line) = self.board.lines().get_mut(&session) {
            line.listens = true;
        }
        Ok(Box::new(Pushes { wakes, board: Arc::clone(&self.board) }))
    }

    /// Ends a session's subscription.
    pub(super) async fn ignore(&self, session: SessionId) {
        if self.board.lines().remove(&session).is_none() {
            return;
        }
        let channel = self.board.channel_of(Some(session));
        let unsubscribe = async { self.live().await?.unsubscribe(&channel).await };
        if !matches!(timeout(self.response, unsubscribe).await, Ok(Ok(()))) {
            tracing::debug!(%session, "not unsubscribed; nobody is pushed to there any more");
        }
    }
}

/// The pushes to one session.
struct Pushes {
    wakes: mpsc::Receiver<Notification>,
    // What pushes must be there as long as who reads.
    #[expect(dead_code, reason = "kept alive with the stream")]
    board: Arc<Board>,
}

#[async_trait]
impl Notifications for Pushes {
    async fn next(&mut self) -> Result<Vec<Notification>, EngineError> {
        let closed = || EngineError::Failed {
            doing: DOING.to_owned(),
            source: "the session is closed, or listens elsewhere".into(),
        };
        let mut wakes = vec![self.wakes.recv().await.ok_or_else(closed)?];
        while let Ok(wake) = self.wakes.try_recv() {
            wakes.push(wake);
        }
        Ok(wakes)
    }
}
