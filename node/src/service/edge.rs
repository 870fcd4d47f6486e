//! What the gateway asks of the core, each time for the holder of a pass.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::sync::watch;

use tearline_crdt::id::{CompartmentId, RecordId};
use tearline_crdt::record::edge;
use tearline_crdt::record::shelf::Detail;
use tearline_crdt::record::vocabulary::Tlp;

use super::core::{Core, CoreHandle, Pending};
use super::damage::Unread;
use super::import;
pub(crate) use super::sight::{Guest, Room};
use crate::control::reply;
use crate::control::trust::Said;
use crate::exchange::{Draft, stix, weight};
use crate::failure::{Failure, Kind};
use crate::gateway::may_be_located;
use crate::index::{Arrivals, Asked, Place, Query, Row, external};
use crate::pass::{Operation, PassKey};

/// The gateway's way to the core. Its calls wait for the core and must not be made by a task that others
/// depend on.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    core: CoreHandle,
    key: PassKey,
    news: watch::Receiver<u64>,
}

/// Records in order of arrival.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    /// What is done with them.
    pub(crate) operation: Operation,
    /// What they must match. Its limit and its place are not used.
    pub(crate) query: Query,
    /// Only these.
    pub(crate) records: Option<BTreeSet<RecordId>>,
    /// Those whose present state came later than this.
    pub(crate) after_us: u64,
    /// Most of them.
    pub(crate) limit: usize,
    /// Whether those that were recalled are among them.
    pub(crate) recalled: bool,
    /// Whether only those that may have a geometry are.
    pub(crate) located: bool,
    /// Whether they go out as STIX, with the names that records have there.
    pub(crate) as_stix: bool,
}

/// What a walk came by.
#[derive(Clone, Debug)]
pub(crate) struct Walked<T> {
    /// Of each record that was kept: when its present state came, and what was kept of it.
    pub(crate) kept: Vec<(u64, T)>,
    /// Whether there are more.
    pub(crate) more: bool,
}

/// Records with their rows, and where to go on.
type Piece = (Vec<(Row, Detail)>, Option<Place>);

/// Longest that a walk goes on: less than who asked waits.
const WALK_MAX: Duration = Duration::from_secs(45);
/// Most records opened in one piece of work for the core, and bytes of them, as far as records are not larger
/// alone: bounds how long others wait.
const RECORDS_PER_CALL_MAX: usize = 128;
const BYTES_PER_CALL_MAX: usize = 4 * 1024 * 1024;
/// Most bytes of a walk's records, but for the last: bounds what answers take in memory.
const BYTES_PER_WALK_MAX: usize = 16 * 1024 * 1024;

impl Edge {
    pub(super) const fn new(core: CoreHandle, key: PassKey, news: watch::Receiver<u64>) -> Self {
        Self { core, key, news }
    }

    /// Changes whenever a record comes or changes.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }

    /// The same guest for a request more, if the pass still holds: what it sees is asked anew.
    pub(crate) fn admit_again(&self, guest: &Guest) -> Result<Option<Guest>, Failure> {
        let guest = guest.again();
        self.core.ask(move |core| Ok(core.holds(&guest)?.then_some(guest)))
    }

    /// The holder of a pass; `None` if it is none that holds here and now.
    pub(crate) fn admit(&self, token: &str) -> Result<Option<Guest>, Failure> {
        let Ok(guest) = Guest::of(token, &self.key) else { return Ok(None) };
        self.core.ask(move |core| Ok(core.holds(&guest)?.then_some(guest)))
    }

    /// The compartments that a guest may take something out of or bring something into, and which.
    pub(crate) fn rooms(
        &self,
        guest: &Guest,
        out: Operation,
        into: Operation,
    ) -> Result<Vec<Room>, Failure> {
        let guest = guest.clone();
        self.core.ask(move |core| core.seen_rooms(&guest, out, into))
    }

    /// The coalition's name, for people.
    pub(crate) fn coalition_name(&self) -> Result<String, Failure> {
        self.core.ask(|core| {
            Ok(core.coalition().map_or_else(|_| String::new(), |c| c.charter().name.clone()))
        })
    }

    /// Goes through the records that a guest may see, the earliest first, and keeps of each what `keep`
    /// makes of it, until there are enough.
    pub(crate) fn walk<T>(
        &self,
        guest: &Guest,
        walk: &Walk,
        keep: &mut dyn FnMut(Row, Detail) -> Option<T>,
    ) -> Result<Walked<T>, Failure> {
        let mut kept: Vec<(u64, T)> = Vec::new();
        let mut bytes = 0;
        let began = Instant::now();
        // One more than wanted says whether there are more.
        let mut next =
            Some(self.piece(guest, walk, Place::after(walk.after_us), walk.limit + 1)?);
        while let Some(piece) = next {
            let (part, place) = piece.wait()?;
            if began.elapsed() > WALK_MAX {
                // Nobody waits any longer, and others have had to.
                return Err(Failure::new(
                    Kind::Unreachable,
                    "so few records match that it took too long",
                ));
            }
            // The next is looked for while these are made of.
            let wanted = (walk.limit + 1).saturating_sub(kept.len() + part.len());
            let ahead = |place| self.piece(guest, walk, place, wanted);
            next = place.filter(|_| wanted > 0).map(ahead).transpose()?;
            for (row, detail) in part {
                let (stamp_us, weight) = (row.stamp_us, weight(&detail.fields));
                let Some(one) = keep(row, detail) else { continue };
                if kept.len() >= walk.limit || bytes >= BYTES_PER_WALK_MAX {
                    return Ok(Walked { kept, more: true });
                }
                bytes += weight;
                kept.push((stamp_us, one));
            }
            if let (None, Some(place)) = (&next, place) {
                // Not all of them were kept.
                next = Some(self.piece(guest, walk, place, walk.limit + 1 - kept.len())?);
            }
        }
        Ok(Walked { kept, more: false })
    }

    /// Begins a piece of a walk.
    fn piece(
        &self,
        guest: &Guest,
        walk: &Walk,
        place: Place,
        wanted: usize,
    ) -> Result<Pending<Piece>, Failure> {
        let (query, records) = (walk.query.clone(), walk.records.clone());
        let asked = Asked { query, records, rows_max: wanted.min(RECORDS_PER_CALL_MAX), place };
        let (guest, operation) = (guest.clone(), walk.operation);
        let (recalled, located, as_stix) = (walk.recalled, walk.located, walk.as_stix);
        self.core.begin(move |core| {
            let (mut part, next) = core.walk(&guest, operation, &asked, recalled, located)?;
            if as_stix {
                let details = part.iter_mut().map(|(_, detail)| detail);
                core.link(Some((&guest, operation)), details)?;
            }
            Ok((part, next))
        })
    }

    /// A record, if a guest may do something with it.
    pub(crate) fn record(
        &self,
        guest: &Guest,
        operation: Operation,
        record: RecordId,
    ) -> Result<Option<(Row, Detail)>, Failure> {
        let guest = guest.clone();
        self.core.ask(move |core| core.seen_record(&guest, operation, record))
    }

    /// The records of a compartment that may be called so in STIX. Whether they are, and who may see them,
    /// is yet to be asked.
    pub(crate) fn called(
        &self,
        compartment: CompartmentId,
        ids: BTreeSet<String>,
    ) -> Result<BTreeSet<RecordId>, Failure> {
        self.core.ask(move |core| {
            let mut records = BTreeSet::new();
            for id in &ids {
                records.extend(core.records_called(compartment, id)?);
            }
            Ok(records)
        })
    }

    /// Takes objects into a compartment, and waits until they are durable. Says which were refused.
    pub(crate) fn take(
        &self,
        guest: &Guest,
        compartment: CompartmentId,
        drafts: Vec<Draft>,
    ) -> Result<Vec<reply::Problem>, Failure> {
        import::take(&self.core, guest, compartment, drafts)
    }

    /// Recalls the records of our agency that are called so in a compartment, and waits until that is
    /// durable.
    pub(crate) fn recall(
        &self,
        guest: &Guest,
        compartment: CompartmentId,
        id: String,
    ) -> Result<(), Failure> {
        let guest = guest.clone();
        self.core.act(move |core| {
            core.stands()?;
            let mut ticket = None;
            for record in core.records_called(compartment, &id)? {
                let seen = core.seen_record(&guest, Operation::Export, record)?;
                let Some((row, detail)) = seen else { continue };
                if row.recalled || object(detail).get("id").and_then(Value::as_str) != Some(&id) {
                    continue;
                }
                if !core.sees(&guest, Operation::Write, &row)? {
                    return Err(Failure::denied("the pass does not allow to recall it"));
                }
                let own = core.agency_of(&core.replica.device());
                if own != Some(row.origin) {
                    return Err(Failure::denied("another agency brought it in, and can recall it"));
                }
                ticket = core.record_say(&record.to_string(), &Said::Recall)?.1;
            }
            let ticket = ticket.ok_or_else(|| Failure::not_found("object", &id))?;
            Ok(((), ticket))
        })
    }
}

impl Core {
    /// A piece of a walk.
    fn walk(
        &mut self,
        guest: &Guest,
        operation: Operation,
        asked: &Asked,
        recalled: bool,
        located: bool,
    ) -> Result<Piece, Failure> {
        let Arrivals { mut rows, mut next, .. } = self.seen_arrivals(guest, operation, asked)?;
        rows.retain(|row| (recalled || !row.recalled) && (!located || may_be_located(row)));
        let records: Vec<RecordId> = rows.iter().map(|row| row.record).collect();
        let (details, looked) =
            self.visible_of(&records, BYTES_PER_CALL_MAX, &mut Unread::default())?;
        if let Some(last) = rows.get(..looked).filter(|_| looked < rows.len()).and_then(<[_]>::last)
        {
            next = Some(Place::after(last.stamp_us));
        }
        let mut details = details.into_iter().peekable();
        let part = rows.into_iter().filter_map(|row| {
            let detail = details.next_if(|detail| detail.record == row.record)?;
            Some((row, detail))
        });
        Ok((part.collect(), next))
    }

    pub(super) fn records_called(
        &self,
        compartment: CompartmentId,
        id: &str,
    ) -> Result<BTreeSet<RecordId>, Failure> {
        let uuid = id.split_once("--").map_or("", |(_, uuid)| uuid);
        let mut records: BTreeSet<RecordId> =
            stix::records_of_uuid(uuid).into_iter().flatten().collect();
        // Each agency has its own record of what others call so.
        let Ok(coalition) = self.coalition() else { return Ok(records) };
        let store = self.replica.store();
        for member in coalition.members() {
            let found = external(store, &compartment, member.no, id);
            records.extend(found.map_err(|error| super::overview::store_failure(&error))?);
        }
        Ok(records)
    }
}

/// A record as the STIX object that it is to others, marked with the colour of its label.
pub(crate) fn object(detail: Detail) -> Map<String, Value> {
    let (record, kind, created, tlp) =
        (detail.record, detail.kind, detail.created, detail.label.tlp);
    let modified = detail.entries.iter().map(|entry| entry.wall).max().unwrap_or(created);
    let fields = properties(detail);
    let mut object = stix::object(stix::Outgoing { record, kind, fields, created, modified });
    mark(&mut object, tlp);
    object
}

/// A record's properties, as others get them: which record was released as which is for those who have the
/// mesh to follow it.
pub(crate) fn properties(detail: Detail) -> Map<String, Value> {
    let mut fields = detail.fields;
    fields.retain(|name, _| !edge::is_reserved(name));
    fields
}

/// Adds the marking of a colour, unless there is one as strict.
fn mark(object: &mut Map<String, Value>, tlp: Tlp) {
    let refs = object.entry("object_marking_refs").or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(refs) = refs else { return };
    let marked = refs.iter().filter_map(Value::as_str).filter_map(Tlp::from_marking_id).max();
    if marked.is_none_or(|marked| marked < tlp) {
        refs.push(tlp.marking_id().into());
    }
}
