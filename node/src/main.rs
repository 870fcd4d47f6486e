//! The `tearline` program.

use std::env;
use std::process::ExitCode;

use tearline_node::{cli, daemon};

fn main() -> ExitCode {
    cli::main(env::args_os(), daemon::start_bare)
}
