//! How a command ends when it does not end well: what kind of failure (which is the exit code),
//! what happened, and what to do about it. Errors of every part become one of these once, at the
//! edge; the same three fields travel over the control socket and are printed to people or as JSON.

use std::fmt;
use std::io;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::control::ID_PREFIX_DIGITS_MIN;

/// What sort of failure it is. Scripts decide on this; the text is for people.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It was tried and did not work.
    Failed,
    /// The command or its arguments make no sense.
    Usage,
    /// There is no such thing, or it may not be seen. The answer is the same for both, so that
    /// asking tells nothing.
    NotFound,
    /// Policy forbids it.
    Denied,
    /// No daemon answers for this home.
    Unreachable,
    /// Some of it was done; the rest is said in the text.
    Incomplete,
    /// It waits for somebody's signature or decision.
    Waits,
    /// A signature, checksum or chain does not hold.
    Integrity,
    /// A defect of this program.
    Bug,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::Denied,
        Self::Unreachable,
        Self::Incomplete,
        Self::Waits,
        Self::Integrity,
        Self::Bug,
    ];

    /// The process's exit code. 0 is "done", which is no failure.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 4,
            Self::Denied => 5,
            Self::Unreachable => 6,
            Self::Incomplete => 7,
            Self::Waits => 8,
            Self::Integrity => 9,
            Self::Bug => 255,
        }
    }
}

impl From<Kind> for ExitCode {
    fn from(kind: Kind) -> Self {
        Self::from(kind.exit_code())
    }
}

/// Why a command did not do what it was asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Which sort, and so which exit code.
    pub kind: Kind,
    /// What happened, without the word "error" and without a full stop.
    pub what: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), hint: None }
    }

    /// It was tried and did not work.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Kind::Failed, what)
    }

    /// The command or its arguments make no sense.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Kind::Usage, what)
    }

    /// There is no such `thing`, or it may not be seen: one text for both.
    #[must_use]
    pub fn not_found(thing: &str, id: &str) -> Self {
        let failure = Self::new(Kind::NotFound, format!("no {thing} you can see is called {id:?}"));
        let is_short = (1..ID_PREFIX_DIGITS_MIN).contains(&id.len());
        if is_short && id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return failure.hint(format!("of an id write {ID_PREFIX_DIGITS_MIN} digits at least"));
        }
        failure
    }

    /// Policy forbids it.
    pub fn denied(what: impl Into<String>) -> Self {
        Self::new(Kind::Denied, what)
    }

    /// A defect of this program.
    pub fn bug(what: impl Into<String>) -> Self {
        Self::new(Kind::Bug, what).hint("this is a defect of tearline; please report it")
    }

    /// An error of the operating system while doing `what` ("cannot read /x").
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::failed(format!("{what}: {error}"))
    }

    /// The same failure with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_an_exit_code_of_its_own_and_none_is_success() {
        let codes: BTreeSet<u8> = Kind::ALL.into_iter().map(Kind::exit_code).collect();
        assert_eq!(codes, BTreeSet::from([1, 2, 4, 5, 6, 7, 8, 9, 255]));
        assert_eq!(codes.len(), Kind::ALL.len());
    }

    #[test]
    fn a_failure_reads_back() {
        let hint = Failure::not_found("record", "ab").hint;
        assert_eq!(hint.as_deref(), Some("of an id write 4 digits at least"));
        assert_eq!(Failure::not_found("compartment", "xyz").hint, None);
        let failure = Failure::not_found("record", "abcd").hint("ask its originator");
        let text = serde_json::to_string(&failure).unwrap();
        assert!(text.contains("\"not-found\""));
        assert_eq!(serde_json::from_str::<Failure>(&text).unwrap(), failure);
    }
}
