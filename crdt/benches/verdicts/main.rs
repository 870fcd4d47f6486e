//! What the verdict on an entry costs: accepting one entry in a compartment of 100,000 entries, under
//! 1,000 statements, beside the same in an empty one. Statements are judged when they come, entries
//! by what was judged then, so the two cost about the same. Prints nanoseconds, the median of rounds,
//! and their ratio; fails where that is above [`RATIO_MAX`].
//!
//! Signatures are checked before and are not measured: they would hide the difference.
//!
//! [`hostile`]: what the products of two numbers cost that authors of statements choose. What is held of
//! logs is read from a logbook on a store, as a replica does.
//!
//! `cargo bench -p tearline-crdt --bench verdicts`

mod hostile;

use std::hint::black_box;
use std::process::ExitCode;

use tearline_crdt::authority::{Coalition, Compartment, Logs, Place};
use tearline_crdt::bounds::SEGMENT_ENTRIES_MAX;
use tearline_crdt::charter::{Charter, Member};
use tearline_crdt::entry::NO_EPOCH;
use tearline_crdt::entry::run::{Head, NewEntry, VerifiedRun, write_segment};
use tearline_crdt::entry::sealed::{LogCipher, SealedHeader};
use tearline_crdt::epoch::EpochKeys;
use tearline_crdt::hash::sha256;
use tearline_crdt::id::{
    AgencyNo, Class, CompartmentId, EntryId, EpochId, Incarnation, LogId, RecordId,
};
use tearline_crdt::keys::{DeviceKeys, Signer};
use tearline_crdt::logbook::Logbook;
use tearline_crdt::statement::{
    Audience, Caveats, DeskCertificate, Marks, Opening, Right, Statement,
};
use tearline_crdt::store::memory::MemoryStore;
use tearline_crdt::store::{Batch, Store as _};
use tearline_crdt::time::WallTime;

/// How much more an entry may cost among many.
const RATIO_MAX: f64 = 2.0;
/// Entries of the full compartment.
const ENTRIES: u64 = 100_000;
/// Devices that write them.
const WRITERS: u64 = 50;
/// Statements of the full coalition and its compartment.
const STATEMENTS: u64 = 1_000;

const ROUNDS: usize = 31;
/// Entries that are accepted in a round.
const CALLS: usize = 64;
/// How often all answers are drawn anew.
const REDRAWS: usize = 5;

/// Bytes of a payload: a sighting of 14 fields.
const PAYLOAD_BYTES: usize = 420;

/// A peer, as far as it takes entries of one compartment.
struct Peer {
    store: MemoryStore,
    logbook: Logbook,
    coalition: Coalition,
    compartment: Compartment,
    desk: DeviceKeys,
    statements: u64,
    /// A log that is said to be forked, and where.
    fork: Option<(LogId, u64)>,
}

/// What is held of logs.
struct Held<'a> {
    logbook: &'a Logbook,
    store: &'a MemoryStore,
    fork: Option<(LogId, u64)>,
}

impl Logs for Held<'_> {
    fn held(&self, log: &LogId) -> u64 {
        self.logbook.head(log).next
    }

    fn id_at(&self, log: &LogId, seq: u64) -> Option<EntryId> {
        self.logbook.entry(self.store, log, seq).ok()?.map(|entry| entry.id)
    }

    fn forked_at(&self, log: &LogId) -> Option<u64> {
        self.fork.filter(|(of, _)| of == log).map(|(_, at)| at)
    }

    fn proven_at(&self, log: &LogId) -> Option<u64> {
        self.forked_at(log)
    }
}

fn device(n: u64) -> DeviceKeys {
    let seed = sha256(&n.to_be_bytes());
    DeviceKeys::from_seeds(&seed, &seed)
}

impl Peer {
    /// A coalition of one agency with one desk, and a compartment for it.
    fn new() -> Self {
        let (root, desk) = (Signer::from_seed(&[1; 32]), device(u64::MAX));
        let charter = Charter {
            name: "Bench".into(),
            nonce: [1; 16],
            quorum: 1,
            limits_version: 1,
            erasure_delay_hours: 0,
            default_label: Vec::new(),
            agreement: None,
            founders: vec![Member {
                no: AgencyNo(1),
                name: "Agency".into(),
                country: "NE".into(),
                root: root.public(),
            }],
        };
        let audience = vec![(AgencyNo(1), root.public())];
        let opening = Opening::sign(desk.signer(), charter.id(), audience, [2; 16]);
        let mut peer = Self {
            store: MemoryStore::new(),
            logbook: Logbook::default(),
            coalition: Coalition::new(charter),
            compartment: Compartment::new(opening),
            desk,
            statements: 0,
            fork: None,
        };
        let certificate = DeskCertificate::sign(&root, &peer.desk, None);
        peer.state(Statement::Desk(certificate));
        peer
    }

    /// A peer whose desk has let in this many writers; the first writes.
    fn with_writers(writers: u64) -> Self {
        let mut peer = Self::new();
        for n in 0..writers {
            let card = device(n).card(peer.desk.id().0);
            let audience = Audience::Device { agency: AgencyNo(1), card };
            let caveats = Caveats::default();
            peer.state(Statement::Grant {
                audience,
                right: Right::Write,
                caveats,
                reopening: None,
            });
        }
        peer
    }

    /// The desk says something: about records in the compartment, all else in the coalition.
    fn state(&mut self, statement: Statement) {
        let here = matches!(statement, Statement::Hold { .. });
        let desk = device(u64::MAX);
        self.say(&desk, here, statement);
    }

    /// A device says something, in the compartment or the coalition, in an entry of its log.
    fn say(&mut self, by: &DeviceKeys, here: bool, statement: Statement) {
        let (whole, part) = (self.coalition.compartment(), self.compartment.id());
        let log = LogId {
            compartment: if here { part } else { whole },
            class: Class::Authority,
            device: by.id(),
            incarnation: Incarnation(1),
        };
        let entry =
            NewEntry { epoch: NO_EPOCH, sealed: statement.encode(), key_box: None, payload: None };
        let run = write_segment(&log, &self.logbook.head(&log), by.signer(), &[entry]);
        let run = run.expect("it is written");
        let mut batch = Batch::default();
        self.logbook.append(&mut batch, &run, WallTime::default()).expect("it continues the log");
        self.store.apply(batch).expect("it is kept");
        let entry = run.entries().first().expect("there is one");
        let place = Place { log, seq: entry.seq, id: entry.id };
        self.statements += 1;
        let taken = if here {
            self.compartment.insert(place, statement, None)
        } else {
            self.coalition.insert(place, statement, None)
        };
        assert_eq!(taken, Ok(true));
    }

    const fn held(&self) -> Held<'_> {
        Held { logbook: &self.logbook, store: &self.store, fork: self.fork }
    }

    fn evaluate(&mut self) {
        let held = Held { logbook: &self.logbook, store: &self.store, fork: self.fork };
        self.coalition.evaluate(&held);
        self.compartment.evaluate(&self.coalition, &held);
    }

    /// Takes a run of entries that are no statements; returns whether they count.
    fn accept(&mut self, run: &VerifiedRun) -> bool {
        let log = run.log();
        if !self.compartment.admits(log) {
            return false;
        }
        let mut batch = Batch::default();
        let taken = self.logbook.append(&mut batch, run, WallTime::default()).is_some();
        self.store.apply(batch).expect("it is kept");
        taken && self.counts(log, run.from().next)
    }

    fn counts(&self, log: &LogId, seq: u64) -> bool {
        self.compartment.quarantine(log, seq, &self.held()).is_none()
    }
}

/// An author's log, sealed and signed as it goes on.
struct Author {
    keys: DeviceKeys,
    cipher: LogCipher,
    head: Head,
}

impl Author {
    fn new(n: u64, compartment: CompartmentId) -> Self {
        let keys = device(n);
        let (class, device) = (Class::Routine, keys.id());
        let log = LogId { compartment, class, device, incarnation: Incarnation(1) };
        let cipher = LogCipher::new(log, EpochId([3; 32]), EpochKeys::of(&[4; 32]));
        Self { keys, cipher, head: Head::EMPTY }
    }

    fn write(&mut self, count: usize) -> VerifiedRun {
        let from = self.head.next;
        let entries: Vec<NewEntry> =
            (from..from + count as u64).map(|seq| seal(&self.cipher, seq)).collect();
        let run = write_segment(self.cipher.log(), &self.head, self.keys.signer(), &entries)
            .expect("it is written");
        self.head = *run.to();
        run
    }
}

fn seal(cipher: &LogCipher, seq: u64) -> NewEntry {
    let header = SealedHeader::genesis(RecordId([5; 16]), WallTime(1_714_557_600_000));
    let key_box = [seq as u8; 16];
    let sealed = cipher.seal_header(seq, &header);
    let beside = (&header, &sha256(&sealed));
    let payload = cipher.seal_payload(seq, beside, &key_box, &[6; PAYLOAD_BYTES]);
    NewEntry { epoch: cipher.epoch(), sealed, key_box: Some(key_box), payload }
}

/// A peer with a full compartment, and the log of its first writer.
fn full() -> (Peer, Author) {
    let mut peer = Peer::with_writers(STATEMENTS / 2);
    for n in WRITERS..STATEMENTS / 5 {
        peer.state(Statement::Revoke { device: device(n).id(), keep: Marks::NONE });
    }
    while peer.statements < STATEMENTS {
        let genesis = EntryId(sha256(&peer.statements.to_be_bytes()));
        peer.state(Statement::Hold { genesis });
    }
    peer.evaluate();
    let mut first = None;
    for n in 0..WRITERS {
        let mut author = Author::new(n, peer.compartment.id());
        while author.head.next < ENTRIES / WRITERS {
            let left = (ENTRIES / WRITERS - author.head.next) as usize;
            let run = author.write(left.min(SEGMENT_ENTRIES_MAX));
            assert!(peer.accept(&run));
        }
        first.get_or_insert(author);
    }
    (peer, first.expect("there are writers"))
}

/// A peer with an empty compartment, and the empty log of its one writer.
fn empty() -> (Peer, Author) {
    let mut peer = Peer::with_writers(1);
    peer.evaluate();
    let author = Author::new(0, peer.compartment.id());
    (peer, author)
}

/// Median nanoseconds of a call.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn measure(mut call: impl FnMut() -> bool) -> f64 {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = std::time::Instant::now();
        for _ in 0..CALLS {
            assert!(black_box(call()));
        }
        rounds.push(start.elapsed().as_nanos() as f64 / CALLS as f64);
    }
    rounds.sort_unstable_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap_or(0.0)
}

/// Nanoseconds of drawing all answers, as a statement makes a peer do.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn redraw(peer: &mut Peer) -> f64 {
    let start = std::time::Instant::now();
    for _ in 0..REDRAWS {
        peer.evaluate();
    }
    start.elapsed().as_nanos() as f64 / REDRAWS as f64
}

/// Nanoseconds of accepting an entry, of the verdict alone, and of drawing all answers.
fn costs((mut peer, mut author): (Peer, Author)) -> (f64, f64, f64) {
    let runs: Vec<VerifiedRun> = (0..ROUNDS * CALLS).map(|_| author.write(1)).collect();
    let mut next = runs.iter();
    let accept = measure(|| next.next().is_some_and(|run| peer.accept(run)));
    let verdict = measure(|| peer.counts(author.cipher.log(), author.head.next));
    (accept, verdict, redraw(&mut peer))
}

fn main() -> ExitCode {
    let (small, small_verdict, small_redraw) = costs(empty());
    let (large, large_verdict, large_redraw) = costs(full());
    let ratio = large / small;
    println!(
        "one entry in an empty compartment, and among {ENTRIES} under {STATEMENTS} statements"
    );
    println!("{small:>9.0} ns {large:>9.0} ns  accepted: {ratio:.2} times, at most {RATIO_MAX}");
    println!("{small_verdict:>9.0} ns {large_verdict:>9.0} ns  of it the verdict");
    println!(
        "{small_redraw:>9.0} ns {large_redraw:>9.0} ns  drawing all answers, once for a statement"
    );
    let few = hostile::all();
    if ratio > RATIO_MAX || !few { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
