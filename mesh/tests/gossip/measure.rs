//! What broadcasts cost and how far they went.

use std::ops::Range;

use crate::network::Network;

/// Broadcasts before anything is measured: the tree takes shape.
pub(crate) const WARM_UP: usize = 60;
/// Broadcasts that are measured.
pub(crate) const MEASURED: usize = 30;
/// Bound of the copies of a broadcast for each peer that gets it, in hundredths.
pub(crate) const COPIES_PERCENT_MAX: usize = 150;
/// Bound of the hops to the peer that gets it last.
pub(crate) const LAST_HOP_MAX: u8 = 12;

/// Lets the tree take shape, then broadcasts; what was broadcast then.
pub(crate) fn settled(network: &mut Network) -> Range<usize> {
    network.broadcasts(WARM_UP);
    let measured = network.broadcasts(MEASURED);
    network.run_for(10_000);
    measured
}

/// Several broadcasts, together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Measured {
    /// Peers that got one, summed.
    pub(crate) deliveries: usize,
    /// Peers that did not, summed.
    pub(crate) missed: usize,
    /// How often one was sent.
    pub(crate) copies: usize,
    /// Most hops to a peer.
    pub(crate) last_hop: u8,
    /// Broadcasts of which the last peer is further than the bound.
    pub(crate) far: usize,
    /// Longest time to the last peer.
    pub(crate) last_ms: u64,
}

impl Measured {
    /// Sums up broadcasts that are over.
    pub(crate) fn of(network: &Network, broadcasts: Range<usize>) -> Self {
        broadcasts.fold(Self::default(), |sum, number| {
            let course = &network.courses[number];
            Self {
                deliveries: sum.deliveries + course.reached,
                missed: sum.missed + network.missed(number).len(),
                copies: sum.copies + course.copies,
                far: sum.far + usize::from(course.last_hop > LAST_HOP_MAX),
                last_hop: sum.last_hop.max(course.last_hop),
                last_ms: sum.last_ms.max(course.last_at - course.sent_at),
            }
        })
    }

    /// Copies for each delivery, in hundredths, rounded up.
    pub(crate) fn copies_percent(&self) -> usize {
        (self.copies * 100).div_ceil(self.deliveries.max(1))
    }

    /// Whether every peer was reached, within the bounds.
    pub(crate) fn is_within_bounds(&self) -> bool {
        self.missed == 0
            && self.copies_percent() <= COPIES_PERCENT_MAX
            && self.last_hop <= LAST_HOP_MAX
    }
}
