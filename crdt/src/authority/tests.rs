//! One test for each rule of `docs/protocol/authority.md`, named after it. What rules do together is
//! tried in `tests/convergence`.

mod acts;
mod adoption;
mod closures;
mod cost;
mod crowd;
mod entries;
mod epochs;
mod reach;
mod readmission;
mod records;
mod refusals;
pub(super) mod support;
