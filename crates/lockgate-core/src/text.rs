//! Makes text from outside safe to print: names of kinds, headers, reasons and payloads come from anybody who
//! can send a message, and a terminal obeys the control characters in them.

use std::borrow::Cow;

/// Returns whether a terminal or a reader could be misled by the character: control characters (C0, DEL, C1),
/// which move the cursor or change the title, and characters that change the direction of the text around
/// them or are not visible as a line break.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Returns the text as one printable line: a line break or a tab becomes a blank, every other character that
/// is [unprintable](is_unprintable) is written as `\u{1b}`.
///
/// ```
/// use lockgate_core::text::printable;
///
/// assert_eq!(printable("plain"), "plain");
/// assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb c");
/// ```
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    replace(text, |c| is_unprintable(c).then_some(if is_blank(c) { Shown::Blank } else { Shown::Escape }))
}

/// Returns the text with its line breaks and tabs, and every other character made safe as [`printable`] does.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    replace(text, |c| (is_unprintable(c) && !matches!(c, '\n' | '\t')).then_some(Shown::Escape))
}

#[derive(Clone, Copy)]
enum Shown {
    Blank,
    Escape,
}

fn is_blank(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}')
}

fn replace(text: &str, how: impl Fn(char) -> Option<Shown>) -> Cow<'_, str> {
    if !text.chars().any(|c| how(c).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match how(c) {
            None => safe.push(c),
            Some(Shown::Blank) => safe.push(' '),
            Some(Shown::Escape) => safe.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_bidi_controls_are_written_out() {
        for (text, shown) in [
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}"),
            ("one\r\ntwo\tthree", "one  two three"),
            ("ünï 👩‍👩‍👧 漢字", "ünï 👩‍👩‍👧 漢字"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable_lines("{\n\t1\r\u{8}}"), "{\n\t1\\u{d}\\u{8}}");
    }
}
