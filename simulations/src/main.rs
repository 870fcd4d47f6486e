//! The `tearline-sim` program.

use std::env;
use std::process::ExitCode;

/// Thousands of peers in one process ask for memory all the time, in small pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tearline_simulations::cli::main(env::args_os())
}
