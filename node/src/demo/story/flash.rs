//! Step 1b: KILO goes out on the lake. Routine reports for everybody crowd its radio; a flash alert for NE and TD
//! overtakes them. Everybody outside its audience gets the answer that they would get for a record that does
//! not exist, and holds no trace of it; neither does the relay, through which LAKE has the reports.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use super::radio::{self, RADIO, status};
use super::{
    ALL, AUDIENCE, Actor, KILO, NE, OUTSIDERS, RELAY, SPREAD_WAIT, Step, Story, if_there, lasted,
    record, until,
};
use crate::control::reply::{Exported, Opened, Record, Rows, Status};
use crate::control::{
    CompartmentOpen, Empty, Export, Format, RecordNew, RecordShow, Request, Search,
};
use crate::failure::{Failure, Kind};

pub(super) fn play(story: &mut Story<'_>, step: &mut Step) -> Result<(), Failure> {
    story.watch = open(story, "Lake watch", &["NE", "TD", "NG", "CM", "XL"])?;
    story.shore = open(story, "Northern shore", &["NE", "TD"])?;
    for (actors, compartment) in [(&ALL[..], &story.watch), (&AUDIENCE[..], &story.shore)] {
        for actor in actors {
            until("a compartment", SPREAD_WAIT, || {
                if_there(story.compartment(actor, compartment))
            })?;
        }
    }
    radio::out(story, step)?;
    crowd(story)?;
    step.note("routine reports for all, waiting for KILO's radio", REPORTS.to_string());
    alert(story, step)?;
    audience(story, step)?;
    outsiders(story, step)?;
    traces(story, step)
}

fn open(story: &Story<'_>, name: &str, rel: &[&str]) -> Result<String, Failure> {
    let rel = rel.iter().map(|agency| (*agency).to_owned()).collect();
    let request = Request::CompartmentOpen(CompartmentOpen { name: name.into(), rel });
    let opened: Opened = story.stage.ask(&NE, request)?;
    Ok(opened.compartment)
}

/// Writes the reports, and waits until some are on the air.
fn crowd(story: &mut Story<'_>) -> Result<(), Failure> {
    let [(before, _), _] = story.carried_by_radio();
    for number in 1..=REPORTS {
        let name = format!("Situation report {number} (exercise)");
        let place = story.chance.one_of(&["Bol", "Baga Sola", "Darak", "Nguigmi", "Baga"]);
        let means = story.chance.one_of(&["canoes", "trucks", "motorcycles", "camels"]);
        let content = format!(
            "EXERCISE. {place}, sector {}: {} {means} counted since the last report. Market day \
             was quiet; fuel and fish prices unchanged. Nothing further.",
            story.chance.next() % 9 + 1,
            story.chance.next() % 90 + 1,
        );
        let report = RecordNew {
            class: Some("routine".into()),
            label: Some("TLP:GREEN".into()),
            ..record("report", &story.watch, &[("name", &name), ("content", &content)])
        };
        story.write(&NE, report)?;
    }
    until("the first of the routine reports on KILO's radio", SPREAD_WAIT, || {
        let [(now, _), _] = story.carried_by_radio();
        Ok((now >= before + UNDER_WAY_FRAMES).then_some(()))
    })?;
    Ok(())
}

fn alert(story: &mut Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let plate = format!("EX {:04} LK", story.chance.next() % 10_000);
    let colour = story.chance.one_of(&["white", "grey", "sand-coloured"]);
    let name = format!("Vehicle alert: {colour} pickup {plate} (exercise)");
    let description =
        format!("EXERCISE. {colour} pickup, plate {plate}. Code word {}.", story.canary);
    let alert = RecordNew {
        class: Some("flash".into()),
        label: Some("TLP:AMBER".into()),
        compartment: None,
        rel: vec!["NE".into(), "TD".into()],
        ..record(
            "alert",
            "",
            &[("name", &name), ("description", &description), ("action_to_take", "seize")],
        )
    };
    let [(frames, _), _] = story.carried_by_radio();
    let begun = Instant::now();
    let written = story.write(&NE, alert)?;
    step.note("flash alert, releasable to TD and KILO: durable at NE in", lasted(begun.elapsed()));
    step.check(
        "it is in the compartment with exactly that audience",
        if written.compartment == story.shore { "yes" } else { "no" },
        "yes",
        written.compartment == story.shore,
    );
    story.alert = written.record;

    until("the alert at KILO", FLASH_WAIT, || if_there(show(story, &KILO)))?;
    let (time, arrived) =
        (begun.elapsed(), story.compartment(&KILO, &story.watch)?.summary.records);
    step.check(
        "the alert is readable at KILO",
        lasted(time),
        format!("at most {}", lasted(flash_time_max())),
        time <= flash_time_max(),
    );
    let [(now, _), _] = story.carried_by_radio();
    step.note(
        "frames that the radio carried to KILO from its writing to its arrival",
        now.saturating_sub(frames).to_string(),
    );
    let overtaken = REPORTS.saturating_sub(arrived);
    step.check(
        "routine reports that it overtook on KILO's radio",
        format!("{overtaken} of {REPORTS}"),
        "at least 1",
        overtaken > 0,
    );
    Ok(())
}

/// Those who may read it do: the searches below can find what is there.
fn audience(story: &Story<'_>, step: &mut Step) -> Result<(), Failure> {
    for actor in &AUDIENCE {
        until("the alert in the audience", SPREAD_WAIT, || if_there(show(story, actor)))?;
    }
    let (mut found, mut exported) = (0, 0);
    for actor in &AUDIENCE {
        found += usize::from(finds(story, actor)? == 1);
        exported += usize::from(export_hits(story, actor)? > 0);
    }
    step.equal("peers in the audience that find it by its code word", found, AUDIENCE.len());
    step.equal("peers in the audience whose export holds the code word", exported, AUDIENCE.len());
    Ok(())
}

fn outsiders(story: &Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let mut held = 0;
    for actor in &OUTSIDERS {
        until("the routine reports", SPREAD_WAIT, || {
            let detail = story.compartment(actor, &story.watch)?;
            Ok((detail.summary.records == REPORTS).then_some(()))
        })?;
        held += 1;
    }
    step.equal(
        "agencies outside the audience that hold all routine reports",
        held,
        OUTSIDERS.len(),
    );

    let mut refused = 0;
    let mut alike = 0;
    let mut unaware = 0;
    for actor in &OUTSIDERS {
        let answer = |record: &str| {
            let request = Request::RecordShow(RecordShow { record: record.into() });
            story.stage.ask::<Record>(actor, request).err()
        };
        let nothing = "0123456789abcdef0123456789abcdef";
        let (real, made_up) = (answer(&story.alert), answer(nothing));
        refused += usize::from(real.as_ref().is_some_and(|f| f.kind == Kind::NotFound));
        let blind = |failure: Option<Failure>, id: &str| {
            failure.map(|f| (f.kind, f.what.replace(id, "ID"), f.hint.map(|h| h.replace(id, "ID"))))
        };
        alike += usize::from(blind(real, &story.alert) == blind(made_up, nothing));
        let status: Status = story.stage.ask(actor, Request::Status(Empty {}))?;
        unaware += usize::from(status.compartments.iter().all(|c| c.compartment != story.shore));
    }
    step.equal("NG, CM, LAKE: \"no record you can see\" (exit code 4)", refused, OUTSIDERS.len());
    step.equal("... the same answer as for an id that does not exist", alike, OUTSIDERS.len());
    step.equal("... and no sign of the compartment", unaware, OUTSIDERS.len());
    Ok(())
}

/// Looks for the code word wherever it must not be.
pub(super) fn traces(story: &Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let (mut hits, mut bytes, mut read) = (0, 0, 0);
    for actor in &OUTSIDERS {
        let (found, searched) = story.stage.search_files(actor, &story.canary)?;
        (hits, bytes) = (hits + found, bytes + searched);
        read += finds(story, actor)? + export_hits(story, actor)?;
    }
    step.check(
        "code word in the stores and logs of NG, CM and LAKE",
        format!("{hits} hits in {bytes} bytes"),
        "0 hits",
        hits == 0 && bytes > 0,
    );
    step.equal("code word in what NG, CM and LAKE can search and export", read, 0);
    let (hits, bytes) = story.stage.search_files(&RELAY, &story.canary)?;
    let held = status(story, &RELAY)?.compartments;
    let held = held.iter().find(|one| one.compartment == story.shore).map_or(0, |one| one.entries);
    step.check(
        "code word at the relay, which holds sealed entries of the alert's compartment",
        format!("{hits} hits in {bytes} bytes, {held} entries"),
        "0 hits, at least 1 entry",
        hits == 0 && held > 0,
    );
    let (mut hits, mut bytes) = (0, 0);
    for actor in &AUDIENCE {
        let (found, searched) = story.stage.search_files(actor, &story.canary)?;
        (hits, bytes) = (hits + found, bytes + searched);
    }
    step.check(
        "code word on the disks of NE, TD and KILO: sealed there too",
        format!("{hits} hits in {bytes} bytes"),
        "0 hits",
        hits == 0 && bytes > 0,
    );
    Ok(())
}

fn show(story: &Story<'_>, actor: &Actor) -> Result<Record, Failure> {
    let request = Request::RecordShow(RecordShow { record: story.alert.clone() });
    story.stage.ask(actor, request)
}

/// How many records an actor finds by the code word.
fn finds(story: &Story<'_>, actor: &Actor) -> Result<u64, Failure> {
    let search = Search { query: story.canary.clone(), pattern: None, limit: None, after: None };
    let rows: Rows = story.stage.ask(actor, Request::Search(search))?;
    Ok(rows.records.len() as u64)
}

/// How often the code word stands in everything that an actor can export.
fn export_hits(story: &Story<'_>, actor: &Actor) -> Result<u64, Failure> {
    let out = story.stage.file(&format!("{}.json", actor.name));
    let failed = |e: std::io::Error| Failure::io("cannot make a file for an export", &e);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&out)
        .map_err(failed)?;
    let request = Export { format: Format::Stix, compartment: None, query: None, out: out.clone() };
    let _: Exported = story.stage.ask(actor, Request::Export(request))?;
    let text = fs::read_to_string(&out).map_err(failed)?;
    let _ = fs::remove_file(&out);
    Ok(text.matches(&story.canary).count() as u64)
}

/// How many routine reports crowd the radio: for about half a minute.
const REPORTS: u64 = 24;
/// What the radio has carried when the reports are certainly on their way.
const UNDER_WAY_FRAMES: u64 = 8;
/// Frames of the alert, and one that was on the air when it was written.
const FLASH_FRAMES: u32 = 4;
/// Bytes of the largest frame.
const FRAME_BYTES: u32 = 200;
/// What the daemons may take.
const FLASH_AT_DAEMONS: Duration = Duration::from_secs(1);

/// How long the alert may take to KILO: its own frames, one that was on the air already, which nothing can
/// overtake, the radio's delay, and a second for the daemons.
fn flash_time_max() -> Duration {
    let frame = Duration::from_secs(1) * (FRAME_BYTES * 8) / RADIO.bits_per_s;
    frame * FLASH_FRAMES + RADIO.delay + FLASH_AT_DAEMONS
}

/// How long it is waited for.
const FLASH_WAIT: Duration = Duration::from_secs(60);
