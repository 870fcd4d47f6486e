//! Endings: telling a device what ended its standing.
//!
//! Who has ended is named nothing and sent nothing. But an honest owner has to learn what happened to his
//! device from whomever it meets. So who names an area in which its standing has ended is told why: the
//! statements that ended it and those which show that their authors could, each alone, as a stray
//! ([`super::stray`]). Every member of the area heard these, and nothing else is told with them.

use tearline_crdt::id::{Class, CompartmentId, LogId};
use tearline_crdt::store::Store;

use super::area::Body;
use super::session::Phase;
use super::{Link, Replica};

impl<S: Store> Replica<S> {
    /// Tells a peer what ended its standing, in each area that it names, once in a session.
    pub(super) fn tell_endings(&mut self, link: Link) {
        let Some(session) = self.sessions.get(&link).filter(|s| s.phase == Phase::Live) else {
            return;
        };
        let device = session.device;
        let named = session.shared.difference(&session.ended_in);
        let ended = named.filter(|id| self.right(**id, &device).is_none());
        let ended: Vec<CompartmentId> = ended.filter(|id| self.is_durable(**id)).copied().collect();
        for id in ended {
            let told = match self.areas.get(&id).map(|area| &area.body) {
                Some(Body::Coalition(coalition)) => coalition.ending_of(&device),
                Some(Body::Compartment(compartment)) => compartment.ending_of(&device),
                None => continue,
            };
            if let Some(session) = self.sessions.get_mut(&link)
                && !told.is_empty()
            {
                session.ended_in.insert(id);
                session.endings.extend(told);
            }
        }
    }

    /// Whether all statements of an area that are here are durable.
    fn is_durable(&self, id: CompartmentId) -> bool {
        let pending = |log: &LogId| log.compartment == id && log.class == Class::Authority;
        !self.arrivals.iter().any(|(_, arrival)| pending(&arrival.log))
            && !self.strays.iter().any(|stray| stray.area == id)
    }
}
