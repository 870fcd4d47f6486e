//! The simulator as a whole: what it repeats, what it finds, and what it says.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod commands;
mod epidemic;
mod found;
mod planted;
mod refused;
mod repeated;
mod scheduled;
mod shrunk;
mod thin;

use tearline_simulations::plan::{Changes, Plan};
use tearline_simulations::scenario::Scenario;

/// A small mesh with everything in it: three agencies, a relay between them, contacts, a crash.
const SMALL: &str = r#"
name = "small"
about = "For tests."
length = "2 h"
tail = "30 min"
settle = "1 h"
goals = ["all delivered >= 90 %", "flash p95 < 30 min"]

[[agency]]
country = "NE"
name = "Border Guard"

[[agency]]
country = "TD"
name = "Customs"

[[post]]
name = "ne"
agency = "NE"
count = 2

[[post]]
name = "td"
agency = "TD"

[[post]]
name = "relay"
agency = "TD"
relay = true

[[compartment]]
name = "both"
audience = ["NE", "TD"]

[[compartment]]
name = "own"
audience = ["NE"]

[[link]]
from = "ne"
to = "ne"
rate = "64 kbit/s"
latency = "300 ms"
half_duplex = true

[[link]]
from = "ne"
to = "relay"
rate = "64 kbit/s"
latency = "50 ms"
jitter = "200 ms"
loss = 0.1
every = "20 min"
lasts = "10 min"

[[link]]
from = "td"
to = "relay"
rate = "1 Mbit/s"
latency = "10 ms"

[[work]]
by = "ne"
compartment = "both"
class = "routine"
per_day = 200
size = "300 B"
edits = 0.2

[[work]]
by = "td"
compartment = "both"
class = "flash"
per_day = 60
size = "120 B"

[[work]]
by = "ne"
compartment = "own"
class = "priority"
per_day = 60
size = "300 B"

[[fault]]
at = "31 min"
kind = "crash"
posts = ["ne"]
lasts = "5 min"

[[fault]]
at = "70 min"
kind = "partition"
posts = ["td"]
lasts = "10 min"
"#;

fn small(seed: u64) -> Plan {
    Plan::of(&Scenario::parse(SMALL, "small").unwrap(), seed, Changes::default())
}
