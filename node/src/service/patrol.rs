//! Patrol: everything in the store is read through, slowly, so that what rotted is known before somebody needs
//! it, and while a peer still has it.
//!
//! A thread of its own reads beside the core, so that a disk that takes its time holds nothing up, and hands it
//! what it finds, as if a command had met that: what is of a log or of a file is fetched again, the rest is
//! named. A pass begins with the daemon and then each day. It goes on after a restart about where it was, and
//! what was found is looked at again first.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use serde::{Deserialize, Serialize};
use tearline_crdt::attachment::{self, Manifest};
use tearline_crdt::store::{Batch, Space, Store, StoreError, damaged};
use tearline_crdt::time::WallTime;

use super::books::now_ms;
use super::core::{Core, CoreHandle};
use super::overview::check;
use crate::control::reply::{self, Check, CheckStatus};
use crate::failure::Failure;
use crate::length::DAY_S;
use crate::size;
use crate::store::Checker;

/// Bytes that are read before it rests, and for how long: 1 MiB in a second, 84 GiB in a day.
const STEP_BYTES: u64 = 256 * 1024;
const REST: Duration = Duration::from_millis(250);
/// What a value counts beside its bytes: the least that a read of it takes.
const VALUE_BYTES: u64 = 64;
/// Bytes after which it is written down how far it is: a restart reads no more than that again.
const KEEP_BYTES: u64 = 64 * 1024 * 1024;
/// Damaged places that are remembered over a restart.
const FOUND_MAX: usize = 256;
/// Damaged values of one pass that the core is told of.
const TOLD_MAX: u64 = 1_000;
const KEY: &[u8] = b"patrol";

/// How far the patrol is, and what it found: what is kept in the store.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Log {
    /// The pass that is under way.
    pass: Option<Pass>,
    /// The last that ended.
    last: Option<Pass>,
    /// Where damage was found: spaces and keys.
    found: Vec<(u8, Vec<u8>)>,
}

/// A pass through the store.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Pass {
    began_ms: u64,
    ended_ms: u64,
    values: u64,
    bytes: u64,
    damaged: u64,
    /// The space and the key that come next.
    at: (u8, Vec<u8>),
    /// Why it did not come to its end.
    broke_off: Option<String>,
}

/// The patrol, as the core knows it. It ends with this.
#[derive(Debug)]
pub(super) struct Patrol {
    log: Arc<Mutex<Log>>,
    _lives: SyncSender<()>,
}

impl Patrol {
    /// Begins where the store says that it was.
    pub(super) fn begin(store: &dyn Store, checker: Checker, core: CoreHandle) -> io::Result<Self> {
        // What cannot be read is begun anew.
        let kept = store.get(Space::Meta, KEY).ok().flatten();
        let log = kept.and_then(|kept| serde_json::from_slice(&kept).ok()).unwrap_or_default();
        let log = Arc::new(Mutex::new(log));
        let (lives, ends) = sync_channel(0);
        let walker = Walker { checker, core, log: Arc::clone(&log), ends };
        thread::Builder::new().name("patrol".into()).spawn(move || walker.run())?;
        Ok(Self { log, _lives: lives })
    }

    fn log(&self) -> Log {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How it is.
    pub(super) fn shown(&self) -> reply::Patrol {
        let Log { pass, last, .. } = self.log();
        let time = |ms: u64| WallTime(ms).to_string();
        reply::Patrol {
            since: pass.as_ref().map(|pass| time(pass.began_ms)),
            read_bytes: pass.as_ref().map_or(0, |pass| pass.bytes),
            damaged: pass.map_or(0, |pass| pass.damaged),
            ended: last.as_ref().map(|last| time(last.ended_ms)),
            ended_bytes: last.as_ref().map_or(0, |last| last.bytes),
            ended_damaged: last.as_ref().map_or(0, |last| last.damaged),
            broke_off: last.and_then(|last| last.broke_off),
        }
    }

    /// The same, as `doctor` says it.
    pub(super) fn check(&self) -> Check {
        let shown = self.shown();
        let status = match (&shown.broke_off, shown.damaged + shown.ended_damaged) {
            (Some(_), _) => CheckStatus::Warn,
            // What is damaged now, the check of the whole store says.
            (None, _) => CheckStatus::Pass,
        };
        check("patrol", status, shown.to_string(), None)
    }
}

impl std::fmt::Display for reply::Patrol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let found = |damaged: u64| match damaged {
            0 => "nothing damaged".to_owned(),
            1 => "1 damaged value".to_owned(),
            many => format!("{many} damaged values"),
        };
        match &self.ended {
            Some(ended) => {
                let bytes = size::text(self.ended_bytes);
                write!(f, "read through up to {ended}: {bytes}, {}", found(self.ended_damaged))?;
            }
            None => f.write_str("not read through yet")?,
        }
        if let Some(why) = &self.broke_off {
            write!(f, "; it broke off: {why}")?;
        }
        if let Some(since) = &self.since {
            let bytes = size::text(self.read_bytes);
            write!(f, "; again since {since}: {bytes} so far, {}", found(self.damaged))?;
        }
        Ok(())
    }
}

/// What the thread has.
struct Walker {
    checker: Checker,
    core: CoreHandle,
    log: Arc<Mutex<Log>>,
    ends: Receiver<()>,
}

/// Whether it goes on.
type Goes = ControlFlow<()>;

impl Walker {
    fn run(self) {
        let found = std::mem::take(&mut self.log().found);
        let still = found.into_iter().filter(|(space, key)| {
            let is_damaged = self.checker.check_one(space_of(*space), key).is_err();
            is_damaged && self.tell(damaged(space_of(*space), key)).is_continue()
        });
        let still = still.collect();
        self.log().found = still;
        while self.pass().is_continue() && self.rest(Duration::from_secs(DAY_S)).is_continue() {}
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, unless the daemon ends.
    fn rest(&self, time: Duration) -> Goes {
        match self.ends.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Goes::Continue(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Goes::Break(()),
        }
    }

    /// Goes through the store once, from where it was.
    fn pass(&self) -> Goes {
        let pass = self.log().pass.take();
        let fresh = || Pass { began_ms: now_ms(), ..Pass::default() };
        let mut pass = pass.unwrap_or_else(fresh);
        let from = (space_of(pass.at.0), pass.at.1.clone());
        let (mut step, mut unkept) = (0, 0);
        let mut goes = Goes::Continue(());
        let walked = self.checker.walk((from.0, &from.1), &mut |space, key, value| {
            match value {
                Ok(value) => {
                    let bytes = (key.len() + value.len()) as u64;
                    pass.values += 1;
                    pass.bytes += bytes;
                    step += bytes + VALUE_BYTES;
                    unkept += bytes;
                }
                Err(error) => goes = self.found(&mut pass, space, key, error),
            }
            pass.at = (space as u8, key.to_vec());
            pass.at.1.push(0);
            if step >= STEP_BYTES && goes.is_continue() {
                step = 0;
                self.log().pass = Some(pass.clone());
                if unkept >= KEEP_BYTES {
                    unkept = 0;
                    goes = self.keep();
                }
                if goes.is_continue() {
                    goes = self.rest(REST);
                }
            }
            goes
        });
        if goes.is_break() {
            return goes;
        }
        if let Err(error) = walked {
            pass.broke_off = Some(error.to_string());
            if error.is_damage() {
                self.tell(error)?;
            }
        }
        pass.ended_ms = now_ms();
        tracing::info!(bytes = pass.bytes, damaged = pass.damaged, "the store was read through");
        let mut log = self.log();
        (log.pass, log.last) = (None, Some(pass));
        drop(log);
        self.keep()
    }

    fn found(&self, pass: &mut Pass, space: Space, key: &[u8], error: StoreError) -> Goes {
        pass.damaged += 1;
        let mut log = self.log();
        let place = (space as u8, key.to_vec());
        if log.found.len() < FOUND_MAX && !log.found.contains(&place) {
            log.found.push(place);
        }
        drop(log);
        if pass.damaged > TOLD_MAX { Goes::Continue(()) } else { self.tell(error) }
    }

    /// Tells the core what is damaged.
    fn tell(&self, error: StoreError) -> Goes {
        self.ask(move |core| {
            core.found_damaged(&error);
            Ok(())
        })
    }

    /// Writes down how far it is.
    fn keep(&self) -> Goes {
        let log = self.log().clone();
        self.ask(move |core| core.keep_patrol(log))
    }

    /// Hands something to the core, whatever comes of it; ends with the core.
    fn ask(&self, what: impl FnOnce(&mut Core) -> Result<(), Failure> + Send + 'static) -> Goes {
        match self.core.begin(what) {
            Ok(_) => Goes::Continue(()),
            Err(_) => Goes::Break(()),
        }
    }
}

impl Core {
    /// Damage that nobody asked about: it is remembered, and what peers may have is fetched again.
    fn found_damaged(&mut self, error: &StoreError) {
        tracing::warn!(%error, "found by reading the store through");
        let _ = self.met(error);
        let StoreError::Damaged { space: Space::Attachments, key } = error else { return };
        let Some((record, id)) = attachment::of_row(key) else { return };
        let Ok(Some(detail)) = self.visible_or_not(record) else { return };
        let files = Manifest::all(&detail.fields);
        let Some(file) = files.iter().find(|file| file.id == id) else { return };
        let now = self.now();
        if let Err(error) = self.replica.fetch(now, detail.compartment, record, file) {
            tracing::debug!(%error, "what rotted of a file is not asked for");
        }
    }

    /// Writes down how far the store was read through; what was mended meanwhile is damage no more.
    fn keep_patrol(&mut self, mut log: Log) -> Result<(), Failure> {
        self.forget_mended();
        self.check_room()?;
        let store = self.replica.store();
        log.found.retain(|(space, key)| store.get(space_of(*space), key).is_err());
        let mut batch = Batch::default();
        let kept = serde_json::to_vec(&log).map_err(|error| Failure::bug(error.to_string()))?;
        batch.put(Space::Meta, KEY, kept);
        self.replica.put(batch).map_err(|error| self.met(&error))?;
        Ok(())
    }
}

fn space_of(number: u8) -> Space {
    Space::ALL.get(usize::from(number)).copied().unwrap_or(Space::Meta)
}
