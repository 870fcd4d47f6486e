//! How soon a frame is wanted, and the lanes of a link.
//!
//! A link has a lane for each urgency. The replica gives each lane one frame at a time, the driver
//! hands over the most urgent first: so a flash waits for the frame that is being handed over and for
//! no other, however much of routine there is. What is given in one lane comes in that order, and
//! nothing comes before the control frames that were given before it.

use tearline_crdt::id::Class;

/// How soon a frame is wanted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Urgency {
    /// What the two sides say of themselves, and entries of authority logs.
    Control = 0,
    /// Acted on now.
    Flash = 1,
    /// As its class.
    Immediate = 2,
    /// As its class.
    Priority = 3,
    /// As its class.
    Routine = 4,
}

impl Urgency {
    /// All, the most urgent first.
    pub const ALL: [Self; 5] =
        [Self::Control, Self::Flash, Self::Immediate, Self::Priority, Self::Routine];

    /// That of a run of a log of a class.
    #[must_use]
    pub const fn of_class(class: Class) -> Self {
        match class {
            Class::Authority => Self::Control,
            Class::Flash => Self::Flash,
            Class::Immediate => Self::Immediate,
            Class::Priority => Self::Priority,
            Class::Routine => Self::Routine,
        }
    }

    /// The one with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// The lanes of a link that have a frame on its way to the transport.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Busy(u8);

impl Busy {
    pub(crate) const fn has(self, lane: Urgency) -> bool {
        self.0 & 1 << lane as u8 != 0
    }

    pub(crate) const fn fill(&mut self, lane: Urgency) {
        self.0 |= 1 << lane as u8;
    }

    pub(crate) const fn clear(&mut self, lane: Urgency) {
        self.0 &= !(1 << lane as u8);
    }
}
