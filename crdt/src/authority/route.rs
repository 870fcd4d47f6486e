//! Routes: how a right came to a device, and what narrowed it on the way.
//!
//! A grant is narrowed along its route and never widened: what it states must lie within what its
//! issuer has, and what it leaves open is the issuer's. A device may do what any one of its routes
//! allows by itself; limits of two routes do not mix.

use crate::bounds::ROUTE_DEPTH_MAX;
use crate::id::Class;
use crate::statement::{Caveats, Right};
use crate::time::WallTime;

/// One way in which a device has a right. The order is that in which routes are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// How many steps from the agency's root: 1 for a desk.
    pub depth: u8,
    /// The highest right.
    pub right: Right,
    /// What narrows it, all limits of the route together.
    pub caveats: Caveats,
}

/// Why a route gives nothing through a grant.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Uncovered {
    /// The issuer may not grant on, or lacks the right to admit.
    MayNotGrant,
    /// The route is as long as one may be.
    TooDeep,
    /// The grant goes beyond what its issuer has.
    Widened,
}

impl Route {
    /// The route of a desk.
    #[must_use]
    pub const fn desk() -> Self {
        Self {
            depth: 1,
            right: Right::Admin,
            caveats: Caveats {
                kinds: None,
                classes: None,
                not_before_ms: None,
                not_after_ms: None,
                quota_bytes: None,
                may_delegate: true,
                history: true,
            },
        }
    }

    /// The route that a grant makes of this one.
    pub fn grant(&self, right: Right, caveats: &Caveats) -> Result<Self, Uncovered> {
        if !self.caveats.may_delegate || self.right < Right::Admit {
            return Err(Uncovered::MayNotGrant);
        }
        if self.depth >= ROUTE_DEPTH_MAX {
            return Err(Uncovered::TooDeep);
        }
        let own = &self.caveats;
        let within = right <= self.right
            && at_most(&caveats.kinds, &own.kinds, |inner, outer| {
                inner.iter().all(|kind| outer.contains(kind))
            })
            && at_most(&caveats.classes, &own.classes, |inner, outer| inner & !outer == 0)
            && at_most(&caveats.not_before_ms, &own.not_before_ms, |inner, outer| inner >= outer)
            && at_most(&caveats.not_after_ms, &own.not_after_ms, |inner, outer| inner <= outer)
            && at_most(&caveats.quota_bytes, &own.quota_bytes, |inner, outer| inner <= outer)
            && (own.history || !caveats.history);
        if !within {
            return Err(Uncovered::Widened);
        }
        Ok(Self {
            depth: self.depth + 1,
            right,
            caveats: Caveats {
                kinds: caveats.kinds.clone().or_else(|| own.kinds.clone()),
                classes: caveats.classes.or(own.classes),
                not_before_ms: caveats.not_before_ms.or(own.not_before_ms),
                not_after_ms: caveats.not_after_ms.or(own.not_after_ms),
                quota_bytes: caveats.quota_bytes.or(own.quota_bytes),
                may_delegate: caveats.may_delegate,
                history: caveats.history,
            },
        })
    }

    /// Whether logs of a class may be written by this route. Who may write may make statements.
    #[must_use]
    pub fn writes(&self, class: Class) -> bool {
        self.right >= Right::Write
            && (class == Class::Authority
                || self.caveats.classes.is_none_or(|classes| classes & (1 << class as u8) != 0))
    }

    /// Whether an entry about a record of a kind, with its author's time, is within the limits.
    #[must_use]
    pub fn allows(&self, class: Class, kind: u8, wall: WallTime) -> bool {
        let Caveats { kinds, not_before_ms, not_after_ms, .. } = &self.caveats;
        self.writes(class)
            && kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
            && not_before_ms.is_none_or(|from| wall.0 >= from)
            && not_after_ms.is_none_or(|until| wall.0 < until)
    }

    /// Whether the epochs that were there before the device are sealed to it.
    #[must_use]
    pub fn reads_history(&self) -> bool {
        self.right >= Right::Read && self.caveats.history
    }

    fn rank(&self) -> (u8, std::cmp::Reverse<Right>, Vec<u8>) {
        let mut limits = Vec::new();
        self.caveats.encode(&mut limits);
        (self.depth, std::cmp::Reverse(self.right), limits)
    }
}

impl Ord for Route {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Route {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether a limit that is stated lies within one that holds. One that is not stated is the other.
fn at_most<T>(stated: &Option<T>, holds: &Option<T>, within: impl Fn(&T, &T) -> bool) -> bool {
    match (stated, holds) {
        (Some(stated), Some(holds)) => within(stated, holds),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caveats() -> Caveats {
        Caveats {
            kinds: Some(vec![1, 2]),
            classes: Some(0b1_1100),
            not_before_ms: Some(10),
            not_after_ms: Some(20),
            quota_bytes: Some(1_000),
            may_delegate: true,
            history: false,
        }
    }

    #[test]
    fn a_grant_is_narrowed_along_its_route_and_never_widened() {
        let route = Route::desk().grant(Right::Admit, &caveats()).unwrap();
        let inherits = Caveats { may_delegate: true, ..Caveats::default() };
        assert_eq!(route.grant(Right::Write, &inherits).unwrap().caveats, caveats());
        for wider in [
            Caveats { kinds: Some(vec![1, 3]), ..Caveats::default() },
            Caveats { classes: Some(0b1_1110), ..Caveats::default() },
            Caveats { not_before_ms: Some(9), ..Caveats::default() },
            Caveats { not_after_ms: Some(21), ..Caveats::default() },
            Caveats { quota_bytes: Some(1_001), ..Caveats::default() },
            Caveats { history: true, ..Caveats::default() },
        ] {
            assert_eq!(route.grant(Right::Write, &wider), Err(Uncovered::Widened), "{wider:?}");
        }
        assert_eq!(route.grant(Right::Admin, &inherits), Err(Uncovered::Widened));
    }

    #[test]
    fn who_has_history_gives_it_or_keeps_it() {
        let with = Caveats { may_delegate: true, history: true, ..Caveats::default() };
        let route = Route::desk().grant(Right::Admit, &with).unwrap();
        assert!(route.grant(Right::Read, &with).unwrap().reads_history());
        let without = route.grant(Right::Admit, &Caveats { history: false, ..with.clone() });
        let without = without.unwrap();
        assert!(!without.reads_history());
        assert_eq!(without.grant(Right::Read, &with), Err(Uncovered::Widened));
        assert!(!Route::desk().grant(Right::Relay, &with).unwrap().reads_history());
    }

    #[test]
    fn only_who_may_admit_and_delegate_grants_and_routes_end() {
        let delegating = Caveats { may_delegate: true, ..Caveats::default() };
        let writer = Route::desk().grant(Right::Write, &delegating).unwrap();
        assert_eq!(writer.grant(Right::Read, &delegating), Err(Uncovered::MayNotGrant));
        let last = Route::desk().grant(Right::Admit, &Caveats::default()).unwrap();
        assert_eq!(last.grant(Right::Read, &delegating), Err(Uncovered::MayNotGrant));
        let mut route = Route::desk();
        for _ in 1..ROUTE_DEPTH_MAX {
            route = route.grant(Right::Admit, &delegating).unwrap();
        }
        assert_eq!(route.grant(Right::Read, &delegating), Err(Uncovered::TooDeep));
    }

    #[test]
    fn an_entry_must_lie_within_one_route_altogether() {
        let route = Route::desk().grant(Right::Write, &caveats()).unwrap();
        let at = WallTime;
        assert!(route.allows(Class::Routine, 1, at(10)));
        assert!(route.allows(Class::Routine, 2, at(19)));
        assert!(!route.allows(Class::Routine, 3, at(10)));
        assert!(!route.allows(Class::Routine, 1, at(9)));
        assert!(!route.allows(Class::Routine, 1, at(20)));
        assert!(!route.allows(Class::Flash, 1, at(10)));
        assert!(route.writes(Class::Authority));
        assert!(!Route::desk().grant(Right::Read, &caveats()).unwrap().writes(Class::Routine));
    }
}
