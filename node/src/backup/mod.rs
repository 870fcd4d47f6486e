//! A backup: a whole home in one sealed file, and a new home made from it.
//!
//! A backup holds the device's secrets, the agency's root where the device has it, the settings and
//! everything in the store, as keys and values, so that it does not depend on how a store lies on
//! disk. `content` says in which order, `stream` how it is sealed.
//!
//! A home that is restored is the same device in a new life. Whatever the device wrote after the
//! backup was made is in logs that its peers hold and that the backup does not know the end of; a
//! restored device that wrote on in them would fork them. So it gets a new incarnation, begins new
//! logs, and learns the end of the old ones from its peers. It also gets a new store key. The
//! replica replays the authority logs when it opens the restored store, before it listens: what the
//! backup knows to be taken back is taken back before anything is served.

mod content;
mod stream;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _};
use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;
use tearline_crdt::bounds::NAME_BYTES_MAX;
use tearline_crdt::id::DeviceId;
use tearline_crdt::keys::DeviceKeys;
use tearline_crdt::store::{Batch, Space, Store as _, StoreError};
use tearline_crdt::time::WallTime;
use zeroize::Zeroizing;

use self::content::{Item, ItemError, Subject};
use self::stream::{Opened, Sealed, StreamError};
use crate::config::{CONFIG_BYTES_MAX, Config};
use crate::failure::{Failure, Kind};
use crate::files::{open_named, random, read_whole, write_atomically};
use crate::home::{Agency, Home, Identity, Kept as _, Lock};
use crate::part::Part;
use crate::protection::{Opener, Protection, Sealing};
use crate::store::{SledStore, StoreKey};

/// What is in a backup.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Contents {
    /// When it was made, by the clock of the machine that made it.
    pub created: String,
    /// The device's id.
    pub device: String,
    /// What the device calls itself.
    pub name: String,
    /// The life whose logs it holds, in hexadecimal digits.
    pub incarnation: String,
    /// The agency whose root it holds, if it does.
    pub agency: Option<String>,
    /// Logs in the store.
    pub logs: u64,
    /// Records in the store.
    pub records: u64,
    /// Bytes of all keys and values of the store.
    pub store_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

/// Writes a home into a new file. The lock says that no daemon uses the home meanwhile.
pub fn create(
    home: &Home,
    lock: &Lock,
    opener: &mut Opener,
    sealing: &Sealing,
    file: &Path,
    created: WallTime,
) -> Result<Contents, Failure> {
    if file.symlink_metadata().is_ok() {
        return Err(Failure::failed(format!("{} is there already", file.display()))
            .hint("a backup overwrites nothing; choose another name"));
    }
    let source = Source::open(home, opener, created)?;
    let io = |e: io::Error| Failure::io(format_args!("cannot write {}", file.display()), &e);
    // What a kill leaves there goes when the home is used next.
    home.begin_part(lock, file)?;
    let written = Part::begin(file.to_owned()).and_then(|part| {
        let contents = source.write(part.file(), sealing, &io)?;
        // Nobody else puts a file there meanwhile unless he wants it lost.
        part.take_place()?;
        Ok(contents)
    });
    home.end_part(lock)?;
    written
}

/// Reads a whole backup and says what is in it.
pub fn inspect(file: &Path, opener: &mut Opener) -> Result<Contents, Failure> {
    let mut counts = Counts::default();
    let head = read(file, opener, |space, key, value| {
        counts.add(space, key, &value);
        Ok(())
    })?;
    Ok(head.contents(&counts))
}

/// How a home was restored.
#[derive(Debug)]
pub struct Restored {
    /// What the backup held.
    pub contents: Contents,
    /// The new life of the device.
    pub incarnation: u64,
}

/// Makes a home from a backup, in a new life. The whole file is read and checked before anything is
/// written; what a failure leaves behind is no home, and what a kill leaves is cleared away by
/// restoring again. `protection` says how the new home's secrets
/// are kept; it is asked when the backup has been opened.
pub fn restore(
    file: &Path,
    home: &Home,
    opener: &mut Opener,
    protection: impl FnOnce(&mut Opener) -> Result<Protection, Failure>,
) -> Result<Restored, Failure> {
    inspect(file, opener)?;
    let protection = protection(opener)?;
    home.create()?;
    let lock = home.lock()?;
    home.begin_restore(&lock)?;
    let restored = fill(file, home, &lock, opener, &protection);
    match &restored {
        Ok(_) => home.end_restore(&lock)?,
        Err(_) => drop(home.undo_restore(&lock)),
    }
    restored
}

fn fill(
    file: &Path,
    home: &Home,
    lock: &Lock,
    opener: &mut Opener,
    protection: &Protection,
) -> Result<Restored, Failure> {
    let mut store_key = Zeroizing::new([0; 32]);
    random(store_key.as_mut_slice())?;
    let mut store = SledStore::open(&home.store(), &StoreKey::new(*store_key))?;
    let mut counts = Counts::default();
    let (mut batch, mut batch_bytes) = (Batch::default(), 0);
    let head = read(file, opener, |space, key, value| {
        counts.add(space, key, &value);
        batch_bytes += key.len() + value.len();
        batch.put(space, key, value.as_slice());
        if batch_bytes < BATCH_BYTES {
            return Ok(());
        }
        batch_bytes = 0;
        store.apply(std::mem::take(&mut batch)).map_err(|error| store_failure(&error))
    })?;
    store.apply(batch).and_then(|()| store.flush()).map_err(|error| store_failure(&error))?;
    drop(store);
    write_atomically(&home.config(), &head.config)?;
    let contents = head.contents(&counts);
    let Head { mut identity, agency, .. } = head;
    identity.store_key = *store_key;
    identity.reincarnate()?;
    // Last, because it is what makes a home one.
    home.write_keys(lock, &identity, agency.as_ref(), protection)?;
    Ok(Restored { contents, incarnation: identity.incarnation })
}

/// What a backup is made of.
struct Source {
    identity: Identity,
    agency: Option<Agency>,
    config: Zeroizing<Vec<u8>>,
    subject: Subject,
    /// None if no daemon ever ran in the home.
    store: Option<SledStore>,
}

impl Source {
    fn open(home: &Home, opener: &mut Opener, created: WallTime) -> Result<Self, Failure> {
        let identity = home.read_identity(opener)?;
        let agency = home.read_agency(opener)?;
        let name = Config::read(home)?.name;
        let subject = Subject {
            created,
            device: device_id(&identity).0,
            incarnation: identity.incarnation,
            name: clip(&name).to_owned(),
        };
        let store = if home.store().exists() {
            let opened = SledStore::open(&home.store(), &StoreKey::new(identity.store_key));
            Some(opened?)
        } else {
            None
        };
        Ok(Self { identity, agency, config: read_config(home)?, subject, store })
    }

    fn write(
        mut self,
        out: &File,
        sealing: &Sealing,
        io: &dyn Fn(io::Error) -> Failure,
    ) -> Result<Contents, Failure> {
        let mut out = Sealed::begin(BufWriter::new(out), sealing).map_err(io)?;
        let mut items =
            vec![Item::Subject(self.subject.clone()), Item::Device(self.identity.fields())];
        items.extend(self.agency.as_ref().map(|agency| Item::Root(agency.fields())));
        items.push(Item::Config(std::mem::take(&mut self.config)));
        for item in items {
            item.write(&mut out).map_err(io)?;
        }
        let mut counts = Counts::default();
        if let Some(store) = &self.store {
            for space in Space::ALL {
                write_space(store, space, &mut out, &mut counts, io)?;
            }
        }
        Item::End { stored: counts.stored }.write(&mut out).map_err(io)?;
        let out = out.finish().map_err(io)?.into_inner().map_err(|e| io(e.into_error()))?;
        let file_bytes = out.metadata().map_err(io)?.len();
        let Self { identity, agency, subject, .. } = self;
        Ok(Head { subject, identity, agency, config: Zeroizing::default(), file_bytes }
            .contents(&counts))
    }
}

fn write_space(
    store: &SledStore,
    space: Space,
    out: &mut impl io::Write,
    counts: &mut Counts,
    io: &dyn Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    let mut written = Ok(());
    let scanned = store.scan(space, &[], &[], &mut |key, value| {
        counts.add(space, key, value);
        written = content::stored(out, space, key, value);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    scanned.map_err(|error| store_failure(&error))?;
    written.map_err(io)
}

/// All of a backup but its store.
struct Head {
    subject: Subject,
    identity: Identity,
    agency: Option<Agency>,
    config: Zeroizing<Vec<u8>>,
    file_bytes: u64,
}

impl Head {
    fn contents(&self, counts: &Counts) -> Contents {
        Contents {
            created: self.subject.created.to_string(),
            device: DeviceId(self.subject.device).to_string(),
            name: self.subject.name.clone(),
            incarnation: format!("{:016x}", self.subject.incarnation),
            agency: self.agency.as_ref().map(|a| format!("{} ({})", a.name, a.country)),
            logs: counts.logs,
            records: counts.records,
            store_bytes: counts.bytes,
            file_bytes: self.file_bytes,
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    stored: u64,
    bytes: u64,
    logs: u64,
    records: u64,
}

impl Counts {
    fn add(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.stored += 1;
        self.bytes += (key.len() + value.len()) as u64;
        self.logs += u64::from(space == Space::Logs);
        self.records += u64::from(space == Space::Records);
    }
}

/// Reads a whole backup; hands over each key and value of its store.
fn read(
    path: &Path,
    opener: &mut Opener,
    mut stored: impl FnMut(Space, &[u8], Zeroizing<Vec<u8>>) -> Result<(), Failure>,
) -> Result<Head, Failure> {
    let file = open_named(path)?;
    let what = path.display().to_string();
    let mut items = Items { from: Opened::begin(BufReader::new(file), opener, &what)?, what };
    let Item::Subject(subject) = items.next()? else { return Err(items.out_of_order()) };
    let Item::Device(fields) = items.next()? else { return Err(items.out_of_order()) };
    let identity = Identity::from_fields(&fields).map_err(|error| items.senseless(&error))?;
    let mut item = items.next()?;
    let mut agency = None;
    if let Item::Root(fields) = &item {
        agency = Some(Agency::from_fields(fields).map_err(|error| items.senseless(&error))?);
        item = items.next()?;
    }
    let Item::Config(config) = item else { return Err(items.out_of_order()) };
    let mut count = 0;
    loop {
        match items.next()? {
            Item::Stored { space, key, value } => {
                count += 1;
                stored(space, &key, value)?;
            }
            Item::End { stored } if stored == count => break,
            _ => return Err(items.out_of_order()),
        }
    }
    let file_bytes = items.finish()?;
    if device_id(&identity).0 != subject.device {
        return Err(items.senseless(&"its device has another key"));
    }
    Ok(Head { subject, identity, agency, config, file_bytes })
}

/// The items of a file, one after the other.
struct Items<R> {
    from: Opened<R>,
    what: String,
}

impl<R: io::Read> Items<R> {
    fn next(&mut self) -> Result<Item, Failure> {
        Item::read(&mut self.from).map_err(|error| match error {
            ItemError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.senseless(&"it ends before its content does")
            }
            ItemError::Io(error) => StreamError::from_io(error).failure(&self.what),
            other => self.senseless(&other),
        })
    }

    /// Checks that nothing is left; returns the file's length.
    fn finish(&mut self) -> Result<u64, Failure> {
        let left = self.from.read(&mut [0]);
        match left.map_err(|error| StreamError::from_io(error).failure(&self.what))? {
            0 => Ok(self.from.at()),
            _ => Err(self.senseless(&"there is more behind its end")),
        }
    }

    fn out_of_order(&self) -> Failure {
        self.senseless(&"its parts are not in the order that this version writes")
    }

    fn senseless(&self, why: &dyn std::fmt::Display) -> Failure {
        let at = self.from.at();
        Failure::new(Kind::Integrity, format!("{}: before byte {at}: {why}", self.what))
            .hint("its seal holds: another version of tearline may have written it")
    }
}

fn device_id(identity: &Identity) -> DeviceId {
    DeviceKeys::from_seeds(&identity.device_seed, &identity.agreement_seed).id()
}

/// As much of a device's name as a backup names: a person may have written a long one.
fn clip(name: &str) -> &str {
    name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or(name)
}

fn read_config(home: &Home) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let text = read_whole(&home.config(), CONFIG_BYTES_MAX)?;
    Ok(Zeroizing::new(text.unwrap_or_default()))
}

fn store_failure(error: &StoreError) -> Failure {
    let kind = if error.is_damage() { Kind::Integrity } else { Kind::Failed };
    Failure::new(kind, error.to_string())
}

/// How much of a store is written at once when it is restored.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests;
