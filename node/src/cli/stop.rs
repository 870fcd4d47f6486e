//! `stop`: ends the daemon of a home in order, and waits until it has ended.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::output::Outcome;
use crate::control::reply::Stopping;
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
        let began = Instant::now();
        let (mut pid, mut held) = (None, false);
        loop {
            // Asked, not signalled: its process id may mean another process here, in another PID namespace.
            if pid.is_none() && (!home.root().exists() || client::listens(home)) {
                match client::ask::<Stopping>(home, Request::Stop(Empty {})) {
                    Ok(stopping) => pid = Some(stopping.pid),
                    // Somebody else ended it meanwhile.
                    Err(lost)
                        if lost.kind == Kind::Unreachable
                            && home.root().exists()
                            && !client::listens(home) => {}
                    Err(failure) => return Err(failure),
                }
            }
            // It listens later than it holds the home, and holds it longer.
            let holds = home.is_held()?;
            held |= holds;
            if !holds || pid.is_some() && home.running() != pid {
                break;
            }
            if began.elapsed() > self.wait {
                let process = pid.map(|pid| format!(", process {pid} where it runs,"));
                let process = process.unwrap_or_default();
                let what = format!("the daemon{process} was told to stop, and has not yet");
                return Err(Failure::new(Kind::Incomplete, what)
                    .hint("what it acknowledged is on disk; `kill -9` loses nothing of that"));
            }
            thread::sleep(LOOK_EVERY);
        }
        if pid.is_none() && !held {
            return Ok(Outcome::new(
                json!({ "stopped": false, "pid": null }),
                format!("no daemon was running for {}\n", home.root().display()),
            ));
        }
        let text = pid.map_or("stopped\n".into(), |pid| format!("stopped process {pid}\n"));
        Ok(Outcome::new(json!({ "stopped": true, "pid": pid }), text))
    }
}

/// How often it is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Reads how long a daemon may take to end.
fn wait(text: &str) -> Result<Duration, String> {
    length(text, DAY_S).map(Duration::from_secs)
}
