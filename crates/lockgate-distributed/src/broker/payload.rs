//! Checks that the body of a message can be a payload: not too long, UTF-8, JSON, not nested too deeply.
//!
//! The check runs before any parser sees the body, and does not recurse, because deep nesting could overflow
//! the stack.

use lockgate_core::broker::Rejection;
use lockgate_core::dead::{DeadReason, MAX_DEPTH};
use lockgate_core::envelope::MAX_PAYLOAD_BYTES;
use serde::de::IgnoredAny;

/// Returns the body as text, or the first error.
pub(super) fn check(body: &[u8]) -> Result<&str, Rejection> {
    let bytes = body.len();
    if bytes > MAX_PAYLOAD_BYTES {
        let detail = format!("its body has {bytes} bytes, at most {MAX_PAYLOAD_BYTES} are allowed");
        return Err(Rejection::new(DeadReason::Oversized, format!("{detail}; send a reference to the data")));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        let detail = format!("its body is not UTF-8 text: byte {} is wrong", error.valid_up_to());
        Rejection::new(DeadReason::NotUtf8, detail)
    })?;
    if is_too_deep(text) {
        let detail = format!("its JSON is nested deeper than {MAX_DEPTH} levels");
        return Err(Rejection::new(DeadReason::TooDeep, detail));
    }
    // Validates without keeping anything, and without recursion.
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(text),
        Err(_) if text.trim().is_empty() => Err(malformed("its body is empty; without a payload, send null")),
        Err(error) => Err(malformed(format!("its body is not JSON: {error}"))),
    }
}

fn malformed(detail: impl Into<String>) -> Rejection {
    Rejection::new(DeadReason::Malformed, detail)
}

/// Counts brackets outside of strings. Whether they match is left to the parser.
fn is_too_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth = depth.saturating_add(1);
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reason(body: impl AsRef<[u8]>) -> Option<DeadReason> {
        check(body.as_ref()).err().map(|unreadable| unreadable.reason)
    }

    #[test]
    fn json_is_a_payload() {
        for body in ["{}", "null", "[1, \"a\"]", " 1 ", "\"\\u0000\""] {
            assert_eq!(check(body.as_bytes()), Ok(body));
        }
    }

    #[test]
    fn each_error_has_its_reason() {
        assert_eq!(reason(vec![b' '; MAX_PAYLOAD_BYTES + 1]), Some(DeadReason::Oversized));
        assert_eq!(reason([b'"', 0xff, b'"']), Some(DeadReason::NotUtf8));
        for malformed in ["", "{", "{'a': 1}", "{} {}", "a\0b", "]]]"] {
            assert_eq!(reason(malformed), Some(DeadReason::Malformed), "{malformed:?}");
        }
    }

    #[test]
    fn body_of_the_maximum_length_is_a_payload() {
        let body = format!("\"{}\"", "x".repeat(MAX_PAYLOAD_BYTES - 2));
        assert_eq!(reason(body), None);
    }

    #[test]
    fn sixty_four_levels_are_a_payload_and_one_more_is_not() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(reason(nested(MAX_DEPTH)), None);
        assert_eq!(reason(nested(MAX_DEPTH + 1)), Some(DeadReason::TooDeep));
        assert_eq!(reason("[".repeat(100_000)), Some(DeadReason::TooDeep));
    }

    #[test]
    fn brackets_in_strings_do_not_count_as_levels() {
        let body = format!("\"\\\"{}\\\\\"", "[{".repeat(1_000));
        assert_eq!(reason(body), None);
    }

    #[test]
    fn rejection_describes_the_error() {
        let text = |body: &[u8]| check(body).unwrap_err().to_string();
        assert_eq!(text(b""), "malformed: its body is empty; without a payload, send null");
        assert_eq!(text(b"{\"a\" 1}"), "malformed: its body is not JSON: expected `:` at line 1 column 6");
        assert_eq!(text(b"ab\xff"), "not-utf8: its body is not UTF-8 text: byte 2 is wrong");
    }

    proptest! {
        #[test]
        fn payload_is_what_a_json_parser_accepts(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let parsed = serde_json::from_slice::<serde_json::Value>(&body);
            if check(&body).is_ok() {
                prop_assert!(parsed.is_ok() || parsed.is_err_and(|e| e.to_string().contains("number out of range")));
            } else {
                prop_assert!(parsed.is_err());
            }
        }

        #[test]
        fn no_text_panics(body in "[\\[\\]{}\"\\\\:,0-9a-f ]{0,300}") {
            drop(check(body.as_bytes()));
        }
    }
}
