//! Escapes characters that a terminal would interpret.

use std::fmt::Write;

use lockgate::core::text::{is_unprintable, printable_lines};

/// Replaces control characters in text for people. Line breaks and colours stay: `ESC [ digits m`, which this
/// program itself writes, only changes the colour of the text after it.
pub(super) fn all_but_colours(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        safe.push_str(&printable_lines(before));
        let end = after.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(after.len());
        match (after.get(..end), after.get(end..).and_then(|after| after.strip_prefix('m'))) {
            (Some(numbers), Some(after)) => {
                let _infallible = write!(safe, "\u{1b}[{numbers}m");
                rest = after;
            }
            _ => {
                safe.push_str(&printable_lines("\u{1b}["));
                rest = after;
            }
        }
    }
    safe.push_str(&printable_lines(rest));
    safe
}

/// Escapes control characters in JSON text as JSON does. The document keeps its meaning.
pub(super) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // A line break between tokens. Inside a string it is already escaped.
            '\n' => safe.push(c),
            c if is_unprintable(c) => {
                let _infallible = write!(safe, "\\u{:04x}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_and_other_sequences_are_escaped() {
        assert_eq!(all_but_colours("\u{1b}[1;31mred\u{1b}[0m\n"), "\u{1b}[1;31mred\u{1b}[0m\n");
        assert_eq!(all_but_colours("\u{1b}[2J\u{1b}[31"), "\\u{1b}[2J\\u{1b}[31");
        assert_eq!(all_but_colours("\u{1b}]0;x\u{7}"), "\\u{1b}]0;x\\u{7}");
    }

    #[test]
    fn json_keeps_its_meaning_and_contains_no_control_character() {
        let value = serde_json::json!({ "a\u{9b}": ["\u{1b}[2J", "\u{7f}\u{202e}\n", "漢字"] });
        let text = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.chars().all(|c| c == '\n' || !is_unprintable(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
