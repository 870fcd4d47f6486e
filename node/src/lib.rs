//! Tearline's daemon and command line.

pub mod config;
pub mod control;
pub mod failure;
pub mod home;
pub mod logging;
