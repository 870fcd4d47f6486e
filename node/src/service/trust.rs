//! Trust: devices, their loss too, and statements by their names.

use serde_json::Value;

use tearline_crdt::authority::{Place, Standing, StatementVerdict};
use tearline_crdt::id::{AgencyNo, CompartmentId, DeviceId, EntryId, LogId, RecordId, StatementId};
use tearline_crdt::keys::RootKey;
use tearline_crdt::record::shelf::{AsIf, Detail, Reader};
use tearline_crdt::statement::{Audience, Mark, Marks, Right, Statement};
use tearline_crdt::store::{Batch, Space, Store as _, StoreError};
use tearline_crdt::time::WallTime;
use tearline_mesh::replica::{self, ActError, Body, Cut, Exposure, KeepBy, Kept, Ticket};

use super::core::Core;
use super::damage::Unread;
use super::names::is_prefix;
use super::overview::store_failure;
use super::records::act_failure;
use super::{Answer, json};
use crate::control::{trust as shape, unread};
use crate::failure::Failure;
use crate::home::check_name;
use crate::index::Row;

/// Most records of an exposure that are listed with their titles, and in all; and most logs of a device.
/// So an answer stays within what the control socket carries.
const EXPOSED_TITLES_MAX: usize = 20_000;
const EXPOSED_MAX: usize = 100_000;
const KEPT_MAX: usize = 10_000;

/// What is told of a device whose standing ended, or would.
#[derive(Default)]
pub(super) struct Lost {
    /// The statement that ended it, if one did.
    pub(super) statement: Option<StatementId>,
    pub(super) since: WallTime,
    pub(super) by: KeepBy,
    pub(super) kept: Vec<Kept>,
    pub(super) unnamed: usize,
    pub(super) void: Vec<shape::Void>,
    pub(super) rotated: Vec<CompartmentId>,
    /// Whether nothing was left to do.
    pub(super) already: bool,
}

impl Core {
    /// A device that ends its own standing cannot take it back, and nobody means it.
    pub(super) fn not_itself(&self, device: &DeviceId) -> Result<(), Failure> {
        if *device != self.replica.device() {
            return Ok(());
        }
        Err(Failure::denied("this is the device itself, whose end would end all that it said")
            .hint("its agency's root or the founders end a desk: `tearline root draft`, `tearline coalition propose`"))
    }

    pub(super) fn device_list(&self) -> Result<Value, Failure> {
        let coalition = self.coalition()?;
        let mut devices: Vec<shape::Device> =
            coalition.devices().keys().map(|device| self.device(device)).collect();
        let order =
            |one: &shape::Device| (one.standing.has_ended(), one.agency.no, one.device.clone());
        devices.sort_by_key(order);
        json(&shape::Devices { devices })
    }

    pub(super) fn device_name(&mut self, name: &shape::DeviceName) -> Answer {
        let device = self.named_device(&name.device)?;
        self.free_name(&name.name, Some(device))?;
        let mut batch = Batch::default();
        batch.put(Space::Meta, name_key(&device), name.name.as_bytes().to_vec());
        let ticket = self.replica.put(batch).map_err(|error| store_failure(&error))?;
        Ok((json(&self.device(&device))?, Some(ticket)))
    }

    /// Ends a device's standing, and says so at once: what it could read is asked for afterwards
    /// ([`Core::exposed`]).
    pub(super) fn device_lost(
        &mut self,
        lost: &shape::DeviceLost,
    ) -> Result<((DeviceId, shape::Lost), Ticket), Failure> {
        let device = self.named_device(&lost.device)?;
        self.not_itself(&device)?;
        let since = Self::since(Some(&lost.since), lost.by.as_deref())?;
        let (since, by) = since.unwrap_or((self.now().wall, KeepBy::default()));
        let coalition = self.coalition()?.id();
        let mut kept = self.kept(&device, Some((since, by)))?;
        let unnamed = replica::keep_what_fits(&mut kept);
        let already = self.replica.is_lost(coalition, &device, &kept);
        let already = already.map_err(|error| store_failure(&error))?;
        let marks: Vec<Mark> = kept.iter().filter_map(Kept::mark).collect();
        let void = self.void_of(&device, None, &marks)?;
        if lost.dry_run || already {
            let area = CompartmentId(coalition.0);
            let would = if already {
                Ok(Vec::new())
            } else {
                self.replica.would_revoke(area, device, marks)
            };
            let lost = Lost { since, by, kept, unnamed, void, already, ..Lost::default() };
            let mut told = self.lost_shape(&device, lost)?;
            // Where this device cannot end it, nothing would change by it; the act itself says why.
            told.changes = self.right_changes(&would.unwrap_or_default());
            return Ok(((device, told), self.replica.settled()));
        }
        let now = self.now();
        let done = self.replica.lost(now, coalition, device, (since, by));
        let done = done.map_err(|error| self.not_ended(&device, error))?;
        let replica::Lost { statement, kept, unnamed, rotated } = done.value;
        let rotated = rotated.into_iter().map(|(id, _)| id).collect();
        let statement = Some(statement);
        let lost = Lost { statement, since, by, kept, unnamed, void, rotated, already: false };
        Ok(((device, self.lost_shape(&device, lost)?), done.ticket))
    }

    /// The failure of the end of a device's standing, with who can end it.
    pub(super) fn not_ended(&self, device: &DeviceId, error: ActError) -> Failure {
        let above = matches!(error, ActError::WouldNotCount(StatementVerdict::NotAbove));
        let failure = act_failure(error);
        if !above {
            return failure;
        }
        let shape::Device { agency, right, .. } = self.device(device);
        let id = device.short();
        let whose = agency.name;
        let by = match (self.agency_of(device), right.as_str()) {
            (of, "desk") if of == self.agency_of(&self.replica.device()) => {
                format!("its agency's root: `tearline grant revoke {id} --root FILE`")
            }
            _ => format!("a desk of {whose}, or its root"),
        };
        failure.hint(format!("{by}; or the founders: `tearline coalition propose revoke {id}`"))
    }

    /// What a device could read, as far as an answer has room and the store can be read.
    pub(super) fn exposed(
        &mut self,
        device: &DeviceId,
    ) -> Result<(Vec<shape::Exposed>, Unread), Failure> {
        let exposed = self.replica.exposure(device).map_err(|error| self.met(&error))?;
        let mut listed = 0;
        let mut shown = Vec::new();
        let mut left_out = Unread::default();
        for Exposure { compartment, epochs, records, unread } in exposed {
            left_out.entries.extend(unread.iter().map(|these| self.unread_entries(these)));
            let mut exposed = shape::Exposed {
                compartment: compartment.to_string(),
                name: self.compartment_name(&compartment),
                epochs: epochs.iter().map(ToString::to_string).collect(),
                count: records.len() as u64,
                records: Vec::new(),
            };
            for record in records.iter().take(EXPOSED_MAX.saturating_sub(listed)) {
                listed += 1;
                let read = if listed > EXPOSED_TITLES_MAX {
                    Ok((None, false))
                } else {
                    self.replica.records(|reader| as_exposed(reader, *record))
                };
                let (detail, counts) = match read {
                    Ok(read) => read,
                    Err(error) => {
                        self.leave_out(*record, &error, &mut left_out)?;
                        (None, false)
                    }
                };
                exposed.records.push(shape::ExposedRecord {
                    record: record.to_string(),
                    title: detail.as_ref().map_or_else(String::new, |detail| {
                        Row::describe(detail.kind, &detail.fields).title
                    }),
                    quarantined: detail.is_some() && !counts,
                    label: detail.map_or_else(String::new, |detail| detail.label.to_string()),
                });
            }
            shown.push(exposed);
        }
        Ok((shown, left_out))
    }

    pub(super) fn lost_shape(&self, device: &DeviceId, lost: Lost) -> Result<shape::Lost, Failure> {
        let Lost { statement, since, by, mut kept, unnamed, void, rotated, already } = lost;
        let ended_by = || {
            let closures = self.coalition().ok().map(|known| known.closures_of(device));
            closures.into_iter().flatten().map(|one| one.id).next()
        };
        let (heard, not_heard) = match statement.or_else(|| ended_by().filter(|_| already)) {
            Some(statement) => self.who_heard(statement)?,
            None => (Vec::new(), Vec::new()),
        };
        let more_logs = kept.len().saturating_sub(KEPT_MAX) as u64;
        if more_logs > 0 {
            kept.sort_by_key(|kept| std::cmp::Reverse((kept.cut.count, kept.held)));
            kept.truncate(KEPT_MAX);
        }
        let word = self.replica.word(self.coalition()?.id());
        let moved = self.replica.move_to_counting(&mut kept, word);
        moved.map_err(|error| store_failure(&error))?;
        Ok(shape::Lost {
            device: self.device(device),
            statement: statement.map(|id| id.to_string()),
            already,
            since: since.to_string(),
            by: keep_by_name(by).into(),
            kept: kept.iter().map(|kept| self.kept_shape(kept)).collect(),
            more_logs,
            unnamed: unnamed as u64,
            exposed: Vec::new(),
            unread: unread::Unread::default(),
            unlisted: None,
            void,
            rotated: rotated.iter().map(|id| self.compartment_name(id)).collect(),
            heard: heard.iter().map(|device| self.device(device)).collect(),
            not_heard: not_heard.iter().map(|device| self.device(device)).collect(),
            changes: Vec::new(),
        })
    }

    /// Which devices hold a statement, as far as is known here.
    fn who_heard(&self, statement: StatementId) -> Result<(Vec<DeviceId>, Vec<DeviceId>), Failure> {
        for area in self.replica.areas().keys() {
            let found = self.statements(*area).into_iter().find(|(_, id, _)| id.0 == statement.0);
            let Some((log, id, _)) = found else { continue };
            let logbook = self.replica.logbook();
            let head = logbook.head(&log).next;
            for seq in (0..head).rev() {
                let entry = logbook.entry(self.replica.store(), &log, seq);
                if entry.map_err(|error| store_failure(&error))?.is_some_and(|e| e.id == id) {
                    return Ok(self.replica.heard(&log, seq));
                }
            }
        }
        Ok((Vec::new(), Vec::new()))
    }

    fn kept_shape(&self, kept: &Kept) -> shape::KeptLog {
        shape::KeptLog {
            compartment: self.compartment_name(&kept.log.compartment),
            class: kept.log.class.name().into(),
            held: kept.held,
            kept: kept.cut.count,
            last: kept.cut.last.map(|(id, _)| id.to_string()),
            last_at: kept.cut.last.and_then(|(_, wall)| wall).map(|wall| wall.to_string()),
            next_at: kept.cut.next.map(|wall| wall.to_string()),
            by_arrival: up_to(&kept.by_arrival),
            by_dates: up_to(&kept.by_dates),
        }
    }

    pub(super) fn compartment_rotate(&mut self, name: &str) -> Answer {
        let id = self.named_compartment(name)?;
        let now = self.now();
        let done = self.replica.rotate(now, id).map_err(act_failure)?;
        let readers = self.replica.compartment(id).map_or(0, |c| c.readers().count());
        let value = json(&shape::Rotated {
            compartment: id.to_string(),
            epoch: done.value.to_string(),
            readers,
        })?;
        Ok((value, Some(done.ticket)))
    }

    /// A device, as it is shown.
    pub(super) fn device(&self, device: &DeviceId) -> shape::Device {
        let coalition = self.coalition().ok();
        let standing = coalition.and_then(|coalition| coalition.devices().get(device));
        shape::Device {
            device: device.to_string(),
            name: self.name_of(device),
            agency: self.agency_ref(standing.map(|standing| standing.agency)),
            right: standing.map_or_else(String::new, |standing: &Standing| {
                let right = coalition.and_then(|coalition| coalition.right(device));
                // Of one that has ended, what it had.
                let had = || standing.routes.iter().map(|route| route.right).max();
                let right = right.or_else(had).map_or("", Right::name);
                if standing.desk { "desk".into() } else { right.into() }
            }),
            standing: self.standing_of(device),
            check: self.text_of(&check_key(device)),
        }
    }

    /// What a device is called here.
    pub(super) fn name_of(&self, device: &DeviceId) -> Option<String> {
        let own =
            || Some(&self.name).filter(|name| *device == self.replica.device() && !name.is_empty());
        self.text_of(&name_key(device)).or_else(|| own().cloned())
    }

    fn text_of(&self, key: &[u8]) -> Option<String> {
        let bytes = self.replica.store().get(Space::Meta, key).ok()??;
        String::from_utf8(bytes).ok()
    }

    /// A device by its id, the beginning of it, or its name here.
    pub(super) fn named_device(&self, text: &str) -> Result<DeviceId, Failure> {
        let coalition = self.coalition()?;
        let hits: Vec<DeviceId> = coalition
            .devices()
            .keys()
            .filter(|device| {
                is_prefix(text, &device.to_string())
                    || self.device(device).name.is_some_and(|name| name.eq_ignore_ascii_case(text))
            })
            .copied()
            .collect();
        match hits.as_slice() {
            [device] => Ok(*device),
            [] => Err(Failure::not_found("device", text)
                .hint("`tearline device list` shows those there are")),
            several => {
                let which: Vec<String> = several.iter().map(|one| self.which(one)).collect();
                Err(Failure::usage(format!("{text:?} fits several devices: {}", which.join("; ")))
                    .hint("name one by its id; `tearline device name ID NAME` calls one otherwise"))
            }
        }
    }

    /// Fails when a name cannot be given to a device, this one if there is one, because it is none or a live
    /// device has it here.
    pub(super) fn free_name(&self, name: &str, device: Option<DeviceId>) -> Result<(), Failure> {
        check_name("a device's name", name)?;
        let coalition = self.coalition()?;
        let live = coalition.devices().keys().filter(|one| coalition.live(one).is_some());
        let called = |one: &&DeviceId| {
            let other = self.device(one).name.filter(|_| Some(**one) != device);
            other.is_some_and(|other| other.eq_ignore_ascii_case(name))
        };
        match live.copied().find(|one| called(&one)) {
            Some(one) => {
                Err(Failure::usage(format!("{name:?} is the name of {}", self.which(&one)))
                    .hint("choose another, or call that one otherwise: `tearline device name`"))
            }
            None => Ok(()),
        }
    }

    /// Which device it is of several of a name.
    fn which(&self, device: &DeviceId) -> String {
        let shape::Device { agency, standing, .. } = self.device(device);
        let since = standing.since.map_or_else(String::new, |since| format!(" since {since}"));
        format!("{} of {}, {}{since}", device.short(), agency.name, standing.state)
    }

    pub(super) fn one_agency(&self, text: &str) -> Result<AgencyNo, Failure> {
        let found = self.named_agencies(&[text.to_owned()])?;
        found.first().copied().ok_or_else(|| Failure::usage("name an agency"))
    }

    pub(super) fn coalition_id(&self) -> [u8; 32] {
        self.coalition().map_or([0; 32], |coalition| coalition.id().0)
    }

    /// The coalition's own area, or that of a compartment.
    pub(super) fn area(&self, compartment: Option<&str>) -> Result<CompartmentId, Failure> {
        match compartment {
            Some(name) => self.named_compartment(name),
            None => Ok(self.coalition()?.compartment()),
        }
    }

    /// The statements of an area, with their logs and entries.
    pub(super) fn statements(&self, area: CompartmentId) -> Vec<(LogId, EntryId, &Statement)> {
        let places = self.places(area).into_iter();
        places.map(|(place, statement)| (place.log, place.id, statement)).collect()
    }

    /// The same, with where they stand.
    pub(super) fn places(&self, area: CompartmentId) -> Vec<(&Place, &Statement)> {
        match self.replica.areas().get(&area).map(|area| &area.body) {
            Some(Body::Coalition(coalition)) => coalition.statements().collect(),
            Some(Body::Compartment(compartment)) => compartment.statements().collect(),
            None => Vec::new(),
        }
    }

    /// A statement by its id or the beginning of it, in an area that this device may see.
    pub(super) fn named_statement(
        &self,
        text: &str,
    ) -> Result<(CompartmentId, StatementId), Failure> {
        let mut hits = Vec::new();
        for area in self.replica.areas().keys().filter(|area| self.may_see(area)) {
            let statements = self.statements(*area).into_iter();
            let fitting = statements.filter(|(_, id, _)| is_prefix(text, &id.to_string()));
            hits.extend(fitting.map(|(_, id, _)| (*area, StatementId(id.0))));
        }
        match hits.as_slice() {
            [hit] => Ok(*hit),
            [] => Err(Failure::not_found("statement", text)),
            _ => {
                Err(Failure::usage(format!("{text:?} fits several statements; write more digits")))
            }
        }
    }

    pub(super) fn kept(
        &self,
        device: &DeviceId,
        since: Option<(WallTime, KeepBy)>,
    ) -> Result<Vec<Kept>, Failure> {
        let coalition = self.coalition()?.id();
        let kept = self.replica.kept_before(coalition, device, since);
        kept.map_err(|error| store_failure(&error))
    }

    /// A time as it is asked for, and by what it is told what was written before; without one all that is held
    /// is kept.
    pub(super) fn since(
        text: Option<&str>,
        by: Option<&str>,
    ) -> Result<Option<(WallTime, KeepBy)>, Failure> {
        let by = match by {
            None | Some("arrival") => KeepBy::Arrival,
            Some("own-dates") => KeepBy::OwnDates,
            Some(other) => {
                return Err(Failure::usage(format!("{other:?} is neither arrival nor own-dates")));
            }
        };
        let time = |text: &str| {
            WallTime::parse(text).ok_or_else(|| Failure::usage(format!("{text:?} is no time")))
        };
        Ok(text.map(time).transpose()?.map(|since| (since, by)))
    }

    pub(super) fn verdict(
        &self,
        area: &CompartmentId,
        id: &EntryId,
    ) -> Result<StatementVerdict, Failure> {
        let verdict = self.replica.verdict(*area, id).map_err(|error| store_failure(&error))?;
        verdict.ok_or_else(|| Failure::bug("a statement is not there"))
    }

    pub(super) fn audience_text(&self, audience: &Audience) -> String {
        match audience {
            Audience::Device { card, .. } => {
                let device = self.device(&card.device);
                device.name.unwrap_or_else(|| card.device.short())
            }
            Audience::Agency(agency) => self.agency_ref(Some(*agency)).name,
        }
    }
}

/// A record that a device could read, and whether it counts. What the device itself wrote is quarantined by
/// now, and was exposed all the same.
fn as_exposed(
    reader: &mut Reader<'_>,
    record: RecordId,
) -> Result<(Option<Detail>, bool), StoreError> {
    match reader.show(record)? {
        Some(detail) => Ok((Some(detail), true)),
        None => Ok((reader.as_if(record, AsIf::All)?, false)),
    }
}

const fn keep_by_name(by: KeepBy) -> &'static str {
    match by {
        KeepBy::Arrival => "arrival",
        KeepBy::OwnDates => "own-dates",
    }
}

fn up_to(cut: &Cut) -> shape::KeptUpTo {
    shape::KeptUpTo {
        entries: cut.count,
        last: cut.last.map(|(id, _)| id.to_string()),
        last_at: cut.last.and_then(|(_, wall)| wall).map(|wall| wall.to_string()),
    }
}

pub(super) fn marks<'a>(
    kept: impl Iterator<Item = &'a Kept>,
) -> Result<(Marks, Option<Vec<u8>>), Failure> {
    Marks::of(kept.filter_map(Kept::mark).collect()).ok_or_else(too_many)
}

pub(super) fn too_many() -> Failure {
    Failure::failed("more logs than one statement can name")
}

/// The one that a text names, of those that it fits.
pub(super) fn one_of<T: Copy>(hits: &[T], what: &str, text: &str) -> Result<T, Failure> {
    match hits {
        [one] => Ok(*one),
        [] => Err(Failure::not_found(what, text)),
        _ => Err(Failure::usage(format!("{text:?} fits several {what}s; write more digits"))),
    }
}

/// What an agency's root is asked that it may not do alone.
pub(super) fn not_by_root() -> Failure {
    Failure::usage("an agency's root does not do this alone")
        .hint("it revokes devices of its agency, and adopts what they wrote")
}

/// A root's public key from its text.
pub(crate) fn root_key(text: &str) -> Result<RootKey, Failure> {
    let digits = text.trim();
    let byte = |at: usize| u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok();
    let key: Option<Vec<u8>> = (0..32).map(byte).collect();
    key.filter(|_| digits.len() == 64).and_then(|key| key.try_into().ok()).ok_or_else(|| {
        Failure::usage(format!("{text:?} is no root key"))
            .hint("it has 64 hexadecimal digits; `tearline id` at the agency shows it as `root`")
    })
}

/// What a device is called on this peer.
fn name_key(device: &DeviceId) -> Vec<u8> {
    [b"name/".as_slice(), &device.0].concat()
}

/// The spoken check of a device's enrolment.
fn check_key(device: &DeviceId) -> Vec<u8> {
    [b"check/".as_slice(), &device.0].concat()
}
