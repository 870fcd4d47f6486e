//! The `tearline-sim` program.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    tearline_simulations::cli::main(env::args_os())
}
