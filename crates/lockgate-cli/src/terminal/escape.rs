//! What is left of text for a terminal after everything in it that a terminal would obey was written out.

use std::fmt::Write;

use lockgate::core::text::{is_unprintable, printable_lines};

/// Returns text for people without control characters, but for line breaks and the colours that this program itself puts
/// there: `ESC [ digits m` changes nothing but the look of what follows.
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

/// Returns JSON text in which every character that a terminal would obey is escaped as JSON does: the document means the
/// same.
pub(super) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Only between tokens: inside a string a line break is escaped already.
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
    fn colours_stay_and_other_sequences_are_written_out() {
        assert_eq!(all_but_colours("\u{1b}[1;31mred\u{1b}[0m\n"), "\u{1b}[1;31mred\u{1b}[0m\n");
        assert_eq!(all_but_colours("\u{1b}[2J\u{1b}[31"), "\\u{1b}[2J\\u{1b}[31");
        assert_eq!(all_but_colours("\u{1b}]0;x\u{7}"), "\\u{1b}]0;x\\u{7}");
    }

    #[test]
    fn json_means_the_same_and_holds_no_control_character() {
        let value = serde_json::json!({ "a\u{9b}": ["\u{1b}[2J", "\u{7f}\u{202e}\n", "漢字"] });
        let text = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.chars().all(|c| c == '\n' || !is_unprintable(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
