//! The books of a run: every record that was written, and who had it when.

use std::collections::BTreeMap;

use tearline_crdt::id::{Class, RecordId};

use crate::agenda::{NEVER, Nanos};

/// A record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: RecordId,
    /// When it was written.
    pub(crate) at: Nanos,
    pub(crate) by: u32,
    pub(crate) compartment: u32,
    pub(crate) class: Class,
    /// How much text it has: no frame that carries it is shorter.
    pub(crate) bytes: u64,
    /// When its author was told that it is on disk.
    pub(crate) acknowledged: Nanos,
    /// When each post first had it on its disk.
    pub(crate) had: Vec<Nanos>,
    /// Which posts may read it; of flashes alone.
    pub(crate) meant: Vec<bool>,
    /// Which posts have it on their disks.
    pub(crate) has: Vec<bool>,
    /// Whether nobody can be asked for it: all disks that held it were lost, or it does not count.
    pub(crate) gone: bool,
    /// Posts whose standing had ended as far as its author knew.
    pub(crate) closed_to: Vec<u32>,
}

/// All records.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) records: Vec<Record>,
    numbers: BTreeMap<RecordId, u32>,
    /// Flashes that some post lacks that may read them.
    pub(crate) flashes: Vec<usize>,
    /// Text of all records and changes.
    pub(crate) text_bytes: u64,
    /// Records and changes.
    pub(crate) entries: u64,
}

impl Books {
    pub(crate) fn add(&mut self, record: Record) -> u32 {
        let number = self.records.len() as u32;
        self.numbers.insert(record.id, number);
        if record.class == Class::Flash {
            self.flashes.push(number as usize);
        }
        self.records.push(record);
        number
    }

    pub(crate) fn acknowledge(&mut self, number: u32, now: Nanos) {
        if let Some(record) = self.records.get_mut(number as usize) {
            record.acknowledged = record.acknowledged.min(now);
        }
    }

    /// A post has a record on its disk.
    pub(crate) fn arrived(&mut self, post: u32, id: &RecordId, now: Nanos) {
        let number = self.numbers.get(id).copied();
        let record = number.and_then(|number| self.records.get_mut(number as usize));
        let Some(record) = record else { return };
        if let Some(had) = record.had.get_mut(post as usize) {
            *had = (*had).min(now);
        }
        if let Some(has) = record.has.get_mut(post as usize) {
            *has = true;
        }
        let everywhere =
            || record.had.iter().zip(&record.meant).all(|(had, meant)| !meant || *had != NEVER);
        if record.class == Class::Flash && everywhere() {
            self.flashes.retain(|flash| Some(*flash as u32) != number);
        }
    }

    /// A post's disk is gone, and with it what no other honest post has.
    pub(crate) fn lost_disk(&mut self, post: u32, honest: &[bool]) {
        for record in &mut self.records {
            let had = record.has.get_mut(post as usize).is_some_and(std::mem::take);
            if (had || record.by == post) && !record.is_somewhere(honest) {
                record.gone = true;
            }
        }
    }

    /// A post's disk is as it was: what came since is not on it.
    pub(crate) fn rolled_back(&mut self, post: u32, to: Nanos, honest: &[bool]) {
        for record in &mut self.records {
            if record.had.get(post as usize).is_some_and(|had| *had >= to)
                && let Some(has) = record.has.get_mut(post as usize)
            {
                *has = false;
                record.gone |= !record.is_somewhere(honest);
            }
        }
    }

    /// What is not owed to anybody of a post's records: it was written since a moment, or is not at another
    /// post.
    pub(crate) fn not_owed(&mut self, by: u32, since: Nanos, at: Option<u32>) {
        let elsewhere =
            |record: &Record| at.is_some_and(|post| record.has.get(post as usize) != Some(&true));
        for record in self.records.iter_mut().filter(|record| record.by == by) {
            record.gone |= record.at >= since || elsewhere(record);
        }
    }

    /// The record with an id.
    pub(crate) fn record(&self, id: &RecordId) -> Option<&Record> {
        self.records.get(*self.numbers.get(id)? as usize)
    }
}

impl Record {
    /// Whether it is on the disk of a post that passes it on.
    fn is_somewhere(&self, honest: &[bool]) -> bool {
        self.has.iter().zip(honest).any(|(has, honest)| *has && *honest)
    }

    /// A record that its author has just written.
    pub(crate) fn new(id: RecordId, at: Nanos, write: &crate::plan::Write, posts: usize) -> Self {
        Self {
            id,
            at,
            by: write.by,
            compartment: write.compartment,
            class: write.class,
            bytes: write.bytes,
            acknowledged: NEVER,
            had: vec![NEVER; posts],
            meant: Vec::new(),
            has: vec![false; posts],
            gone: false,
            closed_to: Vec::new(),
        }
    }
}
