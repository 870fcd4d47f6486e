//! Where posts are and how they move.

use serde::Deserialize;

use super::Posts;
use super::check::{LENGTH_MAX, Wrong, wrong};
use crate::quantity::{Distance, Length, Speed};

/// Latitude and longitude, in degrees.
pub type Place = [f64; 2];

/// How a post moves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moves {
    /// After which model.
    pub kind: MoveKind,
    /// Of a route: the places, one after the other and back to the first.
    #[serde(default)]
    pub through: Vec<Place>,
    /// Of what wanders: two corners of the area in which it stays.
    pub area: Option<[Place; 2]>,
    /// How fast; of a timetable the calls say it.
    pub speed: Option<Speed>,
    /// How long it stays at each place.
    #[serde(default)]
    pub pause: Length,
    /// Of a Levy walk: the shortest step.
    pub step: Option<Distance>,
    /// Of a timetable: when it is where. Between two calls it goes straight.
    #[serde(default)]
    pub calls: Vec<(Length, f64, f64)>,
    /// Of a timetable: how often it begins anew.
    pub every: Option<Length>,
}

/// A model of movement.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum MoveKind {
    /// A patrol: round and round through the same places, each of a group from a place of its own.
    Route,
    /// To places drawn from an area, one after the other (Broch and others, "A performance comparison of
    /// multi-hop wireless ad hoc network routing protocols", 1998).
    Waypoint,
    /// Many short steps and few long ones, in any direction (Rhee and others, "On the Levy-walk nature of
    /// human mobility", 2011).
    Levy,
    /// A ferry, a bus, a supply run.
    Timetable,
}

/// Most places of a route, and calls of a timetable.
const PLACES_MAX: usize = 1_000;

impl Posts {
    pub(super) fn check_place(&self) -> Result<(), Wrong> {
        if let Some(at) = self.at.as_ref().filter(|at| !is_place(at.get_ref())) {
            return wrong(at, NO_PLACE);
        }
        let Some(spanned) = &self.moves else { return Ok(()) };
        if self.at.is_some() {
            return wrong(spanned, "a post stands (at) or moves (moves), and not both");
        }
        spanned.get_ref().check().map_or(Ok(()), |what| wrong(spanned, what))
    }
}

impl Moves {
    /// What is wrong with it.
    fn check(&self) -> Option<&'static str> {
        let calls = self.calls.iter().map(|(_, lat, lon)| [*lat, *lon]);
        let mut places =
            self.through.iter().copied().chain(self.area.into_iter().flatten()).chain(calls);
        if places.any(|place| !is_place(&place)) {
            return Some(NO_PLACE);
        }
        if self.through.len() > PLACES_MAX || self.calls.len() > PLACES_MAX {
            return Some("a route or timetable has at most 1000 places");
        }
        let (roams, steps) = (self.area.is_some(), self.step.is_some());
        let (route, table) = (!self.through.is_empty(), !self.calls.is_empty());
        let runs = self.every.is_some() || table;
        match self.kind {
            MoveKind::Route if self.through.len() < 2 => {
                Some("a route leads through two places or more")
            }
            MoveKind::Route if roams || steps || runs => {
                Some("a route has through, speed and pause")
            }
            MoveKind::Waypoint if route || steps || runs => {
                Some("waypoint has area, speed and pause")
            }
            MoveKind::Levy if route || runs => Some("levy has area, speed, step and pause"),
            MoveKind::Levy if !steps => Some("say how long the shortest step is: step"),
            MoveKind::Waypoint | MoveKind::Levy if !roams => Some("say where: area, two corners"),
            MoveKind::Timetable if !table || roams || steps || route || self.speed.is_some() => {
                Some("a timetable has calls and, if it comes again, every")
            }
            MoveKind::Timetable => self.check_calls(),
            _ if self.speed.is_none() => Some("say how fast: speed"),
            _ => None,
        }
    }

    fn check_calls(&self) -> Option<&'static str> {
        let in_order = self.calls.windows(2).all(|two| matches!(two, [a, b] if a.0 < b.0));
        let last = self.calls.last().map(|(at, ..)| *at);
        if !in_order {
            Some("calls come one after the other")
        } else if last.is_some_and(|last| last > LENGTH_MAX) {
            Some("a call is within ten weeks")
        } else if self.every.is_some_and(|every| last.is_none_or(|last| every <= last)) {
            Some("every is longer than until the last call")
        } else {
            None
        }
    }
}

fn is_place([lat, lon]: &Place) -> bool {
    (-85.0..=85.0).contains(lat) && (-180.0..=180.0).contains(lon)
}

const NO_PLACE: &str = "a place is latitude and longitude in degrees: [13.5, 2.1]";
