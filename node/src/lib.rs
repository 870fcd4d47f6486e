//! Tearline's daemon and command line.

pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod demo;
pub mod exchange;
pub mod failure;
pub mod home;
pub mod index;
pub mod logging;
pub mod pass;
pub mod service;
pub mod store;
