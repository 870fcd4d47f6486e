//! Real daemons for tests: started, asked over their control socket, killed, and never left behind.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a daemon may take to answer before a test gives up.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// The `tearline` program that was built with this test, or that `TEARLINE_PROGRAM` names: an optimised one,
/// for tests under load.
///
/// # Errors
/// When it was not built: `cargo test --workspace` builds it, testing this package alone does not.
pub fn program() -> io::Result<PathBuf> {
    if let Some(named) = std::env::var_os("TEARLINE_PROGRAM") {
        return Ok(named.into());
    }
    let mut folder = std::env::current_exe()?;
    while folder.pop() {
        let program = folder.join("tearline");
        if program.is_file() {
            return Ok(program);
        }
    }
    Err(io::Error::other("the tearline program is not built: run `cargo build` first"))
}

/// A home and the daemon that may be running in it.
#[derive(Debug)]
pub struct Daemon {
    program: PathBuf,
    home: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// A daemon for a home that a command is to make.
    ///
    /// # Errors
    /// When the program was not built.
    pub fn at(home: PathBuf) -> io::Result<Self> {
        Ok(Self { program: program()?, home, child: None })
    }

    /// Makes the home of a new agency.
    ///
    /// # Errors
    /// When the program fails.
    pub fn init(folder: &Path, name: &str, country: &str) -> io::Result<Self> {
        let daemon = Self::at(folder.join(name))?;
        let done = Command::new(&daemon.program)
            .arg("--home")
            .arg(&daemon.home)
            .args(["init", "--agency", name, "--country", country])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if done.success() { Ok(daemon) } else { Err(io::Error::other("init failed")) }
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub fn start(&mut self) -> io::Result<()> {
        self.start_with(&[])
    }

    /// Starts the daemon with further arguments, and waits until it answers.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub fn start_with(&mut self, arguments: &[&str]) -> io::Result<()> {
        self.start_as(Command::new(&self.program), arguments)
    }

    /// Starts the daemon with a bound on the length of the files it writes, in blocks of 512 bytes.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub fn start_bounded(&mut self, file_blocks_max: u32) -> io::Result<()> {
        let mut shell = Command::new("sh");
        // Without the signal, a write beyond the bound fails as one to a full disk does.
        let script = format!("trap '' XFSZ; ulimit -f {file_blocks_max}; exec \"$0\" \"$@\"");
        shell.arg("-c").arg(script).arg(&self.program);
        self.start_as(shell, &[])
    }

    /// Starts the daemon in a network namespace.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub fn start_in(&mut self, namespace: &str) -> io::Result<()> {
        self.start_in_with(namespace, &[])
    }

    /// Starts the daemon in a network namespace, with further arguments.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub fn start_in_with(&mut self, namespace: &str, arguments: &[&str]) -> io::Result<()> {
        let mut ip = Command::new("ip");
        ip.args(["netns", "exec", namespace]).arg(&self.program);
        self.start_as(ip, arguments)
    }

    fn start_as(&mut self, mut command: Command, arguments: &[&str]) -> io::Result<()> {
        let child = command
            .arg("--home")
            .arg(&self.home)
            .arg("run")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.child = Some(child);
        let deadline = Instant::now() + ANSWER_MAX;
        while Instant::now() < deadline {
            if self.ask("status", &json!({})).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten()) {
                return Err(io::Error::other(format!("the daemon ended: {status}")));
            }
            std::thread::yield_now();
        }
        Err(io::Error::other("the daemon does not answer"))
    }

    /// Kills the daemon as a power cut would, but for the page cache.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks the daemon to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// When it cannot be asked, does not end in time, or ends badly.
    pub fn stop(&mut self) -> io::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        Command::new("kill").arg("-TERM").arg(child.id().to_string()).status()?;
        let deadline = Instant::now() + ANSWER_MAX;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                let ended = || io::Error::other(format!("the daemon ended badly: {status}"));
                return if status.success() { Ok(()) } else { Err(ended()) };
            }
            std::thread::yield_now();
        }
        child.kill()?;
        child.wait()?;
        Err(io::Error::other("the daemon does not end"))
    }

    /// Sends the daemon a signal.
    ///
    /// # Errors
    /// When it does not run, or cannot be sent one.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let child = self.child.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let mut kill = Command::new("kill");
        let done = kill.arg(format!("-{name}")).arg(child.id().to_string()).status()?;
        if done.success() { Ok(()) } else { Err(io::Error::other("it was not signalled")) }
    }

    /// Its home folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where its control socket is.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.join("control.sock")
    }

    /// Asks the daemon.
    ///
    /// # Errors
    /// When it does not answer, or answers with a failure.
    pub fn ask(&self, verb: &str, arguments: &Value) -> io::Result<Value> {
        ask(&self.socket(), verb, arguments)
    }
}

/// What a command came to.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code.
    pub code: i32,
    /// The document on its stdout: `data` or `error` of `--json`.
    pub document: Value,
}

impl Daemon {
    /// Runs a command of the program on this home, with `--json`.
    ///
    /// # Errors
    /// When it cannot be run, is killed, or prints what is no document.
    pub fn command(&self, arguments: &[&str]) -> io::Result<Outcome> {
        command(&self.home, arguments)
    }

    /// Begins a command of the program on this home, of which nothing is heard.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn begin(&self, arguments: &[&str]) -> io::Result<Child> {
        prepared(&self.home, arguments)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }
}

/// Runs a command of the program on a home, which need not be there, with `--json`.
///
/// # Errors
/// When it cannot be run, is killed, or prints what is no document.
pub fn command(home: &Path, arguments: &[&str]) -> io::Result<Outcome> {
    let output = prepared(home, arguments)?.output()?;
    let code = output.status.code().ok_or(io::Error::other("it was killed"))?;
    let mut document: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        io::Error::other(format!("{arguments:?}: {error}; exit {code}: {said}"))
    })?;
    let part = if document.get("data").is_some() { "data" } else { "error" };
    Ok(Outcome { code, document: document.get_mut(part).map(Value::take).unwrap_or_default() })
}

/// A command of the program on a home, with `--json`, to be run.
fn prepared(home: &Path, arguments: &[&str]) -> io::Result<Command> {
    let mut command = Command::new(program()?);
    command.arg("--home").arg(home).args(["--json", "--no-input"]).args(arguments);
    command.stdin(Stdio::null());
    Ok(command)
}

/// Asks the daemon behind a socket.
///
/// # Errors
/// When it does not answer, or answers with a failure.
pub fn ask(socket: &Path, verb: &str, arguments: &Value) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let request = json!({ "version": 2, "request": { verb: arguments } });
    for line in BufReader::new(stream.try_clone()?).lines() {
        let mut reply: Value = serde_json::from_str(&line?)?;
        if reply == "ready" {
            stream.write_all(format!("{request}\n").as_bytes())?;
        }
        if let Some(value) = reply.get_mut("ok") {
            return Ok(value.take());
        }
        if let Some(failure) = reply.get("error") {
            return Err(io::Error::other(failure.to_string()));
        }
    }
    Err(io::Error::from(io::ErrorKind::UnexpectedEof))
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
