//! Plans: a scenario with everything drawn: who there is, every contact, every record, every fault, each
//! with its moment.
//!
//! A plan says all that a run needs but for what peers draw themselves. It can be written as a scenario
//! again ([`Plan::to_toml`]), which has no rates and no families any more; so a failing run can be made
//! smaller piece by piece, and read.

mod draw;
mod motion;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tearline_crdt::id::Class;

use crate::agenda::Nanos;
use crate::goal::Goal;
pub use crate::scenario::{FaultKind, Hostile};

/// What a run carries out.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// What everything random is drawn from.
    pub seed: u64,
    /// How long work goes on.
    pub length: Nanos,
    /// How long contacts go on after that.
    pub tail: Nanos,
    /// Within what time all must hold the same once nothing fails.
    pub settle: Nanos,
    /// Who takes part.
    pub agencies: Vec<Agency>,
    /// Their peers.
    pub posts: Vec<Post>,
    /// Who may read what.
    pub compartments: Vec<Compartment>,
    /// What links the posts.
    pub lines: Vec<Line>,
    /// What is written, in order of time.
    pub writes: Vec<Write>,
    /// What breaks, in order of time.
    pub faults: Vec<Fault>,
    /// What is good enough.
    pub goals: Vec<Goal>,
}

/// An agency.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agency {
    /// Two letters.
    pub country: String,
    /// What people call it.
    pub name: String,
}

/// A post with its one peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Post {
    /// Its name.
    pub name: String,
    /// The number of its agency among [`Plan::agencies`].
    pub agency: u32,
    /// Whether it stores and forwards without the right to read.
    pub relay: bool,
    /// By how many ns its wall clock is wrong.
    pub clock: i64,
    /// What it does that it must not.
    pub hostile: Option<Hostile>,
    /// The post whose device it copies.
    pub copies: Option<u32>,
}

/// A compartment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Compartment {
    /// Its name.
    pub name: String,
    /// Numbers of the agencies that may read it.
    pub audience: Vec<u32>,
}

/// A link.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The two posts.
    pub between: [u32; 2],
    /// Bits in a second.
    pub rate: u64,
    /// One way.
    pub latency: Nanos,
    /// What a frame may take longer.
    pub jitter: Nanos,
    /// What share of packets is lost and sent again.
    pub loss: f64,
    /// Whether one direction waits while the other sends.
    pub half_duplex: bool,
    /// The contacts: beginning and end, one after the other; `None`: always.
    pub windows: Option<Vec<(Nanos, Nanos)>>,
}

/// A record, or a change of an earlier one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Write {
    /// When.
    pub at: Nanos,
    /// By which post.
    pub by: u32,
    /// In which compartment.
    pub compartment: u32,
    /// How urgent.
    pub class: Class,
    /// How much text.
    pub bytes: u64,
    /// Whether it changes an earlier record of the post, if there is one.
    pub edit: bool,
    /// What it says in an exercise, where that is not drawn.
    pub says: Option<Arc<str>>,
}

/// A fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// When.
    pub at: Nanos,
    /// How long.
    pub lasts: Nanos,
    /// What.
    pub kind: FaultKind,
    /// Whom it hits.
    pub posts: Vec<u32>,
    /// By how many ns a clock jumps or a disk is rolled back; 0 of others.
    pub by: i64,
}

/// What the command line changes of a scenario.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// How long work goes on.
    pub length: Option<Nanos>,
    /// How many peers there are.
    pub peers: Option<u32>,
}

impl Plan {
    /// Whether a post may read a compartment.
    #[must_use]
    pub fn reads(&self, post: u32, compartment: u32) -> bool {
        let post = self.posts.get(post as usize);
        let compartment = self.compartments.get(compartment as usize);
        post.zip(compartment).is_some_and(|(p, c)| !p.relay && c.audience.contains(&p.agency))
    }

    /// Whether a post stores a compartment and passes it on.
    #[must_use]
    pub fn carries(&self, post: u32, compartment: u32) -> bool {
        let post = self.posts.get(post as usize);
        let compartment = self.compartments.get(compartment as usize);
        post.zip(compartment).is_some_and(|(p, c)| c.audience.contains(&p.agency))
    }

    /// Whether a post does as it should from the first moment to the last. Of the others nothing is asked,
    /// and nothing is owed to them: those that are hostile, are there twice, or come into other hands.
    #[must_use]
    pub fn is_honest(&self, post: u32) -> bool {
        let is_copied = |other: &Post| other.copies == Some(post);
        let is_seized = |fault: &Fault| fault.kind.ends_standing() && fault.posts.contains(&post);
        self.posts.get(post as usize).is_some_and(|p| p.hostile.is_none() && p.copies.is_none())
            && !self.posts.iter().any(is_copied)
            && !self.faults.iter().any(is_seized)
    }

    /// The post whose device a post has.
    #[must_use]
    pub fn original(&self, post: u32) -> u32 {
        self.posts.get(post as usize).and_then(|p| p.copies).unwrap_or(post)
    }

    /// The desk of an agency: its first post that is no relay and no copy.
    #[must_use]
    pub fn desk(&self, agency: u32) -> Option<u32> {
        let is_desk = |post: &Post| post.agency == agency && !post.relay && post.copies.is_none();
        self.posts.iter().position(is_desk).map(|post| post as u32)
    }

    /// Two honest posts that carry a compartment, or of the coalition, and that no chain of links joins over
    /// honest posts that carry it, too; with the compartment's name.
    #[must_use]
    pub fn island(&self) -> Option<(&str, &str, &str)> {
        let name = |post: u32| self.posts.get(post as usize).map_or("", |post| post.name.as_str());
        let posts = 0..self.posts.len() as u32;
        let all: BTreeSet<u32> = posts.filter(|post| self.is_honest(*post)).collect();
        let mut groups = vec![("the coalition", all.clone())];
        for (number, compartment) in (0..).zip(&self.compartments) {
            let carriers = all.iter().copied().filter(|post| self.carries(*post, number));
            groups.push((compartment.name.as_str(), carriers.collect()));
        }
        let mut neighbours: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for [a, b] in self.lines.iter().map(|line| line.between) {
            neighbours.entry(a).or_default().push(b);
            neighbours.entry(b).or_default().push(a);
        }
        groups.into_iter().find_map(|(group, carriers)| {
            let first = *carriers.first()?;
            let (mut reached, mut next) = (BTreeSet::from([first]), vec![first]);
            while let Some(post) = next.pop() {
                for other in neighbours.get(&post).into_iter().flatten() {
                    if carriers.contains(other) && reached.insert(*other) {
                        next.push(*other);
                    }
                }
            }
            let apart = carriers.difference(&reached).next()?;
            Some((group, name(first), name(*apart)))
        })
    }

    /// When contacts end and the oracles begin to wait for all to hold the same.
    #[must_use]
    pub const fn horizon(&self) -> Nanos {
        self.length.saturating_add(self.tail)
    }
}
