//! Closures: what ends a device's standing (`docs/protocol/authority.md`, section 4), and adoptions,
//! which override them (section 5).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::hash::Digest;
use crate::id::{AgencyNo, Class, CoalitionId, DeviceId, EntryId, Incarnation, LogId, StatementId};
use crate::keys::RootKey;
use crate::statement::{Act, Statement};

use super::fact::{Fact, Logs, MarkSet};
use super::gathered::{Adopted, Gathered};
use super::positive::{Devices, Part, Positive};
use super::reach::Standing;
use super::route::Route;

/// On whose word a closure or an adoption stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
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
    /// Whose; `None` for the whole.
    pub(super) const fn agency(self) -> Option<AgencyNo> {
        match self {
            Self::Whole => None,
            Self::Root(agency) | Self::Desk(agency) | Self::Device(agency) => Some(agency),
        }
    }

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
    /// Whether it says how far a log counts; else it keeps nothing of it.
    #[must_use]
    pub fn names(&self, log: &LogId) -> bool {
        self.keep.get(&log.digest()).is_some()
    }

    /// What tells closures apart: an act of the whole and one of a root may have one name.
    const fn key(&self) -> Key {
        let rank = match self.author {
            Author::Whole => 0,
            Author::Root(_) => 1,
            Author::Desk(_) => 2,
            Author::Device(_) => 3,
        };
        (self.id, rank)
    }
}

/// A closure's name, and its author's rank.
type Key = (StatementId, u8);

/// The closures of an area's own facts and of root acts among them.
pub(super) fn closures(
    facts: &[&Fact],
    devices: &Devices,
    positive: &Positive,
    coalition: &CoalitionId,
) -> Vec<Arc<Closure>> {
    let mut found: BTreeMap<Key, Closure> = BTreeMap::new();
    let mut cuts = BTreeMap::new();
    for fact in facts {
        let closure = match &fact.statement {
            Statement::Revoke { device, .. } => revoker(fact.issuer(), device, devices, &mut cuts)
                .map(|author| Closure {
                    id: fact.id(),
                    author,
                    devices: BTreeSet::from([*device]),
                    issuer: Some(fact.issuer()),
                    keep: fact.marks.clone(),
                }),
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
        match found.entry(closure.key()) {
            Entry::Vacant(vacant) => {
                vacant.insert(closure);
            }
            Entry::Occupied(mut held) if held.get().keep.is_empty() => {
                held.get_mut().keep = closure.keep;
            }
            Entry::Occupied(_) => {}
        }
    }
    found.into_values().map(Arc::new).collect()
}

/// The closures that acts in force make. `orphans` are the devices of an agency that stand behind these of
/// its roots alone.
pub(super) fn closures_by_acts(
    positive: &Positive,
    orphans: &dyn Fn(AgencyNo, &[RootKey]) -> BTreeSet<DeviceId>,
) -> Vec<Arc<Closure>> {
    let closed = |act: &Act| match act {
        Act::Revoke { device, .. } => Some(BTreeSet::from([*device])),
        Act::Retire { agency, .. } => Some(positive.devices.of_agency(*agency)),
        Act::ReplaceRoot { agency, replaced, .. } => Some(orphans(*agency, replaced)),
        _ => None,
    };
    positive
        .acts
        .iter()
        .filter_map(|(id, held)| {
            Some(Arc::new(Closure {
                id: *id,
                author: Author::Whole,
                devices: closed(&held.act)?,
                issuer: None,
                keep: held.marks.clone(),
            }))
        })
        .collect()
}

/// On whose word a device's revocation by another stands; `None` if that one is not above it. Who is
/// of several agencies speaks as one of the device's, if he can.
fn revoker(
    issuer: DeviceId,
    device: &DeviceId,
    devices: &Devices,
    cuts: &mut BTreeMap<DeviceId, BTreeSet<DeviceId>>,
) -> Option<Author> {
    let shared = |(no, _): &(AgencyNo, &Part)| devices.of(device, *no).is_some();
    if let Some(no) = desk_above(&issuer, device, devices) {
        return Some(Author::Desk(no));
    }
    let mut parts = devices.parts(&issuer);
    let (no, part) = devices.parts(&issuer).find(shared).or_else(|| parts.next())?;
    let above = issuer == *device
        || cuts.entry(*device).or_insert_with(|| devices.cut(device)).contains(&issuer);
    above.then(|| part.author(no))
}

/// The smallest agency of a device as whose desk an issuer is above it: one that it is no desk of.
pub(super) fn desk_above(
    issuer: &DeviceId,
    device: &DeviceId,
    devices: &Devices,
) -> Option<AgencyNo> {
    let own_desk = |(no, part): &(AgencyNo, &Part)| {
        part.desk && devices.of(device, *no).is_some_and(|closed| !closed.desk)
    };
    devices.parts(issuer).find(own_desk).map(|(no, _)| no)
}

/// What decides how far each log counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    /// Closures by the devices that they close.
    closures: BTreeMap<DeviceId, BTreeMap<Key, Arc<Closure>>>,
    /// What the statements of the coalition adopt and reopen, in a compartment.
    above: Layer,
    /// What the area's own do.
    own: Layer,
}

/// What the statements of one area adopt and reopen.
#[derive(Clone, Debug, Default)]
struct Layer {
    gathered: Arc<Gathered>,
    /// Which closures do not apply to which incarnations.
    reopened: BTreeMap<(DeviceId, Incarnation), BTreeSet<Key>>,
}

impl Layer {
    fn new(
        gathered: Arc<Gathered>,
        closures: &BTreeMap<DeviceId, BTreeMap<Key, Arc<Closure>>>,
    ) -> Self {
        let mut reopened: BTreeMap<(DeviceId, Incarnation), BTreeSet<Key>> = BTreeMap::new();
        for ((device, incarnation, author), cites) in &gathered.cited {
            let permitted = author.agency().and_then(|agency| gathered.permitted.get(&agency));
            let lifts = |(_, closure): &(&Key, &Arc<Closure>)| {
                author.overrides(closure.author)
                    || closure.author == Author::Whole
                        && permitted.is_some_and(|permitted| permitted.contains(&closure.id))
            };
            let lifted = reopened.entry((*device, *incarnation)).or_default();
            let Some(closures) = closures.get(device) else { continue };
            for id in cites {
                let named = closures.range((*id, 0)..=(*id, u8::MAX));
                lifted.extend(named.filter(lifts).map(|(key, _)| *key));
            }
        }
        Self { gathered, reopened }
    }
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
    /// The log is forked, and a mark that chooses a branch does not lead along the one that is held.
    /// It names this entry as the last; of several such marks the greatest.
    Branch(EntryId),
    /// The device's standing was ended.
    Closed(StatementId),
    /// The device was readmitted in this incarnation by that statement, and what names the incarnation
    /// lets it write no such log.
    Readmitted(StatementId),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standing => f.write_str("its device may not write such a log"),
            Self::Fork => f.write_str("its log is forked"),
            Self::Branch(head) => {
                write!(f, "its log is forked, and the branch that ends with {head} was chosen")
            }
            Self::Closed(id) => write!(f, "its device's standing was ended by {id}"),
            Self::Readmitted(id) => write!(
                f,
                "its device was readmitted by {id}, and no statement that names this life of it lets \
                 it write such a log"
            ),
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
    /// Those of closures; in a compartment with what its coalition's statements adopt and reopen.
    pub(super) fn new(
        all: impl IntoIterator<Item = Arc<Closure>>,
        above: Option<Arc<Gathered>>,
    ) -> Self {
        let mut closures: BTreeMap<DeviceId, BTreeMap<Key, Arc<Closure>>> = BTreeMap::new();
        for closure in all {
            for device in &closure.devices {
                closures.entry(*device).or_default().insert(closure.key(), Arc::clone(&closure));
            }
        }
        let above = above.map(|above| Layer::new(above, &closures)).unwrap_or_default();
        Self { closures, above, own: Layer::default() }
    }

    /// The closures of a device.
    pub(super) fn closures_of(&self, device: &DeviceId) -> impl Iterator<Item = &Closure> {
        self.closures.get(device).into_iter().flat_map(BTreeMap::values).map(Arc::as_ref)
    }

    /// Counts what the area's own statements adopt and reopen, instead of what was counted before.
    pub(super) fn count(&mut self, own: Gathered) {
        self.own = Layer::new(Arc::new(own), &self.closures);
    }

    /// What the area's own statements adopt and reopen.
    pub(super) fn gathered(&self) -> Arc<Gathered> {
        Arc::clone(&self.own.gathered)
    }

    /// Whether a citation lifts a closure for a life of a device.
    fn is_reopened(&self, life: &(DeviceId, Incarnation), closure: &Closure) -> bool {
        let mut layers = [&self.above, &self.own].into_iter();
        layers.any(|layer| layer.reopened.get(life).is_some_and(|c| c.contains(&closure.key())))
    }

    /// The routes of the incarnations of a device for which no closure is active.
    pub(super) fn open<'a>(
        &'a self,
        device: &'a DeviceId,
        standing: &'a Standing,
    ) -> impl Iterator<Item = &'a Route> {
        let closed = self.closures_of(device).next().is_some();
        let every = (!closed).then_some(&standing.routes).into_iter().flatten();
        let is_open = move |life: &&Incarnation| self.is_open(&(*device, **life));
        let named = standing.lives.keys().filter(is_open);
        every.chain(named.flat_map(move |life| standing.routes_in(*life)))
    }

    /// The closures of a device that are active for one life of it.
    pub(super) fn active_in(
        &self,
        device: &DeviceId,
        life: Incarnation,
    ) -> impl Iterator<Item = &Closure> {
        let life = (*device, life);
        self.closures_of(device).filter(move |closure| !self.is_reopened(&life, closure))
    }

    /// Whether no closure of a device is active for one life of it.
    pub(super) fn is_open(&self, life: &(DeviceId, Incarnation)) -> bool {
        self.active_in(&life.0, life.1).next().is_none()
    }

    /// Whether a device's standing is open, for some incarnation.
    pub(super) fn is_live(&self, device: &DeviceId) -> bool {
        let lives = (*device, Incarnation(0))..=(*device, Incarnation(u64::MAX));
        let layers = [&self.above, &self.own].into_iter();
        let mut cited = layers.flat_map(|layer| layer.reopened.range(lives.clone()));
        self.closures_of(device).next().is_none() || cited.any(|(life, _)| self.is_open(life))
    }

    /// How far a log counts (`docs/protocol/authority.md`, section 6), if what is `supposed` were
    /// adopted, too. `standing` is that of its device by what counts.
    pub(super) fn of(
        &self,
        log: &LogId,
        standing: Option<&Standing>,
        logs: &dyn Logs,
        any_right: bool,
        supposed: Option<Adopted>,
    ) -> Limit {
        let Some(standing) = standing else { return Limit::none(Cause::Standing) };
        let mut routes = standing.routes_in(log.incarnation);
        if !routes.any(|route| any_right || route.writes(log.class)) {
            let by = standing.readmitted_by(log.incarnation);
            return Limit::none(by.map_or(Cause::Standing, |by| Cause::Readmitted(by.into())));
        }
        let fork = logs.forked_at(log);
        if self.closures_of(&log.device).next().is_none() && fork.is_none() {
            return Limit::ALL;
        }
        let sides = self.sides(log, standing, logs.proven_at(log), supposed);
        let mut limit = Limit::ALL;
        if let Some(fork) = fork {
            let (next, cause) = chosen(log, logs, fork, sides.choices(&log.device));
            limit.lower(next, cause);
        }
        for Closed { closure, next, .. } in sides.closed {
            limit.lower(next, Cause::Closed(closure.id));
        }
        limit
    }

    /// The greatest of the marks that choose a branch of a forked log. `standing` is that of its device by
    /// what counts; without one nothing of it counts, whatever is chosen.
    pub(super) fn choice(
        &self,
        log: &LogId,
        standing: Option<&Standing>,
        logs: &dyn Logs,
    ) -> Option<(u64, EntryId)> {
        let writes = |route: &Route| route.writes(log.class) && log.class != Class::Authority;
        let standing = standing.filter(|s| s.routes_in(log.incarnation).any(writes))?;
        let sides = self.sides(log, standing, Some(logs.proven_at(log)?), None);
        sides.choices(&log.device).map(|choice| (choice.count, choice.head)).max()
    }

    /// Who says what of a log, of which a fork is proven at a position, or none.
    fn sides(
        &self,
        log: &LogId,
        standing: &Standing,
        fork: Option<u64>,
        supposed: Option<Adopted>,
    ) -> Sides<'_> {
        let adopted = self.adopted(log, standing, supposed);
        let most = most_by_author(&adopted);
        let active = self.active_in(&log.device, log.incarnation);
        let closed = active.map(|closure| Closed::new(closure, &log.digest(), fork, &most));
        let closed = closed.collect();
        Sides { fork, closed, adopted }
    }

    /// Entries of a log below this position an adoption lets count, whatever that one ends.
    pub(super) fn adopted_over(
        &self,
        log: &LogId,
        standing: Option<&Standing>,
        closer: Author,
    ) -> u64 {
        let adopted = standing.map(|standing| self.adopted(log, standing, None));
        adopted.map_or(0, |adopted| most_adopted(&most_by_author(&adopted), closer))
    }

    /// The marks of the adopts that speak of a log.
    fn adopted(
        &self,
        log: &LogId,
        standing: &Standing,
        supposed: Option<Adopted>,
    ) -> BTreeSet<Adopted> {
        let digest = log.digest();
        let speaks = |(author, ..): &&Adopted| match author {
            Author::Whole => true,
            Author::Root(agency) | Author::Desk(agency) => {
                *agency == standing.agency && log.class != Class::Authority
            }
            Author::Device(_) => false,
        };
        let layers = [&self.above, &self.own].into_iter();
        let adopted = layers.filter_map(|layer| layer.gathered.adopted.get(&digest)).flatten();
        adopted.chain(&supposed).filter(speaks).copied().collect()
    }
}

/// Up to where each author's adoptions let a log count. Few speak of one log, however often: what closures
/// and adoptions cost together is a sum, no product.
fn most_by_author(adopted: &BTreeSet<Adopted>) -> BTreeMap<Author, u64> {
    let mut most = BTreeMap::new();
    for (author, count, _) in adopted {
        let held = most.entry(*author).or_insert(0);
        *held = (*held).max(*count);
    }
    most
}

/// Up to where adoptions let a log count over what that one says.
fn most_adopted(most: &BTreeMap<Author, u64>, closer: Author) -> u64 {
    let over = most.iter().filter(|(author, _)| author.overrides(closer));
    over.map(|(_, count)| *count).max().unwrap_or(0)
}

/// What bears on one log.
struct Sides<'a> {
    /// The lowest position at which it is proven to be forked.
    fork: Option<u64>,
    /// The active closures.
    closed: Vec<Closed<'a>>,
    /// The marks of the adopts that speak of it.
    adopted: BTreeSet<Adopted>,
}

impl Sides<'_> {
    /// The marks that choose a branch of a log of this device.
    fn choices(&self, device: &DeviceId) -> impl Iterator<Item = Choice> {
        let beyond = |choice: &Choice| self.fork.is_some_and(|fork| choice.count > fork);
        let adopts = self.adopted.iter();
        let adopts = adopts.map(|(_, count, head)| Choice::new(*count, *head, false));
        let keeps = self.closed.iter().filter_map(|closed| closed.choice(device));
        adopts.chain(keeps).filter(beyond)
    }
}

/// An active closure, as it bears on one log.
struct Closed<'a> {
    closure: &'a Closure,
    /// What it keeps of the log, if it has a say in that.
    kept: Option<(u64, EntryId)>,
    /// Entries below this position it lets count, or an adoption that overrides it.
    next: u64,
}

impl<'a> Closed<'a> {
    fn new(
        closure: &'a Closure,
        digest: &Digest,
        fork: Option<u64>,
        most: &BTreeMap<Author, u64>,
    ) -> Self {
        let adopted = most_adopted(most, closure.author);
        // Who is overridden chooses no branch.
        let overridden = fork.is_some_and(|fork| adopted > fork);
        let kept = closure.keep.get(digest);
        let count = kept.map_or(0, |(count, _)| count);
        let own = fork.filter(|_| overridden).map_or(count, |fork| count.min(fork));
        Self { closure, kept: kept.filter(|_| !overridden), next: own.max(adopted) }
    }

    /// The branch that it keeps of a log of this device.
    fn choice(&self, device: &DeviceId) -> Option<Choice> {
        let own = self.closure.issuer == Some(*device);
        self.kept.map(|(count, head)| Choice::new(count, head, own))
    }
}

/// A mark beyond a fork: what it says of the branch that counts.
#[derive(Clone, Copy, Debug)]
struct Choice {
    count: u64,
    head: EntryId,
    /// Whether the forker himself said it. That lets nothing count.
    own: bool,
}

impl Choice {
    const fn new(count: u64, head: EntryId, own: bool) -> Self {
        Self { count, head, own }
    }
}

/// How far the branch that is held counts past a fork: as far as one of the choices goes, if all of
/// them lead along this branch.
fn chosen(
    log: &LogId,
    logs: &dyn Logs,
    fork: u64,
    choices: impl Iterator<Item = Choice>,
) -> (u64, Cause) {
    if log.class == Class::Authority {
        return (fork, Cause::Fork);
    }
    let (mut next, mut elsewhere) = (fork, None);
    for Choice { count, head, own } in choices {
        if logs.id_at(log, count.saturating_sub(1)) != Some(head) {
            elsewhere = elsewhere.max(Some((count, head)));
        } else if !own {
            next = next.max(count);
        }
    }
    match elsewhere {
        Some((_, head)) => (fork, Cause::Branch(head)),
        None => (next, Cause::Fork),
    }
}
