//! Offers: what of an entry a peer is sent that does not want everything ([`super::interest`]).
//!
//! It is judged by what is known here: the entry's header, and what its record began as and says now. Nothing is
//! judged by what the peer cannot open.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::entry::sealed::{EntryKind, LogCipher, SealedHeader};
use tearline_crdt::epoch::EpochKeys;
use tearline_crdt::id::{Class, DeviceId, EpochId, LogId, RecordId};
use tearline_crdt::logbook::Stretch;
use tearline_crdt::logbook::holes::Offered;
use tearline_crdt::record::shelf::Gist;
use tearline_crdt::statement::Right;
use tearline_crdt::store::{Store, StoreError};

use super::repair::unless_damaged;
use super::{Link, Replica};
use crate::interest::Interest;

/// Most records of which it is remembered what they are.
const GISTS_MAX: usize = 4_096;

impl<S: Store> Replica<S> {
    /// What is sent of a stretch of a log to a peer.
    pub(super) fn without_aside(
        &mut self,
        link: Link,
        log: &LogId,
        stretch: Stretch,
    ) -> Result<Stretch, StoreError> {
        let theirs = self.sessions.get(&link).and_then(|session| session.aside.theirs().cloned());
        let Some(theirs) = theirs.filter(|_| log.class > Class::Flash) else { return Ok(stretch) };
        // It was read as whole entries.
        let Ok(offered) = stretch.offered() else { return Ok(stretch) };
        let wanted = self.judge(link, &theirs, log, &offered)?;
        let aside: BTreeSet<u64> =
            offered.iter().map(|offered| offered.seq).filter(|seq| !wanted.contains(seq)).collect();
        if aside.is_empty() {
            return Ok(stretch);
        }
        let whole = stretch.clone();
        Ok(stretch.leave_out(&aside).unwrap_or(whole))
    }

    /// Which of these entries a peer wants.
    pub(super) fn judge(
        &mut self,
        link: Link,
        theirs: &Interest,
        log: &LogId,
        offered: &[Offered],
    ) -> Result<BTreeSet<u64>, StoreError> {
        let Some(last) = offered.last() else { return Ok(BTreeSet::new()) };
        // What came here before a time was written before it: whoever cannot know more, knows that.
        let arrived = self.logbook.arrived(&self.store, log, last.seq).or_else(|error| {
            if matches!(error, StoreError::Damaged { .. }) { Ok(None) } else { Err(error) }
        })?;
        let mut readers = Readers::new(self, link, log);
        let mut wanted = BTreeSet::new();
        for one in offered {
            let header =
                if readers.reads(self, &one.epoch) { readers.open(self, one) } else { None };
            let wall = header.as_ref().map(|header| header.wall).or(arrived);
            let is_wanted = match header {
                _ if !theirs.wants(log.class, wall, None) => {
                    header.is_some_and(|header| header.kind == EntryKind::LABEL)
                }
                Some(header) if header.kind != EntryKind::LABEL => {
                    theirs.wants_of_any_record(log.class, wall)
                        || theirs.wants(log.class, wall, self.gist(header.record)?.as_ref())
                }
                _ => true,
            };
            wanted.extend(is_wanted.then_some(one.seq));
        }
        Ok(wanted)
    }

    /// What is known here of a record; `None` if it cannot be judged.
    fn gist(&mut self, record: RecordId) -> Result<Option<Gist>, StoreError> {
        let version = unless_damaged(self.record_version(&record))?;
        let Some(version) = version else { return Ok(None) };
        if let Some((of, gist)) = self.interests.gists.get(&record)
            && *of == version
        {
            return Ok(gist.clone());
        }
        let gist = unless_damaged(self.records(|reader| reader.gist(record)))?;
        if self.interests.gists.len() >= GISTS_MAX {
            self.interests.gists.clear();
        }
        self.interests.gists.insert(record, (version, gist.clone()));
        Ok(gist)
    }
}

/// Ciphers of one log.
#[derive(Default)]
pub(super) struct Ciphers(BTreeMap<EpochId, LogCipher>);

impl Ciphers {
    pub(super) fn open(
        &mut self,
        keys: &BTreeMap<EpochId, EpochKeys>,
        log: &LogId,
        Offered { seq, epoch, sealed, box_hash }: &Offered,
    ) -> Option<SealedHeader> {
        let keys = keys.get(epoch)?;
        let of_epoch = self.0.entry(*epoch);
        let cipher = of_epoch.or_insert_with(|| LogCipher::new(*log, *epoch, keys.clone()));
        cipher.open_header(*seq, sealed, box_hash.as_ref()).ok()
    }
}

/// What a peer can open of a log.
struct Readers {
    log: LogId,
    device: Option<DeviceId>,
    reads: BTreeMap<EpochId, bool>,
    ciphers: Ciphers,
}

impl Readers {
    fn new<S: Store>(replica: &Replica<S>, link: Link, log: &LogId) -> Self {
        let device = replica.sessions.get(&link).map(|session| session.device);
        let may = |device: &DeviceId| replica.right(log.compartment, device) >= Some(Right::Read);
        let device = device.filter(may);
        Self { log: *log, device, reads: BTreeMap::new(), ciphers: Ciphers::default() }
    }

    /// Whether the peer has the keys of an epoch, as far as that is known.
    fn reads<S: Store>(&mut self, replica: &Replica<S>, epoch: &EpochId) -> bool {
        let Some(device) = self.device else { return false };
        let known = replica.compartment(self.log.compartment);
        let has = || known.is_some_and(|known| known.may_be_boxed(epoch, &device));
        *self.reads.entry(*epoch).or_insert_with(has)
    }

    fn open<S: Store>(&mut self, replica: &Replica<S>, offered: &Offered) -> Option<SealedHeader> {
        self.ciphers.open(&replica.epoch_keys, &self.log, offered)
    }
}
