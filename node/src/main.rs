//! The `tearline` program.

use std::env;
use std::process::ExitCode;

use tearline_node::{cli, service};

fn main() -> ExitCode {
    cli::main(env::args_os(), service::start)
}
