//! Export: what this device may read, to a file. What cannot be read because the store is damaged is
//! named, and all else comes out.

mod feed;

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write as _};

use serde_json::Value;

use tearline_crdt::attachment::Manifest;
use tearline_crdt::id::{Class, RecordId};
use tearline_crdt::record::edge;
use tearline_crdt::record::shelf::{Detail, RecordView};
use tearline_mesh::replica::FileError;

use super::core::{Core, CoreHandle};
use super::damage::Unread;
use super::json;
use crate::control::{self, Format, Progress, Report, reply};
use crate::exchange::csv::TableWriter;
use crate::exchange::geojson::CollectionWriter;
use crate::exchange::stix;
use crate::failure::Failure;
use crate::files::regular;
use crate::index::{Query, Row};

/// Records read at a time.
pub(super) const RECORDS_PER_PAGE: usize = 500;

/// Writes what matches to the client's file.
pub(super) fn export(
    core: &CoreHandle,
    export: &control::Export,
    progress: &mut Report<'_>,
) -> Result<Value, Failure> {
    let mut query = Query::parse(export.query.as_deref().unwrap_or_default())
        .map_err(|error| Failure::usage(error.to_string()))?;
    if let Some(name) = export.compartment.clone() {
        query.compartment = Some(core.ask(move |core| core.named_compartment(&name))?);
    }
    query.limit = RECORDS_PER_PAGE;
    if export.format == Format::MispFeed {
        return feed::export(core, query, &export.out, progress);
    }
    let shown = export.out.display().to_string();
    let io = |error: io::Error| Failure::io(format!("cannot write {shown}"), &error);
    let file = regular(OpenOptions::new().write(true), &export.out).map_err(io)?;
    file.set_len(0).map_err(io)?;
    let mut out = BufWriter::new(file);
    let mut records = 0;
    let walked = match export.format {
        Format::Stix => {
            let mut seed = [0; 16];
            tearline_crdt::entropy::Entropy::fill(&mut super::SystemEntropy, &mut seed);
            let authors = core.ask(|core| Ok(core.agency_identities()))?;
            let mut bundle = stix::BundleWriter::begin(&mut out, seed).map_err(io)?.by(authors);
            let walked = each(core, query, true, progress, &mut |detail, files| {
                records += 1;
                let (record, created) = (detail.record, detail.created);
                let owner = bundle.write(stix::Outgoing {
                    record: detail.record,
                    kind: detail.kind,
                    modified: detail.entries.iter().map(|e| e.wall).max().unwrap_or(detail.created),
                    created: detail.created,
                    fields: detail.fields,
                })?;
                for file in files {
                    // What is not here, or is not what it claims to be, stays out.
                    if let Some(bytes) = file_of(core, record, file.clone())? {
                        bundle.artifact(&owner, &file, &bytes, created)?;
                    }
                }
                Ok(())
            })?;
            bundle.end().map_err(io)?;
            walked
        }
        Format::Csv => {
            let mut table = TableWriter::begin(&mut out, &COLUMNS).map_err(|e| io(e.into()))?;
            let walked = each(core, query, false, progress, &mut |detail, _| {
                records += 1;
                Ok(table.write(&table_row(&detail))?)
            })?;
            table.end().map_err(|e| io(e.into()))?;
            walked
        }
        Format::Geojson => {
            let mut collection = CollectionWriter::begin(&mut out).map_err(io)?;
            let walked = each(core, query, false, progress, &mut |detail, _| {
                let place = Row::describe(detail.kind, &detail.fields).place;
                collection.write(&detail.record.to_string(), place, detail.fields)
            })?;
            records = collection.end().map_err(io)?;
            walked
        }
        Format::MispFeed => return Err(Failure::bug("a feed is no file")),
    };
    out.flush().map_err(io)?;
    let bytes = out.get_ref().metadata().map_or(0, |found| found.len());
    let Walk { hidden, unread, .. } = walked;
    let coming = core.ask(|core| Ok(core.coming()))?;
    json(&reply::Exported { records, bytes, hidden, coming, unread: unread.shape() })
}

/// Goes through all records that match and show their content, page by page; says which could not be read.
pub(super) fn each(
    core: &CoreHandle,
    mut query: Query,
    as_stix: bool,
    progress: &mut Report<'_>,
    take: &mut Take<'_>,
) -> Result<Walk, Failure> {
    let mut walk = Walk::default();
    loop {
        let asked = query.clone();
        let (part, next) = core.ask(move |core| {
            let (page, unread) = core.find(&asked)?;
            let mut part = Part { unread, as_stix, ..Part::default() };
            core.read(&page.rows.iter().map(|row| row.record).collect::<Vec<_>>(), &mut part)?;
            Ok((part, page.next))
        })?;
        walk.pass(part, progress, take)?;
        match next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    if walk.unread.blocks > 0 {
        walk.unread.blocks = 0;
        walk.search_the_store(core, &query, as_stix, progress, take)?;
    }
    Ok(walk)
}

/// Takes a record that is shown, and its files.
pub(super) type Take<'a> = dyn FnMut(Detail, Vec<Manifest>) -> io::Result<()> + 'a;

/// A file of a record, if it is here whole.
fn file_of(core: &CoreHandle, record: RecordId, file: Manifest) -> io::Result<Option<Vec<u8>>> {
    let read = core.ask(move |core| match core.replica.read_file(&record, &file) {
        Ok(bytes) => Ok(bytes),
        Err(FileError::Store(error)) => Err(core.met(&error)),
        Err(_) => Ok(None),
    });
    read.map_err(|failure| io::Error::other(failure.what))
}

/// What was read at once.
#[derive(Default)]
struct Part {
    details: Vec<Detail>,
    unread: Unread,
    as_stix: bool,
}

impl Core {
    /// Reads those of a page's records that may be seen.
    fn read(&mut self, records: &[RecordId], part: &mut Part) -> Result<(), Failure> {
        let mut details = self.visible_of(records, usize::MAX, &mut part.unread)?.0;
        if part.as_stix {
            self.link(None, details.iter_mut())?;
        }
        part.details.extend(details);
        Ok(())
    }
}

/// An export under way.
#[derive(Default)]
pub(super) struct Walk {
    done: u64,
    hidden: u64,
    /// The records that were come by: 16 bytes each.
    seen: Vec<RecordId>,
    /// What of them cannot be read.
    pub(super) unread: Unread,
}

impl Walk {
    fn pass(
        &mut self,
        part: Part,
        progress: &mut Report<'_>,
        take: &mut Take<'_>,
    ) -> Result<(), Failure> {
        self.seen.extend(part.unread.records.keys());
        self.unread.records.extend(part.unread.records);
        self.unread.blocks += part.unread.blocks;
        for mut detail in part.details {
            self.done += 1;
            self.seen.push(detail.record);
            if detail.state.hides() {
                // What is left of it is no record for anybody else.
                self.hidden += 1;
                continue;
            }
            // Which record was released as which is for those who have the mesh to follow it.
            let files = Manifest::all(&detail.fields);
            detail.fields.retain(|name, _| !edge::is_reserved(name));
            take(detail, files).map_err(|error| Failure::io("cannot write the export", &error))?;
        }
        let note = "exporting".into();
        let report = Progress { done: self.done, total: None, unit: "records".into(), note };
        if progress(report).is_break() {
            return Err(Failure::failed("the export was interrupted"));
        }
        Ok(())
    }

    /// Where the index has gaps: looks through all records there are for those not come by.
    fn search_the_store(
        &mut self,
        core: &CoreHandle,
        query: &Query,
        as_stix: bool,
        progress: &mut Report<'_>,
        take: &mut Take<'_>,
    ) -> Result<(), Failure> {
        self.seen.sort_unstable();
        let seen = std::mem::take(&mut self.seen);
        let mut from = Some(RecordId::default());
        while let Some(start) = from {
            let (ids, next) = core.ask(move |core| {
                let stored = core.stored_records(start, RECORDS_PER_PAGE);
                stored.map_err(|error| core.met(&error))
            })?;
            let fresh: Vec<RecordId> =
                ids.into_iter().filter(|id| seen.binary_search(id).is_err()).collect();
            let asked = query.clone();
            let part = core.ask(move |core| {
                let mut part = Part { as_stix, ..Part::default() };
                core.read(&fresh, &mut part)?;
                part.details.retain(|detail| asked.matches(&row_of(detail)));
                Ok(part)
            })?;
            self.pass(part, progress, take)?;
            from = next;
        }
        Ok(())
    }
}

/// The row that the index would have of a record.
pub(super) fn row_of(detail: &Detail) -> Row {
    let class = detail.entries.iter().map(|entry| entry.log.class).min();
    Row::of(&RecordView {
        record: detail.record,
        version: detail.version,
        compartment: detail.compartment,
        kind: detail.kind,
        class: class.unwrap_or(Class::Routine),
        origin: detail.origin,
        device: detail.device,
        label: &detail.label,
        fields: &detail.fields,
        conflicted: !detail.conflicts.is_empty(),
        restricted: detail.state.hides(),
        recalled: detail.state.recalled,
        created: detail.created,
        arrived: detail.arrived,
    })
}

/// The columns of an exported table.
const COLUMNS: [&str; 8] =
    ["record", "kind", "title", "label", "created", "latitude", "longitude", "fields"];

fn table_row(detail: &Detail) -> Vec<(&'static str, String)> {
    let row = Row::describe(detail.kind, &detail.fields);
    let mut cells = vec![
        ("record", detail.record.to_string()),
        ("kind", row.kind_name().to_owned()),
        ("title", row.title),
        ("label", detail.label.to_string()),
        ("created", detail.created.to_string()),
        ("fields", serde_json::to_string(&detail.fields).unwrap_or_default()),
    ];
    if let Some((latitude, longitude)) = row.place {
        cells.push(("latitude", latitude.to_string()));
        cells.push(("longitude", longitude.to_string()));
    }
    cells
}
