//! A view: the devices of a compartment that a peer knows, by agency, at most so many in all.
//!
//! Of one agency there are at most its *share*, so that who holds an agency's desk, and with it as many
//! devices as it likes, does not fill a view. A share is a fixed part of the view, or an equal part
//! where the compartment is for so few agencies that a fixed part would leave places empty.

use std::collections::BTreeMap;

use tearline_crdt::entropy::Entropy;
use tearline_crdt::id::{AgencyNo, DeviceId};

use super::below;

/// Devices and their agencies.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    members: BTreeMap<DeviceId, AgencyNo>,
}

/// How many places a view has, and how many of them are for one agency.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// In all.
    pub(super) size: usize,
    /// Of one agency, if there are enough agencies.
    pub(super) share: usize,
}

impl Places {
    /// The share where the compartment is for so many agencies.
    pub(super) fn share_among(self, agencies: usize) -> usize {
        self.share.max(self.size.div_ceil(agencies.max(1)))
    }
}

impl View {
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn contains(&self, device: &DeviceId) -> bool {
        self.members.contains_key(device)
    }

    pub(super) fn devices(&self) -> impl Iterator<Item = DeviceId> {
        self.members.keys().copied()
    }

    pub(super) fn insert(&mut self, device: DeviceId, agency: AgencyNo) {
        self.members.insert(device, agency);
    }

    pub(super) fn remove(&mut self, device: &DeviceId) -> Option<AgencyNo> {
        self.members.remove(device)
    }

    /// How many devices of an agency there are.
    pub(super) fn count(&self, agency: AgencyNo) -> usize {
        self.members.values().filter(|of| **of == agency).count()
    }

    /// Whether some agency has more than its share.
    pub(super) fn is_crowded(&self, share: usize) -> bool {
        self.members.values().any(|agency| self.count(*agency) > share)
    }

    /// Any of the members that pass.
    pub(super) fn pick(
        &self,
        entropy: &mut dyn Entropy,
        passes: impl Fn(&DeviceId, AgencyNo) -> bool,
    ) -> Option<DeviceId> {
        let of = || self.members.iter().filter(|(device, agency)| passes(device, **agency));
        let chosen = below(entropy, of().count() as u64);
        of().nth(usize::try_from(chosen).ok()?).map(|(device, _)| *device)
    }

    /// Up to `most` members, ascending.
    pub(super) fn sample(&self, entropy: &mut dyn Entropy, most: usize) -> Vec<DeviceId> {
        let mut sample: Vec<DeviceId> = self.devices().collect();
        while sample.len() > most {
            let out = below(entropy, sample.len() as u64);
            sample.remove(usize::try_from(out).unwrap_or(0));
        }
        sample
    }

    /// Who gives way to a newcomer of this agency in a full view: one of the same agency if that has its
    /// share, else one of an agency that has more than its share, else anybody.
    pub(super) fn gives_way(
        &self,
        entropy: &mut dyn Entropy,
        agency: AgencyNo,
        share: usize,
    ) -> Option<DeviceId> {
        if self.count(agency) >= share {
            return self.pick(entropy, |_, of| of == agency);
        }
        let crowded = self.pick(entropy, |_, of| self.count(of) > share);
        crowded.or_else(|| self.pick(entropy, |_, _| true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tearline_crdt::entropy::SeededEntropy;

    const PLACES: Places = Places { size: 7, share: 2 };

    fn view(agencies: &[u16]) -> View {
        let mut view = View::default();
        for (n, agency) in agencies.iter().enumerate() {
            view.insert(DeviceId([n as u8; 32]), AgencyNo(*agency));
        }
        view
    }

    #[test]
    fn a_share_is_a_part_of_the_view_unless_places_would_stay_empty() {
        let shares = [0, 1, 2, 3, 4, 5, 256].map(|agencies| PLACES.share_among(agencies));
        assert_eq!(shares, [7, 7, 4, 3, 2, 2, 2]);
    }

    #[test]
    fn who_gives_way_is_of_the_agency_that_has_too_much() {
        let mut entropy = SeededEntropy::new(1);
        for _ in 0..50 {
            let mut victim = |agencies: &[u16], newcomer| {
                let view = view(agencies);
                let device = view.gives_way(&mut entropy, AgencyNo(newcomer), 2).unwrap();
                agencies[usize::from(device.0[0])]
            };
            assert_eq!(victim(&[1, 1, 2, 3, 4, 5, 6], 1), 1, "it has its share already");
            assert_eq!(victim(&[1, 1, 1, 3, 4, 5, 6], 2), 1, "another has more than its share");
            assert_eq!(victim(&[1, 1, 1, 2, 2, 2, 2], 2), 2, "its own comes first");
        }
    }

    #[test]
    fn a_sample_is_part_of_the_view_and_ascends() {
        let view = view(&[1; 20]);
        let sample = view.sample(&mut SeededEntropy::new(1), 8);
        assert_eq!(sample.len(), 8);
        assert!(sample.is_sorted() && sample.iter().all(|device| view.contains(device)));
        assert_eq!(view.sample(&mut SeededEntropy::new(1), 30).len(), 20);
    }
}
