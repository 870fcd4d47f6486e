//! What is refused over the wire, and under which name it is held against whom: one test for each row
//! of the table in `docs/protocol/sync.md`. A hostile member, the device of peer 2 in a life of its
//! own, tells peer 0; peer 1 hears it from peer 0, who is honest.

use std::collections::BTreeMap;

use tearline_crdt::codec::Write as _;
use tearline_crdt::entry::NO_EPOCH;
use tearline_crdt::entry::merkle_root;
use tearline_crdt::entry::run::{Head, NewEntry, VerifiedRun, write_segment};
use tearline_crdt::epoch::{EpochKeys, box_context, encode_boxes};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::hash::Domain;
use tearline_crdt::id::{
    AgencyNo, Class, CoalitionId, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId,
};
use tearline_crdt::keys::{DeviceCard, DeviceKeys};
use tearline_crdt::seal::SecretBox;
use tearline_crdt::statement::{
    Act, Audience, Caveats, DeskCertificate, EpochStatement, Marks, Opening, Reopening, Right,
    RootAct, Statement,
};
use tearline_mesh::Link;
use tearline_mesh::replica::STRANGERS_MAX;
use tearline_mesh::wire::Frame;

use crate::forger::{link_as, log, run_frame, shared, tag};
use crate::world::{World, keys, root};

/// The seed of the hostile member, a desk of agency 3.
pub(crate) const HOSTILE: u8 = 3;

pub(crate) struct Stage {
    pub(crate) world: World,
    coalition: CoalitionId,
    pub(crate) all: CompartmentId,
    heads: BTreeMap<LogId, Head>,
    links: u64,
}

type Said = (Statement, Option<Vec<u8>>);

/// Boxes of an epoch, from what they are bound to and its secret.
type Sealing<'a, T> = dyn Fn(&[u8], &[u8; 32]) -> T + 'a;

pub(crate) fn stage() -> Stage {
    let (world, all) = shared(3);
    let coalition = world.peers[0].replica.compartment(all).unwrap().opening().coalition;
    Stage { world, coalition, all, heads: BTreeMap::new(), links: 900 }
}

impl Stage {
    pub(crate) fn whole(&self) -> CompartmentId {
        CompartmentId(self.coalition.0)
    }

    /// A new link of the hostile member to peer 0.
    pub(crate) fn link(&mut self) -> Link {
        self.links += 1;
        let link = Link(self.links);
        link_as(&mut self.world, 0, HOSTILE, link);
        link
    }

    /// What a device writes next in an authority log of a life of its own.
    pub(crate) fn written(
        &mut self,
        seed: u8,
        area: CompartmentId,
        said: Vec<Said>,
    ) -> VerifiedRun {
        let log = log(area, Class::Authority, seed, 2);
        let entries: Vec<NewEntry> = said
            .into_iter()
            .map(|(statement, payload)| NewEntry {
                epoch: NO_EPOCH,
                sealed: statement.encode(),
                key_box: None,
                payload,
            })
            .collect();
        let head = self.heads.entry(log).or_insert(Head::EMPTY);
        let run = write_segment(&log, head, keys(seed).signer(), &entries).unwrap();
        *head = *run.to();
        run
    }

    /// The hostile member brings peer 0 what a device says. Whether its link is still up.
    fn say(&mut self, seed: u8, area: CompartmentId, said: Vec<Said>) -> bool {
        let link = self.link();
        let run = self.written(seed, area, said);
        let area = tag(&self.world, 0, HOSTILE, area);
        self.world.inject(0, link, run_frame(area, &run));
        !self.world.peers[0].closed.iter().any(|(closed, _)| *closed == link)
    }

    fn held_against(&self, peer: usize, seed: u8) -> BTreeMap<&'static str, u64> {
        let faults = self.world.peers[peer].replica.faults();
        faults.get(&keys(seed).id()).cloned().unwrap_or_default()
    }

    /// Peer 0 holds this against a device, and nothing against anybody else.
    pub(crate) fn only(&self, peer: usize, seed: u8, name: &'static str, times: u64) {
        let faults = self.world.peers[peer].replica.faults();
        let expected = BTreeMap::from([(keys(seed).id(), BTreeMap::from([(name, times)]))]);
        assert_eq!(faults, expected, "peer {peer}");
    }

    /// Peers 0 and 1 go on as if nothing had been.
    pub(crate) fn goes_on(&mut self) {
        let record = self.world.write(1, self.all, Class::Routine, &["honest"])[0];
        self.world.settle();
        self.world.meet(1, 0);
        assert!(self.world.show(0, record).is_some(), "an honest record comes");
        assert!(self.world.digests_equal(0, 1));
        for peer in 0..2 {
            let faults = self.world.peers[peer].replica.faults();
            for honest in [1, 2] {
                assert!(!faults.contains_key(&keys(honest).id()), "peer {peer}: {faults:?}");
            }
        }
    }

    fn devices(&self) -> Vec<DeviceId> {
        let coalition = self.world.peers[0].replica.coalition(self.coalition).unwrap();
        coalition.devices().keys().copied().collect()
    }

    fn right(&self, seed: u8) -> Option<Right> {
        self.world.peers[0].replica.right(self.whole(), &keys(seed).id())
    }

    /// A new epoch by the hostile member, and its seal of these boxes.
    fn epoch(&self, n: u8, boxes: &Sealing<'_, Vec<SecretBox>>) -> (EpochId, Vec<Said>) {
        let secret = [n; 32];
        let commitment = EpochKeys::commitment(&secret);
        let statement = EpochStatement { parents: vec![], depth: 1, commitment };
        let epoch = statement.id(&self.all);
        let boxes = boxes(&box_context(&self.all.0, &commitment), &secret);
        let boxes_root = merkle_root(boxes.iter().map(SecretBox::leaf));
        let seal = Statement::Seal { epoch, boxes_root };
        (epoch, vec![(Statement::Epoch(statement), None), (seal, Some(encode_boxes(&boxes)))])
    }
}

/// A device's card under a desk, as a device would sign it that may say anything.
fn signed(card: DeviceCard, by: &DeviceKeys, domain: Domain) -> DeviceCard {
    let mut bytes = Vec::new();
    bytes.raw(&card.device.0).raw(&card.agreement).raw(&card.kem_hash).raw(&card.sponsor);
    DeviceCard { signature: by.signer().sign(domain, &bytes), ..card }
}

fn grant_of(card: DeviceCard, agency: u16, right: Right, caveats: Caveats) -> Said {
    let audience = Audience::Device { agency: AgencyNo(agency), card };
    (Statement::Grant { audience, right, caveats, reopening: None }, None)
}

/// A grant to another device of the hostile member's agency.
fn grant(seed: u8, right: Right, caveats: Caveats) -> Said {
    grant_of(keys(seed).card(keys(HOSTILE).id().0), 3, right, caveats)
}

fn delegating() -> Caveats {
    Caveats { may_delegate: true, ..Caveats::default() }
}

fn box_for(seed: u8, context: &[u8], secret: &[u8; 32]) -> SecretBox {
    let device = keys(seed);
    SecretBox::seal(&device.card([0; 32]), device.kem_key(), context, secret, &[9; 64]).unwrap()
}

/// Zeros, the identity, and a point of order 2: of small order as keys of either kind.
fn weak_keys() -> [[u8; 32]; 3] {
    let (mut one, mut minus_one) = ([0; 32], [0xff; 32]);
    one[0] = 1;
    minus_one[0] = 0xec;
    minus_one[31] = 0x7f;
    [[0; 32], one, minus_one]
}

#[test]
fn a_card_with_a_small_order_or_zero_agreement_key_is_refused() {
    let mut stage = stage();
    let before = stage.devices();
    let weak = weak_keys().map(|agreement| {
        let device = keys(20);
        let card = DeviceCard { agreement, ..device.card(keys(HOSTILE).id().0) };
        grant_of(signed(card, &device, Domain::DeviceCard), 3, Right::Write, delegating())
    });
    let area = stage.whole();
    assert!(stage.say(HOSTILE, area, weak.to_vec()));
    stage.only(0, HOSTILE, "weak-agreement-key", 3);
    assert_eq!(stage.devices(), before);
    stage.goes_on();
    stage.only(1, HOSTILE, "weak-agreement-key", 3);
}

#[test]
fn a_small_order_or_zero_signing_key_is_refused() {
    let mut stage = stage();
    let before = stage.devices();
    let device = keys(20);
    let cards = weak_keys().map(|weak| {
        let card = DeviceCard { device: DeviceId(weak), ..device.card(keys(HOSTILE).id().0) };
        grant_of(card, 3, Right::Write, delegating())
    });
    let roots = weak_keys().map(|weak| {
        let desk = device.card(weak);
        let certificate = DeskCertificate { desk, reopening: None, root: weak, signature: [0; 64] };
        (Statement::Desk(certificate), None)
    });
    let area = stage.whole();
    assert!(stage.say(HOSTILE, area, [cards, roots].concat()));
    stage.only(0, HOSTILE, "weak-signing-key", 6);
    assert_eq!(stage.devices(), before);
    stage.goes_on();
    stage.only(1, HOSTILE, "weak-signing-key", 6);
}

#[test]
fn a_card_certificate_or_act_signed_under_another_domain_is_refused() {
    let mut stage = stage();
    let before = stage.devices();
    let device = keys(20);
    let card = device.card(keys(HOSTILE).id().0);
    let card = signed(card, &device, Domain::Opening);
    let mut certificate = DeskCertificate::sign(&root(HOSTILE), &device, None);
    let mut bytes = Vec::new();
    certificate.desk.encode(&mut bytes);
    bytes.push(0);
    certificate.signature = root(HOSTILE).sign(Domain::RootAct, &bytes);
    let act = Act::Revoke { device: keys(HOSTILE).id(), keep: Marks::NONE };
    let mut root_act = RootAct::sign(&root(HOSTILE), &stage.coalition, act.clone()).unwrap();
    let bytes = [stage.coalition.0.as_slice(), &act.encode()].concat();
    root_act.signature = root(HOSTILE).sign(Domain::DeskCertificate, &bytes);
    let said = vec![
        grant_of(card, 3, Right::Write, delegating()),
        (Statement::Desk(certificate), None),
        (Statement::RootAct(root_act), None),
    ];
    let area = stage.whole();
    assert!(stage.say(HOSTILE, area, said));
    stage.only(0, HOSTILE, "wrong-domain", 3);
    assert_eq!(stage.devices(), before);
    assert!(stage.right(HOSTILE).is_some(), "nobody was revoked");
    stage.goes_on();
    stage.only(1, HOSTILE, "wrong-domain", 3);
}

#[test]
fn a_card_certificate_or_act_signed_by_another_key_is_refused() {
    let mut stage = stage();
    let before = stage.devices();
    let (device, other) = (keys(20), keys(21));
    let card = signed(device.card(keys(HOSTILE).id().0), &other, Domain::DeviceCard);
    // In the name of another agency's root, as by its own.
    let mut certificate = DeskCertificate::sign(&root(1), &device, None);
    certificate.signature =
        DeskCertificate::of_card(&root(HOSTILE), certificate.desk.clone(), None).signature;
    let act = Act::Revoke { device: keys(1).id(), keep: Marks::NONE };
    let mut root_act = RootAct::sign(&root(HOSTILE), &stage.coalition, act).unwrap();
    root_act.root = root(1).public();
    let said = vec![
        grant_of(card, 3, Right::Write, delegating()),
        (Statement::Desk(certificate), None),
        (Statement::RootAct(root_act), None),
    ];
    let area = stage.whole();
    assert!(stage.say(HOSTILE, area, said));
    assert_eq!((stage.devices(), stage.right(1)), (before, Some(Right::Admin)));
    stage.goes_on();
    let named = ["bad-card", "bad-certificate", "bad-root-act"].map(|name| (name, 1));
    for peer in 0..2 {
        assert_eq!(stage.held_against(peer, HOSTILE), named.into(), "peer {peer}");
    }
}

#[test]
fn an_entry_signed_under_another_domain_is_refused() {
    let mut stage = stage();
    let area = stage.whole();
    let said = vec![grant(20, Right::Write, delegating())];
    let run = stage.written(HOSTILE, area, said);
    let own = *run.log();
    let header = tearline_crdt::entry::Header {
        log: own,
        seq: 0,
        prev: EntryId([0; 32]),
        epoch: NO_EPOCH,
        sealed: tearline_crdt::entry::Part {
            len: run.sealed(&run.entries()[0]).len() as u32,
            hash: run.entries()[0].sealed_hash,
        },
        key_box: None,
        payload: None,
        covers: None,
        covered: false,
    };
    assert_eq!(header.id(), run.entries()[0].id);
    let link = stage.link();
    let area = tag(&stage.world, 0, HOSTILE, area);
    for (domain, times) in [(Domain::Opening, 1), (Domain::Entry, 0)] {
        let mut frame = Frame::decode(&run_frame(area, &run)).unwrap();
        let Frame::Run { entries, .. } = &mut frame else { panic!() };
        let signature = keys(HOSTILE).signer().sign(domain, &header.encode());
        let at = entries.len() - signature.len();
        entries[at..].copy_from_slice(&signature);
        let link = if times == 1 { link } else { stage.link() };
        stage.world.inject(0, link, frame.encode());
        stage.only(0, HOSTILE, "bad-signature", 1);
        assert_eq!(stage.world.peers[0].replica.logbook().state(&own).is_none(), times == 1);
    }
    assert!(stage.world.peers[0].closed.iter().any(|(closed, _)| *closed == link));
    stage.goes_on();
}

#[test]
fn an_opening_signed_under_another_domain_is_refused() {
    let mut stage = stage();
    let replica = &stage.world.peers[0].replica;
    let audience = replica.compartment(stage.all).unwrap().opening().audience.clone();
    let areas = replica.areas().len();
    let mut opening = Opening::sign(keys(HOSTILE).signer(), stage.coalition, audience, [8; 16]);
    let mut bytes = Statement::Open(opening.clone()).encode();
    bytes.truncate(bytes.len() - opening.signature.len());
    opening.signature = keys(HOSTILE).signer().sign(Domain::DeviceCard, &bytes[1..]);
    let link = stage.link();
    let frame = Frame::Intro { opening: Statement::Open(opening).encode() };
    stage.world.inject(0, link, frame.encode());
    stage.only(0, HOSTILE, "bad-introduction", 1);
    assert_eq!(stage.world.peers[0].replica.areas().len(), areas);
    stage.goes_on();
}

#[test]
fn an_introduction_that_is_not_for_its_recipient_is_refused() {
    let mut stage = stage();
    let replica = &stage.world.peers[0].replica;
    let mut audience = replica.compartment(stage.all).unwrap().opening().audience.clone();
    audience.remove(0);
    let areas = replica.areas().len();
    let opening = Opening::sign(keys(HOSTILE).signer(), stage.coalition, audience, [8; 16]);
    let link = stage.link();
    let frame = Frame::Intro { opening: Statement::Open(opening).encode() };
    stage.world.inject(0, link, frame.encode());
    stage.only(0, HOSTILE, "bad-introduction", 1);
    assert_eq!(stage.world.peers[0].replica.areas().len(), areas);
    stage.goes_on();
}

/// Peer 1 is brought what peer 0 wrote, with the salts of the record keys as this changes them.
fn key_boxes_are_refused(name: &'static str, change: &dyn Fn(&mut Vec<u8>)) {
    let mut stage = stage();
    let records = stage.world.write(0, stage.all, Class::Flash, &["one", "two"]);
    stage.world.settle();
    let replica = &stage.world.peers[0].replica;
    let log = replica.own_log(stage.all, Class::Flash);
    let stretch = replica.logbook().read(replica.store(), &log, 0..99, 100_000).unwrap().unwrap();
    let run = stretch.run(log).verify(&Head::EMPTY).unwrap();
    let link = Link(901);
    link_as(&mut stage.world, 1, HOSTILE, link);
    let area = tag(&stage.world, 1, HOSTILE, stage.all);
    let mut frame = Frame::decode(&run_frame(area, &run)).unwrap();
    let Frame::Run { boxes, .. } = &mut frame else { panic!() };
    change(boxes);
    stage.world.inject(1, link, frame.encode());
    stage.only(1, HOSTILE, name, 1);
    assert!(stage.world.peers[1].replica.logbook().state(&log).is_none());
    stage.goes_on();
    assert!(records.into_iter().all(|record| stage.world.show(1, record).is_some()));
}

#[test]
fn truncated_key_boxes_are_refused() {
    for cut in [1, 16] {
        key_boxes_are_refused("bad-key-boxes", &|boxes| boxes.truncate(boxes.len() - cut));
    }
}

#[test]
fn swapped_key_boxes_are_refused() {
    key_boxes_are_refused("bad-signature", &|boxes| boxes.rotate_left(16));
}

#[test]
fn a_statement_of_another_kind_of_log_is_refused() {
    let mut stage = stage();
    let genesis = EntryId([1; 32]);
    let area = stage.whole();
    assert!(stage.say(HOSTILE, area, vec![(Statement::Hold { genesis }, None)]));
    stage.only(0, HOSTILE, "misplaced-statement", 1);
    stage.goes_on();
    stage.only(1, HOSTILE, "misplaced-statement", 1);
}

#[test]
fn truncated_or_missing_boxes_are_refused() {
    let mut stage = stage();
    let (epoch, said) = stage.epoch(40, &|context, secret| vec![box_for(1, context, secret)]);
    let [made, (seal, Some(boxes))] = said.as_slice() else { panic!() };
    let cut = |len: usize| (seal.clone(), Some(boxes[..len].to_vec()));
    let said =
        vec![made.clone(), cut(0), cut(1), cut(40), cut(boxes.len() - 1), (seal.clone(), None)];
    let area = stage.all;
    assert!(stage.say(HOSTILE, area, said));
    stage.only(0, HOSTILE, "malformed-boxes", 5);
    assert!(!stage.world.peers[0].replica.can_open(&epoch));
    assert_eq!(stage.world.peers[0].replica.compartment(area).unwrap().boxed(&epoch).count(), 0);
    stage.goes_on();
    stage.only(1, HOSTILE, "malformed-boxes", 5);
}

#[test]
fn boxes_swapped_for_others_than_were_named_are_refused() {
    let mut stage = stage();
    let (epoch, mut said) = stage.epoch(40, &|context, secret| vec![box_for(1, context, secret)]);
    let (_, others) = stage.epoch(41, &|context, secret| vec![box_for(1, context, secret)]);
    said[1].1 = others[1].1.clone();
    let area = stage.all;
    assert!(stage.say(HOSTILE, area, said));
    stage.only(0, HOSTILE, "other-boxes", 1);
    assert!(!stage.world.peers[0].replica.can_open(&epoch));
    stage.goes_on();
    stage.only(1, HOSTILE, "other-boxes", 1);
}

/// Peer 0 says of a box for it what is wrong; nobody else can, as nobody else opens it.
fn box_is_refused(name: &'static str, sealed: &Sealing<'_, SecretBox>) {
    let mut stage = stage();
    let (epoch, said) = stage.epoch(40, &|context, secret| vec![sealed(context, secret)]);
    let area = stage.all;
    assert!(stage.say(HOSTILE, area, said));
    stage.only(0, HOSTILE, name, 1);
    assert!(!stage.world.peers[0].replica.can_open(&epoch));
    stage.goes_on();
    assert!(stage.world.peers[1].replica.faults().is_empty());
}

#[test]
fn a_box_sealed_to_another_recipient_under_my_name_is_refused() {
    box_is_refused("bad-box", &|context, secret| SecretBox {
        device: keys(1).id(),
        ..box_for(2, context, secret)
    });
}

#[test]
fn a_box_of_another_epoch_is_refused() {
    box_is_refused("bad-box", &|context, secret| {
        let other = [&context[..32], &EpochKeys::commitment(&[41; 32])].concat();
        box_for(1, &other, secret)
    });
}

#[test]
fn a_box_with_a_small_order_or_zero_key_is_refused() {
    for weak in weak_keys() {
        box_is_refused("weak-box-key", &|context, secret| {
            let mut sealed = box_for(1, context, secret);
            sealed.encapsulation[..32].copy_from_slice(&weak);
            sealed
        });
    }
}

#[test]
fn a_box_with_another_secret_than_its_epochs_is_refused() {
    box_is_refused("false-box", &|context, _| box_for(1, context, &[7; 32]));
}

#[test]
fn a_box_of_a_later_suite_is_left_closed_and_nobody_is_blamed() {
    let mut stage = stage();
    let later =
        |context: &[u8], secret: &[u8; 32]| SecretBox { suite: 2, ..box_for(1, context, secret) };
    let (epoch, said) = stage.epoch(40, &|context, secret| vec![later(context, secret)]);
    let area = stage.all;
    assert!(stage.say(HOSTILE, area, said));
    assert!(stage.world.peers[0].replica.faults().is_empty());
    assert!(!stage.world.peers[0].replica.can_open(&epoch));
    stage.goes_on();
}

#[test]
fn an_epoch_whose_depth_does_not_follow_from_its_parents_is_refused() {
    let mut stage = stage();
    let area = stage.all;
    let known =
        |stage: &Stage| stage.world.peers[0].replica.compartment(area).unwrap().epochs().clone();
    let before = known(&stage);
    let (parent, state) = before.first_key_value().unwrap();
    let below = state.statement.depth;
    let alone = [0, 2, u64::MAX].map(|depth| (vec![], depth));
    let under = [0, below, below + 2].map(|depth| (vec![*parent], depth));
    let made = alone.into_iter().chain(under).map(|(parents, depth)| {
        let commitment = EpochKeys::commitment(&[40; 32]);
        (Statement::Epoch(EpochStatement { parents, depth, commitment }), None)
    });
    let made: Vec<Said> = made.collect();
    assert!(stage.say(HOSTILE, area, made));
    stage.only(0, HOSTILE, "bad-epoch-depth", 6);
    assert_eq!(known(&stage), before);
    stage.goes_on();
    stage.only(1, HOSTILE, "bad-epoch-depth", 6);
}

#[test]
fn an_epoch_that_is_sealed_to_a_wrong_recipient_is_not_written_under() {
    let mut stage = stage();
    let boxes = |context: &[u8], secret: &[u8; 32]| {
        [1, 2, 3, 50].map(|seed| box_for(seed, context, secret)).to_vec()
    };
    let (epoch, said) = stage.epoch(40, &boxes);
    let area = stage.all;
    assert!(stage.say(HOSTILE, area, said));
    stage.goes_on();
    for peer in 0..2 {
        let replica = &stage.world.peers[peer].replica;
        assert!(replica.can_open(&epoch), "peer {peer}");
        let compartment = replica.compartment(area).unwrap();
        assert!(compartment.epochs()[&epoch].unclean.is_some());
        assert_ne!(compartment.current_epoch(|_| true), Some(epoch));
        stage.only(peer, HOSTILE, "seal-to-stranger", 1);
    }
}

/// Boxes of an epoch under which the others write now, for somebody who may not read; and an epoch
/// for which nobody, or everybody but its maker, has boxes that hold anything.
#[test]
fn a_writer_cannot_stop_the_others_by_epochs_and_seals() {
    let mut stage = stage();
    let area = stage.all;
    stage.goes_on();
    for n in 0..3 {
        let replica = &stage.world.peers[0].replica;
        let used = replica.compartment(area).unwrap().current_epoch(|_| true).unwrap();
        let boxes = vec![box_for(50, b"nothing", &[n; 32])];
        let boxes_root = merkle_root(boxes.iter().map(SecretBox::leaf));
        let junk = (Statement::Seal { epoch: used, boxes_root }, Some(encode_boxes(&boxes)));
        let (_, mut bare) = stage.epoch(60 + n, &|_, _| vec![]);
        bare.truncate(1);
        let (_, closed) = stage.epoch(70 + n, &|_, secret| {
            [1, 2, 3].map(|seed| box_for(seed, b"another", secret)).to_vec()
        });
        assert!(stage.say(HOSTILE, area, [vec![junk], bare, closed].concat()));
        let replica = &stage.world.peers[0].replica;
        let compartment = replica.compartment(area).unwrap();
        assert_eq!(compartment.current_epoch(|epoch| replica.can_open(epoch)), None);
        stage.goes_on();
    }
    let faults = stage.held_against(0, HOSTILE);
    assert_eq!(faults["seal-to-stranger"], 3);
}

#[test]
fn an_old_statement_in_a_new_place_is_refused() {
    let mut stage = stage();
    let theirs = stage.world.peers[0].replica.own_log(stage.whole(), Class::Authority);
    let replica = &stage.world.peers[0].replica;
    let stretch = replica.logbook().read(replica.store(), &theirs, 0..1, 100_000).unwrap().unwrap();
    let old = stretch.run(theirs).verify(&Head::EMPTY).unwrap();
    let other = stage.world.open_named(0, stage.coalition, &[1, 2, 3], 7);
    // In the log of who carries it, in another area, in another life of its author.
    let places = [
        log(stage.whole(), Class::Authority, HOSTILE, 2),
        LogId { compartment: other, device: keys(2).id(), ..theirs },
        LogId { incarnation: Incarnation(9), ..theirs },
    ];
    for (n, place) in (1..).zip(places) {
        let link = stage.link();
        let frame = Frame::Run {
            area: tag(&stage.world, 0, HOSTILE, place.compartment),
            key: LogKey::of(&place),
            author: Some((place.device, place.incarnation)),
            knows: None,
            hops: None,
            left_out: false,
            first: 0,
            count: 1,
            entries: old.bytes().to_vec(),
            boxes: old.boxes(),
        };
        stage.world.inject(0, link, frame.encode());
        assert!(stage.world.peers[0].closed.iter().any(|(closed, _)| *closed == link));
        stage.only(0, HOSTILE, "bad-signature", n);
        assert!(stage.world.peers[0].replica.logbook().state(&place).is_none());
    }
    stage.goes_on();
}

#[test]
fn a_grant_that_another_agency_says_again_gives_nothing() {
    let mut stage = stage();
    let area = stage.whole();
    let card = keys(20).card(keys(2).id().0);
    let old = grant_of(card, 2, Right::Write, delegating());
    // Its own desk has said it, and taken it back.
    let audience = match &old.0 {
        Statement::Grant { audience, .. } => audience.clone(),
        _ => panic!(),
    };
    let now = stage.world.now();
    let desk = &mut stage.world.peers[1].replica;
    desk.grant(now, area, audience, Right::Write, delegating(), None).unwrap();
    desk.revoke(now, area, keys(20).id(), vec![]).unwrap();
    stage.world.drain(1);
    stage.world.settle();
    stage.world.meet(1, 0);
    assert!(stage.say(HOSTILE, area, vec![old]));
    stage.only(0, HOSTILE, "grant-of-another-agency", 1);
    assert_eq!(stage.right(20), None);
    stage.goes_on();
    stage.only(1, HOSTILE, "grant-of-another-agency", 1);
}

#[test]
fn a_grant_that_is_said_again_after_its_revocation_reopens_nothing() {
    let mut stage = stage();
    let area = stage.whole();
    let old = grant(20, Right::Write, delegating());
    stage.say(HOSTILE, area, vec![old.clone()]);
    assert_eq!(stage.right(20), Some(Right::Write));
    let revoke = Statement::Revoke { device: keys(20).id(), keep: Marks::NONE };
    stage.say(HOSTILE, area, vec![(revoke, None), old]);
    assert_eq!(stage.right(20), None);
    // To say a thing twice is no lie: a restored desk does.
    assert!(stage.world.peers[0].replica.faults().is_empty());
    stage.goes_on();
}

#[test]
fn a_grant_wider_than_its_issuers_gives_nothing_until_a_wider_one_comes() {
    let mut stage = stage();
    let area = stage.whole();
    let narrow = |classes| Caveats { classes: Some(classes), ..delegating() };
    stage.say(HOSTILE, area, vec![grant(20, Right::Admit, narrow(0b1_0000))]);
    assert!(stage.say(20, area, vec![grant(21, Right::Write, narrow(0b1_0010))]));
    stage.only(0, 20, "grant-widened", 1);
    assert_eq!((stage.right(20), stage.right(21)), (Some(Right::Admit), None));
    stage.goes_on();
    stage.only(1, 20, "grant-widened", 1);
    // By what is held then it is none: nothing was counted.
    stage.say(HOSTILE, area, vec![grant(20, Right::Admit, narrow(0b1_0010))]);
    assert_eq!(stage.right(21), Some(Right::Write));
    assert!(stage.world.peers[0].replica.faults().is_empty());
}

#[test]
fn a_right_above_its_issuers_is_not_given() {
    let mut stage = stage();
    let area = stage.whole();
    stage.say(HOSTILE, area, vec![grant(20, Right::Admit, delegating())]);
    stage.say(HOSTILE, area, vec![grant(22, Right::Read, delegating())]);
    stage.say(20, area, vec![grant(21, Right::Admin, delegating())]);
    stage.say(22, area, vec![grant(23, Right::Read, delegating())]);
    assert_eq!(stage.held_against(0, 20), BTreeMap::from([("grant-widened", 1)]));
    assert_eq!(stage.held_against(0, 22), BTreeMap::from([("no-right", 1)]));
    assert_eq!((stage.right(21), stage.right(23)), (None, None));
    stage.goes_on();
    assert_eq!(stage.held_against(1, 22), BTreeMap::from([("no-right", 1)]));
}

#[test]
fn a_chain_of_64_grants_ends_after_8_hands() {
    const HANDS: u8 = 64;
    let mut stage = stage();
    let area = stage.whole();
    let seed = |hand: u8| if hand == 1 { HOSTILE } else { 20 + hand };
    for hand in 1..=HANDS {
        assert!(stage.say(
            seed(hand),
            area,
            vec![grant(seed(hand + 1), Right::Admit, delegating())]
        ));
    }
    for hand in 1..=HANDS {
        let (stands, against) = match hand {
            1..=7 => (true, None),
            8 => (true, Some("grant-too-deep")),
            // Nobody who counts let it in: what it says is not even stored.
            _ => (false, Some("no-standing")),
        };
        assert_eq!(stage.right(seed(hand)).is_some(), stands, "hand {hand}");
        let held = stage.held_against(0, seed(hand));
        assert_eq!(held, against.map(|name| (name, 1)).into_iter().collect(), "hand {hand}");
        let log = log(area, Class::Authority, seed(hand), 2);
        assert_eq!(stage.world.peers[0].replica.logbook().state(&log).is_some(), stands);
    }
    stage.goes_on();
    stage.only(1, seed(8), "grant-too-deep", 1);
}

#[test]
fn statements_by_strangers_are_declined_and_held_against_them_while_they_are_strangers() {
    let mut stage = stage();
    let area = stage.whole();
    let retire = Act::Retire { agency: AgencyNo(1), keep: Marks::NONE };
    let said = vec![
        (Statement::Propose { number: 0, act: retire }, None),
        (Statement::Revoke { device: keys(1).id(), keep: Marks::NONE }, None),
        grant(61, Right::Admin, delegating()),
    ];
    assert!(stage.say(60, area, said), "who carries it may be honest");
    stage.only(0, 60, "no-standing", 1);
    let log = log(area, Class::Authority, 60, 2);
    assert!(stage.world.peers[0].replica.logbook().state(&log).is_none());
    assert_eq!((stage.right(60), stage.right(61)), (None, None));
    assert!(stage.right(1).is_some());
    stage.goes_on();
    assert!(stage.world.peers[1].replica.faults().is_empty(), "it never heard of it");
    // Let in, it is no stranger.
    stage.say(HOSTILE, area, vec![grant(60, Right::Write, delegating())]);
    assert!(stage.world.peers[0].replica.faults().is_empty());
}

#[test]
fn strangers_are_remembered_up_to_the_bound() {
    let mut stage = stage();
    let link = stage.link();
    let area = tag(&stage.world, 0, HOSTILE, stage.whole());
    let said = grant(61, Right::Read, delegating()).0.encode();
    let entry = NewEntry { epoch: NO_EPOCH, sealed: said, key_box: None, payload: None };
    for life in 0..=STRANGERS_MAX as u64 {
        let log = log(stage.whole(), Class::Authority, 60, life);
        let entry = std::slice::from_ref(&entry);
        let run = write_segment(&log, &Head::EMPTY, keys(60).signer(), entry).unwrap();
        stage.world.inject(0, link, run_frame(area, &run));
        if life + 2 > STRANGERS_MAX as u64 {
            stage.only(0, 60, "no-standing", STRANGERS_MAX as u64);
        }
    }
    stage.goes_on();
}

#[test]
fn a_revocation_by_who_is_not_above_closes_nothing() {
    let mut stage = stage();
    let area = stage.whole();
    let revoke = Statement::Revoke { device: keys(1).id(), keep: Marks::NONE };
    assert!(stage.say(HOSTILE, area, vec![(revoke, None)]));
    stage.only(0, HOSTILE, "revoke-not-above", 1);
    assert!(stage.right(1).is_some());
    stage.goes_on();
    stage.only(1, HOSTILE, "revoke-not-above", 1);
}

#[test]
fn an_adoption_by_who_is_no_desk_adopts_nothing() {
    let mut stage = stage();
    let area = stage.whole();
    stage.say(HOSTILE, area, vec![grant(20, Right::Admin, delegating())]);
    let own = keys(20).id();
    let mark = tearline_crdt::statement::Mark { log: [1; 32], count: 1, head: EntryId([2; 32]) };
    let (marks, payload) = Marks::of(vec![mark]).unwrap();
    assert!(stage.say(20, area, vec![(Statement::Adopt { marks }, payload)]));
    stage.only(0, 20, "no-right", 1);
    assert!(stage.devices().contains(&own));
    stage.goes_on();
    stage.only(1, 20, "no-right", 1);
}

#[test]
fn a_life_that_is_named_by_who_is_no_desk_is_given_nothing() {
    let mut stage = stage();
    let area = stage.whole();
    stage.say(HOSTILE, area, vec![grant(20, Right::Admin, delegating())]);
    // For a life to come it grants itself what it has, and its neighbour.
    let named = |to: u8, n: u64| {
        let (mut statement, payload) = grant(to, Right::Admin, delegating());
        if let Statement::Grant { reopening, .. } = &mut statement {
            let (incarnation, cites) = (Incarnation(n), vec![EntryId([3; 32]).into()]);
            *reopening = Some(Reopening { incarnation, cites });
        }
        (statement, payload)
    };
    assert!(stage.say(20, area, vec![named(20, 3), named(21, 4)]));
    stage.only(0, 20, "no-right", 2);
    assert_eq!((stage.right(20), stage.right(21)), (Some(Right::Admin), None));
    stage.goes_on();
    stage.only(1, 20, "no-right", 2);
}
