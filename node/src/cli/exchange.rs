//! `import` and `export`: files of other programs. The daemon reads and writes them itself, by
//! path; stdin and stdout pass through a file in the home's scratch folder.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::context::Context;
use super::output::{Outcome, Text, data};
use super::render::{Table, bytes, facts};
use crate::control::reply::{Exported, Imported};
use crate::control::{self, Request};
use crate::failure::{Failure, Kind};
use crate::files::{open_named, regular};
use crate::home::ScratchFile;
use crate::part::{Part, PartFolder};

/// A format of files that are read.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Source {
    /// A STIX 2.1 bundle
    Stix,
    /// Comma-separated values with a header row
    Csv,
    /// A GeoJSON feature collection
    Geojson,
    /// Sentences of AIS receivers (NMEA 0183)
    Ais,
    /// Events of MISP
    Misp,
    /// Events of Cursor on Target (TAK)
    Cot,
}

impl From<Source> for control::Source {
    fn from(format: Source) -> Self {
        match format {
            Source::Stix => Self::Stix,
            Source::Csv => Self::Csv,
            Source::Geojson => Self::Geojson,
            Source::Ais => Self::Ais,
            Source::Misp => Self::Misp,
            Source::Cot => Self::Cot,
        }
    }
}

/// A format of files that are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// A STIX 2.1 bundle
    Stix,
    /// Comma-separated values with a header row
    Csv,
    /// A GeoJSON feature collection
    Geojson,
    /// A feed of MISP, in a folder of its own
    MispFeed,
}

impl From<Format> for control::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Stix => Self::Stix,
            Format::Csv => Self::Csv,
            Format::Geojson => Self::Geojson,
            Format::MispFeed => Self::MispFeed,
        }
    }
}

/// Import records from files
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline import bundle.json --compartment 'Northern shore' --label 'TLP:GREEN'
  tearline import seen.csv --map seen.toml --compartment 3f9a12bc
  tearline import feed.nmea event.json --compartment 'Northern shore'
  generate | tearline import - --format stix --compartment 3f9a12bc

What was edited here since the last import of an object stays, until the file says something new.

Exit code 7: imported, but for rows that are no records or files that are missing or break off; they
are listed.")]
pub(super) struct Import {
    /// The files; - reads stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to: name, id, or the beginning of its id
    #[arg(long, value_name = "C")]
    compartment: String,
    /// The files' format [default: by the file's name and beginning]
    #[arg(long, value_enum)]
    format: Option<Source>,
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
                // The daemon says which it cannot read, beside what it made of the others.
                files.push(absolute(file)?);
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
        if done.passed_over > 0 {
            text += &facts([("passed over", done.passed_over.to_string())]);
        }
        if done.kept > 0 {
            text += &facts([("kept an edit here", done.kept.to_string())]);
        }
        if done.broken_files > 0 {
            text += &facts([("broken files", done.broken_files.to_string())]);
        }
        if done.doubtful > 0 {
            text += &facts([("in doubt", done.doubtful.to_string())]);
        }
        for (title, list) in
            [("reason", &done.problems), ("in doubt, and kept as it came", &done.doubts)]
        {
            if list.is_empty() {
                continue;
            }
            let mut problems = Table::new(&["file", "place", title]).with_whole_ends();
            for problem in list {
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
  tearline export --format misp-feed --out feed tlp:GREEN

A feed is a folder, and needs --out. Without --out the records go to stdout; with --json they stand in the document, as a text.

Exit code 7: exported, but for records that cannot be read because the store is damaged; they are
named.")]
pub(super) struct Export {
    /// The format to write
    #[arg(long, value_enum)]
    format: Format,
    /// Only of this compartment
    #[arg(long, value_name = "C")]
    compartment: Option<String>,
    /// The file to write, replaced if it is there; of a feed the folder, which is new or empty. No pipe: without --out the records go to stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only what matches: words and FIELD:VALUE terms
    query: Vec<String>,
}

impl Export {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let into = match &self.out {
            Some(path) if matches!(self.format, Format::MispFeed) => {
                Sink::Folder(PartFolder::begin(path)?)
            }
            None if matches!(self.format, Format::MispFeed) => {
                return Err(Failure::usage("a feed is a folder: name it with --out"));
            }
            Some(path) => Sink::Place(begin(path)?),
            None => Sink::Scratch(context.home.scratch_file()?),
        };
        let path = match &into {
            Sink::Place(part) => part.path(),
            Sink::Folder(part) => part.path(),
            Sink::Scratch(scratch) => scratch.path(),
        };
        let request = control::Export {
            format: self.format.into(),
            compartment: self.compartment,
            query: Some(self.query.join(" ")).filter(|query| !query.is_empty()),
            out: path.to_owned(),
        };
        let answer = context.ask::<Exported>(Request::Export(request))?;
        let done = &answer.typed;
        let mut document = json!({
            "format": data(&control::Format::from(self.format))?,
            "records": done.records,
            "bytes": done.bytes,
            "hidden": done.hidden,
            "coming": done.coming,
            "unread": data(&done.unread)?,
            "out": null,
            "content": null,
        });
        let mut note = |name: &str, value: serde_json::Value| {
            if let Some(data) = document.as_object_mut() {
                data.insert(name.into(), value);
            }
        };
        let scratch = match into {
            Sink::Place(part) => {
                let path = part.take_place()?;
                note("out", json!(path));
                let size = bytes(done.bytes);
                let text = format!("{} records, {size}, in {}\n", done.records, path.display());
                return Ok(left_out(Outcome::new(document, text), done));
            }
            Sink::Folder(part) => {
                let path = part.take_place()?;
                note("out", json!(path));
                let size = bytes(done.bytes);
                let text = format!("{} records, {size}, in {}\n", done.records, path.display());
                return Ok(left_out(Outcome::new(document, text), done));
            }
            Sink::Scratch(scratch) => scratch,
        };
        if context.flags.json {
            let content = fs::read_to_string(scratch.path())
                .map_err(|e| Failure::io("cannot read back the export", &e))?;
            note("content", content.into());
        }
        let mut outcome = Outcome::new(document, String::new());
        outcome.text = Text::File(scratch);
        Ok(left_out(outcome, done))
    }
}

/// Says what is not in the file.
fn left_out(outcome: Outcome, done: &Exported) -> Outcome {
    let outcome = outcome.before(done.coming).without(&done.unread);
    match done.hidden {
        0 => outcome,
        1 => outcome.hint("1 record is left out: it is restricted or erased"),
        hidden => {
            outcome.hint(format!("{hidden} records are left out: they are restricted or erased"))
        }
    }
}

/// The absolute path of a file that can be read.
pub(super) fn readable(path: &Path) -> Result<PathBuf, Failure> {
    open_named(path)?;
    absolute(path)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|e| Failure::io(format_args!("cannot use {}", path.display()), &e))
}

/// Where an export goes.
enum Sink {
    /// Into a file that somebody named.
    Place(Part),
    /// Into a folder that somebody named.
    Folder(PartFolder),
    /// To stdout.
    Scratch(ScratchFile),
}

/// Begins the file that the daemon writes into, beside its place. Opening a pipe waits for its reader, and the
/// daemon waits for nobody.
pub(super) fn begin(path: &Path) -> Result<Part, Failure> {
    let shown = path.display();
    let failure = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidInput => Failure::usage(format!("{shown} is no regular file"))
            .hint("without --out the records go to stdout, into a pipe if you like"),
        _ => Failure::io(format_args!("cannot write {shown}"), &error),
    };
    // A symbolic link goes on pointing where it does.
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            // A disk may not be mounted: what is meant to be there is not to lie somewhere else.
            Ok(target) => {
                let what = format!("{shown} points to {}, which is not there", target.display());
                return Err(Failure::failed(what)
                    .hint("make that first, or mount what it is on; or name another file"));
            }
            Err(_) => absolute(path)?,
        },
        found => found.map_err(failure)?,
    };
    let before = match regular(OpenOptions::new().write(true), &path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        found => Some(found.and_then(|file| file.metadata()).map_err(failure)?.permissions()),
    };
    let part = Part::begin(path)?;
    before.map_or(Ok(()), |before| part.file().set_permissions(before)).map_err(failure)?;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_export_takes_its_place_when_it_is_whole_and_in_a_regular_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let names = || fs::read_dir(folder.path()).unwrap().count();
        drop(begin(&path).unwrap());
        assert_eq!(names(), 0, "what failed leaves nothing");
        fs::write(&path, "before").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let part = begin(&link).unwrap();
        fs::write(part.path(), "after").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(part.take_place().unwrap(), fs::canonicalize(&path).unwrap());
        assert_eq!((fs::read(&path).unwrap(), names()), (b"after".to_vec(), 2));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(link.is_symlink());
        fs::remove_file(&path).unwrap();
        let refused = begin(&link).err().unwrap();
        assert!(refused.what.ends_with("out, which is not there"), "{}", refused.what);
        assert!(link.is_symlink() && !path.exists() && names() == 1);

        let pipe = folder.path().join("pipe");
        // Neither file nor folder, as a pipe is, and to be had without a command.
        let _socket = std::os::unix::net::UnixListener::bind(&pipe).unwrap();
        for path in [pipe.as_path(), Path::new("/dev/null")] {
            let refused = begin(path).err().unwrap();
            assert!(refused.what.ends_with("no regular file"), "{}", refused.what);
        }
    }
}
