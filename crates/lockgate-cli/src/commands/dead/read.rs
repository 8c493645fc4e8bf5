//! `dead list` and `dead show`.

use clap::Args;
use lockgate::core::dead::DeadQuery;
use lockgate::core::text::printable_lines;
use serde::Serialize;

use super::{QueueArgs, find};
use crate::arguments::number;
use crate::commands::views::{DeadView, none};
use crate::context::CommandContext;
use crate::{Exit, Style};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    queues: QueueArgs,

    /// List at most this many of each queue
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = number(1, 100_000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Id of the dead letter
    id: String,

    #[command(flatten)]
    queues: QueueArgs,
}

#[derive(Debug, Serialize)]
struct DeadLettersOutput {
    letters: Vec<DeadView>,
}

#[derive(Debug, Serialize)]
struct DeadLetterOutput {
    letter: DeadView,
}

/// People see this many bytes of a body; JSON has all of it.
const MAX_BODY_BYTES: usize = 4_096;

impl ListArgs {
    pub(super) async fn run(self, context: &CommandContext) -> anyhow::Result<Exit> {
        let lockgate = context.lockgate().await?;
        let mut letters = Vec::new();
        let queues = self.queues.queues(context).await?;
        for queue in &queues {
            let query = DeadQuery { queue: queue.clone(), id: None, limit: self.limit };
            let of_queue = lockgate.engine.broker.dead(query).await?;
            letters.extend(of_queue.iter().map(|letter| DeadView::new(letter, lockgate.now())));
        }
        let output = DeadLettersOutput { letters };
        context.terminal().show(&output, |style| table(&output.letters, queues.len() > 1, style))?;
        Ok(Exit::Ok)
    }
}

impl ShowArgs {
    pub(super) async fn run(self, context: &CommandContext) -> anyhow::Result<Exit> {
        let lockgate = context.lockgate().await?;
        let queues = self.queues.queues(context).await?;
        let letter = find(lockgate, &queues, &self.id).await?;
        let output = DeadLetterOutput { letter: DeadView::new(&letter, lockgate.now()) };
        context.terminal().show(&output, |style| {
            let body = output.letter.body.as_deref().unwrap_or("(not a text)");
            format!("{}\n{}", output.letter.describe(style), truncate(body))
        })?;
        Ok(Exit::Ok)
    }
}

fn table(letters: &[DeadView], with_queue: bool, style: &Style) -> String {
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
        return style.table(["id", "reason", "kind", "age", "size", "detail"], letters.iter().map(row));
    }
    let rows = letters.iter().map(|letter| {
        let [id, reason, kind, age, size, detail] = row(letter);
        [id, letter.queue.clone(), reason, kind, age, size, detail]
    });
    style.table(["id", "queue", "reason", "kind", "age", "size", "detail"], rows)
}

/// Returns the beginning of a body without control characters.
fn truncate(body: &str) -> String {
    let end = body.floor_char_boundary(MAX_BODY_BYTES);
    match body.get(..end) {
        Some(start) if end < body.len() => {
            let more = body.len() - end;
            format!("{}\n.. and {more} more bytes; --output json prints all of it", printable_lines(start))
        }
        _ => printable_lines(body).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_body_is_truncated_between_characters_with_a_hint() {
        let body = "ü".repeat(MAX_BODY_BYTES);
        let shown = truncate(&format!("x{body}"));
        assert!(shown.ends_with("and 4098 more bytes; --output json prints all of it"), "{shown}");
        assert_eq!(truncate("{}"), "{}");
    }

    #[test]
    fn control_characters_of_a_body_are_escaped() {
        assert_eq!(truncate("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\n");
    }
}
