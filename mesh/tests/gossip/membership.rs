//! The views of one peer, message by message.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tearline_crdt::id::DeviceId;
use tearline_crdt::time::MonoTime;
use tearline_mesh::gossip::membership::{
    ACTIVE_MAX, ACTIVE_SHARE_MAX, ANSWER_MS, CONTACTS_MAX, DISPLACES_BURST, Input, JOINS_BURST,
    MIX_MS, Output, PASSES_ON_BURST, PASSIVE_MAX, PASSIVE_SHARE_MAX, SAYS_BURST, SHUFFLE_MS,
    WALK_HOPS_MAX,
};
use tearline_mesh::gossip::wire::MembershipMessage as Message;
use tearline_mesh::gossip::{GossipFault, Membership, Roll};

use crate::network::{Draws, Roster, device_of, number_of};

const AGENCIES: usize = 8;

/// Peer 0 of so many.
struct Peer {
    membership: Membership,
    roster: Roster,
    draws: Draws,
    now: u64,
}

impl Peer {
    fn of(count: usize) -> Self {
        let mut draws = Draws::new(1);
        Self {
            membership: Membership::new(device_of(0), MonoTime(0), &mut draws),
            roster: Roster::new(count, AGENCIES),
            draws,
            now: 0,
        }
    }

    /// One with these neighbours.
    fn with(count: usize, neighbours: &[usize]) -> Self {
        let mut peer = Self::of(count);
        for device in neighbours {
            peer.hears(*device, Message::Neighbour { urgent: true });
        }
        assert_eq!(peer.neighbours(), neighbours);
        peer
    }

    fn take(&mut self, input: Input) -> Vec<Output> {
        let now = MonoTime(self.now);
        self.membership.handle(now, input, &mut self.draws, &self.roster);
        std::iter::from_fn(|| self.membership.poll_output()).collect()
    }

    fn hears(&mut self, from: usize, message: Message) -> Vec<Output> {
        self.take(Input::Message { from: device_of(from), message })
    }

    fn waits(&mut self, ms: u64) -> Vec<Output> {
        self.now += ms;
        self.take(Input::Tick)
    }

    fn neighbours(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> =
            self.membership.neighbours().map(|device| number_of(&device)).collect();
        numbers.sort_unstable();
        numbers
    }

    fn contacts(&self) -> Vec<usize> {
        self.membership.contacts().map(|device| number_of(&device)).collect()
    }

    fn of_agency(&self, devices: &[usize], agency: usize) -> usize {
        devices.iter().filter(|device| *device % AGENCIES == agency).count()
    }
}

fn sends(to: usize, message: Message) -> Output {
    Output::Send { to: device_of(to), message }
}

fn up(device: usize) -> Output {
    Output::Up { device: device_of(device) }
}

fn sent(outputs: &[Output], wanted: impl Fn(&Message) -> bool) -> usize {
    let is = |output: &&Output| matches!(output, Output::Send { message, .. } if wanted(message));
    outputs.iter().filter(is).count()
}

fn contacts(numbers: impl IntoIterator<Item = usize>) -> Vec<DeviceId> {
    let mut contacts: Vec<DeviceId> = numbers.into_iter().map(device_of).collect();
    contacts.sort_unstable();
    contacts
}

#[test]
fn a_newcomer_is_taken_and_told_of_to_all_neighbours() {
    let mut peer = Peer::with(20, &[1, 2]);
    let outputs = peer.hears(3, Message::Join);
    let walk = Message::ForwardJoin { device: device_of(3), hops_left: WALK_HOPS_MAX };
    let mut expected = vec![up(3), sends(3, Message::Accept)];
    expected.extend(
        peer.membership
            .neighbours()
            .filter(|d| *d != device_of(3))
            .map(|to| Output::Send { to, message: walk.clone() }),
    );
    assert_eq!(outputs, expected);
}

#[test]
fn a_walk_goes_on_until_its_hops_are_used_up_and_ends_with_a_question() {
    let walk = |hops_left| Message::ForwardJoin { device: device_of(9), hops_left };
    let mut peer = Peer::with(20, &[1, 2]);
    assert_eq!(peer.hears(1, walk(4)), [sends(2, walk(3))]);
    assert_eq!(peer.hears(1, walk(0)), [sends(9, Message::Neighbour { urgent: true })]);
    assert_eq!(peer.hears(9, Message::Accept), [up(9)]);
    assert_eq!(peer.hears(1, walk(4)), [], "it has come in already");
}

#[test]
fn a_full_view_refuses_who_does_not_insist_and_makes_room_for_who_does() {
    let seven: Vec<usize> = (1..=ACTIVE_MAX).collect();
    let mut peer = Peer::with(40, &seven);
    assert_eq!(peer.hears(8, Message::Neighbour { urgent: false }), [sends(8, Message::Refuse)]);
    let outputs = peer.hears(8, Message::Neighbour { urgent: true });
    assert_eq!(sent(&outputs, |message| *message == Message::Disconnect), 1);
    assert_eq!(sent(&outputs, |message| *message == Message::Accept), 1);
    assert_eq!(peer.neighbours().len(), ACTIVE_MAX);
}

#[test]
fn who_was_not_asked_and_accepts_is_let_go() {
    let mut peer = Peer::with(20, &[1]);
    assert_eq!(peer.hears(5, Message::Accept), [sends(5, Message::Disconnect)]);
    assert_eq!(peer.neighbours(), [1]);
}

#[test]
fn a_walk_of_who_takes_us_for_a_neighbour_in_error_is_answered_so() {
    let mut peer = Peer::with(20, &[1, 2]);
    let shuffle = Message::Shuffle { origin: device_of(9), hops_left: 3, contacts: vec![] };
    assert_eq!(peer.hears(9, shuffle.clone()), [sends(9, Message::Disconnect)]);
    assert_eq!(sent(&peer.hears(1, shuffle), |message| *message == Message::Disconnect), 0);
}

#[test]
fn an_answer_that_does_not_come_is_waited_for_so_long() {
    let mut peer = Peer::of(20);
    let join = peer.take(Input::Join { contact: device_of(3) });
    assert_eq!(join, [sends(3, Message::Join)]);
    assert_eq!(peer.membership.deadline(), MonoTime(ANSWER_MS));
    peer.hears(4, Message::Shuffle { origin: device_of(4), hops_left: 0, contacts: vec![] });
    let outputs = peer.waits(ANSWER_MS);
    assert_eq!(sent(&outputs, |message| matches!(message, Message::Neighbour { .. })), 1);
}

#[test]
fn a_lost_neighbours_place_is_filled_from_the_contacts() {
    let mut peer = Peer::with(20, &[1, 2]);
    let shuffle = Message::Shuffle { origin: device_of(2), hops_left: 0, contacts: contacts([4]) };
    let outputs = peer.hears(2, shuffle);
    assert!(outputs.contains(&sends(4, Message::Neighbour { urgent: true })), "{outputs:?}");
    peer.hears(4, Message::Refuse);
    let outputs = peer.take(Input::Lost { device: device_of(1) });
    assert_eq!(outputs, [Output::Down { device: device_of(1) }], "who refused is left in peace");
    assert_eq!(peer.contacts(), [4]);
}

#[test]
fn a_shuffle_is_answered_by_as_many_contacts_as_it_brings() {
    let mut peer = Peer::with(60, &[1, 2]);
    let shuffle = |numbers: std::ops::Range<usize>| Message::Shuffle {
        origin: device_of(1),
        hops_left: 0,
        contacts: contacts(numbers),
    };
    peer.hears(1, shuffle(20..20 + CONTACTS_MAX));
    assert_eq!(peer.contacts().len(), CONTACTS_MAX);
    let outputs = peer.hears(1, shuffle(30..33));
    let answer = outputs.iter().find_map(|output| match output {
        Output::Send { to, message: Message::Contacts { contacts } } => Some((*to, contacts)),
        _ => None,
    });
    let (to, contacts) = answer.unwrap();
    assert_eq!((to, contacts.len()), (device_of(1), 3));
}

#[test]
fn contacts_that_were_not_asked_for_are_not_taken() {
    let mut peer = Peer::with(60, &[1, 2]);
    peer.hears(1, Message::Contacts { contacts: contacts(20..24) });
    assert_eq!(peer.contacts(), [0; 0]);
    let shuffled = peer.waits(SHUFFLE_MS * 5 / 4);
    assert_eq!(sent(&shuffled, |message| matches!(message, Message::Shuffle { .. })), 1);
    peer.hears(1, Message::Contacts { contacts: contacts(20..24) });
    let first = peer.contacts().len();
    assert!(first >= 3, "{first}");
    peer.hears(1, Message::Contacts { contacts: contacts(24..28) });
    assert_eq!(peer.contacts().len(), first, "once for each shuffle");
}

#[test]
fn forged_members_come_into_no_view() {
    let mut peer = Peer::with(20, &[1, 2]);
    let forged = contacts(1_000..1_000 + CONTACTS_MAX);
    peer.hears(1, Message::Shuffle { origin: device_of(1), hops_left: 0, contacts: forged });
    let walk = Message::ForwardJoin { device: device_of(1_000), hops_left: 0 };
    assert_eq!(peer.hears(1, walk), []);
    let shuffle = Message::Shuffle { origin: device_of(1_000), hops_left: 0, contacts: vec![] };
    assert_eq!(peer.hears(1, shuffle), []);
    assert_eq!(peer.hears(1_000, Message::Join), [], "and are not heard themselves");
    assert_eq!((peer.neighbours(), peer.contacts()), (vec![1, 2], vec![]));
}

#[test]
fn one_agencys_devices_fill_no_view_however_many_join() {
    let mut peer = Peer::with(4_000, &[1, 2, 3, 4, 5, 6, 7]);
    for n in 1..400 {
        peer.now += 250;
        peer.hears(3 + n * AGENCIES, Message::Join);
        let from = peer.neighbours()[0];
        let contacts = contacts((0..CONTACTS_MAX).map(|i| 3 + (n + i) * AGENCIES));
        let origin = device_of(from);
        peer.hears(from, Message::Shuffle { origin, hops_left: 0, contacts });
    }
    assert_eq!(peer.of_agency(&peer.neighbours(), 3), ACTIVE_SHARE_MAX);
    assert_eq!(peer.of_agency(&peer.contacts(), 3), PASSIVE_SHARE_MAX);
}

#[test]
fn a_flood_of_joins_is_taken_up_to_a_budget_and_the_rest_refused() {
    let mut peer = Peer::of(4_000);
    let (mut accepted, mut refused) = (0, 0);
    for n in 1..=10 * JOINS_BURST as usize {
        let outputs = peer.hears(n, Message::Join);
        accepted += sent(&outputs, |message| *message == Message::Accept);
        refused += sent(&outputs, |message| *message == Message::Refuse);
    }
    assert_eq!((accepted, refused), (JOINS_BURST as usize, 9 * JOINS_BURST as usize));
}

#[test]
fn neighbours_give_way_to_those_who_insist_up_to_a_budget() {
    let seven: Vec<usize> = (1..=ACTIVE_MAX).collect();
    let mut peer = Peer::with(4_000, &seven);
    let mut displaced = 0;
    for n in 0..10 * DISPLACES_BURST as usize {
        let outputs = peer.hears(100 + n, Message::Neighbour { urgent: true });
        displaced += sent(&outputs, |message| *message == Message::Disconnect);
    }
    assert_eq!(displaced, DISPLACES_BURST as usize);
}

#[test]
fn who_says_more_than_its_budget_is_blamed() {
    let mut peer = Peer::with(20, &[1, 2]);
    let mut faults = Vec::new();
    // One of them made it a neighbour.
    for _ in 0..SAYS_BURST {
        faults = peer.hears(1, Message::Refuse);
    }
    assert!(
        matches!(&faults[..], [Output::Fault { device, fault: GossipFault::Flood { .. } }]
            if *device == device_of(1)),
        "{faults:?}"
    );
    assert_eq!(peer.hears(2, Message::Refuse), []);
}

#[test]
fn nobody_is_made_to_flood_a_third() {
    let mut peer = Peer::with(20, &[1, 2, 3, 4]);
    let mut told = 0;
    for n in 0..4 * (SAYS_BURST as usize - 1) {
        let message = if n % 2 == 0 {
            Message::Shuffle { origin: device_of(9), hops_left: 0, contacts: vec![] }
        } else {
            Message::ForwardJoin { device: device_of(9), hops_left: 0 }
        };
        let outputs = peer.hears(1 + n / (SAYS_BURST as usize - 1), message);
        let to_it =
            |output: &&Output| matches!(output, Output::Send { to, .. } if *to == device_of(9));
        told += outputs.iter().filter(to_it).count();
        // It answers at once, and is not willing.
        peer.take(Input::Message { from: device_of(9), message: Message::Refuse });
    }
    assert!(told <= PASSES_ON_BURST as usize + 1, "{told}");
}

#[test]
fn a_device_whose_right_ended_is_no_neighbour_after_the_next_turn() {
    let mut peer = Peer::with(20, &[1, 2]);
    peer.roster = Roster::new(2, AGENCIES);
    let outputs = peer.waits(SHUFFLE_MS * 5 / 4);
    assert!(outputs.contains(&Output::Down { device: device_of(2) }), "{outputs:?}");
    assert_eq!(peer.neighbours(), [1]);
}

#[test]
fn a_new_neighbour_is_taken_from_the_roll_in_time() {
    let mut peer = Peer::with(4_000, &[1, 2, 3, 4, 5, 6, 7]);
    let mut asked = BTreeSet::new();
    for _ in 0..4 {
        peer.waits(MIX_MS * 5 / 4).into_iter().for_each(|output| {
            if let Output::Send { to, message: Message::Neighbour { urgent: true } } = output {
                asked.insert(to);
            }
        });
        peer.waits(ANSWER_MS);
    }
    assert!(asked.len() >= 2, "nobody but its neighbours told it of anybody: {asked:?}");
}

#[derive(Clone, Debug)]
enum Happens {
    Join(usize),
    Message(usize, Message),
    Lost(usize),
    Waits(u64),
}

/// Some devices beyond the last have no right.
const MEMBERS: usize = 60;

fn happens() -> impl Strategy<Value = Happens> {
    let number = || 0..MEMBERS + 5;
    let device = || number().prop_map(device_of);
    let some = || {
        prop::collection::btree_set(device(), 0..=CONTACTS_MAX)
            .prop_map(|set| set.into_iter().collect::<Vec<_>>())
    };
    let message = prop_oneof![
        Just(Message::Join),
        Just(Message::Accept),
        Just(Message::Refuse),
        Just(Message::Disconnect),
        any::<bool>().prop_map(|urgent| Message::Neighbour { urgent }),
        (device(), 0..=WALK_HOPS_MAX)
            .prop_map(|(device, hops_left)| Message::ForwardJoin { device, hops_left }),
        (device(), 0..=WALK_HOPS_MAX, some()).prop_map(|(origin, hops_left, contacts)| {
            Message::Shuffle { origin, hops_left, contacts }
        }),
        some().prop_map(|contacts| Message::Contacts { contacts }),
    ];
    prop_oneof![
        1 => number().prop_map(Happens::Join),
        12 => (number(), message).prop_map(|(from, message)| Happens::Message(from, message)),
        1 => number().prop_map(Happens::Lost),
        1 => (0..2 * SHUFFLE_MS).prop_map(Happens::Waits),
    ]
}

proptest! {
    /// Whatever comes in whatever order: the views stay within their bounds and shares, without the peer
    /// itself, without doubles, without forged members; and their parent is told of every change.
    #[test]
    fn no_input_breaks_a_view(course in prop::collection::vec(happens(), 0..300)) {
        let mut peer = Peer::of(MEMBERS);
        let mut told = BTreeSet::new();
        for happens in course {
            let outputs = match happens {
                Happens::Join(contact) => peer.take(Input::Join { contact: device_of(contact) }),
                Happens::Message(from, message) => peer.hears(from, message),
                Happens::Lost(device) => peer.take(Input::Lost { device: device_of(device) }),
                Happens::Waits(ms) => peer.waits(ms),
            };
            prop_assert!(outputs.len() <= ACTIVE_MAX + 5, "{:?}", outputs);
            for output in outputs {
                match output {
                    Output::Send { to, message } => {
                        prop_assert!(to != device_of(0) && peer.roster.agency(&to).is_some());
                        if let Message::Shuffle { contacts, .. } | Message::Contacts { contacts } = message {
                            prop_assert!(contacts.len() <= CONTACTS_MAX);
                            prop_assert!(contacts.windows(2).all(|pair| pair[0] < pair[1]));
                        }
                    }
                    Output::Up { device } => prop_assert!(told.insert(device)),
                    Output::Down { device } => prop_assert!(told.remove(&device)),
                    Output::Fault { .. } => {}
                }
            }
            let active: BTreeSet<DeviceId> = peer.membership.neighbours().collect();
            let passive: BTreeSet<DeviceId> = peer.membership.contacts().collect();
            prop_assert_eq!(&active, &told);
            prop_assert!(active.len() <= ACTIVE_MAX && passive.len() <= PASSIVE_MAX);
            prop_assert!(active.is_disjoint(&passive));
            prop_assert!(!active.contains(&device_of(0)) && !passive.contains(&device_of(0)));
            prop_assert!(active.iter().chain(&passive).all(|d| peer.roster.agency(d).is_some()));
            for agency in 0..AGENCIES {
                prop_assert!(peer.of_agency(&peer.contacts(), agency) <= PASSIVE_SHARE_MAX);
            }
        }
        peer.waits(0);
        let due = peer.membership.deadline();
        prop_assert!(due > MonoTime(peer.now), "{:?} at {}", due, peer.now);
    }
}
