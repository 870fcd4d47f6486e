//! What hostile statements cost: for each pair of numbers that their authors choose the time at both,
//! and with both doubled. What costs a product takes four times as long then; what costs a sum, twice.
//! Fails where it is more than the row's bound.

use tearline_crdt::authority::Compartment;
use tearline_crdt::hash::sha256;
use tearline_crdt::id::{AgencyNo, Class, EntryId, Incarnation, LogId, StatementId};
use tearline_crdt::keys::DeviceKeys;
use tearline_crdt::statement::{
    Audience, Caveats, EpochStatement, Mark, Marks, Opening, Reopening, Right, Statement,
};
use tearline_crdt::time::WallTime;

use super::{Author, Peer, device};

/// How much more twice of both may cost, where the cost is a sum: half-way to a product.
const SUM: f64 = 3.0;
/// The same where it is a product: each compartment has the standing of each device.
const PRODUCT: f64 = 6.0;
/// The least of this many tries is taken.
const TRIES: usize = 3;

/// A row: what is multiplied, the two numbers, what they cost, and how much more twice of both may.
type Row = (&'static str, u64, u64, fn(u64, u64) -> f64, f64);

/// Prints all rows; whether none costs a product.
pub(crate) fn all() -> bool {
    let rows: [Row; 8] = [
        ("grants to an agency x its devices", 10_000, 1_000, agency_grants, SUM),
        ("closures x adoptions of a forked log", 1_000, 1_000, marks, SUM),
        ("devices that revoke x grants", 500, 500, revokers, SUM),
        ("lives that are named x closures of their device", 1_000, 1_000, lives, SUM),
        ("statements x rounds, all judged before", 2_000, 1, judged, SUM),
        ("epochs that wait x epochs that come", 5_000, 5_000, waiting, SUM),
        ("lists of 500 entries x words about a record", 100, 5_000, lists, SUM),
        ("compartments x statements of the coalition", 20, 1_000, compartments, PRODUCT),
    ];
    println!("milliseconds of what two numbers cost, of twice of both, and how much more that is");
    let mut few = true;
    for (what, a, b, cost, growth_max) in rows {
        let (once, twice) = (cost(a, b), cost(2 * a, 2 * b));
        let growth = twice / once;
        few &= growth <= growth_max;
        println!(
            "{once:>9.1} {twice:>9.1} {growth:>6.2}, at most {growth_max}  {what}: {a} and {b}"
        );
    }
    few
}

/// The least milliseconds that something takes.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn least(mut call: impl FnMut()) -> f64 {
    let mut least = f64::MAX;
    for _ in 0..TRIES {
        let start = std::time::Instant::now();
        call();
        least = least.min(start.elapsed().as_nanos() as f64 / 1e6);
    }
    least
}

fn desk() -> DeviceKeys {
    device(u64::MAX)
}

fn agency_grants(grants: u64, devices: u64) -> f64 {
    let mut peer = Peer::with_writers(devices);
    for n in 0..grants {
        let caveats = Caveats { not_after_ms: Some(n + 1), ..Caveats::default() };
        let audience = Audience::Agency(AgencyNo(1));
        let grant = Statement::Grant { audience, right: Right::Write, caveats, reopening: None };
        peer.say(&desk(), true, grant);
    }
    peer.evaluate();
    least(|| peer.evaluate())
}

fn marks(closures: u64, adoptions: u64) -> f64 {
    let mut peer = Peer::with_writers(1);
    let mut author = Author::new(0, peer.compartment.id());
    for _ in 0..4 {
        let run = author.write(50);
        let mut batch = tearline_crdt::store::Batch::default();
        peer.logbook.append(&mut batch, &run, WallTime::default()).expect("it continues the log");
        tearline_crdt::store::Store::apply(&mut peer.store, batch).expect("it is kept");
    }
    let log = *author.cipher.log();
    peer.fork = Some((log, 50));
    let mark = |n: u64| {
        let head = EntryId(sha256(&n.to_be_bytes()));
        Marks::Inline(vec![Mark { log: log.digest(), count: 51 + n % 150, head }])
    };
    for n in 0..closures {
        let device = device(0).id();
        peer.say(&desk(), true, Statement::Revoke { device, keep: mark(n) });
    }
    for n in 0..adoptions {
        peer.say(&desk(), true, Statement::Adopt { marks: mark(n) });
    }
    peer.evaluate();
    least(|| {
        peer.evaluate();
        let _ = peer.compartment.limit(&log, &peer.held());
    })
}

fn revokers(devices: u64, grants: u64) -> f64 {
    let mut peer = Peer::with_writers(devices);
    for n in 0..devices {
        let keep = Marks::NONE;
        let neighbour = device((n + 1) % devices).id();
        peer.say(&device(n), false, Statement::Revoke { device: neighbour, keep });
    }
    for n in 0..grants {
        let caveats = Caveats { not_after_ms: Some(n + 1), ..Caveats::default() };
        let audience = Audience::Agency(AgencyNo(1));
        let grant = Statement::Grant { audience, right: Right::Write, caveats, reopening: None };
        peer.say(&desk(), true, grant);
    }
    peer.evaluate();
    least(|| peer.evaluate())
}

fn lives(named: u64, closures: u64) -> f64 {
    let mut peer = Peer::with_writers(1);
    let unit = device(0);
    for _ in 0..closures {
        peer.say(&desk(), false, Statement::Revoke { device: unit.id(), keep: Marks::NONE });
    }
    for n in 0..named {
        let (card, caveats) = (unit.card(desk().id().0), Caveats::default());
        let audience = Audience::Device { agency: AgencyNo(1), card };
        let cites = vec![StatementId(sha256(&n.to_be_bytes()))];
        let reopening = Some(Reopening { incarnation: Incarnation(n), cites });
        peer.say(
            &desk(),
            false,
            Statement::Grant { audience, right: Right::Read, caveats, reopening },
        );
    }
    peer.evaluate();
    least(|| {
        peer.evaluate();
        let _ = peer.compartment.right(&unit.id());
    })
}

fn judged(statements: u64, _: u64) -> f64 {
    let mut peer = Peer::with_writers(statements);
    peer.evaluate();
    least(|| peer.evaluate())
}

fn waiting(epochs: u64, _: u64) -> f64 {
    let peer = Peer::new();
    let mut chain = Vec::new();
    let mut parents = Vec::new();
    for depth in 1..=epochs {
        let commitment = sha256(&depth.to_be_bytes());
        let epoch = EpochStatement { parents, depth, commitment };
        parents = vec![epoch.id(&peer.compartment.id())];
        chain.push(epoch);
    }
    let compartment = peer.compartment.id();
    let (class, device) = (Class::Authority, desk().id());
    let log = LogId { compartment, class, device, incarnation: Incarnation(1) };
    least(|| {
        let mut compartment = peer.compartment.clone();
        for (seq, epoch) in chain.iter().rev().enumerate() {
            let seq = seq as u64;
            let id = EntryId(sha256(&seq.to_be_bytes()));
            let place = tearline_crdt::authority::Place { log, seq, id };
            let taken = compartment.insert(place, Statement::Epoch(epoch.clone()), None);
            assert_eq!(taken, Ok(true));
        }
        assert_eq!(compartment.epochs().len() as u64, epochs);
    })
}

fn lists(lists: u64, words: u64) -> f64 {
    let mut peer = Peer::new();
    let genesis = EntryId([1; 32]);
    let mut entries: Vec<EntryId> =
        (0..500_u64).map(|n| EntryId(sha256(&n.to_be_bytes()))).collect();
    entries.sort_unstable();
    for _ in 0..lists {
        let entries = entries.clone();
        peer.say(&desk(), true, Statement::EraseAlso { genesis, entries });
    }
    for _ in 0..words {
        peer.say(&desk(), true, Statement::Recall { genesis });
    }
    peer.evaluate();
    least(|| {
        let no = AgencyNo(1);
        let listed = peer.compartment.listed_entries();
        let gone =
            listed.filter(|entry| peer.compartment.erasures_of(entry, no, no).next().is_some());
        assert_eq!(gone.count(), 0);
    })
}

fn compartments(compartments: u64, statements: u64) -> f64 {
    let mut peer = Peer::with_writers(statements);
    peer.evaluate();
    let id = peer.coalition.id();
    let audience = peer.compartment.opening().audience.clone();
    let mut all: Vec<Compartment> = (0..compartments)
        .map(|n| {
            let nonce = [n as u8; 16];
            Compartment::new(Opening::sign(desk().signer(), id, audience.clone(), nonce))
        })
        .collect();
    least(|| {
        let held = peer.held();
        for compartment in &mut all {
            compartment.evaluate(&peer.coalition, &held);
        }
    })
}
