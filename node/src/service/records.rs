//! Records, one at a time: new, show, edit, history, resolve.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use tearline_crdt::attachment::{Manifest, is_attachment};
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::id::{AgencyNo, Class, CompartmentId, RecordId};
use tearline_crdt::record::common::Common;
use tearline_crdt::record::day::Day;
use tearline_crdt::record::edge;
use tearline_crdt::record::kind::Kind as RecordKind;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::mrz::Zone;
use tearline_crdt::record::pattern::Pattern;
use tearline_crdt::record::schema::{Field, Shape};
use tearline_crdt::record::shelf::{Detail, Draft, DraftError, EntryView, Quarantine};
use tearline_crdt::record::shelf::{Verdict, Written};
use tearline_crdt::record::validate::{doubts, validate};
use tearline_crdt::store::StoreError;
use tearline_mesh::replica::{ActError, Done, Room, Ticket};

use super::core::Core;
use super::names::{class, label, record_id};
use super::overview::{FORKED_FIX, store_failure};
use super::{Answer, json};
use crate::control::{self, reply};
use crate::failure::{Failure, Kind};
use crate::index::Row;
use crate::release::FILES;
use crate::size;
use crate::typo;

impl Core {
    /// A record that this device may see; otherwise the one answer for all cases.
    pub(super) fn visible(&mut self, id: RecordId) -> Result<Detail, Failure> {
        let detail = self.visible_or_not(id).map_err(|error| self.met(&error))?;
        detail.ok_or_else(|| Failure::not_found("record", &id.to_string()))
    }

    /// The same; `None` where there is none that it may see.
    pub(super) fn visible_or_not(&mut self, id: RecordId) -> Result<Option<Detail>, StoreError> {
        let own = self.replica.device();
        let shown = self.replica.records(|reader| reader.show(id))?;
        Ok(shown.filter(|detail| self.replica.right(detail.compartment, &own).is_some()))
    }

    /// A record named by its id or the beginning of it.
    pub(super) fn find_record(&mut self, text: &str) -> Result<RecordId, Failure> {
        if let Ok(id) = record_id(text) {
            return Ok(id);
        }
        let hits = self.records_with_prefix(text)?;
        match hits.as_slice() {
            [id] => Ok(*id),
            [] => Err(Failure::not_found("record", text)),
            _ => Err(Failure::usage(format!("{text:?} fits several records; write more digits"))),
        }
    }

    pub(super) fn record_new(&mut self, new: control::RecordNew) -> Answer {
        let kind: RecordKind = new.kind.parse().map_err(|_| {
            let names: Vec<&str> = RecordKind::ALL.iter().map(|kind| kind.name()).collect();
            Failure::usage(format!("{:?} is no kind of record", new.kind))
                .hint(format!("the kinds are {}", names.join(", ")))
        })?;
        let class = class(new.class.as_deref())?;
        let label = self.label_or_default(new.label.as_deref())?;
        let mut fields = new.fields;
        for (path, text) in &new.set {
            let value = self.whole_references(kind, path, typed(kind, path, text)?)?;
            set_path(&mut fields, path, value)?;
        }
        let unread = match &new.mrz {
            Some(text) => self.fill_from_zone(kind, &mut fields, text)?,
            None => Vec::new(),
        };
        no_edges(fields.keys())?;
        check_fields(kind, &fields)?;
        check_pattern(&fields)?;
        let mut doubts = doubts_of(kind, &fields);
        doubts
            .extend(unread.into_iter().map(|reason| reply::Doubt { field: "mrz".into(), reason }));
        doubts.extend(strange(kind, fields.keys()));
        let (id, _) = self.destination(new.compartment.as_deref(), &new.rel)?;
        let act = self.write(id, class, vec![Draft::New { kind, fields, label }])?;
        self.written(id, class, &act, doubts)
    }

    /// Fills what is not there yet with what a document's zone says; returns what of that cannot be read.
    fn fill_from_zone(
        &self,
        kind: RecordKind,
        fields: &mut Map<String, Value>,
        text: &str,
    ) -> Result<Vec<String>, Failure> {
        if kind != RecordKind::TravelDocument {
            return Err(Failure::usage(
                "a machine-readable zone is of a record of kind travel-document",
            ));
        }
        let zone = Zone::read(text).map_err(|reason| {
            Failure::usage(format!("this is no machine-readable zone: {reason}"))
                .hint("type all its lines, < for each filler; or the fields, with --set")
        })?;
        let (read, unread) = zone.properties(Day::of(self.now().wall));
        for (name, value) in read {
            fields.entry(name).or_insert(value);
        }
        Ok(unread)
    }

    /// A value with the whole ids of the records that it names by the beginnings of theirs. By the names
    /// that STIX gives to properties, those that end in `_ref` or `_refs` name others.
    fn whole_references(
        &mut self,
        kind: RecordKind,
        path: &str,
        mut value: Value,
    ) -> Result<Value, Failure> {
        let named = path.ends_with("_ref") || path.ends_with("_refs");
        if !named || shape_of(kind.fields(), path).is_none() {
            return Ok(value);
        }
        let references = match &mut value {
            Value::Array(items) => items.as_mut_slice(),
            one => std::slice::from_mut(one),
        };
        for reference in references {
            let short = reference.as_str().filter(|text| is_short_id(text)).map(str::to_owned);
            if let Some(short) = short {
                *reference = self.find_record(&short)?.to_string().into();
            }
        }
        Ok(value)
    }

    /// The compartment to write to: named, or the one with exactly this audience, or our own.
    pub(super) fn destination(
        &mut self,
        compartment: Option<&str>,
        rel: &[String],
    ) -> Result<(CompartmentId, bool), Failure> {
        if let Some(name) = compartment {
            if !rel.is_empty() {
                return Err(Failure::usage("name a compartment or an audience, not both"));
            }
            return Ok((self.named_compartment(name)?, false));
        }
        self.audience_compartment(rel, None).map(|(id, opened, _)| (id, opened))
    }

    /// Our agency and these.
    pub(super) fn full_audience(&self, rel: &[String]) -> Result<Vec<AgencyNo>, Failure> {
        let mut audience = self.named_agencies(rel)?;
        let own = self.agency_of(&self.replica.device());
        audience.push(own.ok_or_else(|| Failure::denied("this device belongs to no agency here"))?);
        audience.sort_unstable();
        audience.dedup();
        Ok(audience)
    }

    /// The compartment of our agency and these, opened if there is none.
    pub(super) fn audience_compartment(
        &mut self,
        rel: &[String],
        name: Option<&str>,
    ) -> Result<(CompartmentId, bool, Option<Ticket>), Failure> {
        let audience = self.full_audience(rel)?;
        let coalition = self.coalition()?.id();
        if let Some(id) = self.replica.compartment_for(coalition, &audience) {
            return Ok((id, false, None));
        }
        let called = match name {
            Some(name) => {
                self.free_compartment_name(name)?;
                name.to_owned()
            }
            None => self.audience_name(&audience),
        };
        let now = self.now();
        let act = self
            .replica
            .open_compartment(now, coalition, audience, &called)
            .map_err(act_failure)?;
        Ok((act.value, true, Some(act.ticket)))
    }

    /// What a compartment is called when nobody names it: its agencies' countries, or numbers where
    /// a country has several.
    fn audience_name(&self, audience: &[AgencyNo]) -> String {
        let parts: Vec<String> = audience
            .iter()
            .map(|no| {
                let agency = self.agency_ref(Some(*no));
                let alone = self.coalition().is_ok_and(|coalition| {
                    let of = |m: &&_| same_country(m, &agency.country);
                    coalition.members().filter(of).count() == 1
                });
                if alone { agency.country } else { format!("{}{}", agency.country, no.0) }
            })
            .collect();
        parts.join("-").to_lowercase()
    }

    pub(super) fn write(
        &mut self,
        id: CompartmentId,
        class: Class,
        drafts: Vec<Draft>,
    ) -> Result<Done<Vec<Written>>, Failure> {
        let now = self.now();
        let written = self.replica.write(now, id, class, drafts);
        written.map_err(|error| self.unwritten(id, class, error))
    }

    /// Why nothing was written.
    pub(super) fn unwritten(&self, id: CompartmentId, class: Class, error: ActError) -> Failure {
        match error {
            ActError::Forked => self.forked(id, class),
            ActError::NoRoom => self.no_room(Room::Everything),
            ActError::Quota { quota, left, needed } => Failure::denied(format!(
                "nothing was written: this device may write at most {} of records in {:?}; {} are left, and this \
                 takes up to {}",
                size::text(quota),
                self.compartment_name(&id),
                size::text(left),
                size::text(needed),
            ))
            .hint(
                "a desk of its agency grants it more: `tearline grant issue --device DEVICE --right write --quota \
                 SIZE`, or without --quota no limit",
            ),
            error => act_failure(error),
        }
    }

    /// Why this device cannot write to its log of a class in a compartment.
    fn forked(&self, id: CompartmentId, class: Class) -> Failure {
        let state = self.replica.logbook().state(&self.replica.own_log(id, class));
        let from = state.and_then(|state| state.forked_at).unwrap_or_default();
        Failure::failed(format!(
            "nothing was written: this device's {} log in {:?} is forked from entry {from} on, its \
             keys are in use elsewhere",
            class.name(),
            self.compartment_name(&id),
        ))
        .hint(FORKED_FIX)
    }

    fn written(
        &self,
        id: CompartmentId,
        class: Class,
        act: &Done<Vec<Written>>,
        doubts: Vec<reply::Doubt>,
    ) -> Answer {
        let Some(written) = act.value.first() else {
            return Err(Failure::bug("a write wrote nothing"));
        };
        let entry = self.own_entry(id, class, written.seq)?;
        let value = json(&reply::Written {
            record: written.record.to_string(),
            compartment: id.to_string(),
            compartment_name: self.compartment_name(&id),
            entry,
            class: class.name().into(),
            doubts,
        })?;
        Ok((value, Some(act.ticket)))
    }

    fn own_entry(
        &self,
        id: CompartmentId,
        class: Class,
        seq: u64,
    ) -> Result<Option<String>, Failure> {
        let log = self.replica.own_log(id, class);
        let entry = self
            .replica
            .logbook()
            .entry(self.replica.store(), &log, seq)
            .map_err(|error| store_failure(&error))?;
        Ok(entry.map(|entry| entry.id.to_string()))
    }

    pub(super) fn label_or_default(&self, text: Option<&str>) -> Result<Label, Failure> {
        match text {
            Some(text) => label(text),
            None => {
                let encoded = &self.coalition()?.charter().default_label;
                Ok(Label::decode_or_most_restrictive(encoded))
            }
        }
    }

    pub(super) fn record_show(&mut self, text: &str) -> Result<Value, Failure> {
        let id = self.find_record(text)?;
        let detail = match self.visible(id) {
            Ok(detail) => detail,
            Err(failure) => return Err(self.not_here(id, failure)),
        };
        let left_aside = self.aside_of(id)?.map(|aside| aside.with).unwrap_or_default();
        let own_agency = self.agency_of(&self.replica.device());
        let row = Row::describe(detail.kind, &detail.fields);
        let latest = detail.entries.iter().max_by_key(|entry| (entry.wall, entry.id));
        let urgent = detail.entries.iter().min_by_key(|entry| entry.log.class);
        let mut flags = Vec::new();
        if !detail.conflicts.is_empty() {
            flags.push("conflict".to_owned());
        }
        if detail.entries.iter().any(|entry| entry.verdict == Verdict::HeldBack) {
            flags.push("held-back".to_owned());
        }
        if detail.state.recalled {
            flags.push("recalled".to_owned());
        }
        if detail.state.hides() {
            flags.push("restricted".to_owned());
        }
        let due = self.erasure_due(&detail);
        if due.is_some() {
            flags.push(ERASURE_DUE.to_owned());
        }
        if self.holds_bind(detail.compartment, &detail.genesis, detail.origin) {
            flags.push(HELD.to_owned());
        }
        let holds = self.holds_of(detail.compartment, &detail.genesis)?;
        let conflicts = detail
            .conflicts
            .iter()
            .map(|(path, values)| reply::Conflict {
                field: path.clone(),
                values: values
                    .iter()
                    .zip(1..)
                    .map(|(value, no)| self.concurrent(&detail, no, value))
                    .collect(),
            })
            .collect();
        json(&reply::Record {
            record: id.to_string(),
            kind: row.kind_name().into(),
            title: row.title,
            label: detail.label.to_string(),
            compartment: detail.compartment.to_string(),
            compartment_name: self.compartment_name(&detail.compartment),
            originator: self.agency_ref(Some(detail.origin)),
            class: urgent.map_or("", |entry| entry.log.class.name()).into(),
            created: detail.created.to_string(),
            modified: latest.map_or(detail.created, |entry| entry.wall).to_string(),
            writable: detail.kind.open_to_compartment() || own_agency == Some(detail.origin),
            flags,
            erasure_due: due.map(|due| due.to_string()),
            holds,
            fields: shown(&detail.fields),
            conflicts,
            left_aside,
        })
    }

    fn concurrent(
        &self,
        detail: &Detail,
        no: u32,
        value: &tearline_crdt::document::Concurrent,
    ) -> reply::Concurrent {
        let entry = self.author_of(detail, value.actor);
        let device = entry.map_or(detail.device, |entry| entry.log.device);
        reply::Concurrent {
            no,
            value: value.value.clone(),
            agency: self.agency_ref(self.agency_of(&device)),
            device: device.to_string(),
            at: entry.map_or(detail.created, |entry| entry.wall).to_string(),
            entry: entry.map(|entry| entry.id.to_string()).unwrap_or_default(),
        }
    }

    /// The latest entry of the actor that wrote a value.
    fn author_of<'d>(&self, detail: &'d Detail, actor: [u8; 16]) -> Option<&'d EntryView> {
        detail.entries.iter().rev().find(|entry| {
            (0..=RUNS_SHOWN_MAX).any(|run| {
                tearline_crdt::document::actor(&entry.log.digest(), &detail.record, run) == actor
            })
        })
    }

    pub(super) fn record_edit(&mut self, edit: control::RecordEdit) -> Answer {
        let class = class(edit.class.as_deref())?;
        let id = self.find_record(&edit.record)?;
        let detail = self.visible(id)?;
        no_edges(edit.set.keys().chain(&edit.unset))?;
        let mut patch = Patch::default();
        let mut after = detail.fields.clone();
        for (path, text) in &edit.set {
            let value = typed(detail.kind, path, text)?;
            let value = self.whole_references(detail.kind, path, value)?;
            set_path(&mut after, path, value.clone())?;
            patch.set(segments(path), value);
        }
        for path in &edit.unset {
            patch.unset(segments(path));
            unset_path(&mut after, path);
        }
        if after == detail.fields {
            let value = json(&reply::Written {
                record: id.to_string(),
                compartment: detail.compartment.to_string(),
                compartment_name: self.compartment_name(&detail.compartment),
                entry: None,
                class: class.name().into(),
                doubts: Vec::new(),
            })?;
            return Ok((value, None));
        }
        check_fields(detail.kind, &after)?;
        // What was imported may have another's mistake, which is no reason to leave all else as it is.
        if edit.set.contains_key("pattern") {
            check_pattern(&after)?;
        }
        let mut doubts = doubts_of(detail.kind, &after);
        doubts.extend(strange(detail.kind, edit.set.keys()));
        let act = self.write(detail.compartment, class, vec![Draft::Edit { record: id, patch }])?;
        self.written(detail.compartment, class, &act, doubts)
    }

    pub(super) fn record_resolve(&mut self, resolve: &control::RecordResolve) -> Answer {
        let id = self.find_record(&resolve.record)?;
        let detail = self.visible(id)?;
        let Some(values) = detail.conflicts.get(&resolve.field) else {
            return Err(Failure::failed(format!(
                "the field {:?} has no concurrent values",
                resolve.field
            )));
        };
        let index = resolve.take.checked_sub(1).and_then(|n| usize::try_from(n).ok());
        let value = index
            .and_then(|n| values.get(n))
            .ok_or_else(|| Failure::not_found("value of this field", &resolve.take.to_string()))?;
        let value = value.value.clone();
        let mut patch = Patch::default();
        patch.set(segments(&resolve.field), value.clone());
        let act = self.write(
            detail.compartment,
            Class::Routine,
            vec![Draft::Edit { record: id, patch }],
        )?;
        let seq = act.value.first().map_or(0, |written| written.seq);
        let entry = self.own_entry(detail.compartment, Class::Routine, seq)?;
        let value = json(&reply::Resolved {
            record: id.to_string(),
            field: resolve.field.clone(),
            value,
            entry: entry.unwrap_or_default(),
        })?;
        Ok((value, Some(act.ticket)))
    }

    pub(super) fn record_history(&mut self, text: &str) -> Result<Value, Failure> {
        let id = self.find_record(text)?;
        let detail = self.visible(id)?;
        let mut entries: Vec<&EntryView> = detail.entries.iter().collect();
        entries.sort_by_key(|entry| (entry.wall, entry.id));
        let entries = entries
            .into_iter()
            .map(|entry| reply::HistoryEntry {
                entry: entry.id.to_string(),
                at: entry.wall.to_string(),
                agency: self.agency_ref(self.agency_of(&entry.log.device)),
                device: entry.log.device.to_string(),
                class: entry.log.class.name().into(),
                what: what(entry).into(),
                fields: entry.fields.clone(),
                verdict: verdict(entry),
            })
            .collect();
        json(&reply::History { record: id.to_string(), entries })
    }
}

/// Marks a record that is erased and not destroyed yet.
pub(super) const ERASURE_DUE: &str = "erasure-due";
/// Marks a record that is not destroyed here while a hold stands.
pub(super) const HELD: &str = "held";

/// Most runs of one device that are searched for a value's author.
const RUNS_SHOWN_MAX: u32 = 4;

fn same_country(member: &tearline_crdt::charter::Member, country: &str) -> bool {
    member.country == country
}

fn what(entry: &EntryView) -> &'static str {
    use tearline_crdt::entry::sealed::EntryKind;
    match entry.kind {
        EntryKind::GENESIS => "genesis",
        EntryKind::CHANGE => "change",
        EntryKind::LABEL => "label",
        EntryKind::REBASE => "rebase",
        EntryKind::REAUTHOR => "reauthor",
        EntryKind::BROUGHT => "brought",
        _ => "unknown",
    }
}

pub(super) fn verdict(entry: &EntryView) -> String {
    match &entry.verdict {
        Verdict::Materialised => "counts".into(),
        Verdict::Waiting => "waiting".into(),
        Verdict::HeldBack => "held-back".into(),
        Verdict::Unknown => "unknown".into(),
        Verdict::Replaced => "replaced: its device wrote it anew".into(),
        Verdict::Quarantined(Quarantine::Closed) => "quarantined: its log counts no further".into(),
        Verdict::Quarantined(Quarantine::Route) => "quarantined: no grant allows it".into(),
        Verdict::Void(fault) => format!("void: {fault}"),
    }
}

/// What a field's text stands for, as the kind's schema says.
fn typed(kind: RecordKind, path: &str, text: &str) -> Result<Value, Failure> {
    let shape = shape_of(kind.fields(), path);
    Ok(match shape {
        Some(Shape::Flag) => match text {
            "true" | "yes" => Value::Bool(true),
            "false" | "no" => Value::Bool(false),
            _ => return Err(Failure::usage(format!("{path}: write true or false, not {text:?}"))),
        },
        Some(Shape::Count(_)) => text
            .parse::<u64>()
            .map(Value::from)
            .map_err(|_| Failure::usage(format!("{path}: {text:?} is no whole number")))?,
        Some(Shape::Number(..)) => text
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number)
            .ok_or_else(|| Failure::usage(format!("{path}: {text:?} is no number")))?,
        Some(Shape::List(_)) => match serde_json::from_str(text) {
            Ok(Value::Array(items)) => Value::Array(items),
            _ => Value::Array(vec![Value::String(text.into())]),
        },
        Some(Shape::Group(_)) => serde_json::from_str(text)
            .map_err(|_| Failure::usage(format!("{path}: write a JSON object")))?,
        Some(Shape::Text | Shape::Ruled(_) | Shape::Seen(_) | Shape::Word { .. }) | None => {
            Value::String(text.into())
        }
    })
}

fn shape_of(fields: &'static [Field], path: &str) -> Option<Shape> {
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    let field = fields.iter().find(|field| field.name == head)?;
    match (field.shape, rest) {
        (shape, "") => Some(shape),
        (Shape::Group(fields), rest) => shape_of(fields, rest),
        _ => None,
    }
}

fn set_path(fields: &mut Map<String, Value>, path: &str, value: Value) -> Result<(), Failure> {
    match path.split_once('.') {
        None => {
            fields.insert(path.into(), value);
            Ok(())
        }
        Some((head, rest)) => {
            let inner = fields.entry(head).or_insert_with(|| Value::Object(Map::new()));
            match inner {
                Value::Object(inner) => set_path(inner, rest, value),
                _ => Err(Failure::usage(format!("{head} is no group of fields"))),
            }
        }
    }
}

fn unset_path(fields: &mut Map<String, Value>, path: &str) {
    match path.split_once('.') {
        None => {
            fields.remove(path);
        }
        Some((head, rest)) => {
            if let Some(Value::Object(inner)) = fields.get_mut(head) {
                unset_path(inner, rest);
            }
        }
    }
}

fn segments(path: &str) -> Vec<Segment> {
    path.split('.').map(|name| Segment::Name(name.into())).collect()
}

/// Whether a text may be the beginning of a record's id.
fn is_short_id(text: &str) -> bool {
    (control::ID_PREFIX_DIGITS_MIN..2 * size_of::<RecordId>()).contains(&text.len())
        && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// A record's fields, with the names of its files in the place of what says how to fetch and open them.
fn shown(fields: &Map<String, Value>) -> Map<String, Value> {
    let mut shown = fields.clone();
    shown.retain(|name, _| !is_attachment(name));
    let files: Vec<Value> =
        Manifest::all(fields).into_iter().map(|file| Value::String(file.name)).collect();
    if !files.is_empty() {
        shown.insert(FILES.into(), Value::Array(files));
    }
    shown
}

/// Which record was released as which, and which files it has, is for acts of their own to say.
fn no_edges<'a>(mut paths: impl Iterator<Item = &'a String>) -> Result<(), Failure> {
    let edge = paths.find(|path| path.split('.').next().is_some_and(edge::is_reserved));
    edge.map_or(Ok(()), |path| {
        Err(Failure::usage(format!("{path:?} is no field to set"))
            .hint("`tearline record release` and `record attach` write such fields"))
    })
}

/// What of a record was probably misread.
fn doubts_of(kind: RecordKind, fields: &Map<String, Value>) -> Vec<reply::Doubt> {
    let found = doubts(kind, fields).into_iter();
    found.map(|doubt| reply::Doubt { field: doubt.path, reason: doubt.reason }).collect()
}

/// The properties that the kind does not have. They may be said, since others may know them, but most are
/// misspelt, and nobody would find what they say.
fn strange<'a>(
    kind: RecordKind,
    paths: impl Iterator<Item = &'a String>,
) -> impl Iterator<Item = reply::Doubt> {
    let known = move || Common::FIELDS.iter().chain(kind.fields()).map(|field| field.name);
    let names = paths.filter_map(|path| path.split(['.', '[']).next());
    let names: BTreeSet<&str> = names
        .filter(|name| kind != RecordKind::Object && !name.starts_with("x_"))
        .filter(|name| *name != "extensions" && !known().any(|known| known == *name))
        .collect();
    names.into_iter().map(move |name| {
        let reason = match typo::nearest(name, known().map(|name| (name, name))) {
            Some(near) => {
                format!("is no property of a record of kind {kind}; perhaps `{near}` is meant")
            }
            None => {
                format!("is no property of a record of kind {kind}; one of your own begins with x_")
            }
        };
        reply::Doubt { field: name.to_owned(), reason }
    })
}

fn check_fields(kind: RecordKind, fields: &Map<String, Value>) -> Result<(), Failure> {
    let problems = validate(kind, fields);
    if problems.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(Failure::usage(format!("this is no valid {kind}: {}", list.join("; "))))
}

/// An indicator says what to look for: with a pattern that cannot be read nobody finds anything, or is told.
fn check_pattern(fields: &Map<String, Value>) -> Result<(), Failure> {
    let text = |name| fields.get(name).and_then(Value::as_str);
    let of_stix = text("pattern_type").is_none_or(|of| of == "stix");
    match text("pattern").filter(|_| of_stix && text("type") == Some("indicator")) {
        Some(pattern) => Pattern::parse(pattern)
            .map(drop)
            .map_err(|fault| Failure::usage(format!("pattern: this is no STIX pattern: {fault}"))),
        None => Ok(()),
    }
}

/// An act's error, at the edge.
pub(super) fn act_failure(error: ActError) -> Failure {
    match error {
        ActError::Store(error) => store_failure(&error),
        ActError::NoCoalition | ActError::NoCompartment => {
            Failure::new(Kind::NotFound, error.to_string())
        }
        ActError::Denied { .. }
        | ActError::Quota { .. }
        | ActError::WouldNotCount(_)
        | ActError::NotOriginator(_)
        | ActError::Draft { error: DraftError::NotGranted { .. }, .. } => {
            Failure::denied(error.to_string())
        }
        ActError::EndsItself => Failure::denied(error.to_string()).hint(
            "desks of the other founders propose and approve it; without them, as many as the quorum needs, \
             no root of this agency is replaced",
        ),
        ActError::Closed => Failure::denied(error.to_string()).hint(
            "`tearline grant list` shows what this device was granted; its desk can readmit it",
        ),
        ActError::NoProposal | ActError::NoRecord => {
            Failure::new(Kind::NotFound, error.to_string())
        }
        ActError::Basis | ActError::Unreadable(_) => Failure::usage(error.to_string()),
        ActError::Repeated | ActError::Marks | ActError::NotTaken(_) => {
            Failure::failed(error.to_string())
        }
        ActError::Forked => Failure::failed(error.to_string()).hint(FORKED_FIX),
        ActError::Draft { error: DraftError::NoRecord, .. } => {
            Failure::new(Kind::NotFound, DraftError::NoRecord.to_string())
        }
        ActError::Draft { error: error @ DraftError::NotWriter, .. } => {
            Failure::denied(error.to_string()).hint(
                "a note about it: `tearline record new --kind note --set object_refs=RECORD --set content=TEXT`, \
                 with the compartment that it is in",
            )
        }
        ActError::Draft { error: error @ DraftError::OtherCompartment, .. } => {
            Failure::denied(error.to_string())
        }
        ActError::Draft { error: DraftError::Store(error), .. } => store_failure(&error),
        ActError::NoKeys => Failure::new(Kind::Waits, error.to_string())
            .hint("they come with the next contact to a desk of this agency or to the opener"),
        ActError::Compartments | ActError::NotFollowed | ActError::NoRoom => {
            Failure::failed(error.to_string())
        }
        ActError::NoAgency(_) | ActError::EmptyAudience | ActError::Name | ActError::Charter => {
            Failure::usage(error.to_string())
        }
        ActError::Draft { error, .. } => Failure::usage(error.to_string()),
        ActError::Write(_) => Failure::bug(error.to_string()),
    }
}
