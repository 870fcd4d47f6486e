//! Broadcasts in meshes of 1,000 and 10,000 peers in virtual time: copies for each delivery and hops to
//! the last peer, beside their bounds, and how many deliveries the machines handle in a second of this
//! machine's time. The bound of hops is for the 1,000. The 10,000 go through lost messages, a third killed, and a partition; there every
//! living peer must be reached in the end.
//!
//! `cargo bench -p tearline-mesh --bench gossip`; `TEARLINE_BENCH_SEEDS` and `TEARLINE_BENCH_PEERS` set
//! how many seeds and peers. It fails above a bound.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "it measures time, with what tests the same, which fails by panicking"
)]

#[path = "../tests/gossip/measure.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod measure;
#[path = "../tests/gossip/network.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod network;
#[path = "../tests/gossip/ordeal.rs"]
mod ordeal;

use std::process::ExitCode;
use std::time::Instant;

use measure::{COPIES_PERCENT_MAX, LAST_HOP_MAX, Measured};
use network::Network;
use ordeal::Ordeal;

/// The bound of hops is for meshes of so many peers.
const BOUND_PEERS: usize = 1_000;
/// Meshes of them, if nothing else is asked for.
const SEEDS: u64 = 20;
/// Peers of the large meshes, if nothing else is asked for.
const PEERS: usize = 10_000;
const AGENCIES: usize = 5;

fn main() -> ExitCode {
    let asked = |name| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let seeds = asked("TEARLINE_BENCH_SEEDS").unwrap_or(SEEDS);
    let peers = asked("TEARLINE_BENCH_PEERS").map_or(PEERS, |peers| peers as usize);
    println!("bounds: {COPIES_PERCENT_MAX} copies of 100, {LAST_HOP_MAX} hops");
    println!(
        "{:8} {:16} {:>5} {:>7} {:>5} {:>4} {:>8} {:>7} {:>13}",
        "peers", "", "seed", "copies", "hops", "far", "last", "missed", "deliveries/s"
    );
    let mut failed = false;
    for seed in 1..=seeds {
        failed |= !row(BOUND_PEERS, Ordeal::Calm, seed);
    }
    for ordeal in [Ordeal::Calm, Ordeal::Loss(50), Ordeal::Killed(30), Ordeal::Parted(40)] {
        failed |= !row(peers, ordeal, 1);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Measures and prints one mesh; whether it is within its bounds.
fn row(peers: usize, ordeal: Ordeal, seed: u64) -> bool {
    let began = Instant::now();
    let mut network = Network::mesh(seed, peers, AGENCIES);
    let broadcast = ordeal.pass(&mut network);
    let took = began.elapsed();
    let all = Measured::of(&network, 0..broadcast.end);
    let measured = Measured::of(&network, broadcast);
    let within = match ordeal {
        Ordeal::Calm if peers <= BOUND_PEERS => measured.is_within_bounds(),
        Ordeal::Calm => measured.missed == 0 && measured.copies_percent() <= COPIES_PERCENT_MAX,
        _ => measured.missed == 0,
    };
    println!(
        "{peers:<8} {:16} {seed:>5} {:>7} {:>5} {:>4} {:>5} ms {:>7} {:>13.0} {}",
        format!("{ordeal:?}"),
        measured.copies_percent(),
        measured.last_hop,
        measured.far,
        measured.last_ms,
        measured.missed,
        all.deliveries as f64 / took.as_secs_f64(),
        if within { "PASS" } else { "FAIL" },
    );
    within
}
