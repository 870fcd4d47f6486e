//! Presence: where own units are now.
//!
//! A position is of use for as long as it is true. So it stands in no log and on no disk: of each device and
//! compartment the latest is held, in memory, until it expires, sealed under the compartment's epoch and signed by
//! its device. Whoever has a right in the compartment passes it on, relays included, and readers open it. Who
//! says nothing more is gone when the time is over that its last word named.
//!
//! The later word of a device holds, by its own clock. Where that was ahead of what it says now, whoever hears
//! the earlier word says the later one back, and the device counts on from there. What is from further in the
//! future than clocks differ is not taken.
//!
//! Of a device one in five seconds is taken; over a thin link one in five minutes is said on, which fits one of
//! its frames.

use std::collections::BTreeMap;

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::hash::Domain;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, EpochId};
use tearline_crdt::keys::{Signature, verify};
use tearline_crdt::seal::{TAG_BYTES, open, seal};
use tearline_crdt::statement::Right;
use tearline_crdt::store::Store;
use tearline_crdt::time::{MonoTime, Now, WallTime};

use super::author::ActError;
use super::session::Phase;
use super::sync::Outcome;
use super::{Link, Replica};
use crate::fault::PeerFault;
use crate::wire::{Frame, Tag};

/// A place on the ground (WGS 84).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    /// Latitude, in 10^-7 degrees, north positive.
    pub latitude_e7: i32,
    /// Longitude, in 10^-7 degrees, east positive.
    pub longitude_e7: i32,
    /// How far off it may be, in m.
    pub accuracy_m: u16,
}

/// Where a device says that it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Presence {
    /// In which compartment it says so.
    pub compartment: CompartmentId,
    /// The device.
    pub device: DeviceId,
    /// Where.
    pub position: Position,
    /// When it said so, by its clock.
    pub written: WallTime,
    /// For how long that holds, in ms from then.
    pub lasts_ms: u64,
}

/// What is held of presence.
#[derive(Debug, Default)]
pub(super) struct Presences {
    held: BTreeMap<(CompartmentId, DeviceId), Held>,
    /// What each link was told or told us of them, and when.
    told: BTreeMap<(Link, CompartmentId, DeviceId), (WallTime, MonoTime)>,
    /// The latest that others say this device said, if that is later than what is held.
    own_last: BTreeMap<CompartmentId, WallTime>,
    /// When it is looked at next for what is to be said on.
    next: Option<MonoTime>,
}

#[derive(Clone, Debug)]
struct Held {
    card: Card,
    kept_at: MonoTime,
    until: MonoTime,
}

/// A device's word of where it is.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Card {
    device: DeviceId,
    written: WallTime,
    /// 0 takes back what was said.
    lasts_s: u64,
    epoch: EpochId,
    sealed: Vec<u8>,
    signature: Signature,
}

impl Card {
    /// What is signed: `compartment (32) || device (32) || written, ms (number) || lasts, s (number) ||
    /// epoch (32) || sealed position (26)`. What is sent has the signature behind, and no compartment before.
    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.raw(&self.device.0).number(self.written.0).number(self.lasts_s);
        out.raw(&self.epoch.0).raw(&self.sealed);
        out
    }

    fn signed_bytes(&self, id: &CompartmentId) -> Vec<u8> {
        [&id.0[..], &self.body()].concat()
    }

    fn encode(&self) -> Vec<u8> {
        [&self.body()[..], &self.signature].concat()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let device = DeviceId(reader.array("device")?);
        let written = WallTime(reader.number("written")?);
        let at = reader.at();
        let lasts_s = reader.number("lasts")?;
        if lasts_s > LASTS_S_MAX {
            return reader.invalid(at, "lasts");
        }
        let epoch = EpochId(reader.array("epoch")?);
        let sealed = reader.take(POSITION_BYTES + TAG_BYTES, "position")?.to_vec();
        let signature = reader.array("signature")?;
        reader.finish()?;
        Ok(Self { device, written, lasts_s, epoch, sealed, signature })
    }

    fn holds(&self, id: &CompartmentId) -> bool {
        verify(&self.device.0, Domain::Presence, &self.signed_bytes(id), &self.signature)
    }
}

impl Position {
    fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(POSITION_BYTES);
        out.extend(self.latitude_e7.to_be_bytes());
        out.extend(self.longitude_e7.to_be_bytes());
        out.extend(self.accuracy_m.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let latitude_e7 = i32::from_be_bytes(reader.array("latitude")?);
        let longitude_e7 = i32::from_be_bytes(reader.array("longitude")?);
        let accuracy_m = u16::from_be_bytes(reader.array("accuracy")?);
        reader.finish()?;
        Ok(Self { latitude_e7, longitude_e7, accuracy_m })
    }

    /// Whether there is such a place.
    const fn is_there(&self) -> bool {
        self.latitude_e7.unsigned_abs() <= 900_000_000
            && self.longitude_e7.unsigned_abs() <= 1_800_000_000
    }
}

impl<S: Store> Replica<S> {
    /// Says in a compartment that this device is there, for so long; for no time takes back what it said.
    pub fn be_at(
        &mut self,
        now: Now,
        id: CompartmentId,
        position: Position,
        lasts_s: u64,
    ) -> Result<(), ActError> {
        self.conclude(now)?;
        self.clock = self.clock.max(now.mono);
        self.compartment(id).ok_or(ActError::NoCompartment)?;
        if !self.may_write(id, Class::Routine) {
            return Err(ActError::Denied { needed: Right::Write });
        }
        self.wall = now.wall;
        let epoch = self.epoch_to_write(now, id)?;
        self.say_at(id, epoch, position, lasts_s.min(LASTS_S_MAX))?;
        self.tend_presences();
        self.settle_outputs()?;
        Ok(())
    }

    /// Writes a card that is later than all that this device said there, as far as it knows and others take
    /// it.
    fn say_at(
        &mut self,
        id: CompartmentId,
        epoch: EpochId,
        position: Position,
        lasts_s: u64,
    ) -> Result<(), ActError> {
        let device = self.device();
        let held = self.presences.held.get(&(id, device)).map(|held| held.card.written);
        let last = held.max(self.presences.own_last.get(&id).copied());
        let ahead = last.is_some_and(|last| self.is_ahead(last));
        if ahead {
            // Nobody took that, and what is said now is news to all.
            self.presences.told.retain(|(_, area, of), _| (*area, *of) != (id, device));
        }
        let last = last.filter(|_| !ahead);
        let after = last.map_or(0, |last| last.0.saturating_add(1));
        let written = WallTime(self.wall.0.max(after));
        let key = self.epoch_keys.get(&epoch).and_then(|keys| keys.presence_key(&device));
        let key = key.ok_or(ActError::NoKeys)?;
        let sealed = seal(&key, &nonce(written), &[], &position.encode());
        let mut card = Card { device, written, lasts_s, epoch, sealed, signature: [0; 64] };
        card.signature = self.keys.signer().sign(Domain::Presence, &card.signed_bytes(&id));
        self.keep_presence(id, card, lasts_s.saturating_mul(1_000));
        Ok(())
    }

    /// Whether a time is further in the future than clocks differ.
    const fn is_ahead(&self, written: WallTime) -> bool {
        written.0 > self.wall.0.saturating_add(TAKEN_BACK_MS)
    }

    /// A peer holds a later word of this device than it has just heard: what is so now is said again, after
    /// that.
    fn on_own_presence(&mut self, link: Link, id: CompartmentId, written: WallTime) {
        let device = self.device();
        let held = self.presences.held.get(&(id, device)).cloned();
        let known = held.as_ref().map(|held| held.card.written);
        if written <= known.max(self.presences.own_last.get(&id).copied()).unwrap_or_default() {
            return;
        }
        self.presences.own_last.insert(id, written);
        let Some(Held { card, until, .. }) = held.filter(|held| held.until > self.clock) else {
            return;
        };
        let key = self.epoch_keys.get(&card.epoch).and_then(|keys| keys.presence_key(&device));
        let plain = key.and_then(|key| open(&key, &nonce(card.written), &[], &card.sealed).ok());
        let position = plain.and_then(|plain| Position::decode(&plain).ok());
        let left_s = until.0.saturating_sub(self.clock.0).div_ceil(1_000);
        let lasts_s = if card.lasts_s == 0 { 0 } else { left_s.min(LASTS_S_MAX) };
        // What cannot be said now is said later when it is said anew.
        if position.is_some_and(|at| self.say_at(id, card.epoch, at, lasts_s).is_ok()) {
            self.presences.told.remove(&(link, id, device));
        }
    }

    /// Where the devices of a compartment are that this one may read and can open.
    #[must_use]
    pub fn presences(&self) -> Vec<Presence> {
        let shown = |(key, held): (&(CompartmentId, DeviceId), &Held)| {
            let (id, device) = *key;
            let card = &held.card;
            let may = self.own_right(id) >= Some(Right::Read)
                && self.right(id, &device) >= Some(Right::Write);
            if !may || card.lasts_s == 0 || held.until <= self.clock {
                return None;
            }
            let key = self.epoch_keys.get(&card.epoch)?.presence_key(&device)?;
            let plain = open(&key, &nonce(card.written), &[], &card.sealed).ok()?;
            let position = Position::decode(&plain).ok().filter(Position::is_there)?;
            let lasts_ms = card.lasts_s * 1_000;
            Some(Presence { compartment: id, device, position, written: card.written, lasts_ms })
        };
        self.presences.held.iter().filter_map(shown).collect()
    }

    /// Keeps a card that holds for so long from now.
    fn keep_presence(&mut self, id: CompartmentId, card: Card, lasts_ms: u64) {
        // What takes back stays until what it takes back would have come no more.
        let kept_ms = if card.lasts_s == 0 { TAKEN_BACK_MS } else { lasts_ms };
        let held = Held { kept_at: self.clock, until: self.clock.plus_ms(kept_ms), card };
        self.presences.held.insert((id, held.card.device), held);
        self.presences.next = Some(self.clock);
    }

    /// When presence is looked at next.
    pub(super) fn next_presence(&self) -> Option<MonoTime> {
        self.presences.next.filter(|_| !self.presences.held.is_empty())
    }

    /// Forgets what is over, and says on what peers have not heard.
    pub(super) fn tend_presences(&mut self) {
        let now = self.clock;
        if self.presences.next.is_none_or(|next| now < next) {
            return;
        }
        self.presences.held.retain(|_, held| held.until > now);
        let Presences { held, told, .. } = &mut self.presences;
        let sessions = &self.sessions;
        told.retain(|(link, id, device), _| {
            sessions.contains_key(link) && held.contains_key(&(*id, *device))
        });
        self.presences.next = (!self.presences.held.is_empty()).then(|| now.plus_ms(LOOK_EVERY_MS));
        let mut news: BTreeMap<(Link, CompartmentId), Vec<Vec<u8>>> = BTreeMap::new();
        for (link, session) in self.sessions.iter() {
            if session.phase != Phase::Live {
                continue;
            }
            for ((id, device), held) in &self.presences.held {
                let told = self.presences.told.get(&(*link, *id, *device));
                let every_ms = if session.thin { THIN_EVERY_MS } else { SAID_EVERY_MS };
                let is_news = told.is_none_or(|(written, at)| {
                    *written < held.card.written && at.plus_ms(every_ms) <= now
                });
                if is_news
                    && session.shared.contains(id)
                    && *device != session.device
                    && self.right(*id, &session.device).is_some()
                    && self.right(*id, device) >= Some(Right::Write)
                {
                    news.entry((*link, *id)).or_default().push(held.card.encode());
                    self.presences.told.insert((*link, *id, *device), (held.card.written, now));
                }
            }
        }
        for ((link, id), cards) in news {
            let area = self.tag_of(link, &id);
            for part in cards.chunks(CARDS_MAX) {
                self.say(link, Frame::Presence { area, cards: part.to_vec() });
            }
        }
    }

    pub(super) fn on_presence(&mut self, link: Link, tag: Tag, cards: &[Vec<u8>]) -> Outcome {
        let Some(id) = self.area_of(link, tag).filter(|id| self.may_bring(link, *id)) else {
            return Ok(self.charge(link, cards.len().max(1)));
        };
        let now = self.clock;
        for bytes in cards {
            let card = match Card::decode(bytes) {
                Ok(card) => card,
                Err(error) => return Ok(Err(PeerFault::Malformed(error))),
            };
            if card.device == self.device() {
                if !card.holds(&id) {
                    return Ok(Err(PeerFault::Presence));
                }
                if !self.is_ahead(card.written) {
                    self.on_own_presence(link, id, card.written);
                }
                if let Err(fault) = self.charge(link, 1) {
                    return Ok(Err(fault));
                }
                continue;
            }
            let key = (id, card.device);
            // One that came while the clock here was ahead itself gives way.
            let held =
                self.presences.held.get(&key).filter(|held| !self.is_ahead(held.card.written));
            let is_news = held.is_none_or(|held| {
                held.card.written < card.written && held.kept_at.plus_ms(TAKEN_EVERY_MS) <= now
            });
            // Who says less than it said once, has forgotten that.
            let later = held.filter(|held| held.card.written > card.written);
            let later = later.map(|held| held.card.encode());
            let has_room =
                self.presences.held.contains_key(&key) || self.presences.held.len() < HELD_MAX;
            let age_ms = self.wall.0.saturating_sub(card.written.0);
            let lasts_ms = card.lasts_s * 1_000;
            let is_over = age_ms > lasts_ms.max(TAKEN_BACK_MS);
            let may = self.right(id, &card.device) >= Some(Right::Write);
            if !is_news || !has_room || is_over || !may || self.is_ahead(card.written) {
                let is_its_own = self.sessions.get(&link).is_some_and(|s| s.device == card.device);
                if let Some(later) = later.filter(|_| is_its_own) {
                    self.say(link, Frame::Presence { area: tag, cards: vec![later] });
                }
                if let Err(fault) = self.charge(link, 1) {
                    return Ok(Err(fault));
                }
                continue;
            }
            if !card.holds(&id) {
                return Ok(Err(PeerFault::Presence));
            }
            self.presences.told.insert((link, id, card.device), (card.written, now));
            self.keep_presence(id, card, lasts_ms.saturating_sub(age_ms));
        }
        self.tend_presences();
        Ok(Ok(()))
    }
}

/// One nonce for each card of a device in an epoch: times of a device rise.
fn nonce(written: WallTime) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce.iter_mut().zip(written.0.to_be_bytes()).for_each(|(to, from)| *to = from);
    nonce
}

/// Bytes of a position.
const POSITION_BYTES: usize = 10;
/// Longest time that a position holds, in s.
pub const LASTS_S_MAX: u64 = 24 * 3_600;
/// Most cards in one frame, and the longest.
pub(crate) const CARDS_MAX: usize = 64;
pub(crate) const CARD_BYTES_MAX: usize = 32 + 10 + 3 + 32 + POSITION_BYTES + TAG_BYTES + 64;
/// Most positions that are held.
const HELD_MAX: usize = 4_096;
/// Of a device so often one is taken, in ms.
const TAKEN_EVERY_MS: u64 = 5_000;
/// Of a device so often one is said over a link, in ms: no sooner than it is taken there.
const SAID_EVERY_MS: u64 = 6_000;
/// The same over a thin link.
const THIN_EVERY_MS: u64 = 300_000;
/// So often it is looked at who has not heard, in ms.
const LOOK_EVERY_MS: u64 = 1_000;
/// So long it is remembered that a position was taken back, in ms; clocks may differ by as much.
const TAKEN_BACK_MS: u64 = 600_000;
