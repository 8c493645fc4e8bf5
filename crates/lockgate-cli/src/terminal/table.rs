//! Tables that fit the terminal.
//!
//! A table never prints itself.

use comfy_table::{ContentArrangement, Table, presets};

/// The columns of the terminal on standard output.
pub(super) fn terminal_width() -> Option<u16> {
    Table::new().width()
}

/// A table of at most `width` columns; long cells are wrapped.
pub(super) fn render(width: u16, headers: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(headers.iter().map(|header| header.to_uppercase()));
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
