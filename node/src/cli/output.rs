//! How a command ends: one document or some text on stdout, and an exit code. A reader that closed
//! the pipe has seen enough; a full disk is a failure.

use std::fs::File;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use super::Flags;
use super::render::clean;
use crate::failure::{Failure, Kind};
use crate::home::ScratchFile;

/// What a verb came to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// For programs: the document's `data`.
    pub(super) data: Value,
    /// For people.
    pub(super) text: Text,
    /// What to do next, for people, on stderr.
    pub(super) hints: Vec<String>,
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

impl Outcome {
    /// All of what was asked.
    pub(super) const fn new(data: Value, text: String) -> Self {
        Self { data, text: Text::Lines(text), hints: Vec::new(), short_of: None }
    }

    /// The same, with something to do next.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
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
            Text::Lines(text) => print_stdout(text.as_bytes()),
            Text::File(file) => copy_to_stdout(&file),
        }
    };
    if !flags.quiet && !flags.json {
        for hint in &outcome.hints {
            print_stderr(&format!("hint: {hint}\n"));
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
    print_stdout(format!("{document}\n").as_bytes())
}

fn copy_to_stdout(file: &ScratchFile) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    io::copy(&mut File::open(file.path())?, &mut stdout)?;
    stdout.flush()
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
