//! Tearline's daemon and command line.

/// Records are built on one thread and dropped on another: the system's allocator spends a quarter of the
/// core's thread on that (docs/adr/0019-mimalloc.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod anew;
pub mod audit;
pub mod backup;
pub mod cli;
pub mod config;
pub mod control;
mod core_dumps;
mod cot;
mod country;
pub mod daemon;
pub mod demo;
pub mod exchange;
pub mod failure;
pub mod files;
pub mod gateway;
pub mod home;
pub mod index;
mod leftovers;
mod length;
pub mod logging;
pub mod offline;
pub mod operators;
mod part;
pub mod pass;
pub mod picture;
pub mod portal;
pub mod protection;
pub mod release;
mod serve;
pub mod service;
pub mod shares;
mod size;
pub mod store;
mod taxii;
mod tls;
mod typo;
