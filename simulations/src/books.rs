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
    /// Which posts have it on their disks.
    pub(crate) has: Vec<bool>,
    /// Whether all disks that held it were lost: nobody can be asked for it.
    pub(crate) gone: bool,
}

/// All records.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) records: Vec<Record>,
    numbers: BTreeMap<RecordId, u32>,
    /// Text of all records and changes.
    pub(crate) text_bytes: u64,
    /// Records and changes.
    pub(crate) entries: u64,
}

impl Books {
    pub(crate) fn add(&mut self, record: Record) -> u32 {
        let number = self.records.len() as u32;
        self.numbers.insert(record.id, number);
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
    }

    /// A post's disk is gone, and with it what nobody else has.
    pub(crate) fn lost_disk(&mut self, post: u32) {
        for record in &mut self.records {
            let had = record.has.get_mut(post as usize).is_some_and(std::mem::take);
            if (had || record.by == post) && !record.has.contains(&true) {
                record.gone = true;
            }
        }
    }

    /// Whose record it is.
    pub(crate) fn compartment_of(&self, id: &RecordId) -> Option<u32> {
        let number = *self.numbers.get(id)?;
        self.records.get(number as usize).map(|record| record.compartment)
    }
}

impl Record {
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
            has: vec![false; posts],
            gone: false,
        }
    }
}
