//! Step 5: a court orders the alert to be erased, and a report that all agencies hold. One peer is out
//! of reach; the others answer with signed receipts at once. A bundle file carries the order to it, and another
//! brings its receipts back. What the
//! seized device holds, it goes on to hold: no order reaches who does not obey.

use std::time::Instant;

use super::radio::status;
use super::{
    ALL, Actor, KILO, NE, SPREAD_WAIT, Step, Story, TD, called, if_there, lasted, record, until,
};
use crate::control::bundle::{BundleExport, BundleFile, BundleMade, BundleTaken, Since};
use crate::control::reply::{PeerState, Record, Rows, Status};
use crate::control::trust::{Declared, Receipts, Said, StatementReceipts};
use crate::control::{Empty, RecordNew, RecordSay, RecordShow, Request, Search};
use crate::failure::Failure;
use crate::part::Part;

pub(super) fn play(story: &mut Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let watch = story.watch.clone();
    let content = format!("EXERCISE. About the vehicle of {}.", story.canary);
    let report = RecordNew {
        label: Some("TLP:GREEN".into()),
        ..record("report", &watch, &[("name", "To be erased (exercise)"), ("content", &content)])
    };
    let report = story.write(&NE, report)?.record;
    for actor in honest() {
        until("the report", SPREAD_WAIT, || if_there(show(story, actor, &report)))?;
    }
    cut(story)?;
    let begun = Instant::now();
    for record in [story.alert.clone(), report.clone()] {
        let said = Said::Erase { basis: "EXERCISE. Order 1/2026 of a fictional court".into() };
        let request = RecordSay { record, said };
        let _: Declared = story.stage.ask(&NE, Request::RecordSay(request))?;
    }
    // All but TD answer.
    for (what, record, wanted) in [(REPORT, &report, 4), (ALERT, &story.alert, 1)] {
        let got = until("the receipts", SPREAD_WAIT, || {
            let (answered, of) = destroyed(story, record)?;
            Ok((answered >= wanted).then_some((answered, of)))
        });
        let (answered, of) = got.map_or_else(|_| destroyed(story, record), |(got, _)| Ok(got))?;
        step.check(
            format!("{what}: signed receipts while TD is out of reach"),
            format!("{answered} of {of} after {}", lasted(begun.elapsed())),
            format!("{wanted} of {}", wanted + 1),
            (answered, of) == (wanted, wanted + 1),
        );
    }
    let unreachable = receipts(story, &report)?;
    let open: Vec<String> = unreachable
        .answers
        .iter()
        .filter(|answer| !answer.ended && answer.outcome.is_none())
        .map(|answer| {
            let since = answer.last_heard.clone().unwrap_or_else(|| "ever".into());
            format!("{} unreachable since {since}", called(&answer.device.agency.country))
        })
        .collect();
    step.check("who has not answered", open.join(", "), "TD", open.len() == 1);

    by_hand(story, step, &report)?;
    let begun = Instant::now();
    for (what, record, wanted) in [(REPORT, &report, 5), (ALERT, &story.alert, 2)] {
        let got = until("the last receipt", SPREAD_WAIT, || {
            let got = destroyed(story, record)?;
            Ok((got == (wanted, wanted)).then_some(got))
        });
        let (answered, of) = got.map_or_else(|_| destroyed(story, record), |(got, _)| Ok(got))?;
        step.check(
            format!("{what}: receipts once TD's stick is back"),
            format!("{answered} of {of} after {}", lasted(begun.elapsed())),
            format!("{wanted} of {wanted}"),
            (answered, of) == (wanted, wanted),
        );
    }
    nothing_left(story, step, &report)?;
    story.link(&TD)?.heal();
    Ok(())
}

/// A file goes to TD, which obeys, and one comes back.
fn by_hand(story: &Story<'_>, step: &mut Step, report: &str) -> Result<(), Failure> {
    let there = carry(story, &NE, &TD)?;
    let (_, time) = until("TD's own receipts", SPREAD_WAIT, || {
        let td = status(story, &TD)?.device;
        for record in [report, &story.alert] {
            let said = receipts_at(story, &TD, record)?;
            let own = said.answers.iter().find(|answer| answer.device.device == td);
            if own.and_then(|own| own.outcome.as_deref()) != Some(DESTROYED) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })?;
    let back = carry(story, &TD, &NE)?;
    step.note("bundles on a stick, to TD and back", format!("{there} and {back} bytes"));
    step.note("TD destroys what it was told to after", lasted(time));
    Ok(())
}

/// Makes a bundle at one for another, and has it read there. Its size in bytes.
fn carry(story: &Story<'_>, from: &Actor, to: &Actor) -> Result<u64, Failure> {
    let stick = Part::begin(story.stage.file(&format!("{}-{}.bundle", from.name, to.name)))?;
    let export = BundleExport {
        to: vec![status(story, to)?.device],
        since: Since::Last,
        bytes_max: BUNDLE_BYTES_MAX,
        part: stick.path().to_owned(),
        out: stick.place().to_owned(),
    };
    let made: BundleMade = story.stage.ask(from, Request::BundleExport(export))?;
    let file = BundleFile { file: stick.place().to_owned(), map: None };
    let taken: BundleTaken = story.stage.ask(to, Request::BundleImport(file))?;
    match taken.problem {
        Some(problem) => Err(Failure::failed(format!("{} on the stick: {problem}", to.name))),
        None => Ok(made.bytes),
    }
}

fn nothing_left(story: &Story<'_>, step: &mut Step, report: &str) -> Result<(), Failure> {
    let mut shown = 0;
    let mut hits = 0;
    for actor in honest() {
        for record in [&story.alert, report] {
            shown += usize::from(if_there(show(story, actor, record))?.is_some());
        }
        let search =
            Search { query: story.canary.clone(), pattern: None, limit: None, after: None };
        let rows: Rows = story.stage.ask(actor, Request::Search(search))?;
        hits += rows.records.len();
    }
    step.equal("erased records that honest peers still show", shown, 0);
    step.equal("records that honest peers find by the code word", hits, 0);
    let copy = if_there(show(story, &KILO, &story.alert))?;
    step.note(
        "KILO's program shows the alert; who has its keys reads its copy",
        if copy.is_some() { "yes" } else { "no" },
    );
    Ok(())
}

fn cut(story: &Story<'_>) -> Result<(), Failure> {
    story.link(&TD)?.cut();
    let down = |actor: &Actor, device: Option<&str>| -> Result<bool, Failure> {
        let status: Status = story.stage.ask(actor, Request::Status(Empty {}))?;
        let mut of = status.peers.iter().filter(|peer| device.is_none_or(|d| peer.device == d));
        Ok(of.all(|peer| matches!(peer.state, PeerState::Waiting | PeerState::Blocked)))
    };
    let td: Status = story.stage.ask(&TD, Request::Status(Empty {}))?;
    until("the loss of the link to TD", SPREAD_WAIT, || {
        Ok((down(&TD, None)? && down(&NE, Some(&td.device))?).then_some(()))
    })?;
    Ok(())
}

/// How many devices answered that they destroyed a record, and how many were asked.
fn destroyed(story: &Story<'_>, record: &str) -> Result<(usize, usize), Failure> {
    let statement = receipts(story, record)?;
    let done =
        |answer: &&crate::control::trust::ReceiptOf| answer.outcome.as_deref() == Some(DESTROYED);
    // Nobody waits for the seized device.
    let asked: Vec<_> = statement.answers.iter().filter(|answer| !answer.ended).collect();
    Ok((asked.iter().copied().filter(done).count(), asked.len()))
}

fn receipts(story: &Story<'_>, record: &str) -> Result<StatementReceipts, Failure> {
    receipts_at(story, &NE, record)
}

fn receipts_at(
    story: &Story<'_>,
    actor: &Actor,
    record: &str,
) -> Result<StatementReceipts, Failure> {
    let request = RecordShow { record: record.to_owned() };
    let receipts: Receipts = story.stage.ask(actor, Request::RecordReceipts(request))?;
    let first = receipts.statements.into_iter().next();
    first.ok_or_else(|| Failure::failed("nothing was said of the record"))
}

/// All but the seized device.
fn honest() -> impl Iterator<Item = &'static Actor> {
    ALL.iter().filter(|actor| **actor != KILO)
}

fn show(story: &Story<'_>, actor: &Actor, record: &str) -> Result<Record, Failure> {
    story.stage.ask(actor, Request::RecordShow(RecordShow { record: record.to_owned() }))
}

/// What a receipt says of what is gone.
const DESTROYED: &str = "destroyed";
/// How large a stick is.
const BUNDLE_BYTES_MAX: u64 = 16 << 20;
/// What is erased, by who holds it.
const REPORT: &str = "the report for all";
const ALERT: &str = "the alert for NE and TD";
