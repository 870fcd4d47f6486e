//! `cot`: records on the maps of TAK, and what its users see as records.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::json;
use tearline_crdt::record::vocabulary::{Purpose, Tlp, Vocabulary as _};
use tearline_crdt::time::WallTime;

use super::context::Context;
use super::output::{self, Outcome};
use super::pass;
use super::render::facts;
use super::taxii::{every, resolved};
use crate::control::{self, Outgoing, Request, reply};
use crate::cot::{Heard, Line, Papers, Picture, came_from_a_map, event, listen, send};
use crate::exchange::cot::Event;
use crate::failure::{Failure, Kind};
use crate::index::now_us;

/// Show records on the maps of TAK (Cursor on Target)
#[derive(Debug, Subcommand)]
pub(super) enum Cot {
    /// Send where records of a compartment are
    #[command(after_help = "\
Example:
  tearline cot send tcp://127.0.0.1:8087 --compartment 'Northern shore' --purpose BorderMonitoring --every 10s

Sends what came in the last --stale, and with --every what comes. Places are the middle of a cell of the grid. What
goes out leaves the mesh: nobody there is held to its labels, its recalls or its erasures. What came from a map
does not go back to one.")]
    Send(Box<Send>),
    /// Take in what maps send, as sightings
    #[command(after_help = "\
Example:
  tearline cot listen tcp://127.0.0.1:8088 --compartment 'Northern shore' --label TLP:AMBER
  tearline cot listen tls://192.0.2.7:8089 --compartment 'Northern shore' --ca senders.pem --cert own.pem --key own.key

Of each thing the last place in --every becomes a sighting. The label is that of the compartment's default, made
stricter by --label and by remarks that begin with a TLP marking.")]
    Listen(Box<Listen>),
}

/// Files of certificates (PEM), for tls://.
#[derive(Args, Debug)]
pub(super) struct Tls {
    /// Authorities to believe, instead of the system's; who listens asks senders for a certificate of theirs
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate that is shown
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key, in a file that nobody else may read
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl Tls {
    fn papers(&self) -> Papers<'_> {
        let own = self.cert.as_deref().zip(self.key.as_deref());
        Papers { authorities: self.ca.as_deref(), own }
    }
}

/// Where maps are heard, and what is made of it.
#[derive(Args, Debug)]
pub(super) struct Listen {
    /// tcp://HOST:PORT, udp://HOST:PORT or tls://HOST:PORT; of udp also the address of a group
    at: String,
    /// Where to: name, id, or the beginning of its id
    #[arg(long, value_name = "C")]
    compartment: String,
    /// The least restrictive label of what is written
    #[arg(long)]
    label: Option<String>,
    /// How often what was heard is written: a number and s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = every)]
    every: u64,
    /// Listen to a network without TLS: whoever reaches it can be anybody
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    tls: Tls,
}

/// What is sent, and where to.
#[derive(Args, Debug)]
pub(super) struct Send {
    /// tcp://HOST:PORT, udp://HOST:PORT or tls://HOST:PORT
    to: String,
    /// Where from: name, id, or the beginning of its id
    #[arg(long, value_name = "C")]
    compartment: String,
    /// What for: a purpose of the label vocabulary; a label that does not allow it keeps its record here
    #[arg(long, value_parser = pass::purpose)]
    purpose: Purpose,
    /// The most restrictive TLP colour that goes out
    #[arg(long, value_name = "TLP", default_value = "GREEN", value_parser = pass::label)]
    label_max: Tlp,
    /// Other agencies' records, too, which they gave to the compartment and not to a map
    #[arg(long)]
    others: bool,
    /// The side of a cell of the grid, in metres
    #[arg(long, value_name = "METRES", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    grid: u32,
    /// For how long something is shown: a number and s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = every)]
    stale: u64,
    /// Go on with what comes, looking so often: a number and s, m, h or d
    #[arg(long, value_name = "TIME", value_parser = every)]
    every: Option<u64>,
    /// Send it over a network without TLS: it can be read on the way
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    tls: Tls,
}

impl Cot {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Send(_) => "cot.send",
            Self::Listen(_) => "cot.listen",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let name = self.name();
        match self {
            Self::Send(send) => send.run(name, context),
            Self::Listen(listen) => listen.run(name, context),
        }
    }
}

impl Send {
    fn run(&self, name: &str, context: &Context) -> Result<Outcome, Failure> {
        let line = Line::of(&self.to, self.plain)?;
        let mut after_us = now_us().saturating_sub(self.stale.saturating_mul(1_000_000));
        let Some(every_s) = self.every else { return self.once(context, &line, &mut after_us) };
        loop {
            match self.once(context, &line, &mut after_us) {
                Ok(outcome) => _ = output::print_outcome(name, outcome, &context.flags),
                // The next time may be better.
                Err(failure) if failure.kind == Kind::Unreachable => {
                    _ = output::print_failure(&failure, context.flags.json);
                }
                Err(failure) => return Err(failure),
            }
            std::thread::sleep(Duration::from_secs(every_s));
        }
    }

    /// Sends what came after a time, and says until when that is.
    fn once(&self, context: &Context, line: &Line, after_us: &mut u64) -> Result<Outcome, Failure> {
        let (mut sent, mut placeless, mut withheld) = (0_u64, 0_u64, 0_u64);
        loop {
            let request = Outgoing {
                compartment: self.compartment.clone(),
                after_us: *after_us,
                limit: PAGE_OBJECTS,
                label_max: self.label_max.word().to_owned(),
                purpose: self.purpose.word().to_owned(),
                others: self.others,
            };
            let page = context.ask::<reply::Outgoing>(Request::Outgoing(request))?.typed;
            let now = WallTime(now_us() / 1_000);
            let picture =
                Picture { grid_m: self.grid, stale_ms: self.stale.saturating_mul(1_000), now };
            let ours: Vec<_> = page.objects.iter().filter(|one| !came_from_a_map(one)).collect();
            let events: Vec<String> =
                ours.iter().filter_map(|object| event(object, picture)).collect();
            placeless += (ours.len() - events.len()) as u64;
            if !events.is_empty() {
                send(line, self.tls.papers(), &events)?;
            }
            sent += events.len() as u64;
            withheld += page.withheld;
            *after_us = page.last_us;
            if !page.more {
                break;
            }
        }
        let document = json!({ "sent": sent, "without_a_place": placeless, "withheld": withheld });
        let text = facts([
            ("sent", sent.to_string()),
            ("without a place", placeless.to_string()),
            ("above the ceiling, or not for the purpose", withheld.to_string()),
        ]);
        Ok(Outcome::new(document, text))
    }
}

/// Objects that are looked at at once.
const PAGE_OBJECTS: u32 = 500;
/// Events that are written at once, and bytes of them.
const BATCH_EVENTS_MAX: usize = 2_000;
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

impl Listen {
    fn run(&self, name: &str, context: &Context) -> Result<Outcome, Failure> {
        let line = Line::of(&self.at, self.plain)?;
        // What is wrong with these is said before anybody sends anything.
        resolved(context, &self.compartment)?;
        let heard = listen(&line, self.tls.papers())?;
        let (document, text) =
            (json!({ "listening": heard.at }), facts([("listening", heard.at.clone())]));
        output::print_outcome(name, Outcome::new(document, text), &context.flags);
        let mut batch = Batch::default();
        loop {
            batch.fill(&heard, Duration::from_secs(self.every))?;
            if batch.is_empty() {
                continue;
            }
            match self.write(context, &batch) {
                Ok(outcome) => {
                    output::print_outcome(name, outcome, &context.flags);
                    batch = Batch::default();
                }
                // What was heard is kept for the next time; once it is enough, senders wait.
                Err(failure) if failure.kind == Kind::Unreachable => {
                    output::print_failure(&failure, context.flags.json);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn write(&self, context: &Context, batch: &Batch) -> Result<Outcome, Failure> {
        let mut scratch = context.home.scratch_file()?;
        let kept = |error| Failure::io("cannot keep what was heard", &error);
        batch
            .last
            .values()
            .try_for_each(|event| scratch.file.write_all(event.as_bytes()))
            .map_err(kept)?;
        let request = control::Import {
            files: vec![scratch.path().to_owned()],
            stdin: Some(scratch.path().to_owned()),
            compartment: self.compartment.clone(),
            format: Some(control::Source::Cot),
            map: None,
            label: self.label.clone(),
            class: None,
        };
        let done = context.ask::<reply::Imported>(Request::Import(request))?.typed;
        let counts = [
            ("heard", batch.heard),
            ("passed over", batch.passed_over),
            ("unreadable", batch.unreadable),
            ("created", done.created),
            ("unchanged", done.unchanged),
            ("rejected", done.rejected),
        ];
        let document = counts.iter().map(|(name, count)| (name.replace(' ', "_"), json!(count)));
        let document = serde_json::Value::Object(document.collect());
        Ok(Outcome::new(document, facts(counts.map(|(name, count)| (name, count.to_string())))))
    }
}

/// What was heard since it was written last.
#[derive(Debug, Default)]
struct Batch {
    heard: u64,
    passed_over: u64,
    unreadable: u64,
    /// The last event of each thing.
    last: BTreeMap<String, String>,
    bytes: usize,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    fn is_full(&self) -> bool {
        self.last.len() >= BATCH_EVENTS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Hears for a while, or until there is enough.
    fn fill(&mut self, heard: &Heard, time: Duration) -> Result<(), Failure> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if self.is_full() {
                // It is tried again, but not at once.
                std::thread::sleep(left);
                return Ok(());
            }
            if left.is_zero() {
                return Ok(());
            }
            match heard.events.recv_timeout(left) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::failed("nothing listens any more"));
                }
            }
        }
    }

    fn take(&mut self, text: String) {
        self.heard += 1;
        match Event::read(&text) {
            Ok(Some(event)) => {
                self.bytes += text.len();
                let before = self.last.insert(event.uid, text);
                self.bytes -= before.map_or(0, |before| before.len());
            }
            Ok(None) => self.passed_over += 1,
            Err(_) => self.unreadable += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_thing_the_last_event_is_kept_and_all_have_a_bound() {
        let event = |uid: usize, latitude: usize| {
            format!(
                "<event uid=\"{uid}\" type=\"a-f-G\" time=\"2026-01-02T10:00:00Z\"><point lat=\"{latitude}\" \
                 lon=\"1\"/></event>"
            )
        };
        let mut batch = Batch::default();
        for latitude in 0..90 {
            batch.take(event(7, latitude));
        }
        batch.take("<event".into());
        batch.take(event(8, 1).replace("a-f-G", "t-x-c-t"));
        assert_eq!((batch.heard, batch.passed_over, batch.unreadable), (92, 1, 1));
        assert_eq!(batch.last.values().collect::<Vec<_>>(), [&event(7, 89)]);
        assert_eq!(batch.bytes, event(7, 89).len());
        for uid in 0..BATCH_EVENTS_MAX {
            assert!(!batch.is_full() || uid + 1 >= BATCH_EVENTS_MAX);
            batch.take(event(uid, 1));
        }
        assert!(batch.is_full());
    }
}
