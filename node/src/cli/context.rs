//! What every verb is given: the home, how to speak, and the way to the daemon.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Flags;
use super::output::print_stderr;
use crate::control::{Progress, Request, client};
use crate::daemon::Start;
use crate::failure::Failure;
use crate::home::Home;
use crate::protection::{Opener, Sources};

/// What a verb works with.
pub(super) struct Context {
    /// Where.
    pub(super) home: Home,
    /// How to speak.
    pub(super) flags: Flags,
    /// Where the secrets come from that open files.
    sources: Sources,
    /// What makes the inside of a daemon.
    pub(super) start: Start,
}

/// The daemon's answer, as it came and in its type.
pub(super) struct Answer<T> {
    /// As it came: what `--json` prints.
    pub(super) data: Value,
    /// In its type: what people are shown.
    pub(super) typed: T,
}

impl Context {
    pub(super) const fn new(home: Home, flags: Flags, sources: Sources, start: Start) -> Self {
        Self { home, flags, sources, start }
    }

    /// What opens this home's files; remembers what a person typed until it is dropped.
    pub(super) fn opener(&self) -> Opener {
        Opener::new(self.sources.clone())
    }

    /// Asks the daemon, and shows how far it is to a person who looks on.
    pub(super) fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<Answer<T>, Failure> {
        let verb = request.verb();
        let mut bar = Bar { shown: None, wanted: !self.flags.json && !self.flags.quiet };
        let data = client::call(&self.home, request, &mut |report| bar.report(report))?;
        drop(bar);
        let typed = client::typed(verb, data.clone())?;
        Ok(Answer { data, typed })
    }

    /// All of stdin, if it may be read.
    pub(super) fn stdin(&self, bytes_max: u64) -> Result<Vec<u8>, Failure> {
        self.check_stdin()?;
        let mut bytes = Vec::new();
        io::stdin()
            .take(bytes_max + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| Failure::io("cannot read stdin", &e))?;
        if bytes.len() as u64 > bytes_max {
            return Err(Failure::usage(format!("stdin holds more than {bytes_max} bytes")));
        }
        Ok(bytes)
    }

    /// Fails when reading stdin would wait for a person and `--no-input` forbids that.
    pub(super) fn check_stdin(&self) -> Result<(), Failure> {
        if self.flags.no_input && io::stdin().is_terminal() {
            return Err(Failure::usage(
                "stdin is a terminal, and --no-input forbids to wait for it",
            ));
        }
        Ok(())
    }

    /// Has a person agree to what cannot be undone, unless `yes` says that he does.
    pub(super) fn confirm(&self, what: &str, yes: bool) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        if self.flags.no_input || !io::stdin().is_terminal() {
            return Err(Failure::usage(format!("{what}; nothing was changed"))
                .hint("there is nobody to ask: say it with --yes"));
        }
        print_stderr(&format!("{what}.\nGo on? [y/N] "));
        let mut answer = String::new();
        io::stdin()
            .lock()
            .take(ANSWER_BYTES_MAX)
            .read_line(&mut answer)
            .map_err(|e| Failure::io("cannot read the answer", &e))?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::failed("nothing was changed")),
        }
    }
}

/// Longest answer to a question.
const ANSWER_BYTES_MAX: u64 = 256;

/// A progress bar on stderr, if that is a terminal.
struct Bar {
    shown: Option<ProgressBar>,
    wanted: bool,
}

impl Bar {
    fn report(&mut self, report: Progress) {
        if !self.wanted {
            return;
        }
        let bar = self.shown.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let template = match (report.total, report.unit.as_str()) {
                (Some(_), "bytes") => {
                    "{wide_bar} {percent}% of {total_bytes}, {eta} left: {wide_msg}"
                }
                (Some(_), _) => "{wide_bar} {human_pos} of {human_len} {prefix}: {wide_msg}",
                (None, _) => "{spinner} {human_pos} {prefix}: {wide_msg}",
            };
            let style = ProgressStyle::with_template(template);
            style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
        });
        if let Some(total) = report.total {
            bar.set_length(total);
        }
        bar.set_prefix(super::render::clean(&report.unit));
        bar.set_message(super::render::clean(&report.note));
        bar.set_position(report.done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}
