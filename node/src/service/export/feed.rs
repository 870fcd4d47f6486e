//! Export as a feed of MISP: an event that came from there with its parts, and each other record as an event of its own.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use serde_json::Value;

use tearline_crdt::id::RecordId;
use tearline_crdt::record::edge;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::shelf::Detail;

use super::super::core::CoreHandle;
use super::super::damage::Unread;
use super::super::json;
use super::{each, row_of};
use crate::control::{Report, reply};
use crate::exchange::misp::feed::{FeedWriter, Told};
use crate::exchange::weight;
use crate::failure::Failure;
use crate::index::{Query, Row};

/// Writes what matches into a folder. What is recalled is in no feed: who takes it anew each time loses it there.
pub(super) fn export(
    core: &CoreHandle,
    query: Query,
    folder: &Path,
    progress: &mut Report<'_>,
) -> Result<Value, Failure> {
    let shown = folder.display().to_string();
    let failed = |error: io::Error| Failure::io(format!("cannot write into {shown}"), &error);
    let author = core.ask(|core| Ok(core.own_identity()))?;
    let mut feed = FeedWriter::begin(folder, author.as_ref()).map_err(failed)?;
    let (mut records, mut withheld) = (0, 0);
    // The events that went out, and the records that are their parts: 16 bytes each.
    let mut events: BTreeSet<String> = BTreeSet::new();
    let mut written: BTreeSet<RecordId> = BTreeSet::new();
    let all_kinds = query.kinds.is_empty() && query.types.is_empty();
    if all_kinds || query.kinds.contains(&(Kind::Report as u8)) {
        let reports =
            Query { kinds: [Kind::Report as u8].into(), types: BTreeSet::new(), ..query.clone() };
        each(core, reports, false, progress, &mut |detail, _| {
            let Some(id) = event_id(&detail).filter(|_| goes_out(&detail)) else { return Ok(()) };
            let parts = parts(core, &detail, &id, &query).map_err(other)?;
            records += 1 + parts.len() as u64;
            written.extend(parts.iter().map(|part| part.record));
            events.insert(id);
            feed.event(told(detail), parts)
        })?;
    }
    let walked = each(core, query.clone(), false, progress, &mut |detail, _| {
        if !goes_out(&detail) {
            withheld += 1;
            return Ok(());
        }
        if written.contains(&detail.record)
            || event_id(&detail).is_some_and(|id| events.contains(&id))
        {
            return Ok(());
        }
        records += 1;
        feed.alone(told(detail))
    })?;
    let bytes = feed.end().map_err(failed)?;
    let coming = core.ask(|core| Ok(core.coming()))?;
    let (hidden, unread) = (walked.hidden + withheld, walked.unread.shape());
    json(&reply::Exported { records, bytes, hidden, coming, unread })
}

/// Whether others may have it at all.
fn goes_out(detail: &Detail) -> bool {
    !detail.label.unknown && !detail.state.recalled
}

/// The name of a report that came as an event.
fn event_id(detail: &Detail) -> Option<String> {
    let came = detail.kind == Kind::Report && detail.fields.contains_key("x_misp");
    let id = detail.fields.get("id").and_then(Value::as_str);
    id.filter(|_| came).map(str::to_owned)
}

/// The parts of an event that may go out and match, as its agency has them, in their order: as many as a file may
/// have. The others are events of their own.
fn parts(
    core: &CoreHandle,
    report: &Detail,
    event: &str,
    query: &Query,
) -> Result<Vec<Told>, Failure> {
    let refs = report.fields.get("object_refs").and_then(Value::as_array);
    // Each once: who may write in the compartment may name one as often as fits.
    let mut seen = BTreeSet::new();
    let refs = refs.into_iter().flatten().filter_map(Value::as_str);
    let ids: Vec<String> = refs.filter(|id| seen.insert(*id)).map(str::to_owned).collect();
    let (compartment, origin) = (report.compartment, report.origin);
    let (mut all, mut bytes) = (Vec::new(), 0);
    for ids in ids.chunks(PARTS_PER_PIECE) {
        let (ids, event) = (ids.to_vec(), event.to_owned());
        let asked = Query { kinds: BTreeSet::new(), types: BTreeSet::new(), ..query.clone() };
        let found = core.ask(move |core| {
            let mut found = Vec::new();
            for id in &ids {
                let named: Vec<_> = core.records_called(compartment, id)?.into_iter().collect();
                let (details, _) = core.visible_of(&named, usize::MAX, &mut Unread::default())?;
                found.extend(details.into_iter().find(|part| {
                    let of = part.fields.get("event_ref").and_then(Value::as_str);
                    part.origin == origin
                        && of == Some(&event)
                        && !part.state.hides()
                        && goes_out(part)
                        && asked.matches(&row_of(part))
                }));
            }
            Ok(found)
        })?;
        for part in found {
            bytes += weight(&part.fields);
            if bytes > EVENT_BYTES_MAX {
                return Ok(all);
            }
            all.push(told(part));
        }
    }
    Ok(all)
}

/// Parts that are read at once: what is in memory beside an event has a bound, as each has 1 MiB at most.
const PARTS_PER_PIECE: usize = 16;
/// Most bytes of an event's parts: half of what a file of events may have that is read.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

fn told(detail: Detail) -> Told {
    let title = Row::describe(detail.kind, &detail.fields).title;
    let modified = detail.entries.iter().map(|entry| entry.wall).max().unwrap_or(detail.created);
    let mut fields = detail.fields;
    fields.retain(|name, _| !edge::is_reserved(name));
    Told {
        record: detail.record,
        kind: detail.kind,
        title,
        fields,
        label: detail.label,
        created: detail.created,
        modified,
    }
}

fn other(failure: Failure) -> io::Error {
    io::Error::other(failure.what)
}
