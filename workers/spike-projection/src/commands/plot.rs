//! Draws usage, expected usage and limit with characters: the past week and the projected week. Without
//! colours the three differ by their characters.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lockgate_cli::Style;

use crate::hour::Hour;
use crate::projection::number::{ceil, float};
use crate::store::StoredProjection;

/// Hours of the past that are drawn.
pub(super) const PAST: i64 = 168;

const ROWS: u32 = 16;
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const EXPECTED: char = '•';
const LIMIT: char = '─';
const RESET: &str = "\u{1b}[0m";
const CYAN: &str = "\u{1b}[36m";
const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";

/// One column of the drawing, which covers several hours.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    used: Option<f64>,
    expected: Option<f64>,
    limit: Option<f64>,
}

/// Draws a series: the usage before the projection, then the expected usage and the limit.
pub(super) fn draw(past: &BTreeMap<Hour, u64>, rows: &[&StoredProjection], look: &Style) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let (now, begin) = (first.generation, first.generation.plus(-PAST));
    let margin = 11;
    let columns = usize::from(look.width.clamp(40, 200)) - margin;
    let hours = PAST + rows.len().try_into().unwrap_or(PAST);
    let mut bins = vec![Bin::default(); columns];
    for (hour, used) in past {
        bin(&mut bins, hour.since(begin), hours, |bin| raise(&mut bin.used, float(*used)));
    }
    for row in rows {
        bin(&mut bins, row.hour.since(begin), hours, |bin| {
            raise(&mut bin.expected, row.expected);
            raise(&mut bin.limit, float(row.limit));
        });
    }
    let top = bins.iter().flat_map(|b| [b.used, b.expected, b.limit]).flatten().fold(1.0, f64::max);
    let mut text = String::new();
    for row in (0..ROWS).rev() {
        let label = if row % 5 == 0 || row == ROWS - 1 { scale(top, row) } else { String::new() };
        let line: String = bins.iter().map(|bin| cell(bin, row, top, look.colour)).collect();
        let _infallible = writeln!(text, "{label:>9} │{line}");
    }
    let middle = columns / 2;
    let (begins, now) = (begin.to_string(), now.to_string());
    let _infallible = writeln!(text, "{:>9} └{}", "", "─".repeat(columns));
    let _infallible = writeln!(text, "{:margin$}{begins:<middle$}{now}", "");
    text + &legend(look.colour)
}

fn bin(bins: &mut [Bin], hour: i64, of: i64, change: impl FnOnce(&mut Bin)) {
    let columns = i64::try_from(bins.len()).unwrap_or(0);
    let index = usize::try_from(hour * columns / of.max(1)).unwrap_or(usize::MAX);
    if let Some(bin) = bins.get_mut(index) {
        change(bin);
    }
}

/// Keeps the largest value of the hours in a column, so that a spike does not vanish between its neighbours.
fn raise(slot: &mut Option<f64>, value: f64) {
    *slot = Some(slot.unwrap_or(0.0).max(value));
}

fn cell(bin: &Bin, row: u32, top: f64, colour: bool) -> String {
    let is_at = |value: Option<f64>| {
        value.is_some_and(|value| eighths(value, top).div_ceil(8).max(1) == u64::from(row) + 1)
    };
    let (symbol, paint) = if is_at(bin.limit) {
        (LIMIT, RED)
    } else if is_at(bin.expected) {
        (EXPECTED, GREEN)
    } else {
        let full = eighths(bin.used.unwrap_or(0.0), top).saturating_sub(u64::from(row) * 8).min(8);
        (usize::try_from(full).ok().and_then(|full| EIGHTHS.get(full)).copied().unwrap_or(' '), CYAN)
    };
    if colour && symbol != ' ' { format!("{paint}{symbol}{RESET}") } else { symbol.to_string() }
}

/// Returns the height of a value, in eighths of a row.
fn eighths(value: f64, top: f64) -> u64 {
    ceil(value / top * f64::from(ROWS * 8)).min(u64::from(ROWS) * 8)
}

fn scale(top: f64, row: u32) -> String {
    let value = top * f64::from(row + u32::from(row > 0)) / f64::from(ROWS);
    match value {
        value if value >= 1e9 => format!("{:.1}G", value / 1e9),
        value if value >= 1e6 => format!("{:.1}M", value / 1e6),
        value if value >= 1e4 => format!("{:.1}k", value / 1e3),
        value => format!("{value:.0}"),
    }
}

fn legend(colour: bool) -> String {
    let item = |paint: &str, symbol: char, what: &str| {
        if colour { format!("{paint}{symbol}{RESET} {what}") } else { format!("{symbol} {what}") }
    };
    let items = [item(CYAN, '█', "usage"), item(GREEN, EXPECTED, "expected"), item(RED, LIMIT, "limit")];
    format!("{:11}{}", "", items.join("   "))
}

#[cfg(test)]
mod tests {
    use lockgate::Timestamp;

    use super::*;
    use crate::category::Category;

    fn row(hour: i64) -> StoredProjection {
        StoredProjection {
            project: "p".to_owned(),
            category: Category::Errors,
            hour: Hour(hour),
            expected: 50.0,
            limit: 200,
            floor: 1,
            multiplier: 4.0,
            reason: "usage".to_owned(),
            generation: Hour(1_000),
            method: "kernel".to_owned(),
            window: 168,
            version: 1,
            samples: 168,
            computed_at: Timestamp(0),
            stale: None,
        }
    }

    fn drawn(colour: bool) -> String {
        let rows: Vec<_> = (1_000..1_168).map(row).collect();
        let past = (832..1_000).map(|hour| (Hour(hour), 60)).collect();
        draw(&past, &rows.iter().collect::<Vec<_>>(), &Style { width: 80, colour, cut: true })
    }

    #[test]
    fn drawing_fits_into_eighty_columns_and_shows_usage_expected_usage_and_limit() {
        let text = drawn(false);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for symbol in ['█', EXPECTED, LIMIT] {
            assert!(text.lines().take(16).any(|line| line.contains(symbol)), "{symbol}\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn colours_appear_only_when_enabled() {
        assert!(drawn(true).contains(RED));
    }
}
