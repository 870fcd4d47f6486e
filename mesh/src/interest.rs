//! Interest: what a peer wants whole from another; of everything else it wants the headers alone.
//!
//! An interest is one or more *clauses*, and an entry is wanted that one of them takes. A clause takes what
//! meets all that it says: the kind of the record, a place in it, how urgent the entry is, and since when its
//! author wrote. Whatever cannot be known of an entry meets what is said of it. Authority and flash are always
//! wanted. What is left out and how it comes later: [`crate::replica`], `docs/protocol/sync.md`.
//!
//! ```
//! use tearline_mesh::interest::Interest;
//!
//! let text = "kind=alert|vehicle,area=14,12,15.5,13,class>=priority,since=2026-11-01";
//! let interest: Interest = text.parse().unwrap();
//! assert_eq!(interest.to_string(), "kind=vehicle|alert,area=14,12,15.5,13,class>=priority,since=2026-11-01T00:00:00.000Z");
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::iter;
use std::str::FromStr;

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::id::Class;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::shelf::Gist;
use tearline_crdt::time::WallTime;

/// Most clauses.
pub const CLAUSES_MAX: usize = 8;
/// Longest interest, encoded, of any version.
pub const INTEREST_BYTES_MAX: usize = 1_024;
/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

/// What is wanted whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Interest {
    clauses: Vec<Clause>,
}

/// What one clause takes: entries that meet all of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Clause {
    /// Of records of these kinds; empty for all.
    kinds: BTreeSet<Kind>,
    /// Of records with a place in here.
    area: Option<Bounds>,
    /// As urgent as this.
    class: Option<Class>,
    /// Written since then.
    since: Option<WallTime>,
}

/// Between two latitudes, and from a longitude eastwards to another, in 10^-7 degrees.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Bounds {
    west: i32,
    south: i32,
    east: i32,
    north: i32,
}

impl Interest {
    /// One clause or several; `None` for none, or too many.
    fn new(clauses: Vec<Clause>) -> Option<Self> {
        (1..=CLAUSES_MAX).contains(&clauses.len()).then_some(Self { clauses })
    }

    /// Several interests as one: what any of them wants. `None` for none, or too many.
    #[must_use]
    pub fn any_of(interests: impl IntoIterator<Item = Self>) -> Option<Self> {
        Self::new(interests.into_iter().flat_map(|interest| interest.clauses).collect())
    }

    /// Whether an entry is wanted, as far as this is known of it: its class, since when it is, and what its
    /// record is.
    #[must_use]
    pub fn wants(&self, class: Class, wall: Option<WallTime>, gist: Option<&Gist>) -> bool {
        let takes = |clause: &Clause| clause.takes(class, wall) && clause.takes_record(gist);
        class <= Class::Flash || self.clauses.iter().any(takes)
    }

    /// Whether an entry is wanted whatever its record is.
    #[must_use]
    pub fn wants_of_any_record(&self, class: Class, wall: Option<WallTime>) -> bool {
        let of_any = |clause: &&Clause| clause.kinds.is_empty() && clause.area.is_none();
        class <= Class::Flash
            || self.clauses.iter().filter(of_any).any(|clause| clause.takes(class, wall))
    }

    /// What a blind relay is told of it, which could not go by more: class and time. `None` if that takes
    /// everything.
    #[must_use]
    pub fn blind(&self) -> Option<Self> {
        let blind =
            |clause: &Clause| Clause { kinds: BTreeSet::new(), area: None, ..clause.clone() };
        let clauses: Vec<Clause> = self.clauses.iter().map(blind).collect();
        if clauses.contains(&Clause::default()) { None } else { Self::new(clauses) }
    }

    /// `version (1) || count (number), clauses`, each `flags (1) || kinds: count (number), numbers ascending
    /// (1 each) || west, south, east, north in 10^-7 degrees (4 each, big-endian, signed) || class (1) ||
    /// since, ms (number)`, of which the flags 1, 2, 4 and 8 say what is there.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.number(self.clauses.len() as u64);
        self.clauses.iter().for_each(|clause| clause.encode(&mut out));
        out
    }

    /// Nothing is left out: what says so.
    #[must_use]
    pub fn encode_everything() -> Vec<u8> {
        vec![VERSION, 0]
    }

    /// Reads what [`Interest::encode`] wrote; `None` for everything, and for what another version says.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8("interest version")? != VERSION {
            return Ok(None);
        }
        let count = reader.count(CLAUSES_MAX, "clauses")?;
        let mut clauses = Vec::with_capacity(count);
        for _ in 0..count {
            clauses.push(Clause::decode(&mut reader)?);
        }
        reader.finish()?;
        Ok(Self::new(clauses))
    }
}

impl Clause {
    fn takes(&self, class: Class, wall: Option<WallTime>) -> bool {
        let urgent = self.class.is_none_or(|least| class <= least);
        let recent = self.since.zip(wall).is_none_or(|(since, wall)| wall >= since);
        urgent && recent
    }

    fn takes_record(&self, gist: Option<&Gist>) -> bool {
        let Some(Gist { kind, places }) = gist else { return true };
        let is_there = |area: Bounds| {
            places.is_empty() || places.iter().any(|(lat, lon)| area.holds(*lat, *lon))
        };
        (self.kinds.is_empty() || self.kinds.contains(kind)) && self.area.is_none_or(is_there)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let flags = if self.kinds.is_empty() { 0 } else { KINDS }
            | if self.area.is_some() { AREA } else { 0 }
            | if self.class.is_some() { CLASS } else { 0 }
            | if self.since.is_some() { SINCE } else { 0 };
        out.push(flags);
        if !self.kinds.is_empty() {
            out.number(self.kinds.len() as u64);
            out.extend(self.kinds.iter().map(|kind| *kind as u8));
        }
        if let Some(Bounds { west, south, east, north }) = self.area {
            [west, south, east, north].iter().for_each(|side| out.extend(side.to_be_bytes()));
        }
        out.extend(self.class.map(|class| class as u8));
        if let Some(since) = self.since {
            out.number(since.0);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        let flags = reader.u8("clause flags")?;
        if flags > KINDS | AREA | CLASS | SINCE {
            return reader.invalid(at, "clause flags");
        }
        let mut clause = Self::default();
        if flags & KINDS != 0 {
            let at = reader.at();
            let count = reader.count(Kind::ALL.len(), "kinds")?;
            let numbers = reader.take(count, "kinds")?;
            let ascend = numbers.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
            let kinds: Option<BTreeSet<Kind>> = numbers.iter().map(|n| Kind::from_u8(*n)).collect();
            match kinds.filter(|kinds| ascend && !kinds.is_empty()) {
                Some(kinds) => clause.kinds = kinds,
                None => return reader.invalid(at, "kinds"),
            }
        }
        if flags & AREA != 0 {
            let at = reader.at();
            let mut side = || reader.array("area").map(i32::from_be_bytes);
            let area = Bounds { west: side()?, south: side()?, east: side()?, north: side()? };
            if !area.is_on_the_globe() {
                return reader.invalid(at, "area");
            }
            clause.area = Some(area);
        }
        if flags & CLASS != 0 {
            let at = reader.at();
            match Class::from_u8(reader.u8("class")?).filter(|class| *class > Class::Authority) {
                Some(class) => clause.class = Some(class),
                None => return reader.invalid(at, "class"),
            }
        }
        if flags & SINCE != 0 {
            clause.since = Some(WallTime(reader.number("since")?));
        }
        Ok(clause)
    }
}

impl Bounds {
    fn holds(self, latitude: f64, longitude: f64) -> bool {
        let (lat, lon) = (e7(latitude), e7(longitude));
        let Self { west, south, east, north } = self;
        let between =
            if west <= east { (west..=east).contains(&lon) } else { lon >= west || lon <= east };
        (south..=north).contains(&lat) && between
    }

    const fn is_on_the_globe(self) -> bool {
        let Self { west, south, east, north } = self;
        let (lat_max, lon_max) = (900_000_000, 1_800_000_000);
        south <= north
            && south >= -lat_max
            && north <= lat_max
            && west.unsigned_abs() <= lon_max
            && east.unsigned_abs() <= lon_max
    }
}

/// In 10^-7 degrees; what is beyond the globe stays beyond it.
fn e7(degrees: f64) -> i32 {
    (degrees * 1e7).round() as i32
}

impl fmt::Display for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, clause) in self.clauses.iter().enumerate() {
            if n > 0 {
                f.write_str(" or ")?;
            }
            clause.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.kinds.is_empty() {
            let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
            parts.push(format!("kind={}", kinds.join("|")));
        }
        if let Some(Bounds { west, south, east, north }) = self.area {
            let sides = [west, south, east, north].map(|side| (f64::from(side) / 1e7).to_string());
            parts.push(format!("area={}", sides.join(",")));
        }
        parts.extend(self.class.map(|class| format!("class>={}", class.name())));
        parts.extend(self.since.map(|since| format!("since={since}")));
        // What takes everything was written so.
        if parts.is_empty() {
            parts.push(format!("class>={}", Class::Routine.name()));
        }
        f.write_str(&parts.join(","))
    }
}

/// Why a text is no interest.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InterestError {
    /// A part that says nothing known.
    #[error("{0:?} is no part of an interest; write kind=, area=, class>= or since=")]
    Part(String),
    /// The same said twice.
    #[error("{0} is said twice")]
    Twice(&'static str),
    /// A kind that there is not.
    #[error("{0}")]
    Kind(#[from] tearline_crdt::record::kind::ParseKindError),
    /// No area.
    #[error("{0:?} is no area; write west,south,east,north in degrees, as in 14,12,15.5,13")]
    Area(String),
    /// No class.
    #[error("{0:?} is no class of an interest; write flash, immediate, priority or routine")]
    Class(String),
    /// No time.
    #[error("{0:?} is no time; write a day or a time, as in 2026-11-01 or 2026-11-01T06:00:00Z")]
    Since(String),
    /// Nothing, or too much.
    #[error("an interest says something, in up to {CLAUSES_MAX} clauses")]
    Clauses,
}

impl FromStr for Interest {
    type Err = InterestError;

    fn from_str(text: &str) -> Result<Self, InterestError> {
        let clauses = text.split(" or ").map(str::parse).collect::<Result<Vec<Clause>, _>>()?;
        Self::new(clauses).ok_or(InterestError::Clauses)
    }
}

impl FromStr for Clause {
    type Err = InterestError;

    fn from_str(text: &str) -> Result<Self, InterestError> {
        let mut clause = Self::default();
        let mut parts = text.split(',').map(str::trim);
        while let Some(part) = parts.next() {
            if let Some(names) = part.strip_prefix("kind=") {
                if !clause.kinds.is_empty() {
                    return Err(InterestError::Twice("kind"));
                }
                clause.kinds = names.split('|').map(str::parse).collect::<Result<_, _>>()?;
            } else if let Some(west) = part.strip_prefix("area=") {
                let sides: Vec<&str> = iter::once(west).chain(parts.by_ref().take(3)).collect();
                let read = parse_area(&sides);
                let read = read.ok_or_else(|| InterestError::Area(sides.join(",")))?;
                set(&mut clause.area, read, "area")?;
            } else if let Some(name) = part.strip_prefix("class>=") {
                let read = Class::ALL.into_iter().find(|class| class.name() == name);
                let read = read.filter(|class| *class > Class::Authority);
                let read = read.ok_or_else(|| InterestError::Class(name.into()))?;
                set(&mut clause.class, read, "class")?;
            } else if let Some(time) = part.strip_prefix("since=") {
                let read =
                    WallTime::parse(time).ok_or_else(|| InterestError::Since(time.into()))?;
                set(&mut clause.since, read, "since")?;
            } else {
                return Err(InterestError::Part(part.into()));
            }
        }
        Ok(clause)
    }
}

fn set<T>(slot: &mut Option<T>, value: T, what: &'static str) -> Result<(), InterestError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(InterestError::Twice(what)),
    }
}

/// West, south, east and north in degrees, as in a `bbox` of GeoJSON (RFC 7946, section 5).
fn parse_area(sides: &[&str]) -> Option<Bounds> {
    let finite = |side: &&str| side.parse().ok().filter(|side: &f64| side.is_finite());
    let sides: Vec<f64> = sides.iter().map(finite).collect::<Option<_>>()?;
    let [west, south, east, north] = <[f64; 4]>::try_from(sides).ok()?.map(e7);
    Some(Bounds { west, south, east, north }).filter(|area| area.is_on_the_globe())
}

const KINDS: u8 = 1;
const AREA: u8 = 2;
const CLASS: u8 = 4;
const SINCE: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn interest(text: &str) -> Interest {
        text.parse().unwrap()
    }

    fn gist(kind: Kind, places: &[(f64, f64)]) -> Gist {
        Gist { kind, places: places.to_vec() }
    }

    #[test]
    fn what_is_written_reads_back_as_text_and_as_bytes() {
        for text in [
            "kind=alert",
            "kind=vehicle|alert,area=14,12,15.5,13,class>=priority,since=2026-11-01T00:00:00.000Z",
            "class>=immediate or kind=case or area=170,-20,-170.25,-10.5",
        ] {
            let read = interest(text);
            assert_eq!(read.to_string(), text);
            let bytes = read.encode();
            assert!(bytes.len() <= INTEREST_BYTES_MAX);
            assert_eq!(Interest::decode(&bytes), Ok(Some(read)));
        }
        assert_eq!(Interest::decode(&Interest::encode_everything()), Ok(None));
        assert_eq!(Interest::decode(&[2, 77, 77]), Ok(None), "a later version wants everything");
    }

    #[test]
    fn what_is_no_interest_is_said() {
        for (text, said) in [
            ("kin=alert", "\"kin=alert\" is no part of an interest"),
            ("", "\"\" is no part of an interest"),
            ("kind=dog", "no such kind of record"),
            ("area=14,13,15,12", "\"14,13,15,12\" is no area; write west,south,east,north"),
            ("area=14,13,15,91", "is no area"),
            ("area=14,13,15", "\"14,13,15\" is no area"),
            ("area=14,13,class>=flash", "\"14,13,class>=flash\" is no area"),
            ("area=13/14/12/15", "\"13/14/12/15\" is no area"),
            ("area=14,12,15,13,16", "\"16\" is no part of an interest"),
            ("area=nan,13,15,14", "is no area"),
            ("class>=authority", "\"authority\" is no class"),
            ("since=soon", "\"soon\" is no time"),
            ("class>=flash,class>=flash", "class is said twice"),
        ] {
            let error = text.parse::<Interest>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        let many = ["kind=alert"; CLAUSES_MAX + 1].join(" or ");
        assert_eq!(many.parse::<Interest>(), Err(InterestError::Clauses));
        interest(&["kind=alert"; CLAUSES_MAX].join(" or "));
    }

    #[test]
    fn a_clause_takes_what_meets_all_of_it_and_what_is_not_known_does() {
        let now = Some(WallTime(2_000));
        let all =
            interest("kind=alert,area=14,12,15,13,class>=priority,since=1970-01-01T00:00:01Z");
        let there = gist(Kind::Alert, &[(50.0, 8.0), (12.5, 14.5)]);
        assert!(all.wants(Class::Priority, now, Some(&there)));
        assert!(all.wants(Class::Priority, None, None));
        assert!(all.wants(Class::Immediate, now, Some(&gist(Kind::Alert, &[]))), "nowhere known");
        assert!(!all.wants(Class::Routine, now, Some(&there)));
        assert!(!all.wants(Class::Priority, Some(WallTime(999)), Some(&there)));
        assert!(!all.wants(Class::Priority, now, Some(&gist(Kind::Case, &[(12.5, 14.5)]))));
        assert!(!all.wants(Class::Priority, now, Some(&gist(Kind::Alert, &[(11.9, 14.5)]))));
        for class in [Class::Authority, Class::Flash] {
            assert!(all.wants(class, Some(WallTime(0)), Some(&gist(Kind::Case, &[(0.0, 0.0)]))));
        }
        let either = interest("class>=immediate or kind=case");
        assert!(either.wants(Class::Routine, now, Some(&gist(Kind::Case, &[]))));
        assert!(either.wants_of_any_record(Class::Immediate, now));
        assert!(!either.wants_of_any_record(Class::Priority, now));
        assert_eq!(either.blind(), None, "of a case nothing can be left out");
        assert_eq!(all.blind(), Some(interest("class>=priority,since=1970-01-01T00:00:01Z")));
        let dateline = interest("area=170,-10,-170,10");
        for (longitude, wanted) in [(175.0, true), (-175.0, true), (0.0, false)] {
            let at = gist(Kind::Vessel, &[(0.0, longitude)]);
            assert_eq!(dateline.wants(Class::Routine, now, Some(&at)), wanted);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_read_is_written_the_same(
            bytes in prop::collection::vec(any::<u8>(), 0..60)
        ) {
            let bytes = [vec![1], bytes].concat();
            if let Ok(Some(interest)) = Interest::decode(&bytes) {
                prop_assert_eq!(interest.encode(), bytes);
            }
        }
    }
}
