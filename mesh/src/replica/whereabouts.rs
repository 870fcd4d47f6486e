//! Whereabouts: at which addresses members can be reached, as each of them says and signs itself.
//!
//! Of each device with a standing the latest is kept, and passed on among members; no verdict hangs on
//! it, and it stands in no log. Two peers whose link comes up tell each other what they hold by a digest,
//! with their own beside it; where these differ, each says all, once in a session. Where nothing has
//! changed since they last agreed, neither says anything. On thin links nothing is said at all.
//!
//! A device may sign as often as it likes. So of each one card a minute is kept and said on; what comes
//! sooner waits, the latest of it, and has its price for who brings it. What a frame brought is said on in
//! one frame. A device that hears a later card of its own than it knows of (it was restored) counts on from
//! there.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::hash::Domain;
use tearline_crdt::id::DeviceId;
use tearline_crdt::keys::{DeviceKeys, Signature, verify};
use tearline_crdt::store::{Batch, Space, Store, StoreError, damaged};
use tearline_crdt::time::{MonoTime, Now, WallTime};

use super::session::Phase;
use super::{Event, Link, Output, Replica};
use crate::fault::PeerFault;
use crate::wire::Frame;

/// Most addresses that a device says of itself.
const ADDRESSES_MAX: usize = 8;
/// Longest address, in bytes.
const ADDRESS_BYTES_MAX: usize = 256;
/// Most whereabouts in one frame: with all their addresses it stays below the largest frame.
pub(crate) const CARDS_MAX: usize = 128;
/// Longest whereabouts, encoded.
pub(crate) const CARD_BYTES_MAX: usize = 32 + 10 + 2 + ADDRESSES_MAX * (ADDRESS_BYTES_MAX + 2) + 64;
const _: () = assert!(CARDS_MAX * (CARD_BYTES_MAX + 3) < crate::wire::FRAME_BYTES_MAX);

/// What a peer holds of all whereabouts, briefly.
pub(crate) type Known = [u8; 8];

/// Where a device can be reached, as it signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Whereabouts {
    /// The device.
    pub device: DeviceId,
    /// When it wrote this, by its clock: of two the later counts.
    pub written: WallTime,
    /// The addresses, as text; none takes back what it said.
    pub addresses: Vec<String>,
    signature: Signature,
}

impl Whereabouts {
    /// A device's own.
    fn sign(keys: &DeviceKeys, written: WallTime, addresses: Vec<String>) -> Self {
        let mut card = Self { device: keys.id(), written, addresses, signature: [0; 64] };
        card.signature = keys.signer().sign(Domain::Whereabouts, &card.signed_bytes());
        card
    }

    /// Whether its device signed it.
    fn holds(&self) -> bool {
        verify(&self.device.0, Domain::Whereabouts, &self.signed_bytes(), &self.signature)
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.raw(&self.device.0).number(self.written.0).number(self.addresses.len() as u64);
        self.addresses.iter().for_each(|address| {
            out.bytes(address.as_bytes());
        });
        out
    }

    /// `device (32) || written, ms (number) || count, addresses (bytes each) || signature (64)`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.signed_bytes();
        out.raw(&self.signature);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let device = DeviceId(reader.array("device")?);
        let written = WallTime(reader.number("written")?);
        let count = reader.count(ADDRESSES_MAX, "addresses")?;
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            let at = reader.at();
            let text = std::str::from_utf8(reader.bytes(ADDRESS_BYTES_MAX, "address")?);
            addresses.push(text.map_err(|_| DecodeError::Invalid { at, what: "address" })?.into());
        }
        let signature = reader.array("signature")?;
        reader.finish()?;
        Ok(Self { device, written, addresses, signature })
    }
}

/// What is held of whereabouts.
#[derive(Debug, Default)]
pub(super) struct Directory {
    cards: BTreeMap<DeviceId, Whereabouts>,
    /// When a card of each device was kept last, within the last minute.
    kept_at: BTreeMap<DeviceId, MonoTime>,
    /// The latest that came sooner than it may.
    later: BTreeMap<DeviceId, Whereabouts>,
    /// Devices whose cards are to be said on, and the links over which these came.
    fresh: BTreeMap<DeviceId, BTreeSet<Link>>,
    /// Where this device can be reached, as its driver said last.
    wanted: Option<Vec<String>>,
    /// When that is to be signed.
    sign_at: Option<MonoTime>,
    /// What came of devices whose standing is not known here yet: their admission follows.
    early: BTreeMap<DeviceId, Whereabouts>,
    /// The links over which all was said.
    told: BTreeSet<Link>,
    /// What was last said over a link that is held here.
    said: BTreeMap<Link, Known>,
    /// What was held when a device held the same.
    agreed: BTreeMap<DeviceId, Known>,
}

impl<S: Store> Replica<S> {
    fn known_whereabouts(&self) -> Known {
        let mut parts = Vec::new();
        for card in self.whereabouts() {
            parts.extend(card.device.0);
            parts.extend(card.written.0.to_be_bytes());
        }
        let hash = Domain::KnownWhereabouts.hash(&[&parts]);
        let mut known = Known::default();
        known.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        known
    }

    pub(super) fn load_whereabouts(&mut self) -> Result<(), StoreError> {
        let mut bad = None;
        let cards = &mut self.directory.cards;
        self.store.scan(Space::Meta, PREFIX, &[], &mut |key, value| {
            match Whereabouts::decode(value) {
                Ok(card) => drop(cards.insert(card.device, card)),
                Err(_) => bad = Some(damaged(Space::Meta, key)),
            }
            std::ops::ControlFlow::Continue(())
        })?;
        bad.map_or(Ok(()), Err)
    }

    /// Where devices with a standing can be reached, as they say; this one's own among them.
    pub fn whereabouts(&self) -> impl Iterator<Item = &Whereabouts> {
        self.directory.cards.values().filter(|card| self.has_standing(&card.device))
    }

    /// From now on says that this device can be reached at these addresses: so many of them as may be
    /// said, and none that is too long. Nothing is said anew that was said already, and what changes within
    /// a few seconds is said once.
    pub fn announce(&mut self, now: Now, addresses: &[String]) -> Result<(), StoreError> {
        self.clock = self.clock.max(now.mono);
        let fits = addresses.iter().filter(|address| address.len() <= ADDRESS_BYTES_MAX);
        self.directory.wanted = Some(fits.take(ADDRESSES_MAX).cloned().collect());
        self.plan_to_sign();
        self.settle_outputs()
    }

    /// Sees to it that what this device says of itself is so.
    fn plan_to_sign(&mut self) {
        let own = self.directory.cards.get(&self.device()).map(|own| &own.addresses);
        let Some(wanted) = &self.directory.wanted else { return };
        if own.unwrap_or(&Vec::new()) == wanted {
            self.directory.sign_at = None;
            return;
        }
        let soon = self.clock.plus_ms(GATHERED_MS);
        let kept = self.directory.kept_at.get(&self.device());
        let at = kept.map_or(soon, |kept| soon.max(kept.plus_ms(CARD_EVERY_MS)));
        self.directory.sign_at.get_or_insert(at);
    }

    /// When something of whereabouts is due.
    pub(super) fn next_card(&self) -> Option<MonoTime> {
        let Directory { later, kept_at, sign_at, .. } = &self.directory;
        let due = |device| kept_at.get(device).map_or(self.clock, |at| at.plus_ms(CARD_EVERY_MS));
        later.keys().map(due).chain(*sign_at).min()
    }

    /// Keeps what is due, and says on what is new.
    pub(super) fn tend_whereabouts(&mut self) -> Result<(), StoreError> {
        let now = self.clock;
        let is_over = |kept: MonoTime| kept.plus_ms(CARD_EVERY_MS) <= now;
        self.directory.kept_at.retain(|_, kept| !is_over(*kept));
        let mut cards = Vec::new();
        if self.directory.sign_at.is_some_and(|at| at <= now) {
            self.directory.sign_at = None;
            let own = self.directory.cards.get(&self.device());
            let after = own.map_or(0, |own| own.written.0.saturating_add(1));
            let written = WallTime(self.wall.0.max(after));
            let wanted = self.directory.wanted.clone().unwrap_or_default();
            cards.push(Whereabouts::sign(&self.keys, written, wanted));
        }
        let Directory { later, kept_at, .. } = &mut self.directory;
        let due = later.extract_if(.., |device, _| !kept_at.contains_key(device));
        cards.extend(due.map(|(_, card)| card));
        if !cards.is_empty() {
            self.keep_whereabouts(cards, None)?;
            self.plan_to_sign();
        }
        self.say_on();
        Ok(())
    }

    /// Keeps what is news.
    fn keep_whereabouts(
        &mut self,
        cards: Vec<Whereabouts>,
        source: Option<Link>,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for card in cards {
            let device = card.device;
            batch.put(Space::Meta, [PREFIX, &device.0].concat(), card.encode());
            self.directory.cards.insert(device, card);
            self.directory.kept_at.insert(device, self.clock);
            self.directory.fresh.entry(device).or_default().extend(source);
            if device != self.device() {
                self.outputs.push_back(Output::Event(Event::Whereabouts(device)));
            }
        }
        self.apply(batch)
    }

    /// Says on what is new, in as few frames as hold it, but to nobody what came from there.
    fn say_on(&mut self) {
        let fresh = std::mem::take(&mut self.directory.fresh);
        if fresh.is_empty() {
            return;
        }
        let known = self.known_whereabouts();
        for link in self.hearers() {
            let news = fresh.iter().filter(|(_, sources)| !sources.contains(&link));
            let cards: Vec<Vec<u8>> = news
                .filter_map(|(device, _)| self.directory.cards.get(device))
                .map(Whereabouts::encode)
                .collect();
            for part in cards.chunks(CARDS_MAX) {
                self.say_whereabouts(link, known, part.to_vec());
            }
        }
    }

    /// The links over which whereabouts are said.
    fn hearers(&self) -> Vec<Link> {
        let hears = |session: &super::session::Session| {
            session.phase == Phase::Live && !session.thin && self.has_standing(&session.device)
        };
        self.sessions.iter().filter(|(_, s)| hears(s)).map(|(link, _)| *link).collect()
    }

    /// Begins to compare what is held, unless both held the same when that was last said.
    pub(super) fn compare_whereabouts(&mut self, link: Link) {
        if self.directory.cards.is_empty() || !self.hearers().contains(&link) {
            return;
        }
        let Some(device) = self.sessions.get(&link).map(|session| session.device) else { return };
        let known = self.known_whereabouts();
        if self.directory.agreed.get(&device) == Some(&known) {
            return;
        }
        let own = self.directory.cards.get(&self.device()).map(Whereabouts::encode);
        self.say_whereabouts(link, known, own.into_iter().collect());
    }

    fn say_whereabouts(&mut self, link: Link, known: Known, cards: Vec<Vec<u8>>) {
        self.directory.said.insert(link, known);
        self.say(link, Frame::Whereabouts { known, cards });
    }

    pub(super) fn on_whereabouts(
        &mut self,
        link: Link,
        theirs: Known,
        cards: &[Vec<u8>],
    ) -> Result<Result<(), PeerFault>, StoreError> {
        if !self.hearers().contains(&link) {
            return Ok(self.charge(link, 1));
        }
        let mut news = Vec::new();
        for bytes in cards {
            let card = match Whereabouts::decode(bytes) {
                Ok(card) => card,
                Err(error) => return Ok(Err(PeerFault::Malformed(error))),
            };
            let Directory { cards, later, kept_at, .. } = &self.directory;
            let held = later.get(&card.device).or_else(|| cards.get(&card.device));
            if held.is_some_and(|held| held.written >= card.written) {
                if let Err(fault) = self.charge(link, 1) {
                    return Ok(Err(fault));
                }
                continue;
            }
            let is_early = kept_at.contains_key(&card.device);
            if !card.holds() {
                return Ok(Err(PeerFault::Whereabouts));
            }
            let has_standing = self.has_standing(&card.device);
            if (is_early || !has_standing)
                && let Err(fault) = self.charge(link, EARLY_COST)
            {
                return Ok(Err(fault));
            }
            if !has_standing {
                self.directory.early.insert(card.device, card);
                if self.directory.early.len() > EARLY_MAX {
                    self.directory.early.pop_first();
                }
            } else if is_early {
                self.directory.later.insert(card.device, card);
            } else {
                // One frame may hold two of a device.
                self.directory.kept_at.insert(card.device, self.clock);
                news.push(card);
            }
        }
        self.keep_whereabouts(news, Some(link))?;
        self.plan_to_sign();
        self.say_on();
        let known = self.known_whereabouts();
        let Some(device) = self.sessions.get(&link).map(|session| session.device) else {
            return Ok(Ok(()));
        };
        if known == theirs {
            self.directory.agreed.insert(device, known);
            if self.directory.said.get(&link) != Some(&known) {
                // It is to know that, too.
                self.say_whereabouts(link, known, Vec::new());
            }
        } else if self.directory.told.insert(link) {
            let all: Vec<Vec<u8>> = self.whereabouts().map(Whereabouts::encode).collect();
            for part in all.chunks(CARDS_MAX) {
                self.say_whereabouts(link, known, part.to_vec());
            }
        }
        Ok(Ok(()))
    }

    /// Keeps what came early of devices whose standing is known now.
    pub(super) fn keep_early_whereabouts(&mut self) -> Result<(), StoreError> {
        let early = std::mem::take(&mut self.directory.early);
        let mut news = Vec::new();
        for (device, card) in early {
            let held = self.directory.cards.get(&device);
            if !self.has_standing(&device) {
                self.directory.early.insert(device, card);
            } else if held.is_none_or(|held| held.written < card.written) {
                news.push(card);
            }
        }
        self.keep_whereabouts(news, None)?;
        self.say_on();
        Ok(())
    }

    /// A link is down.
    pub(super) fn forget_told(&mut self, link: Link) {
        self.directory.told.remove(&link);
        self.directory.said.remove(&link);
    }
}

/// Of each device so often a card is kept and said on, in ms.
const CARD_EVERY_MS: u64 = 60_000;
/// So long what this device says of itself may change before it is signed, in ms.
const GATHERED_MS: u64 = 1_000;
/// What a card costs who brings it sooner than its device may sign one, or of a stranger: a signature was
/// checked for it.
const EARLY_COST: usize = 64;
/// Most devices of which that is kept before their standing is known.
const EARLY_MAX: usize = 256;
/// Before a device's id, in [`Space::Meta`].
const PREFIX: &[u8] = b"whereabouts/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whereabouts_hold_only_as_their_device_signed_them() {
        let keys = DeviceKeys::from_seeds(&[1; 32], &[2; 32]);
        let addresses = vec!["/ip4/192.0.2.7/tcp/1".to_owned(), String::new()];
        let card = Whereabouts::sign(&keys, WallTime(300), addresses);
        let bytes = card.encode();
        let read = Whereabouts::decode(&bytes).unwrap();
        assert!(read == card && read.holds());
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(!Whereabouts::decode(&other).is_ok_and(|card| card.holds()), "byte {at}");
            assert!(Whereabouts::decode(&bytes[..at]).is_err());
        }
        let full = vec!["x".repeat(ADDRESS_BYTES_MAX); ADDRESSES_MAX];
        let full = Whereabouts::sign(&keys, WallTime(u64::MAX), full).encode();
        assert!(full.len() <= CARD_BYTES_MAX && Whereabouts::decode(&full).is_ok());
    }
}
