//! What the test binaries share.

pub mod daemon;
pub mod fuzz;
pub mod http;
pub mod modem;
pub mod proxy;
