//! Start: a daemon with a million records is killed and started again, until it has answered its
//! first search. Beside it, in the same run, what the parts of a start cost one by one.
//!
//! `cargo bench -p tearline-node --bench start`; `-- --json` prints one document.
//! `TEARLINE_BENCH_RECORDS` sets the number of records (1,000,000). The files are in the page cache
//! when the daemon starts: it was just killed.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/sightings.rs"]
mod sightings;
#[path = "support/table.rs"]
mod table;

use std::error::Error;
use std::time::{Duration, Instant};

use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::id::Incarnation;
use tearline_crdt::keys::DeviceKeys;
use tearline_mesh::Replica;
use tearline_mesh::replica::Setup;
use tearline_node::control::reply::{Coalition, Imported, Opened, Rows, Status};
use tearline_node::control::{self, CompartmentOpen, Empty, Request};
use tearline_node::index::{Index, Query};
use tearline_node::protection::Opener;
use tearline_node::store::{SledStore, StoreKey};

use daemon::Daemon;
use table::{Bound, Table, judged};

/// How long a start may take.
const START_MS_MAX: f64 = 1_000.0;
/// Objects a second that the import before it must reach: it must not slow down as the store grows.
const IMPORT_RATE_MIN: f64 = 8_000.0;
/// Records, if nothing else is asked for.
const RECORDS: u64 = 1_000_000;
/// Starts of each kind; the median is shown.
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sightings.json");
    let records = sightings::count(RECORDS);
    let bytes = sightings::write(&file, records)?;
    let mut daemon = Daemon::init(folder.path(), "Bench", "NE")?;
    daemon.start::<Status>(&Request::Status(Empty {}))?;
    let create = control::CoalitionCreate { name: "Bench".into(), ..Default::default() };
    daemon.ask::<Coalition>(Request::CoalitionCreate(create))?;
    let open = CompartmentOpen { name: "all".into(), rel: Vec::new() };
    let opened: Opened = daemon.ask(Request::CompartmentOpen(open))?;
    let import = control::Import {
        files: vec![file.clone()],
        stdin: None,
        compartment: opened.compartment,
        format: None,
        map: None,
        label: None,
        class: None,
    };
    let began = Instant::now();
    let imported: Imported = daemon.ask(Request::Import(import))?;
    let importing = began.elapsed().as_secs_f64();
    if imported.created != records {
        return Err(format!("{} of {records} records were written", imported.created).into());
    }
    let imported = daemon.memory()?;
    let disk = daemon.status()?.store_bytes;

    let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    let mut table = Table::new(format!("start with {records} sightings of {bytes} bytes"));
    for (what, query, hits) in [
        ("exec to 10 newest hits of a common word", "post".to_owned(), records.min(10)),
        ("exec to the one hit, the oldest record", sightings::word(0), 1),
    ] {
        let search =
            control::Search { query: query.clone(), pattern: None, limit: Some(10), after: None };
        let search = Request::Search(search);
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            daemon.kill()?;
            let (rows, took) = daemon.start::<Rows>(&search)?;
            if rows.records.len() as u64 != hits {
                return Err(format!("{} hits of {query:?}, not {hits}", rows.records.len()).into());
            }
            rounds.push(took);
        }
        let memory = daemon.memory()?;
        daemon.kill()?;
        let parts = parts(&daemon, &query)?;
        let bound = Bound::AtMost(START_MS_MAX);
        let limit = Some((ms(parts.all()), 0.0));
        table.check(what, ms(median(&mut rounds)), "ms", bound, limit);
        table.note("  slowest of the rounds", ms(rounds.last().copied().unwrap_or_default()), "ms");
        table.note("  part: open the store", ms(parts.store), "ms");
        table.note("  part: open index and replica", ms(parts.replica), "ms");
        table.note("  part: search", ms(parts.search), "ms");
        table.note("  part: of the index, blocks read", parts.blocks as f64, "blocks");
        table.note("  daemon's resident memory then", mib(memory.now), "MiB");
    }
    let bound = Bound::AtLeast(IMPORT_RATE_MIN);
    table.check("import before it", records as f64 / importing, "objects/s", bound, None);
    table.note("daemon's memory at its peak, importing", mib(imported.peak), "MiB");
    table.note("daemon's memory after the import", mib(imported.now), "MiB");
    table.note("store on disk", mib(disk), "MiB");
    Ok(judged(table.print())?)
}

/// What the parts of a start cost.
struct Parts {
    store: Duration,
    replica: Duration,
    search: Duration,
    blocks: usize,
}

impl Parts {
    fn all(&self) -> Duration {
        self.store + self.replica + self.search
    }
}

/// Does what a starting daemon does, in this process, and times it.
fn parts(daemon: &Daemon, query: &str) -> Result<Parts, Box<dyn Error>> {
    let identity = daemon.home.read_identity(&mut Opener::default())?;
    let began = Instant::now();
    let store = SledStore::open(&daemon.home.store(), &StoreKey::new(identity.store_key))?;
    let opened = began.elapsed();
    let index = Index::open(&store)?;
    let setup = Setup {
        keys: DeviceKeys::from_seeds(&identity.device_seed, &identity.agreement_seed),
        incarnation: Incarnation(identity.incarnation),
        entropy: Box::new(SeededEntropy::new(1)),
        projection: Box::new(()),
    };
    let replica = Replica::open(store, setup)?;
    let ready = began.elapsed();
    let query = Query { limit: 10, ..Query::parse(query)? };
    let page = index.search(replica.store(), &query, &mut |row| {
        Ok(replica.record_version(&row.record)? == Some(row.version))
    })?;
    let search = began.elapsed() - ready;
    if page.rows.is_empty() {
        return Err("nothing was found".into());
    }
    Ok(Parts { store: opened, replica: ready - opened, search, blocks: page.blocks_read })
}

fn median(rounds: &mut [Duration]) -> Duration {
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
