//! Daemons in network namespaces of their own, with a shaped line between them: `tests/run-netns` makes
//! the namespaces and names them here. Without them nothing is tested, and that is said.

use std::io;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tearline_tests::daemon::Daemon;

use crate::trust::{done, text, until};

const NETNS: &str = "TEARLINE_NETNS";
const NO_NETNS: &str = "no network namespaces here; as root, run tests/run-netns";

/// A daemon in each of two namespaces, which reach each other over the line only.
struct Apart {
    guard: Daemon,
    customs: Daemon,
    hosts: [String; 2],
    compartment: Value,
}

/// So many of `NAMESPACE=ADDRESS` that a variable names; `None`, loudly, where there are none.
pub(crate) fn places<const N: usize>(
    variable: &str,
    skipped: &str,
) -> Option<[(String, String); N]> {
    let said = std::env::var(variable).unwrap_or_default();
    let places: Vec<(String, String)> = said
        .split_whitespace()
        .filter_map(|place| place.split_once('='))
        .map(|(name, host)| (name.to_owned(), host.to_owned()))
        .collect();
    let places = places.try_into().ok();
    if places.is_none() {
        println!("SKIPPED: {skipped}");
    }
    places
}

impl Apart {
    fn start(folder: &Path, places: [(String, String); 2]) -> io::Result<Self> {
        let [guard, customs] = &places;
        let guard = daemon_in(folder, "Border Guard", "NE", guard)?;
        let customs = daemon_in(folder, "Customs", "TD", customs)?;
        guard.ask("coalition.create", &json!({ "name": "Drill" }))?;
        let invited = guard.ask("peer.invite", &json!({ "expires_s": 3600 }))?;
        customs.ask("join", &json!({ "invitation": invited["invitation"], "wait_s": 300 }))?;
        let opening = json!({ "name": "all", "rel": ["NE", "TD"] });
        let compartment = guard.ask("compartment.open", &opening)?["compartment"].clone();
        let shown = json!({ "compartment": "all" });
        until(|| Ok(customs.ask("compartment.show", &shown).is_ok()))?;
        let hosts = places.map(|(_, host)| host);
        Ok(Self { guard, customs, hosts, compartment })
    }

    fn write(&self, class: &str, plate: &str) -> io::Result<Value> {
        let draft = json!({
            "kind": "vehicle",
            "compartment": self.compartment,
            "class": class,
            "fields": { "plate": plate },
        });
        Ok(self.guard.ask("record.new", &draft)?["record"].clone())
    }

    fn comes(&self, record: &Value) -> io::Result<()> {
        until(|| Ok(self.customs.ask("record.show", &json!({ "record": record })).is_ok()))
    }

    /// By what the one is linked to the other.
    fn by(&self) -> io::Result<String> {
        let peers = self.customs.ask("peer.list", &json!({}))?;
        Ok(text(&peers["peers"][0]["by"]).to_owned())
    }
}

/// A daemon that runs in a namespace and listens at its address.
fn daemon_in(
    folder: &Path,
    name: &str,
    country: &str,
    (space, host): &(String, String),
) -> io::Result<Daemon> {
    let mut daemon = Daemon::init(folder, name, country)?;
    let listen = format!("[\"/ip4/{host}/udp/4101/quic-v1\", \"/ip4/{host}/tcp/4101\"]");
    done(daemon.command(&["config", "set", "listen", &listen])?);
    daemon.start_in(space)?;
    Ok(daemon)
}

#[test]
fn across_namespaces_records_come_over_quic() -> io::Result<()> {
    let Some(places) = places(NETNS, NO_NETNS) else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let apart = Apart::start(folder.path(), places)?;
    assert_eq!(apart.by()?, "quic");
    for n in 0..40 {
        apart.write("routine", &format!("QUIC-{n}"))?;
    }
    let begun = Instant::now();
    let flash = apart.write("flash", "FLASH")?;
    apart.comes(&flash)?;
    println!("a flash behind 40 records: {} ms", begun.elapsed().as_millis());
    let last = apart.write("routine", "LAST")?;
    apart.comes(&last)
}

#[test]
fn across_namespaces_a_thin_link_takes_over() -> io::Result<()> {
    let Some(places) = places(NETNS, NO_NETNS) else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let mut apart = Apart::start(folder.path(), places.clone())?;
    let id = |daemon: &Daemon| -> io::Result<String> {
        Ok(text(&daemon.ask("status", &json!({}))?["device"]).to_owned())
    };
    let thin = |host: &str, device: &str| json!({ "address": format!("udp://{host}:7300/{device}?bind=7300&rate=9600") });
    let (guard, customs) = (id(&apart.guard)?, id(&apart.customs)?);
    apart.guard.ask("peer.add", &thin(&apart.hosts[1], &customs))?;
    apart.customs.ask("peer.add", &thin(&apart.hosts[0], &guard))?;
    // Nobody listens where they were found before, and nowhere that the other could reach: the one way is left.
    let nowhere = "[\"/ip4/127.0.0.1/udp/0/quic-v1\"]";
    for (daemon, (space, _)) in [(&mut apart.guard, &places[0]), (&mut apart.customs, &places[1])] {
        daemon.stop()?;
        done(daemon.command(&["config", "set", "listen", nowhere])?);
        daemon.start_in(space)?;
    }
    until(|| Ok(apart.by()? == "udp"))?;
    let flash = apart.write("flash", "THIN")?;
    apart.comes(&flash)
}
