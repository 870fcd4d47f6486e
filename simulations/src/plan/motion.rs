//! Where posts are at each moment, and when two of them are near enough to hear each other.
//!
//! A track is a line with corners, each with its moment; from one to the next a post goes straight. The offset
//! of two posts is such a line, too, so when it is shorter than the range follows from a square root for each
//! piece: no steps of time, and nothing falls between two of them.
//!
//! Places are put on a plane: a degree of longitude is as long as where the scenario begins. Over a few
//! hundred kilometres that is right to a percent or two.

use crate::agenda::Nanos;
use crate::draws::Draws;
use crate::scenario::{MoveKind, Moves, Place, Posts, Scenario};

/// Kilometres of a degree of latitude, of a sphere of 6,371 km.
const KM_PER_DEGREE: f64 = 111.195;
/// Most corners of a track: ten weeks with one every five minutes. Who has gone so far stays there.
const CORNERS_MAX: usize = 20_000;
/// How rare long steps of a Levy walk are: in what people do, 0.5 to 1.8 was found (Rhee and others).
const LEVY_EXPONENT: f64 = 1.6;
/// How often a step is drawn that would leave the area; then it stays.
const STEPS_DRAWN_MAX: u32 = 64;

/// The plane on which a scenario's places lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plane {
    km_per_degree_east: f64,
}

/// Where a post is when: corners in order of time, the first at the beginning.
#[derive(Clone, Debug)]
pub(super) struct Track(Vec<Corner>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Corner {
    at: Nanos,
    /// Kilometres east and north.
    place: [f64; 2],
}

impl Plane {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let place = |posts: &Posts| {
            let moves = posts.moves.as_ref().map(toml::Spanned::get_ref);
            let on_its_way = moves.and_then(|moves| {
                let call = moves.calls.first().map(|(_, lat, lon)| [*lat, *lon]);
                moves.through.first().copied().or(moves.area.map(|[corner, _]| corner)).or(call)
            });
            posts.at.as_ref().map(|at| *at.get_ref()).or(on_its_way)
        };
        let latitude = scenario.posts.iter().find_map(place).map_or(0.0, |[lat, _]| lat);
        Self { km_per_degree_east: KM_PER_DEGREE * latitude.to_radians().cos() }
    }

    fn put(self, [lat, lon]: Place) -> [f64; 2] {
        [lon * self.km_per_degree_east, lat * KM_PER_DEGREE]
    }
}

impl Track {
    /// The track of one post of a group until a moment; `None` if the group is nowhere.
    pub(super) fn of(posts: &Posts, plane: Plane, until: Nanos, mut draws: Draws) -> Option<Self> {
        if let Some(at) = &posts.at {
            return Some(Self(vec![Corner { at: 0, place: plane.put(*at.get_ref()) }]));
        }
        let moves = posts.moves.as_ref()?.get_ref();
        match moves.kind {
            MoveKind::Route => Self::route(moves, plane, until, &mut draws),
            MoveKind::Waypoint | MoveKind::Levy => Self::wandering(moves, plane, until, &mut draws),
            MoveKind::Timetable => Self::timetable(moves, plane, until),
        }
    }

    fn route(moves: &Moves, plane: Plane, until: Nanos, draws: &mut Draws) -> Option<Self> {
        let places: Vec<[f64; 2]> = moves.through.iter().map(|place| plane.put(*place)).collect();
        let mut track = Self(vec![Corner { at: 0, place: *places.first()? }]);
        let round = |track: &mut Self| {
            for place in places.iter().cycle().skip(1).take(places.len()) {
                track.stay(moves.pause.0);
                track.go(*place, moves);
            }
        };
        round(&mut track);
        let begins = draws.below(track.last().at);
        while track.last().at < until.saturating_add(begins) && track.0.len() < CORNERS_MAX {
            round(&mut track);
        }
        // It is under way when the run begins.
        let first = Corner { at: 0, place: track.place(begins) };
        let later = track.0.iter().filter(|corner| corner.at > begins);
        let later = later.map(|corner| Corner { at: corner.at - begins, place: corner.place });
        Some(Self(std::iter::once(first).chain(later).collect()))
    }

    fn wandering(moves: &Moves, plane: Plane, until: Nanos, draws: &mut Draws) -> Option<Self> {
        let [a, b] = moves.area?.map(|corner| plane.put(corner));
        let low = [a[0].min(b[0]), a[1].min(b[1])];
        let high = [a[0].max(b[0]), a[1].max(b[1])];
        let anywhere = |draws: &mut Draws| between_each(low, high, [draws.unit(), draws.unit()]);
        let inside = |place: [f64; 2]| {
            place.iter().zip(low).zip(high).all(|((at, low), high)| low <= *at && *at <= high)
        };
        let longest = distance(low, high);
        let mut track = Self(vec![Corner { at: 0, place: anywhere(draws) }]);
        while track.last().at < until && track.0.len() < CORNERS_MAX {
            let from = track.last().place;
            let to = match moves.step {
                None => anywhere(draws),
                Some(shortest) => (0..STEPS_DRAWN_MAX)
                    .map(|_| step(from, shortest.0, longest, draws))
                    .find(|to| inside(*to))
                    .unwrap_or(from),
            };
            track.go(to, moves);
            track.stay(moves.pause.0.max(1));
        }
        Some(track)
    }

    fn timetable(moves: &Moves, plane: Plane, until: Nanos) -> Option<Self> {
        let (_, lat, lon) = moves.calls.first()?;
        let mut track = Self(vec![Corner { at: 0, place: plane.put([*lat, *lon]) }]);
        let mut begins: Nanos = 0;
        while begins < until && track.0.len() < CORNERS_MAX {
            for (at, lat, lon) in &moves.calls {
                let corner =
                    Corner { at: begins.saturating_add(at.0), place: plane.put([*lat, *lon]) };
                if corner.at > track.last().at {
                    track.0.push(corner);
                }
            }
            begins = moves.every.map_or(until, |every| begins.saturating_add(every.0));
        }
        Some(track)
    }

    fn last(&self) -> Corner {
        self.0.last().copied().unwrap_or(Corner { at: 0, place: [0.0; 2] })
    }

    fn stay(&mut self, length: Nanos) {
        let Corner { at, place } = self.last();
        if length > 0 {
            self.0.push(Corner { at: at.saturating_add(length), place });
        }
    }

    fn go(&mut self, place: [f64; 2], moves: &Moves) {
        let from = self.last();
        let speed = moves.speed.map_or(f64::INFINITY, |speed| speed.0);
        let takes = (distance(from.place, place) / speed) as Nanos;
        self.0.push(Corner { at: from.at.saturating_add(takes.max(1)), place });
    }

    /// Where it is at a moment.
    fn place(&self, now: Nanos) -> [f64; 2] {
        let next = self.0.partition_point(|corner| corner.at <= now);
        let from = self.0.get(next.saturating_sub(1)).copied().unwrap_or_else(|| self.last());
        let Some(to) = self.0.get(next) else { return from.place };
        let part = (now - from.at) as f64 / (to.at - from.at) as f64;
        between(from.place, to.place, part)
    }

    /// When two are no farther from each other than a range, until a moment: beginnings and ends.
    pub(super) fn meetings(
        &self,
        other: &Self,
        range_km: f64,
        until: Nanos,
    ) -> Vec<(Nanos, Nanos)> {
        let corners = self.0.iter().chain(&other.0).map(|corner| corner.at);
        let mut moments: Vec<Nanos> = corners.filter(|at| *at < until).chain([until]).collect();
        moments.sort_unstable();
        moments.dedup();
        let mut meetings: Vec<(Nanos, Nanos)> = Vec::new();
        for pair in moments.windows(2) {
            let [from, to] = pair else { continue };
            let offset = |now: Nanos| {
                let (here, there) = (self.place(now), other.place(now));
                [there[0] - here[0], there[1] - here[1]]
            };
            let Some([enters, leaves]) = within(offset(*from), offset(*to), range_km) else {
                continue;
            };
            let moment = |part: f64| from + (part * (to - from) as f64) as Nanos;
            let (enters, leaves) = (moment(enters), moment(leaves).min(*to));
            match meetings.last_mut() {
                Some((_, last)) if *last >= enters => *last = leaves.max(*last),
                _ if enters < leaves => meetings.push((enters, leaves)),
                _ => {}
            }
        }
        meetings
    }
}

/// The part of a straight way, of 0 to 1, that is no farther from the origin than a range.
fn within(from: [f64; 2], to: [f64; 2], range: f64) -> Option<[f64; 2]> {
    let way = [to[0] - from[0], to[1] - from[1]];
    let (square, along) = (dot(way, way), dot(from, way));
    let outside = dot(from, from) - range * range;
    if square == 0.0 {
        return (outside <= 0.0).then_some([0.0, 1.0]);
    }
    let root = (along * along - square * outside).max(0.0).sqrt();
    let (enters, leaves) = ((-along - root) / square, (-along + root) / square);
    let part = [enters.max(0.0), leaves.min(1.0)];
    (part[0] < part[1]).then_some(part)
}

/// A step of a Levy walk: its length is of a Pareto distribution from the shortest to the longest, its
/// direction any.
fn step(from: [f64; 2], shortest: f64, longest: f64, draws: &mut Draws) -> [f64; 2] {
    let longest = longest.max(shortest);
    let (near, far) = (shortest.powf(-LEVY_EXPONENT), longest.powf(-LEVY_EXPONENT));
    let length = (near - draws.unit() * (near - far)).powf(-1.0 / LEVY_EXPONENT);
    loop {
        let [x, y] = [(); 2].map(|()| 2.0 * draws.unit() - 1.0);
        let square = dot([x, y], [x, y]);
        if 0.0 < square && square <= 1.0 {
            let scale = length / square.sqrt();
            return [from[0] + x * scale, from[1] + y * scale];
        }
    }
}

fn between(from: [f64; 2], to: [f64; 2], part: f64) -> [f64; 2] {
    between_each(from, to, [part, part])
}

fn between_each(from: [f64; 2], to: [f64; 2], part: [f64; 2]) -> [f64; 2] {
    [from[0] + part[0] * (to[0] - from[0]), from[1] + part[1] * (to[1] - from[1])]
}

fn distance(from: [f64; 2], to: [f64; 2]) -> f64 {
    let way = [to[0] - from[0], to[1] - from[1]];
    dot(way, way).sqrt()
}

fn dot(a: [f64; 2], b: [f64; 2]) -> f64 {
    a[0] * b[0] + a[1] * b[1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Changes, Plan};
    use crate::quantity::{HOUR, MINUTE, SECOND};

    /// Two posts at the equator, where a degree is as long both ways, and a link between them.
    fn contacts(a: &str, b: &str, range: &str, hours: u64, seed: u64) -> Vec<(Nanos, Nanos)> {
        let text = format!(
            "name = \"x\"\nabout = \"\"\nlength = \"{hours} h\"\nsettle = \"1 h\"\n\
             agency = [{{ country = \"NE\", name = \"A\" }}]\n\
             compartment = [{{ name = \"c\", audience = [\"NE\"] }}]\n\
             [[post]]\nname = \"a\"\nagency = \"NE\"\n{a}\n\
             [[post]]\nname = \"b\"\nagency = \"NE\"\n{b}\n\
             [[link]]\nfrom = \"a\"\nto = \"b\"\nrate = \"1 Mbit/s\"\nrange = \"{range}\"\n"
        );
        let scenario = Scenario::parse(&text, "x").unwrap_or_else(|error| panic!("{error}"));
        Plan::of(&scenario, seed, Changes::default()).lines[0].windows.clone().unwrap()
    }

    fn near(found: Nanos, expected: Nanos) {
        assert!(found.abs_diff(expected) < SECOND, "{found} and not {expected}");
    }

    #[test]
    fn a_ferry_meets_a_jetty_when_its_timetable_says() {
        // A degree in an hour, 111 km; within 11.12 km from 6 minutes before it is there, and until 6 after.
        let ferry = "moves = { kind = \"timetable\", every = \"10 h\", calls = [[\"1 h\", 0, 1], [\"2 h\", 0, 0], [\"3 h\", 0, 0], [\"4 h\", 0, 1]] }";
        let met = contacts("at = [0, 0]", ferry, "11.1195 km", 20, 1);
        assert_eq!(met.len(), 2, "{met:?}");
        for ((from, to), begins) in met.into_iter().zip([0, 10 * HOUR]) {
            near(from, begins + 2 * HOUR - 6 * MINUTE);
            near(to, begins + 3 * HOUR + 6 * MINUTE);
        }
    }

    #[test]
    fn a_patrol_comes_by_once_in_each_round() {
        // A degree out and back at a degree an hour, with half an hour at each end: three hours a round.
        let patrol = "moves = { kind = \"route\", through = [[0, 0], [0, 1]], speed = \"111.195 km/h\", pause = \"30 min\" }";
        let met = contacts("at = [0, 0]", patrol, "11.1195 km", 30, 3);
        assert!((10..=11).contains(&met.len()), "{met:?}");
        for (from, to) in met.iter().skip(1).take(8) {
            near(to - from, 42 * MINUTE);
        }
        for pair in met.windows(2).skip(1).take(7) {
            near(pair[1].0 - pair[0].0, 3 * HOUR);
        }
        let other = contacts("at = [0, 0]", patrol, "11.1195 km", 30, 4);
        assert_ne!(met[1], other[1], "each begins somewhere else");
    }

    /// Two that wander at the same speed through a square, without pauses, meet as often as
    /// `2 w r V / L^2` says, with `w` = 1.3683 and `V` = 4/pi of their speed (Groenevelt, Nain and Koole, "The message
    /// delay in mobile ad hoc networks", 2005), which holds for small ranges.
    #[test]
    fn random_waypoints_meet_as_often_as_the_formula_says() {
        let wanderer =
            "moves = { kind = \"waypoint\", area = [[0, 0], [1, 1]], speed = \"50 km/h\" }";
        let range = 2.0;
        let met: usize = (0..8)
            .map(|seed| contacts(wanderer, wanderer, &format!("{range} km"), 1_600, seed).len())
            .sum();
        let side = KM_PER_DEGREE;
        let rate = 2.0 * 1.3683 * range * 50.0 * 4.0 / std::f64::consts::PI / (side * side);
        let expected = rate * 8.0 * 1_600.0;
        assert!((met as f64 / expected - 1.0).abs() < 0.1, "{met} meetings, and not {expected}");
    }

    #[test]
    fn a_levy_walk_stays_in_its_area_and_takes_few_long_steps() {
        let (mut draws, mut long) = (Draws::of(1, "steps", 0), 0);
        for _ in 0..10_000 {
            let [x, y] = step([0.0, 0.0], 1.0, 100.0, &mut draws);
            let length = distance([0.0, 0.0], [x, y]);
            assert!((0.999..100.001).contains(&length), "{length}");
            long += u32::from(length > 10.0);
        }
        // Of a Pareto distribution of exponent 1.6, 10^-1.6 = 2.5 % are above ten times the least.
        assert!((200..300).contains(&long), "{long}");
        let walker = "moves = { kind = \"levy\", area = [[0, 0], [0.1, 0.1]], speed = \"5 km/h\", step = \"100 m\", pause = \"5 min\" }";
        let met = contacts("at = [0.05, 0.05]", walker, "8 km", 100, 1);
        assert_eq!(met, [(0, 100 * HOUR)], "no corner is farther than 7.9 km");
    }
}
