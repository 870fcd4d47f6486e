//! Step 4: KILO is seized. Whoever has it forges a report with its real keys. NE's duty officer says
//! `device lost`: what KILO wrote after its seizure is quarantined on every peer alike, what it wrote
//! before stays, what it could read is listed, and the next alert is closed to the stolen keys.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tearline_crdt::time::WallTime;

use super::{
    Actor, KILO, NE, SPREAD_WAIT, Step, Story, TD, called, if_there, lasted, record, until,
};
use crate::control::reply::{Record, Rows};
use crate::control::trust::{DeviceLost, Lost, Quarantine};
use crate::control::{Empty, RecordList, RecordNew, RecordShow, Request};
use crate::failure::Failure;

/// The honest peers of the compartment.
const HONEST: [Actor; 2] = [NE, TD];

pub(super) fn play(story: &mut Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let sightings = sightings(story, &TD)?;
    step.equal("genuine sightings of KILO at TD before its seizure", sightings, 1);
    let since = seized_at()?;
    let forged = forge(story, step)?;

    let begun = Instant::now();
    let lost: Lost = story.stage.ask(
        &NE,
        Request::DeviceLost(DeviceLost {
            device: KILO.name.into(),
            since: since.to_string(),
            by: None,
            dry_run: false,
        }),
    )?;
    step.note("one duty officer at NE: device lost, durable after", lasted(begun.elapsed()));
    let kept: u64 = lost.kept.iter().map(|log| log.kept).sum();
    let held: u64 = lost.kept.iter().map(|log| log.held).sum();
    step.check(
        "entries of KILO that still count at NE: all but the forged one",
        format!("{kept} of {held}"),
        format!("{} of {held}", held.saturating_sub(1)),
        held - kept == 1,
    );
    exposure(story, step, &lost);
    quarantined(story, step, &forged)?;
    closed(story, step)
}

/// After all that was written so far, by the clock of this machine, which KILO's daemon has, too.
fn seized_at() -> Result<WallTime, Failure> {
    let now = || {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        WallTime(u64::try_from(elapsed).unwrap_or(u64::MAX))
    };
    let before = now();
    // Entries have times in milliseconds: the next one must be a later one.
    until("the clock's next millisecond", SPREAD_WAIT, || Ok((now() > before).then_some(())))?;
    Ok(now())
}

/// Whoever seized it writes, with its real keys, and everybody believes it.
fn forge(story: &Story<'_>, step: &mut Step) -> Result<String, Failure> {
    let fields = [
        ("name", "All clear on the northern shore (exercise)"),
        ("content", "EXERCISE. Forged: no patrol tonight."),
    ];
    let forged =
        RecordNew { class: Some("immediate".into()), ..record("report", &story.shore, &fields) };
    let written: crate::control::reply::Written =
        story.stage.ask(&KILO, Request::RecordNew(forged))?;
    let mut seen = 0;
    for actor in &HONEST {
        until("the forged report", SPREAD_WAIT, || if_there(show(story, actor, &written.record)))?;
        seen += 1;
    }
    step.note("honest peers that believe a report forged with KILO's real key", seen.to_string());
    Ok(written.record)
}

fn exposure(story: &Story<'_>, step: &mut Step, lost: &Lost) {
    let records: usize = lost.exposed.iter().map(|exposed| exposed.records.len()).sum();
    let epochs: usize = lost.exposed.iter().map(|exposed| exposed.epochs.len()).sum();
    let listed = lost.exposed.iter().flat_map(|e| &e.records).any(|r| r.record == story.alert);
    step.check(
        "exposure list: what KILO could read",
        format!(
            "{records} records in {} compartments, {epochs} epochs; the alert {}",
            lost.exposed.len(),
            if listed { "among them" } else { "missing" }
        ),
        "the alert among them",
        listed,
    );
    let names: Vec<&str> = lost.not_heard.iter().map(|d| called(&d.agency.country)).collect();
    step.note(
        "not known to have heard when the command ended",
        if names.is_empty() { "nobody".into() } else { names.join(", ") },
    );
}

fn quarantined(story: &Story<'_>, step: &mut Step, forged: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    let showing = || -> Result<usize, Failure> {
        let mut showing = 0;
        for actor in &HONEST {
            showing += usize::from(if_there(show(story, actor, forged))?.is_some());
        }
        Ok(showing)
    };
    // One that goes on to show it is a claim that fails.
    let gone = until("the quarantine", QUARANTINE_WAIT, || Ok((showing()? == 0).then_some(())));
    let left = if gone.is_ok() { 0 } else { showing()? };
    step.check(
        "honest peers that still show the forged report",
        format!("{left} after {}", lasted(begun.elapsed())),
        "0",
        left == 0,
    );
    let mut inboxes = BTreeSet::new();
    let mut entries = 0;
    for actor in &HONEST {
        let inbox: Quarantine = story.stage.ask(actor, Request::Quarantine(Empty {}))?;
        entries = inbox.entries.len();
        inboxes.insert(inbox.entries.into_iter().map(|one| one.entry).collect::<Vec<_>>());
    }
    step.check(
        "quarantine inboxes at NE and TD, to be adopted from entry by entry",
        format!(
            "{} distinct, {entries} {}",
            inboxes.len(),
            if entries == 1 { "entry" } else { "entries" }
        ),
        "1 distinct, 1 entry",
        inboxes.len() == 1 && entries == 1,
    );
    let mut genuine = 0;
    for actor in &HONEST {
        genuine += sightings(story, actor)?;
    }
    step.equal("peers at which KILO's one genuine sighting still counts", genuine, HONEST.len());
    Ok(())
}

/// The next alert cannot be read with the stolen keys.
fn closed(story: &mut Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let shore = story.shore.clone();
    let alert = RecordNew {
        class: Some("flash".into()),
        ..record(
            "report",
            &shore,
            &[
                ("name", "Second alert (exercise)"),
                ("content", "EXERCISE. The same pickup, now going south."),
            ],
        )
    };
    let written = story.write(&NE, alert)?;
    until("the second alert at TD", SPREAD_WAIT, || if_there(show(story, &TD, &written.record)))?;
    let epoch = |actor: &Actor| -> Result<Option<String>, Failure> {
        // Its program may have been told of its end already, and then shows nothing.
        let seen = if_there(story.compartment(actor, &shore))?;
        Ok(seen.and_then(|seen| seen.epoch).map(|epoch| epoch.epoch))
    };
    let (ours, theirs) = (epoch(&NE)?, epoch(&KILO)?);
    step.check(
        "the keys of NE's new epoch are at the seized device",
        if ours == theirs { "yes" } else { "no" },
        "no",
        ours != theirs,
    );
    let read = if_there(show(story, &KILO, &written.record))?.is_some();
    step.check(
        "the seized device reads the second alert",
        if read { "yes" } else { "no" },
        "no",
        !read,
    );
    Ok(())
}

/// How many sightings a peer shows in the compartment.
fn sightings(story: &Story<'_>, actor: &Actor) -> Result<usize, Failure> {
    let list = RecordList {
        compartment: Some(story.shore.clone()),
        kind: Some("sighting".into()),
        ..RecordList::default()
    };
    let rows: Rows = story.stage.ask(actor, Request::RecordList(list))?;
    Ok(rows.records.len())
}

fn show(story: &Story<'_>, actor: &Actor, record: &str) -> Result<Record, Failure> {
    story.stage.ask(actor, Request::RecordShow(RecordShow { record: record.to_owned() }))
}

/// How long every honest peer may take to quarantine.
const QUARANTINE_WAIT: Duration = Duration::from_secs(15);
