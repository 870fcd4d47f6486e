//! Words about records: what this peer does when a record is erased, restricted, recalled or held.
//!
//! Statements name a record by the id of its genesis, which relays see, too. What follows is carried
//! out piece by piece after the statements are stored, and what was done is written down with it, so
//! that a peer that stops half-way goes on where it was:
//!
//! 1. entries that statements name are looked for once; those that arrive later are noticed then;
//! 2. how each record stands is compared with what was last carried out: it is shown anew, hidden, or,
//!    once the coalition's delay is over, destroyed; many that are destroyed at once are all hidden before
//!    the first is destroyed, because each time that the store forgets costs it a pass;
//! 3. entries that erasures list are destroyed, of whatever record they are;
//! 4. what became of each statement is said in a receipt, and entries of the own agency that an
//!    erasure missed are added to it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use tearline_crdt::authority::{Asked, Compartment};
use tearline_crdt::bounds::ERASED_ENTRIES_MAX;
use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::entry::run::VerifiedRun;
use tearline_crdt::id::{AgencyNo, Class, CompartmentId, EntryId, LogId, RecordId, StatementId};
use tearline_crdt::logbook::find::Search;
use tearline_crdt::record::receipt::{self, Outcome, Receipt, Receipts, Refusal};
use tearline_crdt::record::shelf::{
    self, Begun, RecordState, Stewardship as _, record_aside, record_at,
};
use tearline_crdt::statement::{Right, Statement};
use tearline_crdt::store::{Batch, Space, Store, StoreError};
use tearline_crdt::time::Now;

use super::Replica;
use super::area::{Area, Body};
use super::author::{ActError, Statements};
use super::reckoning::Reckoned;

/// Where a record is in a compartment of which something was said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spoken {
    /// Where its genesis is.
    pub(super) place: Option<(LogId, u64)>,
    /// Whether that is in the branch of the log which is kept aside: it is not shown, and held all the same.
    pub(super) aside: bool,
}

/// What became of the words about a record, which outlasts a restart. An act names no compartment and is heard
/// in each of its coalition; the record is in one.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// When this peer heard that it is to be destroyed, by whom that is said: an agency, or `None` for an act.
    /// The delay before destroying counts from then.
    pub(super) erased: BTreeMap<Option<AgencyNo>, Reckoned>,
    /// What was carried out.
    done: Done,
}

/// What was carried out, as bits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Done(u8);

impl Done {
    const RESTRICTED: u8 = 1;
    const RECALLED: u8 = 2;
    const ERASED: u8 = 4;

    fn of(state: &RecordState) -> Self {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        Self(
            bit(state.restricted, Self::RESTRICTED)
                | bit(state.recalled, Self::RECALLED)
                | bit(state.erased.is_some(), Self::ERASED),
        )
    }
}

/// A record of which something is to be carried out.
struct Task {
    genesis: EntryId,
    /// Which it is, if its genesis can be opened.
    record: Option<RecordId>,
    /// Whether that is kept aside.
    aside: bool,
    state: RecordState,
    /// What is carried out then.
    asked: Done,
}

/// Most chunks that a search passes over for one input; it may have to open each, 8 kB.
const CHUNKS_PER_INPUT_MAX: usize = 1_024;
/// Most records of which one input carries out what was said.
const RECORDS_PER_INPUT_MAX: usize = 64;

impl<S: Store> Replica<S> {
    /// Reads what was carried out before.
    pub(super) fn load_words(&mut self) -> Result<(), StoreError> {
        let mut bad = None;
        let heard = &mut self.heard;
        self.store.scan(Space::Meta, WORD_PREFIX, &[], &mut |key, value| match read_word(
            key, value,
        ) {
            Ok((genesis, word)) => {
                heard.insert(genesis, word);
                ControlFlow::Continue(())
            }
            Err(_) => {
                bad = Some(tearline_crdt::store::damaged(Space::Meta, key));
                ControlFlow::Break(())
            }
        })?;
        bad.map_or(Ok(()), Err)
    }

    /// The genesis of a record of which a hold stands, whomever it binds; `None` where none does.
    pub fn held_genesis(
        &self,
        id: CompartmentId,
        record: &RecordId,
    ) -> Result<Option<EntryId>, StoreError> {
        let Some(area) = self.areas.get(&id) else { return Ok(None) };
        let Body::Compartment(compartment) = &area.body else { return Ok(None) };
        let mut held = compartment.held().peekable();
        if held.peek().is_none() {
            return Ok(None);
        }
        let places: BTreeSet<(LogId, u64)> = self.places_of(record)?.into_iter().collect();
        let begins = |genesis: &&EntryId| {
            area.spoken
                .get(*genesis)
                .and_then(|spoken| spoken.place)
                .is_some_and(|at| places.contains(&at))
        };
        Ok(held.find(begins).copied())
    }

    /// Notices entries of which statements came first.
    pub(super) fn notice(&mut self, run: &VerifiedRun) {
        let log = *run.log();
        let Some(area) = self.areas.get_mut(&log.compartment) else { return };
        if area.spoken.is_empty() && area.listed.is_empty() {
            return;
        }
        for entry in run.entries() {
            if let Some(spoken) = area.spoken.get_mut(&entry.id) {
                (spoken.place, spoken.aside) = (Some((log, entry.seq)), false);
                self.said.insert(log.compartment);
            }
            if let Some(place) = area.listed.get_mut(&entry.id) {
                *place = Some((log, entry.seq));
                self.said.insert(log.compartment);
            }
        }
    }

    /// Carries out what statements of compartments ask for that was not carried out, as far as it is
    /// due.
    pub(super) fn obey(&mut self, now: Now) -> Result<(), StoreError> {
        // What it writes itself may be cause for more: the loop sees to that.
        if std::mem::replace(&mut self.obeying, true) {
            return Ok(());
        }
        let outcome = self.obey_all(now);
        self.obeying = false;
        outcome
    }

    fn obey_all(&mut self, now: Now) -> Result<(), StoreError> {
        self.reckon(now);
        if self.next_due.is_some_and(|due| due <= self.reckoning.now()) {
            self.next_due = None;
            let spoken = self.areas.iter().filter(|(_, area)| !area.spoken.is_empty());
            let spoken: Vec<CompartmentId> = spoken.map(|(id, _)| *id).collect();
            self.said.extend(spoken);
        }
        while let Some(id) = self.said.pop_first() {
            if !self.obey_in(now, id)? {
                self.said.insert(id);
                break;
            }
        }
        Ok(())
    }

    /// Carries out a bounded part of what is asked for in a compartment; whether that is all.
    fn obey_in(&mut self, now: Now, id: CompartmentId) -> Result<bool, StoreError> {
        self.note_erased(id)?;
        if !self.seek(id)? {
            return Ok(false);
        }
        let geneses: Vec<EntryId> =
            self.areas.get(&id).map_or(Vec::new(), |area| area.spoken.keys().copied().collect());
        let mut tasks = Vec::new();
        for genesis in geneses {
            tasks.extend(self.task(now, id, genesis)?);
            if tasks.len() >= RECORDS_PER_INPUT_MAX {
                break;
            }
        }
        // What an erasure missed is read from the record, and so before that is destroyed.
        self.hiding = false;
        self.add_missed(now, id, &tasks)?;
        tasks.iter().try_for_each(|task| self.carry_out(now, task))?;
        self.hiding = tasks.len() >= RECORDS_PER_INPUT_MAX;
        if self.hiding {
            return Ok(false);
        }
        self.destroy_listed(id)?;
        self.erase_more(now)?;
        if self.has_erasures() {
            // Nobody is told that all is destroyed before it is.
            return Ok(false);
        }
        self.give_receipts(now, id)?;
        Ok(true)
    }

    /// Writes down when it was heard that records are to be destroyed.
    fn note_erased(&mut self, id: CompartmentId) -> Result<(), StoreError> {
        let Some(Body::Compartment(compartment)) = self.areas.get(&id).map(|area| &area.body)
        else {
            return Ok(());
        };
        let (at, mut batch) = (self.reckoning.now(), Batch::default());
        for genesis in compartment.spoken_of() {
            for by in compartment.erasers(genesis) {
                let heard = self.heard.entry(*genesis).or_default();
                if let Entry::Vacant(vacant) = heard.erased.entry(by) {
                    vacant.insert(at);
                    batch.put(Space::Meta, word_key(genesis), write_word(heard));
                }
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.note_reckoned(&mut batch);
        self.apply(batch)
    }

    /// Looks once for the entries that statements of a compartment name, in pieces; whether that is
    /// over. Statements that come meanwhile are looked at afterwards.
    fn seek(&mut self, id: CompartmentId) -> Result<bool, StoreError> {
        let Some(Area {
            body: Body::Compartment(compartment),
            spoken,
            listed,
            listed_aside,
            search,
            ..
        }) = self.areas.get_mut(&id)
        else {
            return Ok(true);
        };
        let begins = search.is_none();
        if begins {
            let fresh = |genesis: &&EntryId| !spoken.contains_key(*genesis);
            let geneses: Vec<EntryId> = compartment.spoken_of().filter(fresh).copied().collect();
            let fresh = |entry: &&EntryId| !listed.contains_key(*entry);
            let entries: Vec<EntryId> =
                compartment.listed_entries().filter(fresh).copied().collect();
            *search = Some(Search::new(geneses.iter().chain(&entries).copied().collect()));
            spoken.extend(geneses.into_iter().map(|genesis| (genesis, Spoken::default())));
            listed.extend(entries.into_iter().map(|entry| (entry, None)));
        }
        let Some(going) = search else { return Ok(true) };
        let found = going.go_on(&self.store, &self.logbook, &id, CHUNKS_PER_INPUT_MAX)?;
        for (entry, place) in found {
            spoken.entry(entry).and_modify(|spoken| {
                (spoken.place, spoken.aside) = (Some(place), false);
            });
            listed.entry(entry).and_modify(|listed| *listed = Some(place));
        }
        let unread = going.take_unread();
        let over = going.is_over();
        for (entry, place) in going.take_aside() {
            if let Some(spoken) = spoken.get_mut(&entry) {
                (spoken.place, spoken.aside) = (Some(place), true);
            }
            if listed.contains_key(&entry) {
                listed_aside.insert(entry, place.0);
            }
        }
        if over {
            *search = None;
        }
        unread.iter().try_for_each(|error| self.note_gap(error))?;
        Ok(over && begins)
    }

    /// What is to be done about a record as it stands now, if that was not done.
    fn task(
        &mut self,
        now: Now,
        id: CompartmentId,
        genesis: EntryId,
    ) -> Result<Option<Task>, StoreError> {
        let spoken = self.areas.get(&id).and_then(|area| area.spoken.get(&genesis)).copied();
        let Some(Spoken { place: Some((log, seq)), aside }) = spoken else { return Ok(None) };
        let done = self.done(&genesis);
        let standings = self.standings();
        let state = standings.state(&log, &genesis);
        if state.erased.is_none()
            && let Some(due) = standings.due(&log, &genesis)
        {
            self.destroy_at(due);
        }
        // What is destroyed stays so, whoever holds it afterwards.
        let asked = Done(Done::of(&state).0 | done.0 & Done::ERASED);
        if asked == done {
            return Ok(None);
        }
        let record = self.at_desk(now, |_, desk| {
            if aside { record_aside(desk, &log, seq) } else { record_at(desk, &log, seq) }
        });
        let record = match record {
            Err(error @ StoreError::Damaged { .. }) => {
                self.note_gap(&error)?;
                return Ok(None);
            }
            record => record?,
        };
        Ok(Some(Task { genesis, record, aside, state, asked }))
    }

    /// Shows, hides or destroys a record. One that cannot be read is not shown as it is, and stays to be done.
    fn carry_out(&mut self, now: Now, task: &Task) -> Result<(), StoreError> {
        let Task { genesis, record, aside, state, asked } = *task;
        let mut batch = Batch::default();
        let carried_out = self.at_desk(now, |shelf, desk| match (state.erased, record) {
            (Some(statement), Some(record)) if aside => {
                shelf.erase_aside_record(desk, &mut batch, record, genesis, statement)
            }
            (Some(statement), Some(record)) => {
                shelf.erase(desk, &mut batch, record, genesis, statement).map(|_| ())
            }
            (None, Some(record)) => shelf.restate(desk, &mut batch, record),
            (_, None) => Ok(()),
        });
        match carried_out {
            Err(error @ StoreError::Damaged { .. }) => return self.note_gap(&error),
            carried_out => carried_out?,
        }
        let heard = self.heard.entry(genesis).or_default();
        heard.done = asked;
        batch.put(Space::Meta, word_key(&genesis), write_word(heard));
        self.apply(batch)?;
        if state.erased.is_some() {
            // Entries of it that came without their content are explained now.
            self.ask_again()?;
        }
        Ok(())
    }

    /// Adds entries of the own agency's devices that erasures did not list, so that relays destroy
    /// them, too: each device its own, and a desk those of all. All records at once, because what
    /// follows from statements is drawn from all that are held.
    fn add_missed(
        &mut self,
        now: Now,
        id: CompartmentId,
        tasks: &[Task],
    ) -> Result<(), StoreError> {
        let mut statements = Statements::new();
        for task in tasks {
            if let (Some(_), Some(record)) = (task.state.erased, task.record) {
                let missed = self.missed(id, record);
                statements.extend(missed.chunks(ERASED_ENTRIES_MAX).map(|entries| {
                    let (genesis, entries) = (task.genesis, entries.to_vec());
                    (Statement::EraseAlso { genesis, entries }, None)
                }));
            }
        }
        if statements.is_empty() {
            return Ok(());
        }
        match self.state(now, id, statements) {
            Err(ActError::Store(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// The entries of a record that this device is to add to its erasure.
    fn missed(&mut self, id: CompartmentId, record: RecordId) -> Vec<EntryId> {
        let own = self.device();
        let Some(standing) = self.compartment(id).and_then(|c| c.live(&own)) else {
            return Vec::new();
        };
        if self.own_right(id) < Some(Right::Write) {
            return Vec::new();
        }
        let (desk, agency) = (standing.desk, standing.agency);
        let Ok(Some(detail)) = self.records(|reader| reader.show(record)) else {
            return Vec::new();
        };
        let Some(compartment) = self.compartment(id) else { return Vec::new() };
        let mine =
            |log: &LogId| log.device == own || desk && compartment.originator(log) == Some(agency);
        let missed: BTreeSet<EntryId> = detail
            .entries
            .iter()
            .filter(|entry| mine(&entry.log) && !compartment.is_listed(&entry.id))
            .map(|entry| entry.id)
            .collect();
        missed.into_iter().collect()
    }

    /// What was carried out of a record.
    fn done(&self, genesis: &EntryId) -> Done {
        self.heard.get(genesis).map_or(Done::default(), |heard| heard.done)
    }

    /// Something is to be destroyed then.
    fn destroy_at(&mut self, due: Reckoned) {
        self.next_due = Some(self.next_due.map_or(due, |other| other.min(due)));
    }

    /// Destroys what the entries hold that erasures list.
    fn destroy_listed(&mut self, id: CompartmentId) -> Result<(), StoreError> {
        let Some(area) = self.areas.get(&id) else { return Ok(()) };
        let standings = self.standings();
        let mut places = Vec::new();
        let mut gone = Vec::new();
        let mut next: Option<Reckoned> = None;
        for (entry, place) in &area.listed {
            let Some((log, seq)) = place else { continue };
            let Some(due) = standings.entry_due(log, entry) else { continue };
            if due > standings.now {
                next = Some(next.map_or(due, |other| other.min(due)));
                continue;
            }
            let stored = match self.logbook.entry(&self.store, log, *seq) {
                Err(StoreError::Damaged { .. }) => continue,
                stored => stored?,
            };
            if stored.is_some_and(|stored| stored.payload.is_some() || stored.key_box.is_some()) {
                places.push((*log, *seq));
            }
            gone.push(*entry);
        }
        let mut aside = Vec::new();
        for (entry, log) in &area.listed_aside {
            match standings.entry_due(log, entry) {
                Some(due) if due <= standings.now => aside.push(*entry),
                Some(due) => next = Some(next.map_or(due, |other| other.min(due))),
                None => {}
            }
        }
        if !aside.is_empty() {
            self.shelf.look_aside();
        }
        next.into_iter().for_each(|due| self.destroy_at(due));
        let mut batch = Batch::default();
        self.shelf.erase_entries(&self.logbook, &mut batch, places);
        if let Some(area) = self.areas.get_mut(&id) {
            // What is destroyed is not looked at again.
            gone.iter().for_each(|entry| {
                area.listed.insert(*entry, None);
            });
            area.listed_aside.retain(|entry, _| !aside.contains(entry));
        }
        self.apply(batch)
    }

    /// Says what became of each statement about records, where that was not said.
    fn give_receipts(&mut self, now: Now, id: CompartmentId) -> Result<(), StoreError> {
        let own = self.device();
        let Some(area) = self.areas.get(&id) else { return Ok(()) };
        let Body::Compartment(compartment) = &area.body else { return Ok(()) };
        let Some(agency) = compartment.live(&own).map(|standing| standing.agency) else {
            return Ok(());
        };
        let mut fresh: BTreeMap<StatementId, Outcome> = BTreeMap::new();
        // Of two answers the later by its author's clock holds: none is dated before the one it replaces, nor
        // before the entry that precedes it in its log.
        let log = self.own_log(id, Class::Routine);
        let before = shelf::last_wall(&self.store, &self.logbook, &self.epoch_keys, &log)?;
        let mut wall = now.wall.max(before.unwrap_or_default());
        let mut known = Vec::new();
        let mut waits = None;
        for (genesis, spoken) in &area.spoken {
            let origin = spoken.place.map(|(log, _)| compartment.originator(&log));
            if origin == Some(None) {
                continue;
            }
            let origin = origin.flatten();
            let held =
                origin.is_some_and(|origin| compartment.record_state(genesis, origin, agency).held);
            for (statement, asked) in compartment.asked_of(genesis, origin) {
                let outcome = match asked {
                    _ if spoken.place.is_none() => Outcome::NothingHere,
                    Asked::Recall => Outcome::Marked,
                    Asked::Restrict => Outcome::Hidden,
                    Asked::Erase if self.done(genesis).0 & Done::ERASED != 0 => Outcome::Destroyed,
                    Asked::Erase if held => Outcome::Refused(Refusal::HOLD),
                    Asked::Erase => Outcome::Hidden,
                };
                if area.answered.get(&statement) == Some(&outcome) {
                    continue;
                }
                let said = receipt::answer(&self.store, &statement, &own)?;
                if said.is_some_and(|said| said.outcome == outcome) {
                    known.push((statement, outcome));
                    continue;
                }
                // Nobody says that he destroyed all who holds what he cannot read yet.
                let mut outcome = outcome;
                if (asked, outcome) == (Asked::Erase, Outcome::Destroyed) {
                    let waits = match waits {
                        Some(waits) => waits,
                        None => *waits.insert(self.awaits_keys(compartment)?),
                    };
                    if waits {
                        outcome = Outcome::Hidden;
                    }
                }
                if said.is_some_and(|said| said.outcome == outcome) {
                    known.push((statement, outcome));
                } else {
                    wall = said.map_or(wall, |said| said.wall.max(wall));
                    fresh.insert(statement, outcome);
                }
            }
        }
        let given = |(statement, outcome): (&StatementId, &Outcome)| Receipt {
            statement: *statement,
            outcome: *outcome,
        };
        let entries = Receipts::entries(wall, fresh.iter().map(given));
        match self.append_own(now, log, &entries, &Begun::default()) {
            Err(ActError::Store(error)) => return Err(error),
            Err(_) => {}
            Ok(_) => known.extend(fresh),
        }
        if let Some(area) = self.areas.get_mut(&id) {
            area.answered.extend(known);
        }
        if waits == Some(true) {
            self.awaiting.insert(id);
        }
        Ok(())
    }

    /// Whether entries are held that wait for keys which this device is to have: they may be of any
    /// record. What is closed to it for good it will never read, and destroys as a relay does: what
    /// erasures list.
    fn awaits_keys(&self, compartment: &Compartment) -> Result<bool, StoreError> {
        let own = self.device();
        if !compartment.is_reader(&own) {
            return Ok(false);
        }
        for (epoch, _) in self.unopened(compartment.id()).filter(|(_, closed)| !closed) {
            if shelf::holds_waiting(&self.store, &self.logbook, &epoch)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Looks again where entries that wait for keys kept receipts open.
    pub(super) fn look_at_awaiting(&mut self) {
        self.said.append(&mut self.awaiting);
    }
}

const WORD_PREFIX: &[u8] = b"word/";

fn word_key(genesis: &EntryId) -> Vec<u8> {
    [WORD_PREFIX, &genesis.0].concat()
}

/// `carried out (1) || (agency + 1, or 0 for an act (number) || heard that it is to be destroyed, ms (number))*`.
fn write_word(heard: &Heard) -> Vec<u8> {
    let mut out = vec![heard.done.0];
    for (by, at) in &heard.erased {
        out.number(by.map_or(0, |no| u64::from(no.0) + 1)).number(at.0);
    }
    out
}

fn read_word(key: &[u8], value: &[u8]) -> Result<(EntryId, Heard), DecodeError> {
    let mut reader = Reader::new(key.get(WORD_PREFIX.len()..).unwrap_or_default());
    let genesis = EntryId(reader.array("genesis")?);
    reader.finish()?;
    let mut reader = Reader::new(value);
    let done = Done(reader.u8("carried out")?);
    let mut erased = BTreeMap::new();
    while reader.left() > 0 {
        let by = reader.number_max(u64::from(u16::MAX) + 1, "agency")?;
        let by = by.checked_sub(1).map(|no| AgencyNo(no as u16));
        erased.insert(by, Reckoned(reader.number("heard of an erasure")?));
    }
    Ok((genesis, Heard { erased, done }))
}
