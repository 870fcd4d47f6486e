//! Every limit of the formats, by name, unit last. A limit that voids a change is part of the
//! protocol version (`FORMAT_VERSION`): replicas that disagree on it would disagree on records.

/// The version byte that every entry header begins with.
pub const FORMAT_VERSION: u8 = 1;

/// Largest Automerge change chunk that the gate lets through. Automerge's cost per byte is what
/// this bounds; attachments carry anything larger.
pub const CHANGE_BYTES_MAX: usize = 64 * 1024;
/// Most operations in one change, counted without expanding a run: a valid change of 104 bytes
/// can otherwise hold a million of them.
pub const CHANGE_OPS_MAX: usize = 1_024;
/// Most operations, over all of a change's operations, that it says it replaces: the values that
/// concurrent writers left side by side, several for one operation. Counted without expanding runs.
pub const CHANGE_PREDS_MAX: usize = 4 * CHANGE_OPS_MAX;
/// Latest time that a change may carry, in milliseconds since 1970, which is the earliest: what a
/// double can count exactly. Automerge subtracts the times of changes from each other unchecked.
pub const CHANGE_TIME_MAX: i64 = (1 << 53) - 1;
/// Longest name of a field of a record or of a map in it, in UTF-8 bytes. A run of one long name
/// would otherwise cost its length once for each operation.
pub const FIELD_NAME_BYTES_MAX: usize = 256;
/// Most operations that one record's document may hold in all.
pub const RECORD_OPS_MAX: usize = 20_000;
/// Most bytes of changes that one record may hold in all.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most actors (runs of a device in a log) whose changes one record may hold in all.
pub const RECORD_ACTORS_MAX: usize = 512;
/// Deepest nesting of maps and lists in a record; the record itself is the first level.
pub const RECORD_DEPTH_MAX: usize = 32;

/// Largest payload: one change, its genesis preamble, and the authentication tag.
pub const PAYLOAD_BYTES_MAX: usize = CHANGE_BYTES_MAX + 4 * 1024;
/// Largest sealed header: [`DEPS_MAX`] dependencies of 32 bytes and the fixed fields.
pub const SEALED_HEADER_BYTES_MAX: usize = 2 * 1024;
/// Most causal dependencies of one entry: the heads of one record.
pub const DEPS_MAX: usize = 32;
/// Most entries that one signature covers.
pub const SEGMENT_ENTRIES_MAX: usize = 256;
/// Most bytes, in short form, that one signature covers; so that a segment fits one frame.
pub const SEGMENT_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of an authority statement's clear core.
pub const STATEMENT_BYTES_MAX: usize = 16 * 1024;
/// Most agencies in a coalition.
pub const AGENCIES_MAX: usize = 256;
/// Longest name of an agency, coalition, compartment or device, in UTF-8 bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest legal basis of an erasure.
pub const BASIS_BYTES_MAX: usize = 2 * 1024;
/// Most incarnations of one device in one area; one more proves that it makes them up.
pub const INCARNATIONS_MAX: usize = 64;
/// Longest route of grants from an agency's root to a device: the desk is its first step.
pub const ROUTE_DEPTH_MAX: u8 = 8;
/// Most routes of one device that count.
pub const ROUTES_PER_DEVICE_MAX: usize = 16;
/// Most marks of one statement: 73 bytes each at the most, within a payload.
pub const MARKS_MAX: usize = 900;
/// Most closures that one grant or admission cites.
pub const CITES_MAX: usize = 64;
/// Most roots of an agency that one act replaces.
pub const ROOTS_REPLACED_MAX: usize = 16;
/// Most entries that one erasure names beside the genesis; an addition names more.
pub const ERASED_ENTRIES_MAX: usize = 500;
