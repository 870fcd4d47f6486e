//! The exercise's daemons: real processes with homes of their own in one folder, asked over their
//! control sockets, killed as a power cut would, and gone when the stage is.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

use super::link::Link;
use crate::cli::initialise;
use crate::control::reply::Status;
use crate::control::{Empty, Request, client};
use crate::failure::{Failure, Kind};
use crate::home::{Agency, Home};
use crate::protection::Protection;

/// One of the exercise's daemons.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Actor {
    /// Its short name, and its home's.
    pub(super) name: &'static str,
    /// Its agency's name and country; none for a device of another's agency.
    pub(super) agency: Option<(&'static str, &'static str)>,
    /// Whether its daemon is a blind relay.
    pub(super) relay: bool,
}

/// The stage.
#[derive(Debug)]
pub(super) struct Stage {
    folder: PathBuf,
    runtime: Handle,
    port: Option<u16>,
    /// Whether daemons quarantine nothing.
    sabotage: bool,
    cast: Mutex<Cast>,
}

#[derive(Debug, Default)]
struct Cast {
    /// Whoever runs.
    children: BTreeMap<&'static str, Child>,
    /// The ports they were given, by the order of their first entrance.
    entrances: Vec<&'static str>,
    /// Whether the exercise is over: nobody enters any more.
    struck: bool,
}

impl Stage {
    /// An empty stage. Daemons listen on the ports from `port` on, if that is given.
    pub(super) fn build(
        runtime: Handle,
        port: Option<u16>,
        sabotage: bool,
    ) -> Result<Self, Failure> {
        let mut name = [0; 8];
        getrandom::fill(&mut name)
            .map_err(|e| Failure::failed(format!("the system gives no randomness: {e}")))?;
        let name = format!("tearline-demo-{:016x}", u64::from_be_bytes(name));
        let folder = env::temp_dir().join(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|e| Failure::io(format_args!("cannot make {}", folder.display()), &e))?;
        Ok(Self { folder, runtime, port, sabotage, cast: Mutex::default() })
    }

    /// Makes an actor's home and starts its daemon.
    pub(super) fn enter(&self, actor: &Actor) -> Result<Status, Failure> {
        let agency =
            actor.agency.map(|(name, country)| Agency::generate(name, country)).transpose()?;
        // In clear: nobody is there to be asked, and the exercise's keys protect nothing.
        initialise(&self.home(actor)?, actor.name, agency.as_ref(), &Protection::Clear)?;
        self.start(actor)
    }

    /// Starts an actor's daemon and waits until it answers.
    pub(super) fn start(&self, actor: &Actor) -> Result<Status, Failure> {
        let home = self.home(actor)?;
        let program =
            env::current_exe().map_err(|e| Failure::io("cannot find this program", &e))?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(actor))
            .map_err(|e| Failure::io("cannot write a daemon's log", &e))?;
        {
            let mut cast = self.cast();
            if cast.struck {
                return Err(Failure::failed("the exercise was interrupted"));
            }
            if !cast.entrances.contains(&actor.name) {
                cast.entrances.push(actor.name);
            }
            let place = cast.entrances.iter().position(|name| *name == actor.name);
            let offset = place.and_then(|place| u16::try_from(place).ok()).unwrap_or_default();
            let port = self.port.map_or(0, |first| first.saturating_add(offset));
            let child = Command::new(program)
                .arg("--home")
                .arg(home.root())
                .args(["run", "--until-stdin-ends", "--listen"])
                .arg(format!("/ip4/127.0.0.1/tcp/{port}"))
                .args(self.sabotage.then_some("--sabotage"))
                .args(actor.relay.then_some("--relay"))
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(log)
                // An interrupt at the terminal is for the exercise, which then ends its daemons.
                .process_group(0)
                .spawn()
                .map_err(|e| Failure::io("cannot start a daemon", &e))?;
            cast.children.insert(actor.name, child);
        }
        self.await_ready(actor)
    }

    /// Kills an actor's daemon with SIGKILL, as a power cut would.
    pub(super) fn kill(&self, actor: &Actor) -> Result<(), Failure> {
        let mut child = self.cast().children.remove(actor.name).ok_or_else(|| {
            Failure::bug(format!("{} is to be killed and does not run", actor.name))
        })?;
        child
            .kill()
            .and_then(|()| child.wait())
            .map(drop)
            .map_err(|e| Failure::io(format_args!("cannot kill {}", actor.name), &e))
    }

    /// Asks an actor's daemon.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        actor: &Actor,
        request: Request,
    ) -> Result<T, Failure> {
        client::ask(&self.home(actor)?, request).map_err(|failure| Failure {
            what: format!("{}: {}", actor.name, failure.what),
            ..failure
        })
    }

    /// A link to where an actor's daemon listens.
    pub(super) fn link_to(&self, actor: &Actor) -> Result<Link, Failure> {
        let status: Status = self.ask(actor, Request::Status(Empty {}))?;
        let target = status.addresses.iter().find_map(|address| tcp_target(address));
        let target = target.ok_or_else(|| {
            Failure::failed(format!("{} listens on no TCP address of this machine", actor.name))
        })?;
        Link::open(&self.runtime, target)
    }

    /// An actor's home.
    pub(super) fn home(&self, actor: &Actor) -> Result<Home, Failure> {
        Home::at(self.folder.join(actor.name))
    }

    /// How often a word stands in the bytes of an actor's files, log included, and how many bytes
    /// those are.
    pub(super) fn search_files(&self, actor: &Actor, word: &str) -> Result<(u64, u64), Failure> {
        let failed = |e: io::Error| Failure::io(format_args!("cannot search {}", actor.name), &e);
        let (hits, bytes) =
            search_folder(self.home(actor)?.root(), word.as_bytes()).map_err(failed)?;
        let (log_hits, log_bytes) =
            search_file(&self.log(actor), word.as_bytes()).map_err(failed)?;
        Ok((hits + log_hits, bytes + log_bytes))
    }

    /// A file of the exercise's own.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What a person can do while the daemons are up.
    pub(super) fn invitation_to_look_around(&self) -> String {
        let mut text = String::from("The daemons are up until you press Ctrl-C. Look around:\n");
        for name in &self.cast().entrances {
            let home = self.folder.join(name);
            let _ = writeln!(text, "  tearline --home {} status", home.display());
        }
        text
    }

    /// Ends the exercise: kills whoever runs and removes the folder.
    pub(super) fn strike(&self) {
        let children = {
            let mut cast = self.cast();
            cast.struck = true;
            std::mem::take(&mut cast.children)
        };
        for (_, mut child) in children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }

    fn await_ready(&self, actor: &Actor) -> Result<Status, Failure> {
        let begun = Instant::now();
        loop {
            match self.ask(actor, Request::Status(Empty {})) {
                Err(failure) if failure.kind == Kind::Unreachable => {}
                other => return other,
            }
            let ended = match self.cast().children.get_mut(actor.name) {
                Some(child) => child.try_wait().is_ok_and(|status| status.is_some()),
                None => true,
            };
            if ended || begun.elapsed() > READY_WAIT {
                let how = if ended { "ended" } else { "does not answer" };
                let what = format!("the daemon of {} {how}", actor.name);
                return Err(Failure::failed(what).hint(self.last_words(actor)));
            }
            thread::sleep(READY_POLL);
        }
    }

    /// The last lines of an actor's log. Logs never hold contents.
    fn last_words(&self, actor: &Actor) -> String {
        let log = fs::read(self.log(actor)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().rev().take(LAST_WORDS_LINES).collect();
        format!("its log ends: {}", lines.into_iter().rev().collect::<Vec<_>>().join(" | "))
    }

    fn log(&self, actor: &Actor) -> PathBuf {
        self.folder.join(format!("{}.log", actor.name))
    }

    fn cast(&self) -> MutexGuard<'_, Cast> {
        self.cast.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.strike();
    }
}

/// The socket address of "/ip4/A/tcp/P/...".
fn tcp_target(multiaddress: &str) -> Option<SocketAddr> {
    match multiaddress.split('/').collect::<Vec<_>>().as_slice() {
        ["", "ip4", address, "tcp", port, ..] => format!("{address}:{port}").parse().ok(),
        _ => None,
    }
}

fn search_folder(folder: &Path, word: &[u8]) -> io::Result<(u64, u64)> {
    let mut found = (0, 0);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let (hits, bytes) = if kind.is_dir() {
            search_folder(&entry.path(), word)?
        } else if kind.is_file() {
            match search_file(&entry.path(), word) {
                // A store moves its files about while it runs.
                Err(error) if error.kind() == io::ErrorKind::NotFound => (0, 0),
                other => other?,
            }
        } else {
            (0, 0)
        };
        found = (found.0 + hits, found.1 + bytes);
    }
    Ok(found)
}

fn search_file(path: &Path, word: &[u8]) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let (mut hits, mut bytes) = (0, 0);
    let mut window = Vec::with_capacity(SEARCH_CHUNK_BYTES + word.len());
    loop {
        let read = file.by_ref().take(SEARCH_CHUNK_BYTES as u64).read_to_end(&mut window)?;
        if read == 0 {
            return Ok((hits, bytes));
        }
        bytes += read as u64;
        hits += window.windows(word.len().max(1)).filter(|part| *part == word).count() as u64;
        // A word may stand across two chunks: keep what could be its beginning.
        let kept = window.len().min(word.len().saturating_sub(1));
        window.drain(..window.len() - kept);
    }
}

/// How long a daemon may take to answer after its start.
const READY_WAIT: Duration = Duration::from_secs(60);
/// How often that is looked at.
const READY_POLL: Duration = Duration::from_millis(20);
/// How many lines of a daemon's log are shown when it ended.
const LAST_WORDS_LINES: usize = 5;
/// What is searched at once.
const SEARCH_CHUNK_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_wherever_they_stand() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let mut bytes = vec![b'.'; 2 * SEARCH_CHUNK_BYTES];
        for at in [0, SEARCH_CHUNK_BYTES - 3, 2 * SEARCH_CHUNK_BYTES - 6] {
            bytes[at..at + 6].copy_from_slice(b"canary");
        }
        fs::write(inner.join("x"), &bytes).unwrap();
        fs::write(folder.path().join("y"), "canar y").unwrap();
        let (hits, searched) = search_folder(folder.path(), b"canary").unwrap();
        assert_eq!((hits, searched), (3, bytes.len() as u64 + 7));
    }

    #[test]
    fn a_daemons_tcp_address_is_found() {
        let given = "/ip4/127.0.0.1/tcp/4001/p2p/12D3";
        assert_eq!(tcp_target(given), Some("127.0.0.1:4001".parse().unwrap()));
        for other in ["/ip4/127.0.0.1/udp/4001/quic-v1", "/ip4/x/tcp/1", "", "/ip4/1.2.3.4/tcp"] {
            assert_eq!(tcp_target(other), None, "{other}");
        }
    }

    #[test]
    fn a_struck_stage_leaves_nothing_and_lets_nobody_in() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let stage = Stage::build(runtime.handle().clone(), None, false).unwrap();
        let folder = stage.folder.clone();
        assert!(folder.is_dir());
        stage.strike();
        assert!(!folder.exists());
        let actor = Actor { name: "NE", agency: None, relay: false };
        fs::create_dir(&folder).unwrap();
        assert!(stage.start(&actor).is_err());
        drop(stage);
        assert!(!folder.exists());
    }
}
