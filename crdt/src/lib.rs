//! Tearline's data and rules: ids, signed logs, sealed entries, coalitions, compartments, records,
//! labels and the `Store` that keeps them.
//!
//! The life of a record: a device *drafts* it (a kind, typed fields, a label), the draft becomes
//! an Automerge change ([`change`]), the change is sealed into an [`entry`] of the device's own
//! hash-chained log, and every other peer verifies the entry, opens it if it holds the epoch's
//! key, and passes it through the [`gate`] before Automerge ever sees a byte.
//!
//! Nothing in this crate reads a clock, draws randomness or does I/O: time and entropy are
//! arguments, storage is the [`store::Store`] trait. `clippy.toml` and `.ci/run` enforce it.

pub mod attachment;
pub mod authority;
pub mod bounds;
pub mod change;
pub mod charter;
pub mod codec;
pub mod document;
pub mod entropy;
pub mod entry;
pub mod epoch;
pub mod frontier;
pub mod gate;
pub mod hash;
pub mod id;
pub mod keys;
pub mod logbook;
pub mod record;
pub mod seal;
pub mod statement;
pub mod store;
pub mod time;
