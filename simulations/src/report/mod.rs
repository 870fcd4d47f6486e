//! What people and programs are shown of a run: a few lines, one JSON document, one HTML file.

mod curve;
mod html;
mod side;
mod timeline;

use std::fmt::Write as _;
use std::time::Instant;

use serde_json::{Value, json};

use crate::agenda::{NEVER, Nanos};
use crate::oracle::Violation;
use crate::outcome::{LineOutcome, Of, Outcome, at_percent};
use crate::quantity::short;
use crate::staleness::Parts;
pub use html::page;
pub use side::page as comparison;

/// What a run took on this machine: the one thing that differs from run to run.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// Seconds.
    pub seconds: f64,
    /// Memory of the process at the peak, in bytes, where the system tells.
    pub peak_bytes: Option<u64>,
}

impl Took {
    /// What was taken since a moment, and by the process at its peak.
    #[must_use]
    pub fn since(began: Instant) -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<u64>().ok());
        Self { seconds: began.elapsed().as_secs_f64(), peak_bytes: kib.map(|kib| kib * 1_024) }
    }
}

/// What is shown of latencies.
const PERCENTILES: [u8; 5] = [50, 90, 95, 99, 100];

/// The run as lines of text.
#[must_use]
pub fn text(outcome: &Outcome, took: Took) -> String {
    let mut out = String::new();
    let rate = outcome.events as f64 / took.seconds.max(1e-9);
    put(
        &mut out,
        format_args!(
            "{}, seed {}: {} peers, {} of virtual time in {:.1} s ({} events, {rate:.0} a second)",
            outcome.scenario,
            outcome.seed,
            outcome.peers,
            short(outcome.lasted),
            took.seconds,
            outcome.events
        ),
    );
    if let Some(bytes) = took.peak_bytes {
        let (all, each) = (bytes / 1_000_000, bytes / 1_000 / outcome.peers.max(1) as u64);
        put(&mut out, format_args!("memory at the peak: {all} MB, {each} kB a peer"));
    }
    let written = outcome.written;
    put(
        &mut out,
        format_args!(
            "{} records and {} changes were written, {} could not be; a peer stores {} bytes, at most {}",
            written.records,
            written.edits,
            written.missed,
            outcome.store_bytes.mean,
            outcome.store_bytes.most
        ),
    );
    put(&mut out, format_args!("trace {}", outcome.trace_hash));
    put(
        &mut out,
        format_args!(
            "{:<10} {:>7} {:>10} {:>10} {:>10} {:>10} {:>10}",
            "", "count", "arrived", "p50", "p95", "max", "p50 bound"
        ),
    );
    for class in outcome.latencies.classes() {
        let of = outcome.latencies.of(Some(class));
        put(
            &mut out,
            format_args!(
                "{:<10} {:>7} {:>8.1} % {:>10} {:>10} {:>10} {:>10}",
                class.name(),
                of.count(),
                of.delivered_percent().unwrap_or(0.0),
                time(of.percentile(50)),
                time(of.percentile(95)),
                time(of.percentile(100)),
                time(at_percent(&of.bounds(), 50)),
            ),
        );
    }
    for goal in &outcome.goals {
        let verdict = if goal.reached { "PASS" } else { "FAIL" };
        put(&mut out, format_args!("{verdict}  {}: {}", goal.goal, goal.measured));
    }
    match (&outcome.violation, outcome.agreed_after) {
        (Some(violation), _) => put(&mut out, format_args!("VIOLATION  {violation}")),
        (None, Some(after)) => put(
            &mut out,
            format_args!("all held the same {} after the contacts ended", short(after)),
        ),
        (None, None) => {}
    }
    out
}

/// The run as a document's `data`.
#[must_use]
pub fn data(outcome: &Outcome, took: Took) -> Value {
    let classes = outcome.latencies.classes();
    let latency: serde_json::Map<String, Value> = classes
        .map(|class| (class.name().to_owned(), latency(&outcome.latencies.of(Some(class)))))
        .collect();
    let goals: Vec<Value> = outcome
        .goals
        .iter()
        .map(|verdict| {
            json!({
                "goal": verdict.goal.to_string(),
                "measured": verdict.measured,
                "value": verdict.value,
                "verdict": if verdict.reached { "PASS" } else { "FAIL" },
            })
        })
        .collect();
    json!({
        "scenario": outcome.scenario,
        "seed": outcome.seed,
        "peers": outcome.peers,
        "virtual_seconds": seconds(outcome.lasted),
        "trace_hash": outcome.trace_hash,
        "events": outcome.events,
        "written": {
            "records": outcome.written.records,
            "edits": outcome.written.edits,
            "missed": outcome.written.missed,
            "text_bytes": outcome.written.text_bytes,
        },
        "violation": outcome.violation.as_ref().map(violation),
        "agreed_after_seconds": outcome.agreed_after.map(seconds),
        "goals": goals,
        "latency": latency,
        "links": outcome.lines.iter().map(link).collect::<Vec<Value>>(),
        "staleness": {
            "step_seconds": seconds(outcome.staleness.step),
            "posts": outcome.staleness.posts.iter().map(stale).collect::<Vec<Value>>(),
            "mean_seconds": outcome.staleness.means().into_iter().map(seconds).collect::<Vec<f64>>(),
        },
        "parts": outcome.parts.iter().map(parts).collect::<Vec<Value>>(),
        "store_bytes": { "mean": outcome.store_bytes.mean, "most": outcome.store_bytes.most },
        "machine": {
            "seconds": took.seconds,
            "events_per_second": outcome.events as f64 / took.seconds.max(1e-9),
            "peak_bytes": took.peak_bytes,
            "peak_bytes_per_peer": took.peak_bytes.map(|bytes| bytes / outcome.peers.max(1) as u64),
        },
    })
}

/// What an oracle found.
#[must_use]
pub fn violation(violation: &Violation) -> Value {
    json!({
        "oracle": violation.oracle.name(),
        "at_seconds": seconds(violation.at),
        "what": violation.what,
    })
}

fn latency(of: &Of) -> Value {
    let bounds = of.bounds();
    let at = |times: &[Nanos]| -> serde_json::Map<String, Value> {
        let value = |percent: u8| at_percent(times, percent).filter(|took| *took != NEVER);
        let pair = |percent: u8| (format!("p{percent}"), json!(value(percent).map(seconds)));
        PERCENTILES.into_iter().map(pair).collect()
    };
    json!({
        "deliveries": of.count(),
        "delivered_percent": of.delivered_percent(),
        "possible_percent": of.possible_percent(),
        "mean_seconds": of.mean().map(seconds),
        "seconds": at(&of.times()),
        "bound_seconds": at(&bounds),
        "stretch_p50": of.stretch(50).filter(|times| times.is_finite()),
    })
}

fn link(line: &LineOutcome) -> Value {
    json!({
        "between": line.between,
        "contact_seconds": seconds(line.contact),
        "capacity_bytes": capacity(line),
        "sent_bytes": line.counts.sent,
        "delivered_bytes": line.counts.delivered,
        "lost_bytes": line.counts.lost,
        "frames": line.counts.frames,
        "frame_bytes": line.counts.frame_bytes,
    })
}

fn stale((name, ages): &(String, Vec<Nanos>)) -> Value {
    json!({ "post": name, "seconds": ages.iter().copied().map(seconds).collect::<Vec<f64>>() })
}

fn parts(parts: &Parts) -> Value {
    json!({ "up": parts.up, "parts": parts.parts, "largest": parts.largest })
}

/// What its contacts carry one way.
fn capacity(line: &LineOutcome) -> u64 {
    let bits =
        u128::from(line.contact) * u128::from(line.rate) / u128::from(crate::quantity::SECOND);
    (bits / 8) as u64
}

fn time(nanos: Option<Nanos>) -> String {
    match nanos {
        None => "-".to_owned(),
        Some(NEVER) => "not".to_owned(),
        Some(nanos) => short(nanos),
    }
}

fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}

/// Appends a line. To text that cannot fail.
pub(crate) fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{line}");
}
