//! Recognizes files that are not UTF-8 text, so that the error can say what they are and how to convert them.

use std::io::{BufRead, Cursor, Read};

use lockgate_cli::Problem;

use super::records::{MAX_RECORD_BYTES, unreadable};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// First bytes of other formats, what they are, and how to convert them.
const FOREIGN: &[(&[u8], &str, &str)] = &[
    (b"\xff\xfe", "is UTF-16 text", "convert it with `iconv -f UTF-16 -t UTF-8`"),
    (b"\xfe\xff", "is UTF-16 text", "convert it with `iconv -f UTF-16 -t UTF-8`"),
    (b"\x1f\x8b", "is compressed with gzip", "pipe it in with `zcat FILE |` and give - as the file"),
    (
        b"\x28\xb5\x2f\xfd",
        "is compressed with zstd",
        "pipe it in with `zstdcat FILE |` and give - as the file",
    ),
    (b"PK\x03\x04", "is a ZIP archive or a spreadsheet", "extract it, or save it as CSV"),
];

/// Returns the text of an input without its byte order mark, and its first byte that is not white space, or
/// `None` if there is none.
///
/// # Errors
/// When the input cannot be read, is not UTF-8 text, or is a JSON array.
pub fn text(
    name: &str,
    mut input: Box<dyn BufRead + Send>,
) -> Result<(Box<dyn BufRead + Send>, Option<u8>), Problem> {
    let head = head(&mut *input).map_err(|error| unreadable(name, &error))?;
    if let Some((_, what, remedy)) = FOREIGN.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return Err(Problem::data(format!("{name} {what}; {remedy}")));
    }
    if head.iter().take(4).any(|byte| *byte == 0) {
        let text =
            "is UTF-16 or binary; convert it to UTF-8 text, for example with `iconv -f UTF-16LE -t UTF-8`";
        return Err(Problem::data(format!("{name} {text}")));
    }
    let start = if head.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let first = head.iter().skip(start).copied().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(b'[') {
        let text = "is a JSON array; give one JSON object a line, as `jq -c '.[]' FILE` writes them";
        return Err(Problem::data(format!("{name} {text}")));
    }
    let mut head = Cursor::new(head);
    head.set_position(u64::try_from(start).unwrap_or(0));
    Ok((Box::new(head.chain(input)), first))
}

/// Reads until the first byte that is not white space, but at least four bytes. A pipe may deliver a single
/// byte at a time.
fn head(input: &mut dyn BufRead) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while head.len() < MAX_RECORD_BYTES {
        let read = input.fill_buf()?;
        let length = read.len();
        if length == 0 {
            break;
        }
        head.extend_from_slice(read);
        input.consume(length);
        let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&head);
        if head.len() >= 4 && text.iter().any(|byte| !byte.is_ascii_whitespace()) {
            break;
        }
    }
    Ok(head)
}
