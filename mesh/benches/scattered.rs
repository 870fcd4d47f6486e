//! Finding 100 changes that lie scattered among 100,000 records of 40 devices: two peers were in sync,
//! were cut off from each other, and meet again. What of the frames both ways is not entries is the
//! price of finding them. Beside it the price where neither remembers the other.
//!
//! `cargo bench -p tearline-mesh --bench scattered`; `TEARLINE_BENCH_RECORDS` sets the number of
//! records. It fails above the bound, and where the first answer brings no entries.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "it measures with what tests the same, which fails by panicking"
)]

#[path = "../tests/pair/forger.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod forger;
#[path = "../tests/pair/scattered.rs"]
mod scattered;
#[path = "../tests/pair/world.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod world;

use std::process::ExitCode;

use scattered::{BEYOND_BYTES_MAX, CHANGES, Scattered, WRITERS};

/// Records, if nothing else is asked for.
const RECORDS: usize = 100_000;

fn main() -> ExitCode {
    let asked = std::env::var("TEARLINE_BENCH_RECORDS").ok().and_then(|n| n.parse().ok());
    let records: usize = asked.unwrap_or(RECORDS);
    let mut scattered = Scattered::new(records / WRITERS);
    println!("{CHANGES} changes among {records} records of {WRITERS} devices");
    println!("{:24} {:>14} {:>8} {:>10}", "", "beyond entries", "bound", "entries");
    let mut failed = false;
    for (what, forgets) in [("both remember", false), ("neither remembers", true)] {
        scattered.change();
        if forgets {
            scattered.forget();
        }
        let meeting = scattered.meet();
        // The first frame of an answer says what follows; the entries are in the next.
        let late = !forgets && meeting.before_entries > 1;
        let above = meeting.beyond > BEYOND_BYTES_MAX;
        failed |= late || above;
        println!(
            "{what:24} {:>8} bytes {BEYOND_BYTES_MAX:>8} {:>10} {}{}",
            meeting.beyond,
            meeting.entries,
            if above { "FAIL" } else { "PASS" },
            if late { ", entries came late" } else { "" },
        );
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
