//! `import` and `export`: files of other programs. The daemon reads and writes them itself, by
//! path; stdin and stdout pass through a file in the home's scratch folder.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::context::Context;
use super::output::{Outcome, Text, data};
use super::render::{Table, bytes, facts};
use crate::control::reply::{Exported, Imported};
use crate::control::{self, Request};
use crate::failure::{Failure, Kind};
use crate::files::open_named;

/// A format of files.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// A STIX 2.1 bundle
    Stix,
    /// Comma-separated values with a header row
    Csv,
    /// A GeoJSON feature collection
    Geojson,
}

impl From<Format> for control::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Stix => Self::Stix,
            Format::Csv => Self::Csv,
            Format::Geojson => Self::Geojson,
        }
    }
}

/// Import records from files
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline import bundle.json --compartment 'Northern shore' --label 'TLP:GREEN'
  tearline import seen.csv --map seen.toml --compartment 3f9a12bc
  generate | tearline import - --format stix --compartment 3f9a12bc

Exit code 7: imported, but for rows that are no records or files that break off; they are listed.")]
pub(super) struct Import {
    /// The files; - reads stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to: name, id, or the beginning of its id
    #[arg(long, value_name = "C")]
    compartment: String,
    /// The files' format [default: by the end of the name]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// A TOML file that maps columns to fields, for CSV
    #[arg(long, value_name = "MAP.toml")]
    map: Option<PathBuf>,
    /// The least restrictive label of what is written
    #[arg(long)]
    label: Option<String>,
    /// How urgent it is [default: routine]
    #[arg(long, value_parser = super::record::CLASSES)]
    class: Option<String>,
}

impl Import {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let mut from_stdin = None;
        let mut files = Vec::new();
        for file in &self.files {
            if file != Path::new("-") {
                files.push(readable(file)?);
                continue;
            }
            if self.format.is_none() || from_stdin.is_some() {
                return Err(Failure::usage("stdin is read once, and needs --format"));
            }
            context.check_stdin()?;
            let mut scratch = context.home.scratch_file()?;
            io::copy(&mut io::stdin(), &mut scratch.file)
                .map_err(|e| Failure::io("cannot take in stdin", &e))?;
            files.push(scratch.path().to_owned());
            from_stdin = Some(scratch);
        }
        let request = control::Import {
            files,
            stdin: from_stdin.as_ref().map(|scratch| scratch.path().to_owned()),
            compartment: self.compartment,
            format: self.format.map(Into::into),
            map: self.map.as_deref().map(readable).transpose()?,
            label: self.label,
            class: self.class,
        };
        let answer = context.ask::<Imported>(Request::Import(request))?;
        let done = &answer.typed;
        let mut text = facts([
            ("read", done.read.to_string()),
            ("created", done.created.to_string()),
            ("updated", done.updated.to_string()),
            ("unchanged", done.unchanged.to_string()),
            ("rejected", done.rejected.to_string()),
        ]);
        if done.broken_files > 0 {
            text += &facts([("broken files", done.broken_files.to_string())]);
        }
        if !done.problems.is_empty() {
            let mut problems = Table::new(&["file", "place", "reason"]).with_whole_ends();
            for problem in &done.problems {
                problems.row([&problem.file, &problem.place, &problem.reason]);
            }
            text = format!("{text}\n{}", problems.text(""));
        }
        let short = done.rejected > 0 || done.broken_files > 0;
        Ok(Outcome::new(answer.data, text).short_of(Kind::Incomplete, short))
    }
}

/// Export records that this device can read
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline export --format geojson --out sightings.geojson kind:sighting
  tearline export --format stix --compartment 'Northern shore' | jq .objects

Without --out the records go to stdout; with --json they stand in the document, as a text.

Exit code 7: exported, but for records that cannot be read because the store is damaged; they are
named.")]
pub(super) struct Export {
    /// The format to write
    #[arg(long, value_enum)]
    format: Format,
    /// Only of this compartment
    #[arg(long, value_name = "C")]
    compartment: Option<String>,
    /// The file to write; replaced if it is there
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only what matches: words and FIELD:VALUE terms
    query: Vec<String>,
}

impl Export {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let scratch = match &self.out {
            Some(path) => {
                create_private(path)?;
                None
            }
            None => Some(context.home.scratch_file()?),
        };
        let path = match (&self.out, &scratch) {
            (Some(path), _) => absolute(path)?,
            (None, Some(scratch)) => scratch.path().to_owned(),
            (None, None) => return Err(Failure::bug("an export without a file")),
        };
        let request = control::Export {
            format: self.format.into(),
            compartment: self.compartment,
            query: Some(self.query.join(" ")).filter(|query| !query.is_empty()),
            out: path.clone(),
        };
        let answer = context.ask::<Exported>(Request::Export(request))?;
        let done = &answer.typed;
        let mut document = json!({
            "format": data(&control::Format::from(self.format))?,
            "records": done.records,
            "bytes": done.bytes,
            "unread": data(&done.unread)?,
            "out": self.out.as_ref().map(|_| &path),
            "content": null,
        });
        let Some(scratch) = scratch else {
            let size = bytes(done.bytes);
            let text = format!("{} records, {size}, in {}\n", done.records, path.display());
            return Ok(Outcome::new(document, text).without(&done.unread));
        };
        if context.flags.json {
            let content = fs::read_to_string(&path)
                .map_err(|e| Failure::io("cannot read back the export", &e))?;
            if let Some(data) = document.as_object_mut() {
                data.insert("content".into(), content.into());
            }
        }
        let mut outcome = Outcome::new(document, String::new());
        outcome.text = Text::File(scratch);
        Ok(outcome.without(&done.unread))
    }
}

/// The absolute path of a file that can be read.
fn readable(path: &Path) -> Result<PathBuf, Failure> {
    open_named(path)?;
    absolute(path)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|e| Failure::io(format_args!("cannot use {}", path.display()), &e))
}

fn create_private(path: &Path) -> Result<(), Failure> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|e| Failure::io(format_args!("cannot write {}", path.display()), &e))
}
