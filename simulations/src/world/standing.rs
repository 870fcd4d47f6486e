//! Standings that end: a desk hears that a device of its agency is in other hands.

use tearline_crdt::id::CompartmentId;
use tearline_mesh::replica::{ActError, KeepBy};

use super::script::Scripted;
use super::{RunError, World, moment};
use crate::agenda::Nanos;
use crate::plan::FaultKind;
use crate::quantity::MINUTE;

impl World {
    /// The desk ends a device's standing, and keeps what it wrote before a moment. Where the desk cannot,
    /// it tries again.
    pub(super) fn end_standing(
        &mut self,
        fault: u32,
        post: u32,
        since: Nanos,
    ) -> Result<(), RunError> {
        let agency = self.plan.posts.get(post as usize).map(|post| post.agency);
        let desk = agency.and_then(|agency| self.plan.desk(agency)).filter(|desk| *desk != post);
        let Some(desk) = desk else { return Ok(()) };
        let (device, clock) = (self.peers[post as usize].device, self.peers[post as usize].clock);
        let peer = &mut self.peers[desk as usize];
        let now = moment(self.now, peer.clock);
        let Some(replica) = peer.replica.as_mut() else {
            self.hear_later(fault);
            return Ok(());
        };
        let since_by_it = (moment(since, clock).wall, KeepBy::OwnDates);
        let done = replica.lost(now, self.coalition, device, since_by_it);
        match done {
            Ok(_) => {
                self.trace.note(self.now, b'L', post, &desk.to_be_bytes());
                self.ended_standings.insert(post);
                let steady = |kind| kind != FaultKind::ClockJump && kind != FaultKind::RolledBack;
                let mut hits = self.plan.faults.iter().filter(|fault| fault.posts.contains(&post));
                // By a clock that jumped nobody knows what was written before.
                let since = if hits.all(|fault| steady(fault.kind)) { since } else { 0 };
                self.books.not_owed(post, since, Some(desk));
            }
            Err(ActError::Store(error)) => return self.fall(desk, error),
            // It lost its disk, and does not know the coalition yet.
            Err(_) => self.hear_later(fault),
        }
        self.drain(desk)
    }

    fn hear_later(&mut self, fault: u32) {
        let at = self.now + MINUTE;
        if at >= self.plan.horizon() {
            return;
        }
        let place = self.script.partition_point(|(other, _)| *other <= at);
        self.script.insert(place, (at, Scripted::Over(fault)));
    }

    /// Posts of a compartment whose standing has ended as far as a writer knows.
    pub(super) fn closed_to(&self, writer: u32, id: CompartmentId) -> Vec<u32> {
        let replica = self.peers.get(writer as usize).and_then(|peer| peer.replica.as_ref());
        let Some(compartment) = replica.and_then(|replica| replica.compartment(id)) else {
            return Vec::new();
        };
        let device = |post: &u32| self.peers.get(*post as usize).map(|peer| peer.device);
        let ended = |post: &u32| device(post).is_some_and(|d| compartment.live(&d).is_none());
        self.ended_standings.iter().copied().filter(ended).collect()
    }
}
