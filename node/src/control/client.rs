//! The command line's end of the control socket: one request, its progress, its answer. A daemon that
//! says nothing for [`SILENCE_MAX`] is given up, and whoever loses the daemon is told what is known of the
//! request: that nothing was done, or that nobody knows.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Envelope, PROTOCOL_VERSION, Progress, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, Reply, Request,
    SILENCE_MAX,
};
use crate::failure::{Failure, Kind};
use crate::home::Home;

/// Asks the daemon of a home and waits for its answer, for as long as it is heard.
pub fn call(
    home: &Home,
    request: Request,
    progress: &mut dyn FnMut(Progress),
) -> Result<Value, Failure> {
    call_within(home, request, SILENCE_MAX, progress)
}

/// As [`call`], with the answer in its type.
pub fn ask<T: DeserializeOwned>(home: &Home, request: Request) -> Result<T, Failure> {
    let verb = request.verb();
    typed(verb, call(home, request, &mut |_| {})?)
}

/// Whether a process listens where a home's daemon does. It may be one that does not answer.
#[must_use]
pub fn listens(home: &Home) -> bool {
    let dialled = home.socket().map(|path| dial(&path, SILENCE_MAX));
    dialled.is_ok_and(|dialled| !dialled.is_err_and(|error| is_nobody(&error)))
}

/// An answer in its type.
pub fn typed<T: DeserializeOwned>(verb: &str, value: Value) -> Result<T, Failure> {
    serde_json::from_value(value)
        .map_err(|error| Failure::bug(format!("the daemon's answer to `{verb}` is odd: {error}")))
}

/// How far a request came.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// It was not sent.
    Unsent,
    /// It was sent, and is not known to be taken up.
    Sent,
    /// The daemon said that it works on it.
    Working,
}

fn call_within(
    home: &Home,
    request: Request,
    silence_max: Duration,
    progress: &mut dyn FnMut(Progress),
) -> Result<Value, Failure> {
    let verb = request.verb();
    let line = encode(request)?;
    let shown = home.root().display();
    if !home.root().exists() {
        let nowhere = Failure::new(Kind::Unreachable, format!("there is no home at {shown}"));
        let make = home.command("init --agency NAME --country CC");
        return Err(nowhere.hint(format!("make one: {make}")));
    }
    let path = home.socket()?;
    let mut stage = Stage::Unsent;
    let exchanged = reach(home, &path, silence_max)
        .and_then(|stream| exchange(&stream, &line, &mut stage, progress));
    exchanged.unwrap_or_else(|error| {
        Err(if is_nobody(&error) {
            let nobody = format!("no daemon is running for {shown}");
            let run = home.command("run");
            Failure::new(Kind::Unreachable, nobody)
                .hint(format!("start it with: {run}; it answers once it said \"ready\""))
        } else {
            lost(home, verb, stage, silence_max, &error)
        })
    })
}

/// How long a command waits for a daemon that holds its home and does not listen yet, and for one that may have
/// been started just before it.
const START_MAX: Duration = Duration::from_secs(10);
const APPEAR_MAX: Duration = Duration::from_secs(1);
/// How often it tries.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Dials the daemon; waits for one that is starting.
fn reach(home: &Home, path: &Path, silence_max: Duration) -> io::Result<UnixStream> {
    let began = Instant::now();
    loop {
        let dialled = dial(path, silence_max);
        let nobody = dialled.as_ref().is_err_and(is_nobody);
        let starting = nobody && home.is_held().unwrap_or(false);
        let patience = if starting { START_MAX } else { APPEAR_MAX };
        if !nobody || began.elapsed() >= patience {
            return dialled;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// What is known of a request whose daemon was lost, and what to do.
fn lost(
    home: &Home,
    verb: &str,
    stage: Stage,
    silence_max: Duration,
    error: &io::Error,
) -> Failure {
    let silent = is_timeout(error);
    let (cause, advice) = if silent {
        let pid = home.running().map(|pid| format!(" ({pid} where it runs)")).unwrap_or_default();
        let advice = format!(
            "its process{pid} may be stopped (`kill -CONT` lets it go on) or stuck: see its log; \
             `kill -9` loses nothing that was acknowledged"
        );
        (format!("the daemon said nothing for {silence_max:?}"), advice)
    } else {
        (format!("lost the daemon: {error}"), "see the daemon's log".into())
    };
    let may_be_done = match stage {
        Stage::Unsent => false,
        // What was closed before it was taken up was not begun; who is silent may take it up yet.
        Stage::Sent => silent,
        Stage::Working => true,
    };
    if may_be_done {
        Failure::new(Kind::Unreachable, format!("{cause}: whether `{verb}` was done is not known"))
            .hint(format!("look before you repeat it; {advice}"))
    } else {
        let what = format!("{cause}: it took up nothing, and nothing of `{verb}` was done");
        Failure::new(Kind::Unreachable, what).hint(advice)
    }
}

/// A connection on which nothing waits longer than `silence_max`, neither to be taken: the queue of a
/// daemon that stands still fills up.
fn dial(path: &Path, silence_max: Duration) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(silence_max))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(silence_max))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

fn exchange(
    mut stream: &UnixStream,
    request: &[u8],
    stage: &mut Stage,
    progress: &mut dyn FnMut(Progress),
) -> io::Result<Result<Value, Failure>> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        (&mut reader).take(REPLY_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match (serde_json::from_slice(&line), *stage) {
            (Ok(Reply::Ready), Stage::Unsent) => {
                *stage = Stage::Sent;
                // A daemon that drops us has said why: what is read next tells.
                let _ = stream.write_all(request);
            }
            (Ok(Reply::Working), Stage::Sent | Stage::Working) => *stage = Stage::Working,
            (Ok(Reply::Progress(report)), Stage::Working) => progress(report),
            (Ok(Reply::Ok(value)), Stage::Working) => return Ok(Ok(value)),
            (Ok(Reply::Error(failure)), _) => return Ok(Err(failure)),
            (garbled, _) => {
                let why = garbled.err().map_or("out of order".into(), |error| error.to_string());
                return Ok(Err(Failure::failed(format!("the daemon's answer is garbled: {why}"))));
            }
        }
    }
}

fn encode(request: Request) -> Result<Vec<u8>, Failure> {
    let mut line = serde_json::to_vec(&Envelope { version: PROTOCOL_VERSION, request })
        .map_err(|error| Failure::bug(format!("cannot encode: {error}")))?;
    line.push(b'\n');
    if line.len() > REQUEST_BYTES_MAX {
        let bytes = line.len();
        let what = format!("the request has {bytes} bytes, the most is {REQUEST_BYTES_MAX}");
        return Err(Failure::usage(what).hint("larger files go in by `tearline import`"));
    }
    Ok(line)
}

/// Whether nobody listens.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use super::*;
    use crate::control::Empty;

    /// What a command makes of a daemon that says this, hears a request if it said that it may be asked,
    /// says that, and hangs up or falls silent.
    fn meet(first: &str, then: &str, silent: bool) -> Result<Value, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let listener = UnixListener::bind(home.socket().unwrap()).unwrap();
        let (given_up, ended) = sync_channel::<()>(0);
        thread::scope(|scope| {
            scope.spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(first.as_bytes()).unwrap();
                if first == READY {
                    let mut request = String::new();
                    BufReader::new(stream.try_clone().unwrap()).read_line(&mut request).unwrap();
                    assert!(request.contains("status"), "{request}");
                }
                let _ = stream.write_all(then.as_bytes());
                if silent {
                    let _ = ended.recv();
                }
            });
            let silence_max = Duration::from_millis(if silent { 100 } else { 60_000 });
            let answer = call_within(&home, Request::Status(Empty {}), silence_max, &mut |_| {});
            drop(given_up);
            answer
        })
    }

    const READY: &str = "\"ready\"\n";
    const WORKING: &str = "\"working\"\n";

    #[test]
    fn who_loses_the_daemon_is_told_whether_anything_was_done() {
        let half = format!("{WORKING}{{\"ok\":1}}");
        let progress = format!(
            "{WORKING}{{\"progress\":{{\"done\":1,\"total\":null,\"unit\":\"\",\"note\":\"\"}}}}\n"
        );
        let cases = [
            ("", "", false, true),
            ("", "", true, true),
            (READY, "", false, true),
            (READY, "", true, false),
            (READY, "\"work", false, true),
            (READY, WORKING, false, false),
            (READY, WORKING, true, false),
            (READY, &half, false, false),
            (READY, &progress, false, false),
            (READY, &progress, true, false),
        ];
        for (first, then, silent, nothing_done) in cases {
            let failure = meet(first, then, silent).unwrap_err();
            let case = format!("{first:?} {then:?} {silent}: {failure}");
            assert_eq!(failure.kind, Kind::Unreachable, "{case}");
            assert_eq!(failure.what.contains("took up nothing"), nothing_done, "{case}");
            assert_eq!(failure.what.contains("is not known"), !nothing_done, "{case}");
            assert_eq!(failure.what.contains("said nothing for 100ms"), silent, "{case}");
        }
    }

    #[test]
    fn a_daemon_that_says_odd_things_is_a_failure() {
        let (ok, answered) = ("{\"ok\":1}\n", format!("{WORKING}{{\"ok\":1}}\nmore"));
        for (first, then) in [
            ("hello\n", ""),
            (ok, ""),
            (WORKING, ""),
            (READY, READY),
            (READY, ok),
            (READY, "\"working\"\n{\"ok\":1,\"error\":2}\n"),
        ] {
            let failure = meet(first, then, false).unwrap_err();
            assert_eq!(failure.kind, Kind::Failed, "{first:?} {then:?}: {failure}");
        }
        assert_eq!(meet(READY, &answered, false), Ok(Value::from(1)));
        let denied = format!("{}\n", serde_json::json!({ "error": Failure::denied("no") }));
        assert_eq!(meet(&denied, "", false), Err(Failure::denied("no")));
        assert_eq!(meet(READY, &denied, false), Err(Failure::denied("no")));
    }

    /// Nobody takes connections there, and no more fit the queue: connecting waits, too.
    #[test]
    fn a_daemon_whose_queue_is_full_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let path = home.socket().unwrap();
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let soon = Duration::from_millis(50);
        let mut queued = Vec::new();
        while let Ok(stream) = dial(&path, soon) {
            queued.push(stream);
        }
        assert!(!queued.is_empty());
        let status = Request::Status(Empty {});
        let failure = call_within(&home, status.clone(), soon, &mut |_| {}).unwrap_err();
        assert!(failure.what.contains("took up nothing"), "{failure}");
        drop((queued, socket));
        assert!(!listens(&home));
        let nobody = call_within(&home, status, soon, &mut |_| {}).unwrap_err();
        assert!(nobody.what.contains("no daemon is running"), "{nobody}");
    }
}
