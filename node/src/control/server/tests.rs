//! The control server against good, bad, slow and many clients.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream as Plain;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::*;
use crate::control::{Empty, Report, Search, client};
use crate::failure::Kind;

/// Answers `status` with a count, `search` with progress and an echo, `why` with a panic, and
/// `peer.list` once two callers are inside, and goes on with `doctor` until nobody waits.
struct Fake {
    calls: AtomicUsize,
    both: Barrier,
    interrupted: Barrier,
}

impl Service for Fake {
    fn call(&self, request: Request, progress: &mut Report<'_>) -> Result<Value, Failure> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match request {
            Request::Status(_) => Ok(json!({ "pid": 7 })),
            Request::Search(search) => {
                for done in 0..3 {
                    let _ = progress(Progress { done, total: Some(3), ..Progress::default() });
                }
                Ok(json!({ "query": search.query }))
            }
            Request::Doctor(_) => {
                while progress(Progress::default()).is_continue() {
                    thread::yield_now();
                }
                self.interrupted.wait();
                Err(Failure::failed("interrupted"))
            }
            Request::PeerList(_) => {
                self.both.wait();
                Ok(json!({}))
            }
            Request::RecordShow(_) => Ok(Value::String("x".repeat(REPLY_BYTES_MAX))),
            Request::Why(_) => panic!("a defect"),
            other => Err(Failure::denied(other.verb())),
        }
    }
}

struct Daemon {
    home: Home,
    fake: Arc<Fake>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<tokio::task::JoinHandle<()>>,
    runtime: Option<Runtime>,
    _lock: Lock,
    _folder: tempfile::TempDir,
}

impl Daemon {
    fn start(bounds: Bounds) -> Self {
        Self::of(own_uid(), bounds)
    }

    /// A daemon that belongs to a user.
    fn of(uid: u32, bounds: Bounds) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("h")).unwrap();
        home.create().unwrap();
        let runtime = Runtime::new().unwrap();
        let _inside = runtime.enter();
        let lock = home.lock().unwrap();
        let mut listener = Listener::bind(&home, &lock).unwrap();
        listener.uid = uid;
        let fake = Arc::new(Fake {
            calls: AtomicUsize::new(0),
            both: Barrier::new(2),
            interrupted: Barrier::new(2),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let service: Arc<dyn Service> = Arc::clone(&fake) as _;
        let task = runtime.spawn(serve(listener, service, bounds, async {
            let _ = stopped.await;
        }));
        drop(_inside);
        Self {
            home,
            fake,
            stop: Some(stop),
            task: Some(task),
            runtime: Some(runtime),
            _lock: lock,
            _folder: folder,
        }
    }

    fn call(&self, request: Request) -> Result<Value, Failure> {
        client::call(&self.home, request, &mut |_| {})
    }

    fn plain(&self) -> Plain {
        let stream = Plain::connect(self.home.socket().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.runtime.as_ref().unwrap().block_on(self.task.take().unwrap()).unwrap();
    }
}

impl Drop for Daemon {
    /// A test that fails does not wait for the requests that it left running.
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

fn search(query: &str) -> Request {
    Request::Search(Search { query: query.into(), pattern: None, limit: None, after: None })
}

/// A request without arguments.
fn asked(verb: &str) -> Value {
    json!({ "version": PROTOCOL_VERSION, "request": { verb: {} } })
}

/// All that the daemon says before it closes the connection.
fn rest_of(mut stream: Plain) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_request_gets_its_answer_and_a_failure_crosses_whole() {
    let mut daemon = Daemon::start(Bounds::default());
    assert_eq!(daemon.call(Request::Status(Empty {})), Ok(json!({ "pid": 7 })));
    let denied = daemon.call(Request::CoalitionShow(Empty {}));
    assert_eq!(denied, Err(Failure::denied("coalition.show")));
    let path = daemon.home.socket().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    daemon.stop();
    assert!(!path.exists());
    let gone = daemon.call(Request::Status(Empty {})).unwrap_err();
    assert_eq!(gone.kind, Kind::Unreachable);
    assert!(gone.hint.unwrap().contains(" run; it answers once it said"));
}

#[test]
fn progress_arrives_before_the_answer_and_the_connection_ends_with_it() {
    let daemon = Daemon::start(Bounds::default());
    let mut seen = Vec::new();
    let value = client::call(&daemon.home, search("x"), &mut |report| seen.push(report.done));
    assert_eq!(value, Ok(json!({ "query": "x" })));
    assert!(seen.is_sorted() && seen.len() <= 3);

    let line = asked("status");
    let mut stream = daemon.plain();
    stream.write_all(format!("{line}\n{line}\n").as_bytes()).unwrap();
    assert_eq!(rest_of(stream), "\"ready\"\n\"working\"\n{\"ok\":{\"pid\":7}}\n");
    assert_eq!(daemon.fake.calls.load(Ordering::SeqCst), 2);
}

#[test]
fn a_request_that_takes_long_is_heard_of_all_the_time() {
    let bounds = Bounds { heartbeat: Duration::from_millis(5), ..Bounds::default() };
    let daemon = Daemon::start(bounds);
    let mut stream = daemon.plain();
    writeln!(stream, "{}", asked("peer.list")).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "\"ready\"");
    for _ in 0..5 {
        assert_eq!(lines.next().unwrap(), "\"working\"");
    }
    assert!(daemon.call(Request::PeerList(Empty {})).is_ok());
    assert_eq!(lines.find(|line| line != "\"working\"").unwrap(), "{\"ok\":{}}");
}

#[test]
fn what_a_client_asked_that_has_gone_is_not_begun() {
    let bounds = Bounds { asking_max: 1, ..Bounds::default() };
    let daemon = Daemon::start(bounds);
    let first = daemon.plain();
    // It waits to be taken until the first has gone, and has gone by then itself.
    let mut second = daemon.plain();
    writeln!(second, "{}", asked("status")).unwrap();
    drop(second);
    drop(first);
    let answer = daemon.call(search("x"));
    assert_eq!(answer, Ok(json!({ "query": "x" })));
    assert_eq!(daemon.fake.calls.load(Ordering::SeqCst), 1);

    // One that went after it had asked.
    let (runtime, fake) = (daemon.runtime.as_ref().unwrap(), Arc::clone(&daemon.fake));
    let answered = runtime.block_on(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let (_open, closing) = watch::channel(());
        Client::new(ours, bounds).answer(fake, Request::Status(Empty {}), closing).await
    });
    assert!(answered.is_err());
    assert_eq!(daemon.fake.calls.load(Ordering::SeqCst), 1);
}

#[test]
fn a_request_that_reports_ends_when_its_client_has_gone() {
    let daemon = Daemon::start(Bounds::default());
    let mut stream = daemon.plain();
    writeln!(stream, "{}", asked("doctor")).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("progress")));
    drop(lines);
    // The stream is closed; whoever works for it comes to this barrier only when told so.
    daemon.fake.interrupted.wait();
}

#[test]
fn a_request_that_reports_ends_and_is_answered_when_the_server_closes() {
    let stop_wait = Duration::from_secs(3_600);
    let mut daemon = Daemon::start(Bounds { stop_wait, ..Bounds::default() });
    let mut stream = daemon.plain();
    writeln!(stream, "{}", asked("doctor")).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("progress")));
    let fake = Arc::clone(&daemon.fake);
    thread::scope(|scope| {
        scope.spawn(|| fake.interrupted.wait());
        scope.spawn(|| daemon.stop());
        assert!(lines.any(|line| line.contains("error") && line.contains("interrupted")));
    });
}

#[test]
fn garbage_is_told_so_and_dropped_and_others_are_served() {
    let daemon = Daemon::start(Bounds::default());
    let unknown = json!({ "version": PROTOCOL_VERSION, "request": { "launch": {} } }).to_string();
    let extra =
        json!({ "version": PROTOCOL_VERSION, "request": { "status": { "x": 1 } } }).to_string();
    let deep = "[".repeat(100_000);
    for bad in ["", "}{", "null", &unknown, &extra, &deep, "\u{0}\u{1}"] {
        let mut stream = daemon.plain();
        writeln!(stream, "{bad}").unwrap();
        let answer = rest_of(stream);
        assert!(answer.starts_with("\"ready\"\n{\"error\":{\"kind\":\"usage\""), "{answer}");
        assert_eq!(answer.lines().count(), 2);
    }
    assert!(daemon.call(Request::Status(Empty {})).is_ok());
    assert_eq!(daemon.fake.calls.load(Ordering::SeqCst), 1);
}

#[test]
fn another_version_is_told_to_restart() {
    let daemon = Daemon::start(Bounds::default());
    let mut stream = daemon.plain();
    writeln!(stream, "{}", json!({ "version": PROTOCOL_VERSION + 1, "request": { "later": {} } }))
        .unwrap();
    let answer = rest_of(stream);
    assert!(answer.contains("restart the daemon"), "{answer}");
}

#[test]
fn a_request_at_the_bound_is_served_and_one_past_it_is_not() {
    let daemon = Daemon::start(Bounds::default());
    let overhead = serde_json::to_vec(&Envelope { version: PROTOCOL_VERSION, request: search("") })
        .unwrap()
        .len();
    let longest = REQUEST_BYTES_MAX - overhead - 1;
    assert!(daemon.call(search(&"q".repeat(longest))).is_ok());
    let refused = daemon.call(search(&"q".repeat(longest + 1))).unwrap_err();
    assert_eq!(refused.kind, Kind::Usage);

    let mut stream = daemon.plain();
    let _ = stream.write_all(&vec![b' '; REQUEST_BYTES_MAX + 1]);
    let answer = rest_of(stream);
    assert!(answer.contains("longer than"), "{answer}");
}

#[test]
fn an_answer_past_the_bound_is_a_failure() {
    let daemon = Daemon::start(Bounds::default());
    let show = crate::control::RecordShow { record: "ab".into() };
    let failure = daemon.call(Request::RecordShow(show)).unwrap_err();
    assert!(failure.what.contains("longer than"), "{failure}");
}

#[test]
fn a_panic_is_a_bug_and_the_daemon_lives() {
    let daemon = Daemon::start(Bounds::default());
    let why = crate::control::Why { record: "ab".into() };
    assert_eq!(daemon.call(Request::Why(why)).unwrap_err().kind, Kind::Bug);
    assert!(daemon.call(Request::Status(Empty {})).is_ok());
}

#[test]
fn clients_are_served_at_the_same_time() {
    let daemon = Daemon::start(Bounds::default());
    // Each of the two returns only once the other is inside as well.
    thread::scope(|scope| {
        let first = scope.spawn(|| daemon.call(Request::PeerList(Empty {})));
        assert!(daemon.call(Request::PeerList(Empty {})).is_ok());
        assert!(first.join().unwrap().is_ok());
    });
    thread::scope(|scope| {
        let calls: Vec<_> =
            (0..16).map(|_| scope.spawn(|| daemon.call(Request::Status(Empty {})))).collect();
        for call in calls {
            assert!(call.join().unwrap().is_ok());
        }
    });
}

#[test]
fn commands_past_the_bound_are_turned_away_until_one_ends() {
    let daemon = Daemon::start(Bounds { commands_max: 1, ..Bounds::default() });
    let mut first = daemon.plain();
    writeln!(first, "{}", asked("doctor")).unwrap();
    let mut lines = BufReader::new(first).lines().map(Result::unwrap);
    assert_eq!([lines.next().unwrap(), lines.next().unwrap()], ["\"ready\"", "\"working\""]);
    let busy = daemon.call(Request::Status(Empty {})).unwrap_err();
    assert!(busy.what.contains("nothing was done"), "{busy}");
    assert!(busy.hint.unwrap().contains("commands_max"));
    let stop = daemon.call(Request::Stop(Empty {})).unwrap_err();
    assert_eq!(stop, Failure::denied("stop"), "the fake's answer: it was taken up all the same");
    drop(lines);
    daemon.fake.interrupted.wait();
    while daemon.call(Request::Status(Empty {})).is_err() {
        thread::yield_now();
    }
}

/// Those who ask nothing, and those who ask by half, are many more than may be connected.
#[test]
fn clients_that_ask_nothing_are_dropped_and_hinder_nobody() {
    let request_wait = Duration::from_millis(200);
    let daemon = Daemon::start(Bounds { asking_max: 10, request_wait, ..Bounds::default() });
    let silent: Vec<Plain> = (0..20).map(|_| daemon.plain()).collect();
    let half: Vec<Plain> = (0..20)
        .map(|_| {
            let mut half = daemon.plain();
            half.write_all(b"{\"version\":").unwrap();
            half
        })
        .collect();
    assert!(daemon.call(Request::Status(Empty {})).is_ok());
    for dropped in silent.into_iter().chain(half) {
        assert_eq!(rest_of(dropped), "\"ready\"\n");
    }
    assert_eq!(daemon.fake.calls.load(Ordering::SeqCst), 1);
}

#[test]
fn other_users_are_turned_away_and_take_no_place_of_the_owners() {
    let bounds = Bounds { asking_max: 1, ..Bounds::default() };
    let daemon = Daemon::of(own_uid() + 1, bounds);
    let strangers: Vec<Plain> = (0..STRANGERS_MAX).map(|_| daemon.plain()).collect();
    for stranger in &strangers {
        let mut answer = String::new();
        BufReader::new(stranger).read_line(&mut answer).unwrap();
        assert!(answer.contains("another user"), "{answer}");
    }
    // They are still connected: who comes now is not heard.
    assert_eq!(rest_of(daemon.plain()), "");
    drop(strangers);
    while !rest_of(daemon.plain()).contains("another user") {
        thread::yield_now();
    }
    assert_eq!(daemon.fake.calls.load(Ordering::SeqCst), 0);
}

#[test]
fn an_idle_client_does_not_keep_the_server_from_closing() {
    let hour = Duration::from_secs(3_600);
    let bounds = Bounds { request_wait: hour, stop_wait: hour, ..Bounds::default() };
    let mut daemon = Daemon::start(bounds);
    let mut idle = BufReader::new(daemon.plain());
    let mut told = String::new();
    idle.read_line(&mut told).unwrap();
    assert_eq!(told, "\"ready\"\n");
    daemon.stop();
    assert_eq!(rest_of(idle.into_inner()), "");
}

#[test]
fn a_client_that_takes_no_answer_is_dropped() {
    let bounds = Bounds { reply_wait: Duration::from_millis(20), ..Bounds::default() };
    let mut daemon = Daemon::start(bounds);
    let mut stream = daemon.plain();
    let line =
        json!({ "version": PROTOCOL_VERSION, "request": search("q".repeat(900_000).as_str()) });
    writeln!(stream, "{line}").unwrap();
    // The answer does not fit the socket's buffer and nobody reads it: only the bound ends this.
    daemon.stop();
}

#[test]
fn the_socket_of_a_killed_daemon_is_replaced_and_other_files_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path()).unwrap();
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let path = home.socket().unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let refused = client::call(&home, Request::Status(Empty {}), &mut |_| {}).unwrap_err();
    assert_eq!(refused.kind, Kind::Unreachable);
    let lock = home.lock().unwrap();
    drop(Listener::bind(&home, &lock).unwrap());
    fs::write(&path, "mine").unwrap();
    assert!(Listener::bind(&home, &lock).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn every_request_reads_back_under_its_verb() {
    let request = search("plate:AB12");
    let line = serde_json::to_value(&request).unwrap();
    assert_eq!(line.as_object().unwrap().keys().collect::<Vec<_>>(), [request.verb()]);
    assert_eq!(serde_json::from_value::<Request>(line).unwrap(), request);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_line_makes_the_parser_panic(line: Vec<u8>) {
        let _ = parse(&line);
    }

    #[test]
    fn no_json_is_taken_for_a_request_by_chance(
        verb in "[a-z.]{1,20}",
        key in "[a-z_]{1,10}",
        value in any::<i64>(),
    ) {
        let line = json!({ "version": PROTOCOL_VERSION, "request": { verb: { key: value } } }).to_string();
        prop_assert_eq!(parse(line.as_bytes()).unwrap_err().kind, Kind::Usage);
    }
}
