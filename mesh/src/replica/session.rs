//! Sessions: the conversation over one link, from the first frame to the last.
//!
//! The dialer opens with a digest of all that both should hold. An equal digest ends the matter in
//! 26 bytes. A listener that remembers the dialer's digest from when they were last in sync knows
//! exactly what moved since, says [`Frame::Behind`] and pushes at once. Otherwise each says what it
//! holds and they descend the frontiers that differ ([`super::sync`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use tearline_crdt::authority::{Coalition, Place};
use tearline_crdt::frontier::{LogKey, NodeHash};
use tearline_crdt::hash::Digest;
use tearline_crdt::id::{AttachmentId, CoalitionId, CompartmentId, DeviceId, EntryId};
use tearline_crdt::statement::Opening;
use tearline_crdt::store::{Store, StoreError};
use tearline_crdt::time::{MonoTime, Now};

use super::area::Body;
use super::fetch::Asked;
use super::gossip::Gossiped;
use super::greeting::Turn;
use super::insync::Open;
use super::interest::Aside;
use super::lag::{Lag, LagKey, Window, lag_key};
use super::owing::Owing;
use super::refusal::Refused;
use super::shares::Side;
use super::{Link, Replica};
use crate::fault::PeerFault;
use crate::urgency::Busy;
use crate::wire::{FRAME_BYTES_MAX, Frame, Nonce, Tag};

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// We dialed to join a coalition and wait for the answer.
    Joining,
    /// Another greeting is under way here: ours comes after it.
    Turn,
    /// We dialed, said `Open`, and wait for the answer.
    Opening,
    /// They dialed; we wait for their `Open`.
    Awaiting,
    /// We answered their `Open` by a `Hello` and wait for theirs.
    Greeting,
    /// News flow.
    Live,
    /// The bundle of this name is read: nobody listens.
    Bundle(Digest),
}

/// A conversation.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) device: DeviceId,
    pub(super) dialer: bool,
    /// Whether the link is a thin one.
    pub(super) thin: bool,
    pub(super) phase: Phase,
    /// When its greeting has its turn.
    pub(super) turn: Turn,
    pub(super) nonce: Nonce,
    /// The areas that the peer may name: those that we named to it, and those that it named and we
    /// hold.
    pub(super) names: BTreeMap<Tag, CompartmentId>,
    /// Areas that both hold.
    pub(super) shared: BTreeSet<CompartmentId>,
    /// Shared areas whose frontiers were or are being compared.
    pub(super) started: BTreeSet<CompartmentId>,
    /// Logs in which they are behind.
    pub(super) lag: BTreeMap<LagKey, Lag>,
    /// The areas in which we know the peer to have a right, and their roots, as we said them.
    pub(super) said: BTreeMap<CompartmentId, NodeHash>,
    /// Logs that moved since we said what we hold, and from where, while the greeting goes on.
    pub(super) early: BTreeMap<LagKey, u64>,
    /// Strays that they lack.
    pub(super) strays: BTreeSet<(CompartmentId, EntryId)>,
    /// Statements that are still to be told to a device whose standing they ended.
    pub(super) endings: VecDeque<Place>,
    /// Areas in which it was told, or is being told.
    pub(super) ended_in: BTreeSet<CompartmentId>,
    /// What each has said it holds, until the other answers.
    pub(super) open: Open,
    /// Who brings what, as it was said.
    pub(super) side: Side,
    /// Since when it owes what it owes.
    pub(super) owing: Owing,
    /// Bytes sent and not acknowledged.
    pub(super) unacked: usize,
    /// How many there may be.
    pub(super) window: Window,
    /// The log that was sent from last, for turns within a class.
    pub(super) cursor: Option<LagKey>,
    /// Frames other than runs, encoded, to be sent first.
    pub(super) control: VecDeque<Vec<u8>>,
    /// Their bytes.
    pub(super) control_bytes: usize,
    /// The lanes in which a frame of ours is with the transport.
    pub(super) busy: Busy,
    /// Runs that we refused.
    pub(super) refused: Refused,
    /// Logs of which they take nothing now, or lack a beginning that is gone here.
    pub(super) declined: BTreeSet<LagKey>,
    /// Logs of which they do not hold the beginning any more that we lack, and where they begin there.
    pub(super) gone: BTreeMap<LagKey, u64>,
    /// Logs of which they were told the fork's proof, and how often.
    pub(super) accused: BTreeMap<LagKey, u8>,
    /// Logs of which they hold another branch, while the first entry that differs is looked for.
    pub(super) disputed: BTreeSet<LagKey>,
    /// What they asked for of branches that are chosen, to be given to them: where what they hold of the
    /// log ends, the end of what they lack, and its last entry.
    pub(super) asked: BTreeMap<LagKey, (Range<u64>, EntryId)>,
    /// What they were asked for, and have not answered.
    pub(super) asking: BTreeMap<LagKey, (u64, EntryId)>,
    /// Logs whose position they are to hear when what is stored of them is durable.
    pub(super) owed: BTreeSet<(CompartmentId, LogKey)>,
    /// What they want of files.
    pub(super) fetching: VecDeque<Asked>,
    /// The last part of a file that went to them, and when.
    pub(super) last_part: Option<(AttachmentId, MonoTime)>,
    /// What each wants of payloads.
    pub(super) aside: Aside,
    /// Whether the driver was told that the device has a standing.
    pub(super) vouched: bool,
    /// Requests to join that were refused.
    pub(super) refusals: u32,
    /// Introductions that we cannot judge before the coalition's log has come.
    pub(super) early_intros: Vec<Opening>,
    /// What they wanted compared beyond what entries of theirs gave back.
    pub(super) idle_asked: usize,
    /// What it said and sent as a neighbour in trees.
    pub(super) gossiped: Gossiped,
    /// Whether the last thing said was that all is equal.
    pub(super) in_sync: bool,
    /// Bytes of frames, in and out, for status.
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

/// What is remembered of a device between sessions. A hint: it saves a comparison when it is right
/// and costs one when it is wrong.
#[derive(Debug, Default)]
pub(super) struct PeerMemory {
    /// The pair digest when we were last in sync.
    pub(super) digest: Option<NodeHash>,
    /// The logs that moved here since, and where they stood then.
    pub(super) moved: BTreeMap<LagKey, u64>,
}

/// Most logs that are remembered as moved for one device; past it the memory is dropped.
const MOVED_MAX: usize = 4_096;
/// Most bytes of frames other than runs that wait for one link. Comparing 100,000 logs that all
/// differ takes about 4 MB.
const CONTROL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// As many for a device without a standing: there may be many of these.
const STRANGER_BYTES_MAX: usize = 256 * 1024;
/// What a frame that waits takes beside its bytes: its place in the queue and its allocation.
const FRAME_OVERHEAD_BYTES: usize = 64;

impl Session {
    pub(super) fn new(device: DeviceId, dialer: bool, nonce: Nonce) -> Self {
        Self {
            device,
            dialer,
            thin: false,
            phase: Phase::Awaiting,
            turn: Turn::default(),
            nonce,
            names: BTreeMap::new(),
            shared: BTreeSet::new(),
            started: BTreeSet::new(),
            lag: BTreeMap::new(),
            said: BTreeMap::new(),
            early: BTreeMap::new(),
            strays: BTreeSet::new(),
            endings: VecDeque::new(),
            ended_in: BTreeSet::new(),
            open: Open::default(),
            side: Side::default(),
            owing: Owing::default(),
            unacked: 0,
            window: Window::START,
            cursor: None,
            control: VecDeque::new(),
            control_bytes: 0,
            busy: Busy::default(),
            refused: Refused::default(),
            declined: BTreeSet::new(),
            gone: BTreeMap::new(),
            accused: BTreeMap::new(),
            disputed: BTreeSet::new(),
            asked: BTreeMap::new(),
            asking: BTreeMap::new(),
            owed: BTreeSet::new(),
            fetching: VecDeque::new(),
            last_part: None,
            aside: Aside::default(),
            vouched: false,
            refusals: 0,
            early_intros: Vec::new(),
            idle_asked: 0,
            gossiped: Gossiped::default(),
            in_sync: false,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Whether there is somebody at the other end.
    pub(super) const fn is_heard(&self) -> bool {
        !matches!(self.phase, Phase::Bundle(_))
    }

    fn queue(&mut self, frame: Vec<u8>) {
        self.control_bytes += frame.len() + FRAME_OVERHEAD_BYTES;
        self.control.push_back(frame);
    }

    /// The next frame other than a run.
    pub(super) fn unqueue(&mut self) -> Option<Vec<u8>> {
        let frame = self.control.pop_front()?;
        let bytes = frame.len() + FRAME_OVERHEAD_BYTES;
        self.control_bytes = self.control_bytes.saturating_sub(bytes);
        Some(frame)
    }
}

impl<S: Store> Replica<S> {
    pub(super) fn on_up(&mut self, link: Link, device: DeviceId, dialer: bool, thin: bool) {
        let mut nonce = Nonce::default();
        self.entropy.fill(&mut nonce);
        let mut session = Session::new(device, dialer, nonce);
        session.thin = thin;
        session.owing = Owing::since(self.clock);
        self.sessions.insert(link, session);
        self.say_interest(link, false);
        if dialer && self.joining.asked(&device).is_some() {
            self.ask_over(link);
        } else if dialer {
            self.greet(link, None);
        }
        // The transport has proven who it is.
        self.vouch(link);
    }

    pub(super) fn on_down(&mut self, link: Link) {
        self.forget_told(link);
        self.joining.hang_up(link);
        self.forget_without(link);
        self.repairs.look();
        let Some(session) = self.sessions.remove(&link) else { return };
        // What is still unacknowledged, or was refused, joins what moved since we were in sync.
        let Some(memory) = self.memories.get_mut(&session.device) else { return };
        for (key, lag) in session.lag {
            memory.moved.entry(key).or_insert(lag.acked);
        }
        for key in session.declined {
            memory.moved.entry(key).or_insert(0);
        }
    }

    pub(super) fn on_frame(
        &mut self,
        now: Now,
        link: Link,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        session.bytes_in += bytes.len() as u64;
        if bytes.len() > FRAME_BYTES_MAX {
            let fault = PeerFault::Oversize { bytes: bytes.len(), max: FRAME_BYTES_MAX };
            self.blame(link, fault);
            return Ok(());
        }
        let outcome = match Frame::decode(bytes) {
            Ok(frame) => self.on_decoded(now, link, frame)?,
            Err(error) => Err(PeerFault::Malformed(error)),
        };
        if let Err(fault) = outcome {
            self.blame(link, fault);
        }
        Ok(())
    }

    fn on_decoded(
        &mut self,
        now: Now,
        link: Link,
        frame: Frame,
    ) -> Result<Result<(), PeerFault>, StoreError> {
        if !self.room.allows(&frame) {
            return Ok(Ok(()));
        }
        // Whatever else a peer says is judged by all the statements that came.
        let states = match &frame {
            Frame::Run { key, .. } => key.is_of_authority(),
            frame => matches!(frame, Frame::Stray { .. }),
        };
        if !states {
            self.conclude(now)?;
        }
        let name = frame.name();
        let Some(session) = self.sessions.get(&link) else { return Ok(Ok(())) };
        let (phase, device) = (session.phase, session.device);
        Ok(match (phase, frame) {
            (Phase::Bundle(_), frame) => return self.on_bundle_frame(now, link, frame),
            (Phase::Awaiting, Frame::Open { .. }) if self.joining.asked(&device).is_some() => {
                self.ask_over(link);
                Ok(())
            }
            (_, Frame::Interest { interest }) => self.on_interest(link, &interest),
            (Phase::Awaiting, Frame::Open { digest, nonce }) => {
                self.greet(link, Some((digest, nonce)));
                Ok(())
            }
            (Phase::Awaiting | Phase::Opening, Frame::Join { request }) => {
                return self.on_join(now, link, &request);
            }
            (Phase::Joining, Frame::JoinAnswer { answer }) => {
                return self.on_join_answer(link, &answer);
            }
            (Phase::Opening, Frame::Same) => {
                if self.share_said(link) {
                    self.mark_in_sync(link);
                }
                Ok(())
            }
            (Phase::Opening | Phase::Greeting, Frame::Behind) => {
                self.await_answer(link);
                self.share_said(link);
                Ok(())
            }
            (Phase::Live, Frame::Same) => self.on_answered(link),
            (Phase::Opening | Phase::Greeting, Frame::Hello { digest, areas }) => {
                self.on_hello(link, digest, &areas);
                Ok(())
            }
            (Phase::Live | Phase::Greeting, Frame::Intro { opening }) => {
                return self.on_intro(link, &opening);
            }
            (Phase::Live, Frame::Nodes { area, nodes }) => {
                return self.on_nodes(link, area, nodes);
            }
            (Phase::Live, Frame::Positions { area, positions }) => {
                return self.on_positions(link, area, &positions);
            }
            (
                Phase::Live,
                Frame::Run {
                    area,
                    key,
                    author,
                    knows,
                    hops,
                    left_out,
                    first,
                    count,
                    entries,
                    boxes,
                },
            ) => {
                let run = super::ingest::Incoming {
                    key,
                    author,
                    knows,
                    left_out,
                    first,
                    count,
                    entries,
                    boxes,
                };
                return self.on_gossiped(now, link, area, run, hops);
            }
            (Phase::Live, Frame::Gossip { area, message }) => {
                return self.on_gossip(link, area, message);
            }
            (Phase::Live, Frame::Have { area, logs }) => return self.on_have(link, area, &logs),
            (Phase::Live, Frame::Decline { area, logs }) => {
                self.on_decline(link, area, &logs);
                Ok(())
            }
            (Phase::Live, Frame::Bring { area, logs }) => return self.on_bring(link, area, &logs),
            (Phase::Live, Frame::Wait { area, logs }) => return self.on_wait(link, area, &logs),
            (Phase::Live, Frame::Gone { area, logs }) => return self.on_gone(link, area, &logs),
            (Phase::Live, Frame::Whereabouts { known, cards }) => {
                return self.on_whereabouts(link, known, &cards);
            }
            (Phase::Live, Frame::Fetch { area, record, attachment, from }) => {
                return self.on_fetch(link, area, record, attachment, from);
            }
            (Phase::Live, Frame::Part { attachment, from, bytes }) => {
                return self.on_part(link, attachment, from, &bytes);
            }
            (Phase::Live, Frame::Presence { area, cards }) => {
                return self.on_presence(link, area, &cards);
            }
            (Phase::Live, Frame::Lack { area, key, any, spans }) => {
                return Ok(self.on_lack(link, area, (key, any), spans));
            }
            (Phase::Live, Frame::Payloads { area, key, done, payloads }) => {
                return self.on_payloads(now, link, area, (key, done), payloads);
            }
            (Phase::Live, Frame::Fork { area, proof }) => {
                return self.on_fork(now, link, area, &proof);
            }
            (Phase::Live, Frame::Evidence { area, branches }) => {
                return self.on_evidence(now, link, area, &branches);
            }
            (Phase::Live, Frame::Ask { area, key, first, end, head }) => {
                return Ok(self.on_ask(link, area, key, (first..end, head)));
            }
            (Phase::Live, Frame::Piece { area, key, knows, from, count, entries, boxes }) => {
                let piece = super::branch::Incoming { key, knows, from, count, entries, boxes };
                return self.on_piece(now, link, area, &piece);
            }
            (Phase::Live, Frame::Strays { area, answer, span, ids }) => {
                return self.on_strays(link, area, answer, span, &ids);
            }
            (Phase::Live, Frame::Stray { area, stray }) => {
                return self.on_stray(now, link, area, &stray);
            }
            _ => Err(PeerFault::OutOfTurn(name)),
        })
    }

    pub(super) fn on_open(&mut self, link: Link, digest: NodeHash, nonce: Nonce) {
        let Some(session) = self.sessions.get_mut(&link) else { return };
        session.nonce = nonce;
        let device = session.device;
        let own = self.own_digest(link);
        if own == digest {
            self.say(link, Frame::Same);
            self.share_all(link);
            self.go_live(link);
            self.mark_in_sync(link);
        } else if self.resume_from_memory(link, &device, digest) {
            self.say_behind(link);
        } else {
            let areas = self.named_roots(link);
            self.say(link, Frame::Hello { digest: own, areas });
            let said = self.roots_for(&device);
            if let Some(session) = self.sessions.get_mut(&link) {
                session.phase = Phase::Greeting;
                session.said = said;
            }
        }
    }

    /// If the peer is where it was when we were last in sync, what it lacks is what moved here
    /// since.
    fn resume_from_memory(&mut self, link: Link, device: &DeviceId, digest: NodeHash) -> bool {
        let Some(memory) = self.memories.get(device) else { return false };
        let Some(session) = self.sessions.get(&link) else { return false };
        let remembered = memory.digest.map(|known| self.blind(session, None, known));
        if remembered != Some(digest) {
            return false;
        }
        let may = |key: &LagKey| self.right(key.1, device).is_some();
        let lag: BTreeMap<LagKey, Lag> = memory
            .moved
            .iter()
            .filter(|(key, _)| may(key))
            .map(|(key, next)| (*key, Lag::at(*next)))
            .collect();
        let Some(session) = self.sessions.get_mut(&link) else { return false };
        session.lag = lag;
        session.open.lacking = session.lag.keys().copied().collect();
        for (key, lag) in &mut session.lag {
            session.side.note_missing(*key);
            let held = self.areas.get(&key.1);
            lag.owed = held.map_or(0, |area| area.frontier.head(&key.2).next);
        }
        true
    }

    /// What the peer lacks is what follows.
    fn say_behind(&mut self, link: Link) {
        self.say(link, Frame::Behind);
        self.owe_answer(link, None);
        self.share_all(link);
        self.go_live(link);
    }

    fn on_hello(&mut self, link: Link, digest: NodeHash, theirs: &[(Tag, NodeHash)]) {
        let Some(session) = self.sessions.get(&link) else { return };
        let (device, dialer) = (session.device, session.dialer);
        if dialer && self.resume_from_memory(link, &device, digest) {
            self.say_behind(link);
            return;
        }
        let Some(session) = self.sessions.get_mut(&link) else { return };
        // What both hold now is compared: what moved since we opened may have come to it another way.
        session.early.clear();
        let roots: BTreeMap<Tag, NodeHash> = theirs.iter().copied().collect();
        let mut differing = Vec::new();
        for (tag, id, root) in self.roots(link) {
            let Some(their_root) = roots.get(&tag) else { continue };
            self.share(link, id);
            // Who names a coalition's own area is or was of it, and may bring its own admission.
            let brings = dialer && self.coalition(CoalitionId(id.0)).is_some();
            if !brings && self.right(id, &device).is_none() {
                continue;
            }
            let Some(session) = self.sessions.get_mut(&link) else { return };
            if *their_root == root {
                session.started.insert(id);
            } else {
                differing.push(id);
            }
        }
        if dialer {
            let areas = self.named_roots(link);
            let digest = self.own_digest(link);
            self.say(link, Frame::Hello { digest, areas });
        }
        self.go_live(link);
        self.tell_endings(link);
        self.introduce_missing(link);
        let Some(session) = self.sessions.get_mut(&link) else { return };
        let said = std::mem::take(&mut session.said);
        for id in differing {
            // The dialer begins to compare what it knows to differ.
            let Some(session) = self.sessions.get_mut(&link) else { return };
            session.started.insert(id);
            let as_said = said.get(&id).map(|root| self.blind_root(link, id, *root));
            if dialer || as_said.is_some_and(|root| roots.values().any(|their| *their == root)) {
                self.start_comparison(link, id);
            } else if let Some(session) = self.sessions.get_mut(&link) {
                session.open.awaited.insert(id);
            }
        }
    }

    pub(super) fn share_all(&mut self, link: Link) {
        let Some(session) = self.sessions.get(&link) else { return };
        let device = session.device;
        let shared: Vec<CompartmentId> =
            self.areas.keys().filter(|id| self.right(**id, &device).is_some()).copied().collect();
        for id in shared {
            self.share(link, id);
            if let Some(session) = self.sessions.get_mut(&link) {
                session.started.insert(id);
            }
        }
    }

    /// The peer answers for what we said when we opened; whether all is as we said it then. What has
    /// changed since, and is no log that moved on, is found by comparing.
    fn share_said(&mut self, link: Link) -> bool {
        let Some(session) = self.sessions.get_mut(&link) else { return false };
        let device = session.device;
        let said = std::mem::take(&mut session.said);
        let now = self.roots_for(&device);
        for id in said.keys().filter(|id| now.contains_key(*id)) {
            self.share(link, *id);
            if let Some(session) = self.sessions.get_mut(&link) {
                session.started.insert(*id);
            }
        }
        self.go_live(link);
        if now == said {
            return true;
        }
        self.introduce_missing(link);
        self.start_new_comparisons(link);
        for (id, root) in said {
            if now.get(&id).is_some_and(|now| *now != root) {
                self.start_comparison(link, id);
            }
        }
        false
    }

    pub(super) fn go_live(&mut self, link: Link) {
        let Some(session) = self.sessions.get_mut(&link) else { return };
        session.phase = Phase::Live;
        let (device, was_vouched) = (session.device, session.vouched);
        let early = std::mem::take(&mut session.early);
        self.repairs.look();
        self.begin_to_fill(link);
        for (key, from) in early {
            if self.right(key.1, &device).is_none() {
                continue;
            }
            let Some(session) = self.sessions.get_mut(&link) else { return };
            if session.shared.contains(&key.1) {
                session.lag.entry(key).or_insert_with(|| Lag::at(from));
            }
        }
        if was_vouched {
            self.compare_whereabouts(link);
        } else {
            self.vouch(link);
        }
    }

    /// Whether a link is with a device that has a standing in a coalition.
    pub(super) fn is_with_standing(&self, link: Link) -> bool {
        self.sessions.get(&link).is_some_and(|session| self.has_standing(&session.device))
    }

    pub(super) fn has_standing(&self, device: &DeviceId) -> bool {
        self.coalitions().any(|coalition| coalition.live(device).is_some())
    }

    pub(super) fn coalitions(&self) -> impl Iterator<Item = &Coalition> {
        self.areas.values().filter_map(|area| match &area.body {
            Body::Coalition(coalition) => Some(&**coalition),
            Body::Compartment(_) => None,
        })
    }

    /// Says `Open`.
    pub(super) fn say_open(&mut self, link: Link) {
        let Some(session) = self.sessions.get_mut(&link) else { return };
        session.phase = Phase::Opening;
        let (nonce, device) = (session.nonce, session.device);
        let said = self.roots_for(&device);
        if let Some(session) = self.sessions.get_mut(&link) {
            session.said = said;
        }
        let digest = self.own_digest(link);
        self.say(link, Frame::Open { digest, nonce });
    }

    /// Queues a frame other than a run.
    pub(super) fn say(&mut self, link: Link, frame: Frame) {
        let Some(session) = self.sessions.get_mut(&link).filter(|s| s.is_heard()) else { return };
        session.queue(frame.encode());
        let bytes = session.control_bytes;
        let much = bytes > STRANGER_BYTES_MAX && !self.is_with_standing(link);
        if much || bytes > CONTROL_BYTES_MAX {
            self.blame(link, PeerFault::Endless);
        }
    }

    /// Notes for all devices, present and absent, that a log moved on from `from`.
    pub(super) fn note_moved(
        &mut self,
        area: CompartmentId,
        key: LogKey,
        from: u64,
        to: u64,
        source: Option<DeviceId>,
    ) {
        let lag_key = lag_key(area, key);
        let mut memories = std::mem::take(&mut self.memories);
        for (device, memory) in &mut memories {
            if self.right(area, device).is_none() {
                continue;
            }
            memory.moved.entry(lag_key).or_insert(from);
            if memory.moved.len() > MOVED_MAX {
                memory.digest = None;
                memory.moved.clear();
            }
        }
        self.memories = memories;
        self.sessions.change(
            |session| matches!(session.phase, Phase::Opening | Phase::Greeting),
            |_, session| {
                session.early.entry(lag_key).or_insert(from);
            },
        );
        let links: Vec<(Link, DeviceId)> = self
            .sessions
            .iter()
            .filter(|(_, s)| s.phase == Phase::Live && s.started.contains(&area))
            .map(|(link, s)| (*link, s.device))
            .collect();
        for (link, device) in links {
            if self.right(area, &device).is_none() {
                continue;
            }
            let Some(session) = self.sessions.get_mut(&link) else { continue };
            if source == Some(device) || session.claims(&lag_key) >= to {
                // It holds that, whatever was on its way to it.
                session.arrived(&lag_key, to, to);
                continue;
            }
            // Who has let go of a log's beginning has that log, and further.
            if session.declined.contains(&lag_key) || session.gone.contains_key(&lag_key) {
                continue;
            }
            session.in_sync = false;
            session.lag.entry(lag_key).or_insert_with(|| Lag::at(from));
        }
    }

    /// What both sides should hold was redefined: what is remembered of it is void.
    pub(super) fn forget_digests(&mut self) {
        for memory in self.memories.values_mut() {
            memory.digest = None;
            memory.moved.clear();
        }
    }
}
