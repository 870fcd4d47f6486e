//! What it costs to find changes that lie scattered over many records and authors.
//!
//! Forty devices write all records. Two peers hold them and are in sync; they are cut off from each
//! other; changes of records here and there reach one of the two. Then they meet.

use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::id::{Class, CompartmentId, LogId, RecordId};
use tearline_crdt::record::shelf::Draft;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link};

use crate::forger::{link_as, tag};
use crate::world::{World, draft, protocol_bytes};

/// Devices that write, beside the two that meet.
pub(crate) const WRITERS: usize = 40;
/// Changes between two meetings.
pub(crate) const CHANGES: usize = 100;
/// Bytes of all frames both ways that a meeting may cost beyond its entries.
pub(crate) const BEYOND_BYTES_MAX: usize = 4_000;

/// What a meeting took.
#[derive(Debug)]
pub(crate) struct Meeting {
    /// Bytes of all frames both ways, without those of entries.
    pub(crate) beyond: usize,
    /// Bytes of entries, with their key boxes.
    pub(crate) entries: usize,
    /// How many frames the peer that is ahead sent before the first with entries.
    pub(crate) before_entries: usize,
}

/// Two peers, the writers, and the records of each.
pub(crate) struct Scattered {
    world: World,
    all: CompartmentId,
    records: Vec<Vec<RecordId>>,
    next_link: u64,
    next_value: u64,
}

impl Scattered {
    /// Both peers hold so many records of each writer.
    pub(crate) fn new(records_each: usize) -> Self {
        let mut world = World::new(2 + WRITERS);
        let coalition = world.coalition();
        let agencies: Vec<u16> = (1..=2 + WRITERS as u16).collect();
        (1..2 + WRITERS).for_each(|peer| world.meet(peer, 0));
        let all = world.open(0, coalition, &agencies);
        (1..2 + WRITERS).for_each(|peer| world.meet(peer, 0));
        let mut scattered =
            Self { world, all, records: Vec::new(), next_link: 1_000_000, next_value: 1_000 };
        for writer in 2..2 + WRITERS {
            let mut records = Vec::new();
            while records.len() < records_each {
                let count = (records_each - records.len()).min(200);
                let drafts = (0..count).map(|n| draft(&format!("{writer}/{n}"))).collect();
                records.extend(scattered.world.act(writer, all, Class::Routine, drafts));
            }
            scattered.records.push(records);
            scattered.carry(writer, &[0, 1], 0);
        }
        scattered.world.meet(1, 0);
        scattered
    }

    /// Brings what a writer wrote from a position on to peers, which send it nothing back.
    fn carry(&mut self, writer: usize, to: &[usize], from: u64) {
        self.world.settle();
        for peer in to {
            self.next_link += 1;
            let link = Link(self.next_link);
            let seed = writer as u8 + 1;
            link_as(&mut self.world, *peer, seed, link);
            let area = tag(&self.world, *peer, seed, self.all);
            for bytes in self.runs(writer, area, from) {
                self.world.input(*peer, Input::Frame { link, bytes });
            }
            self.world.settle();
            self.world.input(*peer, Input::Down { link });
        }
        self.world.peers.iter_mut().for_each(|peer| {
            assert!(peer.replica.faults().is_empty());
            peer.sent.clear();
            peer.events.clear();
        });
    }

    fn log(&self, writer: usize) -> LogId {
        self.world.peers[writer].replica.own_log(self.all, Class::Routine)
    }

    fn runs(&self, writer: usize, area: tearline_mesh::wire::Tag, from: u64) -> Vec<Vec<u8>> {
        let replica = &self.world.peers[writer].replica;
        let log = self.log(writer);
        let end = replica.logbook().head(&log).next;
        let mut next = from;
        let mut frames = Vec::new();
        while next < end {
            let read = replica.logbook().read(replica.store(), &log, next..end, 128 * 1024);
            let stretch = read.unwrap().unwrap();
            let frame = Frame::Run {
                area,
                key: tearline_crdt::frontier::LogKey::of(&log),
                author: (next == 0).then_some((log.device, log.incarnation)),
                knows: None,
                hops: None,
                left_out: false,
                first: next,
                count: stretch.count,
                entries: stretch.entries,
                boxes: stretch.boxes,
            };
            frames.push(frame.encode());
            next += stretch.count as u64;
        }
        frames
    }

    /// Changes records of all writers, here and there, and brings that to one of the two.
    pub(crate) fn change(&mut self) {
        for writer in 0..WRITERS {
            let log = self.log(writer + 2);
            let before = self.world.peers[writer + 2].replica.logbook().head(&log).next;
            let records = self.records[writer].clone();
            for n in (0..CHANGES).filter(|n| n % WRITERS == writer) {
                let record = records[(n * 7_919 + writer * 31) % records.len()];
                let mut patch = Patch::default();
                patch.set(vec![Segment::Name("count".into())], self.next_value.into());
                self.next_value += 1;
                let edit = Draft::Edit { record, patch };
                self.world.act(writer + 2, self.all, Class::Routine, vec![edit]);
            }
            self.carry(writer + 2, &[0], before);
        }
    }

    /// The peer that is ahead starts anew, and remembers nothing of the other.
    pub(crate) fn forget(&mut self) {
        self.world.crash(0);
        self.world.crash(1);
    }

    /// The peer that is behind dials the one that is ahead. Afterwards they hold the same.
    pub(crate) fn meet(&mut self) -> Meeting {
        assert!(!self.world.digests_equal(0, 1));
        self.world.peers.iter_mut().for_each(|peer| peer.sent.clear());
        self.world.meet(1, 0);
        assert!(self.world.digests_equal(0, 1));
        let beyond = self.world.peers.iter().map(|peer| protocol_bytes(&peer.sent)).sum();
        let bytes: usize = self.world.peers.iter().flat_map(|peer| &peer.sent).map(Vec::len).sum();
        let carries = |frame: &Vec<u8>| matches!(Frame::decode(frame), Ok(Frame::Run { .. }));
        let before_entries = self.world.peers[0].sent.iter().position(carries).unwrap();
        assert!(bytes > beyond);
        Meeting { beyond, entries: bytes - beyond, before_entries }
    }
}
