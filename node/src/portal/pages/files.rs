//! Files of records: attached, asked for, and taken.

use axum::http::StatusCode;

use super::super::call::{Call, Done};
use super::super::frame::Frame;
use super::super::html::{self, Trouble};
use super::mesh::bytes;
use crate::audit::{Event, Outcome};
use crate::control::attachment::Attachment;

/// A file of a record, as its page shows it.
pub(super) struct File {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) size: String,
    /// A small JPEG, in base64; empty if there is none.
    pub(super) thumbnail: String,
    pub(super) whole: bool,
    pub(super) state: String,
}

/// The files of a record.
pub(super) fn of(call: &Call, f: &Frame, record: &str) -> Result<Vec<File>, Trouble> {
    let files = call.state.service.files_for(call.session()?.viewer(), record.to_owned())?;
    let file = |one: Attachment| File {
        whole: one.is_whole(),
        state: match (one.is_whole(), one.coming) {
            (true, _) => f.w.file_whole.to_owned(),
            (false, true) => format!("{} {}", f.w.file_coming, bytes(one.held_bytes)),
            (false, false) => format!("{} {}", f.w.file_away, bytes(one.held_bytes)),
        },
        size: bytes(one.bytes),
        thumbnail: if is_base64(&one.thumbnail) { one.thumbnail } else { String::new() },
        id: one.attachment,
        name: one.name,
        kind: one.media_type,
    };
    Ok(files.attachments.into_iter().map(file).collect())
}

/// Whether a text is nothing but letters of base64: others wrote it.
fn is_base64(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
}

pub(in super::super) fn attach(call: &Call) -> Done {
    let record = call.place("record").to_owned();
    let file = call.files.iter().find(|file| file.field == "file" && !file.bytes.is_empty());
    let Some(file) = file else { return Err(Trouble::bad(call.language.words().pick_file)) };
    call.note(Event::Change, vec![record.clone()], "attach", Outcome::Asked)?;
    let name = match call.form.text("name") {
        "" => file.name.clone(),
        name => name.to_owned(),
    };
    let viewer = call.session()?.viewer();
    call.state.service.attach_for(viewer, record.clone(), name, &file.bytes)?;
    Ok(html::redirect(&format!("/record/{record}?done=attached")))
}

pub(in super::super) fn fetch(call: &Call) -> Done {
    let record = call.place("record").to_owned();
    call.note(Event::Consultation, vec![record.clone()], "fetch", Outcome::Asked)?;
    let (viewer, file) = (call.session()?.viewer(), call.form.text("file").to_owned());
    let (_, plain) = call.state.service.file_for(viewer, record.clone(), file)?;
    let done = if plain.is_some() { "fetched" } else { "fetching" };
    Ok(html::redirect(&format!("/record/{record}?done={done}")))
}

pub(in super::super) fn take(call: &Call) -> Done {
    let record = call.place("record").to_owned();
    call.note(Event::Disclosure, vec![record.clone()], "file", Outcome::Asked)?;
    let (viewer, file) = (call.session()?.viewer(), call.place("file").to_owned());
    match call.state.service.file_for(viewer, record, file)? {
        (file, Some(plain)) => Ok(html::download(&file.name, plain)),
        (_, None) => {
            let detail = call.language.words().file_not_here.to_owned();
            Err(Trouble { detail, ..Trouble::new(StatusCode::CONFLICT) })
        }
    }
}
