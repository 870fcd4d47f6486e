//! Tearline's daemon and command line.

pub mod anew;
pub mod backup;
pub mod cli;
pub mod config;
pub mod control;
mod core_dumps;
mod country;
pub mod daemon;
pub mod demo;
pub mod exchange;
pub mod failure;
pub mod files;
pub mod home;
pub mod index;
mod leftovers;
mod length;
pub mod logging;
pub mod offline;
mod part;
pub mod pass;
pub mod protection;
pub mod service;
pub mod shares;
pub mod store;
