//! What a mesh goes through, for tests and the bench: nothing, lost messages, peers that die, a
//! partition that heals.

use std::ops::Range;

use crate::measure::{MEASURED, WARM_UP};
use crate::network::Network;

/// What happens to a mesh that has taken shape.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ordeal {
    /// Nothing.
    Calm,
    /// Of a thousand messages so many are lost.
    Loss(u64),
    /// So many in a hundred are killed at once.
    Killed(usize),
    /// So many in a hundred are cut off from the others, and come back while it is measured.
    Parted(usize),
}

impl Ordeal {
    /// Lets it happen; what was broadcast meanwhile.
    pub(crate) fn pass(self, network: &mut Network) -> Range<usize> {
        network.broadcasts(WARM_UP);
        let count = network.peers.len();
        match self {
            Self::Calm => {}
            Self::Loss(per_mille) => network.loss_per_mille = per_mille,
            Self::Killed(percent) => {
                let living: Vec<usize> = (0..count).collect();
                for at in living.into_iter().filter(|at| at % 100 < percent) {
                    network.kill(at);
                }
            }
            Self::Parted(percent) => network.cut(count * percent / 100),
        }
        let broadcast = network.broadcasts(MEASURED);
        if let Self::Parted(_) = self {
            network.heal();
            // Until the roll has brought a few links between the two.
            network.run_for(600_000);
        }
        network.run_for(30_000);
        if let Self::Loss(_) = self {
            // Whoever lost something finds it when links are made anew.
            network.loss_per_mille = 0;
            network.compare_all();
            network.run_for(30_000);
        }
        broadcast
    }
}
