//! The machine: handshakes and their timers, the session, and whose the line is.

use std::collections::VecDeque;

use tearline_crdt::entropy::Entropy;
use tearline_crdt::id::DeviceId;
use tearline_crdt::keys::DeviceKeys;
use tearline_crdt::time::MonoTime;

use super::admission::Admission;
use super::noise::{
    ANSWER, Agreed, Conversation, DATA, NO_CONVERSATION, OPEN, Opening, Pair, Wish,
};
use super::session::{Session, Taken};
use super::turn::Turn;
use super::{
    Action, Config, Counters, Event, LINK_FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, PairError, SendError,
    ThinFault, Urgency,
};

/// One thin link.
pub struct Machine {
    pair: Pair,
    config: Config,
    entropy: Box<dyn Entropy + Send>,
    turn: Turn,
    /// Names this start of the machine, with its number of handshakes begun.
    run: [u8; 4],
    attempts: u32,
    /// The last run and attempt of the other side.
    last_attempt: Option<([u8; 4], u32)>,
    /// Whether no frame of ours is with the driver.
    line_free: bool,
    session: Option<Session>,
    /// Our handshake. Whoever answers one of the other side drops its own; it may begin another when
    /// that is not confirmed in time.
    begun: Option<Begun>,
    answered: Option<Answered>,
    /// When a side that dials begins, while there is neither session nor handshake.
    dial_at: MonoTime,
    /// When a side that does not dial may next begin because of a frame that it cannot open.
    call_at: MonoTime,
    admission: Admission,
    counters: Counters,
    actions: VecDeque<Action>,
}

/// Why we began a handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Why {
    /// There is no session. So many first messages more, if they are counted.
    Session { left: Option<u32> },
    /// The keys are to be renewed.
    Renew,
    /// The other side is silent. Sent once; the next question may be another.
    Silence,
}

/// A handshake that we began.
struct Begun {
    opening: Opening,
    conversation: Conversation,
    why: Why,
    /// Whether the first message is to be sent.
    due: bool,
    /// When it is to be sent again.
    again_at: Option<MonoTime>,
    wait_ms: u64,
}

/// A handshake of the other side that we answered and it did not confirm.
struct Answered {
    bytes: Vec<u8>,
    agreed: Agreed,
    /// Whether the answer is to be sent.
    due: bool,
    at: MonoTime,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Machine({}, up: {})", self.pair.peer().short(), self.session.is_some())
    }
}

impl Machine {
    /// A link to a device whose agreement key is known from its card.
    pub fn new(
        keys: &DeviceKeys,
        peer: DeviceId,
        peer_key: [u8; 32],
        config: Config,
        mut entropy: Box<dyn Entropy + Send>,
    ) -> Result<Self, PairError> {
        let mut run = [0; 4];
        entropy.fill(&mut run);
        let pair = Pair::new(keys, peer, peer_key)?;
        let frame_ms = config.line.air_ms(LINK_FRAME_BYTES_MAX);
        let turn = Turn::new(config.line.half_duplex, frame_ms, !pair.wins());
        Ok(Self {
            pair,
            config,
            entropy,
            turn,
            run,
            attempts: 0,
            last_attempt: None,
            line_free: true,
            session: None,
            begun: None,
            answered: None,
            dial_at: MonoTime(0),
            call_at: MonoTime(0),
            admission: Admission::default(),
            counters: Counters::default(),
            actions: VecDeque::new(),
        })
    }

    /// Takes an event.
    pub fn handle(&mut self, now: MonoTime, event: Event) {
        match event {
            Event::Received { bytes } => {
                if let Err(fault) = self.on_received(now, &bytes) {
                    self.on_fault(now, fault);
                }
            }
            Event::Sent => self.line_free = true,
            Event::Contact => self.on_contact(now),
            Event::Tick => {}
        }
        self.on_time(now);
        self.fill(now);
    }

    /// Takes a message to send.
    pub fn send(
        &mut self,
        now: MonoTime,
        urgency: Urgency,
        message: &[u8],
    ) -> Result<(), SendError> {
        if message.is_empty() || message.len() > MESSAGE_BYTES_MAX {
            return Err(SendError::Size { bytes: message.len() });
        }
        let session = self.session.as_mut().ok_or(SendError::Down)?;
        if !session.has_room(urgency) {
            return Err(SendError::Full);
        }
        session.push(urgency, message);
        self.fill(now);
        Ok(())
    }

    /// The next thing that the driver owes; `None` when there is nothing until the next event.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Event::Tick`] is to be said, if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        let opens_at = self.turn.opens_at();
        let dial_at = self.dials_at();
        let again_at = self.begun.as_ref().and_then(|begun| begun.again_at);
        let session = self.session.as_ref();
        let session_at = session.and_then(|s| s.deadline(self.turn.is_taken(), opens_at));
        let ready = self.begun.as_ref().is_some_and(|begun| begun.due)
            || self.answered.as_ref().is_some_and(|answered| answered.due)
            || session.is_some_and(Session::is_ready);
        let turn_at = (self.line_free && ready).then_some(opens_at);
        [dial_at, again_at, session_at, turn_at].into_iter().flatten().min()
    }

    /// The device at the other end.
    #[must_use]
    pub const fn peer(&self) -> DeviceId {
        self.pair.peer()
    }

    /// Whether there is a session.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.session.is_some()
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes of messages that came more than once in this session.
    #[must_use]
    pub fn repeated_bytes(&self) -> u64 {
        self.session.as_ref().map_or(0, Session::repeated_bytes)
    }

    /// When we may begin a handshake, if we began none: not while one that we answered may yet be
    /// confirmed.
    fn may_begin_at(&self) -> Option<MonoTime> {
        if self.begun.is_some() {
            return None;
        }
        let confirmed_by = |answered: &Answered| answered.at.plus_ms(2 * self.wait_ms());
        Some(self.answered.as_ref().map_or(MonoTime(0), confirmed_by))
    }

    /// When we dial, if we do.
    fn dials_at(&self) -> Option<MonoTime> {
        let alone = self.config.dials && self.session.is_none();
        self.may_begin_at().filter(|_| alone).map(|at| at.max(self.dial_at))
    }

    fn on_received(&mut self, now: MonoTime, bytes: &[u8]) -> Result<(), ThinFault> {
        match bytes.first() {
            _ if bytes.len() > LINK_FRAME_BYTES_MAX => Err(ThinFault::Form),
            Some(&OPEN) => self.on_open(now, bytes),
            Some(&ANSWER) => self.on_answer(now, bytes),
            Some(&DATA) => self.on_data(now, bytes),
            _ => Err(ThinFault::Form),
        }
    }

    /// The other side begins a handshake.
    fn on_open(&mut self, now: MonoTime, bytes: &[u8]) -> Result<(), ThinFault> {
        let check = self.pair.check_open(bytes).ok_or(ThinFault::Handshake)?;
        if self.admission.is_known(&check) {
            return Err(ThinFault::Repeated);
        }
        let ours_goes_on = |begun: &Begun| begun.why != Why::Silence;
        if self.pair.wins() && self.begun.as_ref().is_some_and(ours_goes_on) {
            return Ok(());
        }
        self.admission.admit(now, check)?;
        self.counters.handshakes_in += 1;
        let opened = self.pair.read_open(self.entropy.as_mut(), bytes);
        let opened = opened.map_err(|_| ThinFault::Handshake)?;
        let wish = opened.wish;
        let overtaken = |(run, attempt)| run == wish.run && attempt >= wish.attempt;
        if self.last_attempt.is_some_and(overtaken) {
            return Err(ThinFault::Repeated);
        }
        self.last_attempt = Some((wish.run, wish.attempt));
        self.turn.heard(now, true);
        if let Some(session) = &mut self.session
            && session.conversation == wish.conversation
            && !wish.renew
        {
            // It only wants to know whether we are there, with our keys.
            session.answer();
            return Ok(());
        }
        let held = self.session.as_ref().is_some_and(|s| s.conversation == wish.conversation);
        let answer = self.pair.answer(opened, held);
        let (agreed, bytes) = answer.map_err(|_| ThinFault::Handshake)?;
        self.begun = None;
        self.answered = Some(Answered { bytes, agreed, due: true, at: now });
        Ok(())
    }

    /// The other side answers our handshake.
    fn on_answer(&mut self, now: MonoTime, bytes: &[u8]) -> Result<(), ThinFault> {
        let answers = |begun: &Begun| self.pair.check_answer(&begun.opening, bytes);
        if !self.begun.as_ref().is_some_and(answers) {
            return Err(ThinFault::Handshake);
        }
        let Some(Begun { opening, conversation, .. }) = self.begun.take() else { return Ok(()) };
        let agreed = self.pair.finish(opening, conversation, bytes);
        let agreed = agreed.map_err(|_| ThinFault::Handshake)?;
        self.turn.heard(now, true);
        self.begin(now, agreed, true);
        // The other side uses the keys when it has seen that we have them.
        if let Some(session) = &mut self.session {
            session.ask();
        }
        Ok(())
    }

    fn on_data(&mut self, now: MonoTime, bytes: &[u8]) -> Result<(), ThinFault> {
        let confirmed = match &self.answered {
            Some(answered) => answered.agreed.keys.open(bytes).ok(),
            None => None,
        };
        let taken = match (confirmed, self.answered.take()) {
            (Some((number, body)), Some(answered)) => {
                self.begin(now, answered.agreed, false);
                let Some(session) = &mut self.session else { return Ok(()) };
                session.take_opened(now, number, &body, true)?
            }
            (_, answered) => {
                self.answered = answered;
                let Some(session) = &mut self.session else {
                    self.on_call(now);
                    return Err(ThinFault::Sealed);
                };
                session.take(now, bytes)?
            }
        };
        let Taken { over, messages } = taken;
        self.turn.heard(now, over);
        if self.begun.as_ref().is_some_and(|begun| begun.why == Why::Silence) {
            self.begun = None;
        }
        let deliver = |(urgency, bytes)| Action::Deliver { urgency, bytes };
        self.actions.extend(messages.into_iter().map(deliver));
        Ok(())
    }

    /// A frame came that cannot be opened, and there is no session: the other side has one.
    fn on_call(&mut self, now: MonoTime) {
        let may = self.may_begin_at().is_some_and(|at| at.max(self.call_at) <= now);
        if !may {
            return;
        }
        self.call_at = now.plus_ms(CALL_MS);
        self.open(now, Why::Session { left: Some(CALLS_MAX) }, self.wait_ms());
    }

    fn on_contact(&mut self, now: MonoTime) {
        let wait_ms = self.wait_ms();
        if let Some(begun) = self.begun.as_mut().filter(|begun| begun.again_at.is_some()) {
            begun.again_at = Some(now);
            begun.wait_ms = wait_ms;
        }
        if let Some(session) = &mut self.session {
            session.ask();
        }
        self.dial_at = now;
    }

    fn on_fault(&mut self, now: MonoTime, fault: ThinFault) {
        *self.counters.faults.entry(fault.name()).or_default() += 1;
        if fault.is_of_the_device() && self.session.take().is_some() {
            self.begun = None;
            self.answered = None;
            self.dial_at = now.plus_ms(DIAL_MS_MAX);
            self.actions.push_back(Action::Down { fault: Some(fault) });
        }
    }

    /// A handshake is finished: its session begins, or goes on under new keys.
    fn begin(&mut self, now: MonoTime, agreed: Agreed, dialer: bool) {
        let Agreed { keys, conversation, goes_on } = agreed;
        self.begun = None;
        self.answered = None;
        if goes_on {
            if let Some(session) = self.session.as_mut().filter(|s| s.conversation == conversation)
            {
                session.renew(now, keys);
            }
            return;
        }
        if self.session.is_some() {
            self.actions.push_back(Action::Down { fault: None });
        }
        let first_ms = self.config.line.first_round_trip_ms();
        self.session = Some(Session::new(now, conversation, keys, first_ms));
        self.actions.push_back(Action::Up { dialer });
    }

    /// Begins a handshake. A first message is never sent twice: the other side answers each but once.
    fn open(&mut self, now: MonoTime, why: Why, wait_ms: u64) {
        // Of a handshake that we answered the other side may have the answer: then it is there.
        let answered = self.answered.as_ref().map(|answered| answered.agreed.conversation);
        let session = self.session.as_ref().map(|session| session.conversation);
        let conversation = session.or(answered).unwrap_or(NO_CONVERSATION);
        self.attempts += 1;
        let (run, attempt) = (self.run, self.attempts);
        let wish = Wish { conversation, run, attempt, renew: why == Why::Renew };
        let Ok(opening) = self.pair.open(self.entropy.as_mut(), wish) else {
            // Noise refuses no keys that the pair was made with; try again later if it does.
            self.dial_at = now.plus_ms(DIAL_MS_MAX);
            return;
        };
        self.begun = Some(Begun { opening, conversation, why, due: true, again_at: None, wait_ms });
    }

    fn on_time(&mut self, now: MonoTime) {
        let wait_ms = self.wait_ms();
        if let Some(Begun { why, wait_ms, again_at: Some(at), .. }) = self.begun
            && at <= now
        {
            self.begun = None;
            let why = match why {
                Why::Session { left: Some(left) } => Why::Session { left: left.checked_sub(1) },
                why => why,
            };
            if why != (Why::Session { left: Some(0) }) {
                self.open(now, why, wait_ms);
            }
        }
        let opens_at = self.turn.opens_at();
        let turns = self.turn.is_taken();
        if self.dials_at().is_some_and(|at| at <= now) {
            self.open(now, Why::Session { left: None }, wait_ms);
        }
        let may_begin = self.may_begin_at().is_some_and(|at| at <= now);
        let asks = self.begun.as_ref().is_some_and(|begun| begun.why == Why::Silence);
        let Some(session) = &mut self.session else { return };
        let may_be_lost = session.on_time(now, turns, opens_at);
        let used_up = session.frames_under_keys() >= self.config.renew_frames;
        if may_be_lost && (may_begin || asks) {
            session.asked(now);
            self.open(now, Why::Silence, wait_ms);
        } else if used_up && may_begin {
            self.open(now, Why::Renew, wait_ms);
        }
    }

    /// Hands the driver the next frame, if the line is free and the turn ours.
    fn fill(&mut self, now: MonoTime) {
        if self.line_free
            && self.turn.begin(now)
            && let Some(bytes) = self.next_frame(now)
        {
            self.line_free = false;
            self.counters.frames_out += 1;
            self.counters.bytes_out += bytes.len() as u64;
            self.actions.push_back(Action::Transmit { bytes });
        }
        if let Some(session) = &mut self.session {
            let room = |urgency| Action::Room { urgency };
            self.actions.extend(session.made_room().map(room));
        }
    }

    fn next_frame(&mut self, now: MonoTime) -> Option<Vec<u8>> {
        let wait_ms = self.wait_ms();
        if let Some(answered) = self.answered.as_mut().filter(|answered| answered.due) {
            answered.due = false;
            answered.at = now;
            self.counters.handshakes_out += 1;
            self.turn.sent(now, true, wait_ms);
            return Some(answered.bytes.clone());
        }
        if let Some(begun) = self.begun.as_mut().filter(|begun| begun.due) {
            begun.due = false;
            if begun.why != Why::Silence {
                begun.again_at = Some(now.plus_ms(begun.wait_ms));
                begun.wait_ms = (2 * begun.wait_ms).min(DIAL_MS_MAX);
            }
            self.counters.handshakes_out += 1;
            self.turn.sent(now, true, wait_ms);
            return Some(begun.opening.bytes.clone());
        }
        let session = self.session.as_mut()?;
        let ready = session.next(now, self.turn.is_taken(), self.turn.is_last())?;
        self.turn.sent(now, ready.over, wait_ms);
        Some(ready.bytes)
    }

    /// How long an answer may take.
    fn wait_ms(&self) -> u64 {
        let first_ms = self.config.line.first_round_trip_ms();
        self.session.as_ref().map_or(first_ms, Session::wait_ms)
    }
}

/// Longest time between two first messages to a side that does not answer.
const DIAL_MS_MAX: u64 = 60_000;
/// How often in a row a side that does not dial begins a session, because a frame came that it cannot
/// open, and how long until it does so again.
const CALLS_MAX: u32 = 2;
const CALL_MS: u64 = 30_000;
