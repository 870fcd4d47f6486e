//! Logs: to stderr, one line each, filtered by `TEARLINE_LOG`. They say what happened to what, by
//! id and count; a record's content, a name in it and a secret never go there.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, LevelFilter};

use crate::failure::Failure;

/// The environment variable that overrides what is logged.
pub const LOG_VARIABLE: &str = "TEARLINE_LOG";

/// Starts logging for this process. `filter` is what to log unless the environment says otherwise;
/// one that makes no sense logs warnings. A second call does nothing.
pub fn start(filter: &str) {
    let asked = std::env::var(LOG_VARIABLE).ok().filter(|text| !text.is_empty());
    let filter = asked
        .as_deref()
        .and_then(|text| EnvFilter::try_new(text).ok())
        .or_else(|| EnvFilter::try_new(filter).ok())
        .unwrap_or_else(|| EnvFilter::new("warn"));
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(true)
        .with_ansi(false)
        .log_internal_errors(false)
        .finish();
    let _ = tracing::subscriber::set_global_default(logger);
}

/// Fails if part of a filter makes no sense. A word alone is a level: the filter itself would take a
/// mistyped one for the name of a part of the program.
pub fn check(filter: &str) -> Result<(), Failure> {
    for part in filter.split(',').map(str::trim) {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        if level.parse::<LevelFilter>().is_err() || part.parse::<Directive>().is_err() {
            return Err(Failure::usage(format!("{part:?} does not say what to log")).hint(
                "off, error, warn, info, debug or trace; or as in tearline_mesh=debug,info",
            ));
        }
    }
    Ok(())
}

/// What `-q` and `-v` ask for, over a default.
#[must_use]
pub fn filter(default: &str, quiet: bool, verbose: u8) -> String {
    match (quiet, verbose) {
        (true, _) => "error".into(),
        (false, 0) => default.into(),
        (false, 1) => "info,tearline_node=debug,tearline_mesh=debug".into(),
        (false, _) => "debug,tearline_node=trace,tearline_mesh=trace".into(),
    }
}
