//! Import: the shipped daemon reads STIX files and writes a durable record for each object.
//! Beside it, in the same run, what its stages cost one by one.
//!
//! Who does what (`service::import`, `service::core`): the thread that was asked parses and builds,
//! the core's thread does all the rest, act by act. So at best the slower of the two decides.
//!
//! `cargo bench -p tearline-node --bench import`; `-- --json` prints one document a table.
//! `TEARLINE_BENCH_RECORDS` sets the number of generated sightings (100,000), `TEARLINE_DATA` where
//! the real data lies (`../shared/data` beside the workspace).

#[path = "support/author.rs"]
mod author;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/sightings.rs"]
mod sightings;
#[path = "support/stages.rs"]
mod stages;
#[path = "support/table.rs"]
mod table;

use std::path::{Path, PathBuf};
use std::time::Instant;

use tearline_node::control::reply::{Coalition, Imported, Opened, Status};
use tearline_node::control::{self, CompartmentOpen, Empty, Request};

use daemon::Daemon;
use stages::{Broken, Stages};
use table::{Bound, Table, judged};

/// Objects a second that are asked for, and the share of what the stages allow.
const RATE_MIN: f64 = 8_000.0;
const SHARE_MIN: f64 = 0.6;
/// Resident memory that is allowed.
const MEMORY_MIB_MAX: f64 = 200.0;
/// Sightings, if nothing else is asked for.
const RECORDS: u64 = 100_000;

/// Imports of the real data, which take a fifth of a second each.
const REAL_ROUNDS: usize = 9;
/// Imports of the generated ones, which take some seconds each.
const GENERATED_ROUNDS: usize = 3;

/// What the thread does that was asked, and what the core's thread does, in order.
const ASKED: [&str; 2] = ["parse", "build"];
const CORE: [&str; 6] = ["look up", "seal", "chain", "list", "index", "store"];

fn main() -> Result<(), Broken> {
    let folder = tempfile::tempdir()?;
    let real = data().join("stix/ics-attack.json");
    let mut passed = true;
    if real.is_file() {
        let folder = folder.path().join("real");
        passed &= import(&folder, &real, REAL_ROUNDS, "ics-attack.json, median of 9")?.0.print();
    } else {
        println!("ABSENT: {}: the real data was NOT measured; set TEARLINE_DATA", real.display());
    }

    let generated = folder.path().join("sightings.json");
    let records = sightings::count(RECORDS);
    let bytes = sightings::write(&generated, records)?;
    let title = format!("{records} generated sightings of {bytes} bytes, median of 3");
    let (mut table, daemon) =
        import(&folder.path().join("generated"), &generated, GENERATED_ROUNDS, &title)?;
    let memory = daemon.memory()?;
    let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    let bound = Bound::AtMost(MEMORY_MIB_MAX);
    table.check("daemon's resident memory afterwards", mib(memory.now), "MiB", bound, None);
    table.check("daemon's resident memory at its peak", mib(memory.peak), "MiB", bound, None);
    table.note("store on disk", mib(daemon.status()?.store_bytes), "MiB");
    passed &= table.print();
    Ok(judged(passed)?)
}

/// Imports a file by fresh daemons; before and after each it takes it through the stages, and medians are
/// compared with medians: what else the machine does comes and goes. Returns the last daemon, too.
fn import(
    folder: &Path,
    file: &Path,
    rounds: usize,
    title: &str,
) -> Result<(Table, Daemon), Broken> {
    std::fs::create_dir_all(folder)?;
    let author = || -> Result<Stages, Broken> {
        let scratch = tempfile::tempdir_in(folder)?;
        Ok(author::author(file, scratch.path())?.0)
    };
    let first = author()?;
    let objects = first.objects;
    let mut measured = vec![first];
    let mut rates = Vec::new();
    let daemon = loop {
        let (daemon, rate) = import_once(folder, file, &format!("A{}", rates.len()), objects)?;
        rates.push(rate);
        measured.push(author()?);
        if rates.len() >= rounds {
            break daemon;
        }
    };
    let stages = Stages::median(&measured);
    rates.sort_by(f64::total_cmp);
    let rate = rates.get(rates.len() / 2).copied().unwrap_or_default();
    let mut table = Table::new(format!("import of {title}"));
    let (parse, core) = (stages.rate(&ASKED), stages.rate(&CORE));
    let limit = (parse.min(core), SHARE_MIN);
    table.check("import, durable", rate, "objects/s", Bound::AtLeast(RATE_MIN), Some(limit));
    table.note("its limit: thread that parses and builds", parse, "objects/s");
    table.note("its limit: thread of the core", core, "objects/s");
    for (what, stage) in [
        ("stage, parser's thread: parse JSON", "parse"),
        ("stage, parser's thread: build the change", "build"),
        ("stage, core's thread: look up the external id", "look up"),
        ("stage, core's thread: seal header and payload", "seal"),
        ("stage, core's thread: hash, sign 1 of 256", "chain"),
        ("stage, core's thread: append, list", "list"),
        ("stage, core's thread: index row", "index"),
        ("stage, core's thread: store, flush, sync", "store"),
    ] {
        table.note(what, stages.micros(&[stage]), "us/object");
    }
    Ok((table, daemon))
}

/// Imports a file by a new agency's daemon. Returns objects a second.
fn import_once(
    folder: &Path,
    file: &Path,
    agency: &str,
    objects: u64,
) -> Result<(Daemon, f64), Broken> {
    let mut daemon = Daemon::init(folder, agency, "NE")?;
    daemon.start::<Status>(&Request::Status(Empty {}))?;
    let create = control::CoalitionCreate { name: "Bench".into(), ..Default::default() };
    daemon.ask::<Coalition>(Request::CoalitionCreate(create))?;
    let open = CompartmentOpen { name: "all".into(), rel: Vec::new() };
    let opened: Opened = daemon.ask(Request::CompartmentOpen(open))?;
    let request = Request::Import(control::Import {
        files: vec![file.to_path_buf()],
        stdin: None,
        compartment: opened.compartment,
        format: None,
        map: None,
        label: None,
        class: None,
    });
    let began = Instant::now();
    let imported: Imported = daemon.ask(request)?;
    let seconds = began.elapsed().as_secs_f64();
    if imported.created != objects {
        let created = imported.created;
        return Err(format!("{created} records were written, not {objects}").into());
    }
    Ok((daemon, imported.created as f64 / seconds))
}

/// Where the real data lies.
fn data() -> PathBuf {
    match std::env::var_os("TEARLINE_DATA") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    }
}
