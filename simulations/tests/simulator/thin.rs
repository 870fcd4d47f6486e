//! Thin links at half of what their contacts carry: what arrives, and how soon, beside what could.
//!
//! The bound is an oracle that gives every record all of every link at once. One that knows what links carry
//! brings nothing sooner and nothing more, so what holds beside the first holds beside the second.

use tearline_simulations::plan::{Changes, Plan};
use tearline_simulations::quantity::SECOND;
use tearline_simulations::run;
use tearline_simulations::scenario::Scenario;

/// Five posts behind a satellite of 2,400 bit/s that is up for ten minutes every two hours.
const THIN: &str = r#"
name = "thin"
about = ""
length = "24 h"
tail = "6 h"
settle = "4 h"
agency = [{ country = "NE", name = "A" }]
post = [{ name = "hq", agency = "NE" }, { name = "post", agency = "NE", count = 5 }]
compartment = [{ name = "all", audience = ["NE"] }]

[[link]]
from = "post"
to = "hq"
rate = "2400 bit/s"
latency = "600 ms"
loss = 0.02
half_duplex = true
every = "2 h"
lasts = "10 min"

[[work]]
by = "post"
compartment = "all"
class = "routine"
per_day = 1300
size = "500 B"

[[work]]
by = "hq"
compartment = "all"
class = "immediate"
per_day = 200
size = "300 B"
"#;

#[test]
fn at_half_of_what_contacts_carry_nearly_all_arrives_and_nearly_as_soon_as_it_can() {
    let scenario = Scenario::parse(THIN, "thin").unwrap();
    for seed in 1..=3 {
        let outcome = run(&Plan::of(&scenario, seed, Changes::default()), None).unwrap();
        assert_eq!(outcome.violation, None);
        let sent: u64 = outcome.lines.iter().map(|line| line.counts.sent).sum();
        // At half duplex both directions share what the contacts carry. Work goes on for 24 of the 30 hours.
        let carries = |contact: u64, rate: u64| contact / SECOND * rate / 8 * 24 / 30;
        let carried: u64 = outcome.lines.iter().map(|line| carries(line.contact, line.rate)).sum();
        let load = sent as f64 / carried as f64;
        assert!((0.4..0.6).contains(&load), "seed {seed}: {load} of the capacity");
        let all = outcome.latencies.of(None);
        let (arrived, could) = (all.delivered_percent().unwrap(), all.possible_percent().unwrap());
        assert!(arrived >= 0.98 * could, "seed {seed}: {arrived} % of {could} %");
        let stretch = all.stretch(50).unwrap();
        assert!(stretch <= 1.25, "seed {seed}: {stretch}");
    }
}
