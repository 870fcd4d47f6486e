//! What the daemon answers, one type per shape. Ids are lower-case hex in full, times RFC 3339 in
//! UTC, counts plain numbers. Lists are sorted as their request says, else by id, so that two
//! calls without a change between give the same bytes.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::unread::Unread;

macro_rules! shape {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }
    };
}

mod peer;

pub use self::peer::{Neighbour, Peer, PeerState, Peers, ThinLink};

shape!(
/// `status`.
Status {
    /// This device's id.
    device: String,
    /// What this device calls itself.
    name: String,
    /// The agency it belongs to; null before it has one.
    agency: Option<AgencyRef>,
    /// The coalition it belongs to; null before it has one.
    coalition: Option<CoalitionRef>,
    /// The requests to come into one that were not answered yet.
    joining: Vec<Joining>,
    /// What ended this device's own standing in it; null while that holds.
    ended: Option<Ended>,
    /// The daemon's process id.
    pid: u32,
    /// The program's version.
    version: String,
    /// When the daemon started.
    started: String,
    /// What it listens on: multiaddresses that end in `/p2p/PEER`, ready for `peer add`.
    addresses: Vec<String>,
    /// Where it serves other programs over HTTP; null if it does not.
    api: Option<String>,
    /// Where it serves its portal; null if it does not.
    portal: Option<String>,
    /// Its peers, connected or not, those whose standing has ended last.
    peers: Vec<Peer>,
    /// How many other devices have a standing in the coalition, linked or not.
    known: u64,
    /// The compartments that this device can read.
    compartments: Vec<Compartment>,
    /// Bytes of the store on disk.
    store_bytes: u64,
    /// Bytes of entries that peers sent since the daemon started.
    carried_bytes: u64,
    /// Of these what was here already.
    again_bytes: u64,
    /// Why the store takes nothing more; null while it works.
    store_failure: Option<String>,
    /// What of the store was found not to be what was written, and is not mended; null if nothing was.
    damage: Option<String>,
    /// How far the store was read through in search of that.
    patrol: Patrol,
    /// Stretches of logs that cannot be read here and are asked for of peers.
    unreadable: Vec<super::unread::UnreadEntries>,
    /// What is not written and not taken because the disk is nearly full; null while there is room.
    shortage: Option<String>,
    /// What it holds as a blind relay; null if it is none.
    relay: Option<Relay>,
    /// The logs that were proven to have two histories, this device's first.
    forks: Vec<Fork>,
});

shape!(
/// A request to come into a coalition.
Joining {
    /// The device that invited this one.
    inviter: String,
    /// The coalition.
    coalition: String,
    /// Whether the inviter said that the founders' signatures are awaited; it has not been reached, if not.
    awaits_signatures: bool,
});

shape!(
/// How far the store was read through: once from each start of the daemon on, and then each day.
Patrol {
    /// When the pass began that is under way; null while none is.
    since: Option<String>,
    /// Bytes of values that it has read.
    read_bytes: u64,
    /// Damaged values that it has found.
    damaged: u64,
    /// When the last pass ended; null before the first has.
    ended: Option<String>,
    /// Bytes of values that that one read.
    ended_bytes: u64,
    /// Damaged values that it found.
    ended_damaged: u64,
    /// Why it did not come to the end of the store; null if it did.
    broke_off: Option<String>,
});

shape!(
/// A blind relay.
Relay {
    /// How much it holds at most; null where that is not bounded.
    quota_bytes: Option<u64>,
    /// For how many seconds it keeps an entry; null where that is not bounded.
    kept_s: Option<u64>,
    /// Bytes of entries that it holds of what may go; 0 where nothing is bounded.
    held_bytes: u64,
    /// Bytes of entries that went since the daemon started.
    evicted_bytes: u64,
    /// Whether runs are declined because all that is held is more urgent.
    full: bool,
});

shape!(
/// A daemon that was told to end.
Stopping {
    /// The daemon's process id, as it sees itself.
    pid: u32,
});

shape!(
/// The end of this device's own standing.
Ended {
    /// "ended", "retired" or "unknown", as in [`Standing`]; or "refused": no statement says so here, but
    /// no member that this device is linked to shares the coalition with it.
    state: String,
    /// When this device learnt of it; null if that is not known.
    since: Option<String>,
    /// The statements that say so.
    by: Vec<Decided>,
    /// What to do about it.
    fix: String,
});

shape!(
/// A log with two histories: its device's keys were in use twice.
Fork {
    /// Whose.
    device: String,
    /// Whether it is this device's.
    own: bool,
    /// Whether this device would write to it now: its incarnation is this one's.
    current: bool,
    /// Of which agency.
    agency: AgencyRef,
    /// The device's incarnation, in hex.
    incarnation: String,
    /// The compartment.
    compartment: String,
    /// That compartment's name.
    compartment_name: String,
    /// Its class.
    class: String,
    /// The first entry of which there are two, from 0.
    seq: u64,
});

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state.as_str() {
            "retired" => "this device's agency was retired from the coalition",
            "ended" => "this device's standing has ended",
            "refused" => {
                "no peer shares the coalition with this device: its standing has ended, as far as \
                 they know"
            }
            _ => "no statement that is held here gives this device a standing",
        })?;
        if let Some(since) = &self.since {
            write!(f, ", as it learnt at {since}")?;
        }
        for Decided { statement, what, issuer } in &self.by {
            let (id, by): (String, String) =
                (statement.chars().take(8).collect(), issuer.device.chars().take(8).collect());
            write!(f, "; {what}, by {by} of {} ({id})", issuer.agency.name)?;
        }
        Ok(())
    }
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device: String = self.device.chars().take(8).collect();
        let Self { class, compartment_name, seq, .. } = self;
        write!(f, "the {class} log of {device} in {compartment_name:?}, from entry {seq} on")
    }
}

shape!(
/// An agency, briefly.
AgencyRef {
    /// Its number; null before it belongs to a coalition.
    no: Option<u16>,
    /// Its name.
    name: String,
    /// Its country's ISO 3166-1 alpha-2 code.
    country: String,
});

shape!(
/// Whether the standing of a device or an agency holds.
Standing {
    /// "live"; "ended"; "retired": its agency left the coalition; "unknown": it has none that is known
    /// here.
    state: String,
    /// When this peer learnt that it does not: statements have no time of their own. Null while it holds.
    since: Option<String>,
    /// The statements and acts that ended it.
    by: Vec<String>,
});

impl Standing {
    /// Whether it was ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "ended" | "retired")
    }
}

shape!(
/// A coalition, briefly.
CoalitionRef {
    /// Its id.
    coalition: String,
    /// Its name.
    name: String,
});

shape!(
/// A compartment: an item of `status` and `compartment list`.
Compartment {
    /// Its id.
    compartment: String,
    /// Its name.
    name: String,
    /// Its audience.
    agencies: Vec<AgencyRef>,
    /// Digest of its logs' frontier. Two peers with the same digest hold the same entries.
    digest: String,
    /// Entries held, signed and chained.
    entries: u64,
    /// Records that are shown: those of `record list`.
    records: u64,
    /// Records held of which nothing is shown: quarantined, erased, or without their beginning.
    unshown: u64,
    /// Entries held that wait for keys which this device is to have.
    waiting: u64,
    /// Entries held that were sealed before this device came, and stay closed to it: no fault.
    closed: u64,
    /// Whether it is followed. Of one that is not nothing more comes or goes, because too many are open.
    followed: bool,
});

shape!(
/// `doctor`.
Doctor {
    /// The checks, in the order in which they were made.
    checks: Vec<Check>,
});

shape!(
/// One check.
Check {
    /// What was checked: "key files".
    name: String,
    /// How it went.
    status: CheckStatus,
    /// What was found.
    message: String,
    /// What to do about it; null when there is nothing to do.
    fix: Option<String>,
});

/// How a check went.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckStatus {
    /// Well.
    Pass,
    /// It works, but somebody should look.
    Warn,
    /// It does not work.
    Fail,
    /// What is there is not what was written.
    Damaged,
    /// Not made, because something before it failed.
    #[default]
    Skip,
}

shape!(
/// `join`.
Joined {
    /// The coalition's id.
    coalition: String,
    /// Its name.
    name: String,
    /// The agency that this device now writes for.
    agency: AgencyRef,
    /// The device that invited.
    inviter: String,
    /// The spoken check: the inviter's `device list` shows the same digits. None where the invitation was not
    /// used.
    check: Option<String>,
    /// Whether this device was in before, and the invitation was not used.
    already: bool,
});

shape!(
/// `peer invite`.
Invitation {
    /// The text to hand over, over a channel that others do not read. One word, made of
    /// characters that a shell and a QR code leave alone.
    invitation: String,
    /// For a device of this agency, rather than for another agency.
    device: bool,
    /// What that device may do.
    right: Option<String>,
    /// Within which limits; empty if within none.
    limits: Option<String>,
    /// Whether that device reads what was there before it, too.
    history: bool,
    /// When it expires.
    expires: String,
    /// The addresses that it names.
    addresses: Vec<String>,
});

shape!(
/// `coalition create` and `coalition show`.
Coalition {
    /// Its id.
    coalition: String,
    /// Its name.
    name: String,
    /// How many founders an act of the whole needs.
    quorum: u16,
    /// Its agencies, by number; those that were retired at the end.
    agencies: Vec<Member>,
});

shape!(
/// An agency of a coalition.
Member {
    /// Its number.
    no: u16,
    /// Its name.
    name: String,
    /// Its country's code.
    country: String,
    /// The public keys of its standing roots: several where founders gave several at once.
    roots: Vec<String>,
    /// Whether it is named in the charter.
    founder: bool,
    /// Whether it is in the coalition still.
    standing: Standing,
    /// Its devices, those that have ended last.
    devices: Vec<super::trust::Device>,
});

shape!(
/// `compartment open`.
Opened {
    /// Its id.
    compartment: String,
    /// Its name.
    name: String,
    /// Its audience.
    agencies: Vec<AgencyRef>,
    /// Those of them, but for our own, that no device is linked of now: they hear of it by way of others,
    /// or once they are.
    unlinked: Vec<AgencyRef>,
    /// Whether it was opened now. False: it was there.
    opened: bool,
});

shape!(
/// `compartment list`.
Compartments {
    /// The compartments, by name.
    compartments: Vec<Compartment>,
});

shape!(
/// `compartment show`: all of [`Compartment`], and its logs.
CompartmentDetail {
    /// What the list says of it.
    #[serde(flatten)]
    summary: Compartment,
    /// Its current epoch; null while no epoch can be opened.
    epoch: Option<Epoch>,
    /// How much devices may write in it, of those that a quota limits.
    quotas: Vec<super::trust::Quota>,
    /// Its logs.
    logs: Vec<Log>,
});

shape!(
/// The keys that a compartment is written under.
Epoch {
    /// The epoch's id.
    epoch: String,
    /// When this peer first held its keys.
    since: String,
    /// Whether anything is sealed under it.
    written: bool,
    /// When the next begins by itself, if anything is sealed under this one by then; null if it does not.
    due: Option<String>,
});

shape!(
/// A log of a compartment.
Log {
    /// Whose.
    device: String,
    /// Of which agency.
    agency: AgencyRef,
    /// The device's incarnation, in hex.
    incarnation: String,
    /// Its class.
    class: String,
    /// How many entries are held.
    length: u64,
    /// The id of the last.
    head: String,
    /// The first entry of which there are two, when it was proven to be forked.
    forked_at: Option<u64>,
});

shape!(
/// `record new` and `record edit`.
Written {
    /// The record.
    record: String,
    /// The compartment it is in.
    compartment: String,
    /// What it is called here.
    compartment_name: String,
    /// The entry that was written, durable now; null when nothing changed.
    entry: Option<String>,
    /// The entry's class.
    class: String,
    /// What of it was probably misread, and is kept as it was given.
    doubts: Vec<Doubt>,
});

shape!(
/// What of a record is probably a mistake: a number whose form or check digit is wrong, a property that its
/// kind does not have.
Doubt {
    /// The property; "mrz" for what of a machine-readable zone became none.
    field: String,
    /// What is wrong with it.
    reason: String,
});

shape!(
/// `record show`.
Record {
    /// Its id.
    record: String,
    /// Its kind; of an object of a type that is no kind, that type.
    kind: String,
    /// What it is in one line, made from its fields.
    title: String,
    /// Its effective label.
    label: String,
    /// The compartment it is in.
    compartment: String,
    /// That compartment's name.
    compartment_name: String,
    /// The agency it is from.
    originator: AgencyRef,
    /// The most urgent class of its entries.
    class: String,
    /// When its author says it was written.
    created: String,
    /// When the author of the latest change says that was written.
    modified: String,
    /// Whether this device may edit it.
    writable: bool,
    /// What is to be known of it: "conflict", "held-back", "recalled" (not to be relied
    /// on), "restricted" (its content is hidden), "erasure-due" (it is erased, and destroyed later), "held" (it is
    /// not destroyed here while a hold stands).
    flags: Vec<String>,
    /// When it is destroyed here; null if it is not to be.
    erasure_due: Option<String>,
    /// The holds of it that stand, also those that bind others alone.
    holds: Vec<super::trust::Hold>,
    /// Its fields. Of concurrent values one, the same on every peer.
    fields: Map<String, Value>,
    /// The fields with concurrent values, by field.
    conflicts: Vec<Conflict>,
    /// How many of its entries are not here yet, and with whom they stay.
    left_aside: Vec<super::aside::With>,
});

shape!(
/// A field that was given several values at once.
Conflict {
    /// The field, by path.
    field: String,
    /// Its values; the one that `fields` shows is the first.
    values: Vec<Concurrent>,
});

shape!(
/// One of several values.
Concurrent {
    /// Its number, from 1: what `record resolve --take` names. Stable until the record changes.
    no: u32,
    /// The value.
    value: Value,
    /// Whose.
    agency: AgencyRef,
    /// From which device.
    device: String,
    /// When its author says it was written.
    at: String,
    /// The entry that wrote it.
    entry: String,
});

shape!(
/// `record list` and `search`: one page.
Rows {
    /// The rows.
    records: Vec<Row>,
    /// Where the next page begins; null after the last.
    next: Option<String>,
    /// Entries that linked peers are known to have and this device has not yet.
    coming: u64,
    /// Entries that stay with peers because this device does not want them: what they say is in no list.
    left_aside: u64,
    /// What is missing on this page.
    unread: Unread,
});

shape!(
/// A record in a list.
Row {
    /// Its id.
    record: String,
    /// Its kind; of an object of a type that is no kind, that type.
    kind: String,
    /// What it is in one line.
    title: String,
    /// Its effective label.
    label: String,
    /// The most urgent class of its entries.
    class: String,
    /// The compartment it is in.
    compartment: String,
    /// That compartment's name.
    compartment_name: String,
    /// The agency it is from.
    originator: AgencyRef,
    /// When it came here first.
    received: String,
    /// As in [`Record::flags`], of which a list does not know "held-back".
    flags: Vec<String>,
    /// When it is destroyed here; null if it is not to be.
    erasure_due: Option<String>,
});

shape!(
/// `record history`.
History {
    /// The record.
    record: String,
    /// Its entries, held and readable or not.
    entries: Vec<HistoryEntry>,
});

shape!(
/// One entry of a record.
HistoryEntry {
    /// Its id.
    entry: String,
    /// When its author says it was written.
    at: String,
    /// Whose.
    agency: AgencyRef,
    /// From which device.
    device: String,
    /// Its class.
    class: String,
    /// What it does: "genesis", "change", "brought", "rebase", "reauthor", "label".
    what: String,
    /// The fields it touches, itself or in what lies below them.
    fields: Vec<String>,
    /// "counts", or why not: "waiting", "quarantined", "void".
    verdict: String,
});

shape!(
/// `record resolve`.
Resolved {
    /// The record.
    record: String,
    /// The field.
    field: String,
    /// The value it now has.
    value: Value,
    /// The entry that was written, durable now.
    entry: String,
});

shape!(
/// `import`.
Imported {
    /// Objects or rows read.
    read: u64,
    /// Records written.
    created: u64,
    /// Records that were there and were changed.
    updated: u64,
    /// Objects that say nothing that the last import of them did not.
    unchanged: u64,
    /// Objects whose records kept an edit that was made here, changed otherwise or not.
    kept: u64,
    /// Objects or rows that are no records.
    rejected: u64,
    /// Files that could not be read, or not to their end.
    broken_files: u64,
    /// Why, for all of those files and the first of those objects.
    problems: Vec<Problem>,
    /// Which records kept edits: the first of them.
    kept_edits: Vec<KeptEdit>,
    /// Objects that say nothing for a record.
    passed_over: u64,
    /// Objects or rows with a number that was probably misread; they are kept as they came.
    doubtful: u64,
    /// Which, and why: the first of them.
    doubts: Vec<Problem>,
});

shape!(
/// A record that an import left as somebody had edited it.
KeptEdit {
    /// The record.
    record: String,
    /// The properties.
    fields: Vec<String>,
});

shape!(
/// An object or row that could not be imported, or is in doubt.
Problem {
    /// The file.
    file: String,
    /// Where in it: "row 12, line 14", `objects[3]`; "the file" as a whole.
    place: String,
    /// Why. Never the content.
    reason: String,
});

shape!(
/// `outgoing`.
Outgoing {
    /// The objects.
    objects: Vec<Value>,
    /// The ids of what was recalled.
    recalled: Vec<String>,
    /// Records up to there that the ceiling or the purpose holds back.
    withheld: u64,
    /// When the present state of the last record came that was looked at; as it was asked where there is none.
    last_us: u64,
    /// Whether there are more.
    more: bool,
});

shape!(
/// `export`.
Exported {
    /// Records written.
    records: u64,
    /// Bytes written.
    bytes: u64,
    /// Records left out because their content is hidden: they are restricted or erased.
    hidden: u64,
    /// Entries that linked peers are known to have and this device has not yet.
    coming: u64,
    /// What is missing.
    unread: Unread,
});

shape!(
/// `why`.
Why {
    /// The record.
    record: String,
    /// The compartment it is in.
    compartment: String,
    /// That compartment's name.
    compartment_name: String,
    /// "shown"; or why not: "hidden", "erased", "quarantined", "retired", "waiting".
    state: String,
    /// Its effective label; empty where the record is not shown.
    label: String,
    /// The grounds, in the order in which they were checked.
    because: Vec<Reason>,
    /// Who else is in the audience, and whether they are known to hold it.
    holders: Vec<Holder>,
});

shape!(
/// A ground for being able to read a record, or not.
Reason {
    /// What was checked: "audience", "grant", "epoch", "label"; "said" of the record; "quarantine",
    /// "retired", "keys".
    rule: String,
    /// What was found.
    detail: String,
    /// The section of `docs/protocol/authority.md` by which that decides; empty where nothing there does.
    section: String,
    /// The statements that decided.
    by: Vec<Decided>,
});

shape!(
/// A statement that decided.
Decided {
    /// Its entry's id.
    statement: String,
    /// What it says.
    what: String,
    /// Who said it.
    issuer: super::trust::Device,
});

shape!(
/// A device in a record's audience.
Holder {
    /// Its id.
    device: String,
    /// Its agency.
    agency: AgencyRef,
    /// Whether it holds all entries of the record: true, false, or null when that is unknown.
    holds: Option<bool>,
});
