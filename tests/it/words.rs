//! The words of the repository: plain technical English, one word for one thing (docs/glossary.md).
//!
//! A word on the list below was replaced everywhere by the one next to it. An exception needs a reason.

use std::path::Path;

use support::{Context, Result};

use crate::files::{files, is_test, root};

/// A word that names nothing here any more, alone or as a part of an identifier, and what to write instead.
const WORDS: &[(&str, &str)] = &[
    ("adopt", "ingest"),
    ("adopted", "ingested"),
    ("adopts", "ingests"),
    ("adoption", "ingestion"),
    ("advice", "recommendation"),
    ("astray", "unclaimed"),
    ("bury", "resolve"),
    ("chunk", "token batch, portion"),
    ("crew", "workers"),
    ("crowd", "wait queue"),
    ("desk", "transaction, cache, prologue, driver"),
    ("founded", "initialized"),
    ("inbox", "external run"),
    ("leftover", "orphaned query"),
    ("leftovers", "orphaned queries"),
    ("magazine", "local cache"),
    ("muster", "spawn"),
    ("patience", "reconnect backoff, timeout"),
    ("pulse", "heartbeat"),
    ("rhythm", "cadence"),
    ("stand_in", "fake backend"),
    ("tally", "counters"),
    ("turnstile", "write lock"),
    ("veto", "back-off"),
    ("wakeup", "notification"),
    ("wakeups", "notifications"),
    ("wake_up", "notification"),
    ("wake_ups", "notifications"),
];

/// A phrase that needs a second reading, and what to write instead.
const PHRASES: &[(&str, &str)] = &[
    ("it must never", "the rule itself, or nothing"),
    ("for ever", "forever"),
    ("so long", "as long as, this long"),
    ("so many", "as many as, this many"),
    ("put off", "deferred"),
    ("puts off", "defers"),
    ("at hand", "in flight"),
    ("beside", "alongside, next to"),
    ("way out", "remedy"),
    ("of late", "recently"),
    ("told of", "informed of, reported"),
    ("in line", "in the wait queue"),
];

/// Where a banned word is right, and why: a part of a path, the word, the reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("tests/it/words.rs", "", "lists the words"),
    ("migrations/", "", "an applied migration is identified by its text"),
    ("workers/spike-projection/src/usage/", "chunk", "reqwest's name for a part of a body"),
    ("crates/lockgate-core/src/retry.rs", "width", "a line of an example"),
    ("crates/lockgate-limits/src/adaptive.rs", "width", "a line of an example"),
    ("crates/lockgate-limits/src/lib.rs", "width", "rows of a table"),
];

/// The longest line of a comment: as wide as code.
const WIDTH: usize = 110;

/// Words that add nothing to a name in its doc comment.
const EMPTY: &[&str] = &["a", "an", "the", "its", "this", "that", "which", "of", "one", "some"];

#[test]
fn banned_words_stay_out_of_names_and_prose() -> Result {
    let mut bad = Vec::new();
    for (name, text) in texts()? {
        for (number, line) in text.lines().enumerate() {
            let words = banned_words(line).into_iter().chain(banned_phrases(line));
            let words = words.filter(|(word, _)| !is_allowed(&name, word));
            bad.extend(words.map(|(word, instead)| {
                format!("{name}:{}: {word:?}: write {instead}: {}", number + 1, line.trim())
            }));
        }
    }
    assert!(bad.is_empty(), "{} places\n{}", bad.len(), bad.join("\n"));
    Ok(())
}

#[test]
fn sentences_name_their_subject() -> Result {
    let mut bad = Vec::new();
    for (name, text) in texts()? {
        let lines = text.lines().enumerate().filter(|(_, line)| begins_with_who(line));
        let lines = lines.filter(|_| !is_allowed(&name, "who"));
        bad.extend(lines.map(|(number, line)| format!("{name}:{}: {}", number + 1, line.trim())));
    }
    assert!(bad.is_empty(), "name the subject instead of `who`:\n{}", bad.join("\n"));
    Ok(())
}

#[test]
fn comments_are_no_wider_than_code() -> Result {
    let mut bad = Vec::new();
    for extension in ["rs", "sql", "lua"] {
        for file in files(extension)? {
            let name = relative(&file)?;
            if is_allowed(&name, "width") {
                continue;
            }
            let text = std::fs::read_to_string(&file)?;
            let wide = text.lines().enumerate().filter(|(_, line)| is_wide_comment(line));
            bad.extend(wide.map(|(number, line)| format!("{name}:{}: {}", number + 1, line.trim())));
        }
    }
    assert!(bad.is_empty(), "{} comments are wider than {WIDTH}\n{}", bad.len(), bad.join("\n"));
    Ok(())
}

#[test]
fn doc_comments_say_more_than_the_name() -> Result {
    let mut bad = Vec::new();
    for file in files("rs")?.into_iter().filter(|file| !is_test(file)) {
        let (name, text) = (relative(&file)?, std::fs::read_to_string(&file)?);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (number, part) in lines.windows(3).enumerate() {
            let [before, doc, item] = part else { continue };
            if !before.starts_with("///") && says_only_the_name(doc, item) {
                bad.push(format!("{name}:{}: {doc}", number + 2));
            }
        }
    }
    assert!(bad.is_empty(), "{} doc comments repeat a name\n{}", bad.len(), bad.join("\n"));
    Ok(())
}

#[test]
fn each_rule_finds_what_it_forbids() {
    assert_eq!(banned_words("let StandIn = crew_of(x); // stand-in").len(), 3);
    assert_eq!(banned_words("standing crews, chunks(2), advices").len(), 0);
    assert_eq!(banned_phrases("/// It must never wait for ever.").len(), 2);
    assert_eq!(banned_phrases("forever, besides, inline").len(), 0);
    assert!(begins_with_who("    /// Who waits stands behind."));
    assert!(begins_with_who("-- It is granted. Whoever waits gets it."));
    assert!(!begins_with_who("| Who holds the slots? | `slots holders` |"));
    assert!(!begins_with_who("/// The process who waits."));
    assert!(is_wide_comment(&format!("    /// {}", "x".repeat(WIDTH))));
    assert!(!is_wide_comment(&format!("    /// {}", "x".repeat(WIDTH - 8))));
    assert!(says_only_the_name("/// Its id.", "pub id: JobId,"));
    assert!(says_only_the_name("/// The batch size.", "pub batch_size: u32,"));
    assert!(!says_only_the_name("/// Jobs per batch, at least 1.", "pub batch_size: u32,"));
}

fn banned_words(line: &str) -> Vec<(&'static str, &'static str)> {
    let separator = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let names: Vec<String> = line.split(separator).map(|token| format!("_{}_", snake(token))).collect();
    let hits = |word: &str| names.iter().filter(|name| name.contains(&format!("_{word}_"))).count();
    WORDS.iter().flat_map(|pair| std::iter::repeat_n(*pair, hits(pair.0))).collect()
}

fn banned_phrases(line: &str) -> Vec<(&'static str, &'static str)> {
    let line = line.to_lowercase();
    PHRASES.iter().filter(|(phrase, _)| has_phrase(&line, phrase)).copied().collect()
}

fn has_phrase(line: &str, phrase: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
    line.match_indices(phrase).any(|(at, _)| {
        let (before, after) = (line.get(..at).unwrap_or(""), line.get(at + phrase.len()..).unwrap_or(""));
        !is_word(before.chars().next_back()) && !is_word(after.chars().next())
    })
}

/// `StandIn`, `stand-in` and `STAND_IN` as `stand_in`.
fn snake(token: &str) -> String {
    let mut snake = String::new();
    let mut was_lower = false;
    for c in token.chars() {
        if c.is_ascii_uppercase() && was_lower {
            snake.push('_');
        }
        was_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        snake.push(if c == '-' { '_' } else { c.to_ascii_lowercase() });
    }
    snake
}

fn begins_with_who(line: &str) -> bool {
    let text = line.trim_start_matches(|c: char| !c.is_alphanumeric());
    let is_prose = !line.contains('?');
    let starts = |text: &str| text.starts_with("Who ") || text.starts_with("Whoever ");
    is_prose && (starts(text) || line.split(". ").skip(1).any(starts))
}

fn is_wide_comment(line: &str) -> bool {
    let text = line.trim_start();
    (text.starts_with("//") || text.starts_with("--"))
        && line.chars().count() > WIDTH
        && !line.contains("://")
}

/// Whether a doc comment of one line has no word that the name of its item lacks.
fn says_only_the_name(doc: &str, item: &str) -> bool {
    let Some(doc) = doc.strip_prefix("/// ") else { return false };
    let item = item.trim_start_matches("pub ").trim_start_matches("async ").trim_start_matches("fn ");
    let name: String = item.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let name = snake(&name);
    let name: Vec<&str> = name.split('_').collect();
    let words = doc.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    let words: Vec<String> =
        words.filter(|word| !word.is_empty() && !EMPTY.contains(&word.as_str())).collect();
    !words.is_empty() && words.iter().all(|word| name.contains(&word.as_str()))
}

fn is_allowed(file: &str, word: &str) -> bool {
    ALLOWED.iter().any(|(path, of, _)| file.starts_with(path) && (of.is_empty() || *of == word))
}

/// Every text that people write, by its path.
fn texts() -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for extension in ["rs", "sql", "lua", "md", "toml", "py", "sh", "yml", "yaml"] {
        for file in files(extension)? {
            all.push((relative(&file)?, std::fs::read_to_string(&file)?));
        }
    }
    Ok(all)
}

fn relative(file: &Path) -> Result<String> {
    let inside = file.strip_prefix(root()).context("a file outside the repository")?;
    Ok(inside.to_string_lossy().into_owned())
}
