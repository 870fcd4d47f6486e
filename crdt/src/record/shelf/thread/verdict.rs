//! What became of an entry of a record, and why.

use crate::gate::GateFault;

/// What became of an entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Something that it depends on is not there, or its payload is not.
    Waiting,
    /// It counts.
    Materialised,
    /// It does not count, anywhere.
    Void(Fault),
    /// It counts, but no document has it: the record is full of concurrent changes, which is the
    /// same on every peer; or Automerge failed on it here, which is an alarm of this peer.
    HeldBack,
    /// Of a kind that this version does not know.
    Unknown,
    /// It is stored and passed on, and nothing follows from it. What depends on it waits.
    Quarantined(Quarantine),
    /// Its own device said it again in a later entry, which counts.
    Replaced,
}

/// Why an entry is quarantined.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quarantine {
    /// Its log counts up to an earlier entry only: its device was revoked, or its log forked.
    Closed,
    /// No route of its device allows its class, the record's kind and its author's time together.
    Route,
}

/// Why an entry does not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The payload is malformed.
    #[error("its payload is malformed")]
    Payload,
    /// The record has another genesis, or the record's id is not bound to this one.
    #[error("it is no genesis of this record")]
    Genesis,
    /// Its author may not write this record.
    #[error("its author may not write this record")]
    Writer,
    /// Its change does not pass the gate.
    #[error("its change does not pass the gate: {0}")]
    Gate(GateFault),
    /// It depends on something that is no change of this record.
    #[error("it depends on what is no change of this record")]
    Dependency,
    /// It is of class flash, and depends on an entry that is not.
    #[error("a flash, and depends on what is none")]
    Flash,
    /// The record would have more operations than the format allows.
    #[error("the record is full")]
    Full,
    /// It is there to replace, and replaces nothing.
    #[error("it replaces nothing")]
    Replaces,
}
