//! What a pass covers: which right, where, over which kinds and labels, for which operations, and
//! when. A request must lie within all of them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use tearline_crdt::id::CompartmentId;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::vocabulary::Tlp;
use tearline_crdt::statement::Right;
use tearline_crdt::time::WallTime;

use super::COMPARTMENTS_MAX;

/// The rights that a pass can carry. To admit and to revoke are acts of a device and its operator,
/// and to relay needs a peer: no pass carries those.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum PassRight {
    /// See what the device sees.
    Read,
    /// Write as the device; includes reading.
    Write,
}

impl PassRight {
    /// All of them, the lesser first.
    pub const ALL: [Self; 2] = [Self::Read, Self::Write];

    /// The right of a device that this one needs behind it.
    #[must_use]
    pub const fn right(self) -> Right {
        match self {
            Self::Read => Right::Read,
            Self::Write => Right::Write,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// What a program asks to do. The right that it takes follows from it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Operation {
    /// See one record.
    Read,
    /// Find records.
    Search,
    /// Take records out, in a file or a collection.
    Export,
    /// Write or change one record.
    Write,
    /// Bring in a file of records.
    Import,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Search, Self::Export, Self::Write, Self::Import];

    /// The right that it takes.
    #[must_use]
    pub const fn needs(self) -> PassRight {
        match self {
            Self::Read | Self::Search | Self::Export => PassRight::Read,
            Self::Write | Self::Import => PassRight::Write,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Search => "search",
            Self::Export => "export",
            Self::Write => "write",
            Self::Import => "import",
        }
    }
}

/// A text that names none of a few words.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected one of: {0}")]
pub struct NoSuchWord(&'static str);

impl FromStr for PassRight {
    type Err = NoSuchWord;

    fn from_str(text: &str) -> Result<Self, NoSuchWord> {
        Self::ALL.into_iter().find(|r| r.name() == text).ok_or(NoSuchWord("read, write"))
    }
}

impl FromStr for Operation {
    type Err = NoSuchWord;

    fn from_str(text: &str) -> Result<Self, NoSuchWord> {
        let words = NoSuchWord("read, search, export, write, import");
        Self::ALL.into_iter().find(|operation| operation.name() == text).ok_or(words)
    }
}

/// What is covered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scope {
    /// The right.
    pub right: PassRight,
    /// The compartments.
    pub compartments: BTreeSet<CompartmentId>,
    /// The kinds of record.
    pub kinds: BTreeSet<Kind>,
    /// The most restrictive colour that a record's label may have.
    pub label_max: Tlp,
    /// The operations.
    pub operations: BTreeSet<Operation>,
    /// From when on.
    pub not_before: Second,
    /// From when on no more.
    pub not_after: Second,
}

/// A narrowing: of each limit that it names, only what lies within. `None` leaves a limit as it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Narrowing {
    /// At most this right.
    pub right: Option<PassRight>,
    /// Only these compartments.
    pub compartments: Option<BTreeSet<CompartmentId>>,
    /// Only these kinds.
    pub kinds: Option<BTreeSet<Kind>>,
    /// Only labels of this colour or a less restrictive one.
    pub label_max: Option<Tlp>,
    /// Only these operations.
    pub operations: Option<BTreeSet<Operation>>,
    /// Not before this.
    pub not_before: Option<Second>,
    /// Not from this on.
    pub not_after: Option<Second>,
}

/// A whole second since 1970-01-01T00:00:00Z: the time of Biscuit's Datalog.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Second(pub u64);

impl Second {
    /// The second that a time lies in.
    #[must_use]
    pub const fn of(time: WallTime) -> Self {
        Self(time.0 / 1_000)
    }

    /// Its beginning.
    #[must_use]
    pub const fn time(self) -> WallTime {
        WallTime(self.0.saturating_mul(1_000))
    }
}

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.time().fmt(f)
    }
}

/// What a request must lie within. The order is that of the checks in a block.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Limit {
    /// It begins later.
    NotBefore,
    /// It has ended.
    NotAfter,
    /// The operation takes a greater right.
    Right,
    /// Another compartment.
    Compartment,
    /// Another kind of record.
    Kind,
    /// A more restrictive label, or one that is not known.
    Label,
    /// Another operation.
    Operation,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NotBefore,
        Self::NotAfter,
        Self::Right,
        Self::Compartment,
        Self::Kind,
        Self::Label,
        Self::Operation,
    ];
}

/// Why a scope or a narrowing is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ScopeError {
    /// It would cover nothing; or, of a narrowing, it limits nothing.
    #[error("it names no {0}")]
    Nothing(&'static str),
    /// Too many compartments.
    #[error("it names {found} compartments, at most {COMPARTMENTS_MAX} can be")]
    Compartments {
        /// How many.
        found: usize,
    },
    /// An operation that its right does not reach.
    #[error("the operation {} takes a greater right than it has", .0.name())]
    Operation(Operation),
    /// It ends before it begins.
    #[error("it ends before it begins")]
    Backwards,
}

impl Scope {
    /// Refuses a scope that covers nothing or names too much.
    pub fn check(&self) -> Result<(), ScopeError> {
        check_sets(Some(&self.compartments), Some(&self.kinds), Some(&self.operations))?;
        if let Some(above) = self.operations.iter().find(|o| o.needs() > self.right) {
            return Err(ScopeError::Operation(*above));
        }
        if self.not_after <= self.not_before {
            return Err(ScopeError::Backwards);
        }
        Ok(())
    }

    /// What is left of it. The sets may become empty, and the time may end before it begins: then
    /// nothing is left.
    #[must_use]
    pub fn narrowed(mut self, by: &Narrowing) -> Self {
        self.right = by.right.map_or(self.right, |right| right.min(self.right));
        if let Some(within) = &by.compartments {
            self.compartments.retain(|compartment| within.contains(compartment));
        }
        if let Some(within) = &by.kinds {
            self.kinds.retain(|kind| within.contains(kind));
        }
        self.label_max = by.label_max.map_or(self.label_max, |label| label.min(self.label_max));
        if let Some(within) = &by.operations {
            self.operations.retain(|operation| within.contains(operation));
        }
        self.not_before = by.not_before.map_or(self.not_before, |from| from.max(self.not_before));
        self.not_after = by.not_after.map_or(self.not_after, |to| to.min(self.not_after));
        let right = self.right;
        self.operations.retain(|operation| operation.needs() <= right);
        self
    }

    /// Of what a narrowing names, the limits that leave it as it is: what they name is all there, and
    /// nothing that lies beyond is given by them.
    #[must_use]
    pub fn idle(&self, by: &Narrowing) -> BTreeSet<Limit> {
        let leaves_all = |limit: &Limit| {
            let alone = by.of(|one| one == *limit);
            self.clone().narrowed(&alone) == *self
        };
        by.limits().filter(leaves_all).collect()
    }
}

impl Narrowing {
    /// Refuses a narrowing that limits nothing, leaves nothing, or names too much.
    pub fn check(&self) -> Result<(), ScopeError> {
        if self.limits().next().is_none() {
            return Err(ScopeError::Nothing("limit"));
        }
        check_sets(self.compartments.as_ref(), self.kinds.as_ref(), self.operations.as_ref())
    }

    /// Of its limits those that are kept.
    #[must_use]
    pub fn of(&self, kept: impl Fn(Limit) -> bool) -> Self {
        let sets = (&self.compartments, &self.kinds, &self.operations);
        Self {
            right: self.right.filter(|_| kept(Limit::Right)),
            compartments: sets.0.clone().filter(|_| kept(Limit::Compartment)),
            kinds: sets.1.clone().filter(|_| kept(Limit::Kind)),
            label_max: self.label_max.filter(|_| kept(Limit::Label)),
            operations: sets.2.clone().filter(|_| kept(Limit::Operation)),
            not_before: self.not_before.filter(|_| kept(Limit::NotBefore)),
            not_after: self.not_after.filter(|_| kept(Limit::NotAfter)),
        }
    }

    /// What it limits, in the order of the checks of its block.
    pub fn limits(&self) -> impl Iterator<Item = Limit> {
        Limit::ALL.into_iter().filter(|limit| match limit {
            Limit::NotBefore => self.not_before.is_some(),
            Limit::NotAfter => self.not_after.is_some(),
            Limit::Right => self.right.is_some(),
            Limit::Compartment => self.compartments.is_some(),
            Limit::Kind => self.kinds.is_some(),
            Limit::Label => self.label_max.is_some(),
            Limit::Operation => self.operations.is_some(),
        })
    }
}

fn check_sets(
    compartments: Option<&BTreeSet<CompartmentId>>,
    kinds: Option<&BTreeSet<Kind>>,
    operations: Option<&BTreeSet<Operation>>,
) -> Result<(), ScopeError> {
    if compartments.is_some_and(BTreeSet::is_empty) {
        return Err(ScopeError::Nothing("compartment"));
    }
    if kinds.is_some_and(BTreeSet::is_empty) {
        return Err(ScopeError::Nothing("kind"));
    }
    if operations.is_some_and(BTreeSet::is_empty) {
        return Err(ScopeError::Nothing("operation"));
    }
    match compartments.map(BTreeSet::len) {
        Some(found) if found > COMPARTMENTS_MAX => Err(ScopeError::Compartments { found }),
        _ => Ok(()),
    }
}
