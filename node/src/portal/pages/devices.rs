//! Devices, and what to do when one is lost: what it could read, what of it counts still, and who has heard.

use askama::Template;
use axum::http::StatusCode;

use super::super::call::{Call, Done};
use super::super::frame::{Badge, Choice, Frame, Moment};
use super::super::html::{self, Trouble};
use super::records::{agency, device as device_name, short};
use crate::audit::{Event, Outcome};
use crate::control::trust::{Device, DeviceLost, Devices, Lost};
use crate::control::{Empty, Request};

#[derive(Template)]
#[template(path = "devices.html")]
struct DevicesPage {
    f: Frame,
    devices: Vec<Row>,
}

struct Row {
    device: String,
    name: String,
    short: String,
    agency: String,
    right: String,
    ended: bool,
    since: Option<Moment>,
}

pub(in super::super) fn list(call: &Call) -> Done {
    let listed: Devices = call.ask_peer(Request::DeviceList(Empty {}))?;
    let f = Frame::new(call, call.language.words().devices);
    let devices = listed.devices.iter().map(|one| row(&f, one)).collect();
    Ok(html::page(StatusCode::OK, &DevicesPage { f, devices }))
}

fn row(f: &Frame, one: &Device) -> Row {
    Row {
        device: one.device.clone(),
        name: one.name.clone().unwrap_or_default(),
        short: short(&one.device),
        agency: agency(&one.agency),
        right: one.right.clone(),
        ended: one.standing.has_ended(),
        since: one.standing.since.as_ref().map(|since| f.moment(since)),
    }
}

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage {
    f: Frame,
    row: Row,
    since: String,
    by: Vec<Choice>,
    problem: Option<Trouble>,
    report: Option<Report>,
}

/// What the loss of a device means.
struct Report {
    done: bool,
    already: bool,
    since: Moment,
    logs: Vec<Log>,
    more_logs: u64,
    unnamed: u64,
    void: Vec<(String, String)>,
    changes: Vec<Change>,
    exposed: Vec<Exposed>,
    unlisted: String,
    rotated: Vec<String>,
    heard: Vec<String>,
    not_heard: Vec<String>,
}

/// A right that the loss would change.
struct Change {
    device: String,
    room: String,
    before: String,
    after: String,
}

struct Log {
    room: String,
    class: &'static str,
    held: u64,
    kept: u64,
    last_at: Option<Moment>,
    next_at: Option<Moment>,
}

struct Exposed {
    name: String,
    records: Vec<(String, String, Badge)>,
}

pub(in super::super) fn show(call: &Call) -> Done {
    page(call, StatusCode::OK, None, None)
}

pub(in super::super) fn lost(call: &Call) -> Done {
    match try_to_end(call) {
        Err(trouble) if trouble.status != StatusCode::NOT_FOUND => {
            page(call, trouble.status, Some(trouble), None)
        }
        done => done,
    }
}

fn try_to_end(call: &Call) -> Done {
    let form = &call.form;
    let dry_run = match form.text("act") {
        "preview" => true,
        "lost" if form.text("sure") == "yes" => false,
        "lost" => return Err(Trouble::bad(call.language.words().say_sure)),
        _ => return Err(Trouble::new(StatusCode::BAD_REQUEST)),
    };
    let device = found(call)?.device;
    let since = form.text("since").to_owned();
    let by = Some(form.text("by").to_owned()).filter(|by| !by.is_empty());
    let what = if dry_run { "device lost, dry run" } else { "device lost" };
    call.note(Event::Administration, Vec::new(), &format!("{what}: {device}"), Outcome::Asked)?;
    let lost = DeviceLost { device, since, by, dry_run };
    let lost = call.state.service.device_lost_for(call.session()?.viewer(), lost)?;
    let records = lost.exposed.iter().flat_map(|one| &one.records);
    let records: Vec<String> = records.map(|one| one.record.clone()).take(NOTED_MAX).collect();
    call.note(Event::Consultation, records, "exposure", Outcome::Done)?;
    let f = Frame::new(call, "");
    let report = report(&f, lost, dry_run);
    page(call, StatusCode::OK, None, Some(report))
}

/// Most records of an exposure that are named in the audit log.
const NOTED_MAX: usize = 300;

fn report(f: &Frame, lost: Lost, dry_run: bool) -> Report {
    let named = |devices: &[Device]| -> Vec<String> {
        let one = |device: &Device| format!("{} · {}", device_name(device), agency(&device.agency));
        devices.iter().map(one).collect()
    };
    Report {
        done: !dry_run,
        already: lost.already,
        since: f.moment(&lost.since),
        logs: lost
            .kept
            .iter()
            .map(|log| Log {
                room: log.compartment.clone(),
                class: f.w.class(&log.class),
                held: log.held,
                kept: log.kept,
                last_at: log.last_at.as_ref().map(|at| f.moment(at)),
                next_at: log.next_at.as_ref().map(|at| f.moment(at)),
            })
            .collect(),
        more_logs: lost.more_logs,
        unnamed: lost.unnamed,
        void: lost.void.iter().map(|void| (void.what.clone(), void.again.clone())).collect(),
        changes: lost
            .changes
            .iter()
            .map(|change| Change {
                device: format!(
                    "{} · {}",
                    device_name(&change.device),
                    agency(&change.device.agency)
                ),
                room: change.name.clone(),
                before: change.before.clone().unwrap_or_else(|| f.w.no.into()),
                after: change.after.clone().unwrap_or_else(|| f.w.no.into()),
            })
            .collect(),
        exposed: lost
            .exposed
            .into_iter()
            .map(|exposed| Exposed {
                name: exposed.name,
                records: exposed
                    .records
                    .into_iter()
                    .map(|one| {
                        let title =
                            if one.title.is_empty() { f.w.untitled.into() } else { one.title };
                        (one.record, title, Badge::of(&one.label))
                    })
                    .collect(),
            })
            .collect(),
        unlisted: lost.unlisted.unwrap_or_default(),
        rotated: lost.rotated,
        heard: named(&lost.heard),
        not_heard: named(&lost.not_heard),
    }
}

/// The device that the path names, by its whole id.
fn found(call: &Call) -> Result<Device, Trouble> {
    let listed: Devices = call.ask_peer(Request::DeviceList(Empty {}))?;
    let named = call.place("device");
    let found = listed.devices.into_iter().find(|one| one.device == named);
    found.ok_or_else(Trouble::not_found)
}

fn page(call: &Call, status: StatusCode, problem: Option<Trouble>, report: Option<Report>) -> Done {
    let device = found(call)?;
    let f = Frame::new(call, device_name(&device));
    let since = match call.form.text("since") {
        "" => f.now.iso.clone(),
        since => since.to_owned(),
    };
    let by = call.form.text("by");
    let by = vec![
        Choice::new("arrival", f.w.by_arrival, by),
        Choice::new("own-dates", f.w.by_dates, by),
    ];
    let row = row(&f, &device);
    Ok(html::page(status, &DevicePage { f, row, since, by, problem, report }))
}
