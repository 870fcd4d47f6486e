//! Areas: what is synced as one. A coalition's own log is an area; so is each compartment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tearline_crdt::authority::{Coalition, Compartment, Place, StatementFault};
use tearline_crdt::bounds::NAME_BYTES_MAX;
use tearline_crdt::charter::Charter;
use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::entry::sealed::LogCipher;
use tearline_crdt::epoch::{EpochKeys, box_context, decode_boxes};
use tearline_crdt::frontier::{Frontier, LogKey};
use tearline_crdt::hash::Digest;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, EntryId, EpochId, LogId, StatementId};
use tearline_crdt::keys::KemKey;
use tearline_crdt::logbook::LogNo;
use tearline_crdt::logbook::find::Search;
use tearline_crdt::record::receipt::Outcome;
use tearline_crdt::statement::{Audience, Opening, Right, Statement};
use tearline_crdt::store::{Batch, Space, Store, StoreError};
use tearline_crdt::time::WallTime;

use super::branch::Choice;
use super::held::HeldLogs;
use super::lag::lag_key;
use super::stray::KeptStray;
use super::words::Spoken;
use super::{Event, Output, Replica};
use crate::fault::{BoxFault, PeerFault};

/// What an area is. Replicas of one process that hold the same statements may share it.
#[derive(Clone, Debug)]
pub enum Body {
    /// A coalition's own log.
    Coalition(Arc<Coalition>),
    /// A compartment.
    Compartment(Arc<Compartment>),
}

/// An area that this peer holds.
#[derive(Debug)]
pub struct Area {
    /// Its id; a coalition's is the coalition's id.
    pub id: CompartmentId,
    /// What it is.
    pub body: Body,
    /// What its readers call it, once that could be opened.
    pub name: Option<String>,
    /// What the descriptions say that could be opened, whether they count or not.
    names: BTreeMap<EntryId, String>,
    /// What is durable here, and so advertised.
    pub frontier: Frontier,
    /// Statements that count where their logs do not.
    pub(super) strays: BTreeMap<EntryId, KeptStray>,
    /// The logs, by the key under which frontiers name them.
    pub(super) logs: BTreeMap<LogKey, Arc<LogId>>,
    /// How far logs of records count, and what their devices' routes allow: as last drawn, and as
    /// the records here were judged.
    pub(super) drawn: BTreeMap<Arc<LogId>, Drawn>,
    /// Records of which something was said, by genesis.
    pub(super) spoken: BTreeMap<EntryId, Spoken>,
    /// Entries that erasures list, with their places until they are destroyed.
    pub(super) listed: BTreeMap<EntryId, Option<(LogId, u64)>>,
    /// Those of them that are of branches kept aside, with their logs.
    pub(super) listed_aside: BTreeMap<EntryId, LogId>,
    /// Which branches marks choose of forked logs, by the keys under which frontiers name that.
    pub(super) choices: BTreeMap<LogKey, Choice>,
    /// The search for what statements name, while it goes on.
    pub(super) search: Option<Search>,
    /// What was answered to statements about records, of those that were looked up since the start.
    pub(super) answered: BTreeMap<StatementId, Outcome>,
    /// Where boxes for this device are of epochs that we cannot open: the entries of the authority
    /// logs that carry them. One may come before the statement of its epoch.
    closed: BTreeMap<EpochId, Vec<(LogId, u64)>>,
    /// Where boxes are, by epoch, so that they can be destroyed when it is retired.
    pub(super) boxes: Arc<BTreeMap<EpochId, BTreeSet<(LogId, u64)>>>,
    /// Where names are that are sealed under epochs whose keys have not come.
    unnamed: BTreeMap<EpochId, Vec<(LogId, u64)>>,
    /// In a coalition's own log: the ML-KEM keys of its devices, by the hashes that their cards name.
    /// A hash names one key, so the order in which they came decides nothing.
    pub(super) kem_keys: Arc<BTreeMap<Digest, KemKey>>,
}

impl Area {
    /// Calls it what the description says that names it now.
    fn rename(&mut self) {
        if let Body::Compartment(compartment) = &self.body
            && !self.names.is_empty()
        {
            let names = compartment.description(|id| self.names.contains_key(id));
            self.name = names.and_then(|id| self.names.get(&id)).cloned();
        }
    }
}

/// What was drawn for a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Drawn {
    /// Entries below this position count.
    pub(super) limit: u64,
    /// Beginning of a hash of what its device's routes allow.
    routes: u64,
}

/// An authority entry as it matters here.
pub(super) struct Fact<'a> {
    pub(super) id: EntryId,
    pub(super) seq: u64,
    pub(super) log: LogId,
    pub(super) statement: &'a [u8],
    pub(super) payload: Option<&'a [u8]>,
    /// Whether the payload is gone that its author wrote.
    pub(super) detached: bool,
}

impl<S: Store> Replica<S> {
    /// Reads the areas and replays their authority logs: coalitions first, because compartments
    /// are judged by them.
    pub(super) fn load_areas(&mut self) -> Result<(), StoreError> {
        let mut bodies = Vec::new();
        let mut bad = None;
        self.store.scan(Space::Meta, AREA_PREFIX, &[], &mut |key, value| {
            match decode_body(value) {
                Ok(body) => bodies.push(body),
                Err(_) => bad = Some(tearline_crdt::store::damaged(Space::Meta, key)),
            }
            std::ops::ControlFlow::Continue(())
        })?;
        if let Some(error) = bad {
            return Err(error);
        }
        bodies.sort_by_key(|body| matches!(body, Body::Compartment(_)));
        let drawn = self.load_drawn()?;
        self.replaying = true;
        for body in bodies {
            let id = self.adopt_body(body);
            if let Some(area) = self.areas.get_mut(&id) {
                let logs = self.logbook.logs_of(id).filter_map(|(log, state)| {
                    let log = self.logbook.id_of(log)?;
                    Some((Arc::clone(log), *drawn.get(&state.no)?))
                });
                area.drawn = logs.collect();
            }
            self.replay(id)?;
        }
        self.replaying = false;
        self.lay_table();
        Ok(())
    }

    fn adopt_body(&mut self, body: Body) -> CompartmentId {
        let id = match &body {
            Body::Coalition(coalition) => coalition.compartment(),
            Body::Compartment(compartment) => compartment.id(),
        };
        let mut area = Area {
            id,
            body,
            name: None,
            names: BTreeMap::new(),
            frontier: Frontier::default(),
            strays: BTreeMap::new(),
            logs: BTreeMap::new(),
            drawn: BTreeMap::new(),
            spoken: BTreeMap::new(),
            listed: BTreeMap::new(),
            listed_aside: BTreeMap::new(),
            choices: BTreeMap::new(),
            search: None,
            answered: BTreeMap::new(),
            closed: BTreeMap::new(),
            boxes: Arc::default(),
            unnamed: BTreeMap::new(),
            kem_keys: Arc::default(),
        };
        for (log, state) in self.logbook.logs_of(id) {
            let key = LogKey::of(log);
            area.logs.extend(self.logbook.id_of(log).map(|log| (key, Arc::clone(log))));
            if self.logbook.has_excess(id, log.device) {
                continue;
            }
            match self.logbook.shared_head(log).filter(|head| ***head == state.shared) {
                Some(head) => area.frontier.set(key, Arc::clone(head)),
                None => area.frontier.set(key, state.shared),
            }
            if state.proven_at.is_some() {
                area.frontier.set_forked(key, state.shared);
            }
        }
        for device in self.logbook.excesses(id) {
            area.frontier.set_excess(&id, device, std::iter::empty());
        }
        self.areas.insert(id, area);
        id
    }

    fn replay(&mut self, id: CompartmentId) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let heads = self.heads(id);
        let told = heads.and_then(|heads| self.memo.told(&heads));
        let is_new = told.is_none();
        let places = match told {
            Some(told) => self.take_told(id, told),
            None => self.authority_places(id),
        };
        for (log, seq) in places {
            let Some(entry) = self.logbook.entry(&self.store, &log, seq)? else { continue };
            let fact = Fact {
                id: entry.id,
                seq,
                log,
                statement: &entry.sealed,
                payload: entry.payload.as_deref(),
                detached: entry.detached,
            };
            if is_new {
                self.take_fact(&mut batch, &fact);
            } else if let Ok(statement) = Statement::decode(&entry.sealed) {
                self.take_own(&mut batch, &fact, statement);
            }
        }
        self.load_strays(&mut batch, id)?;
        self.stale.insert(id);
        self.redraw()?;
        self.outputs.clear();
        self.apply(batch)?;
        self.read_names();
        if let Some(heads) = heads.filter(|_| is_new) {
            self.note_told(id, heads)?;
        }
        Ok(())
    }

    /// Creates an area, durably with the batch. The remembered states of peers no longer speak of
    /// all that is shared, so they are forgotten.
    pub(super) fn create_area(&mut self, batch: &mut Batch, body: Body) -> CompartmentId {
        let value = match &body {
            Body::Coalition(coalition) => Statement::Found(coalition.charter().clone()).encode(),
            Body::Compartment(compartment) => {
                Statement::Open(compartment.opening().clone()).encode()
            }
        };
        let opened = matches!(body, Body::Compartment(_));
        let id = self.adopt_body(body);
        self.stale.insert(id);
        batch.put(Space::Meta, area_key(&id), value);
        self.forget_digests();
        if opened {
            self.outputs.push_back(Output::Event(Event::Opened(id)));
        }
        id
    }

    /// Forgets an area of which nothing but its opening is here, durably with the batch.
    pub(super) fn drop_area(&mut self, batch: &mut Batch, id: CompartmentId) {
        self.areas.remove(&id);
        batch.remove(Space::Meta, area_key(&id));
    }

    /// What a device may do in an area now; `None` where it may not know of it. Nobody else may of
    /// what is not followed here.
    #[must_use]
    pub fn right(&self, id: CompartmentId, device: &DeviceId) -> Option<Right> {
        if !self.follows(&id) && *device != self.device() {
            return None;
        }
        match &self.areas.get(&id)?.body {
            Body::Coalition(coalition) => coalition.right(device),
            Body::Compartment(compartment) => compartment.right(device),
        }
    }

    /// Whether this device has a right to write logs of a class in a compartment, in its present incarnation.
    #[must_use]
    pub fn may_write(&self, id: CompartmentId, class: Class) -> bool {
        let own = self.compartment(id).and_then(|known| known.live(&self.device()));
        own.is_some_and(|own| own.routes_in(self.incarnation).any(|route| route.writes(class)))
    }

    /// When the last of this device's rights in an area ends; `None` if it has none, or one that does not.
    #[must_use]
    pub fn rights_end(&self, id: CompartmentId) -> Option<WallTime> {
        let own = match &self.areas.get(&id)?.body {
            Body::Coalition(coalition) => coalition.live(&self.device()),
            Body::Compartment(compartment) => compartment.live(&self.device()),
        };
        let ends: Option<Vec<u64>> =
            own?.routes_in(self.incarnation).map(|route| route.caveats.not_after_ms).collect();
        ends?.into_iter().max().map(WallTime)
    }

    /// What this device may do in an area in its present incarnation.
    pub(super) fn own_right(&self, id: CompartmentId) -> Option<Right> {
        let (own, life) = (self.device(), self.incarnation);
        match &self.areas.get(&id)?.body {
            Body::Coalition(coalition) => coalition.right_in(&own, life),
            Body::Compartment(compartment) => compartment.right_in(&own, life),
        }
    }

    /// Whether a log's entries are worth storing here. `first` is the statement of the log's first
    /// entry, when that is what is at hand.
    pub(super) fn admits(&self, log: &LogId, first: Option<&Statement>) -> bool {
        let Some(area) = self.areas.get(&log.compartment) else { return false };
        match &area.body {
            Body::Coalition(coalition) => {
                log.class == Class::Authority && coalition.admits(&log.device, first)
            }
            Body::Compartment(compartment) => compartment.admits(log),
        }
    }

    /// Takes an authority entry; [`Replica::redraw`] draws the consequences. What is wrong with a
    /// statement by itself is counted against its author.
    pub(super) fn take_fact(&mut self, batch: &mut Batch, fact: &Fact<'_>) {
        let id = fact.log.compartment;
        let statement = match Statement::decode(fact.statement) {
            Ok(statement) => statement,
            Err(error) => {
                self.blame_author(fact.log.device, PeerFault::Malformed(error));
                return;
            }
        };
        let Some(area) = self.areas.get_mut(&id) else { return };
        let place = Place { log: fact.log, seq: fact.seq, id: fact.id };
        let taken = match &mut area.body {
            Body::Coalition(coalition) => {
                if let Some(key) = kem_key_beside(&statement, fact.payload) {
                    Arc::make_mut(&mut area.kem_keys).insert(key.hash(), key);
                }
                Arc::make_mut(coalition).insert(place, statement.clone(), fact.payload)
            }
            Body::Compartment(compartment) => {
                let compartment = Arc::make_mut(compartment);
                match &statement {
                    Statement::Seal { epoch, .. } if fact.detached => {
                        Ok(compartment.insert_bare(place, *epoch, statement.clone()))
                    }
                    _ => compartment.insert(place, statement.clone(), fact.payload),
                }
            }
        };
        let misled = match &mut area.body {
            Body::Compartment(compartment) => Arc::make_mut(compartment).take_misled(),
            Body::Coalition(_) => Vec::new(),
        };
        for author in misled {
            self.blame_author(author, PeerFault::Statement(StatementFault::Depth));
        }
        match taken {
            Ok(true) => {
                self.stale.insert(id);
            }
            Ok(false) => {}
            Err(fault) => {
                self.blame_author(fact.log.device, PeerFault::Statement(fault));
                return;
            }
        }
        if let Statement::Seal { epoch, .. } = &statement
            && !fact.detached
            && let Some(area) = self.areas.get_mut(&id)
        {
            let boxes = Arc::make_mut(&mut area.boxes).entry(*epoch).or_default();
            boxes.insert((fact.log, fact.seq));
        }
        self.take_own(batch, fact, statement);
    }

    /// Opens what a statement says to this device alone.
    fn take_own(&mut self, batch: &mut Batch, fact: &Fact<'_>, statement: Statement) {
        let id = fact.log.compartment;
        match statement {
            Statement::Epoch(_) => self.reopen_boxes(batch, id),
            Statement::Seal { epoch, .. } if !fact.detached => self.take_boxes(batch, fact, epoch),
            Statement::Describe { epoch } => {
                let name = self.open_name(fact, epoch);
                let waits = !self.epoch_keys.contains_key(&epoch);
                if let Some(area) = self.areas.get_mut(&id) {
                    area.names.extend(name.map(|name| (fact.id, name)));
                    if waits {
                        area.unnamed.entry(epoch).or_default().push((fact.log, fact.seq));
                    }
                }
            }
            _ => {}
        }
    }

    fn blame_author(&mut self, author: DeviceId, fault: PeerFault) {
        if !self.replaying {
            self.count(author, fault);
        }
    }

    /// Draws the answers of all areas whose statements changed, and of those that follow from them;
    /// notes which logs count further or less far than before.
    pub(super) fn redraw(&mut self) -> Result<(), StoreError> {
        let stale = std::mem::take(&mut self.stale);
        if stale.is_empty() {
            return Ok(());
        }
        self.drawn += 1;
        self.sessions.touch_all();
        let logs = HeldLogs::new(&self.logbook, &self.store);
        let mut changed: BTreeSet<CompartmentId> = BTreeSet::new();
        for id in &stale {
            if let Some(Area { body: Body::Coalition(coalition), .. }) = self.areas.get_mut(id)
                && (self.foretold.remove(id) || Arc::make_mut(coalition).evaluate(&logs))
            {
                changed.insert(*id);
                let event = Event::StandingsChanged(coalition.id());
                self.outputs.push_back(Output::Event(event));
            }
        }
        let above = |area: &Area| match &area.body {
            Body::Compartment(compartment) => {
                Some(CompartmentId(compartment.opening().coalition.0))
            }
            Body::Coalition(_) => None,
        };
        // All of a coalition follow from it; there may be thousands, which a compartment's own statements
        // leave alone.
        let is_coalition = |id: &CompartmentId| {
            self.areas.get(id).is_some_and(|area| matches!(area.body, Body::Coalition(_)))
        };
        let moved: Vec<CompartmentId> = if stale.iter().any(is_coalition) {
            let moved = |(id, area): &(&CompartmentId, &Area)| {
                stale.contains(*id) || above(area).is_some_and(|above| stale.contains(&above))
            };
            self.areas.iter().filter(moved).map(|(id, _)| *id).collect()
        } else {
            stale.iter().filter(|id| self.areas.contains_key(id)).copied().collect()
        };
        let mut coalitions: BTreeMap<CompartmentId, Area> = BTreeMap::new();
        for id in &moved {
            let Some(above) = self.areas.get(id).and_then(above) else { continue };
            if !stale.contains(id) && !changed.contains(&above) {
                continue;
            }
            if let Some(area) = self.areas.remove(&above) {
                coalitions.insert(above, area);
            }
            if let Some(Area { body: Body::Coalition(coalition), .. }) = coalitions.get(&above)
                && let Some(Area { body: Body::Compartment(compartment), .. }) =
                    self.areas.get_mut(id)
                && (self.foretold.remove(id)
                    || Arc::make_mut(compartment).evaluate(coalition, &logs))
            {
                changed.insert(*id);
            }
        }
        let unread = logs.unread();
        let outcome = logs.outcome();
        self.areas.extend(coalitions);
        outcome?;
        unread.iter().try_for_each(|error| self.note_gap(error))?;
        for id in moved.iter().filter(|id| stale.contains(*id) || changed.contains(*id)) {
            if let Some(area) = self.areas.get_mut(id) {
                area.rename();
            }
        }
        for id in moved {
            self.redraw_limits(id)?;
            self.name_logs(id);
            self.name_strays(id);
            // What branches there are is drawn again when it can be read.
            let chosen = self.choose_branches(id).map(Some);
            self.past_damage(chosen)?;
        }
        self.lay_table();
        self.joining.look_again();
        if changed.is_empty() {
            return Ok(());
        }
        self.forget_digests();
        self.unvouch();
        self.standings_changed = true;
        self.said.extend(changed.iter().copied());
        changed.into_iter().try_for_each(|id| self.retire_epochs(id))
    }

    /// Names the logs of devices that could ever count, and no others: who could is drawn from what is
    /// before forks, and a proof may come after the entries.
    fn name_logs(&mut self, id: CompartmentId) {
        let Some(area) = self.areas.get(&id) else { return };
        let mut changed = Vec::new();
        for (key, log) in &area.logs {
            if self.logbook.has_excess(id, log.device) {
                continue;
            }
            let (admitted, named) = (self.admits(log, None), area.frontier.is_named(key));
            let pending = || {
                self.durable_head(log).is_none()
                    || self.forks.iter().any(|(_, forked)| *forked == **log)
            };
            if named && !admitted || admitted && !named && !pending() {
                changed.push((*key, **log, admitted));
            }
        }
        if changed.is_empty() {
            return;
        }
        for (key, log, admitted) in changed {
            if admitted {
                let head = self.logbook.shared_head(&log).cloned();
                self.advertise(
                    &log,
                    head.unwrap_or_else(|| tearline_crdt::entry::run::Head::EMPTY.into()),
                );
                continue;
            }
            if let Some(area) = self.areas.get_mut(&id) {
                area.frontier.remove(&key);
            }
            self.sessions.values_mut().for_each(|session| session.forget_log(&lag_key(id, key)));
        }
        self.renamed.insert(id);
        self.forget_digests();
    }

    /// Compares how far each log of an area counts, and what its routes allow, with how the records
    /// here were judged; what differs is judged again.
    pub(super) fn redraw_limits(&mut self, id: CompartmentId) -> Result<(), StoreError> {
        let logs = self.logbook.ids_of(id).filter(|log| log.class != Class::Authority);
        let logs: Vec<Arc<LogId>> = logs.cloned().collect();
        let mut batch = Batch::default();
        for log in logs {
            let no = self.logbook.state(&log).map(|state| state.no);
            let (Some(no), Some(drawn)) = (no, self.draw(&log)?) else { continue };
            let Some(area) = self.areas.get_mut(&id) else { continue };
            let before = area.drawn.insert(log, drawn);
            if before == Some(drawn) {
                continue;
            }
            batch.put(Space::Meta, drawn_key(no), drawn.encode());
            match before {
                Some(before) if before.routes == drawn.routes => {
                    self.shelf.limit_moved(&mut batch, no, before.limit, drawn.limit);
                }
                _ => self.shelf.routes_moved(&mut batch, no),
            }
        }
        self.apply(batch)
    }

    /// Notes how a log counts that begins.
    pub(super) fn draw_new(
        &mut self,
        batch: &mut Batch,
        log: &LogId,
        no: LogNo,
    ) -> Result<(), StoreError> {
        if log.class == Class::Authority {
            return Ok(());
        }
        let Some(drawn) = self.draw(log)? else { return Ok(()) };
        let Some(log) = self.logbook.id_of(log) else { return Ok(()) };
        if let Some(area) = self.areas.get_mut(&log.compartment)
            && !area.drawn.contains_key(log)
        {
            area.drawn.insert(Arc::clone(log), drawn);
            batch.put(Space::Meta, drawn_key(no), drawn.encode());
        }
        Ok(())
    }

    pub(super) fn draw(&self, log: &LogId) -> Result<Option<Drawn>, StoreError> {
        let Some(compartment) = self.compartment(log.compartment) else { return Ok(None) };
        let logs = HeldLogs::new(&self.logbook, &self.store);
        let limit = if self.lenient { u64::MAX } else { compartment.limit(log, &logs).next };
        logs.outcome()?;
        let mut allowed = Vec::new();
        if let Some(standing) = compartment.devices().get(&log.device) {
            let routes = standing.routes_in(log.incarnation);
            for route in routes.filter(|route| route.writes(log.class)) {
                route.caveats.encode(&mut allowed);
            }
        }
        let hash = tearline_crdt::hash::sha256(&allowed);
        let routes = hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        Ok(Some(Drawn { limit, routes }))
    }

    fn load_drawn(&self) -> Result<BTreeMap<LogNo, Drawn>, StoreError> {
        let mut drawn = BTreeMap::new();
        let mut bad = None;
        self.store.scan(Space::Meta, DRAWN_PREFIX, &[], &mut |key, value| {
            let no = key.get(DRAWN_PREFIX.len()..).and_then(|no| no.try_into().ok());
            match (no.map(u32::from_be_bytes), Drawn::decode(value)) {
                (Some(no), Ok(one)) => {
                    drawn.insert(LogNo(no), one);
                    std::ops::ControlFlow::Continue(())
                }
                _ => {
                    bad = Some(tearline_crdt::store::damaged(Space::Meta, key));
                    std::ops::ControlFlow::Break(())
                }
            }
        })?;
        bad.map_or(Ok(drawn), Err)
    }

    fn open_name(&self, fact: &Fact<'_>, epoch: EpochId) -> Option<String> {
        let keys = self.epoch_keys.get(&epoch)?;
        let cipher = LogCipher::new(fact.log, epoch, keys.clone());
        let name = String::from_utf8(cipher.open_rest(fact.seq, fact.payload?).ok()?).ok()?;
        (name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)).then_some(name)
    }

    /// Tries the boxes that came before the statement of their epoch, or before that of one which it
    /// follows.
    fn reopen_boxes(&mut self, batch: &mut Batch, area: CompartmentId) {
        let Some(Area { body: Body::Compartment(compartment), closed, .. }) =
            self.areas.get_mut(&area)
        else {
            return;
        };
        let known: Vec<(EpochId, Vec<(LogId, u64)>)> =
            closed.extract_if(.., |epoch, _| compartment.epochs().contains_key(epoch)).collect();
        let places = known.into_iter().flat_map(|(epoch, places)| {
            places.into_iter().map(move |(log, seq)| (epoch, log, seq))
        });
        for (epoch, log, seq) in places {
            let Ok(Some(entry)) = self.logbook.entry(&self.store, &log, seq) else { continue };
            let payload = entry.payload.as_deref();
            let (statement, detached) = (&entry.sealed, entry.detached);
            let fact = Fact { id: entry.id, seq, log, statement, payload, detached };
            self.take_boxes(batch, &fact, epoch);
        }
    }

    /// Opens our own box among those of an epoch, if it is there and keeps its word.
    fn take_boxes(&mut self, batch: &mut Batch, fact: &Fact<'_>, id: EpochId) {
        let Some(Ok(boxes)) = fact.payload.map(decode_boxes) else { return };
        let own = self.keys.id();
        if self.epoch_keys.contains_key(&id) || !boxes.iter().any(|sealed| sealed.device == own) {
            return;
        }
        let Some(commitment) = self
            .compartment(fact.log.compartment)
            .and_then(|c| c.epochs().get(&id))
            .map(|epoch| epoch.statement.commitment)
        else {
            if let Some(area) = self.areas.get_mut(&fact.log.compartment) {
                area.closed.entry(id).or_default().push((fact.log, fact.seq));
            }
            return;
        };
        let context = box_context(&fact.log.compartment.0, &commitment);
        let mut fault = None;
        for sealed in boxes.iter().filter(|sealed| sealed.device == own) {
            match sealed.open(&self.keys, &context) {
                Ok(secret) if EpochKeys::commitment(&secret) == commitment => {
                    return self.hold_epoch(batch, id, EpochKeys::of(&secret));
                }
                Ok(_) => fault = fault.or(Some(BoxFault::OtherSecret)),
                Err(error) => fault = fault.or(BoxFault::of(&error)),
            }
        }
        if let Some(fault) = fault {
            self.blame_author(fact.log.device, PeerFault::Box(fault));
        }
    }

    /// Reads the names that waited for keys which are here now, once their entries are stored.
    pub(super) fn read_names(&mut self) {
        let mut found = Vec::new();
        for area in self.areas.values_mut().filter(|area| !area.unnamed.is_empty()) {
            let keys = &self.epoch_keys;
            found.extend(area.unnamed.extract_if(.., |epoch, _| keys.contains_key(epoch)));
        }
        for (epoch, places) in found {
            for (log, seq) in places {
                let Ok(Some(entry)) = self.logbook.entry(&self.store, &log, seq) else { continue };
                let payload = entry.payload.as_deref();
                let (statement, detached) = (&entry.sealed, entry.detached);
                let fact = Fact { id: entry.id, seq, log, statement, payload, detached };
                let name = self.open_name(&fact, epoch);
                if let Some(area) = self.areas.get_mut(&log.compartment) {
                    area.names.extend(name.map(|name| (fact.id, name)));
                    area.rename();
                }
            }
        }
    }

    /// Keeps an epoch's keys.
    pub(super) fn hold_epoch(&mut self, batch: &mut Batch, id: EpochId, keys: EpochKeys) {
        keys.store(batch, id);
        self.note_held(batch, id);
        self.epoch_keys.insert(id, keys);
        self.shelf.epoch_opened(id);
    }
}

impl Drawn {
    /// `limit (number) || routes (8, big-endian)`.
    fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        out.number(self.limit).raw(&self.routes.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let limit = reader.number("limit")?;
        let routes = u64::from_be_bytes(reader.array("routes")?);
        reader.finish()?;
        Ok(Self { limit, routes })
    }
}

const AREA_PREFIX: &[u8] = b"area/";
const DRAWN_PREFIX: &[u8] = b"drawn/";

/// `prefix || log number (4, big-endian)`.
fn drawn_key(no: LogNo) -> Vec<u8> {
    [DRAWN_PREFIX, &no.0.to_be_bytes()].concat()
}

fn area_key(id: &CompartmentId) -> Vec<u8> {
    [AREA_PREFIX, &id.0].concat()
}

fn decode_body(value: &[u8]) -> Result<Body, DecodeError> {
    match Statement::decode(value)? {
        Statement::Found(charter) => Ok(coalition_body(charter)),
        Statement::Open(opening) => Ok(compartment_body(opening)),
        _ => Err(DecodeError::Invalid { at: 0, what: "area" }),
    }
}

/// A coalition's body from its charter.
pub(super) fn coalition_body(charter: Charter) -> Body {
    Body::Coalition(Arc::new(Coalition::new(charter)))
}

/// A compartment's body from its opening.
pub(super) fn compartment_body(opening: Opening) -> Body {
    Body::Compartment(Arc::new(Compartment::new(opening)))
}

/// The ML-KEM key in the payload beside the statement that brings a device in, if it is the one that
/// the device's card names.
fn kem_key_beside(statement: &Statement, payload: Option<&[u8]>) -> Option<KemKey> {
    let card = match statement {
        Statement::Desk(certificate) => &certificate.desk,
        Statement::Grant { audience: Audience::Device { card, .. }, .. } => card,
        _ => return None,
    };
    KemKey::from_bytes(payload?).ok().filter(|key| card.matches(key))
}
