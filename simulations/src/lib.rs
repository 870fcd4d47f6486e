//! The simulator: the very [`Replica`](tearline_mesh::Replica) that ships, in virtual time.
//!
//! A *scenario* ([`scenario`]) says which agencies have which posts, what links them and when, what they
//! write, what breaks, and what is good enough. With a seed it becomes a *plan* ([`plan`]): every contact,
//! write and fault with its moment. The *world* ([`world`]) carries the plan out, one event after the other,
//! on peers that keep their logs in memory; the *oracles* ([`oracle`]) watch it, and the run ends with what
//! they found and what was measured ([`outcome`]). Equal scenario, seed and program give equal runs, event
//! by event: the trace's hash says so.
//!
//! There is no fixed step: a peer with nothing to do and a link that is down cost nothing.

pub mod agenda;
pub mod arrival;
mod books;
pub mod cli;
pub mod compare;
pub mod contacts;
mod disk;
pub mod draws;
mod founding;
pub mod goal;
pub mod library;
pub mod line;
pub mod live;
pub mod oracle;
pub mod outcome;
mod peer;
pub mod plan;
pub mod posts;
pub mod quantity;
pub mod report;
pub mod scenario;
pub mod shards;
pub mod shrink;
pub mod size;
pub mod staleness;
pub mod sweep;
mod trace;
pub mod world;

pub use outcome::Outcome;
pub use plan::Plan;
pub use scenario::Scenario;
pub use world::{Sabotage, run, run_in_full};
