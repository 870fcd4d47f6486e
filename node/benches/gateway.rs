//! The gateway: a program posts objects with TAXII until they are durable, and another pages through a
//! collection of many. Both over loopback, one request after the other, as most clients work.
//!
//! The thread that was asked parses and builds what is posted and writes what is answered; the core's
//! thread does the rest. What a page costs must not depend on how deep in the collection it is.
//!
//! `cargo bench -p tearline-node --bench gateway`; `-- --json` prints one document.
//! `TEARLINE_BENCH_RECORDS` sets the number of objects in the collection (100,000). The reference server
//! beside ours, with the same client, is in `tests/conformance/run`.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/sightings.rs"]
mod sightings;
#[path = "support/table.rs"]
mod table;

use std::error::Error;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tearline_crdt::time::WallTime;
use tearline_node::control::pass::{PassMint, PassMinted};
use tearline_node::control::reply::{Coalition, Imported, Opened, Status};
use tearline_node::control::{self, CompartmentOpen, Empty, Request};

use daemon::Daemon;
use table::{Bound, Table, judged};

/// Objects a second that are asked for.
const POST_RATE_MIN: f64 = 3_000.0;
const PAGE_RATE_MIN: f64 = 10_000.0;
/// Times as long that a page at the end may take, to one at the beginning.
const DEPTH_RATIO_MAX: f64 = 1.5;
/// Objects of a request.
const POSTED: u64 = 10_000;
/// Requests of each kind; the median is shown.
const ROUNDS: usize = 5;
/// Objects of a page.
const PAGE: u64 = 1_000;
/// Objects in the collection, if nothing else is asked for.
const RECORDS: u64 = 100_000;

const MEDIA: &str = "application/taxii+json;version=2.1";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let records = sightings::count(RECORDS);
    let mut daemon = Daemon::init(folder.path(), "Bench", "NE")?;
    daemon.arguments = &["--api", "127.0.0.1:0"];
    daemon.start::<Status>(&Request::Status(Empty {}))?;
    let create = control::CoalitionCreate { name: "Bench".into(), ..Default::default() };
    daemon.ask::<Coalition>(Request::CoalitionCreate(create))?;
    let mut table = Table::new(format!("the gateway, {records} sightings in a collection"));
    let open = CompartmentOpen { name: "all".into(), rel: Vec::new() };
    let compartment = daemon.ask::<Opened>(Request::CompartmentOpen(open))?.compartment;
    let mut client = Client::new(&daemon, &compartment)?;
    post(&mut client, folder.path(), &mut table)?;
    fill(&daemon, compartment, folder.path(), records)?;
    // The gateway does not wait so long for the next request.
    client.connect()?;
    page(&mut client, records.max(POSTED * ROUNDS as u64), &mut table)?;
    let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    let memory = daemon.memory()?;
    table.note("daemon's resident memory afterwards", mib(memory.now), "MiB");
    table.note("daemon's resident memory at its peak", mib(memory.peak), "MiB");
    Ok(judged(table.print())?)
}

/// Bodies of new objects, and then the same again.
fn post(client: &mut Client, folder: &Path, table: &mut Table) -> Result<(), Box<dyn Error>> {
    let file = folder.join("posted.json");
    let bytes = sightings::write(&file, POSTED * ROUNDS as u64)?;
    let text = fs::read_to_string(&file)?;
    let objects: Vec<&str> = text.lines().filter(|line| line.contains("sighting--")).collect();
    let objects: Vec<&str> = objects.iter().map(|line| line.trim_end_matches(',')).collect();
    let bodies: Vec<String> = objects
        .chunks(POSTED as usize)
        .map(|part| format!("{{\"objects\":[{}]}}", part.join(",")))
        .collect();
    for (what, bound) in [
        ("posting 10,000 objects in one request, durable", Some(POST_RATE_MIN)),
        ("the same again: nothing changes", None),
    ] {
        let mut rounds = Vec::new();
        for body in &bodies {
            let began = Instant::now();
            let answer = client.send("POST", "objects/", body)?;
            rounds.push(began.elapsed());
            if !answer.contains(&format!("\"success_count\":{POSTED}")) {
                let said: String = answer.chars().take(200).collect();
                return Err(format!("not all objects were taken: {said}").into());
            }
        }
        let rate = POSTED as f64 / median(&rounds).as_secs_f64();
        match bound {
            Some(least) => table.check(what, rate, "objects/s", Bound::AtLeast(least), None),
            None => table.note(what, rate, "objects/s"),
        }
    }
    table.note("  bytes of an object", bytes as f64, "bytes");
    Ok(())
}

/// Has the collection filled up: what was posted is in the file, too.
fn fill(
    daemon: &Daemon,
    compartment: String,
    folder: &Path,
    records: u64,
) -> Result<(), Box<dyn Error>> {
    let file = folder.join("paged.json");
    sightings::write(&file, records)?;
    let import = control::Import {
        files: vec![file],
        stdin: None,
        compartment,
        format: None,
        map: None,
        label: None,
        class: None,
    };
    let imported: Imported = daemon.ask(Request::Import(import))?;
    let there = imported.created + imported.unchanged;
    if there == records { Ok(()) } else { Err(format!("{there} of {records} are there").into()) }
}

/// All pages of the collection, one after the other.
fn page(client: &mut Client, records: u64, table: &mut Table) -> Result<(), Box<dyn Error>> {
    for (what, mark, bounds) in [
        ("paging through the objects, 1,000 at a time", "\"sighting_of_ref\"", true),
        ("paging through the manifest", "\"date_added\"", false),
    ] {
        let list = if bounds { "objects/" } else { "manifest/" };
        let (mut pages, mut next, mut seen) = (Vec::new(), String::new(), 0);
        loop {
            let began = Instant::now();
            let page = client.send("GET", &format!("{list}?limit={PAGE}{next}"), "")?;
            pages.push(began.elapsed());
            seen += page.matches(mark).count() as u64;
            let rest = page.split_once("\"next\":\"").and_then(|(_, rest)| rest.split_once('"'));
            match rest {
                Some((place, _)) => next = format!("&next={place}"),
                None => break,
            }
        }
        if seen != records {
            return Err(format!("{seen} of {records} objects were in the pages").into());
        }
        let rate = records as f64 / pages.iter().sum::<Duration>().as_secs_f64();
        if !bounds {
            table.note(what, rate, "objects/s");
            continue;
        }
        table.check(what, rate, "objects/s", Bound::AtLeast(PAGE_RATE_MIN), None);
        let tenth = (pages.len() / 10).max(1);
        let first = median(pages.iter().take(tenth));
        let last = median(pages.iter().rev().take(tenth));
        let ratio = last.as_secs_f64() / first.as_secs_f64();
        let bound = Bound::AtMost(DEPTH_RATIO_MAX);
        table.check("  a page of the last tenth, to one of the first", ratio, "times", bound, None);
        table.note("  a page, median", median(&pages).as_secs_f64() * 1e3, "ms");
    }
    Ok(())
}

/// A program with a pass for one compartment, over one connection.
struct Client {
    stream: BufReader<TcpStream>,
    authority: String,
    token: String,
    collection: String,
}

impl Client {
    fn new(daemon: &Daemon, compartment: &str) -> Result<Self, Box<dyn Error>> {
        let mint = PassMint {
            holder: "bench".into(),
            purpose: "Security".into(),
            right: "write".into(),
            compartments: vec![compartment.into()],
            label_max: "RED".into(),
            not_after: tomorrow()?.to_string(),
            ..PassMint::default()
        };
        let token = daemon.ask::<PassMinted>(Request::PassMint(mint))?.token;
        let api = daemon.status()?.api.unwrap_or_default();
        let authority = api.trim_start_matches("http://").to_owned();
        let stream = BufReader::new(TcpStream::connect(&authority)?);
        let mut client = Self { stream, authority, token, collection: String::new() };
        let listed = client.ask("GET", "/taxii2/mesh/collections/", "")?;
        let id = listed.split_once("\"id\":\"").and_then(|(_, rest)| rest.split_once('"'));
        id.ok_or("there is no collection")?.0.clone_into(&mut client.collection);
        Ok(client)
    }

    fn connect(&mut self) -> io::Result<()> {
        self.stream = BufReader::new(TcpStream::connect(&self.authority)?);
        Ok(())
    }

    /// Asks for something of the collection.
    fn send(&mut self, method: &str, rest: &str, body: &str) -> io::Result<String> {
        let target = format!("/taxii2/mesh/collections/{}/{rest}", self.collection);
        self.ask(method, &target, body)
    }

    fn ask(&mut self, method: &str, target: &str, body: &str) -> io::Result<String> {
        let (host, token, length) = (&self.authority, &self.token, body.len());
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {MEDIA}\r\nContent-Length: {length}\r\n\r\n"
        );
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let (mut line, mut head, mut length) = (String::new(), String::new(), 0);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            head += &line;
            let value = line.to_ascii_lowercase();
            if let Some(value) = value.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let body = String::from_utf8(body).map_err(io::Error::other)?;
        let good = head.starts_with("HTTP/1.1 2");
        if good { Ok(body) } else { Err(io::Error::other(format!("{head}{body}"))) }
    }
}

/// A day from now.
fn tomorrow() -> Result<WallTime, Box<dyn Error>> {
    let then = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_secs(24 * 60 * 60);
    Ok(WallTime(u64::try_from(then.as_millis())?))
}

fn median<'a>(rounds: impl IntoIterator<Item = &'a Duration>) -> Duration {
    let mut rounds: Vec<Duration> = rounds.into_iter().copied().collect();
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}
