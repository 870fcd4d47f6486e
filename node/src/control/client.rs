//! The command line's end of the control socket: one request, its progress, its answer.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Envelope, PROTOCOL_VERSION, Progress, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, Reply, Request,
};
use crate::failure::{Failure, Kind};
use crate::home::Home;

/// Asks the daemon of a home and waits for its answer, however long that takes; with `silence_max`
/// only until it has said nothing for so long.
pub fn call(
    home: &Home,
    request: Request,
    silence_max: Option<Duration>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Value, Failure> {
    let verb = request.verb();
    let stream = connect(home)?;
    exchange(stream, request, silence_max, progress).map_err(|error| match error {
        Broken::Failure(failure) => failure,
        Broken::Io(error) if is_timeout(&error) => {
            Failure::failed(format!("the daemon did not answer `{verb}` in time"))
                .hint("it may be busy; look at its log")
        }
        Broken::Io(error) => {
            Failure::new(Kind::Unreachable, format!("lost the daemon during `{verb}`: {error}"))
                .hint("whether it was done is not known; look before you repeat it")
        }
    })
}

/// As [`call`], with the answer in its type.
pub fn ask<T: DeserializeOwned>(
    home: &Home,
    request: Request,
    silence_max: Option<Duration>,
) -> Result<T, Failure> {
    let verb = request.verb();
    typed(verb, call(home, request, silence_max, &mut |_| {})?)
}

/// An answer in its type.
pub fn typed<T: DeserializeOwned>(verb: &str, value: Value) -> Result<T, Failure> {
    serde_json::from_value(value)
        .map_err(|error| Failure::bug(format!("the daemon's answer to `{verb}` is odd: {error}")))
}

fn connect(home: &Home) -> Result<UnixStream, Failure> {
    if !home.root().exists() {
        return Err(Failure::new(
            Kind::Unreachable,
            format!("there is no home at {}", home.root().display()),
        )
        .hint(format!("make one: {}", home.command("init --agency NAME --country CC"))));
    }
    let path = home.socket()?;
    UnixStream::connect(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Failure::new(
            Kind::Unreachable,
            format!("no daemon is running for {}", home.root().display()),
        )
        .hint(format!("start it with: {}", home.command("run"))),
        _ => Failure::new(
            Kind::Unreachable,
            format!("cannot reach the daemon at {}: {error}", path.display()),
        ),
    })
}

enum Broken {
    Failure(Failure),
    Io(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn exchange(
    mut stream: UnixStream,
    request: Request,
    silence_max: Option<Duration>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Value, Broken> {
    stream.set_read_timeout(silence_max)?;
    let mut line = serde_json::to_vec(&Envelope { version: PROTOCOL_VERSION, request })
        .map_err(|error| Broken::Failure(Failure::bug(format!("cannot encode: {error}"))))?;
    line.push(b'\n');
    if line.len() > REQUEST_BYTES_MAX {
        let failure = Failure::usage(format!(
            "the request has {} bytes, the most is {REQUEST_BYTES_MAX}",
            line.len()
        ));
        return Err(Broken::Failure(failure.hint("larger files go in by `tearline import`")));
    }
    // A daemon that drops us early has still said why: read before the error of writing counts.
    let written = stream.write_all(&line);
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let read = (&mut reader).take(REPLY_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line);
        match read {
            Ok(0) => {
                written?;
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            Ok(_) => {}
            Err(error) => {
                written?;
                return Err(error.into());
            }
        }
        if !line.ends_with(b"\n") {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let reply = serde_json::from_slice(&line).map_err(|error| {
            Broken::Failure(Failure::failed(format!("the daemon's answer is garbled: {error}")))
        })?;
        match reply {
            Reply::Progress(report) => progress(report),
            Reply::Ok(value) => return Ok(value),
            Reply::Error(failure) => return Err(Broken::Failure(failure)),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;
    use crate::control::Empty;

    /// What a command makes of a daemon that says this and hangs up, or falls silent.
    fn meet(said: &'static [u8], silent: bool) -> Result<Value, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let listener = UnixListener::bind(home.socket().unwrap()).unwrap();
        let daemon = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut String::new()).unwrap();
            let _ = stream.write_all(said);
            silent.then_some(stream)
        });
        let silence_max = Some(Duration::from_millis(20)).filter(|_| silent);
        let answer = call(&home, Request::Status(Empty {}), silence_max, &mut |_| {});
        drop(daemon.join().unwrap());
        answer
    }

    #[test]
    fn a_daemon_that_breaks_off_is_a_failure_of_its_own_kind() {
        let progress = br#"{"progress":{"done":1,"total":null,"unit":"","note":""}}"#;
        let lines: [(&[u8], Kind); 6] = [
            (b"", Kind::Unreachable),
            (b"{\"ok\":", Kind::Unreachable),
            (b"{\"ok\":1}", Kind::Unreachable),
            (progress, Kind::Unreachable),
            (b"hello\n", Kind::Failed),
            (b"{\"ok\":1,\"error\":2}\n", Kind::Failed),
        ];
        for (said, kind) in lines {
            assert_eq!(meet(said, false).unwrap_err().kind, kind, "{}", said.escape_ascii());
        }
        assert_eq!(meet(b"{\"ok\":1}\nmore", false), Ok(Value::from(1)));
        let silent = meet(b"", true).unwrap_err();
        assert!(silent.what.contains("in time"), "{silent}");
    }
}
