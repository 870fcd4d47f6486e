//! Hostile members against real daemons, all at once: the honest come to hold the same, stay small, and
//! name each offender by what it did.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tearline_crdt::entry::run::{Head, NewEntry, VerifiedRun, write_segment};
use tearline_crdt::frontier::{Leaf, LogKey, Prefix, Subtree};
use tearline_crdt::id::{Class, CompartmentId, DeviceId, EpochId, Incarnation, LogId};
use tearline_mesh::gossip::Message;
use tearline_mesh::gossip::wire::TreeMessage;
use tearline_mesh::wire::{Frame, POSITIONS_MAX, Tag};
use tearline_tests::daemon::Daemon;
use tokio::runtime::Runtime;

use crate::hostile::{Hostile, Wire};
use crate::trust::{done, text, until};

/// Most memory that an honest daemon may ever have taken.
const RESIDENT_KIB_MAX: u64 = 512 * 1024;
/// How long a daemon here lets a peer claim entries and give none.
const WITHHELD_AFTER_S: &str = "4";
/// How often it is looked whether a record has come, and for how long.
const LOOK_EVERY: Duration = Duration::from_millis(2);
const LATENCY_MAX: Duration = Duration::from_secs(60);
/// How often the honest write meanwhile, and how long it may take until everybody is named.
const WRITE_EVERY: Duration = Duration::from_millis(100);
const NAMED_MAX: Duration = Duration::from_secs(120);
/// More than anybody may ask for in vain, whatever it costs.
const TIMES: usize = 60_000;
/// When who was not let in tries again.
const DIAL_AGAIN: Duration = Duration::from_millis(200);
/// A frame of which a byte comes every so often, sooner than a silent link is given up.
const TRICKLE_EVERY: Duration = Duration::from_secs(5);

/// What a hostile member does, and under which of these names it is held against it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Deed {
    Equivocate,
    TooManyLives,
    Flood,
    Withhold,
    Replay,
    LieAboutFrontier,
    SyncWithoutEnd,
    Oversize,
    SlowLoris,
    GossipSpam,
    Garbage,
    Babble,
}

impl Deed {
    const ALL: [Self; 12] = [
        Self::Equivocate,
        Self::TooManyLives,
        Self::Flood,
        Self::Withhold,
        Self::Replay,
        Self::LieAboutFrontier,
        Self::SyncWithoutEnd,
        Self::Oversize,
        Self::SlowLoris,
        Self::GossipSpam,
        Self::Garbage,
        Self::Babble,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Equivocate => "forked-log",
            Self::TooManyLives => "too-many-lives",
            Self::Flood | Self::Replay | Self::SyncWithoutEnd => "endless",
            Self::Withhold | Self::LieAboutFrontier => "withheld",
            Self::Oversize => "oversize-frame",
            Self::SlowLoris => "trickle",
            Self::GossipSpam => "gossip-flood",
            Self::Garbage => "malformed-frame",
            Self::Babble => "babble",
        }
    }
}

/// An honest peer, as an attacker sees it.
#[derive(Clone, Debug)]
struct Victim {
    at: String,
    device: DeviceId,
}

/// What the attackers know: the honest peers, the compartment, and a log of the first peer.
#[derive(Clone, Debug)]
struct Field {
    victims: [Victim; 2],
    all: CompartmentId,
    honest: LogKey,
}

#[test]
fn whatever_hostile_members_do_the_honest_converge_and_name_them() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let runtime = Runtime::new()?;
    let mut daemons = Vec::new();
    for country in ["XA", "XB", "XC"] {
        let mut daemon = Daemon::init(folder.path(), &format!("Agency {country}"), country)?;
        done(daemon.command(&["config", "set", "limits.withheld_after_s", WITHHELD_AFTER_S])?);
        daemon.start()?;
        daemons.push(daemon);
    }
    daemons[0].ask("coalition.create", &json!({ "name": "Drill" }))?;
    for daemon in &daemons[1..] {
        daemon.ask("join", &json!({ "invitation": invitation(&daemons[0])? }))?;
    }
    let second = state(&daemons[1])?["addresses"][0].clone();
    daemons[2].ask("peer.add", &json!({ "address": second }))?;
    let attackers: BTreeMap<Deed, Hostile> =
        Deed::ALL.into_iter().zip(50..).map(|(deed, seed)| (deed, Hostile::new(seed))).collect();
    let mut countries = vec!["XA".to_owned(), "XB".to_owned(), "XC".to_owned()];
    let at = victim(&daemons[0])?.at;
    for (letter, hostile) in ('D'..).zip(attackers.values()) {
        let country = format!("X{letter}");
        let code = [b'X', letter as u8];
        runtime.block_on(hostile.join(&at, &invitation(&daemons[0])?, code))?;
        countries.push(country);
    }
    let opening = json!({ "name": "all", "rel": countries });
    let compartment = daemons[0].ask("compartment.open", &opening)?["compartment"].clone();
    let mesh = Honest { daemons, compartment };
    until(|| mesh.agrees())?;

    let quiet = mesh.median_latency("quiet")?;
    let field = mesh.field()?;
    for (deed, hostile) in attackers {
        runtime.spawn(attack(deed, hostile, field.clone()));
    }
    let attacked = mesh.median_latency("attacked")?;
    let mut open: Vec<(Deed, String)> =
        Deed::ALL.into_iter().zip(50..).map(|(deed, seed)| (deed, id(seed))).collect();
    let (mut written, begun) = (Vec::new(), Instant::now());
    while !open.is_empty() {
        written.push(mesh.write(written.len() % 3, "meanwhile")?);
        let peers = mesh.daemons[0].ask("peer.list", &json!({}))?;
        open.retain(|(deed, device)| !is_named(&peers, device, *deed));
        assert!(begun.elapsed() < NAMED_MAX, "not named: {open:?} in {peers}");
        thread::sleep(WRITE_EVERY);
    }
    runtime.shutdown_background();
    until(|| mesh.agrees())?;
    for daemon in &mesh.daemons {
        for record in &written {
            daemon.ask("record.show", &json!({ "record": record }))?;
        }
        let resident = resident_kib_max(daemon)?;
        assert!(resident < RESIDENT_KIB_MAX, "{resident} KiB");
        println!("at most {} MiB resident", resident / 1_024);
    }
    // How long it takes hangs on what else the machine does; it is said, and not asserted.
    println!("a record is readable elsewhere after {quiet:?}, while attacked after {attacked:?}");
    Ok(())
}

/// A device that misbehaves is blocked, for longer each time, until the operator lets it in again.
#[test]
fn an_offender_is_blocked_until_the_operator_resumes_it() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let runtime = Runtime::new()?;
    let mut guard = Daemon::init(folder.path(), "Border Guard", "NE")?;
    guard.start()?;
    guard.ask("coalition.create", &json!({ "name": "Drill" }))?;
    let (hostile, at) = (Hostile::new(70), victim(&guard)?);
    runtime.block_on(hostile.join(&at.at, &invitation(&guard)?, *b"TD"))?;
    let device = id(70);
    let misbehave = || {
        runtime.block_on(async {
            let mut wire = hostile.dial(&at.at, at.device).await?;
            wire.write(&[3, 0xee, 0xee, 0xee]).await?;
            wire.hear_out().await;
            io::Result::Ok(())
        })
    };
    let mut waits = Vec::new();
    for _ in 0..3 {
        // It is let in again when its time is over.
        until(|| Ok(listed(&guard, &device)?["state"] != "blocked"))?;
        misbehave()?;
        let mut peer = Value::Null;
        until(|| {
            peer = listed(&guard, &device)?;
            Ok(peer["state"] == "blocked")
        })?;
        assert!(text(&peer["reason"]).starts_with("misbehaved: malformed-frame"), "{peer}");
        waits.push(peer["again_ms"].as_u64().unwrap_or_default());
    }
    assert!((1..=5_000).contains(&waits[0]) && waits[2] > waits[0], "{waits:?}");
    let _ = misbehave();
    let reason = listed(&guard, &device)?["reason"].clone();
    assert_eq!(reason, "misbehaved: malformed-frame x3", "it is not heard before");
    done(guard.command(&["peer", "resume", &device])?);
    let peer = listed(&guard, &device)?;
    assert!(peer["state"] == "stale" && text(&peer["reason"]).contains("misbehaved"), "{peer}");
    Ok(())
}

/// The honest daemons.
struct Honest {
    daemons: Vec<Daemon>,
    compartment: Value,
}

impl Honest {
    fn agrees(&self) -> io::Result<bool> {
        let digest = |daemon| {
            let state = state(daemon)?;
            let all = state["compartments"].as_array().cloned().unwrap_or_default();
            let one = all.into_iter().find(|one| one["compartment"] == self.compartment);
            io::Result::Ok(one.map(|one| one["digest"].clone()))
        };
        let first = digest(&self.daemons[0])?;
        let others: io::Result<Vec<_>> = self.daemons[1..].iter().map(digest).collect();
        Ok(first.is_some() && others?.iter().all(|other| *other == first))
    }

    fn write(&self, by: usize, plate: &str) -> io::Result<Value> {
        let draft = json!({
            "kind": "vehicle", "compartment": self.compartment, "fields": { "plate": plate },
        });
        Ok(self.daemons[by].ask("record.new", &draft)?["record"].clone())
    }

    /// How long it takes from a record's being written at one until it is readable at another.
    fn median_latency(&self, plate: &str) -> io::Result<Duration> {
        let mut all = Vec::new();
        for _ in 0..9 {
            let begun = Instant::now();
            let record = self.write(1, plate)?;
            let show = json!({ "record": record });
            while self.daemons[2].ask("record.show", &show).is_err() {
                assert!(begun.elapsed() < LATENCY_MAX, "it does not come");
                thread::sleep(LOOK_EVERY);
            }
            all.push(begun.elapsed());
        }
        all.sort_unstable();
        Ok(all[all.len() / 2])
    }

    fn field(&self) -> io::Result<Field> {
        let shown = self.daemons[0].ask("compartment.show", &json!({ "compartment": "all" }))?;
        let own = victim(&self.daemons[1])?.device.to_string();
        let logs = shown["logs"].as_array().cloned().unwrap_or_default();
        let log =
            logs.into_iter().find(|log| log["device"] == own.as_str() && log["class"] == "routine");
        let log = log.ok_or(io::Error::other("it wrote nothing"))?;
        let incarnation =
            u64::from_str_radix(text(&log["incarnation"]), 16).map_err(io::Error::other)?;
        let all: CompartmentId = text(&self.compartment).parse().map_err(io::Error::other)?;
        let honest = LogKey::of(&LogId {
            compartment: all,
            class: Class::Routine,
            device: own.parse().map_err(io::Error::other)?,
            incarnation: Incarnation(incarnation),
        });
        let victims = [victim(&self.daemons[0])?, victim(&self.daemons[1])?];
        Ok(Field { victims, all, honest })
    }
}

/// Does it until the connection ends, or all is done that can be.
async fn attack(deed: Deed, hostile: Hostile, field: Field) -> io::Result<()> {
    let [first, second] = &field.victims;
    // Of one address only a few may shake hands at once.
    let mut wire = loop {
        match hostile.dial(&first.at, first.device).await {
            Ok(wire) => break wire,
            Err(_) => tokio::time::sleep(DIAL_AGAIN).await,
        }
    };
    match deed {
        Deed::Oversize => wire.write(&[0xff, 0xff, 0x7f]).await?,
        Deed::Garbage => wire.write(&[100; 101]).await?,
        Deed::Babble => wire.write(&[0; 400]).await?,
        Deed::SlowLoris => {
            wire.write(&[100]).await?;
            while wire.write(&[7]).await.is_ok() {
                tokio::time::sleep(TRICKLE_EVERY).await;
            }
        }
        _ => {
            wire.greet(&[field.all]).await?;
            converse(deed, &hostile, &field, &mut wire).await?;
        }
    }
    if deed == Deed::Equivocate {
        let mut other = hostile.dial(&second.at, second.device).await?;
        other.greet(&[field.all]).await?;
        // Where one branch overtakes the other, nobody takes the second.
        for life in 9..14 {
            for (to, n) in [(&mut wire, 1), (&mut other, 2)] {
                let run = written(&hostile, &field, life, n);
                to.say(&run_frame(to.tag(&field.all), &run)).await?;
            }
        }
        tokio::join!(wire.hear_out(), other.hear_out());
    }
    wire.hear_out().await;
    Ok(())
}

/// What takes frames.
async fn converse(deed: Deed, hostile: &Hostile, field: &Field, wire: &mut Wire) -> io::Result<()> {
    let area = wire.tag(&field.all);
    let claim = |key: LogKey, next: u64| {
        let leaves = Subtree::Leaves(vec![Leaf { key, next, head: [7; 8] }]);
        Frame::Nodes { area, nodes: vec![(Prefix::default(), leaves)] }
    };
    match deed {
        Deed::Equivocate => Ok(()),
        Deed::TooManyLives => {
            for life in 1_000..1_080 {
                wire.say(&run_frame(area, &written(hostile, field, life, 1))).await?;
            }
            Ok(())
        }
        Deed::Withhold => wire.say(&claim(key(hostile, field, 9), 5)).await,
        Deed::LieAboutFrontier => wire.say(&claim(field.honest, 1_000_000)).await,
        Deed::Replay => {
            let frame = run_frame(area, &written(hostile, field, 9, 1));
            repeat(wire, || frame.clone()).await
        }
        Deed::Flood => {
            let leaf =
                |n: u128| Leaf { key: LogKey((n << 64).to_be_bytes()), next: 1, head: [7; 8] };
            let positions: Vec<Leaf> = (1..=POSITIONS_MAX as u128).map(leaf).collect();
            repeat(wire, || Frame::Positions { area, positions: positions.clone() }).await
        }
        Deed::SyncWithoutEnd => {
            let mut n = 0_u64;
            repeat(wire, || {
                n += 1;
                let mut hash = [9; 16];
                hash[..8].copy_from_slice(&n.to_be_bytes());
                let branches = (0..16).map(|branch| (branch, hash)).collect();
                let nodes = vec![(Prefix::default(), Subtree::Branches(branches))];
                Frame::Nodes { area, nodes }
            })
            .await
        }
        Deed::GossipSpam => {
            // A neighbour is who compares.
            wire.say(&claim(field.honest, 0)).await?;
            let message = Message::Tree(TreeMessage::Graft);
            repeat(wire, || Frame::Gossip { area, message: message.clone() }).await
        }
        _ => Ok(()),
    }
}

/// Says it as often as it takes.
async fn repeat(wire: &mut Wire, mut frame: impl FnMut() -> Frame) -> io::Result<()> {
    wire.flood(TIMES, &mut frame).await;
    Ok(())
}

fn log(hostile: &Hostile, field: &Field, life: u64) -> LogId {
    let device = hostile.keys.id();
    let incarnation = Incarnation(life);
    LogId { compartment: field.all, class: Class::Routine, device, incarnation }
}

fn key(hostile: &Hostile, field: &Field, life: u64) -> LogKey {
    LogKey::of(&log(hostile, field, life))
}

/// The beginning of a log, with an entry that nobody can open.
fn written(hostile: &Hostile, field: &Field, life: u64, n: u8) -> VerifiedRun {
    let entry = NewEntry {
        epoch: EpochId([7; 32]),
        sealed: vec![n; 60],
        key_box: None,
        payload: Some(vec![n; 60]),
    };
    let log = log(hostile, field, life);
    write_segment(&log, &Head::EMPTY, hostile.keys.signer(), &[entry]).expect("a sound entry")
}

fn run_frame(area: Tag, run: &VerifiedRun) -> Frame {
    Frame::Run {
        area,
        key: LogKey::of(run.log()),
        author: Some((run.log().device, run.log().incarnation)),
        knows: None,
        hops: None,
        left_out: false,
        first: 0,
        count: 1,
        entries: run.bytes().to_vec(),
        boxes: run.boxes(),
    }
}

fn id(seed: u8) -> String {
    Hostile::new(seed).keys.id().to_string()
}

fn state(daemon: &Daemon) -> io::Result<Value> {
    daemon.ask("status", &json!({}))
}

fn invitation(daemon: &Daemon) -> io::Result<String> {
    let invited = daemon.ask("peer.invite", &json!({ "expires_s": 3600 }))?;
    Ok(text(&invited["invitation"]).to_owned())
}

fn victim(daemon: &Daemon) -> io::Result<Victim> {
    let state = state(daemon)?;
    let addresses = state["addresses"].as_array().cloned().unwrap_or_default();
    let tcp = addresses.iter().map(text).find(|address| address.contains("/tcp/"));
    let at = tcp.and_then(|at| at.split("/p2p/").next()).unwrap_or_default().to_owned();
    let device = text(&state["device"]).parse().map_err(io::Error::other)?;
    Ok(Victim { at, device })
}

fn listed(daemon: &Daemon, device: &str) -> io::Result<Value> {
    let peers = daemon.ask("peer.list", &json!({}))?;
    let peers = peers["peers"].as_array().cloned().unwrap_or_default();
    Ok(peers.into_iter().find(|peer| peer["device"] == device).unwrap_or_default())
}

/// Whether a peer is listed with what it did.
fn is_named(peers: &Value, device: &str, deed: Deed) -> bool {
    let peers = peers["peers"].as_array().cloned().unwrap_or_default();
    let named = peers.iter().find(|peer| peer["device"] == device);
    let reason = named.map(|peer| text(&peer["reason"]).to_owned()).unwrap_or_default();
    reason.contains(deed.name())
}

/// The most memory that a daemon ever had resident.
fn resident_kib_max(daemon: &Daemon) -> io::Result<u64> {
    let pid = state(daemon)?["pid"].as_u64().unwrap_or_default();
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.split_whitespace().next()?.parse().ok());
    kib.ok_or(io::Error::other("the system does not say how much memory a process takes"))
}
