//! Field packs: what a unit takes along for time off the grid, and what is known of that time here.
//!
//! A field pack is a bundle for one device that carries less than all, and more than entries. Of the logs of
//! records it has what leads up to the records that are wanted: those in the area, flashes and alerts
//! wherever they are, and what is linked with those. Beside them it encloses an *order*, where and until when
//! the unit is out, and a *map*, a GeoJSON collection of what lies in the area.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json as value};

use tearline_crdt::authority::Standing;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, EpochId, LogId, RecordId};
use tearline_crdt::keys::DeviceKeys;
use tearline_crdt::record::kind::Kind as RecordKind;
use tearline_crdt::record::shelf::Detail;
use tearline_crdt::statement::Right;
use tearline_crdt::store::{Batch, Space, Store as _};
use tearline_crdt::time::WallTime;
use tearline_mesh::bundle::Head;
use tearline_mesh::replica::{ActError, Ticket};
use tearline_mesh::wire::{ENCLOSURE_PART_BYTES_MAX, Frame};

use super::bundle::{self, Contents};
use super::core::{Core, CoreHandle};
use super::damage::Unread;
use super::export::{RECORDS_PER_PAGE, each};
use super::json;
use super::overview::store_failure;
use crate::control::bundle::BundleExport;
use crate::control::field::{Enclosed, Ends, FieldOrder, FieldPack, FieldPacked, FieldShown};
use crate::control::{Progress, Report};
use crate::exchange::{geojson, native};
use crate::failure::Failure;
use crate::files::regular;
use crate::index::{Area, NoArea, Query, Row, external_id};

/// What an enclosure is.
const ORDER: u8 = 1;
const MAP: u8 = 2;
/// Longest order, and largest map, in bytes.
const ORDER_BYTES_MAX: usize = 4 * 1024;
const MAP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest time off the grid, in s.
pub(crate) const LASTS_S_MAX: u64 = 366 * 86_400;
/// Where the order is kept that this device has.
const KEY: &[u8] = b"field/order";

/// Makes a device ready, and a bundle of what it takes along.
pub(super) fn pack(
    core: &CoreHandle,
    keys: &DeviceKeys,
    pack: &FieldPack,
    progress: &mut Report<'_>,
) -> Result<Value, Failure> {
    let area: Area =
        pack.area.parse().map_err(|error: NoArea| Failure::usage(error.to_string()))?;
    if !(1..=LASTS_S_MAX).contains(&pack.lasts_s) {
        return Err(Failure::usage("a unit is out for a second at least, and a year at most"));
    }
    let (name, lasts_ms) = (pack.device.clone(), pack.lasts_s * 1_000);
    let ready = core.act(move |core| core.make_ready(&name, lasts_ms))?;
    let Ready { device, from, until, readable, resealed, ends } = ready;
    let (own, theirs) = (readable.clone(), readable);
    let choice = Choice::among(core, &area, theirs, progress)?;
    let Choice { wanted, in_area, urgent, linked, mut map, unread, .. } = choice;
    core.ask(move |core| core.positions(&own))?
        .into_iter()
        .filter(|(_, at)| area.holds(*at))
        .for_each(|(feature, _)| map.add(&feature));
    let order = FieldOrder {
        device: device.to_string(),
        area: area.to_string(),
        from: from.to_string(),
        until: until.to_string(),
    };
    let export = BundleExport {
        to: vec![order.device.clone()],
        since: pack.since,
        bytes_max: pack.bytes_max,
        part: pack.part.clone(),
        out: pack.out.clone(),
    };
    let (features, features_left) = (map.features, map.left);
    let contents = Contents {
        wanted: Some(wanted),
        first: enclose(
            ORDER,
            &serde_json::to_vec(&order).map_err(|e| Failure::bug(e.to_string()))?,
        ),
        last: enclose(MAP, &map.finish()),
    };
    let (bundle, has_room) = bundle::make(core, keys, &export, contents, progress)?;
    json(&FieldPacked {
        bundle,
        order,
        in_area,
        urgent,
        linked,
        features: has_room.then_some(features),
        features_left,
        resealed,
        ends,
        unread: unread.shape(),
    })
}

/// Something that is enclosed, in frames.
fn enclose(kind: u8, bytes: &[u8]) -> Vec<Vec<u8>> {
    let parts = bytes.chunks(ENCLOSURE_PART_BYTES_MAX);
    parts.map(|part| Frame::Enclosure { kind, part: part.to_vec() }.encode()).collect()
}

/// A device that is made ready.
struct Ready {
    device: DeviceId,
    from: WallTime,
    until: WallTime,
    /// The compartments that it reads, of those that this device reads.
    readable: BTreeSet<CompartmentId>,
    resealed: Vec<String>,
    ends: Vec<Ends>,
}

/// A feature of a map, and where it is: latitude and longitude.
type Placed = (Value, (f64, f64));

impl Core {
    /// Seals a device the keys that it lacks, begins those anew that would be replaced before it is back, and
    /// says what ends before that.
    fn make_ready(&mut self, name: &str, lasts_ms: u64) -> Result<(Ready, Ticket), Failure> {
        let device = self.named_device(name)?;
        if device == self.replica.device() {
            return Err(Failure::usage(
                "a field pack is for another device than the one that makes it",
            ));
        }
        if self.replica.agreement_of(&device).is_none() {
            return Err(Failure::denied(format!(
                "the standing of {name:?} in the coalition has ended"
            )));
        }
        let now = self.now();
        let until = WallTime(now.wall.0.saturating_add(lasts_ms));
        let reads = |id: &CompartmentId| self.replica.right(*id, &device) >= Some(Right::Read);
        let readable: BTreeSet<CompartmentId> =
            self.compartments().iter().map(|(place, _)| place.id()).filter(reads).collect();
        let mut resealed = Vec::new();
        for id in &readable {
            let before = self.key_for(*id, &device);
            let age = self.replica.epoch_age(*id);
            let is_due =
                age.is_some_and(|age| age.written && age.due.is_some_and(|due| due <= until));
            let done = if !self.replica.may_write(*id, Class::Routine) {
                continue;
            } else if is_due {
                self.replica.rotate(now, *id)
            } else if before.is_none() {
                self.replica.ready_epoch(now, *id)
            } else {
                continue;
            };
            match done {
                Err(ActError::Store(error)) => return Err(self.met(&error)),
                // What is still missing then is said below.
                Err(error) => tracing::warn!(%error, "keys for a field pack"),
                Ok(_) if self.key_for(*id, &device) != before => {
                    resealed.push(self.compartment_name(id));
                }
                Ok(_) => {}
            }
        }
        let ends = self.ends(&device, until);
        let ready = Ready { device, from: now.wall, until, readable, resealed, ends };
        Ok((ready, self.replica.settled()))
    }

    /// The epoch that a compartment is written under, if a device has its key.
    fn key_for(&self, id: CompartmentId, device: &DeviceId) -> Option<EpochId> {
        let epoch = self.replica.epoch_age(id)?.epoch;
        let place = self.replica.compartment(id)?;
        place.may_be_boxed(&epoch, device).then_some(epoch)
    }

    /// What ends for a device by a time, in the compartments that this one reads.
    fn ends(&self, device: &DeviceId, until: WallTime) -> Vec<Ends> {
        let called = self.name_of(device).unwrap_or_else(|| device.short());
        let mut found = Vec::new();
        for (place, name) in self.compartments() {
            let (id, standing) = (place.id(), place.live(device));
            let Some(standing) = standing else { continue };
            let mut note = |what: &str, when: Option<WallTime>, meaning: &str, hint: String| {
                found.push(Ends {
                    compartment: name.clone(),
                    what: what.into(),
                    when: when.map(|when| when.to_string()),
                    meaning: meaning.into(),
                    hint,
                });
            };
            if let Some(when) = writes_until(standing).filter(|when| *when < until) {
                note(
                    "write",
                    Some(when),
                    "what it writes from then on counts nowhere",
                    format!(
                        "tearline grant issue --device {called} --right write --compartment {name} --until TIME"
                    ),
                );
            }
            if self.replica.right(id, device) < Some(Right::Read) {
                continue;
            }
            if self.key_for(id, device).is_none() {
                note(
                    "read",
                    None,
                    "it has no key for what is written now",
                    format!(
                        "have a device pack that may write there, or `tearline compartment rotate {name}`"
                    ),
                );
            }
            let due = self.replica.epoch_age(id).filter(|age| age.written).and_then(|age| age.due);
            if let Some(due) = due.filter(|due| *due <= until) {
                note(
                    "keys",
                    Some(due),
                    "the keys are replaced then, and what others write under the new ones it reads when it is back",
                    format!(
                        "`tearline compartment rotate {name}` before it leaves, or a longer `epochs.rotate_after`"
                    ),
                );
            }
        }
        found
    }

    /// Where devices say that they are, in some compartments, as features of a map.
    fn positions(&self, readable: &BTreeSet<CompartmentId>) -> Result<Vec<Placed>, Failure> {
        let said = self.presence_shapes();
        let said = said.into_iter().filter(|(id, _)| readable.contains(id));
        let feature = said.map(|(_, one)| {
            let at = (one.latitude, one.longitude);
            let called = one.name.unwrap_or_else(|| one.device.clone());
            let feature = value!({
                "type": "Feature",
                "id": format!("device-{}", one.device),
                "geometry": { "type": "Point", "coordinates": [one.longitude, one.latitude] },
                "properties": {
                    "kind": "position",
                    "title": called,
                    "agency": one.agency.name,
                    "accuracy_m": one.accuracy_m,
                    "said": one.said,
                    "until": one.until,
                },
            });
            (feature, at)
        });
        Ok(feature.collect())
    }

    /// What a bundle encloses, if that makes sense.
    pub(super) fn enclosed(&self, head: &Head, enclosures: &Enclosures) -> Option<Enclosed> {
        let order: FieldOrder = serde_json::from_slice(&enclosures.order).ok()?;
        let from = WallTime::parse(&order.from)?;
        let until = WallTime::parse(&order.until).filter(|until| *until >= from)?;
        order.area.parse::<Area>().ok()?;
        let own = self.replica.device();
        // What was made by a clock that is ahead, or is over, stands in no other's way.
        let now = self.now().wall;
        let ahead = now.0.saturating_add(AHEAD_MS_MAX);
        let is_over =
            |held: &Held| WallTime::parse(&held.order.until).is_none_or(|until| until <= now);
        let is_later =
            |held: &Held| held.made > head.made.0 && held.made <= ahead && !is_over(held);
        let is_older = self.order().is_some_and(|held| is_later(&held));
        let passed_over = if order.device != own.to_string() {
            Some("it is another device's")
        } else if self.agency_of(&head.maker) != self.agency_of(&own) {
            Some("its maker is of another agency")
        } else if head.made.0 > ahead {
            Some("it was made in the future, by this device's clock")
        } else if is_older {
            Some("a later one was taken")
        } else {
            until.lt(&now).then_some("its time is over")
        };
        Some(Enclosed {
            order,
            passed_over: passed_over.map(Into::into),
            features: enclosures.features(),
        })
    }

    /// Takes what was enclosed as this device's order.
    pub(super) fn follow_order(
        &mut self,
        head: &Head,
        enclosed: Option<&Enclosed>,
    ) -> Result<(), Failure> {
        let Some(enclosed) = enclosed.filter(|one| one.passed_over.is_none()) else {
            return Ok(());
        };
        let (maker, made) = (head.maker.to_string(), head.made.0);
        let held = Held { order: enclosed.order.clone(), maker, made };
        let mut batch = Batch::default();
        batch.put(
            Space::Meta,
            KEY,
            serde_json::to_vec(&held).map_err(|e| Failure::bug(e.to_string()))?,
        );
        self.replica.put(batch).map(drop).map_err(|error| store_failure(&error))
    }

    /// The order that this device has.
    fn order(&self) -> Option<Held> {
        let bytes = self.replica.store().get(Space::Meta, KEY).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    pub(super) fn field_show(&self) -> Result<Value, Failure> {
        let Some(held) = self.order() else { return json(&FieldShown::default()) };
        let own = self.replica.device();
        let until = WallTime::parse(&held.order.until).unwrap_or_default();
        let maker = held.maker.parse().ok().map(|maker| self.post(&maker));
        json(&FieldShown {
            in_force: held.is_in_force(self.now().wall),
            ends: self.ends(&own, until),
            maker,
            order: Some(held.order),
        })
    }

    /// Where this device is meant to be now.
    pub(super) fn area_now(&self) -> Option<Area> {
        let held = self.order().filter(|held| held.is_in_force(self.now().wall))?;
        held.order.area.parse().ok()
    }
}

/// When the last of a device's rights to write ends; `None` if it has none, or one that does not.
fn writes_until(standing: &Standing) -> Option<WallTime> {
    let lives = standing.lives.values().flat_map(|life| &life.routes);
    let routes = standing.routes.iter().chain(lives).filter(|route| route.right >= Right::Write);
    let ends: Option<Vec<u64>> = routes.map(|route| route.caveats.not_after_ms).collect();
    ends?.into_iter().max().map(WallTime)
}

/// How far ahead of this device's clock a pack may have been made, in ms.
const AHEAD_MS_MAX: u64 = 24 * 3_600_000;

/// The order that is kept.
#[derive(Deserialize, Serialize)]
struct Held {
    order: FieldOrder,
    /// The device that made the pack.
    maker: String,
    /// When it did, in ms.
    made: u64,
}

impl Held {
    fn is_in_force(&self, now: WallTime) -> bool {
        let time = |text: &str| WallTime::parse(text);
        time(&self.order.from).is_some_and(|from| from <= now)
            && time(&self.order.until).is_some_and(|until| now < until)
    }
}

/// The records that are wanted, and how far that takes logs.
#[derive(Default)]
struct Choice {
    wanted: BTreeMap<LogId, u64>,
    in_area: u64,
    urgent: u64,
    linked: u64,
    map: MapExtract,
    unread: Unread,
    records: BTreeSet<RecordId>,
    /// What they are called, by their ids here and elsewhere.
    names: BTreeSet<String>,
    /// What they refer to.
    named: BTreeSet<String>,
}

impl Choice {
    /// Goes through all records of compartments: first for those in the area and the urgent ones; then for what
    /// is linked with them; then for the other ends of relationships and sightings among that.
    fn among(
        core: &CoreHandle,
        area: &Area,
        readable: BTreeSet<CompartmentId>,
        progress: &mut Report<'_>,
    ) -> Result<Self, Failure> {
        let mut choice = Self::default();
        let walk = walk(core, &readable, "looking through the area", progress, &mut |detail| {
            choice.take_first(area, detail);
        })?;
        choice.unread = walk;
        let mut ends = BTreeSet::new();
        walk_again(core, &readable, progress, &mut |detail| {
            let refers = native::named(&detail.fields);
            let is_linked = choice.is_named(detail) || !choice.names.is_disjoint(&refers);
            if !choice.records.contains(&detail.record) && is_linked {
                if matches!(detail.kind, RecordKind::Relationship | RecordKind::Sighting) {
                    ends.extend(refers);
                }
                choice.linked += 1;
                choice.take(detail);
            }
        })?;
        ends.retain(|name| !choice.names.contains(name));
        choice.named = ends;
        if !choice.named.is_empty() {
            walk_again(core, &readable, progress, &mut |detail| {
                if !choice.records.contains(&detail.record) && choice.is_named(detail) {
                    choice.linked += 1;
                    choice.take(detail);
                }
            })?;
        }
        Ok(choice)
    }

    fn take_first(&mut self, area: &Area, detail: &Detail) {
        let is_there = area.holds_any_of(&detail.fields);
        let is_urgent = detail.kind == RecordKind::Alert
            || detail.entries.iter().any(|entry| entry.log.class == Class::Flash);
        if is_there {
            self.in_area += 1;
            self.map.add_record(detail);
        } else if is_urgent {
            self.urgent += 1;
        } else {
            return;
        }
        self.named.extend(native::named(&detail.fields));
        self.take(detail);
    }

    fn take(&mut self, detail: &Detail) {
        for entry in &detail.entries {
            let end = self.wanted.entry(entry.log).or_default();
            *end = (*end).max(entry.seq.saturating_add(1));
        }
        self.records.insert(detail.record);
        self.names.extend(names_of(detail));
    }

    fn is_named(&self, detail: &Detail) -> bool {
        names_of(detail).any(|name| self.named.contains(&name))
    }
}

/// What a record is called.
fn names_of(detail: &Detail) -> impl Iterator<Item = String> {
    [Some(detail.record.to_string()), external_id(&detail.fields)].into_iter().flatten()
}

fn walk_again(
    core: &CoreHandle,
    readable: &BTreeSet<CompartmentId>,
    progress: &mut Report<'_>,
    look: &mut dyn FnMut(&Detail),
) -> Result<(), Failure> {
    walk(core, readable, "looking for what is linked", progress, look).map(drop)
}

/// Looks at all records of some compartments that show their content.
fn walk(
    core: &CoreHandle,
    readable: &BTreeSet<CompartmentId>,
    note: &str,
    progress: &mut Report<'_>,
    look: &mut dyn FnMut(&Detail),
) -> Result<Unread, Failure> {
    let query = Query { limit: RECORDS_PER_PAGE, ..Query::default() };
    let mut told = |report: Progress| progress(Progress { note: note.into(), ..report });
    let walked = each(core, query, false, &mut told, &mut |detail, _| {
        if readable.contains(&detail.compartment) {
            look(&detail);
        }
        Ok(())
    })?;
    Ok(walked.unread)
}

/// A GeoJSON collection that grows up to a bound.
#[derive(Default)]
struct MapExtract {
    /// The features, with commas between.
    text: Vec<u8>,
    features: u64,
    /// Those that had no room.
    left: u64,
}

impl MapExtract {
    /// A record: what it is, and its shape. All else is in the record itself.
    fn add_record(&mut self, detail: &Detail) {
        let row = Row::describe(detail.kind, &detail.fields);
        let shape = ["geometry", "points"].into_iter();
        let shape =
            shape.filter_map(|name| Some((name.to_owned(), detail.fields.get(name)?.clone())));
        let mut properties: Map<String, Value> = shape.collect();
        for (name, said) in [
            ("kind", row.kind_name().to_owned()),
            ("title", row.title.clone()),
            ("label", detail.label.to_string()),
            ("created", detail.created.to_string()),
        ] {
            properties.insert(name.into(), said.into());
        }
        let feature = geojson::feature(&detail.record.to_string(), row.place, properties);
        if let Some(mut feature) = feature {
            if let Some(properties) = feature.get_mut("properties").and_then(Value::as_object_mut) {
                properties.remove("points");
            }
            self.add(&feature);
        }
    }

    fn add(&mut self, feature: &Value) {
        let text = feature.to_string();
        if self.text.len() + text.len() + FRAME.len() > MAP_BYTES_MAX {
            self.left += 1;
            return;
        }
        if self.features > 0 {
            self.text.extend(b",\n");
        }
        self.text.extend(text.into_bytes());
        self.features += 1;
    }

    fn finish(self) -> Vec<u8> {
        let (begin, end) = FRAME.split_at(FRAME.len() - 3);
        [begin.as_bytes(), &self.text, end.as_bytes()].concat()
    }
}

/// What stands around features.
const FRAME: &str = "{\"type\":\"FeatureCollection\",\"features\":[\n]}\n";

/// What came of a bundle's enclosures, up to their bounds.
#[derive(Debug, Default)]
pub(super) struct Enclosures {
    order: Vec<u8>,
    map: Vec<u8>,
}

impl Enclosures {
    /// Takes a frame if it is an enclosure. What is malformed, not known, or more than its bound is passed over.
    pub(super) fn take(&mut self, frame: &[u8]) -> bool {
        if !Frame::is_enclosure(frame) {
            return false;
        }
        if let Ok(Frame::Enclosure { kind, part }) = Frame::decode(frame) {
            let (whole, bytes_max) = match kind {
                ORDER => (&mut self.order, ORDER_BYTES_MAX),
                MAP => (&mut self.map, MAP_BYTES_MAX),
                _ => return true,
            };
            if whole.len() + part.len() <= bytes_max {
                whole.extend(part);
            }
        }
        true
    }

    /// How many features the map has; `None` if it is none.
    fn features(&self) -> Option<u64> {
        #[derive(Deserialize)]
        struct Collection {
            features: Vec<IgnoredAny>,
        }
        let collection: Collection = serde_json::from_slice(&self.map).ok()?;
        Some(collection.features.len() as u64)
    }

    /// Writes the map into a file that is there.
    pub(super) fn write_map(&self, path: &Path) -> Result<(), Failure> {
        if self.features().is_none() {
            return Err(Failure::failed("there is no map in it, or it is damaged")
                .hint("what else is in it was taken; import it without --map"));
        }
        let shown = path.display().to_string();
        let io = |error| Failure::io(format!("cannot write {shown}"), &error);
        let mut file = regular(OpenOptions::new().write(true), path).map_err(io)?;
        file.set_len(0).and_then(|()| file.write_all(&self.map)).map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_what_fits_and_says_what_does_not() {
        let mut map = MapExtract::default();
        let one = value!({ "type": "Feature", "geometry": null, "properties": { "title": "x".repeat(3 << 20) } });
        (0..4).for_each(|_| map.add(&one));
        assert_eq!((map.features, map.left), (2, 2));
        let mut enclosures = Enclosures::default();
        for frame in enclose(MAP, &map.finish()) {
            assert!(enclosures.take(&frame));
        }
        assert_eq!(enclosures.features(), Some(2));
        assert_eq!(MapExtract::default().finish(), FRAME.as_bytes());
    }

    #[test]
    fn what_is_no_enclosure_or_too_much_is_passed_over() {
        let mut enclosures = Enclosures::default();
        assert!(!enclosures.take(&Frame::Same.encode()));
        for frame in
            enclose(9, b"unknown").iter().chain(&enclose(ORDER, &[b' '; 2 * ORDER_BYTES_MAX]))
        {
            assert!(enclosures.take(frame));
        }
        assert!(enclosures.order.is_empty() && enclosures.features().is_none());
    }
}
