//! A memo: what pure work came to, remembered for all replicas of one process.
//!
//! A simulation has thousands of replicas that verify the same runs, open the same entries and draw the
//! same answers from the same statements. Each of these is a function of its inputs alone, so a result
//! that one replica found is every other's, and nothing that is seen from outside depends on whether it
//! was remembered. What is remembered is a result for exactly these inputs, by a hash of all of them;
//! what fails is not remembered.
//!
//! Only the feature `memo` can make one that remembers. Without it [`Memo`] has no size and every
//! question is answered by doing the work, as in the daemon.

use std::sync::Arc;

use tearline_crdt::entry::run::{Head, RunFault, UnverifiedRun, VerifiedRun};
use tearline_crdt::hash::Digest;
use tearline_crdt::id::EpochId;
use tearline_crdt::record::shelf::Begun;

use crate::replica::Told;

/// What pure work came to. Clones remember together.
#[derive(Clone, Debug, Default)]
pub struct Memo {
    #[cfg(feature = "memo")]
    shared: Option<Arc<shared::Shared>>,
}

impl Memo {
    /// The run, verified on a head.
    pub(crate) fn verify(
        &self,
        run: &UnverifiedRun<'_>,
        head: &Head,
    ) -> Result<Arc<VerifiedRun>, RunFault> {
        #[cfg(feature = "memo")]
        if let Some(shared) = &self.shared {
            return shared.verify(run, head);
        }
        run.verify(head).map(Arc::new)
    }

    /// Notes the records that begin in a run of its author's own.
    pub(crate) fn note_begun(&self, run: &VerifiedRun, begun: &Begun) {
        #[cfg(feature = "memo")]
        if let Some(shared) = &self.shared {
            shared.note_begun(run, begun);
        }
        #[cfg(not(feature = "memo"))]
        let _ = (run, begun);
    }

    /// The records that begin in a run under epochs that can be opened, as far as that is remembered.
    pub(crate) fn begun(&self, run: &VerifiedRun, opens: impl Fn(&EpochId) -> bool) -> Begun {
        #[cfg(feature = "memo")]
        if let Some(shared) = &self.shared {
            return shared.begun(run, opens);
        }
        let _ = (run, opens);
        Begun::default()
    }

    /// Whether anything is remembered.
    pub(crate) const fn remembers(&self) -> bool {
        #[cfg(feature = "memo")]
        return self.shared.is_some();
        #[cfg(not(feature = "memo"))]
        false
    }

    /// What the authority logs of an area come to that have these heads.
    pub(crate) fn told(&self, heads: &Digest) -> Option<Told> {
        #[cfg(feature = "memo")]
        if let Some(shared) = &self.shared {
            return shared.told(heads);
        }
        let _ = heads;
        None
    }

    /// Notes what they come to.
    pub(crate) fn note_told(&self, heads: Digest, told: Told) {
        #[cfg(feature = "memo")]
        if let Some(shared) = &self.shared {
            shared.note_told(heads, told);
        }
        #[cfg(not(feature = "memo"))]
        drop((heads, told));
    }
}

#[cfg(feature = "memo")]
impl Memo {
    /// One that remembers, up to a bound.
    #[must_use]
    pub fn remembering() -> Self {
        Self { shared: Some(Arc::default()) }
    }

    /// How often a verified run was there, and how often a signature was checked.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        self.shared.as_ref().map_or((0, 0), |shared| shared.counts())
    }
}

#[cfg(feature = "memo")]
mod shared {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use tearline_crdt::hash::{Domain, sha256};
    use tearline_crdt::id::EntryId;
    use tearline_crdt::keys::verify;
    use tearline_crdt::record::shelf::Beginning;

    use super::{Arc, Begun, Digest, EpochId, Head, RunFault, Told, UnverifiedRun, VerifiedRun};

    /// Most bytes of runs that are remembered. Past it all are forgotten: what is still on its way is soon
    /// remembered again.
    const RUN_BYTES_MAX: usize = 256 * 1024 * 1024;
    /// Most signatures of which it is remembered that they hold.
    const SIGNATURES_MAX: usize = 4_000_000;
    /// Most beginnings that are remembered.
    const BEGUN_MAX: usize = 1_000_000;
    /// Most sets of authority logs of which it is remembered what they come to.
    const TOLD_MAX: usize = 1_024;

    #[derive(Debug, Default)]
    pub(super) struct Shared(Mutex<Tables>);

    #[derive(Debug, Default)]
    struct Tables {
        runs: BTreeMap<Digest, Arc<VerifiedRun>>,
        signatures: BTreeSet<Digest>,
        run_bytes: usize,
        begun: BTreeMap<EntryId, Arc<Beginning>>,
        told: BTreeMap<Digest, Told>,
        found: u64,
        done: u64,
    }

    impl Shared {
        fn tables(&self) -> MutexGuard<'_, Tables> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(super) fn verify(
            &self,
            run: &UnverifiedRun<'_>,
            head: &Head,
        ) -> Result<Arc<VerifiedRun>, RunFault> {
            let key = key_of(run, head);
            let mut tables = self.tables();
            if let Some(known) = tables.runs.get(&key).cloned() {
                tables.found += 1;
                return Ok(known);
            }
            // Others may have come in runs that are cut elsewhere.
            let Tables { signatures, done, .. } = &mut *tables;
            let verified = run.verify_with(head, |device, bytes, signature| {
                let key = sha256(&[&device.0[..], signature, bytes].concat());
                let holds = || verify(&device.0, Domain::Entry, bytes, signature);
                let known = signatures.contains(&key) || {
                    *done += 1;
                    holds()
                };
                if known && signatures.len() < SIGNATURES_MAX {
                    signatures.insert(key);
                }
                known
            })?;
            let verified = Arc::new(verified);
            tables.run_bytes += run.entries.len() + run.boxes.len();
            if tables.run_bytes > RUN_BYTES_MAX {
                tables.runs.clear();
                tables.run_bytes = run.entries.len() + run.boxes.len();
            }
            tables.runs.insert(key, Arc::clone(&verified));
            Ok(verified)
        }

        pub(super) fn note_begun(&self, run: &VerifiedRun, begun: &Begun) {
            let mut tables = self.tables();
            for entry in run.entries() {
                let Some(beginning) = begun.get(&entry.seq) else { continue };
                if tables.begun.len() >= BEGUN_MAX {
                    tables.begun.clear();
                }
                tables.begun.insert(entry.id, Arc::clone(beginning));
            }
        }

        pub(super) fn begun(&self, run: &VerifiedRun, opens: impl Fn(&EpochId) -> bool) -> Begun {
            let tables = self.tables();
            let entries = run.entries().iter();
            let whole = entries.filter(|entry| !entry.detached && opens(&entry.epoch));
            whole
                .filter_map(|entry| Some((entry.seq, Arc::clone(tables.begun.get(&entry.id)?))))
                .collect()
        }

        pub(super) fn told(&self, heads: &Digest) -> Option<Told> {
            self.tables().told.get(heads).cloned()
        }

        pub(super) fn note_told(&self, heads: Digest, told: Told) {
            let mut tables = self.tables();
            if tables.told.len() >= TOLD_MAX {
                tables.told.clear();
            }
            tables.told.insert(heads, told);
        }

        pub(super) fn counts(&self) -> (u64, u64) {
            let tables = self.tables();
            (tables.found, tables.done)
        }
    }

    /// A hash of all that a verified run is made of.
    fn key_of(run: &UnverifiedRun<'_>, head: &Head) -> Digest {
        let number = |n: u64| n.to_be_bytes();
        let mut bytes = Vec::with_capacity(run.entries.len() + run.boxes.len() + 192);
        bytes.extend(run.log.encode());
        bytes.extend(number(head.next));
        bytes.extend(head.id.0);
        bytes.extend(head.epoch.0);
        bytes.extend(number(run.count as u64));
        bytes.extend(number(run.boxes.len() as u64));
        bytes.extend(run.boxes);
        bytes.extend(run.entries);
        sha256(&bytes)
    }
}
