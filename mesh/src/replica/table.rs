//! The table of compartments: which of those that a peer may hold it follows.
//!
//! Whoever may write may open compartments, as many as he likes, and no peer follows them all. Which
//! ones it follows must not hang on which it heard of first: peers would differ, and who floods them
//! early would keep the others out. So all that are held stand in one order, and the first are
//! followed. Agencies take turns; within an agency those come first whose openers have a standing, and
//! of these each device's first by id, then each one's second, and so on. That is a function of what is
//! held alone. It gives that a device that opens too many pushes out its own; an agency that does pushes
//! out none of an agency that has opened fewer; and ending the standing of who floods puts what he
//! opened last.
//!
//! A compartment that is not followed is neither named to peers nor taken from them, and nothing is
//! written there. What is here of it stays: it is shown, and what statements ask for is carried out. It
//! is followed again when it comes forward in the order.
//!
//! What is held is bounded, too. Past that bound the last in the order leaves of which nothing but its
//! opening is here, so that who comes later still finds his place; an agency that holds few is always
//! let in. An opening that left is heard of again from peers that hold it. Only where an agency had
//! content in as many compartments as are held at all is it by order of arrival which of *its own* are
//! known here.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::bounds::AGENCIES_MAX;
use tearline_crdt::id::{AgencyNo, CoalitionId, CompartmentId, DeviceId};
use tearline_crdt::statement::Opening;
use tearline_crdt::store::{Batch, Store, StoreError};

use super::area::{Area, Body, compartment_body};
use super::author::ActError;
use super::{Link, Replica};
use crate::wire::AREAS_MAX;

/// Which compartments are followed.
#[derive(Debug, Default)]
pub(super) struct Table {
    bounds: Bounds,
    /// Those that are held and not followed.
    unfollowed: BTreeSet<CompartmentId>,
    /// How often an opening found no place since the start.
    turned_away: u64,
}

/// How many coalitions and compartments there are.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    followed_max: usize,
    held_max: usize,
    /// So many compartments of an agency are held, however many others hold.
    reserved_per_agency: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            followed_max: AREAS_MAX,
            held_max: AREAS_HELD_MAX,
            reserved_per_agency: AREAS_MAX / AGENCIES_MAX,
        }
    }
}

/// Most coalitions and compartments that are held, beside a few of each agency: each costs some memory
/// and a replay at the start.
const AREAS_HELD_MAX: usize = 2 * AREAS_MAX;

/// Whose compartments take turns: an agency of a coalition.
type Opener = (CoalitionId, Option<AgencyNo>);

/// A compartment as it stands in the order.
#[derive(Clone, Copy, Debug)]
struct Claim {
    agency: Opener,
    device: DeviceId,
    /// Whether the device's standing ended.
    closed: bool,
    id: CompartmentId,
}

/// Compartments that one device opened and that are not followed here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unfollowed {
    /// The device's agency.
    pub agency: Option<AgencyNo>,
    /// How many.
    pub compartments: usize,
}

/// The order. Within a turn it goes by agency, not by id: so whatever comes later, nothing comes forward,
/// and who keeps the first of what came so far has the first of all in the end.
fn in_order(mut claims: Vec<Claim>) -> Vec<CompartmentId> {
    claims.sort_unstable_by_key(|claim| (claim.agency, claim.device, claim.id));
    let mut agencies: BTreeMap<Opener, Vec<(bool, usize, CompartmentId)>> = BTreeMap::new();
    for own in claims.chunk_by(|a, b| (a.agency, a.device) == (b.agency, b.device)) {
        for (rank, claim) in own.iter().enumerate() {
            agencies.entry(claim.agency).or_default().push((claim.closed, rank, claim.id));
        }
    }
    let mut turns: Vec<(usize, Opener, CompartmentId)> = Vec::new();
    for (agency, mut own) in agencies {
        own.sort_unstable();
        turns.extend(own.into_iter().enumerate().map(|(turn, (_, _, id))| (turn, agency, id)));
    }
    turns.sort_unstable();
    turns.into_iter().map(|(.., id)| id).collect()
}

impl<S: Store> Replica<S> {
    /// Takes the opening of a compartment, if it finds a place; whether the compartment is followed.
    pub(super) fn take_opening(&mut self, opening: Opening) -> Result<bool, StoreError> {
        let id = opening.id();
        if !self.areas.contains_key(&id) {
            let mut batch = Batch::default();
            if !self.make_place(&mut batch, &opening) {
                self.table.turned_away = self.table.turned_away.saturating_add(1);
                return Ok(false);
            }
            self.create_area(&mut batch, compartment_body(opening));
            self.apply(batch)?;
            self.redraw()?;
        }
        Ok(self.follows(&id))
    }

    /// Whether what peers have of a coalition or compartment is taken, and they get what is here.
    #[must_use]
    pub fn follows(&self, id: &CompartmentId) -> bool {
        !self.table.unfollowed.contains(id)
    }

    /// Who opened the compartments that are held and not followed.
    #[must_use]
    pub fn unfollowed(&self) -> BTreeMap<DeviceId, Unfollowed> {
        let mut found: BTreeMap<DeviceId, Unfollowed> = BTreeMap::new();
        let held = self.table.unfollowed.iter().filter_map(|id| self.compartment(*id));
        for claim in held.map(|compartment| self.claim(compartment.opening())) {
            let fresh = Unfollowed { agency: claim.agency.1, compartments: 0 };
            found.entry(claim.device).or_insert(fresh).compartments += 1;
        }
        found
    }

    /// How often the opening of a compartment found no place since the start.
    #[must_use]
    pub const fn turned_away(&self) -> u64 {
        self.table.turned_away
    }

    /// Fails if what is written in a compartment would go to nobody.
    pub(super) fn needs_followed(&self, id: &CompartmentId) -> Result<(), ActError> {
        if self.follows(id) { Ok(()) } else { Err(ActError::NotFollowed) }
    }

    /// Whether a compartment would be followed if it were opened now.
    pub(super) fn would_follow(&self, opening: &Opening) -> bool {
        if self.areas.len() < self.table.bounds.followed_max {
            return true;
        }
        let id = opening.id();
        let order = in_order(self.claims().chain([self.claim(opening)]).collect());
        order.iter().take(self.followed_max()).any(|followed| *followed == id)
    }

    /// Makes place for one more compartment, in the table as it is held; whether there is.
    fn make_place(&mut self, batch: &mut Batch, opening: &Opening) -> bool {
        if self.areas.len() < self.table.bounds.held_max {
            return true;
        }
        let fresh = self.claim(opening);
        let claims: Vec<Claim> = self.claims().chain([fresh]).collect();
        let mut counts: BTreeMap<Opener, usize> = BTreeMap::new();
        claims.iter().for_each(|claim| *counts.entry(claim.agency).or_default() += 1);
        let reserved = self.table.bounds.reserved_per_agency;
        counts.retain(|_, count| *count > reserved);
        let is_bare = |id: &CompartmentId| self.logbook.logs_of(*id).next().is_none();
        let may_leave: BTreeSet<CompartmentId> = claims
            .iter()
            .filter(|claim| counts.contains_key(&claim.agency) && is_bare(&claim.id))
            .map(|claim| claim.id)
            .collect();
        match in_order(claims).into_iter().rev().find(|id| may_leave.contains(id)) {
            Some(last) if last == fresh.id => false,
            Some(last) => {
                self.drop_area(batch, last);
                self.part_with(last);
                true
            }
            None => !counts.contains_key(&fresh.agency),
        }
    }

    /// Lays the table anew, from all that is held.
    pub(super) fn lay_table(&mut self) {
        if self.replaying {
            return;
        }
        let unfollowed: BTreeSet<CompartmentId> =
            if self.areas.len() <= self.table.bounds.followed_max {
                BTreeSet::new()
            } else {
                in_order(self.claims().collect()).into_iter().skip(self.followed_max()).collect()
            };
        if unfollowed == self.table.unfollowed {
            return;
        }
        let before = std::mem::replace(&mut self.table.unfollowed, unfollowed.clone());
        self.forget_digests();
        unfollowed.difference(&before).for_each(|id| self.part_with(*id));
        if before.is_subset(&unfollowed) {
            return;
        }
        let links: Vec<Link> = self.sessions.keys().copied().collect();
        links.into_iter().for_each(|link| self.introduce_missing(link));
    }

    /// How many compartments are followed: coalitions always are.
    fn followed_max(&self) -> usize {
        self.table.bounds.followed_max.saturating_sub(self.areas.len() - self.claims().count())
    }

    fn claims(&self) -> impl Iterator<Item = Claim> {
        let openings = self.areas.values().filter_map(|area: &Area| match &area.body {
            Body::Compartment(compartment) => Some(compartment.opening()),
            Body::Coalition(_) => None,
        });
        openings.map(|opening| self.claim(opening))
    }

    fn claim(&self, opening: &Opening) -> Claim {
        let coalition = self.coalition(opening.coalition);
        let standing = coalition.and_then(|c| c.devices().get(&opening.opener));
        let live = coalition.and_then(|c| c.live(&opening.opener));
        Claim {
            agency: (opening.coalition, standing.map(|standing| standing.agency)),
            device: opening.opener,
            closed: live.is_none(),
            id: opening.id(),
        }
    }

    /// Nothing of a compartment is said on any link any more.
    fn part_with(&mut self, id: CompartmentId) {
        self.sessions.values_mut().for_each(|session| session.part_with(id));
        self.part_with_shares(id);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tearline_crdt::charter::{Charter, Member};
    use tearline_crdt::entropy::SeededEntropy;
    use tearline_crdt::id::Incarnation;
    use tearline_crdt::keys::{DeviceKeys, Signer};
    use tearline_crdt::statement::DeskCertificate;
    use tearline_crdt::store::memory::MemoryStore;
    use tearline_crdt::time::{MonoTime, Now, WallTime};

    use super::super::Setup;
    use super::*;

    const COALITION: CoalitionId = CoalitionId([1; 32]);

    fn claim(agency: u16, device: u8, closed: bool, id: u16) -> Claim {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        bytes[2] = device;
        let agency = (COALITION, Some(AgencyNo(agency)));
        Claim { agency, device: DeviceId([device; 32]), closed, id: CompartmentId(bytes) }
    }

    fn followed(claims: &[Claim], most: usize) -> BTreeSet<CompartmentId> {
        in_order(claims.to_vec()).into_iter().take(most).collect()
    }

    fn ids(claims: &[Claim]) -> BTreeSet<CompartmentId> {
        claims.iter().map(|claim| claim.id).collect()
    }

    /// Agency 1 floods by low ids; all of the others, who opened no more than their share, are followed.
    #[test]
    fn a_flood_pushes_out_the_flooding_agencys_own() {
        let flood: Vec<Claim> = (0..100).map(|id| claim(1, 1, false, id)).collect();
        let others: Vec<Claim> = (0..10)
            .flat_map(|n| [claim(2, 2, false, 900 + n), claim(3, 3, false, 950 + n)])
            .collect();
        let all = [&flood[..], &others].concat();
        let table = followed(&all, 30);
        assert!(ids(&others).is_subset(&table));
        assert_eq!(table.intersection(&ids(&flood)).count(), 10);
    }

    #[test]
    fn a_device_that_floods_pushes_out_its_own_and_all_of_it_once_it_is_closed() {
        let own: Vec<Claim> = (0..3).map(|id| claim(1, 9, false, 900 + id)).collect();
        let flood = |closed| (0..100).map(move |id| claim(1, 1, closed, id));
        let all = |closed| own.iter().copied().chain(flood(closed)).collect::<Vec<Claim>>();
        assert!(ids(&own).is_subset(&followed(&all(false), 6)));
        assert!(!ids(&own).is_subset(&followed(&all(false), 5)), "devices take turns");
        assert!(ids(&own).is_subset(&followed(&all(true), 3)));
    }

    /// Compartments of a few agencies, in two orders.
    fn claims() -> impl Strategy<Value = (Vec<Claim>, Vec<Claim>)> {
        let shapes = prop::collection::btree_map(any::<u16>(), (0..4_u16, 0..3_u8), 0..60);
        shapes.prop_flat_map(|shapes| {
            // A device is of one agency, and is closed or not.
            let claims: Vec<Claim> = shapes
                .into_iter()
                .map(|(id, (agency, n))| claim(agency, agency as u8 * 3 + n, n == 0, id))
                .collect();
            (Just(claims.clone()), Just(claims).prop_shuffle())
        })
    }

    proptest! {
        /// Whoever keeps the first of what came so far has the first of all, in whatever order it came.
        #[test]
        fn the_first_of_the_first_are_the_first_of_all((claims, came) in claims(), most in 1..20_usize) {
            let mut kept: Vec<Claim> = Vec::new();
            for claim in came {
                kept.push(claim);
                let first = followed(&kept, most);
                kept.retain(|claim| first.contains(&claim.id));
            }
            prop_assert_eq!(ids(&kept), followed(&claims, most));
        }
    }

    const NOW: Now = Now { mono: MonoTime(1), wall: WallTime(1_700_000_000_000) };
    const BOUNDS: Bounds = Bounds { followed_max: 5, held_max: 9, reserved_per_agency: 2 };

    fn opened(store: MemoryStore) -> Replica<MemoryStore> {
        let setup = Setup {
            keys: DeviceKeys::from_seeds(&[1; 32], &[2; 32]),
            incarnation: Incarnation(1),
            entropy: Box::new(SeededEntropy::new(5)),
            projection: Box::new(()),
        };
        let mut replica = Replica::open(store, setup).unwrap();
        replica.table.bounds = BOUNDS;
        replica.lay_table();
        replica
    }

    /// A replica in a coalition of its own.
    fn founded() -> (Replica<MemoryStore>, CoalitionId) {
        let mut replica = opened(MemoryStore::default());
        let root = Signer::from_seed(&[3; 32]);
        let founder = Member {
            no: AgencyNo(1),
            name: "Agency 1".into(),
            country: "NE".into(),
            root: root.public(),
        };
        let charter = Charter {
            name: "Drill".into(),
            nonce: [7; 16],
            quorum: 1,
            limits_version: 1,
            erasure_delay_hours: 0,
            default_label: vec![],
            agreement: None,
            founders: vec![founder],
        };
        let desk = DeskCertificate::sign(&root, &DeviceKeys::from_seeds(&[1; 32], &[2; 32]), None);
        let coalition = replica.found(NOW, charter, desk).unwrap().value;
        (replica, coalition)
    }

    /// Openings of a device: by this replica's agency if it is its own, and by nobody's else.
    fn opening(coalition: CoalitionId, seed: u8, n: u8) -> Opening {
        let root = Signer::from_seed(&[3; 32]).public();
        Opening::sign(
            &Signer::from_seed(&[seed; 32]),
            coalition,
            vec![(AgencyNo(1), root)],
            [n; 16],
        )
    }

    #[test]
    fn what_is_held_and_followed_is_bounded_and_alike_in_any_order() {
        let of_strangers: Vec<(u8, u8)> = (0..30).map(|n| (77, n)).collect();
        let own: Vec<(u8, u8)> = (0..2).map(|n| (1, n)).collect();
        let forth = [&of_strangers[..], &own].concat();
        let back: Vec<(u8, u8)> = forth.iter().rev().copied().collect();
        let tables = [forth, back].map(|openings| {
            let (mut replica, coalition) = founded();
            for (seed, n) in openings {
                replica.take_opening(opening(coalition, seed, n)).unwrap();
                assert!(replica.areas.len() <= BOUNDS.held_max);
            }
            assert!(replica.turned_away() > 0);
            for (seed, n) in own.iter().copied() {
                assert!(replica.follows(&opening(coalition, seed, n).id()));
            }
            let floods: Vec<Unfollowed> = replica.unfollowed().into_values().collect();
            assert_eq!(floods, [Unfollowed { agency: None, compartments: 4 }]);
            let held: Vec<CompartmentId> = replica.areas.keys().copied().collect();
            let unfollowed = replica.table.unfollowed.clone();
            replica.store_mut().flush().unwrap();
            let again = opened(std::mem::take(replica.store_mut()));
            assert_eq!(again.table.unfollowed, unfollowed, "after a restart");
            assert!(held.iter().all(|id| again.areas.contains_key(id)));
            (held, unfollowed)
        });
        assert_eq!(tables[0], tables[1]);
    }

    /// Who may open no more is told so, and what would go to nobody is not written.
    #[test]
    fn nothing_is_written_where_nobody_follows() {
        let (mut replica, coalition) = founded();
        let mut mine = Vec::new();
        let refused = loop {
            match replica.open_another(NOW, coalition, vec![AgencyNo(1)], "shared") {
                Ok(done) => mine.push(done.value),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, ActError::Compartments), "{refused}");
        let unfollowed = replica.table.unfollowed.clone();
        assert!(mine.len() >= BOUNDS.followed_max - 1);
        for id in &mine {
            let written = replica.rotate(NOW, *id);
            match unfollowed.contains(id) {
                true => assert!(matches!(written, Err(ActError::NotFollowed))),
                false => assert!(written.is_ok()),
            }
        }
    }

    /// A compartment with content is never forgotten, and few of each agency are always held.
    #[test]
    fn what_has_content_stays_and_a_few_of_each_agency_find_a_place() {
        let (mut replica, coalition) = founded();
        let mine: Vec<CompartmentId> = (0..20)
            .filter_map(|_| replica.open_another(NOW, coalition, vec![AgencyNo(1)], "shared").ok())
            .map(|done| done.value)
            .collect();
        for n in 0..20 {
            replica.take_opening(opening(coalition, 77, n)).unwrap();
        }
        assert!(mine.iter().all(|id| replica.areas.contains_key(id)));
        let strangers = replica.areas.len() - mine.len() - 1;
        assert!(strangers >= BOUNDS.reserved_per_agency);
        assert!(replica.areas.len() <= BOUNDS.held_max + BOUNDS.reserved_per_agency);
    }
}
