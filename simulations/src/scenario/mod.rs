//! Scenarios: what is to be simulated, as a TOML file says it. `docs/simulations.md` describes the form.
//!
//! Reading refuses every field that it does not know and every name that leads nowhere, and says in which
//! line and what to do. What it lets through, every seed makes a plan of.

mod check;
mod moves;

pub(crate) use check::{LENGTH_MAX, POSTS_MAX, RANGE_PAIRS_MAX, class_named};
pub use moves::{MoveKind, Moves, Place};

use serde::Deserialize;
use toml::Spanned;

use crate::goal::Goal;
use crate::quantity::{Distance, Length, Offset, Rate, Size};

/// What is to be simulated.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: lower-case letters, digits and hyphens.
    pub name: Spanned<String>,
    /// What it is about, in a sentence or two.
    pub about: String,
    /// How long work goes on.
    pub length: Length,
    /// How long the contacts go on after that, so that what was written last can still arrive.
    #[serde(default)]
    pub tail: Length,
    /// Within what time all must hold the same once every link is up and nothing fails any more.
    pub settle: Length,
    /// Who takes part.
    #[serde(rename = "agency")]
    pub agencies: Vec<Agency>,
    /// Where their devices are.
    #[serde(rename = "post")]
    pub posts: Vec<Posts>,
    /// Who may read what.
    #[serde(rename = "compartment")]
    pub compartments: Vec<Audience>,
    /// What links the posts, and when.
    #[serde(rename = "link", default)]
    pub links: Vec<Links>,
    /// What is written.
    #[serde(rename = "work", default)]
    pub work: Vec<Work>,
    /// Single records, each at its time.
    #[serde(rename = "write", default)]
    pub writes: Vec<SingleWrite>,
    /// Kinds of faults of which every seed draws some.
    #[serde(default)]
    pub families: Vec<Family>,
    /// Single faults, each at its time.
    #[serde(rename = "fault", default)]
    pub faults: Vec<SingleFault>,
    /// What is good enough: `flash p95 < 15 min`.
    #[serde(default)]
    pub goals: Vec<Spanned<Goal>>,
}

/// An agency.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agency {
    /// Two letters, by which the rest of the scenario calls it.
    pub country: Spanned<String>,
    /// What people call it.
    pub name: String,
}

/// A post, or several of one kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posts {
    /// The name. Of several, the first is called `name-1`, and the name alone means all.
    pub name: Spanned<String>,
    /// Whose.
    pub agency: Spanned<String>,
    /// How many. Groups of one stay one, whatever `--peers` says.
    #[serde(default = "one")]
    pub count: u32,
    /// Whether it stores and forwards without the right to read.
    #[serde(default)]
    pub relay: bool,
    /// By how much its clock is wrong.
    #[serde(default)]
    pub clock: Offset,
    /// Where it stands, if anything is linked by nearness.
    pub at: Option<Spanned<Place>>,
    /// How it moves; each of a group by itself.
    pub moves: Option<Spanned<Moves>>,
    /// What it does that it must not, from the first moment to the last.
    pub hostile: Option<Hostile>,
    /// The post whose device it copies, with its keys and its disk.
    pub copies: Option<Spanned<String>>,
}

/// A compartment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audience {
    /// The name.
    pub name: Spanned<String>,
    /// The agencies that may read it.
    pub audience: Spanned<Vec<String>>,
}

/// Links between posts of two groups, or within one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// Each post of this group ...
    pub from: Spanned<String>,
    /// ... has links to posts of this one.
    pub to: Spanned<String>,
    /// To how many.
    #[serde(default = "one")]
    pub each: u32,
    /// Of each direction; of both together where it is half duplex.
    pub rate: Rate,
    /// One way.
    #[serde(default)]
    pub latency: Length,
    /// What a frame may take longer, drawn for each.
    #[serde(default)]
    pub jitter: Length,
    /// Of the packets, what share is lost and sent again.
    #[serde(default)]
    pub loss: f64,
    /// Whether one direction waits while the other sends.
    #[serde(default)]
    pub half_duplex: bool,
    /// A contact begins this often.
    pub every: Option<Spanned<Length>>,
    /// How long it lasts.
    pub lasts: Option<Length>,
    /// When the first begins; drawn for each link if it is not said.
    pub first: Option<Length>,
    /// Mean time without contact, exponential.
    pub mean_gap: Option<Spanned<Length>>,
    /// Mean length of such a contact, exponential.
    pub mean_contact: Option<Length>,
    /// There is contact while two are as near as this; each is linked with all of the other group.
    pub range: Option<Spanned<Distance>>,
    /// The contacts, each with beginning and end.
    pub windows: Option<Spanned<Vec<(Length, Length)>>>,
}

/// Records that posts write.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// The posts that write them.
    pub by: Spanned<String>,
    /// Where.
    pub compartment: Spanned<String>,
    /// How urgent: flash, immediate, priority or routine.
    pub class: Spanned<String>,
    /// How many a day by all of these posts, at random.
    #[serde(default)]
    pub per_day: f64,
    /// How much text each has.
    pub size: Size,
    /// What share of them are changes of an earlier record of the same post.
    #[serde(default)]
    pub edits: f64,
    /// Many at once.
    #[serde(default)]
    pub bursts: Vec<Burst>,
}

/// Many records at once.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// When the first comes.
    pub at: Length,
    /// How many.
    pub records: u32,
    /// Within what time.
    #[serde(default)]
    pub over: Length,
}

/// One record.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SingleWrite {
    /// When.
    pub at: Length,
    /// By which post.
    pub by: Spanned<String>,
    /// Where.
    pub compartment: Spanned<String>,
    /// How urgent.
    pub class: Spanned<String>,
    /// How much text.
    pub size: Size,
    /// Whether it is a change of an earlier record of the post, if there is one.
    #[serde(default)]
    pub edit: bool,
    /// What it says in an exercise. A simulation has text of the size.
    pub says: Option<Spanned<String>>,
}

/// A fault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SingleFault {
    /// When.
    pub at: Length,
    /// What.
    pub kind: FaultKind,
    /// Whom it hits: of what befalls links, one side.
    pub posts: Spanned<Vec<String>>,
    /// How long; of a seizure, until the desk hears of it.
    pub lasts: Length,
    /// Of a clock, by how much it jumps; of a disk that is rolled back, how far.
    pub by: Option<Spanned<Offset>>,
}

/// What can go wrong at a moment.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// No link between these posts and the others is up.
    Partition,
    /// The power is cut: what was not flushed is gone.
    Crash,
    /// The same, and the disk is gone, too. The device comes back in a new life.
    LostDisk,
    /// Links between these posts and the others are up, and nothing comes through until it is over.
    Clog,
    /// The same in one direction: nothing that these posts send comes through to others.
    OneWay,
    /// The clock jumps, and jumps back when it is over.
    ClockJump,
    /// The disk takes nothing more: the peer ends with the first write, and starts when it is over.
    FullDisk,
    /// The power is cut, and the disk comes back as it was some time ago, in the same life.
    RolledBack,
    /// The device is in other hands, and writes on, until its desk hears of it and ends its standing.
    Seized,
    /// The same, but it was a mistake: a while after its desk has ended its standing, it lets count what it
    /// holds of the device.
    Cleared,
}

impl FaultKind {
    /// How a scenario calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Crash => "crash",
            Self::LostDisk => "lost-disk",
            Self::Clog => "clog",
            Self::OneWay => "one-way",
            Self::ClockJump => "clock-jump",
            Self::FullDisk => "full-disk",
            Self::RolledBack => "rolled-back",
            Self::Seized => "seized",
            Self::Cleared => "cleared",
        }
    }

    /// Whether the device's standing ends with it.
    #[must_use]
    pub const fn ends_standing(self) -> bool {
        matches!(self, Self::Seized | Self::Cleared)
    }
}

/// What a hostile post does. It holds its keys and is a member as all others are.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "kebab-case")]
pub enum Hostile {
    /// It takes entries and passes none on, not even its own.
    Dropper,
    /// It passes on some logs and keeps others back.
    Withholder,
    /// It sends again what it sent some time ago, over whatever link.
    Replayer,
    /// It sends everything many times, and noise.
    Flooder,
    /// It says that it holds what it does not.
    Liar,
    /// It has friends of its kind, to whom it passes everything on. From others it keeps some logs back, and
    /// sends them what its friends sent to others.
    Colluder,
}

impl Hostile {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Dropper,
        Self::Withholder,
        Self::Replayer,
        Self::Flooder,
        Self::Liar,
        Self::Colluder,
    ];

    /// How a scenario calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dropper => "dropper",
            Self::Withholder => "withholder",
            Self::Replayer => "replayer",
            Self::Flooder => "flooder",
            Self::Liar => "liar",
            Self::Colluder => "colluder",
        }
    }
}

/// Kinds of faults, of which a seed has each wholly or not at all.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Packets are lost and sent again.
    Loss,
    /// Some links are there twice: both ends dialled.
    Double,
    /// Frames take unequally long, and those of different urgency overtake each other.
    Reordering,
    /// Posts are cut off from the others, once or flapping.
    Partitions,
    /// Peers lose power and start again.
    Crashes,
    /// Disks are lost.
    LostDisks,
    /// Clocks are wrong by up to a day.
    Clocks,
    /// Links stay up, and nothing comes through in both directions or in one: one after the other.
    Clogs,
    /// Clocks jump by up to a day, and back.
    ClockJumps,
    /// Disks are full.
    FullDisks,
    /// A disk comes back as it was.
    RolledBack,
    /// A post takes and does not pass on.
    Droppers,
    /// A post passes on some logs and keeps others back.
    Withholders,
    /// A post sends again what it sent before.
    Replayers,
    /// A post sends everything many times, and noise.
    Flooders,
    /// A post says that it holds what it does not.
    Liars,
    /// A device is there twice, and both write.
    Equivocators,
    /// Devices are in other hands, and their standing ends while others write.
    Seizures,
    /// Two posts act together against the others.
    Colluders,
    /// Standings end by mistake, and what was quarantined by it is adopted.
    Adoptions,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Loss,
        Self::Double,
        Self::Reordering,
        Self::Partitions,
        Self::Crashes,
        Self::LostDisks,
        Self::Clocks,
        Self::Clogs,
        Self::ClockJumps,
        Self::FullDisks,
        Self::RolledBack,
        Self::Droppers,
        Self::Withholders,
        Self::Replayers,
        Self::Flooders,
        Self::Liars,
        Self::Equivocators,
        Self::Seizures,
        Self::Colluders,
        Self::Adoptions,
    ];
}

/// What is wrong with a scenario.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{source_name}:{line}: {what}")]
pub struct ScenarioError {
    /// The file.
    pub source_name: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there, and what to do.
    pub what: String,
}

impl Scenario {
    /// Reads a scenario; `source_name` is what messages call the text.
    pub fn parse(text: &str, source_name: &str) -> Result<Self, ScenarioError> {
        let fail = |at: usize, what: String| {
            let before = text.as_bytes().iter().take(at);
            let line = 1 + before.filter(|byte| **byte == b'\n').count();
            ScenarioError { source_name: source_name.to_owned(), line, what }
        };
        let scenario: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            fail(at, error.message().replace('\n', "; "))
        })?;
        scenario.check().map_err(|(at, what)| fail(at, what))?;
        Ok(scenario)
    }
}

const fn one() -> u32 {
    1
}
