//! Membership: who a peer's neighbours in a compartment are, after HyParView.
//!
//! A peer keeps two views. The *active* one holds its few neighbours: the relation is symmetric, there is
//! a link to each, and broadcasts go along these links only. The *passive* one holds more devices that
//! it has heard of, to take new neighbours from. A newcomer is carried into the mesh by random walks;
//! views are mixed by shuffles along random walks.
//!
//! Three things differ from the paper, because its peers trust each other and ours do not:
//! - *Shares.* Of one agency there is at most a share in each view (`gossip::views`). A place in the
//!   active view above the share is lent while no one else is there, and lost to the first who comes.
//! - *Mixing.* From time to time a peer takes a new neighbour, in turns from its passive view and from
//!   the compartment's roll, which follows from authority logs: no peer can keep a device off it. So two
//!   halves of a mesh find each other after any time, and a view full of one attacker's devices does not
//!   stay so.
//! - *Budgets.* What one device can make a peer do is bounded for each message.
//!
//! ```text
//! loop {
//!     while let Some(output) = membership.poll_output() { carry it out }
//!     let input = wait for a message, a device that is lost, or the deadline (a Tick);
//!     membership.handle(now, input, entropy, roll);
//! }
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tearline_crdt::entropy::Entropy;
use tearline_crdt::id::{AgencyNo, DeviceId};
use tearline_crdt::time::MonoTime;

use super::budget::{Budget, Rate};
use super::views::{Places, View};
use super::wire::MembershipMessage as Message;
use super::{GossipFault, Roll, below};

/// Most neighbours: log(n) + c, as the paper has it, for 1,000 devices and the natural logarithm. Then
/// 1,000 are within 4 hops of each (7 * 6^3 = 1,512), ways in a tree of such depth within 8, and each has
/// a second way to 10,000 within 6.
pub const ACTIVE_MAX: usize = 7;
/// Most neighbours of one agency, if the compartment has 4 agencies or more: less than a third, so that
/// the other agencies' devices hold together without it.
pub const ACTIVE_SHARE_MAX: usize = 2;
/// Most devices in the passive view: four and more for each neighbour that can fail at once.
pub const PASSIVE_MAX: usize = 30;
/// Most of them of one agency, if the compartment has 3 agencies or more.
pub const PASSIVE_SHARE_MAX: usize = 10;
/// Length of a random walk (the paper's ARWL).
pub const WALK_HOPS_MAX: u8 = 6;
/// Where on its walk a newcomer comes into a passive view (the paper's PRWL).
pub const WALK_HOPS_PASSIVE: u8 = 3;
/// Neighbours and passive contacts that are said in a shuffle, beside its origin.
const SHUFFLE_ACTIVE_MAX: usize = 3;
const SHUFFLE_PASSIVE_MAX: usize = 4;
/// Most devices in a message.
pub const CONTACTS_MAX: usize = SHUFFLE_ACTIVE_MAX + SHUFFLE_PASSIVE_MAX;

/// Between two shuffles of a peer; each time drawn between three and five quarters of it.
pub const SHUFFLE_MS: u64 = 10_000;
/// Between two neighbours that a peer takes to mix; drawn likewise, the first time from none to all of
/// it. Each costs two links, which may be of the tree: with 1,000 peers one of these each 3 s.
pub const MIX_MS: u64 = 1_800_000;
/// How long a device that was asked may take to answer.
pub const ANSWER_MS: u64 = 3_000;
/// With fewer neighbours than this a peer asks for a place to be made.
const ACTIVE_LOW: usize = ACTIVE_MAX.div_ceil(2);
/// After so many devices were asked in vain, no further one is before the next shuffle.
const TRIED_MAX: usize = PASSIVE_MAX;
/// Most neighbours' budgets that are remembered; those of devices that are no neighbours are forgotten first.
const BUDGETS_MAX: usize = 4 * PASSIVE_MAX;

/// Messages that one device may say at once.
pub const SAYS_BURST: u32 = 256;
/// Walks and answers to walks that one device is told at once: half of what it may be told.
pub const PASSES_ON_BURST: u32 = SAYS_BURST / 2;
/// Newcomers that are taken at once. Further ones are told of others.
pub const JOINS_BURST: u32 = 16;
/// Neighbours that are made to give way at once by others' asking.
pub const DISPLACES_BURST: u32 = 8;

/// What one device may say. A shuffle each 10 s of each peer, 6 hops, is less than 1 a second for
/// each of 7 links; what a link held back while it stood still for 30 s comes at once.
const SAYS: Rate = Rate { burst: SAYS_BURST, every_ms: 125 };
const PASSES_ON: Rate = Rate { burst: PASSES_ON_BURST, every_ms: 250 };
const JOINS: Rate = Rate { burst: JOINS_BURST, every_ms: 250 };
const DISPLACES: Rate = Rate { burst: DISPLACES_BURST, every_ms: 1_000 };

const ACTIVE: Places = Places { size: ACTIVE_MAX, share: ACTIVE_SHARE_MAX };
const PASSIVE: Places = Places { size: PASSIVE_MAX, share: PASSIVE_SHARE_MAX };

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The operator names a device that is in the mesh.
    Join {
        /// The device.
        contact: DeviceId,
    },
    /// A message came; the link proves from whom.
    Message {
        /// The sender.
        from: DeviceId,
        /// The message.
        message: Message,
    },
    /// A device's link is gone, or it could not be reached, or it misbehaved.
    Lost {
        /// The device.
        device: DeviceId,
    },
    /// The deadline has come.
    Tick,
}

/// What the parent owes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send this, over the link to the device or a new one; or say [`Input::Lost`].
    Send {
        /// To whom.
        to: DeviceId,
        /// The message.
        message: Message,
    },
    /// The device is a neighbour: keep the link to it.
    Up {
        /// The device.
        device: DeviceId,
    },
    /// The device is no neighbour any more: the link to it may be closed.
    Down {
        /// The device.
        device: DeviceId,
    },
    /// The device misbehaved: close the link to it and say [`Input::Lost`].
    Fault {
        /// The device.
        device: DeviceId,
        /// What it did.
        fault: GossipFault,
    },
}

/// One peer's views of a compartment.
#[derive(Debug)]
pub struct Membership {
    own: DeviceId,
    active: View,
    passive: View,
    /// Whom we asked to be our neighbour, and until when it may answer.
    asked: Option<(DeviceId, MonoTime)>,
    /// Who was asked in vain since the last shuffle.
    tried: BTreeSet<DeviceId>,
    /// What we said in our last shuffle, until it is answered.
    shuffled: Option<Vec<DeviceId>>,
    next_shuffle: MonoTime,
    next_mix: MonoTime,
    /// Whether the last neighbour to mix was of the roll.
    mixed_from_roll: bool,
    says: BTreeMap<DeviceId, Budget>,
    passes_on: BTreeMap<DeviceId, Budget>,
    joins: Budget,
    displaces: Budget,
    outputs: VecDeque<Output>,
}

impl Membership {
    /// Views without anybody in them.
    pub fn new(own: DeviceId, now: MonoTime, entropy: &mut dyn Entropy) -> Self {
        Self {
            own,
            active: View::default(),
            passive: View::default(),
            asked: None,
            tried: BTreeSet::new(),
            shuffled: None,
            next_shuffle: soon(now, SHUFFLE_MS, entropy),
            next_mix: now.plus_ms(below(entropy, MIX_MS)),
            mixed_from_roll: false,
            says: BTreeMap::new(),
            passes_on: BTreeMap::new(),
            joins: Budget::full(JOINS, now),
            displaces: Budget::full(DISPLACES, now),
            outputs: VecDeque::new(),
        }
    }

    /// Takes an input.
    pub fn handle(
        &mut self,
        now: MonoTime,
        input: Input,
        entropy: &mut dyn Entropy,
        roll: &dyn Roll,
    ) {
        match input {
            Input::Join { contact } => {
                if contact != self.own && roll.agency(&contact).is_some() {
                    self.send(contact, Message::Join);
                    self.asked = Some((contact, now.plus_ms(ANSWER_MS)));
                }
            }
            Input::Message { from, message } => {
                // Who has no right here is heard by nobody.
                let Some(agency) = roll.agency(&from).filter(|_| from != self.own) else { return };
                if self.may_say(from, now) {
                    self.on_message(now, (from, agency), message, entropy, roll);
                }
            }
            Input::Lost { device } => self.on_lost(&device),
            Input::Tick => self.on_tick(now, entropy, roll),
        }
        self.fill(now, entropy, roll);
    }

    /// The next thing that the parent owes.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> MonoTime {
        let answer = self.asked.map(|(_, until)| until);
        [self.next_shuffle, self.next_mix].into_iter().chain(answer).min().unwrap_or_default()
    }

    /// The neighbours, ascending.
    pub fn neighbours(&self) -> impl Iterator<Item = DeviceId> {
        self.active.devices()
    }

    /// The devices that are known beside the neighbours, ascending.
    pub fn contacts(&self) -> impl Iterator<Item = DeviceId> {
        self.passive.devices()
    }

    fn on_message(
        &mut self,
        now: MonoTime,
        (from, agency): (DeviceId, AgencyNo),
        message: Message,
        entropy: &mut dyn Entropy,
        roll: &dyn Roll,
    ) {
        match message {
            Message::Join => self.on_join(now, (from, agency), entropy, roll),
            Message::ForwardJoin { .. } | Message::Shuffle { .. }
                if !self.active.contains(&from) =>
            {
                // It takes us for a neighbour, because what should have told it was lost.
                self.send(from, Message::Disconnect);
            }
            Message::ForwardJoin { device, hops_left } => {
                self.on_forward_join(now, from, device, hops_left, entropy, roll);
            }
            Message::Neighbour { urgent } => {
                self.on_neighbour(now, (from, agency), urgent, entropy, roll);
            }
            Message::Accept => {
                if self.asked.is_some_and(|(device, _)| device == from) {
                    self.asked = None;
                    self.add_neighbour((from, agency), entropy, roll);
                } else if !self.active.contains(&from) {
                    self.send(from, Message::Disconnect);
                }
            }
            Message::Refuse => {
                if self.asked.is_some_and(|(device, _)| device == from) {
                    self.asked = None;
                    self.tried.insert(from);
                }
            }
            Message::Disconnect => {
                if self.active.remove(&from).is_some() {
                    self.outputs.push_back(Output::Down { device: from });
                    self.add_contact((from, agency), &[], entropy, roll);
                    // Who has just let go of us need not be asked at once.
                    self.tried.insert(from);
                }
            }
            Message::Shuffle { origin, hops_left, contacts } => {
                self.on_shuffle(now, from, (origin, hops_left, contacts), entropy, roll);
            }
            Message::Contacts { contacts } => {
                if let Some(said) = self.shuffled.take() {
                    self.add_contacts(&contacts, &said, entropy, roll);
                }
            }
        }
    }

    fn on_join(
        &mut self,
        now: MonoTime,
        (from, agency): (DeviceId, AgencyNo),
        entropy: &mut dyn Entropy,
        roll: &dyn Roll,
    ) {
        if !self.joins.take(JOINS, now) {
            self.add_contact((from, agency), &[], entropy, roll);
            self.send(from, Message::Refuse);
            return;
        }
        self.add_neighbour((from, agency), entropy, roll);
        self.send(from, Message::Accept);
        let others: Vec<DeviceId> = self.active.devices().filter(|other| *other != from).collect();
        for other in others {
            let walk = Message::ForwardJoin { device: from, hops_left: WALK_HOPS_MAX };
            self.pass_on(now, other, walk);
        }
    }

    fn on_forward_join(
        &mut self,
        now: MonoTime,
        from: DeviceId,
        device: DeviceId,
        hops_left: u8,
        entropy: &mut dyn Entropy,
        roll: &dyn Roll,
    ) {
        let Some(agency) = roll.agency(&device) else { return };
        let known = self.active.contains(&device) || self.tried.contains(&device);
        if device == self.own || known {
            return;
        }
        if hops_left == WALK_HOPS_PASSIVE {
            self.add_contact((device, agency), &[], entropy, roll);
        }
        let next = self.active.pick(entropy, |other, _| *other != from);
        match (next, hops_left.checked_sub(1)) {
            (Some(next), Some(hops_left)) => {
                self.pass_on(now, next, Message::ForwardJoin { device, hops_left });
            }
            _ => self.ask(now, device, true),
        }
    }

    fn on_neighbour(
        &mut self,
        now: MonoTime,
        (from, agency): (DeviceId, AgencyNo),
        urgent: bool,
        entropy: &mut dyn Entropy,
        roll: &dyn Roll,
    ) {
        let share = ACTIVE.share_among(roll.agencies());
        let fits = self.active.contains(&from)
            || self.active.len() < ACTIVE_MAX
            || (self.active.count(agency) < share && self.active.is_crowded(share));
        if fits || (urgent && self.displaces.take(DISPLACES, now)) {
            self.add_neighbour((from, agency), entropy, roll);
            self.send(from, Message::Accept);
        } else {
            self.add_contact((from, agency), &[], entropy, roll);
            self.send(from, Message::Refuse);
        }
    }

    fn on_shuffle(
        &mut self,
        now: MonoTime,
        from: DeviceId,
        (origin, hops_left, contacts): (DeviceId, u8, Vec<DeviceId>),
        entropy: &mut dyn Entropy,
        roll: &dyn Roll,
    ) {
        let Some(agency) = roll.agency(&origin).filter(|_| origin != self.own) else { return };
        let next = self.active.pick(entropy, |other, _| *other != from && *other != origin);
        if let (Some(next), Some(hops_left)) = (next, hops_left.checked_sub(1)) {
            self.pass_on(now, next, Message::Shuffle { origin, hops_left, contacts });
            return;
        }
        let answer = self.passive.sample(entropy, contacts.len());
        self.add_contacts(&contacts, &answer, entropy, roll);
        self.add_contact((origin, agency), &answer, entropy, roll);
        // Whoever is named as the origin of too many has its fill, and we are not taken for their sender.
        self.pass_on(now, origin, Message::Contacts { contacts: answer });
    }

    fn on_lost(&mut self, device: &DeviceId) {
        if self.active.remove(device).is_some() {
            self.outputs.push_back(Output::Down { device: *device });
        }
        self.passive.remove(device);
        self.says.remove(device);
        self.passes_on.remove(device);
        if self.asked.is_some_and(|(asked, _)| asked == *device) {
            self.asked = None;
            self.tried.insert(*device);
        }
    }

    fn on_tick(&mut self, now: MonoTime, entropy: &mut dyn Entropy, roll: &dyn Roll) {
        let known = self.active.devices().chain(self.passive.devices());
        let ended: Vec<DeviceId> = known.filter(|known| roll.agency(known).is_none()).collect();
        ended.iter().for_each(|device| self.on_lost(device));
        if let Some((device, until)) = self.asked
            && until <= now
        {
            self.on_lost(&device);
        }
        if self.next_shuffle <= now {
            self.next_shuffle = soon(now, SHUFFLE_MS, entropy);
            self.tried.clear();
            self.shuffle(now, entropy);
        }
        if self.next_mix <= now {
            self.next_mix = soon(now, MIX_MS, entropy);
            self.mix(now, entropy, roll);
        }
    }

    fn shuffle(&mut self, now: MonoTime, entropy: &mut dyn Entropy) {
        let Some(next) = self.active.pick(entropy, |_, _| true) else { return };
        let mut contacts = self.active.sample(entropy, SHUFFLE_ACTIVE_MAX);
        contacts.extend(self.passive.sample(entropy, SHUFFLE_PASSIVE_MAX));
        contacts.sort_unstable();
        self.shuffled = Some(contacts.clone());
        let origin = self.own;
        self.pass_on(now, next, Message::Shuffle { origin, hops_left: WALK_HOPS_MAX, contacts });
    }

    /// Takes a new neighbour in a random one's place: of an agency that has not its share while another
    /// has more, if one is known.
    fn mix(&mut self, now: MonoTime, entropy: &mut dyn Entropy, roll: &dyn Roll) {
        if self.asked.is_some() {
            return;
        }
        self.mixed_from_roll = !self.mixed_from_roll;
        let share = ACTIVE.share_among(roll.agencies());
        let (active, own) = (&self.active, self.own);
        let crowded = active.is_crowded(share);
        let fits = |agency| !crowded || active.count(agency) < share;
        let drawn = roll.draw(below(entropy, u64::MAX)).filter(|device| {
            self.mixed_from_roll
                && *device != own
                && !active.contains(device)
                && roll.agency(device).is_some_and(fits)
        });
        let chosen = drawn.or_else(|| self.passive.pick(entropy, |_, agency| fits(agency)));
        if let Some(device) = chosen {
            self.ask(now, device, true);
        }
    }

    /// Asks for a neighbour while places are free: first of agencies that have not their share.
    fn fill(&mut self, now: MonoTime, entropy: &mut dyn Entropy, roll: &dyn Roll) {
        if self.asked.is_some() || self.active.len() >= ACTIVE_MAX {
            return;
        }
        let share = ACTIVE.share_among(roll.agencies());
        let (active, tried) = (&self.active, &self.tried);
        let fits =
            |device: &DeviceId, agency| !tried.contains(device) && active.count(agency) < share;
        let chosen = self
            .passive
            .pick(entropy, fits)
            .or_else(|| self.passive.pick(entropy, |device, _| !tried.contains(device)));
        if let Some(device) = chosen {
            self.ask(now, device, active.len() < ACTIVE_LOW);
        } else if active.len() == 0
            && let Some(device) = roll.draw(below(entropy, u64::MAX))
            && device != self.own
            && !tried.contains(&device)
        {
            self.ask(now, device, true);
        }
    }

    fn ask(&mut self, now: MonoTime, device: DeviceId, urgent: bool) {
        if self.asked.is_none() && self.tried.len() < TRIED_MAX {
            self.asked = Some((device, now.plus_ms(ANSWER_MS)));
            self.send(device, Message::Neighbour { urgent });
        }
    }

    fn add_neighbour(
        &mut self,
        (device, agency): (DeviceId, AgencyNo),
        entropy: &mut dyn Entropy,
        roll: &dyn Roll,
    ) {
        if self.active.contains(&device) {
            return;
        }
        let share = ACTIVE.share_among(roll.agencies());
        if self.active.len() >= ACTIVE_MAX
            && let Some(other) = self.active.gives_way(entropy, agency, share)
            && let Some(of) = self.active.remove(&other)
        {
            self.send(other, Message::Disconnect);
            self.outputs.push_back(Output::Down { device: other });
            self.add_contact((other, of), &[], entropy, roll);
        }
        self.passive.remove(&device);
        self.active.insert(device, agency);
        self.outputs.push_back(Output::Up { device });
    }

    fn add_contacts(
        &mut self,
        contacts: &[DeviceId],
        said: &[DeviceId],
        entropy: &mut dyn Entropy,
        roll: &dyn Roll,
    ) {
        for device in contacts {
            // Who has no right here, as far as we know, is left out.
            if let Some(agency) = roll.agency(device) {
                self.add_contact((*device, agency), said, entropy, roll);
            }
        }
    }

    /// Puts a device into the passive view. In a full one, whom we have just told somebody of gives way
    /// first.
    fn add_contact(
        &mut self,
        (device, agency): (DeviceId, AgencyNo),
        said: &[DeviceId],
        entropy: &mut dyn Entropy,
        roll: &dyn Roll,
    ) {
        let known = self.active.contains(&device) || self.passive.contains(&device);
        if device == self.own || known {
            return;
        }
        let share = PASSIVE.share_among(roll.agencies());
        let has_share = self.passive.count(agency) >= share;
        if has_share || self.passive.len() >= PASSIVE_MAX {
            let in_turn =
                |other: &DeviceId, of| said.contains(other) && (!has_share || of == agency);
            let gone = self.passive.pick(entropy, in_turn);
            let gone = gone.or_else(|| self.passive.gives_way(entropy, agency, share));
            if let Some(gone) = gone {
                self.passive.remove(&gone);
            }
        }
        self.passive.insert(device, agency);
    }

    /// Sends a walk on its way, unless the next has had its fill of them.
    fn pass_on(&mut self, now: MonoTime, to: DeviceId, walk: Message) {
        let budget = budget_of(&mut self.passes_on, &self.active, to, PASSES_ON, now);
        if budget.take(PASSES_ON, now) {
            self.send(to, walk);
        }
    }

    fn may_say(&mut self, device: DeviceId, now: MonoTime) -> bool {
        let may = budget_of(&mut self.says, &self.active, device, SAYS, now).take(SAYS, now);
        if !may {
            let fault = GossipFault::Flood { burst: SAYS.burst, every_ms: SAYS.every_ms };
            self.outputs.push_back(Output::Fault { device, fault });
        }
        may
    }

    fn send(&mut self, to: DeviceId, message: Message) {
        self.outputs.push_back(Output::Send { to, message });
    }
}

/// A device's budget. There are at most [`BUDGETS_MAX`]: beyond it the first of a device that is no
/// neighbour is forgotten, and that device has a full one again.
fn budget_of<'a>(
    budgets: &'a mut BTreeMap<DeviceId, Budget>,
    active: &View,
    device: DeviceId,
    rate: Rate,
    now: MonoTime,
) -> &'a mut Budget {
    if budgets.len() >= BUDGETS_MAX && !budgets.contains_key(&device) {
        let gone = budgets.keys().find(|known| !active.contains(known)).copied();
        gone.and_then(|gone| budgets.remove(&gone));
    }
    budgets.entry(device).or_insert_with(|| Budget::full(rate, now))
}

/// A time between three and five quarters of `ms` from now.
fn soon(now: MonoTime, ms: u64, entropy: &mut dyn Entropy) -> MonoTime {
    now.plus_ms(ms * 3 / 4 + below(entropy, ms / 2))
}
