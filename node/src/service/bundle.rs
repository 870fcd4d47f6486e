//! Bundles: files that carry entries between posts without a link. The core packs and takes frames in
//! pieces; the file is written and read by the request's own thread.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter};
use std::path::Path;

use serde_json::Value;

use tearline_crdt::id::{Class, CompartmentId, DeviceId, LogId};
use tearline_crdt::keys::DeviceKeys;
use tearline_mesh::bundle::{BundleError, Head, Outline, Reader, WriteError, Writer, tag};
use tearline_mesh::replica::{Body, NotRead, Room, Since};
use tearline_mesh::wire::{Frame, Tag};
use tearline_mesh::{Input, Link};

use super::core::{Core, CoreHandle};
use super::explain::hex;
use super::field::Enclosures;
use super::overview::store_failure;
use super::{SystemEntropy, json};
use crate::control::bundle::{
    self as shape, BundleExport, BundleFile, BundleInspected, BundleMade,
};
use crate::control::bundle::{BundleTaken, Content, Post};
use crate::control::{Progress, Report};
use crate::failure::{Failure, Kind};
use crate::files::{open_named, regular, sync_parent};

/// Bytes of frames that the core packs or takes at a time.
const BYTES_PER_JOB: u64 = 1024 * 1024;

/// What is special about a bundle.
#[derive(Default)]
pub(super) struct Contents {
    /// Of logs of records only what comes before these positions; all of them if absent.
    pub(super) wanted: Option<BTreeMap<LogId, u64>>,
    /// Frames that go before everything.
    pub(super) first: Vec<Vec<u8>>,
    /// Frames that go behind everything, if there is room for all of them.
    pub(super) last: Vec<Vec<u8>>,
}

/// Makes a bundle of all that its recipients lack.
pub(super) fn export(
    core: &CoreHandle,
    keys: &DeviceKeys,
    export: &BundleExport,
    progress: &mut Report<'_>,
) -> Result<Value, Failure> {
    json(&make(core, keys, export, Contents::default(), progress)?.0)
}

/// Writes a bundle, puts it in its place, and then notes that it is there. Says whether there was room for what
/// goes behind everything.
pub(super) fn make(
    core: &CoreHandle,
    keys: &DeviceKeys,
    export: &BundleExport,
    contents: Contents,
    progress: &mut Report<'_>,
) -> Result<(BundleMade, bool), Failure> {
    let since = match export.since {
        shape::Since::Last => Since::Last,
        shape::Since::Heard => Since::Heard,
        shape::Since::Start => Since::Start,
    };
    let names = export.to.clone();
    let (to, made) = core.ask(move |core| {
        Ok((core.recipients(&names)?, core.replica.time_of_bundle(core.now().wall)))
    })?;
    let (devices, agreements): (Vec<DeviceId>, Vec<[u8; 32]>) = to.into_iter().unzip();
    let shown = export.out.display().to_string();
    let io = |error: io::Error| Failure::io(format!("cannot write {shown}"), &error);
    let file = regular(OpenOptions::new().write(true), &export.part).map_err(io)?;
    file.set_len(0).map_err(io)?;
    let (out, bytes_max) = (BufWriter::new(file), export.bytes_max);
    let writer = Writer::begin(out, keys, &agreements, made, bytes_max, &mut SystemEntropy);
    let mut writer = writer.map_err(|error| match error {
        WriteError::Io(error) => io(error),
        WriteError::TooSmall { .. } | WriteError::Recipients(_) => {
            Failure::usage(error.to_string())
        }
        WriteError::WeakKey { index } => {
            let device = devices.get(index).map(DeviceId::short).unwrap_or_default();
            Failure::new(Kind::Integrity, format!("{error}, device {device}"))
        }
    })?;
    let name = writer.head().name;
    let recipients = devices.clone();
    let Contents { wanted, first, last } = contents;
    let mut packing = core.ask(move |core| {
        let packing = core.replica.begin_packing(recipients, since, name, wanted.as_ref());
        packing.map_err(|error| core.met(&error))
    })?;
    for frame in &first {
        writer.frame(frame).map_err(io)?;
    }
    let mut written = 0;
    loop {
        let room = writer.room();
        let (next, frames) = core.ask(move |core| {
            let mut frames: Vec<Vec<u8>> = Vec::new();
            let mut bytes = 0;
            while bytes < BYTES_PER_JOB {
                let more = core.replica.pack(&mut packing, room.saturating_sub(bytes));
                let more = more.map_err(|error| core.met(&error))?;
                if more.is_empty() {
                    break;
                }
                bytes += more.iter().map(|frame| frame.len() as u64 + 4).sum::<u64>();
                frames.extend(more);
            }
            Ok((packing, frames))
        })?;
        packing = next;
        if frames.is_empty() {
            break;
        }
        for frame in &frames {
            writer.frame(frame).map_err(io)?;
            written += frame.len() as u64;
        }
        report(progress, written, None, "packing")?;
    }
    let last_bytes: u64 = last.iter().map(|frame| frame.len() as u64 + 4).sum();
    let has_room = last_bytes <= writer.room();
    for frame in last.iter().filter(|_| has_room) {
        writer.frame(frame).map_err(io)?;
    }
    let file = writer.finish().and_then(|out| Ok(out.into_inner()?)).map_err(io)?;
    file.sync_all().map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    // What a mishap leaves is a bundle that is not counted, never one that is and is not there.
    fs::rename(&export.part, &export.out).and_then(|()| sync_parent(&export.out)).map_err(io)?;
    let done = core.act(move |core| {
        let ticket = core.replica.note_packed(&packing, made);
        let ticket = ticket.map_err(|error| store_failure(&error))?;
        let packed = core.replica.packed(&packing);
        let done = BundleMade {
            bundle: hex(&name),
            made: made.to_string(),
            to: devices.iter().map(|device| core.post(device)).collect(),
            entries: by_class(&packed.entries),
            left: packed.left,
            unshared: packed.unshared.iter().map(|id| core.compartment_name(id)).collect(),
            bytes,
        };
        Ok((done, ticket))
    });
    let done = done.map_err(|failure| Failure {
        what: format!("{shown} is written, but that is not noted here: {}", failure.what),
        ..failure
    })?;
    Ok((done, has_room))
}

/// Reads a bundle without taking anything of it.
pub(super) fn inspect(
    core: &CoreHandle,
    keys: &DeviceKeys,
    named: &BundleFile,
    progress: &mut Report<'_>,
) -> Result<Value, Failure> {
    let (mut reader, total) = begin(&named.file, keys)?;
    let head = *reader.head();
    let mut enclosures = Enclosures::default();
    let (maker, refused, names) = core.ask(move |core| {
        let refused = core.replica.check_maker(&head).err().map(|error| error.to_string());
        Ok((core.post(&head.maker), refused, core.names_in(&head)))
    })?;
    let mut entries = BTreeMap::new();
    let mut found: BTreeMap<Option<Tag>, u64> = BTreeMap::new();
    let problem = loop {
        let (frames, end) = some_frames(&mut reader);
        for frame in frames {
            if enclosures.take(&frame) {
                continue;
            }
            let Ok(Frame::Run { area, key, count, .. }) = Frame::decode(&frame) else { continue };
            let count = count as u64;
            let class = key.0.first().and_then(|byte| Class::from_u8(byte >> 4));
            class.into_iter().for_each(|class| *entries.entry(class).or_default() += count);
            let area = names.contains_key(&area).then_some(area);
            *found.entry(area).or_default() += count;
        }
        report(progress, reader.at(), total, "reading")?;
        if let Some(end) = end {
            break end.err();
        }
    };
    let enclosed = core.ask(move |core| Ok(core.enclosed(&head, &enclosures)))?;
    let compartments = found.into_iter().map(|(area, entries)| {
        let named = area.and_then(|area| names.get(&area)).cloned();
        let (compartment, name) = named.unwrap_or_default();
        Content { compartment, name, entries }
    });
    let mut file = open_named(&named.file)?;
    let outline = Outline::read(&mut file, total.unwrap_or_default());
    json(&BundleInspected {
        bundle: hex(&head.name),
        recipients: outline.map(|outline| outline.recipients).unwrap_or_default(),
        made: head.made.to_string(),
        maker,
        refused,
        entries: by_class(&entries),
        compartments: compartments.collect(),
        enclosed,
        bytes: reader.at(),
        problem: problem.map(|error| error.to_string()),
    })
}

/// Takes what a bundle holds, as far as it holds.
pub(super) fn import(
    core: &CoreHandle,
    keys: &DeviceKeys,
    named: &BundleFile,
    progress: &mut Report<'_>,
) -> Result<Value, Failure> {
    let (mut reader, total) = begin(&named.file, keys)?;
    let head = *reader.head();
    let shown = named.file.display().to_string();
    let link = core.ask(move |core| {
        core.check_room()?;
        core.replica.begin_reading(&head).map_err(|error| not_read(&shown, error))
    })?;
    let mut enclosures = Enclosures::default();
    let read = take_all(core, &mut reader, link, &mut enclosures, total, progress);
    let whole = matches!(read, Ok(None));
    let map = named.map.as_ref().map(|path| enclosures.write_map(path));
    let ended = core.act(move |core| {
        let taken = core.replica.end_reading(link, whole).map_err(|error| store_failure(&error))?;
        let enclosed = core.enclosed(&head, &enclosures);
        core.follow_order(&head, enclosed.as_ref())?;
        Ok(((taken, core.post(&head.maker), enclosed), core.replica.settled()))
    });
    let problem = read?;
    let (taken, maker, enclosed) = ended?;
    map.transpose()?;
    let fault = taken.fault.map(|fault| format!("its maker {fault}"));
    json(&BundleTaken {
        bundle: hex(&head.name),
        made: head.made.to_string(),
        maker,
        new: taken.new,
        held: taken.held,
        gap: taken.gap,
        other_branch: taken.other_branch,
        refused: taken.refused,
        stale: taken.stale,
        enclosed,
        bytes: reader.at(),
        problem: fault.or(problem),
    })
}

/// Takes frames up to the file's end, or to where it does not hold: why not further.
fn take_all(
    core: &CoreHandle,
    reader: &mut Opened,
    link: Link,
    enclosures: &mut Enclosures,
    total: Option<u64>,
    progress: &mut Report<'_>,
) -> Result<Option<String>, Failure> {
    loop {
        let (mut frames, end) = some_frames(reader);
        frames.retain(|frame| !enclosures.take(frame));
        let at_fault = core.act(move |core| {
            let at_fault = core.take_frames(link, frames)?;
            Ok((at_fault, core.replica.settled()))
        });
        let at_fault = at_fault.map_err(stopped)?;
        if let Some(end) = end.filter(|_| !at_fault) {
            return Ok(end.err().map(|error| error.to_string()));
        }
        if at_fault {
            return Ok(Some("its maker is at fault".into()));
        }
        report(progress, reader.at(), total, "importing").map_err(stopped)?;
    }
}

/// What is said of an import that did not come to its end.
fn stopped(failure: Failure) -> Failure {
    let what = format!("{} (what was taken of the bundle stays)", failure.what);
    Failure { what, ..failure }.hint("import it again: what is here already is passed over")
}

type Opened = Reader<BufReader<File>>;

/// Opens a bundle that is for this device.
fn begin(path: &Path, keys: &DeviceKeys) -> Result<(Opened, Option<u64>), Failure> {
    let file = open_named(path)?;
    let total = file.metadata().map(|found| found.len()).ok();
    let reader = Reader::begin(BufReader::new(file), keys).map_err(|error| {
        let failure = Failure::failed(format!("{}: {error}", path.display()));
        match error {
            BundleError::NotForThis { .. } => failure.hint(
                "have its maker name this device in `bundle export --to`; `tearline id` shows it",
            ),
            _ => failure,
        }
    })?;
    Ok((reader, total))
}

fn not_read(shown: &str, error: NotRead) -> Failure {
    let kind = match error {
        NotRead::Stranger => Kind::Denied,
        NotRead::OtherKey => Kind::Integrity,
    };
    let failure = Failure::new(kind, format!("{shown}: {error}; nothing was taken of it"));
    match error {
        NotRead::Stranger => failure.hint("if it is new: import first what tells of it"),
        NotRead::OtherKey => failure,
    }
}

/// Some frames, and how the file ends, if it did.
fn some_frames(reader: &mut Opened) -> (Vec<Vec<u8>>, Option<Result<(), BundleError>>) {
    let mut frames = Vec::new();
    let mut bytes = 0;
    while bytes < BYTES_PER_JOB {
        match reader.frame() {
            Ok(Some(frame)) => {
                bytes += frame.len() as u64;
                frames.push(frame);
            }
            Ok(None) => return (frames, Some(Ok(()))),
            Err(error) => return (frames, Some(Err(error))),
        }
    }
    (frames, None)
}

fn report(
    progress: &mut Report<'_>,
    done: u64,
    total: Option<u64>,
    note: &str,
) -> Result<(), Failure> {
    let report = Progress { done, total, unit: "bytes".into(), note: note.into() };
    if progress(report).is_break() {
        return Err(Failure::failed("it was interrupted"));
    }
    Ok(())
}

fn by_class(entries: &BTreeMap<Class, u64>) -> BTreeMap<String, u64> {
    entries.iter().map(|(class, count)| (class.name().to_owned(), *count)).collect()
}

impl Core {
    /// The devices of names, each once, with their agreement keys.
    fn recipients(&self, names: &[String]) -> Result<BTreeMap<DeviceId, [u8; 32]>, Failure> {
        let mut to = BTreeMap::new();
        for name in names {
            let device = self.named_device(name)?;
            if device == self.replica.device() {
                return Err(Failure::usage(
                    "a bundle is for other devices than the one that makes it",
                ));
            }
            let agreement = self.replica.agreement_of(&device).ok_or_else(|| {
                Failure::denied(format!("the standing of {name:?} in the coalition has ended"))
            })?;
            to.insert(device, agreement);
        }
        Ok(to)
    }

    pub(super) fn post(&self, device: &DeviceId) -> Post {
        let agency = self.agency_ref(self.agency_of(device));
        Post { device: device.to_string(), name: self.device(device).name, agency }
    }

    /// What those areas are called in a bundle that this device can name: their ids and names.
    fn names_in(&self, head: &Head) -> BTreeMap<Tag, (String, String)> {
        let own = self.replica.device();
        let areas = self.replica.areas().iter().filter(|(id, area)| {
            matches!(area.body, Body::Coalition(_)) || self.replica.right(**id, &own).is_some()
        });
        let named = areas.map(|(id, area)| {
            let name = match &area.body {
                Body::Coalition(coalition) => coalition.charter().name.clone(),
                Body::Compartment(_) => self.compartment_name(id),
            };
            (tag(&head.name, id), (CompartmentId::to_string(id), name))
        });
        named.collect()
    }

    /// Says frames of a bundle to the replica; whether its maker was found at fault.
    fn take_frames(&mut self, link: Link, frames: Vec<Vec<u8>>) -> Result<bool, Failure> {
        for bytes in frames {
            self.input(Input::Frame { link, bytes });
            self.carry_out();
            match self.replica.reading(link) {
                None => return Err(self.no_room(Room::Statements)),
                Some(taken) if taken.fault.is_some() => return Ok(true),
                Some(_) => {}
            }
        }
        Ok(false)
    }
}
