//! `record attach`, `attachments` and `fetch`: files that belong to records.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use tearline_crdt::attachment::FILE_BYTES_MAX;

use super::context::Context;
use super::exchange::begin;
use super::output::Outcome;
use super::render::{Table, bytes, facts, short};
use crate::control::attachment::{self as shape, Attachment, Attachments};
use crate::control::{RecordShow, Request};
use crate::failure::{Failure, Kind};
use crate::files::read_whole;
use crate::length;
use crate::picture::{Format, thumbnail};

/// Attach a photo or file to a record
///
/// Of a JPEG or PNG only the picture is attached: place, time, device, author and earlier versions are
/// taken out, and a thumbnail of at most 2 KiB travels with the record. The file itself is fetched on request.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline record attach 4be1a09c scene.jpg
  tearline record attach 4be1a09c statement.pdf --as-is --class priority

Of other files nothing can be taken out: --as-is says that what they tell of their making may travel.")]
pub(super) struct Attach {
    /// The record's id, or the beginning of it
    record: String,
    /// The file; at most 8 MiB
    file: PathBuf,
    /// What it is called [default: the file's own name]
    #[arg(long)]
    name: Option<String>,
    /// Attach it with everything that is in it, also what it tells of its making
    #[arg(long)]
    as_is: bool,
    /// Its media type, of a file that is no JPEG or PNG
    #[arg(long, value_name = "TYPE", default_value = "application/octet-stream")]
    media_type: String,
    /// Make no thumbnail
    #[arg(long)]
    no_thumbnail: bool,
    /// How urgent it is that the record tells of it
    #[arg(long, value_parser = super::record::CLASSES)]
    class: Option<String>,
}

/// Fetch what is not here yet of a record, or a file of it, from the peers that have it
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline record fetch 4be1a09c                           entries that were left aside by interest
  tearline record fetch 4be1a09c scene.jpg -o scene.jpg

What came stays, and the next fetch goes on from there; the daemon goes on as long as it runs.

Exit code 7: not all of it is here yet.")]
pub(super) struct Fetch {
    /// The record's id, or the beginning of it
    record: String,
    /// The file's name, or the beginning of its id: `record attachments` shows both
    #[arg(requires = "out")]
    name: Option<String>,
    /// The file to write; replaced if it is there
    #[arg(short, long, value_name = "FILE", requires = "name")]
    out: Option<PathBuf>,
    /// How long to wait for it: a number and s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = wait)]
    wait: u64,
}

impl Attach {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let own_name = || Some(self.file.file_name()?.to_str()?.to_owned());
        let name = self.name.clone().or_else(own_name).ok_or_else(|| {
            Failure::usage(format!("{} has no name to go by", self.file.display()))
                .hint("give it one with --name")
        })?;
        let mut plain = read(&self.file)?;
        let mut warnings = Vec::new();
        let mut media_type = self.media_type;
        let mut small = None;
        match Format::of(&plain) {
            Some(format) => {
                media_type = format.media_type().into();
                match format.strip(&plain) {
                    Ok(picture) => {
                        if !self.no_thumbnail {
                            small = thumbnail(format, &picture);
                            if small.is_none() {
                                warnings.push("no thumbnail could be made of it".to_owned());
                            }
                        }
                        if self.as_is {
                            warnings.push(AS_IS.into());
                        } else {
                            plain = picture.bytes;
                        }
                    }
                    Err(_) if self.as_is => warnings.push(AS_IS.into()),
                    Err(malformed) => {
                        let what = format!("{}: {malformed}", self.file.display());
                        return Err(Failure::usage(what).hint(
                            "save it anew from a program that shows it, or attach it with --as-is",
                        ));
                    }
                }
            }
            None if self.as_is => warnings.push(AS_IS.into()),
            None => {
                let what = format!("{} is no JPEG or PNG picture", self.file.display());
                return Err(Failure::usage(what).hint(
                    "what such a file tells of its making cannot be taken out: --as-is attaches it \
                     with all of that",
                ));
            }
        }
        let mut scratch = context.home.scratch_file()?;
        let failure = |e| Failure::io("cannot set the file aside", &e);
        scratch.file.write_all(&plain).and_then(|()| scratch.file.flush()).map_err(failure)?;
        let request = shape::RecordAttach {
            record: self.record,
            file: scratch.path().to_owned(),
            name,
            media_type,
            thumbnail: small.map(|small| STANDARD.encode(small)).unwrap_or_default(),
            class: self.class,
        };
        let answer = context.ask::<Attachment>(Request::RecordAttach(request))?;
        let text = described(&answer.typed);
        Ok(Outcome::new(answer.data, text).warn(warnings.into_iter()))
    }
}

impl Fetch {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let wait = Duration::from_secs(self.wait);
        let (Some(name), Some(out)) = (&self.name, &self.out) else {
            return super::aside::fetch(context, &self.record, wait);
        };
        let part = begin(out)?;
        let until = Instant::now() + wait;
        loop {
            let request = shape::RecordFetch {
                record: self.record.clone(),
                name: name.clone(),
                part: part.path().to_owned(),
            };
            let answer = context.ask::<Attachment>(Request::RecordFetch(request))?;
            let file = &answer.typed;
            if file.is_whole() {
                let path = part.take_place()?;
                let text = format!("{}  {}\n", bytes(file.bytes), path.display());
                return Ok(Outcome::new(answer.data, text));
            }
            if Instant::now() >= until {
                let held = format!("{} of {}", bytes(file.held_bytes), bytes(file.sealed_bytes));
                let why =
                    if file.coming { "it is coming" } else { "no linked peer has more of it" };
                return Err(Failure::new(
                    Kind::Incomplete,
                    format!("{held} are here of {:?}: {why}", file.name),
                )
                .hint("fetch it again later; the daemon goes on as long as it runs"));
            }
            thread::sleep(ASK_AGAIN);
        }
    }
}

/// The file to attach.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read_whole(path, FILE_BYTES_MAX as usize)?;
    let bytes = bytes.ok_or_else(|| Failure::usage(format!("there is no {}", path.display())))?;
    if bytes.is_empty() {
        return Err(Failure::usage(format!("{} is empty", path.display())));
    }
    Ok(bytes)
}

/// Lists the files of a record.
pub(super) fn list(context: &Context, record: String) -> Result<Outcome, Failure> {
    let request = Request::RecordAttachments(RecordShow { record });
    let answer = context.ask::<Attachments>(request)?;
    let mut table = Table::new(&["name", "id", "type", "size", "here"]);
    for file in &answer.typed.attachments {
        let here = if file.is_whole() {
            "whole".to_owned()
        } else {
            format!("{} of {}", bytes(file.held_bytes), bytes(file.sealed_bytes))
        };
        let Attachment { name, attachment, media_type, .. } = file;
        table.row([name, &short(attachment), media_type, &bytes(file.bytes), &here]);
    }
    Ok(Outcome::new(answer.data, table.text("no files")))
}

fn described(file: &Attachment) -> String {
    facts([
        ("name", file.name.clone()),
        ("id", file.attachment.clone()),
        ("type", file.media_type.clone()),
        ("size", bytes(file.bytes)),
        ("SHA-256", file.sha256.clone()),
        (
            "thumbnail",
            if file.thumbnail.is_empty() { "none" } else { "travels with the record" }.into(),
        ),
    ])
}

/// Reads how long a fetch waits.
fn wait(text: &str) -> Result<u64, String> {
    length::read(text, length::DAY_S)
}

/// What is to be known of a file that is attached whole.
const AS_IS: &str = "nothing was taken out of it: what it tells of its making travels with it";
/// How often the daemon is asked how far it is.
const ASK_AGAIN: Duration = Duration::from_millis(200);
