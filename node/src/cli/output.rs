//! How a command ends: one document or some text on stdout, and an exit code. A reader that closed
//! the pipe has seen enough; a full disk is a failure.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use super::Flags;
use super::render::{clean, escape, scrub, short};
use crate::control::unread::{Unread, UnreadEntries, UnreadRecord};
use crate::failure::{Failure, Kind};
use crate::home::ScratchFile;
use crate::store::VALUES_DAMAGED_FIX;

/// What a verb came to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// For programs: the document's `data`.
    pub(super) data: Value,
    /// For people.
    pub(super) text: Text,
    /// What to do next, for people, on stderr.
    pub(super) hints: Vec<String>,
    /// What is missing or wrong, for people, on stderr.
    pub(super) warnings: Vec<String>,
    /// Why it is not the whole of what was asked, if it is not: decides the exit code.
    pub(super) short_of: Option<Kind>,
}

/// What people are shown.
#[derive(Debug)]
pub(super) enum Text {
    /// Lines, each with its end.
    Lines(String),
    /// A file, as it is.
    File(ScratchFile),
}

/// What to do about entries that were left aside.
const LEFT_ASIDE: &str =
    "what they say is not here; `tearline record list --aside` names their records";

impl Outcome {
    /// All of what was asked.
    pub(super) const fn new(data: Value, text: String) -> Self {
        let text = Text::Lines(text);
        Self { data, text, hints: Vec::new(), warnings: Vec::new(), short_of: None }
    }

    /// The same, with something to do next.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same, of a device that has not all yet.
    pub(super) fn before(self, coming: u64) -> Self {
        match coming {
            0 => self,
            1 => self
                .hint("1 entry is still to come, see `tearline status`: what it says is not here"),
            many => self.hint(format!(
                "{many} entries are still to come, see `tearline status`: what they say is not here"
            )),
        }
    }

    /// The same, of a device that does not want all.
    pub(super) fn beside(self, left_aside: u64) -> Self {
        match left_aside {
            0 => self,
            1 => self.hint(format!("1 entry was left aside by interest: {LEFT_ASIDE}")),
            many => self.hint(format!("{many} entries were left aside by interest: {LEFT_ASIDE}")),
        }
    }

    /// The same, with what of it cannot be read: then it is incomplete.
    pub(super) fn without(mut self, unread: &Unread) -> Self {
        let before = self.warnings.len();
        let Unread { records, more, entries, more_entries, index_parts } = unread;
        for UnreadRecord { record, reason } in records {
            self.warnings.push(format!("record {record} cannot be read: {reason}"));
        }
        for UnreadEntries { device, compartment, class, first, count, reason } in entries {
            let device = device.name.clone().unwrap_or_else(|| short(&device.device));
            self.warnings.push(format!(
                "{count} entries from {first} on of {device}'s {class} log in {compartment:?} cannot be \
                 read, and what they are about is not known: {reason}"
            ));
        }
        if *more_entries > 0 {
            self.warnings.push(format!("entries in {more_entries} further places cannot be read"));
        }
        let count = records.len() as u64 + more;
        if count > 0 {
            self.warnings.push(format!("in all, {count} records cannot be read"));
        }
        if *index_parts > 0 {
            self.warnings.push(format!(
                "{index_parts} parts of the index cannot be read: records are missing here, and \
                 `tearline export` finds them"
            ));
        }
        if self.warnings.len() == before {
            return self;
        }
        self.hint(VALUES_DAMAGED_FIX).short_of(Kind::Incomplete, true)
    }

    /// The same, with what may be wrong in it, which is no reason to fail.
    pub(super) fn warn(mut self, warnings: impl Iterator<Item = String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// The same, ending with a kind's exit code if the condition holds.
    pub(super) const fn short_of(mut self, kind: Kind, condition: bool) -> Self {
        if condition {
            self.short_of = Some(kind);
        }
        self
    }
}

/// A value as a document's data.
pub(super) fn data(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value)
        .map_err(|error| Failure::bug(format!("cannot encode the answer: {error}")))
}

/// Prints what a verb came to.
pub(super) fn print_outcome(verb: &str, outcome: Outcome, flags: &Flags) -> ExitCode {
    let code = outcome.short_of.map_or(ExitCode::SUCCESS, ExitCode::from);
    let printed = if flags.json {
        document(&json!({ "schema": format!("tearline.{verb}/1"), "data": outcome.data }))
    } else {
        match outcome.text {
            Text::Lines(text) => print_stdout(scrub(&text).as_bytes()),
            Text::File(file) => copy_to_stdout(&file),
        }
    };
    if !flags.json {
        for warning in &outcome.warnings {
            print_stderr(&format!("warning: {}\n", clean(warning)));
        }
    }
    if !flags.quiet && !flags.json {
        for hint in &outcome.hints {
            print_stderr(&format!("hint: {}\n", clean(hint)));
        }
    }
    finish(printed, code)
}

/// Prints why a verb did not do what it was asked.
pub(super) fn print_failure(failure: &Failure, json: bool) -> ExitCode {
    let printed = if json {
        document(&json!({ "schema": "tearline.error/1", "error": failure }))
    } else {
        let mut text = format!("error: {}\n", clean(&failure.what));
        if let Some(hint) = &failure.hint {
            text += &format!("hint: {}\n", clean(hint));
        }
        print_stderr(&text);
        Ok(())
    };
    finish(printed, failure.kind.into())
}

/// Prints to stderr, if anybody listens.
pub(super) fn print_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints to stdout.
pub(super) fn print_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

fn document(document: &Value) -> io::Result<()> {
    print_stdout(format!("{}\n", escape(&document.to_string())).as_bytes())
}

/// A terminal is not shown what it would obey; whatever else reads stdout gets the file as it is.
fn copy_to_stdout(file: &ScratchFile) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let mut file = File::open(file.path())?;
    if !stdout.is_terminal() {
        io::copy(&mut file, &mut stdout)?;
    } else if copy_scrubbed(BufReader::new(file), &mut stdout)? {
        print_stderr(
            "hint: what a terminal would obey is shown as \u{fffd}; --out FILE or a pipe gets it as it is\n",
        );
    }
    stdout.flush()
}

/// Copies text line by line without what deceives; whether anything did.
fn copy_scrubbed(mut from: impl BufRead, to: &mut impl io::Write) -> io::Result<bool> {
    let mut deceived = false;
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        let shown = scrub(&text);
        deceived |= shown != text;
        to.write_all(shown.as_bytes())?;
        line.clear();
    }
    Ok(deceived)
}

fn finish(printed: io::Result<()>, code: ExitCode) -> ExitCode {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_stderr(&format!("error: cannot write to stdout: {error}\n"));
            Kind::Failed.into()
        }
        _ => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_more_than_text() {
        let mut shown = Vec::new();
        let text = "plate,\u{1b}]0;x\u{7}\nna\u{ef}ve,\u{202e}\n";
        assert!(copy_scrubbed(text.as_bytes(), &mut shown).unwrap());
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(shown, "plate,\u{fffd}]0;x\u{fffd}\nna\u{ef}ve,\u{fffd}\n");
        assert!(!copy_scrubbed(shown.as_bytes(), &mut Vec::new()).unwrap());
    }
}
