//! `stop`: ends the daemon of a home in order, and waits until it has ended.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::context::Context;
use super::output::Outcome;
use crate::control::reply::Status;
use crate::control::{Empty, Request, client};
use crate::failure::{Failure, Kind};
use crate::length::{DAY_S, read as length};

/// Stop this device's daemon, and wait until it has ended
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline stop
  tearline stop --wait 5m

Without a daemon there is nothing to do: exit code 0.")]
pub(super) struct Stop {
    /// How long it may take to end
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = wait)]
    wait: Duration,
}

impl Stop {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let home = &context.home;
        // The daemon itself says which process it is: the lock may be another command's.
        let status = match client::ask::<Status>(home, Request::Status(Empty {}), Some(ANSWER_WAIT))
        {
            Err(failure) if failure.kind == Kind::Unreachable && home.root().exists() => {
                return Ok(Outcome::new(
                    json!({ "stopped": false, "pid": null }),
                    format!("no daemon was running for {}\n", home.root().display()),
                ));
            }
            answer => answer?,
        };
        let pid = i32::try_from(status.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failure::bug(format!("odd process id {}", status.pid)))?;
        kill_process(pid, Signal::TERM).map_err(|e| {
            Failure::io(format_args!("cannot stop process {}", status.pid), &e.into())
        })?;
        let asked = Instant::now();
        while home.lock().is_err() {
            if asked.elapsed() > self.wait {
                return Err(Failure::new(
                    Kind::Incomplete,
                    format!("process {} was told to stop, and has not yet", status.pid),
                )
                .hint("what it acknowledged is on disk; `kill -9` loses nothing of that"));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(Outcome::new(
            json!({ "stopped": true, "pid": status.pid }),
            format!("stopped process {}\n", status.pid),
        ))
    }
}

/// How long the daemon may be silent until it counts as one that does not answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// How often it is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Reads how long a daemon may take to end.
fn wait(text: &str) -> Result<Duration, String> {
    length(text, DAY_S).map(Duration::from_secs)
}
