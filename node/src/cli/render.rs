//! Text for people: tables whose columns line up, ids cut to what one can read aloud, and nothing
//! that a terminal would obey: what comes from records was written by others.

use std::io::{self, IsTerminal as _};

use rustix::termios::tcgetwinsize;

use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

use crate::control::reply::{AgencyRef, Standing};

/// A table with a heading row.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Whether the last cell of a row is shown as long as it is.
    whole_ends: bool,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        let rows = vec![headings.iter().map(|h| h.to_uppercase()).collect()];
        Self { rows, whole_ends: false }
    }

    /// The same, with the last cell of each row as long as it is.
    #[must_use]
    pub const fn with_whole_ends(mut self) -> Self {
        self.whole_ends = true;
        self
    }

    /// Adds a row. Each cell is cleaned.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|cell| clean(cell.as_ref())).collect());
    }

    /// The lines; `none` if there is no row. Where stdout is a terminal, each cell is cut to a readable
    /// width, and the widest columns until a row fits a line; whatever else reads it gets all of it.
    #[must_use]
    pub fn text(&self, none: &str) -> String {
        self.lines(none, terminal_columns())
    }

    fn lines(&self, none: &str, fits: Option<usize>) -> String {
        if self.rows.len() <= 1 {
            return format!("{none}\n");
        }
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let mut widths: Vec<usize> = (0..columns)
            .map(|i| self.rows.iter().filter_map(|row| row.get(i)).map(|c| c.width()).max())
            .map(Option::unwrap_or_default)
            .collect();
        if let Some(fits) = fits {
            let cut_to = columns.saturating_sub(usize::from(self.whole_ends));
            narrow(widths.get_mut(..cut_to).unwrap_or_default(), fits);
        }
        let whole = |i: usize| fits.is_none() || self.whole_ends && i + 1 == columns;
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let cell = if whole(i) { cell.clone() } else { cut(cell, *width) };
                line += &cell;
                line.extend(std::iter::repeat_n(' ', width - cell.width() + GAP));
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Lines of `name  value`, the values below each other.
#[must_use]
pub fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let facts: Vec<_> = facts.into_iter().map(|(name, value)| (clean(name), value)).collect();
    let width = facts.iter().map(|(name, _)| name.width()).max().unwrap_or_default();
    facts.iter().fold(String::new(), |text, (name, value)| {
        let gap = " ".repeat(width - name.width() + GAP);
        text + name + &gap + clean(value).trim_end() + "\n"
    })
}

/// Text of one line without what deceives: that becomes U+FFFD, line ends and tabs a blank.
#[must_use]
pub fn clean(text: &str) -> String {
    let blank = |c| matches!(c, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}');
    text.chars().map(|c| if blank(c) { ' ' } else { scrubbed(c) }).collect()
}

/// Text of lines without what deceives: all but their ends and tabs becomes U+FFFD.
#[must_use]
pub fn scrub(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { scrubbed(c) }).collect()
}

/// JSON text of the same value, in which all that deceives is written as an escape.
#[must_use]
pub fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if deceives(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped += &format!("\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn scrubbed(c: char) -> char {
    if deceives(c) { '\u{fffd}' } else { c }
}

/// Whether a terminal would obey a character, or show other text than there is: control characters, line
/// and paragraph separators, controls of direction (Unicode Standard Annex 9, section 2), and what has no
/// width and no meaning to a reader (soft hyphen, zero-width space, word joiner and the invisible operators
/// after it, byte order mark, annotations, tags). The zero-width joiner and non-joiner stay: scripts need them.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{061c}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2064}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The first eight digits of an id.
#[must_use]
pub fn short(id: &str) -> String {
    id.chars().take(SHORT_ID_DIGITS).collect()
}

/// A time without its fraction of a second.
#[must_use]
pub fn time(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

/// A JSON value as people write it: a text without its quotes, all else as JSON.
#[must_use]
pub fn value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An agency: its name, and its country if that says more.
#[must_use]
pub fn agency(agency: &AgencyRef) -> String {
    format!("{} ({})", agency.name, agency.country)
}

/// Whether a standing holds: "live", "ended since 2026-03-01T01:40:00Z", "retired since ...".
#[must_use]
pub fn standing(standing: &Standing) -> String {
    match &standing.since {
        Some(since) => format!("{} since {}", standing.state, time(since)),
        None => standing.state.clone(),
    }
}

/// Agencies, one after the other.
#[must_use]
pub fn agencies(agencies: &[AgencyRef]) -> String {
    agencies.iter().map(|agency| agency.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// So many of a thing.
#[must_use]
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A number of bytes, to three digits.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if amount < 999.5 {
            let decimals = usize::from(unit != "B" && amount < 99.95);
            return format!("{amount:.decimals$} {unit}");
        }
        amount /= 1_000.0;
    }
    format!("{amount:.1} TB")
}

/// How many columns the terminal that is stdout has; [`None`] if it is none, and very many where it does not
/// say.
fn terminal_columns() -> Option<usize> {
    let stdout = io::stdout();
    let columns = || tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
    stdout.is_terminal().then(|| columns().filter(|columns| *columns > 0).unwrap_or(usize::MAX))
}

/// Narrows columns to [`CELL_COLUMNS_MAX`], and the widest of them until all fit beside each other.
fn narrow(widths: &mut [usize], fits: usize) {
    for width in &mut *widths {
        *width = CELL_COLUMNS_MAX.min(*width);
    }
    let gaps = GAP * widths.len().saturating_sub(1);
    while gaps + widths.iter().sum::<usize>() > fits {
        match widths.iter_mut().max() {
            Some(widest) if *widest > CELL_COLUMNS_MIN => *widest -= 1,
            _ => break,
        }
    }
}

/// Cuts a cell to so many columns, and says so by an ellipsis.
fn cut(cell: &str, columns: usize) -> String {
    if cell.width() <= columns {
        return cell.to_owned();
    }
    let mut kept = String::new();
    for c in cell.chars() {
        kept.push(c);
        if kept.width() >= columns {
            kept.pop();
            break;
        }
    }
    kept + "…"
}

/// Blanks between columns.
const GAP: usize = 2;
/// Digits of a shortened id.
const SHORT_ID_DIGITS: usize = 8;
/// Widest cell of a table.
const CELL_COLUMNS_MAX: usize = 64;
/// Narrowest that a column is made: an id stays one.
const CELL_COLUMNS_MIN: usize = SHORT_ID_DIGITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        let mut table = Table::new(&["a", "b"]);
        table.row(["界", "x"]);
        table.row(["abc", "y"]);
        assert_eq!(table.text("none"), "A    B\n界   x\nabc  y\n");
        assert_eq!(Table::new(&["a"]).text("none"), "none\n");
    }

    #[test]
    fn nothing_of_a_record_steers_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d\u{9b}"), "a\u{fffd}[2Jb c\u{fffd}d\u{fffd}");
        let mut table = Table::new(&["a"]);
        table.row(["x\ny\u{7}"]);
        assert_eq!(table.text(""), "A\nx y\u{fffd}\n");
        assert_eq!(facts([("k\n", "v\u{0}".to_owned())]), "k   v\u{fffd}\n");
        assert_eq!(scrub("a\tb\r\n\u{1b}c\u{200b}"), "a\tb\u{fffd}\n\u{fffd}c\u{fffd}");
        for hidden in
            ['\u{ad}', '\u{200b}', '\u{2060}', '\u{feff}', '\u{e0041}', '\u{7f}', '\u{2067}']
        {
            assert_eq!(clean(&format!("a{hidden}b")), "a\u{fffd}b", "{hidden:?}");
        }
        let persian = "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}";
        let family = "\u{1f468}\u{200d}\u{1f469}";
        for whole in [persian, family, "c\u{f4}te", "\u{754c}"] {
            assert_eq!(clean(whole), whole);
            assert_eq!(escape(whole), whole);
        }
    }

    #[test]
    fn json_says_the_same_without_what_deceives() {
        let text: String = ('\0'..='\u{2fff}').chain('\u{e0000}'..='\u{e007f}').collect();
        let value = Value::from(text);
        let escaped = escape(&value.to_string());
        assert!(!escaped.contains(deceives), "{}", escaped.escape_unicode());
        assert_eq!(serde_json::from_str::<Value>(&escaped).unwrap(), value);
        assert_eq!(escape("\"\u{9b}\u{202e}\u{e0041}\""), r#""\u009b\u202e\udb40\udc41""#);
    }

    #[test]
    fn long_cells_are_cut_at_the_bound() {
        let longest = "x".repeat(CELL_COLUMNS_MAX);
        assert_eq!(cut(&longest, CELL_COLUMNS_MAX), longest);
        let shortened = cut(&(longest + "x"), CELL_COLUMNS_MAX);
        assert_eq!((shortened.width(), shortened.ends_with('…')), (CELL_COLUMNS_MAX, true));
        assert!(cut(&"界".repeat(CELL_COLUMNS_MAX), CELL_COLUMNS_MAX).width() <= CELL_COLUMNS_MAX);
        let mut table = Table::new(&["place", "reason"]).with_whole_ends();
        table.row(["x".repeat(CELL_COLUMNS_MAX + 1), "x".repeat(CELL_COLUMNS_MAX) + "xy"]);
        let text = table.lines("", Some(usize::MAX));
        assert!(text.contains("…  ") && text.ends_with("xy\n"), "{text}");
        assert!(!table.lines("", None).contains('…'));
    }

    #[test]
    fn a_row_fits_the_terminal_as_far_as_its_ids_can_be_read() {
        let mut table = Table::new(&["entry", "title", "why"]);
        table.row(["4be1a09c", &"t".repeat(40), &"w".repeat(30)]);
        let widest = |fits| table.lines("", Some(fits)).lines().map(|line| line.width()).max();
        assert_eq!((widest(82), widest(81), widest(60)), (Some(82), Some(81), Some(60)));
        assert!(table.lines("", Some(60)).contains("4be1a09c"));
        assert_eq!(widest(1), Some(3 * CELL_COLUMNS_MIN + 2 * GAP));
    }

    #[test]
    fn numbers_and_times_are_short() {
        for (given, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (150_000, "150 kB"),
            (2_500_000, "2.5 MB"),
        ] {
            assert_eq!(bytes(given), shown);
        }
        assert_eq!(time("2026-01-02T03:04:05.678Z"), "2026-01-02T03:04:05Z");
        assert_eq!(time("2026-01-02"), "2026-01-02");
    }
}
