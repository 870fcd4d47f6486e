//! Bundles: files that are carried by hand, made here for other devices, and taken in.

use askama::Template;
use axum::http::StatusCode;

use super::super::call::{Call, Done};
use super::super::frame::{Choice, Frame};
use super::super::html::{self, Trouble};
use super::mesh::bytes;
use super::records::{agency, device, short};
use crate::audit::{Event, Outcome};
use crate::control::bundle::{BundleTaken, Post, Since};
use crate::control::trust::Devices;
use crate::control::{Empty, Request};
use crate::service::hands::BUNDLE_BYTES_MAX;

#[derive(Template)]
#[template(path = "bundles.html")]
struct BundlesPage {
    f: Frame,
    devices: Vec<Choice>,
    taken: Option<Taken>,
    max: String,
    problem: Option<Trouble>,
}

/// What became of a bundle that was taken in.
struct Taken {
    maker: String,
    made: super::super::frame::Moment,
    new: u64,
    held: u64,
    refusals: Vec<(&'static str, u64)>,
    stale: bool,
    problem: String,
}

pub(in super::super) fn show(call: &Call) -> Done {
    page(call, StatusCode::OK, None, None)
}

fn page(call: &Call, status: StatusCode, taken: Option<Taken>, problem: Option<Trouble>) -> Done {
    let listed: Devices = call.ask_peer(Request::DeviceList(Empty {}))?;
    let own: crate::control::reply::Status = call.ask_peer(Request::Status(Empty {}))?;
    let others = listed.devices.iter();
    let others = others.filter(|one| !one.standing.has_ended() && one.device != own.device);
    let devices = others.map(|one| Choice {
        chosen: call.form.all("to").any(|to| to == one.device),
        value: one.device.clone(),
        text: format!("{} · {}", device(one), agency(&one.agency)),
    });
    let devices = devices.collect();
    let f = Frame::new(call, call.language.words().bundles);
    let max = bytes(BUNDLE_BYTES_MAX);
    Ok(html::page(status, &BundlesPage { f, devices, taken, max, problem }))
}

pub(in super::super) fn export(call: &Call) -> Done {
    let form = &call.form;
    let since = match form.text("since") {
        "heard" => Since::Heard,
        "start" => Since::Start,
        _ => Since::Last,
    };
    let to: Vec<String> = form.all("to").map(str::to_owned).collect();
    if to.is_empty() {
        let trouble = Trouble::bad(call.language.words().pick_device);
        return page(call, StatusCode::BAD_REQUEST, None, Some(trouble));
    }
    call.note(
        Event::Disclosure,
        Vec::new(),
        &format!("bundle for {}", to.join(", ")),
        Outcome::Asked,
    )?;
    match call.state.service.bundle_out(to, since) {
        Ok((made, bytes)) => {
            let name = format!("tearline-{}.bundle", short(&made.bundle));
            Ok(html::download(&name, bytes))
        }
        Err(failure) => {
            let trouble = Trouble::from(failure);
            page(call, trouble.status, None, Some(trouble))
        }
    }
}

pub(in super::super) fn import(call: &Call) -> Done {
    call.note(Event::Collection, Vec::new(), "bundle", Outcome::Asked)?;
    let file = call.files.iter().find(|file| file.field == "bundle" && !file.bytes.is_empty());
    let Some(file) = file else {
        let trouble = Trouble::bad(call.language.words().pick_file);
        return page(call, StatusCode::BAD_REQUEST, None, Some(trouble));
    };
    match call.state.service.bundle_in(&file.bytes) {
        Ok(taken) => page(call, StatusCode::OK, Some(told(call, taken)), None),
        Err(failure) => {
            let trouble = Trouble::from(failure);
            page(call, trouble.status, None, Some(trouble))
        }
    }
}

fn told(call: &Call, taken: BundleTaken) -> Taken {
    let f = Frame::new(call, "");
    let Post { device, name, agency: of } = taken.maker;
    let refusals = [
        (f.w.bundle_gap, taken.gap),
        (f.w.bundle_branch, taken.other_branch),
        (f.w.bundle_refused, taken.refused),
    ];
    Taken {
        maker: format!("{} · {}", name.unwrap_or_else(|| short(&device)), agency(&of)),
        made: f.moment(&taken.made),
        new: taken.new,
        held: taken.held,
        refusals: refusals.into_iter().filter(|(_, n)| *n > 0).collect(),
        stale: taken.stale,
        problem: taken.problem.unwrap_or_default(),
    }
}
