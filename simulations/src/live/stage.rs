//! The daemons of an exercise: homes in one folder, processes that end with this one, asked by the command
//! line that people use.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::LiveError;

/// How long a daemon may take to answer after its start, or to end.
const READY_WAIT: Duration = Duration::from_secs(60);
/// How often something that is waited for is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A folder with a home for each post. It is gone, and so are the daemons, when it is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) folder: PathBuf,
    program: PathBuf,
    pub(super) daemons: Vec<Daemon>,
    interrupted: Arc<AtomicBool>,
}

/// How the folders of exercises begin; the process that plays it follows.
const FOLDER: &str = "tearline-live-";

/// A post's daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) name: String,
    relay: bool,
    child: Option<Child>,
}

impl Stage {
    pub(super) fn new(program: PathBuf, interrupted: Arc<AtomicBool>) -> Result<Self, LiveError> {
        clear_up(&std::env::temp_dir());
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = format!("{FOLDER}{}-{}", std::process::id(), since.as_micros());
        let folder = std::env::temp_dir().join(name);
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| LiveError::io(&folder.display(), &error))?;
        Ok(Self { folder, program, daemons: Vec::new(), interrupted })
    }

    /// An error once the exercise is to end early.
    pub(super) fn goes_on(&self) -> Result<(), LiveError> {
        if self.interrupted.load(Ordering::Relaxed) { Err(LiveError::Interrupted) } else { Ok(()) }
    }

    /// Makes a post's home and starts its daemon. Keys are made here, and are in no other place.
    pub(super) fn enter(
        &mut self,
        name: &str,
        agency: Option<(&str, &str)>,
        relay: bool,
    ) -> Result<usize, LiveError> {
        let number = self.daemons.len();
        self.daemons.push(Daemon { name: name.to_owned(), relay, child: None });
        match agency {
            Some((agency, country)) => {
                self.tell(number, &["init", "--agency", agency, "--country", country])?
            }
            None => self.tell(number, &["init", "--unit", name])?,
        };
        self.start(number)?;
        Ok(number)
    }

    /// Starts a post's daemon, and waits until it answers.
    pub(super) fn start(&mut self, number: usize) -> Result<(), LiveError> {
        let log = self.folder.join(format!("{number}.log"));
        let home = self.home(number);
        let log = File::options().create(true).append(true).open(&log);
        let log = log.map_err(|error| LiveError::io(&self.folder.display(), &error))?;
        let Some(daemon) = self.daemons.get_mut(number) else { return Ok(()) };
        let child = Command::new(&self.program)
            .arg("--home")
            .arg(home)
            .args(["run", "--until-stdin-ends", "--listen", "/ip4/127.0.0.1/tcp/0"])
            .args(daemon.relay.then_some("--relay"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| LiveError::io(&self.program.display(), &error))?;
        daemon.child = Some(child);
        until("a daemon", READY_WAIT, || {
            let ended = self.daemons.get_mut(number).and_then(|daemon| daemon.child.as_mut());
            if let Some(Ok(Some(_))) = ended.map(Child::try_wait) {
                return Err(LiveError::Ended { post: self.name(number).to_owned() });
            }
            Ok(self.try_tell(number, &["status"])?.map(drop))
        })
    }

    /// Ends a post's daemon as a power cut would.
    pub(super) fn kill(&mut self, number: usize) -> Result<(), LiveError> {
        let daemon = self.daemons.get_mut(number);
        let Some(mut child) = daemon.and_then(|daemon| daemon.child.take()) else { return Ok(()) };
        let killed = child.kill().and_then(|()| child.wait());
        killed.map(drop).map_err(|error| LiveError::io(&self.program.display(), &error))
    }

    /// Ends a post's daemon in order.
    pub(super) fn stop(&mut self, number: usize) -> Result<(), LiveError> {
        let daemon = self.daemons.get_mut(number);
        let Some(mut child) = daemon.and_then(|daemon| daemon.child.take()) else { return Ok(()) };
        drop(child.stdin.take());
        let program = self.program.display().to_string();
        until("the end of a daemon", READY_WAIT, || {
            let ended = child.try_wait().map_err(|error| LiveError::io(&program, &error))?;
            Ok(ended.map(drop))
        })
    }

    /// Whether a post's daemon runs.
    pub(super) fn is_up(&self, number: usize) -> bool {
        self.daemons.get(number).is_some_and(|daemon| daemon.child.is_some())
    }

    /// The same as [`Self::tell`], where a command that fails is tried again.
    pub(super) fn try_tell<A: AsRef<OsStr>>(
        &self,
        number: usize,
        arguments: &[A],
    ) -> Result<Option<Value>, LiveError> {
        match self.tell(number, arguments) {
            Err(LiveError::Said { .. }) => Ok(None),
            told => told.map(Some),
        }
    }

    /// Runs a command of the program on a post's home; what it said.
    pub(super) fn tell<A: AsRef<OsStr>>(
        &self,
        number: usize,
        arguments: &[A],
    ) -> Result<Value, LiveError> {
        self.goes_on()?;
        let output = Command::new(&self.program)
            .arg("--home")
            .arg(self.home(number))
            .args(["--json", "--no-input"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| LiveError::io(&self.program.display(), &error))?;
        let mut document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if output.status.success() {
            return Ok(document.get_mut("data").map(Value::take).unwrap_or_default());
        }
        // What ends this program from its terminal ends the command, too.
        self.goes_on()?;
        let what = document.pointer("/error/what").and_then(Value::as_str).map(str::to_owned);
        let verb = arguments.iter().take(2).map(|word| word.as_ref().to_string_lossy());
        Err(LiveError::Said {
            post: self.name(number).to_owned(),
            verb: verb.collect::<Vec<_>>().join(" "),
            what: what.unwrap_or_else(|| String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        })
    }

    /// Where a post's daemon listens, and the peer that is there.
    pub(super) fn address(&self, number: usize) -> Result<(SocketAddr, String), LiveError> {
        let status = self.tell(number, &["status"])?;
        let listed = status["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let found = listed.filter_map(|address| {
            let (place, peer) = address.split_once("/p2p/")?;
            let (ip, port) = place.strip_prefix("/ip4/")?.split_once("/tcp/")?;
            Some((format!("{ip}:{port}").parse().ok()?, peer.to_owned()))
        });
        found.into_iter().next().ok_or_else(|| LiveError::Said {
            post: self.name(number).to_owned(),
            verb: "status".to_owned(),
            what: "it listens on no TCP address".to_owned(),
        })
    }

    /// A post's name.
    pub(super) fn name(&self, number: usize) -> &str {
        self.daemons.get(number).map_or("", |daemon| &daemon.name)
    }

    /// A post's home.
    pub(super) fn home(&self, number: usize) -> PathBuf {
        self.folder.join(number.to_string())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for mut child in self.daemons.iter_mut().filter_map(|daemon| daemon.child.take()) {
            // One that has ended by itself needs no end.
            let _ = child.kill().and_then(|()| child.wait());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes the folders of exercises whose process was killed: it could not remove them itself. Its daemons ended
/// with it.
fn clear_up(temporary: &Path) {
    let processes = Path::new("/proc");
    if !processes.join("self").exists() {
        return;
    }
    let Ok(entries) = fs::read_dir(temporary) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(FOLDER)?.split_once('-'));
        let process = rest.and_then(|(id, n)| n.parse::<u64>().ok().and(id.parse::<u32>().ok()));
        let is_over = |id: u32| !processes.join(id.to_string()).exists();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && process.is_some_and(is_over) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Looks again and again, until there is something.
pub(super) fn until<T>(
    what: &'static str,
    wait: Duration,
    mut look: impl FnMut() -> Result<Option<T>, LiveError>,
) -> Result<T, LiveError> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if begun.elapsed() > wait {
            return Err(LiveError::Late { what, wait });
        }
        thread::sleep(POLL);
    }
}

/// The program beside this one.
pub(super) fn program_beside() -> Result<PathBuf, LiveError> {
    let own = std::env::current_exe();
    let own = own.map_err(|error| LiveError::io(&"this program", &error))?;
    let folder = own.parent().unwrap_or(Path::new("."));
    let program = folder.join("tearline");
    if program.is_file() { Ok(program) } else { Err(LiveError::NoProgram { at: program }) }
}

impl LiveError {
    pub(super) fn io(at: &dyn std::fmt::Display, error: &io::Error) -> Self {
        Self::Io { at: at.to_string(), cause: error.to_string() }
    }
}
