//! Where a table's rows begin, and quotes that do not close: of those the parser takes all that follows for
//! one cell. This follows the bytes as the parser does (RFC 4180; a quote opens a cell only at its beginning,
//! as in the csv crate), so as to say where the quote was opened, and lines as an editor counts them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Read};

/// Where a file is, as far as quotes go.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    /// At the beginning of a cell.
    #[default]
    Start,
    /// In a cell that began without a quote.
    Bare,
    /// In a quoted cell that was opened in this line.
    Open(u64),
    /// After a quote in such a cell: the end of it, or the first half of a doubled quote.
    Shut(u64),
}

/// What is known of a file's quotes and rows; shared with whoever parses it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    state: Cell<State>,
    /// Lines that were begun.
    lines: Cell<u64>,
    ended: Cell<bool>,
    /// Whether a row was begun and has not ended.
    in_row: Cell<bool>,
    /// The lines in which rows begin that the parser has not given out: those of one of its buffers.
    rows: RefCell<VecDeque<u64>>,
}

impl Watch {
    /// In which line the quote opened that was open when the file ended.
    pub(super) fn open_at_end(&self) -> Option<u64> {
        self.open().filter(|_| self.ended.get())
    }

    /// In which line the quote opened that is open where the file was read to.
    pub(super) fn open(&self) -> Option<u64> {
        match self.state.get() {
            State::Open(line) => Some(line),
            _ => None,
        }
    }

    /// Lines that were begun so far.
    pub(super) fn lines(&self) -> u64 {
        self.lines.get()
    }

    /// In which line the next row begins of those that the parser gives out. To be asked once for each.
    pub(super) fn next_row(&self) -> u64 {
        self.rows.borrow_mut().pop_front().unwrap_or_else(|| self.lines())
    }

    fn pass(&self, bytes: &[u8], delimiter: u8) {
        let (mut state, mut lines) = (self.state.get(), self.lines.get());
        let (mut in_row, mut rows) = (self.in_row.get(), self.rows.borrow_mut());
        for byte in bytes {
            let line = lines + 1;
            lines += u64::from(*byte == b'\n');
            let ends_row = matches!(byte, b'\n' | b'\r') && !matches!(state, State::Open(_));
            if !in_row && !ends_row {
                rows.push_back(line);
            }
            in_row = !ends_row;
            state = match (state, *byte) {
                (State::Start, b'"') => State::Open(line),
                (State::Shut(opened), b'"') => State::Open(opened),
                (State::Open(opened), b'"') => State::Shut(opened),
                (State::Open(opened), _) => State::Open(opened),
                (_, b'\n' | b'\r') => State::Start,
                (_, byte) if byte == delimiter => State::Start,
                _ => State::Bare,
            };
        }
        self.state.set(state);
        self.lines.set(lines);
        self.in_row.set(in_row);
    }
}

/// A file whose quotes are watched while it is read.
pub(super) struct Watched<'a, R> {
    pub(super) file: R,
    pub(super) delimiter: u8,
    pub(super) watch: &'a Watch,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.watch.pass(buffer.get(..count).unwrap_or_default(), self.delimiter);
        self.watch.ended.set(count == 0 && !buffer.is_empty());
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn watch(text: &str) -> Watch {
        let watch = Watch::default();
        let mut file = Watched { file: text.as_bytes(), delimiter: b',', watch: &watch };
        file.read_to_end(&mut Vec::new()).unwrap();
        watch
    }

    #[test]
    fn the_line_is_named_in_which_a_quote_opens_that_does_not_close() {
        for (text, opened) in [
            ("", None),
            ("a,b\n\"c\",\"d\"\"e\"\n", None),
            ("a,b\nc\"d,e\n", None),
            ("a,b\n\"c\"d,e\n", None),
            ("a\n\"b\nc\n", Some(2)),
            ("a\nb,\"\"\"c\nd\n", Some(2)),
            ("a\r\nb\r\nc,\"d", Some(3)),
            ("\"a", Some(1)),
        ] {
            assert_eq!(watch(text).open_at_end(), opened, "{text:?}");
        }
    }

    #[test]
    fn rows_begin_where_an_editor_shows_them() {
        for end in ["\n", "\r\n"] {
            let text = ["a,b", "1,2", "", "\"c", "d\",e", "f,g"].join(end);
            assert_eq!(*watch(&text).rows.borrow(), [1, 2, 4, 6], "{text:?}");
        }
    }

    proptest! {
        /// A closing quote and a further row are two rows for the parser if, and only if, a quote
        /// was open.
        #[test]
        fn the_parser_sees_the_same_quotes(text in "[a\",\n\r]{0,30}") {
            let rows = |text: &str| {
                let mut table = csv::ReaderBuilder::new()
                    .has_headers(false)
                    .flexible(true)
                    .from_reader(text.as_bytes());
                table.byte_records().map(Result::unwrap).collect::<Vec<_>>()
            };
            let mark = |text: &str| rows(&format!("{text}\nmark")).last().map(|row| row.len() == 1 && &row[0] == b"mark");
            prop_assert_eq!(watch(&text).open_at_end().is_none(), mark(&text) == Some(true));
            prop_assert_eq!(watch(&text).rows.borrow().len(), rows(&text).len());
        }
    }
}
