//! Formats tables: a line for each row, truncated to the width of the terminal.

use console::{Term, measure_text_width, truncate_str};
use lockgate::core::text::printable;

/// Spaces between two columns.
const GAP: usize = 2;
/// No column is truncated below this width. A narrower terminal gets longer lines.
const MIN_WIDTH: usize = 8;
/// Columns of sentences are truncated down to this width before any name or id is.
const MIN_PROSE_WIDTH: usize = 16;
/// Ends a truncated cell.
const ELLIPSIS: &str = "…";

/// Returns the width of the terminal on standard output, in columns. `None`: it is no terminal, or the width
/// is unknown.
pub(super) fn terminal_width() -> Option<u16> {
    Term::stdout().size_checked().map(|(_, columns)| columns).filter(|columns| *columns > 0)
}

/// Formats a table. A width of `None` truncates nothing.
pub(super) fn render(
    width: Option<u16>,
    headers: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> String {
    let max_width = width.map(usize::from);
    let head = headers.iter().map(|header| header.to_uppercase()).collect();
    let cells: Vec<Vec<String>> =
        std::iter::once(head).chain(rows.map(|row| printable_cells(row, max_width))).collect();
    let mut columns = columns(&cells);
    if let Some(max_width) = max_width {
        fit(&mut columns, max_width);
    }
    let lines = cells.iter().map(|row| line(row, &columns));
    lines.collect::<Vec<_>>().join("\n")
}

struct Column {
    width: usize,
    /// Whether the column contains sentences. Names and ids are copied into the next command, so they are
    /// truncated last.
    is_prose: bool,
}

/// Replaces control characters, and cuts each cell to the width of the whole table, so that a long text costs
/// little to measure.
fn printable_cells(row: Vec<String>, max_width: Option<usize>) -> Vec<String> {
    row.into_iter()
        .map(|cell| match max_width {
            // Eight bytes per column: a character has up to four bytes, and some characters have no width.
            Some(max_width) => {
                let end = cell.floor_char_boundary(max_width * 8);
                printable(cell.get(..end).unwrap_or(&cell)).into_owned()
            }
            None => printable(&cell).into_owned(),
        })
        .collect()
}

fn columns(cells: &[Vec<String>]) -> Vec<Column> {
    let count = cells.iter().map(Vec::len).max().unwrap_or(0);
    let column = |index: usize| {
        let cells = || cells.iter().filter_map(move |row| row.get(index));
        let width = cells().map(|cell| measure_text_width(cell)).max().unwrap_or(0);
        Column { width, is_prose: cells().skip(1).any(|cell| cell.split(' ').count() > 3) }
    };
    (0..count).map(column).collect()
}

/// Narrows the widest column until all columns fit, those of sentences first.
fn fit(columns: &mut [Column], max_width: usize) {
    for (prose_only, min_width) in [(true, MIN_PROSE_WIDTH), (false, MIN_WIDTH)] {
        loop {
            let gaps = GAP * columns.len().saturating_sub(1);
            let total = columns.iter().map(|column| column.width).sum::<usize>() + gaps;
            let can_shrink =
                |column: &&mut Column| column.width > min_width && (column.is_prose || !prose_only);
            let Some(widest) = columns.iter_mut().filter(can_shrink).max_by_key(|column| column.width) else {
                break;
            };
            if total <= max_width {
                return;
            }
            let fitting = widest.width.saturating_sub(total - max_width);
            widest.width = fitting.max(min_width).max(widest.width / 2);
        }
    }
}

fn line(row: &[String], columns: &[Column]) -> String {
    let mut line = String::new();
    for (cell, column) in row.iter().zip(columns) {
        let cell = truncate_str(cell, column.width, ELLIPSIS);
        line.push_str(&cell);
        let spaces = column.width.saturating_sub(measure_text_width(&cell)) + GAP;
        line.extend(std::iter::repeat_n(' ', spaces));
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0198c0de-0000-7000-8000-000000000001";

    fn table(width: Option<u16>, reason: &str) -> Vec<String> {
        let rows = [[ID, "key", reason].map(String::from).to_vec()];
        render(width, &["job", "key", "reason"], rows.into_iter()).lines().map(str::to_owned).collect()
    }

    #[test]
    fn cells_are_truncated_to_the_terminal_and_ids_last() {
        let reason = "the backend could not be reached within ten seconds, and so on and on";
        let lines = table(Some(80), reason);
        assert!(lines.len() == 2 && lines[1].contains(ID) && lines[1].ends_with(ELLIPSIS), "{lines:?}");
        assert!(lines.iter().all(|line| measure_text_width(line) <= 80), "{lines:?}");
        assert!(table(Some(40), reason).iter().all(|line| measure_text_width(line) <= 40));
        assert!(table(Some(60), &"漢 字 漢 字".repeat(9)).iter().all(|line| measure_text_width(line) <= 60));
    }

    #[test]
    fn pipe_gets_complete_cells_and_one_line_for_each_row() {
        let reason = format!("first\nsecond \u{1b}[2J {}", "x".repeat(400));
        let lines = table(None, &reason);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains("first second \\u{1b}[2J xxx") && lines[1].len() > 400, "{lines:?}");
    }

    #[test]
    fn text_of_megabytes_is_truncated_to_the_terminal() {
        let lines = table(Some(80), &"a reason of many words ".repeat(1_000_000));
        assert!(lines.len() == 2 && lines.iter().all(|line| line.len() < 100), "{}", lines[1].len());
    }
}
