//! Notifications to the sessions of this process: pushes of the store, and grants that their own calls
//! returned.
//!
//! A session counts as listening only while a push can reach it, because the store grants to sessions that
//! listen. A notification is only a hint: the next heartbeat reports the same.

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

const DOING: &str = "waiting for notifications";

/// Notifications that a session has not read yet. More are dropped, and the next heartbeat reports them.
const UNREAD: usize = 1_024;

/// The sessions of this process that listen.
pub(super) struct Listeners {
    channels: String,
    sessions: Mutex<HashMap<SessionId, Listener>>,
}

struct Listener {
    notifications: mpsc::Sender<Notification>,
    /// Whether the store's pushes reach this session now.
    listens: bool,
}

impl Listeners {
    pub(super) fn new(namespace: &str) -> Self {
        Self { channels: format!("{{lockgate:{namespace}}}:wake:"), sessions: Mutex::default() }
    }

    /// Returns the channel of a session, or the prefix of all channels.
    pub(super) fn channel_of(&self, session: Option<SessionId>) -> String {
        session.map_or_else(|| self.channels.clone(), |session| format!("{}{session}", self.channels))
    }

    /// Returns the channels of all sessions of this process.
    pub(super) fn channels(&self) -> Vec<String> {
        self.sessions().keys().map(|session| self.channel_of(Some(*session))).collect()
    }

    pub(super) fn listens(&self, session: SessionId) -> bool {
        self.sessions()
            .get(&session)
            .is_some_and(|listener| listener.listens && !listener.notifications.is_closed())
    }

    pub(super) fn all_listen(&self) {
        self.sessions().values_mut().for_each(|listener| listener.listens = true);
    }

    pub(super) fn nobody_listens(&self) {
        self.sessions().values_mut().for_each(|listener| listener.listens = false);
    }

    /// Receives a push of the store: channel and message.
    pub(super) fn receive_push(&self, data: &[Value]) {
        let [Value::BulkString(channel), Value::BulkString(message)] = data else { return };
        let session = std::str::from_utf8(channel).ok().and_then(|name| name.strip_prefix(&self.channels));
        let Some(session) = session.and_then(|id| id.parse().ok()) else { return };
        match std::str::from_utf8(message).ok().and_then(notification) {
            Some(notification) => self.push(session, notification),
            None => tracing::warn!("push of the slot store not understood"),
        }
    }

    /// Delivers what a call granted to its own session, since the store pushes nothing for that.
    pub(super) fn deliver_grants(&self, session: SessionId, own_grants: Value) {
        let Ok(rows) = reply::rows(DOING, own_grants) else { return };
        for mut row in rows {
            match row.lease() {
                Ok(lease) => self.push(session, Notification::Granted(lease)),
                Err(error) => tracing::warn!(%error, "grant of the slot store not understood"),
            }
        }
    }

    fn push(&self, session: SessionId, notification: Notification) {
        if let Some(listener) = self.sessions().get(&session) {
            // Only a hint: the next heartbeat reports what does not fit here.
            listener.notifications.try_send(notification).ok();
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Listener>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn notification(message: &str) -> Option<Notification> {
    if let Some(lease) = message.strip_prefix('s') {
        return lease.parse().ok().map(Notification::Stop);
    }
    let (fence, request) = message.strip_prefix('g')?.split_once('\u{1}')?;
    let request: SlotRequest = serde_json::from_str(request).ok()?;
    Some(Notification::Granted(Lease { request, fence: Fence(fence.parse().ok()?) }))
}

impl Link {
    /// Subscribes a session. The stream outlives the connection, because a reconnect subscribes again.
    pub(super) async fn listen(&self, session: SessionId) -> Result<Box<dyn Notifications>, EngineError> {
        let (sender, notifications) = mpsc::channel(UNREAD);
        self.listeners.sessions().insert(session, Listener { notifications: sender, listens: false });
        let subscribe = async {
            let connection = self.connection().await?;
            connection.subscribe(&[self.listeners.channel_of(Some(session))]).await
        };
        let late = || redis::RedisError::from((redis::ErrorKind::Io, "no reply within the response timeout"));
        let subscribed = timeout(self.response, subscribe).await.unwrap_or_else(|_| Err(late()));
        if let Err(error) = subscribed {
            self.listeners.sessions().remove(&session);
            self.suspect.notify_one();
            return Err(engine_error("subscribing to notifications", error));
        }
        if let Some(listener) = self.listeners.sessions().get_mut(&session) {
            listener.listens = true;
        }
        Ok(Box::new(Pushes { notifications, listeners: Arc::clone(&self.listeners) }))
    }

    /// Ends a session's subscription.
    pub(super) async fn ignore(&self, session: SessionId) {
        if self.listeners.sessions().remove(&session).is_none() {
            return;
        }
        let channel = self.listeners.channel_of(Some(session));
        let unsubscribe = async { self.connection().await?.unsubscribe(&channel).await };
        if !matches!(timeout(self.response, unsubscribe).await, Ok(Ok(()))) {
            tracing::debug!(%session, "unsubscribe failed; nothing is pushed to this session any more");
        }
    }
}

/// The notifications of one session.
struct Pushes {
    notifications: mpsc::Receiver<Notification>,
    // Pushes are routed by the listeners, which must live as long as the stream.
    #[expect(dead_code, reason = "kept alive with the stream")]
    listeners: Arc<Listeners>,
}

#[async_trait]
impl Notifications for Pushes {
    async fn next(&mut self) -> Result<Vec<Notification>, EngineError> {
        let closed = || EngineError::Failed {
            doing: DOING.to_owned(),
            source: "the session is closed, or another stream listens for it".into(),
        };
        let mut notifications = vec![self.notifications.recv().await.ok_or_else(closed)?];
        while let Ok(notification) = self.notifications.try_recv() {
            notifications.push(notification);
        }
        Ok(notifications)
    }
}
