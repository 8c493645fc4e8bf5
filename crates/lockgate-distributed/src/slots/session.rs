//! Opens and closes sessions. A session id is never reused.

use lockgate_core::SessionId;
use lockgate_core::error::EngineError;
use lockgate_core::lease::Session;
use uuid::Uuid;

use super::call::{Args, Caller};
use super::script::Script;
use super::{RedisSlots, heartbeat, reply};

impl RedisSlots {
    pub(super) async fn open_session(&self, process: &str) -> Result<Session, EngineError> {
        let id = SessionId(Uuid::now_v7());
        // A zero character would end the text in the scripts' encoded entries.
        let caller = Caller { session: id, process: process.replace('\0', "") };
        heartbeat::send(&self.link, &caller, &[], &[]).await?;
        self.processes().insert(id, caller.process);
        Ok(Session { id, timing: self.timing })
    }

    pub(super) async fn close_session(&self, session: &Session) -> Result<(), EngineError> {
        self.processes().remove(&session.id);
        self.link.ignore(session.id).await;
        loop {
            let answer = self.link.call(Script::Close, Some(session.id), &Args::default()).await?;
            let more = reply::row(Script::Close.doing(), answer)?.integer()?;
            if more == 0 {
                return Ok(());
            }
        }
    }
}
