//! What happens next: one heap of moments.
//!
//! Whoever has something to do (a peer, a link, the script of writes and faults) stands in the heap with
//! its next moment. Of two equal moments the one that was put in first comes first, so that the order of a
//! run hangs on nothing but the run. An entry whose owner has meanwhile found something earlier to do is
//! stale; its owner sees that by the moment and lets it pass.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Nanoseconds since the run began.
pub type Nanos = u64;

/// Later than everything.
pub const NEVER: Nanos = u64::MAX;

/// Who has something to do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Who {
    /// A peer: time passes, a flush is done, it starts again.
    Peer(u32),
    /// A link: a contact begins or ends, a frame is through, a frame arrives.
    Line(u32),
    /// The script: a write or a fault.
    Script,
    /// The oracles look.
    Oracles,
}

/// The heap.
#[derive(Debug, Default)]
pub struct Agenda {
    heap: BinaryHeap<Reverse<(Nanos, u64, Who)>>,
    order: u64,
}

impl Agenda {
    /// Puts somebody in.
    pub fn put(&mut self, at: Nanos, who: Who) {
        if at == NEVER {
            return;
        }
        self.order += 1;
        self.heap.push(Reverse((at, self.order, who)));
    }

    /// Puts an owner in who stands there with `due` already, unless that is as early.
    pub fn put_earlier(&mut self, due: &mut Nanos, at: Nanos, who: Who) {
        if at < *due {
            *due = at;
            self.put(at, who);
        }
    }

    /// Who is next, if before `until`.
    pub fn pop(&mut self, until: Nanos) -> Option<(Nanos, Who)> {
        let Reverse((at, _, _)) = self.heap.peek()?;
        if *at >= until {
            return None;
        }
        self.heap.pop().map(|Reverse((at, _, who))| (at, who))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_moments_come_in_the_order_in_which_they_were_put() {
        let mut agenda = Agenda::default();
        let all = [Who::Peer(3), Who::Script, Who::Line(1), Who::Peer(1)];
        all.iter().for_each(|who| agenda.put(5, *who));
        agenda.put(4, Who::Oracles);
        agenda.put(NEVER, Who::Oracles);
        let order: Vec<Who> = std::iter::from_fn(|| agenda.pop(6)).map(|(_, who)| who).collect();
        assert_eq!(order, [&[Who::Oracles], &all[..]].concat());
        agenda.put(6, Who::Script);
        assert_eq!(agenda.pop(6), None, "the end does not belong to the run");
    }

    #[test]
    fn an_owner_is_put_in_again_only_for_something_earlier() {
        let (mut agenda, mut due) = (Agenda::default(), NEVER);
        for at in [9, 10, 7] {
            agenda.put_earlier(&mut due, at, Who::Script);
        }
        assert_eq!(due, 7);
        assert_eq!(agenda.pop(100), Some((7, Who::Script)));
        assert_eq!(agenda.pop(100), Some((9, Who::Script)));
        assert_eq!(agenda.pop(100), None);
    }
}
