//! Frames read back as they were written, and nothing else is read as one.

use super::*;
use crate::gossip::wire::TreeMessage;
use proptest::prelude::*;

fn samples() -> Vec<Frame> {
    let leaf = Leaf { key: LogKey([3; 16]), next: 300, head: [4; 8] };
    vec![
        Frame::Open { digest: [1; 16], nonce: [2; 8] },
        Frame::Same,
        Frame::Behind,
        Frame::Hello { digest: [2; 16], areas: vec![([3; 8], [4; 16])] },
        Frame::Intro { opening: vec![1, 2, 3] },
        Frame::Nodes {
            area: [1; 8],
            nodes: vec![
                (Prefix::default(), Subtree::Branches(vec![(0, [1; 16]), (15, [2; 16])])),
                (Prefix::default().child(3), Subtree::Leaves(vec![leaf])),
            ],
        },
        Frame::Positions { area: [1; 8], positions: vec![leaf] },
        Frame::Run {
            area: [1; 8],
            key: LogKey([2; 16]),
            author: Some((DeviceId([3; 32]), Incarnation(4))),
            knows: Some([7; 16]),
            hops: None,
            left_out: false,
            first: 0,
            count: 1,
            entries: vec![5; 100],
            boxes: vec![6; 16],
        },
        Frame::Run {
            area: [1; 8],
            key: LogKey([2; 16]),
            author: None,
            knows: None,
            hops: Some(3),
            left_out: false,
            first: 300,
            count: 2,
            entries: vec![5; 100],
            boxes: vec![6; 32],
        },
        Frame::Interest { interest: vec![1, 0] },
        Frame::Lack { area: [1; 8], key: LogKey([2; 16]), any: true, spans: vec![3..5, 6..306] },
        Frame::Payloads {
            area: [1; 8],
            key: LogKey([2; 16]),
            done: true,
            payloads: vec![(3, vec![4; 5]), (300, vec![])],
        },
        Frame::Payloads { area: [1; 8], key: LogKey([2; 16]), done: false, payloads: vec![] },
        Frame::Have { area: [1; 8], logs: vec![(LogKey([2; 16]), 3)] },
        Frame::Fork { area: [1; 8], proof: vec![1] },
        Frame::Evidence { area: [1; 8], branches: vec![1] },
        Frame::Join { request: vec![1] },
        Frame::JoinAnswer { answer: vec![1] },
        Frame::Decline { area: [1; 8], logs: vec![(LogKey([2; 16]), 3)] },
        Frame::Gone { area: [1; 8], logs: vec![(LogKey([2; 16]), 3)] },
        Frame::Bring { area: [1; 8], logs: vec![(LogKey([2; 16]), 300)] },
        Frame::Wait { area: [1; 8], logs: vec![(LogKey([2; 16]), 300)] },
        Frame::Whereabouts { known: [1; 8], cards: vec![vec![2; 3], vec![]] },
        Frame::Fetch {
            area: [1; 8],
            record: RecordId([2; 16]),
            attachment: AttachmentId([3; 32]),
            from: 300,
        },
        Frame::Presence { area: [1; 8], cards: vec![vec![2; 3], vec![]] },
        Frame::Part { attachment: AttachmentId([3; 32]), from: 300, bytes: vec![4; 5] },
        Frame::Part { attachment: AttachmentId([3; 32]), from: 0, bytes: Vec::new() },
        Frame::Strays {
            area: [1; 8],
            answer: true,
            span: (EntryId([0; 32]), EntryId([255; 32])),
            ids: vec![EntryId([1; 32]), EntryId([2; 32])],
        },
        Frame::Stray { area: [1; 8], stray: vec![1] },
        Frame::After { head: [1; 8] },
        Frame::Enclosure { kind: 1, part: vec![2; 3] },
        Frame::Enclosure { kind: 2, part: Vec::new() },
        Frame::Gossip { area: [1; 8], message: Message::Tree(TreeMessage::Graft) },
        Frame::Ask {
            area: [1; 8],
            key: LogKey([2; 16]),
            first: 3,
            end: 300,
            head: EntryId([4; 32]),
        },
        Frame::Piece {
            area: [1; 8],
            key: LogKey([2; 16]),
            knows: Some([7; 16]),
            from: Head { next: 300, id: EntryId([3; 32]), epoch: EpochId([4; 32]) },
            count: 2,
            entries: vec![5; 100],
            boxes: vec![6; 32],
        },
    ]
}

#[test]
fn frames_read_back_and_no_truncation_does() {
    for frame in samples() {
        let bytes = frame.encode();
        assert_eq!(Frame::decode(&bytes), Ok(frame.clone()));
        // The entries of a run end with their frame, and so do a part of a file and of what is enclosed.
        let open = match &frame {
            Frame::Run { entries, .. } | Frame::Piece { entries, .. } => Some(entries.len()),
            Frame::Part { bytes, .. } | Frame::Enclosure { part: bytes, .. } => Some(bytes.len()),
            _ => None,
        };
        for len in 0..bytes.len() - open.unwrap_or_default() {
            assert!(Frame::decode(&bytes[..len]).is_err(), "{frame:?} cut at {len}");
        }
        assert_eq!(Frame::decode(&[bytes, vec![0]].concat()).is_err(), open.is_none());
    }
}

#[test]
fn one_entry_has_one_form_of_run() {
    let run = |count, boxes: usize| Frame::Run {
        area: [1; 8],
        key: LogKey([2; 16]),
        author: None,
        knows: None,
        hops: None,
        left_out: false,
        first: 0,
        count,
        entries: vec![5; 9],
        boxes: vec![6; boxes],
    };
    let sizes = [(1, 16), (1, 0), (1, 32), (2, 16)].map(|(count, boxes)| {
        let bytes = run(count, boxes).encode();
        assert_eq!(Frame::decode(&bytes), Ok(run(count, boxes)));
        bytes.len()
    });
    assert_eq!(sizes, [52, 36, 70, 54]);
    // The long form of what has a short one, and a box beside several entries.
    let before: Vec<u8> = [&[8][..], &[1; 8], &[2; 16]].concat();
    for rest in [&[0, 0, 1, 0, 5][..], &[8, 0, 1, 0, 5], &[16, 0, 1, 2, 0, 5], &[64, 0, 1, 0, 5]] {
        assert!(Frame::decode(&[&before, rest].concat()).is_err(), "{rest:?}");
    }
}

#[test]
fn meeting_in_sync_costs_at_most_40_bytes() {
    let open = Frame::Open { digest: [1; 16], nonce: [2; 8] }.encode();
    assert!(open.len() + Frame::Same.encode().len() <= 40);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(frame) = Frame::decode(&bytes) {
            prop_assert_eq!(frame.encode(), bytes);
        }
    }
}
