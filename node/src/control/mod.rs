//! The control protocol: how the command line asks a running daemon.
//!
//! Over a Unix socket that only the daemon's own user may open, the daemon speaks first: `"ready"`.
//! Only then the client writes one line of JSON, an [`Envelope`]. The daemon says `"working"` when it
//! takes that up and every few seconds from then on, any number of `{"progress":{...}}` lines, and
//! then exactly one `{"ok":VALUE}` or `{"error":FAILURE}` line (a [`Reply`] each). Each request has a
//! connection of its own. What `VALUE` holds is said at each variant of [`Request`]; the types are in
//! [`reply`].
//!
//! So a client that loses the daemon knows what that means: without a `"ready"` it asked nothing, and
//! what was closed without a `"working"` was not begun. Nor can a daemon that stood still come later to
//! a request whose client has given up.
//!
//! How arguments name things, everywhere:
//! * *record*, *compartment*, *peer*, *pass*: the full id in hex, or a prefix of at least
//!   [`ID_PREFIX_DIGITS_MIN`] digits that fits exactly one; a compartment and a peer also by name.
//! * *agency* (`rel`): its number in the coalition, its name, or its country's code when the
//!   coalition has exactly one agency of that country. Case does not matter.
//! * *time*: RFC 3339 in UTC, as [`WallTime`](tearline_crdt::time::WallTime) shows itself.
//! * What is not there and what may not be seen give the same [`Kind::NotFound`] failure with the
//!   same text; what matches several is a [`Kind::Usage`] failure that lists them.
//!
//! [`Kind::NotFound`]: crate::failure::Kind::NotFound
//! [`Kind::Usage`]: crate::failure::Kind::Usage

pub mod aside;
pub mod attachment;
pub mod bundle;
pub mod client;
pub mod desk;
pub mod field;
mod files;
pub mod pass;
pub mod presence;
mod records;
pub mod reply;
pub mod server;
pub mod trust;
pub mod unread;

use std::ops::ControlFlow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::files::{Export, Format, Import, Outgoing, Source};
pub use self::records::{
    RecordEdit, RecordHistory, RecordList, RecordNew, RecordResolve, RecordShow,
};
pub use self::server::serve;
use crate::failure::Failure;

/// The version of this protocol. Client and daemon must have the same.
pub const PROTOCOL_VERSION: u32 = 2;
/// Longest request, with its line end. Files are named by path, never carried.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Longest line of an answer. The daemon pages lists so that they stay below it.
pub const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How often a client hears that its request is being worked on.
pub const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long a daemon may say nothing until a client gives up: ten heartbeats, which a daemon that is short
/// of processor time or memory still keeps.
pub const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Fewest digits by which an id may be abbreviated.
pub const ID_PREFIX_DIGITS_MIN: usize = 4;
/// Most rows of one list or search page.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// Rows of a page when the request does not say.
pub const PAGE_ROWS_DEFAULT: u32 = 50;

/// What answers requests: the daemon's inside. Calls may block and come from many threads at once.
pub trait Service: Send + Sync + 'static {
    /// Does what is asked and returns the value that the [`Request`]'s variant promises. A write
    /// returns only once it is durable. May report how far it is, and may end when it is told that
    /// nobody waits; reports may be dropped.
    fn call(&self, request: Request, progress: &mut Report<'_>) -> Result<Value, Failure>;

    /// Ends cleanly: called once, after the last call has returned.
    fn close(&self) {}
}

/// Takes how far a call is. It breaks when nobody waits for the answer any more.
pub type Report<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// What a client sends.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// [`PROTOCOL_VERSION`].
    pub version: u32,
    /// What it asks.
    pub request: Request,
}

/// One line of the daemon's answer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// The client may ask now.
    Ready,
    /// The request was taken up and is being worked on.
    Working,
    /// How far it is.
    Progress(Progress),
    /// Done: the last line of this answer.
    Ok(Value),
    /// Not done: the last line of this answer.
    Error(Failure),
}

/// How far a long request is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// How many units are done.
    pub done: u64,
    /// Of how many, where that is known.
    pub total: Option<u64>,
    /// What is counted, in the plural: "records", "bytes".
    pub unit: String,
    /// What is being done now. Never a record's content.
    pub note: String,
}

/// What can be asked. On the wire `{"record.new":{...}}`; [`Request::verb`] is that tag, and the
/// JSON printed by the command line has the schema `tearline.<tag>/1`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Request {
    /// How the daemon, its peers and its compartments are. Answers at any time, also while peers
    /// are still being dialled: an answer means that the daemon is up.
    ///
    /// -> [`reply::Status`]
    #[serde(rename = "status")]
    Status(Empty),

    /// The checks that need a running daemon (peers reachable, clock against peers, store
    /// verified, entries that wait). The command line adds the checks of the home folder itself.
    ///
    /// -> [`reply::Doctor`]
    #[serde(rename = "doctor")]
    Doctor(Empty),

    /// Ends the daemon, in order. Answers when it was told to; it has ended when its home can be locked.
    ///
    /// -> [`reply::Stopping`]
    #[serde(rename = "stop")]
    Stop(Empty),

    /// Joins a coalition by an invitation from a member: dials the inviter, proves the
    /// invitation's secret, sends this agency's or device's keys, and waits until the grant has
    /// arrived and is durable. The inviter's addresses are kept as by `peer.add`, so that the
    /// connection comes back after a restart. Fails with `Waits` when the inviter's side needs more signatures,
    /// with `Denied` when the invitation is spent, expired or not for this kind of joiner, with
    /// `Unreachable` when no address answers.
    ///
    /// -> [`reply::Joined`]
    #[serde(rename = "join")]
    Join(Join),

    /// Makes an invitation. One use, expiring; its text carries the coalition's id, the inviter's
    /// device and addresses, and a random secret.
    ///
    /// -> [`reply::Invitation`]
    #[serde(rename = "peer.invite")]
    PeerInvite(PeerInvite),

    /// Keeps a connection to a peer at this address from now on, also after a restart. Answers
    /// when it is written down, not when the peer is reached.
    ///
    /// -> [`reply::Peer`]
    #[serde(rename = "peer.add")]
    PeerAdd(PeerAdd),

    /// Says what is wanted whole of a peer, after a change of that if one is asked for -> [`aside::Interest`]
    #[serde(rename = "peer.interest")]
    PeerInterest(aside::PeerInterest),

    /// -> [`reply::Peers`]
    #[serde(rename = "peer.list")]
    PeerList(Empty),

    /// Forgets a peer's addresses and closes its links; of an address, forgets that one alone. Its
    /// rights stay: they are the coalition's to revoke.
    ///
    /// -> [`reply::Peer`], as it was.
    #[serde(rename = "peer.remove")]
    PeerRemove(PeerNamed),

    /// Closes a peer's links, and makes and takes none until [`Request::PeerResume`], also after a
    /// restart.
    ///
    /// -> [`reply::Peer`]
    #[serde(rename = "peer.pause")]
    PeerPause(PeerNamed),

    /// Ends what [`Request::PeerPause`] began.
    ///
    /// -> [`reply::Peer`]
    #[serde(rename = "peer.resume")]
    PeerResume(PeerNamed),

    /// Founds a coalition with this agency as its first member and opens this agency's home
    /// compartment. Fails with `Failed` when this device belongs to a coalition or has no agency
    /// root.
    ///
    /// -> [`reply::Coalition`]
    #[serde(rename = "coalition.create")]
    CoalitionCreate(CoalitionCreate),

    /// -> [`reply::Coalition`]; `NotFound` when this device belongs to none.
    #[serde(rename = "coalition.show")]
    CoalitionShow(Empty),

    /// Opens the compartment with exactly this audience (this agency is always in it), or finds
    /// the one there is.
    ///
    /// -> [`reply::Opened`]
    #[serde(rename = "compartment.open")]
    CompartmentOpen(CompartmentOpen),

    /// Those this device is in the audience of. The others do not exist.
    ///
    /// -> [`reply::Compartments`]
    #[serde(rename = "compartment.list")]
    CompartmentList(Empty),

    /// -> [`reply::CompartmentDetail`]
    #[serde(rename = "compartment.show")]
    CompartmentShow(CompartmentShow),

    /// Mints a pass for a person or a program, within what this device may do, and keeps its terms.
    /// The pass itself is in the answer and nowhere else.
    ///
    /// -> [`pass::PassMinted`]
    #[serde(rename = "pass.mint")]
    PassMint(pass::PassMint),

    /// -> [`pass::Passes`]
    #[serde(rename = "pass.list")]
    PassList(Empty),

    /// Whether a pass that was minted here allows something now. A pass that is none is a denial,
    /// not a failure.
    ///
    /// -> [`pass::PassChecked`]
    #[serde(rename = "pass.check")]
    PassCheck(pass::PassCheck),

    /// Revokes a pass and all that was narrowed from it; given the text of a narrowed pass, that
    /// one and all that was narrowed from it.
    ///
    /// -> [`pass::PassRevoked`]
    #[serde(rename = "pass.revoke")]
    PassRevoke(pass::PassRevoke),

    /// Writes a new record. Without `compartment` and `rel` it goes to the agency's home
    /// compartment; with `rel` to the compartment of exactly that audience, opened if need be;
    /// with both the request is a `Usage` failure. `set` is applied over `fields`.
    ///
    /// -> [`reply::Written`]
    #[serde(rename = "record.new")]
    RecordNew(RecordNew),

    /// -> [`reply::Record`]
    #[serde(rename = "record.show")]
    RecordShow(RecordShow),

    /// Newest change first.
    ///
    /// -> [`reply::Rows`]
    #[serde(rename = "record.list")]
    RecordList(RecordList),

    /// Changes fields of a record that this device may write. An edit that changes nothing writes
    /// nothing and answers with `entry` null.
    ///
    /// -> [`reply::Written`]
    #[serde(rename = "record.edit")]
    RecordEdit(RecordEdit),

    /// Oldest first.
    ///
    /// -> [`reply::History`]
    #[serde(rename = "record.history")]
    RecordHistory(RecordHistory),

    /// Makes one of a field's concurrent values the value. `NotFound` when the field has no value
    /// of that number, `Failed` when it has but one.
    ///
    /// -> [`reply::Resolved`]
    #[serde(rename = "record.resolve")]
    RecordResolve(RecordResolve),

    /// Reads files and writes a record for each object or row, with progress in `records`.
    /// An object that is there already (same external id, same content) is left alone. A row that
    /// is no record is counted and reported, and does not stop the rest; a file that is not of its
    /// format at all is a `Failed` failure, with what was written before it.
    ///
    /// -> [`reply::Imported`]
    #[serde(rename = "import")]
    Import(Import),

    /// Writes what this device may read, and what matches, to `out`, which the client has created
    /// (mode 0600) and the daemon truncates.
    ///
    /// -> [`reply::Exported`]
    #[serde(rename = "export")]
    Export(Export),

    /// Records of a compartment as STIX objects, in the order in which their present state came.
    ///
    /// -> [`reply::Outgoing`]
    #[serde(rename = "outgoing")]
    Outgoing(Outgoing),

    /// Makes a file that carries what some devices lack: fills `part`, puts it at `out` when it is whole and
    /// durable, and then notes what was packed.
    ///
    /// -> [`bundle::BundleMade`]
    #[serde(rename = "bundle.export")]
    BundleExport(bundle::BundleExport),

    /// Reads a bundle for this device through, and takes nothing of it.
    ///
    /// -> [`bundle::BundleInspected`]
    #[serde(rename = "bundle.inspect")]
    BundleInspect(bundle::BundleFile),

    /// Takes what is in a bundle for this device, up to where it is torn or damaged.
    ///
    /// -> [`bundle::BundleTaken`]
    #[serde(rename = "bundle.import")]
    BundleImport(bundle::BundleFile),

    /// Makes a device ready for time off the grid: seals it keys that it lacks, and makes a bundle for it of
    /// what matters where it will be, as [`Request::BundleExport`] does.
    ///
    /// -> [`field::FieldPacked`]
    #[serde(rename = "field.pack")]
    FieldPack(field::FieldPack),

    /// -> [`field::FieldShown`]
    #[serde(rename = "field.show")]
    FieldShow(Empty),

    /// Best match first; newest first among equals.
    ///
    /// -> [`reply::Rows`]
    #[serde(rename = "search")]
    Search(Search),

    /// Proposes an act of the founders, and by that signs it. With a quorum of one it is in force at once.
    ///
    /// -> [`trust::Proposal`]
    #[serde(rename = "coalition.propose")]
    CoalitionPropose(trust::Proposed),

    /// Signs a proposed act.
    ///
    /// -> [`trust::Proposal`]
    #[serde(rename = "coalition.approve")]
    CoalitionApprove(trust::Named),

    /// -> [`trust::Proposals`]
    #[serde(rename = "coalition.proposals")]
    CoalitionProposals(Empty),

    /// Gives a device, or in a compartment an agency, a right. What would widen what this device has is `Denied`.
    ///
    /// -> [`trust::Declared`]
    #[serde(rename = "grant.issue")]
    GrantIssue(trust::GrantIssue),

    /// -> [`trust::Grants`]
    #[serde(rename = "grant.list")]
    GrantList(trust::GrantList),

    /// Why a statement counts or does not, or what ended a device's standing.
    ///
    /// -> [`trust::Explained`]
    #[serde(rename = "grant.explain")]
    GrantExplain(trust::Named),

    /// Ends a device's standing, in the coalition or in one compartment.
    ///
    /// -> [`trust::Lost`]
    #[serde(rename = "grant.revoke")]
    GrantRevoke(trust::GrantRevoke),

    /// Lets a quarantined entry count, and those before it in its log.
    ///
    /// -> [`trust::Declared`]
    #[serde(rename = "grant.adopt")]
    GrantAdopt(trust::Named),

    /// Draws up what an agency's root is to sign alone: a revocation or an adoption. Anything else is `Usage`.
    ///
    /// -> [`trust::RootDraft`]
    #[serde(rename = "root.draft")]
    RootDraft(trust::Proposed),

    /// What ended this device's standing, for its agency's root to lift. `Denied` in a life that it had then.
    ///
    /// -> [`trust::RootReopening`]
    #[serde(rename = "root.reopening")]
    RootReopening(Empty),

    /// Writes down what an agency's root signed.
    ///
    /// -> [`trust::RootApplied`]
    #[serde(rename = "root.apply")]
    RootApply(trust::RootApply),

    /// What does not count here, and why.
    ///
    /// -> [`trust::Quarantine`]
    #[serde(rename = "inbox")]
    Quarantine(Empty),

    /// An entry that does not count, and what its record would be if it did.
    ///
    /// -> [`trust::QuarantinedInFull`]
    #[serde(rename = "inbox.show")]
    QuarantineShow(trust::Named),

    /// -> [`trust::Devices`]
    #[serde(rename = "device.list")]
    DeviceList(Empty),

    /// Calls a device by a name, on this peer alone.
    ///
    /// -> [`trust::Device`]
    #[serde(rename = "device.name")]
    DeviceName(trust::DeviceName),

    /// A device is in other hands: ends its standing, begins new keys where it could read, and says what it could read and who has not heard.
    ///
    /// -> [`trust::Lost`]
    #[serde(rename = "device.lost")]
    DeviceLost(trust::DeviceLost),

    /// Begins a new epoch for those who may read now.
    ///
    /// -> [`trust::Rotated`]
    #[serde(rename = "compartment.rotate")]
    CompartmentRotate(CompartmentShow),

    /// Says something of a record and of what was released of it: erase, restrict, hold, recall.
    ///
    /// -> [`trust::Declared`]
    #[serde(rename = "record.say")]
    RecordSay(RecordSay),

    /// Ends a hold or a restriction.
    ///
    /// -> [`trust::Declared`]
    #[serde(rename = "record.lift")]
    RecordLift(trust::Named),

    /// Writes fields of a record as a new record for another audience, linked both ways.
    ///
    /// -> [`trust::Released`]
    #[serde(rename = "record.release")]
    RecordRelease(trust::RecordRelease),

    /// Who has obeyed what was said of a record, and who has not answered.
    ///
    /// -> [`trust::Receipts`]
    #[serde(rename = "record.receipts")]
    RecordReceipts(RecordShow),

    /// Say where this device is -> [`presence::Presences`]
    #[serde(rename = "presence.say")]
    PresenceSay(presence::PresenceSay),

    /// Where devices say that they are -> [`presence::Presences`]
    #[serde(rename = "presence.list")]
    PresenceList(Empty),

    /// Attach a file to a record -> [`attachment::Attachment`]
    #[serde(rename = "record.attach")]
    RecordAttach(attachment::RecordAttach),

    /// The files of a record -> [`attachment::Attachments`]
    #[serde(rename = "record.attachments")]
    RecordAttachments(RecordShow),

    /// Ask all linked peers for what is not here yet of a record -> [`aside::Aside`], as it was.
    #[serde(rename = "record.fetch-entries")]
    RecordFetchEntries(RecordShow),

    /// The records of which something is not here yet -> [`aside::Asides`]
    #[serde(rename = "record.asides")]
    RecordAsides(RecordAsides),

    /// Ask peers for what lacks of a file, and write it out if nothing does -> [`attachment::Attachment`]
    #[serde(rename = "record.fetch")]
    RecordFetch(attachment::RecordFetch),

    /// Why this device is shown a record or not, and by which statements. A record that it may not know of gives the one `NotFound` answer.
    ///
    /// -> [`reply::Why`]
    #[serde(rename = "why")]
    Why(Why),

    /// Adds somebody who works at the portal.
    ///
    /// -> [`desk::OperatorCode`]
    #[serde(rename = "operator.add")]
    OperatorAdd(desk::OperatorAdd),

    /// -> [`desk::Operators`]
    #[serde(rename = "operator.list")]
    OperatorList(Empty),

    /// Gives another role or ceiling, and ends the sessions.
    ///
    /// -> [`Operator`](crate::operators::Operator)
    #[serde(rename = "operator.role")]
    OperatorRole(desk::OperatorRole),

    /// Forgets an operator's passphrase and second factor, and ends his sessions.
    ///
    /// -> [`desk::OperatorCode`]
    #[serde(rename = "operator.reset")]
    OperatorReset(desk::OperatorNamed),

    /// Removes an operator, and ends his sessions.
    ///
    /// -> [`Operator`](crate::operators::Operator)
    #[serde(rename = "operator.remove")]
    OperatorRemove(desk::OperatorNamed),

    /// -> [`desk::AuditPage`], newest first
    #[serde(rename = "audit.show")]
    AuditShow(desk::AuditShow),

    /// -> [`desk::AuditPage`], oldest first
    #[serde(rename = "audit.export")]
    AuditRead(desk::AuditRead),

    /// -> [`desk::AuditVerified`]
    #[serde(rename = "audit.verify")]
    AuditVerify(Empty),
}

impl Request {
    /// The tag on the wire: all of a request that may be logged.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Doctor(_) => "doctor",
            Self::Stop(_) => "stop",
            Self::Join(_) => "join",
            Self::PeerInvite(_) => "peer.invite",
            Self::PeerAdd(_) => "peer.add",
            Self::PeerInterest(_) => "peer.interest",
            Self::PeerList(_) => "peer.list",
            Self::PeerRemove(_) => "peer.remove",
            Self::PeerPause(_) => "peer.pause",
            Self::PeerResume(_) => "peer.resume",
            Self::CoalitionCreate(_) => "coalition.create",
            Self::CoalitionShow(_) => "coalition.show",
            Self::CompartmentOpen(_) => "compartment.open",
            Self::CompartmentList(_) => "compartment.list",
            Self::CompartmentShow(_) => "compartment.show",
            Self::PassMint(_) => "pass.mint",
            Self::PassList(_) => "pass.list",
            Self::PassCheck(_) => "pass.check",
            Self::PassRevoke(_) => "pass.revoke",
            Self::RecordNew(_) => "record.new",
            Self::RecordShow(_) => "record.show",
            Self::RecordList(_) => "record.list",
            Self::RecordEdit(_) => "record.edit",
            Self::RecordHistory(_) => "record.history",
            Self::RecordResolve(_) => "record.resolve",
            Self::Import(_) => "import",
            Self::Export(_) => "export",
            Self::Outgoing(_) => "outgoing",
            Self::BundleExport(_) => "bundle.export",
            Self::BundleInspect(_) => "bundle.inspect",
            Self::BundleImport(_) => "bundle.import",
            Self::FieldPack(_) => "field.pack",
            Self::FieldShow(_) => "field.show",
            Self::Search(_) => "search",
            Self::Why(_) => "why",
            Self::OperatorAdd(_) => "operator.add",
            Self::OperatorList(_) => "operator.list",
            Self::OperatorRole(_) => "operator.role",
            Self::OperatorReset(_) => "operator.reset",
            Self::OperatorRemove(_) => "operator.remove",
            Self::AuditShow(_) => "audit.show",
            Self::AuditRead(_) => "audit.export",
            Self::AuditVerify(_) => "audit.verify",
            Self::CoalitionPropose(_) => "coalition.propose",
            Self::CoalitionApprove(_) => "coalition.approve",
            Self::CoalitionProposals(_) => "coalition.proposals",
            Self::GrantIssue(_) => "grant.issue",
            Self::GrantList(_) => "grant.list",
            Self::GrantExplain(_) => "grant.explain",
            Self::GrantRevoke(_) => "grant.revoke",
            Self::GrantAdopt(_) => "grant.adopt",
            Self::RootDraft(_) => "root.draft",
            Self::RootReopening(_) => "root.reopening",
            Self::RootApply(_) => "root.apply",
            Self::Quarantine(_) => "inbox",
            Self::QuarantineShow(_) => "inbox.show",
            Self::DeviceList(_) => "device.list",
            Self::DeviceName(_) => "device.name",
            Self::DeviceLost(_) => "device.lost",
            Self::CompartmentRotate(_) => "compartment.rotate",
            Self::RecordSay(_) => "record.say",
            Self::RecordLift(_) => "record.lift",
            Self::RecordRelease(_) => "record.release",
            Self::RecordReceipts(_) => "record.receipts",
            Self::PresenceSay(_) => "presence.say",
            Self::PresenceList(_) => "presence.list",
            Self::RecordAttach(_) => "record.attach",
            Self::RecordAttachments(_) => "record.attachments",
            Self::RecordFetch(_) => "record.fetch",
            Self::RecordFetchEntries(_) => "record.fetch-entries",
            Self::RecordAsides(_) => "record.asides",
        }
    }
}

/// No arguments: `{}`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// Arguments of [`Request::Join`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The text that [`reply::Invitation::invitation`] is.
    pub invitation: String,
    /// The certificate by which the agency's root made this device a desk, where the root is not here.
    #[serde(default)]
    pub certificate: Option<String>,
    /// How long to wait for the inviter's answer, in seconds.
    #[serde(default)]
    pub wait_s: Option<u32>,
}

/// Arguments of [`Request::PeerInvite`].
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PeerInvite {
    /// What the invited device is to be called here.
    #[serde(default)]
    pub name: Option<String>,
    /// For a further device of this agency instead of for another agency.
    #[serde(default)]
    pub device: bool,
    /// What that device may do: "relay", "read", "write", "admit" or "admin"; "write" if absent.
    #[serde(default)]
    pub right: Option<String>,
    /// Within which limits.
    #[serde(default)]
    pub limits: trust::Limits,
    /// Seconds until it expires.
    pub expires_s: u64,
    /// The addresses to name in it, instead of those in the configuration (`announce`, or else
    /// what the daemon listens on). The joiner dials these and no others.
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// Arguments of [`Request::PeerAdd`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PeerAdd {
    /// A multiaddress that ends in `/p2p/PEER`; or a thin link,
    /// `udp://HOST:PORT/DEVICE?rate=2400` or `kiss://...`, in place of the one that there was.
    pub address: String,
    /// What to want whole of the peer: what any of these says. Without any, what is wanted of it stays as it is.
    #[serde(default)]
    pub interest: Vec<String>,
}

/// Arguments of [`Request::RecordAsides`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordAsides {
    /// Most records, as [`RecordList::limit`].
    #[serde(default)]
    pub limit: Option<u32>,
}

/// A peer. Arguments of [`Request::PeerRemove`], [`Request::PeerPause`] and [`Request::PeerResume`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PeerNamed {
    /// The peer: device id, prefix or name; or one of its addresses.
    pub peer: String,
}

/// Arguments of [`Request::CoalitionCreate`].
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CoalitionCreate {
    /// Its name.
    pub name: String,
    /// How many founders an act of the whole needs; 1 if absent.
    #[serde(default)]
    pub quorum: Option<u16>,
    /// The other founders.
    #[serde(default)]
    pub founders: Vec<Founder>,
    /// Hours between hiding an erased record and destroying it; 72 if absent.
    #[serde(default)]
    pub erasure_delay_hours: Option<u32>,
}

/// A founder of a coalition, beside this agency.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Founder {
    /// Its name.
    pub name: String,
    /// Its country: ISO 3166-1 alpha-2.
    pub country: String,
    /// Its root's public key, 64 hexadecimal digits.
    pub root: String,
}

/// Arguments of [`Request::RecordSay`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordSay {
    /// The record.
    pub record: String,
    /// What is said.
    pub said: trust::Said,
}

/// Arguments of [`Request::CompartmentOpen`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CompartmentOpen {
    /// Its name, for people. Readers see it; nobody else does.
    pub name: String,
    /// The audience's agencies. Empty: this agency alone.
    pub rel: Vec<String>,
}

/// Arguments of [`Request::CompartmentShow`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CompartmentShow {
    /// Which.
    pub compartment: String,
}

/// Arguments of [`Request::Search`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Words and `field:value` terms, all of which must match.
    pub query: String,
    /// A STIX pattern: of what matches, only what was observed as it says.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Most rows; [`PAGE_ROWS_DEFAULT`] if absent, [`PAGE_ROWS_MAX`] at most.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Where the last page ended: its [`reply::Rows::next`].
    #[serde(default)]
    pub after: Option<String>,
}

/// Arguments of [`Request::Why`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// Which.
    pub record: String,
}
