//! What is said of a record, recall, restrict, hold, erase, and who has obeyed.

use askama::Template;
use axum::http::StatusCode;

use super::super::call::{Call, Done};
use super::super::frame::{Badge, Frame, Moment};
use super::super::html::{self, Trouble};
use super::records::{agency, device, flags, shown};
use crate::control::trust::{self, Named, ReceiptOf, Receipts, Said, StatementReceipts};
use crate::control::{RecordSay, RecordShow, Request};

#[derive(Template)]
#[template(path = "withhold.html")]
struct WithholdPage {
    f: Frame,
    id: String,
    title: String,
    badge: Badge,
    flags: Vec<&'static str>,
    due: Option<Moment>,
    words: Vec<Word>,
    lifted: Vec<String>,
    relays: Vec<String>,
}

/// A word that was said of the record.
struct Word {
    statement: String,
    asks: &'static str,
    open: usize,
    answers: Vec<Answer>,
}

struct Answer {
    agency: String,
    device: String,
    outcome: &'static str,
    done: bool,
    at: Option<Moment>,
    heard: Option<Moment>,
    ended: bool,
}

pub(in super::super) fn show(call: &Call) -> Done {
    let id = call.place("record").to_owned();
    let record = shown(call, &id)?;
    let receipts: Receipts =
        call.ask(Request::RecordReceipts(RecordShow { record: id.clone() }))?;
    let badge = Badge::of(&record.label);
    let f = Frame::new(call, call.language.words().withhold).labelled(&badge.text);
    let page = WithholdPage {
        title: if record.title.is_empty() { f.w.untitled.into() } else { record.title },
        flags: flags(f.w, &record.flags),
        due: record.erasure_due.as_ref().map(|due| f.moment(due)),
        words: receipts.statements.iter().map(|said| word(&f, said)).collect(),
        lifted: receipts
            .lifted
            .iter()
            .map(|by| format!("{} · {}", by.what, agency(&by.issuer.agency)))
            .collect(),
        relays: receipts
            .relays
            .iter()
            .map(|relay| format!("{} · {}", device(relay), agency(&relay.agency)))
            .collect(),
        id,
        badge,
        f,
    };
    Ok(html::page(StatusCode::OK, &page))
}

fn word(f: &Frame, said: &StatementReceipts) -> Word {
    Word {
        statement: super::records::short(&said.statement),
        asks: f.w.said(&said.asks),
        open: said.open,
        answers: said.answers.iter().map(|of| answer(f, of)).collect(),
    }
}

fn answer(f: &Frame, of: &ReceiptOf) -> Answer {
    Answer {
        agency: agency(&of.device.agency),
        device: device(&of.device),
        outcome: match of.outcome.as_deref() {
            Some(outcome) => f.w.outcome(outcome),
            None if of.ended => f.w.ended,
            None => f.w.no_answer,
        },
        done: of.outcome.as_deref().is_some_and(|outcome| outcome != "refused"),
        at: of.at.as_ref().map(|at| f.moment(at)),
        heard: of.last_heard.as_ref().map(|at| f.moment(at)),
        ended: of.ended,
    }
}

pub(in super::super) fn say(call: &Call) -> Done {
    let id = call.place("record").to_owned();
    let form = &call.form;
    if form.text("sure") != "yes" {
        return Err(Trouble::bad(call.language.words().say_sure));
    }
    let said = match form.text("said") {
        "recall" => Said::Recall,
        "restrict" => Said::Restrict,
        "hold" => Said::Hold,
        "erase" => Said::Erase { basis: form.text("basis").to_owned() },
        "lift" => {
            let _: trust::Declared = call.ask(Request::RecordLift(Named { id: id.clone() }))?;
            return Ok(html::redirect(&format!("/record/{id}/withhold?done=said")));
        }
        _ => return Err(Trouble::new(StatusCode::BAD_REQUEST)),
    };
    let _: trust::Declared =
        call.ask(Request::RecordSay(RecordSay { record: id.clone(), said }))?;
    Ok(html::redirect(&format!("/record/{id}/withhold?done=said")))
}
