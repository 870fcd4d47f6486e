//! Introductions: compartments that a peer may hold, and does not know of yet.

use tearline_crdt::authority::{Compartment, Seat};
use tearline_crdt::id::{AgencyNo, CompartmentId, DeviceId};
use tearline_crdt::statement::{Opening, Statement};
use tearline_crdt::store::{Store, StoreError};

use super::area::Body;
use super::session::Phase;
use super::{Link, Replica};
use crate::fault::PeerFault;
use crate::wire::Frame;

impl<S: Store> Replica<S> {
    /// Introduces the areas that the peer may hold and does not.
    pub(super) fn introduce_missing(&mut self, link: Link) {
        let Some(session) = self.sessions.get(&link) else { return };
        if session.phase != Phase::Live {
            return;
        }
        let device = session.device;
        let missing: Vec<CompartmentId> = self
            .areas
            .iter()
            .filter(|(id, area)| {
                matches!(&area.body, Body::Compartment(known) if self.is_told_of(known, &device))
                    && !session.shared.contains(*id)
                    && self.right(**id, &device).is_some()
            })
            .map(|(id, _)| *id)
            .collect();
        for id in missing {
            let Some(compartment) = self.compartment(id) else { continue };
            let opening = Statement::Open(compartment.opening().clone()).encode();
            self.say(link, Frame::Intro { opening });
            self.share(link, id);
        }
    }

    /// Whether a device takes the opening of a compartment: it is for its agency, or it is a relay.
    fn is_told_of(&self, compartment: &Compartment, device: &DeviceId) -> bool {
        let opening = compartment.opening();
        let Some(coalition) = self.coalition(opening.coalition) else { return false };
        let agency = coalition.live(device).map(|standing| standing.agency);
        let is_meant = opening.audience.iter().any(|(no, _)| Some(*no) == agency);
        is_meant || self.only_relays_in(opening.coalition, device)
    }

    /// A compartment that we may hold. What it claims is checked: its id is its hash, its opener
    /// signed it, its coalition is ours, opener and sender are of it, and both our agency and the
    /// sender's are in the audience.
    pub(super) fn on_intro(
        &mut self,
        link: Link,
        opening: &[u8],
    ) -> Result<Result<(), PeerFault>, StoreError> {
        if !self.may_ask(link, 1) {
            return Ok(Err(PeerFault::Endless));
        }
        let opening = match Statement::decode(opening) {
            Ok(Statement::Open(opening)) if opening.holds() => opening,
            Ok(_) => return Ok(Err(PeerFault::Introduction)),
            Err(error) => return Ok(Err(PeerFault::Malformed(error))),
        };
        self.take_intro(link, opening)
    }

    /// Judges again the introductions that came before we knew our own standing.
    pub(super) fn retry_intros(&mut self, link: Link) -> Result<(), StoreError> {
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        for opening in std::mem::take(&mut session.early_intros) {
            if let Err(fault) = self.take_intro(link, opening)? {
                self.blame(link, fault);
                return Ok(());
            }
        }
        Ok(())
    }

    fn take_intro(
        &mut self,
        link: Link,
        opening: Opening,
    ) -> Result<Result<(), PeerFault>, StoreError> {
        let id = opening.id();
        let Some(coalition) = self.coalition(opening.coalition) else { return Ok(Ok(())) };
        let live = |device: &DeviceId| coalition.live(device).map(|s| s.agency);
        let Some(device) = self.sessions.get(&link).map(|session| session.device) else {
            return Ok(Ok(()));
        };
        // A compartment outlives the standing of who opened it.
        let opened_by = |device: &DeviceId| coalition.devices().get(device).map(|s| s.agency);
        let standings = (live(&self.device()), live(&device), opened_by(&opening.opener));
        let (Some(own), Some(sender), Some(_)) = standings else {
            if let Some(session) = self.sessions.get_mut(&link)
                && session.early_intros.len() < EARLY_INTROS_MAX
            {
                session.early_intros.push(opening);
            }
            return Ok(Ok(()));
        };
        let meant = |no: AgencyNo| {
            let seat = coalition.seats().get(&no);
            let meant =
                |seat: &Seat| seat.roots.iter().any(|r| opening.audience.contains(&(no, *r)));
            seat.is_some_and(meant)
        };
        // A relay holds for others; that it may is said where only the audience's statements are.
        let relays = self.only_relays_in(opening.coalition, &self.device());
        if !(meant(own) || relays) || !meant(sender) {
            return Ok(Err(PeerFault::Introduction));
        }
        if !self.take_opening(opening)? {
            return Ok(Ok(()));
        }
        self.share(link, id);
        if self.right(id, &device).is_some() {
            // What we describe, usually nothing, tells the peer what to push.
            self.start_comparison(link, id);
        }
        Ok(Ok(()))
    }
}

/// Most introductions that wait in one session.
const EARLY_INTROS_MAX: usize = 256;
