//! Trust over the control socket: acts of the whole, grants, devices, and words about records.

use serde::{Deserialize, Serialize};

use super::reply::{AgencyRef, Decided, Standing};
use super::unread::Unread;

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }
    )*};
}

/// What narrows a grant, and what it adds to its right.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The kinds of records; all if empty.
    pub kinds: Vec<String>,
    /// The classes; all if empty.
    pub classes: Vec<String>,
    /// From when on, by the author's clock.
    pub not_before: Option<String>,
    /// Until when.
    pub not_after: Option<String>,
    /// How many bytes of records may be written in each compartment.
    pub quota_bytes: Option<u64>,
    /// Whether it may be granted on.
    pub delegate: bool,
    /// Whether it reads what was there before it, too.
    pub history: bool,
}

impl Declared {
    /// A statement that reaches nothing beside what it names.
    #[must_use]
    pub fn alone(statement: String, what: String) -> Self {
        Self { statement, what, ..Self::default() }
    }
}

/// An act of the whole, as it is asked for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Proposed {
    /// A new member. It comes in by an invitation; this is for one whose root is known.
    Admit {
        /// Its name.
        name: String,
        /// Its country: ISO 3166-1 alpha-2.
        country: String,
        /// Its root's public key, 64 hexadecimal digits.
        root: String,
    },
    /// A member leaves.
    Retire {
        /// Which.
        agency: String,
    },
    /// A member's root is replaced by another.
    ReplaceRoot {
        /// Whose.
        agency: String,
        /// The new root's public key, 64 hexadecimal digits.
        root: String,
    },
    /// A device's standing ends.
    Revoke {
        /// Which.
        device: String,
        /// From when on what it wrote does not count; from now on, if absent.
        since: Option<String>,
        /// By what it is told which that is: "arrival" or "own-dates"; by arrival, if absent.
        by: Option<String>,
    },
    /// Entries that are quarantined count, up to this one of its log.
    Adopt {
        /// The entry.
        entry: String,
    },
    /// A record is destroyed.
    Erase {
        /// Which.
        record: String,
        /// The legal basis.
        basis: String,
    },
    /// A record is hidden.
    Restrict {
        /// Which.
        record: String,
    },
    /// A record is kept.
    Hold {
        /// Which.
        record: String,
    },
    /// A record is not to be relied on.
    Recall {
        /// Which.
        record: String,
    },
    /// A hold or a restriction ends.
    Lift {
        /// The statement.
        statement: String,
    },
    /// An epoch's payload secret is destroyed.
    RetireEpoch {
        /// The epoch's id.
        epoch: String,
    },
}

/// A word about a record, as it is asked for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// Destroy it.
    Erase {
        /// The legal basis.
        basis: String,
    },
    /// Hide it.
    Restrict,
    /// Keep it.
    Hold,
    /// It is not to be relied on.
    Recall,
}

shapes! {
    /// Arguments that are one id, or the beginning of one.
    Named {
        /// The id.
        id: String,
    }

    /// Arguments of `grant issue`.
    GrantIssue {
        /// The device, by id, the beginning of it, or its name here.
        device: Option<String>,
        /// Or all devices of an agency; in a compartment.
        agency: Option<String>,
        /// Where; the whole coalition if absent.
        compartment: Option<String>,
        /// "relay", "read", "write", "admit" or "admin".
        right: String,
        /// Within which limits.
        limits: Limits,
        /// The life of the device for which what closed its standing is lifted: `tearline id` there shows
        /// it. 16 hexadecimal digits.
        readmit: Option<String>,
        /// Say whose rights it would change, and do nothing.
        dry_run: bool,
    }

    /// Arguments of `grant list`.
    GrantList {
        /// Of a compartment; of the coalition if absent.
        compartment: Option<String>,
    }

    /// Arguments of `grant revoke`.
    GrantRevoke {
        /// The device.
        device: String,
        /// Where; everywhere if absent.
        compartment: Option<String>,
        /// From when on what it wrote does not count; from now on, if absent.
        since: Option<String>,
        /// By what it is told which that is: "arrival" or "own-dates"; by arrival, if absent.
        by: Option<String>,
        /// Say what would be done, and do nothing.
        dry_run: bool,
    }

    /// Arguments of `device lost`.
    DeviceLost {
        /// The device.
        device: String,
        /// From when on what it wrote does not count.
        since: String,
        /// By what it is told which that is: "arrival" or "own-dates"; by arrival, if absent.
        by: Option<String>,
        /// Say what would be done, and do nothing.
        dry_run: bool,
    }

    /// Arguments of `device name`.
    DeviceName {
        /// The device.
        device: String,
        /// What it is called here.
        name: String,
    }

    /// Arguments of `record release`.
    RecordRelease {
        /// The record.
        record: String,
        /// To which compartment.
        compartment: Option<String>,
        /// Or to which audience.
        rel: Vec<String>,
        /// The fields; all if empty.
        fields: Vec<String>,
        /// Its label; that of the record if absent.
        label: Option<String>,
        /// The side of the squares that places are released as, in kilometres; places as they are if absent.
        coarse_km: Option<u32>,
        /// "hour", "day" or "month": how times are released; as they are if absent.
        coarse_time: Option<String>,
        /// Say what would be released and to whom, and do nothing.
        dry_run: bool,
        /// Release it although it tells more than its fields.
        despite_leaks: bool,
        /// Only if it would be this: the stamp of a dry run.
        stamp: Option<String>,
    }

    /// Arguments of `root apply`.
    RootApply {
        /// The text that the root's machine gave.
        word: String,
    }

    /// `root draft`: what an agency's root is asked to sign.
    RootDraft {
        /// The text that travels to the root's machine.
        request: String,
        /// What it does.
        what: String,
        /// How many logs of the device are here of which it keeps nothing.
        unnamed: u64,
        /// What the device said that will not count any more.
        void: Vec<Void>,
    }

    /// What ended this device's standing, for a certificate that lifts it.
    RootReopening {
        /// The life that it has: 16 hexadecimal digits.
        incarnation: String,
        /// The statements that ended it, ascending.
        cites: Vec<String>,
    }

    /// `root apply`: what an agency's root signed, written down.
    RootApplied {
        /// The act's id, or that of the certificate's entry.
        statement: String,
        /// What it does.
        what: String,
        /// Compartments that have new keys because of it.
        rotated: Vec<String>,
        /// It was written down before, and counts: nothing was done.
        already: bool,
    }

    /// Statements of a device that stop to count with its standing.
    Void {
        /// The last of them.
        statement: String,
        /// Where; the coalition if empty.
        compartment: String,
        /// What they say.
        what: String,
        /// How many say so.
        times: usize,
        /// How the same is said again.
        again: String,
    }

    /// `coalition propose` and `approve`, and an item of `coalition proposals`.
    Proposal {
        /// The act's id.
        proposal: String,
        /// What it does.
        what: String,
        /// All that is signed with it: keys, numbers, and what of each log it keeps or adopts.
        terms: Vec<String>,
        /// Who said it: any device may.
        by: Vec<Device>,
        /// The founders whose desks signed.
        approved: Vec<AgencyRef>,
        /// How many are needed.
        needed: u16,
        /// The founders that have not.
        waiting_for: Vec<AgencyRef>,
        /// Whether it is in force.
        in_force: bool,
        /// Of one that replaces a root: whether the new one is given. It takes the others by all
        /// signatures, and gives that one by those which count; null of other acts.
        root_given: Option<bool>,
        /// The founders whose signatures count: those of desks whose standing has not ended before them.
        counting: Vec<AgencyRef>,
        /// Whether it was in force or signed by this agency before, and so nothing was signed now.
        already: bool,
        /// Of one that asks something of a record that this device may see: which.
        record: Option<String>,
        /// And what that is; empty while it is hidden.
        title: Option<String>,
        /// Proposals that were signed with it: they ask the same of what was released of the record.
        also: Vec<String>,
        /// Releases of which it is not asked: this device cannot see them, or nobody proposed it.
        unreached: Vec<String>,
    }

    /// `coalition proposals`.
    Proposals {
        /// By id.
        proposals: Vec<Proposal>,
    }

    /// A statement that was written.
    Declared {
        /// Its id.
        statement: String,
        /// What it says.
        what: String,
        /// Whether it was said before, and so nothing was said now.
        already: bool,
        /// Who said it then.
        by: Vec<Decided>,
        /// The record that it is about, in full; null where it is about none.
        record: Option<String>,
        /// When this peer destroys what it asks to; null where it destroys nothing.
        due: Option<String>,
        /// Records that it reached beside: releases of the record.
        also: Vec<String>,
        /// Releases that it did not reach: this device cannot see them, or has no say where they are.
        unreached: Vec<String>,
        /// Entries that count by it and did not before, the first 1,000 of them.
        entries: Vec<String>,
        /// The rights that it would change, where it was only tried; its id is empty then.
        changes: Vec<RightChange>,
    }

    /// What a statement would make of a device's right.
    RightChange {
        /// Whose.
        device: Device,
        /// Where: a compartment's id; null for the coalition.
        compartment: Option<String>,
        /// What the compartment is called here, or the coalition.
        name: String,
        /// Its right before; null if it has none.
        before: Option<String>,
        /// And after.
        after: Option<String>,
    }

    /// A quota of a device in a compartment.
    Quota {
        /// Whose.
        device: Device,
        /// How many bytes of records it may write.
        quota_bytes: u64,
        /// How many of them this peer holds or held; peers may lack the last.
        used_bytes: u64,
    }

    /// `grant list`.
    Grants {
        /// In the order of their ids, those to devices and agencies whose standing has ended last.
        grants: Vec<Grant>,
    }

    /// A grant or certificate.
    Grant {
        /// Its entry's id.
        statement: String,
        /// Who gave it.
        issuer: Device,
        /// To which device; null if to an agency.
        device: Option<Device>,
        /// To which agency.
        agency: AgencyRef,
        /// The right.
        right: String,
        /// Its limits, in words; empty if it has none.
        limits: String,
        /// What became of it.
        verdict: String,
        /// Whether the standing of the device or agency that it is for holds.
        standing: Standing,
    }

    /// `grant explain`: why a statement counts or does not.
    Explained {
        /// Its entry's id.
        statement: String,
        /// What it says.
        what: String,
        /// Who said it.
        issuer: Device,
        /// What became of it.
        verdict: String,
        /// The section of the rules that decided.
        rule: String,
        /// The statements that decided.
        by: Vec<String>,
        /// The legal basis, of an erasure, where this device has the keys for it.
        basis: Option<String>,
    }

    /// A device.
    Device {
        /// Its id.
        device: String,
        /// What it is called here; null if nobody named it.
        name: Option<String>,
        /// Its agency.
        agency: AgencyRef,
        /// "desk", or its right while its standing holds; empty if it has none that is known here.
        right: String,
        /// Whether its standing holds.
        standing: Standing,
        /// The spoken check of its enrolment, where this device enrolled it.
        check: Option<String>,
    }

    /// `device list`.
    Devices {
        /// By agency and id, those whose standing has ended last.
        devices: Vec<Device>,
    }

    /// `device lost` and `grant revoke`.
    Lost {
        /// The device.
        device: Device,
        /// The statement that ended its standing; null if nothing was done.
        statement: Option<String>,
        /// Whether nothing was left to do: it was lost before, and `device.standing` says by what.
        already: bool,
        /// From when on.
        since: String,
        /// By what it is told what was written before: "arrival", as this peer held it, or "own-dates".
        by: String,
        /// Its logs, and how far they count.
        kept: Vec<KeptLog>,
        /// How many further logs it has.
        more_logs: u64,
        /// How many of its logs keep nothing because one statement could not name them.
        unnamed: u64,
        /// What it could read.
        exposed: Vec<Exposed>,
        /// What of that is missing because it cannot be read.
        unread: Unread,
        /// Why that is not listed, if it could not be. The rest is done.
        unlisted: Option<String>,
        /// What it said that does not count any more.
        void: Vec<Void>,
        /// Compartments that have new keys because of it.
        rotated: Vec<String>,
        /// Devices that are known to have heard.
        heard: Vec<Device>,
        /// Devices of which that is not known.
        not_heard: Vec<Device>,
        /// The rights that it would change, where a revocation was only tried.
        changes: Vec<RightChange>,
    }

    /// A log of a lost device.
    KeptLog {
        /// Where.
        compartment: String,
        /// Its class.
        class: String,
        /// How many entries are held.
        held: u64,
        /// How many of them count.
        kept: u64,
        /// The last that counts: the candidate for the last good entry.
        last: Option<String>,
        /// When, by its author.
        last_at: Option<String>,
        /// When the first was written that does not count, by its author.
        next_at: Option<String>,
        /// How far it had come to this peer by then.
        by_arrival: KeptUpTo,
        /// How far it is dated before that, without ever falling.
        by_dates: KeptUpTo,
    }

    /// A place up to which a log can be kept.
    KeptUpTo {
        /// How many entries that are.
        entries: u64,
        /// The last of them: what is named to adopt them.
        last: Option<String>,
        /// When it was written, by its author.
        last_at: Option<String>,
    }

    /// What a device could read of a compartment.
    Exposed {
        /// Its id.
        compartment: String,
        /// Its name.
        name: String,
        /// The epochs whose keys it has.
        epochs: Vec<String>,
        /// How many records are in them.
        count: u64,
        /// The records in them; of many the first, and of very many those without a title.
        records: Vec<ExposedRecord>,
    }

    /// A record that a device could read.
    ExposedRecord {
        /// Its id.
        record: String,
        /// What it is; empty if it is erased or hidden.
        title: String,
        /// Whether it is quarantined: title and label are what they would be if it counted.
        quarantined: bool,
        /// Its label.
        label: String,
    }

    /// `inbox`: what does not count.
    Quarantine {
        /// Its entries, log by log.
        entries: Vec<Quarantined>,
        /// Whether there are more.
        more: bool,
        /// What is missing because it cannot be read.
        unread: Unread,
    }

    /// An entry that does not count.
    Quarantined {
        /// Its id.
        entry: String,
        /// Whose.
        device: Device,
        /// Where.
        compartment: String,
        /// The class of its log.
        class: String,
        /// What it does.
        what: String,
        /// The command that lets it count at this device; null where this device's word would not.
        adopt: Option<String>,
        /// The record, where its header opens.
        record: Option<String>,
        /// That record's kind, if the entry counted.
        kind: Option<String>,
        /// What that record would be in one line.
        title: Option<String>,
        /// The fields that the entry touches, where it is a change that could count.
        fields: Vec<String>,
        /// Its author's time.
        at: Option<String>,
        /// Why it does not count.
        why: String,
    }

    /// `inbox show`: an entry that does not count, and what its record would be if it did.
    QuarantinedInFull {
        /// The entry.
        #[serde(flatten)]
        entry: Quarantined,
        /// What would become of it: "counts", or why it would not; empty where it cannot be read.
        would_be: String,
        /// Whether quarantined entries of other logs would have to count, too.
        beside_others: bool,
        /// Whether the record's content is hidden.
        hidden: bool,
        /// The label that the record would have.
        label: String,
        /// The label that it has; null where nothing of it counts.
        label_now: Option<String>,
        /// The fields that the entry touches, and others that would change with those before it.
        changes: Vec<Supposed>,
    }

    /// A field, as it is and as it would be.
    Supposed {
        /// Its name.
        field: String,
        /// What counts now; null if there is none.
        now: Option<serde_json::Value>,
        /// What would count; null if there were none.
        then: Option<serde_json::Value>,
        /// All values, where it would have several.
        concurrent: Vec<serde_json::Value>,
        /// Whether this entry touches it; one before it in its log, if not.
        by_it: bool,
    }

    /// `compartment rotate`.
    Rotated {
        /// The compartment.
        compartment: String,
        /// The new epoch.
        epoch: String,
        /// For how many devices.
        readers: usize,
    }

    /// `record release`.
    Released {
        /// The record that was released.
        record: String,
        /// The new record; empty if nothing was done.
        released: String,
        /// Where; empty if it would be opened.
        compartment: String,
        /// What that is called.
        compartment_name: String,
        /// Its label.
        label: String,
        /// The fields.
        fields: Vec<String>,
        /// All fields of the record, as they are and as they are released.
        changes: Vec<ReleasedField>,
        /// What it tells beyond its fields.
        leaks: Vec<ReleaseLeak>,
        /// Who receives it.
        receivers: Vec<Receiver>,
        /// What names all of this but where it goes: it changes with the record.
        stamp: String,
    }

    /// A field of a record, and what is released of it.
    ReleasedField {
        /// Its name.
        field: String,
        /// What it says.
        before: serde_json::Value,
        /// What is released; null if it is held back.
        after: Option<serde_json::Value>,
    }

    /// Something that a release tells beyond its fields.
    ReleaseLeak {
        /// "withheld": a value that is held back; "identifier": a number or address in a text; "exact-place":
        /// a place more exact than a kilometre; "series": a number whose neighbours can be guessed;
        /// "reference": the name of another record.
        kind: String,
        /// In which field.
        field: String,
        /// What was found.
        found: String,
    }

    /// A device that receives a release.
    Receiver {
        /// Which.
        device: Device,
        /// By what it may read there.
        because: Vec<Decided>,
    }

    /// A hold of a record that stands.
    Hold {
        /// The statement; of an act of the founders, the act.
        statement: String,
        /// On whose word; null where the founders said it together.
        by: Option<AgencyRef>,
        /// Whether it binds all who hold the record, as that of its originator and of the founders does. That of
        /// another agency binds that one's own peers.
        everywhere: bool,
        /// Whether it binds this peer.
        here: bool,
        /// When this peer heard it, by its own clock; null where that is not kept.
        heard: Option<String>,
    }

    /// `record receipts`.
    Receipts {
        /// The record.
        record: String,
        /// The statements about it.
        statements: Vec<StatementReceipts>,
        /// The holds of it that stand: who is bound by one does not destroy it.
        holds: Vec<Hold>,
        /// What lifted holds and restrictions of it.
        lifted: Vec<Decided>,
        /// Blind relays of its compartment: they may hold it sealed, destroy what an erasure names, and give no
        /// receipt.
        relays: Vec<Device>,
    }

    /// What became of a statement.
    StatementReceipts {
        /// Its id.
        statement: String,
        /// What it asks: "erase", "restrict" or "recall".
        asks: String,
        /// The devices that may hold the record, and what they answered.
        answers: Vec<ReceiptOf>,
        /// How many of them have not answered.
        open: usize,
    }

    /// What a device answered.
    ReceiptOf {
        /// Which.
        device: Device,
        /// Whether its standing there has ended, so that nobody waits for its answer.
        ended: bool,
        /// "destroyed", "hidden", "marked", "refused", "nothing-here"; null if it has not answered.
        outcome: Option<String>,
        /// When, by its clock.
        at: Option<String>,
        /// When this peer last heard of it; null if never.
        last_heard: Option<String>,
    }
}
