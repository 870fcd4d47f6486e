//! Frames that are refused by what they say of themselves, as in the table of `docs/protocol/sync.md`.

use tearline_crdt::entry::NO_EPOCH;
use tearline_crdt::entry::fork::ForkProof;
use tearline_crdt::entry::run::{Head, NewEntry, write_segment};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, EntryId, Incarnation, LogId, StatementId};
use tearline_crdt::statement::Statement;
use tearline_mesh::wire::Frame;

use crate::forger::{log, tag};
use crate::refusals::{HOSTILE, Stage, stage};
use crate::strays::first_of;
use crate::world::keys;

impl Stage {
    /// The hostile member says a frame, which costs it the link and leaves this many such faults.
    fn refused(&mut self, frame: &Frame, name: &'static str, times: u64) {
        let link = self.link();
        self.world.inject(0, link, frame.encode());
        assert!(self.world.peers[0].closed.iter().any(|(closed, _)| *closed == link), "{name}");
        self.only(0, HOSTILE, name, times);
    }
}

#[test]
fn a_run_under_the_key_of_another_log_is_refused() {
    let mut stage = stage();
    let whole = stage.whole();
    let said = vec![(Statement::Approve { act: StatementId([9; 32]) }, None)];
    let run = stage.written(HOSTILE, whole, said);
    let place = *run.log();
    let other = LogId { incarnation: Incarnation(9), ..place };
    let frame = Frame::Run {
        area: tag(&stage.world, 0, HOSTILE, whole),
        key: LogKey::of(&other),
        author: Some((place.device, place.incarnation)),
        knows: None,
        hops: None,
        left_out: false,
        first: 0,
        count: 1,
        entries: run.bytes().to_vec(),
        boxes: run.boxes(),
    };
    stage.refused(&frame, "bad-log-key", 1);
    let known = stage.world.peers[0].replica.logbook();
    assert!(known.state(&place).is_none() && known.state(&other).is_none());
    stage.goes_on();
}

#[test]
fn a_fork_proof_of_another_place_and_evidence_out_of_order_are_refused() {
    let mut stage = stage();
    let whole = stage.whole();
    let entry = |n: u8| {
        let log = log(whole, Class::Authority, HOSTILE, 2);
        let sealed = Statement::Approve { act: StatementId([n; 32]) }.encode();
        let entry = NewEntry { epoch: NO_EPOCH, sealed, key_box: None, payload: None };
        write_segment(&log, &Head::EMPTY, keys(HOSTILE).signer(), &[entry]).unwrap()
    };
    let proof = ForkProof::new(first_of(&entry(1)), first_of(&entry(2))).unwrap();
    let elsewhere = tag(&stage.world, 0, HOSTILE, stage.all);
    stage.refused(&Frame::Fork { area: elsewhere, proof: proof.encode() }, "bad-fork-proof", 1);
    let area = tag(&stage.world, 0, HOSTILE, whole);
    let mut branches = Vec::new();
    for n in [1, 2] {
        first_of(&entry(n)).encode(&mut branches);
    }
    stage.refused(&Frame::Evidence { area, branches }, "bad-fork-proof", 2);
    let log = log(whole, Class::Authority, HOSTILE, 2);
    let known = stage.world.peers[0].replica.logbook();
    assert!(known.state(&log).is_none_or(|state| state.proven_at.is_none()));
    stage.goes_on();
}

#[test]
fn strays_out_of_their_order_or_span_are_refused() {
    let mut stage = stage();
    let whole = stage.whole();
    let area = tag(&stage.world, 0, HOSTILE, whole);
    let id = |n: u8| EntryId([n; 32]);
    let wrong = [
        ((id(0), id(9)), vec![id(5), id(4)]),
        ((id(0), id(9)), vec![id(5), id(5)]),
        ((id(4), id(9)), vec![id(4)]),
        ((id(0), id(3)), vec![id(4)]),
        ((id(9), id(0)), vec![]),
    ];
    for (n, (span, ids)) in (1..).zip(wrong) {
        stage.refused(&Frame::Strays { area, answer: false, span, ids }, "bad-stray", n);
    }
    stage.goes_on();
}
