//! Standings that end: a desk hears that a device of its agency is in other hands.

use tearline_crdt::id::{Class, CompartmentId};
use tearline_crdt::statement::Mark;
use tearline_mesh::replica::{ActError, KeepBy};

use super::script::Scripted;
use super::{RunError, World, moment};
use crate::agenda::Nanos;
use crate::plan::{Fault, FaultKind};
use crate::quantity::MINUTE;

/// How long after the end of a standing it is found to have been a mistake.
const CLEARED_AFTER: Nanos = 20 * MINUTE;

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
                let is_mistake = |fault: &Fault| fault.kind == FaultKind::Cleared;
                if self.plan.faults.get(fault as usize).is_some_and(is_mistake) {
                    self.later(Scripted::Adopt(fault), CLEARED_AFTER);
                }
            }
            Err(ActError::Store(error)) => return self.fall(desk, error),
            // It lost its disk, and does not know the coalition yet.
            Err(_) => self.hear_later(fault),
        }
        self.drain(desk)
    }

    fn hear_later(&mut self, fault: u32) {
        self.later(Scripted::Over(fault), MINUTE);
    }

    fn later(&mut self, what: Scripted, after: Nanos) {
        let at = self.now + after;
        if at >= self.plan.horizon() {
            return;
        }
        let place = self.script.partition_point(|(other, _)| *other <= at);
        self.script.insert(place, (at, what));
    }

    /// The desk lets count what it holds now of devices whose standing it ended by mistake. Their standing
    /// stays ended, and what they write from now on is quarantined.
    pub(super) fn adopt(&mut self, fault: u32) -> Result<(), RunError> {
        let Some(fault) = self.plan.faults.get(fault as usize).cloned() else { return Ok(()) };
        for post in fault.posts {
            let agency = self.plan.posts.get(post as usize).map(|post| post.agency);
            let Some(desk) = agency.and_then(|agency| self.plan.desk(agency)) else { continue };
            let device = self.peers[post as usize].device;
            let peer = &mut self.peers[desk as usize];
            let now = moment(self.now, peer.clock);
            let Some(replica) = peer.replica.as_mut() else { continue };
            for id in replica.areas().keys().copied().collect::<Vec<_>>() {
                let logs = replica.logbook().logs_of(id);
                let of_device = logs.filter(|(log, state)| {
                    log.device == device && log.class != Class::Authority && state.head.next > 0
                });
                let marks = of_device.map(|(log, state)| Mark {
                    log: log.digest(),
                    count: state.head.next,
                    head: state.head.id,
                });
                let marks: Vec<Mark> = marks.collect();
                if marks.is_empty() {
                    continue;
                }
                // A desk that lost its disk has nothing to say there yet.
                if let Err(ActError::Store(error)) = replica.adopt(now, id, marks) {
                    return self.fall(desk, error);
                }
            }
            self.trace.note(self.now, b'A', post, &desk.to_be_bytes());
            self.drain(desk)?;
        }
        Ok(())
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
