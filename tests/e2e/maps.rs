//! Cursor on Target, by the shipped program: what goes out to a map, and what comes from one.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::{Value, json};
use tearline_tests::daemon::{Daemon, program};

use crate::gateway::push::certificate;
use crate::trust::{done, until};

const USAGE: i32 = 2;

fn agency(folder: &Path, name: &str) -> io::Result<Daemon> {
    let mut daemon = Daemon::init(folder, name, "NE")?;
    daemon.start()?;
    daemon.ask("coalition.create", &json!({ "name": "Drill" }))?;
    Ok(daemon)
}

#[test]
fn a_map_is_sent_what_may_go_out_and_no_closer_than_its_grid() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = agency(folder.path(), "Border Guard")?;
    for (name, label) in [("Near", "TLP:GREEN"), ("Secret", "TLP:AMBER")] {
        let place = ["--set", "latitude=13.12345", "--set", "longitude=14.54321"];
        let name = format!("name={name}");
        let new = ["record", "new", "--kind", "location", "--label", label, "--set", &name];
        done(daemon.command(&[&new[..], &place].concat())?);
    }
    done(daemon.command(&[
        "record",
        "new",
        "--kind",
        "person",
        "--set",
        "name=X",
        "--label",
        "TLP:GREEN",
    ])?);
    let map = TcpListener::bind("127.0.0.1:0")?;
    let to = format!("tcp://{}", map.local_addr()?);
    let taken = thread::spawn(move || {
        let mut events = String::new();
        map.accept()?.0.read_to_string(&mut events).map(|_| events)
    });
    let send = ["cot", "send", &to, "--compartment", "home", "--purpose", "Security"];
    let said = done(daemon.command(&send)?);
    assert_eq!((&said["sent"], &said["without_a_place"]), (&json!(1), &json!(1)), "{said}");
    let events = taken.join().map_err(|_| io::Error::other("panicked"))??;
    let document = roxmltree::Document::parse(&events).map_err(io::Error::other)?;
    let event = document.root_element();
    let of = |name: &str, attribute: &str| {
        let found = event.descendants().find(|node| node.has_tag_name(name));
        found.and_then(|node| node.attribute(attribute)).unwrap_or_default().to_owned()
    };
    assert_eq!((of("event", "version"), of("contact", "callsign")), ("2.0".into(), "Near".into()));
    let latitude: f64 = of("point", "lat").parse().map_err(io::Error::other)?;
    assert!((latitude - 13.12345).abs() > 1e-5 && (latitude - 13.12345).abs() < 0.01, "{events}");
    // In the clear to another machine only where that is said.
    let away =
        ["cot", "send", "udp://192.0.2.1:6969", "--compartment", "home", "--purpose", "Security"];
    assert_eq!(daemon.command(&away)?.code, USAGE);
    Ok(())
}

/// A command that listens until it is dropped.
struct Listening {
    child: Child,
    at: String,
}

impl Listening {
    fn begin(daemon: &Daemon, arguments: &[&str]) -> io::Result<Self> {
        let mut command = Command::new(program()?);
        command.arg("--home").arg(daemon.home()).args(["--json", "--no-input", "cot", "listen"]);
        let mut child =
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or(io::Error::other("no stdout"))?);
        let mut text = String::new();
        let told: Value = loop {
            if lines.read_line(&mut text)? == 0 {
                return Err(io::Error::other(format!("it ended: {text}")));
            }
            if let Ok(told) = serde_json::from_str(&text) {
                break told;
            }
        };
        // What it says later is nobody's to wait for.
        thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        Ok(Self { child, at: told["data"]["listening"].as_str().unwrap_or_default().to_owned() })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_a_map_sends_is_a_sighting_once_over_every_line() -> io::Result<()> {
    let (here, there) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (hears, sends) = (agency(here.path(), "Border Guard")?, agency(there.path(), "Customs")?);
    let place = ["--set", "latitude=13.12345", "--set", "longitude=14.54321", "--set", "name=Ford"];
    let new = ["record", "new", "--kind", "location", "--label", "TLP:GREEN"];
    let new = [&new[..], &place].concat();
    let shown = |path: &Path| path.display().to_string();
    let (own, key) = certificate(here.path(), "hears")?;
    let (theirs, their_key) = certificate(there.path(), "sends")?;
    let [own, key, theirs, their_key] = [own, key, theirs, their_key].map(|path| shown(&path));
    let into = ["--compartment", "home", "--every", "1s", "--label", "TLP:AMBER"];
    let out = ["--compartment", "home", "--purpose", "Security"];
    let sightings = || -> io::Result<Vec<Value>> {
        let found = done(hears.command(&["record", "list", "--kind", "sighting"])?);
        Ok(found["records"].as_array().cloned().unwrap_or_default())
    };
    for (n, (at, mine, yours)) in [
        ("tcp://127.0.0.1:0", &[][..], &[][..]),
        ("udp://127.0.0.1:0", &[], &[]),
        (
            "tls://127.0.0.1:0",
            &["--cert", &own, "--key", &key, "--ca", &theirs],
            &["--cert", &theirs, "--key", &their_key, "--ca", &own],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let listening = Listening::begin(&hears, &[&[at][..], &into, mine].concat())?;
        done(sends.command(&new)?);
        let send = [&["cot", "send", &listening.at][..], &out, yours].concat();
        assert_eq!(done(sends.command(&send)?)["sent"], n + 1, "{at}");
        // The same place at the same time is the same sighting, over whatever line it came.
        until(|| Ok(sightings()?.len() == n + 1))?;
        if n == 2 {
            // Without a certificate that is believed nobody is heard.
            let strange = [&["cot", "send", &listening.at][..], &out, &["--ca", &own]].concat();
            let _ = sends.command(&strange)?;
            let believed = [&["cot", "send", &listening.at][..], &out, &["--ca", &theirs]].concat();
            assert_ne!(sends.command(&believed)?.code, 0, "whose certificate is not believed");
        }
    }
    let all = sightings()?;
    assert!(all[0]["label"].to_string().contains("AMBER"), "{}", all[0]);
    // What came from a map does not go back to one.
    let map = TcpListener::bind("127.0.0.1:0")?;
    let to = format!("tcp://{}", map.local_addr()?);
    let back = ["cot", "send", &to, "--label-max", "RED"];
    assert_eq!(done(hears.command(&[&back[..], &out].concat())?)["sent"], 0);
    let away = ["cot", "listen", "tcp://0.0.0.0:0", "--compartment", "home"];
    assert_eq!(hears.command(&away)?.code, USAGE);
    Ok(())
}
