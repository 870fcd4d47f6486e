//! Validation against a closed form: an epidemic under exponential contacts.
//!
//! Of n peers every two meet at the moments of a Poisson process of rate b. While j hold a record, the next
//! gets it after 1 / (b j (n - j)) in the mean, and the reader that is looked at is the k-th to get it with
//! equal chance for each k; so the mean delay is the sum over k of the sums up to k, by n - 1. (For large n
//! that is ln n / (b (n - 1)): Zhang, Neglia, Kurose and Towsley, "Performance modeling of epidemic
//! routing".)

use tearline_simulations::agenda::NEVER;
use tearline_simulations::arrival::Contacts;
use tearline_simulations::plan::{Changes, Plan};
use tearline_simulations::quantity::HOUR;
use tearline_simulations::run;
use tearline_simulations::scenario::Scenario;

const PEERS: u32 = 8;
/// The mean from one contact of two peers to the next.
const BETWEEN: f64 = 4.0 * HOUR as f64;

fn scenario(length: &str, per_day: u32) -> Scenario {
    let text = format!(
        "name = \"epidemic\"\nabout = \"\"\nlength = \"{length}\"\ntail = \"40 h\"\nsettle = \"1 h\"\n\
         agency = [{{ country = \"NE\", name = \"A\" }}]\n\
         post = [{{ name = \"p\", agency = \"NE\", count = {PEERS} }}]\n\
         compartment = [{{ name = \"all\", audience = [\"NE\"] }}]\n\
         [[link]]\nfrom = \"p\"\nto = \"p\"\neach = {}\nrate = \"10 Mbit/s\"\n\
         mean_gap = \"239 min\"\nmean_contact = \"1 min\"\n\
         [[work]]\nby = \"p\"\ncompartment = \"all\"\nclass = \"routine\"\nper_day = {per_day}\n\
         size = \"100 B\"\n",
        PEERS - 1
    );
    Scenario::parse(&text, "epidemic").unwrap()
}

fn formula() -> f64 {
    let n = f64::from(PEERS);
    let step = |j: u32| BETWEEN / (f64::from(j) * (n - f64::from(j)));
    let until = |k: u32| (1..=k).map(step).sum::<f64>();
    (1..PEERS).map(until).sum::<f64>() / (n - 1.0)
}

/// 20 seeds of 500 hours, some 2,500 records in all: within 3 %.
#[test]
fn the_earliest_arrivals_are_those_of_the_formula() {
    let scenario = scenario("500 h", 6);
    let (mut sum, mut count) = (0_f64, 0_u64);
    for seed in 0..20 {
        let plan = Plan::of(&scenario, seed, Changes::default());
        assert_eq!(plan.lines.len() as u32, PEERS * (PEERS - 1) / 2, "every two meet once");
        let mut contacts = Contacts::of(&plan);
        for write in &plan.writes {
            for at in contacts.earliest(write.by, write.at, write.bytes, 0) {
                assert_ne!(at, NEVER);
                if at > write.at {
                    sum += (at - write.at) as f64;
                    count += 1;
                }
            }
        }
    }
    let ratio = sum / count as f64 / formula();
    assert!((ratio - 1.0).abs() < 0.03, "{count} deliveries: {ratio}");
}

/// The replicas take the contacts that there are: in the mean within 3 % of the earliest arrivals.
#[test]
fn replicas_spread_as_fast_as_the_contacts_allow() {
    let plan = Plan::of(&scenario("30 h", 24), 1, Changes::default());
    let outcome = run(&plan, None).unwrap();
    assert_eq!(outcome.violation, None);
    let of = outcome.latencies.of(None);
    assert!(of.count() > 100 && of.delivered_percent() == Some(100.0));
    let bounds = of.bounds();
    let bound = bounds.iter().map(|at| *at as f64).sum::<f64>() / bounds.len() as f64;
    let ratio = of.mean().unwrap() as f64 / bound;
    assert!((1.0..1.03).contains(&ratio), "{ratio}");
}
