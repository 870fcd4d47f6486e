//! What goes out to other programs' servers, page by page: of this agency's records those that a ceiling and a purpose
//! let out, and which were recalled.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::core::CoreHandle;
use super::edge::{Reader, Walk, object};
use super::json;
use super::passes::{colour, purpose};
use super::sight::{Met, Outside, Viewer};
use crate::control::{Outgoing, REPLY_BYTES_MAX, reply};
use crate::failure::Failure;
use crate::index::Query;

/// A page of what goes out.
pub(super) fn page(core: &CoreHandle, asked: &Outgoing) -> Result<Value, Failure> {
    let (label_max, purpose) = (colour(&asked.label_max)?, purpose(&asked.purpose)?);
    let (name, others) = (asked.compartment.clone(), asked.others);
    let (compartment, own, author) = core.ask(move |core| {
        let compartment = core.named_compartment(&name)?;
        let author = core.own_identity().map(|(id, _)| id);
        Ok((compartment, core.agency_of(&core.replica.device()), author))
    })?;
    let met = Arc::new(Mutex::new(Met::default()));
    let viewer = Viewer { purpose, label_max, withholds: false };
    let origin = own.filter(|_| !others);
    let reader = Reader::Outside(Outside { viewer, origin, met: Arc::clone(&met) });
    let walk = Walk {
        query: Query { compartment: Some(compartment), ..Query::default() },
        records: None,
        after_us: asked.after_us,
        limit: usize::try_from(asked.limit).unwrap_or(OBJECTS_MAX).clamp(1, OBJECTS_MAX),
        recalled: true,
        located: false,
        as_stix: true,
    };
    let walked = walk.go(core, &reader, &mut |row, detail| Some((row.recalled, object(detail))))?;
    let (last_us, more) = (asked.after_us, walked.more);
    let mut page = reply::Outgoing { last_us, more, ..reply::Outgoing::default() };
    let mut bytes = 0;
    for (stamp_us, (recalled, object)) in walked.kept {
        if recalled {
            // What another is the author of is his, there too: a copy that is recalled here withdraws nothing.
            let by = object.get("created_by_ref").and_then(Value::as_str);
            if by.is_none() || by != author.as_deref() {
                page.last_us = stamp_us;
                continue;
            }
            page.recalled.extend(object.get("id").and_then(Value::as_str).map(str::to_owned));
        } else {
            let object = Value::Object(object);
            bytes += object.to_string().len();
            if bytes > BYTES_MAX && page.last_us > asked.after_us {
                page.more = true;
                break;
            }
            page.objects.push(object);
        }
        page.last_us = stamp_us;
    }
    let met = met.lock().unwrap_or_else(PoisonError::into_inner);
    if !page.more {
        // What stays here is not gone through again.
        page.last_us = page.last_us.max(met.last_us);
    }
    page.withheld = met.withheld.range(..=page.last_us).count() as u64;
    json(&page)
}

/// Most bytes of a page's objects but for the first, of which one has 1 MiB: half of what an answer may have.
const BYTES_MAX: usize = REPLY_BYTES_MAX / 2;
/// Most objects of a page.
const OBJECTS_MAX: usize = 10_000;
