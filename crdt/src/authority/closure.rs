//! Closures: what ends a device's standing (`docs/protocol/authority.md`, section 4), and adoptions,
//! which override them (section 5).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::hash::Digest;
use crate::id::{AgencyNo, Class, CoalitionId, DeviceId, Incarnation, LogId, StatementId};
use crate::statement::{Act, Reopening, Statement};

use super::fact::{Fact, Logs, MarkSet};
use super::positive::{Devices, Part, Positive};
use super::reach::Standing;

/// On whose word a closure or an adoption stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Author {
    /// A quorum of the founders.
    Whole,
    /// An agency's root.
    Root(AgencyNo),
    /// A desk of an agency.
    Desk(AgencyNo),
    /// Another device of an agency.
    Device(AgencyNo),
}

impl Author {
    /// Whether this one's adoption overrides that one's closure: nobody reaches above himself.
    #[must_use]
    pub fn overrides(self, closer: Self) -> bool {
        match (self, closer) {
            (Self::Whole, _) => true,
            (_, Self::Whole) | (Self::Device(_), _) => false,
            (Self::Root(own), Self::Root(no) | Self::Desk(no) | Self::Device(no))
            | (Self::Desk(own), Self::Desk(no) | Self::Device(no)) => own == no,
            (Self::Desk(_), Self::Root(_)) => false,
        }
    }
}

/// The end of a standing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closure {
    /// Its name.
    pub id: StatementId,
    /// On whose word.
    pub author: Author,
    /// The devices that it closes.
    pub devices: BTreeSet<DeviceId>,
    /// Which device said so, if one did.
    pub issuer: Option<DeviceId>,
    pub(super) keep: MarkSet,
}

impl Closure {
    /// What tells closures apart: an act of the whole and one of a root may have one name.
    const fn key(&self) -> (StatementId, u8) {
        let rank = match self.author {
            Author::Whole => 0,
            Author::Root(_) => 1,
            Author::Desk(_) => 2,
            Author::Device(_) => 3,
        };
        (self.id, rank)
    }
}

/// A prefix that an adoption lets count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Adopted {
    pub(super) author: Author,
    pub(super) count: u64,
    pub(super) head: crate::id::EntryId,
}

/// The closures of an area's own facts, of root acts among them and of the acts in force. `without`
/// draws positive reach as it would be without one device's grants.
pub(super) fn closures(
    facts: &[&Fact],
    devices: &Devices,
    positive: &Positive,
    without: &dyn Fn(&DeviceId) -> Devices,
    coalition: &CoalitionId,
) -> Vec<Closure> {
    let mut found = BTreeMap::new();
    let mut cuts: BTreeMap<DeviceId, Devices> = BTreeMap::new();
    for fact in facts {
        let closure = match &fact.statement {
            Statement::Revoke { device, .. } => {
                revoker(fact.issuer(), device, devices, &mut cuts, without).map(|author| Closure {
                    id: fact.id(),
                    author,
                    devices: BTreeSet::from([*device]),
                    issuer: Some(fact.issuer()),
                    keep: fact.marks.clone(),
                })
            }
            Statement::RootAct(root) => {
                let Act::Revoke { device, .. } = &root.act else { continue };
                let mut agencies = positive.agencies_of(&root.root);
                let own = agencies.find(|no| devices.of(device, *no).is_some());
                own.map(|agency| Closure {
                    id: root.id(coalition),
                    author: Author::Root(agency),
                    devices: BTreeSet::from([*device]),
                    issuer: None,
                    keep: fact.marks.clone(),
                })
            }
            _ => None,
        };
        let Some(closure) = closure else { continue };
        // Copies of one root's act differ at most in whether its marks came along.
        let held = found.entry(closure.key()).or_insert(closure.clone());
        if held.keep.is_empty() {
            held.keep = closure.keep;
        }
    }
    found.into_values().collect()
}

/// The closures that acts in force make. `orphans` are the devices of an agency that stand behind
/// replaced roots alone.
pub(super) fn closures_by_acts(
    positive: &Positive,
    orphans: &dyn Fn(AgencyNo) -> BTreeSet<DeviceId>,
) -> Vec<Closure> {
    let closed = |act: &Act| match act {
        Act::Revoke { device, .. } => Some(BTreeSet::from([*device])),
        Act::Retire { agency, .. } => Some(positive.devices.of_agency(*agency)),
        Act::ReplaceRoot { agency, .. } => Some(orphans(*agency)),
        _ => None,
    };
    positive
        .acts
        .iter()
        .filter_map(|(id, held)| {
            Some(Closure {
                id: *id,
                author: Author::Whole,
                devices: closed(&held.act)?,
                issuer: None,
                keep: held.marks.clone(),
            })
        })
        .collect()
}

/// On whose word a device's revocation by another stands; `None` if that one is not above it. Who is
/// of several agencies speaks as one of the device's, if he can.
fn revoker(
    issuer: DeviceId,
    device: &DeviceId,
    devices: &Devices,
    cuts: &mut BTreeMap<DeviceId, Devices>,
    without: &dyn Fn(&DeviceId) -> Devices,
) -> Option<Author> {
    let shared = |(no, _): &(AgencyNo, &Part)| devices.of(device, *no).is_some();
    let own_desk = |(no, part): &(AgencyNo, &Part)| {
        part.desk && devices.of(device, *no).is_some_and(|closed| !closed.desk)
    };
    if let Some((no, _)) = devices.parts(&issuer).find(own_desk) {
        return Some(Author::Desk(no));
    }
    let mut parts = devices.parts(&issuer);
    let (no, part) = devices.parts(&issuer).find(shared).or_else(|| parts.next())?;
    let above = issuer == *device
        || devices.contains(device)
            && !cuts.entry(issuer).or_insert_with(|| without(&issuer)).contains(device);
    above.then(|| part.author(no))
}

/// What decides how far each log counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    /// Closures by the devices that they close.
    closures: BTreeMap<DeviceId, Vec<Closure>>,
    /// Which closures do not apply to which incarnations.
    reopened: BTreeMap<(DeviceId, Incarnation), BTreeSet<(StatementId, u8)>>,
    /// Adoptions by log.
    adopted: BTreeMap<Digest, Vec<Adopted>>,
}

/// How far a log counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limit {
    /// Entries below this position count.
    pub next: u64,
    /// Why the one at it does not; `None` if all count.
    pub cause: Option<Cause>,
}

/// Why an entry is quarantined.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Cause {
    /// Its device has no standing that lets it write such a log.
    Standing,
    /// The log is forked.
    Fork,
    /// The device's standing was ended.
    Closed(StatementId),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standing => f.write_str("its device may not write such a log"),
            Self::Fork => f.write_str("its log is forked"),
            Self::Closed(id) => write!(f, "its device's standing was ended by {id}"),
        }
    }
}

impl Limit {
    /// All of the log counts.
    pub const ALL: Self = Self { next: u64::MAX, cause: None };

    const fn none(cause: Cause) -> Self {
        Self { next: 0, cause: Some(cause) }
    }

    fn lower(&mut self, next: u64, cause: Cause) {
        if next < self.next {
            *self = Self { next, cause: Some(cause) };
        }
    }
}

impl Limits {
    pub(super) fn new(closures: impl IntoIterator<Item = Closure>) -> Self {
        let mut limits = Self::default();
        for closure in closures {
            for device in &closure.devices {
                limits.closures.entry(*device).or_default().push(closure.clone());
            }
        }
        limits
    }

    /// The closures of a device.
    pub(super) fn closures_of(&self, device: &DeviceId) -> &[Closure] {
        self.closures.get(device).map(Vec::as_slice).unwrap_or_default()
    }

    /// Counts a certificate's or grant's citations: of closures by authors whom its own overrides,
    /// and of those by acts that an admission permits to be lifted.
    pub(super) fn reopen(
        &mut self,
        device: DeviceId,
        reopening: &Reopening,
        author: Author,
        permitted: &BTreeSet<StatementId>,
    ) {
        let lifts = |closure: &&Closure| {
            reopening.cites.contains(&closure.id)
                && (author.overrides(closure.author)
                    || closure.author == Author::Whole && permitted.contains(&closure.id))
        };
        let lifted: Vec<(StatementId, u8)> =
            self.closures_of(&device).iter().filter(lifts).map(Closure::key).collect();
        self.reopened.entry((device, reopening.incarnation)).or_default().extend(lifted);
    }

    pub(super) fn adopt(&mut self, author: Author, marks: &MarkSet) {
        for mark in marks.iter() {
            let adopted = Adopted { author, count: mark.count, head: mark.head };
            self.adopted.entry(mark.log).or_default().push(adopted);
        }
    }

    /// Forgets adoptions and citations.
    pub(super) fn reset(&mut self) {
        self.adopted.clear();
        self.reopened.clear();
    }

    /// Whether a device's standing is open, for some incarnation.
    pub(super) fn is_live(&self, device: &DeviceId) -> bool {
        let closures = self.closures_of(device);
        let first = (*device, Incarnation(0));
        let last = (*device, Incarnation(u64::MAX));
        closures.is_empty()
            || self
                .reopened
                .range(first..=last)
                .any(|(_, cited)| closures.iter().all(|closure| cited.contains(&closure.key())))
    }

    /// How far a log counts (`docs/protocol/authority.md`, section 6). `standing` is that of its
    /// device by what counts.
    pub(super) fn of(
        &self,
        log: &LogId,
        standing: Option<&Standing>,
        logs: &dyn Logs,
        any_right: bool,
    ) -> Limit {
        let Some(standing) = standing.filter(|s| any_right || s.writes(log.class)) else {
            return Limit::none(Cause::Standing);
        };
        let closures = self.closures_of(&log.device);
        let fork = logs.forked_at(log);
        if closures.is_empty() && fork.is_none() {
            return Limit::ALL;
        }
        let digest = log.digest();
        let adopted = self.adopted.get(&digest).map(Vec::as_slice).unwrap_or_default();
        let speaks = |adopted: &&Adopted| match adopted.author {
            Author::Whole => true,
            Author::Root(agency) | Author::Desk(agency) => {
                agency == standing.agency && log.class != Class::Authority
            }
            Author::Device(_) => false,
        };
        let adopted: Vec<&Adopted> = adopted.iter().filter(speaks).collect();
        let view = View { log, logs, fork };
        let mut limit = Limit::ALL;
        if let Some(fork) = fork {
            limit.lower(view.branch_limit(fork, closures, &adopted, &digest), Cause::Fork);
        }
        let cited = self.reopened.get(&(log.device, log.incarnation));
        for closure in closures {
            if cited.is_some_and(|cited| cited.contains(&closure.key())) {
                continue;
            }
            let kept = closure.keep.get(&digest).map_or(0, |mark| view.reaches(mark));
            let over = adopted.iter().filter(|adopted| adopted.author.overrides(closure.author));
            let over = over.map(|adopted| view.reaches((adopted.count, adopted.head)));
            limit.lower(over.fold(kept, u64::max), Cause::Closed(closure.id));
        }
        limit
    }
}

/// One log, as it is held.
struct View<'a> {
    log: &'a LogId,
    logs: &'a dyn Logs,
    fork: Option<u64>,
}

impl View<'_> {
    /// How many entries of the held branch are within a mark: all that it counts, if it leads along
    /// this branch; else those before the fork.
    fn reaches(&self, (count, head): (u64, crate::id::EntryId)) -> u64 {
        match self.fork {
            Some(fork) if count > fork && !self.is_own((count, head)) => fork,
            _ => count,
        }
    }

    /// Whether a mark lies on the held branch.
    fn is_own(&self, (count, head): (u64, crate::id::EntryId)) -> bool {
        self.logs.id_at(self.log, count.saturating_sub(1)) == Some(head)
    }

    /// How far the held branch counts past a fork: as far as a mark leads along it, unless an
    /// adoption names another branch.
    fn branch_limit(
        &self,
        fork: u64,
        closures: &[Closure],
        adopted: &[&Adopted],
        digest: &Digest,
    ) -> u64 {
        if self.log.class == Class::Authority {
            return fork;
        }
        let adopted = || adopted.iter().map(|adopted| (adopted.count, adopted.head));
        if adopted().any(|mark| !self.is_own(mark)) {
            return fork;
        }
        // Nobody chooses a branch of his own log.
        let others = closures.iter().filter(|closure| closure.issuer != Some(self.log.device));
        let kept = others.filter_map(|closure| closure.keep.get(digest));
        kept.chain(adopted()).map(|mark| self.reaches(mark)).fold(fork, u64::max)
    }
}
