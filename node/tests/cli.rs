//! The command line through the real program: documents, exit codes, and a daemon's life.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "cli/rotten.rs"]
mod rotten;

use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tearline");

fn tearline(home: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .env_remove("TEARLINE_LOG")
        .env_remove("TEARLINE_PASSPHRASE_FILE")
        .env_remove("TEARLINE_KEY_FILE")
        .env("TEARLINE_HOME", home)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The one document on stdout.
fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stdout(output)))
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn initialised() -> TempDir {
    let folder = folder();
    let output = tearline(folder.path(), &["init", "--unit", "KILO"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    folder
}

/// A daemon; killed when dropped.
struct Daemon(Child);

impl Daemon {
    fn start(home: &Path) -> Self {
        Self::start_with(home, &[])
    }

    fn start_with(home: &Path, environment: &[(&str, &Path)]) -> Self {
        let log = File::create(home.join("log")).unwrap();
        let child = Command::new(PROGRAM)
            .args(["--home".as_ref(), home.as_os_str(), "run".as_ref()])
            .arg("--until-stdin-ends")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut daemon = Self(child);
        let begun = Instant::now();
        while code(&tearline(home, &["status"])) == 6 {
            assert!(daemon.0.try_wait().unwrap().is_none(), "the daemon ended");
            assert!(begun.elapsed().as_secs() < 60, "the daemon does not answer");
            thread::yield_now();
        }
        daemon
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn init_makes_a_home_once() {
    let folder = folder();
    let home = folder.path().join("a/home");
    let arguments = ["init", "--agency", "Garde (exercise)", "--country", "ne"];
    let made = tearline(&home, &arguments);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    assert!(stderr(&made).contains("offline"));
    assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
    let key = fs::read(home.join("device.key")).unwrap();

    let again = tearline(&home, &arguments);
    assert_eq!(code(&again), 1);
    assert!(stderr(&again).starts_with("error: ") && stderr(&again).contains("\nhint: "));
    assert!(again.stdout.is_empty());
    assert_eq!(fs::read(home.join("device.key")).unwrap(), key);

    let id = document(&tearline(&home, &["id", "--json"]));
    assert_eq!(id["schema"], "tearline.id/1");
    assert_eq!(id["data"]["device"].as_str().unwrap().len(), 64);
    assert_eq!(id["data"]["agency"]["country"], "NE");
    let people = tearline(&home, &["id"]);
    assert!(stdout(&people).contains(id["data"]["device"].as_str().unwrap()));
}

#[test]
fn what_makes_no_sense_is_a_usage_failure_in_either_form() {
    let folder = folder();
    for arguments in [
        &["init"][..],
        &["init", "--agency", "A"],
        &["init", "--agency", "A", "--country", "NE", "--unit", "U"],
        &["init", "--agency", "A", "--country", "NER"],
        &["launch"],
        &["status", "--nonsense"],
        &["record", "edit", "ab"],
        &["record", "new", "--kind", "vehicle", "--set", "plate"],
        &["record", "new", "--kind", "vehicle", "--rel", "NE", "--compartment", "c"],
        &["record", "new", "--kind", "vehicle", "--class", "authority"],
        &["record", "new", "--kind", "vehicel"],
        &["search"],
        &["peer", "invite", "--expires", "soon"],
        &["grant", "revoke", "KILO", "--since", "-1h"],
        &["device", "enrol", "KILO", "--quota", "-1MiB"],
        &["demo", "--port", "80"],
        &[],
    ] {
        let people = tearline(folder.path(), arguments);
        assert_eq!(code(&people), 2, "{arguments:?}");
        assert!(people.stdout.is_empty() && !people.stderr.is_empty(), "{arguments:?}");
        let json = tearline(folder.path(), &[arguments, &["--json"]].concat());
        assert_eq!(code(&json), 2, "{arguments:?}");
        let document = document(&json);
        assert_eq!(document["schema"], "tearline.error/1");
        assert_eq!(document["error"]["kind"], "usage");
        assert!(!document["error"]["what"].as_str().unwrap().contains('\n'));
    }
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn what_makes_no_sense_is_named_and_what_would_is_said() {
    let folder = folder();
    let since = tearline(folder.path(), &["device", "lost", "KILO", "--since", "-1h"]);
    let said = stderr(&since);
    assert!(said.contains("'-1h'") && said.contains("as in 24h; or a time"), "{said}");
    let draft = folder.path().join("draft");
    fs::write(&draft, b"tearline\xff").unwrap();
    let draft = draft.display().to_string();
    let no_text = tearline(folder.path(), &["root", "sign", &draft]);
    let said = stderr(&no_text);
    assert!(code(&no_text) == 2 && said.contains("byte 8 is not UTF-8"), "{said}");
}

#[test]
fn help_and_version_go_to_stdout() {
    let folder = folder();
    for arguments in [&["--help"][..], &["record", "new", "--help"], &["--version"]] {
        let output = tearline(folder.path(), arguments);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("tearline"), "{arguments:?}");
    }
}

#[test]
fn without_a_daemon_the_answer_says_how_to_start_one() {
    let home = initialised();
    for arguments in [
        &["status"][..],
        &["record", "show", "abcd"],
        &["search", "x"],
        &["peer", "list"],
        &["compartment", "open", "--name", "c", "--rel", "NE"],
    ] {
        let output = tearline(home.path(), arguments);
        assert_eq!(code(&output), 6, "{arguments:?}");
        let start = format!("start it with: tearline --home {} run", home.path().display());
        let people = Command::new(PROGRAM)
            .args(arguments)
            .arg("--home")
            .arg(home.path())
            .env_remove("TEARLINE_HOME")
            .output()
            .unwrap();
        assert!(stderr(&people).contains(&start), "{}", stderr(&people));
    }
    let json = document(&tearline(home.path(), &["status", "--json"]));
    assert_eq!(json["error"]["kind"], "unreachable");
    let nowhere = tearline(&home.path().join("none"), &["status"]);
    assert_eq!(code(&nowhere), 6);
    assert!(stderr(&nowhere).contains("init"));
}

#[test]
fn a_daemon_answers_is_alone_and_is_replaced_when_it_was_killed() {
    let home = initialised();
    let daemon = Daemon::start(home.path());
    let status = document(&tearline(home.path(), &["status", "--json"]));
    assert_eq!(status["schema"], "tearline.status/1");
    let pid = status["data"]["pid"].as_u64().unwrap();
    assert_eq!(pid, u64::from(daemon.0.id()));

    let second = tearline(home.path(), &["run"]);
    assert_eq!(code(&second), 1);
    assert!(stderr(&second).contains(&format!("already running for this home, pid {pid}")));

    daemon.kill();
    assert!(home.path().join("control.sock").exists(), "a killed daemon leaves its socket");
    assert_eq!(code(&tearline(home.path(), &["status"])), 6);
    drop(Daemon::start(home.path()));
}

#[test]
fn a_daemon_ends_in_order_when_its_stdin_does() {
    let home = initialised();
    let mut daemon = Daemon::start(home.path());
    drop(daemon.0.stdin.take());
    assert_eq!(daemon.0.wait().unwrap().code(), Some(0));
    assert!(!home.path().join("control.sock").exists());
    let mut log = String::new();
    File::open(home.path().join("log")).unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("ready") && log.contains("stopped"), "{log}");
}

/// The processes of an exercise that plays in a folder: the exercise, then its daemons.
struct Exercise {
    main: Child,
    daemons: Vec<u32>,
    folder: TempDir,
}

impl Exercise {
    /// Plays until the first daemon is up, or until it has ended by itself.
    fn start() -> Self {
        let folder = folder();
        let mut main = Command::new(PROGRAM)
            .args(["demo", "--check", "--json"])
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut daemons = Vec::new();
        while daemons.is_empty() && main.try_wait().unwrap().is_none() {
            let stages = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
            let locks = stages.map(|stage| stage.join("NE/run.lock"));
            let texts = locks.filter_map(|lock| fs::read_to_string(lock).ok());
            daemons.extend(texts.filter_map(|text| text.lines().next()?.parse::<u32>().ok()));
            // The exercise itself holds the lock while it makes the home.
            daemons.retain(|pid| *pid != main.id());
            thread::yield_now();
        }
        Self { main, daemons, folder }
    }

    /// Waits until no daemon is left. A test that hangs here has found orphans.
    fn await_daemons_end(&self) {
        for pid in &self.daemons {
            let alive = || fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            while alive().contains(self.folder.path().to_str().unwrap()) {
                thread::yield_now();
            }
        }
    }
}

#[test]
fn an_interrupted_exercise_leaves_nothing_behind() {
    let mut exercise = Exercise::start();
    let pid = exercise.main.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let code = exercise.main.wait().unwrap().code();
    assert_eq!(code, Some(1));
    exercise.await_daemons_end();
    assert!(fs::read_dir(exercise.folder.path()).unwrap().next().is_none());
}

#[test]
fn the_daemons_of_a_killed_exercise_end_too() {
    let mut exercise = Exercise::start();
    exercise.main.kill().unwrap();
    exercise.main.wait().unwrap();
    exercise.await_daemons_end();
}

#[test]
fn a_home_with_a_long_path_has_a_daemon_too() {
    let folder = folder();
    let home = folder.path().join("h".repeat(120));
    assert_eq!(code(&tearline(&home, &["init", "--unit", "KILO"])), 0);
    drop(Daemon::start(&home));
}

#[test]
fn doctor_says_what_is_wrong_and_how_to_right_it() {
    let home = initialised();
    let well = tearline(home.path(), &["doctor", "--json"]);
    assert_eq!(code(&well), 0);
    let checks = document(&well)["data"]["checks"].clone();
    let daemon = checks.as_array().unwrap().iter().find(|check| check["name"] == "daemon").unwrap();
    assert_eq!(daemon["status"], "warn");
    fs::set_permissions(home.path().join("device.key"), Permissions::from_mode(0o644)).unwrap();
    let exposed = tearline(home.path(), &["doctor"]);
    assert_eq!(code(&exposed), 1);
    assert!(stderr(&exposed).contains("chmod 600"), "{}", stderr(&exposed));
}

#[test]
fn a_damaged_key_is_an_integrity_failure() {
    let home = initialised();
    let path = home.path().join("device.key");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    for arguments in [&["id"][..], &["run"]] {
        assert_eq!(code(&tearline(home.path(), arguments)), 9, "{arguments:?}");
    }
}

/// A file with a passphrase, for its owner alone.
fn passphrase_file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn a_sealed_home_opens_with_its_passphrase_alone() {
    let files = folder();
    let right = passphrase_file(&files, "right", "correct horse battery\n");
    let wrong = passphrase_file(&files, "wrong", "correct horse batter\n");
    let (right, wrong) = (right.to_str().unwrap(), wrong.to_str().unwrap());
    let home = files.path().join("home");
    let home = home.as_path();
    let init = ["init", "--agency", "A", "--country", "NE", "--passphrase-file", right];
    let made = tearline(home, &init);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    assert!(stdout(&made).contains("Argon2id, 64 MiB, 3 passes"), "{}", stdout(&made));
    let keys = || ["device.key", "agency.key"].map(|name| fs::read(home.join(name)).unwrap());
    let before = keys();

    for arguments in [&["id"][..], &["run"], &["doctor"], &["doctor", "--rebuild"]] {
        let refused = tearline(home, &[arguments, &["--passphrase-file", wrong]].concat());
        assert_eq!(code(&refused), 5, "{arguments:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains("device.key: the passphrase is not the one"));
    }
    for arguments in [&["id"][..], &["run"], &["doctor", "--rebuild"], &["keys", "protect"]] {
        let refused = tearline(home, &[arguments, &["--no-input"]].concat());
        assert_eq!(code(&refused), 2, "{arguments:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains("--passphrase-file PATH"), "{}", stderr(&refused));
    }
    assert_eq!(keys(), before, "nothing was changed");
    let shown = document(&tearline(home, &["keys", "show", "--json"]));
    assert_eq!(shown["data"]["device"], "passphrase");
    assert_eq!(shown["data"]["agency"], "passphrase");
    let doctor = tearline(home, &["doctor", "--no-input"]);
    assert_eq!(code(&doctor), 0, "what cannot be looked into is no fault: {}", stdout(&doctor));

    let daemon = Daemon::start_with(home, &[("TEARLINE_PASSPHRASE_FILE", Path::new(right))]);
    assert_eq!(code(&tearline(home, &["status"])), 0);
    drop(daemon);
    assert_eq!(code(&tearline(home, &["doctor", "--rebuild", "--passphrase-file", right])), 0);
    assert_eq!(keys(), before, "a whole store is not rebuilt");
    assert_eq!(code(&tearline(home, &["doctor", "--new-life", "--passphrase-file", right])), 0);
    assert_ne!(keys()[0], before[0]);
}

#[test]
fn a_whole_store_is_not_rebuilt_and_one_of_another_key_is_refused() {
    let (home, other) = (initialised(), initialised());
    drop(Daemon::start(home.path()));
    let life =
        || document(&tearline(home.path(), &["id", "--json"]))["data"]["incarnation"].clone();
    let key = |home: &TempDir| fs::read(home.path().join("device.key")).unwrap();
    let (own, before) = (key(&home), life());
    let rebuilt = document(&tearline(home.path(), &["doctor", "--rebuild", "--json"]));
    assert_eq!(rebuilt["data"], serde_json::json!({ "rebuilt": false, "old_store": null }));
    assert!(home.path().join("store").exists());
    assert_eq!(life(), before);

    fs::write(home.path().join("device.key"), key(&other)).unwrap();
    for arguments in [&["run"][..], &["doctor", "--rebuild", "--yes"]] {
        let refused = tearline(home.path(), arguments);
        assert_eq!(code(&refused), 5, "{arguments:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains("put the device.key back"), "{}", stderr(&refused));
    }
    assert_eq!(code(&tearline(home.path(), &["doctor"])), 1);
    assert!(home.path().join("store").exists());
    fs::write(home.path().join("device.key"), own).unwrap();
    drop(Daemon::start(home.path()));

    // Where there is nothing to lose nobody is asked.
    fs::remove_dir_all(home.path().join("store")).unwrap();
    assert_eq!(code(&tearline(home.path(), &["doctor", "--rebuild", "--no-input"])), 0);
    assert_ne!(life(), before, "its peers may hold more of its logs than it does");
    drop(Daemon::start(home.path()));
}

/// Every file that a command reads, in turn a pipe that nobody writes to, a device that never ends, and
/// longer than any of them is. A test that hangs here has found one that is read all the same.
#[test]
fn what_is_no_file_or_too_long_ends_a_command() {
    let home = initialised();
    let files = folder();
    let path = |name: &str| files.path().join(name).display().to_string();
    let inside = |name: &str| home.path().join(name).display().to_string();
    drop(Daemon::start(home.path()));
    let named = path("named");
    let cases: [(String, &[&str]); 13] = [
        (inside("config.toml"), &["config", "show"]),
        (inside("config.toml"), &["run"]),
        (inside("device.key"), &["id"]),
        (inside("device.key"), &["doctor", "--rebuild"]),
        (inside("agency.key"), &["id"]),
        (inside("store/values"), &["doctor", "--rebuild"]),
        (inside("store/index/db"), &["run"]),
        (inside("store/lock"), &["run"]),
        (named.clone(), &["keys", "protect", "--new-passphrase-file", &named]),
        (named.clone(), &["keys", "protect", "--new-key-file", &named]),
        (named.clone(), &["root", "join", &named]),
        (named.clone(), &["root", "sign", &named]),
        (named.clone(), &["backup", "inspect", &named]),
    ];
    for (file, arguments) in cases {
        let place = Path::new(&file);
        let aside = files.path().join("aside");
        let held = fs::rename(place, &aside).is_ok();
        for what in ["pipe", "device", "long"] {
            match what {
                "pipe" => assert!(Command::new("mkfifo").arg(place).status().unwrap().success()),
                "device" => std::os::unix::fs::symlink("/dev/zero", place).unwrap(),
                _ => File::create(place).unwrap().set_len(1 << 33).unwrap(),
            }
            if what != "device" {
                fs::set_permissions(place, Permissions::from_mode(0o600)).unwrap();
            }
            // A sparse file of the store's own is a damaged one, and takes its time.
            if what != "long" || !file.contains("store/") {
                let refused = tearline(home.path(), arguments);
                let said = stderr(&refused);
                assert!(code(&refused) > 0, "{what} {file} {arguments:?}");
                let why =
                    ["regular file", "open to other users"].iter().any(|why| said.contains(why));
                assert!(why || what == "long", "{file}: {said}");
            }
            fs::remove_file(place).unwrap();
        }
        if held {
            fs::rename(&aside, place).unwrap();
        }
    }
    drop(Daemon::start(home.path()));
}

/// What a machine without a battery shows, or one whose clock was set wrong.
#[test]
fn a_clock_before_1970_is_an_answer() {
    let home = initialised();
    let at = |time: &str, arguments: &[&str]| {
        let command = Command::new("faketime")
            .args(["-f", time, PROGRAM])
            .args(arguments)
            .env("TEARLINE_HOME", home.path())
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .output();
        command.ok()
    };
    let Some(well) = at("@2024-01-01 00:00:00", &["doctor"]) else {
        eprintln!("SKIPPED: there is no faketime");
        return;
    };
    assert_eq!(code(&well), 0, "{}", stderr(&well));
    drop(Daemon::start(home.path()));
    let files = folder();
    let path = |name: &str| files.path().join(name).display().to_string();
    let (file, key) = (path("file"), path("key"));
    let backup = ["backup", "create", &file, "--new-key-file", &key];
    for arguments in [&["run"][..], &["doctor", "--rebuild"], &backup] {
        let refused = at("@1960-01-01 00:00:00", arguments).unwrap();
        assert_eq!(code(&refused), 1, "{arguments:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains("before 1970"), "{}", stderr(&refused));
    }
}

#[test]
fn the_keys_of_a_home_are_sealed_and_sealed_anew() {
    let files = folder();
    let passphrase = passphrase_file(&files, "passphrase", "correct horse battery");
    let short = passphrase_file(&files, "short", "short");
    let passphrase = passphrase.to_str().unwrap();
    let stick = files.path().join("stick");
    let stick = stick.to_str().unwrap();
    let home = initialised();
    let id = document(&tearline(home.path(), &["id", "--json"]));
    assert_eq!(id["data"]["keys"], "clear");
    let refused =
        tearline(home.path(), &["keys", "protect", "--passphrase-file", short.to_str().unwrap()]);
    assert_eq!(code(&refused), 2, "too short: {}", stderr(&refused));

    for (arguments, after, opens) in [
        (
            &["--passphrase-file", passphrase][..],
            "passphrase",
            &["--passphrase-file", passphrase][..],
        ),
        (
            &["--passphrase-file", passphrase, "--new-key-file", stick],
            "key-file",
            &["--key-file", stick],
        ),
        (&["--key-file", stick, "--in-clear"], "clear", &[]),
    ] {
        let done = tearline(home.path(), &[&["keys", "protect", "--json"], arguments].concat());
        assert_eq!(code(&done), 0, "{}", stdout(&done));
        assert_eq!(document(&done)["data"]["device"], after);
        let again = document(&tearline(home.path(), &[&["id", "--json"], opens].concat()));
        assert_eq!(again["data"]["device"], id["data"]["device"], "{after}");
    }
    assert_eq!(fs::metadata(stick).unwrap().permissions().mode() & 0o777, 0o600);
    let daemon = Daemon::start(home.path());
    let busy = tearline(home.path(), &["keys", "protect", "--passphrase-file", passphrase]);
    assert_eq!(code(&busy), 1);
    assert!(stderr(&busy).contains("already running"));
    drop(daemon);
}

#[test]
fn a_daemon_leaves_no_core_dump() {
    let home = initialised();
    let daemon = Daemon::start(home.path());
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.0.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let words: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(words, ["Max", "core", "file", "size", "0", "0", "bytes"]);
}

#[test]
fn a_lost_root_is_rebuilt_from_shares() {
    let files = folder();
    let home = files.path().join("home");
    let home = home.as_path();
    assert_eq!(code(&tearline(home, &["init", "--agency", "A", "--country", "NE"])), 0);
    let root = |home| document(&tearline(home, &["id", "--json"]))["data"]["root"].clone();
    let before = root(home);
    let out = files.path().join("shares");
    let split = ["root", "split", "--threshold", "2", "--shares", "3", "--out"];
    let split = [&split[..], &[out.to_str().unwrap()]].concat();
    assert_eq!(code(&tearline(home, &split)), 0);
    assert_eq!(code(&tearline(home, &split)), 1, "nothing is overwritten");
    let share = |n: u8| out.join(format!("share-{n}.txt")).display().to_string();
    assert_eq!(fs::metadata(share(3)).unwrap().permissions().mode() & 0o777, 0o600);
    let join = |files: &[&str]| tearline(home, &[&["root", "join"], files].concat());
    let there = join(&[&share(1), &share(3)]);
    assert_eq!(code(&there), 1, "the root is there: {}", stderr(&there));

    fs::remove_file(home.join("agency.key")).unwrap();
    assert_eq!(root(home), Value::Null);
    assert_eq!(code(&join(&[&share(1)])), 7);
    let twice = join(&[&share(1), &share(1)]);
    assert_eq!(code(&twice), 2);
    assert!(stderr(&twice).contains("are the same share, number 1"), "{}", stderr(&twice));
    let text = fs::read_to_string(share(2)).unwrap();
    let wrong = files.path().join("wrong");
    let line = text.lines().find(|line| line.starts_with("3: ")).unwrap();
    let other = if line.ends_with('7') { '8' } else { '7' };
    fs::write(&wrong, text.replace(line, &format!("{}{other}", &line[..line.len() - 1]))).unwrap();
    let mistyped = join(&[&share(1), wrong.to_str().unwrap()]);
    assert_eq!(code(&mistyped), 9);
    assert!(stderr(&mistyped).contains("line 3 does not fit"), "{}", stderr(&mistyped));
    assert_eq!(root(home), Value::Null, "nothing was written");
    assert_eq!(code(&join(&[&share(1), &share(3)])), 0);
    assert_eq!(root(home), before);
}

#[test]
fn a_backup_needs_something_to_be_sealed_under_and_a_home_at_rest() {
    let home = initialised();
    let files = folder();
    let path = |name: &str| files.path().join(name).display().to_string();
    let (file, key) = (path("backup"), path("key"));
    let bare = tearline(home.path(), &["backup", "create", &file, "--no-input"]);
    assert_eq!(code(&bare), 2, "{}", stderr(&bare));
    let create = ["backup", "create", &file, "--new-key-file", &key, "--json"];
    let daemon = Daemon::start(home.path());
    let busy = tearline(home.path(), &create);
    assert_eq!(code(&busy), 1);
    assert!(document(&busy)["error"]["what"].as_str().unwrap().contains("already running"));
    drop(daemon);
    let made = tearline(home.path(), &create);
    assert_eq!(code(&made), 0, "{}", stdout(&made));
    assert_eq!(document(&made)["schema"], "tearline.backup.create/1");
    assert_eq!(code(&tearline(home.path(), &create)), 1, "nothing is overwritten");
    let inspect = ["backup", "inspect", &file, "--key-file", &key, "--json"];
    let seen = document(&tearline(home.path(), &inspect));
    assert_eq!(seen["data"]["device"], document(&made)["data"]["device"]);
    let new = files.path().join("new");
    let restore = ["backup", "restore", &file, "--key-file", &key, "--json"];
    let restored = document(&tearline(&new, &restore));
    assert_eq!(restored["data"]["keys"], "sealed under a key file");
    assert_eq!(code(&tearline(&new, &restore)), 1, "a home that is one");
    let id = document(&tearline(&new, &["id", "--key-file", &key, "--json"]));
    assert_eq!(id["data"]["incarnation"], restored["data"]["new_life"]);
    assert_ne!(id["data"]["incarnation"], restored["data"]["incarnation"]);
}

/// A restore is killed as soon as each of the things is there that it makes, and said again.
#[test]
fn a_restore_that_was_killed_is_said_again() {
    let files = folder();
    let path = |name: &str| files.path().join(name).display().to_string();
    let home = files.path().join("home");
    assert_eq!(code(&tearline(&home, &["init", "--agency", "A", "--country", "NE"])), 0);
    drop(Daemon::start(&home));
    let (file, key) = (path("backup"), path("key"));
    let made = tearline(&home, &["backup", "create", &file, "--new-key-file", &key]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let restore = ["backup", "restore", &file, "--key-file", &key, "--in-clear"];
    let mut broke_off = 0;
    let made = ["store/restoring", "store/values", "store/index", "agency.key", "device.key"];
    for (n, made) in made.into_iter().enumerate() {
        let new = files.path().join(n.to_string());
        let mut child = Command::new(PROGRAM)
            .env("TEARLINE_HOME", &new)
            .args(restore)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !new.join(made).exists() && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if !new.join("device.key").exists() {
            broke_off += 1;
            let early = tearline(&new, &["run"]);
            assert_eq!(code(&early), 1, "{}", stderr(&early));
            assert!(stderr(&early).contains("broke off"), "{}", stderr(&early));
            let init = tearline(&new, &["init", "--unit", "KILO"]);
            assert_eq!(code(&init), 1, "{}", stderr(&init));
            let again = tearline(&new, &restore);
            assert_eq!(code(&again), 0, "killed at {made}: {}", stderr(&again));
        }
        drop(Daemon::start(&new));
        assert!(!new.join("store/restoring").exists());
        assert_eq!(code(&tearline(&new, &["doctor"])), 0);
    }
    assert!(broke_off > 0, "no restore was caught in the middle");
}

#[test]
fn settings_are_shown_changed_and_checked() {
    let home = initialised();
    let get = |key: &str| stdout(&tearline(home.path(), &["config", "get", key]));
    assert_eq!(get("name"), "KILO\n");
    assert_eq!(get("limits.peers_max"), "128\n");
    let set = tearline(home.path(), &["config", "set", "limits.peers_max", "7"]);
    assert_eq!(code(&set), 0, "{}", stderr(&set));
    assert_eq!(get("limits.peers_max"), "7\n");
    assert_eq!(code(&tearline(home.path(), &["config", "set", "limits.peers_max", "0"])), 2);
    let typo = tearline(home.path(), &["config", "set", "lissten", "/ip4/1.2.3.4/tcp/1"]);
    assert_eq!(code(&typo), 2);
    assert!(stderr(&typo).contains("did you mean `listen`?"));
    assert_eq!(get("limits.peers_max"), "7\n");
    let shown = document(&tearline(home.path(), &["config", "show", "--json"]));
    assert_eq!(shown["data"]["limits"]["peers_max"], 7);
    let path = stdout(&tearline(home.path(), &["config", "path"]));
    assert_eq!(path, format!("{}\n", home.path().join("config.toml").display()));
    fs::write(home.path().join("config.toml"), "nmae = 1\n").unwrap();
    let wrong = tearline(home.path(), &["run"]);
    assert_eq!(code(&wrong), 1);
    assert!(stderr(&wrong).contains("line 1") && stderr(&wrong).contains("`name`"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_and_a_full_disk_is() {
    let home = initialised();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = |stdout: Stdio| {
        let command = Command::new(PROGRAM)
            .args(["--home".as_ref(), home.path().as_os_str(), "config".as_ref(), "show".as_ref()])
            .stdout(stdout)
            .output();
        command.unwrap()
    };
    let closed = run(writer.into());
    assert_eq!((code(&closed), stderr(&closed).as_str()), (0, ""));
    let full = run(File::options().write(true).open("/dev/full").unwrap().into());
    assert_eq!(code(&full), 1);
    assert!(stderr(&full).contains("cannot write to stdout"));
}

#[test]
fn a_name_that_the_settings_contradict_is_refused_and_nothing_is_made() {
    let folder = folder();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    fs::write(folder.path().join("config.toml"), "name = \"KILO\"\n").unwrap();
    let refused = tearline(folder.path(), &["init", "--unit", "LIMA"]);
    assert_eq!(code(&refused), 2, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("KILO") && stderr(&refused).contains("LIMA"));
    assert!(!folder.path().join("device.key").exists());
    let made = tearline(folder.path(), &["init", "--unit", "KILO"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
}

#[test]
fn a_country_that_there_is_not_is_refused() {
    let folder = folder();
    let arguments = ["init", "--agency", "Guard", "--country", "uk"];
    let refused = tearline(&folder.path().join("home"), &arguments);
    assert_eq!(code(&refused), 2, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("ISO 3166-1"), "{}", stderr(&refused));
}

/// The manual's table of exit codes, `--help`'s list and the program's own are one.
#[test]
fn exit_codes_are_those_of_the_manual() {
    let manual = include_str!("../../docs/operating.md");
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let mut listed: Vec<u8> = rows.filter_map(|cell| cell.parse().ok()).collect();
    let mut own = vec![0];
    own.extend(tearline_node::failure::Kind::ALL.map(tearline_node::failure::Kind::exit_code));
    assert_eq!(listed, own);
    let folder = folder();
    let help = stdout(&tearline(folder.path(), &["--help"]));
    let (_, codes) = help.split_once("Exit codes: ").unwrap();
    let codes = codes.replace('\n', " ");
    listed.retain(|code| !codes.split(' ').any(|word| word == code.to_string()));
    assert!(listed.is_empty(), "{listed:?} are not in {codes}");
}

/// Each command that needs a daemon says the same without one; none is taken for another failure.
#[test]
fn without_a_daemon_all_commands_end_alike() {
    let folder = initialised();
    let id = "4be1a09c";
    for line in [
        "status",
        "peer list",
        "peer invite",
        "coalition show",
        "coalition proposals",
        "compartment list",
        "compartment show all",
        "grant list",
        "device list",
        "inbox",
        "pass list",
        "record list",
        "record show ID",
        "record history ID",
        "record erase ID --basis x",
        "search pickup",
        "why ID",
        "export --format csv",
    ] {
        let line = line.replace("ID", id);
        let arguments: Vec<&str> = line.split(' ').collect();
        let output = tearline(folder.path(), &arguments);
        assert_eq!(code(&output), 6, "{line}: {}", stderr(&output));
        let unknown = tearline(folder.path(), &[&arguments[..], &["--no-such-flag"]].concat());
        assert_eq!(code(&unknown), 2, "{line}");
    }
}
