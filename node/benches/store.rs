//! The store beside plain sled, in the same run: loading, memory, and the first answer after a kill.
//! Both get the same writes, as an import makes them: for 1,000 records 1,000 listings of 40 bytes
//! under random keys, 64 chunks of 8 KiB and 4 blocks of 32 KiB, then one durable flush. Plain sled
//! is flushed and its file synced with `fdatasync`; it neither seals nor overwrites.
//!
//! `cargo bench -p tearline-node --bench store`; `TEARLINE_BENCH_RECORDS` sets the size (1,000,000).

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use tearline_crdt::store::{Batch, Space, Store as _};
use tearline_node::store::{SledStore, StoreKey};

const RECORDS_PER_FLUSH: u64 = 1_000;
const CHUNKS_PER_FLUSH: u64 = 64;
const BLOCKS_PER_FLUSH: u64 = 4;
const CHUNK_BYTES: usize = 8 * 1024;
const BLOCK_BYTES: usize = 32 * 1024;
const LISTING_BYTES: usize = 40;
/// Cache that plain sled is told to keep to.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// What a start-up may take until the first answer, and memory, by the requirement.
const START_S_MAX: f64 = 1.0;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [engine, "load", folder] => load(engine, Path::new(folder)),
        [engine, "open", folder] => open(engine, Path::new(folder)),
        _ => compare(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn records() -> u64 {
    let named = std::env::var("TEARLINE_BENCH_RECORDS").ok().and_then(|text| text.parse().ok());
    named.unwrap_or(1_000_000_u64).next_multiple_of(RECORDS_PER_FLUSH)
}

fn compare() -> io::Result<()> {
    println!("{} records; bound for the first answer after a kill: {START_S_MAX} s", records());
    let mut passed = true;
    for engine in ["tearline", "plain-sled"] {
        let folder = tempfile::tempdir()?;
        for phase in ["load", "open"] {
            let output = Command::new(std::env::current_exe()?)
                .args([engine, phase])
                .arg(folder.path())
                .stderr(Stdio::inherit())
                .output()?;
            let said = String::from_utf8_lossy(&output.stdout);
            print!("{engine:<11} {said}");
            passed &= engine != "tearline" || !said.contains("FAIL");
        }
    }
    if passed { Ok(()) } else { Err(io::Error::other("the start does not keep its bound")) }
}

/// Loads, says how it went, and dies as a killed process does.
fn load(engine: &str, folder: &Path) -> io::Result<()> {
    let mut engine = Engine::open(engine, folder)?;
    let started = Instant::now();
    let mut slowest = 0.0_f64;
    let mut written_bytes = 0;
    for round in 0..records() / RECORDS_PER_FLUSH {
        let writes = writes(round);
        written_bytes +=
            writes.iter().map(|(_, key, value)| key.len() + value.len()).sum::<usize>();
        let flushed = Instant::now();
        engine.write(writes)?;
        slowest = slowest.max(flushed.elapsed().as_secs_f64());
    }
    let took = started.elapsed().as_secs_f64();
    println!(
        "load: {:.1} us per record, slowest flush {slowest:.3} s, {} MiB on disk for {} MiB, {}",
        took * 1e6 / records() as f64,
        folder_bytes(folder)? >> 20,
        written_bytes >> 20,
        memory()?,
    );
    let own = std::process::id().to_string();
    Command::new("kill").args(["-9", &own]).status()?;
    Ok(())
}

fn open(engine: &str, folder: &Path) -> io::Result<()> {
    let started = Instant::now();
    let engine = Engine::open(engine, folder)?;
    let found = engine.has(&record(records() / 2))?;
    let took = started.elapsed().as_secs_f64();
    let verdict = if took < START_S_MAX && found { "PASS" } else { "FAIL" };
    println!("open: first answer ({found}) after {took:.3} s, {}: {verdict}", memory()?);
    Ok(())
}

enum Engine {
    Ours(Box<SledStore>),
    Plain { db: sled::Db, file: File },
}

type Writes = Vec<(Space, Vec<u8>, Vec<u8>)>;

impl Engine {
    fn open(name: &str, folder: &Path) -> io::Result<Self> {
        if name == "tearline" {
            let store = SledStore::open(folder, &StoreKey::new([7; 32]));
            return Ok(Self::Ours(Box::new(store.map_err(io::Error::other)?)));
        }
        let db = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .open()?;
        Ok(Self::Plain { db, file: File::open(folder.join("db"))? })
    }

    fn write(&mut self, writes: Writes) -> io::Result<()> {
        match self {
            Self::Ours(store) => {
                let mut batch = Batch::default();
                for (space, key, value) in writes {
                    batch.put(space, key, value);
                }
                store.apply(batch).and_then(|()| store.flush()).map_err(io::Error::other)
            }
            Self::Plain { db, file } => {
                let mut batch = sled::Batch::default();
                for (space, key, value) in writes {
                    batch.insert([&[space as u8], key.as_slice()].concat(), value);
                }
                db.apply_batch(batch)?;
                db.flush()?;
                file.sync_data()
            }
        }
    }

    fn has(&self, key: &[u8]) -> io::Result<bool> {
        match self {
            Self::Ours(store) => {
                Ok(store.get(Space::Records, key).map_err(io::Error::other)?.is_some())
            }
            Self::Plain { db, .. } => {
                Ok(db.get([&[Space::Records as u8], key].concat())?.is_some())
            }
        }
    }
}

fn writes(round: u64) -> Writes {
    let mut dice = Dice(round);
    let mut writes = Writes::new();
    for n in 0..RECORDS_PER_FLUSH {
        let key = record(round * RECORDS_PER_FLUSH + n).to_vec();
        writes.push((Space::Records, key, dice.bytes(LISTING_BYTES)));
    }
    for n in 0..CHUNKS_PER_FLUSH {
        let key = (round * CHUNKS_PER_FLUSH + n).to_be_bytes().to_vec();
        writes.push((Space::Entries, key, dice.bytes(CHUNK_BYTES)));
    }
    for n in 0..BLOCKS_PER_FLUSH {
        let key = (round * BLOCKS_PER_FLUSH + n).to_be_bytes().to_vec();
        writes.push((Space::Rows, key, dice.bytes(BLOCK_BYTES)));
    }
    writes
}

/// The key of a record: random, as ids of records are.
fn record(n: u64) -> [u8; 16] {
    let mut dice = Dice(!n);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&dice.next().to_be_bytes());
    key[8..].copy_from_slice(&dice.next().to_be_bytes());
    key
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

fn memory() -> io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mib = |field: &str| {
        let line = status.lines().find(|line| line.starts_with(field));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.unwrap_or(0) / 1024
    };
    Ok(format!("{} MiB resident, {} MiB at most", mib("VmRSS:"), mib("VmHWM:")))
}

fn folder_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { folder_bytes(&entry.path())? } else { found.len() };
    }
    Ok(bytes)
}
