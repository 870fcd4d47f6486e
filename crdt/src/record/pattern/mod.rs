//! Patterns (STIX 2.1, section 9): what to look for in what was observed.
//!
//! `[vehicle:plate = 'CT 1234 A'] FOLLOWEDBY [sighting:latitude > 13.0] WITHIN 3600 SECONDS`. Between square
//! brackets stands what one observation must show, of one object; around them, how observations belong
//! together. [`Pattern::parse`] reads a pattern; [`Pattern::shown`] says which of its brackets an observation
//! satisfies, and [`Pattern::find`] which observations then take part in a match.
//!
//! Numbers compare with numbers, texts with texts; a value that cannot be compared is unequal and nothing
//! else. Texts are compared as they are. `MATCHES` knows the part of Perl's expressions that is regular; a
//! pattern with another part is sound, and cannot be searched for here ([`Pattern::obstacle`]).

mod compare;
mod find;
mod parse;
mod regex;
mod token;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::time::WallTime;
pub use compare::Objects;
pub use find::{Seen, TooMany};
use regex::Regex;
use token::Literal;

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting, most parts of a path, and most qualifiers of one observation.
const DEPTH_MAX: usize = 32;
/// Most comparisons of a pattern.
const TESTS_MAX: usize = 1_024;
/// Most repetitions.
const REPEATS_MAX: usize = 10_000;

/// Why a text is no pattern, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("at character {at}: {what}")]
pub struct Fault {
    /// The character, from 1.
    pub at: usize,
    /// What is wrong there, and what would do.
    pub what: String,
}

impl Fault {
    fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

/// What to look for.
#[derive(Clone, Debug)]
pub struct Pattern {
    root: Observing,
    /// What single observations are compared with, in the order of the text.
    blocks: Vec<Comparison>,
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        parse::pattern(text)
    }

    /// The types of the objects that it compares.
    #[must_use]
    pub fn types(&self) -> BTreeSet<&str> {
        self.tests().into_iter().map(|test| test.path.object_type.as_str()).collect()
    }

    /// Why it cannot be searched for here, although it is sound.
    #[must_use]
    pub fn obstacle(&self) -> Option<Fault> {
        self.tests().into_iter().find_map(|test| match &test.operator {
            Operator::Matches(Err(fault))
            | Operator::Subset(Err(fault))
            | Operator::Superset(Err(fault)) => Some(fault.clone()),
            _ => None,
        })
    }

    fn tests(&self) -> Vec<&Test> {
        let mut found = Vec::new();
        self.blocks.iter().for_each(|block| block.each(&mut found));
        found
    }
}

/// How observations belong together.
#[derive(Clone, Debug)]
enum Observing {
    /// One observation that satisfies a block.
    Block(usize),
    All(Vec<Self>),
    Either(Vec<Self>),
    /// Each not before the one in front of it.
    Followed(Vec<Self>),
    Qualified(Box<Self>, Qualifier),
}

impl Observing {
    fn of(mut parts: Vec<Self>, many: fn(Vec<Self>) -> Self) -> Self {
        match parts.pop() {
            Some(only) if parts.is_empty() => only,
            last => many(parts.into_iter().chain(last).collect()),
        }
    }
}

/// What narrows observations.
#[derive(Clone, Copy, Debug)]
enum Qualifier {
    /// In so many milliseconds.
    Within(u64),
    /// So many times.
    Repeats(usize),
    /// From the first time on, before the second.
    Between(WallTime, WallTime),
}

/// What one object is compared with.
#[derive(Clone, Debug)]
enum Comparison {
    Test(Test),
    All(Vec<Self>),
    Either(Vec<Self>),
}

impl Comparison {
    fn of(mut parts: Vec<Self>, many: fn(Vec<Self>) -> Self) -> Self {
        match parts.pop() {
            Some(only) if parts.is_empty() => only,
            last => many(parts.into_iter().chain(last).collect()),
        }
    }

    fn each<'c>(&'c self, found: &mut Vec<&'c Test>) {
        match self {
            Self::Test(test) => found.push(test),
            Self::All(parts) | Self::Either(parts) => {
                parts.iter().for_each(|part| part.each(found));
            }
        }
    }
}

/// A property and what it must be.
#[derive(Clone, Debug)]
struct Test {
    path: Path,
    negated: bool,
    operator: Operator,
}

/// Where a property stands.
#[derive(Clone, Debug)]
struct Path {
    object_type: String,
    steps: Vec<Selector>,
}

/// A step of a path.
#[derive(Clone, Debug)]
enum Selector {
    Name(String),
    Item(i64),
    Any,
}

/// What a value must be. What cannot be looked for here says why.
#[derive(Clone, Debug)]
enum Operator {
    Order(Order, Literal),
    In(Vec<Literal>),
    Like(Vec<char>),
    Matches(Result<Regex, Fault>),
    Subset(Result<Network, Fault>),
    Superset(Result<Network, Fault>),
    Exists,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Order {
    Equal,
    Unequal,
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// An address, or a network of them: `198.51.100.0/24`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Network {
    /// How many bits an address has.
    width: u32,
    bits: u128,
    prefix: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let (width, bits) = match address.parse().ok()? {
            std::net::IpAddr::V4(address) => (32, u128::from(address.to_bits())),
            std::net::IpAddr::V6(address) => (128, address.to_bits()),
        };
        let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            Some(text) => {
                Some(text).filter(digits)?.parse().ok().filter(|prefix| *prefix <= width)?
            }
            None => width,
        };
        Some(Self { width, bits, prefix })
    }

    /// Whether all of another are in this one.
    fn holds(&self, other: &Self) -> bool {
        let net = |network: &Self| network.bits.checked_shr(self.width - self.prefix).unwrap_or(0);
        self.width == other.width && self.prefix <= other.prefix && net(self) == net(other)
    }
}
