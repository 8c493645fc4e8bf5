//! `dead list` and `dead show`.
//!
//! They must never move a dead letter.

use clap::Args;
use lockgate::core::dead::DeadQuery;
use lockgate::core::text::printable_lines;
use serde::Serialize;

use super::{Where, find};
use crate::arguments::number;
use crate::commands::views::{DeadView, none};
use crate::session::Session;
use crate::{Exit, Look};

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: Where,

    /// At most so many of each queue
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = number(1, 100_000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its id, as `dead list` tells it
    id: String,

    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Serialize)]
struct Listed {
    letters: Vec<DeadView>,
}

#[derive(Debug, Serialize)]
struct Shown {
    letter: DeadView,
}

/// Of a body for people; a program gets it whole.
const SHOWN_BYTES: usize = 4_096;

impl List {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let lockgate = session.lockgate().await?;
        let mut letters = Vec::new();
        let queues = self.place.queues(session).await?;
        for queue in &queues {
            let query = DeadQuery { queue: queue.clone(), id: None, limit: self.limit };
            let found = lockgate.engine.broker.dead(query).await?;
            letters.extend(found.iter().map(|letter| DeadView::new(letter, lockgate.now())));
        }
        let listed = Listed { letters };
        session.terminal().show(&listed, |look| table(&listed.letters, queues.len() > 1, look))?;
        Ok(Exit::Ok)
    }
}

impl Show {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let lockgate = session.lockgate().await?;
        let queues = self.place.queues(session).await?;
        let letter = find(lockgate, &queues, &self.id).await?;
        let shown = Shown { letter: DeadView::new(&letter, lockgate.now()) };
        session.terminal().show(&shown, |look| {
            let body = shown.letter.body.as_deref().unwrap_or("(it is no text)");
            format!("{}\n{}", shown.letter.describe(look), cut(body))
        })?;
        Ok(Exit::Ok)
    }
}

fn table(letters: &[DeadView], with_queue: bool, look: &Look) -> String {
    if letters.is_empty() {
        return String::from("There are no dead letters. (Failed jobs: `jobs list --state failed`.)");
    }
    let row = |letter: &DeadView| {
        let kind = letter.kind.clone().unwrap_or_else(none);
        [
            letter.id.clone(),
            letter.reason.to_string(),
            kind,
            letter.age(),
            letter.size(),
            letter.detail.clone(),
        ]
    };
    if !with_queue {
        return look.table(["id", "reason", "kind", "age", "size", "detail"], letters.iter().map(row));
    }
    let rows = letters.iter().map(|letter| {
        let [id, reason, kind, age, size, detail] = row(letter);
        [id, letter.queue.clone(), reason, kind, age, size, detail]
    });
    look.table(["id", "queue", "reason", "kind", "age", "size", "detail"], rows)
}

/// A body for a terminal: so much of it, and nothing that a terminal would obey.
fn cut(body: &str) -> String {
    let end = body.floor_char_boundary(SHOWN_BYTES);
    match body.get(..end) {
        Some(start) if end < body.len() => {
            let more = body.len() - end;
            format!("{}\n.. and {more} bytes more; --output json has all of it", printable_lines(start))
        }
        _ => printable_lines(body).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_body_is_cut_between_characters_and_says_so() {
        let body = "ü".repeat(SHOWN_BYTES);
        let shown = cut(&format!("x{body}"));
        assert!(shown.ends_with("and 4098 bytes more; --output json has all of it"), "{shown}");
        assert_eq!(cut("{}"), "{}");
    }

    #[test]
    fn a_terminal_obeys_no_body() {
        assert_eq!(cut("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\n");
    }
}
