//! Tables: one line for each row, cut to a terminal's width.
//!
//! A table never prints itself.

use console::{Term, measure_text_width, truncate_str};
use lockgate::core::text::printable;

/// Blanks between two columns.
const GAP: usize = 2;
/// A column is not cut below this; a narrower terminal gets longer lines.
const NARROWEST: usize = 8;
/// A column of sentences is cut down to this before any name or id is cut.
const NARROWEST_PROSE: usize = 16;
/// What stands for the rest of a cell that was cut.
const CUT: &str = "…";

/// Returns the columns of the terminal on standard output; `None` when it has none, or does not know.
pub(super) fn terminal_width() -> Option<u16> {
    Term::stdout().size_checked().map(|(_, columns)| columns).filter(|columns| *columns > 0)
}

/// Renders a table; `None`: of any width, every cell whole.
pub(super) fn render(
    width: Option<u16>,
    headers: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> String {
    let most = width.map(usize::from);
    let head = headers.iter().map(|header| header.to_uppercase()).collect();
    let cells: Vec<Vec<String>> = std::iter::once(head).chain(rows.map(|row| whole(row, most))).collect();
    let mut columns = columns(&cells);
    if let Some(most) = most {
        fit(&mut columns, most);
    }
    let lines = cells.iter().map(|row| line(row, &columns));
    lines.collect::<Vec<_>>().join("\n")
}

struct Column {
    width: usize,
    /// Whether it holds sentences, not names or ids: those are needed whole, to be copied into the next command.
    is_prose: bool,
}

/// The row as it may be printed. No cell is longer than the whole width, so that long texts are measured once.
fn whole(row: Vec<String>, most: Option<usize>) -> Vec<String> {
    row.into_iter()
        .map(|cell| match most {
            // Four bytes a character, and some that take no width at all: a long text is not looked at to its end.
            Some(most) => {
                printable(cell.get(..cell.floor_char_boundary(most * 8)).unwrap_or(&cell)).into_owned()
            }
            None => printable(&cell).into_owned(),
        })
        .collect()
}

fn columns(cells: &[Vec<String>]) -> Vec<Column> {
    let count = cells.iter().map(Vec::len).max().unwrap_or(0);
    let column = |place: usize| {
        let cells = || cells.iter().filter_map(move |row| row.get(place));
        let width = cells().map(|cell| measure_text_width(cell)).max().unwrap_or(0);
        Column { width, is_prose: cells().skip(1).any(|cell| cell.split(' ').count() > 3) }
    };
    (0..count).map(column).collect()
}

/// Makes the widest column narrower until all fit, those of sentences first.
fn fit(columns: &mut [Column], most: usize) {
    for (prose_only, narrowest) in [(true, NARROWEST_PROSE), (false, NARROWEST)] {
        loop {
            let gaps = GAP * columns.len().saturating_sub(1);
            let total = columns.iter().map(|column| column.width).sum::<usize>() + gaps;
            let may = |column: &&mut Column| column.width > narrowest && (column.is_prose || !prose_only);
            let Some(widest) = columns.iter_mut().filter(may).max_by_key(|column| column.width) else {
                break;
            };
            if total <= most {
                return;
            }
            widest.width = widest.width.saturating_sub(total - most).max(narrowest).max(widest.width / 2);
        }
    }
}

fn line(row: &[String], columns: &[Column]) -> String {
    let mut line = String::new();
    for (cell, column) in row.iter().zip(columns) {
        let cell = truncate_str(cell, column.width, CUT);
        line.push_str(&cell);
        let blanks = column.width.saturating_sub(measure_text_width(&cell)) + GAP;
        line.extend(std::iter::repeat_n(' ', blanks));
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
    fn cells_are_cut_to_the_terminal_and_ids_last_of_all() {
        let reason = "the backend could not be reached within ten seconds, and so on and on";
        let lines = table(Some(80), reason);
        assert!(lines.len() == 2 && lines[1].contains(ID) && lines[1].ends_with(CUT), "{lines:?}");
        assert!(lines.iter().all(|line| measure_text_width(line) <= 80), "{lines:?}");
        assert!(table(Some(40), reason).iter().all(|line| measure_text_width(line) <= 40));
        assert!(table(Some(60), &"漢 字 漢 字".repeat(9)).iter().all(|line| measure_text_width(line) <= 60));
    }

    #[test]
    fn a_pipe_gets_every_cell_whole_and_each_row_on_one_line() {
        let reason = format!("first\nsecond \u{1b}[2J {}", "x".repeat(400));
        let lines = table(None, &reason);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains("first second \\u{1b}[2J xxx") && lines[1].len() > 400, "{lines:?}");
    }

    #[test]
    fn a_text_of_megabytes_costs_a_terminal_no_more_than_its_width() {
        let lines = table(Some(80), &"a reason of many words ".repeat(1_000_000));
        assert!(lines.len() == 2 && lines.iter().all(|line| line.len() < 100), "{}", lines[1].len());
    }
}
