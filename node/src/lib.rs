//! Tearline's daemon and command line.

pub mod control;
pub mod failure;
