//! Cold sync: a daemon that holds nothing gets all records of another over loopback, both shipped
//! daemons on this machine. Beside it, in the same run, what the receiver's stages cost one by one.
//! Then the link is made anew with both in sync.
//!
//! The receiver's core thread takes frames apart, verifies, judges, indexes and stores, one frame
//! after the other; the sender's reads and frames on a thread of its own, and transports encrypt on
//! theirs. So at best the slower of the two core threads decides.
//!
//! `cargo bench -p tearline-node --bench sync`; `-- --json` prints one document.
//! `TEARLINE_BENCH_RECORDS` sets the number of records (100,000).

#[path = "support/author.rs"]
mod author;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/sightings.rs"]
mod sightings;
#[path = "support/stages.rs"]
mod stages;
#[path = "support/table.rs"]
mod table;

use std::thread;
use std::time::{Duration, Instant};

use tearline_crdt::id::Class;
use tearline_crdt::logbook::Logbook;
use tearline_node::control::reply::{
    Coalition, Imported, Invitation, Joined, Opened, Peer, PeerState, Rows, Status,
};
use tearline_node::control::{self, CompartmentOpen, Empty, Request};
use tearline_node::protection::Opener;
use tearline_node::store::{SledStore, StoreKey};

use daemon::Daemon;
use stages::{Broken, Stages};
use table::{Bound, Table, judged};

/// Records a second that are asked for, and the share of what the stages allow.
const RATE_MIN: f64 = 10_000.0;
const SHARE_MIN: f64 = 0.6;
/// Bytes of frames for each byte of entries that are allowed.
const OVERHEAD_MAX: f64 = 1.25;
/// Bytes of frames that two peers in sync may exchange to find that out.
const IN_SYNC_BYTES_MAX: f64 = 40.0;
/// Records, if nothing else is asked for.
const RECORDS: u64 = 100_000;
/// How often the receiver is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How long the two may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the receiver's core thread does, in order.
const RECEIVER: [&str; 5] = ["frame", "verify", "judge", "index", "store"];

fn main() -> Result<(), Broken> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sightings.json");
    let records = sightings::count(RECORDS);
    let bytes = sightings::write(&file, records)?;
    let (_, written) = author::author(&file, &folder.path().join("author"))?;
    let before = receiver::receive(&written, &folder.path().join("before"))?;
    let mut sender = Daemon::init(folder.path(), "Sender", "NE")?;
    let mut receiver = Daemon::init(folder.path(), "Receiver", "TD")?;
    let status = Request::Status(Empty {});
    sender.start::<Status>(&status)?;
    receiver.start::<Status>(&status)?;
    let compartment = meet(&sender, &receiver)?;
    receiver.kill()?;
    let import = control::Import {
        files: vec![file.clone()],
        stdin: None,
        compartment: compartment.clone(),
        format: None,
        map: None,
        label: None,
        class: None,
    };
    let imported: Imported = sender.ask(Request::Import(import))?;
    if imported.created != records {
        return Err(format!("{} of {records} records were written", imported.created).into());
    }

    let loopback = loopback_bytes();
    let began = Instant::now();
    receiver.start::<Status>(&status)?;
    let (mut first, mut linked) = (None, None);
    loop {
        let status = receiver.status()?;
        let held = status.compartments.iter().find(|c| c.compartment == compartment);
        let held = held.map_or(0, |c| c.records);
        let peer = status.peers.into_iter().find(|peer| peer.received_bytes > 0);
        linked = linked.or(peer.as_ref().map(|_| began.elapsed()));
        first = first.or((held > 0).then(|| began.elapsed()));
        match peer {
            Some(_) if held >= records => break,
            _ if began.elapsed() > PATIENCE => return Err("the receiver does not get all".into()),
            _ => thread::sleep(ASK_EVERY),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    last_is_readable(&receiver, records)?;
    let loopback = loopback.zip(loopback_bytes()).map(|(before, after)| after - before);
    // The sender knows that all is durable over there: all was acknowledged.
    while !in_sync(&peer_of(&sender)?) {
        if began.elapsed() > PATIENCE {
            return Err("the receiver does not acknowledge all".into());
        }
        thread::sleep(ASK_EVERY);
    }
    let acknowledged = began.elapsed().as_secs_f64();
    let peer = peer_of(&receiver)?;
    let memory = receiver.memory()?;
    let greeting = meet_again(&mut receiver)?;
    receiver.kill()?;
    sender.kill()?;
    let own = entry_bytes(&sender)? as f64;
    let after = receiver::receive(&written, &folder.path().join("after"))?;
    let stages = Stages::median(&[before, after]);
    if stages.objects != records {
        return Err(format!("{} of {records} records were staged", stages.objects).into());
    }

    let mut table = Table::new(format!("cold sync of {records} sightings of {bytes} bytes"));
    let (receive, send) = (stages.rate(&RECEIVER), stages.rate(&["send"]));
    let rate = records as f64 / seconds;
    let limit = (receive.min(send), SHARE_MIN);
    let bound = Bound::AtLeast(RATE_MIN);
    let limit = Some(limit);
    table.check("all readable, from exec of the receiver", rate, "records/s", bound, limit);
    table.note("all durable and acknowledged", records as f64 / acknowledged, "records/s");
    table.note("its limit: receiver's core thread", receive, "records/s");
    table.note("its limit: sender's core thread", send, "records/s");
    let frames = (peer.received_bytes + peer.sent_bytes) as f64;
    let bound = Bound::AtMost(OVERHEAD_MAX);
    table.check("frames both ways / bytes of the entries", frames / own, "", bound, None);
    table.note("bytes of the entries, for each record", own / records as f64, "bytes");
    if let Some(loopback) = loopback {
        table.note("packets on loopback / bytes of the entries", loopback as f64 / own, "");
    }
    let bound = Bound::AtMost(IN_SYNC_BYTES_MAX);
    table.check("frames both ways to meet again in sync", greeting as f64, "bytes", bound, None);
    let ms = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64() * 1e3;
    table.note("first frame after exec", ms(linked), "ms");
    table.note("first records after exec", ms(first), "ms");
    let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    table.note("receiver's resident memory afterwards", mib(memory.now), "MiB");
    table.note("receiver's resident memory at its peak", mib(memory.peak), "MiB");
    for (what, stage) in [
        ("stage, sender's core: read, frame", "send"),
        ("stage, receiver's core: take the frame apart", "frame"),
        ("stage, receiver's core: verify chain and signature", "verify"),
        ("stage, receiver's core: open, gate, list", "judge"),
        ("stage, receiver's core: index row", "index"),
        ("stage, receiver's core: store, flush, sync", "store"),
    ] {
        table.note(what, stages.micros(&[stage]), "us/record");
    }
    Ok(judged(table.print())?)
}

/// Brings the two into one coalition; returns a compartment that both read.
fn meet(sender: &Daemon, receiver: &Daemon) -> Result<String, Broken> {
    let create = control::CoalitionCreate { name: "Bench".into(), ..Default::default() };
    sender.ask::<Coalition>(Request::CoalitionCreate(create))?;
    let invite = control::PeerInvite { expires_s: 3_600, ..control::PeerInvite::default() };
    let invitation: Invitation = sender.ask(Request::PeerInvite(invite))?;
    let join = control::Join { invitation: invitation.invitation, certificate: None, wait_s: None };
    receiver.ask::<Joined>(Request::Join(join))?;
    let open = CompartmentOpen { name: "all".into(), rel: vec!["NE".into(), "TD".into()] };
    let opened: Opened = sender.ask(Request::CompartmentOpen(open))?;
    let began = Instant::now();
    while !receiver.status()?.compartments.iter().any(|c| c.compartment == opened.compartment) {
        if began.elapsed() > PATIENCE {
            return Err("the receiver does not hear of the compartment".into());
        }
        thread::sleep(ASK_EVERY);
    }
    Ok(opened.compartment)
}

/// The receiver finds the record that was written last by its words.
fn last_is_readable(receiver: &Daemon, records: u64) -> Result<(), Broken> {
    let query = sightings::word(records - 1);
    let search = control::Search { query, pattern: None, limit: Some(10), after: None };
    let rows: Rows = receiver.ask(Request::Search(search))?;
    if rows.records.is_empty() { Err("the last record is not readable".into()) } else { Ok(()) }
}

/// Kills the receiver and starts it again, with nothing new on either side. Returns the bytes of
/// all frames until both know that they are in sync.
fn meet_again(receiver: &mut Daemon) -> Result<u64, Broken> {
    receiver.kill()?;
    receiver.start::<Status>(&Request::Status(Empty {}))?;
    let began = Instant::now();
    loop {
        let peer = peer_of(receiver)?;
        if in_sync(&peer) {
            return Ok(peer.received_bytes + peer.sent_bytes);
        }
        if began.elapsed() > PATIENCE {
            return Err("the two do not meet again".into());
        }
        thread::sleep(ASK_EVERY);
    }
}

fn peer_of(daemon: &Daemon) -> Result<Peer, Broken> {
    daemon.status()?.peers.into_iter().next().ok_or_else(|| "the daemon has no peer".into())
}

fn in_sync(peer: &Peer) -> bool {
    peer.state == PeerState::Live && peer.missing == Some(0)
}

/// Bytes of all routine entries and their key boxes, in the short form that disks and wires share,
/// read from the logs of a daemon that is not running.
fn entry_bytes(daemon: &Daemon) -> Result<u64, Broken> {
    let identity = daemon.home.read_identity(&mut Opener::default())?;
    let store = SledStore::open(&daemon.home.store(), &StoreKey::new(identity.store_key))?;
    let logbook = Logbook::load(&store)?;
    let mut bytes = 0;
    for (log, state) in logbook.logs().filter(|(log, _)| log.class == Class::Routine) {
        let mut next = 0;
        while let Some(stretch) = logbook.read(&store, log, next..state.head.next, STRETCH_BYTES)? {
            bytes += stretch.entries.len() + stretch.boxes.len();
            next += stretch.count as u64;
        }
    }
    Ok(bytes as u64)
}

/// Entries that are read at a time.
const STRETCH_BYTES: usize = 1024 * 1024;

/// Bytes that the loopback interface has carried, where the system tells: packets, all included.
fn loopback_bytes() -> Option<u64> {
    std::fs::read_to_string("/sys/class/net/lo/statistics/rx_bytes").ok()?.trim().parse().ok()
}
