//! Signing in and out.

use std::sync::PoisonError;

use askama::Template;
use axum::http::StatusCode;
use qrcode::QrCode;
use qrcode::types::Color;
use tearline_crdt::record::vocabulary::{Purpose, Vocabulary as _, parse_word};

use super::super::call::{Call, Done};
use super::super::frame::Frame;
use super::super::html::{self, Trouble};
use super::super::session::Session;
use crate::audit::{Event, Note, Outcome};
use crate::operators::{PASSPHRASE_CHARS_MIN, Refusal, SignedIn};

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    f: Frame,
    refusal: Option<&'static str>,
    minutes: u64,
    name: &'a str,
}

pub(in super::super) fn login(call: &Call) -> Done {
    Ok(login_page(call, StatusCode::OK, None))
}

fn login_page(
    call: &Call,
    status: StatusCode,
    refusal: Option<&Refusal>,
) -> axum::response::Response {
    let w = call.language.words();
    let (text, minutes) = refused(w, refusal);
    let page = Login {
        f: Frame::new(call, w.sign_in),
        refusal: text,
        minutes,
        name: call.form.text("name"),
    };
    html::page(status, &page)
}

fn refused(
    w: &'static super::super::words::Words,
    refusal: Option<&Refusal>,
) -> (Option<&'static str>, u64) {
    match refusal {
        None => (None, 0),
        Some(Refusal::Wrong) => (Some(w.wrong), 0),
        Some(Refusal::Locked { minutes }) => (Some(w.locked), *minutes),
        Some(Refusal::Weak) => (Some(w.weak), 0),
        Some(Refusal::Failed(_)) => (Some(w.failed_text), 0),
    }
}

pub(in super::super) fn sign_in(call: &Call) -> Done {
    let form = &call.form;
    let (name, code) = (form.text("name"), form.text("code"));
    let operators = &call.state.books.operators;
    match operators.sign_in(name, form.secret("passphrase"), code, call.now_ms()) {
        Ok(signed_in) => begin(call, signed_in),
        Err(refusal) => {
            refuse(call, name)?;
            Ok(login_page(call, StatusCode::FORBIDDEN, Some(&refusal)))
        }
    }
}

/// Begins a session, under a token that nobody had before.
fn begin(call: &Call, signed_in: SignedIn) -> Done {
    call.state.books.audit.append(note(
        call,
        &signed_in.name,
        signed_in.role.name(),
        Outcome::Done,
    ))?;
    let purpose = signed_in.settings.purpose();
    let session = Session::new(signed_in, purpose, call.now_ms())?;
    let mut sessions = call.state.sessions.lock().unwrap_or_else(PoisonError::into_inner);
    sessions.end(&call.token);
    let token = sessions.begin(session)?;
    drop(sessions);
    let mut response = html::redirect("/");
    html::set_cookie(&mut response, &call.state.cookie, &token);
    Ok(response)
}

/// A name that nobody here has is not written down: it may be a passphrase in the wrong field.
fn refuse(call: &Call, name: &str) -> Result<(), Trouble> {
    let books = &call.state.books;
    let name = if books.operators.has(name) { name } else { "" };
    books.audit.append_refusal(note(call, name, "", Outcome::Refused))?;
    Ok(())
}

fn note(call: &Call, name: &str, role: &str, outcome: Outcome) -> Note {
    Note {
        event: Event::Login,
        operator: name.into(),
        role: role.into(),
        purpose: String::new(),
        act: format!("{} {}", call.method, call.route),
        records: Vec::new(),
        detail: if name.is_empty() { "a name that nobody has".into() } else { String::new() },
        outcome,
    }
}

#[derive(Template)]
#[template(path = "setup.html")]
struct Setup<'a> {
    f: Frame,
    refusal: Option<&'static str>,
    minutes: u64,
    name: &'a str,
    chars_min: usize,
}

pub(in super::super) fn setup(call: &Call) -> Done {
    Ok(setup_page(call, StatusCode::OK, None, false))
}

fn setup_page(
    call: &Call,
    status: StatusCode,
    refusal: Option<&Refusal>,
    differ: bool,
) -> axum::response::Response {
    let w = call.language.words();
    let (text, minutes) = refused(w, refusal);
    let page = Setup {
        f: Frame::new(call, w.first_sign_in),
        refusal: if differ { Some(w.differ) } else { text },
        minutes,
        name: call.form.text("name"),
        chars_min: PASSPHRASE_CHARS_MIN,
    };
    html::page(status, &page)
}

pub(in super::super) fn set_up(call: &Call) -> Done {
    let form = &call.form;
    let (name, passphrase) = (form.text("name"), form.secret("passphrase"));
    if passphrase != form.secret("again") {
        return Ok(setup_page(call, StatusCode::BAD_REQUEST, None, true));
    }
    let operators = &call.state.books.operators;
    match operators.set_up(name, form.text("code"), passphrase, call.now_ms()) {
        Ok(signed_in) => begin(call, signed_in),
        Err(refusal) => {
            refuse(call, name)?;
            Ok(setup_page(call, StatusCode::FORBIDDEN, Some(&refusal), false))
        }
    }
}

#[derive(Template)]
#[template(path = "enrol.html")]
struct Enrol {
    f: Frame,
    refusal: bool,
    /// The dark squares of the QR code, as a path, and its width.
    squares: String,
    width: usize,
    secret: String,
}

pub(in super::super) fn enrol(call: &Call) -> Done {
    enrol_page(call, StatusCode::OK, false)
}

fn enrol_page(call: &Call, status: StatusCode, refusal: bool) -> Done {
    let session = call.session()?;
    let Some(enrolment) = &session.enrols else { return Ok(html::redirect("/")) };
    let uri = enrolment.uri(&format!("Tearline {}", call.state.peer), &session.name);
    let code =
        QrCode::new(uri.as_bytes()).map_err(|_| Trouble::new(StatusCode::INTERNAL_SERVER_ERROR))?;
    let width = code.width();
    let mut squares = String::new();
    for (n, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            squares += &format!("M{} {}h1v1h-1z", n % width + QUIET, n / width + QUIET);
        }
    }
    let page = Enrol {
        f: Frame::new(call, call.language.words().second_factor),
        refusal,
        squares,
        width: width + 2 * QUIET,
        secret: enrolment.text(),
    };
    Ok(html::page(status, &page))
}

/// White squares around a QR code (ISO/IEC 18004, section 6.3.8).
const QUIET: usize = 4;

pub(in super::super) fn confirm(call: &Call) -> Done {
    let session = call.session()?;
    let Some(enrolment) = &session.enrols else { return Ok(html::redirect("/")) };
    let operators = &call.state.books.operators;
    match operators.enrol(&session.name, enrolment, call.form.text("code"), call.now_ms()) {
        Ok(()) => {
            call.note(Event::Administration, Vec::new(), "second factor", Outcome::Done)?;
            call.change_session(|session| session.enrols = None);
            Ok(html::redirect("/"))
        }
        Err(Refusal::Failed(failure)) => Err(failure.into()),
        Err(_) => enrol_page(call, StatusCode::FORBIDDEN, true),
    }
}

pub(in super::super) fn sign_out(call: &Call) -> Done {
    call.note(Event::Login, Vec::new(), "signed out", Outcome::Done)?;
    call.state.sessions.lock().unwrap_or_else(PoisonError::into_inner).end(&call.token);
    let mut response = html::redirect("/login");
    html::drop_cookie(&mut response, &call.state.cookie);
    Ok(response)
}

pub(in super::super) fn purpose(call: &Call) -> Done {
    let text = call.form.text("purpose");
    let purpose: Purpose = parse_word(text).map_err(|_| Trouble::new(StatusCode::BAD_REQUEST))?;
    call.note(Event::Consultation, Vec::new(), &format!("purpose: {text}"), Outcome::Done)?;
    let mut settings = call.session()?.settings.clone();
    settings.purpose = purpose.word().into();
    call.keep_settings(&settings)?;
    call.change_session(|session| session.purpose = purpose);
    Ok(html::redirect("/?done=purpose"))
}
