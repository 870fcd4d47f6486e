//! The shipped program, run as users run it and asked over its control socket.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use tearline_node::control::reply::Status;
use tearline_node::control::{Empty, Request, client};
use tearline_node::failure::Failure;
use tearline_node::home::Home;

/// How long a daemon may take to answer at first.
const START_MAX: Duration = Duration::from_secs(120);
/// How often a daemon that starts is asked.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// A home and the daemon that may be running in it.
pub(crate) struct Daemon {
    pub(crate) home: Home,
    /// Further arguments of `run`.
    pub(crate) arguments: &'static [&'static str],
    child: Option<Child>,
}

/// Resident memory, in bytes.
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

impl Daemon {
    /// Makes the home of a new agency.
    pub(crate) fn init(folder: &Path, agency: &str, country: &str) -> io::Result<Self> {
        let home = Home::at(folder.join(agency)).map_err(io::Error::other)?;
        let done = Command::new(env!("CARGO_BIN_EXE_tearline"))
            .arg("--home")
            .arg(home.root())
            .args(["init", "--agency", agency, "--country", country])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        let daemon = Self { home, arguments: &[], child: None };
        if done.success() { Ok(daemon) } else { Err(io::Error::other("init failed")) }
    }

    /// Starts the daemon and asks until it answers. Returns the answer and how long that took,
    /// from before the process was made.
    pub(crate) fn start<T: DeserializeOwned>(
        &mut self,
        question: &Request,
    ) -> io::Result<(T, Duration)> {
        let began = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_tearline"))
            .arg("--home")
            .arg(self.home.root())
            .arg("run")
            .args(self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.child = Some(child);
        while began.elapsed() < START_MAX {
            if let Ok(answer) = self.ask(question.clone()) {
                return Ok((answer, began.elapsed()));
            }
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten()) {
                return Err(io::Error::other(format!("the daemon ended: {status}")));
            }
            thread::sleep(ASK_EVERY);
        }
        Err(io::Error::other("the daemon does not answer"))
    }

    /// Asks the daemon.
    pub(crate) fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, Failure> {
        client::ask(&self.home, request)
    }

    /// How it is.
    pub(crate) fn status(&self) -> Result<Status, Failure> {
        self.ask(Request::Status(Empty {}))
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Its resident memory, as the system counts it.
    pub(crate) fn memory(&self) -> io::Result<Memory> {
        let id = self.child.as_ref().map_or(0, Child::id);
        let text = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = |name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            rest.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        let missing = || io::Error::other("the system does not tell of resident memory");
        Ok(Memory {
            now: line("VmRSS:").ok_or_else(missing)? * 1024,
            peak: line("VmHWM:").ok_or_else(missing)? * 1024,
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
